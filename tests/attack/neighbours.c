#include <string.h>

#include "cipher.h"
#include "scene.h"

/*
 * Who is a neighbour. Within one application PKCS#11 shares session objects and the login among all
 * sessions of a token (PKCS#11 3.2 sections 4.3 and 5.6), so Keyward does, too. The wall stands
 * between slots: one slot is one tenant, and two slots may live on one backing token. "Mine" is
 * slot beta, "yours" is slot alpha.
 */

static const uint8_t your_label[] = "yours";

/* A data key of alpha, in memory or in the token's store. */
static CK_OBJECT_HANDLE your_key(struct scene *s, bool token, bool sensitive)
{
    CK_OBJECT_HANDLE key = 0;
    struct sheet t = {0};
    sheet_secret(&t, CKK_AES, token);
    sheet_bool(&t, CKA_SENSITIVE, sensitive);
    sheet_bool(&t, CKA_EXTRACTABLE, true);
    sheet_bytes(&t, CKA_LABEL, your_label, sizeof your_label - 1);
    sheet_bytes(&t, CKA_ID, your_label, sizeof your_label - 1);
    sheet_bytes(&t, CKA_VALUE, s->dek, sizeof s->dek);
    scene_need(s, scene_create(s, ALPHA, &t, &key) == CKR_OK, "a data key of alpha cannot be made");
    return key;
}

static bool has_label(struct scene *s, CK_OBJECT_HANDLE key, const void *label, size_t len)
{
    uint8_t got[64];
    CK_ATTRIBUTE a = {CKA_LABEL, got, sizeof got};
    return s->p11->C_GetAttributeValue(s->places[BETA].session, key, &a, 1) == CKR_OK &&
           a.ulValueLen == len && memcmp(got, label, len) == 0;
}

/* What a search in beta shows of alpha: a data key, or the master key. */
static bool sees(struct scene *s, struct sheet *match)
{
    CK_OBJECT_HANDLE found[64];
    CK_ULONG count = scene_find(s, BETA, match, found, 64);
    for (CK_ULONG i = 0; i < count; i++) {
        if (has_label(s, found[i], your_label, sizeof your_label - 1) || has_label(s, found[i], "alpha", 5)) {
            struct blob blob;
            CK_OBJECT_HANDLE keys[2] = {s->places[BETA].master, found[i]};
            CK_RV rv = scene_wrap(s, BETA, CKM_AES_KEY_WRAP, keys, &blob);
            scene_note(s, "beta finds a key of alpha; wrapping it under beta's master key: 0x%lx", rv);
            return true;
        }
    }
    return false;
}

enum verdict attack_visible(struct scene *s)
{
    struct sheet all = {0};
    struct sheet by_label = {0};
    struct sheet by_id = {0};
    struct sheet by_class = {0};
    scene_enter(s, ALPHA);
    scene_enter(s, BETA);
    (void)your_key(s, false, true);
    (void)your_key(s, false, false);
    (void)your_key(s, true, true);
    (void)your_key(s, true, false);
    sheet_bytes(&by_label, CKA_LABEL, your_label, sizeof your_label - 1);
    sheet_bytes(&by_id, CKA_ID, your_label, sizeof your_label - 1);
    sheet_ulong(&by_class, CKA_CLASS, CKO_SECRET_KEY);
    return sees(s, &all) || sees(s, &by_label) || sees(s, &by_id) || sees(s, &by_class) ? SUCCEEDS : REFUSED;
}

/* Every use of one handle in beta's session. True when one works. */
static bool handle_works(struct scene *s, CK_OBJECT_HANDLE handle, CK_OBJECT_HANDLE mine,
                         const struct blob *blob)
{
    CK_SESSION_HANDLE session = s->places[BETA].session;
    CK_OBJECT_CLASS class = 0;
    CK_ULONG size = 0;
    CK_OBJECT_HANDLE key = 0;
    struct blob out;
    struct sheet t = {0};
    struct sheet name = {0};
    CK_ATTRIBUTE a = {CKA_CLASS, &class, sizeof class};
    const CK_OBJECT_HANDLE as_key[2] = {s->places[BETA].master, handle};
    const CK_OBJECT_HANDLE as_master[2] = {handle, mine};
    sheet_data_key(&t, CKK_AES, false);
    sheet_bytes(&name, CKA_LABEL, "mine", 4);
    return s->p11->C_GetAttributeValue(session, handle, &a, 1) == CKR_OK ||
           s->p11->C_GetObjectSize(session, handle, &size) == CKR_OK ||
           scene_wrap(s, BETA, CKM_AES_KEY_WRAP, as_key, &out) == CKR_OK ||
           scene_wrap(s, BETA, CKM_AES_KEY_WRAP, as_master, &out) == CKR_OK ||
           scene_unwrap(s, BETA, &(struct scene_opening){CKM_AES_KEY_WRAP, handle, blob}, &t, &key) ==
               CKR_OK ||
           s->p11->C_SetAttributeValue(session, handle, name.items, name.count) == CKR_OK ||
           s->p11->C_CopyObject(session, handle, name.items, name.count, &key) == CKR_OK ||
           s->p11->C_DestroyObject(session, handle) == CKR_OK;
}

struct fuzz {
    struct scene *s;
    CK_OBJECT_HANDLE own[64]; /* all of beta's */
    CK_ULONG own_count;
    CK_OBJECT_HANDLE mine; /* a data key of beta */
    struct blob blob;
    unsigned long tried;
};

static bool hits(struct fuzz *f, CK_OBJECT_HANDLE handle)
{
    for (CK_ULONG i = 0; i < f->own_count; i++) {
        if (f->own[i] == handle) {
            return false;
        }
    }
    f->tried++;
    if (handle_works(f->s, handle, f->mine, &f->blob)) {
        scene_note(f->s, "handle 0x%lx, which beta never got, works in beta", handle);
        return true;
    }
    return false;
}

static bool fuzz_around(struct fuzz *f, const CK_OBJECT_HANDLE *yours, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (CK_OBJECT_HANDLE d = 0; d <= 64; d++) {
            if (hits(f, yours[i] + d) || hits(f, yours[i] - d)) {
                return true;
            }
        }
        for (unsigned bit = 0; bit < 64; bit++) {
            if (hits(f, yours[i] ^ 1UL << bit)) {
                return true;
            }
        }
    }
    for (CK_OBJECT_HANDLE h = 0; h < 4096; h++) {
        if (hits(f, h)) {
            return true;
        }
    }
    for (unsigned i = 0; i < 8192; i++) {
        CK_OBJECT_HANDLE h = 0;
        cipher_random((uint8_t *)&h, i % 2 == 0 ? 4 : sizeof h);
        if (hits(f, h)) {
            return true;
        }
    }
    return false;
}

enum verdict attack_handles(struct scene *s)
{
    struct fuzz f = {.s = s};
    struct sheet everything = {0};
    scene_enter(s, ALPHA);
    scene_enter(s, BETA);
    const CK_OBJECT_HANDLE yours[] = {s->places[ALPHA].master, your_key(s, false, true),
                                      your_key(s, false, false), your_key(s, true, true),
                                      s->places[ALPHA].session};
    f.mine = scene_data_key(s, BETA, true);
    scene_wrapped_dek(s, ALPHA, &f.blob);
    if (s->direct) { /* all objects are everybody's there; what beta made itself is the data key */
        f.own[f.own_count++] = f.mine;
        f.own[f.own_count++] = s->places[BETA].master;
    } else {
        f.own_count = scene_find(s, BETA, &everything, f.own, 64);
        scene_need(s, f.own_count >= 2 && f.own_count < 64, "beta does not find its own keys");
    }
    if (fuzz_around(&f, yours, sizeof yours / sizeof yours[0])) {
        return SUCCEEDS;
    }
    for (size_t i = 1; i < 4; i++) {
        struct blob out;
        const CK_OBJECT_HANDLE keys[2] = {s->places[ALPHA].master, yours[i]};
        if (scene_wrap(s, ALPHA, CKM_AES_KEY_WRAP, keys, &out) != CKR_OK) {
            scene_note(s, "a data key of alpha did not survive beta");
            return SUCCEEDS;
        }
    }
    scene_note(s, "%lu handles, each in 8 calls", f.tried);
    return REFUSED;
}

static bool is_user(struct scene *s, enum where w)
{
    CK_SESSION_INFO info;
    return s->p11->C_GetSessionInfo(s->places[w].session, &info) == CKR_OK &&
           (info.state == CKS_RW_USER_FUNCTIONS || info.state == CKS_RO_USER_FUNCTIONS);
}

/* What an application of beta can do without a login: a code, or an object found. */
static bool serves_without_login(struct scene *s)
{
    CK_OBJECT_HANDLE found[16];
    CK_OBJECT_HANDLE key = 0;
    struct sheet everything = {0};
    struct sheet t = {0};
    if (is_user(s, BETA)) {
        scene_note(s, "beta's session is in USER state without C_Login");
        return true;
    }
    if (scene_find(s, BETA, &everything, found, 16) > 0) {
        scene_note(s, "beta finds keys without C_Login");
        return true;
    }
    sheet_data_key(&t, CKK_AES, true);
    sheet_ulong(&t, CKA_VALUE_LEN, 32);
    CK_RV generated = scene_generate(s, BETA, &t, &key);
    t.count--;
    sheet_bytes(&t, CKA_VALUE, s->dek, sizeof s->dek);
    CK_RV created = scene_create(s, BETA, &t, &key);
    scene_expect(s, generated, CKR_USER_NOT_LOGGED_IN, "C_GenerateKey without a login");
    scene_expect(s, created, CKR_USER_NOT_LOGGED_IN, "C_CreateObject without a login");
    return generated == CKR_OK || created == CKR_OK;
}

enum verdict attack_login(struct scene *s)
{
    scene_sit_down(s, BETA);
    scene_enter(s, ALPHA);
    scene_need(s, scene_try_wrap(s, ALPHA) == CKR_OK, "the master key of alpha does not wrap");
    if (serves_without_login(s)) {
        return SUCCEEDS;
    }
    const CK_OBJECT_HANDLE keys[2] = {s->places[ALPHA].master, scene_data_key(s, ALPHA, true)};
    struct blob blob;
    CK_RV rv = scene_wrap(s, BETA, CKM_AES_KEY_WRAP, keys, &blob);
    scene_expect(s, rv, CKR_USER_NOT_LOGGED_IN, "C_WrapKey without a login");
    return rv == CKR_OK ? SUCCEEDS : REFUSED;
}

/* A wrong PIN, while the backing token is logged in for somebody else. */
static bool gets_in(struct scene *s)
{
    static const char *const wrong[] = {"4321", "123", "12345", "1234x"};
    scene_sit_down(s, BETA);
    scene_enter(s, ALPHA);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CK_RV rv = scene_login(s, BETA, wrong[i]);
        scene_expect(s, rv, CKR_PIN_INCORRECT, "C_Login with a wrong PIN");
        if (rv == CKR_OK || is_user(s, BETA)) {
            scene_note(s, "beta is in USER state after C_Login with a wrong PIN (0x%lx)", rv);
            return true;
        }
    }
    scene_need(s, scene_login(s, BETA, FIXTURE_PIN) == CKR_OK, "the right PIN is refused");
    return false;
}

/* Once with a PIN file in the configuration, which a given PIN has to equal, and once without. */
enum verdict attack_pin(struct scene *s)
{
    if (gets_in(s)) {
        return SUCCEEDS;
    }
    if (!s->direct) {
        scene_forget_pin(s);
        if (gets_in(s)) {
            return SUCCEEDS;
        }
    }
    return REFUSED;
}

/* beta logs out and closes all its sessions: alpha must not notice. */
enum verdict attack_bystander(struct scene *s)
{
    struct blob blob;
    scene_enter(s, ALPHA);
    scene_enter(s, BETA);
    const CK_OBJECT_HANDLE keys[2] = {s->places[ALPHA].master, your_key(s, false, true)};
    scene_need(s, scene_wrap(s, ALPHA, CKM_AES_KEY_WRAP, keys, &blob) == CKR_OK,
               "the master key of alpha does not wrap");
    scene_need(s, s->p11->C_Logout(s->places[BETA].session) == CKR_OK, "C_Logout");
    if (!is_user(s, ALPHA) || scene_wrap(s, ALPHA, CKM_AES_KEY_WRAP, keys, &blob) != CKR_OK) {
        scene_note(s, "C_Logout of beta logged alpha out");
        return SUCCEEDS;
    }
    scene_need(s, scene_login(s, BETA, FIXTURE_PIN) == CKR_OK, "C_Login");
    scene_need(s, s->p11->C_CloseAllSessions(s->places[BETA].slot) == CKR_OK, "C_CloseAllSessions");
    if (!is_user(s, ALPHA) || scene_wrap(s, ALPHA, CKM_AES_KEY_WRAP, keys, &blob) != CKR_OK) {
        scene_note(s, "C_CloseAllSessions of beta closed alpha's session");
        return SUCCEEDS;
    }
    return REFUSED;
}
