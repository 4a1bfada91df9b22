#include "steps.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture *steps_world;
struct faulty_control *steps_control;
const struct step *steps;
size_t steps_count;
size_t steps_first_warm;

static uint8_t value[TRUTH_VALUE];
static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE wrapper;   /* the master key, of RSA the public half */
static CK_OBJECT_HANDLE unwrapper; /* the same, or the private half */

/* A wrapped `value` of each format, to be unwrapped. */
struct blob {
    size_t len;
    uint8_t bytes[TRUTH_BLOB_MAX];
};
static struct blob blobs[TRUTH_ENVELOPE + 1];
static bool is_rsa;

/* The first key that the slot shows, of a class of RSA halves. */
static CK_RV find(CK_OBJECT_CLASS class, CK_OBJECT_HANDLE *out)
{
    CK_ULONG count = 0;
    struct form t = {0};
    if (is_rsa) {
        form_ulong(&t, CKA_CLASS, class);
    }
    CK_RV rv = steps_world->calls->C_FindObjectsInit(session, t.a, t.count);
    if (rv == CKR_OK) {
        rv = steps_world->calls->C_FindObjects(session, out, 1, &count);
        CK_RV last = steps_world->calls->C_FindObjectsFinal(session);
        rv = rv == CKR_OK ? last : rv;
        rv = rv == CKR_OK && count != 1 ? CKR_KEY_HANDLE_INVALID : rv;
    }
    return rv;
}

CK_RV steps_enter(void)
{
    CK_SLOT_ID slots[4];
    CK_ULONG count = 4;
    CK_RV rv = steps_world->calls->C_Initialize(NULL);
    session = 0;
    wrapper = unwrapper = 0;
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
        rv = find(CKO_PUBLIC_KEY, &wrapper);
        unwrapper = wrapper;
    }
    return rv == CKR_OK && is_rsa ? find(CKO_PRIVATE_KEY, &unwrapper) : rv;
}

/* Mechanisms and their parameters. */
struct how {
    CK_RSA_PKCS_OAEP_PARAMS oaep;
    struct kw_rsa_aes_params both;
    CK_KEYWARD_ENVELOPE_PARAMS envelope;
    CK_MECHANISM mechanism;
};

static CK_MECHANISM *how_to(enum truth_format format, struct how *h)
{
    h->oaep = (CK_RSA_PKCS_OAEP_PARAMS){CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
    h->both = (struct kw_rsa_aes_params){8 * TRUTH_VALUE, &h->oaep};
    h->envelope = (CK_KEYWARD_ENVELOPE_PARAMS){NULL, 0};
    const CK_MECHANISM mechanisms[] = {
        [TRUTH_KW] = {CKM_AES_KEY_WRAP, NULL, 0},
        [TRUTH_KWP] = {CKM_AES_KEY_WRAP_KWP, NULL, 0},
        [TRUTH_OAEP] = {CKM_RSA_PKCS_OAEP, &h->oaep, sizeof h->oaep},
        [TRUTH_RSA_AES] = {CKM_RSA_AES_KEY_WRAP, &h->both, sizeof h->both},
        [TRUTH_ENVELOPE] = {CKM_KEYWARD_ENVELOPE, &h->envelope, sizeof h->envelope},
    };
    h->mechanism = mechanisms[format];
    return &h->mechanism;
}

static CK_RV wrap(enum truth_format format, CK_OBJECT_HANDLE key, struct blob *out)
{
    struct how h;
    CK_ULONG len = sizeof out->bytes;
    CK_RV rv = steps_world->calls->C_WrapKey(session, how_to(format, &h), wrapper, key, out->bytes, &len);
    out->len = len;
    return rv;
}

static CK_RV run_wrap(enum truth_format format, bool *wrong)
{
    CK_OBJECT_HANDLE key = 0;
    struct blob out = {.len = 0};
    struct form t = {0};
    form_secret(&t, CKK_AES);
    form_readable(&t);
    form_bytes(&t, CKA_VALUE, value, sizeof value);
    CK_RV rv = steps_world->calls->C_CreateObject(session, t.a, t.count, &key);
    if (rv == CKR_OK) {
        rv = wrap(format, key, &out);
        (void)steps_world->calls->C_DestroyObject(session, key);
    }
    *wrong = rv == CKR_OK && !truth_is(format, out.bytes, out.len, value);
    return rv;
}

static CK_RV unwrap(enum truth_format format, bool sealed, CK_OBJECT_HANDLE *key)
{
    struct how h;
    struct form t = {0};
    form_secret(&t, CKK_AES);
    if (sealed) {
        form_bool(&t, CKA_SENSITIVE, true);
        form_bool(&t, CKA_EXTRACTABLE, true);
    } else {
        form_readable(&t);
    }
    return steps_world->calls->C_UnwrapKey(session, how_to(format, &h), unwrapper, blobs[format].bytes, blobs[format].len, t.a, t.count, key);
}

static CK_RV read_value(CK_OBJECT_HANDLE key, uint8_t out[TRUTH_VALUE])
{
    CK_ATTRIBUTE a = {CKA_VALUE, out, TRUTH_VALUE};
    CK_RV rv = steps_world->calls->C_GetAttributeValue(session, key, &a, 1);
    return rv == CKR_OK && a.ulValueLen != TRUTH_VALUE ? CKR_GENERAL_ERROR : rv;
}

static CK_RV run_unwrap(enum truth_format format, bool *wrong)
{
    CK_OBJECT_HANDLE key = 0;
    uint8_t got[TRUTH_VALUE];
    CK_RV rv = unwrap(format, false, &key);
    if (rv == CKR_OK) {
        rv = read_value(key, got);
        *wrong = rv != CKR_OK || memcmp(got, value, TRUTH_VALUE) != 0;
        (void)steps_world->calls->C_DestroyObject(session, key);
    }
    return rv;
}

static CK_RV generate(bool sealed, CK_OBJECT_HANDLE *key)
{
    struct form t = {0};
    form_bool(&t, CKA_SENSITIVE, sealed);
    form_bool(&t, CKA_EXTRACTABLE, true);
    form_ulong(&t, CKA_VALUE_LEN, TRUTH_VALUE);
    return steps_world->calls->C_GenerateKey(session, caller_mechanism(CKM_AES_KEY_GEN), t.a, t.count, key);
}

static CK_RV run_generate(bool *wrong)
{
    static const uint8_t zero[TRUTH_VALUE];
    CK_OBJECT_HANDLE key = 0;
    uint8_t got[TRUTH_VALUE] = {0};
    CK_RV rv = generate(false, &key);
    if (rv == CKR_OK) {
        rv = read_value(key, got);
        *wrong = rv != CKR_OK || memcmp(got, zero, TRUTH_VALUE) == 0;
        (void)steps_world->calls->C_DestroyObject(session, key);
    }
    return rv;
}

/* A sealed data key lives in the token. One that the token has lost is CKR_KEY_HANDLE_INVALID or CKR_OBJECT_HANDLE_INVALID. */
static CK_RV run_sealed(const struct step *s, bool *wrong)
{
    CK_OBJECT_HANDLE key = 0;
    struct blob out = {.len = 0};
    bool unwraps = s->deed == STEP_UNWRAP_SEALED;
    CK_RV rv = unwraps ? unwrap(s->format, true, &key) : generate(true, &key);
    if (rv == CKR_OK) {
        rv = wrap(s->format, key, &out);
        *wrong = rv == CKR_OK && !truth_is(s->format, out.bytes, out.len, unwraps ? value : NULL);
        (void)steps_world->calls->C_DestroyObject(session, key);
    }
    return rv;
}

CK_RV steps_run(const struct step *s, bool *wrong)
{
    switch (s->deed) {
    case STEP_LOGIN:
        return steps_enter();
    case STEP_WRAP:
        return run_wrap(s->format, wrong);
    case STEP_UNWRAP:
        return run_unwrap(s->format, wrong);
    case STEP_GENERATE:
        return run_generate(wrong);
    default:
        return run_sealed(s, wrong);
    }
}

static const struct step aes_steps[] = {
    {"login", STEP_LOGIN, TRUTH_KW, true},
    {"cold wrap", STEP_WRAP, TRUTH_KW, true},
    {"cold wrap, padded", STEP_WRAP, TRUTH_KWP, true},
    {"cold unwrap", STEP_UNWRAP, TRUTH_KW, true},
    {"cold envelope", STEP_WRAP, TRUTH_ENVELOPE, true},
    {"cold open envelope", STEP_UNWRAP, TRUTH_ENVELOPE, true},
    {"generate", STEP_GENERATE, TRUTH_KW, false},
    {"wrap", STEP_WRAP, TRUTH_KW, false},
    {"unwrap", STEP_UNWRAP, TRUTH_KW, false},
    {"generate sealed, wrap", STEP_GENERATE_SEALED, TRUTH_KW, false},
    {"unwrap sealed, wrap", STEP_UNWRAP_SEALED, TRUTH_KW, false},
    {"envelope", STEP_WRAP, TRUTH_ENVELOPE, false},
    {"open envelope", STEP_UNWRAP, TRUTH_ENVELOPE, false},
};

static const struct step rsa_steps[] = {
    {"login", STEP_LOGIN, TRUTH_OAEP, true},
    {"cold OAEP wrap", STEP_WRAP, TRUTH_OAEP, true},
    {"cold OAEP unwrap", STEP_UNWRAP, TRUTH_OAEP, true},
    {"cold RSA-AES wrap", STEP_WRAP, TRUTH_RSA_AES, true},
    {"cold RSA-AES unwrap", STEP_UNWRAP, TRUTH_RSA_AES, true},
    {"cold envelope", STEP_WRAP, TRUTH_ENVELOPE, true},
    {"cold open envelope", STEP_UNWRAP, TRUTH_ENVELOPE, true},
    {"OAEP wrap", STEP_WRAP, TRUTH_OAEP, false},
    {"OAEP unwrap", STEP_UNWRAP, TRUTH_OAEP, false},
    {"RSA-AES wrap", STEP_WRAP, TRUTH_RSA_AES, false},
    {"RSA-AES unwrap", STEP_UNWRAP, TRUTH_RSA_AES, false},
    {"generate sealed, OAEP", STEP_GENERATE_SEALED, TRUTH_OAEP, false},
    {"unwrap, wrap RSA-AES", STEP_UNWRAP_SEALED, TRUTH_RSA_AES, false},
    {"envelope", STEP_WRAP, TRUTH_ENVELOPE, false},
    {"open envelope", STEP_UNWRAP, TRUTH_ENVELOPE, false},
};
enum { AES_STEPS = sizeof aes_steps / sizeof aes_steps[0], RSA_STEPS = sizeof rsa_steps / sizeof rsa_steps[0] };
_Static_assert((int)AES_STEPS <= (int)STEPS_MOST && (int)RSA_STEPS <= (int)STEPS_MOST, "steps.h has room for them");

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
    {"length + 1", FAULTY_C_Sign, FAULTY_LENGTH, 1, false},
    {"length - 1", FAULTY_C_Sign, FAULTY_LENGTH, (CK_ULONG)-1, false},
    {"no session", FAULTY_C_OpenSession, FAULTY_LIMIT, 0, true},
};
_Static_assert(sizeof lies / sizeof lies[0] == LIES, "steps.h counts them");

bool steps_ready(const struct step *s)
{
    bool wrong = false;
    if (s->fresh) {
        (void)steps_world->calls->C_Finalize(NULL);
        return s->deed == STEP_LOGIN || steps_enter() == CKR_OK;
    }
    return steps_run(s, &wrong) == CKR_OK && !wrong;
}

/* Only Keyward makes an envelope, in a process of its own, and OpenSSL opens it. */
static bool make_envelope(struct blob *out)
{
    struct blob *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0;
    (void)fflush(NULL);
    pid_t pid = shared == MAP_FAILED ? -1 : fork();
    if (pid == 0) {
        CK_OBJECT_HANDLE key = 0;
        struct form t = {0};
        form_secret(&t, CKK_AES);
        form_readable(&t);
        form_bytes(&t, CKA_VALUE, value, sizeof value);
        CK_RV rv = steps_enter();
        rv = rv == CKR_OK ? steps_world->calls->C_CreateObject(session, t.a, t.count, &key) : rv;
        rv = rv == CKR_OK ? wrap(TRUTH_ENVELOPE, key, shared) : rv;
        (void)steps_world->calls->C_Finalize(NULL);
        _exit(rv == CKR_OK ? 0 : 1);
    }
    bool good = pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
    if (good) {
        *out = *shared;
    }
    if (shared != MAP_FAILED) {
        (void)munmap(shared, sizeof *shared);
    }
    return good && truth_is(TRUTH_ENVELOPE, out->bytes, out->len, value);
}

static bool make_blobs(void)
{
    static const enum truth_format formats[2][2] = {{TRUTH_KW, TRUTH_KWP}, {TRUTH_OAEP, TRUTH_RSA_AES}};
    for (size_t i = 0; i < 2; i++) {
        struct blob *b = &blobs[formats[is_rsa ? 1 : 0][i]];
        b->len = truth_make(formats[is_rsa ? 1 : 0][i], value, b->bytes);
        if (b->len == 0) {
            return false;
        }
    }
    return make_envelope(&blobs[TRUTH_ENVELOPE]);
}

bool steps_start(bool rsa)
{
    static struct fixture_slot slots[] = {{.name = "faulty", .tokens = "eu-1", .cmk = FIXTURE_CMK_KNOWN}, {0}};
    const struct fixture_settings settings = {.slots = slots, .vendor = scandal_prepare(&steps_control)};
    is_rsa = rsa;
    steps = rsa ? rsa_steps : aes_steps;
    steps_count = rsa ? RSA_STEPS : AES_STEPS;
    while (steps[steps_first_warm].fresh) {
        steps_first_warm++;
    }
    if (rsa) {
        slots[0].cmk = FIXTURE_CMK_NONE; /* truth_plant brings it */
    }
    for (size_t i = 0; i < TRUTH_VALUE; i++) {
        value[i] = (uint8_t)(i * 7 + 3);
    }
    steps_world = settings.vendor == NULL || !truth_start(rsa) ? NULL : fixture_start(&settings);
    return steps_world != NULL && truth_plant(steps_world, "eu-1", "faulty") && make_blobs();
}
