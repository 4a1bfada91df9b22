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
    CK_ULONG max;           /* both of the CMK, as CK_MECHANISM_INFO has them: bytes for AES, bits for RSA */
    enum kw_format format;  /* with CKF_WRAP */
    CK_KEY_TYPE key_type;   /* with CKF_GENERATE */
};

/* All mechanisms that there are; *count is set. Static. */
const struct kw_mechanism_row *kw_policy_mechanisms(size_t *count);

/* What a caller's mechanism asks for: its row, and with CKF_WRAP the scheme. */
struct kw_mechanism_use {
    const struct kw_mechanism_row *row;
    struct kw_scheme scheme;
};

/* Judges a caller's mechanism that must have `flag`, and its parameter: CK_RSA_PKCS_OAEP_PARAMS with a known hash, MGF1 of the same hash and no
 * label; CK_RSA_AES_KEY_WRAP_PARAMS with 128, 192 or 256 bits and such a one; NULL and empty or CK_KEYWARD_ENVELOPE_PARAMS, whose
 * context stays the caller's memory; else NULL and empty. Everything but the context is read once. CKR_ARGUMENTS_BAD
 * (NULL), CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID. */
KW_MUST_USE struct kw_rv kw_policy_mechanism(const CK_MECHANISM *mechanism, CK_FLAGS flag, struct kw_mechanism_use *out);

/* The same for the functions of PKCS#11 3.2 that take associated data: CKM_KEYWARD_ENVELOPE without a parameter, the associated data is its context
 * (still the caller's memory). CKR_ARGUMENTS_BAD, CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID (also: longer than 64 KiB). */
KW_MUST_USE struct kw_rv kw_policy_authenticated(const CK_MECHANISM *mechanism, const void *associated, CK_ULONG len,
                                                 struct kw_mechanism_use *out);

/* Whether a slot that allows these KW_MECHANISMS_* offers the mechanism. */
bool kw_policy_allows(const struct kw_mechanism_row *row, unsigned allowed);

/* Whether an AES CMK is as strong as the data key (ATTACKS A23): CKR_WRAPPING_KEY_SIZE_RANGE. An RSA CMK has 2048 bits or more, which the
 * standards take for 112 bits and more; who wants more takes 3072 (docs/security.md). */
KW_MUST_USE struct kw_rv kw_policy_strength(const struct kw_version *cmk, const struct kw_dek_spec *dek);

/* A length that a data key of this type can have. */
bool kw_policy_length(CK_KEY_TYPE type, size_t len);

#endif
