/*
 * policy.h: what a caller may ask for. Pure functions: no I/O, no state, no locks. (DESIGN section 5; ATTACKS A01 to A33.)
 *
 * The template of a new data key is judged against one table {attribute, kind, rule per way of making}; what the caller does not
 * say gets Keyward's default, what he says may only agree. Mechanisms and their parameters are checked here as well.
 */
#ifndef KW_POLICY_H
#define KW_POLICY_H

#include "key.h"

/* The ways to make a data key. */
enum kw_making { KW_MAKING_GENERATE, KW_MAKING_CREATE, KW_MAKING_UNWRAP, KW_MAKINGS };

/* A judged request for a data key; `value` is owned (kw_dek_request_clear). */
struct kw_dek_request {
    struct kw_dek_spec spec; /* len 0: not said */
    struct kw_secret *value; /* CKA_VALUE, for KW_MAKING_CREATE */
};

/* Judges a caller's template. `type` is the key type that the mechanism makes (KW_MAKING_GENERATE), else CK_UNAVAILABLE_INFORMATION; `sealed`:
 * the slot never reveals. CKR_ARGUMENTS_BAD, CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID, CKR_ATTRIBUTE_READ_ONLY,
 * CKR_TEMPLATE_INCONSISTENT, CKR_TEMPLATE_INCOMPLETE, CKR_KEY_SIZE_RANGE. On error nothing is to be cleared. */
struct kw_making_of {
    enum kw_making making;
    CK_KEY_TYPE type;
    bool sealed;
};
KW_MUST_USE struct kw_rv kw_policy_data_key(const struct kw_making_of *of, const CK_ATTRIBUTE *template, CK_ULONG count,
                                            struct kw_dek_request *out);
void kw_dek_request_clear(struct kw_dek_request *r);

/* A change of CKA_LABEL or CKA_ID by C_SetAttributeValue, written to *spec. CKR_ATTRIBUTE_READ_ONLY for any other attribute that a
 * secret key has, CKR_ATTRIBUTE_TYPE_INVALID for one that it has not. On error *spec is as it was. */
KW_MUST_USE struct kw_rv kw_policy_change(const CK_ATTRIBUTE *template, CK_ULONG count, struct kw_dek_spec *spec);

/* The mechanisms of a slot (PKCS#11 3.2 section 6.13, 6.11). */
struct kw_mechanism_row {
    CK_MECHANISM_TYPE type;
    CK_FLAGS flags;         /* CKF_WRAP | CKF_UNWRAP or CKF_GENERATE */
    CK_ULONG min;
    CK_ULONG max;
    enum kw_format format;  /* with CKF_WRAP */
    CK_KEY_TYPE key_type;   /* with CKF_GENERATE */
};

/* All mechanisms that there are; *count is set. Static. */
const struct kw_mechanism_row *kw_policy_mechanisms(size_t *count);

/* The row for a caller's mechanism that has `flag`; its parameter must be NULL and empty. The mechanism is read once. CKR_ARGUMENTS_BAD
 * (NULL), CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID. */
KW_MUST_USE struct kw_rv kw_policy_mechanism(const CK_MECHANISM *mechanism, CK_FLAGS flag, const struct kw_mechanism_row **out);

/* Whether a CMK of cmk_bits is strong enough for the data key (ATTACKS A23). CKR_WRAPPING_KEY_SIZE_RANGE. */
KW_MUST_USE struct kw_rv kw_policy_strength(unsigned cmk_bits, const struct kw_dek_spec *dek);

/* A length that a data key of this type can have. */
bool kw_policy_length(CK_KEY_TYPE type, size_t len);

#endif
