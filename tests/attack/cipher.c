#include "cipher.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

enum { HALF = 8, STEPS = 6, BLOCKS_MAX = 64 };

void cipher_kw_iv(uint8_t iv[8])
{
    memset(iv, 0xA6, 8);
}

void cipher_kwp_iv(uint8_t iv[8], uint32_t len)
{
    static const uint8_t front[4] = {0xA6, 0x59, 0x59, 0xA6};
    memcpy(iv, front, sizeof front);
    for (size_t i = 0; i < 4; i++) {
        iv[4 + i] = (uint8_t)(len >> (24 - 8 * i));
    }
}

static void add_counter(uint8_t half[HALF], size_t t)
{
    for (size_t i = 0; i < HALF; i++) {
        half[HALF - 1 - i] ^= (uint8_t)(t >> (8 * i));
    }
}

bool cipher_seal(const struct cipher_mill *mill, const uint8_t iv[8], const uint8_t *plain, size_t len,
                 uint8_t *out)
{
    size_t n = len / HALF;
    uint8_t in[16];
    uint8_t result[16];
    memcpy(out, iv, HALF);
    memcpy(out + HALF, plain, len);
    for (size_t t = 1; t <= STEPS * n; t++) {
        uint8_t *r = out + HALF * ((t - 1) % n + 1);
        memcpy(in, out, HALF);
        memcpy(in + HALF, r, HALF);
        if (!mill->block(mill->data, in, result)) {
            return false;
        }
        memcpy(out, result, HALF);
        add_counter(out, t);
        memcpy(r, result + HALF, HALF);
    }
    return true;
}

bool cipher_open(const struct cipher_mill *mill, const uint8_t *blob, size_t len, uint8_t iv[8], uint8_t *out)
{
    size_t n = len / HALF - 1;
    uint8_t in[16];
    uint8_t result[16];
    memcpy(iv, blob, HALF);
    memcpy(out, blob + HALF, n * HALF);
    for (size_t t = STEPS * n; t > 0; t--) {
        uint8_t *r = out + HALF * ((t - 1) % n);
        memcpy(in, iv, HALF);
        add_counter(in, t);
        memcpy(in + HALF, r, HALF);
        if (!mill->block(mill->data, in, result)) {
            return false;
        }
        memcpy(iv, result, HALF);
        memcpy(r, result + HALF, HALF);
    }
    return true;
}

static bool known_block(const struct cipher_key *key, const uint8_t in[16], uint8_t out[16], int forward)
{
    const EVP_CIPHER *cipher = key->len == 16   ? EVP_aes_128_ecb()
                               : key->len == 24 ? EVP_aes_192_ecb()
                                                : EVP_aes_256_ecb();
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n = 0;
    bool good = c != NULL && EVP_CipherInit_ex2(c, cipher, key->value, NULL, forward, NULL) == 1 &&
                EVP_CIPHER_CTX_set_padding(c, 0) == 1 && EVP_CipherUpdate(c, out, &n, in, 16) == 1 && n == 16;
    EVP_CIPHER_CTX_free(c);
    return good;
}

bool cipher_known_forward(void *data, const uint8_t in[16], uint8_t out[16])
{
    return known_block(data, in, out, 1);
}

bool cipher_known_backward(void *data, const uint8_t in[16], uint8_t out[16])
{
    return known_block(data, in, out, 0);
}

bool cipher_kw_wrap(const struct cipher_key *key, const uint8_t *plain, size_t len, uint8_t *out)
{
    struct cipher_key copy = *key;
    uint8_t iv[8];
    cipher_kw_iv(iv);
    return cipher_seal(&(struct cipher_mill){cipher_known_forward, &copy}, iv, plain, len, out);
}

bool cipher_kw_unwrap(const struct cipher_key *key, const uint8_t *blob, size_t len, uint8_t *out)
{
    struct cipher_key copy = *key;
    uint8_t right[8];
    uint8_t iv[8];
    cipher_kw_iv(right);
    return len >= 24 && len % 8 == 0 &&
           cipher_open(&(struct cipher_mill){cipher_known_backward, &copy}, blob, len, iv, out) &&
           memcmp(iv, right, sizeof iv) == 0;
}

bool cipher_sha256(const uint8_t *bytes, size_t len, uint8_t out[32])
{
    return EVP_Digest(bytes, len, out, NULL, EVP_sha256(), NULL) == 1;
}

static EVP_PKEY *public_key(const uint8_t n[CIPHER_RSA_BYTES])
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    BIGNUM *modulus = BN_bin2bn(n, CIPHER_RSA_BYTES, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (modulus != NULL && build != NULL && c != NULL &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_ulong(build, OSSL_PKEY_PARAM_RSA_E, 65537) == 1) {
        params = OSSL_PARAM_BLD_to_param(build);
    }
    if (params == NULL || EVP_PKEY_fromdata_init(c) != 1 ||
        EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        key = NULL;
    }
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(c);
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    return key;
}

bool cipher_rsa(const uint8_t n[CIPHER_RSA_BYTES], enum cipher_padding padding, const uint8_t *in, size_t len,
                uint8_t out[CIPHER_RSA_BYTES])
{
    static const int modes[] = {RSA_PKCS1_OAEP_PADDING, RSA_PKCS1_PADDING, RSA_NO_PADDING};
    size_t out_len = CIPHER_RSA_BYTES;
    EVP_PKEY *key = public_key(n);
    EVP_PKEY_CTX *c = key == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool good = c != NULL && EVP_PKEY_encrypt_init(c) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(c, modes[padding]) == 1 &&
                EVP_PKEY_encrypt(c, out, &out_len, in, len) == 1 && out_len == CIPHER_RSA_BYTES;
    EVP_PKEY_CTX_free(c);
    EVP_PKEY_free(key);
    return good;
}

void cipher_random(uint8_t *out, size_t len)
{
    if (RAND_bytes(out, (int)len) != 1) {
        abort();
    }
}
