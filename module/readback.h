/*
 * readback.h: the attributes of an object that may be a CMK or half of one, read all at once, and what is thought of them. (DESIGN section 4.)
 *
 * Reading runs under a lease; judging is pure. Nothing is owned, no locks.
 */
#ifndef KW_READBACK_H
#define KW_READBACK_H

#include "rsa.h"

enum {
    KW_CMK_FULL_ID = 48, /* bytes of CKA_ID of an AES version: the canary is its end */
    KW_CMK_RSA_ID = 24   /* of an RSA version */
};

struct kw_readback {
    CK_OBJECT_CLASS class;
    CK_BBOOL token, private, sensitive, extractable, encrypt, decrypt, sign, verify, derive, wrap, unwrap;
    CK_ULONG type;            /* CKA_KEY_TYPE */
    CK_ULONG len;             /* CKA_VALUE_LEN in bytes; CKK_RSA: 0 */
    struct kw_rsa_public rsa; /* CKK_RSA */
    uint8_t id[KW_CMK_FULL_ID + 16];
    size_t id_len;
    bool complete; /* the token gave every one */
};

/* Reads what the object's class has: of a private key not WRAP, VERIFY and ENCRYPT, of a public one not SENSITIVE, EXTRACTABLE, DECRYPT, SIGN and
 * UNWRAP, which stay 0. An object of another class has that and nothing else. Errors: the token's. */
KW_MUST_USE struct kw_rv kw_readback_read(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_readback *out);

/* Whether the CKA_ID has the form that Keyward gives (of an AES or of an RSA version). */
bool kw_readback_is_ours(const struct kw_readback *a);

/* Why a secret or private key with these attributes may not serve as a CMK, a static sentence; NULL when it may. (ATTACKS A01, A07.) */
const char *kw_readback_judge(const struct kw_readback *a);

#endif
