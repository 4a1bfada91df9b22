/*
 * cmk.h: the versions of one CMK in one backing token (DESIGN section 4).
 *
 * A kw_cmk knows the label and keeps the latest kw_snapshot of the versions: read from the token, judged, sorted, immutable and
 * counted. A snapshot belongs to one epoch of the backing and grows old after a second; reading it again finds a changed attribute, a
 * twin or a new version. A version is proven by its canary at its first use in an epoch. One mutex, a leaf, never held across a vendor call.
 */
#ifndef KW_CMK_H
#define KW_CMK_H

#include <stdatomic.h>

#include "backing.h"
#include "key.h"

enum { KW_CANARY_SIZE = 24, KW_CMK_FULL_ID = 48, KW_VERSIONS_MAX = 64 };

struct kw_cmk;

struct kw_cmk_entry {
    struct kw_version version;
    CK_OBJECT_HANDLE handle;
    uint8_t full_id[KW_CMK_FULL_ID]; /* CKA_ID as the token has it */
    size_t full_id_len;
    uint8_t canary[KW_CANARY_SIZE];
    bool has_canary;
    bool may_wrap;
    bool may_unwrap;
    atomic_bool proven;
};

struct kw_snapshot {
    atomic_uint references;
    unsigned long epoch;
    const char *problem;  /* of the whole lineage, static; NULL when there is none */
    size_t count;         /* versions: the active ones first, then newest first */
    struct kw_cmk_entry entries[];
};

/* For the keys with CKA_LABEL `label` (borrowed). *out is the caller's. */
KW_MUST_USE struct kw_rv kw_cmk_new(const char *label, struct kw_cmk **out);
void kw_cmk_free(struct kw_cmk *c);

/* The label it was made with, borrowed. */
const char *kw_cmk_label(const struct kw_cmk *c);

/* The versions, read again when `again`, when they are older than a second or of another epoch. *out is counted: put it.
 * A token without any such key gives an empty snapshot. Errors: those of the token. */
KW_MUST_USE struct kw_rv kw_cmk_get(struct kw_lease *lease, struct kw_cmk *c, bool again, struct kw_snapshot **out);
void kw_snapshot_put(struct kw_snapshot *s);

/* The entry of a version, borrowed from the snapshot; NULL when there is none. */
struct kw_cmk_entry *kw_snapshot_version(struct kw_snapshot *s, uint32_t version);

/* Proves by the canary that the handle still is the version it was (G2), unless that was done in this epoch and not `again`. CKR_DEVICE_ERROR
 * with lease->failure set when the token is ill; CKR_KEY_FUNCTION_NOT_PERMITTED when the version is out of service or disabled. */
KW_MUST_USE struct kw_rv kw_cmk_prove(struct kw_lease *lease, struct kw_cmk *c, struct kw_cmk_entry *e, bool again);

/* What `keyward create` needs. */
struct kw_cmk_plan {
    const char *label;
    unsigned bits; /* 128, 192, 256 */
    uint8_t lineage[KW_LINEAGE_SIZE];
    uint32_t version;
    uint32_t today; /* days since 1970 */
};

/* Creates one AES version in the token with every attribute stated, writes its canary, reads everything back and proves it. What is not
 * as asked is destroyed again. (HSM-FACTS rules 1 and 9; the caller repeats the reading from a fresh connection.) */
KW_MUST_USE struct kw_rv kw_cmk_create(struct kw_lease *lease, const struct kw_cmk_plan *plan);

#endif
