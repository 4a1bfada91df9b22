#include "openssl.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <stdlib.h>

struct kw_openssl {
    OSSL_LIB_CTX *context;
    OSSL_PROVIDER *provider; /* OpenSSL's own, which has all that we use */
    EVP_CIPHER *gcm;         /* fetched at first use */
    unsigned users;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kw_openssl *current;

static void dispose(struct kw_openssl *o)
{
    if (o != NULL) {
        EVP_CIPHER_free(o->gcm);
        if (o->provider != NULL) {
            (void)OSSL_PROVIDER_unload(o->provider);
        }
        OSSL_LIB_CTX_free(o->context);
        free(o);
    }
}

static struct kw_openssl *make(void)
{
    struct kw_openssl *o = calloc(1, sizeof *o);
    if (o != NULL) {
        o->context = OSSL_LIB_CTX_new();
        o->provider = o->context == NULL ? NULL : OSSL_PROVIDER_load(o->context, "default");
        if (o->provider == NULL) {
            dispose(o);
            o = NULL;
        }
    }
    return o;
}

/* An empty queue takes no mark, and is emptied again. */
void kw_openssl_errors_hold(void)
{
    (void)ERR_set_mark();
}

void kw_openssl_errors_release(void)
{
    (void)ERR_pop_to_mark();
}

struct kw_openssl *kw_openssl_get(void)
{
    kw_openssl_errors_hold();
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
    kw_openssl_errors_release();
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

OSSL_PROVIDER *kw_openssl_provider(const struct kw_openssl *o)
{
    return o == NULL ? NULL : o->provider;
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
