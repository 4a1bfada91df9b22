/*
 * The corpus of bad inputs (ATTACKS.md section 3, issue 3 point 5): every value of hostile.h in every group of parameters of all 104
 * functions, the other groups good; then choices at random; then every blob that is wrong by a little. The calls run in a child that
 * is killed by an alarm when one hangs and is replaced when it dies; what is asked of them: no death, no hang, a code of the
 * standard that does not blame the HSM, no output on error, and the good calls in between go on working.
 */
#include "chapter.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostile.h"
#include "region.h"

enum { RANDOM_CASES = 200, PATIENCE_SECONDS = 20, COMPLAINTS_MAX = 40, GOOD_EVERY = 64 };

/* Shared with the children. */
struct progress {
    size_t function;
    size_t next; /* case of the function */
    unsigned long cases;
    unsigned long answers[2]; /* refused, served */
    unsigned complaints;
    unsigned deaths;
    unsigned hangs;
    char doing[128];
};

static struct progress *progress;
static uint8_t blob[40];
static uint8_t key_value[32];

static void complain(const char *what)
{
    if (progress->complaints++ < COMPLAINTS_MAX) {
        (void)printf("\n    %s: %s", progress->doing, what);
        (void)fflush(stdout);
    }
}

static bool is_listed(CK_RV rv)
{
    return chapter_rv_name(rv)[0] == 'C';
}

/* Codes that say "the HSM is ill"; no bad argument may earn one. */
static bool blames_the_token(CK_RV rv)
{
    switch (rv) {
    case CKR_GENERAL_ERROR:
    case CKR_DEVICE_ERROR:
    case CKR_DEVICE_MEMORY:
    case CKR_DEVICE_REMOVED:
    case CKR_HOST_MEMORY:
    case CKR_FUNCTION_FAILED:
        return true;
    default:
        return false;
    }
}

/* The world of a child. */

static bool make_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *key)
{
    struct form t = {0};
    form_secret(&t, CKK_AES);
    form_readable(&t);
    form_bytes(&t, CKA_VALUE, key_value, sizeof key_value);
    return p11->C_CreateObject(session, t.a, t.count, key) == CKR_OK;
}

/* The slots are looked up once: to ask for tokens that are present costs a search for the absent one. */
static bool find_slots(struct hostile_world *w)
{
    CK_SLOT_ID list[8];
    CK_ULONG count = 8;
    if (!caller_slot(world, "alpha", &w->slot) || !caller_slot(world, "beta", &w->other_slot) ||
        p11->C_GetSlotList(CK_FALSE, list, &count) != CKR_OK) {
        return false;
    }
    for (CK_ULONG i = 0; i < count; i++) {
        w->absent_slot = list[i] != w->slot && list[i] != w->other_slot ? list[i] : w->absent_slot;
    }
    return w->absent_slot != 0;
}

static bool log_in(CK_SLOT_ID slot, CK_SESSION_HANDLE *session)
{
    return p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, session) == CKR_OK &&
           p11->C_Login(*session, CKU_USER, NULL, 0) == CKR_OK;
}

static bool make_world(struct hostile_world *w)
{
    CK_RV rv = p11->C_Initialize(NULL);
    if (rv != CKR_OK || (w->slot == 0 && !find_slots(w)) || !log_in(w->slot, &w->session) ||
        !log_in(w->other_slot, &w->other_session) ||
        p11->C_OpenSession(w->slot, CKF_SERIAL_SESSION, NULL, NULL, &w->closed_session) != CKR_OK) {
        return false;
    }
    w->cmk = caller_cmk(world, w->session);
    w->other_cmk = caller_cmk(world, w->other_session);
    w->blob = blob;
    w->blob_len = sizeof blob;
    return p11->C_CloseSession(w->closed_session) == CKR_OK && make_key(w->session, &w->key) &&
           make_key(w->session, &w->destroyed_key) &&
           p11->C_DestroyObject(w->session, w->destroyed_key) == CKR_OK &&
           make_key(w->other_session, &w->other_key) && w->cmk != 0 && w->other_cmk != 0;
}

/* What the last case ended is made anew. */
static void mend_world(struct hostile_world *w)
{
    CK_ULONG size = 0;
    if (p11->C_GetObjectSize(w->session, w->key, &size) != CKR_OK ||
        p11->C_GetObjectSize(w->other_session, w->other_key, &size) != CKR_OK) {
        (void)p11->C_Finalize(NULL);
        if (!make_world(w)) {
            complain("the world cannot be made again");
            _exit(2);
        }
    }
}

/* The good call: the key of the world, wrapped, is the blob that it always was. */
static void check_service(const struct hostile_world *w)
{
    uint8_t out[64];
    CK_ULONG len = sizeof out;
    CK_RV rv = p11->C_WrapKey(w->session, caller_mechanism(CKM_AES_KEY_WRAP), w->cmk, w->key, out, &len);
    if (rv != CKR_OK || len != sizeof blob || memcmp(out, blob, len) != 0) {
        complain(chapter_join("after it a good C_WrapKey fails", chapter_rv_name(rv)));
    }
}

/* The state in which the function is called. */
static void set_stage(const struct hostile_function *f, const struct hostile_world *w)
{
    if (strcmp(f->name, "C_Initialize") == 0) {
        (void)p11->C_Finalize(NULL);
    } else if (strncmp(f->name, "C_FindObjects", 13) == 0 || strcmp(f->name, "C_SessionCancel") == 0) {
        (void)p11->C_FindObjectsFinal(w->session);
        if (strcmp(f->name, "C_FindObjectsInit") != 0) {
            (void)p11->C_FindObjectsInit(w->session, NULL, 0);
        }
    } else if (strncmp(f->name, "C_Login", 7) == 0) {
        (void)p11->C_Logout(w->session);
    }
}

/* Cases. */

static size_t count_cases(const struct hostile_function *f)
{
    size_t n = 1 + (f->group_count > 0 ? RANDOM_CASES : 0);
    for (size_t g = 0; g < f->group_count; g++) {
        n += hostile_values(f, g) - 1;
    }
    return n;
}

/* A number that depends on nothing but the case. */
static size_t scatter(size_t function, size_t number, size_t salt)
{
    uint64_t x = (function * 1000003 + number) * 1000003 + salt + 0x9E3779B97F4A7C15UL;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9UL;
    x = (x ^ x >> 27) * 0x94D049BB133111EBUL;
    return (size_t)(x ^ x >> 31);
}

static void choose(struct hostile_call *call, const struct hostile_world *w, size_t function, size_t number)
{
    const struct hostile_function *f = call->function;
    size_t picked[HOSTILE_GROUPS] = {0};
    size_t k = number;
    for (size_t g = 0; g < f->group_count && k > 0; g++) {
        size_t n = hostile_values(f, g) - 1;
        if (k <= n) {
            picked[g] = k;
            k = 0;
        } else {
            k -= n;
        }
    }
    for (size_t g = 0; g < f->group_count && k > 0; g++) { /* at random: half of the groups good */
        size_t x = scatter(function, number, g);
        picked[g] = x % 2 == 0 ? 0 : x / 2 % hostile_values(f, g);
    }
    int used = snprintf(progress->doing, sizeof progress->doing, "%s case %zu, values", f->name, number);
    for (size_t g = 0; g < f->group_count; g++) {
        hostile_set(call, w, g, picked[g]);
        used += snprintf(progress->doing + used, sizeof progress->doing - (size_t)used, " %zu", picked[g]);
    }
}

/* Functions whose output on error is not an error: they answer in the caller's memory by design. */
static bool may_write_on_error(const char *name)
{
    return strcmp(name, "C_GetAttributeValue") == 0;
}

static void judge(const struct hostile_call *call, CK_RV rv)
{
    const char *name = call->function->name;
    progress->answers[rv == CKR_OK]++;
    if (!is_listed(rv)) {
        complain(chapter_join("answers what is no code of the standard", chapter_rv_name(rv)));
    }
    if (blames_the_token(rv) && strcmp(name, "C_GetInterface") != 0) {
        complain(chapter_join("blames the token", chapter_rv_name(rv)));
    }
    if (rv != CKR_OK && !may_write_on_error(name) && !hostile_untouched(call)) {
        complain(chapter_join("writes although it fails", chapter_rv_name(rv)));
    }
}

static void run_function(struct hostile_world *w, size_t function)
{
    const struct hostile_function *f = &hostile_functions()[function];
    size_t n = count_cases(f);
    while (progress->next < n) {
        struct hostile_call call = {.function = f};
        size_t number = progress->next;
        progress->next += fixture_every();
        set_stage(f, w);
        choose(&call, w, function, number);
        (void)alarm(PATIENCE_SECONDS);
        CK_RV rv = hostile_do(&call);
        progress->cases++;
        judge(&call, rv);
        mend_world(w);
        if (number % GOOD_EVERY == 0 || number + fixture_every() >= n) {
            check_service(w);
        }
        (void)alarm(0);
    }
    (void)p11->C_FindObjectsFinal(w->session);
    (void)p11->C_CloseAllSessions(w->slot); /* the keys that were made */
    mend_world(w);
}

static void run_child(void)
{
    struct hostile_world w = {0};
    (void)alarm(PATIENCE_SECONDS);
    if (!region_init() || !make_world(&w)) {
        complain("the world cannot be made");
        _exit(2);
    }
    while (progress->function < HOSTILE_FUNCTIONS) {
        run_function(&w, progress->function);
        progress->next = 0;
        progress->function++;
    }
    (void)p11->C_Finalize(NULL);
    _exit(0);
}

static bool reap(pid_t child)
{
    int status = 0;
    (void)waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return true;
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
        progress->hangs++;
        complain("hangs");
    } else {
        progress->deaths++;
        complain(WIFSIGNALED(status) ? "kills the process" : "ends the process");
    }
    return false;
}

static void no_bad_argument_kills_or_hangs(void)
{
    bool over = false;
    *progress = (struct progress){0};
    while (!over && progress->deaths + progress->hangs < COMPLAINTS_MAX) {
        (void)fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            run_child();
        }
        over = child > 0 && reap(child);
    }
    (void)printf(
        "\n    %lu calls of %d functions: %lu refused, %lu served, %u deaths, %u hangs, %u complaints ",
        progress->cases, HOSTILE_FUNCTIONS, progress->answers[0], progress->answers[1], progress->deaths,
        progress->hangs, progress->complaints);
    CHECK(progress->function == HOSTILE_FUNCTIONS, "all functions were called");
    CHECK(progress->deaths == 0, "0 deaths");
    CHECK(progress->hangs == 0, "0 hangs");
    CHECK(progress->complaints == 0, "every answer is a proper one");
    CHECK(progress->cases > 10000 / fixture_every() && progress->answers[1] > 100 / fixture_every(), "the corpus was run");
}

static const CK_MECHANISM_TYPE wraps[] = {CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD};

struct blob_case {
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE cmk;
    CK_MECHANISM_TYPE mechanism;
    unsigned tried;
    unsigned opened;
    unsigned other;
};

static void try_blob(struct blob_case *c, uint8_t *bytes, size_t len)
{
    CK_OBJECT_HANDLE key = 77;
    struct form t = {0};
    form_secret(&t, c->tried % 2 == 0 ? CKK_GENERIC_SECRET : CKK_AES);
    form_readable(&t);
    CK_RV rv =
        p11->C_UnwrapKey(c->session, caller_mechanism(c->mechanism), c->cmk, bytes, len, t.a, t.count, &key);
    c->tried++;
    c->opened += rv == CKR_OK || key != 77;
    c->other += rv != CKR_WRAPPED_KEY_INVALID;
}

/* All single-bit flips, all truncations, extensions, two in a row, constants. */
static void try_blobs(struct blob_case *c, const uint8_t *good, size_t len)
{
    uint8_t b[3 * 64];
    for (size_t bit = 0; bit < len * 8; bit += fixture_every()) {
        memcpy(b, good, len);
        b[bit / 8] ^= (uint8_t)(1U << bit % 8);
        try_blob(c, b, len);
    }
    for (size_t n = 0; n < len; n += fixture_every()) {
        memcpy(b, good, len);
        try_blob(c, b, n);
        if (n > 0) {
            try_blob(c, b + n, len - n);
        }
    }
    memcpy(b, good, len);
    memcpy(b + len, good, len);
    memcpy(b + 2 * len, good, len);
    for (size_t n = len + 1; n <= 3 * len; n += fixture_every()) {
        try_blob(c, b, n);
    }
    static const uint8_t fills[] = {0x00, 0xA6, 0xFF};
    for (size_t i = 0; i < COUNT_OF(fills); i++) {
        memset(b, fills[i], sizeof b);
        try_blob(c, b, len);
    }
}

static void no_bad_blob_opens(void)
{
    CK_SESSION_HANDLE session = enter("alpha");
    CK_SESSION_HANDLE other = caller_enter(world, "beta");
    CK_OBJECT_HANDLE cmk = caller_cmk(world, session);
    CK_OBJECT_HANDLE other_cmk = caller_cmk(world, other);
    unsigned tried = 0;
    for (size_t m = 0; m < COUNT_OF(wraps); m++) {
        uint8_t good[64];
        CK_ULONG len = sizeof good;
        CK_OBJECT_HANDLE key = 0;
        CHECK(make_key(session, &key), "a key");
        CHECK_RV(p11->C_WrapKey(session, caller_mechanism(wraps[m]), cmk, key, good, &len), CKR_OK,
                 "a good blob");
        struct blob_case c = {.session = session, .cmk = cmk, .mechanism = wraps[m]};
        try_blobs(&c, good, len);
        struct blob_case swapped = {.session = other, .cmk = other_cmk, .mechanism = wraps[m]};
        try_blob(&swapped, good, len);
        struct blob_case crossed = {.session = session, .cmk = cmk, .mechanism = wraps[m == 0 ? 1 : 0]};
        try_blob(&crossed, good, len);
        CHECK(c.opened == 0 && swapped.opened == 0 && crossed.opened == 0,
              "ATTACKS A09, A13, A22: no bad blob opens");
        CHECK(c.other == 0 && swapped.other == 0 && crossed.other == 0,
              "DESIGN 5: one answer, CKR_WRAPPED_KEY_INVALID, for all of them");
        tried += c.tried + swapped.tried + crossed.tried;
    }
    (void)printf("[%u bad blobs] ", tried);
    struct form all = {0};
    CHECK(caller_count(world, session, &all) == 1 + (long)COUNT_OF(wraps), "nothing was made of a bad blob");
    leave();
}

static void lengths_that_lie_are_refused_unread(void)
{
    static const CK_ULONG lies[] = {0,         1UL << 16,    (1UL << 31) - 1,
                                    1UL << 31, 1UL << 32,    (1UL << 32) + 40,
                                    1UL << 63, (CK_ULONG)-8, CK_UNAVAILABLE_INFORMATION};
    CK_SESSION_HANDLE session = enter("alpha");
    CK_OBJECT_HANDLE cmk = caller_cmk(world, session);
    CHECK(region_init(), "guarded memory");
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        for (size_t m = 0; m < COUNT_OF(wraps); m++) {
            struct form t = {0};
            CK_OBJECT_HANDLE key = 77;
            uint8_t *bytes = region_take(sizeof blob);
            memcpy(bytes, blob, sizeof blob);
            form_secret(&t, CKK_AES);
            CHECK_RV(p11->C_UnwrapKey(session, caller_mechanism(wraps[m]), cmk, bytes, lies[i], t.a, t.count,
                                      &key),
                     CKR_WRAPPED_KEY_INVALID,
                     chapter_join("5.18.4: a length that lies", chapter_rv_name(lies[i])));
        }
    }
    leave();
}

static bool prepare(void)
{
    CK_SESSION_HANDLE session = enter("alpha");
    CK_OBJECT_HANDLE key = 0;
    CK_ULONG len = sizeof blob;
    memset(key_value, 0x5A, sizeof key_value);
    bool good =
        make_key(session, &key) && p11->C_WrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP),
                                                  caller_cmk(world, session), key, blob, &len) == CKR_OK;
    leave();
    return good;
}

static void the_good_blob_is_made(void)
{
    progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(progress != MAP_FAILED, "shared memory");
    CHECK(prepare(), "a good blob");
}

int main(void)
{
    static const struct fixture_slot slots[] = {{.name = "alpha", .tokens = "eu-1"},
                                                {.name = "beta", .tokens = "eu-1"},
                                                {.name = "missing", .tokens = "eu-3", .absent = true},
                                                {0}};
    CU_TestInfo tests[] = {
        {"the good blob is made", the_good_blob_is_made},
        {"no bad argument kills or hangs", no_bad_argument_kills_or_hangs},
        {"no bad blob opens", no_bad_blob_opens},
        {"lengths that lie are refused unread", lengths_that_lie_are_refused_unread},
        CU_TEST_INFO_NULL,
    };
    return chapter_run("badinput", &(struct fixture_settings){.slots = slots}, tests);
}
