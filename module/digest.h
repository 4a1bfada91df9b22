/*
 * digest.h: SHA-256 from OpenSSL in a library context of our own.
 *
 * A private OSSL_LIB_CTX keeps us apart from the application's OpenSSL configuration: an engine or provider that it has
 * loaded (which may well be Keyward itself) is never called from here. Made at first use, kept until kw_digest_end. Thread-safe.
 */
#ifndef KW_DIGEST_H
#define KW_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum { KW_SHA256_SIZE = 32 };

/* out = SHA-256 of the first `lens[0]` bytes at parts[0], and so on for `count` parts. CKR_HOST_MEMORY, CKR_GENERAL_ERROR. */
KW_MUST_USE struct kw_rv kw_digest_sha256(const void *const parts[], const size_t lens[], size_t count,
                                          uint8_t out[KW_SHA256_SIZE]);

/* The library context, for whoever else uses OpenSSL; borrowed until kw_digest_end. NULL when memory is short, which means OpenSSL's
 * default context: callers fetch by name and then get NULL or the built-in provider. */
struct ossl_lib_ctx_st *kw_digest_library(void);

/* Frees the context (C_Finalize). */
void kw_digest_end(void);

/* In the child of a fork: makes the mutex new. */
void kw_digest_forked(void);

#endif
