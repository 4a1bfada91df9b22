/*
 * key.h: the words for keys that the face, the engine and the rooms below share. Plain values, no vendor handles, no caller's
 * handles, nothing owned except where said. (DESIGN sections 4, 5 and 9.)
 */
#ifndef KW_KEY_H
#define KW_KEY_H

#include <stdint.h>

#include "secret.h"

enum {
    KW_LINEAGE_SIZE = 12,
    KW_CMK_ID_SIZE = 16,       /* of CKA_ID, what the broker sees */
    KW_FINGERPRINT_SIZE = 8,
    KW_DEK_NAME_SIZE = 8,
    KW_DEK_TEXT_MAX = 128,     /* CKA_LABEL and CKA_ID of a data key, bytes each */
    KW_DEK_LENGTH_MAX = 512,   /* bytes of a generic secret */
    KW_RSA_MAX = 512,          /* bytes of a modulus: RSA-4096 */
    KW_RSA_EXPONENT_MAX = 8,   /* of a public exponent */
    KW_BLOB_MAX = 1152         /* the longest wrapped key: an envelope or CKM_RSA_AES_KEY_WRAP of 512 bytes under RSA-4096 */
};

enum kw_state { KW_STATE_ACTIVE, KW_STATE_RETIRED, KW_STATE_DISABLED, KW_STATE_PENDING, KW_STATE_OUT_OF_SERVICE };
enum kw_origin { KW_ORIGIN_UNKNOWN, KW_ORIGIN_GENERATED, KW_ORIGIN_REPLICATED, KW_ORIGIN_IMPORTED };

/* The numbers of an RSA key; big endian, no leading zeros. */
struct kw_rsa_public {
    uint8_t modulus[KW_RSA_MAX];
    size_t modulus_len; /* 256, 384 or 512 */
    uint8_t exponent[KW_RSA_EXPONENT_MAX];
    size_t exponent_len;
};

/* One version of a CMK as a token shows it. */
struct kw_version {
    uint8_t lineage[KW_LINEAGE_SIZE];
    uint32_t version;
    enum kw_state state;
    enum kw_origin origin;
    uint32_t created; /* days since 1970; 0 unknown */
    uint32_t purge;   /* days since 1970; 0 none */
    CK_KEY_TYPE type; /* CKK_AES or CKK_RSA */
    unsigned bits;
    struct kw_rsa_public rsa; /* CKK_RSA */
    bool has_public;          /* CKK_RSA: the public half is in the token */
    uint8_t id[KW_CMK_ID_SIZE];
    size_t id_len;
    uint8_t fingerprint[KW_FINGERPRINT_SIZE];
    bool has_fingerprint;
    const char *problem; /* why it is out of service, static; else NULL */
};

/* What is asked of a data key, and what one is. */
struct kw_dek_spec {
    CK_KEY_TYPE type;  /* CKK_AES or CKK_GENERIC_SECRET */
    size_t len;        /* bytes; 0 in an unwrap request: as it comes */
    bool token;        /* CKA_TOKEN */
    bool sensitive;    /* CKA_SENSITIVE */
    bool extractable;  /* CKA_EXTRACTABLE */
    bool nameless;     /* a session object for one lease, which holds it: it gets no label and no id, and no search finds it */
    uint8_t label[KW_DEK_TEXT_MAX];
    size_t label_len;
    uint8_t id[KW_DEK_TEXT_MAX];
    size_t id_len;
};

/* A data key. Memory home: `value` holds it. Token home: value is NULL and `name` finds it in the backing token. */
struct kw_dek {
    struct kw_dek_spec spec;
    bool local; /* CKA_LOCAL: generated here */
    struct kw_secret *value;
    uint8_t name[KW_DEK_NAME_SIZE];
};

/* The bytes of a wrapped key: RFC 3394 (CKM_AES_KEY_WRAP), RFC 5649 (CKM_AES_KEY_WRAP_KWP and CKM_AES_KEY_WRAP_PAD), RFC 8017 section 7.1
 * (CKM_RSA_PKCS_OAEP, no label), both of the last two (CKM_RSA_AES_KEY_WRAP), or ours (CKM_KEYWARD_ENVELOPE). */
enum kw_format { KW_FORMAT_KW, KW_FORMAT_KWP, KW_FORMAT_OAEP, KW_FORMAT_RSA_AES, KW_FORMAT_ENVELOPE };

/* A format and what goes with it. */
struct kw_scheme {
    enum kw_format format;
    CK_MECHANISM_TYPE hash; /* OAEP, RSA_AES: CKM_SHA_1, CKM_SHA256, CKM_SHA384 or CKM_SHA512; MGF1 has the same */
    unsigned aes_bits;      /* RSA_AES: 128, 192 or 256 */
    const uint8_t *context; /* ENVELOPE: what the data key is bound to; borrowed */
    size_t context_len;
};

/* A data key to be wrapped, and a wrapped one to be opened. */
struct kw_wrapping {
    uint32_t version; /* of the CMK */
    struct kw_scheme scheme;
    const struct kw_dek *dek;
    const struct kw_version *meant; /* the version as the caller knows it: another key in its place is not used; NULL: whatever is there */
    const uint8_t *lineage; /* what an envelope says: a version of another one is not used, nor one that had another name before; NULL: any */
};

struct kw_unwrapping {
    uint32_t version;
    const struct kw_version *meant; /* as above */
    bool older_too; /* the other versions of the lineage are tried as well, newest first */
    struct kw_scheme scheme;
    const uint8_t *blob;
    size_t len;    /* at most KW_BLOB_MAX */
    size_t exact;  /* the data key is known to have this length; 0: it is not known */
    bool stand_in; /* a version that is not there is answered like a bad blob, after the same calls: another one fails in its place */
};

/* Whether a data key of this kind lives in module memory: a session key that its template makes readable. */
static inline bool kw_dek_in_memory(const struct kw_dek_spec *spec)
{
    return !spec->token && !spec->sensitive && spec->extractable;
}

static inline const char *kw_state_name(enum kw_state state)
{
    static const char *const names[] = {"active", "retired", "disabled", "pending deletion", "out of service"};
    return names[state];
}

#endif
