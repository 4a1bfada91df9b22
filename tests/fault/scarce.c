/*
 * scarce.c: memory, locked pages, files and random numbers that run out (shortage.h), at each place one after the other.
 *
 *   scarce [--rsa] [--every K]
 *
 * For each step of a broker, and for what Keyward itself asks, OpenSSL for it, and other libraries for it, the call number k = 1, 2, ... n
 * fails, until the step needs no more; then, for each seed, one call in eight. Demanded: an error that says so, never a wrong key or a
 * crash; the next call succeeds; and after C_Finalize Keyward has no more blocks than before.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shortage.h"
#include "steps.h"

enum { MOST = 4000, SEEDS = 20, ONE_IN = 8, GROWTH = 256 * 1024 /* SoftHSM keeps something of each C_Initialize, OpenSSL of each failure */ };

static const struct {
    const char *name;
    unsigned whose;
} victims[] = {{"Keyward", SHORTAGE_MODULE}, {"OpenSSL for it", SHORTAGE_CRYPTO}, {"libc and others for it", SHORTAGE_LIBRARIES}};
enum { VICTIMS = sizeof victims / sizeof victims[0] };
static size_t victim;

/* The cases. */

static struct board {
    unsigned long cases, met, wrong, odd, stuck;
    char now[128];
} *board;
static unsigned long every = 1;
static unsigned long crashes;

static void complain(const char *what, CK_RV rv)
{
    (void)printf("  %s: %s (0x%lx)\n", board->now, what, rv);
    (void)fflush(stdout);
}

/* One step with what is armed. False when nothing failed in it: the step needs no more. */
static bool run_case(const struct step *s, const struct shortage *shortage)
{
    bool wrong = false;
    if (!steps_ready(s)) {
        complain("the world cannot be made ready", 0);
        board->stuck++;
        return false;
    }
    shortage_so.arm(shortage);
    CK_RV rv = steps_run(s, &wrong);
    shortage_so.disarm();
    bool met = shortage_so.failed() > 0;
    board->cases++;
    board->met += met;
    if (wrong) {
        complain("A WRONG KEY", rv);
        board->wrong++;
    }
    if (!shortage_may_answer(rv)) {
        complain("an odd answer", rv);
        board->odd++;
    }
    double start = scandal_ms();
    wrong = false;
    rv = steps_run(s, &wrong);
    while (!wrong && (rv == CKR_DEVICE_REMOVED || rv == CKR_TOKEN_NOT_PRESENT) && scandal_ms() - start < 1000) {
        (void)usleep(5000);
        rv = steps_run(s, &wrong);
    }
    if (rv != CKR_OK || wrong) {
        complain(wrong ? "A WRONG KEY AFTERWARDS" : "the next call does not succeed", rv);
        board->stuck++;
        (void)steps_world->calls->C_Finalize(NULL);
    }
    return met;
}

static void by_number(const struct step *s)
{
    for (unsigned long k = 1; k <= MOST; k += every) {
        const struct shortage shortage = {.whose = victims[victim].whose, .at = k};
        (void)snprintf(board->now, sizeof board->now, "%s, %s: call %lu for a resource fails", s->name, victims[victim].name, k);
        if (!run_case(s, &shortage)) {
            break;
        }
    }
}

static void by_seed(const struct step *s)
{
    for (unsigned long seed = 1; seed <= SEEDS; seed += every) {
        const struct shortage shortage = {.whose = victims[victim].whose, .seed = seed, .one_in = ONE_IN};
        (void)snprintf(board->now, sizeof board->now, "%s, %s: one in eight fails, seed %lu", s->name, victims[victim].name, seed);
        (void)run_case(s, &shortage);
    }
}

/* Of the process, and what Keyward has itself, after C_Finalize. */
struct use {
    size_t bytes, blocks;
};

static struct use used(void)
{
    (void)steps_world->calls->C_Finalize(NULL);
    return (struct use){mallinfo2().uordblks, shortage_so.live()};
}

static void child(const struct step *s)
{
    struct use before = {0};
    shortage_so.track();
    for (int pass = 0; pass < 2; pass++) {
        if (steps_enter() != CKR_OK) {
            _exit(1);
        }
        by_number(s);
        by_seed(s);
        if (pass == 0) {
            before = used();
        }
    }
    struct use after = used();
    if (after.bytes > before.bytes + GROWTH || after.blocks > before.blocks) {
        (void)snprintf(board->now, sizeof board->now, "%s", s->name);
        complain("memory is lost; bytes of a pass", after.bytes - before.bytes);
        complain("blocks of Keyward's", after.blocks - before.blocks);
        shortage_so.tell_live();
        board->stuck++;
    }
    (void)fflush(stdout);
    _exit(0);
}

static void run_step(const struct step *s)
{
    const struct board before = *board;
    int status = 0;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        child(s);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        (void)printf("  %s: THE PROCESS DIED (status 0x%x)\n", board->now, (unsigned)status);
        crashes++;
    }
    (void)printf("%-24s %-22s %7lu cases, %7lu with a failure\n", s->name, victims[victim].name, board->cases - before.cases,
                 board->met - before.met);
}

int main(int argc, char **argv)
{
    bool rsa = argc > 1 && strcmp(argv[1], "--rsa") == 0;
    if (argc == (rsa ? 4 : 3) && strcmp(argv[argc - 2], "--every") == 0) {
        every = strtoul(argv[argc - 1], NULL, 10);
        every = every > 0 ? every : 1;
    }
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED || !steps_start(rsa)) {
        (void)fputs("scarce: the world cannot be built\n", stderr);
        return 1;
    }
    if (!shortage_so.find(steps_world->module)) {
        (void)fputs("scarce: Keyward is not loaded\n", stderr);
        crashes++;
    }
    for (victim = 0; victim < VICTIMS; victim++) {
        for (size_t i = 0; i < steps_count; i++) {
            run_step(&steps[i]);
        }
    }
    (void)printf("%lu cases, %lu with a failure: %lu wrong keys, %lu crashes, %lu odd answers, %lu not well afterwards\n", board->cases,
                 board->met, board->wrong, crashes, board->odd, board->stuck);
    bool good = board->met > 0 && board->wrong + board->odd + board->stuck + crashes == 0;
    fixture_stop(steps_world);
    return good ? 0 : 1;
}
