/*
 * cmk.h: the versions of one CMK in one backing token (DESIGN section 4).
 *
 * A kw_cmk knows the label and keeps the latest kw_snapshot of the versions: read from the token, judged, sorted, immutable and
 * counted. A snapshot belongs to one epoch of the backing and grows old after a second; reading it again finds a changed attribute, a
 * twin or a new version. A version is proven by its canary at its first use in an epoch. One mutex, under which only the log's is taken.
 */
#ifndef KW_CMK_H
#define KW_CMK_H

#include <stdatomic.h>

#include "canary.h"
#include "readback.h"

enum { KW_VERSIONS_MAX = 1024 };

/* In the place of the day of purge: the version is still being made, and out of service until it is finished on every token. */
#define KW_CMK_UNFINISHED UINT32_MAX

struct kw_cmk;

struct kw_cmk_entry {
    struct kw_version version;
    CK_OBJECT_HANDLE handle;         /* of the secret key; of an RSA version, the private half */
    CK_OBJECT_HANDLE public_handle;  /* of an RSA version the public half; CK_INVALID_HANDLE: the token has none that fits */
    bool ours;                       /* made by Keyward: its CKA_ID has a day of purge */
    uint8_t full_id[KW_CMK_FULL_ID]; /* CKA_ID as the token has it */
    size_t full_id_len;
    atomic_bool proven;              /* alone of all it changes; not beside the flags, of which compilers read several at once */
    uint8_t canary[KW_CANARY_SIZE];
    bool has_canary;
    bool may_wrap;                   /* an RSA version: both halves are there and may */
    bool may_unwrap;
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
 * A token without any such key gives an empty snapshot. CKR_DEVICE_MEMORY for more than
 * KW_VERSIONS_MAX keys (a part is never taken for all), or the token's failure. */
KW_MUST_USE struct kw_rv kw_cmk_get(struct kw_lease *lease, struct kw_cmk *c, bool again, struct kw_snapshot **out);

/* The same for who writes down what it reads: the lineage in an envelope, or in the name of a data key. Once since C_Initialize two readings in a row
 * must be the same; twelve that all differ are believed. */
KW_MUST_USE struct kw_rv kw_cmk_get_confirmed(struct kw_lease *lease, struct kw_cmk *c, bool again, struct kw_snapshot **out);
void kw_snapshot_put(struct kw_snapshot *s);

/* Whether somebody has changed the versions in the last seconds: then SoftHSM fails now and then for no reason. */
bool kw_cmk_is_restless(struct kw_cmk *c);

/* The entry of a version, borrowed from the snapshot; NULL when there is none. */
struct kw_cmk_entry *kw_snapshot_version(struct kw_snapshot *s, uint32_t version);
/* Whether these are two keys, as far as their lineage and fingerprint tell. An adopted key has the lineage of its CKA_ID, which may be another on
 * another token, so that it is compared only of two that Keyward made. */
bool kw_version_differs(const struct kw_version *a, const struct kw_version *b);
/* The first version that unwraps; else the first one. NULL without any. */
struct kw_cmk_entry *kw_snapshot_stand_in(struct kw_snapshot *s);

/* Proves by the canary that the handle still is the version it was (G2), unless that was done in this epoch and not `use.again`: after a blob that
 * did not open, and then the token has to open the canary, too. CKR_DEVICE_ERROR with lease->failure set when the token is ill;
 * CKR_KEY_FUNCTION_NOT_PERMITTED when the version is out of service, or its state does not allow the use (`wrap`: to wrap, else to unwrap). */
struct kw_cmk_use {
    bool wrap;
    bool again;
};
KW_MUST_USE struct kw_rv kw_cmk_prove(struct kw_lease *lease, struct kw_cmk *c, struct kw_cmk_entry *e, struct kw_cmk_use use);

/* Whether the same key was proven under another lineage or version before, since C_Initialize. Of a proven version. */
bool kw_cmk_was_renamed(struct kw_cmk *c, const struct kw_cmk_entry *e);

/* Whether the handle holds the key whose canary the entry has, whatever its state: wraps the canary again, or opens it. */
KW_MUST_USE struct kw_rv kw_cmk_verify(struct kw_lease *lease, const struct kw_cmk_entry *e, bool *same);

#endif
