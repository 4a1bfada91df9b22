/*
 * envelope.h: the bytes of an envelope, CKM_KEYWARD_ENVELOPE: read, written, sealed, opened. Pure but for OpenSSL's AES-256-GCM: no
 * token, no state, no locks. docs/envelope.md has the format to the byte and vectors. (DESIGN section 6.)
 *
 * An envelope holds a data key encrypted by a content key, and the content key wrapped by a version of the CMK (content.h does that). A kw_envelope
 * borrows its bytes: from what was parsed, or from what it is to be written from.
 */
#ifndef KW_ENVELOPE_H
#define KW_ENVELOPE_H

#include "cipher.h"
#include "key.h"

enum {
    KW_ENVELOPE_HEADER = 36,                /* all that stands before the wrapped content key */
    KW_ENVELOPE_KEY = KW_GCM_KEY_SIZE,      /* the content key */
    KW_ENVELOPE_ORIGIN = 32,                /* RSA: the origin tag */
    KW_ENVELOPE_AES_WRAPPED = 40,           /* AES: the content key by RFC 3394 */
    KW_ENVELOPE_SEALED_MAX = KW_DEK_LENGTH_MAX + KW_GCM_TAG_SIZE,
    KW_ENVELOPE_MAX = KW_ENVELOPE_HEADER + KW_RSA_MAX + KW_ENVELOPE_ORIGIN + KW_ENVELOPE_SEALED_MAX,
    KW_ENVELOPE_CONTEXT_MAX = 65536,
    KW_ENVELOPE_ORIGIN_TEXT_MAX = 5 + KW_LINEAGE_SIZE + 4 + KW_RSA_MAX
};
_Static_assert((int)KW_ENVELOPE_MAX <= (int)KW_BLOB_MAX, "an envelope is a wrapped key");

/* How the content key is wrapped; the numbers stand in the envelope. */
enum kw_envelope_how { KW_ENVELOPE_AES_KW = 1, KW_ENVELOPE_OAEP_SHA256 = 2, KW_ENVELOPE_OAEP_SHA1 = 3 };

struct kw_envelope {
    enum kw_envelope_how how;
    CK_KEY_TYPE type; /* of the data key: CKK_AES or CKK_GENERIC_SECRET */
    uint8_t lineage[KW_LINEAGE_SIZE];
    uint32_t version; /* of the CMK, at least 1 */
    uint8_t nonce[KW_GCM_NONCE_SIZE];
    const uint8_t *wrapped; /* the content key */
    size_t wrapped_len;
    const uint8_t *origin; /* KW_ENVELOPE_ORIGIN bytes; NULL for AES */
    const uint8_t *sealed; /* the data key, encrypted, and the tag */
    size_t sealed_len;
};

/* Where a data key belongs: the slot's tenant and geo (NULL is as good as ""), and what the broker says. All borrowed. */
struct kw_envelope_place {
    const char *tenant;
    const char *geo;
    const uint8_t *context;
    size_t context_len; /* at most KW_ENVELOPE_CONTEXT_MAX */
};

/* Reads an envelope, every length checked; *out borrows from `bytes`. NULL, or why it is none: a static sentence, for the log only. */
KW_MUST_USE const char *kw_envelope_parse(const uint8_t *bytes, size_t len, struct kw_envelope *out);

/* Writes it to out[KW_ENVELOPE_MAX]; gives its length. The reverse of kw_envelope_parse; `out` is none of the borrowed bytes. */
size_t kw_envelope_write(const struct kw_envelope *e, uint8_t *out);

/* The length of an envelope for a data key of len bytes, when the wrapped content key has wrapped_len. */
size_t kw_envelope_len(enum kw_envelope_how how, size_t wrapped_len, size_t len);

/* The length of the data key inside. */
static inline size_t kw_envelope_key_len(const struct kw_envelope *e)
{
    return e->sealed_len - KW_GCM_TAG_SIZE;
}

/* Encrypts the data key by the content key, bound to type, lineage and place: sealed[kw_secret_len(data) + KW_GCM_TAG_SIZE]. Uses e->type,
 * lineage and nonce. CKR_HOST_MEMORY, CKR_MECHANISM_PARAM_INVALID (context too long), CKR_GENERAL_ERROR (tenant or geo too long). */
KW_MUST_USE struct kw_rv kw_envelope_seal(const struct kw_envelope *e, const struct kw_envelope_place *place,
                                          const struct kw_secret *key, const struct kw_secret *data, uint8_t *sealed);

/* The reverse. *out is the caller's. CKR_WRAPPED_KEY_INVALID when it is not for this place, or was changed; else as kw_envelope_seal. */
KW_MUST_USE struct kw_rv kw_envelope_open(const struct kw_envelope *e, const struct kw_envelope_place *place,
                                          const struct kw_secret *key, struct kw_secret **out);

/* What the origin tag is made of, into out[KW_ENVELOPE_ORIGIN_TEXT_MAX]; gives its length. Uses how, lineage, version, wrapped. */
size_t kw_envelope_origin_text(const struct kw_envelope *e, uint8_t *out);

#endif
