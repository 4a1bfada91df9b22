/*
 * canary.h: the proof that a handle is the key it was. (DESIGN section 4, "Fingerprint"; G2.)
 *
 * Every canary holds the same 16 bytes, which everybody knows. Of an AES key it is their AES key wrap (RFC 3394), which is deterministic and
 * checks itself; it is made again by a key that may wrap, and opened by one that may only unwrap. Of an RSA key it is the name of the modulus
 * (rsa.h): the private half must show that modulus and open what OpenSSL encrypted to it, and what the public half wrapped.
 * Under a lease. No state, no locks.
 */
#ifndef KW_CANARY_H
#define KW_CANARY_H

#include "rsa.h"

enum { KW_CANARY_SIZE = 24 };

/* A key as the token has it. */
struct kw_canary_key {
    CK_KEY_TYPE type;               /* CKK_AES or CKK_RSA */
    CK_OBJECT_HANDLE handle;        /* the secret key, or the private half */
    CK_OBJECT_HANDLE public_handle; /* CKK_RSA: the public half; CK_INVALID_HANDLE: there is none */
    bool may_wrap;
};

/* Makes the canary of an AES key that may wrap. */
KW_MUST_USE struct kw_rv kw_canary_make(struct kw_lease *lease, CK_OBJECT_HANDLE key, uint8_t out[KW_CANARY_SIZE]);

/* Whether the key is the one of this canary. A refusal by an integrity check is an answer; the token's failure is in lease->failure. */
KW_MUST_USE struct kw_rv kw_canary_verify(struct kw_lease *lease, const struct kw_canary_key *key, const uint8_t canary[KW_CANARY_SIZE],
                                          bool *same);

/* Opens the canary of an AES key that may unwrap: C_UnwrapKey, C_GetAttributeValue, C_DestroyObject, whatever the key else may do. */
KW_MUST_USE struct kw_rv kw_canary_open(struct kw_lease *lease, CK_OBJECT_HANDLE key, const uint8_t canary[KW_CANARY_SIZE], bool *same);

/* Whether the private half opens, with OAEP of this hash, what OpenSSL encrypted to its own modulus: what a hash is proven with (probe.h). */
KW_MUST_USE struct kw_rv kw_canary_opens(struct kw_lease *lease, CK_OBJECT_HANDLE private_key, CK_MECHANISM_TYPE hash, bool *opens);

#endif
