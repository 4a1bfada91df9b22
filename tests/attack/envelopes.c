/* envelopes.c: wrapped keys of CKM_KEYWARD_ENVELOPE that nobody wrapped, or not for this place. A vendor's module has no such
 * mechanism: it is attacked through the one that a broker would use instead. */
#include <keyward.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "cipher.h"
#include "scene.h"

enum { CONJURED = 2000, HEADER = 36, AES_ENVELOPE = 124 };

/* The mechanism for a context; `instead` through a vendor's module. */
struct way {
    CK_KEYWARD_ENVELOPE_PARAMS params;
    uint8_t context[16];
    uint8_t iv[16];
    CK_MECHANISM mechanism;
};

static CK_MECHANISM *way_of(struct scene *s, const char *context, CK_MECHANISM_TYPE instead, struct way *w)
{
    memset(w, 0, sizeof *w);
    (void)snprintf((char *)w->context, sizeof w->context, "%s", context);
    w->params = (CK_KEYWARD_ENVELOPE_PARAMS){w->context, strlen(context)};
    w->mechanism = (CK_MECHANISM){CKM_KEYWARD_ENVELOPE, &w->params, sizeof w->params};
    if (s->direct) {
        bool has_iv = instead != CKM_AES_KEY_WRAP;
        w->mechanism = (CK_MECHANISM){instead, has_iv ? w->iv : NULL, has_iv ? sizeof w->iv : 0};
    }
    return &w->mechanism;
}

/* s->dek in an envelope; false where a vendor's module has no such mechanism. */
static bool make(struct scene *s, enum where w, CK_MECHANISM *m, struct blob *out)
{
    CK_OBJECT_HANDLE key = scene_data_key(s, w, false);
    out->len = sizeof out->bytes;
    CK_RV rv = s->p11->C_WrapKey(s->places[w].session, m, s->places[w].master, key, out->bytes, &out->len);
    scene_need(s, rv == CKR_OK || s->direct, "an envelope cannot be made");
    scene_destroy(s, w, key);
    return rv == CKR_OK;
}

static CK_RV take(struct scene *s, enum where w, CK_MECHANISM *m, const struct blob *blob, bool *right)
{
    struct sheet t = {0};
    struct blob copy = *blob;
    CK_OBJECT_HANDLE key = 0;
    sheet_data_key(&t, CKK_AES, w == SEALED);
    CK_RV rv = s->p11->C_UnwrapKey(s->places[w].session, m, s->places[w].master, copy.bytes, copy.len, t.items,
                                   t.count, &key);
    if (rv == CKR_OK) {
        *right = w != SEALED && scene_reads_dek(s, w, key);
        scene_destroy(s, w, key);
    }
    return rv;
}

enum verdict attack_envelope_bits(struct scene *s)
{
    struct way way;
    struct blob blob;
    bool right = false;
    scene_enter(s, ALPHA);
    CK_MECHANISM *m = way_of(s, "row 1", CKM_AES_CBC_PAD, &way);
    if (!make(s, ALPHA, m, &blob)) {
        return REFUSED;
    }
    for (size_t bit = 0; bit < blob.len * 8; bit += fixture_every()) {
        blob.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        CK_RV rv = take(s, ALPHA, m, &blob, &right);
        blob.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        scene_expect(s, rv, CKR_WRAPPED_KEY_INVALID, "C_UnwrapKey of a changed envelope");
        if (rv == CKR_OK) {
            scene_note(s, "a wrapped key with bit %zu changed was accepted", bit);
            return SUCCEEDS;
        }
    }
    scene_note(s, "%lu bits, one at a time", blob.len * 8);
    return REFUSED;
}

/* Random bytes behind a header that is right, so that they go as far as they can. */
enum verdict attack_envelope_conjure(struct scene *s)
{
    struct way way;
    struct blob good = {.len = 48};
    unsigned accepted = 0;
    bool right = false;
    scene_enter(s, ALPHA);
    CK_MECHANISM *m = way_of(s, "", CKM_AES_CBC, &way);
    (void)make(s, ALPHA, m, &good);
    size_t kept = s->direct ? 0 : HEADER;
    for (unsigned i = 0; i < CONJURED; i += fixture_every()) {
        struct blob blob = good;
        blob.len = s->direct ? 32 : good.len;
        cipher_random(blob.bytes + kept, blob.len - kept);
        CK_RV rv = take(s, ALPHA, m, &blob, &right);
        scene_expect(s, rv, CKR_WRAPPED_KEY_INVALID, "C_UnwrapKey of a conjured envelope");
        accepted += rv == CKR_OK;
    }
    scene_note(s, "%u of %u conjured ones were accepted", accepted, (unsigned)CONJURED);
    return accepted > 0 ? SUCCEEDS : REFUSED;
}

/* The attacker writes one row's wrapped key into another row, or into a row of another slot. */
enum verdict attack_envelope_move(struct scene *s)
{
    static const struct {
        enum where from;
        const char *context;
        enum where to;
        const char *other;
    } moves[] = {{ALPHA, "row 1", ALPHA, "row 2"}, {ALPHA, "row 1", ALPHA, ""}, {ALPHA, "", ALPHA, "row 1"},
                 {ALPHA, "row 1", BETA, "row 1"},  {BETA, "row 1", ALPHA, "row 1"}, {ALPHA, "row 1", SEALED, "row 1"}};
    for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        struct way here;
        struct way there;
        struct blob blob;
        bool right = false;
        scene_enter(s, moves[i].from);
        scene_enter(s, moves[i].to);
        (void)make(s, moves[i].from, way_of(s, moves[i].context, CKM_AES_KEY_WRAP, &here), &blob);
        CK_RV rv = take(s, moves[i].to, way_of(s, moves[i].other, CKM_AES_KEY_WRAP, &there), &blob, &right);
        scene_expect(s, rv, CKR_WRAPPED_KEY_INVALID, "C_UnwrapKey of an envelope of another place");
        if (rv == CKR_OK) {
            scene_note(s, "%s/%s opens what was wrapped for %s/%s", s->places[moves[i].to].name, moves[i].other,
                       s->places[moves[i].from].name, moves[i].context);
            return SUCCEEDS;
        }
        rv = take(s, moves[i].from, &here.mechanism, &blob, &right);
        scene_need(s, rv == CKR_OK && right, "an envelope does not open in its own place");
    }
    return REFUSED;
}

/* AES-256-GCM as docs/envelope.md says, for a slot without tenant and geo and an empty context. */
static bool seal(const uint8_t *key, const uint8_t *envelope, const uint8_t *data, uint8_t *out)
{
    uint8_t bound[20 + 1 + 12 + 6] = "keyward envelope v1";
    int n = 0;
    bound[20] = 1;
    memcpy(bound + 21, envelope + 8, 12);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool good = c != NULL && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, envelope + 24) == 1 &&
                EVP_EncryptUpdate(c, NULL, &n, bound, sizeof bound) == 1 &&
                EVP_EncryptUpdate(c, out, &n, data, SCENE_KEY_LEN) == 1 && EVP_EncryptFinal_ex(c, out + SCENE_KEY_LEN, &n) == 1 &&
                EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, out + SCENE_KEY_LEN) == 1;
    EVP_CIPHER_CTX_free(c);
    return good;
}

/* An envelope with the attacker's data key for an RSA master key, made of what everybody can read, and of `like`, one that was made there: all of it is
 * right but the origin tag, which is that of the other one. */
static void forge(struct scene *s, const uint8_t modulus[CIPHER_RSA_BYTES], const struct blob *like, struct blob *out)
{
    uint8_t content_key[32];
    *out = *like;
    cipher_random(content_key, sizeof content_key);
    scene_need(s, cipher_rsa(modulus, CIPHER_OAEP, content_key, sizeof content_key, out->bytes + HEADER), "RSA");
    scene_need(s, seal(content_key, out->bytes, s->dek, out->bytes + HEADER + CIPHER_RSA_BYTES + 32), "GCM");
    out->len = HEADER + CIPHER_RSA_BYTES + 32 + SCENE_KEY_LEN + 16;
}

/* A slot that takes envelopes only (mechanisms = envelope): OAEP, which has no origin, is refused, and so is an envelope without a right tag. */
enum verdict attack_rsa_forge_here(struct scene *s)
{
    CK_RSA_PKCS_OAEP_PARAMS params = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
    CK_MECHANISM plain = {CKM_RSA_PKCS_OAEP, &params, sizeof params};
    CK_MECHANISM envelope = {CKM_KEYWARD_ENVELOPE, NULL, 0};
    uint8_t modulus[CIPHER_RSA_BYTES];
    CK_ATTRIBUTE shown = {CKA_MODULUS, modulus, sizeof modulus};
    CK_OBJECT_HANDLE halves[2];
    struct sheet t = {0};
    struct blob made = {.len = sizeof made.bytes};
    struct blob blob;
    CK_OBJECT_HANDLE key = 0;
    scene_pair(s, halves);
    CK_SESSION_HANDLE session = s->places[ENVELOPED].session;
    scene_need(s, s->p11->C_GetAttributeValue(session, halves[0], &shown, 1) == CKR_OK && shown.ulValueLen == sizeof modulus, "no modulus");
    sheet_data_key(&t, CKK_AES, false);
    scene_need(s, cipher_rsa(modulus, CIPHER_OAEP, s->dek, sizeof s->dek, blob.bytes), "RSA");
    CK_RV bare = s->p11->C_UnwrapKey(session, &plain, halves[1], blob.bytes, CIPHER_RSA_BYTES, t.items, t.count, &key);
    scene_expect(s, bare, CKR_MECHANISM_INVALID, "C_UnwrapKey(RSA_PKCS_OAEP) where only envelopes are taken");
    if (bare == CKR_OK) {
        scene_note(s, "a data key that was wrapped with the public key outside was taken");
        return SUCCEEDS;
    }
    CK_OBJECT_HANDLE own = scene_data_key(s, ENVELOPED, false);
    scene_need(s, s->p11->C_WrapKey(session, &envelope, halves[0], own, made.bytes, &made.len) == CKR_OK, "an envelope cannot be made");
    scene_need(s, made.bytes[4] == 3, "the token does OAEP with another hash than this attack");
    forge(s, modulus, &made, &blob);
    CK_RV forged = s->p11->C_UnwrapKey(session, &envelope, halves[1], blob.bytes, blob.len, t.items, t.count, &key);
    scene_expect(s, forged, CKR_WRAPPED_KEY_INVALID, "C_UnwrapKey of an envelope with the origin tag of another one");
    scene_note(s, "mechanisms = envelope: OAEP is refused, and so is an envelope that was not made in the token");
    return forged == CKR_OK ? SUCCEEDS : REFUSED;
}
