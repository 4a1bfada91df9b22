#include <string.h>

#include "cipher.h"
#include "scene.h"

/* C_DeriveKey as a block cipher: one block of AES under the base key, as a readable key. */
static bool derives(struct scene *s, enum where w, const uint8_t *value)
{
    uint8_t block[16];
    uint8_t wanted[16];
    CK_KEY_DERIVATION_STRING_DATA data = {block, sizeof block};
    CK_MECHANISM m = {CKM_AES_ECB_ENCRYPT_DATA, &data, sizeof data};
    CK_ULONG offset = 0;
    CK_MECHANISM extract = {CKM_EXTRACT_KEY_FROM_KEY, &offset, sizeof offset};
    CK_OBJECT_HANDLE key = 0;
    struct sheet t = {0};
    struct cipher_key known = {value, SCENE_KEY_LEN};
    cipher_random(block, sizeof block);
    sheet_data_key(&t, CKK_GENERIC_SECRET, false);
    sheet_ulong(&t, CKA_VALUE_LEN, 16);
    const struct place *p = &s->places[w];
    CK_RV rv = s->p11->C_DeriveKey(p->session, &m, p->master, t.items, t.count, &key);
    scene_expect(s, rv, CKR_FUNCTION_NOT_SUPPORTED, "C_DeriveKey");
    if (rv == CKR_OK && value != NULL) {
        scene_need(s, cipher_known_forward(&known, block, wanted), "AES");
        return scene_reads(s, w, key, wanted, sizeof wanted);
    }
    CK_RV extracted = s->p11->C_DeriveKey(p->session, &extract, p->master, t.items, t.count, &key);
    scene_expect(s, extracted, CKR_FUNCTION_NOT_SUPPORTED, "C_DeriveKey");
    return rv == CKR_OK || extracted == CKR_OK;
}

enum verdict attack_derive(struct scene *s)
{
    uint8_t value[SCENE_KEY_LEN];
    scene_plant(s, PLANTED, PLANT_DERIVE, value);
    scene_enter(s, ALPHA);
    scene_enter(s, PLANTED);
    if (derives(s, ALPHA, NULL) || (s->places[PLANTED].master != 0 && derives(s, PLANTED, value))) {
        scene_note(s, "C_DeriveKey encrypts a block with the master key");
        return SUCCEEDS;
    }
    return REFUSED;
}

/* An RSA key that promises a login per use, used without one; or any key that claims the promise. */
enum verdict attack_always_authenticate(struct scene *s)
{
    static const uint8_t exponent[] = {1, 0, 1};
    CK_MECHANISM generate = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_MECHANISM unwrap = {CKM_RSA_PKCS, NULL, 0};
    CK_OBJECT_HANDLE pair[2] = {0, 0};
    CK_OBJECT_HANDLE key = 0;
    uint8_t modulus[CIPHER_RSA_BYTES];
    uint8_t blob[CIPHER_RSA_BYTES];
    struct sheet a = {0};
    struct sheet b = {0};
    struct sheet t = {0};
    scene_enter(s, ALPHA);
    CK_SESSION_HANDLE session = s->places[ALPHA].session;
    sheet_data_key(&t, CKK_AES, true);
    sheet_bool(&t, CKA_ALWAYS_AUTHENTICATE, true);
    sheet_bytes(&t, CKA_VALUE, s->dek, sizeof s->dek);
    CK_RV rv = scene_create(s, ALPHA, &t, &key);
    scene_expect(s, rv, CKR_ATTRIBUTE_TYPE_INVALID, "C_CreateObject {ALWAYS_AUTHENTICATE}");
    sheet_bool(&a, CKA_WRAP, true);
    sheet_ulong(&a, CKA_MODULUS_BITS, 2048);
    sheet_bytes(&a, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent);
    sheet_bool(&b, CKA_UNWRAP, true);
    sheet_bool(&b, CKA_ALWAYS_AUTHENTICATE, true);
    CK_RV made =
        s->p11->C_GenerateKeyPair(session, &generate, a.items, a.count, b.items, b.count, &pair[0], &pair[1]);
    scene_expect(s, made, CKR_FUNCTION_NOT_SUPPORTED, "C_GenerateKeyPair");
    if (made != CKR_OK) {
        return rv == CKR_OK && !s->direct ? SUCCEEDS : REFUSED;
    }
    CK_ATTRIBUTE n = {CKA_MODULUS, modulus, sizeof modulus};
    scene_need(s, s->p11->C_GetAttributeValue(session, pair[0], &n, 1) == CKR_OK, "CKA_MODULUS");
    scene_need(s, cipher_rsa(modulus, CIPHER_PKCS1, s->dek, sizeof s->dek, blob), "RSA");
    sheet_data_key(&t, CKK_AES, false);
    rv = s->p11->C_UnwrapKey(session, &unwrap, pair[1], blob, sizeof blob, t.items, t.count, &key);
    scene_note(s, "C_UnwrapKey without a login of its own: 0x%lx", rv);
    return rv == CKR_OK ? SUCCEEDS : REFUSED;
}

static bool digests(struct scene *s, enum where w, const uint8_t *value)
{
    CK_MECHANISM m = {CKM_SHA256, NULL, 0};
    CK_SESSION_HANDLE session = s->places[w].session;
    uint8_t digest[32];
    uint8_t wanted[32];
    CK_ULONG len = sizeof digest;
    CK_RV rv = s->p11->C_DigestInit(session, &m);
    scene_expect(s, rv, CKR_FUNCTION_NOT_SUPPORTED, "C_DigestInit");
    CK_RV keyed = s->p11->C_DigestKey(session, s->places[w].master);
    scene_expect(s, keyed, CKR_FUNCTION_NOT_SUPPORTED, "C_DigestKey");
    if (keyed != CKR_OK || s->p11->C_DigestFinal(session, digest, &len) != CKR_OK) {
        return false;
    }
    scene_need(s, value == NULL || cipher_sha256(value, SCENE_KEY_LEN, wanted), "SHA-256");
    return value == NULL || memcmp(digest, wanted, sizeof wanted) == 0;
}

enum verdict attack_digest(struct scene *s)
{
    uint8_t value[SCENE_KEY_LEN];
    scene_plant(s, PLANTED, 0, value);
    scene_enter(s, ALPHA);
    scene_enter(s, PLANTED);
    scene_need(s, s->places[PLANTED].master != 0, "the planted master key is not found");
    if (digests(s, PLANTED, value) || digests(s, ALPHA, NULL)) {
        scene_note(s, "C_DigestKey gave the SHA-256 of the master key");
        return SUCCEEDS;
    }
    return REFUSED;
}

/* What a tenant's application has no business with. */
enum verdict attack_services(struct scene *s)
{
    CK_UTF8CHAR pin[] = FIXTURE_PIN;
    CK_UTF8CHAR so_pin[] = FIXTURE_SO_PIN;
    CK_UTF8CHAR label[33] = "mine                            ";
    CK_BYTE state[64] = {0};
    CK_ULONG len = sizeof state;
    CK_SLOT_ID slot = 0;
    scene_enter(s, ALPHA);
    const struct calls *p11 = s->p11;
    CK_SESSION_HANDLE session = s->places[ALPHA].session;
    unsigned long before = scene_calls(s);
    const struct {
        const char *name;
        CK_RV rv;
    } answers[] = {
        {"C_GetOperationState", p11->C_GetOperationState(session, state, &len)},
        {"C_SetOperationState", p11->C_SetOperationState(session, state, sizeof state, 0, 0)},
        {"C_InitToken", p11->C_InitToken(s->places[ALPHA].slot, so_pin, sizeof so_pin - 1, label)},
        {"C_InitPIN", p11->C_InitPIN(session, pin, sizeof pin - 1)},
        {"C_SetPIN", p11->C_SetPIN(session, pin, sizeof pin - 1, pin, sizeof pin - 1)},
        {"C_SeedRandom", p11->C_SeedRandom(session, state, sizeof state)},
        {"C_WaitForSlotEvent", p11->C_WaitForSlotEvent(0, &slot, NULL)},
    };
    CK_RV event = p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL);
    unsigned long asked = scene_calls(s) - before;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        scene_expect(s, answers[i].rv, CKR_FUNCTION_NOT_SUPPORTED, answers[i].name);
        if (answers[i].rv == CKR_OK) {
            scene_note(s, "%s is done", answers[i].name);
            return SUCCEEDS;
        }
    }
    if (event != CKR_FUNCTION_NOT_SUPPORTED) {
        scene_expect(s, event, CKR_NO_EVENT, "C_WaitForSlotEvent(CKF_DONT_BLOCK)");
    }
    if (!s->direct && asked > 0) {
        scene_note(s, "the token was asked %lu times", asked);
        s->report->odd = true;
    }
    return event == CKR_OK ? SUCCEEDS : REFUSED;
}
