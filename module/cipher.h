/*
 * cipher.h: AES-256-GCM from OpenSSL (openssl.h).
 *
 * Used for the data key inside an envelope (envelope.h). Keys and plain text stay in the caller's memory, which is a kw_secret; OpenSSL's
 * own copy of the key schedule is wiped before each call returns. Thread-safe. (NIST SP 800-38D; 96-bit nonces, 128-bit tags.)
 */
#ifndef KW_CIPHER_H
#define KW_CIPHER_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum { KW_GCM_KEY_SIZE = 32, KW_GCM_NONCE_SIZE = 12, KW_GCM_TAG_SIZE = 16, KW_GCM_PARTS_MAX = 8 };

/* What goes with the text: key, nonce, and the associated data in `count` parts. All borrowed. */
struct kw_gcm {
    const uint8_t *key;
    const uint8_t *nonce;
    size_t count;
    const void *parts[KW_GCM_PARTS_MAX];
    size_t lens[KW_GCM_PARTS_MAX];
};

/* out[len + KW_GCM_TAG_SIZE] = plain[len] encrypted, and the tag. CKR_HOST_MEMORY, CKR_GENERAL_ERROR. */
KW_MUST_USE struct kw_rv kw_cipher_seal(const struct kw_gcm *g, const uint8_t *plain, size_t len, uint8_t *out);

/* plain[len - KW_GCM_TAG_SIZE] = what sealed[len] holds. CKR_WRAPPED_KEY_INVALID when the tag is not right, and `plain` is zero then. */
KW_MUST_USE struct kw_rv kw_cipher_open(const struct kw_gcm *g, const uint8_t *sealed, size_t len, uint8_t *plain);

#endif
