/*
 * What a caller may ask of a data key: PKCS#11 3.1 sections 4.1, 4.4, 4.7, 4.10 (attributes), 5.7.1 (C_CreateObject), 5.18.1
 * (C_GenerateKey), 5.18.4 (C_UnwrapKey); DESIGN section 5; ATTACKS A02 to A04, A27, A31. One table: attribute x way of making.
 */
#include "chapter.h"

enum making { GENERATE, CREATE, UNWRAP, MAKINGS };
static const char *const making_names[MAKINGS] = {"C_GenerateKey", "C_CreateObject", "C_UnwrapKey"};

static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE cmk;
static uint8_t value[520];
static uint8_t text[520];
static CK_BYTE blob[64]; /* 32 bytes of `value`, wrapped */
static CK_ULONG blob_len;

static void begin(const char *slot)
{
    session = enter(slot);
    cmk = caller_cmk(world, session);
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof value; i++) {
        value[i] = (uint8_t)(i * 7 + 1);
    }
    struct form t = {0};
    CK_OBJECT_HANDLE key = 0;
    form_secret(&t, CKK_AES);
    form_bytes(&t, CKA_VALUE, value, 32);
    CHECK_RV(p11->C_CreateObject(session, t.a, t.count, &key), CKR_OK, "a data key to wrap");
    blob_len = sizeof blob;
    CHECK_RV(p11->C_WrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), cmk, key, blob, &blob_len), CKR_OK,
             "a blob to unwrap");
    CHECK_RV(p11->C_DestroyObject(session, key), CKR_OK, "C_DestroyObject");
}

/* The least that a way of making needs, without `leave_out`. */
static void base(struct form *t, enum making making, CK_ATTRIBUTE_TYPE leave_out)
{
    if (leave_out != CKA_CLASS) {
        form_ulong(t, CKA_CLASS, CKO_SECRET_KEY);
    }
    if (leave_out != CKA_KEY_TYPE) {
        form_ulong(t, CKA_KEY_TYPE, CKK_AES);
    }
    if (making == GENERATE && leave_out != CKA_VALUE_LEN) {
        form_ulong(t, CKA_VALUE_LEN, 32);
    }
    if (making == CREATE && leave_out != CKA_VALUE) {
        form_bytes(t, CKA_VALUE, value, 32);
    }
}

static CK_RV make_with(enum making making, CK_ATTRIBUTE *a, CK_ULONG count, CK_OBJECT_HANDLE *key)
{
    switch (making) {
    case GENERATE:
        return p11->C_GenerateKey(session, caller_mechanism(CKM_AES_KEY_GEN), a, count, key);
    case CREATE:
        return p11->C_CreateObject(session, a, count, key);
    default:
        return p11->C_UnwrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), cmk, blob, blob_len, a, count,
                                key);
    }
}

/* Makes a key, says whether the answer is as it must be, and destroys the key. */
static void check_making(enum making making, struct form *t, const CK_RV want[2], const char *what)
{
    CK_OBJECT_HANDLE key = 77;
    const char *sentence = chapter_join(making_names[making], what);
    CK_RV rv = make_with(making, t->a, t->count, &key);
    chapter_check_either(rv, want, __FILE__, __LINE__, sentence);
    if (rv != CKR_OK) {
        CHECK(key == 77, chapter_join("5.2: output untouched", sentence));
    } else {
        CHECK(key != 0 && key != 77, chapter_join("a handle", sentence));
        CHECK_RV(p11->C_DestroyObject(session, key), CKR_OK, sentence);
    }
}

#define OK CKR_OK
#define INCONSISTENT CKR_TEMPLATE_INCONSISTENT
#define READ_ONLY CKR_ATTRIBUTE_READ_ONLY
#define INVALID CKR_ATTRIBUTE_VALUE_INVALID
#define NO_SUCH CKR_ATTRIBUTE_TYPE_INVALID
#define ALL(rv)                                                                                              \
    {                                                                                                        \
        rv, rv, rv                                                                                           \
    }

/* Attributes with a number or a boolean: what each value gets from C_GenerateKey, C_CreateObject, C_UnwrapKey. */
static const struct {
    const char *what;
    CK_ATTRIBUTE_TYPE type;
    bool is_bool;
    CK_ULONG number;
    CK_RV expect[MAKINGS];
    CK_RV or_else; /* another answer that the standard leaves, for any of those that are not CKR_OK */
} numbers[] = {
    {"CKA_CLASS secret key", CKA_CLASS, false, CKO_SECRET_KEY, ALL(OK), OK},
    {"CKA_CLASS private key", CKA_CLASS, false, CKO_PRIVATE_KEY, ALL(INCONSISTENT), INVALID},
    {"CKA_CLASS data", CKA_CLASS, false, CKO_DATA, ALL(INCONSISTENT), INVALID},
    {"CKA_CLASS -1", CKA_CLASS, false, CK_UNAVAILABLE_INFORMATION, ALL(INCONSISTENT), INVALID},
    {"CKA_KEY_TYPE AES", CKA_KEY_TYPE, false, CKK_AES, ALL(OK), OK},
    {"CKA_KEY_TYPE generic secret",
     CKA_KEY_TYPE,
     false,
     CKK_GENERIC_SECRET,
     {INCONSISTENT, OK, OK},
     INCONSISTENT},
    {"CKA_KEY_TYPE DES3", CKA_KEY_TYPE, false, CKK_DES3, ALL(INCONSISTENT), INVALID},
    {"CKA_KEY_TYPE RSA", CKA_KEY_TYPE, false, CKK_RSA, ALL(INCONSISTENT), INVALID},
    {"CKA_KEY_TYPE -1", CKA_KEY_TYPE, false, CK_UNAVAILABLE_INFORMATION, ALL(INCONSISTENT), INVALID},
    {"CKA_VALUE_LEN 32", CKA_VALUE_LEN, false, 32, ALL(OK), OK},
    {"CKA_VALUE_LEN 16", CKA_VALUE_LEN, false, 16, {OK, INCONSISTENT, INCONSISTENT}, CKR_WRAPPED_KEY_INVALID},
    {"CKA_VALUE_LEN 24", CKA_VALUE_LEN, false, 24, {OK, INCONSISTENT, INCONSISTENT}, CKR_WRAPPED_KEY_INVALID},
    {"CKA_VALUE_LEN 0", CKA_VALUE_LEN, false, 0, {CKR_KEY_SIZE_RANGE, INVALID, INVALID}, INVALID},
    {"CKA_VALUE_LEN 31", CKA_VALUE_LEN, false, 31, {CKR_KEY_SIZE_RANGE, INVALID, INVALID}, INVALID},
    {"CKA_VALUE_LEN 33", CKA_VALUE_LEN, false, 33, {CKR_KEY_SIZE_RANGE, INVALID, INVALID}, INVALID},
    {"CKA_VALUE_LEN 2^32+32",
     CKA_VALUE_LEN,
     false,
     (1UL << 32) + 32,
     {CKR_KEY_SIZE_RANGE, INVALID, INVALID},
     INVALID},
    {"CKA_VALUE_LEN -1",
     CKA_VALUE_LEN,
     false,
     CK_UNAVAILABLE_INFORMATION,
     {CKR_KEY_SIZE_RANGE, INVALID, INVALID},
     INVALID},
    {"CKA_TOKEN false", CKA_TOKEN, true, 0, ALL(OK), OK},
    {"CKA_TOKEN true", CKA_TOKEN, true, 1, ALL(OK), OK},
    {"CKA_PRIVATE true", CKA_PRIVATE, true, 1, ALL(OK), OK},
    {"CKA_PRIVATE false: pkcs11-tool asks for it", CKA_PRIVATE, true, 0, ALL(OK), OK},
    {"CKA_SENSITIVE true", CKA_SENSITIVE, true, 1, ALL(OK), OK},
    {"CKA_SENSITIVE false", CKA_SENSITIVE, true, 0, ALL(OK), OK},
    {"CKA_EXTRACTABLE true", CKA_EXTRACTABLE, true, 1, ALL(OK), OK},
    {"CKA_EXTRACTABLE false", CKA_EXTRACTABLE, true, 0, ALL(OK), OK},
    {"DESIGN 5: CKA_ENCRYPT true is accepted", CKA_ENCRYPT, true, 1, ALL(OK), OK},
    {"CKA_ENCRYPT false", CKA_ENCRYPT, true, 0, ALL(OK), OK},
    {"DESIGN 5: CKA_DECRYPT true is accepted", CKA_DECRYPT, true, 1, ALL(OK), OK},
    {"CKA_DECRYPT false", CKA_DECRYPT, true, 0, ALL(OK), OK},
    {"ATTACKS A02: CKA_WRAP true", CKA_WRAP, true, 1, ALL(INCONSISTENT), INCONSISTENT},
    {"CKA_WRAP false", CKA_WRAP, true, 0, ALL(OK), OK},
    {"ATTACKS A02: CKA_UNWRAP true", CKA_UNWRAP, true, 1, ALL(INCONSISTENT), INCONSISTENT},
    {"CKA_UNWRAP false", CKA_UNWRAP, true, 0, ALL(OK), OK},
    {"ATTACKS A14: CKA_DERIVE true", CKA_DERIVE, true, 1, ALL(INCONSISTENT), INCONSISTENT},
    {"CKA_DERIVE false", CKA_DERIVE, true, 0, ALL(OK), OK},
    {"CKA_SIGN true", CKA_SIGN, true, 1, ALL(INCONSISTENT), INCONSISTENT},
    {"CKA_SIGN false", CKA_SIGN, true, 0, ALL(OK), OK},
    {"CKA_VERIFY true", CKA_VERIFY, true, 1, ALL(INCONSISTENT), INCONSISTENT},
    {"CKA_VERIFY false", CKA_VERIFY, true, 0, ALL(OK), OK},
    {"CKA_MODIFIABLE true", CKA_MODIFIABLE, true, 1, ALL(OK), OK},
    {"CKA_MODIFIABLE false", CKA_MODIFIABLE, true, 0, ALL(INCONSISTENT), INCONSISTENT},
    {"CKA_COPYABLE false", CKA_COPYABLE, true, 0, ALL(OK), OK},
    {"CKA_COPYABLE true", CKA_COPYABLE, true, 1, ALL(INCONSISTENT), INCONSISTENT},
    {"CKA_DESTROYABLE true", CKA_DESTROYABLE, true, 1, ALL(OK), OK},
    {"CKA_DESTROYABLE false", CKA_DESTROYABLE, true, 0, ALL(INCONSISTENT), INCONSISTENT},
    {"ATTACKS A27: CKA_TRUSTED true", CKA_TRUSTED, true, 1, ALL(INCONSISTENT), READ_ONLY},
    {"CKA_TRUSTED false", CKA_TRUSTED, true, 0, ALL(OK), OK},
    {"CKA_WRAP_WITH_TRUSTED true", CKA_WRAP_WITH_TRUSTED, true, 1, ALL(INCONSISTENT), INCONSISTENT},
    {"CKA_WRAP_WITH_TRUSTED false", CKA_WRAP_WITH_TRUSTED, true, 0, ALL(OK), OK},
    {"ATTACKS A31: CKA_LOCAL", CKA_LOCAL, true, 1, ALL(READ_ONLY), INCONSISTENT},
    {"ATTACKS A31: CKA_ALWAYS_SENSITIVE", CKA_ALWAYS_SENSITIVE, true, 1, ALL(READ_ONLY), INCONSISTENT},
    {"ATTACKS A31: CKA_NEVER_EXTRACTABLE", CKA_NEVER_EXTRACTABLE, true, 1, ALL(READ_ONLY), INCONSISTENT},
    {"CKA_KEY_GEN_MECHANISM", CKA_KEY_GEN_MECHANISM, false, CKM_AES_KEY_GEN, ALL(READ_ONLY), INCONSISTENT},
    {"an attribute of private keys", CKA_ALWAYS_AUTHENTICATE, true, 0, ALL(NO_SUCH), INCONSISTENT},
    {"an attribute of RSA keys", CKA_MODULUS_BITS, false, 2048, ALL(NO_SUCH), INCONSISTENT},
    {"an attribute of certificates", CKA_CERTIFICATE_TYPE, false, 0, ALL(NO_SUCH), INCONSISTENT},
    {"a vendor's attribute", 0x80000001UL, false, 0, ALL(NO_SUCH), INCONSISTENT},
    {"Keyward's own attribute of CMKs", CKA_KEYWARD_VERSION, false, 1, ALL(NO_SUCH), READ_ONLY},
    {"attribute 0xFFFFFFFFFFFFFFFF", CK_UNAVAILABLE_INFORMATION, false, 0, ALL(NO_SUCH), INCONSISTENT},
};

static void each_number_gets_its_answer(void)
{
    begin("alpha");
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        for (enum making making = GENERATE; making < MAKINGS; making++) {
            struct form t = {0};
            CK_RV expect = numbers[i].expect[making];
            base(&t, making, numbers[i].type);
            if (numbers[i].is_bool) {
                form_bool(&t, numbers[i].type, numbers[i].number != 0);
            } else {
                form_ulong(&t, numbers[i].type, numbers[i].number);
            }
            check_making(making, &t, (const CK_RV[]){expect, expect == OK ? OK : numbers[i].or_else},
                         numbers[i].what);
        }
    }
    leave();
}

/* Attributes with bytes. A NULL `bytes` is given as it is. */
static const struct {
    const char *what;
    CK_ATTRIBUTE_TYPE type;
    const void *bytes;
    CK_ULONG len;
    CK_RV expect[MAKINGS];
    CK_RV or_else;
} strings[] = {
    {"CKA_LABEL empty", CKA_LABEL, text, 0, ALL(OK), OK},
    {"CKA_LABEL NULL and empty", CKA_LABEL, NULL, 0, ALL(OK), OK},
    {"CKA_LABEL of 128 bytes", CKA_LABEL, text, 128, ALL(OK), OK},
    {"CKA_LABEL of 129 bytes", CKA_LABEL, text, 129, ALL(INVALID), OK},
    {"CKA_LABEL NULL with a length", CKA_LABEL, NULL, 5, ALL(INVALID), OK},
    {"CKA_LABEL of 2^32+1 bytes", CKA_LABEL, text, (1UL << 32) + 1, ALL(INVALID), OK},
    {"CKA_LABEL of 2^63 bytes", CKA_LABEL, text, 1UL << 63, ALL(INVALID), OK},
    {"CKA_LABEL of -8 bytes", CKA_LABEL, text, (CK_ULONG)-8, ALL(INVALID), OK},
    {"CKA_LABEL of -1 bytes", CKA_LABEL, text, CK_UNAVAILABLE_INFORMATION, ALL(INVALID), OK},
    {"CKA_ID empty", CKA_ID, text, 0, ALL(OK), OK},
    {"CKA_ID of 128 bytes", CKA_ID, text, 128, ALL(OK), OK},
    {"CKA_ID of 129 bytes", CKA_ID, text, 129, ALL(INVALID), OK},
    {"CKA_ID NULL with a length", CKA_ID, NULL, 1, ALL(INVALID), OK},
    {"CKA_ID of -1 bytes", CKA_ID, text, CK_UNAVAILABLE_INFORMATION, ALL(INVALID), OK},
    {"CKA_VALUE of 16 bytes", CKA_VALUE, value, 16, {INCONSISTENT, OK, INCONSISTENT}, READ_ONLY},
    {"CKA_VALUE of 24 bytes", CKA_VALUE, value, 24, {INCONSISTENT, OK, INCONSISTENT}, READ_ONLY},
    {"CKA_VALUE empty", CKA_VALUE, value, 0, {INCONSISTENT, INVALID, INCONSISTENT}, READ_ONLY},
    {"CKA_VALUE of 15 bytes", CKA_VALUE, value, 15, {INCONSISTENT, INVALID, INCONSISTENT}, READ_ONLY},
    {"CKA_VALUE of 33 bytes", CKA_VALUE, value, 33, {INCONSISTENT, INVALID, INCONSISTENT}, READ_ONLY},
    {"CKA_VALUE of 513 bytes", CKA_VALUE, value, 513, {INCONSISTENT, INVALID, INCONSISTENT}, READ_ONLY},
    {"CKA_VALUE NULL with a length", CKA_VALUE, NULL, 32, {INCONSISTENT, INVALID, INCONSISTENT}, READ_ONLY},
    {"CKA_VALUE of 2^32+32 bytes",
     CKA_VALUE,
     value,
     (1UL << 32) + 32,
     {INCONSISTENT, INVALID, INCONSISTENT},
     READ_ONLY},
    {"CKA_VALUE of -1 bytes",
     CKA_VALUE,
     value,
     CK_UNAVAILABLE_INFORMATION,
     {INCONSISTENT, INVALID, INCONSISTENT},
     READ_ONLY},
    {"CKA_START_DATE empty", CKA_START_DATE, text, 0, ALL(OK), OK},
    {"CKA_START_DATE, which nobody would enforce", CKA_START_DATE, "20250101", 8, ALL(INCONSISTENT),
     READ_ONLY},
    {"CKA_END_DATE empty", CKA_END_DATE, text, 0, ALL(OK), OK},
    {"CKA_END_DATE, which nobody would enforce", CKA_END_DATE, "20350101", 8, ALL(INCONSISTENT), READ_ONLY},
    {"CKA_END_DATE of 3 bytes", CKA_END_DATE, "203", 3, ALL(INVALID), OK},
    {"CKA_UNIQUE_ID", CKA_UNIQUE_ID, text, 8, ALL(READ_ONLY), INCONSISTENT},
    {"CKA_CHECK_VALUE", CKA_CHECK_VALUE, text, 3, ALL(NO_SUCH), READ_ONLY},
    {"CKA_ALLOWED_MECHANISMS", CKA_ALLOWED_MECHANISMS, text, 8, ALL(NO_SUCH), INCONSISTENT},
    {"CKA_ALLOWED_MECHANISMS of odd length", CKA_ALLOWED_MECHANISMS, text, 7, ALL(NO_SUCH), INCONSISTENT},
    {"CKA_WRAP_TEMPLATE", CKA_WRAP_TEMPLATE, NULL, 0, ALL(NO_SUCH), INCONSISTENT},
    {"CKA_WRAP_TEMPLATE that is no template", CKA_WRAP_TEMPLATE, text, 5, ALL(NO_SUCH), INCONSISTENT},
    {"CKA_UNWRAP_TEMPLATE NULL with a length", CKA_UNWRAP_TEMPLATE, NULL, sizeof(CK_ATTRIBUTE), ALL(NO_SUCH),
     INCONSISTENT},
    {"CKA_UNWRAP_TEMPLATE of -1 bytes", CKA_UNWRAP_TEMPLATE, text, CK_UNAVAILABLE_INFORMATION, ALL(NO_SUCH),
     INCONSISTENT},
    {"CKA_APPLICATION", CKA_APPLICATION, text, 3, ALL(NO_SUCH), INCONSISTENT},
    {"CKA_MODULUS", CKA_MODULUS, text, 256, ALL(NO_SUCH), INCONSISTENT},
};

static void each_string_gets_its_answer(void)
{
    begin("alpha");
    for (size_t i = 0; i < COUNT_OF(strings); i++) {
        for (enum making making = GENERATE; making < MAKINGS; making++) {
            struct form t = {0};
            CK_RV expect = strings[i].expect[making];
            base(&t, making, strings[i].type);
            form_bytes(&t, strings[i].type, strings[i].bytes, strings[i].len);
            check_making(making, &t, (const CK_RV[]){expect, expect == OK ? OK : strings[i].or_else},
                         strings[i].what);
        }
    }
    leave();
}

/* Every boolean and number of the table above, in every wrong form. Where the attribute may not be given at all, saying so is right. */
static const struct {
    const char *what;
    uint8_t bytes[9];
    CK_ULONG len;
    bool null;
    bool of_bool; /* wrong for a CK_BBOOL */
    bool of_ulong;
} forms[] = {
    {"a CK_BBOOL of 2", {2}, 1, false, true, true},
    {"a CK_BBOOL of 0xFF", {0xFF}, 1, false, true, true},
    {"8 bytes", {1}, 8, false, true, false},
    {"4 bytes", {4}, 4, false, true, true},
    {"7 bytes", {4}, 7, false, true, true},
    {"9 bytes", {4}, 9, false, true, true},
    {"no bytes", {0}, 0, false, true, true},
    {"NULL with 1 byte", {0}, 1, true, true, true},
    {"NULL with 8 bytes", {0}, 8, true, true, true},
    {"NULL with no bytes", {0}, 0, true, true, true},
    {"NULL with -1 bytes", {0}, CK_UNAVAILABLE_INFORMATION, true, true, true},
    {"-1 bytes", {1}, CK_UNAVAILABLE_INFORMATION, false, true, true},
    {"2^32+1 bytes", {1}, (1UL << 32) + 1, false, true, true},
    {"2^63 bytes", {1}, 1UL << 63, false, true, true},
};

static void malformed_values_are_told_from_wrong_ones(void)
{
    begin("alpha");
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        if (i > 0 && numbers[i].type == numbers[i - 1].type) {
            continue;
        }
        for (size_t k = 0; k < COUNT_OF(forms); k++) {
            if (numbers[i].is_bool ? !forms[k].of_bool : !forms[k].of_ulong) {
                continue;
            }
            for (enum making making = GENERATE; making < MAKINGS; making++) {
                struct form t = {0};
                CK_RV refusal = numbers[i].expect[making];
                base(&t, making, numbers[i].type);
                form_bytes(&t, numbers[i].type, forms[k].null ? NULL : forms[k].bytes, forms[k].len);
                check_making(
                    making, &t,
                    (const CK_RV[]){INVALID, refusal == READ_ONLY || refusal == NO_SUCH ? refusal : INVALID},
                    chapter_join(numbers[i].what, forms[k].what));
            }
        }
    }
    leave();
}

static void an_attribute_given_twice_is_refused(void)
{
    static const CK_ATTRIBUTE_TYPE bools[] = {CKA_TOKEN,       CKA_PRIVATE, CKA_SENSITIVE,
                                              CKA_EXTRACTABLE, CKA_ENCRYPT, CKA_DECRYPT};
    begin("alpha");
    const CK_RV want[2] = {INCONSISTENT, INCONSISTENT};
    for (enum making making = GENERATE; making < MAKINGS; making++) {
        for (size_t i = 0; i < COUNT_OF(bools); i++) {
            for (int second = 0; second < 2; second++) {
                struct form t = {0};
                form_bool(&t, bools[i], true);
                base(&t, making, bools[i]);
                form_bool(&t, bools[i], second != 0);
                check_making(making, &t, want,
                             second != 0 ? "ATTACKS 1: twice, equal" : "ATTACKS 1: twice, different");
            }
        }
        struct form labels = {0};
        base(&labels, making, CKA_LABEL);
        form_bytes(&labels, CKA_LABEL, "a", 1);
        form_bytes(&labels, CKA_LABEL, "b", 1);
        check_making(making, &labels, want, "ATTACKS 1: two labels");
        struct form types = {0};
        base(&types, making, CKA_LABEL);
        form_ulong(&types, CKA_KEY_TYPE, CKK_AES);
        check_making(making, &types, want, "ATTACKS 1: two key types");
    }
    leave();
}

static void what_is_needed_must_be_given(void)
{
    static const struct {
        const char *what;
        enum making making;
        CK_ATTRIBUTE_TYPE missing;
        CK_RV expect;
    } rows[] = {
        {"4.10: no CKA_VALUE_LEN", GENERATE, CKA_VALUE_LEN, CKR_TEMPLATE_INCOMPLETE},
        {"5.18.1: no CKA_CLASS: the mechanism implies it", GENERATE, CKA_CLASS, OK},
        {"5.18.1: no CKA_KEY_TYPE: the mechanism implies it", GENERATE, CKA_KEY_TYPE, OK},
        {"4.1: no CKA_CLASS", CREATE, CKA_CLASS, CKR_TEMPLATE_INCOMPLETE},
        {"4.7: no CKA_KEY_TYPE", CREATE, CKA_KEY_TYPE, CKR_TEMPLATE_INCOMPLETE},
        {"4.10: no CKA_VALUE", CREATE, CKA_VALUE, CKR_TEMPLATE_INCOMPLETE},
        {"4.1: no CKA_CLASS", UNWRAP, CKA_CLASS, CKR_TEMPLATE_INCOMPLETE},
        {"4.7: no CKA_KEY_TYPE", UNWRAP, CKA_KEY_TYPE, CKR_TEMPLATE_INCOMPLETE},
    };
    begin("alpha");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct form t = {0};
        base(&t, rows[i].making, rows[i].missing);
        check_making(rows[i].making, &t, (const CK_RV[]){rows[i].expect, rows[i].expect}, rows[i].what);
    }
    struct form empty = {0};
    for (enum making making = GENERATE; making < MAKINGS; making++) {
        check_making(making, &empty, (const CK_RV[]){CKR_TEMPLATE_INCOMPLETE, CKR_TEMPLATE_INCOMPLETE},
                     "an empty template");
    }
    leave();
}

static void a_template_has_a_size(void)
{
    static CK_ATTRIBUTE many[300];
    static const CK_ULONG counts[] = {257,       300,       1000000,   1UL << 32,
                                      1UL << 59, 1UL << 60, 1UL << 63, CK_UNAVAILABLE_INFORMATION};
    begin("alpha");
    for (size_t i = 0; i < COUNT_OF(many); i++) {
        many[i] = (CK_ATTRIBUTE){CKA_ENCRYPT, &value[0], 1};
    }
    for (enum making making = GENERATE; making < MAKINGS; making++) {
        CK_OBJECT_HANDLE key = 77;
        for (size_t i = 0; i < COUNT_OF(counts); i++) {
            CHECK_RV(make_with(making, many, counts[i], &key), CKR_ARGUMENTS_BAD,
                     chapter_join("a template too long", making_names[making]));
        }
        CHECK_RV(make_with(making, many, 256, &key), INCONSISTENT,
                 chapter_join("256 attributes are read", making_names[making]));
        CHECK_RV(make_with(making, NULL, 1, &key), CKR_ARGUMENTS_BAD,
                 chapter_join("NULL with a count", making_names[making]));
        CHECK_RV(make_with(making, NULL, 0, &key), CKR_TEMPLATE_INCOMPLETE,
                 chapter_join("NULL without a count", making_names[making]));
        struct form t = {0};
        base(&t, making, CKA_LABEL);
        CHECK_RV(make_with(making, t.a, t.count, NULL), CKR_ARGUMENTS_BAD,
                 chapter_join("no place for the handle", making_names[making]));
        CHECK(key == 77, "5.2: output untouched");
    }
    leave();
}

static void misaligned_numbers_are_read(void)
{
    begin("alpha");
    for (enum making making = GENERATE; making < MAKINGS; making++) {
        uint8_t room[3 * sizeof(CK_ULONG)];
        const CK_ULONG class = CKO_SECRET_KEY;
        const CK_ULONG type = CKK_AES;
        memcpy(room + 1, &class, sizeof class);
        memcpy(room + 11, &type, sizeof type);
        struct form t = {0};
        form_bytes(&t, CKA_CLASS, room + 1, sizeof class);
        form_bytes(&t, CKA_KEY_TYPE, room + 11, sizeof type);
        if (making == GENERATE) {
            form_ulong(&t, CKA_VALUE_LEN, 32);
        } else if (making == CREATE) {
            form_bytes(&t, CKA_VALUE, value + 3, 32);
        }
        check_making(making, &t, (const CK_RV[]){OK, OK}, "ATTACKS 3: misaligned CK_ULONG");
    }
    leave();
}

/* What is read back of a template: {given, read}. */
static const struct {
    const char *what;
    CK_ATTRIBUTE_TYPE type;
    int given; /* -1: not given */
    bool read;
} reads[] = {
    {"CKA_TOKEN, silent", CKA_TOKEN, -1, false},
    {"CKA_TOKEN", CKA_TOKEN, 1, true},
    {"CKA_PRIVATE, silent", CKA_PRIVATE, -1, true},
    {"every object is private, whatever was asked", CKA_PRIVATE, 0, true},
    {"CKA_SENSITIVE, silent", CKA_SENSITIVE, -1, true},
    {"CKA_SENSITIVE", CKA_SENSITIVE, 0, false},
    {"CKA_EXTRACTABLE, silent", CKA_EXTRACTABLE, -1, true},
    {"CKA_EXTRACTABLE", CKA_EXTRACTABLE, 0, false},
    {"DESIGN 5: CKA_ENCRYPT reads back false", CKA_ENCRYPT, 1, false},
    {"DESIGN 5: CKA_DECRYPT reads back false", CKA_DECRYPT, 1, false},
    {"CKA_WRAP, silent", CKA_WRAP, -1, false},
    {"CKA_UNWRAP, silent", CKA_UNWRAP, -1, false},
    {"CKA_DERIVE, silent", CKA_DERIVE, -1, false},
    {"CKA_SIGN, silent", CKA_SIGN, -1, false},
    {"CKA_VERIFY, silent", CKA_VERIFY, -1, false},
};

static void silence_gets_the_safe_default(void)
{
    begin("alpha");
    for (size_t i = 0; i < COUNT_OF(reads); i++) {
        for (enum making making = GENERATE; making < MAKINGS; making++) {
            CK_OBJECT_HANDLE key = 0;
            CK_BBOOL got = 2;
            CK_ATTRIBUTE a = {reads[i].type, &got, sizeof got};
            struct form t = {0};
            const char *what = chapter_join(making_names[making], reads[i].what);
            base(&t, making, reads[i].type);
            if (reads[i].given >= 0) {
                form_bool(&t, reads[i].type, reads[i].given != 0);
            }
            CHECK_RV(make_with(making, t.a, t.count, &key), OK, what);
            CHECK_RV(p11->C_GetAttributeValue(session, key, &a, 1), OK, what);
            CHECK(got == (reads[i].read ? CK_TRUE : CK_FALSE), what);
            CHECK_RV(p11->C_DestroyObject(session, key), OK, what);
        }
    }
    leave();
}

/* The value of a data key is shown if and only if it is not sensitive and extractable; on a sealed slot never. */
static void a_value_is_shown_only_where_the_template_lets_it(void)
{
    static const char *const slots[] = {"alpha", "sealed"};
    for (int sealed = 0; sealed < 2; sealed++) {
        begin(slots[sealed]);
        for (int bits = 0; bits < 9 * MAKINGS; bits++) {
            const enum making making = (enum making)(bits / 9);
            const int sensitive = bits % 9 / 3 - 1; /* -1 silent, 0, 1 */
            const int extractable = bits % 3 - 1;
            CK_OBJECT_HANDLE key = 0;
            uint8_t out[32] = {0};
            CK_ATTRIBUTE a = {CKA_VALUE, out, sizeof out};
            struct form t = {0};
            base(&t, making, CKA_SENSITIVE);
            if (sensitive >= 0) {
                form_bool(&t, CKA_SENSITIVE, sensitive != 0);
            }
            if (extractable >= 0) {
                form_bool(&t, CKA_EXTRACTABLE, extractable != 0);
            }
            char what[96];
            (void)snprintf(what, sizeof what, "%s on %s, SENSITIVE %d, EXTRACTABLE %d", making_names[making],
                           slots[sealed], sensitive, extractable);
            bool refused = sealed != 0 && sensitive == 0;
            CHECK_RV(make_with(making, t.a, t.count, &key), refused ? INCONSISTENT : OK,
                     chapter_join("ATTACKS A03", what));
            if (refused) {
                continue;
            }
            bool shown = sensitive == 0 && extractable != 0;
            CHECK_RV(p11->C_GetAttributeValue(session, key, &a, 1), shown ? OK : CKR_ATTRIBUTE_SENSITIVE,
                     chapter_join("4.10", what));
            CHECK(a.ulValueLen == (shown ? 32 : CK_UNAVAILABLE_INFORMATION),
                  chapter_join("5.7.5: the length", what));
            CHECK((memcmp(out, value, 32) == 0) == (shown && making != GENERATE),
                  chapter_join("the value", what));
            CHECK_RV(p11->C_DestroyObject(session, key), OK, what);
        }
        leave();
    }
}

/* Errors and destroyed keys leave nothing behind, neither here nor in the backing token. */
static int count_objects(const struct outside_token *t, void *data)
{
    CK_OBJECT_HANDLE list[64];
    CK_ULONG count = 0;
    CK_RV rv = t->calls->C_FindObjectsInit(t->session, NULL, 0);
    if (rv == CKR_OK) {
        rv = t->calls->C_FindObjects(t->session, list, 64, &count);
    }
    memcpy(data, &count, sizeof count);
    return rv == CKR_OK ? 0 : 1;
}

static void nothing_is_left_in_the_backing_token(void)
{
    CK_ULONG count = 0;
    CHECK(fixture_outside(world, "eu-1", count_objects, &count, sizeof count) == 0, "the token from outside");
    CHECK(count == 2, "the two CMKs and nothing else");
}

int main(void)
{
    static const struct fixture_slot slots[] = {
        {.name = "alpha", .tokens = "eu-1"}, {.name = "sealed", .tokens = "eu-1", .sealed = true}, {0}};
    CU_TestInfo tests[] = {
        {"each number gets its answer", each_number_gets_its_answer},
        {"each string gets its answer", each_string_gets_its_answer},
        {"malformed values are told from wrong ones", malformed_values_are_told_from_wrong_ones},
        {"an attribute given twice is refused", an_attribute_given_twice_is_refused},
        {"what is needed must be given", what_is_needed_must_be_given},
        {"a template has a size", a_template_has_a_size},
        {"misaligned numbers are read", misaligned_numbers_are_read},
        {"silence gets the safe default", silence_gets_the_safe_default},
        {"a value is shown only where the template lets it",
         a_value_is_shown_only_where_the_template_lets_it},
        {"nothing is left in the backing token", nothing_is_left_in_the_backing_token},
        CU_TEST_INFO_NULL,
    };
    return chapter_run("template", &(struct fixture_settings){.slots = slots}, tests);
}
