#include "object.h"

#include <stdlib.h>
#include <string.h>

#include "attributes.h"
#include "library.h"
#include "policy.h"
#include "session.h"
#include "slot.h"

static void put_locked(struct kw_object *o)
{
    if (--o->references == 0) {
        kw_secret_free(o->dek.value);
        free(o);
    }
}

static void put(struct kw_object *o)
{
    kw_face_lock();
    put_locked(o);
    kw_face_unlock();
}

void kw_object_put(struct kw_object_view *view)
{
    if (view->object != NULL) {
        put(view->object);
        view->object = NULL;
    }
}

struct kw_rv kw_object_lookup(const struct kw_session *s, CK_OBJECT_HANDLE handle, struct kw_object_view *view)
{
    view->object = NULL;
    struct kw_rv r = KW_OK;
    kw_face_lock();
    struct kw_object *o = kw_handles_get(&kw_library()->objects, handle);
    if (!s->slot->logged_in) {
        r = KW_FAIL(CKR_USER_NOT_LOGGED_IN, "nothing is served before C_Login");
    } else if (o == NULL || o->slot != s->slot) {
        r = KW_FAIL(CKR_OBJECT_HANDLE_INVALID, "there is no such object");
    } else {
        o->references++;
        *view = (struct kw_object_view){o, o->kind, o->was_active, o->version, o->dek};
    }
    kw_face_unlock();
    return r;
}

/* A new object in its slot's list, with a handle. The lock is held. */
static struct kw_rv attach_locked(struct kw_object *o)
{
    struct kw_rv r = kw_handles_add(&kw_library()->objects, o, &o->handle);
    if (kw_ok(r)) {
        o->references = 1;
        o->seen = o->slot->readings;
        o->next = o->slot->objects;
        o->slot->objects = o;
    }
    return r;
}

/* Ends the handle of *link and moves the object to *gone. The lock is held. */
static void detach_locked(struct kw_object **link, struct kw_object **gone, bool destroy)
{
    struct kw_object *o = *link;
    *link = o->next;
    kw_handles_remove(&kw_library()->objects, o->handle);
    o->destroy = destroy && o->kind == KW_OBJECT_DEK && o->dek.value == NULL;
    o->next = *gone;
    *gone = o;
}

void kw_object_detach_session_locked(struct kw_session *s, struct kw_object **gone)
{
    struct kw_object **link = &s->slot->objects;
    while (*link != NULL) {
        if ((*link)->owner == s) {
            detach_locked(link, gone, true);
        } else {
            link = &(*link)->next;
        }
    }
}

void kw_object_detach_all_locked(struct kw_slot *slot, struct kw_object **gone)
{
    while (slot->objects != NULL) {
        detach_locked(&slot->objects, gone, slot->objects->owner != NULL);
    }
}

void kw_objects_end(struct kw_object *gone)
{
    while (gone != NULL) {
        struct kw_object *next = gone->next;
        if (gone->destroy) {
            struct kw_rv r = kw_engine_destroy(kw_library()->engine, gone->slot->index, &gone->dek);
            (void)r; /* a session object; if the token is gone, so is the object */
        }
        put(gone);
        gone = next;
    }
}

/* The object of a token data key, if the slot has one. The lock is held. */
static struct kw_object *find_dek_locked(const struct kw_slot *slot, const struct kw_dek *dek)
{
    struct kw_object *o = slot->objects;
    while (o != NULL && (o->kind != KW_OBJECT_DEK || o->owner != NULL || o->dek.value != NULL ||
                         memcmp(o->dek.name, dek->name, KW_DEK_NAME_SIZE) != 0)) {
        o = o->next;
    }
    return o;
}

/* Attaches the new object, unless a search of another thread has just found the key and did so. The lock is held. */
static struct kw_rv adopt_locked(struct kw_session *s, struct kw_object **o, CK_OBJECT_HANDLE *handle)
{
    if (s->closed) {
        return KW_FAIL(CKR_SESSION_HANDLE_INVALID, "the session was closed meanwhile");
    }
    if (!s->slot->logged_in) {
        return KW_FAIL(CKR_USER_NOT_LOGGED_IN, "the slot was logged out meanwhile");
    }
    struct kw_object *known = (*o)->owner == NULL ? find_dek_locked(s->slot, &(*o)->dek) : NULL;
    if (known != NULL) {
        *handle = known->handle;
        return KW_OK;
    }
    struct kw_rv r = attach_locked(*o);
    if (kw_ok(r)) {
        *handle = (*o)->handle;
        *o = NULL;
    }
    return r;
}

struct kw_rv kw_object_adopt(struct kw_session *s, struct kw_dek *dek, CK_OBJECT_HANDLE *out)
{
    struct kw_rv r = KW_FAIL(CKR_HOST_MEMORY, "no memory for an object");
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    struct kw_object *o = malloc(sizeof *o);
    if (o != NULL) {
        *o = (struct kw_object){.kind = KW_OBJECT_DEK, .slot = s->slot, .owner = dek->spec.token ? NULL : s, .dek = *dek};
        kw_face_lock();
        r = adopt_locked(s, &o, &handle);
        kw_face_unlock();
    }
    if (!kw_ok(r)) {
        if (dek->value == NULL) {
            struct kw_rv gone = kw_engine_destroy(kw_library()->engine, s->slot->index, dek);
            (void)gone; /* the first error is the one to tell */
        }
        kw_secret_free(dek->value);
    } else {
        *out = handle;
    }
    free(o);
    return r;
}

/* Makes the data key of a judged request, which it clears. */
static struct kw_rv make(struct kw_session *s, struct kw_dek_request *request, CK_OBJECT_HANDLE *out)
{
    struct kw_dek dek = {.spec = request->spec};
    struct kw_rv r = KW_OK;
    if (request->spec.token && !s->rw) {
        r = KW_FAIL(CKR_SESSION_READ_ONLY, "a token object needs a read/write session");
    }
    if (kw_ok(r)) {
        r = kw_session_require_login(s);
    }
    if (kw_ok(r)) {
        r = kw_engine_make(kw_library()->engine, s->slot->index, request->value, &dek);
    }
    kw_dek_request_clear(request);
    return kw_ok(r) ? kw_object_adopt(s, &dek, out) : r;
}

struct kw_rv kw_object_create(struct kw_session *s, const CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    const struct kw_making_of of = {KW_MAKING_CREATE, CK_UNAVAILABLE_INFORMATION, s->slot->config->sealed};
    struct kw_dek_request request;
    if (out == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the object handle");
    }
    struct kw_rv r = kw_policy_data_key(&of, template, count, &request);
    return kw_ok(r) ? make(s, &request, out) : r;
}

struct kw_rv kw_object_generate(struct kw_session *s, const CK_MECHANISM *mechanism, const CK_ATTRIBUTE *template,
                                CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    struct kw_mechanism_use use = {0};
    struct kw_dek_request request;
    if (out == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the key handle");
    }
    struct kw_rv r = kw_policy_mechanism(mechanism, CKF_GENERATE, &use);
    if (!kw_ok(r)) {
        return r;
    }
    const struct kw_making_of of = {KW_MAKING_GENERATE, use.row->key_type, s->slot->config->sealed};
    r = kw_policy_data_key(&of, template, count, &request);
    return kw_ok(r) ? make(s, &request, out) : r;
}

/* Claims the object for destruction: only one of several callers gets it. */
static struct kw_rv claim(struct kw_object *o)
{
    kw_face_lock();
    bool mine = !o->dying;
    o->dying = true;
    kw_face_unlock();
    return mine ? KW_OK : KW_FAIL(CKR_OBJECT_HANDLE_INVALID, "another call destroys this object");
}

/* Ends the claim: the object's handle goes, or it is as it was. */
static void end_claim(struct kw_object *o, bool destroyed)
{
    struct kw_object *gone = NULL;
    kw_face_lock();
    o->dying = destroyed; /* a call that had looked it up before finds that it is gone */
    for (struct kw_object **link = &o->slot->objects; destroyed && *link != NULL; link = &(*link)->next) {
        if (*link == o) {
            detach_locked(link, &gone, false);
            break;
        }
    }
    kw_face_unlock();
    kw_objects_end(gone);
}

static struct kw_rv may_change(const struct kw_session *s, const struct kw_object_view *o)
{
    if (o->kind == KW_OBJECT_CMK) {
        return KW_FAIL(CKR_ACTION_PROHIBITED, "the CMK is changed with the keyward command only");
    }
    if (o->dek.spec.token && !s->rw) {
        return KW_FAIL(CKR_SESSION_READ_ONLY, "a token object needs a read/write session");
    }
    return KW_OK;
}

struct kw_rv kw_object_destroy(struct kw_session *s, CK_OBJECT_HANDLE handle)
{
    struct kw_object_view o;
    struct kw_rv r = kw_object_lookup(s, handle, &o);
    if (!kw_ok(r)) {
        return r;
    }
    r = may_change(s, &o);
    if (kw_ok(r)) {
        r = claim(o.object);
        if (kw_ok(r) && o.dek.value == NULL) {
            r = kw_engine_destroy(kw_library()->engine, s->slot->index, &o.dek);
            end_claim(o.object, kw_ok(r) || r.code == CKR_OBJECT_HANDLE_INVALID); /* gone in the token: gone here as well */
        } else if (kw_ok(r)) {
            end_claim(o.object, true);
        }
    }
    kw_object_put(&o);
    return r;
}

struct kw_rv kw_object_size(struct kw_session *s, CK_OBJECT_HANDLE handle, CK_ULONG *size)
{
    struct kw_object_view o = {0};
    if (size == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the size");
    }
    struct kw_rv r = kw_object_lookup(s, handle, &o);
    if (kw_ok(r)) {
        *size = o.kind == KW_OBJECT_CMK ? o.version.bits / 8 : o.dek.spec.len;
    }
    kw_object_put(&o);
    return r;
}

struct kw_rv kw_object_set(struct kw_session *s, CK_OBJECT_HANDLE handle, const CK_ATTRIBUTE *template, CK_ULONG count)
{
    struct kw_object_view o = {0};
    struct kw_rv r = kw_attrs_check(template, count);
    if (kw_ok(r)) {
        r = kw_object_lookup(s, handle, &o);
    }
    if (!kw_ok(r)) {
        return r;
    }
    struct kw_dek to = o.dek;
    r = kw_policy_change(template, count, &to.spec); /* says read-only before it says prohibited: CLIENTS.md point 5 */
    if (kw_ok(r)) {
        r = may_change(s, &o);
    }
    if (kw_ok(r) && o.dek.value == NULL) {
        r = kw_engine_rename(kw_library()->engine, s->slot->index, &o.dek, &to);
    }
    if (kw_ok(r)) {
        kw_face_lock();
        o.object->dek.spec = to.spec;
        kw_face_unlock();
    }
    kw_object_put(&o);
    return r;
}

/* The readable value of a data key of the token home, fetched before the lock is taken; NULL when it is not asked for or not readable. */
static struct kw_rv fetch_value(const struct kw_session *s, const struct kw_object_view *o, const CK_ATTRIBUTE *template,
                                CK_ULONG count, struct kw_secret **out)
{
    bool asked = false;
    for (CK_ULONG i = 0; i < count; i++) {
        asked |= template[i].type == CKA_VALUE;
    }
    const struct kw_dek *d = &o->dek;
    if (!asked || o->kind != KW_OBJECT_DEK || d->value != NULL || d->spec.sensitive || !d->spec.extractable) {
        return KW_OK;
    }
    return kw_engine_value(kw_library()->engine, s->slot->index, d, out);
}

static CK_RV give_locked(const struct kw_object *o, const struct kw_secret *value, CK_ATTRIBUTE *to)
{
    struct kw_attr_value v = {0};
    CK_RV rv = CKR_OK;
    if (to->type == CKA_VALUE && value != NULL) {
        kw_attr_set_bytes(&v, kw_secret_peek(value), kw_secret_len(value));
    } else {
        rv = kw_attributes_read(o, to->type, &v);
    }
    return rv == CKR_OK ? kw_attr_give(to, &v) : kw_attr_deny(to, rv);
}

struct kw_rv kw_object_get(struct kw_session *s, CK_OBJECT_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count)
{
    struct kw_object_view o = {0};
    struct kw_secret *value = NULL;
    CK_RV worst = CKR_OK;
    struct kw_rv r = kw_attrs_check(template, count);
    if (kw_ok(r)) {
        r = kw_object_lookup(s, handle, &o);
    }
    if (kw_ok(r)) {
        r = fetch_value(s, &o, template, count, &value);
    }
    if (kw_ok(r)) {
        kw_face_lock();
        for (CK_ULONG i = 0; i < count; i++) {
            CK_RV rv = give_locked(o.object, value, &template[i]);
            worst = rv != CKR_OK ? rv : worst;
        }
        kw_face_unlock();
    }
    kw_secret_free(value);
    kw_object_put(&o);
    if (kw_ok(r) && worst != CKR_OK) {
        r = KW_FAIL(worst, "not every attribute of the template could be given");
    }
    return r;
}

struct refresh {
    struct kw_slot *slot;
    uint64_t reading;
    struct kw_rv r; /* what went wrong in a callback */
};

/* A new object that a reading has found. The lock is held. */
static struct kw_object *found_locked(struct refresh *f, enum kw_object_kind kind)
{
    if (!f->slot->logged_in) {
        f->r = KW_FAIL(CKR_USER_NOT_LOGGED_IN, "the slot was logged out meanwhile");
        return NULL;
    }
    struct kw_object *o = calloc(1, sizeof *o);
    if (o == NULL) {
        f->r = KW_FAIL(CKR_HOST_MEMORY, "no memory for the objects of the slot");
        return NULL;
    }
    o->kind = kind;
    o->slot = f->slot;
    f->r = attach_locked(o);
    if (!kw_ok(f->r)) {
        free(o);
        return NULL;
    }
    return o;
}

static void see_version(void *data, const struct kw_version *version)
{
    struct refresh *f = data;
    kw_face_lock();
    struct kw_object *o = f->slot->objects;
    while (o != NULL && (o->kind != KW_OBJECT_CMK || o->version.version != version->version ||
                         memcmp(o->version.lineage, version->lineage, KW_LINEAGE_SIZE) != 0)) {
        o = o->next;
    }
    bool fresh = o == NULL;
    if (fresh) {
        o = found_locked(f, KW_OBJECT_CMK);
    }
    if (o != NULL && (fresh || o->seen <= f->reading)) { /* else a reading that began later has seen it already */
        o->version = *version;
        o->was_active |= version->state == KW_STATE_ACTIVE;
        o->seen = fresh ? o->seen : f->reading;
    }
    kw_face_unlock();
}

static void see_dek(void *data, const struct kw_dek *dek)
{
    struct refresh *f = data;
    kw_face_lock();
    struct kw_object *o = find_dek_locked(f->slot, dek);
    bool fresh = o == NULL;
    if (fresh) {
        o = found_locked(f, KW_OBJECT_DEK);
    }
    if (o != NULL && (fresh || o->seen <= f->reading)) {
        o->dek = *dek;
        o->dek.spec.sensitive |= f->slot->config->sealed; /* one that was made before the slot was sealed is not revealed either */
        o->seen = fresh ? o->seen : f->reading;
    }
    kw_face_unlock();
}

/* Ends what this reading has not seen. What a later one has seen, or what was made meanwhile, stays. */
static void forget_unseen(struct refresh *f, bool data_keys)
{
    struct kw_object *gone = NULL;
    kw_face_lock();
    struct kw_object **link = &f->slot->objects;
    while (*link != NULL) {
        struct kw_object *o = *link;
        bool was_read = o->kind == KW_OBJECT_CMK || (data_keys && o->owner == NULL);
        if (was_read && o->seen < f->reading) {
            detach_locked(link, &gone, false);
        } else {
            link = &o->next;
        }
    }
    kw_face_unlock();
    kw_objects_end(gone);
}

struct kw_rv kw_object_refresh(struct kw_session *s, bool data_keys)
{
    struct kw_engine *engine = kw_library()->engine;
    struct refresh f = {.slot = s->slot, .r = KW_OK};
    kw_face_lock();
    f.reading = ++s->slot->readings;
    kw_face_unlock();
    struct kw_rv r = kw_engine_versions(engine, s->slot->index, see_version, &f);
    if (kw_ok(r) && data_keys) {
        r = kw_engine_deks(engine, s->slot->index, see_dek, &f);
    }
    if (kw_ok(r)) {
        r = f.r;
    }
    if (kw_ok(r)) {
        forget_unseen(&f, data_keys);
    }
    return r;
}
