/*
 * halves.h: an RSA version of a CMK in one token, which is two objects: the private half unwraps, the public half wraps.
 *
 * Both carry the same label and the same CKA_ID, of which the private one counts. Every change is made to the private half first
 * and to the public one then, and the public half is destroyed before the private one: so after a crash between the two the private half,
 * which is the key, still shows the version, and the change can be finished. A public half that was lost is made again from the
 * numbers of the private one. Called by custody.c, under its lease. No state, no locks. (DESIGN section 4.)
 */
#ifndef KW_HALVES_H
#define KW_HALVES_H

#include "custody.h"

/* A new pair, unfinished, with this CKA_ID of KW_CMK_RSA_ID bytes, read back and proven; or what came in a parcel, for which the public half is
 * made. What is not as asked is destroyed again. */
KW_MUST_USE struct kw_rv kw_halves_generate(struct kw_lease *lease, const struct kw_custody_plan *plan, const uint8_t *id);
KW_MUST_USE struct kw_rv kw_halves_unwrap(struct kw_lease *lease, const struct kw_wrapped *w,
                                          const struct kw_custody_plan *plan, const uint8_t *id);

/* Gives both halves the state and the CKA_ID (NULL: as it is, and a public half that is not there is not made) and reads them back. */
KW_MUST_USE struct kw_rv kw_halves_change(struct kw_lease *lease, const struct kw_cmk_entry *e, const struct kw_custody_state *to,
                                          const uint8_t *id);

KW_MUST_USE struct kw_rv kw_halves_destroy(struct kw_lease *lease, const struct kw_cmk_entry *e);

/* Whether the public half is there and agrees with the private one: no change was interrupted between them. */
KW_MUST_USE struct kw_rv kw_halves_agree(struct kw_lease *lease, const struct kw_cmk_entry *e, bool *agree);

#endif
