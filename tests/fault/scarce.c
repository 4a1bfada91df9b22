/*
 * scarce.c: memory, locked pages, files and random numbers that run out, at each place one after the other.
 *
 *   scarce [--rsa] [--every K]
 *
 * This program's malloc, calloc, realloc, reallocarray, strdup, mmap, mlock, open and getrandom stand before those of libc for every library in the process.
 * They fail only what the chosen ones ask for, Keyward or OpenSSL, and not while SoftHSM is at work, which uses OpenSSL too. For each step of a broker, the call number k = 1, 2, ... n
 * fails, until the step needs no more; then, for each seed, one call in eight. Demanded: an error that says so, never a wrong key or a
 * crash; the next call succeeds; and after C_Finalize no more memory than before.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "steps.h"

enum { MOST = 4000, SEEDS = 20, GROWTH = 64 * 1024, CRASHES_SHOWN = 20 };

/* Whose calls fail. */
static struct range {
    const char *name;
    uintptr_t from, to;
} victims[] = {{"keyward-pkcs11.so", 0, 0}, {"libcrypto.so", 0, 0}};

static bool armed;
static unsigned long at;      /* the call that fails */
static unsigned long asked;   /* so far */
static unsigned long failed;
static unsigned long long dice; /* 0: by number */
static size_t whose = 1;      /* victims that count */

static bool is_victim(const void *from)
{
    uintptr_t p = (uintptr_t)from;
    for (size_t i = 0; i < whose; i++) {
        if (p >= victims[i].from && p < victims[i].to) {
            return true;
        }
    }
    return false;
}

static bool fails(const void *from)
{
    if (!armed || !is_victim(from) || atomic_load(&steps_control->inside) != 0) {
        return false;
    }
    asked++;
    bool now = asked == at;
    if (dice != 0) {
        dice = dice * 6364136223846793005ULL + 1442695040888963407ULL;
        now = (dice >> 33) % 8 == 0;
    }
    failed += now;
    return now;
}

#define CALLER __builtin_return_address(0)

/* glibc's own names for what these stand before: no dlsym, which allocates. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

#pragma GCC visibility push(default)

void *malloc(size_t size)
{
    return fails(CALLER) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(CALLER) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails(CALLER) ? NULL : __libc_realloc(old, size);
}

void *reallocarray(void *old, size_t count, size_t size)
{
    size_t bytes = 0;
    return fails(CALLER) || __builtin_mul_overflow(count, size, &bytes) ? NULL : __libc_realloc(old, bytes);
}

char *strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = fails(CALLER) ? NULL : __libc_malloc(size);
    return copy == NULL ? NULL : memcpy(copy, text, size);
}

int mlock(const void *start, size_t len)
{
    static int (*real)(const void *, size_t);
    if (real == NULL) {
        *(void **)(void *)&real = dlsym(RTLD_NEXT, "mlock");
    }
    errno = ENOMEM;
    return fails(CALLER) ? -1 : real(start, len);
}

void *mmap(void *start, size_t len, int protection, int flags, int fd, off_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (real == NULL) {
        *(void **)(void *)&real = dlsym(RTLD_NEXT, "mmap");
    }
    errno = ENOMEM;
    return fails(CALLER) ? MAP_FAILED : real(start, len, protection, flags, fd, offset);
}

int open(const char *path, int flags, ...)
{
    static int (*real)(const char *, int, ...);
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (real == NULL) {
        *(void **)(void *)&real = dlsym(RTLD_NEXT, "open");
    }
    errno = EMFILE;
    return fails(CALLER) ? -1 : real(path, flags, mode);
}

ssize_t getrandom(void *out, size_t len, unsigned flags)
{
    static ssize_t (*real)(void *, size_t, unsigned);
    if (real == NULL) {
        *(void **)(void *)&real = dlsym(RTLD_NEXT, "getrandom");
    }
    errno = ENOSYS;
    return fails(CALLER) ? -1 : real(out, len, flags);
}

#pragma GCC visibility pop

static int see_library(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    (void)data;
    for (size_t i = 0; i < sizeof victims / sizeof victims[0]; i++) {
        if (strstr(info->dlpi_name, victims[i].name) == NULL) {
            continue;
        }
        victims[i].from = UINTPTR_MAX;
        for (int k = 0; k < info->dlpi_phnum; k++) {
            if (info->dlpi_phdr[k].p_type == PT_LOAD) {
                uintptr_t from = info->dlpi_addr + info->dlpi_phdr[k].p_vaddr;
                victims[i].from = from < victims[i].from ? from : victims[i].from;
                victims[i].to = from + info->dlpi_phdr[k].p_memsz;
            }
        }
    }
    return 0;
}

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
static bool run_case(const struct step *s)
{
    bool wrong = false;
    if (!steps_ready(s)) {
        complain("the world cannot be made ready", 0);
        board->stuck++;
        return false;
    }
    asked = 0;
    failed = 0;
    armed = true;
    CK_RV rv = steps_run(s, &wrong);
    armed = false;
    board->cases++;
    board->met += failed > 0;
    if (wrong) {
        complain("A WRONG KEY", rv);
        board->wrong++;
    }
    /* What a caller may be told of such a day. A token that cannot be asked for want of memory counts as away. */
    if (rv != CKR_OK && rv != CKR_HOST_MEMORY && rv != CKR_FUNCTION_FAILED && rv != CKR_GENERAL_ERROR && rv != CKR_DEVICE_REMOVED &&
        rv != CKR_DEVICE_ERROR && rv != CKR_DEVICE_MEMORY && rv != CKR_TOKEN_NOT_PRESENT && rv != CKR_PIN_INVALID) {
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
    return failed > 0;
}

static void by_number(const struct step *s)
{
    for (unsigned long k = 1; k <= MOST; k += every) {
        at = k;
        dice = 0;
        (void)snprintf(board->now, sizeof board->now, "%s, %s: call %lu for a resource fails", s->name, victims[whose - 1].name, k);
        if (!run_case(s)) {
            break;
        }
    }
}

static void by_seed(const struct step *s)
{
    for (unsigned long seed = 1; seed <= SEEDS; seed += every) {
        dice = seed * 2654435761ULL;
        (void)snprintf(board->now, sizeof board->now, "%s, %s: one in eight fails, seed %lu", s->name, victims[whose - 1].name, seed);
        (void)run_case(s);
    }
    dice = 0;
}

static size_t used(void)
{
    (void)steps_world->calls->C_Finalize(NULL);
    return mallinfo2().uordblks;
}

static void child(const struct step *s)
{
    size_t before = 0;
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
    long growth = (long)used() - (long)before;
    if (growth > GROWTH) {
        (void)snprintf(board->now, sizeof board->now, "%s", s->name);
        complain("memory is lost; bytes of a pass", (CK_RV)growth);
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
    (void)printf("%-24s %-18s %7lu cases, %7lu with a failure\n", s->name, victims[whose - 1].name, board->cases - before.cases,
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
    (void)dl_iterate_phdr(see_library, NULL);
    for (whose = 1; whose <= sizeof victims / sizeof victims[0]; whose++) {
        if (victims[whose - 1].to == 0) {
            (void)fprintf(stderr, "scarce: %s is not loaded\n", victims[whose - 1].name);
            crashes++;
        }
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
