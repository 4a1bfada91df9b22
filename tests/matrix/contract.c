/*
 * The contract that Keyward keeps on every HSM: contract SLOT TYPE WAYS FOLDER, with $KEYWARD_CONF naming a slot that has no key yet.
 *
 *   TYPE    of the master key, as `keyward create --type` takes it
 *   WAYS    the mechanisms that are expected to work there, "KW,KWP"; one that works and is not named is a failure as well
 *   FOLDER  for files
 *
 * Prints one line per part: "ok", "failed" or "skipped", a tab, its name, and after another tab a reason.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "scene.h"

enum { THREADS = 4, ROUNDS = 10, ROUNDS_RSA = 20, LENGTH_MOST = 512, OUTAGE_MOST = 15 /* seconds */ };

static bool is_expected(const char *list, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = list; *at != '\0'; at += strcspn(at, ","), at += *at == ',') {
        if (strcspn(at, ",") == len && memcmp(at, name, len) == 0) {
            return true;
        }
    }
    return false;
}

/* What the broker sees of the master key. */
static void the_master_key_is_wrap_only(struct scene *s)
{
    static const struct {
        CK_ATTRIBUTE_TYPE type;
        CK_BBOOL want;
        const char *what;
    } rows[] = {
        {CKA_TOKEN, CK_TRUE, "CKA_TOKEN is true"},
        {CKA_PRIVATE, CK_TRUE, "CKA_PRIVATE is true"},
        {CKA_SENSITIVE, CK_TRUE, "CKA_SENSITIVE is true"},
        {CKA_EXTRACTABLE, CK_FALSE, "CKA_EXTRACTABLE is false"},
        {CKA_UNWRAP, CK_TRUE, "CKA_UNWRAP is true"},
        {CKA_DECRYPT, CK_FALSE, "CKA_DECRYPT is false"},
        {CKA_SIGN, CK_FALSE, "CKA_SIGN is false"},
        {CKA_DERIVE, CK_FALSE, "CKA_DERIVE is false"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CK_BBOOL got = 2;
        CK_ATTRIBUTE a = {rows[i].type, &got, sizeof got};
        CK_RV rv = s->p11->C_GetAttributeValue(s->session, s->unwrapping, &a, 1);
        (void)scene_check(s, rv == CKR_OK && got == rows[i].want, rows[i].what, rv);
    }
    uint8_t value[SCENE_ROOM];
    CK_ATTRIBUTE a = {s->rsa ? CKA_PRIVATE_EXPONENT : CKA_VALUE, value, sizeof value};
    CK_RV rv = s->p11->C_GetAttributeValue(s->session, s->unwrapping, &a, 1);
    (void)scene_check(s, rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID,
                      "its value is not given", rv);
    CK_ULONG len = sizeof value;
    CK_MECHANISM kw = {CKM_AES_KEY_WRAP, NULL, 0};
    rv = s->p11->C_WrapKey(s->session, &kw, s->wrapping, s->unwrapping, value, &len);
    (void)scene_check(s, rv != CKR_OK, "it does not wrap itself", rv);
}

/* All lengths to 41 and some above; with RSA, which is slow on some tokens, a few only. */
static size_t next_length(const struct scene *s, size_t len)
{
    static const size_t few[] = {1, 16, 31, 64, 128, 256, LENGTH_MOST};
    if (!s->rsa) {
        return len < 41 ? len + 1 : len < 64 ? 64 : len * 2;
    }
    for (size_t i = 0; i < sizeof few / sizeof few[0]; i++) {
        if (few[i] > len) {
            return few[i];
        }
    }
    return LENGTH_MOST + 1;
}

/* Every length of a generic secret is refused, or comes back exactly. */
static void each_length(struct scene *s, const struct way *w)
{
    uint8_t value[LENGTH_MOST];
    unsigned exact = 0;
    for (size_t i = 0; i < sizeof value; i++) {
        value[i] = (uint8_t)(i * 7 + 1);
    }
    for (size_t len = 1; len <= LENGTH_MOST; len = next_length(s, len)) {
        uint8_t blob[SCENE_ROOM];
        CK_ULONG blob_len = 0;
        CK_OBJECT_HANDLE key = caller_import(s->f, s->session, CKK_GENERIC_SECRET, value, len);
        (void)scene_check(s, key != 0, "a data key is imported", 0);
        CK_RV rv = scene_wrap(s, w, key, blob, &blob_len);
        (void)s->p11->C_DestroyObject(s->session, key);
        if (rv == CKR_OK) {
            const struct blob b = {w, blob, blob_len, CKK_GENERIC_SECRET, false};
            exact += scene_opens(s, &b, value, len);
        } else {
            (void)scene_check(s, rv == CKR_KEY_SIZE_RANGE, "or its length is refused", rv);
        }
    }
    (void)scene_check(s, exact >= 3, "some lengths work", exact);
}

/* Tries one way of wrapping with the memory home; false when the slot does not do it. */
static bool way_works(struct scene *s, const struct way *w)
{
    static const size_t sizes[] = {16, 24, 32};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t value[32];
        uint8_t blob[SCENE_ROOM];
        CK_ULONG len = 0;
        CK_OBJECT_HANDLE key = caller_generate(s->f, s->session, CKK_AES, sizes[i]);
        size_t value_len = caller_value(s->f, s->session, key, value, sizeof value);
        CK_RV rv = scene_wrap(s, w, key, blob, &len);
        (void)s->p11->C_DestroyObject(s->session, key);
        if (rv == CKR_MECHANISM_INVALID || rv == CKR_MECHANISM_PARAM_INVALID) {
            return false;
        }
        if (scene_check(s, rv == CKR_OK && value_len == sizes[i], "a data key is wrapped", rv)) {
            const struct blob b = {w, blob, len, CKK_AES, false};
            (void)scene_opens(s, &b, value, value_len);
        }
    }
    if (!s->rsa || s->way == NULL || w->type != s->way->type) {
        each_length(s, w);
    }
    return true;
}

/* A sealed data key is never read; wrapped, opened sealed and wrapped again it still is the same key. */
static void sealed_data_keys(struct scene *s)
{
    struct form t = {0};
    uint8_t blob[SCENE_ROOM];
    uint8_t again[SCENE_ROOM];
    uint8_t one[64];
    uint8_t two[64];
    CK_ULONG len = 0;
    CK_ULONG again_len = 0;
    CK_OBJECT_HANDLE key = 0;
    CK_OBJECT_HANDLE opened = 0;
    form_bool(&t, CKA_SENSITIVE, true);
    form_bool(&t, CKA_EXTRACTABLE, true);
    form_ulong(&t, CKA_VALUE_LEN, 32);
    CK_RV rv = s->p11->C_GenerateKey(s->session, caller_mechanism(CKM_AES_KEY_GEN), t.a, t.count, &key);
    (void)scene_check(s, rv == CKR_OK, "a sealed data key is generated", rv);
    CK_ATTRIBUTE a = {CKA_VALUE, one, sizeof one};
    rv = s->p11->C_GetAttributeValue(s->session, key, &a, 1);
    (void)scene_check(s, rv == CKR_ATTRIBUTE_SENSITIVE, "its value is not given", rv);
    rv = scene_wrap(s, s->way, key, blob, &len);
    if (!scene_check(s, rv == CKR_OK, "it is wrapped", rv)) {
        return;
    }
    const struct blob first = {s->way, blob, len, CKK_AES, true};
    rv = scene_open(s, &first, &opened);
    (void)scene_check(s, rv == CKR_OK, "it opens sealed", rv);
    a = (CK_ATTRIBUTE){CKA_VALUE, one, sizeof one};
    rv = s->p11->C_GetAttributeValue(s->session, opened, &a, 1);
    (void)scene_check(s, rv == CKR_ATTRIBUTE_SENSITIVE, "and its value is not given then either", rv);
    rv = scene_wrap(s, s->way, opened, again, &again_len);
    if (!scene_check(s, rv == CKR_OK, "it is wrapped again", rv)) {
        return;
    }
    struct blob b = {s->way, blob, len, CKK_AES, false};
    CK_OBJECT_HANDLE h1 = 0;
    CK_OBJECT_HANDLE h2 = 0;
    (void)scene_check(s, scene_open(s, &b, &h1) == CKR_OK, "the first blob opens readable", 0);
    b.bytes = again;
    b.len = again_len;
    (void)scene_check(s, scene_open(s, &b, &h2) == CKR_OK, "the second too", 0);
    size_t one_len = caller_value(s->f, s->session, h1, one, sizeof one);
    size_t two_len = caller_value(s->f, s->session, h2, two, sizeof two);
    (void)scene_check(s, one_len == 32 && two_len == 32 && memcmp(one, two, 32) == 0, "both hold the same key", one_len);
    (void)s->p11->C_DestroyObject(s->session, key);
    (void)s->p11->C_DestroyObject(s->session, opened);
}

static CK_OBJECT_HANDLE find_by_id(struct scene *s, const uint8_t *id, size_t len)
{
    struct form by_id = {0};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_ULONG count = 0;
    form_bytes(&by_id, CKA_ID, id, len);
    CK_RV rv = s->p11->C_FindObjectsInit(s->session, by_id.a, by_id.count);
    if (rv == CKR_OK) {
        rv = s->p11->C_FindObjects(s->session, &key, 1, &count);
        (void)s->p11->C_FindObjectsFinal(s->session);
    }
    (void)scene_check(s, rv == CKR_OK && count == 1, "it is found by its CKA_ID", rv);
    return key;
}

/* A persistent data key that nobody may read. */
static CK_OBJECT_HANDLE generate_persistent(struct scene *s, const uint8_t *id, size_t len)
{
    struct form t = {0};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    form_bool(&t, CKA_TOKEN, true);
    form_bool(&t, CKA_SENSITIVE, true);
    form_bool(&t, CKA_EXTRACTABLE, true);
    form_ulong(&t, CKA_VALUE_LEN, 32);
    form_bytes(&t, CKA_ID, id, len);
    CK_RV rv = s->p11->C_GenerateKey(s->session, caller_mechanism(CKM_AES_KEY_GEN), t.a, t.count, &key);
    (void)scene_check(s, rv == CKR_OK, "a persistent data key is generated", rv);
    return key;
}

/* Another process destroys the key, and the next one has its place: openCryptoki gives it the same handle. */
static void another_takes_its_place(struct scene *s, CK_OBJECT_HANDLE key)
{
    const char *const destroy[] = {"pkcs11-tool", "--module", s->f->module, "--token-label", s->slot, "--login",
                                   "--delete-object", "--type", "secrkey", "--id", "d107", NULL};
    static const uint8_t id[] = {0xd1, 0x08};
    uint8_t blob[SCENE_ROOM];
    CK_ULONG len = 0;
    (void)scene_check(s, fixture_execute(s->f, destroy), "another process destroys it", 0);
    (void)scene_look(s); /* a search lets openCryptoki notice */
    CK_OBJECT_HANDLE next = generate_persistent(s, id, sizeof id);
    CK_RV rv = scene_wrap(s, s->way, key, blob, &len);
    (void)scene_check(s, rv == CKR_KEY_HANDLE_INVALID, "then it is gone, and not the next one", rv);
    rv = s->p11->C_DestroyObject(s->session, key);
    (void)scene_check(s, rv == CKR_OBJECT_HANDLE_INVALID, "which is not destroyed in its place", rv);
    rv = s->p11->C_DestroyObject(s->session, next);
    (void)scene_check(s, rv == CKR_OK, "but by its own handle", rv);
    rv = scene_wrap(s, s->way, next, blob, &len);
    (void)scene_check(s, rv == CKR_KEY_HANDLE_INVALID, "for good", rv);
}

/* A data key that is kept in the token is found and wrapped after a restart of the module. */
static void persistent_data_keys(struct scene *s)
{
    static const uint8_t id[] = {0xd1, 0x07};
    uint8_t blob[SCENE_ROOM];
    CK_ULONG len = 0;
    (void)generate_persistent(s, id, sizeof id);
    scene_end(s);
    if (!scene_begin(s)) {
        return;
    }
    CK_OBJECT_HANDLE key = find_by_id(s, id, sizeof id);
    CK_RV rv = scene_wrap(s, s->way, key, blob, &len);
    (void)scene_check(s, rv == CKR_OK, "and wrapped", rv);
    another_takes_its_place(s, key);
}

/* An envelope is bound to a context by its associated data. */
static void envelopes(struct scene *s)
{
    static CK_BYTE context[] = "customers/42";
    uint8_t blob[SCENE_ROOM];
    uint8_t value[32];
    uint8_t got[64];
    CK_ULONG len = sizeof blob;
    CK_OBJECT_HANDLE key = caller_generate(s->f, s->session, CKK_AES, sizeof value);
    CK_OBJECT_HANDLE back = 0;
    CK_MECHANISM *m = caller_mechanism(CKM_KEYWARD_ENVELOPE);
    const CK_ULONG most = sizeof context - 1;
    struct form t = {0};
    size_t n = caller_value(s->f, s->session, key, value, sizeof value);
    CK_RV rv = s->f->calls_3_2->C_WrapKeyAuthenticated(s->session, m, s->wrapping, key, context, most, blob, &len);
    (void)scene_check(s, rv == CKR_OK && n == sizeof value, "C_WrapKeyAuthenticated", rv);
    form_secret(&t, CKK_AES);
    form_readable(&t);
    rv = s->f->calls_3_2->C_UnwrapKeyAuthenticated(s->session, m, s->unwrapping, blob, len, t.a, t.count, context, most - 1, &back);
    (void)scene_check(s, rv == CKR_WRAPPED_KEY_INVALID, "in another context it is a bad blob", rv);
    rv = s->f->calls_3_2->C_UnwrapKeyAuthenticated(s->session, m, s->unwrapping, blob, len, t.a, t.count, context, most, &back);
    (void)scene_check(s, rv == CKR_OK, "in its own it opens", rv);
    n = caller_value(s->f, s->session, back, got, sizeof got);
    (void)scene_check(s, n == sizeof value && memcmp(got, value, n) == 0, "to the same key", n);
}

/* One answer for every bad blob, and the token works on. */
static void bad_blobs(struct scene *s)
{
    struct kept k;
    if (!scene_keep(s, &k)) {
        return;
    }
    for (CK_ULONG i = 0; i < k.blob_len; i += k.blob_len / 9) {
        struct kept bad = k;
        bad.blob[i] ^= 0x40;
        CK_RV rv = scene_answer(s, &bad);
        (void)scene_check(s, rv == CKR_WRAPPED_KEY_INVALID, "a changed byte is CKR_WRAPPED_KEY_INVALID", rv);
    }
    const CK_ULONG lengths[] = {1, 8, 16, k.blob_len - 8, k.blob_len - 1, k.blob_len + 1, k.blob_len + 8};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct kept bad = k;
        memset(bad.blob + k.blob_len, 0, 16);
        bad.blob_len = lengths[i];
        CK_RV rv = scene_answer(s, &bad);
        (void)scene_check(s, rv == CKR_WRAPPED_KEY_INVALID || rv == CKR_WRAPPED_KEY_LEN_RANGE,
                          "another length is a bad blob", rv);
    }
    struct kept zero = k;
    memset(zero.blob, 0, sizeof zero.blob);
    CK_RV rv = scene_answer(s, &zero);
    (void)scene_check(s, rv == CKR_WRAPPED_KEY_INVALID, "zeros are CKR_WRAPPED_KEY_INVALID", rv);
    (void)scene_still_opens(s, &k, "the good blob opens after all that");
}

/* The custodian rotates beside a running broker. */
static void rotation(struct scene *s)
{
    struct kept before;
    struct kept after;
    if (!scene_keep(s, &before) || !scene_keyward(s, "rotate", s->slot, NULL)) {
        return;
    }
    (void)scene_still_opens(s, &before, "what version 1 wrapped opens after the rotation, by the old handle");
    CK_OBJECT_HANDLE old = s->unwrapping;
    if (scene_look(s) && scene_keep(s, &after)) {
        (void)scene_check(s, s->unwrapping != old, "there is another active version", 0);
        (void)scene_still_opens(s, &after, "what version 2 wrapped opens");
        (void)scene_still_opens(s, &before, "what version 1 wrapped opens by the new handle");
    }
    (void)scene_keyward(s, "check", NULL, NULL);
}

/* Disabled and enabled in another process: it holds from the next call on. */
static void disabling(struct scene *s)
{
    struct kept k;
    uint8_t blob[SCENE_ROOM];
    CK_ULONG len = 0;
    if (!scene_keep(s, &k)) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        CK_OBJECT_HANDLE key = caller_generate(s->f, s->session, CKK_AES, 32);
        if (!scene_keyward(s, "disable", s->slot, NULL)) {
            return;
        }
        CK_RV rv = scene_answer(s, &k);
        (void)scene_check(s, rv == CKR_KEY_FUNCTION_NOT_PERMITTED, "the next unwrap is refused", rv);
        rv = scene_wrap(s, s->way, key, blob, &len);
        (void)scene_check(s, rv == CKR_KEY_FUNCTION_NOT_PERMITTED, "and the next wrap", rv);
        if (!scene_keyward(s, "enable", s->slot, NULL)) {
            return;
        }
        (void)scene_still_opens(s, &k, "enabled, it opens at once");
        rv = scene_wrap(s, s->way, key, blob, &len);
        (void)scene_check(s, rv == CKR_OK, "and wraps at once", rv);
        (void)s->p11->C_DestroyObject(s->session, key);
    }
}

/* Deleted, and recovered before the day of the purge. */
static void deletion(struct scene *s)
{
    struct kept k;
    if (!scene_keep(s, &k) || !scene_keyward(s, "delete", s->slot, "2")) {
        return;
    }
    CK_RV rv = scene_answer(s, &k);
    (void)scene_check(s, rv == CKR_KEY_FUNCTION_NOT_PERMITTED, "the next unwrap is refused", rv);
    if (scene_keyward(s, "recover", s->slot, "2") && scene_look(s)) {
        (void)scene_still_opens(s, &k, "recovered, it opens at once");
    }
}

static void restart(struct scene *s)
{
    struct kept k;
    for (int i = 0; i < 3 && scene_keep(s, &k); i++) {
        scene_end(s);
        if (!scene_begin(s)) {
            return;
        }
        (void)scene_still_opens(s, &k, "what was wrapped before the restart opens after it");
    }
    CK_RV rv = s->p11->C_Logout(s->session);
    (void)scene_check(s, rv == CKR_OK, "C_Logout", rv);
    rv = scene_answer(s, &k);
    (void)scene_check(s, rv == CKR_USER_NOT_LOGGED_IN || rv == CKR_UNWRAPPING_KEY_HANDLE_INVALID,
                      "nothing opens without a login", rv);
    s->session = caller_enter(s->f, s->slot);
    if (scene_look(s)) {
        (void)scene_still_opens(s, &k, "logged in again, it opens");
    }
}

/* The HSM goes away and returns; the broker's session and handles stay. Some HSMs go on with what they have in memory. */
static void outage(struct scene *s)
{
    struct kept k;
    if (!scene_keep(s, &k) || !scene_shell(s, "CONTRACT_DOWN")) {
        return;
    }
    for (int i = 0; i < 3; i++) {
        double start = scene_seconds();
        CK_RV rv = scene_answer(s, &k);
        bool others = getenv("CONTRACT_SERVES") != NULL; /* a replica is still there */
        (void)scene_check(s, !others || rv == CKR_OK, "away, a replica serves", rv);
        (void)scene_check(s, rv == CKR_OK || rv == CKR_DEVICE_ERROR || rv == CKR_DEVICE_REMOVED || rv == CKR_TOKEN_NOT_PRESENT,
                          "away, it works on or answers an outage", rv);
        (void)scene_check(s, scene_seconds() - start < OUTAGE_MOST, "within its bound", 0);
    }
    if (!scene_shell(s, "CONTRACT_UP")) {
        return;
    }
    double until = scene_seconds() + OUTAGE_MOST;
    while (scene_answer(s, &k) != CKR_OK && scene_seconds() < until) {
        (void)usleep(20 * 1000);
    }
    (void)scene_still_opens(s, &k, "back, the same session opens what it wrapped before");
    (void)scene_check(s, scene_keep(s, &k), "and wraps", 0);
}

struct worker {
    struct scene scene;
    pthread_t thread;
};

static void *work(void *arg)
{
    struct scene *s = arg;
    struct kept k;
    s->session = caller_enter(s->f, s->slot);
    for (int i = 0; i < (s->rsa ? ROUNDS_RSA : ROUNDS) && s->session != 0 && scene_keep(s, &k); i++) {
        (void)scene_still_opens(s, &k, "a thread's data key opens");
    }
    (void)scene_check(s, s->session != 0, "a thread has a session", 0);
    return NULL;
}

static void threads(struct scene *s)
{
    struct worker workers[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].scene = *s;
        workers[i].scene.checks = workers[i].scene.failed = 0;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i].scene) != 0) {
            abort();
        }
    }
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        s->checks += workers[i].scene.checks;
        s->failed += workers[i].scene.failed;
    }
}

static const struct {
    const char *name;
    void (*run)(struct scene *s);
} parts[] = {
    {"readback: wrap-only, value not given", the_master_key_is_wrap_only},
    {"sealed data keys", sealed_data_keys},
    {"persistent data keys", persistent_data_keys},
    {"envelopes are bound to a context", envelopes},
    {"every bad blob has one answer", bad_blobs},
    {"rotate beside a running broker", rotation},
    {"disable, enable: the next call", disabling},
    {"delete, recover", deletion},
    {"restart, logout", restart},
    {"four threads", threads},
    {"the HSM goes away and returns", outage},
};

static bool all_good = true;

/* A part is over: its line, and the counters anew. */
static void tell(struct scene *s, const char *name, const char *why)
{
    bool good = s->failed == 0 && s->checks > 0;
    all_good &= good;
    (void)printf("%s\t%s\t%s\n", good ? "ok" : "failed", name, good ? "" : why);
    (void)fflush(stdout);
    s->checks = s->failed = 0;
}

static void try_ways(struct scene *s, const char *expected)
{
    for (size_t i = 0; i < way_count; i++) {
        const struct way *w = &ways[i];
        char name[64];
        if (w->of == (s->rsa ? WAY_AES : WAY_RSA)) {
            continue;
        }
        (void)snprintf(name, sizeof name, "data keys by %s", w->name);
        bool works = way_works(s, w);
        s->way = works && s->way == NULL ? w : s->way;
        if (works == is_expected(expected, w->name) && !works) {
            (void)printf("skipped\t%s\tthe token does not do it, and it is refused\n", name);
            s->checks = s->failed = 0;
            continue;
        }
        (void)scene_check(s, works == is_expected(expected, w->name), "it is expected there", works);
        tell(s, name, works ? "it works in part, or was not expected to" : "it is expected to work here");
    }
}

int main(int argc, char **argv)
{
    struct scene s = {0};
    if (argc != 5 || (s.f = fixture_attach(argv[4])) == NULL) {
        (void)fprintf(stderr, "usage: contract SLOT TYPE WAYS FOLDER\n");
        return 2;
    }
    s.p11 = s.f->calls;
    s.slot = argv[1];
    s.rsa = strncmp(argv[2], "rsa", 3) == 0;
    const char *const create[] = {fixture_command(), "create", s.slot, "--type", argv[2], NULL};
    (void)scene_check(&s, fixture_execute(s.f, create), "keyward create", 0);
    bool made = s.failed == 0;
    tell(&s, "create", "see above");
    (void)scene_keyward(&s, "check", NULL, NULL);
    tell(&s, "check: no problems", "see above");
    if (made && scene_begin(&s)) {
        try_ways(&s, argv[3]);
        for (size_t i = 0; s.way != NULL && i < sizeof parts / sizeof parts[0]; i++) {
            if (s.session == 0 && !scene_begin(&s)) {
                break;
            }
            parts[i].run(&s);
            tell(&s, parts[i].name, "see above");
        }
        all_good &= s.way != NULL;
        scene_end(&s);
    }
    fixture_stop(s.f);
    return made && all_good ? 0 : 1;
}
