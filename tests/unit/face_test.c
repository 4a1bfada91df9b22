/*
 * face_test.c: the C_* functions over the recording engine (../fuzz): memory that runs out at every allocation, a backing token that
 * fails with every code, and other calls that come between the two halves of a call (upset.h).
 */
#include "cryptoki.h"
#include "error.h"
#include "recording_engine.h"
#include "scratch.h"
#include "secret.h"
#include "upset.h"

#define KW_FUNCTION(table, name, gate, call, parameters) CK_RV name parameters;
#include "functions.def"
#undef KW_FUNCTION

#define COUNT_OF(rows) (sizeof(rows) / sizeof(rows)[0])
#define A(type, value) {(type), &(value), sizeof(value)}

static CK_SLOT_ID slots[RECORDING_SLOTS];
static CK_SESSION_HANDLE session;
static CK_BBOOL yes = CK_TRUE;
static CK_BBOOL no = CK_FALSE;

static CK_RV log_in(CK_SESSION_HANDLE s)
{
    CK_UTF8CHAR pin[] = RECORDING_PIN;
    return C_Login(s, CKU_USER, pin, sizeof pin - 1);
}

static void begin(void)
{
    CK_ULONG count = RECORDING_SLOTS;
    recording_reset();
    CU_ASSERT_EQUAL_FATAL(C_Initialize(NULL), CKR_OK);
    CU_ASSERT_EQUAL_FATAL(C_GetSlotList(CK_FALSE, slots, &count), CKR_OK);
    CU_ASSERT_EQUAL_FATAL(C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session), CKR_OK);
    CU_ASSERT_EQUAL_FATAL(log_in(session), CKR_OK);
}

static void end(void)
{
    recording_forgive();
    CU_ASSERT_EQUAL(C_Finalize(NULL), CKR_OK);
    CU_ASSERT_EQUAL(kw_secret_alive(), 0);
}

enum home { MEMORY, TOKEN_HOME, PERSISTENT };

static CK_RV generate(enum home home, CK_OBJECT_HANDLE *key)
{
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {A(CKA_VALUE_LEN, len), {CKA_TOKEN, home == PERSISTENT ? &yes : &no, 1},
                        {CKA_SENSITIVE, home == TOKEN_HOME ? &yes : &no, 1}, A(CKA_EXTRACTABLE, yes)};
    return C_GenerateKey(session, &m, t, COUNT_OF(t), key);
}

/* A key of bytes 0, 1, … with CKA_SENSITIVE as said, created. */
static CK_RV create(CK_ULONG len, CK_BBOOL sensitive, CK_OBJECT_HANDLE *key)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BYTE bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (CK_BYTE)i;
    }
    CK_ATTRIBUTE t[] = {A(CKA_CLASS, class), A(CKA_KEY_TYPE, type), {CKA_VALUE, bytes, len}, A(CKA_SENSITIVE, sensitive)};
    return C_CreateObject(session, t, COUNT_OF(t), key);
}

static CK_ULONG found; /* by the last search */

static CK_RV search(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *first)
{
    CK_OBJECT_HANDLE list[8] = {0};
    CK_RV rv = C_FindObjectsInit(s, t, n);
    if (rv == CKR_OK) {
        CU_ASSERT_EQUAL(C_FindObjects(s, list, COUNT_OF(list), &found), CKR_OK);
        CU_ASSERT_EQUAL(C_FindObjectsFinal(s), CKR_OK);
    }
    *first = list[0];
    return rv;
}

static CK_OBJECT_HANDLE find_cmk(void)
{
    CK_ATTRIBUTE t[] = {A(CKA_WRAP, yes)};
    CK_OBJECT_HANDLE cmk = 0;
    CU_ASSERT_EQUAL(search(session, t, 1, &cmk), CKR_OK);
    CU_ASSERT_NOT_EQUAL_FATAL(cmk, CK_INVALID_HANDLE);
    return cmk;
}

static CK_RV read_value(CK_OBJECT_HANDLE key, CK_ULONG *len)
{
    CK_BYTE out[64];
    CK_ATTRIBUTE t = {CKA_VALUE, out, sizeof out};
    CK_RV rv = C_GetAttributeValue(session, key, &t, 1);
    *len = t.ulValueLen;
    return rv;
}

static CK_RV rename_key(CK_OBJECT_HANDLE key)
{
    char label[] = "other";
    CK_ATTRIBUTE t = {CKA_LABEL, label, 5};
    return C_SetAttributeValue(session, key, &t, 1);
}

static CK_BYTE blob[KW_BLOB_MAX];
static CK_ULONG blob_len;

static CK_RV wrap(CK_OBJECT_HANDLE cmk, CK_OBJECT_HANDLE key)
{
    CK_MECHANISM m = {CKM_AES_KEY_WRAP_KWP, NULL, 0};
    blob_len = sizeof blob;
    return C_WrapKey(session, &m, cmk, key, blob, &blob_len);
}

/* With CKA_VALUE_LEN unless len is 0. */
static CK_RV unwrap(CK_OBJECT_HANDLE cmk, CK_BBOOL sensitive, CK_ULONG len, CK_OBJECT_HANDLE *key)
{
    CK_MECHANISM m = {CKM_AES_KEY_WRAP_KWP, NULL, 0};
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_ATTRIBUTE t[] = {A(CKA_CLASS, class), A(CKA_KEY_TYPE, type), A(CKA_SENSITIVE, sensitive), A(CKA_VALUE_LEN, len)};
    return C_UnwrapKey(session, &m, cmk, blob, blob_len, t, len == 0 ? 3 : 4, key);
}

static CK_OBJECT_HANDLE script_cmk;
static CK_OBJECT_HANDLE script_keys[5];
static CK_SESSION_HANDLE script_more;

static CK_RV do_initialize(void)
{
    return C_Initialize(NULL);
}

static CK_RV do_slots(void)
{
    CK_ULONG count = RECORDING_SLOTS;
    CK_SLOT_INFO info;
    CK_TOKEN_INFO token;
    CK_INFO library;
    CK_RV rv = C_GetInfo(&library);
    rv = rv != CKR_OK ? rv : C_GetSlotList(CK_TRUE, slots, &count);
    rv = rv != CKR_OK ? rv : C_GetSlotInfo(slots[0], &info);
    return rv != CKR_OK ? rv : C_GetTokenInfo(slots[0], &token);
}

static CK_RV do_mechanisms(void)
{
    CK_MECHANISM_TYPE list[8];
    CK_ULONG count = COUNT_OF(list);
    CK_MECHANISM_INFO info;
    CK_RV rv = C_GetMechanismList(slots[0], list, &count);
    return rv != CKR_OK ? rv : C_GetMechanismInfo(slots[0], CKM_AES_KEY_WRAP, &info);
}

static CK_RV do_open(void)
{
    return C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
}

static CK_RV do_login(void)
{
    return log_in(session);
}

static CK_RV do_find_cmk(void)
{
    CK_ATTRIBUTE t[] = {A(CKA_UNWRAP, yes)};
    return search(session, t, 1, &script_cmk);
}

static CK_RV do_generate_memory(void)
{
    return generate(MEMORY, &script_keys[0]);
}

static CK_RV do_generate_sealed(void)
{
    return generate(TOKEN_HOME, &script_keys[1]);
}

static CK_RV do_generate_persistent(void)
{
    return generate(PERSISTENT, &script_keys[2]);
}

static CK_RV do_create(void)
{
    return create(20, CK_FALSE, &script_keys[3]);
}

static CK_RV do_read_memory(void)
{
    CK_ULONG len = 0;
    return read_value(script_keys[0], &len);
}

static CK_RV do_read_persistent(void)
{
    CK_ULONG len = 0;
    return read_value(script_keys[2], &len);
}

static CK_RV do_rename(void)
{
    return rename_key(script_keys[2]);
}

static CK_RV do_wrap(void)
{
    return wrap(script_cmk, script_keys[3]);
}

static CK_RV do_unwrap(void)
{
    return unwrap(script_cmk, CK_FALSE, 20, &script_keys[4]);
}

static CK_RV do_unwrap_sealed(void)
{
    return unwrap(script_cmk, CK_TRUE, 0, &script_keys[4]);
}

static CK_RV do_relogin(void)
{
    CK_RV rv = C_Logout(session);
    return rv == CKR_USER_NOT_LOGGED_IN ? log_in(session) : rv; /* the second time: it was the login that failed */
}

static CK_RV do_login_again(void)
{
    CK_RV rv = log_in(session);
    return rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : rv;
}

static CK_RV do_find_all(void)
{
    CK_RV rv = search(session, NULL, 0, &script_keys[2]); /* the CMK is new again, and the persistent key */
    CU_ASSERT_TRUE(rv != CKR_OK || found == 2);
    return rv;
}

static CK_RV do_random(void)
{
    CK_BYTE out[100];
    return C_GenerateRandom(session, out, sizeof out);
}

static CK_RV do_more(void)
{
    return C_OpenSession(slots[1], CKF_SERIAL_SESSION, NULL, NULL, &script_more);
}

static CK_RV do_close(void)
{
    CK_RV rv = C_CloseSession(script_more);
    return rv != CKR_OK ? rv : C_CloseAllSessions(slots[0]);
}

typedef CK_RV step(void);
static const struct {
    const char *name;
    step *call;
    unsigned times;
} script[] = {
    {"C_Initialize", do_initialize, 1},
    {"slots", do_slots, 1},
    {"mechanisms", do_mechanisms, 1},
    {"C_OpenSession", do_open, 1},
    {"C_Login", do_login, 1},
    {"C_FindObjectsInit: the CMK", do_find_cmk, 1},
    {"C_GenerateKey, memory home", do_generate_memory, 65}, /* more than the first room of a table of handles */
    {"C_GenerateKey, token home", do_generate_sealed, 1},
    {"C_GenerateKey, persistent", do_generate_persistent, 1},
    {"C_CreateObject", do_create, 1},
    {"C_GetAttributeValue, memory home", do_read_memory, 1},
    {"C_GetAttributeValue, persistent", do_read_persistent, 1},
    {"C_SetAttributeValue", do_rename, 1},
    {"C_WrapKey", do_wrap, 1},
    {"C_UnwrapKey, memory home", do_unwrap, 1},
    {"C_UnwrapKey, token home", do_unwrap_sealed, 1},
    {"C_GenerateRandom", do_random, 1},
    {"C_OpenSession, another slot", do_more, 65},
    {"C_Logout", do_relogin, 1},
    {"C_Login, again", do_login_again, 1},
    {"C_FindObjectsInit: everything", do_find_all, 1},
    {"C_CloseSession", do_close, 1},
};

/* The whole script, the allocation `nth` fails; whether there was one. A step that was refused works when it is asked again. */
static bool run_short_of_memory(long nth)
{
    recording_reset();
    upset_shortage = nth;
    upset_starved = false;
    for (size_t i = 0; i < COUNT_OF(script); i++) {
        for (unsigned n = 0; n < script[i].times; n++) {
            bool before = upset_starved;
            CK_RV rv = script[i].call();
            bool short_now = upset_starved && !before;
            if (rv != CKR_OK && !(short_now && rv == CKR_HOST_MEMORY)) {
                (void)printf("\n    %s with allocation %ld failing: %s\n", script[i].name, nth, kw_error_name(rv));
                CU_FAIL("an answer that is neither CKR_OK nor CKR_HOST_MEMORY");
            }
            if (rv != CKR_OK && script[i].call() != CKR_OK) {
                (void)printf("\n    %s after allocation %ld failed\n", script[i].name, nth);
                CU_FAIL("memory is back, and the call still fails");
            }
        }
    }
    upset_shortage = -1;
    CU_ASSERT_EQUAL(C_Finalize(NULL), CKR_OK);
    CU_ASSERT_EQUAL(kw_secret_alive(), 0);
    CU_ASSERT_EQUAL(recording_session_keys(), 0);
    return upset_starved;
}

static void each_allocation_may_fail(void)
{
    long n = 0;
    while (run_short_of_memory(n) && n < 2000) {
        n++;
    }
    CU_ASSERT_TRUE(n > 100 && n < 2000); /* the script has at least a hundred allocations, and an end */
}

static CK_OBJECT_HANDLE fault_cmk;
static CK_OBJECT_HANDLE fault_key;
static CK_OBJECT_HANDLE fault_out;

static CK_RV op_destroy(void)
{
    return C_DestroyObject(session, fault_key);
}

static CK_RV op_rename(void)
{
    return rename_key(fault_key);
}

static CK_RV op_value(void)
{
    CK_ULONG len = 0;
    return read_value(fault_key, &len);
}

static CK_RV op_list(void)
{
    return search(session, NULL, 0, &fault_out);
}

static CK_RV op_make(void)
{
    return generate(TOKEN_HOME, &fault_out);
}

static CK_RV op_wrap(void)
{
    return wrap(fault_cmk, fault_key);
}

static CK_RV op_unwrap(void)
{
    return unwrap(fault_cmk, CK_TRUE, 0, &fault_out);
}

static CK_RV op_open(void)
{
    CK_SESSION_HANDLE s = 0;
    CK_RV rv = C_OpenSession(slots[1], CKF_SERIAL_SESSION, NULL, NULL, &s);
    CU_ASSERT_EQUAL(s == 0, rv != CKR_OK);
    return rv == CKR_OK ? C_CloseSession(s) : rv;
}

static CK_RV op_token_info(void)
{
    CK_TOKEN_INFO info;
    return C_GetTokenInfo(slots[1], &info);
}

static CK_RV op_mechanisms(void)
{
    CK_ULONG count = 0;
    return C_GetMechanismList(slots[1], NULL, &count);
}

static CK_RV op_mechanism_info(void)
{
    CK_MECHANISM_INFO info;
    return C_GetMechanismInfo(slots[1], CKM_AES_KEY_WRAP, &info);
}

static const struct {
    const char *name;
    step *call;
    unsigned after; /* engine calls that go well before */
} operations[] = {
    {"C_SetAttributeValue", op_rename, 0},       {"C_GetAttributeValue", op_value, 0},
    {"C_FindObjectsInit, versions", op_list, 0}, {"C_FindObjectsInit, data keys", op_list, 1},
    {"C_GenerateKey", op_make, 0},               {"C_WrapKey", op_wrap, 0},
    {"C_UnwrapKey", op_unwrap, 0},               {"C_GenerateRandom", do_random, 0},
    {"C_OpenSession", op_open, 0},               {"C_GetTokenInfo", op_token_info, 0},
    {"C_GetMechanismList", op_mechanisms, 0},    {"C_GetMechanismInfo", op_mechanism_info, 0},
    {"C_DestroyObject", op_destroy, 0}, /* the last one: it works when it is asked again */
};

static const CK_RV codes[] = {
#define KW_ERROR(code, class) code,
#include "errors.def"
#undef KW_ERROR
};

/* The token's code reaches the caller, nothing has changed, and the same call works when the token does again. */
static void each_failure_of_the_token_is_told(void)
{
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        begin();
        fault_cmk = find_cmk();
        CU_ASSERT_EQUAL(generate(PERSISTENT, &fault_key), CKR_OK);
        for (size_t k = 0; codes[i] != CKR_OK && k < COUNT_OF(operations); k++) {
            CK_RV told = CKR_OK;
            CU_ASSERT_EQUAL(wrap(fault_cmk, fault_key), CKR_OK);
            recording_fault(operations[k].after, codes[i], false);
            CK_RV rv = operations[k].call();
            CU_ASSERT_TRUE(recording_failed(&told));
            recording_forgive();
            bool gone = operations[k].call == op_destroy && codes[i] == CKR_OBJECT_HANDLE_INVALID;
            CK_RV again = operations[k].call();
            if (rv != codes[i] || again != (gone ? CKR_OBJECT_HANDLE_INVALID : CKR_OK)) {
                (void)printf("\n    %s, the token says %s: %s, and then %s\n", operations[k].name, kw_error_name(codes[i]),
                             kw_error_name(rv), kw_error_name(again));
                CU_FAIL("the token's failure");
            }
        }
        end();
    }
}

static void a_token_that_is_away_is_no_error_of_the_lists(void)
{
    CK_ULONG count = RECORDING_SLOTS;
    CK_SLOT_ID list[RECORDING_SLOTS];
    CK_SLOT_INFO info;
    begin();
    recording_fault(0, CKR_TOKEN_NOT_PRESENT, false);
    CU_ASSERT_EQUAL(C_GetSlotList(CK_TRUE, list, &count), CKR_OK);
    CU_ASSERT_EQUAL(count, RECORDING_SLOTS - 1);
    recording_fault(0, CKR_DEVICE_ERROR, false);
    CU_ASSERT_EQUAL(C_GetSlotInfo(slots[0], &info), CKR_OK);
    CU_ASSERT_EQUAL(info.flags & CKF_TOKEN_PRESENT, 0);
    end();
}

static void a_login_that_fails_leaves_the_slot_logged_out(void)
{
    begin();
    CU_ASSERT_EQUAL(C_Logout(session), CKR_OK);
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        if (codes[i] != CKR_OK) {
            recording_fault(0, codes[i], false);
            CU_ASSERT_EQUAL(log_in(session), codes[i]);
            recording_forgive();
            CU_ASSERT_FALSE(recording_logged_in(0));
        }
    }
    CU_ASSERT_EQUAL(log_in(session), CKR_OK);
    end();
}

/* RFC 5649 pads: a blob of 20 bytes is as long as one of 24. */
static void an_unwrapped_key_has_the_length_that_was_asked_for(void)
{
    CK_OBJECT_HANDLE key = 0;
    CK_OBJECT_HANDLE out = 77;
    begin();
    CK_OBJECT_HANDLE cmk = find_cmk();
    CU_ASSERT_EQUAL(create(20, CK_FALSE, &key), CKR_OK);
    CU_ASSERT_EQUAL(wrap(cmk, key), CKR_OK);
    CU_ASSERT_EQUAL(unwrap(cmk, CK_FALSE, 24, &out), CKR_WRAPPED_KEY_INVALID);
    CU_ASSERT_EQUAL(unwrap(cmk, CK_TRUE, 24, &out), CKR_WRAPPED_KEY_INVALID);
    CU_ASSERT_EQUAL(recording_session_keys(), 0);
    CU_ASSERT_EQUAL(out, 77);
    CU_ASSERT_EQUAL(unwrap(cmk, CK_TRUE, 20, &out), CKR_OK);
    end();
}

static CK_SESSION_HANDLE other;
static CK_OBJECT_HANDLE victim;
static CK_OBJECT_HANDLE seen;

static void close_the_session(void)
{
    CU_ASSERT_EQUAL(C_CloseSession(session), CKR_OK);
}

static void log_the_slot_out(void)
{
    CU_ASSERT_EQUAL(C_Logout(other), CKR_OK);
}

static void search_elsewhere(void)
{
    CK_ATTRIBUTE t[] = {A(CKA_EXTRACTABLE, yes)};
    CU_ASSERT_EQUAL(search(other, t, 1, &seen), CKR_OK);
}

static void cancel_the_search(void)
{
    CU_ASSERT_EQUAL(C_SessionCancel(session, 0x40), CKR_OK);
}

static void search_anew(void)
{
    cancel_the_search();
    CU_ASSERT_EQUAL(C_FindObjectsInit(session, NULL, 0), CKR_OK);
}

static void destroy_it_twice(void)
{
    CU_ASSERT_EQUAL(C_DestroyObject(session, victim), CKR_OBJECT_HANDLE_INVALID);
}

static void begin_with_two(void)
{
    begin();
    CU_ASSERT_EQUAL(C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &other), CKR_OK);
}

static void a_key_is_not_left_behind_when_its_session_ends_meanwhile(void)
{
    CK_OBJECT_HANDLE key = 77;
    for (enum home home = MEMORY; home <= PERSISTENT; home++) {
        begin_with_two();
        upset_meanwhile = close_the_session;
        CU_ASSERT_EQUAL(generate(home, &key), CKR_SESSION_HANDLE_INVALID);
        CU_ASSERT_EQUAL(recording_session_keys(), 0);
        CU_ASSERT_EQUAL(kw_secret_alive(), 0);
        CU_ASSERT_EQUAL(search(other, (CK_ATTRIBUTE[]){A(CKA_EXTRACTABLE, yes)}, 1, &seen), CKR_OK);
        CU_ASSERT_EQUAL(seen, 0);
        end();
    }
    begin_with_two();
    upset_meanwhile = log_the_slot_out;
    CU_ASSERT_EQUAL(generate(MEMORY, &key), CKR_USER_NOT_LOGGED_IN);
    CU_ASSERT_EQUAL(key, 77);
    end();
}

static void a_key_that_a_search_found_first_has_one_handle(void)
{
    CK_OBJECT_HANDLE key = 0;
    begin_with_two();
    upset_meanwhile = search_elsewhere;
    CU_ASSERT_EQUAL(generate(PERSISTENT, &key), CKR_OK);
    CU_ASSERT_EQUAL(key, seen);
    CU_ASSERT_EQUAL(C_DestroyObject(session, key), CKR_OK);
    end();
}

static void a_search_is_overtaken(void)
{
    CK_ATTRIBUTE cmks[] = {A(CKA_WRAP, yes)};
    CK_OBJECT_HANDLE key = 0;
    CK_OBJECT_HANDLE list[4];
    CK_ULONG count = 0;
    begin_with_two();
    CU_ASSERT_EQUAL(generate(PERSISTENT, &key), CKR_OK);
    upset_meanwhile = search_elsewhere; /* a reading that begins later and ends earlier */
    CU_ASSERT_EQUAL(C_FindObjectsInit(session, NULL, 0), CKR_OK);
    CU_ASSERT_EQUAL(C_FindObjects(session, list, 4, &count), CKR_OK);
    CU_ASSERT_EQUAL(count, 2);
    CU_ASSERT_EQUAL(C_FindObjectsFinal(session), CKR_OK);
    upset_meanwhile = cancel_the_search;
    CU_ASSERT_EQUAL(C_FindObjectsInit(session, NULL, 0), CKR_OK);
    CU_ASSERT_EQUAL(C_FindObjectsFinal(session), CKR_OPERATION_NOT_INITIALIZED);
    upset_meanwhile = search_anew;
    CU_ASSERT_EQUAL(C_FindObjectsInit(session, NULL, 0), CKR_OK);
    CU_ASSERT_EQUAL(C_FindObjects(session, list, 4, &count), CKR_OK);
    CU_ASSERT_EQUAL(count, 2); /* of the second search */
    CU_ASSERT_EQUAL(C_FindObjectsFinal(session), CKR_OK);
    upset_meanwhile = log_the_slot_out;
    CU_ASSERT_EQUAL(C_FindObjectsInit(session, cmks, 1), CKR_USER_NOT_LOGGED_IN);
    CU_ASSERT_EQUAL(C_FindObjectsFinal(session), CKR_OPERATION_NOT_INITIALIZED);
    end();
}

static void an_object_is_destroyed_once(void)
{
    begin_with_two();
    CU_ASSERT_EQUAL(generate(TOKEN_HOME, &victim), CKR_OK);
    upset_meanwhile = destroy_it_twice;
    CU_ASSERT_EQUAL(C_DestroyObject(session, victim), CKR_OK);
    CU_ASSERT_EQUAL(generate(TOKEN_HOME, &victim), CKR_OK);
    upset_meanwhile = close_the_session; /* which destroys it as well */
    CU_ASSERT_EQUAL(C_DestroyObject(session, victim), CKR_OBJECT_HANDLE_INVALID);
    CU_ASSERT_EQUAL(recording_session_keys(), 0);
    end();
}

static void a_slot_has_65536_sessions_at_most(void)
{
    CK_SESSION_HANDLE s = 0;
    CK_ULONG n = 1;
    begin();
    while (n < 70000 && C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, &s) == CKR_OK) {
        n++;
    }
    CU_ASSERT_EQUAL(n, 65536);
    CU_ASSERT_EQUAL(C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, &s), CKR_SESSION_COUNT);
    CU_ASSERT_EQUAL(C_OpenSession(slots[1], CKF_SERIAL_SESSION, NULL, NULL, &s), CKR_OK);
    CU_ASSERT_EQUAL(C_CloseAllSessions(slots[0]), CKR_OK);
    CU_ASSERT_FALSE(recording_logged_in(0));
    end();
}

static void slots_whose_names_collide_have_ids_of_their_own(void)
{
    CK_SLOT_ID ids[2][RECORDING_SLOTS];
    for (size_t i = 0; i < 2; i++) {
        CK_ULONG count = RECORDING_SLOTS;
        upset_digest = UPSET_DIGEST_COLLIDES;
        recording_reset();
        CU_ASSERT_EQUAL(C_Initialize(NULL), CKR_OK);
        CU_ASSERT_EQUAL(C_GetSlotList(CK_FALSE, ids[i], &count), CKR_OK);
        upset_digest = UPSET_DIGEST_TRUE;
        end();
    }
    CU_ASSERT_EQUAL(memcmp(ids[0], ids[1], sizeof ids[0]), 0);
    for (size_t i = 0; i < RECORDING_SLOTS; i++) {
        for (size_t k = 0; k < i; k++) {
            CU_ASSERT_NOT_EQUAL(ids[0][i], ids[0][k]);
        }
    }
    upset_digest = UPSET_DIGEST_FAILS;
    CU_ASSERT_EQUAL(C_Initialize(NULL), CKR_GENERAL_ERROR);
    upset_digest = UPSET_DIGEST_TRUE;
    CU_ASSERT_EQUAL(C_GetInfo(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
}

int main(void)
{
    static const char config[] = "[keyward]\nlog = none\n"
                                 "[token one]\nuri = pkcs11:token=one?module-path=/proc/self/status\n"
                                 "[slot alpha]\ntokens = one\ntenant = contoso\n"
                                 "[slot beta]\ntokens = one\ndata-keys = sealed\n"
                                 "[slot gamma]\ntokens = one\nkey = another-label\n"
                                 "[slot delta]\ntokens = one\n";
    static CU_TestInfo tests[] = {
        {"each allocation may fail", each_allocation_may_fail},
        {"each failure of the token is told", each_failure_of_the_token_is_told},
        {"a token that is away is no error of the lists", a_token_that_is_away_is_no_error_of_the_lists},
        {"a login that fails leaves the slot logged out", a_login_that_fails_leaves_the_slot_logged_out},
        {"an unwrapped key has the length that was asked for", an_unwrapped_key_has_the_length_that_was_asked_for},
        {"a key is not left behind when its session ends meanwhile", a_key_is_not_left_behind_when_its_session_ends_meanwhile},
        {"a key that a search found first has one handle", a_key_that_a_search_found_first_has_one_handle},
        {"a search is overtaken", a_search_is_overtaken},
        {"an object is destroyed once", an_object_is_destroyed_once},
        {"a slot has 65536 sessions at most", a_slot_has_65536_sessions_at_most},
        {"slots whose names collide have ids of their own", slots_whose_names_collide_have_ids_of_their_own},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {
        {"face", NULL, NULL, NULL, NULL, tests},
        CU_SUITE_INFO_NULL,
    };
    scratch_begin();
    (void)setenv("KEYWARD_CONF", scratch_write("keyward.conf", config, sizeof config - 1, 0600), 1);
    (void)setenv("KEYWARD_LOG", "none", 1);
    int status = scratch_run(suites);
    scratch_end();
    return status;
}
