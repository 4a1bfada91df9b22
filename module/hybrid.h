/*
 * hybrid.h: CKM_RSA_AES_KEY_WRAP (PKCS#11 3.2 section 6.1) put together inside a token: an AES key under OAEP, as long as the modulus, and the
 * data key under that AES key by RFC 5649. Few tokens have the mechanism; all that is needed is its two halves.
 *
 * Under a lease; the AES key is a session object that may not leave the token but wrapped, and is destroyed again. No state, no locks.
 */
#ifndef KW_HYBRID_H
#define KW_HYBRID_H

#include "backing.h"
#include "rsa.h"

/* What both layers are done with; borrowed. */
struct kw_hybrid {
    CK_MECHANISM *oaep;       /* the outer one */
    CK_MECHANISM *kwp;        /* RFC 5649, as the token calls it */
    CK_OBJECT_HANDLE rsa;     /* the public half to wrap, the private half to open */
    size_t modulus_len;
    unsigned aes_bits;        /* to wrap: of the AES key */
};

/* Makes an AES key, and gives it and its wrapped form (modulus_len bytes). The caller wraps with it and destroys it. */
KW_MUST_USE struct kw_rv kw_hybrid_begin(struct kw_lease *lease, const struct kw_hybrid *h, uint8_t *out, CK_OBJECT_HANDLE *aes);

/* Opens the outer layer. One that does not open gives another, new AES key, with as many calls, so that what is wrong shows at the inner
 * layer only, as it does for every bad blob. The caller destroys *aes. */
KW_MUST_USE struct kw_rv kw_hybrid_open(struct kw_lease *lease, const struct kw_hybrid *h, const uint8_t *blob, CK_OBJECT_HANDLE *aes);

#endif
