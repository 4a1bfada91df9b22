/*
 * scheme.h: the lengths that a way of wrapping makes. Pure functions, no state, no locks; for the face and the engine alike.
 *
 * RFC 3394 and RFC 5649 for AES, RFC 8017 section 7.1 for OAEP, PKCS#11 3.2 section 6.1 for CKM_RSA_AES_KEY_WRAP. Lengths are bytes.
 */
#ifndef KW_SCHEME_H
#define KW_SCHEME_H

#include "key.h"

/* Whether a CMK of this type is used with the scheme: AES for KW and KWP, RSA for OAEP and RSA_AES, either for ENVELOPE. */
bool kw_scheme_fits(const struct kw_scheme *s, CK_KEY_TYPE cmk_type);

/* The length of a hash: 20, 32, 48, 64; 0 for one that is not used with OAEP. */
size_t kw_scheme_hash_len(CK_MECHANISM_TYPE hash);

/* The length of the wrapped key for a data key of `len` bytes under a CMK of cmk_bits; 0 when the scheme cannot hold it. */
size_t kw_scheme_blob_len(const struct kw_scheme *s, unsigned cmk_bits, size_t len);

/* The lengths that a data key in a wrapped key of `blob_len` bytes can have; false when no wrapped key has this length. */
struct kw_scheme_range {
    size_t least;
    size_t most;
};
bool kw_scheme_range(const struct kw_scheme *s, unsigned cmk_bits, size_t blob_len, struct kw_scheme_range *out);

#endif
