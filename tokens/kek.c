#include "kek.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"

void kek_clear(struct kek *k)
{
    EVP_PKEY_free(k->key);
    k->key = NULL;
}

static struct kw_rv set_id(struct kek *k)
{
    uint8_t hash[KW_SHA256_SIZE];
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(k->key, &der);
    if (len <= 0) {
        return KW_FAIL(CKR_GENERAL_ERROR, "OpenSSL cannot encode the public key");
    }
    const void *const parts[] = {der};
    const size_t lens[] = {(size_t)len};
    struct kw_rv r = kw_digest_sha256(parts, lens, 1, hash);
    OPENSSL_free(der);
    for (size_t i = 0; kw_ok(r) && i < (KEK_ID_SIZE - 1) / 2; i++) {
        (void)snprintf(k->id + 2 * i, 3, "%02x", hash[i]);
    }
    return r;
}

/* Takes `key`. */
static struct kw_rv adopt(EVP_PKEY *key, struct kek *out)
{
    struct kek k = {.key = key};
    int bits = key == NULL ? 0 : EVP_PKEY_get_bits(key);
    struct kw_rv r;
    if (key == NULL || !EVP_PKEY_is_a(key, "RSA")) {
        r = KW_FAIL(CKR_ARGUMENTS_BAD, "it holds no RSA public key in PEM; take the file that "
                                       "`keyward transport-key SLOT -o FILE` makes");
    } else if (bits != 2048 && bits != 3072 && bits != 4096) {
        r = KW_FAIL(CKR_ARGUMENTS_BAD, "its RSA key is not of 2048, 3072 or 4096 bits");
    } else {
        k.bits = (unsigned)bits;
        r = set_id(&k);
    }
    if (!kw_ok(r)) {
        kek_clear(&k);
        return r;
    }
    *out = k;
    return KW_OK;
}

struct kw_rv kek_from_token(const struct kw_transfer_key *k, struct kek *out)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *n = BN_bin2bn(k->numbers.modulus, (int)k->numbers.modulus_len, NULL);
    BIGNUM *e = BN_bin2bn(k->numbers.exponent, (int)k->numbers.exponent_len, NULL);
    bool good = build != NULL && ctx != NULL && n != NULL && e != NULL &&
                OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
                OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1;
    params = good ? OSSL_PARAM_BLD_to_param(build) : NULL;
    good = params != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
           EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    BN_free(n);
    BN_free(e);
    return good ? adopt(key, out)
                : KW_FAIL(CKR_GENERAL_ERROR, "OpenSSL does not take the token's public key");
}

struct kw_rv kek_from_pem(const void *text, size_t len, struct kek *out)
{
    BIO *bio = len > 0 && len <= KW_SECRET_MAX ? BIO_new_mem_buf(text, (int)len) : NULL;
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return adopt(key, out);
}

struct kw_rv kek_pem(const struct kek *k, char **out)
{
    char *copy = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio != NULL && PEM_write_bio_PUBKEY(bio, k->key) == 1) {
        const size_t len = BIO_ctrl_pending(bio);
        copy = len > 0 ? calloc(len + 1, 1) : NULL; /* what is in the BIO has no end of its own */
        if (copy != NULL && BIO_read(bio, copy, (int)len) != (int)len) {
            free(copy);
            copy = NULL;
        }
    }
    BIO_free(bio);
    if (copy == NULL) {
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for the text of a public key");
    }
    *out = copy;
    return KW_OK;
}

/* The first layer: exactly as long as the modulus. */
static bool wrap_aes(const struct kek *k, const struct kw_secret *aes, uint8_t *out)
{
    size_t len = k->bits / 8;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->key, NULL);
    bool good = ctx != NULL && EVP_PKEY_encrypt_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
                EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha1()) == 1 &&
                EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha1()) == 1 &&
                EVP_PKEY_encrypt(ctx, out, &len, kw_secret_peek(aes), kw_secret_len(aes)) == 1 &&
                len == k->bits / 8;
    EVP_PKEY_CTX_free(ctx);
    return good;
}

/* The second layer, RFC 5649: 8 bytes more than the target, rounded up to 8. */
static bool wrap_target(const struct kw_secret *aes, const struct kw_secret *target, uint8_t *out,
                        size_t expect)
{
    int len = 0;
    int rest = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx != NULL) {
        EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    }
    bool good =
        ctx != NULL &&
        EVP_EncryptInit_ex(ctx, EVP_aes_256_wrap_pad(), NULL, kw_secret_peek(aes), NULL) == 1 &&
        EVP_EncryptUpdate(ctx, out, &len, kw_secret_peek(target), (int)kw_secret_len(target)) ==
            1 &&
        EVP_EncryptFinal_ex(ctx, out + len, &rest) == 1 && (size_t)len + (size_t)rest == expect;
    EVP_CIPHER_CTX_free(ctx);
    return good;
}

struct kw_rv kek_wrap(const struct kek *k, const struct kw_secret *target, uint8_t **out,
                      size_t *len)
{
    enum { AES = 32, BLOCK = 16 /* OpenSSL may write that much ahead */ };
    struct kw_secret *aes = NULL;
    size_t first = k->bits / 8;
    size_t second = (kw_secret_len(target) + 7) / 8 * 8 + 8;
    uint8_t *bytes = calloc(1, first + second + BLOCK);
    struct kw_rv r = bytes == NULL ? KW_FAIL(CKR_HOST_MEMORY, "no memory for the wrapped key")
                                   : kw_secret_new(AES, &aes);
    if (kw_ok(r) && (RAND_priv_bytes(kw_secret_bytes(aes), AES) != 1 || !wrap_aes(k, aes, bytes) ||
                     !wrap_target(aes, target, bytes + first, second))) {
        r = KW_FAIL(CKR_GENERAL_ERROR, "OpenSSL cannot wrap the key");
    }
    kw_secret_free(aes);
    if (!kw_ok(r)) {
        free(bytes);
        return r;
    }
    *out = bytes;
    *len = first + second;
    return KW_OK;
}
