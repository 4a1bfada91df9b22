/*
 * table.c: every return code and every lie at every call that Keyward makes into its token, one at a time.
 *
 *   table [--rsa 1] [--every K] [--from I] [STEP...]        --rsa 1: the master key is an RSA one
 *
 * A step is what a broker does: log in, generate, wrap, unwrap, with everything that Keyward does for it the first time (cold) or
 * again (warm). A dry run counts the calls of each step; then each call gets each fault, once or from then on. Demanded of each: no wrong
 * key, no crash, an end within the bound, and that the next call after the fault is gone succeeds, or one within a second and a half where the token
 * was left alone as lost, or lied. A process for each step and function,
 * so that a crash and a hang cost one of them. Prints a line for each step, and each case that failed.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "steps.h"

enum { BOUND_MS = 6000, BACK_MS = 1500, HANG_S = 30, CALLS_MOST = 40 };


/* Counted by the children, read by the parent. */
static struct board {
    unsigned long cases, wrong, slow, stuck, failed; /* wrong keys, beyond the bound, not well afterwards, refused where it was good */
    unsigned long survived;                          /* the faulty call itself succeeded */
    unsigned long waited;                            /* the token was left alone for a moment when the next call came */
    double back;                                     /* the longest of those moments, ms */
    double longest;
    char now[160]; /* the case at hand */
} *board;
static unsigned long crashes;
static unsigned long hangs;
static unsigned long every = 1;
static unsigned long turn;

/* One case. */

static void complain(const char *what, CK_RV rv)
{
    (void)printf("  %s: %s (0x%lx)\n", board->now, what, rv);
    (void)fflush(stdout);
}

/* Whether one more call may be needed. After an outage the token may be left alone for a moment yet; and what it said of the key, if it did not tell the
 * truth, is believed until its attributes are read anew. */
static bool may_wait(const struct scandal *fault, CK_RV rv)
{
    bool lied = fault->act != FAULTY_CODE && fault->act != FAULTY_LATE && fault->times == 0;
    return rv == CKR_DEVICE_REMOVED || rv == CKR_TOKEN_NOT_PRESENT || (rv != CKR_OK && lied);
}

/* The next call; or, where it may wait, one in time. */
static CK_RV come_back(const struct step *s, const struct scandal *fault, bool *wrong)
{
    double start = scandal_ms();
    CK_RV rv = steps_run(s, wrong);
    bool waited = may_wait(fault, rv);
    while (may_wait(fault, rv) && scandal_ms() - start < BACK_MS) {
        (void)usleep(5000);
        rv = steps_run(s, wrong);
    }
    double took = scandal_ms() - start;
    board->waited += waited;
    board->back = waited && took > board->back ? took : board->back;
    return rv;
}

/* Unwraps with the handles that a disturbed login has given. */
static CK_RV try_handles(bool *wrong)
{
    size_t k = steps_first_warm;
    while (steps[k].deed != STEP_UNWRAP) {
        k++;
    }
    return steps_run(&steps[k], wrong);
}

static void run_case(const struct step *s, const struct scandal *fault)
{
    bool wrong = false;
    board->cases++;
    if (!steps_ready(s)) {
        complain("the world cannot be made ready", 0);
        board->stuck++;
        return;
    }
    (void)scandal_arm(steps_control, fault);
    double start = scandal_ms();
    CK_RV rv = steps_run(s, &wrong);
    double took = scandal_ms() - start;
    scandal_clear(steps_control);
    board->longest = took > board->longest ? took : board->longest;
    board->survived += rv == CKR_OK && !wrong;
    if (wrong) {
        complain("A WRONG KEY", rv);
        board->wrong++;
    }
    if (took > BOUND_MS) {
        complain("beyond the bound", rv);
        board->slow++;
    }
    /* RFC 3394 and envelopes say how long the key in them is; for the others it is the token's word. And so is always how long the master key's modulus is. */
    bool its_word = fault->function == FAULTY_C_GetAttributeValue && fault->act == FAULTY_LENGTH &&
                    (fault->times == 0 || (s->format != TRUTH_KW && s->format != TRUTH_ENVELOPE));
    if (rv == CKR_WRAPPED_KEY_INVALID && !its_word) {
        complain("a good blob is called bad", rv);
        board->failed++;
    }
    if (s->deed == STEP_LOGIN && rv == CKR_OK && try_handles(&wrong) == CKR_WRAPPED_KEY_INVALID) {
        complain("a good blob is called bad through a handle of that login", CKR_WRAPPED_KEY_INVALID);
        board->failed++;
    }
    wrong = false;
    CK_RV next = come_back(s, fault, &wrong);
    bool refused_pin = s->deed == STEP_LOGIN && fault->value == CKR_PIN_INCORRECT; /* sent once per process and value */
    if (wrong || (next != CKR_OK && !refused_pin)) {
        complain(wrong ? "A WRONG KEY AFTERWARDS" : "the next call does not succeed", next);
        board->wrong += wrong;
        board->stuck++;
        (void)steps_world->calls->C_Finalize(NULL);
        (void)steps_enter();
    }
}

static bool mine(void)
{
    return ++turn % every == 0;
}

/* A PIN that was refused is not sent again in this process: so that case comes last, `pin`. */
static void run_codes(const struct step *s, enum faulty_function f, unsigned long call, bool pin)
{
    for (size_t i = 0; i < scandal_code_count; i++) {
        for (int mode = 0; mode < 3; mode++) { /* once; from then on; once, but done all the same */
            static const char *const modes[] = {"once", "from then on", "though it was done"};
            struct scandal fault = {f, mode == 2 ? FAULTY_LATE : FAULTY_CODE, scandal_codes[i], call, mode == 1 ? 0 : 1, NULL};
            bool last = f == FAULTY_C_Login && scandal_codes[i] == CKR_PIN_INCORRECT;
            if (scandal_codes[i] == CKR_OK || last != pin || !mine()) {
                continue;
            }
            (void)snprintf(board->now, sizeof board->now, "%s, call %lu of %s answers 0x%lx %s", s->name, call + 1, scandal_name(f),
                           scandal_codes[i], modes[mode]);
            run_case(s, &fault);
        }
    }
}

static void run_lies(const struct step *s, enum faulty_function f, unsigned long call)
{
    for (size_t i = 0; i < LIES; i++) {
        const struct lie *l = &lies[i];
        for (int always = l->always_only ? 1 : 0; always < 2; always++) {
            struct scandal fault = {f, l->act, l->value, call, always != 0 ? 0 : 1, NULL};
            if ((l->function != FAULTY_ANY && l->function != f) || !mine()) {
                continue;
            }
            (void)snprintf(board->now, sizeof board->now, "%s, call %lu of %s: %s%s", s->name, call + 1, scandal_name(f), l->name,
                           always != 0 ? " from then on" : "");
            run_case(s, &fault);
        }
    }
}

/* The processes. */

static void child(const struct step *s, enum faulty_function f, unsigned long calls)
{
    if (steps_enter() != CKR_OK) {
        _exit(1);
    }
    for (unsigned long call = 0; call < calls; call++) {
        run_codes(s, f, call, false);
        run_lies(s, f, call);
    }
    for (unsigned long call = 0; f == FAULTY_C_Login && call < calls; call++) {
        run_codes(s, f, call, true);
    }
    (void)steps_world->calls->C_Finalize(NULL);
    (void)fflush(stdout);
    _exit(0);
}

/* Waits for the child; one that stays at the same case for too long hangs. */
static void await(pid_t pid)
{
    char last[sizeof board->now] = "";
    double since = scandal_ms();
    int status = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (strcmp(last, board->now) != 0) {
            memcpy(last, board->now, sizeof last);
            since = scandal_ms();
        } else if (scandal_ms() - since > HANG_S * 1000) {
            (void)printf("  %s: HANGS\n", board->now);
            hangs++;
            (void)kill(pid, SIGKILL);
            since = scandal_ms();
        }
        (void)usleep(2000);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        (void)printf("  %s: THE PROCESS DIED (status 0x%x)\n", board->now, (unsigned)status);
        crashes++;
    }
    scandal_clear(steps_control);
}

/* The calls of each function in one undisturbed run of the step, counted in a process of its own. */
static bool count_calls(const struct step *s, unsigned long calls[FAULTY_FUNCTIONS])
{
    int status = 0;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        bool wrong = false;
        bool good = steps_enter() == CKR_OK && steps_ready(s);
        for (size_t i = 0; i < FAULTY_FUNCTIONS; i++) {
            atomic_store(&steps_control->calls[i], 0);
        }
        good = good && steps_run(s, &wrong) == CKR_OK && !wrong;
        _exit(good ? 0 : 1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        (void)printf("%s: does not work undisturbed\n", s->name);
        return false;
    }
    for (size_t i = 0; i < FAULTY_FUNCTIONS; i++) {
        calls[i] = atomic_load(&steps_control->calls[i]);
    }
    return true;
}

static bool run_step(const struct step *s)
{
    unsigned long calls[FAULTY_FUNCTIONS];
    const struct board before = *board;
    unsigned long died = crashes + hangs;
    unsigned long points = 0;
    if (!count_calls(s, calls)) {
        return false;
    }
    board->longest = 0;
    for (unsigned f = 0; f < FAULTY_FUNCTIONS; f++) {
        unsigned long n = calls[f] < CALLS_MOST ? calls[f] : CALLS_MOST;
        points += n;
        if (n > 0) {
            (void)fflush(stdout);
            pid_t pid = fork();
            if (pid == 0) {
                child(s, (enum faulty_function)f, n);
            }
            await(pid);
            turn += n * 7; /* the children count for themselves: not always the same ones of K */
        }
    }
    (void)printf("%-24s %6lu %7lu %9lu %6lu %7lu %5lu %6lu %8.0f\n", s->name, points, board->cases - before.cases,
                 board->survived - before.survived, board->wrong - before.wrong, crashes + hangs - died, board->slow - before.slow,
                 board->stuck - before.stuck, board->longest);
    return true;
}

static bool is_wanted(const struct step *s, char **names)
{
    bool any = *names == NULL;
    for (; *names != NULL; names++) {
        any |= strcmp(*names, s->name) == 0;
    }
    return any;
}

int main(int argc, char **argv)
{
    bool good = true;
    bool rsa = false;
    int i = 1;
    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        unsigned long n = strtoul(argv[i + 1], NULL, 10);
        every = strcmp(argv[i], "--every") == 0 && n > 0 ? n : every;
        turn = strcmp(argv[i], "--from") == 0 ? n : turn;
        rsa = strcmp(argv[i], "--rsa") == 0 ? n != 0 : rsa;
    }
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED || !steps_start(rsa)) {
        (void)fputs("table: the world cannot be built\n", stderr);
        return 1;
    }
    (void)printf("%-24s %6s %7s %9s %6s %7s %5s %6s %8s\n", "step", "calls", "cases", "succeeded", "wrong", "crashes", "slow", "stuck",
                 "max ms");
    for (size_t k = 0; k < steps_count; k++) {
        good = (!is_wanted(&steps[k], argv + i) || run_step(&steps[k])) && good;
    }
    (void)printf("%lu cases: %lu wrong keys, %lu crashes, %lu hangs, %lu beyond %d ms, %lu not well afterwards, %lu good blobs called bad; "
                 "%lu times the token was still left alone, %.0f ms at most\n",
                 board->cases, board->wrong, crashes, hangs, board->slow, BOUND_MS, board->stuck, board->failed, board->waited, board->back);
    good = good && board->cases > 0 && board->wrong + crashes + hangs + board->slow + board->stuck + board->failed == 0;
    fixture_stop(steps_world);
    return good ? 0 : 1;
}
