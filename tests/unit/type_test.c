/* type_test.c: the types of keys as people write them. */
#include "type.h"

#include <CUnit/Basic.h>
#include <string.h>

#include "scratch.h"

static void each_type_is_read_and_written(void)
{
    static const struct {
        const char *text;
        struct type type;
    } cases[] = {{"aes:128", {CKK_AES, 128}},   {"aes:192", {CKK_AES, 192}},   {"aes:256", {CKK_AES, 256}},
                 {"rsa:2048", {CKK_RSA, 2048}}, {"rsa:3072", {CKK_RSA, 3072}}, {"rsa:4096", {CKK_RSA, 4096}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct type t = {0};
        CU_ASSERT_TRUE(type_parse(cases[i].text, &t));
        CU_ASSERT_EQUAL(t.key, cases[i].type.key);
        CU_ASSERT_EQUAL(t.bits, cases[i].type.bits);
        CU_ASSERT_STRING_EQUAL(type_text(t), cases[i].text);
        CU_ASSERT_STRING_EQUAL(type_name(t.key), i < 3 ? "AES" : "RSA");
    }
}

static void other_texts_are_refused(void)
{
    static const char *const texts[] = {"", "aes", "aes:", "aes:512", "aes:2048", "rsa", "rsa:1024", "rsa:256", "rsa:8192", "RSA:2048",
                                        "rsa:2048 ", " rsa:2048", "rsa:02048", "ec:256"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct type t = {CKK_DES3, 1};
        CU_ASSERT_FALSE(type_parse(texts[i], &t));
        CU_ASSERT_EQUAL(t.key, CKK_DES3);
    }
}

int main(void)
{
    static CU_TestInfo tests[] = {
        {"each type is read and written", each_type_is_read_and_written},
        {"other texts are refused and leave the type alone", other_texts_are_refused},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {{"type", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
    return scratch_run(suites);
}
