#include "truth.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

#include "envelope.h"
#include "rules.h"

enum { LINEAGE = 12, ID = 24, HEADER = 36, TAG = 16, ORIGIN = 32, KW_LEN = TRUTH_VALUE + 8, EXPONENT = 3 };

/* The numbers of a pair, as C_CreateObject wants them. */
struct numbers {
    uint8_t n[TRUTH_MODULUS], d[TRUTH_MODULUS];
    uint8_t p[TRUTH_MODULUS / 2], q[TRUTH_MODULUS / 2], dp[TRUTH_MODULUS / 2], dq[TRUTH_MODULUS / 2], qi[TRUTH_MODULUS / 2];
};

static bool is_rsa;
static uint8_t aes_value[TRUTH_VALUE];
static uint8_t origin_value[ORIGIN];
static EVP_PKEY *pair;

/* What is planted; goes to another process. */
static struct crop {
    char label[32];
    struct numbers cmk, stranger;
    uint8_t origin[ORIGIN];
} crop;

static bool number(const EVP_PKEY *key, const char *name, uint8_t *out, int len)
{
    BIGNUM *bn = NULL;
    bool good = EVP_PKEY_get_bn_param(key, name, &bn) == 1 && BN_bn2binpad(bn, out, len) == len;
    BN_clear_free(bn);
    return good;
}

static EVP_PKEY *make_pair(struct numbers *out)
{
    enum { HALF = TRUTH_MODULUS / 2 };
    EVP_PKEY *key = EVP_RSA_gen(8U * TRUTH_MODULUS);
    if (key != NULL && number(key, OSSL_PKEY_PARAM_RSA_N, out->n, TRUTH_MODULUS) && number(key, OSSL_PKEY_PARAM_RSA_D, out->d, TRUTH_MODULUS) &&
        number(key, OSSL_PKEY_PARAM_RSA_FACTOR1, out->p, HALF) && number(key, OSSL_PKEY_PARAM_RSA_FACTOR2, out->q, HALF) &&
        number(key, OSSL_PKEY_PARAM_RSA_EXPONENT1, out->dp, HALF) && number(key, OSSL_PKEY_PARAM_RSA_EXPONENT2, out->dq, HALF) &&
        number(key, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, out->qi, HALF)) {
        return key;
    }
    EVP_PKEY_free(key);
    return NULL;
}

bool truth_start(bool rsa)
{
    is_rsa = rsa;
    fixture_known_value(aes_value);
    for (size_t i = 0; i < ORIGIN; i++) {
        origin_value[i] = (uint8_t)(i * 5 + 9);
    }
    if (rsa) {
        EVP_PKEY *stranger = make_pair(&crop.stranger);
        pair = make_pair(&crop.cmk);
        bool good = pair != NULL && stranger != NULL;
        EVP_PKEY_free(stranger);
        if (!good) {
            (void)fputs("truth: OpenSSL makes no RSA pair\n", stderr);
        }
        return good;
    }
    return true;
}

/* In the other process: what `keyward create --type rsa:2048` would leave, but with values that are known. (DESIGN section 4; module/origin.h.) */

static CK_BBOOL yes = CK_TRUE;
static CK_BBOOL no = CK_FALSE;
static uint8_t id[ID] = {'k', 'w', 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0, 0, 1, 3, 0, 0x50, 0}; /* lineage, version, imported, a day */

static CK_RV plant_pair(const struct outside_token *t, struct numbers *n, char *label, size_t id_len)
{
    static uint8_t e[EXPONENT] = {1, 0, 1};
    CK_OBJECT_CLASS public_key = CKO_PUBLIC_KEY;
    CK_OBJECT_CLASS private_key = CKO_PRIVATE_KEY;
    CK_KEY_TYPE type = CKK_RSA;
    CK_OBJECT_HANDLE made = 0;
    CK_ATTRIBUTE pub[] = {
        {CKA_CLASS, &public_key, sizeof public_key}, {CKA_KEY_TYPE, &type, sizeof type}, {CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1},
        {CKA_LABEL, label, strlen(label)}, {CKA_ID, id, id_len}, {CKA_WRAP, &yes, 1}, {CKA_ENCRYPT, &no, 1}, {CKA_VERIFY, &no, 1},
        {CKA_DERIVE, &no, 1}, {CKA_MODULUS, n->n, sizeof n->n}, {CKA_PUBLIC_EXPONENT, e, sizeof e},
    };
    CK_ATTRIBUTE priv[] = {
        {CKA_CLASS, &private_key, sizeof private_key}, {CKA_KEY_TYPE, &type, sizeof type}, {CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1},
        {CKA_LABEL, label, strlen(label)}, {CKA_ID, id, id_len}, {CKA_SENSITIVE, &yes, 1}, {CKA_EXTRACTABLE, &no, 1}, {CKA_UNWRAP, &yes, 1},
        {CKA_DECRYPT, &no, 1}, {CKA_SIGN, &no, 1}, {CKA_DERIVE, &no, 1}, {CKA_MODULUS, n->n, sizeof n->n}, {CKA_PUBLIC_EXPONENT, e, sizeof e},
        {CKA_PRIVATE_EXPONENT, n->d, sizeof n->d}, {CKA_PRIME_1, n->p, sizeof n->p}, {CKA_PRIME_2, n->q, sizeof n->q},
        {CKA_EXPONENT_1, n->dp, sizeof n->dp}, {CKA_EXPONENT_2, n->dq, sizeof n->dq}, {CKA_COEFFICIENT, n->qi, sizeof n->qi},
    };
    CK_RV rv = t->calls->C_CreateObject(t->session, pub, sizeof pub / sizeof pub[0], &made);
    return rv == CKR_OK ? t->calls->C_CreateObject(t->session, priv, sizeof priv / sizeof priv[0], &made) : rv;
}

static CK_RV plant_origin(const struct outside_token *t, const struct crop *c)
{
    char label[64];
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_OBJECT_HANDLE made = 0;
    uint8_t value[ORIGIN];
    (void)snprintf(label, sizeof label, "%s/origin", c->label);
    memcpy(value, c->origin, sizeof value);
    CK_ATTRIBUTE a[] = {
        {CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type}, {CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1},
        {CKA_SENSITIVE, &yes, 1}, {CKA_EXTRACTABLE, &no, 1}, {CKA_SIGN, &yes, 1}, {CKA_VERIFY, &no, 1}, {CKA_ENCRYPT, &no, 1},
        {CKA_DECRYPT, &no, 1}, {CKA_WRAP, &no, 1}, {CKA_UNWRAP, &no, 1}, {CKA_DERIVE, &no, 1}, {CKA_LABEL, label, strlen(label)},
        {CKA_ID, id, LINEAGE}, {CKA_VALUE, value, sizeof value},
    };
    return t->calls->C_CreateObject(t->session, a, sizeof a / sizeof a[0], &made);
}

static int sow(const struct outside_token *t, void *data)
{
    static char stranger[] = RULES_STRANGER;
    struct crop *c = data;
    CK_RV rv = plant_pair(t, &c->cmk, c->label, ID);
    rv = rv == CKR_OK ? plant_pair(t, &c->stranger, stranger, 1) : rv;
    rv = rv == CKR_OK ? plant_origin(t, c) : rv;
    if (rv != CKR_OK) {
        (void)fprintf(stderr, "truth: the RSA keys cannot be planted: 0x%lx\n", rv);
    }
    return rv == CKR_OK ? 0 : 1;
}

bool truth_plant(struct fixture *f, const char *token, const char *label)
{
    (void)snprintf(crop.label, sizeof crop.label, "%s", label);
    memcpy(crop.origin, origin_value, sizeof crop.origin);
    return !is_rsa || fixture_outside(f, token, sow, &crop, sizeof crop) == 0;
}

/* OpenSSL. */

/* OAEP with SHA-1 by either half; the number of bytes at out[TRUTH_MODULUS], 0 when it does not open. */
static size_t oaep(int (*begin)(EVP_PKEY_CTX *), int (*end)(EVP_PKEY_CTX *, unsigned char *, size_t *, const unsigned char *, size_t),
                   const uint8_t *in, size_t len, uint8_t *out)
{
    size_t out_len = TRUTH_MODULUS;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(pair, NULL);
    bool good = c != NULL && begin(c) == 1 && EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) == 1 && end(c, out, &out_len, in, len) == 1;
    EVP_PKEY_CTX_free(c);
    return good ? out_len : 0;
}

static bool oaep_open(const uint8_t *blob, uint8_t out[TRUTH_MODULUS], const uint8_t *want)
{
    return oaep(EVP_PKEY_decrypt_init, EVP_PKEY_decrypt, blob, TRUTH_MODULUS, out) == TRUTH_VALUE &&
           (want == NULL || memcmp(out, want, TRUTH_VALUE) == 0);
}

static bool kw_open(const uint8_t *blob, uint8_t out[KW_LEN], const uint8_t *want)
{
    return envelope_open(aes_value, TRUTH_VALUE, blob, KW_LEN, out) && (want == NULL || memcmp(out, want, TRUTH_VALUE) == 0);
}

static bool gcm_open(const uint8_t *key, const uint8_t *envelope, const uint8_t *sealed, const uint8_t *want)
{
    static const char words[] = "keyward envelope v1"; /* with its zero */
    uint8_t aad[sizeof words + 1 + LINEAGE + 6] = {0}; /* no tenant, no geo, no context: three lengths of 0 */
    uint8_t got[TRUTH_VALUE + TAG];
    uint8_t tag[TAG];
    int n = 0;
    memcpy(aad, words, sizeof words);
    aad[sizeof words] = envelope[5];
    memcpy(aad + sizeof words + 1, envelope + 8, LINEAGE);
    memcpy(tag, sealed + TRUTH_VALUE, sizeof tag);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool good = c != NULL && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, envelope + 24) == 1 &&
                EVP_DecryptUpdate(c, NULL, &n, aad, sizeof aad) == 1 && EVP_DecryptUpdate(c, got, &n, sealed, TRUTH_VALUE) == 1 &&
                EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG, tag) == 1 && EVP_DecryptFinal_ex(c, got + TRUTH_VALUE, &n) == 1 &&
                memcmp(got, want, TRUTH_VALUE) == 0;
    EVP_CIPHER_CTX_free(c);
    return good;
}

static bool tag_is_right(const uint8_t *envelope)
{
    uint8_t text[5 + 16 + TRUTH_MODULUS];
    uint8_t tag[ORIGIN];
    memcpy(text, envelope, 5);
    memcpy(text + 5, envelope + 8, 16);
    memcpy(text + 21, envelope + HEADER, TRUTH_MODULUS);
    return HMAC(EVP_sha256(), origin_value, ORIGIN, text, sizeof text, tag, NULL) != NULL && memcmp(tag, envelope + HEADER + TRUTH_MODULUS, ORIGIN) == 0;
}

static bool is_envelope(const uint8_t *blob, size_t len, const uint8_t *want)
{
    uint8_t content[TRUTH_MODULUS];
    size_t wrapped = is_rsa ? TRUTH_MODULUS : KW_LEN;
    size_t origin = is_rsa ? ORIGIN : 0;
    if (len != HEADER + wrapped + origin + TRUTH_VALUE + TAG || memcmp(blob, "KWE1", 4) != 0 || blob[4] != (is_rsa ? 3 : 1)) {
        return false;
    }
    bool good = is_rsa ? oaep_open(blob + HEADER, content, NULL) && tag_is_right(blob) : kw_open(blob + HEADER, content, NULL);
    return good && gcm_open(content, blob, blob + HEADER + wrapped + origin, want);
}

/* The AES key under OAEP, and then `want` under that key by RFC 5649, which has no random in it. */
static bool is_rsa_aes(const uint8_t *blob, size_t len, const uint8_t *want)
{
    uint8_t aes[TRUTH_MODULUS];
    uint8_t inner[KW_LEN];
    return len == TRUTH_MODULUS + KW_LEN && oaep_open(blob, aes, NULL) &&
           envelope_wrap(aes, TRUTH_VALUE, true, want, TRUTH_VALUE, inner) == KW_LEN && memcmp(inner, blob + TRUTH_MODULUS, KW_LEN) == 0;
}

bool truth_is(enum truth_format format, const uint8_t *blob, size_t len, const uint8_t *want)
{
    uint8_t out[TRUTH_MODULUS];
    switch (format) {
    case TRUTH_KW:
        return len == KW_LEN && kw_open(blob, out, want);
    case TRUTH_KWP:
        return len == KW_LEN && envelope_wrap(aes_value, TRUTH_VALUE, true, want, TRUTH_VALUE, out) == KW_LEN && memcmp(out, blob, KW_LEN) == 0;
    case TRUTH_OAEP:
        return len == TRUTH_MODULUS && oaep_open(blob, out, want);
    case TRUTH_RSA_AES:
        return is_rsa_aes(blob, len, want);
    default:
        return is_envelope(blob, len, want);
    }
}

size_t truth_make(enum truth_format format, const uint8_t *value, uint8_t out[TRUTH_BLOB_MAX])
{
    static const uint8_t aes[TRUTH_VALUE] = {7, 7, 7};
    switch (format) {
    case TRUTH_KW:
    case TRUTH_KWP:
        return envelope_wrap(aes_value, TRUTH_VALUE, format == TRUTH_KWP, value, TRUTH_VALUE, out);
    case TRUTH_OAEP:
        return oaep(EVP_PKEY_encrypt_init, EVP_PKEY_encrypt, value, TRUTH_VALUE, out);
    case TRUTH_RSA_AES:
        return oaep(EVP_PKEY_encrypt_init, EVP_PKEY_encrypt, aes, TRUTH_VALUE, out) == TRUTH_MODULUS
                   ? TRUTH_MODULUS + envelope_wrap(aes, TRUTH_VALUE, true, value, TRUTH_VALUE, out + TRUTH_MODULUS)
                   : 0;
    default:
        return 0;
    }
}
