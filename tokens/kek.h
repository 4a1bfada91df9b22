/*
 * kek.h: the public half of a slot's transport key outside the token: what a customer gets and
 * wraps to.
 *
 * A kek owns an OpenSSL key. Its id is the hex of the first 16 bytes of SHA-256 of its
 * SubjectPublicKeyInfo; the kid in the header of a .byok file is "keyward:SLOT/" and the id, or
 * "keyward:" and the id where the slot is not known. Nothing here is secret but what kek_wrap is
 * given.
 */
#ifndef KW_KEK_H
#define KW_KEK_H

#include <openssl/evp.h>

#include "secret.h"
#include "transfer.h"

enum { KEK_ID_SIZE = 33 /* with its NUL */ };

struct kek {
    EVP_PKEY *key;
    unsigned bits;
    char id[KEK_ID_SIZE];
};

/* From the numbers that the token shows; from PEM ("BEGIN PUBLIC KEY"): RSA of 2048, 3072 or 4096
 * bits. *out is the caller's (clear). */
KW_MUST_USE struct kw_rv kek_from_token(const struct kw_transfer_key *k, struct kek *out);
KW_MUST_USE struct kw_rv kek_from_pem(const void *text, size_t len, struct kek *out);
void kek_clear(struct kek *k);

/* As PEM, with a NUL at its end; *out is the caller's (free). */
KW_MUST_USE struct kw_rv kek_pem(const struct kek *k, char **out);

/* CKM_RSA_AES_KEY_WRAP of `target`: a new AES-256 key under OAEP with SHA-1, then the target under
 * it by RFC 5649. *out is the caller's (free). */
KW_MUST_USE struct kw_rv kek_wrap(const struct kek *k, const struct kw_secret *target,
                                  uint8_t **out, size_t *len);

#endif
