/*
 * capability.h: what a token keeps to, found out with throw-away session keys (HSM-FACTS sections 2 and 4: some tokens do not keep to what
 * they say).
 *
 * A CMK is safe in a token that keeps a key inside whose CKA_EXTRACTABLE is false, does not show a sensitive value, and does nothing with a key but what
 * its usage bits allow. So each connection begins with asking the token to break these rules. One that breaks them is refused, unless its
 * section says `accept-weak-token = yes`. Kept in the backing with the profile, for the life of the connection. No state of its own, no locks.
 */
#ifndef KW_CAPABILITY_H
#define KW_CAPABILITY_H

#include "backing.h"

/* Finds out what the token keeps to, unless that is known. The lease must be logged in. Errors: those of the token. */
KW_MUST_USE struct kw_rv kw_capability(struct kw_lease *lease, struct kw_capability *out);

/* Why a CMK is not safe in such a token, a static sentence; NULL when it is. */
const char *kw_capability_weakness(const struct kw_capability *c);

/* KW_OK when the token may serve: it is not weak, or its weakness is accepted. Else CKR_FUNCTION_FAILED with the reason, which is logged once
 * per connection; or the token's failure. */
KW_MUST_USE struct kw_rv kw_capability_require(struct kw_lease *lease);

/* What else a token takes; for `keyward check`. */
struct kw_limits {
    enum kw_finding derive; /* a key that may only wrap does not derive */
    bool copyable;       /* a key with CKA_COPYABLE false can be made, which nobody copies */
    bool allowed;        /* CKA_ALLOWED_MECHANISMS is taken */
    bool templates;      /* CKA_WRAP_TEMPLATE and CKA_UNWRAP_TEMPLATE are taken */
    size_t generic_least; /* bytes of the shortest and the longest generic secret that were tried and taken, of 1 to KW_DEK_LENGTH_MAX; 0: none */
    size_t generic_most;
};
KW_MUST_USE struct kw_rv kw_capability_limits(struct kw_lease *lease, struct kw_limits *out);

/* How much the token itself can be told to refuse of a new CMK: 2 all of it, 1 no copies, 0 nothing. Found out with session keys, because an
 * answer like CKR_DEVICE_ERROR (p11-kit, about a template in a template) does not tell whether a token object was made. */
KW_MUST_USE struct kw_rv kw_capability_fences(struct kw_lease *lease, int *out);

#endif
