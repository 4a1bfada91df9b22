#include "find.h"

#include <keyward.h>
#include <stdlib.h>
#include <string.h>

#include "attributes.h"
#include "library.h"
#include "object.h"
#include "session.h"
#include "slot.h"

enum { VALUE_MOST = KW_RSA_MAX }; /* bytes of an attribute that can match; every attribute of ours is shorter */

struct wanted {
    CK_ATTRIBUTE_TYPE type;
    size_t len;
    uint8_t bytes[VALUE_MOST];
};

struct filter {
    size_t count;
    bool never;     /* nothing can match */
    bool only_cmks; /* no data key can match */
    struct wanted *wanted;
};

/* Copies one attribute. A value of impossible length matches nothing and is not read; CKA_VALUE is not searched for. */
static struct kw_rv take_wanted(struct filter *f, const CK_ATTRIBUTE *a)
{
    struct wanted *w = &f->wanted[f->count++];
    w->type = a->type;
    if (a->type == CKA_VALUE || a->ulValueLen > VALUE_MOST) {
        f->never = true;
        return KW_OK;
    }
    struct kw_rv r = kw_attrs_bytes(a, w->bytes, sizeof w->bytes, &w->len);
    bool yes = w->len == sizeof(CK_BBOOL) && w->bytes[0] == CK_TRUE;
    f->only_cmks |= (a->type == CKA_WRAP || a->type == CKA_UNWRAP) && yes;
    f->only_cmks |= a->type == CKA_KEYWARD_VERSION || a->type == CKA_KEYWARD_STATE || a->type == CKA_KEYWARD_FINGERPRINT;
    if (a->type == CKA_CLASS && w->len == sizeof(CK_ULONG)) {
        CK_ULONG class = 0;
        memcpy(&class, w->bytes, sizeof class);
        f->never |= class != CKO_SECRET_KEY && class != CKO_PRIVATE_KEY && class != CKO_PUBLIC_KEY;
        f->only_cmks |= class != CKO_SECRET_KEY;
    }
    return r;
}

static struct kw_rv take_filter(const CK_ATTRIBUTE *template, CK_ULONG count, struct filter *f)
{
    *f = (struct filter){0};
    struct kw_rv r = kw_attrs_check(template, count);
    if (!kw_ok(r) || count == 0) {
        return r;
    }
    f->wanted = calloc(count, sizeof *f->wanted);
    if (f->wanted == NULL) {
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for a search");
    }
    for (CK_ULONG i = 0; kw_ok(r) && i < count; i++) {
        const CK_ATTRIBUTE a = template[i]; /* read once */
        r = take_wanted(f, &a);
    }
    if (!kw_ok(r)) {
        free(f->wanted);
        f->wanted = NULL;
    }
    return r;
}

static bool matches_locked(const struct kw_object *o, const struct filter *f)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct wanted *w = &f->wanted[i];
        struct kw_attr_value v = {0};
        if (kw_attributes_read(o, w->type, &v) != CKR_OK || v.len != w->len ||
            (v.len > 0 && memcmp(v.bytes, w->bytes, v.len) != 0)) {
            return false;
        }
    }
    return true;
}

/* The active CMK first, then the other versions, newest first, then data keys. */
static int rank(const struct kw_object *o)
{
    return o->kind == KW_OBJECT_DEK ? 2 : o->version.state == KW_STATE_ACTIVE ? 0 : 1;
}

static int compare_objects(const void *x, const void *y)
{
    const struct kw_object *a = *(struct kw_object *const *)x;
    const struct kw_object *b = *(struct kw_object *const *)y;
    if (rank(a) != rank(b)) {
        return rank(a) - rank(b);
    }
    if (a->kind == KW_OBJECT_CMK && a->version.version != b->version.version) {
        return a->version.version > b->version.version ? -1 : 1;
    }
    if (a->kind == KW_OBJECT_CMK && a->class != b->class) { /* what unwraps before what wraps */
        return a->class == CKO_PUBLIC_KEY ? 1 : -1;
    }
    return a->handle < b->handle ? -1 : a->handle > b->handle;
}

/* The slot's objects that match, as handles in order. *out is the caller's. The lock is held. */
static struct kw_rv collect_locked(const struct kw_slot *slot, const struct filter *f, CK_OBJECT_HANDLE **out, size_t *count)
{
    size_t n = 0;
    for (const struct kw_object *o = slot->objects; o != NULL; o = o->next) {
        n++;
    }
    const struct kw_object **hits = calloc(n + 1, sizeof *hits);
    CK_OBJECT_HANDLE *handles = calloc(n + 1, sizeof *handles);
    if (hits == NULL || handles == NULL) {
        free(hits);
        free(handles);
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for what a search has found");
    }
    n = 0;
    for (const struct kw_object *o = slot->objects; o != NULL; o = o->next) {
        if (matches_locked(o, f)) {
            hits[n++] = o;
        }
    }
    qsort(hits, n, sizeof *hits, compare_objects);
    for (size_t i = 0; i < n; i++) {
        handles[i] = hits[i]->handle;
    }
    free(hits);
    *out = handles;
    *count = n;
    return KW_OK;
}

/* Claims the session's search, so that a second C_FindObjectsInit is refused while the first one reads the token. */
static struct kw_rv begin(struct kw_session *s, uint64_t *search, bool *in)
{
    struct kw_rv r = KW_OK;
    kw_face_lock();
    if (s->finding) {
        r = KW_FAIL(CKR_OPERATION_ACTIVE, "a search is active in this session");
    } else {
        s->finding = true;
        *search = ++s->search;
        *in = s->slot->logged_in;
    }
    kw_face_unlock();
    return r;
}

struct kw_rv kw_find_init(struct kw_session *s, const CK_ATTRIBUTE *template, CK_ULONG count)
{
    struct filter f;
    bool in = false;
    uint64_t search = 0;
    struct kw_rv r = take_filter(template, count, &f);
    if (!kw_ok(r)) {
        return r;
    }
    r = begin(s, &search, &in);
    if (!kw_ok(r)) {
        free(f.wanted);
        return r;
    }
    if (in && !f.never) {
        r = kw_object_refresh(s, !f.only_cmks);
    }
    kw_face_lock();
    bool mine = s->finding && s->search == search;
    if (kw_ok(r) && in && !f.never && mine) {
        r = collect_locked(s->slot, &f, &s->found, &s->found_count);
    }
    if (!kw_ok(r) && mine) {
        kw_session_end_find_locked(s);
    }
    kw_face_unlock();
    free(f.wanted);
    return r;
}

struct kw_rv kw_find_next(struct kw_session *s, CK_OBJECT_HANDLE *list, CK_ULONG most, CK_ULONG *count)
{
    struct kw_rv r = KW_OK;
    if (count == NULL || (list == NULL && most > 0)) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the handles");
    }
    kw_face_lock();
    if (!s->finding) {
        r = KW_FAIL(CKR_OPERATION_NOT_INITIALIZED, "C_FindObjectsInit has not been called");
    } else {
        size_t left = s->found_count - s->found_next;
        size_t n = left < most ? left : most;
        if (n > 0) {
            memcpy(list, s->found + s->found_next, n * sizeof *list);
        }
        s->found_next += n;
        *count = n;
    }
    kw_face_unlock();
    return r;
}

struct kw_rv kw_find_final(struct kw_session *s)
{
    struct kw_rv r = KW_OK;
    kw_face_lock();
    if (s->finding) {
        kw_session_end_find_locked(s);
    } else {
        r = KW_FAIL(CKR_OPERATION_NOT_INITIALIZED, "C_FindObjectsInit has not been called");
    }
    kw_face_unlock();
    return r;
}
