/*
 * logout_test.c: the slot is logged out while a call makes a persistent data key and the token takes its time. Either the caller gets the key, or it
 * is not in the token: without the login nobody could destroy it, so the logout waits for who is at it.
 */
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "teller.h"

enum { HANG_MS = 5000, AHEAD_MS = 60 };

static CK_SLOT_ID slot;
static const CK_UTF8CHAR label[] = "left behind";

static void persistent(struct form *t)
{
    form_readable(t);
    form_bool(t, CKA_TOKEN, true);
    form_bytes(t, CKA_LABEL, label, sizeof label - 1);
}

static CK_RV generate(CK_OBJECT_HANDLE *key)
{
    struct form t = {0};
    persistent(&t);
    form_ulong(&t, CKA_VALUE_LEN, TELLER_VALUE);
    return p11->C_GenerateKey(teller_session, caller_mechanism(CKM_AES_KEY_GEN), t.a, t.count, key);
}

static CK_RV create(CK_OBJECT_HANDLE *key)
{
    struct form t = {0};
    form_secret(&t, CKK_AES);
    persistent(&t);
    form_bytes(&t, CKA_VALUE, teller_value, TELLER_VALUE);
    return p11->C_CreateObject(teller_session, t.a, t.count, key);
}

static CK_RV unwrap(CK_OBJECT_HANDLE *key)
{
    struct form t = {0};
    form_secret(&t, CKK_AES);
    persistent(&t);
    return p11->C_UnwrapKey(teller_session, caller_mechanism(CKM_AES_KEY_WRAP), teller_cmk, teller_blob, TELLER_BLOB, t.a, t.count, key);
}

static CK_RV log_out(void)
{
    return p11->C_Logout(teller_session);
}

static CK_RV close_all(void)
{
    return p11->C_CloseAllSessions(slot);
}

struct call {
    CK_RV (*make)(CK_OBJECT_HANDLE *key);
    CK_RV (*end)(void);
    CK_OBJECT_HANDLE key;
    CK_RV rv;
};

static void *run_make(void *arg)
{
    struct call *c = arg;
    c->rv = c->make(&c->key);
    return NULL;
}

static void *run_end(void *arg)
{
    struct call *c = arg;
    c->rv = c->end();
    return NULL;
}

static long left(void)
{
    struct form t = {0};
    form_bytes(&t, CKA_LABEL, label, sizeof label - 1);
    return caller_count(world, teller_session, &t);
}

static void run(enum faulty_function slow, CK_RV (*make)(CK_OBJECT_HANDLE *key), CK_RV (*end)(void))
{
    struct call maker = {.make = make};
    struct call ender = {.end = end};
    pthread_t threads[2];
    teller_begin("made");
    CHECK(caller_slot(world, "made", &slot), "the slot");
    struct faulty_rule *rule = scandal_arm(teller_control, &(struct scandal){.function = slow, .act = FAULTY_HANG, .value = HANG_MS, .times = 1});
    CHECK(pthread_create(&threads[0], NULL, run_make, &maker) == 0, "a thread");
    const double start = scandal_ms();
    while (atomic_load(&rule->acted) == 0 && scandal_ms() - start < HANG_MS) {
        (void)sched_yield();
    }
    CHECK(atomic_load(&rule->acted) == 1, "the token takes its time");
    CHECK(pthread_create(&threads[1], NULL, run_end, &ender) == 0, "another one");
    (void)usleep(AHEAD_MS * 1000);
    scandal_clear(teller_control);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
    CHECK_RV(ender.rv, CKR_OK, "5.6.8: the logout");
    CHECK(maker.rv == CKR_USER_NOT_LOGGED_IN || maker.rv == CKR_SESSION_HANDLE_INVALID, "the maker is told what came between");
    teller_end();
    teller_begin("made");
    CHECK(left() == 0, "6: the key that nobody got is not in the token");
    teller_end();
}

static void by_logout(void)
{
    run(FAULTY_C_GenerateKey, generate, log_out);
    run(FAULTY_C_UnwrapKey, unwrap, log_out);
    run(FAULTY_C_CreateObject, create, log_out);
}

static void by_closing_sessions(void)
{
    run(FAULTY_C_GenerateKey, generate, close_all);
    run(FAULTY_C_UnwrapKey, unwrap, close_all);
}

static CU_TestInfo tests[] = {
    {"C_Logout while a key is made", by_logout},
    {"C_CloseAllSessions while a key is made", by_closing_sessions},
    CU_TEST_INFO_NULL,
};

int main(void)
{
    static const struct fixture_slot slots[] = {{.name = "made", .tokens = "eu-1", .cmk = FIXTURE_CMK_KNOWN}, {0}};
    const struct fixture_settings settings = {.slots = slots, .vendor = teller_prepare()};
    return settings.vendor == NULL ? 1 : chapter_run("a logout meanwhile", &settings, tests);
}
