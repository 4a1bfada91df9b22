/* Sessions and the login of a slot: PKCS#11 3.1 sections 5.6.1 to 5.6.10, 5.19.2; DESIGN section 3. */
#include "chapter.h"

#include <keyward.h>

#ifndef CKF_FIND_OBJECTS
#define CKF_FIND_OBJECTS 0x00000040UL /* 3.0, section 5.6.5 */
#endif

static CK_UTF8CHAR right_pin[] = FIXTURE_PIN;
static CK_UTF8CHAR wrong_pin[] = "4321";
static CK_UTF8CHAR long_pin[300] = {'1'};
enum { PIN_LEN = sizeof FIXTURE_PIN - 1 };

static CK_SLOT_ID find_slot(const char *name)
{
    CK_SLOT_ID id = 0;
    CHECK(caller_slot(world, name, &id), name);
    return id;
}

static CK_SESSION_HANDLE open_session(const char *slot, CK_FLAGS flags)
{
    CK_SESSION_HANDLE s = 0;
    CHECK_RV(p11->C_OpenSession(find_slot(slot), CKF_SERIAL_SESSION | flags, NULL, NULL, &s), CKR_OK,
             "C_OpenSession");
    return s;
}

static void check_state(CK_SESSION_HANDLE s, CK_STATE state, const char *what)
{
    CK_SESSION_INFO info;
    CHECK_RV(p11->C_GetSessionInfo(s, &info), CKR_OK, what);
    CHECK(info.state == state, what);
}

static const struct {
    const char *what;
    bool known_slot;
    CK_FLAGS flags;
    CK_RV expect;
} openings[] = {
    {"5.6.1: read-only", true, CKF_SERIAL_SESSION, CKR_OK},
    {"5.6.1: read/write", true, CKF_SERIAL_SESSION | CKF_RW_SESSION, CKR_OK},
    {"5.6.1: CKF_SERIAL_SESSION is missing", true, 0, CKR_SESSION_PARALLEL_NOT_SUPPORTED},
    {"5.6.1: CKF_SERIAL_SESSION is missing, read/write", true, CKF_RW_SESSION,
     CKR_SESSION_PARALLEL_NOT_SUPPORTED},
    {"5.6.1: no such slot", false, CKF_SERIAL_SESSION, CKR_SLOT_ID_INVALID},
    {"5.6.1: no such slot goes before the flag", false, 0, CKR_SLOT_ID_INVALID},
};

static CK_RV never_notify(CK_SESSION_HANDLE session, CK_NOTIFICATION event, CK_VOID_PTR application)
{
    (void)session;
    (void)event;
    (void)application;
    abort();
}

static void C_OpenSession_judges_its_arguments(void)
{
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CK_SLOT_ID alpha = find_slot("alpha");
    for (size_t i = 0; i < COUNT_OF(openings); i++) {
        CK_SESSION_HANDLE s = 77;
        CK_RV rv = p11->C_OpenSession(openings[i].known_slot ? alpha : ~alpha, openings[i].flags, NULL,
                                      never_notify, &s);
        CHECK_RV(rv, openings[i].expect, openings[i].what);
        CHECK(rv == CKR_OK ? s != 0 && s != 77 : s == 77, chapter_join("5.2: the handle", openings[i].what));
    }
    CHECK_RV(p11->C_OpenSession(alpha, CKF_SERIAL_SESSION, NULL, NULL, NULL), CKR_ARGUMENTS_BAD,
             "5.6.1: phSession NULL");
    leave();
}

static void a_session_on_an_absent_token_is_refused(void)
{
    CK_SLOT_ID list[8];
    CK_ULONG count = 8;
    unsigned absent = 0;
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CHECK_RV(p11->C_GetSlotList(CK_FALSE, list, &count), CKR_OK, "5.5.1");
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        CK_SESSION_HANDLE s = 77;
        if (p11->C_GetTokenInfo(list[i], &info) == CKR_TOKEN_NOT_PRESENT) {
            CHECK_RV(p11->C_OpenSession(list[i], CKF_SERIAL_SESSION, NULL, NULL, &s), CKR_TOKEN_NOT_PRESENT,
                     "5.6.1: absent");
            CHECK_RV(p11->C_CloseAllSessions(list[i]), CKR_OK, "5.6.3: an absent token has no sessions");
            CHECK(s == 77, "5.2: output untouched");
            absent++;
        }
    }
    CHECK(absent == 1, "the world has one absent token");
    leave();
}

static void the_state_of_a_session_follows_the_login_of_its_slot(void)
{
    CK_SESSION_INFO info;
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CK_SESSION_HANDLE ro = open_session("alpha", 0);
    CK_SESSION_HANDLE rw = open_session("alpha", CKF_RW_SESSION);
    CK_SESSION_HANDLE other = open_session("beta", CKF_RW_SESSION);
    CHECK_RV(p11->C_GetSessionInfo(ro, NULL), CKR_ARGUMENTS_BAD, "5.6.4: pInfo NULL");
    CHECK_RV(p11->C_GetSessionInfo(ro, &info), CKR_OK, "5.6.4");
    CHECK(info.slotID == find_slot("alpha") && info.flags == CKF_SERIAL_SESSION && info.ulDeviceError == 0,
          "5.6.4: read-only");
    CHECK_RV(p11->C_GetSessionInfo(rw, &info), CKR_OK, "5.6.4");
    CHECK(info.flags == (CKF_SERIAL_SESSION | CKF_RW_SESSION), "5.6.4: read/write");
    check_state(ro, CKS_RO_PUBLIC_SESSION, "6.7: read-only, public");
    check_state(rw, CKS_RW_PUBLIC_SESSION, "6.7: read/write, public");
    CHECK_RV(p11->C_Login(ro, CKU_USER, NULL, 0), CKR_OK, "5.6.8: through the read-only session");
    check_state(ro, CKS_RO_USER_FUNCTIONS, "6.7: read-only, user");
    check_state(rw, CKS_RW_USER_FUNCTIONS, "6.7: the login is shared");
    check_state(open_session("alpha", 0), CKS_RO_USER_FUNCTIONS, "5.6.1: a new session is logged in as well");
    check_state(other, CKS_RW_PUBLIC_SESSION, "DESIGN G5: another slot on the same backing token is not");
    CHECK_RV(p11->C_Logout(rw), CKR_OK, "5.6.10: through the read/write session");
    check_state(ro, CKS_RO_PUBLIC_SESSION, "6.7: logged out together");
    check_state(rw, CKS_RW_PUBLIC_SESSION, "6.7: logged out together");
    CHECK_RV(p11->C_Logout(rw), CKR_USER_NOT_LOGGED_IN, "5.6.10: not logged in");
    leave();
}

static const struct {
    const char *what;
    const char *slot;
    CK_USER_TYPE user;
    CK_UTF8CHAR *pin;
    CK_ULONG len;
    CK_RV expect;
} logins[] = {
    {"DESIGN 5: the security officer does not log in here", "alpha", CKU_SO, right_pin, PIN_LEN,
     CKR_USER_TYPE_INVALID},
    {"5.6.8: CKU_SO without a PIN", "alpha", CKU_SO, NULL, 0, CKR_USER_TYPE_INVALID},
    {"5.6.8: an unknown user", "alpha", 99, NULL, 0, CKR_USER_TYPE_INVALID},
    {"5.6.8: an unknown user", "alpha", CK_UNAVAILABLE_INFORMATION, right_pin, PIN_LEN,
     CKR_USER_TYPE_INVALID},
    {"5.6.8: no operation wants CKU_CONTEXT_SPECIFIC", "alpha", CKU_CONTEXT_SPECIFIC, NULL, 0,
     CKR_OPERATION_NOT_INITIALIZED},
    {"5.6.8: protected path, no PIN", "alpha", CKU_USER, NULL, 0, CKR_OK},
    {"DESIGN 3: protected path, the same PIN", "alpha", CKU_USER, right_pin, PIN_LEN, CKR_OK},
    {"DESIGN 3: protected path, another PIN", "alpha", CKU_USER, wrong_pin, PIN_LEN, CKR_PIN_INCORRECT},
    {"DESIGN 3: protected path, the beginning of the PIN", "alpha", CKU_USER, right_pin, PIN_LEN - 1,
     CKR_PIN_INCORRECT},
    {"DESIGN 3: protected path, the PIN and its NUL", "alpha", CKU_USER, right_pin, PIN_LEN + 1,
     CKR_PIN_INCORRECT},
    {"5.6.8: NULL with a length", "alpha", CKU_USER, NULL, 4, CKR_ARGUMENTS_BAD},
    {"5.6.8: an empty PIN", "alpha", CKU_USER, right_pin, 0, CKR_PIN_LEN_RANGE},
    {"5.6.8: a PIN of 300 bytes", "alpha", CKU_USER, long_pin, sizeof long_pin, CKR_PIN_LEN_RANGE},
    {"5.6.8: a PIN of -1 bytes", "alpha", CKU_USER, right_pin, CK_UNAVAILABLE_INFORMATION, CKR_PIN_LEN_RANGE},
    {"DESIGN 3: no PIN source, no PIN", "asking", CKU_USER, NULL, 0, CKR_ARGUMENTS_BAD},
    {"5.6.8: no PIN source, a wrong PIN", "asking", CKU_USER, wrong_pin, PIN_LEN, CKR_PIN_INCORRECT},
    {"5.6.8: no PIN source, the PIN", "asking", CKU_USER, right_pin, PIN_LEN, CKR_OK},
};

static void C_Login_judges_user_and_PIN(void)
{
    for (size_t i = 0; i < COUNT_OF(logins); i++) {
        CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
        CK_SESSION_HANDLE s = open_session(logins[i].slot, CKF_RW_SESSION);
        CK_RV rv = p11->C_Login(s, logins[i].user, logins[i].pin, logins[i].len);
        CHECK_RV(rv, logins[i].expect, logins[i].what);
        check_state(s, rv == CKR_OK ? CKS_RW_USER_FUNCTIONS : CKS_RW_PUBLIC_SESSION, logins[i].what);
        if (rv == CKR_OK) {
            CHECK_RV(p11->C_Login(s, CKU_USER, right_pin, PIN_LEN), CKR_USER_ALREADY_LOGGED_IN,
                     "5.6.8: a second time");
            CHECK_RV(p11->C_Login(s, CKU_USER, wrong_pin, PIN_LEN), CKR_USER_ALREADY_LOGGED_IN,
                     "5.6.8: a second time");
        } else {
            CHECK_RV(p11->C_Login(s, CKU_USER, right_pin, PIN_LEN), CKR_OK,
                     chapter_join("5.6.8: then well", logins[i].what));
        }
        leave();
    }
}

/* The backing token is logged in through one slot; that proves nothing for a caller of the other (DESIGN section 3). */
static void a_login_of_another_slot_is_no_proof(void)
{
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CK_SESSION_HANDLE first = open_session("alpha", CKF_RW_SESSION);
    CK_SESSION_HANDLE second = open_session("beta", CKF_RW_SESSION);
    CHECK_RV(p11->C_Login(first, CKU_USER, NULL, 0), CKR_OK, "the first slot");
    CHECK_RV(p11->C_Login(second, CKU_USER, wrong_pin, PIN_LEN), CKR_PIN_INCORRECT,
             "DESIGN 3: a wrong PIN for the second");
    check_state(second, CKS_RW_PUBLIC_SESSION, "DESIGN 3: not logged in");
    CHECK_RV(p11->C_Login(second, CKU_USER, right_pin, PIN_LEN), CKR_OK, "DESIGN 3: the right one");
    CHECK_RV(p11->C_Logout(first), CKR_OK, "5.6.10: the first slot");
    check_state(second, CKS_RW_USER_FUNCTIONS, "DESIGN 3: the second stays logged in");
    CHECK(caller_generate(world, second, CKK_AES, 32) != 0, "DESIGN 3: and works");
    CK_SESSION_HANDLE asking = open_session("asking", CKF_RW_SESSION);
    CK_SESSION_HANDLE asking_too = open_session("asking-too", CKF_RW_SESSION);
    CHECK_RV(p11->C_Login(asking, CKU_USER, right_pin, PIN_LEN), CKR_OK, "a slot without a PIN source");
    CHECK_RV(p11->C_Login(asking_too, CKU_USER, wrong_pin, PIN_LEN), CKR_PIN_INCORRECT,
             "DESIGN 3: compared with what worked");
    CHECK_RV(p11->C_Login(asking_too, CKU_USER, right_pin, PIN_LEN), CKR_OK,
             "DESIGN 3: compared with what worked");
    leave();
}

static void C_LoginUser_knows_no_names(void)
{
    CK_UTF8CHAR name[] = "admin";
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CK_SESSION_HANDLE s = open_session("alpha", CKF_RW_SESSION);
    CHECK_RV(p11->C_LoginUser(s, CKU_USER, right_pin, PIN_LEN, name, 5), CKR_USER_TYPE_INVALID,
             "5.6.9: a name");
    CHECK_RV(p11->C_LoginUser(s, CKU_USER, right_pin, PIN_LEN, NULL, 5), CKR_ARGUMENTS_BAD,
             "5.6.9: NULL with a length");
    CHECK_RV(p11->C_LoginUser(s, CKU_USER, wrong_pin, PIN_LEN, NULL, 0), CKR_PIN_INCORRECT,
             "5.6.9: a wrong PIN");
    CHECK_RV(p11->C_LoginUser(s, CKU_SO, right_pin, PIN_LEN, NULL, 0), CKR_USER_TYPE_INVALID,
             "5.6.9: CKU_SO");
    check_state(s, CKS_RW_PUBLIC_SESSION, "5.6.9: not logged in");
    CHECK_RV(p11->C_LoginUser(s, CKU_USER, right_pin, PIN_LEN, name, 0), CKR_OK, "5.6.9: an empty name");
    check_state(s, CKS_RW_USER_FUNCTIONS, "5.6.9: logged in");
    leave();
}

static void nothing_is_served_before_C_Login(void)
{
    struct form all = {0};
    struct form t = {0};
    CK_OBJECT_HANDLE key = 77;
    CK_ULONG n = 77;
    uint8_t bytes[64];
    CK_SESSION_HANDLE s = enter("alpha");
    CK_OBJECT_HANDLE cmk = caller_cmk(world, s);
    CK_OBJECT_HANDLE dek = caller_generate(world, s, CKK_AES, 32);
    CHECK_RV(p11->C_Logout(s), CKR_OK, "C_Logout");
    CHECK(caller_count(world, s, &all) == 0, "5.6.10: private objects are not found");
    form_readable(&t);
    form_ulong(&t, CKA_VALUE_LEN, 32);
    CHECK_RV(p11->C_GenerateKey(s, caller_mechanism(CKM_AES_KEY_GEN), t.a, t.count, &key),
             CKR_USER_NOT_LOGGED_IN, "C_GenerateKey");
    struct form create = {0};
    form_secret(&create, CKK_AES);
    form_bytes(&create, CKA_VALUE, bytes, 32);
    CHECK_RV(p11->C_CreateObject(s, create.a, create.count, &key), CKR_USER_NOT_LOGGED_IN, "C_CreateObject");
    CHECK_RV(p11->C_WrapKey(s, caller_mechanism(CKM_AES_KEY_WRAP), cmk, dek, bytes, &n),
             CKR_USER_NOT_LOGGED_IN, "C_WrapKey");
    struct form unwrap = {0};
    form_secret(&unwrap, CKK_AES);
    CHECK_RV(
        p11->C_UnwrapKey(s, caller_mechanism(CKM_AES_KEY_WRAP), cmk, bytes, 40, unwrap.a, unwrap.count, &key),
        CKR_USER_NOT_LOGGED_IN, "C_UnwrapKey");
    CHECK_RV(p11->C_GetAttributeValue(s, cmk, t.a, 1), CKR_USER_NOT_LOGGED_IN, "C_GetAttributeValue");
    CHECK_RV(p11->C_GetObjectSize(s, cmk, &n), CKR_USER_NOT_LOGGED_IN, "C_GetObjectSize");
    CHECK_RV(p11->C_DestroyObject(s, dek), CKR_USER_NOT_LOGGED_IN, "C_DestroyObject");
    CHECK(key == 77 && n == 77, "5.2: output untouched");
    CHECK_RV(p11->C_GenerateRandom(s, bytes, sizeof bytes), CKR_OK,
             "CLIENTS 7: random numbers are for everybody");
    leave();
}

static void logging_out_ends_private_objects(void)
{
    CK_ULONG n = 0;
    CK_SESSION_HANDLE s = enter("alpha");
    CK_OBJECT_HANDLE cmk = caller_cmk(world, s);
    CK_OBJECT_HANDLE dek = caller_generate(world, s, CKK_AES, 32);
    CHECK_RV(p11->C_Logout(s), CKR_OK, "C_Logout");
    CHECK_RV(p11->C_Login(s, CKU_USER, NULL, 0), CKR_OK, "C_Login");
    CHECK_RV(p11->C_GetObjectSize(s, cmk, &n), CKR_OBJECT_HANDLE_INVALID,
             "5.6.10: handles of private objects end");
    CHECK_RV(p11->C_GetObjectSize(s, dek, &n), CKR_OBJECT_HANDLE_INVALID,
             "5.6.10: private session objects are destroyed");
    struct form all = {0};
    CHECK(caller_count(world, s, &all) == 1, "5.6.10: the CMK is found again, the session object is not");
    leave();
}

static void closing_a_session_ends_its_objects_and_no_others(void)
{
    CK_ULONG n = 0;
    CK_SESSION_HANDLE one = enter("alpha");
    CK_SESSION_HANDLE two = open_session("alpha", CKF_RW_SESSION);
    CK_OBJECT_HANDLE of_one = caller_generate(world, one, CKK_AES, 32);
    CK_OBJECT_HANDLE of_two = caller_generate(world, two, CKK_AES, 16);
    CHECK_RV(p11->C_GetObjectSize(two, of_one, &n), CKR_OK,
             "6.7: a session object is seen by every session of the application");
    CHECK_RV(p11->C_CloseSession(one), CKR_OK, "5.6.2");
    CHECK_RV(p11->C_CloseSession(one), CKR_SESSION_HANDLE_INVALID, "5.6.2: a second time");
    CHECK_RV(p11->C_GetObjectSize(two, of_one, &n), CKR_OBJECT_HANDLE_INVALID,
             "5.6.2: its session objects are destroyed");
    CHECK_RV(p11->C_GetObjectSize(two, of_two, &n), CKR_OK, "5.6.2: those of the other session are not");
    check_state(two, CKS_RW_USER_FUNCTIONS, "5.6.2: a session is left: still logged in");
    CHECK_RV(p11->C_CloseSession(two), CKR_OK, "5.6.2: the last session");
    CK_SESSION_HANDLE three = open_session("alpha", CKF_RW_SESSION);
    check_state(three, CKS_RW_PUBLIC_SESSION, "5.6.2: closing the last session logs out");
    leave();
}

static void C_CloseAllSessions_closes_those_of_the_slot(void)
{
    CK_SESSION_HANDLE one = enter("alpha");
    CK_SESSION_HANDLE two = open_session("alpha", 0);
    CK_SESSION_HANDLE other = caller_enter(world, "beta");
    CK_SESSION_INFO info;
    CHECK_RV(p11->C_CloseAllSessions(~find_slot("alpha")), CKR_SLOT_ID_INVALID, "5.6.3: no such slot");
    CHECK_RV(p11->C_CloseAllSessions(find_slot("alpha")), CKR_OK, "5.6.3");
    CHECK_RV(p11->C_GetSessionInfo(one, &info), CKR_SESSION_HANDLE_INVALID, "5.6.3");
    CHECK_RV(p11->C_GetSessionInfo(two, &info), CKR_SESSION_HANDLE_INVALID, "5.6.3");
    check_state(other, CKS_RW_USER_FUNCTIONS, "5.6.3: another slot is not touched");
    CHECK_RV(p11->C_CloseAllSessions(find_slot("alpha")), CKR_OK, "5.6.3: with none open");
    check_state(open_session("alpha", 0), CKS_RO_PUBLIC_SESSION, "5.6.3: logged out");
    leave();
}

static void a_read_only_session_makes_no_token_objects(void)
{
    struct form t = {0};
    CK_OBJECT_HANDLE key = 77;
    CHECK(enter("alpha") != 0, "a login");
    CK_SESSION_HANDLE ro = open_session("alpha", 0);
    form_bool(&t, CKA_TOKEN, true);
    form_ulong(&t, CKA_VALUE_LEN, 32);
    CHECK_RV(p11->C_GenerateKey(ro, caller_mechanism(CKM_AES_KEY_GEN), t.a, t.count, &key),
             CKR_SESSION_READ_ONLY, "6.7: a token object in a read-only session");
    CHECK(key == 77, "5.2: output untouched");
    CHECK(caller_generate(world, ro, CKK_AES, 32) != 0, "6.7: a session object may be made");
    leave();
}

static void sessions_of_one_slot_do_not_reach_another(void)
{
    CK_ULONG n = 0;
    uint8_t blob[64];
    CK_SESSION_HANDLE alpha = enter("alpha");
    CK_SESSION_HANDLE beta = caller_enter(world, "beta");
    CK_OBJECT_HANDLE key = caller_generate(world, alpha, CKK_AES, 32);
    CK_OBJECT_HANDLE cmk = caller_cmk(world, alpha);
    struct form all = {0};
    CHECK(caller_count(world, beta, &all) == 1, "DESIGN G5: only its own CMK is found");
    CHECK_RV(p11->C_GetObjectSize(beta, key, &n), CKR_OBJECT_HANDLE_INVALID,
             "DESIGN G5: another slot's data key");
    CHECK_RV(p11->C_DestroyObject(beta, key), CKR_OBJECT_HANDLE_INVALID,
             "DESIGN G5: another slot's data key");
    CHECK_RV(p11->C_GetObjectSize(beta, cmk, &n), CKR_OBJECT_HANDLE_INVALID, "DESIGN G5: another slot's CMK");
    n = sizeof blob;
    CHECK_RV(p11->C_WrapKey(beta, caller_mechanism(CKM_AES_KEY_WRAP), caller_cmk(world, beta), key, blob, &n),
             CKR_KEY_HANDLE_INVALID, "DESIGN G5: another slot's data key");
    CHECK_RV(
        p11->C_WrapKey(alpha, caller_mechanism(CKM_AES_KEY_WRAP), caller_cmk(world, beta), key, blob, &n),
        CKR_WRAPPING_KEY_HANDLE_INVALID, "DESIGN G5: another slot's CMK");
    leave();
}

static void C_SessionCancel_and_validation_flags_answer(void)
{
    CK_FLAGS flags = 77;
    CK_OBJECT_HANDLE h;
    CK_ULONG n = 0;
    CK_SESSION_HANDLE s = enter("alpha");
    CHECK_RV(p11->C_SessionCancel(s, 0), CKR_OK, "5.6.5: nothing to cancel");
    CHECK_RV(p11->C_FindObjectsInit(s, NULL, 0), CKR_OK, "C_FindObjectsInit");
    CHECK_RV(p11->C_SessionCancel(s, CKF_FIND_OBJECTS), CKR_OK, "5.6.5: a search");
    CHECK_RV(p11->C_FindObjects(s, &h, 1, &n), CKR_OPERATION_NOT_INITIALIZED, "5.6.5: the search is over");
    CHECK_RV(p11->C_SessionCancel(s, CKF_SIGN | CKF_ENCRYPT), CKR_OK,
             "5.6.5: operations that cannot be active");
    CHECK_RV(p11->C_GetSessionValidationFlags(s, CKS_LAST_VALIDATION_OK, NULL), CKR_ARGUMENTS_BAD,
             "3.2: pFlags NULL");
    CHECK_RV(p11->C_GetSessionValidationFlags(s, CKS_LAST_VALIDATION_OK, &flags), CKR_OK, "3.2");
    CHECK(flags == 0, "3.2: nothing was validated");
    leave();
}

static void C_GenerateRandom_gives_random_bytes(void)
{
    uint8_t one[64] = {0};
    uint8_t two[64] = {0};
    uint8_t one_more = 0;
    unsigned changed = 0;
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CK_SESSION_HANDLE s = open_session("alpha", 0);
    CHECK_RV(p11->C_GenerateRandom(s, NULL, 8), CKR_ARGUMENTS_BAD, "5.19.2: NULL with a length");
    CHECK_RV(p11->C_GenerateRandom(s, one, CK_UNAVAILABLE_INFORMATION), CKR_ARGUMENTS_BAD,
             "5.19.2: -1 bytes");
    CHECK_RV(p11->C_GenerateRandom(s, one, 0), CKR_OK, "5.19.2: no bytes");
    CHECK_RV(p11->C_GenerateRandom(s, NULL, 0), CKR_OK, "5.19.2: no bytes");
    CHECK(memcmp(one, two, sizeof one) == 0, "5.19.2: nothing was written");
    CHECK_RV(p11->C_GenerateRandom(s, one, sizeof one), CKR_OK, "5.19.2");
    CHECK_RV(p11->C_GenerateRandom(s, two, sizeof two), CKR_OK, "5.19.2");
    CHECK(memcmp(one, two, sizeof one) != 0, "5.19.2: other bytes");
    for (int i = 0; i < 64; i++) {
        CHECK_RV(p11->C_GenerateRandom(s, &one_more, 1), CKR_OK, "5.19.2: one byte");
        changed += one_more != 0;
    }
    CHECK(changed > 32, "5.19.2: one byte is random as well");
    leave();
}

static void a_thousand_sessions_are_no_problem(void)
{
    static CK_SESSION_HANDLE s[1000];
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CK_SLOT_ID alpha = find_slot("alpha");
    CK_RV worst = CKR_OK;
    for (size_t i = 0; i < COUNT_OF(s); i++) {
        CK_RV rv = p11->C_OpenSession(alpha, CKF_SERIAL_SESSION, NULL, NULL, &s[i]);
        worst = rv == CKR_OK ? worst : rv;
    }
    CHECK_RV(worst, CKR_OK, "5.6.1: 1000 sessions");
    for (size_t i = 0; i < COUNT_OF(s); i += 2) {
        CK_RV rv = p11->C_CloseSession(s[i]);
        worst = rv == CKR_OK ? worst : rv;
    }
    CHECK_RV(worst, CKR_OK, "5.6.2: every second is closed");
    for (size_t i = 0; i < COUNT_OF(s); i++) {
        CK_SESSION_INFO info;
        CK_RV rv = p11->C_GetSessionInfo(s[i], &info);
        worst = rv == (i % 2 == 0 ? CKR_SESSION_HANDLE_INVALID : CKR_OK) ? worst : CKR_GENERAL_ERROR;
    }
    CHECK_RV(worst, CKR_OK, "5.6.2: the closed ones are invalid and the others are not");
    leave();
}

int main(void)
{
    static const struct fixture_slot slots[] = {
        {.name = "alpha", .tokens = "eu-1"},
        {.name = "beta", .tokens = "eu-1"},
        {.name = "asking", .tokens = "eu-2", .ask_pin = true},
        {.name = "asking-too", .tokens = "eu-2", .ask_pin = true},
        {.name = "missing", .tokens = "eu-3", .absent = true},
        {0},
    };
    CU_TestInfo tests[] = {
        {"C_OpenSession judges its arguments", C_OpenSession_judges_its_arguments},
        {"a session on an absent token is refused", a_session_on_an_absent_token_is_refused},
        {"the state of a session follows the login of its slot",
         the_state_of_a_session_follows_the_login_of_its_slot},
        {"C_Login judges user and PIN", C_Login_judges_user_and_PIN},
        {"a login of another slot is no proof", a_login_of_another_slot_is_no_proof},
        {"C_LoginUser knows no names", C_LoginUser_knows_no_names},
        {"nothing is served before C_Login", nothing_is_served_before_C_Login},
        {"logging out ends private objects", logging_out_ends_private_objects},
        {"closing a session ends its objects and no others",
         closing_a_session_ends_its_objects_and_no_others},
        {"C_CloseAllSessions closes those of the slot", C_CloseAllSessions_closes_those_of_the_slot},
        {"a read-only session makes no token objects", a_read_only_session_makes_no_token_objects},
        {"sessions of one slot do not reach another", sessions_of_one_slot_do_not_reach_another},
        {"C_SessionCancel and the validation flags answer", C_SessionCancel_and_validation_flags_answer},
        {"C_GenerateRandom gives random bytes", C_GenerateRandom_gives_random_bytes},
        {"a thousand sessions are no problem", a_thousand_sessions_are_no_problem},
        CU_TEST_INFO_NULL,
    };
    return chapter_run("session", &(struct fixture_settings){.slots = slots}, tests);
}
