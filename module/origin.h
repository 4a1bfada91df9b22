/*
 * origin.h: the origin key of an RSA lineage, which tells an envelope that was made in the token from one that anybody can make with the
 * public key. (DESIGN section 6; ATTACKS A21.)
 *
 * A generic secret of 32 bytes in the token that signs (CKM_SHA256_HMAC) and does nothing else, not extractable, labelled `KEY/origin`, with the
 * lineage as its CKA_ID; the same in every token of a slot. The second half of this header, which makes it, is the command's only.
 * Under a lease. No state, no locks.
 */
#ifndef KW_ORIGIN_H
#define KW_ORIGIN_H

#include "custody.h"
#include "dek.h"

enum { KW_ORIGIN_TAG_SIZE = 32 };

/* HMAC-SHA256 of the text by the owner's origin key. CKR_KEY_FUNCTION_NOT_PERMITTED when the token has none, two of them, or one that
 * may do more than sign. */
KW_MUST_USE struct kw_rv kw_origin_tag(struct kw_lease *lease, const struct kw_dek_owner *owner, const uint8_t *text, size_t len,
                                       uint8_t tag[KW_ORIGIN_TAG_SIZE]);

/* How many the owner has there. */
KW_MUST_USE struct kw_rv kw_origin_count(struct kw_lease *lease, const struct kw_dek_owner *owner, size_t *count);

/* Makes it in the token; CKR_TEMPLATE_INCONSISTENT when it is not as asked, and then it is destroyed again. */
KW_MUST_USE struct kw_rv kw_origin_generate(struct kw_lease *lease, const struct kw_dek_owner *owner);

/* The replica ceremony for it: begin here, kw_custody_prepare there, kw_custody_send here, receive there; kw_custody_end here. */
KW_MUST_USE struct kw_rv kw_origin_begin(struct kw_lease *lease, struct kw_custody_source *out);
KW_MUST_USE struct kw_rv kw_origin_receive(struct kw_lease *lease, const struct kw_custody_receiver *receiver,
                                           struct kw_custody_blob *blob, const struct kw_dek_owner *owner);

/* Destroys every one that the owner has in the token. */
KW_MUST_USE struct kw_rv kw_origin_destroy(struct kw_lease *lease, const struct kw_dek_owner *owner);

#endif
