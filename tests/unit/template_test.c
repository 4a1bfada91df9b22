/* template_test.c: the templates that go to a vendor's module hold what was put in, and none of ours is too long. */
#include "template.h"

#include "scratch.h"

static void attributes_come_in_order_with_their_values(void)
{
    struct kw_template t = {0};
    kw_template_ulong(&t, CKA_CLASS, CKO_SECRET_KEY);
    kw_template_bool(&t, CKA_TOKEN, 7); /* any truth is CK_TRUE */
    kw_template_bool(&t, CKA_PRIVATE, 0);
    kw_template_bytes(&t, CKA_LABEL, "key", 3);
    CU_ASSERT_EQUAL_FATAL(t.count, 4);
    CU_ASSERT_EQUAL(t.items[0].type, CKA_CLASS);
    CU_ASSERT_EQUAL(*(CK_ULONG *)t.items[0].pValue, CKO_SECRET_KEY);
    CU_ASSERT_EQUAL(*(CK_BBOOL *)t.items[1].pValue, CK_TRUE);
    CU_ASSERT_EQUAL(*(CK_BBOOL *)t.items[2].pValue, CK_FALSE);
    CU_ASSERT_EQUAL(t.items[2].ulValueLen, sizeof(CK_BBOOL));
    CU_ASSERT_EQUAL(t.items[3].ulValueLen, 3);
    CU_ASSERT_NSTRING_EQUAL(t.items[3].pValue, "key", 3);
}

static void a_data_key_has_no_usage(void)
{
    static const CK_ATTRIBUTE_TYPE none[] = {CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_DERIVE, CKA_WRAP, CKA_UNWRAP};
    struct kw_template t = {0};
    kw_template_data_key(&t);
    CU_ASSERT_EQUAL_FATAL(t.count, sizeof none / sizeof none[0]);
    for (size_t i = 0; i < t.count; i++) {
        CU_ASSERT_EQUAL(t.items[i].type, none[i]);
        CU_ASSERT_EQUAL(*(CK_BBOOL *)t.items[i].pValue, CK_FALSE);
    }
}

static bool has(const struct kw_template *t, CK_ATTRIBUTE_TYPE type, CK_BBOOL value)
{
    unsigned n = 0;
    bool same = false;
    for (CK_ULONG i = 0; i < t->count; i++) {
        if (t->items[i].type == type) {
            n++;
            same = *(const CK_BBOOL *)t->items[i].pValue == value;
        }
    }
    return n == 1 && same;
}

static void a_session_key_may_what_was_said_and_nothing_else(void)
{
    static const CK_ATTRIBUTE_TYPE never[] = {CKA_TOKEN, CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_DERIVE};
    for (unsigned may = 0; may < 16; may++) {
        struct kw_template t = {0};
        kw_template_session(&t, CKK_AES, may);
        for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
            CU_ASSERT(has(&t, never[i], CK_FALSE));
        }
        CU_ASSERT(has(&t, CKA_PRIVATE, CK_TRUE));
        CU_ASSERT(has(&t, CKA_SENSITIVE, (may & KW_MAY_BE_READ) != 0 ? CK_FALSE : CK_TRUE));
        CU_ASSERT(has(&t, CKA_EXTRACTABLE, (may & KW_MAY_LEAVE) != 0 ? CK_TRUE : CK_FALSE));
        CU_ASSERT(has(&t, CKA_WRAP, (may & KW_MAY_WRAP) != 0 ? CK_TRUE : CK_FALSE));
        CU_ASSERT(has(&t, CKA_UNWRAP, (may & KW_MAY_UNWRAP) != 0 ? CK_TRUE : CK_FALSE));
    }
}

static void one_too_many_is_not_sent(void)
{
    struct kw_template t = {0};
    for (CK_ULONG i = 0; i < KW_TEMPLATE_MAX + 5; i++) {
        kw_template_ulong(&t, CKA_VENDOR_DEFINED + i, i);
    }
    CU_ASSERT_EQUAL(t.count, KW_TEMPLATE_MAX);
    CU_ASSERT_EQUAL(t.items[KW_TEMPLATE_MAX - 1].type, CKA_VENDOR_DEFINED + KW_TEMPLATE_MAX - 1);
}

int main(void)
{
    static CU_TestInfo tests[] = {
        {"attributes come in order with their values", attributes_come_in_order_with_their_values},
        {"a data key has no usage", a_data_key_has_no_usage},
        {"a session key may what was said and nothing else", a_session_key_may_what_was_said_and_nothing_else},
        {"one too many is not sent", one_too_many_is_not_sent},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {
        {"template", NULL, NULL, NULL, NULL, tests},
        CU_SUITE_INFO_NULL,
    };
    return scratch_run(suites);
}
