/*
 * cipher.h: the arithmetic that an attacker does outside the token.
 *
 * RFC 3394 section 2.2 over any block cipher that he can call, be it OpenSSL with a key that he
 * knows or a token with one that he does not; RSA with a public key. Nothing is owned or kept.
 */
#ifndef ATTACK_CIPHER_H
#define ATTACK_CIPHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CIPHER_RSA_BYTES = 256 };

/* One AES block forward (or, where a function says so, backward). False when the cipher cannot be had. */
typedef bool cipher_block(void *data, const uint8_t in[16], uint8_t out[16]);
struct cipher_mill {
    cipher_block *block;
    void *data; /* of block */
};

/* The initial values of RFC 3394 section 2.2.3.1 and RFC 5649 section 3 (with the length of the key data). */
void cipher_kw_iv(uint8_t iv[8]);
void cipher_kwp_iv(uint8_t iv[8], uint32_t len);

/* W of RFC 3394: len (a multiple of 8, at least 16) bytes and iv to len + 8 bytes; `mill` goes forward. */
bool cipher_seal(const struct cipher_mill *mill, const uint8_t iv[8], const uint8_t *plain, size_t len,
                 uint8_t *out);

/* The inverse: len (with the 8 bytes) to len - 8 bytes and iv; `mill` goes backward. */
bool cipher_open(const struct cipher_mill *mill, const uint8_t *blob, size_t len, uint8_t iv[8],
                 uint8_t *out);

/* An AES key that is known: the data of cipher_known_forward and cipher_known_backward. */
struct cipher_key {
    const uint8_t *value;
    size_t len; /* 16, 24, 32 */
};
cipher_block cipher_known_forward, cipher_known_backward;

/* cipher_seal and cipher_open with a known key and the RFC 3394 value, which opening checks. */
bool cipher_kw_wrap(const struct cipher_key *key, const uint8_t *plain, size_t len, uint8_t *out);
bool cipher_kw_unwrap(const struct cipher_key *key, const uint8_t *blob, size_t len, uint8_t *out);

bool cipher_sha256(const uint8_t *bytes, size_t len, uint8_t out[32]);

/* RSA encryption to modulus n with exponent 65537: OAEP (SHA-1), PKCS#1 v1.5 or, with len
 * CIPHER_RSA_BYTES, none at all. */
enum cipher_padding { CIPHER_OAEP, CIPHER_PKCS1, CIPHER_RAW };
bool cipher_rsa(const uint8_t n[CIPHER_RSA_BYTES], enum cipher_padding padding, const uint8_t *in, size_t len,
                uint8_t out[CIPHER_RSA_BYTES]);

void cipher_random(uint8_t *out, size_t len);

#endif
