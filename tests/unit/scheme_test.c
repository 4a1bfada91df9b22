/* scheme_test.c: the lengths that each way of wrapping makes. */
#include "scheme.h"

#include <CUnit/Basic.h>

#include "scratch.h"

static const struct {
    const char *name;
    struct kw_scheme scheme;
    unsigned cmk_bits;
    size_t len;
    size_t blob; /* 0: it does not hold it */
} lengths[] = {
    {"KW 8", {.format = KW_FORMAT_KW}, 256, 8, 0},
    {"KW 16", {.format = KW_FORMAT_KW}, 256, 16, 24},
    {"KW 20", {.format = KW_FORMAT_KW}, 256, 20, 0},
    {"KW 512", {.format = KW_FORMAT_KW}, 256, 512, 520},
    {"KW 520", {.format = KW_FORMAT_KW}, 256, 520, 0},
    {"KWP 0", {.format = KW_FORMAT_KWP}, 256, 0, 0},
    {"KWP 1", {.format = KW_FORMAT_KWP}, 256, 1, 16},
    {"KWP 9", {.format = KW_FORMAT_KWP}, 256, 9, 24},
    {"OAEP SHA-1 214", {.format = KW_FORMAT_OAEP, .hash = CKM_SHA_1}, 2048, 214, 256},
    {"OAEP SHA-1 215", {.format = KW_FORMAT_OAEP, .hash = CKM_SHA_1}, 2048, 215, 0},
    {"OAEP SHA-256 190", {.format = KW_FORMAT_OAEP, .hash = CKM_SHA256}, 2048, 190, 256},
    {"OAEP SHA-256 191", {.format = KW_FORMAT_OAEP, .hash = CKM_SHA256}, 2048, 191, 0},
    {"OAEP SHA-512 382", {.format = KW_FORMAT_OAEP, .hash = CKM_SHA512}, 4096, 382, 512},
    {"OAEP MD5", {.format = KW_FORMAT_OAEP, .hash = CKM_MD5}, 2048, 16, 0},
    {"RSA-AES 32", {.format = KW_FORMAT_RSA_AES, .hash = CKM_SHA_1, .aes_bits = 256}, 3072, 32, 384 + 40},
    {"RSA-AES 33", {.format = KW_FORMAT_RSA_AES, .hash = CKM_SHA_1, .aes_bits = 256}, 3072, 33, 384 + 48},
    {"RSA-AES 512", {.format = KW_FORMAT_RSA_AES, .hash = CKM_SHA_1, .aes_bits = 128}, 4096, 512, 512 + 520},
};

static void a_data_key_gets_its_length(void)
{
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t blob = kw_scheme_blob_len(&lengths[i].scheme, lengths[i].cmk_bits, lengths[i].len);
        if (blob != lengths[i].blob) {
            printf("%s: %zu\n", lengths[i].name, blob);
        }
        CU_ASSERT_EQUAL(blob, lengths[i].blob);
    }
}

static void the_range_is_the_reverse(void)
{
    static const struct {
        struct kw_scheme scheme;
        unsigned bits;
    } schemes[] = {
        {{.format = KW_FORMAT_KW}, 256},
        {{.format = KW_FORMAT_KWP}, 128},
        {{.format = KW_FORMAT_OAEP, .hash = CKM_SHA_1}, 2048},
        {{.format = KW_FORMAT_OAEP, .hash = CKM_SHA384}, 3072},
        {{.format = KW_FORMAT_RSA_AES, .hash = CKM_SHA256, .aes_bits = 192}, 2048},
    };
    for (size_t s = 0; s < sizeof schemes / sizeof schemes[0]; s++) {
        const struct kw_scheme *scheme = &schemes[s].scheme;
        for (size_t blob = 1; blob <= KW_BLOB_MAX; blob++) {
            struct kw_scheme_range range;
            bool any = kw_scheme_range(scheme, schemes[s].bits, blob, &range);
            for (size_t len = 1; len <= KW_DEK_LENGTH_MAX; len++) {
                bool fits = kw_scheme_blob_len(scheme, schemes[s].bits, len) == blob;
                CU_ASSERT(!fits || (any && range.least <= len && len <= range.most));
                CU_ASSERT(!any || fits || len < range.least || len > range.most);
            }
        }
    }
}

static void each_scheme_has_its_type_of_CMK(void)
{
    static const bool fits[][2] = {{true, false}, {true, false}, {false, true}, {false, true}, {true, true}};
    for (int f = KW_FORMAT_KW; f <= KW_FORMAT_ENVELOPE; f++) {
        const struct kw_scheme s = {.format = (enum kw_format)f};
        CU_ASSERT_EQUAL(kw_scheme_fits(&s, CKK_AES), fits[f][0]);
        CU_ASSERT_EQUAL(kw_scheme_fits(&s, CKK_RSA), fits[f][1]);
        CU_ASSERT_FALSE(kw_scheme_fits(&s, CKK_EC));
    }
}

int main(void)
{
    static CU_TestInfo tests[] = {
        {"a data key gets its length", a_data_key_gets_its_length},
        {"the range is the reverse", the_range_is_the_reverse},
        {"each scheme has its type of CMK", each_scheme_has_its_type_of_CMK},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {{"scheme", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
    return scratch_run(suites);
}
