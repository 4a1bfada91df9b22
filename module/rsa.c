#include "rsa.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <string.h>

#include "digest.h"
#include "openssl.h"

static const uint8_t usual_exponent[] = {1, 0, 1};

struct kw_rv kw_rsa_name(const struct kw_rsa_public *k, uint8_t out[KW_RSA_NAME_SIZE])
{
    uint8_t hash[KW_SHA256_SIZE];
    const void *const parts[] = {k->modulus};
    const size_t lens[] = {k->modulus_len};
    struct kw_rv r = kw_digest_sha256(parts, lens, 1, hash);
    if (kw_ok(r)) {
        memcpy(out, hash, KW_RSA_NAME_SIZE);
    }
    return r;
}

bool kw_rsa_size(size_t modulus_len)
{
    return modulus_len == 256 || modulus_len == 384 || modulus_len == 512;
}

static const struct {
    CK_MECHANISM_TYPE hash;
    CK_RSA_PKCS_MGF_TYPE mgf;
    const char *name;
} hashes[] = {
    {CKM_SHA_1, CKG_MGF1_SHA1, "SHA1"},
    {CKM_SHA256, CKG_MGF1_SHA256, "SHA2-256"},
    {CKM_SHA384, CKG_MGF1_SHA384, "SHA2-384"},
    {CKM_SHA512, CKG_MGF1_SHA512, "SHA2-512"},
};

/* The row of a hash that policy.c has let through. */
static size_t row_of(CK_MECHANISM_TYPE hash)
{
    size_t i = sizeof hashes / sizeof hashes[0] - 1;
    while (i > 0 && hashes[i].hash != hash) {
        i--;
    }
    return i;
}

CK_MECHANISM kw_rsa_oaep(CK_MECHANISM_TYPE hash, CK_RSA_PKCS_OAEP_PARAMS *params)
{
    size_t i = row_of(hash);
    *params = (CK_RSA_PKCS_OAEP_PARAMS){hashes[i].hash, hashes[i].mgf, CKZ_DATA_SPECIFIED, NULL, 0};
    return (CK_MECHANISM){CKM_RSA_PKCS_OAEP, params, sizeof *params};
}

struct kw_rv kw_rsa_read(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_rsa_public *out)
{
    uint8_t modulus[KW_RSA_MAX + 1];
    CK_ATTRIBUTE m = {CKA_MODULUS, modulus, sizeof modulus};
    CK_ATTRIBUTE e = {CKA_PUBLIC_EXPONENT, out->exponent, sizeof out->exponent};
    struct kw_rv r = kw_lease_check(lease, lease->call->C_GetAttributeValue(lease->session, key, &m, 1), "C_GetAttributeValue");
    *out = (struct kw_rsa_public){0};
    if (!kw_ok(r)) {
        return r;
    }
    bool padded = m.ulValueLen <= sizeof modulus && m.ulValueLen > 0 && modulus[0] == 0;
    size_t len = m.ulValueLen - (padded ? 1 : 0);
    if (!kw_rsa_size(len)) {
        return KW_FAIL(CKR_KEY_SIZE_RANGE, "it is no RSA key of 2048, 3072 or 4096 bits");
    }
    out->modulus_len = len;
    memcpy(out->modulus, modulus + (padded ? 1 : 0), out->modulus_len);
    CK_RV rv = lease->call->C_GetAttributeValue(lease->session, key, &e, 1);
    bool shown = rv == CKR_OK && e.ulValueLen > 0 && e.ulValueLen <= sizeof out->exponent;
    out->exponent_len = shown ? e.ulValueLen : sizeof usual_exponent;
    if (!shown) {
        memcpy(out->exponent, usual_exponent, sizeof usual_exponent);
    }
    return KW_OK;
}

static EVP_PKEY *to_openssl(OSSL_LIB_CTX *context, const struct kw_rsa_public *k)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(context, "RSA", NULL);
    BIGNUM *n = BN_bin2bn(k->modulus, (int)k->modulus_len, NULL);
    BIGNUM *e = BN_bin2bn(k->exponent, (int)k->exponent_len, NULL);
    if (build != NULL && ctx != NULL && n != NULL && e != NULL && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1) {
        params = OSSL_PARAM_BLD_to_param(build);
    }
    if (params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        key = NULL;
    }
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    BN_free(n);
    BN_free(e);
    return key;
}

struct kw_rv kw_rsa_encrypt(const struct kw_rsa_public *k, CK_MECHANISM_TYPE hash, const void *in, size_t len, uint8_t *out)
{
    const char *name = hashes[row_of(hash)].name;
    size_t out_len = k->modulus_len;
    struct kw_openssl *o = kw_openssl_get();
    OSSL_LIB_CTX *context = kw_openssl_context(o);
    EVP_PKEY *key = context == NULL ? NULL : to_openssl(context, k); /* NULL would be the application's context */
    EVP_PKEY_CTX *ctx = key == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(context, key, NULL);
    bool good = ctx != NULL && EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
                EVP_PKEY_CTX_set_rsa_oaep_md_name(ctx, name, NULL) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md_name(ctx, name, NULL) == 1 &&
                EVP_PKEY_encrypt(ctx, out, &out_len, in, len) == 1 && out_len == k->modulus_len;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    kw_openssl_put(o, good);
    return good ? KW_OK : KW_FAIL(CKR_GENERAL_ERROR, "OpenSSL does not encrypt to the public key");
}
