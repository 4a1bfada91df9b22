#include "openssl.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

struct kw_openssl {
    OSSL_LIB_CTX *context;
    EVP_MD *sha256;  /* fetched at first use */
    EVP_CIPHER *gcm;
    unsigned users;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kw_openssl *current;

static void dispose(struct kw_openssl *o)
{
    if (o != NULL) {
        EVP_MD_free(o->sha256);
        EVP_CIPHER_free(o->gcm);
        OSSL_LIB_CTX_free(o->context);
        free(o);
    }
}

static struct kw_openssl *make(void)
{
    struct kw_openssl *o = calloc(1, sizeof *o);
    if (o != NULL) {
        o->context = OSSL_LIB_CTX_new();
        if (o->context == NULL) {
            free(o);
            o = NULL;
        }
    }
    return o;
}

struct kw_openssl *kw_openssl_get(void)
{
    pthread_mutex_lock(&lock);
    if (current == NULL) {
        current = make();
    }
    struct kw_openssl *o = current;
    if (o != NULL) {
        o->users++;
    }
    pthread_mutex_unlock(&lock);
    return o;
}

void kw_openssl_put(struct kw_openssl *o, bool good)
{
    if (o == NULL) {
        return;
    }
    pthread_mutex_lock(&lock);
    if (!good && o == current) {
        current = NULL;
    }
    bool last = --o->users == 0 && o != current;
    pthread_mutex_unlock(&lock);
    if (last) {
        dispose(o);
    }
}

OSSL_LIB_CTX *kw_openssl_context(const struct kw_openssl *o)
{
    return o == NULL ? NULL : o->context;
}

EVP_MD *kw_openssl_sha256(struct kw_openssl *o)
{
    if (o == NULL) {
        return NULL;
    }
    pthread_mutex_lock(&lock);
    if (o->sha256 == NULL) {
        o->sha256 = EVP_MD_fetch(o->context, "SHA2-256", NULL);
    }
    EVP_MD *md = o->sha256;
    pthread_mutex_unlock(&lock);
    return md;
}

EVP_CIPHER *kw_openssl_gcm(struct kw_openssl *o)
{
    if (o == NULL) {
        return NULL;
    }
    pthread_mutex_lock(&lock);
    if (o->gcm == NULL) {
        o->gcm = EVP_CIPHER_fetch(o->context, "AES-256-GCM", NULL);
    }
    EVP_CIPHER *cipher = o->gcm;
    pthread_mutex_unlock(&lock);
    return cipher;
}

void kw_openssl_end(void)
{
    pthread_mutex_lock(&lock);
    struct kw_openssl *o = current;
    current = NULL;
    pthread_mutex_unlock(&lock);
    dispose(o);
}

void kw_openssl_forked(void)
{
    (void)pthread_mutex_init(&lock, NULL);
    current = NULL;
}
