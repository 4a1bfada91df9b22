#include <stdio.h>
#include <keyward.h>
#include <string.h>

#include "cipher.h"
#include "scene.h"

enum { CONJURED = 2000, MECHANISMS_TO = 0x4100 };

static const CK_MECHANISM_TYPE listed[] = {CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_PAD, CKM_AES_KEY_WRAP_KWP};
static const CK_MECHANISM_TYPE never[] = {CKM_AES_CBC,   CKM_AES_CBC_PAD,   CKM_AES_ECB,
                                          CKM_AES_CTR,   CKM_AES_GCM,       CKM_RSA_PKCS,
                                          CKM_RSA_X_509};
enum { LISTED = sizeof listed / sizeof listed[0], NEVER = sizeof never / sizeof never[0] };

static bool is_listed(CK_MECHANISM_TYPE type)
{
    return type == listed[0] || type == listed[1] || type == listed[2];
}

/* For RSA master keys, with a parameter of their own. */
static bool is_for_rsa(CK_MECHANISM_TYPE type)
{
    return type == CKM_RSA_PKCS_OAEP || type == CKM_RSA_AES_KEY_WRAP;
}

/* C_WrapKey and C_UnwrapKey of a readable AES key with any mechanism and parameter. */
static CK_RV wrap_by(struct scene *s, CK_MECHANISM *m, const CK_OBJECT_HANDLE keys[2], struct blob *out)
{
    out->len = sizeof out->bytes;
    return s->p11->C_WrapKey(s->places[ALPHA].session, m, keys[0], keys[1], out->bytes, &out->len);
}

static CK_RV unwrap_by(struct scene *s, CK_MECHANISM *m, CK_OBJECT_HANDLE with, struct blob *blob)
{
    struct sheet t = {0};
    CK_OBJECT_HANDLE key = 0;
    sheet_data_key(&t, CKK_AES, false);
    CK_RV rv = s->p11->C_UnwrapKey(s->places[ALPHA].session, m, with, blob->bytes, blob->len, t.items,
                                   t.count, &key);
    if (rv == CKR_OK) {
        scene_destroy(s, ALPHA, key);
    }
    return rv;
}

/* Every bit of one blob, one at a time. True when a changed blob is accepted. */
static bool accepts_a_flip(struct scene *s, CK_MECHANISM *m)
{
    struct blob blob;
    CK_OBJECT_HANDLE keys[2] = {s->places[ALPHA].master, scene_data_key(s, ALPHA, true)};
    CK_RV rv = wrap_by(s, m, keys, &blob);
    if (rv != CKR_OK) {
        scene_expect(s, rv, CKR_MECHANISM_INVALID, "C_WrapKey by a mechanism that protects nothing");
        return false;
    }
    for (size_t bit = 0; bit < blob.len * 8; bit += fixture_every()) {
        blob.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        rv = unwrap_by(s, m, keys[0], &blob);
        blob.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        if (rv == CKR_OK) {
            scene_note(s, "mechanism 0x%lx: a blob with bit %zu changed was accepted", m->mechanism, bit);
            return true;
        }
        if (is_listed(m->mechanism)) {
            scene_expect(s, rv, CKR_WRAPPED_KEY_INVALID, "C_UnwrapKey of a changed blob");
        }
    }
    return false;
}

enum verdict attack_malleable(struct scene *s)
{
    uint8_t iv[16] = {0};
    struct blob blob;
    scene_enter(s, ALPHA);
    scene_wrapped_dek(s, ALPHA, &blob);
    for (size_t i = 0; i < LISTED; i++) {
        if (accepts_a_flip(s, &(CK_MECHANISM){listed[i], NULL, 0})) {
            return SUCCEEDS;
        }
    }
    for (size_t i = 0; i < NEVER; i++) {
        if (accepts_a_flip(s, &(CK_MECHANISM){never[i], NULL, 0}) ||
            accepts_a_flip(s, &(CK_MECHANISM){never[i], iv, sizeof iv})) {
            return SUCCEEDS;
        }
    }
    return REFUSED;
}

static bool conjures(struct scene *s, CK_MECHANISM *m)
{
    static const CK_ULONG lengths[] = {24, 32, 40, 48, 256};
    struct blob blob;
    unsigned accepted = 0;
    for (unsigned i = 0; i < CONJURED; i += fixture_every()) {
        blob.len = lengths[i % 5];
        cipher_random(blob.bytes, blob.len);
        accepted += unwrap_by(s, m, s->places[ALPHA].master, &blob) == CKR_OK;
    }
    if (accepted > 0) {
        scene_note(s, "mechanism 0x%lx: %u of %u random blobs were accepted", m->mechanism, accepted,
                   CONJURED);
    }
    return accepted > 0;
}

enum verdict attack_conjure(struct scene *s)
{
    uint8_t iv[16] = {0};
    struct blob blob;
    scene_enter(s, ALPHA);
    scene_wrapped_dek(s, ALPHA, &blob);
    for (size_t i = 0; i < LISTED; i++) {
        if (conjures(s, &(CK_MECHANISM){listed[i], NULL, 0})) {
            return SUCCEEDS;
        }
    }
    for (size_t i = 0; i < NEVER; i++) {
        if (conjures(s, &(CK_MECHANISM){never[i], never[i] == CKM_AES_ECB ? NULL : iv,
                                        never[i] == CKM_AES_ECB ? 0 : sizeof iv})) {
            return SUCCEEDS;
        }
    }
    return REFUSED;
}

/* A generic secret of len bytes, wrapped and unwrapped: refused, or exactly what it was. True when
 * it comes back as something else. */
static bool comes_back_changed(struct scene *s, CK_MECHANISM_TYPE mechanism, size_t len)
{
    uint8_t value[64];
    struct blob blob;
    struct sheet t = {0};
    CK_OBJECT_HANDLE back = 0;
    CK_OBJECT_HANDLE keys[2] = {s->places[ALPHA].master, 0};
    cipher_random(value, sizeof value);
    sheet_data_key(&t, CKK_GENERIC_SECRET, false);
    sheet_bytes(&t, CKA_VALUE, value, len);
    if (scene_create(s, ALPHA, &t, &keys[1]) != CKR_OK) {
        return false;
    }
    CK_RV rv = scene_wrap(s, ALPHA, mechanism, keys, &blob);
    scene_destroy(s, ALPHA, keys[1]);
    if (rv != CKR_OK) {
        return false;
    }
    sheet_data_key(&t, CKK_GENERIC_SECRET, false);
    rv = scene_unwrap(s, ALPHA, &(struct scene_opening){mechanism, keys[0], &blob}, &t, &back);
    bool changed = rv == CKR_OK && !scene_reads(s, ALPHA, back, value, len);
    if (rv == CKR_OK) {
        scene_destroy(s, ALPHA, back);
    } else { /* acknowledged and lost */
        scene_expect(s, rv, CKR_OK, "a blob that was handed out does not open again");
    }
    if (changed) {
        scene_note(s, "mechanism 0x%lx: a secret of %zu bytes came back as another one", mechanism, len);
    }
    return changed;
}

enum verdict attack_length(struct scene *s)
{
    unsigned changed = 0;
    scene_enter(s, ALPHA);
    for (size_t i = 0; i < LISTED; i++) {
        for (size_t len = 1; len <= 64; len++) {
            changed += comes_back_changed(s, listed[i], len);
        }
    }
    return changed > 0 ? SUCCEEDS : REFUSED;
}

/* A blob of an AES-256 key taken for another type or another length. (AES-KW carries no type:
 * AES-256 and a generic secret of 32 bytes are one blob, and neither has a usage in Keyward.) */
enum verdict attack_type(struct scene *s)
{
    static const CK_KEY_TYPE others[] = {CKK_DES, CKK_DES2, CKK_DES3, CKK_RSA, CKK_SHA256_HMAC, 0x80000001UL};
    struct blob blob;
    CK_OBJECT_HANDLE key = 0;
    scene_enter(s, ALPHA);
    scene_wrapped_dek(s, ALPHA, &blob);
    const struct scene_opening o = {CKM_AES_KEY_WRAP, s->places[ALPHA].master, &blob};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct sheet t = {0};
        sheet_data_key(&t, others[i], false);
        if (scene_unwrap(s, ALPHA, &o, &t, &key) == CKR_OK) {
            scene_note(s, "an AES-256 key came back as key type 0x%lx", others[i]);
            return SUCCEEDS;
        }
    }
    for (CK_ULONG len = 16; len <= 24; len += 8) {
        struct sheet t = {0};
        sheet_data_key(&t, CKK_AES, false);
        sheet_ulong(&t, CKA_VALUE_LEN, len);
        if (scene_unwrap(s, ALPHA, &o, &t, &key) == CKR_OK) {
            scene_note(s, "an AES-256 key came back with CKA_VALUE_LEN %lu", len);
            return SUCCEEDS;
        }
    }
    struct sheet t = {0};
    CK_OBJECT_HANDLE keys[2] = {s->places[ALPHA].master, 0};
    uint8_t value[40];
    cipher_random(value, sizeof value);
    sheet_data_key(&t, CKK_GENERIC_SECRET, false);
    sheet_bytes(&t, CKA_VALUE, value, sizeof value);
    scene_need(s, scene_create(s, ALPHA, &t, &keys[1]) == CKR_OK, "a secret of 40 bytes cannot be made");
    scene_need(s, scene_wrap(s, ALPHA, CKM_AES_KEY_WRAP, keys, &blob) == CKR_OK,
               "a secret of 40 bytes cannot be wrapped");
    sheet_data_key(&t, CKK_AES, false);
    if (scene_unwrap(s, ALPHA, &o, &t, &key) == CKR_OK) {
        scene_note(s, "40 bytes came back as an AES key");
        return SUCCEEDS;
    }
    return REFUSED;
}

/* C_GenerateKey by a mechanism other than those of a data key. */
static bool generates(struct scene *s, CK_MECHANISM_TYPE type)
{
    CK_MECHANISM m = {type, NULL, 0};
    struct sheet t = {0};
    CK_OBJECT_HANDLE key = 0;
    sheet_bool(&t, CKA_TOKEN, false);
    sheet_ulong(&t, CKA_VALUE_LEN, 32);
    CK_RV rv = s->p11->C_GenerateKey(s->places[ALPHA].session, &m, t.items, t.count, &key);
    if (type == CKM_AES_KEY_GEN || type == CKM_GENERIC_SECRET_KEY_GEN) {
        scene_need(s, rv == CKR_OK || s->direct, "a data key cannot be generated");
        return false;
    }
    scene_expect(s, rv, CKR_MECHANISM_INVALID, "C_GenerateKey");
    if (rv == CKR_OK) {
        scene_note(s, "mechanism 0x%lx generated a key", type);
    }
    return rv == CKR_OK;
}

/* One mechanism number with each of three parameters. True when an unlisted one wraps or unwraps. */
static bool mechanism_works(struct scene *s, CK_MECHANISM_TYPE type, const CK_OBJECT_HANDLE keys[2],
                            const struct blob *good)
{
    if (generates(s, type)) {
        return true;
    }
    if (type == CKM_KEYWARD_ENVELOPE && !s->direct) {
        return false; /* Keyward's own: the attacks on it are in envelopes.c */
    }
    uint8_t iv[16] = {0};
    CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
    CK_MECHANISM forms[] = {{type, NULL, 0}, {type, iv, sizeof iv}, {type, &oaep, sizeof oaep}};
    for (size_t i = 0; i < 3; i++) {
        struct blob out;
        struct blob in = *good;
        CK_RV wrapped = wrap_by(s, &forms[i], keys, &out);
        CK_RV opened = unwrap_by(s, &forms[i], keys[0], &in);
        if (is_listed(type)) {
            scene_expect(s, wrapped, i > 0 ? CKR_MECHANISM_PARAM_INVALID : wrapped,
                         "a parameter where there is none");
            if (i > 0 && !s->direct && (wrapped == CKR_OK || opened == CKR_OK)) {
                scene_note(s, "mechanism 0x%lx took a parameter", type);
                return true;
            }
        } else {
            bool right = type == CKM_RSA_PKCS_OAEP && i == 2;
            CK_RV wrong = is_for_rsa(type) ? CKR_MECHANISM_PARAM_INVALID : CKR_MECHANISM_INVALID;
            scene_expect(s, wrapped, right ? CKR_WRAPPING_KEY_TYPE_INCONSISTENT : wrong, "C_WrapKey");
            scene_expect(s, opened, right ? CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT : wrong, "C_UnwrapKey");
            if (wrapped == CKR_OK || opened == CKR_OK) {
                scene_note(s, "mechanism 0x%lx was accepted", type);
                return true;
            }
        }
    }
    return false;
}

enum verdict attack_mechanisms(struct scene *s)
{
    static const CK_MECHANISM_TYPE bases[] = {0x80000000UL, 0x84B57000UL, 0xCE534350UL, 0x80010000UL,
                                              0xFFFFFFFFFFFFFF00UL};
    struct blob good;
    scene_enter(s, ALPHA);
    scene_wrapped_dek(s, ALPHA, &good);
    const CK_OBJECT_HANDLE keys[2] = {s->places[ALPHA].master, scene_data_key(s, ALPHA, true)};
    for (CK_MECHANISM_TYPE type = 0; type <= MECHANISMS_TO; type++) {
        if (mechanism_works(s, type, keys, &good)) {
            return SUCCEEDS;
        }
    }
    for (size_t b = 0; b < sizeof bases / sizeof bases[0]; b++) {
        for (CK_MECHANISM_TYPE i = 0; i < 256; i++) {
            if (mechanism_works(s, bases[b] + i, keys, &good)) {
                return SUCCEEDS;
            }
        }
    }
    return REFUSED;
}

/* Whether, in place `mine`, a blob of place `yours` opens; by my master key or by the handle of yours. */
static bool swaps(struct scene *s, enum where mine, enum where yours)
{
    struct blob blob;
    const CK_OBJECT_HANDLE with[2] = {s->places[mine].master, s->places[yours].master};
    scene_wrapped_dek(s, yours, &blob);
    for (size_t i = 0; i < 2; i++) {
        struct sheet t = {0};
        CK_OBJECT_HANDLE key = 0;
        sheet_data_key(&t, CKK_AES, mine == SEALED);
        CK_RV rv = scene_unwrap(s, mine, &(struct scene_opening){CKM_AES_KEY_WRAP, with[i], &blob}, &t, &key);
        scene_expect(s, rv, i == 0 ? CKR_WRAPPED_KEY_INVALID : CKR_UNWRAPPING_KEY_HANDLE_INVALID,
                     "another tenant's blob");
        if (rv == CKR_OK) {
            scene_note(s, "%s opens a blob of %s", s->places[mine].name, s->places[yours].name);
            return true;
        }
    }
    return false;
}

enum verdict attack_swap(struct scene *s)
{
    static const enum where all[] = {ALPHA, BETA, SEALED};
    for (size_t i = 0; i < 3; i++) {
        scene_enter(s, all[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < 3; k++) {
            if (i != k && swaps(s, all[i], all[k])) {
                return SUCCEEDS;
            }
        }
    }
    return REFUSED;
}
