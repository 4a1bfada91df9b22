/*
 * digest.h: SHA-256 from OpenSSL (openssl.h). No state, no locks.
 */
#ifndef KW_DIGEST_H
#define KW_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum { KW_SHA256_SIZE = 32 };

/* out = SHA-256 of the first `lens[0]` bytes at parts[0], and so on for `count` parts. CKR_HOST_MEMORY. */
KW_MUST_USE struct kw_rv kw_digest_sha256(const void *const parts[], const size_t lens[], size_t count,
                                          uint8_t out[KW_SHA256_SIZE]);

#endif
