/*
 * storm.c: many threads at work on three slots, and the weather changes under them. Meant for the tsan preset.
 *
 *   storm [SECONDS [SEED]]      1 second; the seed is 1
 *
 * The threads wrap, unwrap, make sealed keys, log in and out, ask for the token and start the library anew; the weather arms a fault, takes
 * it away and arms the next. SoftHSM itself dies when its sessions or its login are taken away under another thread's call, so these faults
 * are left to the table and to chaos. Checked: no wrong key, no call beyond the bound, no answer but an outage or the end of what somebody
 * else has ended, and all is well when the sky is clear again.
 */
#include <stdatomic.h>
#include <unistd.h>

#include "crew.h"
#include "teller.h"

enum { BOUND_MS = 12000, BACK_MS = 6000, FAIR_US = 20000 };

static unsigned long seconds = 1;
static unsigned long long state = 1;
static atomic_bool stop;
static atomic_long longest;
static const char *const names[] = {"pair", "turns", "alone"};
static CK_SLOT_ID ids[COUNT_OF(names)]; /* which outlive the library */

static unsigned long pick(unsigned long below)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned long)(state >> 33) % below;
}

static _Thread_local double begun;

static void begin(void)
{
    begun = scandal_ms();
}

/* Notes the answer and how long it took since begin. */
static CK_RV note(struct crew_worker *w, CK_RV rv)
{
    long took = (long)(scandal_ms() - begun);
    long known = atomic_load(&longest);
    while (took > known && !atomic_compare_exchange_weak(&longest, &known, took)) {
    }
    return crew_note(w, rv);
}

#define ASK(w, call) (begin(), note((w), (call)))

/* The master key of the session, or 0. */
static CK_OBJECT_HANDLE look_up(struct crew_worker *w, CK_SESSION_HANDLE session)
{
    struct form t = {0};
    CK_OBJECT_HANDLE cmk = 0;
    CK_ULONG n = 0;
    form_bool(&t, CKA_WRAP, true);
    if (ASK(w, p11->C_FindObjectsInit(session, t.a, t.count)) != CKR_OK) {
        return 0;
    }
    (void)ASK(w, p11->C_FindObjects(session, &cmk, 1, &n));
    (void)ASK(w, p11->C_FindObjectsFinal(session));
    return n == 1 ? cmk : 0;
}

static void unwrap(struct crew_worker *w, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE cmk)
{
    struct form t = {0};
    CK_OBJECT_HANDLE key = 0;
    uint8_t got[TELLER_VALUE] = {0};
    CK_ATTRIBUTE value = {CKA_VALUE, got, sizeof got};
    form_secret(&t, CKK_AES);
    form_readable(&t);
    if (ASK(w, p11->C_UnwrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), cmk, teller_blob, TELLER_BLOB, t.a, t.count, &key)) == CKR_OK) {
        if (ASK(w, p11->C_GetAttributeValue(session, key, &value, 1)) == CKR_OK) {
            w->tally.wrong += memcmp(got, teller_value, sizeof got) != 0;
        }
        (void)ASK(w, p11->C_DestroyObject(session, key));
    }
}

static void wrap(struct crew_worker *w, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE cmk, bool sealed)
{
    struct form t = {0};
    CK_OBJECT_HANDLE key = 0;
    uint8_t out[TELLER_BLOB];
    CK_ULONG len = sizeof out;
    form_bool(&t, CKA_SENSITIVE, sealed);
    form_bool(&t, CKA_EXTRACTABLE, true);
    if (sealed) {
        form_ulong(&t, CKA_VALUE_LEN, TELLER_VALUE);
    } else {
        form_secret(&t, CKK_AES);
        form_bytes(&t, CKA_VALUE, teller_value, TELLER_VALUE);
    }
    CK_RV rv = sealed ? ASK(w, p11->C_GenerateKey(session, caller_mechanism(CKM_AES_KEY_GEN), t.a, t.count, &key))
                      : ASK(w, p11->C_CreateObject(session, t.a, t.count, &key));
    if (rv == CKR_OK) {
        rv = ASK(w, p11->C_WrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), cmk, key, out, &len));
        w->tally.wrong += rv == CKR_OK && !sealed && memcmp(out, teller_blob, sizeof out) != 0;
        (void)ASK(w, p11->C_DestroyObject(session, key));
    }
}

/* A broker's day: in, some keys, and out again. */
static void keep_shop(struct crew_worker *w)
{
    for (unsigned day = w->number; !atomic_load(&stop); day++) {
        CK_SESSION_HANDLE session = 0;
        if (ASK(w, p11->C_OpenSession(ids[day % COUNT_OF(ids)], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session)) != CKR_OK) {
            (void)usleep(1000); /* the library is being started anew */
            continue;
        }
        (void)ASK(w, p11->C_Login(session, CKU_USER, NULL, 0));
        CK_OBJECT_HANDLE cmk = look_up(w, session);
        for (unsigned i = 0; i < 12 && cmk != 0 && !atomic_load(&stop); i++) {
            unwrap(w, session, cmk);
            wrap(w, session, cmk, i % 4 == 3);
        }
        (void)ASK(w, p11->C_CloseSession(session));
    }
}

/* One who asks for the tokens, ends logins, and once in a while the library. */
static void disturb(struct crew_worker *w)
{
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        CK_SLOT_ID slot = ids[i % COUNT_OF(ids)];
        CK_TOKEN_INFO info;
        CK_SESSION_HANDLE session = 0;
        (void)usleep(7000);
        if (i % 40 == 39) {
            (void)ASK(w, p11->C_Finalize(NULL));
            (void)ASK(w, p11->C_Initialize(NULL));
        }
        (void)ASK(w, p11->C_GetTokenInfo(slot, &info));
        if (i % 8 == 7 && ASK(w, p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session)) == CKR_OK) {
            (void)ASK(w, p11->C_Logout(session));
            (void)ASK(w, p11->C_CloseSession(session));
        }
    }
}

/* The fault of the hour. */
static void blow(void)
{
    static const CK_RV codes[] = {CKR_DEVICE_ERROR, CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_PRESENT, CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED,
                                  CKR_CRYPTOKI_NOT_INITIALIZED, CKR_SESSION_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID,
                                  CKR_USER_NOT_LOGGED_IN, CKR_SESSION_COUNT, CKR_DEVICE_MEMORY, 0x1234};
    static const enum faulty_function at[] = {FAULTY_C_GetSlotList, FAULTY_C_GetTokenInfo, FAULTY_C_OpenSession, FAULTY_C_Login, FAULTY_C_FindObjectsInit,
                                              FAULTY_C_FindObjects, FAULTY_C_GetAttributeValue, FAULTY_C_GenerateKey, FAULTY_C_CreateObject,
                                              FAULTY_C_WrapKey, FAULTY_C_UnwrapKey, FAULTY_C_GetSessionInfo, FAULTY_C_Initialize, FAULTY_C_CloseSession};
    static const char *const tokens[] = {NULL, "eu-1", "eu-2"};
    struct scandal s = {.function = at[pick(COUNT_OF(at))], .token = tokens[pick(COUNT_OF(tokens))], .skip = pick(4), .times = pick(3)};
    switch (pick(6)) {
    case 0:
        s.act = FAULTY_DELAY;
        s.value = 1 + pick(20);
        break;
    case 1:
        s.act = FAULTY_HANG;
        s.value = 50 + pick(300);
        break;
    case 2:
        s.function = FAULTY_C_OpenSession;
        s.act = FAULTY_LIMIT;
        s.value = 1 + pick(2);
        break;
    case 3:
        s.act = FAULTY_LATE;
        s.value = codes[pick(COUNT_OF(codes))];
        break;
    default:
        s.act = FAULTY_CODE;
        s.value = codes[pick(COUNT_OF(codes))];
        break;
    }
    if (s.function == FAULTY_C_UnwrapKey && (s.value == CKR_GENERAL_ERROR || s.value == CKR_FUNCTION_FAILED)) {
        s.value = CKR_DEVICE_ERROR; /* twice, and then the token is well again: so answers one that got a bad blob */
    }
    (void)scandal_arm(teller_control, &s);
}

static void make_weather(struct crew_worker *w)
{
    (void)w;
    double over = scandal_ms() + (double)seconds * 1000;
    while (scandal_ms() < over) {
        for (unsigned i = 0; i <= pick(2); i++) {
            blow();
        }
        (void)usleep((useconds_t)(1 + pick(200)) * 1000);
        scandal_clear(teller_control);
        (void)usleep(FAIR_US);
    }
    atomic_store(&stop, true);
}

/* What an outage and the end of a session, a login, a key or the library look like. CKR_DEVICE_MEMORY: every session was taken. CKR_KEY_UNEXTRACTABLE: what
 * SoftHSM says of a session key that goes, with the session that it was made in, while it is being wrapped. */
static const CK_RV allowed[] = {
    CKR_DEVICE_REMOVED, CKR_DEVICE_ERROR, CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_MEMORY, CKR_FUNCTION_FAILED, CKR_GENERAL_ERROR,
    CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED, CKR_USER_NOT_LOGGED_IN, CKR_USER_ALREADY_LOGGED_IN, CKR_OBJECT_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID,
    CKR_WRAPPING_KEY_HANDLE_INVALID, CKR_UNWRAPPING_KEY_HANDLE_INVALID, CKR_OPERATION_NOT_INITIALIZED, CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_CRYPTOKI_ALREADY_INITIALIZED, CKR_KEY_UNEXTRACTABLE};

static void threads_work_through_a_storm(void)
{
    static crew_job *const jobs[] = {make_weather, disturb, keep_shop, keep_shop, keep_shop, keep_shop, keep_shop, keep_shop};
    teller_begin("pair");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        CHECK(caller_slot(world, names[i], &ids[i]), names[i]);
    }
    struct crew_tally t = crew_run(COUNT_OF(jobs), jobs, COUNT_OF(jobs), &(struct crew_worker){0});
    scandal_clear(teller_control);
    (void)printf("\n    # %lu calls, %lu CKR_OK, the longest %ld ms; %s\n", t.calls, crew_count(&t, CKR_OK), atomic_load(&longest), crew_surprises(&t, NULL, 0));
    CHECK(t.wrong == 0, "G2: never a wrong key");
    CHECK(crew_count(&t, CKR_OK) > 100, "work was done");
    CHECK(atomic_load(&longest) < BOUND_MS, "each call returns within the bound");
    CHECK(crew_surprises(&t, allowed, COUNT_OF(allowed))[0] == '\0', chapter_join("each answer is an outage or an end", crew_surprises(&t, allowed, COUNT_OF(allowed))));
    CK_RV rv = p11->C_Finalize(NULL);
    CHECK_EITHER(rv, CKR_OK, CKR_CRYPTOKI_NOT_INITIALIZED, "the end");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        double start = scandal_ms();
        teller_begin(names[i]);
        CHECK(teller_until_ok(BACK_MS) >= 0, chapter_join("well afterwards", names[i]));
        CHECK(scandal_ms() - start < BACK_MS, "and soon");
        teller_end();
    }
}

int main(int argc, char **argv)
{
    static const struct fixture_slot slots[] = {{.name = "pair", .tokens = "eu-1 eu-2", .cmk = FIXTURE_CMK_KNOWN},
                                                {.name = "turns", .tokens = "eu-1 eu-2", .cmk = FIXTURE_CMK_KNOWN, .spread = true},
                                                {.name = "alone", .tokens = "eu-1", .cmk = FIXTURE_CMK_KNOWN},
                                                {0}};
    CU_TestInfo tests[] = {{"threads work through a storm", threads_work_through_a_storm}, CU_TEST_INFO_NULL};
    seconds = argc > 1 ? strtoul(argv[1], NULL, 10) : seconds;
    state = argc > 2 ? strtoul(argv[2], NULL, 10) : state;
    const struct fixture_settings settings = {.slots = slots, .vendor = teller_prepare()};
    return settings.vendor == NULL ? 1 : chapter_run("storm", &settings, tests);
}
