#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const struct way ways[] = {
    {"KW", CKM_AES_KEY_WRAP, 0, WAY_AES},
    {"KWP", CKM_AES_KEY_WRAP_KWP, 0, WAY_AES},
    {"PAD", CKM_AES_KEY_WRAP_PAD, 0, WAY_AES},
    {"OAEP-SHA1", CKM_RSA_PKCS_OAEP, CKM_SHA_1, WAY_RSA},
    {"OAEP-SHA256", CKM_RSA_PKCS_OAEP, CKM_SHA256, WAY_RSA},
    {"OAEP-SHA384", CKM_RSA_PKCS_OAEP, CKM_SHA384, WAY_RSA},
    {"OAEP-SHA512", CKM_RSA_PKCS_OAEP, CKM_SHA512, WAY_RSA},
    {"RSA-AES-SHA1", CKM_RSA_AES_KEY_WRAP, CKM_SHA_1, WAY_RSA},
    {"RSA-AES-SHA256", CKM_RSA_AES_KEY_WRAP, CKM_SHA256, WAY_RSA},
    {"ENVELOPE", CKM_KEYWARD_ENVELOPE, 0, WAY_BOTH},
};
const size_t way_count = sizeof ways / sizeof ways[0];

bool scene_check(struct scene *s, bool good, const char *what, CK_RV rv)
{
    s->checks++;
    if (!good) {
        s->failed++;
        (void)fprintf(stderr, "  %s: not so: %s (0x%lx)\n", s->slot, what, rv);
    }
    return good;
}

/* Keys. */

enum { KEYS_MAX = 64 };

/* The key of that class with the highest version that is active; 0: none. */
static CK_OBJECT_HANDLE active(struct scene *s, CK_OBJECT_CLASS class)
{
    CK_OBJECT_HANDLE list[KEYS_MAX];
    CK_ULONG count = 0;
    CK_ULONG best = 0;
    CK_OBJECT_HANDLE found = 0;
    struct form t = {0};
    form_ulong(&t, CKA_CLASS, class);
    CK_RV rv = s->p11->C_FindObjectsInit(s->session, t.a, t.count);
    if (rv == CKR_OK) {
        rv = s->p11->C_FindObjects(s->session, list, KEYS_MAX, &count);
        (void)s->p11->C_FindObjectsFinal(s->session);
    }
    for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++) {
        CK_ULONG version = 0;
        CK_ULONG state = CKS_KEYWARD_OUT_OF_SERVICE;
        CK_ATTRIBUTE a[] = {{CKA_KEYWARD_VERSION, &version, sizeof version},
                            {CKA_KEYWARD_STATE, &state, sizeof state}};
        if (s->p11->C_GetAttributeValue(s->session, list[i], a, 2) == CKR_OK &&
            state == CKS_KEYWARD_ACTIVE && version > best) {
            best = version;
            found = list[i];
        }
    }
    return found;
}

bool scene_look(struct scene *s)
{
    s->wrapping = active(s, s->rsa ? CKO_PUBLIC_KEY : CKO_SECRET_KEY);
    s->unwrapping = s->rsa ? active(s, CKO_PRIVATE_KEY) : s->wrapping;
    return scene_check(s, s->wrapping != 0 && s->unwrapping != 0, "an active version of the master key is seen",
                       0);
}

bool scene_begin(struct scene *s)
{
    if (!scene_check(s, caller_initialize(s->f), "C_Initialize", 0)) {
        return false;
    }
    s->session = caller_enter(s->f, s->slot);
    return scene_check(s, s->session != 0, "a logged-in session", 0) && scene_look(s);
}

void scene_end(struct scene *s)
{
    CK_RV rv = s->p11->C_Finalize(NULL);
    (void)scene_check(s, rv == CKR_OK, "C_Finalize", rv);
    s->session = 0;
}

bool scene_keyward(struct scene *s, const char *verb, const char *slot, const char *version)
{
    const char *const argv[] = {fixture_command(), verb, slot, version == NULL ? NULL : "--version", version, NULL};
    char what[128];
    (void)snprintf(what, sizeof what, "keyward %s %s %s", verb, slot == NULL ? "" : slot,
                   version == NULL ? "" : version);
    return scene_check(s, argv[0] != NULL && fixture_execute(s->f, argv), what, 0);
}

bool scene_shell(struct scene *s, const char *variable)
{
    const char *command = getenv(variable);
    const char *const argv[] = {"sh", "-c", command, NULL};
    return scene_check(s, command != NULL && fixture_execute(s->f, argv), variable, 0);
}

double scene_seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Wrapping. */

struct parameter {
    CK_MECHANISM mechanism;
    CK_RSA_PKCS_OAEP_PARAMS oaep;
    struct {
        CK_ULONG bits;
        CK_RSA_PKCS_OAEP_PARAMS *oaep;
    } rsa_aes; /* CK_RSA_AES_KEY_WRAP_PARAMS */
};

static CK_MECHANISM *mechanism_of(const struct way *w, struct parameter *p)
{
    p->mechanism = (CK_MECHANISM){w->type, NULL, 0};
    if (w->hash != 0) {
        CK_RSA_PKCS_MGF_TYPE mgf = w->hash == CKM_SHA_1    ? CKG_MGF1_SHA1
                                   : w->hash == CKM_SHA256 ? CKG_MGF1_SHA256
                                   : w->hash == CKM_SHA384 ? CKG_MGF1_SHA384
                                                           : CKG_MGF1_SHA512;
        p->oaep = (CK_RSA_PKCS_OAEP_PARAMS){w->hash, mgf, CKZ_DATA_SPECIFIED, NULL, 0};
        p->mechanism.pParameter = &p->oaep;
        p->mechanism.ulParameterLen = sizeof p->oaep;
    }
    if (w->type == CKM_RSA_AES_KEY_WRAP) {
        p->rsa_aes.bits = 256;
        p->rsa_aes.oaep = &p->oaep;
        p->mechanism.pParameter = &p->rsa_aes;
        p->mechanism.ulParameterLen = sizeof p->rsa_aes;
    }
    return &p->mechanism;
}

CK_RV scene_wrap(const struct scene *s, const struct way *w, CK_OBJECT_HANDLE key, uint8_t *out, CK_ULONG *len)
{
    struct parameter p;
    *len = SCENE_ROOM;
    return s->p11->C_WrapKey(s->session, mechanism_of(w, &p), s->wrapping, key, out, len);
}

CK_RV scene_open(const struct scene *s, const struct blob *b, CK_OBJECT_HANDLE *key)
{
    struct parameter p;
    struct form t = {0};
    uint8_t copy[SCENE_ROOM + 64];
    memcpy(copy, b->bytes, b->len);
    form_secret(&t, b->type);
    form_bool(&t, CKA_SENSITIVE, b->sealed);
    form_bool(&t, CKA_EXTRACTABLE, true);
    return s->p11->C_UnwrapKey(s->session, mechanism_of(b->way, &p), s->unwrapping, copy, b->len, t.a, t.count,
                               key);
}

bool scene_opens(struct scene *s, const struct blob *b, const uint8_t *value, size_t len)
{
    uint8_t got[SCENE_ROOM];
    CK_OBJECT_HANDLE key = 0;
    CK_RV rv = scene_open(s, b, &key);
    if (!scene_check(s, rv == CKR_OK, "a wrapped data key opens", rv)) {
        return false;
    }
    size_t got_len = caller_value(s->f, s->session, key, got, sizeof got);
    bool same = scene_check(s, got_len == len && memcmp(got, value, len) == 0,
                            "the data key came back byte for byte", got_len);
    rv = s->p11->C_DestroyObject(s->session, key);
    return scene_check(s, rv == CKR_OK, "it is destroyed", rv) && same;
}

/* What a broker keeps. */

bool scene_keep(struct scene *s, struct kept *k)
{
    CK_OBJECT_HANDLE key = caller_generate(s->f, s->session, CKK_AES, 32);
    k->len = key == 0 ? 0 : caller_value(s->f, s->session, key, k->value, sizeof k->value);
    CK_RV rv = scene_wrap(s, s->way, key, k->blob, &k->blob_len);
    (void)s->p11->C_DestroyObject(s->session, key);
    return scene_check(s, rv == CKR_OK && k->len == 32, "a data key is generated and wrapped", rv);
}

bool scene_still_opens(struct scene *s, const struct kept *k, const char *what)
{
    const struct blob b = {s->way, k->blob, k->blob_len, CKK_AES, false};
    return scene_check(s, scene_opens(s, &b, k->value, k->len), what, 0);
}

CK_RV scene_answer(struct scene *s, const struct kept *k)
{
    const struct blob b = {s->way, k->blob, k->blob_len, CKK_AES, false};
    CK_OBJECT_HANDLE key = 0;
    CK_RV rv = scene_open(s, &b, &key);
    if (rv == CKR_OK) {
        (void)s->p11->C_DestroyObject(s->session, key);
    }
    return rv;
}
