/*
 * dek.h: data keys as objects of a backing token.
 *
 * A data key in the token has CKA_LABEL `KEY/data` and the CKA_ID  lineage 12 | name 8 | length 2 | n 1 | caller's CKA_ID n | caller's
 * CKA_LABEL, so that slots which share a token never meet (DESIGN section 5), and so that the length survives on tokens which do not
 * tell it (SoftHSM shows CKA_VALUE_LEN 0 after an unwrap). The name is random and unique. Everything here runs under a lease.
 */
#ifndef KW_DEK_H
#define KW_DEK_H

#include "backing.h"
#include "scheme.h"

/* Whose data keys: the CMK's label and lineage. */
struct kw_dek_owner {
    const char *label;
    uint8_t lineage[KW_LINEAGE_SIZE];
};

/* Generates in the token; sets dek->name. dek->spec says what. */
KW_MUST_USE struct kw_rv kw_dek_generate(struct kw_lease *lease, const struct kw_dek_owner *owner, struct kw_dek *dek);

/* Puts the bytes into the token as dek->spec says; sets dek->name. */
KW_MUST_USE struct kw_rv kw_dek_import(struct kw_lease *lease, const struct kw_dek_owner *owner,
                                       const struct kw_secret *value, struct kw_dek *dek);

/* A nameless session object with these bytes, for one C_WrapKey: the caller destroys *handle. */
KW_MUST_USE struct kw_rv kw_dek_lend(struct kw_lease *lease, const struct kw_dek *dek, CK_OBJECT_HANDLE *handle);

/* What to unwrap and with what. */
struct kw_dek_blob {
    CK_MECHANISM *mechanism; /* the token's own; vendors do not write to it */
    CK_OBJECT_HANDLE key;    /* of the CMK version, or of the key that it has opened */
    const uint8_t *bytes;
    size_t len;                   /* at most KW_BLOB_MAX */
    struct kw_scheme_range range; /* the lengths that the data key can have */
};

/* Unwraps into dek (memory or token home, by dek->spec) and sets spec.len. `owner` is needed for the token home only. The vendor's
 * raw answer is in lease->failure. CKR_WRAPPED_KEY_INVALID with failure CKR_OK: the blob opened but holds no such data key. */
KW_MUST_USE struct kw_rv kw_dek_unwrap(struct kw_lease *lease, const struct kw_dek_owner *owner,
                                       const struct kw_dek_blob *blob, struct kw_dek *dek);

/* The vendor handle of a token-home data key; `again` skips what is remembered. CKR_OBJECT_HANDLE_INVALID when it is gone. */
KW_MUST_USE struct kw_rv kw_dek_find(struct kw_lease *lease, const struct kw_dek_owner *owner,
                                     const struct kw_dek *dek, bool again, CK_OBJECT_HANDLE *out);

/* Calls `each` (which must not call the vendor) for every persistent data key of the owner; `dek` is borrowed. */
typedef void kw_dek_each(void *data, const struct kw_dek *dek);
KW_MUST_USE struct kw_rv kw_dek_list(struct kw_lease *lease, const struct kw_dek_owner *owner, kw_dek_each *each, void *data);

/* The bytes of a readable token-home data key. *out is the caller's. */
KW_MUST_USE struct kw_rv kw_dek_value(struct kw_lease *lease, CK_OBJECT_HANDLE handle, size_t len, struct kw_secret **out);

/* Gives a token-home data key the label and id that `to` has. */
KW_MUST_USE struct kw_rv kw_dek_rename(struct kw_lease *lease, const struct kw_dek_owner *owner, CK_OBJECT_HANDLE handle,
                                       const struct kw_dek *to);

#endif
