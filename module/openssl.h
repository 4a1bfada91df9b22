/*
 * openssl.h: OpenSSL's libcrypto in a library context of our own.
 *
 * A private OSSL_LIB_CTX keeps us apart from the application's OpenSSL configuration: an engine or provider that it has
 * loaded (which may well be Keyward itself) is never called from here. Made at first use, kept until kw_openssl_end. Thread-safe.
 * A context in which something failed may be spoiled for good: OpenSSL 3.0 does not look again for an algorithm that it could not make when memory was
 * short. So who borrowed it says how it went, and after a failure the next one gets a new context; the old one is freed with its last user.
 */
#ifndef KW_OPENSSL_H
#define KW_OPENSSL_H

#include <stdbool.h>

struct evp_cipher_st;
struct ossl_lib_ctx_st;
struct ossl_provider_st;

struct kw_openssl;

/* Borrows the context until kw_openssl_put, which every get needs; `good`: nothing failed for which OpenSSL may be to blame. NULL when memory is
 * short; kw_openssl_put takes that, too. */
struct kw_openssl *kw_openssl_get(void);
void kw_openssl_put(struct kw_openssl *o, bool good);

/* What is in it, borrowed as long as it is. NULL when `o` is, and when OpenSSL fails. */
struct ossl_lib_ctx_st *kw_openssl_context(const struct kw_openssl *o);
struct ossl_provider_st *kw_openssl_provider(const struct kw_openssl *o); /* "default" */
struct evp_cipher_st *kw_openssl_gcm(struct kw_openssl *o); /* AES-256-GCM */

/* Around what may fail in OpenSSL: the queue of errors is the thread's, and one that is left there makes the application's next TLS call look failed.
 * Nests; every get and put has it, and every call of a vendor's module, which may use the same OpenSSL. */
void kw_openssl_errors_hold(void);
void kw_openssl_errors_release(void);

/* Frees the context; nobody may have it (C_Finalize). */
void kw_openssl_end(void);

/* In the child of a fork: makes the mutex new and forgets the context, which another thread of the parent may have been using. */
void kw_openssl_forked(void);

#endif
