/* The attributes that Keyward makes itself: PKCS#11 3.1 sections 4.2 to 4.10; include/keyward.h; DESIGN sections 4 and 5. */
#include "chapter.h"

static CK_SESSION_HANDLE session;
static struct fixture_slot slots[] = {{.name = "alpha", .tokens = "eu-1"},
                                      {.name = "beta", .tokens = "eu-1"},
                                      {.name = "gamma", .tokens = "eu-1"},
                                      {0}};

static void check(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, const void *want, CK_ULONG len,
                  const char *what)
{
    uint8_t got[600];
    struct form t = {0};
    CK_ATTRIBUTE a = {type, got, sizeof got};
    CHECK_RV(p11->C_GetAttributeValue(session, object, &a, 1), CKR_OK, what);
    CHECK(a.ulValueLen == len && memcmp(got, want, len) == 0, what);
    form_bytes(&t, type, want, len);
    form_bytes(&t, CKA_UNIQUE_ID, NULL, 0);
    uint8_t name[64];
    CK_ATTRIBUTE unique = {CKA_UNIQUE_ID, name, sizeof name};
    CHECK_RV(p11->C_GetAttributeValue(session, object, &unique, 1), CKR_OK, "4.4: CKA_UNIQUE_ID");
    t.a[1] = unique;
    CHECK(caller_count(world, session, &t) == 1, chapter_join("5.7.7: it is found by", what));
}

static void check_bool(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, bool want, const char *what)
{
    CK_BBOOL b = want ? CK_TRUE : CK_FALSE;
    check(object, type, &b, sizeof b, what);
}

static void check_number(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, CK_ULONG want, const char *what)
{
    check(object, type, &want, sizeof want, what);
}

static void check_none(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, CK_RV want, const char *what)
{
    uint8_t got[600];
    CK_ATTRIBUTE a = {type, got, sizeof got};
    CHECK_RV(p11->C_GetAttributeValue(session, object, &a, 1), want, what);
    CHECK(a.ulValueLen == CK_UNAVAILABLE_INFORMATION, what);
}

static CK_OBJECT_HANDLE version(CK_ULONG number)
{
    struct form t = {0};
    CK_OBJECT_HANDLE o = 0;
    CK_ULONG count = 0;
    form_ulong(&t, CKA_KEYWARD_VERSION, number);
    CHECK_RV(p11->C_FindObjectsInit(session, t.a, t.count), CKR_OK, "5.7.7: by version");
    CHECK_RV(p11->C_FindObjects(session, &o, 1, &count), CKR_OK, "5.7.8: by version");
    CHECK_RV(p11->C_FindObjectsFinal(session), CKR_OK, "5.7.9: by version");
    return o;
}

static void check_state(CK_ULONG number, CK_ULONG state, bool wrap, bool unwrap)
{
    CK_OBJECT_HANDLE o = version(number);
    check_number(o, CKA_KEYWARD_STATE, state, "keyward.h: CKA_KEYWARD_STATE");
    check_bool(o, CKA_WRAP, wrap, "4.10: CKA_WRAP by state");
    check_bool(o, CKA_UNWRAP, unwrap, "4.10: CKA_UNWRAP by state");
}

static void a_CMK_shows_what_it_is(void)
{
    static const CK_MECHANISM_TYPE allowed[] = {CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD,
                                                CKM_KEYWARD_ENVELOPE};
    uint8_t id[64];
    char hex[40] = "";
    uint8_t print[16];
    CK_ATTRIBUTE a[] = {{CKA_ID, id, sizeof id}, {CKA_KEYWARD_FINGERPRINT, print, sizeof print}};
    session = enter("alpha");
    CK_OBJECT_HANDLE o = version(1);
    CHECK_RV(p11->C_GetAttributeValue(session, o, a, 2), CKR_OK, "DESIGN 4: CKA_ID");
    CHECK(a[0].ulValueLen == 16, "DESIGN 4: the first 16 bytes");
    for (size_t i = 0; i < 16; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", id[i]);
    }
    check(o, CKA_ID, id, 16, "CKA_ID");
    check(o, CKA_UNIQUE_ID, hex, 32, "DESIGN 5: CKA_UNIQUE_ID is the hex of CKA_ID");
    check(o, CKA_ALLOWED_MECHANISMS, allowed, sizeof allowed, "4.7: CKA_ALLOWED_MECHANISMS");
    check(o, CKA_KEYWARD_FINGERPRINT, print, a[1].ulValueLen, "CKA_KEYWARD_FINGERPRINT");
    check_bool(o, CKA_LOCAL, true, "4.7: CKA_LOCAL");
    check_bool(o, CKA_ALWAYS_SENSITIVE, true, "4.10: CKA_ALWAYS_SENSITIVE");
    check_bool(o, CKA_NEVER_EXTRACTABLE, true, "4.10: CKA_NEVER_EXTRACTABLE");
    check_number(o, CKA_KEY_GEN_MECHANISM, CKM_AES_KEY_GEN, "4.7: CKA_KEY_GEN_MECHANISM");
    check_none(o, CKA_VALUE, CKR_ATTRIBUTE_SENSITIVE, "DESIGN G1");
    check_none(o, CKA_MODULUS, CKR_ATTRIBUTE_TYPE_INVALID, "5.7.5: no attribute of a secret key");
    check_state(1, CKS_KEYWARD_ACTIVE, true, true);
    leave();
}

static void the_state_says_what_a_version_does(void)
{
    const char *command = fixture_command();
    CHECK(command != NULL && fixture_execute(world, (const char *const[]){command, "rotate", "beta", NULL}),
          "keyward rotate");
    session = enter("beta");
    check_state(1, CKS_KEYWARD_RETIRED, false, true);
    check_state(2, CKS_KEYWARD_ACTIVE, true, true);
    leave();
    CHECK(command != NULL && fixture_execute(world, (const char *const[]){command, "disable", "beta", NULL}),
          "keyward disable");
    session = enter("beta");
    check_state(1, CKS_KEYWARD_DISABLED, false, false);
    check_state(2, CKS_KEYWARD_DISABLED, false, false);
    leave();
}

static CK_OBJECT_HANDLE make(CK_KEY_TYPE type, bool token, bool sensitive, bool extractable)
{
    struct form t = {0};
    CK_OBJECT_HANDLE key = 0;
    form_bytes(&t, CKA_LABEL, "made", 4);
    form_bool(&t, CKA_TOKEN, token);
    form_bool(&t, CKA_SENSITIVE, sensitive);
    form_bool(&t, CKA_EXTRACTABLE, extractable);
    form_ulong(&t, CKA_VALUE_LEN, 32);
    CK_MECHANISM_TYPE m = type == CKK_AES ? CKM_AES_KEY_GEN : CKM_GENERIC_SECRET_KEY_GEN;
    CHECK_RV(p11->C_GenerateKey(session, caller_mechanism(m), t.a, t.count, &key), CKR_OK, "5.18.1");
    return key;
}

static void data_keys_show_what_they_are(void)
{
    static const struct {
        const char *what;
        CK_KEY_TYPE type;
        bool token;
        bool sensitive;
        bool extractable;
    } rows[] = {
        {"memory", CKK_AES, false, false, true},    {"generic", CKK_GENERIC_SECRET, false, false, true},
        {"sealed", CKK_AES, false, true, true},     {"kept", CKK_GENERIC_SECRET, false, true, false},
        {"persistent", CKK_AES, true, false, true},
    };
    session = enter("alpha");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *what = rows[i].what;
        CK_OBJECT_HANDLE o = make(rows[i].type, rows[i].token, rows[i].sensitive, rows[i].extractable);
        CK_ULONG maker = rows[i].type == CKK_AES ? CKM_AES_KEY_GEN : CKM_GENERIC_SECRET_KEY_GEN;
        check_number(o, CKA_KEY_GEN_MECHANISM, maker, chapter_join(what, "CKA_KEY_GEN_MECHANISM"));
        check_number(o, CKA_KEY_TYPE, rows[i].type, chapter_join(what, "CKA_KEY_TYPE"));
        check_bool(o, CKA_TOKEN, rows[i].token, chapter_join(what, "CKA_TOKEN"));
        check_bool(o, CKA_LOCAL, true, chapter_join(what, "CKA_LOCAL"));
        check_bool(o, CKA_ALWAYS_SENSITIVE, rows[i].sensitive, chapter_join(what, "CKA_ALWAYS_SENSITIVE"));
        check_bool(o, CKA_NEVER_EXTRACTABLE, !rows[i].extractable,
                   chapter_join(what, "CKA_NEVER_EXTRACTABLE"));
        check_bool(o, CKA_WRAP, false, chapter_join(what, "CKA_WRAP"));
        check_bool(o, CKA_UNWRAP, false, chapter_join(what, "CKA_UNWRAP"));
        check_none(o, CKA_KEYWARD_STATE, CKR_ATTRIBUTE_TYPE_INVALID, chapter_join(what, "CKA_KEYWARD_STATE"));
        check_none(o, CKA_ALLOWED_MECHANISMS, CKR_ATTRIBUTE_TYPE_INVALID,
                   chapter_join(what, "CKA_ALLOWED_MECHANISMS"));
        if (rows[i].sensitive || !rows[i].extractable) {
            check_none(o, CKA_VALUE, CKR_ATTRIBUTE_SENSITIVE, chapter_join(what, "CKA_VALUE"));
        }
        CHECK_RV(p11->C_DestroyObject(session, o), CKR_OK, what);
    }
    leave();
}

static void a_slot_that_is_sealed_later_reveals_nothing(void)
{
    uint8_t out[64];
    session = enter("gamma");
    CK_OBJECT_HANDLE o = make(CKK_AES, true, false, true);
    CHECK(caller_value(world, session, o, out, sizeof out) == 32, "readable while the slot is not sealed");
    leave();
    slots[2].sealed = true;
    CHECK(fixture_configure(world, false), "data-keys = sealed");
    session = enter("gamma");
    struct form t = {0};
    CK_ULONG count = 0;
    form_bytes(&t, CKA_LABEL, "made", 4);
    CHECK_RV(p11->C_FindObjectsInit(session, t.a, t.count), CKR_OK, "5.7.7");
    CHECK_RV(p11->C_FindObjects(session, &o, 1, &count), CKR_OK, "5.7.8");
    CHECK_RV(p11->C_FindObjectsFinal(session), CKR_OK, "5.7.9");
    CHECK(count == 1, "the key is still there");
    check_bool(o, CKA_SENSITIVE, true, "DESIGN 5: CKA_SENSITIVE in a sealed slot");
    check_none(o, CKA_VALUE, CKR_ATTRIBUTE_SENSITIVE, "DESIGN 5: CKA_VALUE in a sealed slot");
    CHECK_RV(p11->C_DestroyObject(session, o), CKR_OK, "5.7.3");
    leave();
    slots[2].sealed = false;
    CHECK(fixture_configure(world, false), "as it was");
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a CMK shows what it is", a_CMK_shows_what_it_is},
        {"the state says what a version does", the_state_says_what_a_version_does},
        {"data keys show what they are", data_keys_show_what_they_are},
        {"a slot that is sealed later reveals nothing", a_slot_that_is_sealed_later_reveals_nothing},
        CU_TEST_INFO_NULL,
    };
    return chapter_run("attributes", &(struct fixture_settings){.slots = slots}, tests);
}
