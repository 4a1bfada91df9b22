#include "ordeal.h"

#include <CUnit/Basic.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "caller.h"
#include "shortage.h"

enum { SITES = 20000, CALLS = 400000, SLOTS = 16, HANG_S = 120, OFTEN = 300, SELDOM = 2000, TAIL = 3000 };

/* In memory that the processes share. */
static struct board {
    struct shortage_site sites[SITES];
    size_t site_count;
    struct {
        unsigned function;
        CK_RV rv;
    } calls[CALLS]; /* what each call answered in the first run */
    size_t call_count;
    bool slots[SLOTS];
    size_t live;
    unsigned long runs, met, told, odd, silent, stuck, leaks, crashes, hangs;
} *board;

static const struct shortage_functions *shortage;
static struct fixture *world_of;
static const struct calls *real;
static bool first_run;
static atomic_ulong number; /* of calls in this process */
static unsigned long told;  /* calls that did not get something and said so, in this run */
static unsigned long failed_before, failures_before;
static atomic_bool strayed; /* after the first failure the calls are not those of the first run */

bool ordeal_wanted(void)
{
    return getenv("KW_TEST_ORDEAL") != NULL;
}

static char at_hand[128]; /* the run */
static FILE *report;      /* where standard output went at first */

static void complain(const char *what, const char *about, unsigned long value)
{
    (void)fprintf(report, "  ORDEAL: %s: %s: %s (0x%lx)\n", at_hand, what, about, value);
    (void)fflush(report);
}

/* Every function of PKCS#11 2.40, with a look at its answer. */

static void judge(unsigned function, const char *name, unsigned long before, CK_RV rv)
{
    unsigned long n = atomic_fetch_add(&number, 1);
    bool known = n < CALLS && !atomic_load(&strayed) && !first_run && n < board->call_count && board->calls[n].function == function;
    if (first_run && n < CALLS) {
        board->calls[n].function = function;
        board->calls[n].rv = rv;
        board->call_count = n + 1;
    }
    if (shortage->failed_here() == before) {
        return;
    }
    bool as_ever = known && board->calls[n].rv == rv;
    if (!as_ever && rv != CKR_OK) {
        told++;
        if (!shortage_may_answer(rv) && known) {
            complain("an odd answer", name, rv);
            board->odd++;
        }
    }
    atomic_store(&strayed, true);
}

enum function_number {
#define COUNTED(name, parameters, arguments) NUMBER_##name,
#include "counting.def"
#undef COUNTED
    NUMBERS
};

#define COUNTED(name, parameters, arguments)                  \
    static CK_RV watched_##name parameters                    \
    {                                                         \
        unsigned long before = shortage->failed_here();       \
        CK_RV rv = real->name arguments;                      \
        judge(NUMBER_##name, #name, before, rv);              \
        return rv;                                            \
    }
#include "counting.def"
#undef COUNTED

static void watch(void)
{
    static struct calls watched;
    watched = *world_of->calls_3_2;
    real = world_of->calls_3_2;
#define COUNTED(name, parameters, arguments) watched.name = watched_##name;
#include "counting.def"
#undef COUNTED
    world_of->calls = world_of->calls_3_0 = world_of->calls_3_2 = &watched;
}

/* Cases. */

void ordeal_case_begins(void)
{
    if (board != NULL) {
        failed_before = shortage->failed();
        failures_before = CU_get_number_of_failures();
        told = 0;
    }
}

void ordeal_case_ends(void)
{
    if (board == NULL || CU_get_number_of_failures() == failures_before) {
        return;
    }
    const char *name = CU_get_current_test()->pName;
    if (shortage->failed() == failed_before) {
        complain("fails, though nothing did in it", name, 0);
        board->stuck++;
    } else if (told == 0) {
        complain("fails, and no call told of the shortage", name, 0);
        board->silent++;
    }
    (void)real->C_Finalize(NULL); /* the case may have left it initialized */
}

/* Whether a slot opens, for each. */
static void open_slots(bool out[SLOTS])
{
    const struct fixture_slot *s = world_of->settings.slots;
    bool up = caller_initialize(world_of);
    for (size_t i = 0; i < SLOTS && s[i].name != NULL; i++) {
        out[i] = up && !s[i].absent && caller_enter(world_of, s[i].name) != 0;
    }
    (void)real->C_Finalize(NULL);
}

/* Runs. */

static int run_here(const struct shortage *choice, int (*run_cases)(void))
{
    bool slots[SLOTS] = {false};
    watch();
    if (first_run) {
        shortage->note(board->sites, SITES, &board->site_count);
    }
    shortage->track();
    shortage->arm(choice);
    int status = run_cases();
    unsigned long failed = shortage->failed();
    shortage->disarm();
    (void)real->C_Finalize(NULL);
    open_slots(slots);
    size_t live = shortage->live();
    if (first_run) {
        memcpy(board->slots, slots, sizeof slots);
        board->live = live;
        return status;
    }
    board->met += failed > 0;
    if (memcmp(board->slots, slots, sizeof slots) != 0) {
        complain("a slot does not open afterwards", world_of->settings.slots[0].name, 0);
        board->stuck++;
    }
    if (live > board->live) {
        complain("blocks are not given back", "by Keyward", live - board->live);
        shortage->tell_live();
        board->leaks++;
    }
    return 0;
}

static bool copy(const char *from, const char *to)
{
    char source[FIXTURE_PATH_MAX + 64];
    char target[FIXTURE_PATH_MAX + 64];
    (void)snprintf(source, sizeof source, "%s/%s", world_of->folder, from);
    (void)snprintf(target, sizeof target, "%s/%s", world_of->folder, to);
    const char *const clear[] = {"rm", "-rf", target, NULL};
    const char *const fill[] = {"cp", "-a", source, target, NULL};
    return fixture_execute(world_of, clear) && fixture_execute(world_of, fill);
}

static unsigned long bad(void)
{
    return board->odd + board->silent + board->stuck + board->leaks + board->crashes + board->hangs;
}

/* What the run said, when it is to be looked at. */
static void show(const char *what)
{
    char text[TAIL + 1];
    FILE *out = fopen(fixture_path(world_of, "ordeal"), "re");
    if (out == NULL) {
        return;
    }
    (void)fseek(out, 0, SEEK_END);
    long size = ftell(out);
    (void)fseek(out, size > TAIL ? size - TAIL : 0, SEEK_SET);
    text[fread(text, 1, TAIL, out)] = '\0';
    (void)fclose(out);
    (void)printf("== %s:\n%s\n", what, text);
    (void)fflush(stdout);
}

/* The status of the run, in a process of its own; -1 when it died or hung. */
static int run_apart(const char *what, const struct shortage *choice, int (*run_cases)(void))
{
    int status = 0;
    unsigned long before = bad();
    (void)snprintf(at_hand, sizeof at_hand, "%s", what);
    (void)fflush(stdout);
    pid_t pid = copy("tokens.first", "tokens") ? fork() : -1;
    if (pid == 0) {
        (void)freopen(fixture_path(world_of, "ordeal"), "w", stdout);
        (void)alarm(HANG_S);
        _exit((run_here(choice, run_cases) == 0) & (fflush(stdout) == 0) ? 0 : 1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        board->crashes++;
    } else if (WIFSIGNALED(status)) {
        complain(WTERMSIG(status) == SIGALRM ? "HANGS" : "DIED", what, (unsigned long)WTERMSIG(status));
        board->hangs += WTERMSIG(status) == SIGALRM;
        board->crashes += WTERMSIG(status) != SIGALRM;
    }
    if (bad() > before || status != 0) {
        show(what);
    }
    return status == 0 ? 0 : -1;
}

static void fail_each(unsigned long every, int (*run_cases)(void))
{
    char what[128];
    for (size_t i = every / 2; i < board->site_count; i += every) {
        const struct shortage_site *s = &board->sites[i];
        const unsigned long numbers[] = {s->first, s->last};
        for (size_t k = 0; k < (s->first == s->last ? 1U : 2U); k++) {
            const struct shortage choice = {.whose = SHORTAGE_ALL, .at = numbers[k]};
            (void)snprintf(what, sizeof what, "place %zu of %zu, asking %lu fails", i + 1, board->site_count, numbers[k]);
            board->runs++;
            (void)run_apart(what, &choice, run_cases);
        }
    }
}

static void fail_often(unsigned long seeds, int (*run_cases)(void))
{
    char what[128];
    for (unsigned long seed = 1; seed <= 2 * seeds; seed++) {
        const struct shortage choice = {.whose = SHORTAGE_ALL, .seed = seed, .one_in = seed % 2 == 0 ? OFTEN : SELDOM};
        (void)snprintf(what, sizeof what, "one in %lu fails, seed %lu", choice.one_in, seed);
        board->runs++;
        (void)run_apart(what, &choice, run_cases);
    }
}

int ordeal_run(const char *title, struct fixture *f, int (*run_cases)(void))
{
    unsigned long every = 1;
    unsigned long seeds = 0;
    const struct shortage nothing = {.whose = SHORTAGE_ALL};
    report = fdopen(dup(STDOUT_FILENO), "w");
    shortage = dlsym(RTLD_DEFAULT, "shortage_so");
    world_of = f;
    if (report == NULL || shortage == NULL || !shortage->find(f->module) || sscanf(getenv("KW_TEST_ORDEAL"), "%lu %lu", &every, &seeds) < 1 || every == 0) {
        (void)fputs("ordeal: preload shortage.so, and KW_TEST_ORDEAL is \"EVERY SEEDS\"\n", stderr);
        return 2;
    }
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED || !copy("tokens", "tokens.first")) {
        (void)fputs("ordeal: no memory, or no copy of the tokens\n", stderr);
        return 2;
    }
    first_run = true;
    int status = run_apart("the run in which nothing fails", &nothing, run_cases);
    first_run = false;
    if (status == 0) {
        fail_each(every, run_cases);
        fail_often(seeds, run_cases);
    }
    (void)printf("%s: %zu places ask; %lu runs, %lu with a failure: %lu crashes, %lu hangs, %lu odd answers, %lu failures that nobody told, "
                 "%lu times not well afterwards, %lu leaks\n",
                 title, board->site_count, board->runs, board->met, board->crashes, board->hangs, board->odd, board->silent, board->stuck, board->leaks);
    return status == 0 && bad() == 0 && board->met > 0 ? 0 : 1;
}
