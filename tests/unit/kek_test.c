/* kek_test.c: what export-blob makes for a transport key is opened by whoever has the private half, and by nobody else. */
#include "kek.h"

#include <CUnit/Basic.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "scratch.h"

enum { MODULUS = 256, AES = 32 };

static EVP_PKEY *pair;  /* RSA-2048 */
static EVP_PKEY *other; /* the same */

static int make_pairs(void)
{
    pair = EVP_RSA_gen(MODULUS * 8);
    other = EVP_RSA_gen(MODULUS * 8);
    return pair == NULL || other == NULL;
}

static int free_pairs(void)
{
    EVP_PKEY_free(pair);
    EVP_PKEY_free(other);
    return 0;
}

/* The public half as a customer has it. */
static struct kw_rv read_public(EVP_PKEY *key, struct kek *out)
{
    char *text = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    CU_ASSERT_FATAL(bio != NULL && PEM_write_bio_PUBKEY(bio, key) == 1);
    long len = BIO_get_mem_data(bio, &text);
    struct kw_rv r = kek_from_pem(text, (size_t)len, out);
    BIO_free(bio);
    return r;
}

static bool open_aes(EVP_PKEY *key, const uint8_t *bytes, uint8_t aes[AES])
{
    uint8_t out[MODULUS];
    size_t len = sizeof out;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool good = ctx != NULL && EVP_PKEY_decrypt_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
                EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha1()) == 1 &&
                EVP_PKEY_decrypt(ctx, out, &len, bytes, MODULUS) == 1 && len == AES;
    EVP_PKEY_CTX_free(ctx);
    if (good) {
        memcpy(aes, out, AES);
    }
    return good;
}

/* Both layers, with OpenSSL alone; gives the length of what is in them, 0 when it does not open. */
static size_t open_both(EVP_PKEY *key, const uint8_t *bytes, size_t len, uint8_t *out)
{
    uint8_t aes[AES];
    int got = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
    EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    bool good = open_aes(key, bytes, aes) && EVP_DecryptInit_ex(ctx, EVP_aes_256_wrap_pad(), NULL, aes, NULL) == 1 &&
                EVP_DecryptUpdate(ctx, out, &got, bytes + MODULUS, (int)(len - MODULUS)) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return good ? (size_t)got : 0;
}

/* An AES key, and the PKCS#8 of RSA keys: lengths of every kind modulo 8. */
static void what_is_wrapped_is_opened(void)
{
    static const size_t lengths[] = {16, 24, 32, 1216, 1217, 1218, 1219, 1793, 2374, 2375};
    struct kek k;
    CU_ASSERT_FATAL(kw_ok(read_public(pair, &k)));
    CU_ASSERT_EQUAL(k.bits, MODULUS * 8);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct kw_secret *target = NULL;
        uint8_t *bytes = NULL;
        uint8_t back[4096];
        size_t len = 0;
        CU_ASSERT_FATAL(kw_ok(kw_secret_new(lengths[i], &target)));
        for (size_t n = 0; n < lengths[i]; n++) {
            kw_secret_bytes(target)[n] = (unsigned char)(n * 7 + i);
        }
        CU_ASSERT_FATAL(kw_ok(kek_wrap(&k, target, &bytes, &len)));
        CU_ASSERT_EQUAL(len, MODULUS + (lengths[i] + 7) / 8 * 8 + 8);
        CU_ASSERT_EQUAL(open_both(pair, bytes, len, back), lengths[i]);
        CU_ASSERT_EQUAL(memcmp(back, kw_secret_peek(target), lengths[i]), 0);
        CU_ASSERT_EQUAL(open_both(other, bytes, len, back), 0);
        free(bytes);
        kw_secret_free(target);
    }
    kek_clear(&k);
}

static void two_blobs_of_one_key_differ(void)
{
    struct kek k;
    struct kw_secret *target = NULL;
    uint8_t *a = NULL;
    uint8_t *b = NULL;
    size_t len = 0;
    CU_ASSERT_FATAL(kw_ok(read_public(pair, &k)));
    CU_ASSERT_FATAL(kw_ok(kw_secret_new(AES, &target)));
    memset(kw_secret_bytes(target), 1, AES);
    CU_ASSERT_FATAL(kw_ok(kek_wrap(&k, target, &a, &len)) && kw_ok(kek_wrap(&k, target, &b, &len)));
    if (a != NULL && b != NULL) { /* the analyzer does not know that the assertion ends the test */
        CU_ASSERT_NOT_EQUAL(memcmp(a, b, MODULUS), 0);
        CU_ASSERT_NOT_EQUAL(memcmp(a + MODULUS, b + MODULUS, len - MODULUS), 0);
    }
    free(a);
    free(b);
    kw_secret_free(target);
    kek_clear(&k);
}

static void a_key_that_is_too_small_or_none_is_refused(void)
{
    static const char text[] = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    struct kek k;
    EVP_PKEY *small = EVP_RSA_gen(1024);
    EVP_PKEY *curve = EVP_EC_gen("P-256");
    CU_ASSERT_FATAL(small != NULL && curve != NULL);
    CU_ASSERT_EQUAL(read_public(small, &k).code, CKR_ARGUMENTS_BAD);
    CU_ASSERT_EQUAL(read_public(curve, &k).code, CKR_ARGUMENTS_BAD);
    CU_ASSERT_EQUAL(kek_from_pem(text, sizeof text - 1, &k).code, CKR_ARGUMENTS_BAD);
    CU_ASSERT_EQUAL(kek_from_pem("", 0, &k).code, CKR_ARGUMENTS_BAD);
    EVP_PKEY_free(small);
    EVP_PKEY_free(curve);
}

int main(void)
{
    static CU_TestInfo tests[] = {
        {"what is wrapped is opened by its private half only", what_is_wrapped_is_opened},
        {"two blobs of one key differ in both layers", two_blobs_of_one_key_differ},
        {"a key that is too small or none is refused", a_key_that_is_too_small_or_none_is_refused},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {{"kek", make_pairs, free_pairs, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
    return scratch_run(suites);
}
