#include <pthread.h>
#include <string.h>

#include "cipher.h"
#include "scene.h"

enum { ROUNDS = 1500 };

/*
 * Another thread of the caller changes what the arguments point to while the call runs: between
 * "yes" and "no" of CKA_SENSITIVE and of CKA_WRAP, and between a mechanism of the list and one that
 * is not on it. What is checked must be what is used.
 */
struct changing {
    atomic_bool stop;
    volatile CK_BBOOL sensitive;
    volatile CK_BBOOL wrap;
    CK_MECHANISM mechanism;
    unsigned accepted; /* calls, by their outcome: both must happen, or nothing was raced for */
    unsigned refused;
};

static void *change(void *data)
{
    struct changing *c = data;
    for (unsigned i = 0; !atomic_load_explicit(&c->stop, memory_order_relaxed); i++) {
        c->sensitive = i % 2 == 0 ? CK_TRUE : CK_FALSE;
        c->wrap = i % 3 == 0 ? CK_TRUE : CK_FALSE;
        volatile CK_MECHANISM_TYPE *type = &c->mechanism.mechanism;
        *type = i % 2 == 0 ? CKM_AES_KEY_WRAP : CKM_AES_CBC;
    }
    return NULL;
}

static void point_at(struct sheet *t, CK_ATTRIBUTE_TYPE type, volatile CK_BBOOL *value)
{
    union {
        volatile CK_BBOOL *in;
        CK_BBOOL *out;
    } cast = {value};
    t->items[t->count++] = (CK_ATTRIBUTE){type, cast.out, sizeof *value};
}

/* A key that got through must be sensitive and must not wrap. */
static bool is_forbidden(struct scene *s, CK_OBJECT_HANDLE key)
{
    struct blob blob;
    const CK_OBJECT_HANDLE keys[2] = {key, scene_data_key(s, SEALED, true)};
    bool wraps = scene_wrap(s, SEALED, CKM_AES_KEY_WRAP, keys, &blob) == CKR_OK;
    scene_destroy(s, SEALED, keys[1]);
    if (wraps) {
        scene_note(s, "a data key got the right to wrap");
    }
    if (scene_reads_dek(s, SEALED, key)) {
        scene_note(s, "a key of a sealed slot is readable");
        return true;
    }
    return wraps;
}

static bool wins(struct scene *s, struct changing *c, const struct blob *blob)
{
    struct sheet t = {0};
    struct blob out;
    CK_OBJECT_HANDLE key = 0;
    sheet_secret(&t, CKK_AES, false);
    sheet_bool(&t, CKA_EXTRACTABLE, true);
    point_at(&t, CKA_SENSITIVE, &c->sensitive);
    point_at(&t, CKA_WRAP, &c->wrap);
    const struct scene_opening o = {CKM_AES_KEY_WRAP, s->places[SEALED].master, blob};
    CK_RV unwrapped = scene_unwrap(s, SEALED, &o, &t, &key);
    c->accepted += unwrapped == CKR_OK;
    c->refused += unwrapped != CKR_OK;
    if (unwrapped == CKR_OK) {
        if (is_forbidden(s, key)) {
            return true;
        }
        scene_destroy(s, SEALED, key);
    }
    sheet_bytes(&t, CKA_VALUE, s->dek, sizeof s->dek);
    if (scene_create(s, SEALED, &t, &key) == CKR_OK) {
        if (is_forbidden(s, key)) {
            return true;
        }
        scene_destroy(s, SEALED, key);
    }
    struct sheet plain = {0};
    sheet_data_key(&plain, CKK_AES, true);
    sheet_bytes(&plain, CKA_VALUE, s->dek, sizeof s->dek);
    scene_need(s, scene_create(s, SEALED, &plain, &key) == CKR_OK, "a data key cannot be made");
    out.len = sizeof out.bytes;
    CK_RV rv = s->p11->C_WrapKey(s->places[SEALED].session, &c->mechanism, s->places[SEALED].master, key,
                                 out.bytes, &out.len);
    scene_destroy(s, SEALED, key);
    if (rv == CKR_OK && out.len != SCENE_KEY_LEN + 8) {
        scene_note(s, "a mechanism that is not on the list wrapped");
        return true;
    }
    return false;
}

enum verdict attack_race(struct scene *s)
{
    struct changing c = {.mechanism = {CKM_AES_KEY_WRAP, NULL, 0}};
    struct blob blob;
    pthread_t thread;
    bool won = false;
    scene_enter(s, SEALED);
    scene_wrapped_dek(s, SEALED, &blob);
    scene_need(s, pthread_create(&thread, NULL, change, &c) == 0, "a thread cannot be made");
    for (unsigned i = 0; !won && i < ROUNDS; i++) {
        won = wins(s, &c, &blob);
    }
    atomic_store(&c.stop, true);
    scene_need(s, pthread_join(thread, NULL) == 0, "pthread_join");
    scene_need(s, won || (c.accepted > 0 && c.refused > 0), "the other thread never ran during a call");
    scene_note(s, "%u calls accepted, %u refused", c.accepted, c.refused);
    return won ? SUCCEEDS : REFUSED;
}
