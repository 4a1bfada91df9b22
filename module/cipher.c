#include "cipher.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "openssl.h"

/* A context that has taken key, nonce and associated data, for one direction (1: encrypt). NULL on failure. */
static EVP_CIPHER_CTX *begin(struct kw_openssl *o, const struct kw_gcm *g, int direction)
{
    EVP_CIPHER *cipher = kw_openssl_gcm(o);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;
    bool good = cipher != NULL && ctx != NULL && EVP_CipherInit_ex2(ctx, cipher, g->key, g->nonce, direction, NULL) == 1;
    for (size_t i = 0; good && i < g->count; i++) {
        good = g->lens[i] == 0 || EVP_CipherUpdate(ctx, NULL, &n, g->parts[i], (int)g->lens[i]) == 1;
    }
    if (!good) {
        EVP_CIPHER_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

struct kw_rv kw_cipher_seal(const struct kw_gcm *g, const uint8_t *plain, size_t len, uint8_t *out)
{
    int n = 0;
    struct kw_openssl *o = kw_openssl_get();
    EVP_CIPHER_CTX *ctx = begin(o, g, 1);
    bool good = ctx != NULL && EVP_CipherUpdate(ctx, out, &n, plain, (int)len) == 1 &&
                EVP_CipherFinal_ex(ctx, out + len, &n) == 1 &&
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, KW_GCM_TAG_SIZE, out + len) == 1;
    EVP_CIPHER_CTX_free(ctx);
    kw_openssl_put(o, good);
    return good ? KW_OK : KW_FAIL(CKR_HOST_MEMORY, "OpenSSL gives no AES-256-GCM");
}

struct kw_rv kw_cipher_open(const struct kw_gcm *g, const uint8_t *sealed, size_t len, uint8_t *plain)
{
    uint8_t tag[KW_GCM_TAG_SIZE];
    uint8_t rest[KW_GCM_TAG_SIZE]; /* nothing is written to it */
    size_t text = len - sizeof tag;
    int n = 0;
    struct kw_openssl *o = kw_openssl_get();
    EVP_CIPHER_CTX *ctx = begin(o, g, 0);
    if (ctx == NULL) {
        kw_openssl_put(o, false);
        return KW_FAIL(CKR_HOST_MEMORY, "OpenSSL gives no AES-256-GCM");
    }
    for (size_t i = 0; i < sizeof tag; i++) {
        tag[i] = sealed[text + i]; /* OpenSSL takes a pointer to non-const */
    }
    bool good = EVP_CipherUpdate(ctx, plain, &n, sealed, (int)text) == 1 &&
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1 &&
                EVP_CipherFinal_ex(ctx, rest, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    kw_openssl_put(o, true); /* what does not open is bad itself */
    if (!good) {
        OPENSSL_cleanse(plain, text);
        return KW_FAIL(CKR_WRAPPED_KEY_INVALID, "the data key in the envelope does not open: changed, or of another tenant, geo or context");
    }
    return KW_OK;
}
