/*
 * leases_test.c: what becomes of a lease when the connection that it is of ends under another caller. Here Keyward's engine is part of the program,
 * because two leases are held by hand (backing.h); the token is SoftHSM behind faulty.so.
 */
#include <pthread.h>
#include <sched.h>

#include "member.h"
#include "teller.h"

enum { LATE_MS = 300, READS = 8 /* calls of C_GetAttributeValue in a search */ };

static struct kw_config *config;
static struct kw_backing *backing;

static void report(void *data, const char *sentence)
{
    (void)data;
    (void)printf("\n    %s", sentence);
}

static void begin(void)
{
    CHECK_RV(kw_config_load(world->conf, report, NULL, &config).code, CKR_OK, "the configuration");
    CHECK_RV(kw_backing_new(&config->tokens[0], &backing).code, CKR_OK, "a backing token");
}

static void end(void)
{
    kw_backing_free(backing);
    kw_config_free(config);
}

/* Gives a lease back as one whose connection is gone; the vendor's module is restarted when nobody is inside it. */
static void *give_up(void *arg)
{
    struct kw_lease *lease = arg;
    lease->failure = CKR_DEVICE_REMOVED;
    kw_backing_return(lease);
    return NULL;
}

/* Waits until the connection is over: what was known of it is forgotten then. */
static void await_the_end(void)
{
    struct kw_profile known;
    do {
        (void)sched_yield();
        kw_backing_profile(backing, &known);
    } while (known.capability.tried);
}

/* Two leases of one connection, of which something is known. */
static void take_two(struct kw_lease *mine, struct kw_lease *other)
{
    CHECK_RV(kw_backing_lease(backing, false, mine).code, CKR_OK, "a lease");
    CHECK_RV(kw_backing_lease(backing, false, other).code, CKR_OK, "and one of somebody else");
    mine->profile.capability.tried = true;
    kw_lease_keep_profile(mine);
}

static void what_was_found_out_goes_with_the_connection(void)
{
    struct kw_lease mine;
    struct kw_lease other;
    struct kw_lease next;
    pthread_t thread;
    begin();
    take_two(&mine, &other);
    CHECK(pthread_create(&thread, NULL, give_up, &other) == 0, "a thread");
    await_the_end();
    kw_lease_keep_profile(&mine);
    kw_backing_return(&mine);
    (void)pthread_join(thread, NULL);
    CHECK_RV(kw_backing_lease(backing, false, &next).code, CKR_OK, "the next connection");
    CHECK(next.epoch != mine.epoch && !next.profile.capability.tried, "knows nothing of what the token of the last one does");
    kw_backing_return(&next);
    end();
}

static void *lease_without_login(void *arg)
{
    struct kw_rv *r = arg;
    struct kw_lease lease;
    *r = kw_backing_lease(backing, true, &lease);
    return NULL;
}

/* Nobody has logged in, so a lease that needs that is refused; the session that was opened for it goes back to the pool, but not of another
 * connection, where its handle is somebody else's. */
static void a_session_goes_with_the_connection(void)
{
    struct kw_lease mine;
    struct kw_lease other;
    struct kw_lease next;
    CK_SESSION_INFO info;
    struct kw_rv refused = KW_OK;
    pthread_t late;
    pthread_t thread;
    begin();
    take_two(&mine, &other);
    struct faulty_rule *rule = scandal_arm(teller_control, &(struct scandal){.function = FAULTY_C_OpenSession, .act = FAULTY_HANG, .value = LATE_MS, .times = 1});
    CHECK(pthread_create(&late, NULL, lease_without_login, &refused) == 0, "a thread");
    while (atomic_load(&rule->acted) == 0) {
        (void)sched_yield();
    }
    CHECK(pthread_create(&thread, NULL, give_up, &other) == 0, "a thread");
    await_the_end();
    scandal_clear(teller_control);
    (void)pthread_join(late, NULL);
    CHECK(refused.code == CKR_USER_NOT_LOGGED_IN || refused.code == CKR_DEVICE_ERROR, "the late one is refused");
    kw_backing_return(&mine);
    (void)pthread_join(thread, NULL);
    CHECK_RV(kw_backing_lease(backing, false, &next).code, CKR_OK, "the next connection");
    CHECK_RV(next.call->C_GetSessionInfo(next.session, &info), CKR_OK, "gives a session of its own");
    kw_backing_return(&next);
    end();
}

static struct kw_rv do_nothing(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    (void)lease;
    (void)cmk;
    (void)arg;
    return KW_OK;
}

static void *use_second(void *arg)
{
    static const struct kw_job job = {.op = do_nothing, .user = true};
    struct kw_rv r = kw_members_run_on(arg, 1, &job);
    (void)r; /* served, or refused because the slot was logged out */
    return NULL;
}

struct login {
    struct kw_members *members;
    struct kw_rv r;
};

static void *log_in(void *arg)
{
    struct login *l = arg;
    l->r = kw_members_login(l->members, NULL);
    return NULL;
}

static void await_login(struct kw_backing *of)
{
    struct kw_lease lease;
    while (!kw_ok(kw_backing_lease(of, true, &lease))) {
        (void)sched_yield();
    }
    kw_backing_return(&lease);
}

/* A call that began before the logout joins the login of a token that was away, while the next login of the slot does the same. */
static void a_token_is_logged_out_with_its_slot(void)
{
    struct kw_members *m = NULL;
    struct kw_backing *both[2];
    struct kw_lease lease;
    pthread_t call;
    pthread_t login;
    begin();
    both[0] = backing;
    CHECK_RV(kw_backing_new(&config->tokens[1], &both[1]).code, CKR_OK, "another backing token");
    CHECK_RV(kw_members_new(both, 2, "one", &m).code, CKR_OK, "of one slot");
    (void)scandal_arm(teller_control, &(struct scandal){.function = FAULTY_C_Login, .act = FAULTY_CODE, .value = CKR_DEVICE_ERROR, .token = "eu-2"});
    CHECK_RV(kw_members_login(m, NULL).code, CKR_OK, "the second is away when the slot logs in");
    scandal_clear(teller_control);
    struct faulty_rule *rule = scandal_arm(teller_control, &(struct scandal){.function = FAULTY_C_Login, .act = FAULTY_HANG, .value = LATE_MS, .times = 1, .token = "eu-2"});
    CHECK(pthread_create(&call, NULL, use_second, m) == 0, "a call");
    while (atomic_load(&rule->acted) == 0) {
        (void)sched_yield();
    }
    kw_members_logout(m);
    struct login again = {m, KW_OK};
    CHECK(pthread_create(&login, NULL, log_in, &again) == 0, "a login");
    await_login(both[0]);
    scandal_clear(teller_control);
    (void)pthread_join(call, NULL);
    (void)pthread_join(login, NULL);
    CHECK_RV(again.r.code, CKR_OK, "the slot is logged in again");
    await_login(both[1]);
    kw_members_logout(m);
    CHECK_RV(kw_backing_lease(both[1], true, &lease).code, CKR_USER_NOT_LOGGED_IN, "3: nobody is logged in to the second token any more");
    kw_members_free(m);
    kw_backing_free(both[1]);
    end();
}

static CK_OBJECT_HANDLE half(CK_SESSION_HANDLE s, CK_OBJECT_CLASS class)
{
    struct form t = {0};
    CK_OBJECT_HANDLE found = 0;
    CK_ULONG n = 0;
    form_ulong(&t, CKA_CLASS, class);
    (void)(p11->C_FindObjectsInit(s, t.a, t.count) == CKR_OK && p11->C_FindObjects(s, &found, 1, &n) == CKR_OK && p11->C_FindObjectsFinal(s) == CKR_OK);
    return n == 1 ? found : 0;
}

static CK_RV unwrap_by(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE by, CK_BYTE *blob, CK_ULONG len)
{
    CK_RSA_PKCS_OAEP_PARAMS sha1 = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
    CK_MECHANISM oaep = {CKM_RSA_PKCS_OAEP, &sha1, sizeof sha1};
    struct form t = {0};
    CK_OBJECT_HANDLE key = 0;
    form_secret(&t, CKK_AES);
    form_readable(&t);
    return p11->C_UnwrapKey(s, &oaep, by, blob, len, t.a, t.count, &key);
}

/* docs/reliability.md: a handle that was got while the token stumbled serves when it is well again. */
static void a_handle_of_a_key_that_was_half_read_serves(void)
{
    CK_RSA_PKCS_OAEP_PARAMS sha1 = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
    CK_MECHANISM oaep = {CKM_RSA_PKCS_OAEP, &sha1, sizeof sha1};
    CK_BYTE blob[256];
    CK_ULONG len = sizeof blob;
    unsigned half_read = 0;
    CK_SESSION_HANDLE s = enter("pair");
    CK_OBJECT_HANDLE key = caller_generate(world, s, CKK_AES, 32);
    CHECK_RV(p11->C_WrapKey(s, &oaep, half(s, CKO_PUBLIC_KEY), key, blob, &len), CKR_OK, "a data key is wrapped");
    leave();
    for (unsigned long k = 0; k < READS; k++) {
        s = enter("pair");
        (void)half(s, CKO_PRIVATE_KEY); /* the first reading of all is made twice */
        (void)scandal_arm(teller_control, &(struct scandal){.function = FAULTY_C_GetAttributeValue, .act = FAULTY_CODE, .value = CKR_ATTRIBUTE_TYPE_INVALID, .skip = k, .times = 1});
        CK_OBJECT_HANDLE h = half(s, CKO_PRIVATE_KEY);
        scandal_clear(teller_control);
        CK_ATTRIBUTE a = {CKA_MODULUS, NULL, 0};
        CHECK_RV(p11->C_GetAttributeValue(s, h, &a, 1), CKR_OK, "a handle is given out");
        half_read += a.ulValueLen == 0;
        CHECK_RV(unwrap_by(s, h, blob, len), CKR_OK, "and serves when the token is well again");
        leave();
    }
    CHECK(half_read > 0, "one was given out before the modulus was read");
}

static CU_TestInfo tests[] = {
    {"what was found out goes with the connection", what_was_found_out_goes_with_the_connection},
    {"a session goes with the connection", a_session_goes_with_the_connection},
    {"a token is logged out with its slot", a_token_is_logged_out_with_its_slot},
    {"a handle of a key that was half read serves", a_handle_of_a_key_that_was_half_read_serves},
    CU_TEST_INFO_NULL,
};

int main(void)
{
    static const struct fixture_slot slots[] = {{.name = "one", .tokens = "eu-1 eu-2", .cmk = FIXTURE_CMK_KNOWN}, {.name = "pair", .tokens = "eu-1", .bits = 2048}, {0}};
    const struct fixture_settings settings = {.slots = slots, .vendor = teller_prepare()};
    return settings.vendor == NULL ? 1 : chapter_run("Leases", &settings, tests);
}
