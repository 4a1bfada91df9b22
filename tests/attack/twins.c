#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cipher.h"
#include "scene.h"

enum { TWINS = 3 };

/* The twin of a place's master key: same label, same CKA_ID, a value that the attacker knows. */
static void make_twin(struct scene *s, enum where w, struct outsider_plant *twin)
{
    struct outsider_key k = {0};
    (void)snprintf(k.label, sizeof k.label, "%s", s->places[w].name);
    scene_outside(s, outsider_key, &k, sizeof k);
    *twin = (struct outsider_plant){.len = SCENE_KEY_LEN, .known = true, .id_len = k.id_len};
    memcpy(twin->label, k.label, sizeof twin->label);
    memcpy(twin->id, k.id, k.id_len);
    cipher_random(twin->value, sizeof twin->value);
}

static void plant(struct scene *s, struct outsider_plant *twin)
{
    scene_outside(s, outsider_plant, twin, sizeof *twin);
}

/* A victim uses the key `master`: does the attacker get his data key, or the victim the attacker's? */
static bool deceived_by(struct scene *s, enum where w, CK_OBJECT_HANDLE master,
                        const struct outsider_plant *twin)
{
    const struct cipher_key known = {twin->value, twin->len};
    uint8_t out[SCENE_BLOB_MAX];
    struct blob blob;
    struct sheet t = {0};
    CK_OBJECT_HANDLE key = 0;
    CK_OBJECT_HANDLE keys[2] = {master, scene_data_key(s, w, true)};
    CK_RV wrapped = scene_wrap(s, w, CKM_AES_KEY_WRAP, keys, &blob);
    bool got = wrapped == CKR_OK && cipher_kw_unwrap(&known, blob.bytes, blob.len, out) &&
               memcmp(out, s->dek, sizeof s->dek) == 0;
    scene_destroy(s, w, keys[1]);
    scene_need(s, cipher_kw_wrap(&known, s->dek, sizeof s->dek, blob.bytes), "AES");
    blob.len = sizeof s->dek + 8;
    sheet_data_key(&t, CKK_AES, true);
    CK_RV opened = scene_unwrap(s, w, &(struct scene_opening){CKM_AES_KEY_WRAP, master, &blob}, &t, &key);
    scene_expect(s, wrapped, CKR_KEY_FUNCTION_NOT_PERMITTED, "C_WrapKey beside a twin");
    scene_expect(s, opened, CKR_KEY_FUNCTION_NOT_PERMITTED, "C_UnwrapKey beside a twin");
    if (!s->direct && wrapped == CKR_OK) { /* it is not for the victim to find out which of the two it was */
        scene_note(s, "C_WrapKey beside a twin: the CMK still serves");
        return true;
    }
    return got || opened == CKR_OK;
}

/* The victim looks for his key by label, and takes any key that he is shown. */
static bool deceived(struct scene *s, enum where w, const struct outsider_plant *twin)
{
    CK_OBJECT_HANDLE found[8] = {0};
    struct sheet t = {0};
    sheet_ulong(&t, CKA_CLASS, CKO_SECRET_KEY);
    sheet_bytes(&t, CKA_LABEL, s->places[w].name, strlen(s->places[w].name));
    CK_ULONG count = scene_find(s, w, &t, found, 8);
    for (CK_ULONG i = 0; i < count; i++) {
        if (deceived_by(s, w, found[i], twin)) {
            return true;
        }
    }
    return false;
}

enum verdict attack_twin_first(struct scene *s)
{
    struct outsider_plant twin;
    make_twin(s, ALPHA, &twin);
    for (int i = 0; i < TWINS; i++) {
        plant(s, &twin);
    }
    scene_sit_down(s, ALPHA);
    CK_RV rv = scene_login(s, ALPHA, FIXTURE_PIN);
    scene_need(s, rv == CKR_OK || (s->direct && rv == CKR_USER_ALREADY_LOGGED_IN), "C_Login");
    if (deceived(s, ALPHA, &twin)) {
        scene_note(s, "the victim used a twin that the attacker knows");
        return SUCCEEDS;
    }
    return REFUSED;
}

enum verdict attack_twin_later(struct scene *s)
{
    struct outsider_plant twin;
    scene_enter(s, ALPHA);
    scene_enter(s, BETA);
    scene_need(s, scene_try_wrap(s, ALPHA) == CKR_OK && scene_try_wrap(s, BETA) == CKR_OK,
               "the master keys do not wrap");
    make_twin(s, BETA, &twin);
    plant(s, &twin);
    if (deceived(s, BETA, &twin)) { /* seen at C_FindObjectsInit */
        scene_note(s, "a twin planted later is used");
        return SUCCEEDS;
    }
    make_twin(s, ALPHA, &twin);
    plant(s, &twin);
    (void)nanosleep(&(struct timespec){1, 20000000}, NULL);
    if (deceived_by(s, ALPHA, s->places[ALPHA].master, &twin)) { /* seen when a second has gone by */
        scene_note(s, "a second after a twin was planted, the old handle still serves");
        return SUCCEEDS;
    }
    return deceived(s, ALPHA, &twin) ? SUCCEEDS : REFUSED;
}

/* The master key is destroyed and the twin stands in its place. */
static bool replaced_deceives(struct scene *s, enum where w, struct outsider_plant *twin)
{
    struct outsider_key k = {.destroy = true};
    (void)snprintf(k.label, sizeof k.label, "%s", s->places[w].name);
    scene_outside(s, outsider_key, &k, sizeof k);
    plant(s, twin);
    if (!s->direct && scene_try_wrap(s, w) == CKR_OK) { /* at once, with the handle that the victim has */
        scene_note(s, "the old handle wraps with the key in the CMK's place");
        return true;
    }
    return deceived(s, w, twin);
}

enum verdict attack_replaced(struct scene *s)
{
    struct outsider_plant twin;
    scene_enter(s, ALPHA);
    scene_need(s, scene_try_wrap(s, ALPHA) == CKR_OK, "the master key does not wrap");
    make_twin(s, ALPHA, &twin);
    return replaced_deceives(s, ALPHA, &twin) ? SUCCEEDS : REFUSED;
}

/* As before, but the twin's CKA_ID carries a canary that fits the twin. A process that has used the
 * CMK knows better. */
enum verdict attack_replaced_with_canary(struct scene *s)
{
    struct outsider_plant twin;
    scene_enter(s, ALPHA);
    scene_need(s, scene_try_wrap(s, ALPHA) == CKR_OK, "the master key does not wrap");
    make_twin(s, ALPHA, &twin);
    if (twin.id_len == 48) { /* DESIGN section 4: 24 bytes of lineage, version, dates; then the canary */
        const uint8_t plain[16] = "keyward canary 1";
        scene_need(
            s, cipher_kw_wrap(&(struct cipher_key){twin.value, twin.len}, plain, sizeof plain, twin.id + 24),
            "AES");
    }
    return replaced_deceives(s, ALPHA, &twin) ? SUCCEEDS : REFUSED;
}
