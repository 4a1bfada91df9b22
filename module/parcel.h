/*
 * parcel.h: a key on its way from one place to another: what is shared by the replica ceremony (custody.h) and by the
 * customer's own key (transfer.h).
 *
 * A parcel is CKM_RSA_AES_KEY_WRAP (PKCS#11 3.2 section 6.1): an AES key under OAEP with SHA-1 (the one hash that every token of
 * HSM-FACTS does, and no weakness inside OAEP), as long as the modulus of who receives it, and then the key itself under that AES key by RFC 5649. It is made and opened inside tokens: by that
 * mechanism where a token has it, else in two steps. Session keys only, which die with the process. Used by the keyward
 * command only, under a lease of a logged-in member. No state of its own, no locks.
 */
#ifndef KW_PARCEL_H
#define KW_PARCEL_H

#include "rsa.h"
#include "template.h"
#include "unwrap.h"

enum {
    KW_PARCEL_AES_MAX = 40,      /* RFC 5649 of 32 bytes */
    KW_PARCEL_TARGET_MAX = 2560, /* RFC 5649 of the PKCS#8 of RSA-4096, which has some 2380 bytes */
    KW_PARCEL_MAX = KW_RSA_MAX + KW_PARCEL_TARGET_MAX
};

/* What a key must be: stated when it is made and looked for when it is used. */
struct kw_parcel_flag {
    CK_ATTRIBUTE_TYPE type;
    CK_BBOOL want;
};

void kw_parcel_state(struct kw_template *t, const struct kw_parcel_flag *flags, size_t count);
/* Whether the key is so; false as well when the token does not show all of them. count: at most KW_TEMPLATE_MAX. */
KW_MUST_USE struct kw_rv kw_parcel_holds(struct kw_lease *lease, CK_OBJECT_HANDLE key, const struct kw_parcel_flag *flags,
                                         size_t count, bool *holds);

/* The template of a session key: a private RSA key that only unwraps. `extractable`: it may be wrapped. */
void kw_parcel_rsa(struct kw_template *t, bool extractable);

/* Whether the halves belong together: the private one opens what was wrapped to the numbers. */
KW_MUST_USE struct kw_rv kw_parcel_prove(struct kw_lease *lease, CK_OBJECT_HANDLE private_key,
                                         const struct kw_rsa_public *numbers, bool *same);

/* Wraps a secret key to the numbers by OAEP alone: modulus_len bytes. */
KW_MUST_USE struct kw_rv kw_parcel_wrap(struct kw_lease *lease, const struct kw_rsa_public *to, CK_OBJECT_HANDLE key,
                                        CK_BYTE *out);

/* Makes the parcel of an extractable private key; out has KW_PARCEL_MAX bytes. CKR_MECHANISM_INVALID when the token does
 * not do RFC 5649; or its failure. */
KW_MUST_USE struct kw_rv kw_parcel_make(struct kw_lease *lease, const struct kw_rsa_public *to, CK_OBJECT_HANDLE key,
                                        CK_BYTE *out, size_t *len);

/* C_UnwrapKey with this template. */
KW_MUST_USE struct kw_rv kw_parcel_unwrap(struct kw_lease *lease, const struct kw_wrapped *w, struct kw_template *t,
                                          CK_OBJECT_HANDLE *out);

/* What is done with the key in a parcel, once there is something that opens it. */
typedef struct kw_rv kw_parcel_deed(struct kw_lease *lease, const struct kw_wrapped *w, void *arg);

/* Opens a parcel (w->mechanism is not looked at) whose first layer has modulus_len bytes and does the deed, perhaps twice,
 * the second time because the first did not succeed. CKR_WRAPPED_KEY_INVALID when it does not open, for whatever reason;
 * CKR_MECHANISM_INVALID; the deed's error; or the token's failure. */
struct kw_parcel_opening {
    struct kw_wrapped parcel; /* with the private key */
    size_t modulus_len;
    kw_parcel_deed *deed;
    void *arg;
};
KW_MUST_USE struct kw_rv kw_parcel_open(struct kw_lease *lease, const struct kw_parcel_opening *o);

/* An answer about a key or a file: the token is well. */
KW_MUST_USE struct kw_rv kw_parcel_answer(struct kw_lease *lease, struct kw_rv r);
/* Whether the lease's failure is about the wrapped bytes or the key in them, and the token is well (HSM-FACTS rule 7). */
bool kw_parcel_is_about_key(struct kw_lease *lease);
/* Whether another template may succeed after this answer. */
bool kw_parcel_is_about_template(CK_RV rv);
/* Destroys what is not CK_INVALID_HANDLE; what the token says to it is not looked at. */
void kw_parcel_destroy(struct kw_lease *lease, CK_OBJECT_HANDLE key);

#endif
