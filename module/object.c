#include "object.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "attributes.h"
#include "clock.h"
#include "library.h"
#include "policy.h"
#include "session.h"
#include "slot.h"

enum { CHANGE_WAIT_MS = 10000 };

/* One reference less. The object if it was the last one, to be freed without the lock; else NULL. The lock is held. */
static struct kw_object *drop_locked(struct kw_object *o)
{
    return --o->references == 0 ? o : NULL;
}

static void object_free(struct kw_object *o)
{
    if (o != NULL && o->kind == KW_OBJECT_DEK) {
        kw_secret_free(o->dek.value);
    }
    free(o);
}

static void put(struct kw_object *o)
{
    kw_face_lock();
    struct kw_object *last = drop_locked(o);
    kw_face_unlock();
    object_free(last);
}

void kw_object_put(struct kw_object_view *view)
{
    if (view->object != NULL) {
        put(view->object);
        view->object = NULL;
    }
}

/* The object of a handle, borrowed while the lock is held; NULL, with the reason in *r, when the session may not see one. */
static struct kw_object *find_locked(const struct kw_session *s, CK_OBJECT_HANDLE handle, struct kw_rv *r)
{
    struct kw_object *o = kw_handles_get(&kw_library()->objects, handle);
    if (!s->slot->logged_in) {
        *r = KW_FAIL(CKR_USER_NOT_LOGGED_IN, "nothing is served before C_Login");
        return NULL;
    }
    if (o == NULL || o->slot != s->slot) {
        *r = KW_FAIL(CKR_OBJECT_HANDLE_INVALID, "there is no such object");
        return NULL;
    }
    *r = KW_OK;
    return o;
}

/* A copy of what the object is. The lock is held. */
static void copy_locked(const struct kw_object *o, struct kw_object_view *view)
{
    view->object = NULL;
    view->kind = o->kind;
    view->class = o->class;
    view->was_active = o->was_active;
    if (o->kind == KW_OBJECT_CMK) {
        view->version = o->version;
    } else {
        view->dek = o->dek;
    }
}

/* The same, counted. The lock is held. */
static void view_locked(struct kw_object *o, struct kw_object_view *view)
{
    copy_locked(o, view);
    o->references++;
    view->object = o;
}

struct kw_rv kw_object_lookup(const struct kw_session *s, CK_OBJECT_HANDLE handle, struct kw_object_view *view)
{
    struct kw_rv r;
    view->object = NULL;
    kw_face_lock();
    struct kw_object *o = find_locked(s, handle, &r);
    if (o != NULL && o->kind == KW_OBJECT_DEK && o->dek.value != NULL) {
        view_locked(o, view);
    } else if (o != NULL) {
        copy_locked(o, view); /* whole without the object: there is nothing to put */
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
        o->link = &o->slot->objects;
        *o->link = o;
        if (o->next != NULL) {
            o->next->link = &o->next;
        }
    }
    return r;
}

/* Ends the object's handle and moves it from its slot's list to *gone. The lock is held. */
static void detach_locked(struct kw_object *o, struct kw_object **gone, bool destroy)
{
    *o->link = o->next;
    if (o->next != NULL) {
        o->next->link = o->link;
    }
    o->link = NULL;
    kw_handles_remove(&kw_library()->objects, o->handle);
    o->destroy = destroy && o->kind == KW_OBJECT_DEK && o->dek.value == NULL;
    o->next = *gone;
    *gone = o;
}

void kw_object_detach_session_locked(struct kw_session *s, struct kw_object **gone)
{
    for (struct kw_object *o = s->slot->objects, *next = NULL; o != NULL; o = next) {
        next = o->next;
        if (o->owner == s) {
            detach_locked(o, gone, true);
        }
    }
}

void kw_object_detach_all_locked(struct kw_slot *slot, struct kw_object **gone)
{
    for (struct kw_object *o = slot->objects, *next = NULL; o != NULL; o = next) {
        next = o->next;
        detach_locked(o, gone, o->owner != NULL);
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
        memset(o, 0, offsetof(struct kw_object, dek));
        o->kind = KW_OBJECT_DEK;
        o->class = CKO_SECRET_KEY;
        o->slot = s->slot;
        o->owner = dek->spec.token ? NULL : s;
        o->dek = *dek;
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
    struct kw_rv r = kw_session_begin_making(s, dek.spec.token);
    if (kw_ok(r)) {
        r = kw_engine_make(kw_library()->engine, s->slot->index, request->value, &dek);
        if (kw_ok(r)) {
            r = kw_object_adopt(s, &dek, out);
        }
        kw_session_end_making(s, dek.spec.token);
    }
    kw_dek_request_clear(request);
    return r;
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

static struct kw_rv may_change(const struct kw_session *s, enum kw_object_kind kind, const struct kw_dek *dek)
{
    if (kind == KW_OBJECT_CMK) {
        return KW_FAIL(CKR_ACTION_PROHIBITED, "the CMK is changed with the keyward command only");
    }
    if (dek->spec.token && !s->rw) {
        return KW_FAIL(CKR_SESSION_READ_ONLY, "a token object needs a read/write session");
    }
    return KW_OK;
}

/* Claims the object for destruction: only one of several callers gets it. The lock is held. */
static struct kw_rv claim_locked(const struct kw_session *s, struct kw_object *o)
{
    struct kw_rv r = may_change(s, o->kind, &o->dek);
    if (kw_ok(r) && o->dying) {
        r = KW_FAIL(CKR_OBJECT_HANDLE_INVALID, "another call destroys this object");
    }
    o->dying = o->dying || kw_ok(r); /* it stays so: a call that had looked it up before finds that it is gone */
    return r;
}

/* The handle goes, and with it its reference: the object if that was the last one, else NULL. The lock is held. */
static struct kw_object *end_handle_locked(struct kw_object *o)
{
    struct kw_object *gone = NULL;
    if (o->link == NULL) { /* a logout was here first */
        return NULL;
    }
    detach_locked(o, &gone, false);
    return drop_locked(o);
}

/* Destroys a claimed object of the token home in the token. Gone there: gone here as well; else it is as it was. The lock is held; given up
 * meanwhile. */
static struct kw_rv destroy_in_token_locked(const struct kw_session *s, struct kw_object *o)
{
    struct kw_object_view view;
    view_locked(o, &view);
    kw_face_unlock();
    struct kw_rv r = kw_engine_destroy(kw_library()->engine, s->slot->index, &view.dek);
    bool destroyed = kw_ok(r) || r.code == CKR_OBJECT_HANDLE_INVALID;
    kw_face_lock();
    o->dying = destroyed;
    if (destroyed) {
        (void)end_handle_locked(o); /* not the last reference: the view has one */
    }
    object_free(drop_locked(o));
    return r;
}

struct kw_rv kw_object_destroy_locked(struct kw_session *s, CK_OBJECT_HANDLE handle)
{
    struct kw_rv r;
    struct kw_object *o = find_locked(s, handle, &r);
    if (o != NULL) {
        r = claim_locked(s, o);
    }
    if (!kw_ok(r)) {
        return r;
    }
    if (o->dek.value == NULL) {
        return destroy_in_token_locked(s, o);
    }
    object_free(end_handle_locked(o));
    return KW_OK;
}

struct kw_rv kw_object_size(const struct kw_session *s, CK_OBJECT_HANDLE handle, CK_ULONG *size)
{
    struct kw_rv r;
    CK_ULONG bytes = 0;
    if (size == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the size");
    }
    kw_face_lock();
    const struct kw_object *o = find_locked(s, handle, &r);
    if (o != NULL) {
        bytes = o->kind == KW_OBJECT_CMK ? o->version.bits / 8 : o->dek.spec.len;
    }
    kw_face_unlock();
    if (kw_ok(r)) {
        *size = bytes;
    }
    return r;
}

/* Makes the caller the only one that changes the object, and looks at it then: label and CKA_ID are one attribute in the token. */
static struct kw_rv begin_change(const struct kw_session *s, CK_OBJECT_HANDLE handle, struct kw_object_view *view)
{
    const struct timespec until = kw_clock_in(CHANGE_WAIT_MS);
    struct kw_rv r;
    kw_face_lock();
    struct kw_object *o = find_locked(s, handle, &r);
    while (o != NULL && o->changing) {
        bool over = !kw_face_wait(&until);
        o = find_locked(s, handle, &r); /* it may have gone meanwhile */
        if (o != NULL && o->changing && over) {
            r = KW_FAIL(CKR_FUNCTION_FAILED, "another call that changes this object does not come to an end");
            o = NULL;
        }
    }
    if (o != NULL) {
        o->changing = true;
        view_locked(o, view);
    }
    kw_face_unlock();
    return r;
}

/* Puts the view; `to` NULL: nothing was changed. */
static void end_change(struct kw_object_view *view, const struct kw_dek_spec *to)
{
    kw_face_lock();
    view->object->changing = false;
    if (to != NULL) {
        view->object->dek.spec = *to;
    }
    kw_face_changed();
    kw_face_unlock();
    kw_object_put(view);
}

struct kw_rv kw_object_set(struct kw_session *s, CK_OBJECT_HANDLE handle, const CK_ATTRIBUTE *template, CK_ULONG count)
{
    struct kw_object_view o = {0};
    struct kw_rv r = kw_attrs_check(template, count);
    if (kw_ok(r)) {
        r = begin_change(s, handle, &o);
    }
    if (o.object == NULL) {
        return r;
    }
    struct kw_dek to = {0};
    if (o.kind == KW_OBJECT_DEK) {
        to = o.dek;
    }
    r = kw_policy_change(template, count, &to.spec); /* says read-only before it says prohibited: CLIENTS.md point 5 */
    if (kw_ok(r)) {
        r = may_change(s, o.kind, &o.dek);
    }
    if (kw_ok(r) && o.dek.value == NULL) {
        r = kw_engine_rename(kw_library()->engine, s->slot->index, &o.dek, &to);
    }
    end_change(&o, kw_ok(r) ? &to.spec : NULL);
    return r;
}

/* Whether the readable value of a data key of the token home is asked for: it is fetched without the lock. */
static bool is_fetched(const struct kw_object *o, const CK_ATTRIBUTE *template, CK_ULONG count)
{
    const struct kw_dek *d = &o->dek;
    bool asked = false;
    for (CK_ULONG i = 0; i < count; i++) {
        asked |= template[i].type == CKA_VALUE;
    }
    return asked && o->kind == KW_OBJECT_DEK && d->value == NULL && !d->spec.sensitive && d->spec.extractable;
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

/* Every attribute that can be given, and the last reason why one could not. The lock is held. */
static CK_RV give_all_locked(const struct kw_object *o, const struct kw_secret *value, CK_ATTRIBUTE *template, CK_ULONG count)
{
    CK_RV worst = CKR_OK;
    for (CK_ULONG i = 0; i < count; i++) {
        CK_RV rv = give_locked(o, value, &template[i]);
        worst = rv != CKR_OK ? rv : worst;
    }
    return worst;
}

/* kw_object_get_locked of a value that is in the token. The lock is held; given up meanwhile. */
static struct kw_rv get_fetched_locked(const struct kw_session *s, struct kw_object *o, CK_ATTRIBUTE *template, CK_ULONG count, CK_RV *worst)
{
    struct kw_object_view view;
    struct kw_secret *value = NULL;
    view_locked(o, &view);
    kw_face_unlock();
    struct kw_rv r = kw_engine_value(kw_library()->engine, s->slot->index, &view.dek, &value);
    kw_face_lock();
    if (kw_ok(r)) {
        *worst = give_all_locked(o, value, template, count);
    }
    kw_secret_free(value);
    object_free(drop_locked(o));
    return r;
}

struct kw_rv kw_object_get_locked(struct kw_session *s, CK_OBJECT_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count)
{
    CK_RV worst = CKR_OK;
    struct kw_rv r = kw_attrs_check(template, count);
    if (!kw_ok(r)) {
        return r;
    }
    struct kw_object *o = find_locked(s, handle, &r);
    if (o != NULL && is_fetched(o, template, count)) {
        r = get_fetched_locked(s, o, template, count, &worst);
    } else if (o != NULL) {
        worst = give_all_locked(o, NULL, template, count);
    }
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
    o->class = CKO_SECRET_KEY;
    o->slot = f->slot;
    struct kw_rv r = attach_locked(o);
    if (!kw_ok(r)) {
        f->r = r; /* what went wrong with one object stays, however well the next ones go */
        free(o);
        return NULL;
    }
    return o;
}

/* The object of one class that a version has. */
static void see_object(struct refresh *f, const struct kw_version *version, CK_OBJECT_CLASS class)
{
    kw_face_lock();
    struct kw_object *o = f->slot->objects;
    while (o != NULL && (o->kind != KW_OBJECT_CMK || o->class != class || o->version.version != version->version ||
                         memcmp(o->version.lineage, version->lineage, KW_LINEAGE_SIZE) != 0)) {
        o = o->next;
    }
    bool fresh = o == NULL;
    if (fresh) {
        o = found_locked(f, KW_OBJECT_CMK);
    }
    if (o != NULL && (fresh || o->seen <= f->reading)) { /* else a reading that began later has seen it already */
        o->class = class;
        o->version = *version;
        o->was_active |= version->state == KW_STATE_ACTIVE;
        o->seen = fresh ? o->seen : f->reading;
    }
    kw_face_unlock();
}

static void see_version(void *data, const struct kw_version *version)
{
    struct refresh *f = data;
    if (version->type != CKK_RSA) {
        see_object(f, version, CKO_SECRET_KEY);
        return;
    }
    see_object(f, version, CKO_PRIVATE_KEY);
    if (version->has_public) {
        see_object(f, version, CKO_PUBLIC_KEY);
    }
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
    for (struct kw_object *o = f->slot->objects, *next = NULL; o != NULL; o = next) {
        bool was_read = o->kind == KW_OBJECT_CMK || (data_keys && o->owner == NULL);
        next = o->next;
        if (was_read && o->seen < f->reading) {
            detach_locked(o, &gone, false);
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
