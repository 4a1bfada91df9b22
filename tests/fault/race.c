/*
 * race.c: a key that is taken away while eight processes use it, and changes of other versions that they must not notice.
 *
 *   race TOKENS [rsa]      a slot on TOKENS tokens, 1 or 2, with an AES or an RSA key
 *
 * Every worker is a process with its own C_Initialize that calls in a loop, in one of three ways: it unwraps through the handle of
 * version 1 that it found at the start; it looks the active version up each time and unwraps through that; it looks it up, wraps
 * and unwraps. A worker books each call under the stage in which the call began, so that a success that began after `keyward
 * disable` had returned is in the books. The figures go to standard output, status 0 means that every expectation held.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "caller.h"

enum { WORKERS = 8, VALUE = 32, AES_BLOB = 40, BLOB = 256, CHANGES = 20, MOST_MS = 100, START_S = 60 };

/* A slot that seems to have lost its key: our own word, no module says it. */
#define NO_KEY (CKR_VENDOR_DEFINED | 0x0bedUL)

enum stage { WARM, DISABLING, DISABLED, ENABLING, ENABLED, CHANGING, STAGES };
static const char *const stage_names[STAGES] = {"before", "disable runs", "disabled", "enable runs", "enabled", "other versions change"};

enum step { LOOKING, WRAPPING, UNWRAPPING };
static const char *const step_names[] = {"looking the key up", "wrapping", "unwrapping"};

/* What a worker books; it alone writes there. In memory that all processes share. */
struct book {
    atomic_bool ready;
    atomic_ulong ok[STAGES];
    atomic_ulong refused[STAGES];
    atomic_ulong stale;      /* a wrap that was refused because the version had been retired since it was looked up */
    atomic_ulong error;      /* the first return value that is neither */
    atomic_ulong errors;
    atomic_int error_stage;
    atomic_int error_step;
    atomic_llong refused_at; /* when the first refused call came back; 0 none */
};

struct board {
    atomic_int stage;
    atomic_bool stop;
    uint8_t value[VALUE];
    uint8_t blob[BLOB]; /* the value under version 1 */
    struct book books[WORKERS];
};

static struct board *board;
static int failures;
static bool rsa; /* the key wraps by its public half and OAEP with SHA-1, else by AES key wrap */

static CK_MECHANISM *mechanism(void)
{
    static CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
    static CK_MECHANISM rsa_way = {CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep};
    return rsa ? &rsa_way : caller_mechanism(CKM_AES_KEY_WRAP);
}

static CK_ULONG blob_len(void)
{
    return rsa ? BLOB : AES_BLOB;
}

static long long now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void expect(bool held, const char *sentence)
{
    (void)printf("%s - %s\n", held ? "ok" : "not ok", sentence);
    failures += held ? 0 : 1;
}

/* The workers. */

static void enter_in_book(struct book *b, int stage, enum step step, CK_RV rv)
{
    if (rv == CKR_OK) {
        (void)atomic_fetch_add(&b->ok[stage], 1);
    } else if (rv == CKR_KEY_FUNCTION_NOT_PERMITTED) {
        long long none = 0;
        (void)atomic_compare_exchange_strong(&b->refused_at, &none, now_ns());
        (void)atomic_fetch_add(&b->refused[stage], 1);
        if (stage == CHANGING) {
            atomic_store(&b->error_step, step);
        }
    } else {
        if (atomic_fetch_add(&b->errors, 1) == 0) {
            atomic_store(&b->error, rv);
            atomic_store(&b->error_stage, stage);
            atomic_store(&b->error_step, step);
        }
    }
}

/* The first master key that the slot shows, or the half of it that does this: the active version, where there is one. */
static CK_RV look_up(const struct fixture *f, CK_SESSION_HANDLE session, enum step use, CK_OBJECT_HANDLE *cmk)
{
    CK_OBJECT_HANDLE list[4];
    CK_ULONG count = 0;
    struct form t = {0};
    form_ulong(&t, CKA_CLASS, !rsa ? CKO_SECRET_KEY : use == WRAPPING ? CKO_PUBLIC_KEY : CKO_PRIVATE_KEY);
    form_bytes(&t, CKA_LABEL, "race", 4);
    CK_RV rv = f->calls->C_FindObjectsInit(session, t.a, t.count);
    if (rv != CKR_OK) {
        return rv;
    }
    rv = f->calls->C_FindObjects(session, list, 1, &count);
    (void)f->calls->C_FindObjectsFinal(session);
    if (rv == CKR_OK && count == 0) {
        rv = NO_KEY;
    }
    *cmk = list[0];
    return rv;
}

static CK_RV unwrap(const struct fixture *f, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE cmk, uint8_t *blob)
{
    CK_OBJECT_HANDLE key = 0;
    uint8_t value[VALUE];
    struct form t = {0};
    form_secret(&t, CKK_AES);
    form_readable(&t);
    CK_RV rv = f->calls->C_UnwrapKey(session, mechanism(), cmk, blob, blob_len(), t.a, t.count, &key);
    if (rv != CKR_OK) {
        return rv;
    }
    bool same = caller_value(f, session, key, value, sizeof value) == VALUE && memcmp(value, board->value, VALUE) == 0;
    (void)f->calls->C_DestroyObject(session, key);
    return same ? CKR_OK : CKR_DATA_INVALID; /* OK with another key would be the worst of all */
}

struct work {
    const struct fixture *f;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE first; /* version 1 */
    CK_OBJECT_HANDLE key;   /* a data key with board->value */
    struct book *book;
};

static void by_handle(struct work *w)
{
    uint8_t blob[BLOB];
    memcpy(blob, board->blob, BLOB);
    int stage = atomic_load(&board->stage);
    enter_in_book(w->book, stage, UNWRAPPING, unwrap(w->f, w->session, w->first, blob));
}

static void by_label(struct work *w)
{
    uint8_t blob[BLOB];
    CK_OBJECT_HANDLE cmk = 0;
    memcpy(blob, board->blob, BLOB);
    int stage = atomic_load(&board->stage);
    enum step step = LOOKING;
    CK_RV rv = look_up(w->f, w->session, UNWRAPPING, &cmk);
    if (rv == CKR_OK) {
        step = UNWRAPPING;
        rv = unwrap(w->f, w->session, cmk, blob);
    }
    enter_in_book(w->book, stage, step, rv);
}

/* Between the look-up and the wrap a rotation may retire the version; then the answer is right, and the next look-up cures it. */
static void round_trip(struct work *w)
{
    uint8_t blob[BLOB];
    CK_RV rv = CKR_OK;
    enum step step = LOOKING;
    int stage = atomic_load(&board->stage);
    for (int attempt = 0; attempt < 2; attempt++) {
        CK_OBJECT_HANDLE cmk = 0;
        CK_ULONG len = sizeof blob;
        rv = look_up(w->f, w->session, WRAPPING, &cmk);
        if (rv != CKR_OK) {
            if (rsa && rv == NO_KEY) {
                rv = CKR_KEY_FUNCTION_NOT_PERMITTED; /* a version that only unwraps shows no public half: a refusal as well */
            }
            step = LOOKING;
            break;
        }
        step = WRAPPING;
        rv = w->f->calls->C_WrapKey(w->session, mechanism(), cmk, w->key, blob, &len);
        if (rv == CKR_OK && rsa) {
            step = LOOKING;
            rv = look_up(w->f, w->session, UNWRAPPING, &cmk);
        }
        if (rv == CKR_OK) {
            step = UNWRAPPING;
            rv = unwrap(w->f, w->session, cmk, blob);
            break;
        }
        if (rv != CKR_KEY_FUNCTION_NOT_PERMITTED || stage != CHANGING || attempt > 0) {
            break;
        }
        (void)atomic_fetch_add(&w->book->stale, 1);
    }
    enter_in_book(w->book, stage, step, rv);
}

static int run_worker(const struct fixture *f, int number)
{
    static void (*const ways[])(struct work *) = {by_handle, by_label, round_trip};
    struct work w = {.f = f, .book = &board->books[number]};
    if (!caller_initialize(f)) {
        return 1;
    }
    w.session = caller_enter(f, "race");
    if (w.session == 0 || look_up(f, w.session, UNWRAPPING, &w.first) != CKR_OK) {
        return 1;
    }
    w.key = caller_import(f, w.session, CKK_AES, board->value, VALUE);
    if (w.key == 0) {
        return 1;
    }
    atomic_store(&w.book->ready, true);
    while (!atomic_load(&board->stop)) {
        unsigned long before = atomic_load(&w.book->refused[DISABLED]);
        ways[number % 3](&w);
        if (atomic_load(&w.book->refused[DISABLED]) != before || atomic_load(&board->stage) == CHANGING) {
            (void)usleep(1000); /* leave the processor to the commands; the disable itself meets no pause */
        }
    }
    return f->calls->C_Finalize(NULL) == CKR_OK ? 0 : 1;
}

/* The custodian. */

static bool keyward(const struct fixture *f, const char *verb, const char *version)
{
    const char *const argv[] = {fixture_command(), verb, "race", version == NULL ? NULL : "--version", version, NULL};
    if (fixture_execute(f, argv)) {
        return true;
    }
    (void)printf("# keyward %s failed\n", verb);
    return false;
}

/* Lets the workers run in a stage for this long. */
static void stay(enum stage stage, unsigned ms)
{
    atomic_store(&board->stage, stage);
    (void)usleep(ms * 1000);
}

static void disable_and_enable(const struct fixture *f, long long *start, long long *returned)
{
    stay(WARM, 500);
    atomic_store(&board->stage, DISABLING);
    *start = now_ns();
    bool ok = keyward(f, "disable", NULL);
    atomic_store(&board->stage, DISABLED);
    *returned = now_ns();
    expect(ok, "keyward disable works while eight processes use the key");
    (void)usleep(500 * 1000);
    atomic_store(&board->stage, ENABLING);
    ok = keyward(f, "enable", NULL);
    expect(ok, "so does keyward enable");
    stay(ENABLED, 500);
}

/* Rotations, and states of versions that nobody uses; version 1, which the workers' blob is under, and the newest stay as they are. */
static void change_others(const struct fixture *f)
{
    static const struct {
        const char *verb;
        const char *version;
    } changes[CHANGES] = {{"rotate", NULL}, {"rotate", NULL}, {"disable", "2"}, {"enable", "2"}, {"rotate", NULL},
                          {"delete", "2"},  {"recover", "2"}, {"disable", "3"}, {"rotate", NULL}, {"enable", "3"},
                          {"rotate", NULL}, {"delete", "4"},  {"rotate", NULL}, {"recover", "4"}, {"disable", "2"},
                          {"rotate", NULL}, {"enable", "2"},  {"rotate", NULL}, {"delete", "3"},  {"recover", "3"}};
    bool all = true;
    atomic_store(&board->stage, CHANGING);
    for (size_t i = 0; i < CHANGES / fixture_every(); i++) {
        all = keyward(f, changes[i].verb, changes[i].version) && all;
    }
    expect(all, "20 rotations and state changes of other versions work meanwhile");
    (void)usleep(200 * 1000);
}

/* The books. */

static double ms(long long ns)
{
    return (double)ns / 1e6;
}

static void print_stages(void)
{
    (void)printf("# %-22s %10s %10s\n", "stage", "ok", "refused");
    for (int s = 0; s < STAGES; s++) {
        unsigned long ok = 0;
        unsigned long refused = 0;
        for (int i = 0; i < WORKERS; i++) {
            ok += atomic_load(&board->books[i].ok[s]);
            refused += atomic_load(&board->books[i].refused[s]);
        }
        (void)printf("# %-22s %10lu %10lu\n", stage_names[s], ok, refused);
    }
}

static void judge_refusals(long long start, long long returned)
{
    double most = -1e9;
    bool each = true;
    for (int i = 0; i < WORKERS; i++) {
        const struct book *b = &board->books[i];
        long long at = atomic_load(&b->refused_at);
        each = each && at != 0 && atomic_load(&b->refused[DISABLED]) > 0;
        (void)printf("# worker %d: first refused call %.1f ms after the command's start, %.1f ms after its return\n", i,
                     ms(at - start), ms(at - returned));
        most = ms(at - returned) > most ? ms(at - returned) : most;
    }
    (void)printf("# max: %.1f ms after the command's return; the command took %.1f ms\n", most, ms(returned - start));
    expect(each, "every process is refused, with CKR_KEY_FUNCTION_NOT_PERMITTED");
    expect(each && most <= MOST_MS, "the first refused call of each comes within 100 ms of the command's return");
}

static void judge(long long start, long long returned)
{
    bool none_after = true;
    bool back = true;
    bool calm = true;
    unsigned long errors = 0;
    unsigned long stale = 0;
    for (int i = 0; i < WORKERS; i++) {
        const struct book *b = &board->books[i];
        none_after = none_after && atomic_load(&b->ok[DISABLED]) == 0;
        back = back && atomic_load(&b->ok[ENABLED]) > 0 && atomic_load(&b->refused[ENABLED]) == 0;
        calm = calm && atomic_load(&b->ok[CHANGING]) > 0 && atomic_load(&b->refused[CHANGING]) == 0;
        if (atomic_load(&b->refused[CHANGING]) > 0) {
            (void)printf("# worker %d: refused %lu times while other versions changed, the last time %s\n", i,
                         atomic_load(&b->refused[CHANGING]), step_names[atomic_load(&b->error_step)]);
        }
        errors += atomic_load(&b->errors);
        stale += atomic_load(&b->stale);
        if (atomic_load(&b->errors) > 0) {
            (void)printf("# worker %d: %lu other errors, the first is 0x%lx, %s, stage: %s\n", i, atomic_load(&b->errors),
                         atomic_load(&b->error), step_names[atomic_load(&b->error_step)],
                         stage_names[atomic_load(&b->error_stage)]);
        }
    }
    print_stages();
    judge_refusals(start, returned);
    expect(none_after, "no call that began after the command had returned succeeds");
    expect(back, "after enable every call succeeds again");
    (void)printf("# %lu wraps met a version that had been retired since it was looked up, and went well after a new look-up\n", stale);
    expect(calm, "changes of other versions refuse nothing");
    expect(errors == 0, "no process ever saw another error");
}

/* The world. */

static bool make_blob(const struct fixture *f)
{
    CK_ULONG len = blob_len();
    CK_OBJECT_HANDLE cmk = 0;
    for (size_t i = 0; i < VALUE; i++) {
        board->value[i] = (uint8_t)(i * 7 + 1);
    }
    if (!caller_initialize(f)) {
        return false;
    }
    CK_SESSION_HANDLE session = caller_enter(f, "race");
    CK_OBJECT_HANDLE key = session == 0 ? 0 : caller_import(f, session, CKK_AES, board->value, VALUE);
    bool ok = key != 0 && look_up(f, session, WRAPPING, &cmk) == CKR_OK &&
              f->calls->C_WrapKey(session, mechanism(), cmk, key, board->blob, &len) == CKR_OK &&
              len == blob_len();
    return f->calls->C_Finalize(NULL) == CKR_OK && ok;
}

static bool start_workers(const struct fixture *f, pid_t *pids)
{
    long long until = now_ns() + START_S * 1000000000LL;
    (void)fflush(NULL);
    for (int i = 0; i < WORKERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            int status = run_worker(f, i);
            (void)fflush(NULL);
            _exit(status);
        }
    }
    int ready = 0;
    while (ready < WORKERS && now_ns() < until) {
        (void)usleep(10 * 1000);
        ready = 0;
        for (int i = 0; i < WORKERS; i++) {
            ready += atomic_load(&board->books[i].ready) ? 1 : 0;
        }
    }
    expect(ready == WORKERS, "eight processes start at once and work");
    return ready == WORKERS;
}

static void end_workers(pid_t *pids)
{
    bool clean = true;
    atomic_store(&board->stop, true);
    for (int i = 0; i < WORKERS; i++) {
        int status = 0;
        clean = pids[i] > 0 && waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status) && WEXITSTATUS(status) == 0 && clean;
    }
    expect(clean, "every process ends well");
}

int main(int argc, char **argv)
{
    rsa = argc == 3 && strcmp(argv[2], "rsa") == 0;
    const struct fixture_slot slots[] = {
        {.name = "race", .tokens = argc >= 2 && argv[1][0] == '2' ? "eu-1 eu-2" : "eu-1", .bits = rsa ? 2048 : 256}, {0}};
    pid_t pids[WORKERS] = {0};
    long long start = 0;
    long long returned = 0;
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct fixture *f = fixture_start(&(struct fixture_settings){.slots = slots});
    if (board == MAP_FAILED || f == NULL || !make_blob(f)) {
        (void)fprintf(stderr, "race: the world cannot be built\n");
        fixture_stop(f);
        return 1;
    }
    if (start_workers(f, pids)) {
        disable_and_enable(f, &start, &returned);
        change_others(f);
        judge(start, returned);
    }
    end_workers(pids);
    fixture_stop(f);
    return failures == 0 ? 0 : 1;
}
