#include "digest.h"

#include <openssl/evp.h>

#include "openssl.h"

struct kw_rv kw_digest_sha256(const void *const parts[], const size_t lens[], size_t count,
                              uint8_t out[KW_SHA256_SIZE])
{
    struct kw_openssl *o = kw_openssl_get();
    EVP_MD *md = kw_openssl_sha256(o);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = md != NULL && ctx != NULL && EVP_DigestInit_ex2(ctx, md, NULL) == 1;
    for (size_t i = 0; good && i < count; i++) {
        good = EVP_DigestUpdate(ctx, parts[i], lens[i]) == 1;
    }
    good = good && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    kw_openssl_put(o, good);
    return good ? KW_OK : KW_FAIL(CKR_HOST_MEMORY, "OpenSSL gives no SHA-256");
}
