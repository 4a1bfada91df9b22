/*
 * keeper.h: a slot that is logged in, for the verbs that work with the data keys under its CMK: wrap, unwrap, rewrap.
 *
 * On the caller's stack; owns the members of the slot and borrows the command. What a broker's call would do is done here without the face: jobs on the
 * slot's tokens, in order of preference, repeated and moved on as for a broker. Thread-safe once it is open, but for keeper_renew.
 */
#ifndef KW_KEEPER_H
#define KW_KEEPER_H

#include <stdatomic.h>

#include "command.h"
#include "content.h"

struct keeper {
    const struct kw_config_slot *slot;
    struct kw_members *members;
    uint8_t lineage[KW_LINEAGE_SIZE];
    uint32_t active;               /* the version that wraps; 0: none */
    struct kw_snapshot *snapshot;  /* as it was opened */
    atomic_ulong uses;             /* since it was opened or renewed */
};

/* Logs in to every token of the slot that can be reached, at least one, and reads the versions. Says why not and gives false. `making`: envelopes are to
 * be made, so the slot must offer them and have an active version. Close it in either case. */
bool keeper_open(struct command *c, const char *slot, bool making, struct keeper *k);
void keeper_close(struct keeper *k);

/* What the slot binds a data key to, with this context. */
struct kw_envelope_place keeper_place(const struct keeper *k, const void *context, size_t len);

/* An envelope of the slot under the version that wraps now. Errors: content.h. */
KW_MUST_USE struct kw_rv keeper_rewrap(struct keeper *k, const uint8_t *bytes, size_t len, struct kw_content_rewrapped *out);

/* A data key, in locked memory only, into an envelope[KW_ENVELOPE_MAX]. Errors: content.h; CKR_WRAPPING_KEY_SIZE_RANGE (the CMK is weaker than it). */
KW_MUST_USE struct kw_rv keeper_wrap(struct keeper *k, const struct kw_content_wrapping *w, uint8_t *envelope, size_t *len);

/* The data key of an envelope, in dek->value; the caller's. */
KW_MUST_USE struct kw_rv keeper_unwrap(struct keeper *k, const struct kw_content_unwrapping *u, CK_KEY_TYPE type, struct kw_dek *dek);

/* Ends every connection; the next use connects and logs in again. Only while no other thread uses the keeper, or another one on the same vendor's module.
 * (SoftHSM keeps 242 bytes of every destroyed object until C_Finalize: HSM-FACTS section 4 rule 11.) */
KW_MUST_USE struct kw_rv keeper_renew(struct keeper *k);

#endif
