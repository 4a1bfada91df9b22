#include "digest.h"

#include <openssl/evp.h>
#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static OSSL_LIB_CTX *context;
static EVP_MD *sha256;

static OSSL_LIB_CTX *library_locked(void)
{
    if (context == NULL) {
        context = OSSL_LIB_CTX_new();
    }
    return context;
}

struct ossl_lib_ctx_st *kw_digest_library(void)
{
    pthread_mutex_lock(&lock);
    OSSL_LIB_CTX *c = library_locked();
    pthread_mutex_unlock(&lock);
    return c;
}

static EVP_MD *fetch(void)
{
    pthread_mutex_lock(&lock);
    (void)library_locked();
    if (context != NULL && sha256 == NULL) {
        sha256 = EVP_MD_fetch(context, "SHA2-256", NULL);
    }
    EVP_MD *md = sha256 != NULL && EVP_MD_up_ref(sha256) == 1 ? sha256 : NULL;
    pthread_mutex_unlock(&lock);
    return md;
}

struct kw_rv kw_digest_sha256(const void *const parts[], const size_t lens[], size_t count,
                              uint8_t out[KW_SHA256_SIZE])
{
    struct kw_rv r = KW_FAIL(CKR_HOST_MEMORY, "OpenSSL gives no SHA-256");
    EVP_MD *md = fetch();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (md == NULL || ctx == NULL || EVP_DigestInit_ex2(ctx, md, NULL) != 1) {
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        if (EVP_DigestUpdate(ctx, parts[i], lens[i]) != 1) {
            goto done;
        }
    }
    if (EVP_DigestFinal_ex(ctx, out, NULL) == 1) {
        r = KW_OK;
    }
done:
    EVP_MD_CTX_free(ctx);
    EVP_MD_free(md);
    return r;
}

void kw_digest_end(void)
{
    pthread_mutex_lock(&lock);
    EVP_MD_free(sha256);
    OSSL_LIB_CTX_free(context);
    sha256 = NULL;
    context = NULL;
    pthread_mutex_unlock(&lock);
}

void kw_digest_forked(void)
{
    (void)pthread_mutex_init(&lock, NULL);
    context = NULL; /* another thread may have been making them; what the parent had is left alone */
    sha256 = NULL;
}
