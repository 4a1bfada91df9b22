/*
 * table.c: every return code and every lie at every call that Keyward makes into its token, one at a time.
 *
 *   table [--every K] [--from I] [STEP...]
 *
 * A step is what a broker does: log in, generate, wrap, unwrap, with everything that Keyward does for it the first time (cold) or
 * again (warm). A dry run counts the calls of each step; then each call gets each fault, once or from then on. Demanded of each: no wrong
 * key, no crash, an end within the bound, and that the next call after the fault is gone succeeds, or one within a second where the token
 * was left alone as lost. A process for each step and function,
 * so that a crash and a hang cost one of them. Prints a line for each step, and each case that failed.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "envelope.h"
#include "scandal.h"

enum { VALUE = 32, BLOB = 40, BOUND_MS = 6000, BACK_MS = 1000, HANG_S = 30, CALLS_MOST = 40 };

static struct fixture *world;
static struct faulty_control *control;
static uint8_t cmk_value[VALUE];
static uint8_t value[VALUE];
static uint8_t blob[BLOB];
static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE cmk;

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

/* The steps. CKR_OK with *wrong means a wrong key. */

static CK_RV enter_world(bool *wrong)
{
    CK_SLOT_ID slots[4];
    CK_ULONG count = 4;
    CK_RV rv = world->calls->C_Initialize(NULL);
    (void)wrong;
    session = 0;
    cmk = 0;
    if (rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) {
        rv = world->calls->C_GetSlotList(CK_FALSE, slots, &count);
    }
    if (rv == CKR_OK) {
        rv = world->calls->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
    }
    if (rv == CKR_OK) {
        rv = world->calls->C_Login(session, CKU_USER, NULL, 0);
        rv = rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : rv;
    }
    if (rv == CKR_OK) {
        rv = world->calls->C_FindObjectsInit(session, NULL, 0);
    }
    if (rv == CKR_OK) {
        rv = world->calls->C_FindObjects(session, &cmk, 1, &count);
        CK_RV last = world->calls->C_FindObjectsFinal(session);
        rv = rv == CKR_OK ? last : rv;
        rv = rv == CKR_OK && count != 1 ? CKR_KEY_HANDLE_INVALID : rv;
    }
    return rv;
}

static CK_RV wrap_with(CK_MECHANISM_TYPE mechanism, CK_OBJECT_HANDLE key, uint8_t out[BLOB])
{
    CK_ULONG len = BLOB;
    CK_RV rv = world->calls->C_WrapKey(session, caller_mechanism(mechanism), cmk, key, out, &len);
    return rv == CKR_OK && len != BLOB ? CKR_GENERAL_ERROR : rv;
}

static CK_RV import(CK_OBJECT_HANDLE *key)
{
    struct form t = {0};
    form_secret(&t, CKK_AES);
    form_readable(&t);
    form_bytes(&t, CKA_VALUE, value, VALUE);
    return world->calls->C_CreateObject(session, t.a, t.count, key);
}

static CK_RV step_wrap(bool *wrong)
{
    CK_OBJECT_HANDLE key = 0;
    uint8_t out[BLOB];
    CK_RV rv = import(&key);
    if (rv == CKR_OK) {
        rv = wrap_with(CKM_AES_KEY_WRAP, key, out);
        (void)world->calls->C_DestroyObject(session, key);
    }
    *wrong = rv == CKR_OK && memcmp(out, blob, BLOB) != 0;
    return rv;
}

static CK_RV step_wrap_padded(bool *wrong)
{
    CK_OBJECT_HANDLE key = 0;
    uint8_t out[BLOB];
    uint8_t truth[BLOB];
    CK_RV rv = import(&key);
    if (rv == CKR_OK) {
        rv = wrap_with(CKM_AES_KEY_WRAP_KWP, key, out);
        (void)world->calls->C_DestroyObject(session, key);
    }
    *wrong = rv == CKR_OK && (envelope_wrap(cmk_value, VALUE, true, value, VALUE, truth) != BLOB || memcmp(out, truth, BLOB) != 0);
    return rv;
}

static CK_RV unwrap(bool sealed, CK_OBJECT_HANDLE *key)
{
    struct form t = {0};
    form_secret(&t, CKK_AES);
    if (sealed) {
        form_bool(&t, CKA_SENSITIVE, true);
        form_bool(&t, CKA_EXTRACTABLE, true);
    } else {
        form_readable(&t);
    }
    return world->calls->C_UnwrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), cmk, blob, BLOB, t.a, t.count, key);
}

static CK_RV read_value(CK_OBJECT_HANDLE key, uint8_t out[VALUE])
{
    CK_ATTRIBUTE a = {CKA_VALUE, out, VALUE};
    CK_RV rv = world->calls->C_GetAttributeValue(session, key, &a, 1);
    return rv == CKR_OK && a.ulValueLen != VALUE ? CKR_GENERAL_ERROR : rv;
}

static CK_RV step_unwrap(bool *wrong)
{
    CK_OBJECT_HANDLE key = 0;
    uint8_t got[VALUE];
    CK_RV rv = unwrap(false, &key);
    if (rv == CKR_OK) {
        rv = read_value(key, got);
        *wrong = rv != CKR_OK || memcmp(got, value, VALUE) != 0;
        (void)world->calls->C_DestroyObject(session, key);
    }
    return rv;
}

/* Whether OpenSSL opens the blob under the known master key, to `want` when that is not NULL. */
static bool opens(const uint8_t wrapped[BLOB], const uint8_t *want)
{
    uint8_t got[BLOB];
    return envelope_open(cmk_value, VALUE, wrapped, BLOB, got) && (want == NULL || memcmp(got, want, VALUE) == 0);
}

static CK_RV step_generate(bool *wrong)
{
    static const uint8_t zero[VALUE];
    CK_OBJECT_HANDLE key = 0;
    struct form t = {0};
    uint8_t got[VALUE] = {0};
    form_readable(&t);
    form_ulong(&t, CKA_VALUE_LEN, VALUE);
    CK_RV rv = world->calls->C_GenerateKey(session, caller_mechanism(CKM_AES_KEY_GEN), t.a, t.count, &key);
    if (rv == CKR_OK) {
        rv = read_value(key, got);
        *wrong = rv != CKR_OK || memcmp(got, zero, VALUE) == 0;
        (void)world->calls->C_DestroyObject(session, key);
    }
    return rv;
}

/* A sealed data key lives in the token. One that the token has lost is CKR_KEY_HANDLE_INVALID or CKR_OBJECT_HANDLE_INVALID. */
static CK_RV finish_sealed(CK_RV rv, CK_OBJECT_HANDLE key, const uint8_t *want, bool *wrong)
{
    uint8_t out[BLOB];
    if (rv == CKR_OK) {
        rv = wrap_with(CKM_AES_KEY_WRAP, key, out);
        *wrong = rv == CKR_OK && !opens(out, want);
        (void)world->calls->C_DestroyObject(session, key);
    }
    return rv;
}

static CK_RV step_sealed(bool *wrong)
{
    CK_OBJECT_HANDLE key = 0;
    struct form t = {0};
    form_bool(&t, CKA_SENSITIVE, true);
    form_bool(&t, CKA_EXTRACTABLE, true);
    form_ulong(&t, CKA_VALUE_LEN, VALUE);
    CK_RV rv = world->calls->C_GenerateKey(session, caller_mechanism(CKM_AES_KEY_GEN), t.a, t.count, &key);
    return finish_sealed(rv, key, NULL, wrong);
}

static CK_RV step_unseal(bool *wrong)
{
    CK_OBJECT_HANDLE key = 0;
    CK_RV rv = unwrap(true, &key);
    return finish_sealed(rv, key, value, wrong);
}

static const struct step {
    const char *name;
    bool fresh; /* the library is started anew before it, logged in unless `login` */
    bool login; /* the step is the login itself */
    CK_RV (*run)(bool *wrong);
} steps[] = {
    {"login", true, true, enter_world},
    {"cold wrap", true, false, step_wrap},
    {"cold wrap, padded", true, false, step_wrap_padded},
    {"cold unwrap", true, false, step_unwrap},
    {"generate", false, false, step_generate},
    {"wrap", false, false, step_wrap},
    {"unwrap", false, false, step_unwrap},
    {"generate sealed, wrap", false, false, step_sealed},
    {"unwrap sealed, wrap", false, false, step_unseal},
};
enum { STEPS = sizeof steps / sizeof steps[0] };

/* Faults beside the codes. A `function` of FAULTY_ANY: at every function. */
static const struct lie {
    const char *name;
    enum faulty_function function;
    enum faulty_act act;
    CK_ULONG value;
    bool always_only; /* once is a fault that no caller of a token can see: the token did one thing with another key */
} lies[] = {
    {"renumber", FAULTY_ANY, FAULTY_RENUMBER, 0, false},
    {"drop sessions", FAULTY_ANY, FAULTY_DROP, 0, false},
    {"log out", FAULTY_ANY, FAULTY_LOGOUT, 0, false},
    {"vanish", FAULTY_ANY, FAULTY_VANISH, 0, true},
    {"20 ms late", FAULTY_ANY, FAULTY_DELAY, 20, false},
    {"length + 1", FAULTY_C_WrapKey, FAULTY_LENGTH, 1, false},
    {"length - 1", FAULTY_C_WrapKey, FAULTY_LENGTH, (CK_ULONG)-1, false},
    {"length + 2^20", FAULTY_C_WrapKey, FAULTY_LENGTH, 1 << 20, false},
    {"length + 1", FAULTY_C_GetAttributeValue, FAULTY_LENGTH, 1, false},
    {"length - 1", FAULTY_C_GetAttributeValue, FAULTY_LENGTH, (CK_ULONG)-1, false},
    {"length + 2^40", FAULTY_C_GetAttributeValue, FAULTY_LENGTH, 1UL << 40, false},
    {"count + 1000", FAULTY_C_FindObjects, FAULTY_LENGTH, 1000, false},
    {"count + 1000", FAULTY_C_GetSlotList, FAULTY_LENGTH, 1000, false},
    {"handle 0", FAULTY_C_FindObjects, FAULTY_ZERO, 0, false},
    {"handle 0", FAULTY_C_CreateObject, FAULTY_ZERO, 0, false},
    {"handle 0", FAULTY_C_GenerateKey, FAULTY_ZERO, 0, false},
    {"handle 0", FAULTY_C_UnwrapKey, FAULTY_ZERO, 0, false},
    {"handle 0", FAULTY_C_OpenSession, FAULTY_ZERO, 0, false},
    {"another key", FAULTY_C_FindObjects, FAULTY_OTHER, 0, false},
    {"another key", FAULTY_C_UnwrapKey, FAULTY_OTHER, 0, false},
    {"no session", FAULTY_C_OpenSession, FAULTY_LIMIT, 0, true},
};
enum { LIES = sizeof lies / sizeof lies[0] };

/* One case. */

static bool make_ready(const struct step *s)
{
    bool wrong = false;
    if (s->fresh) {
        (void)world->calls->C_Finalize(NULL);
        return s->login || enter_world(&wrong) == CKR_OK;
    }
    return s->run(&wrong) == CKR_OK && !wrong;
}

static void complain(const char *what, CK_RV rv)
{
    (void)printf("  %s: %s (0x%lx)\n", board->now, what, rv);
    (void)fflush(stdout);
}

/* The next call. After an outage the token may be left alone for a moment yet; within a second it must be back. */
static CK_RV come_back(const struct step *s, bool *wrong)
{
    double start = scandal_ms();
    CK_RV rv = s->run(wrong);
    bool waited = rv == CKR_DEVICE_REMOVED || rv == CKR_TOKEN_NOT_PRESENT;
    while ((rv == CKR_DEVICE_REMOVED || rv == CKR_TOKEN_NOT_PRESENT) && scandal_ms() - start < BACK_MS) {
        (void)usleep(5000);
        rv = s->run(wrong);
    }
    double took = scandal_ms() - start;
    board->waited += waited;
    board->back = waited && took > board->back ? took : board->back;
    return rv;
}

static void run_case(const struct step *s, const struct scandal *fault)
{
    bool wrong = false;
    board->cases++;
    if (!make_ready(s)) {
        complain("the world cannot be made ready", 0);
        board->stuck++;
        return;
    }
    (void)scandal_arm(control, fault);
    double start = scandal_ms();
    CK_RV rv = s->run(&wrong);
    double took = scandal_ms() - start;
    scandal_clear(control);
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
    if (rv == CKR_WRAPPED_KEY_INVALID && fault->times != 0) {
        complain("a good blob is called bad", rv);
        board->failed++;
    }
    wrong = false;
    CK_RV next = come_back(s, &wrong);
    bool refused_pin = s->login && fault->value == CKR_PIN_INCORRECT; /* sent once per process and value */
    if (wrong || (next != CKR_OK && !refused_pin)) {
        complain(wrong ? "A WRONG KEY AFTERWARDS" : "the next call does not succeed", next);
        board->wrong += wrong;
        board->stuck++;
        (void)world->calls->C_Finalize(NULL);
        (void)enter_world(&wrong);
    }
}

static bool mine(void)
{
    return ++turn % every == 0;
}

static void run_codes(const struct step *s, enum faulty_function f, unsigned long call)
{
    for (size_t i = 0; i < scandal_code_count; i++) {
        for (int mode = 0; mode < 3; mode++) { /* once; from then on; once, but done all the same */
            static const char *const modes[] = {"once", "from then on", "though it was done"};
            struct scandal fault = {f, mode == 2 ? FAULTY_LATE : FAULTY_CODE, scandal_codes[i], call, mode == 1 ? 0 : 1, NULL};
            if (scandal_codes[i] == CKR_OK || !mine()) {
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
    bool wrong = false;
    (void)alarm(0);
    if (enter_world(&wrong) != CKR_OK) {
        _exit(1);
    }
    for (unsigned long call = 0; call < calls; call++) {
        run_codes(s, f, call);
        run_lies(s, f, call);
    }
    (void)world->calls->C_Finalize(NULL);
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
    scandal_clear(control);
}

/* The calls of each function in one undisturbed run of the step, counted in a process of its own. */
static bool count_calls(const struct step *s, unsigned long calls[FAULTY_FUNCTIONS])
{
    int status = 0;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        bool wrong = false;
        bool good = enter_world(&wrong) == CKR_OK && make_ready(s);
        for (size_t i = 0; i < FAULTY_FUNCTIONS; i++) {
            atomic_store(&control->calls[i], 0);
        }
        good = good && s->run(&wrong) == CKR_OK && !wrong;
        _exit(good ? 0 : 1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        (void)printf("%s: does not work undisturbed\n", s->name);
        return false;
    }
    for (size_t i = 0; i < FAULTY_FUNCTIONS; i++) {
        calls[i] = atomic_load(&control->calls[i]);
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

static bool prepare(void)
{
    static const struct fixture_slot slots[] = {{.name = "faulty", .tokens = "eu-1", .cmk = FIXTURE_CMK_KNOWN}, {0}};
    fixture_known_value(cmk_value);
    for (size_t i = 0; i < VALUE; i++) {
        value[i] = (uint8_t)(i * 7 + 3);
    }
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const struct fixture_settings settings = {.slots = slots, .vendor = scandal_prepare(&control)};
    world = settings.vendor == NULL ? NULL : fixture_start(&settings);
    return board != MAP_FAILED && world != NULL &&
           envelope_wrap(cmk_value, VALUE, false, value, VALUE, blob) == BLOB;
}

int main(int argc, char **argv)
{
    bool good = true;
    int i = 1;
    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        unsigned long n = strtoul(argv[i + 1], NULL, 10);
        every = strcmp(argv[i], "--every") == 0 && n > 0 ? n : every;
        turn = strcmp(argv[i], "--from") == 0 ? n : turn;
    }
    if (!prepare()) {
        (void)fputs("table: the world cannot be built\n", stderr);
        fixture_stop(world);
        return 1;
    }
    (void)printf("%-24s %6s %7s %9s %6s %7s %5s %6s %8s\n", "step", "calls", "cases", "succeeded", "wrong", "crashes", "slow", "stuck",
                 "max ms");
    for (size_t k = 0; k < STEPS; k++) {
        good = (!is_wanted(&steps[k], argv + i) || run_step(&steps[k])) && good;
    }
    (void)printf("%lu cases: %lu wrong keys, %lu crashes, %lu hangs, %lu beyond %d ms, %lu not well afterwards, %lu good blobs called bad; "
                 "%lu times the token was still left alone, %.0f ms at most\n",
                 board->cases, board->wrong, crashes, hangs, board->slow, BOUND_MS, board->stuck, board->failed, board->waited, board->back);
    good = good && board->cases > 0 && board->wrong + crashes + hangs + board->slow + board->stuck + board->failed == 0;
    fixture_stop(world);
    return good ? 0 : 1;
}
