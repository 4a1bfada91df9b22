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

#include "backing.h"
#include "key.h"

enum { KW_CANARY_SIZE = 24, KW_CMK_FULL_ID = 48, KW_VERSIONS_MAX = 1024 };

/* In the place of the day of purge: the version is still being made, and out of service until it is finished on every token. */
#define KW_CMK_UNFINISHED UINT32_MAX

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
 * A token without any such key gives an empty snapshot. CKR_DEVICE_MEMORY for more than
 * KW_VERSIONS_MAX keys (a part is never taken for all), or the token's failure. */
KW_MUST_USE struct kw_rv kw_cmk_get(struct kw_lease *lease, struct kw_cmk *c, bool again, struct kw_snapshot **out);
void kw_snapshot_put(struct kw_snapshot *s);

/* Whether somebody has changed the versions in the last seconds: then SoftHSM fails now and then for no reason. */
bool kw_cmk_is_restless(struct kw_cmk *c);

/* The entry of a version, borrowed from the snapshot; NULL when there is none. */
struct kw_cmk_entry *kw_snapshot_version(struct kw_snapshot *s, uint32_t version);

/* Proves by the canary that the handle still is the version it was (G2), unless that was done in this epoch and not `use.again`. CKR_DEVICE_ERROR
 * with lease->failure set when the token is ill; CKR_KEY_FUNCTION_NOT_PERMITTED when the version is out of service, or its state does
 * not allow the use (`wrap`: to wrap, else to unwrap). */
struct kw_cmk_use {
    bool wrap;
    bool again;
};
KW_MUST_USE struct kw_rv kw_cmk_prove(struct kw_lease *lease, struct kw_cmk *c, struct kw_cmk_entry *e, struct kw_cmk_use use);

/* Whether the handle holds the key whose canary the entry has, whatever its state: wraps the canary again, or opens it. */
KW_MUST_USE struct kw_rv kw_cmk_verify(struct kw_lease *lease, const struct kw_cmk_entry *e, bool *same);

/* The attributes of a key that decide whether it may serve as a CMK, read all at once. */
struct kw_cmk_readback {
    CK_BBOOL token, private, sensitive, extractable, encrypt, decrypt, sign, verify, derive, wrap, unwrap;
    CK_ULONG type, len; /* CKA_KEY_TYPE, CKA_VALUE_LEN in bytes */
    uint8_t id[KW_CMK_FULL_ID + 16];
    size_t id_len;
    bool complete; /* the token gave every one */
};
KW_MUST_USE struct kw_rv kw_cmk_read(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_cmk_readback *out);

/* Why a key with these attributes may not serve as a CMK, a static sentence; NULL when it may. (DESIGN section 4; ATTACKS A01, A07.) */
const char *kw_cmk_judge(const struct kw_cmk_readback *a);

/* Makes the canary of a key that may wrap: AES-KW of 16 bytes that everybody knows. */
KW_MUST_USE struct kw_rv kw_cmk_canary(struct kw_lease *lease, CK_OBJECT_HANDLE key, uint8_t out[KW_CANARY_SIZE]);

#endif
