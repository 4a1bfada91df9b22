#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cipher.h"
#include "scene.h"

/* What a template says of a flag. */
enum say { SILENT, YES, NO };

static void say(struct sheet *t, CK_ATTRIBUTE_TYPE type, enum say what)
{
    if (what != SILENT) {
        sheet_bool(t, type, what == YES);
    }
}

/* Unwraps a sensitive data key with the flags said; true when the result shows its value. */
static bool unwraps_readable(struct scene *s, enum where w, enum say sensitive, enum say extractable)
{
    struct blob blob;
    struct sheet t = {0};
    CK_OBJECT_HANDLE key = 0;
    scene_wrapped_dek(s, w, &blob);
    sheet_secret(&t, CKK_AES, false);
    say(&t, CKA_SENSITIVE, sensitive);
    say(&t, CKA_EXTRACTABLE, extractable);
    CK_RV rv =
        scene_unwrap(s, w, &(struct scene_opening){CKM_AES_KEY_WRAP, s->places[w].master, &blob}, &t, &key);
    if (w == SEALED && sensitive == NO) {
        scene_expect(s, rv, CKR_TEMPLATE_INCONSISTENT, "C_UnwrapKey {SENSITIVE false} in a sealed slot");
    }
    bool read = rv == CKR_OK && scene_reads_dek(s, w, key);
    if (rv == CKR_OK) {
        scene_destroy(s, w, key);
    }
    return read;
}

/* The plain form, for the vendor's module. */
enum verdict attack_launder(struct scene *s)
{
    scene_enter(s, ALPHA);
    if (unwraps_readable(s, ALPHA, NO, YES)) {
        scene_note(s, "a sensitive data key came back readable");
        return SUCCEEDS;
    }
    return REFUSED;
}

enum verdict attack_launder_sealed(struct scene *s)
{
    scene_enter(s, SEALED);
    for (enum say sensitive = SILENT; sensitive <= NO; sensitive++) {
        for (enum say extractable = SILENT; extractable <= NO; extractable++) {
            if (unwraps_readable(s, SEALED, sensitive, extractable)) {
                scene_note(s, "C_UnwrapKey in a sealed slot gave a readable key");
                return SUCCEEDS;
            }
        }
    }
    struct sheet t = {0};
    CK_OBJECT_HANDLE key = scene_data_key(s, SEALED, true);
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE set = {CKA_SENSITIVE, &no, sizeof no};
    (void)s->p11->C_SetAttributeValue(s->places[SEALED].session, key, &set, 1);
    if (scene_reads_dek(s, SEALED, key)) {
        scene_note(s, "C_SetAttributeValue made a sealed key readable");
        return SUCCEEDS;
    }
    sheet_data_key(&t, CKK_AES, false);
    sheet_bytes(&t, CKA_VALUE, s->dek, sizeof s->dek);
    CK_RV rv = scene_create(s, SEALED, &t, &key);
    sheet_data_key(&t, CKK_AES, false);
    sheet_ulong(&t, CKA_VALUE_LEN, 32);
    return rv == CKR_OK || scene_generate(s, SEALED, &t, &key) == CKR_OK ? SUCCEEDS : REFUSED;
}

/*
 * In a readable slot the broker may have data keys in clear, by configuration. What must hold:
 * nothing is readable that was not asked to be (CKA_SENSITIVE false and CKA_EXTRACTABLE not false),
 * a sensitive object stays so, and the master key never shows its value.
 */
enum verdict attack_launder_readable(struct scene *s)
{
    uint8_t value[64];
    scene_enter(s, ALPHA);
    scene_need(s, unwraps_readable(s, ALPHA, NO, YES), "a readable slot does not give a readable key");
    for (enum say sensitive = SILENT; sensitive <= NO; sensitive++) {
        for (enum say extractable = SILENT; extractable <= NO; extractable++) {
            bool asked = sensitive == NO && extractable != NO;
            if (!asked && unwraps_readable(s, ALPHA, sensitive, extractable)) {
                scene_note(s, "a key is readable that was not asked to be");
                return SUCCEEDS;
            }
        }
    }
    CK_OBJECT_HANDLE key = scene_data_key(s, ALPHA, true);
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE set = {CKA_SENSITIVE, &no, sizeof no};
    CK_RV rv = s->p11->C_SetAttributeValue(s->places[ALPHA].session, key, &set, 1);
    scene_expect(s, rv, CKR_ATTRIBUTE_READ_ONLY, "C_SetAttributeValue {SENSITIVE false}");
    CK_ATTRIBUTE master = {CKA_VALUE, value, sizeof value};
    CK_RV shown = s->p11->C_GetAttributeValue(s->places[ALPHA].session, s->places[ALPHA].master, &master, 1);
    scene_expect(s, shown, CKR_ATTRIBUTE_SENSITIVE, "CKA_VALUE of the master key");
    return rv == CKR_OK || shown == CKR_OK || scene_reads_dek(s, ALPHA, key) ? SUCCEEDS : REFUSED;
}

/* The attributes that nobody may change, each to the value that helps an attacker. */
static const struct {
    CK_ATTRIBUTE_TYPE type;
    CK_BBOOL value;
} flips[] = {
    {CKA_ENCRYPT, CK_TRUE},
    {CKA_DECRYPT, CK_TRUE},
    {CKA_SIGN, CK_TRUE},
    {CKA_VERIFY, CK_TRUE},
    {CKA_DERIVE, CK_TRUE},
    {CKA_WRAP, CK_TRUE},
    {CKA_UNWRAP, CK_TRUE},
    {CKA_WRAP, CK_FALSE},
    {CKA_UNWRAP, CK_FALSE},
    {CKA_SENSITIVE, CK_FALSE},
    {CKA_EXTRACTABLE, CK_TRUE},
    {CKA_PRIVATE, CK_FALSE},
    {CKA_TOKEN, CK_FALSE},
    {CKA_MODIFIABLE, CK_TRUE},
    {CKA_COPYABLE, CK_TRUE},
    {CKA_TRUSTED, CK_TRUE},
    {CKA_ALWAYS_SENSITIVE, CK_TRUE},
    {CKA_NEVER_EXTRACTABLE, CK_TRUE},
    {CKA_LOCAL, CK_TRUE},
    {CKA_WRAP_WITH_TRUSTED, CK_FALSE},
};

static bool flips_here(struct scene *s, CK_OBJECT_HANDLE key)
{
    for (size_t i = 0; i < sizeof flips / sizeof flips[0]; i++) {
        CK_BBOOL value = flips[i].value;
        CK_ATTRIBUTE set = {flips[i].type, &value, sizeof value};
        CK_RV rv = s->p11->C_SetAttributeValue(s->places[ALPHA].session, key, &set, 1);
        if (!s->direct && rv != CKR_ATTRIBUTE_READ_ONLY && rv != CKR_ACTION_PROHIBITED) {
            scene_expect(s, rv, CKR_ATTRIBUTE_READ_ONLY, "C_SetAttributeValue");
        }
        if (rv == CKR_OK) {
            scene_note(s, "C_SetAttributeValue changed attribute 0x%lx", flips[i].type);
            return true;
        }
    }
    return false;
}

/* A flip through the module under attack, on the master key and on a data key. */
enum verdict attack_flip_here(struct scene *s)
{
    scene_enter(s, ALPHA);
    return flips_here(s, s->places[ALPHA].master) || flips_here(s, scene_data_key(s, ALPHA, true)) ? SUCCEEDS
                                                                                                   : REFUSED;
}

static void set_outside(struct scene *s, CK_ATTRIBUTE_TYPE type, bool value)
{
    struct outsider_key k = {.type = type, .value = value};
    (void)snprintf(k.label, sizeof k.label, "%s", s->places[ALPHA].name);
    scene_outside(s, outsider_key, &k, sizeof k);
}

/* The way in which Keyward comes to read the attributes again. */
enum reading { BY_FIND, BY_TIME, BY_CONNECTION };

static bool serves_after_flip(struct scene *s, CK_ATTRIBUTE_TYPE type, enum reading how)
{
    static const char *const hows[] = {"after C_FindObjectsInit", "a second later", "after a new connection"};
    struct blob blob;
    struct sheet t = {0};
    CK_OBJECT_HANDLE key = 0;
    scene_wrapped_dek(s, ALPHA, &blob);
    set_outside(s, type, true);
    if (how == BY_CONNECTION) {
        scene_restart(s);
        scene_enter(s, ALPHA);
    } else if (how == BY_FIND) {
        (void)scene_find_master(s, ALPHA);
    } else {
        (void)nanosleep(&(struct timespec){1, 20000000}, NULL);
    }
    CK_RV wrapped = scene_try_wrap(s, ALPHA);
    sheet_data_key(&t, CKK_AES, false);
    const struct scene_opening o = {CKM_AES_KEY_WRAP, s->places[ALPHA].master, &blob};
    CK_RV opened = scene_unwrap(s, ALPHA, &o, &t, &key);
    scene_expect(s, wrapped, CKR_KEY_FUNCTION_NOT_PERMITTED, "C_WrapKey after a flip outside");
    scene_expect(s, opened, CKR_KEY_FUNCTION_NOT_PERMITTED, "C_UnwrapKey after a flip outside");
    set_outside(s, type, false);
    if (wrapped == CKR_OK || opened == CKR_OK) {
        scene_note(s, "serves with attribute 0x%lx true, %s", type, hows[how]);
        return true;
    }
    scene_enter(s, ALPHA); /* the attribute is as it was: reading again finds the key in order */
    return false;
}

enum verdict attack_flip(struct scene *s)
{
    static const CK_ATTRIBUTE_TYPE types[] = {CKA_DECRYPT, CKA_DERIVE, CKA_ENCRYPT, CKA_SIGN};
    scene_enter(s, ALPHA);
    for (enum reading how = BY_FIND; how <= BY_CONNECTION; how++) {
        for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
            if (serves_after_flip(s, types[i], how)) {
                return SUCCEEDS;
            }
        }
    }
    return REFUSED;
}

enum verdict attack_copy(struct scene *s)
{
    static const struct {
        CK_ATTRIBUTE_TYPE type;
        bool value;
    } changes[] = {{CKA_DECRYPT, true}, {CKA_EXTRACTABLE, true}, {CKA_SENSITIVE, false}, {CKA_LABEL, false}};
    scene_enter(s, ALPHA);
    const CK_OBJECT_HANDLE keys[] = {s->places[ALPHA].master, scene_data_key(s, ALPHA, true)};
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
            CK_OBJECT_HANDLE copy = 0;
            struct sheet t = {0};
            if (changes[i].type == CKA_LABEL) {
                sheet_bytes(&t, CKA_LABEL, "copy", 4);
            } else {
                sheet_bool(&t, changes[i].type, changes[i].value);
            }
            CK_RV rv = s->p11->C_CopyObject(s->places[ALPHA].session, keys[k], t.items, t.count, &copy);
            scene_expect(s, rv, CKR_FUNCTION_NOT_SUPPORTED, "C_CopyObject");
            if (rv == CKR_OK) {
                scene_note(s, "a copy with attribute 0x%lx changed", changes[i].type);
                return SUCCEEDS;
            }
        }
    }
    return REFUSED;
}

/* Whether the key claims the attribute. */
static bool claims(struct scene *s, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type)
{
    CK_BBOOL value = CK_FALSE;
    CK_ATTRIBUTE a = {type, &value, sizeof value};
    return s->p11->C_GetAttributeValue(s->places[ALPHA].session, key, &a, 1) == CKR_OK && value == CK_TRUE;
}

/* Makes keys with `type` true in all three ways. True when one has it. */
static bool gets_attribute(struct scene *s, CK_ATTRIBUTE_TYPE type)
{
    struct blob blob;
    struct sheet t = {0};
    CK_OBJECT_HANDLE key = 0;
    scene_wrapped_dek(s, ALPHA, &blob);
    sheet_data_key(&t, CKK_AES, true);
    sheet_bool(&t, type, true);
    sheet_bytes(&t, CKA_VALUE, s->dek, sizeof s->dek);
    bool got = scene_create(s, ALPHA, &t, &key) == CKR_OK && claims(s, key, type);
    sheet_data_key(&t, CKK_AES, true);
    sheet_bool(&t, type, true);
    const struct scene_opening o = {CKM_AES_KEY_WRAP, s->places[ALPHA].master, &blob};
    got = got || (scene_unwrap(s, ALPHA, &o, &t, &key) == CKR_OK && claims(s, key, type));
    if (type == CKA_TRUSTED) {
        sheet_data_key(&t, CKK_AES, true);
        sheet_bool(&t, type, true);
        sheet_ulong(&t, CKA_VALUE_LEN, 32);
        got = got || (scene_generate(s, ALPHA, &t, &key) == CKR_OK && claims(s, key, type));
    }
    if (got) {
        scene_note(s, "a key was made with attribute 0x%lx true", type);
    }
    return got;
}

enum verdict attack_trusted(struct scene *s)
{
    scene_enter(s, ALPHA);
    return gets_attribute(s, CKA_TRUSTED) ? SUCCEEDS : REFUSED;
}

enum verdict attack_provenance(struct scene *s)
{
    static const CK_ATTRIBUTE_TYPE types[] = {CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE};
    scene_enter(s, ALPHA);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (gets_attribute(s, types[i])) {
            return SUCCEEDS;
        }
        if (claims(s, scene_data_key(s, ALPHA, true), types[i])) {
            scene_note(s, "a key from outside claims attribute 0x%lx", types[i]);
            return SUCCEEDS;
        }
    }
    return REFUSED;
}

enum verdict attack_unwrap_template(struct scene *s)
{
    uint8_t value[SCENE_KEY_LEN];
    scene_plant(s, PLANTED, PLANT_UNWRAP_TEMPLATE, value);
    scene_enter(s, PLANTED);
    scene_enter(s, SEALED);
    scene_need(s, s->places[PLANTED].master != 0, "the planted master key is not found");
    if (unwraps_readable(s, PLANTED, NO, YES)) {
        scene_note(s, "the master key's CKA_UNWRAP_TEMPLATE is not obeyed");
        return SUCCEEDS;
    }
    return !s->direct && unwraps_readable(s, SEALED, NO, YES) ? SUCCEEDS : REFUSED;
}

enum verdict attack_allowed_mechanisms(struct scene *s)
{
    static const CK_MECHANISM_TYPE others[] = {CKM_AES_KEY_WRAP_PAD, CKM_AES_KEY_WRAP_KWP, CKM_AES_CBC};
    uint8_t value[SCENE_KEY_LEN];
    uint8_t iv[8];
    struct blob blob = {.len = SCENE_KEY_LEN + 8};
    struct blob out;
    scene_plant(s, PLANTED, PLANT_KW_ONLY, value);
    scene_enter(s, PLANTED);
    scene_need(s, s->places[PLANTED].master != 0 && scene_try_wrap(s, PLANTED) == CKR_OK,
               "the planted key does not wrap");
    struct cipher_key known = {value, sizeof value};
    cipher_kwp_iv(iv, sizeof s->dek);
    scene_need(s,
               cipher_seal(&(struct cipher_mill){cipher_known_forward, &known}, iv, s->dek, sizeof s->dek,
                           blob.bytes),
               "AES");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        CK_OBJECT_HANDLE key = 0;
        CK_OBJECT_HANDLE keys[2] = {s->places[PLANTED].master, scene_data_key(s, PLANTED, true)};
        struct sheet t = {0};
        sheet_data_key(&t, CKK_AES, false);
        const struct scene_opening o = {others[i], keys[0], &blob};
        if (scene_wrap(s, PLANTED, others[i], keys, &out) == CKR_OK ||
            scene_unwrap(s, PLANTED, &o, &t, &key) == CKR_OK) {
            scene_note(s, "mechanism 0x%lx is done though it is not in CKA_ALLOWED_MECHANISMS", others[i]);
            return SUCCEEDS;
        }
    }
    return REFUSED;
}

enum verdict attack_duplicates(struct scene *s)
{
    struct blob blob;
    scene_enter(s, ALPHA);
    scene_wrapped_dek(s, ALPHA, &blob);
    for (int equal = 0; equal < 2; equal++) {
        struct sheet t = {0};
        CK_OBJECT_HANDLE key = 0;
        sheet_data_key(&t, CKK_AES, true);
        sheet_bool(&t, CKA_SENSITIVE, equal == 1);
        const struct scene_opening o = {CKM_AES_KEY_WRAP, s->places[ALPHA].master, &blob};
        CK_RV unwrapped = scene_unwrap(s, ALPHA, &o, &t, &key);
        sheet_ulong(&t, CKA_VALUE_LEN, 32);
        CK_RV generated = scene_generate(s, ALPHA, &t, &key);
        t.count--;
        sheet_bytes(&t, CKA_VALUE, s->dek, sizeof s->dek);
        CK_RV created = scene_create(s, ALPHA, &t, &key);
        scene_expect(s, unwrapped, CKR_TEMPLATE_INCONSISTENT, "C_UnwrapKey with an attribute twice");
        scene_expect(s, generated, CKR_TEMPLATE_INCONSISTENT, "C_GenerateKey with an attribute twice");
        scene_expect(s, created, CKR_TEMPLATE_INCONSISTENT, "C_CreateObject with an attribute twice");
        if (unwrapped == CKR_OK || generated == CKR_OK || created == CKR_OK) {
            scene_note(s, "a template with two values of CKA_SENSITIVE was accepted");
            return SUCCEEDS;
        }
    }
    return REFUSED;
}
