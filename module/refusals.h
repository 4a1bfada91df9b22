/*
 * refusals.h: the PINs that a token has refused, so that a wrong one is sent once per process and value (DESIGN section 3).
 *
 * Kept as salted digests inside a kw_secret, because a PIN is easily guessed from its digest. Storage of the caller, zero at first,
 * cleared by kw_refusals_clear; guarded by the caller. Those of kw_refusals_of outlive C_Finalize: an application that starts Keyward again and
 * again would else lock the token. One mutex for the list of them, a leaf in the lock order.
 */
#ifndef KW_REFUSALS_H
#define KW_REFUSALS_H

#include "secret.h"

struct kw_refusals {
    struct kw_secret *digests; /* salt, then `count` digests */
    unsigned count;
};

/* Whether this PIN was refused before. */
bool kw_refusals_has(const struct kw_refusals *r, const struct kw_secret *pin);

/* Remembers it; the oldest of eight is forgotten. CKR_HOST_MEMORY, CKR_FUNCTION_FAILED (no random numbers). */
KW_MUST_USE struct kw_rv kw_refusals_add(struct kw_refusals *r, const struct kw_secret *pin);

/* What must hold before a PIN is sent to a token that says this of itself: not locked, not at its last try, a length that the token takes, not
 * refused before. CKR_PIN_LOCKED, CKR_PIN_LEN_RANGE, CKR_PIN_INCORRECT. */
KW_MUST_USE struct kw_rv kw_refusals_check(const struct kw_refusals *r, const CK_TOKEN_INFO *info, const struct kw_secret *pin);

void kw_refusals_clear(struct kw_refusals *r);

/* The refusals of the token that `key` names, for the life of the process; borrowed, empty at first. NULL when memory is short. */
struct kw_refusals *kw_refusals_of(const char *key);
/* In the child of a fork, which is a process of its own: forgets all of them. */
void kw_refusals_forked(void);

#endif
