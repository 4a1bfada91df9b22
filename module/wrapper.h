/*
 * wrapper.h: wrapping and unwrapping a data key under a version of the CMK, on one member, under a lease.
 *
 * Here the version is proven before use, the mechanism is one that the token is proven to do, and the token's answer to a bad blob is told from
 * an ill token by the canary. Formats: all but the envelope (content.h). No state, no locks.
 */
#ifndef KW_WRAPPER_H
#define KW_WRAPPER_H

#include "cmk.h"
#include "probe.h"
#include "scheme.h"

/* blob has room for KW_BLOB_MAX bytes. CKR_WRAPPING_KEY_HANDLE_INVALID (no such version, or not the key that is meant), CKR_KEY_FUNCTION_NOT_PERMITTED (its state),
 * CKR_KEY_SIZE_RANGE (a length that would not come back exactly), CKR_KEY_HANDLE_INVALID, CKR_KEY_UNEXTRACTABLE,
 * CKR_MECHANISM_INVALID (the token cannot do the format), or the token's failure. */
KW_MUST_USE struct kw_rv kw_wrapper_wrap(struct kw_lease *lease, struct kw_cmk *cmk, const struct kw_wrapping *w,
                                         uint8_t *blob, size_t *len);

/* dek->spec says what is wanted; on success it, value or name are set. CKR_WRAPPED_KEY_INVALID for every bad blob;
 * CKR_KEY_FUNCTION_NOT_PERMITTED when it did not open and a version that might have opened it is disabled or out of service. */
KW_MUST_USE struct kw_rv kw_wrapper_unwrap(struct kw_lease *lease, struct kw_cmk *cmk, const struct kw_unwrapping *u,
                                           struct kw_dek *dek);

/* The owner of the slot's data keys, from a snapshot. CKR_FUNCTION_FAILED when there is no CMK to belong to. */
struct kw_dek_owner;
KW_MUST_USE struct kw_rv kw_wrapper_owner(const struct kw_snapshot *s, const char *label, struct kw_dek_owner *out);

#endif
