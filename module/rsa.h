/*
 * rsa.h: RSA keys as numbers, and what is done with a public one without a token. (RFC 8017; PKCS#11 3.2 section 6.1.)
 *
 * Reading runs under a lease; encryption is OpenSSL's, in the library context of digest.h. No state of its own, no locks. Only public
 * numbers are handled here.
 */
#ifndef KW_RSA_H
#define KW_RSA_H

#include <stdint.h>

#include "backing.h"
#include "key.h"

/* A name for the modulus: the first KW_RSA_NAME_SIZE bytes of its SHA-256. */
enum { KW_RSA_NAME_SIZE = 24 };
KW_MUST_USE struct kw_rv kw_rsa_name(const struct kw_rsa_public *k, uint8_t out[KW_RSA_NAME_SIZE]);

/* Whether a key of this size serves as a CMK: 2048, 3072 or 4096 bits. */
bool kw_rsa_size(size_t modulus_len);

/* OAEP with this hash, MGF1 with the same and no label; the mechanism borrows *params. */
CK_MECHANISM kw_rsa_oaep(CK_MECHANISM_TYPE hash, CK_RSA_PKCS_OAEP_PARAMS *params);

/* The numbers of a key object, private or public. A private one that does not show its exponent has 65537, which Keyward always asks for.
 * CKR_KEY_SIZE_RANGE with lease->failure CKR_OK: not a size of ours. On error *out is all zero. */
KW_MUST_USE struct kw_rv kw_rsa_read(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_rsa_public *out);

/* OAEP encryption by OpenSSL; out has modulus_len bytes. CKR_GENERAL_ERROR. */
KW_MUST_USE struct kw_rv kw_rsa_encrypt(const struct kw_rsa_public *k, CK_MECHANISM_TYPE hash, const void *in, size_t len, uint8_t *out);

#endif
