/* blob_test.c: the .byok file: what is taken, what is refused and with which sentence. */
#include "blob.h"

#include <CUnit/Basic.h>
#include <jansson.h>
#include <stdio.h>

#include "scratch.h"

#define HEADER "\"header\":{\"kid\":\"k\",\"alg\":\"dir\",\"enc\":\"CKM_RSA_AES_KEY_WRAP\"}"
#define FILE_WITH(ciphertext)                                                                      \
    "{\"schema_version\":\"1.0.0\"," HEADER ",\"ciphertext\":\"" ciphertext                        \
    "\",\"generator\":\"g\"}"

struct refusal {
    const char *name;
    const char *file;
    const char *says; /* a part of the sentence */
};

static void see_refusals(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct blob b = {0};
        struct kw_rv r = blob_parse(cases[i].file, strlen(cases[i].file), &b);
        bool good = r.code == CKR_ARGUMENTS_BAD && r.why != NULL &&
                    strstr(r.why, cases[i].says) != NULL && b.bytes == NULL && b.kid == NULL;
        if (!good) {
            (void)fprintf(stderr, "%s: %s\n", cases[i].name, r.why == NULL ? "taken" : r.why);
        }
        CU_ASSERT_TRUE(good);
        blob_clear(&b);
    }
}

static void the_format_is_read(void)
{
    static const char *const files[] = {
        FILE_WITH("AAEC_w"),
        FILE_WITH("AAEC_w=="),
        "\r\n\t {\"generator\":\"g\",\"ciphertext\":\"AAEC_w\"," HEADER
        ",\"schema_version\":\"1.0.0\"}\n",
        "{\"schema_version\":\"1.0.0\"," HEADER ",\"ciphertext\":\"AAEC_w\"}",
        "{\"schema_version\":\"1.0.0\"," HEADER ",\"ciphertext\":\"AAEC_w\",\"more\":[1,{}]}",
    };
    static const uint8_t bytes[] = {0, 1, 2, 255};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct blob b = {0};
        CU_ASSERT_FATAL(kw_ok(blob_parse(files[i], strlen(files[i]), &b)));
        CU_ASSERT_STRING_EQUAL(b.kid, "k");
        CU_ASSERT_EQUAL(b.len, sizeof bytes);
        CU_ASSERT_EQUAL(memcmp(b.bytes, bytes, sizeof bytes), 0);
        blob_clear(&b);
    }
}

static void other_fields_are_refused(void)
{
    static const struct refusal cases[] = {
        {"nothing in it", "{}", "schema_version"},
        {"another version", "{\"schema_version\":\"1.0.1\"," HEADER ",\"ciphertext\":\"AAEC\"}",
         "schema_version"},
        {"a version that is a number",
         "{\"schema_version\":1.0," HEADER ",\"ciphertext\":\"AAEC\"}", "schema_version"},
        {"no header", "{\"schema_version\":\"1.0.0\",\"ciphertext\":\"AAEC\"}",
         "header is missing"},
        {"a header that is text",
         "{\"schema_version\":\"1.0.0\",\"header\":\"dir\",\"ciphertext\":\"AAEC\"}",
         "header is missing"},
        {"no alg",
         "{\"schema_version\":\"1.0.0\",\"header\":{\"kid\":\"k\",\"enc\":\"CKM_RSA_AES_KEY_WRAP\"}"
         ",\"ciphertext\":\"AAEC\"}",
         "header.alg"},
        {"another alg",
         "{\"schema_version\":\"1.0.0\",\"header\":{\"kid\":\"k\",\"alg\":\"DIR\",\"enc\":\"CKM_"
         "RSA_AES_KEY_WRAP\"},\"ciphertext\":\"AAEC\"}",
         "header.alg"},
        {"no enc",
         "{\"schema_version\":\"1.0.0\",\"header\":{\"kid\":\"k\",\"alg\":\"dir\"},\"ciphertext\":"
         "\"AAEC\"}",
         "header.enc"},
        {"the enc of the specification's text",
         "{\"schema_version\":\"1.0.0\",\"header\":{\"kid\":\"k\",\"alg\":\"dir\",\"enc\":\"CKM_"
         "RSA_AES_KEY_WRAP_PAD\"},\"ciphertext\":\"AAEC\"}",
         "header.enc"},
        {"no kid",
         "{\"schema_version\":\"1.0.0\",\"header\":{\"alg\":\"dir\",\"enc\":\"CKM_RSA_AES_KEY_"
         "WRAP\"},\"ciphertext\":\"AAEC\"}",
         "header.kid"},
        {"an empty kid",
         "{\"schema_version\":\"1.0.0\",\"header\":{\"kid\":\"\",\"alg\":\"dir\",\"enc\":\"CKM_RSA_"
         "AES_KEY_WRAP\"},\"ciphertext\":\"AAEC\"}",
         "header.kid"},
        {"a kid that moves the cursor",
         "{\"schema_version\":\"1.0.0\",\"header\":{\"kid\":\"a\\u001b[2J\",\"alg\":\"dir\","
         "\"enc\":\"CKM_RSA_AES_KEY_WRAP\"},\"ciphertext\":\"AAEC\"}",
         "header.kid"},
        {"no ciphertext", "{\"schema_version\":\"1.0.0\"," HEADER "}", "ciphertext is missing"},
        {"a ciphertext that is a list",
         "{\"schema_version\":\"1.0.0\"," HEADER ",\"ciphertext\":[\"AAEC\"]}",
         "ciphertext is missing"},
        {"a generator that is a number",
         "{\"schema_version\":\"1.0.0\"," HEADER ",\"ciphertext\":\"AAEC\",\"generator\":1}",
         "generator"},
        {"a field that is there twice",
         "{\"schema_version\":\"1.0.0\"," HEADER
         ",\"ciphertext\":\"AAEC\",\"ciphertext\":\"AAED\"}",
         "no JSON"},
        {"cut", "{\"schema_version\":\"1.0.0\"," HEADER ",\"cipher", "no JSON"},
        {"something behind it", FILE_WITH("AAEC") "}", "no JSON"},
        {"bytes that are no UTF-8", "{\"schema_version\":\"1.0.0\xff\"}", "no JSON"},
        {"a NUL in a string", "{\"schema_version\":\"1.0.0\\u0000\"}", "no JSON"},
    };
    see_refusals(cases, sizeof cases / sizeof cases[0]);
}

static void bad_base64url_is_refused(void)
{
    static const struct refusal cases[] = {
        {"empty", FILE_WITH(""), "length is wrong"},
        {"one character", FILE_WITH("A"), "length is wrong"},
        {"five characters", FILE_WITH("AAECA"), "length is wrong"},
        {"padding only", FILE_WITH("=="), "length is wrong"},
        {"too little padding", FILE_WITH("AA="), "length is wrong"},
        {"padding that nothing needs", FILE_WITH("AAEC="), "length is wrong"},
        {"three times padding", FILE_WITH("A==="), "base64url"},
        {"padding in the middle", FILE_WITH("AA==AAEC"), "letters, digits"},
        {"a plus", FILE_WITH("AA+C"), "letters, digits"},
        {"a slash", FILE_WITH("AA/C"), "letters, digits"},
        {"a blank", FILE_WITH("AA C"), "letters, digits"},
        {"a line end", FILE_WITH("AAEC\\nAAEC"), "base64url"},
        {"bits that no byte needs, of 4", FILE_WITH("AB"), "last character"},
        {"bits that no byte needs, of 2", FILE_WITH("AAB"), "last character"},
    };
    see_refusals(cases, sizeof cases / sizeof cases[0]);
}

/* Only text that begins with a brace is JSON. */
static void bare_bytes_are_kept(void)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"\x00\x01\x02", 3},  {"no brace", 8}, {"{\x01 and no text", 15},
        {"{\"a\":1}\x7f", 8}, {"  \n", 3},     {"[1]", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct blob b = {0};
        CU_ASSERT_FATAL(kw_ok(blob_parse(cases[i].bytes, cases[i].len, &b)));
        CU_ASSERT_PTR_NULL(b.kid);
        CU_ASSERT_EQUAL(b.len, cases[i].len);
        CU_ASSERT_EQUAL(memcmp(b.bytes, cases[i].bytes, b.len), 0);
        blob_clear(&b);
    }
}

static void sizes_have_ends(void)
{
    struct blob b = {0};
    char *much = calloc(1, BLOB_FILE_MAX + 1);
    CU_ASSERT_FATAL(much != NULL);
    CU_ASSERT_EQUAL(blob_parse(much, 0, &b).code, CKR_ARGUMENTS_BAD);
    CU_ASSERT_EQUAL(blob_parse(much, BLOB_FILE_MAX + 1, &b).code, CKR_ARGUMENTS_BAD);
    CU_ASSERT_FATAL(kw_ok(blob_parse(much, BLOB_FILE_MAX, &b)));
    CU_ASSERT_EQUAL(b.len, BLOB_FILE_MAX);
    blob_clear(&b);
    free(much);
}

/* Every length has its own end in base64url, and every byte comes back. */
static void what_is_written_is_read(void)
{
    uint8_t bytes[300];
    char kid[] = "keyward:contoso/0123";
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 167 + 13);
    }
    for (size_t len = 1; len <= sizeof bytes; len++) {
        const struct blob from = {kid, bytes, len};
        struct blob back = {0};
        char *text = NULL;
        CU_ASSERT_FATAL(kw_ok(blob_text(&from, &text)));
        CU_ASSERT_FATAL(kw_ok(blob_parse(text, strlen(text), &back)));
        CU_ASSERT_STRING_EQUAL(back.kid, kid);
        CU_ASSERT_EQUAL(back.len, len);
        CU_ASSERT_EQUAL(memcmp(back.bytes, bytes, len), 0);
        blob_clear(&back);
        free(text);
    }
}

static void the_format_is_written(void)
{
    uint8_t bytes[] = {0xfb, 0xff, 0xbf, 0x00};
    char kid[] = "k";
    const struct blob from = {kid, bytes, sizeof bytes};
    char *text = NULL;
    CU_ASSERT_FATAL(kw_ok(blob_text(&from, &text)));
    json_t *is = json_loads(text, 0, NULL);
    json_t *want =
        json_pack("{s:s, s:{s:s, s:s, s:s}, s:s, s:o}", "schema_version", "1.0.0", "header", "kid",
                  "k", "alg", "dir", "enc", "CKM_RSA_AES_KEY_WRAP", "ciphertext", "-_-_AA",
                  "generator", json_sprintf("keyward %d.%d", KW_VERSION_MAJOR, KW_VERSION_MINOR));
    CU_ASSERT_TRUE(json_equal(is, want));
    json_decref(is);
    json_decref(want);
    free(text);
}

static void a_kid_that_nobody_can_read_is_not_written(void)
{
    uint8_t byte = 1;
    char blank[] = "a b";
    char line[] = "a\n";
    char none[] = "";
    char longest[BLOB_KID_MAX + 2];
    char *text = NULL;
    memset(longest, 'k', sizeof longest);
    longest[BLOB_KID_MAX + 1] = '\0';
    char *const kids[] = {NULL, blank, line, none, longest};
    for (size_t i = 0; i < sizeof kids / sizeof kids[0]; i++) {
        const struct blob from = {kids[i], &byte, 1};
        CU_ASSERT_EQUAL(blob_text(&from, &text).code, CKR_ARGUMENTS_BAD);
        CU_ASSERT_PTR_NULL(text);
    }
    longest[BLOB_KID_MAX] = '\0';
    const struct blob from = {longest, &byte, 1};
    CU_ASSERT_TRUE(kw_ok(blob_text(&from, &text)));
    free(text);
}

int main(void)
{
    static CU_TestInfo reading[] = {
        {"the format is read", the_format_is_read},
        {"other fields are refused", other_fields_are_refused},
        {"bad base64url is refused", bad_base64url_is_refused},
        {"bare bytes are kept", bare_bytes_are_kept},
        {"sizes have ends", sizes_have_ends},
        CU_TEST_INFO_NULL,
    };
    static CU_TestInfo writing[] = {
        {"what is written is read", what_is_written_is_read},
        {"the format is written", the_format_is_written},
        {"a kid that nobody can read is not written", a_kid_that_nobody_can_read_is_not_written},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {
        {"blob: reading", NULL, NULL, NULL, NULL, reading},
        {"blob: writing", NULL, NULL, NULL, NULL, writing},
        CU_SUITE_INFO_NULL,
    };
    return scratch_run(suites);
}
