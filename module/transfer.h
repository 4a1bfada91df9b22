/*
 * transfer.h: a customer's own key on its way into a token: the transport key that they wrap to,
 * and what they wrapped.
 *
 * The transport key is an RSA key pair in the slot's first token with CKA_LABEL "KEY/transport";
 * its private half only unwraps. What comes back is a parcel (parcel.h), opened inside the token.
 * AES and RSA keys are taken and told apart by the length of the file. Used by the keyward command
 * only, under a lease of a logged-in member. No state of its own, no locks.
 */
#ifndef KW_TRANSFER_H
#define KW_TRANSFER_H

#include "custody.h"

/* The public half, read from the private object: anybody can plant a public one without a PIN. */
struct kw_transfer_key {
    CK_OBJECT_HANDLE private_key;
    struct kw_rsa_public numbers;
};

/* Finds the transport key of the CMK `label` and proves that the public half is that of the private
 * one. *found tells whether there is one. CKR_TEMPLATE_INCONSISTENT when there are two, or it may
 * do anything but unwrap. */
KW_MUST_USE struct kw_rv kw_transfer_find(struct kw_lease *lease, const char *label,
                                          struct kw_transfer_key *out, bool *found);

/* Makes it with every attribute stated, reads it back and proves it; what is not as asked is
 * destroyed again. bits: 2048, 3072, 4096. */
KW_MUST_USE struct kw_rv kw_transfer_make(struct kw_lease *lease, const char *label, unsigned bits,
                                          struct kw_transfer_key *out);

/* What a customer sent; all borrowed. */
struct kw_transfer {
    const char *label; /* of the CMK */
    const uint8_t *bytes;
    size_t len;
};

/* What kw_transfer_check found out: type and size, and the canary that the key has as a version of a
 * CMK. */
struct kw_transfer_found {
    CK_KEY_TYPE type;
    unsigned bits;
    uint8_t canary[KW_CANARY_SIZE];
};

/* Opens it to a session key that may not leave the token, sees that it is an AES key, or an RSA key that opens what is
 * wrapped to it, and destroys that again; nothing is made in the token. CKR_WRAPPED_KEY_INVALID, CKR_WRAPPED_KEY_LEN_RANGE,
 * CKR_KEY_SIZE_RANGE with a sentence about the file; CKR_KEY_HANDLE_INVALID (no transport key);
 * CKR_MECHANISM_INVALID; or the token's failure. */
KW_MUST_USE struct kw_rv kw_transfer_check(struct kw_lease *lease, const struct kw_transfer *t,
                                           struct kw_transfer_found *out);

/* Begins the replica ceremony with the customer's key instead of a new one: see kw_custody_begin. */
KW_MUST_USE struct kw_rv kw_transfer_begin(struct kw_lease *lease, const struct kw_transfer *t,
                                           struct kw_custody_source *out);

/* Unwraps it to the plan's version, unfinished, as kw_custody_generate leaves it. */
KW_MUST_USE struct kw_rv kw_transfer_receive(struct kw_lease *lease, const struct kw_transfer *t,
                                             const struct kw_custody_plan *plan);

#endif
