/*
 * content.h: the content key of an envelope: made, wrapped and unwrapped in the token; with it whole envelopes. (DESIGN section 6.)
 *
 * Runs on one member, under a lease of a logged-in user, as wrapper.h does; a kw_job (member.h) whose op is one of these is repeated or moved to the next
 * token as any other. The content key and the data key are in kw_secrets only. No state, no locks.
 */
#ifndef KW_CONTENT_H
#define KW_CONTENT_H

#include "cmk.h"
#include "envelope.h"

/* A data key to be put into an envelope. */
struct kw_content_wrapping {
    uint32_t version; /* of the CMK; 0: the active one that wraps */
    struct kw_envelope_place place;
    const struct kw_dek *dek; /* of either home; one whose value may not be read is refused */
    const struct kw_version *meant; /* as in kw_wrapping (key.h) */
};

/* envelope[KW_ENVELOPE_MAX], *len. CKR_KEY_UNEXTRACTABLE (a sealed data key), CKR_MECHANISM_PARAM_INVALID (the context is too long), else as kw_wrapper_wrap. */
KW_MUST_USE struct kw_rv kw_content_wrap(struct kw_lease *lease, struct kw_cmk *cmk, const struct kw_content_wrapping *w,
                                         uint8_t *envelope, size_t *len);

/* An envelope to be opened. */
struct kw_content_unwrapping {
    struct kw_envelope_place place;
    const uint8_t *bytes;
    size_t len;
};

/* The data key into dek (memory or token home by dek->spec; spec.type must be the envelope's, spec.len 0 or its length). The version that
 * the envelope names is used. CKR_WRAPPED_KEY_INVALID for every bad envelope, after the same number of calls; the log has the reason.
 * CKR_KEY_FUNCTION_NOT_PERMITTED when its version is disabled or out of service. */
KW_MUST_USE struct kw_rv kw_content_unwrap(struct kw_lease *lease, struct kw_cmk *cmk, const struct kw_content_unwrapping *u,
                                           struct kw_dek *dek);

/* An envelope under the version that wraps now. */
struct kw_content_rewrapped {
    uint32_t from; /* the version that it was under */
    uint32_t to;   /* the version that it is under; the same: it was current, and bytes is what it was */
    size_t len;
    uint8_t bytes[KW_ENVELOPE_MAX];
};

/* The content key is unwrapped into a session object that nobody can read, and wrapped by the active version: the data key does not appear, and what it is
 * bound to is not looked at and stays. Errors as kw_content_unwrap, and of kw_wrapper_wrap; CKR_KEY_FUNCTION_NOT_PERMITTED without an active version. */
KW_MUST_USE struct kw_rv kw_content_rewrap(struct kw_lease *lease, struct kw_cmk *cmk, const uint8_t *bytes, size_t len,
                                           struct kw_content_rewrapped *out);

#endif
