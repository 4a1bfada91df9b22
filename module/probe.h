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

/* What the token does for KW_FORMAT_KW or KW_FORMAT_KWP with data keys of up to `length` bytes (0: any); what is not known yet is tried now. How
 * long a key may be is measured for the first one of more than 32 bytes. The lease must be logged in. Errors: those of the token. */
KW_MUST_USE struct kw_rv kw_probe(struct kw_lease *lease, enum kw_format format, size_t length,
                                  struct kw_proof *out);

/* Whether the token is proven to do OAEP of this hash: an RSA private key of it that may unwrap opens, with that hash, what OpenSSL encrypted
 * to it. Tried with the first key that comes, then kept; a no for a second,
 * and while no hash is proven it is tried each time. Errors: those of the token. */
KW_MUST_USE struct kw_rv kw_probe_oaep(struct kw_lease *lease, CK_OBJECT_HANDLE private_key, CK_MECHANISM_TYPE hash, bool *does);

/* The hashes that OAEP is done with, in the order of the profile: SHA-1, SHA-256, SHA-384, SHA-512. i below KW_OAEP_HASHES. */
CK_MECHANISM_TYPE kw_probe_hash(size_t i);

/* Whether the token offers `format`: proven, or, before a login, as far as its list of mechanisms tells. */
bool kw_probe_offers(struct kw_lease *lease, enum kw_format format);

/* Whether the token gives the handle of a destroyed object to one that is made later, as openCryptoki does. Tried once in a connection, with two
 * throw-away keys; true when that fails. */
bool kw_probe_reuses_handles(struct kw_lease *lease);

#endif
