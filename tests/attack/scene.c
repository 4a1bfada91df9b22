#include "scene.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cipher.h"

#define TOKEN "vault"

#ifndef ATTACK_NSS
#define ATTACK_NSS "libsoftokn3.so"
#endif

static const struct fixture_slot through_keyward[] = {
    {.name = "alpha", .tokens = TOKEN},
    {.name = "beta", .tokens = TOKEN},
    {.name = "sealed", .tokens = TOKEN, .sealed = true},
    {.name = "weak", .tokens = TOKEN, .bits = 128},
    {.name = "planted", .tokens = TOKEN, .cmk = FIXTURE_CMK_NONE},
    {.name = "enveloped", .tokens = TOKEN, .cmk = FIXTURE_CMK_NONE, .mechanisms = "envelope"},
    {0},
};

/* The same token for the vendor's module; the master keys are planted by make_masters. */
static const struct fixture_slot direct_slots[] = {
    {.name = "alpha", .tokens = TOKEN, .cmk = FIXTURE_CMK_NONE}, {0}};

static const char *const names[PLACES] = {"alpha", "beta", "sealed", "weak", "planted", "enveloped"};

void scene_need(struct scene *s, bool good, const char *what)
{
    if (!good) {
        s->report->verdict = BROKEN;
        (void)snprintf(s->report->note, sizeof s->report->note, "%s", what);
        fixture_stop(s->fixture);
        _exit(0);
    }
}

void scene_note(struct scene *s, const char *format, ...)
{
    va_list args;
    if (s->report->odd) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(s->report->note, sizeof s->report->note, format, args);
    va_end(args);
}

void scene_expect(struct scene *s, CK_RV rv, CK_RV wanted, const char *what)
{
    if (!s->direct && rv != wanted) {
        scene_note(s, "%s: 0x%lx, must be 0x%lx", what, rv, wanted);
        s->report->odd = true;
    }
}

unsigned long scene_calls(const struct scene *s)
{
    unsigned long sum = 0;
    for (size_t i = 0; i < COUNTING_FUNCTIONS; i++) {
        sum += atomic_load(&s->counts[i]);
    }
    return sum;
}

/* Starting. */

static void load_counting(struct scene *s, const char *path)
{
    CK_C_GetFunctionList list = NULL;
    CK_FUNCTION_LIST *table = NULL;
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    scene_need(s, module != NULL, "counting.so cannot be loaded");
    s->counts = dlsym(module, COUNTING_SYMBOL);
    *(void **)(void *)&list = dlsym(module, "C_GetFunctionList");
    scene_need(s, s->counts != NULL && list != NULL && list(&table) == CKR_OK,
               "counting.so has no functions");
    if (s->direct) {
        s->vendor.calls = table;
        s->p11 = (const struct calls *)(const void *)table; /* the same layout: calls.h */
    } else {
        s->p11 = s->fixture->calls;
    }
}

static void make_masters(struct scene *s)
{
    for (size_t i = 0; i < PLANTED; i++) {
        struct outsider_plant p = {.len = i == WEAK ? 16 : 32};
        (void)snprintf(p.label, sizeof p.label, "%s", names[i]);
        p.id_len = strlen(names[i]);
        memcpy(p.id, names[i], p.id_len);
        scene_outside(s, outsider_plant, &p, sizeof p);
    }
}

static void find_slots(struct scene *s)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    scene_need(s, s->p11->C_GetSlotList(CK_TRUE, slots, &count) == CKR_OK, "C_GetSlotList");
    for (size_t w = 0; w < PLACES; w++) {
        const char *wanted = s->module == NSS ? "NSS Certificate DB" : s->direct ? TOKEN : names[w];
        bool found = false;
        for (CK_ULONG i = 0; i < count && !found; i++) {
            CK_TOKEN_INFO info;
            char padded[33];
            (void)snprintf(padded, sizeof padded, "%-32s", wanted);
            found = s->p11->C_GetTokenInfo(slots[i], &info) == CKR_OK && memcmp(info.label, padded, 32) == 0;
            s->places[w] = (struct place){.name = names[w], .slot = slots[i]};
        }
        scene_need(s, found, "a slot is not there");
    }
}

/* NSS takes its database from the place where pReserved is in everybody else's structure; its own
 * pReserved comes after. */
static CK_RV initialize_nss(struct scene *s)
{
    struct {
        CK_C_INITIALIZE_ARGS args;
        void *reserved;
    } given = {.args = {.flags = CKF_OS_LOCKING_OK}};
    char parameters[FIXTURE_PATH_MAX + 80];
    (void)snprintf(
        parameters, sizeof parameters,
        "configdir='sql:%s' certPrefix='' keyPrefix='' secmod='secmod.db' flags=", s->fixture->folder);
    given.args.pReserved = parameters;
    return s->p11->C_Initialize(&given.args);
}

static void make_nss(struct scene *s)
{
    char database[FIXTURE_PATH_MAX + 8];
    char pin[2 * FIXTURE_PATH_MAX];
    (void)snprintf(database, sizeof database, "sql:%s", s->fixture->folder);
    (void)snprintf(pin, sizeof pin, "%s", fixture_path(s->fixture, "nss.pin"));
    scene_need(s, fixture_write(s->fixture, "nss.pin", FIXTURE_PIN "\n"), "nss.pin");
    const char *const argv[] = {"certutil", "-N", "-d", database, "-f", pin, NULL};
    scene_need(s, fixture_execute(s->fixture, argv), "certutil cannot make an NSS database");
}

static void initialize(struct scene *s)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    CK_RV rv = s->module == NSS ? initialize_nss(s) : s->p11->C_Initialize(&args);
    scene_need(s, rv == CKR_OK, "C_Initialize");
    find_slots(s);
    s->vendor.session = 0;
}

static struct fixture *pattern;

bool scene_prepare(void)
{
    pattern = fixture_start(&(struct fixture_settings){.slots = through_keyward, .vendor = getenv("ATTACK_COUNTING")});
    return pattern != NULL;
}

void scene_put_away(void)
{
    fixture_stop(pattern);
    pattern = NULL;
}

void scene_start(struct scene *s, enum module module, struct report *report)
{
    const char *counting = getenv("ATTACK_COUNTING");
    *s = (struct scene){.module = module, .direct = module != KEYWARD, .report = report};
    scene_need(s, counting != NULL, "ATTACK_COUNTING does not name counting.so");
    if (module == NSS) {
        scene_need(s, setenv("ATTACK_VENDOR", ATTACK_NSS, 1) == 0, "setenv");
    }
    s->fixture = fixture_start(&(struct fixture_settings){.slots = s->direct ? direct_slots : through_keyward,
                                                          .vendor = counting,
                                                          .like = s->direct || pattern == NULL ? NULL : pattern->folder});
    scene_need(s, s->fixture != NULL, "the fixture cannot be built");
    if (module == NSS) {
        make_nss(s);
    }
    load_counting(s, counting);
    initialize(s);
    if (s->direct) {
        make_masters(s);
    }
    cipher_random(s->dek, sizeof s->dek);
}

void scene_stop(struct scene *s)
{
    (void)s->p11->C_Finalize(NULL);
    fixture_stop(s->fixture);
}

void scene_restart(struct scene *s)
{
    scene_need(s, s->p11->C_Finalize(NULL) == CKR_OK, "C_Finalize");
    initialize(s);
}

void scene_forget_pin(struct scene *s)
{
    scene_need(s, unlink(fixture_path(s->fixture, TOKEN ".pin")) == 0, "there is no PIN file");
    scene_need(s, fixture_configure(s->fixture, false), "keyward.conf");
    scene_restart(s);
}

/* Sessions. */

void scene_sit_down(struct scene *s, enum where w)
{
    struct place *p = &s->places[w];
    if (p->session == 0) {
        CK_RV rv =
            s->p11->C_OpenSession(p->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &p->session);
        scene_need(s, rv == CKR_OK, "C_OpenSession");
    }
}

CK_RV scene_login(struct scene *s, enum where w, const char *pin)
{
    CK_UTF8CHAR copy[32];
    size_t len = strlen(pin);
    memcpy(copy, pin, len);
    return s->p11->C_Login(s->places[w].session, CKU_USER, copy, len);
}

void scene_enter(struct scene *s, enum where w)
{
    struct place *p = &s->places[w];
    if (p->session == 0) {
        scene_sit_down(s, w);
        CK_RV rv = scene_login(s, w, FIXTURE_PIN);
        scene_need(s, rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN, "C_Login");
    }
    p->master = scene_find_master(s, w);
    scene_need(s, p->master != 0 || w == PLANTED || w == ENVELOPED, "the master key is not found");
}

CK_ULONG scene_find(struct scene *s, enum where w, struct sheet *match, CK_OBJECT_HANDLE *out, CK_ULONG most)
{
    CK_SESSION_HANDLE session = s->places[w].session;
    CK_ULONG count = 0;
    CK_RV rv = s->p11->C_FindObjectsInit(session, match->items, match->count);
    if (rv == CKR_OK) {
        rv = s->p11->C_FindObjects(session, out, most, &count);
        scene_need(s, s->p11->C_FindObjectsFinal(session) == CKR_OK, "C_FindObjectsFinal");
    }
    scene_need(s, rv == CKR_OK, "C_FindObjects");
    return count;
}

CK_OBJECT_HANDLE scene_find_master(struct scene *s, enum where w)
{
    CK_OBJECT_HANDLE found[8] = {0};
    struct sheet t = {0};
    sheet_ulong(&t, CKA_CLASS, CKO_SECRET_KEY);
    sheet_bytes(&t, CKA_LABEL, names[w], strlen(names[w]));
    return scene_find(s, w, &t, found, 8) == 0 ? 0 : found[0];
}

/* Keys. */

CK_RV scene_create(struct scene *s, enum where w, struct sheet *t, CK_OBJECT_HANDLE *key)
{
    return s->p11->C_CreateObject(s->places[w].session, t->items, t->count, key);
}

CK_RV scene_generate(struct scene *s, enum where w, struct sheet *t, CK_OBJECT_HANDLE *key)
{
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    return s->p11->C_GenerateKey(s->places[w].session, &mechanism, t->items, t->count, key);
}

void scene_destroy(struct scene *s, enum where w, CK_OBJECT_HANDLE key)
{
    (void)s->p11->C_DestroyObject(s->places[w].session, key);
}

CK_OBJECT_HANDLE scene_data_key(struct scene *s, enum where w, bool sensitive)
{
    CK_OBJECT_HANDLE key = 0;
    struct sheet t = {0};
    sheet_data_key(&t, CKK_AES, sensitive);
    sheet_bytes(&t, CKA_VALUE, s->dek, sizeof s->dek);
    scene_need(s, scene_create(s, w, &t, &key) == CKR_OK, "a data key cannot be made");
    return key;
}

CK_RV scene_wrap(struct scene *s, enum where w, CK_MECHANISM_TYPE mechanism, const CK_OBJECT_HANDLE keys[2],
                 struct blob *out)
{
    CK_MECHANISM m = {mechanism, NULL, 0};
    out->len = sizeof out->bytes;
    return s->p11->C_WrapKey(s->places[w].session, &m, keys[0], keys[1], out->bytes, &out->len);
}

CK_RV scene_unwrap(struct scene *s, enum where w, const struct scene_opening *o, struct sheet *t,
                   CK_OBJECT_HANDLE *key)
{
    CK_MECHANISM m = {o->mechanism, NULL, 0};
    uint8_t copy[SCENE_BLOB_MAX];
    memcpy(copy, o->blob->bytes, o->blob->len);
    return s->p11->C_UnwrapKey(s->places[w].session, &m, o->with, copy, o->blob->len, t->items, t->count,
                               key);
}

void scene_wrapped_dek(struct scene *s, enum where w, struct blob *out)
{
    CK_OBJECT_HANDLE keys[2] = {s->places[w].master, scene_data_key(s, w, true)};
    scene_need(s, scene_wrap(s, w, CKM_AES_KEY_WRAP, keys, out) == CKR_OK, "the master key does not wrap");
    scene_destroy(s, w, keys[1]);
}

CK_RV scene_try_wrap(struct scene *s, enum where w)
{
    struct blob blob;
    CK_OBJECT_HANDLE keys[2] = {s->places[w].master, scene_data_key(s, w, true)};
    CK_RV rv = scene_wrap(s, w, CKM_AES_KEY_WRAP, keys, &blob);
    scene_destroy(s, w, keys[1]);
    return rv;
}

bool scene_reads(struct scene *s, enum where w, CK_OBJECT_HANDLE key, const uint8_t *value, size_t len)
{
    uint8_t got[SCENE_BLOB_MAX];
    CK_ATTRIBUTE a = {CKA_VALUE, got, sizeof got};
    return s->p11->C_GetAttributeValue(s->places[w].session, key, &a, 1) == CKR_OK && a.ulValueLen == len &&
           memcmp(got, value, len) == 0;
}

bool scene_reads_dek(struct scene *s, enum where w, CK_OBJECT_HANDLE key)
{
    return scene_reads(s, w, key, s->dek, sizeof s->dek);
}

/* Outside. */

static int inside(struct scene *s, outside_job *job, void *order)
{
    CK_UTF8CHAR pin[] = FIXTURE_PIN;
    if (s->vendor.session == 0) {
        s->vendor.slot = s->places[ALPHA].slot;
        CK_RV rv = s->p11->C_OpenSession(s->vendor.slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                         &s->vendor.session);
        scene_need(s, rv == CKR_OK, "C_OpenSession");
        rv = s->p11->C_Login(s->vendor.session, CKU_USER, pin, sizeof pin - 1);
        scene_need(s, rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN, "C_Login");
    }
    return job(&s->vendor, order);
}

void scene_outside(struct scene *s, outside_job *job, void *order, size_t size)
{
    int said =
        s->module == NSS ? inside(s, job, order) : fixture_outside(s->fixture, TOKEN, job, order, size);
    scene_need(s, said == 0, "a job outside failed");
}

void scene_plant(struct scene *s, enum where w, unsigned wrong, uint8_t value[SCENE_KEY_LEN])
{
    struct outsider_plant p = {.len = SCENE_KEY_LEN, .known = true, .wrong = wrong};
    if (s->module == NSS) {
        p.wrong &= ~(unsigned)PLANT_KW_ONLY; /* it has no such attribute, and so does not obey it */
    }
    (void)snprintf(p.label, sizeof p.label, "%s", names[w]);
    cipher_random(p.id, 16); /* NSS lets a key replace another one with the same CKA_ID */
    p.id_len = 16;
    cipher_random(p.value, sizeof p.value);
    memcpy(value, p.value, sizeof p.value);
    scene_outside(s, outsider_plant, &p, sizeof p);
}

void scene_pair(struct scene *s, CK_OBJECT_HANDLE halves[2])
{
    static const CK_OBJECT_CLASS classes[2] = {CKO_PUBLIC_KEY, CKO_PRIVATE_KEY};
    const char *command = fixture_command();
    const char *const argv[] = {command, "create", names[ENVELOPED], "--type", "rsa:2048", NULL};
    scene_need(s, command != NULL && fixture_execute(s->fixture, argv), "keyward create --type rsa:2048");
    scene_enter(s, ENVELOPED);
    for (size_t i = 0; i < 2; i++) {
        struct sheet t = {0};
        sheet_ulong(&t, CKA_CLASS, classes[i]);
        scene_need(s, scene_find(s, ENVELOPED, &t, &halves[i], 1) == 1, "a half of the RSA key is not shown");
    }
}

void scene_uproot(struct scene *s, enum where w)
{
    struct outsider_key k = {.destroy = true};
    (void)snprintf(k.label, sizeof k.label, "%s", names[w]);
    scene_outside(s, outsider_key, &k, sizeof k);
}
