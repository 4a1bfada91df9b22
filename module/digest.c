#include "digest.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/provider.h>
#include <string.h>

#include "openssl.h"

/*
 * SHA-256 by the functions of the provider itself (provider-digest(7)), not by EVP: the first algorithm that EVP fetches in a library context
 * fills the context's table of all names, 0.3 ms of the 1.2 ms that Keyward once added to a broker's first wrap. An AES slot needs no other
 * algorithm of OpenSSL; what does goes through EVP.
 */
struct sha256 {
    OSSL_FUNC_digest_newctx_fn *new;
    OSSL_FUNC_digest_init_fn *init;
    OSSL_FUNC_digest_update_fn *update;
    OSSL_FUNC_digest_final_fn *final;
    OSSL_FUNC_digest_freectx_fn *free;
};

static bool collect(const OSSL_DISPATCH *functions, struct sha256 *s)
{
    for (const OSSL_DISPATCH *f = functions; f->function_id != 0; f++) {
        switch (f->function_id) {
        case OSSL_FUNC_DIGEST_NEWCTX:
            s->new = OSSL_FUNC_digest_newctx(f);
            break;
        case OSSL_FUNC_DIGEST_INIT:
            s->init = OSSL_FUNC_digest_init(f);
            break;
        case OSSL_FUNC_DIGEST_UPDATE:
            s->update = OSSL_FUNC_digest_update(f);
            break;
        case OSSL_FUNC_DIGEST_FINAL:
            s->final = OSSL_FUNC_digest_final(f);
            break;
        case OSSL_FUNC_DIGEST_FREECTX:
            s->free = OSSL_FUNC_digest_freectx(f);
            break;
        default:
            break;
        }
    }
    return s->new != NULL && s->init != NULL && s->update != NULL && s->final != NULL && s->free != NULL;
}

/* An algorithm's names are one string, with colons between them; this is the first one of SHA-256. */
static bool is_sha256(const char *names)
{
    static const char name[] = "SHA2-256";
    const size_t len = sizeof name - 1;
    return strncmp(names, name, len) == 0 && (names[len] == ':' || names[len] == '\0');
}

static bool find_sha256(const OSSL_PROVIDER *provider, struct sha256 *s)
{
    int may_change = 0;
    const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(provider, OSSL_OP_DIGEST, &may_change);
    const OSSL_ALGORITHM *a = all;
    while (a != NULL && a->algorithm_names != NULL && !is_sha256(a->algorithm_names)) {
        a++;
    }
    bool found = a != NULL && a->algorithm_names != NULL && collect(a->implementation, s);
    if (all != NULL) {
        OSSL_PROVIDER_unquery_operation(provider, OSSL_OP_DIGEST, all);
    }
    return found;
}

struct kw_rv kw_digest_sha256(const void *const parts[], const size_t lens[], size_t count,
                              uint8_t out[KW_SHA256_SIZE])
{
    struct kw_openssl *o = kw_openssl_get();
    const OSSL_PROVIDER *provider = kw_openssl_provider(o);
    struct sha256 s = {0};
    size_t len = 0;
    void *state = provider != NULL && find_sha256(provider, &s) ? s.new(OSSL_PROVIDER_get0_provider_ctx(provider)) : NULL;
    bool good = state != NULL && s.init(state, NULL) == 1;
    for (size_t i = 0; good && i < count; i++) {
        good = s.update(state, parts[i], lens[i]) == 1;
    }
    good = good && s.final(state, out, &len, KW_SHA256_SIZE) == 1 && len == KW_SHA256_SIZE;
    if (state != NULL) {
        s.free(state);
    }
    kw_openssl_put(o, good);
    return good ? KW_OK : KW_FAIL(CKR_HOST_MEMORY, "OpenSSL gives no SHA-256");
}
