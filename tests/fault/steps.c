#include "steps.h"

#include <stdio.h>
#include <string.h>

#include "envelope.h"

enum { VALUE = 32, BLOB = 40 };

struct fixture *steps_world;
struct faulty_control *steps_control;
static uint8_t cmk_value[VALUE];
static uint8_t value[VALUE];
static uint8_t blob[BLOB];
static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE cmk;

CK_RV steps_enter(bool *wrong)
{
    CK_SLOT_ID slots[4];
    CK_ULONG count = 4;
    CK_RV rv = steps_world->calls->C_Initialize(NULL);
    (void)wrong;
    session = 0;
    cmk = 0;
    if (rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) {
        rv = steps_world->calls->C_GetSlotList(CK_FALSE, slots, &count);
    }
    if (rv == CKR_OK) {
        rv = steps_world->calls->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
    }
    if (rv == CKR_OK) {
        rv = steps_world->calls->C_Login(session, CKU_USER, NULL, 0);
        rv = rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : rv;
    }
    if (rv == CKR_OK) {
        rv = steps_world->calls->C_FindObjectsInit(session, NULL, 0);
    }
    if (rv == CKR_OK) {
        rv = steps_world->calls->C_FindObjects(session, &cmk, 1, &count);
        CK_RV last = steps_world->calls->C_FindObjectsFinal(session);
        rv = rv == CKR_OK ? last : rv;
        rv = rv == CKR_OK && count != 1 ? CKR_KEY_HANDLE_INVALID : rv;
    }
    return rv;
}

/* OpenSSL's answer is the test's own business: scarce.c lets nothing fail while SoftHSM is at work, or this. */
static bool is_truth(const uint8_t padded[BLOB])
{
    uint8_t truth[BLOB];
    (void)atomic_fetch_add(&steps_control->inside, 1);
    bool same = envelope_wrap(cmk_value, VALUE, true, value, VALUE, truth) == BLOB && memcmp(padded, truth, BLOB) == 0;
    (void)atomic_fetch_sub(&steps_control->inside, 1);
    return same;
}

static CK_RV wrap_with(CK_MECHANISM_TYPE mechanism, CK_OBJECT_HANDLE key, uint8_t out[BLOB])
{
    CK_ULONG len = BLOB;
    CK_RV rv = steps_world->calls->C_WrapKey(session, caller_mechanism(mechanism), cmk, key, out, &len);
    return rv == CKR_OK && len != BLOB ? CKR_GENERAL_ERROR : rv;
}

static CK_RV import(CK_OBJECT_HANDLE *key)
{
    struct form t = {0};
    form_secret(&t, CKK_AES);
    form_readable(&t);
    form_bytes(&t, CKA_VALUE, value, VALUE);
    return steps_world->calls->C_CreateObject(session, t.a, t.count, key);
}

static CK_RV step_wrap(bool *wrong)
{
    CK_OBJECT_HANDLE key = 0;
    uint8_t out[BLOB];
    CK_RV rv = import(&key);
    if (rv == CKR_OK) {
        rv = wrap_with(CKM_AES_KEY_WRAP, key, out);
        (void)steps_world->calls->C_DestroyObject(session, key);
    }
    *wrong = rv == CKR_OK && memcmp(out, blob, BLOB) != 0;
    return rv;
}

static CK_RV step_wrap_padded(bool *wrong)
{
    CK_OBJECT_HANDLE key = 0;
    uint8_t out[BLOB];
    CK_RV rv = import(&key);
    if (rv == CKR_OK) {
        rv = wrap_with(CKM_AES_KEY_WRAP_KWP, key, out);
        (void)steps_world->calls->C_DestroyObject(session, key);
    }
    *wrong = rv == CKR_OK && !is_truth(out);
    return rv;
}

static CK_RV unwrap(bool sealed, CK_OBJECT_HANDLE *key)
{
    struct form t = {0};
    form_secret(&t, CKK_AES);
    if (sealed) {
        form_bool(&t, CKA_SENSITIVE, true);
        form_bool(&t, CKA_EXTRACTABLE, true);
    } else {
        form_readable(&t);
    }
    return steps_world->calls->C_UnwrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), cmk, blob, BLOB, t.a, t.count, key);
}

static CK_RV read_value(CK_OBJECT_HANDLE key, uint8_t out[VALUE])
{
    CK_ATTRIBUTE a = {CKA_VALUE, out, VALUE};
    CK_RV rv = steps_world->calls->C_GetAttributeValue(session, key, &a, 1);
    return rv == CKR_OK && a.ulValueLen != VALUE ? CKR_GENERAL_ERROR : rv;
}

static CK_RV step_unwrap(bool *wrong)
{
    CK_OBJECT_HANDLE key = 0;
    uint8_t got[VALUE];
    CK_RV rv = unwrap(false, &key);
    if (rv == CKR_OK) {
        rv = read_value(key, got);
        *wrong = rv != CKR_OK || memcmp(got, value, VALUE) != 0;
        (void)steps_world->calls->C_DestroyObject(session, key);
    }
    return rv;
}

/* Whether OpenSSL opens the blob under the known master key, to `want` when that is not NULL. */
static bool opens(const uint8_t wrapped[BLOB], const uint8_t *want)
{
    uint8_t got[BLOB];
    (void)atomic_fetch_add(&steps_control->inside, 1);
    bool good = envelope_open(cmk_value, VALUE, wrapped, BLOB, got) && (want == NULL || memcmp(got, want, VALUE) == 0);
    (void)atomic_fetch_sub(&steps_control->inside, 1);
    return good;
}

static CK_RV step_generate(bool *wrong)
{
    static const uint8_t zero[VALUE];
    CK_OBJECT_HANDLE key = 0;
    struct form t = {0};
    uint8_t got[VALUE] = {0};
    form_readable(&t);
    form_ulong(&t, CKA_VALUE_LEN, VALUE);
    CK_RV rv = steps_world->calls->C_GenerateKey(session, caller_mechanism(CKM_AES_KEY_GEN), t.a, t.count, &key);
    if (rv == CKR_OK) {
        rv = read_value(key, got);
        *wrong = rv != CKR_OK || memcmp(got, zero, VALUE) == 0;
        (void)steps_world->calls->C_DestroyObject(session, key);
    }
    return rv;
}

/* A sealed data key lives in the token. One that the token has lost is CKR_KEY_HANDLE_INVALID or CKR_OBJECT_HANDLE_INVALID. */
static CK_RV finish_sealed(CK_RV rv, CK_OBJECT_HANDLE key, const uint8_t *want, bool *wrong)
{
    uint8_t out[BLOB];
    if (rv == CKR_OK) {
        rv = wrap_with(CKM_AES_KEY_WRAP, key, out);
        *wrong = rv == CKR_OK && !opens(out, want);
        (void)steps_world->calls->C_DestroyObject(session, key);
    }
    return rv;
}

static CK_RV step_sealed(bool *wrong)
{
    CK_OBJECT_HANDLE key = 0;
    struct form t = {0};
    form_bool(&t, CKA_SENSITIVE, true);
    form_bool(&t, CKA_EXTRACTABLE, true);
    form_ulong(&t, CKA_VALUE_LEN, VALUE);
    CK_RV rv = steps_world->calls->C_GenerateKey(session, caller_mechanism(CKM_AES_KEY_GEN), t.a, t.count, &key);
    return finish_sealed(rv, key, NULL, wrong);
}

static CK_RV step_unseal(bool *wrong)
{
    CK_OBJECT_HANDLE key = 0;
    CK_RV rv = unwrap(true, &key);
    return finish_sealed(rv, key, value, wrong);
}

const struct step steps[] = {
    {"login", true, true, steps_enter},
    {"cold wrap", true, false, step_wrap},
    {"cold wrap, padded", true, false, step_wrap_padded},
    {"cold unwrap", true, false, step_unwrap},
    {"generate", false, false, step_generate},
    {"wrap", false, false, step_wrap},
    {"unwrap", false, false, step_unwrap},
    {"generate sealed, wrap", false, false, step_sealed},
    {"unwrap sealed, wrap", false, false, step_unseal},
};
_Static_assert(sizeof steps / sizeof steps[0] == STEPS, "steps.h counts them");

const struct lie lies[] = {
    {"renumber", FAULTY_ANY, FAULTY_RENUMBER, 0, false},
    {"drop sessions", FAULTY_ANY, FAULTY_DROP, 0, false},
    {"log out", FAULTY_ANY, FAULTY_LOGOUT, 0, false},
    {"vanish", FAULTY_ANY, FAULTY_VANISH, 0, true},
    {"20 ms late", FAULTY_ANY, FAULTY_DELAY, 20, false},
    {"length + 1", FAULTY_C_WrapKey, FAULTY_LENGTH, 1, false},
    {"length - 1", FAULTY_C_WrapKey, FAULTY_LENGTH, (CK_ULONG)-1, false},
    {"length + 2^20", FAULTY_C_WrapKey, FAULTY_LENGTH, 1 << 20, false},
    {"length + 1", FAULTY_C_GetAttributeValue, FAULTY_LENGTH, 1, false},
    {"length - 1", FAULTY_C_GetAttributeValue, FAULTY_LENGTH, (CK_ULONG)-1, false},
    {"length + 2^40", FAULTY_C_GetAttributeValue, FAULTY_LENGTH, 1UL << 40, false},
    {"count + 1000", FAULTY_C_FindObjects, FAULTY_LENGTH, 1000, false},
    {"count + 1000", FAULTY_C_GetSlotList, FAULTY_LENGTH, 1000, false},
    {"handle 0", FAULTY_C_FindObjects, FAULTY_ZERO, 0, false},
    {"handle 0", FAULTY_C_CreateObject, FAULTY_ZERO, 0, false},
    {"handle 0", FAULTY_C_GenerateKey, FAULTY_ZERO, 0, false},
    {"handle 0", FAULTY_C_UnwrapKey, FAULTY_ZERO, 0, false},
    {"handle 0", FAULTY_C_OpenSession, FAULTY_ZERO, 0, false},
    {"another key", FAULTY_C_FindObjects, FAULTY_OTHER, 0, false},
    {"another key", FAULTY_C_UnwrapKey, FAULTY_OTHER, 0, false},
    {"PIN locked", FAULTY_C_GetTokenInfo, FAULTY_FLAGS, CKF_USER_PIN_LOCKED, false},
    {"last try of the PIN", FAULTY_C_GetTokenInfo, FAULTY_FLAGS, CKF_USER_PIN_FINAL_TRY, false},
    {"no session", FAULTY_C_OpenSession, FAULTY_LIMIT, 0, true},
};
_Static_assert(sizeof lies / sizeof lies[0] == LIES, "steps.h counts them");

bool steps_ready(const struct step *s)
{
    bool wrong = false;
    if (s->fresh) {
        (void)steps_world->calls->C_Finalize(NULL);
        return s->login || steps_enter(&wrong) == CKR_OK;
    }
    return s->run(&wrong) == CKR_OK && !wrong;
}

bool steps_start(void)
{
    static const struct fixture_slot slots[] = {{.name = "faulty", .tokens = "eu-1", .cmk = FIXTURE_CMK_KNOWN}, {0}};
    const struct fixture_settings settings = {.slots = slots, .vendor = scandal_prepare(&steps_control)};
    fixture_known_value(cmk_value);
    for (size_t i = 0; i < VALUE; i++) {
        value[i] = (uint8_t)(i * 7 + 3);
    }
    steps_world = settings.vendor == NULL ? NULL : fixture_start(&settings);
    return steps_world != NULL && envelope_wrap(cmk_value, VALUE, false, value, VALUE, blob) == BLOB;
}
