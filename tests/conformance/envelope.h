/*
 * envelope.h: AES key wrap by OpenSSL, the other implementation that blobs are compared with. (RFC 3394, RFC 5649.)
 * Nothing is owned. Aborts with a line when OpenSSL fails: the test can go no further.
 */
#ifndef KW_TEST_ENVELOPE_H
#define KW_TEST_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Wraps in[len] under kek[kek_len] (16, 24, 32) by RFC 5649 when `padded`, else by RFC 3394; the number of bytes at out. */
size_t envelope_wrap(const uint8_t *kek, size_t kek_len, bool padded, const uint8_t *in, size_t len,
                     uint8_t *out);

/* Whether the RFC 3394 blob[len] opens under kek[kek_len]; its len - 8 bytes at out, which has room for len. */
bool envelope_open(const uint8_t *kek, size_t kek_len, const uint8_t *blob, size_t len, uint8_t *out);

/* The bytes of a hexadecimal string of even length; their number. */
size_t envelope_from_hex(const char *hex, uint8_t *out);

#endif
