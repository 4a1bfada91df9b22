/* Objects and their attributes: PKCS#11 3.1 sections 4.2 to 4.10, 5.7.1 to 5.7.6, 5.18.1; DESIGN sections 4 and 5. */
#include "chapter.h"

static CK_SESSION_HANDLE session;
static uint8_t value[512];

static void begin(void)
{
    session = enter("alpha");
    for (size_t i = 0; i < sizeof value; i++) {
        value[i] = (uint8_t)(i * 3 + 5);
    }
}

static CK_RV read_one(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, void *out, CK_ULONG *len)
{
    CK_ATTRIBUTE a = {type, out, *len};
    CK_RV rv = p11->C_GetAttributeValue(session, object, &a, 1);
    *len = a.ulValueLen;
    return rv;
}

static void check_bool(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, bool want, const char *what)
{
    CK_BBOOL got = 2;
    CK_ULONG len = sizeof got;
    CHECK_RV(read_one(object, type, &got, &len), CKR_OK, what);
    CHECK(got == (want ? CK_TRUE : CK_FALSE) && len == 1, what);
}

static void check_number(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, CK_ULONG want, const char *what)
{
    CK_ULONG got = 77;
    CK_ULONG len = sizeof got;
    CHECK_RV(read_one(object, type, &got, &len), CKR_OK, what);
    CHECK(got == want && len == sizeof got, what);
}

static void check_bytes(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, const void *want, CK_ULONG want_len,
                        const char *what)
{
    uint8_t got[600];
    CK_ULONG len = sizeof got;
    CHECK_RV(read_one(object, type, got, &len), CKR_OK, what);
    CHECK(len == want_len && memcmp(got, want, len) == 0, what);
}

/* The kinds of objects that a slot shows. */
enum kind { MASTER, GENERATED, CREATED, SEALED, PERSISTENT, KINDS };
static const char *const kind_names[KINDS] = {"CMK", "generated", "created", "sealed", "persistent"};

static CK_OBJECT_HANDLE make(enum kind kind)
{
    struct form t = {0};
    CK_OBJECT_HANDLE key = 0;
    if (kind == MASTER) {
        return caller_cmk(world, session);
    }
    form_secret(&t, kind == CREATED ? CKK_GENERIC_SECRET : CKK_AES);
    form_bytes(&t, CKA_LABEL, "a label", 7);
    form_bytes(&t, CKA_ID, "\001\002\003", 3);
    if (kind == GENERATED || kind == CREATED) {
        form_readable(&t);
    }
    form_bool(&t, CKA_TOKEN, kind == PERSISTENT);
    if (kind == CREATED) {
        form_bytes(&t, CKA_VALUE, value, 33);
        CHECK_RV(p11->C_CreateObject(session, t.a, t.count, &key), CKR_OK, "5.7.1");
    } else {
        form_ulong(&t, CKA_VALUE_LEN, 24);
        CHECK_RV(p11->C_GenerateKey(session, caller_mechanism(CKM_AES_KEY_GEN), t.a, t.count, &key), CKR_OK,
                 "5.18.1");
    }
    return key;
}

static const struct {
    const char *what;
    CK_ATTRIBUTE_TYPE type;
    bool read[KINDS];
} bools[] = {
    {"4.4: CKA_TOKEN", CKA_TOKEN, {true, false, false, false, true}},
    {"4.4: CKA_PRIVATE", CKA_PRIVATE, {true, true, true, true, true}},
    {"4.4: CKA_MODIFIABLE", CKA_MODIFIABLE, {false, true, true, true, true}},
    {"4.4: CKA_COPYABLE", CKA_COPYABLE, {false, false, false, false, false}},
    {"4.4: CKA_DESTROYABLE", CKA_DESTROYABLE, {false, true, true, true, true}},
    {"4.10: CKA_SENSITIVE", CKA_SENSITIVE, {true, false, false, true, true}},
    {"4.10: CKA_EXTRACTABLE", CKA_EXTRACTABLE, {false, true, true, true, true}},
    {"4.10: CKA_ENCRYPT", CKA_ENCRYPT, {false, false, false, false, false}},
    {"4.10: CKA_DECRYPT", CKA_DECRYPT, {false, false, false, false, false}},
    {"4.10: CKA_SIGN", CKA_SIGN, {false, false, false, false, false}},
    {"4.10: CKA_VERIFY", CKA_VERIFY, {false, false, false, false, false}},
    {"4.10: CKA_WRAP", CKA_WRAP, {true, false, false, false, false}},
    {"4.10: CKA_UNWRAP", CKA_UNWRAP, {true, false, false, false, false}},
    {"4.7: CKA_DERIVE", CKA_DERIVE, {false, false, false, false, false}},
    {"4.10: CKA_TRUSTED", CKA_TRUSTED, {false, false, false, false, false}},
    {"4.10: CKA_WRAP_WITH_TRUSTED", CKA_WRAP_WITH_TRUSTED, {false, false, false, false, false}},
};

static void every_object_shows_the_attributes_of_a_secret_key(void)
{
    begin();
    for (enum kind kind = MASTER; kind < KINDS; kind++) {
        CK_OBJECT_HANDLE o = make(kind);
        for (size_t i = 0; i < COUNT_OF(bools); i++) {
            check_bool(o, bools[i].type, bools[i].read[kind], chapter_join(kind_names[kind], bools[i].what));
        }
        check_number(o, CKA_CLASS, CKO_SECRET_KEY, chapter_join(kind_names[kind], "4.2: CKA_CLASS"));
        check_number(o, CKA_KEY_TYPE, kind == CREATED ? CKK_GENERIC_SECRET : CKK_AES,
                     chapter_join(kind_names[kind], "4.7: CKA_KEY_TYPE"));
        check_number(o, CKA_VALUE_LEN,
                     kind == MASTER    ? 32
                     : kind == CREATED ? 33
                                       : 24,
                     chapter_join(kind_names[kind], "CKA_VALUE_LEN"));
        check_bytes(o, CKA_START_DATE, "", 0, chapter_join(kind_names[kind], "4.7: CKA_START_DATE is empty"));
        check_bytes(o, CKA_END_DATE, "", 0, chapter_join(kind_names[kind], "4.7: CKA_END_DATE is empty"));
        if (kind == MASTER) {
            check_bytes(o, CKA_LABEL, "alpha", 5, "DESIGN 4: the label of the CMK");
            continue;
        }
        check_bytes(o, CKA_LABEL, "a label", 7, chapter_join(kind_names[kind], "4.4: CKA_LABEL"));
        check_bytes(o, CKA_ID, "\001\002\003", 3, chapter_join(kind_names[kind], "4.7: CKA_ID"));
        check_bool(o, CKA_LOCAL, kind != CREATED, chapter_join(kind_names[kind], "4.7: CKA_LOCAL"));
        check_number(o, CKA_KEY_GEN_MECHANISM, kind == CREATED ? CK_UNAVAILABLE_INFORMATION : CKM_AES_KEY_GEN,
                     chapter_join(kind_names[kind], "4.7: CKA_KEY_GEN_MECHANISM"));
        check_bool(o, CKA_NEVER_EXTRACTABLE, false,
                   chapter_join(kind_names[kind], "4.10: it is extractable"));
        check_bool(o, CKA_ALWAYS_SENSITIVE, kind == SEALED || kind == PERSISTENT,
                   chapter_join(kind_names[kind], "4.10: CKA_ALWAYS_SENSITIVE"));
        CHECK_RV(p11->C_DestroyObject(session, o), CKR_OK, "5.7.3");
    }
    leave();
}

static void the_CMK_shows_its_version_and_never_its_value(void)
{
    uint8_t out[64];
    begin();
    CK_OBJECT_HANDLE o = make(MASTER);
    CK_ULONG len = sizeof out;
    CHECK_RV(read_one(o, CKA_VALUE, out, &len), CKR_ATTRIBUTE_SENSITIVE, "DESIGN G1");
    CHECK(len == CK_UNAVAILABLE_INFORMATION, "5.7.5: the length of what is not shown");
    len = 0;
    CHECK_RV(read_one(o, CKA_VALUE, NULL, &len), CKR_ATTRIBUTE_SENSITIVE, "5.7.5: not even its length");
    check_number(o, CKA_KEYWARD_VERSION, 1, "DESIGN 5: version 1");
    check_number(o, CKA_KEYWARD_STATE, CKS_KEYWARD_ACTIVE, "DESIGN 5: active");
    len = sizeof out;
    CHECK_RV(read_one(o, CKA_KEYWARD_FINGERPRINT, out, &len), CKR_OK, "DESIGN 4: the fingerprint");
    CHECK(len == 8 || len == 0, "DESIGN 4: 8 bytes, or none while none is known");
    len = sizeof out;
    CHECK_RV(read_one(o, CKA_ID, out, &len), CKR_OK, "DESIGN 4: CKA_ID");
    CHECK(len <= 16, "DESIGN 4: the broker sees the first 16 bytes");
    leave();
}

/* C_GetAttributeValue answers each attribute by itself and gives the code of one that failed. */
static void a_template_is_filled_as_far_as_possible(void)
{
    CK_BBOOL token = 2;
    CK_ULONG len = 77;
    uint8_t label[3] = {9, 9, 9};
    uint8_t id[8] = {0};
    uint8_t secret[32] = {0};
    begin();
    CK_OBJECT_HANDLE o = make(SEALED);
    CK_ATTRIBUTE a[] = {
        {CKA_VALUE, secret, sizeof secret},
        {CKA_MODULUS, id, sizeof id},
        {CKA_LABEL, label, sizeof label},
        {CKA_TOKEN, &token, sizeof token},
        {CKA_LABEL, NULL, 0},
        {CKA_VALUE_LEN, &len, sizeof len},
        {0x80000001UL, NULL, 0},
        {CKA_ID, id, sizeof id},
    };
    CK_RV rv = p11->C_GetAttributeValue(session, o, a, COUNT_OF(a));
    CHECK(rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_BUFFER_TOO_SMALL,
          "5.7.5: one of the three");
    CHECK(a[0].ulValueLen == CK_UNAVAILABLE_INFORMATION, "5.7.5: sensitive");
    CHECK(a[1].ulValueLen == CK_UNAVAILABLE_INFORMATION, "5.7.5: no such attribute");
    CHECK(a[2].ulValueLen == CK_UNAVAILABLE_INFORMATION && label[0] == 9, "5.7.5: too short, untouched");
    CHECK(token == CK_FALSE && a[3].ulValueLen == 1, "5.7.5: the next one is filled");
    CHECK(a[4].ulValueLen == 7, "5.7.5: a size query beside");
    CHECK(len == 24, "5.7.5: CKA_VALUE_LEN");
    CHECK(a[6].ulValueLen == CK_UNAVAILABLE_INFORMATION, "5.7.5: a vendor's attribute");
    CHECK(a[7].ulValueLen == 3 && id[0] == 1, "5.7.5: the last one");
    leave();
}

static void each_failure_has_its_code(void)
{
    uint8_t out[64];
    begin();
    CK_OBJECT_HANDLE o = make(GENERATED);
    static const struct {
        const char *what;
        CK_ATTRIBUTE_TYPE type;
        CK_ULONG room;
        CK_RV expect;
    } rows[] = {
        {"5.7.5: enough room", CKA_VALUE, 64, CKR_OK},
        {"5.7.5: exact room", CKA_VALUE, 24, CKR_OK},
        {"5.7.5: one byte less", CKA_VALUE, 23, CKR_BUFFER_TOO_SMALL},
        {"5.7.5: no room", CKA_VALUE, 0, CKR_BUFFER_TOO_SMALL},
        {"5.7.5: CK_UNAVAILABLE_INFORMATION is no room", CKA_VALUE, CK_UNAVAILABLE_INFORMATION,
         CKR_BUFFER_TOO_SMALL},
        {"5.7.5: a private key's attribute", CKA_PRIVATE_EXPONENT, 64, CKR_ATTRIBUTE_TYPE_INVALID},
        {"5.7.5: Keyward's attribute of CMKs", CKA_KEYWARD_VERSION, 64, CKR_ATTRIBUTE_TYPE_INVALID},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CK_ULONG len = rows[i].room;
        memset(out, 9, sizeof out);
        CHECK_RV(read_one(o, rows[i].type, out, &len), rows[i].expect, rows[i].what);
        CHECK(len == (rows[i].expect == CKR_OK ? 24 : CK_UNAVAILABLE_INFORMATION),
              chapter_join("the length", rows[i].what));
        CHECK(out[24] == 9 && (rows[i].expect == CKR_OK || out[0] == 9),
              chapter_join("no byte too many", rows[i].what));
    }
    CK_ATTRIBUTE a = {CKA_LABEL, NULL, 0};
    CHECK_RV(p11->C_GetAttributeValue(session, o, NULL, 0), CKR_OK, "5.7.5: an empty template");
    CHECK_RV(p11->C_GetAttributeValue(session, o, NULL, 1), CKR_ARGUMENTS_BAD, "5.7.5: NULL with a count");
    CHECK_RV(p11->C_GetAttributeValue(session, o, &a, 1000000), CKR_ARGUMENTS_BAD,
             "5.7.5: a million attributes");
    CHECK_RV(p11->C_GetAttributeValue(session, 0, &a, 1), CKR_OBJECT_HANDLE_INVALID, "5.7.5: no object");
    CHECK_RV(p11->C_GetAttributeValue(session, session, &a, 1), CKR_OBJECT_HANDLE_INVALID,
             "5.7.5: a session is no object");
    leave();
}

static void C_DestroyObject_destroys_data_keys_only(void)
{
    CK_ULONG n = 0;
    begin();
    CHECK_RV(p11->C_DestroyObject(session, make(MASTER)), CKR_ACTION_PROHIBITED,
             "DESIGN 4: a CMK is not the broker's to destroy");
    CHECK(caller_cmk(world, session) != 0, "DESIGN 4: it is still there");
    for (enum kind kind = GENERATED; kind < KINDS; kind++) {
        CK_OBJECT_HANDLE o = make(kind);
        CHECK_RV(p11->C_DestroyObject(session, o), CKR_OK, kind_names[kind]);
        CHECK_RV(p11->C_DestroyObject(session, o), CKR_OBJECT_HANDLE_INVALID,
                 chapter_join("5.7.3: twice", kind_names[kind]));
        CHECK_RV(p11->C_GetObjectSize(session, o, &n), CKR_OBJECT_HANDLE_INVALID,
                 chapter_join("5.7.3: gone", kind_names[kind]));
    }
    CHECK_RV(p11->C_DestroyObject(session, 0), CKR_OBJECT_HANDLE_INVALID, "5.7.3: no object");
    leave();
}

static void C_GetObjectSize_is_served(void)
{
    begin();
    for (enum kind kind = MASTER; kind < KINDS; kind++) {
        CK_OBJECT_HANDLE o = make(kind);
        CK_ULONG size = 0;
        CHECK_RV(p11->C_GetObjectSize(session, o, NULL), CKR_ARGUMENTS_BAD, "5.7.4: pulSize NULL");
        CHECK_RV(p11->C_GetObjectSize(session, o, &size), CKR_OK, chapter_join("5.7.4", kind_names[kind]));
        CHECK(size > 0, chapter_join("5.7.4: some bytes", kind_names[kind]));
        if (kind == PERSISTENT) {
            CHECK_RV(p11->C_DestroyObject(session, o), CKR_OK, "C_DestroyObject");
        }
    }
    leave();
}

static const struct {
    const char *what;
    CK_ATTRIBUTE_TYPE type;
    const char *bytes;
    CK_ULONG len;
    CK_RV dek;
    CK_RV cmk;
    CK_RV cmk_or;
} changes[] = {
    {"5.7.6: CKA_LABEL", CKA_LABEL, "other", 5, CKR_OK, CKR_ACTION_PROHIBITED, CKR_ATTRIBUTE_READ_ONLY},
    {"5.7.6: CKA_ID", CKA_ID, "id", 2, CKR_OK, CKR_ACTION_PROHIBITED, CKR_ATTRIBUTE_READ_ONLY},
    {"5.7.6: CKA_LABEL, empty", CKA_LABEL, "", 0, CKR_OK, CKR_ACTION_PROHIBITED, CKR_ATTRIBUTE_READ_ONLY},
    {"ATTACKS A07: CKA_SENSITIVE false", CKA_SENSITIVE, "\0", 1, CKR_ATTRIBUTE_READ_ONLY,
     CKR_ATTRIBUTE_READ_ONLY, CKR_ACTION_PROHIBITED},
    {"ATTACKS A07: CKA_EXTRACTABLE true", CKA_EXTRACTABLE, "\1", 1, CKR_ATTRIBUTE_READ_ONLY,
     CKR_ATTRIBUTE_READ_ONLY, CKR_ACTION_PROHIBITED},
    {"ATTACKS A07: CKA_DECRYPT true", CKA_DECRYPT, "\1", 1, CKR_ATTRIBUTE_READ_ONLY, CKR_ATTRIBUTE_READ_ONLY,
     CKR_ACTION_PROHIBITED},
    {"ATTACKS A07: CKA_ENCRYPT true", CKA_ENCRYPT, "\1", 1, CKR_ATTRIBUTE_READ_ONLY, CKR_ATTRIBUTE_READ_ONLY,
     CKR_ACTION_PROHIBITED},
    {"ATTACKS A07: CKA_DERIVE true", CKA_DERIVE, "\1", 1, CKR_ATTRIBUTE_READ_ONLY, CKR_ATTRIBUTE_READ_ONLY,
     CKR_ACTION_PROHIBITED},
    {"ATTACKS A07: CKA_WRAP true", CKA_WRAP, "\1", 1, CKR_ATTRIBUTE_READ_ONLY, CKR_ATTRIBUTE_READ_ONLY,
     CKR_ACTION_PROHIBITED},
    {"ATTACKS A07: CKA_UNWRAP true", CKA_UNWRAP, "\1", 1, CKR_ATTRIBUTE_READ_ONLY, CKR_ATTRIBUTE_READ_ONLY,
     CKR_ACTION_PROHIBITED},
    {"5.7.6: CKA_TOKEN", CKA_TOKEN, "\1", 1, CKR_ATTRIBUTE_READ_ONLY, CKR_ATTRIBUTE_READ_ONLY,
     CKR_ACTION_PROHIBITED},
    {"5.7.6: CKA_VALUE", CKA_VALUE, "0123456789abcdef", 16, CKR_ATTRIBUTE_READ_ONLY, CKR_ATTRIBUTE_READ_ONLY,
     CKR_ACTION_PROHIBITED},
    {"5.7.6: CKA_TRUSTED", CKA_TRUSTED, "\1", 1, CKR_ATTRIBUTE_READ_ONLY, CKR_ATTRIBUTE_READ_ONLY,
     CKR_ACTION_PROHIBITED},
    {"5.7.6: no attribute of a key", CKA_MODULUS, "abc", 3, CKR_ATTRIBUTE_TYPE_INVALID,
     CKR_ATTRIBUTE_TYPE_INVALID, CKR_ACTION_PROHIBITED},
    {"5.7.6: NULL with a length", CKA_LABEL, NULL, 4, CKR_ATTRIBUTE_VALUE_INVALID,
     CKR_ATTRIBUTE_VALUE_INVALID, CKR_ACTION_PROHIBITED},
    {"5.7.6: a label of -1 bytes", CKA_LABEL, "x", CK_UNAVAILABLE_INFORMATION, CKR_ATTRIBUTE_VALUE_INVALID,
     CKR_ATTRIBUTE_VALUE_INVALID, CKR_ACTION_PROHIBITED},
};

static void C_SetAttributeValue_changes_label_and_id_of_data_keys(void)
{
    begin();
    for (enum kind kind = MASTER; kind < KINDS; kind++) {
        for (size_t i = 0; i < COUNT_OF(changes); i++) {
            CK_OBJECT_HANDLE o = make(kind);
            struct form t = {0};
            const char *what = chapter_join(kind_names[kind], changes[i].what);
            form_bytes(&t, changes[i].type, changes[i].bytes, changes[i].len);
            CK_RV rv = p11->C_SetAttributeValue(session, o, t.a, 1);
            if (kind == MASTER) {
                CHECK_EITHER(rv, changes[i].cmk, changes[i].cmk_or, what);
                check_bytes(o, CKA_LABEL, "alpha", 5, chapter_join("unchanged", what));
                continue;
            }
            CHECK_RV(rv, changes[i].dek, what);
            if (rv == CKR_OK) {
                check_bytes(o, changes[i].type, changes[i].bytes, changes[i].len,
                            chapter_join("changed", what));
            } else {
                check_bytes(o, CKA_LABEL, "a label", 7, chapter_join("unchanged", what));
            }
            CHECK_RV(p11->C_DestroyObject(session, o), CKR_OK, "C_DestroyObject");
        }
    }
    leave();
}

static void C_SetAttributeValue_changes_all_or_nothing(void)
{
    begin();
    CK_OBJECT_HANDLE o = make(GENERATED);
    struct form t = {0};
    form_bytes(&t, CKA_LABEL, "other", 5);
    form_bool(&t, CKA_SENSITIVE, true);
    CHECK_RV(p11->C_SetAttributeValue(session, o, t.a, t.count), CKR_ATTRIBUTE_READ_ONLY,
             "5.7.6: one of two is read-only");
    check_bytes(o, CKA_LABEL, "a label", 7, "5.7.6: the other one is as it was");
    CHECK_RV(p11->C_SetAttributeValue(session, o, NULL, 1), CKR_ARGUMENTS_BAD, "5.7.6: NULL with a count");
    CHECK_RV(p11->C_SetAttributeValue(session, o, t.a, CK_UNAVAILABLE_INFORMATION), CKR_ARGUMENTS_BAD,
             "5.7.6: -1 attributes");
    CHECK_RV(p11->C_SetAttributeValue(session, o, NULL, 0), CKR_OK, "5.7.6: an empty template");
    CHECK_RV(p11->C_SetAttributeValue(session, 0, t.a, 1), CKR_OBJECT_HANDLE_INVALID, "5.7.6: no object");
    leave();
}

static void persistent_keys_persist(void)
{
    struct form t = {0};
    form_bytes(&t, CKA_LABEL, "renamed", 7);
    begin();
    CK_OBJECT_HANDLE o = make(PERSISTENT);
    CHECK_RV(p11->C_SetAttributeValue(session, o, t.a, 1), CKR_OK, "5.7.6: a token object");
    leave();
    begin();
    CK_OBJECT_HANDLE found[2];
    CK_ULONG count = 0;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE ro = 0;
    CHECK(caller_slot(world, "alpha", &slot), "the slot");
    CHECK_RV(p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &ro), CKR_OK, "a read-only session");
    CHECK_RV(p11->C_FindObjectsInit(session, t.a, t.count), CKR_OK, "5.7.7");
    CHECK_RV(p11->C_FindObjects(session, found, 2, &count), CKR_OK, "5.7.8");
    CHECK_RV(p11->C_FindObjectsFinal(session), CKR_OK, "5.7.9");
    CHECK(count == 1, "4.4: a token object is there after C_Finalize, under its new label");
    if (count == 1) {
        check_bytes(found[0], CKA_ID, "\001\002\003", 3, "4.7: with its CKA_ID");
        check_number(found[0], CKA_VALUE_LEN, 24, "4.10: with its length");
        check_bool(found[0], CKA_SENSITIVE, true, "4.10: still sensitive");
        CHECK_RV(p11->C_DestroyObject(ro, found[0]), CKR_SESSION_READ_ONLY, "5.7.3: in a read-only session");
        CHECK_RV(p11->C_SetAttributeValue(ro, found[0], t.a, 1), CKR_SESSION_READ_ONLY,
                 "5.7.6: in a read-only session");
        CHECK_RV(p11->C_DestroyObject(session, found[0]), CKR_OK, "5.7.3: in a read/write session");
    }
    leave();
    begin();
    CHECK(caller_count(world, session, &t) == 0, "5.7.3: destroyed for good");
    leave();
}

static void generated_keys_differ_and_have_their_length(void)
{
    static const size_t aes[] = {16, 24, 32};
    static const size_t generic[] = {1, 2, 7, 8, 16, 31, 32, 33, 64, 128, 511, 512};
    uint8_t one[512];
    uint8_t two[512];
    begin();
    for (size_t i = 0; i < COUNT_OF(aes) + COUNT_OF(generic); i++) {
        bool is_aes = i < COUNT_OF(aes);
        size_t len = is_aes ? aes[i] : generic[i - COUNT_OF(aes)];
        CK_KEY_TYPE type = is_aes ? CKK_AES : CKK_GENERIC_SECRET;
        CK_OBJECT_HANDLE a = caller_generate(world, session, type, len);
        CK_OBJECT_HANDLE b = caller_generate(world, session, type, len);
        CHECK(caller_value(world, session, a, one, sizeof one) == len, "5.18.1: CKA_VALUE_LEN bytes");
        CHECK(caller_value(world, session, b, two, sizeof two) == len, "5.18.1: CKA_VALUE_LEN bytes");
        CHECK(len < 16 || memcmp(one, two, len) != 0, "5.18.1: two keys differ");
    }
    leave();
}

static void mechanisms_of_generation_are_checked(void)
{
    uint8_t parameter[16] = {0};
    const struct {
        const char *what;
        CK_MECHANISM mechanism;
        CK_RV expect;
    } rows[] = {
        {"5.18.1: CKM_AES_KEY_GEN", {CKM_AES_KEY_GEN, NULL, 0}, CKR_OK},
        {"5.18.1: with a parameter", {CKM_AES_KEY_GEN, parameter, 16}, CKR_MECHANISM_PARAM_INVALID},
        {"5.18.1: a pointer of length 0", {CKM_AES_KEY_GEN, parameter, 0}, CKR_MECHANISM_PARAM_INVALID},
        {"5.18.1: NULL of length 16", {CKM_AES_KEY_GEN, NULL, 16}, CKR_MECHANISM_PARAM_INVALID},
        {"5.18.1: NULL of length -1",
         {CKM_AES_KEY_GEN, NULL, CK_UNAVAILABLE_INFORMATION},
         CKR_MECHANISM_PARAM_INVALID},
        {"5.18.1: DES3", {CKM_DES3_KEY_GEN, NULL, 0}, CKR_MECHANISM_INVALID},
        {"5.18.1: a mechanism that wraps", {CKM_AES_KEY_WRAP, NULL, 0}, CKR_MECHANISM_INVALID},
        {"5.18.1: -1", {CK_UNAVAILABLE_INFORMATION, NULL, 0}, CKR_MECHANISM_INVALID},
    };
    CK_OBJECT_HANDLE key = 77;
    struct form t = {0};
    begin();
    form_ulong(&t, CKA_VALUE_LEN, 32);
    CHECK_RV(p11->C_GenerateKey(session, NULL, t.a, t.count, &key), CKR_ARGUMENTS_BAD,
             "5.18.1: no mechanism");
    for (size_t i = COUNT_OF(rows); i-- > 0;) {
        CK_MECHANISM m = rows[i].mechanism;
        CHECK_RV(p11->C_GenerateKey(session, &m, t.a, t.count, &key), rows[i].expect, rows[i].what);
        CHECK((key == 77) == (rows[i].expect != CKR_OK), chapter_join("5.2: the handle", rows[i].what));
    }
    leave();
}

/* As `keyward purge` leaves it, in less time. */
static int destroy_the_cmk(const struct outside_token *t, void *data)
{
    CK_ATTRIBUTE a = {CKA_LABEL, data, 5};
    CK_OBJECT_HANDLE found = 0;
    CK_ULONG n = 0;
    CK_RV rv = t->calls->C_FindObjectsInit(t->session, &a, 1);
    rv |= t->calls->C_FindObjects(t->session, &found, 1, &n);
    rv |= t->calls->C_FindObjectsFinal(t->session);
    return rv == CKR_OK && t->calls->C_DestroyObject(t->session, found) == CKR_OK ? 0 : 1;
}

static CK_RV wrap_by(CK_OBJECT_HANDLE cmk, CK_MECHANISM_TYPE how, CK_OBJECT_HANDLE key, CK_BYTE blob[256], CK_ULONG *len)
{
    *len = 256;
    return p11->C_WrapKey(session, caller_mechanism(how), cmk, key, blob, len);
}

static void the_handle_of_a_CMK_that_was_replaced_is_stale(void)
{
    static const CK_MECHANISM_TYPE hows[] = {CKM_AES_KEY_WRAP, CKM_KEYWARD_ENVELOPE};
    const char *const create[] = {fixture_command(), "create", "alpha", NULL};
    CK_BYTE blob[256];
    CK_ULONG n = 0;
    char label[] = "alpha";
    begin();
    CK_OBJECT_HANDLE key = caller_generate(world, session, CKK_AES, 32);
    CK_OBJECT_HANDLE old = caller_cmk(world, session);
    CHECK_RV(wrap_by(old, CKM_AES_KEY_WRAP, key, blob, &n), CKR_OK, "the first CMK");
    CHECK(fixture_outside(world, "eu-1", destroy_the_cmk, label, sizeof label) == 0, "the CMK is destroyed");
    CHECK(fixture_execute(world, create), "and another one, its version 1 too, is made");
    for (size_t i = 0; i < COUNT_OF(hows); i++) {
        CHECK_RV(wrap_by(old, hows[i], key, blob, &n), CKR_WRAPPING_KEY_HANDLE_INVALID, "G2: not the key that the handle was given out for");
    }
    struct form t = {0};
    form_secret(&t, CKK_AES);
    CHECK_RV(p11->C_UnwrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), old, blob, 40, t.a, t.count, &key), CKR_UNWRAPPING_KEY_HANDLE_INVALID,
             "nor does it unwrap");
    CHECK_RV(wrap_by(caller_cmk(world, session), CKM_AES_KEY_WRAP, key, blob, &n), CKR_OK, "the next search gives the new one");
    leave();
}

int main(void)
{
    static const struct fixture_slot slots[] = {{.name = "alpha", .tokens = "eu-1"}, {0}};
    CU_TestInfo tests[] = {
        {"every object shows the attributes of a secret key",
         every_object_shows_the_attributes_of_a_secret_key},
        {"the CMK shows its version and never its value", the_CMK_shows_its_version_and_never_its_value},
        {"a template is filled as far as possible", a_template_is_filled_as_far_as_possible},
        {"each failure has its code", each_failure_has_its_code},
        {"C_DestroyObject destroys data keys only", C_DestroyObject_destroys_data_keys_only},
        {"C_GetObjectSize is served", C_GetObjectSize_is_served},
        {"C_SetAttributeValue changes label and id of data keys",
         C_SetAttributeValue_changes_label_and_id_of_data_keys},
        {"C_SetAttributeValue changes all or nothing", C_SetAttributeValue_changes_all_or_nothing},
        {"persistent keys persist", persistent_keys_persist},
        {"generated keys differ and have their length", generated_keys_differ_and_have_their_length},
        {"mechanisms of generation are checked", mechanisms_of_generation_are_checked},
        {"the handle of a CMK that was replaced is stale", the_handle_of_a_CMK_that_was_replaced_is_stale},
        CU_TEST_INFO_NULL,
    };
    return chapter_run("object", &(struct fixture_settings){.slots = slots}, tests);
}
