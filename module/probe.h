/*
 * probe.h: what a token's wrapping mechanisms really do (DESIGN section 7, HSM-FACTS rule 3).
 *
 * A mechanism number does not fix the bytes: 0x210A is RFC 5649 on one token and PKCS#7 padding on another, and some lose the length.
 * So each is tried once with a throw-away session key of known value against the vectors of RFC 3394 and RFC 5649.
 * Kept in the backing for the life of the connection. No state of its own, no locks.
 */
#ifndef KW_PROBE_H
#define KW_PROBE_H

#include "backing.h"
#include "key.h"

/* What the token does for `format`; tried now if it was not yet. The lease must be logged in. Errors: those of the token. */
KW_MUST_USE struct kw_rv kw_probe(struct kw_lease *lease, enum kw_format format, struct kw_proof *out);

/* Whether the token offers `format`: proven, or, before a login, as far as its list of mechanisms tells. */
bool kw_probe_offers(struct kw_lease *lease, enum kw_format format);

#endif
