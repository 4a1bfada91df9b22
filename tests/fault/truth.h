/*
 * truth.h: what a wrapped key of the steps must be, by OpenSSL with the master key itself: AES of FIXTURE_CMK_KNOWN, or an RSA-2048 pair that is made
 * here and planted into the token with its origin key, as `keyward create` would leave them. (RFC 3394, RFC 5649, RFC 8017; PKCS#11 3.2
 * section 6.1; docs/envelope.md.)
 *
 * One master key for the program, no locks. A stranger, a second pair with another label, lies in the token for the lies of faulty.so.
 */
#ifndef FAULT_TRUTH_H
#define FAULT_TRUTH_H

#include "fixture.h"

enum truth_format { TRUTH_KW, TRUTH_KWP, TRUTH_OAEP, TRUTH_RSA_AES, TRUTH_ENVELOPE };

enum { TRUTH_VALUE = 32, TRUTH_MODULUS = 256, TRUTH_BLOB_MAX = 512 };

/* Makes the master key; false with a line on stderr. Before the fixture. */
bool truth_start(bool rsa);

/* RSA: plants pairs and origin key into the token under this label. */
bool truth_plant(struct fixture *f, const char *token, const char *label);

/* Whether the blob is `want`[TRUTH_VALUE] under the master key; NULL: whether it opens (TRUTH_KW and TRUTH_OAEP). An envelope is one without tenant, geo
 * and context, and its origin tag is right. */
bool truth_is(enum truth_format format, const uint8_t *blob, size_t len, const uint8_t *want);

/* The blob of value[TRUTH_VALUE]; its length, 0 when OpenSSL fails. No TRUTH_ENVELOPE. */
size_t truth_make(enum truth_format format, const uint8_t *value, uint8_t out[TRUTH_BLOB_MAX]);

#endif
