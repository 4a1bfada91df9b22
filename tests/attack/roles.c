#include <string.h>

#include "cipher.h"
#include "scene.h"

/* A key of a token as a block cipher: one call per block, ECB, or CBC with a zero IV where ECB is refused. */
struct through_token {
    struct scene *s;
    enum where where;
    CK_OBJECT_HANDLE key;
};

static bool token_block(const struct through_token *t, bool forward, const uint8_t in[16], uint8_t out[16])
{
    static const CK_MECHANISM_TYPE modes[] = {CKM_AES_ECB, CKM_AES_CBC};
    const struct calls *p11 = t->s->p11;
    CK_SESSION_HANDLE session = t->s->places[t->where].session;
    for (size_t i = 0; i < 2; i++) {
        uint8_t iv[16] = {0};
        uint8_t copy[16];
        CK_ULONG len = 16;
        CK_MECHANISM m = {modes[i], i == 0 ? NULL : iv, i == 0 ? 0 : sizeof iv};
        memcpy(copy, in, sizeof copy);
        CK_RV rv =
            forward ? p11->C_EncryptInit(session, &m, t->key) : p11->C_DecryptInit(session, &m, t->key);
        if (rv == CKR_OK) {
            rv = forward ? p11->C_Encrypt(session, copy, 16, out, &len)
                         : p11->C_Decrypt(session, copy, 16, out, &len);
            return rv == CKR_OK && len == 16;
        }
    }
    return false;
}

static bool token_forward(void *data, const uint8_t in[16], uint8_t out[16])
{
    return token_block(data, true, in, out);
}

static bool token_backward(void *data, const uint8_t in[16], uint8_t out[16])
{
    return token_block(data, false, in, out);
}

/* Whether decrypting with `key` opens a blob of the data key: for 32 bytes, 24 calls of C_Decrypt. */
static bool decrypts(struct scene *s, enum where w, CK_OBJECT_HANDLE key, const struct blob *blob)
{
    struct through_token t = {s, w, key};
    uint8_t iv[8];
    uint8_t out[SCENE_BLOB_MAX];
    return blob->len == SCENE_KEY_LEN + 8 &&
           cipher_open(&(struct cipher_mill){token_backward, &t}, blob->bytes, blob->len, iv, out) &&
           memcmp(out, s->dek, SCENE_KEY_LEN) == 0;
}

/* A01, Clulow: wraps the data key with `wrapping` and opens the blob by decrypting with `decrypting`. */
static bool wraps_and_decrypts(struct scene *s, enum where w, CK_OBJECT_HANDLE wrapping,
                               CK_OBJECT_HANDLE decrypting)
{
    struct blob blob;
    CK_OBJECT_HANDLE keys[2] = {wrapping, scene_data_key(s, w, true)};
    bool got = scene_wrap(s, w, CKM_AES_KEY_WRAP, keys, &blob) == CKR_OK && decrypts(s, w, decrypting, &blob);
    scene_destroy(s, w, keys[1]);
    return got;
}

/* Every way to put the master key to another use than wrapping. True when one is begun. */
static bool master_begins(struct scene *s, enum where w)
{
    const struct calls *p11 = s->p11;
    CK_SESSION_HANDLE session = s->places[w].session;
    CK_OBJECT_HANDLE key = s->places[w].master;
    uint8_t iv[16] = {0};
    CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
    CK_MECHANISM cbc = {CKM_AES_CBC, iv, sizeof iv};
    CK_MECHANISM mac = {CKM_AES_CMAC, NULL, 0};
    const CK_RV answers[] = {
        p11->C_EncryptInit(session, &ecb, key),     p11->C_EncryptInit(session, &cbc, key),
        p11->C_DecryptInit(session, &ecb, key),     p11->C_DecryptInit(session, &cbc, key),
        p11->C_SignInit(session, &mac, key),        p11->C_VerifyInit(session, &mac, key),
        p11->C_SignRecoverInit(session, &mac, key), p11->C_VerifyRecoverInit(session, &mac, key),
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        scene_expect(s, answers[i], CKR_FUNCTION_NOT_SUPPORTED, "an Init function on the master key");
        if (answers[i] == CKR_OK) {
            return true;
        }
    }
    return false;
}

enum verdict attack_wrap_decrypt(struct scene *s)
{
    CK_OBJECT_HANDLE own = 0;
    struct sheet t = {0};
    scene_enter(s, ALPHA);
    scene_need(s, scene_try_wrap(s, ALPHA) == CKR_OK, "the master key does not wrap");
    if (wraps_and_decrypts(s, ALPHA, s->places[ALPHA].master, s->places[ALPHA].master) ||
        master_begins(s, ALPHA)) {
        scene_note(s, "the master key itself decrypts");
        return SUCCEEDS;
    }
    sheet_secret(&t, CKK_AES, false);
    sheet_bool(&t, CKA_WRAP, true);
    sheet_bool(&t, CKA_DECRYPT, true);
    sheet_ulong(&t, CKA_VALUE_LEN, 32);
    CK_RV rv = scene_generate(s, ALPHA, &t, &own);
    scene_expect(s, rv, CKR_TEMPLATE_INCONSISTENT, "C_GenerateKey {WRAP, DECRYPT}");
    if (rv == CKR_OK && wraps_and_decrypts(s, ALPHA, own, own)) {
        scene_note(s, "24 C_Decrypt with a generated {WRAP, DECRYPT} key gave the data key");
        return SUCCEEDS;
    }
    return REFUSED;
}

/* Whether a master key with a forbidden attribute, planted by somebody outside, serves. */
static bool planted_serves(struct scene *s, unsigned wrong)
{
    uint8_t value[SCENE_KEY_LEN];
    struct blob blob;
    struct sheet t = {0};
    CK_OBJECT_HANDLE key = 0;
    scene_plant(s, PLANTED, wrong, value);
    scene_enter(s, PLANTED);
    const CK_OBJECT_HANDLE master = s->places[PLANTED].master;
    if (master == 0) { /* not shown is refused as well */
        scene_uproot(s, PLANTED);
        return false;
    }
    CK_RV wrapped = scene_try_wrap(s, PLANTED);
    scene_expect(s, wrapped, CKR_KEY_FUNCTION_NOT_PERMITTED,
                 "C_WrapKey by a master key with a forbidden attribute");
    scene_need(s, cipher_kw_wrap(&(struct cipher_key){value, 32}, s->dek, sizeof s->dek, blob.bytes), "AES");
    blob.len = sizeof s->dek + 8;
    sheet_data_key(&t, CKK_AES, false);
    CK_RV opened =
        scene_unwrap(s, PLANTED, &(struct scene_opening){CKM_AES_KEY_WRAP, master, &blob}, &t, &key);
    scene_expect(s, opened, CKR_KEY_FUNCTION_NOT_PERMITTED,
                 "C_UnwrapKey by a master key with a forbidden attribute");
    scene_uproot(s, PLANTED);
    return wrapped == CKR_OK || opened == CKR_OK;
}

enum verdict attack_planted_usage(struct scene *s)
{
    static const unsigned wrongs[] = {PLANT_ENCRYPT,       PLANT_DECRYPT,    PLANT_SIGN,
                                      PLANT_VERIFY,        PLANT_DERIVE,     PLANT_EXTRACTABLE,
                                      PLANT_NOT_SENSITIVE, PLANT_NOT_PRIVATE};
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        if (planted_serves(s, wrongs[i])) {
            scene_note(s, "a master key with a forbidden attribute (0x%x of outsider.h) serves", wrongs[i]);
            return SUCCEEDS;
        }
    }
    return REFUSED;
}

/* Whether a key that wraps the data key gives it to somebody who knows that key's value. */
static bool wraps_for(struct scene *s, enum where w, CK_OBJECT_HANDLE wrapping,
                      const uint8_t value[SCENE_KEY_LEN])
{
    struct blob blob;
    uint8_t out[SCENE_BLOB_MAX];
    CK_OBJECT_HANDLE keys[2] = {wrapping, scene_data_key(s, w, true)};
    bool got = scene_wrap(s, w, CKM_AES_KEY_WRAP, keys, &blob) == CKR_OK &&
               cipher_kw_unwrap(&(struct cipher_key){value, SCENE_KEY_LEN}, blob.bytes, blob.len, out) &&
               memcmp(out, s->dek, sizeof s->dek) == 0;
    scene_destroy(s, w, keys[1]);
    return got;
}

/* Forges a blob of a known key by encrypting with `oracle`, unwraps it as a wrapping key. */
static bool forges(struct scene *s, enum where w, CK_OBJECT_HANDLE oracle)
{
    struct through_token through = {s, w, oracle};
    uint8_t iv[8];
    uint8_t known[SCENE_KEY_LEN];
    struct blob blob = {.len = SCENE_KEY_LEN + 8};
    struct sheet t = {0};
    CK_OBJECT_HANDLE key = 0;
    cipher_random(known, sizeof known);
    cipher_kw_iv(iv);
    if (!cipher_seal(&(struct cipher_mill){token_forward, &through}, iv, known, sizeof known, blob.bytes)) {
        return false;
    }
    sheet_data_key(&t, CKK_AES, false);
    sheet_bool(&t, CKA_WRAP, true);
    return scene_unwrap(s, w, &(struct scene_opening){CKM_AES_KEY_WRAP, oracle, &blob}, &t, &key) == CKR_OK &&
           wraps_for(s, w, key, known);
}

/* A key with a known value, wrapped by the master key in the ordinary way, comes back with a role. */
static bool comes_back_with_role(struct scene *s, CK_ATTRIBUTE_TYPE role)
{
    uint8_t known[SCENE_KEY_LEN];
    struct blob blob;
    struct sheet t = {0};
    CK_OBJECT_HANDLE keys[2] = {s->places[ALPHA].master, 0};
    CK_OBJECT_HANDLE back = 0;
    cipher_random(known, sizeof known);
    sheet_data_key(&t, CKK_AES, false);
    sheet_bytes(&t, CKA_VALUE, known, sizeof known);
    scene_need(s, scene_create(s, ALPHA, &t, &keys[1]) == CKR_OK, "a known data key cannot be made");
    scene_need(s, scene_wrap(s, ALPHA, CKM_AES_KEY_WRAP, keys, &blob) == CKR_OK,
               "a known data key cannot be wrapped");
    sheet_data_key(&t, CKK_AES, false);
    if (role != 0) {
        sheet_bool(&t, role, true);
    }
    CK_RV rv = scene_unwrap(s, ALPHA, &(struct scene_opening){CKM_AES_KEY_WRAP, keys[0], &blob}, &t, &back);
    scene_need(s, role != 0 || rv == CKR_OK, "a data key does not come back");
    if (role != 0 && role != CKA_ENCRYPT && role != CKA_DECRYPT) {
        scene_expect(s, rv, CKR_TEMPLATE_INCONSISTENT, "C_UnwrapKey with a role");
    }
    return rv == CKR_OK && (wraps_for(s, ALPHA, back, known) || wraps_for(s, ALPHA, keys[1], known));
}

enum verdict attack_encrypt_unwrap(struct scene *s)
{
    static const CK_ATTRIBUTE_TYPE roles[] = {0,        CKA_WRAP,   CKA_UNWRAP,  CKA_DERIVE,
                                              CKA_SIGN, CKA_VERIFY, CKA_ENCRYPT, CKA_DECRYPT};
    CK_OBJECT_HANDLE own = 0;
    struct sheet t = {0};
    scene_enter(s, ALPHA);
    sheet_secret(&t, CKK_AES, false);
    sheet_bool(&t, CKA_UNWRAP, true);
    sheet_bool(&t, CKA_ENCRYPT, true);
    sheet_ulong(&t, CKA_VALUE_LEN, 32);
    CK_RV rv = scene_generate(s, ALPHA, &t, &own);
    scene_expect(s, rv, CKR_TEMPLATE_INCONSISTENT, "C_GenerateKey {UNWRAP, ENCRYPT}");
    if (forges(s, ALPHA, s->places[ALPHA].master) || (rv == CKR_OK && forges(s, ALPHA, own))) {
        scene_note(s, "a forged blob of a known key became a wrapping key and wrapped the data key");
        return SUCCEEDS;
    }
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (comes_back_with_role(s, roles[i])) {
            scene_note(s, "a known key came back as a wrapping key (role 0x%lx) and wrapped the data key",
                       roles[i]);
            return SUCCEEDS;
        }
    }
    return REFUSED;
}

enum verdict attack_double_unwrap(struct scene *s)
{
    static const CK_ATTRIBUTE_TYPE roles[2] = {CKA_WRAP, CKA_DECRYPT};
    struct blob blob;
    CK_OBJECT_HANDLE copies[2] = {0, 0};
    scene_enter(s, ALPHA);
    scene_wrapped_dek(s, ALPHA, &blob);
    for (size_t i = 0; i < 2; i++) {
        struct sheet t = {0};
        sheet_data_key(&t, CKK_AES, true);
        sheet_bool(&t, roles[i], true);
        const struct scene_opening o = {CKM_AES_KEY_WRAP, s->places[ALPHA].master, &blob};
        CK_RV rv = scene_unwrap(s, ALPHA, &o, &t, &copies[i]);
        scene_expect(s, rv, roles[i] == CKA_WRAP ? CKR_TEMPLATE_INCONSISTENT : rv, "C_UnwrapKey {WRAP}");
    }
    if (copies[0] != 0 && copies[1] != 0 && wraps_and_decrypts(s, ALPHA, copies[0], copies[1])) {
        scene_note(s, "one copy wrapped the data key, the other one decrypted the blob");
        return SUCCEEDS;
    }
    return REFUSED;
}

enum verdict attack_self_wrap(struct scene *s)
{
    static const CK_MECHANISM_TYPE mechanisms[] = {CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_PAD,
                                                   CKM_AES_KEY_WRAP_KWP};
    struct blob blob;
    scene_enter(s, ALPHA);
    scene_enter(s, BETA);
    scene_need(s, scene_try_wrap(s, ALPHA) == CKR_OK, "the master key does not wrap");
    const CK_OBJECT_HANDLE alpha = s->places[ALPHA].master;
    const CK_OBJECT_HANDLE pairs[][2] = {
        {alpha, alpha}, {alpha, s->places[BETA].master}, {s->places[BETA].master, alpha}};
    for (size_t i = 0; i < 3; i++) {
        for (size_t m = 0; m < 3; m++) {
            if (scene_wrap(s, ALPHA, mechanisms[m], pairs[i], &blob) == CKR_OK) {
                scene_note(s, "a master key was wrapped by a master key");
                return SUCCEEDS;
            }
        }
    }
    return REFUSED;
}

/* Tries to wrap the victim place's master key under a key of the attacker, made with and without
 * CKA_WRAP, and opens the blob. */
static bool master_under_known(struct scene *s, enum where w)
{
    for (int with_role = 0; with_role < 2; with_role++) {
        uint8_t known[SCENE_KEY_LEN];
        uint8_t out[SCENE_BLOB_MAX];
        struct blob blob;
        struct sheet t = {0};
        CK_OBJECT_HANDLE keys[2] = {0, s->places[w].master};
        cipher_random(known, sizeof known);
        sheet_data_key(&t, CKK_AES, false);
        if (with_role == 1) {
            sheet_bool(&t, CKA_WRAP, true);
        }
        sheet_bytes(&t, CKA_VALUE, known, sizeof known);
        CK_RV rv = scene_create(s, w, &t, &keys[0]);
        scene_need(s, with_role == 1 || rv == CKR_OK, "a known data key cannot be made");
        scene_expect(s, rv, with_role == 1 ? CKR_TEMPLATE_INCONSISTENT : CKR_OK, "C_CreateObject {WRAP}");
        if (rv == CKR_OK && scene_wrap(s, w, CKM_AES_KEY_WRAP, keys, &blob) == CKR_OK &&
            cipher_kw_unwrap(&(struct cipher_key){known, sizeof known}, blob.bytes, blob.len, out)) {
            return true;
        }
    }
    return false;
}

enum verdict attack_wrap_master(struct scene *s)
{
    scene_enter(s, ALPHA);
    return master_under_known(s, ALPHA) ? SUCCEEDS : REFUSED;
}

enum verdict attack_extractable_master(struct scene *s)
{
    uint8_t value[SCENE_KEY_LEN];
    struct blob blob;
    scene_plant(s, PLANTED, PLANT_EXTRACTABLE, value);
    scene_enter(s, PLANTED);
    if (s->places[PLANTED].master == 0) {
        return REFUSED;
    }
    CK_OBJECT_HANDLE self[2] = {s->places[PLANTED].master, s->places[PLANTED].master};
    if (master_under_known(s, PLANTED) || scene_wrap(s, PLANTED, CKM_AES_KEY_WRAP, self, &blob) == CKR_OK) {
        scene_note(s, "an extractable master key left the token");
        return SUCCEEDS;
    }
    CK_RV rv = scene_try_wrap(s, PLANTED);
    scene_expect(s, rv, CKR_KEY_FUNCTION_NOT_PERMITTED, "C_WrapKey by an extractable master key");
    return rv == CKR_OK ? SUCCEEDS : REFUSED;
}

enum verdict attack_weak_wraps_strong(struct scene *s)
{
    scene_enter(s, WEAK);
    CK_RV rv = scene_try_wrap(s, WEAK);
    scene_expect(s, rv, CKR_WRAPPING_KEY_SIZE_RANGE, "C_WrapKey of an AES-256 key by an AES-128 key");
    return rv == CKR_OK ? SUCCEEDS : REFUSED;
}
