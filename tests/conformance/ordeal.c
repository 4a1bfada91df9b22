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
    struct shortage_notes notes;
    struct {
        unsigned function;
        CK_RV rv;
    } calls[CALLS]; /* what each call answered in the run before, in which nothing failed */
    size_t call_count;
    bool slots[SLOTS];
    size_t live;
    atomic_ulong number; /* of calls in this run */
    atomic_ulong told;   /* those that did not get something and said so, in this case */
    atomic_bool strayed; /* after the first failure the calls are not those of the run before */
    unsigned long runs, met, wrong, odd, silent, stuck, leaks, crashes, hangs;
} *board;

/* The cases of a run, and what it does not get. */
struct run {
    const char *what;
    CU_TestInfo *tests;
    struct shortage choice;
    bool noting;
    bool again; /* and then once more, the world as it was, and all is there */
};

static const struct shortage *const nothing = &(const struct shortage){.whose = SHORTAGE_ALL};
static const struct shortage_functions *shortage;
static struct fixture *world_of;
static int (*run_cases)(CU_TestInfo *tests);
static const struct calls *real;
static struct calls watched;
static bool recording; /* a run in which nothing fails */
static unsigned long failed_before, failures_before;

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

/* Every function that may ask for something, with a look at its answer. */

static void judge(unsigned function, const char *name, unsigned long before, CK_RV rv)
{
    unsigned long n = atomic_fetch_add(&board->number, 1);
    bool known = !atomic_load(&board->strayed) && !recording && n < board->call_count && board->calls[n].function == function;
    if (recording && n < CALLS) {
        board->calls[n].function = function;
        board->calls[n].rv = rv;
        board->call_count = n + 1;
    }
    if (shortage->failed_here() == before) {
        /* OpenSSL 3.0 makes a context without a part that it had no memory for; the first use of that part tells */
        if (atomic_load(&board->strayed) && rv == CKR_HOST_MEMORY) {
            (void)atomic_fetch_add(&board->told, 1);
        }
        return;
    }
    bool as_ever = known && board->calls[n].rv == rv;
    if (!as_ever && rv != CKR_OK) {
        (void)atomic_fetch_add(&board->told, 1);
        if (!shortage_may_answer(rv) && known) {
            complain("an odd answer", name, rv);
            board->odd++;
        }
    }
    atomic_store(&board->strayed, true);
}

#define LATER                                                                                                                              \
    COUNTED(C_LoginUser, (CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG pin_len, CK_UTF8CHAR_PTR name, CK_ULONG n), \
            (s, user, pin, pin_len, name, n))                                                                                              \
    COUNTED(C_SessionCancel, (CK_SESSION_HANDLE s, CK_FLAGS flags), (s, flags))                                                            \
    COUNTED(C_WrapKeyAuthenticated,                                                                                                        \
            (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE cmk, CK_OBJECT_HANDLE key, CK_BYTE_PTR data, CK_ULONG data_len,     \
             CK_BYTE_PTR out, CK_ULONG_PTR len),                                                                                           \
            (s, m, cmk, key, data, data_len, out, len))                                                                                    \
    COUNTED(C_UnwrapKeyAuthenticated,                                                                                                      \
            (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE cmk, CK_BYTE_PTR in, CK_ULONG len, CK_ATTRIBUTE_PTR t, CK_ULONG n,  \
             CK_BYTE_PTR data, CK_ULONG data_len, CK_OBJECT_HANDLE_PTR key),                                                               \
            (s, m, cmk, in, len, t, n, data, data_len, key))

enum function_number {
#define COUNTED(name, parameters, arguments) NUMBER_##name,
#include "counting.def"
    LATER
#undef COUNTED
};

#define COUNTED(name, parameters, arguments)            \
    static CK_RV watched_##name parameters              \
    {                                                   \
        unsigned long before = shortage->failed_here(); \
        CK_RV rv = real->name arguments;                \
        judge(NUMBER_##name, #name, before, rv);        \
        return rv;                                      \
    }
#include "counting.def"
LATER
#undef COUNTED

/* A wrong key: what this thread wrapped, and it unwraps to something else. Of keys that can be read; nothing of a value is kept (secrets looks for it). */

enum { BLOBS = 256, VALUE_MAX = 1024 };
static __thread struct {
    unsigned long long blob, value;
} proofs[BLOBS];

static unsigned long long digest(const uint8_t *bytes, size_t len)
{
    unsigned long long h = 1469598103934665603ULL + len;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ bytes[i]) * 1099511628211ULL;
    }
    return h == 0 ? 1 : h;
}

/* 0 when it cannot be read. */
static unsigned long long digest_of_key(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key)
{
    uint8_t value[VALUE_MAX];
    CK_ATTRIBUTE a = {CKA_VALUE, value, sizeof value};
    shortage->spare(true);
    CK_RV rv = real->C_GetAttributeValue(s, key, &a, 1);
    shortage->spare(false);
    unsigned long long d = rv == CKR_OK ? digest(value, a.ulValueLen) : 0;
    explicit_bzero(value, sizeof value);
    return d;
}

static void note_blob(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key, const uint8_t *blob, CK_ULONG len)
{
    unsigned long long d = digest(blob, len);
    proofs[d % BLOBS].blob = d;
    proofs[d % BLOBS].value = digest_of_key(s, key);
}

static void prove_blob(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key, const uint8_t *blob, CK_ULONG len)
{
    unsigned long long d = digest(blob, len);
    unsigned long long want = proofs[d % BLOBS].blob == d ? proofs[d % BLOBS].value : 0;
    unsigned long long got = want == 0 ? 0 : digest_of_key(s, key);
    if (got != 0 && got != want) {
        complain("A WRONG KEY", "unwrapped", len);
        board->wrong++;
    }
}

static CK_RV proven_C_WrapKey(CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE cmk, CK_OBJECT_HANDLE key, CK_BYTE_PTR out, CK_ULONG_PTR len)
{
    CK_RV rv = watched_C_WrapKey(s, m, cmk, key, out, len);
    if (rv == CKR_OK && out != NULL) {
        note_blob(s, key, out, *len);
    }
    return rv;
}

static CK_RV proven_C_UnwrapKey(CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE cmk, CK_BYTE_PTR in, CK_ULONG len, CK_ATTRIBUTE_PTR t, CK_ULONG n,
                                CK_OBJECT_HANDLE_PTR key)
{
    CK_RV rv = watched_C_UnwrapKey(s, m, cmk, in, len, t, n, key);
    if (rv == CKR_OK) {
        prove_blob(s, *key, in, len);
    }
    return rv;
}

static void watch(void)
{
    real = world_of->calls_3_2;
    watched = *real;
#define COUNTED(name, parameters, arguments) watched.name = watched_##name;
#include "counting.def"
    LATER
#undef COUNTED
    watched.C_WrapKey = proven_C_WrapKey;
    watched.C_UnwrapKey = proven_C_UnwrapKey;
    world_of->calls = world_of->calls_3_0 = world_of->calls_3_2 = &watched;
}

CK_FUNCTION_LIST *ordeal_loaded(CK_FUNCTION_LIST *list)
{
    if (board == NULL) {
        return list;
    }
    (void)shortage->find(world_of->module);
    real = (const struct calls *)(const void *)list;
    return (CK_FUNCTION_LIST *)(void *)&watched;
}

/* Cases. */

void ordeal_case_begins(void)
{
    if (board != NULL) {
        board->notes.part++;
        failed_before = shortage->failed();
        failures_before = CU_get_number_of_failures();
        atomic_store(&board->told, 0);
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
    } else if (atomic_load(&board->told) == 0) {
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

/* What a case may change: the tokens, the configuration and the PINs; kept in a folder of this name, or put back. */
static bool keep(const char *name)
{
    static const char script[] = "cd \"$0\" && rm -rf \"$1\" && mkdir \"$1\" && find . -maxdepth 1 \\( -name tokens -o -name '*.conf' -o "
                                 "-name '*.pin' \\) -exec cp -a -t \"$1\" {} +";
    const char *const argv[] = {"sh", "-c", script, world_of->folder, name, NULL};
    return fixture_execute(world_of, argv);
}

static bool put_back(const char *name)
{
    static const char script[] = "cd \"$0\" && rm -rf tokens ./*.conf ./*.pin && cp -a \"$1\"/. .";
    const char *const argv[] = {"sh", "-c", script, world_of->folder, name, NULL};
    return fixture_execute(world_of, argv);
}

/* Runs. */

static unsigned long bad(void)
{
    return board->wrong + board->odd + board->silent + board->stuck + board->leaks + board->crashes + board->hangs;
}

/* The slots, and what Keyward has: noted where nothing failed, else compared. */
static void look_back(void)
{
    bool slots[SLOTS] = {false};
    open_slots(slots);
    size_t live = shortage->live();
    if (recording) {
        memcpy(board->slots, slots, sizeof slots);
        board->live = live;
        return;
    }
    if (memcmp(board->slots, slots, sizeof slots) != 0) {
        complain("a slot does not open afterwards", world_of->settings.slots[0].name, 0);
        board->stuck++;
    }
    if (live > board->live) {
        complain("blocks are not given back", "by Keyward", live - board->live);
        shortage->tell_live();
        board->leaks++;
    }
}

/* Whether it went as it must. */
static bool run_here(const struct run *r)
{
    unsigned long before = bad();
    atomic_store(&board->number, 0);
    atomic_store(&board->strayed, false);
    shortage->track();
    shortage->arm(&r->choice);
    if (r->noting) {
        shortage->note(&board->notes);
    }
    bool good = run_cases(r->tests) == 0;
    unsigned long failed = shortage->failed();
    shortage->disarm();
    (void)real->C_Finalize(NULL);
    board->met += failed > 0;
    good = good || !recording;
    if (r->again) {
        atomic_store(&board->strayed, true); /* the second time is like no other */
        shortage->arm(nothing);
        bool well = put_back("kept") && run_cases(r->tests) == 0;
        shortage->disarm();
        if (!well && bad() == before) {
            complain("fails the second time", r->tests[0].pName, 0);
            board->stuck++;
        }
        (void)real->C_Finalize(NULL);
    }
    look_back();
    if (bad() > before) {
        shortage->tell_failed();
    }
    return good && bad() == before;
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
    (void)fprintf(report, "== %s:\n%s\n", what, text);
    (void)fflush(report);
}

/* In a process of its own. */
static bool run_apart(const struct run *r, const char *from)
{
    int status = 0;
    (void)snprintf(at_hand, sizeof at_hand, "%s", r->what);
    (void)fflush(stdout);
    pid_t pid = put_back(from) ? fork() : -1;
    if (pid == 0) {
        FILE *own = freopen(fixture_path(world_of, "ordeal"), "w", stdout);
        (void)alarm(HANG_S);
        _exit(own != NULL && (int)run_here(r) & (fflush(stdout) == 0) ? 0 : 1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        board->crashes++;
    } else if (WIFSIGNALED(status)) {
        complain(WTERMSIG(status) == SIGALRM ? "HANGS" : "DIED", r->what, (unsigned long)WTERMSIG(status));
        board->hangs += WTERMSIG(status) == SIGALRM;
        board->crashes += WTERMSIG(status) != SIGALRM;
    }
    if (status != 0) {
        show(r->what);
    }
    return status == 0 && pid > 0;
}

static bool run_well(const struct run *r, const char *from)
{
    recording = true;
    bool good = run_apart(r, from);
    recording = false;
    return good;
}

static void fail_often(CU_TestInfo *tests, unsigned long seeds)
{
    char what[128];
    for (unsigned long seed = 1; seed <= 2 * seeds; seed++) {
        const struct run r = {what, tests, {.whose = SHORTAGE_ALL, .seed = seed, .one_in = seed % 2 == 0 ? OFTEN : SELDOM}, false, false};
        (void)snprintf(what, sizeof what, "one in %lu fails, seed %lu", r.choice.one_in, seed);
        board->runs++;
        (void)run_apart(&r, "first");
    }
}

static void fail_once(CU_TestInfo *tests, const struct shortage_site *s, unsigned long at)
{
    char what[128];
    const struct run r = {what, tests, {.whose = SHORTAGE_ALL, .at = at, .site = s->hash}, false, true};
    (void)snprintf(what, sizeof what, "%.60s: place %llx, asking %lu fails", tests[0].pName, s->hash, at);
    board->runs++;
    (void)run_apart(&r, "kept");
}

/* The places of one case, whose number is `part`. */
static bool fail_each(CU_TestInfo *tests, unsigned part, const unsigned long choice[2])
{
    bool begun = false;
    for (size_t i = 0; i < board->notes.count; i++) {
        const struct shortage_site *s = &board->sites[i];
        unsigned long midst = s->last != part ? 0 : (s->times + 1) / 2;
        if (s->hash % choice[0] != choice[1] || (s->first != part && midst == 0)) {
            continue;
        }
        begun = begun || run_well(&(struct run){"twice, and nothing fails", tests, *nothing, false, true}, "kept");
        if (!begun) {
            return false;
        }
        if (s->first == part) {
            fail_once(tests, s, 1);
        }
        if (midst > (s->first == part ? 1 : 0)) {
            fail_once(tests, s, midst);
        }
    }
    return true;
}

static bool go_through(CU_TestInfo *tests, const unsigned long choice[2])
{
    bool good = put_back("first");
    for (unsigned part = 1; good && tests[part - 1].pName != NULL; part++) {
        CU_TestInfo one[] = {tests[part - 1], CU_TEST_INFO_NULL};
        good = keep("kept") && fail_each(one, part, choice) && put_back("kept") && run_cases(one) == 0;
        if (!good) {
            complain("cannot be gone through", one[0].pName, part);
        }
    }
    return good;
}

/* "EVERY[:FROM] SEEDS" */
static bool read_wish(unsigned long choice[2], unsigned long *seeds)
{
    const char *wish = getenv("KW_TEST_ORDEAL");
    char *end = NULL;
    if (wish == NULL) {
        return false;
    }
    choice[0] = strtoul(wish, &end, 10);
    choice[1] = *end == ':' ? strtoul(end + 1, &end, 10) : choice[0] / 2;
    *seeds = strtoul(end, &end, 10);
    return *end == '\0' && choice[0] > choice[1];
}

int ordeal_run(const char *title, struct fixture *f, CU_TestInfo *tests, int (*run)(CU_TestInfo *tests))
{
    unsigned long choice[2];
    unsigned long seeds = 0;
    report = fdopen(dup(STDOUT_FILENO), "w");
    shortage = dlsym(RTLD_DEFAULT, "shortage_so");
    world_of = f;
    run_cases = run;
    if (report == NULL || shortage == NULL || !shortage->find(f->module) || !read_wish(choice, &seeds)) {
        (void)fputs("ordeal: preload shortage.so, and KW_TEST_ORDEAL is \"EVERY[:FROM] SEEDS\"\n", stderr);
        return 2;
    }
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED || !keep("first") || freopen(fixture_path(f, "between"), "w", stdout) == NULL) {
        (void)fputs("ordeal: no memory, or no copy of the tokens\n", stderr);
        return 2;
    }
    watch();
    board->notes = (struct shortage_notes){.sites = board->sites, .most = SITES};
    bool good = run_well(&(struct run){"the run in which nothing fails", tests, *nothing, true, false}, "first");
    if (good) {
        fail_often(tests, seeds);
        good = go_through(tests, choice);
    }
    (void)fprintf(report,
                  "%s: %zu places ask; %lu runs, %lu with a failure: %lu wrong keys, %lu crashes, %lu hangs, %lu odd answers, %lu failures that nobody told, "
                  "%lu times not well afterwards, %lu leaks\n",
                  title, board->notes.count, board->runs, board->met, board->wrong, board->crashes, board->hangs, board->odd, board->silent, board->stuck,
                  board->leaks);
    (void)fflush(stdout);
    (void)dup2(fileno(report), STDOUT_FILENO);
    (void)fclose(report);
    return good && bad() == 0 && board->met > 0 ? 0 : 1;
}
