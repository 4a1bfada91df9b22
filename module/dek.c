#include "dek.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "log.h"
#include "probe.h"
#include "template.h"
#include "unwrap.h"

enum {
    NAME_AT = KW_LINEAGE_SIZE,
    LENGTH_AT = NAME_AT + KW_DEK_NAME_SIZE,
    ID_AT = LENGTH_AT + 3,
    FULL_ID_MAX = ID_AT + 2 * KW_DEK_TEXT_MAX,
    LABEL_MAX = 160,
    FIND_BATCH = 64
};

/* What a data key carries in the token, built once per call. */
struct tag {
    char label[LABEL_MAX];
    uint8_t id[FULL_ID_MAX];
    size_t id_len;
};

static void make_label(const struct kw_dek_owner *owner, char out[LABEL_MAX])
{
    (void)snprintf(out, LABEL_MAX, "%s/data", owner->label);
}

static void make_tag(const struct kw_dek_owner *owner, const struct kw_dek *dek, struct tag *tag)
{
    const struct kw_dek_spec *s = &dek->spec;
    make_label(owner, tag->label);
    memcpy(tag->id, owner->lineage, KW_LINEAGE_SIZE);
    memcpy(tag->id + NAME_AT, dek->name, KW_DEK_NAME_SIZE);
    tag->id[LENGTH_AT] = (uint8_t)(s->len >> 8);
    tag->id[LENGTH_AT + 1] = (uint8_t)s->len;
    tag->id[LENGTH_AT + 2] = (uint8_t)s->id_len;
    memcpy(tag->id + ID_AT, s->id, s->id_len);
    memcpy(tag->id + ID_AT + s->id_len, s->label, s->label_len);
    tag->id_len = ID_AT + s->id_len + s->label_len;
}

/* The reverse; false when the CKA_ID is not of this owner or not of this form. */
static bool parse_id(const struct kw_dek_owner *owner, const uint8_t *id, size_t len, struct kw_dek *dek)
{
    struct kw_dek_spec *s = &dek->spec;
    if (len < ID_AT || len > FULL_ID_MAX || memcmp(id, owner->lineage, KW_LINEAGE_SIZE) != 0) {
        return false;
    }
    s->id_len = id[LENGTH_AT + 2];
    if (s->id_len > KW_DEK_TEXT_MAX || len - ID_AT < s->id_len || len - ID_AT - s->id_len > KW_DEK_TEXT_MAX) {
        return false;
    }
    memcpy(dek->name, id + NAME_AT, KW_DEK_NAME_SIZE);
    s->len = (size_t)id[LENGTH_AT] << 8 | id[LENGTH_AT + 1];
    memcpy(s->id, id + ID_AT, s->id_len);
    s->label_len = len - ID_AT - s->id_len;
    memcpy(s->label, id + ID_AT + s->id_len, s->label_len);
    return s->len > 0 && s->len <= KW_DEK_LENGTH_MAX;
}

static struct kw_rv new_name(struct kw_dek *dek)
{
    if (getrandom(dek->name, sizeof dek->name, 0) != (ssize_t)sizeof dek->name) {
        return KW_FAIL(CKR_FUNCTION_FAILED, "the system gives no random numbers");
    }
    return KW_OK;
}

/* Begins a template: class, type and every bit stated (HSM-FACTS rule 1). */
static void base_template(struct kw_template *t, const struct kw_dek_spec *s)
{
    t->count = 0; /* and what has not been put there is never looked at */
    kw_template_ulong(t, CKA_CLASS, CKO_SECRET_KEY);
    kw_template_ulong(t, CKA_KEY_TYPE, s->type);
    kw_template_bool(t, CKA_TOKEN, s->token);
    kw_template_bool(t, CKA_PRIVATE, 1);
    kw_template_bool(t, CKA_SENSITIVE, s->sensitive);
    kw_template_bool(t, CKA_EXTRACTABLE, s->extractable);
    kw_template_data_key(t);
}

static void named_template(struct kw_template *t, const struct kw_dek_spec *s, const struct tag *tag)
{
    base_template(t, s);
    kw_template_bytes(t, CKA_LABEL, tag->label, strlen(tag->label));
    kw_template_bytes(t, CKA_ID, tag->id, tag->id_len);
}

/* Gives the data key a new name and begins the template that carries it. */
static struct kw_rv begin_named(struct kw_template *t, const struct kw_dek_owner *owner, struct kw_dek *dek, struct tag *tag)
{
    if (dek->spec.nameless) {
        base_template(t, &dek->spec); /* SoftHSM encrypts label and id: a tenth of a rewrap */
        return KW_OK;
    }
    struct kw_rv r = new_name(dek);
    if (kw_ok(r)) {
        make_tag(owner, dek, tag);
        named_template(t, &dek->spec, tag);
    }
    return r;
}

/* Whether the token kept what was asked (HSM-FACTS rule 1: openCryptoki ignores some of it on unwrap). */
static struct kw_rv verify(struct kw_lease *lease, CK_OBJECT_HANDLE handle, const struct kw_dek_spec *s)
{
    CK_BBOOL token = 2;
    CK_BBOOL private = 2;
    CK_BBOOL sensitive = 2;
    CK_BBOOL extractable = 2;
    CK_ATTRIBUTE t[] = {
        {CKA_TOKEN, &token, sizeof token},
        {CKA_PRIVATE, &private, sizeof private},
        {CKA_SENSITIVE, &sensitive, sizeof sensitive},
        {CKA_EXTRACTABLE, &extractable, sizeof extractable},
    };
    struct kw_rv r = kw_lease_check(lease, lease->call->C_GetAttributeValue(lease->session, handle, t, 4),
                                    "C_GetAttributeValue");
    if (kw_ok(r) && (token != s->token || private != CK_TRUE || sensitive != s->sensitive || extractable != s->extractable)) {
        r = KW_FAIL(CKR_FUNCTION_FAILED, "the token did not keep the attributes of a data key");
    }
    return r;
}

/* After a token-home key was made: keep it if it is as asked, destroy it if not. */
static struct kw_rv keep(struct kw_lease *lease, CK_OBJECT_HANDLE handle, struct kw_rv made, struct kw_dek *dek)
{
    struct kw_rv r = made;
    if (kw_ok(r)) {
        r = verify(lease, handle, &dek->spec);
    }
    if (kw_ok(r) && dek->spec.nameless) {
        lease->nameless = handle;
    } else if (kw_ok(r)) {
        kw_lease_remember(lease, dek->name, handle);
    } else if (handle != CK_INVALID_HANDLE) {
        (void)lease->call->C_DestroyObject(lease->session, handle);
    }
    return r;
}

/* CKR_OK with handle 0 is no object (ATTACKS, "hostile backend"). */
static struct kw_rv check_made(struct kw_lease *lease, CK_RV rv, CK_OBJECT_HANDLE handle, const char *name)
{
    if (rv == CKR_OK && handle == CK_INVALID_HANDLE) {
        rv = CKR_DEVICE_ERROR;
    }
    return kw_lease_check(lease, rv, name);
}

struct kw_rv kw_dek_generate(struct kw_lease *lease, const struct kw_dek_owner *owner, struct kw_dek *dek)
{
    CK_MECHANISM mechanism = {dek->spec.type == CKK_AES ? CKM_AES_KEY_GEN : CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    struct kw_template t;
    struct tag tag;
    struct kw_rv r = begin_named(&t, owner, dek, &tag);
    if (!kw_ok(r)) {
        return r;
    }
    kw_template_ulong(&t, CKA_VALUE_LEN, dek->spec.len);
    CK_RV rv = lease->call->C_GenerateKey(lease->session, &mechanism, t.items, t.count, &handle);
    return keep(lease, handle, check_made(lease, rv, handle, "C_GenerateKey"), dek);
}

struct kw_rv kw_dek_import(struct kw_lease *lease, const struct kw_dek_owner *owner, const struct kw_secret *value,
                           struct kw_dek *dek)
{
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    struct kw_template t;
    struct tag tag;
    struct kw_rv r = begin_named(&t, owner, dek, &tag);
    if (!kw_ok(r)) {
        return r;
    }
    kw_template_bytes(&t, CKA_VALUE, kw_secret_peek(value), kw_secret_len(value));
    CK_RV rv = lease->call->C_CreateObject(lease->session, t.items, t.count, &handle);
    return keep(lease, handle, check_made(lease, rv, handle, "C_CreateObject"), dek);
}

struct kw_rv kw_dek_lend(struct kw_lease *lease, const struct kw_dek *dek, CK_OBJECT_HANDLE *handle)
{
    CK_OBJECT_HANDLE h = CK_INVALID_HANDLE;
    struct kw_template t;
    base_template(&t, &dek->spec);
    kw_template_bytes(&t, CKA_VALUE, kw_secret_peek(dek->value), kw_secret_len(dek->value));
    CK_RV rv = lease->call->C_CreateObject(lease->session, t.items, t.count, &h);
    struct kw_rv r = check_made(lease, rv, h, "C_CreateObject");
    if (kw_ok(r)) {
        *handle = h;
    }
    return r;
}

/* Whether a data key of this type and blob may have this length. */
static bool fits(const struct kw_dek_blob *blob, CK_KEY_TYPE type, size_t len)
{
    if (len < blob->range.least || len > blob->range.most) {
        return false;
    }
    return type == CKK_AES ? len == 16 || len == 24 || len == 32 : len <= KW_DEK_LENGTH_MAX;
}

static struct kw_rv unwrap_object(struct kw_lease *lease, const struct kw_dek_blob *blob, struct kw_template *t,
                                  CK_OBJECT_HANDLE *out)
{
    CK_BYTE copy[KW_BLOB_MAX + 8]; /* modules take a pointer to non-const */
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    memcpy(copy, blob->bytes, blob->len);
    const struct kw_wrapped wrapped = {blob->mechanism, blob->key, copy, blob->len};
    CK_RV rv = kw_unwrap(lease, &wrapped, t, &handle);
    struct kw_rv r = check_made(lease, rv, handle, "C_UnwrapKey");
    if (kw_ok(r)) {
        *out = handle;
    }
    return r;
}

struct kw_rv kw_dek_value(struct kw_lease *lease, CK_OBJECT_HANDLE handle, size_t len, struct kw_secret **out)
{
    struct kw_secret *value = NULL;
    struct kw_rv r = kw_secret_new(len, &value);
    if (!kw_ok(r)) {
        return r;
    }
    CK_ATTRIBUTE a = {CKA_VALUE, kw_secret_bytes(value), len};
    r = kw_lease_check(lease, lease->call->C_GetAttributeValue(lease->session, handle, &a, 1), "C_GetAttributeValue");
    if (kw_ok(r) && (a.ulValueLen > len || a.ulValueLen == 0)) {
        lease->failure = CKR_DEVICE_ERROR;
        r = KW_FAIL(CKR_DEVICE_ERROR, "the token gives a value of an impossible length");
    }
    if (kw_ok(r)) {
        kw_secret_shrink(value, a.ulValueLen);
        *out = value;
        value = NULL;
    }
    kw_secret_free(value);
    return r;
}

/* Destroys what a wrapped key has opened to. A token that cannot do that is ill: its answer is not about the wrapped key. */
static struct kw_rv destroy_opened(struct kw_lease *lease, CK_OBJECT_HANDLE handle)
{
    struct kw_rv r = kw_lease_check(lease, lease->call->C_DestroyObject(lease->session, handle), "C_DestroyObject");
    enum kw_class class = kw_ok(r) ? KW_CLASS_OK : kw_error_class(lease->failure);
    if (class == KW_CLASS_AMBIGUOUS || class == KW_CLASS_CALLER) {
        lease->failure = CKR_DEVICE_ERROR;
        r = KW_FAIL(CKR_DEVICE_ERROR, "the token does not destroy a session object");
    }
    return r;
}

static struct kw_rv unwrap_to_memory(struct kw_lease *lease, const struct kw_dek_blob *blob, struct kw_dek *dek)
{
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    struct kw_secret *value = NULL;
    struct kw_template t;
    base_template(&t, &dek->spec);
    struct kw_rv r = unwrap_object(lease, blob, &t, &handle);
    if (!kw_ok(r)) {
        return r;
    }
    r = kw_dek_value(lease, handle, blob->range.most, &value);
    struct kw_rv gone = destroy_opened(lease, handle);
    if (kw_ok(r)) {
        r = gone;
    }
    if (kw_ok(r) && kw_secret_len(value) < blob->range.least) {
        lease->failure = CKR_DEVICE_ERROR;
        r = KW_FAIL(CKR_DEVICE_ERROR, "the token gives a shorter value than the wrapped key can hold");
    }
    if (kw_ok(r) && !fits(blob, dek->spec.type, kw_secret_len(value))) {
        r = KW_FAIL(CKR_WRAPPED_KEY_INVALID, "the wrapped key holds no data key of this type");
    }
    if (kw_ok(r)) {
        dek->spec.len = kw_secret_len(value);
        dek->value = value;
        value = NULL;
    }
    kw_secret_free(value);
    return r;
}

/* The length of what an RFC 5649 blob holds, without its value: a session object that may be read is asked for its size only. */
static struct kw_rv measure(struct kw_lease *lease, const struct kw_dek_blob *blob, CK_KEY_TYPE type, size_t *len)
{
    const struct kw_dek_spec plain = {.type = type, .extractable = true};
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    struct kw_template t;
    base_template(&t, &plain);
    struct kw_rv r = unwrap_object(lease, blob, &t, &handle);
    if (!kw_ok(r)) {
        return r;
    }
    CK_ATTRIBUTE a = {CKA_VALUE, NULL, 0};
    r = kw_lease_check(lease, lease->call->C_GetAttributeValue(lease->session, handle, &a, 1), "C_GetAttributeValue");
    struct kw_rv gone = destroy_opened(lease, handle);
    if (kw_ok(r)) {
        *len = a.ulValueLen;
        r = gone;
    }
    return r;
}

static struct kw_rv unwrap_to_token(struct kw_lease *lease, const struct kw_dek_owner *owner,
                                    const struct kw_dek_blob *blob, struct kw_dek *dek)
{
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    struct kw_template t;
    struct tag tag;
    size_t len = blob->range.most;
    struct kw_rv r = blob->range.least == len ? KW_OK : measure(lease, blob, dek->spec.type, &len);
    if (kw_ok(r) && !fits(blob, dek->spec.type, len)) {
        r = KW_FAIL(CKR_WRAPPED_KEY_INVALID, "the wrapped key holds no data key of this type");
    }
    dek->spec.len = len;
    if (kw_ok(r)) {
        r = begin_named(&t, owner, dek, &tag);
    }
    if (!kw_ok(r)) {
        return r;
    }
    r = unwrap_object(lease, blob, &t, &handle);
    return keep(lease, handle, r, dek);
}

struct kw_rv kw_dek_unwrap(struct kw_lease *lease, const struct kw_dek_owner *owner, const struct kw_dek_blob *blob,
                           struct kw_dek *dek)
{
    return kw_dek_in_memory(&dek->spec) ? unwrap_to_memory(lease, blob, dek)
                                        : unwrap_to_token(lease, owner, blob, dek);
}

/* Runs a search and hands over each batch; stops early when `batch` says so. */
typedef bool batch_fn(void *data, const CK_OBJECT_HANDLE *handles, CK_ULONG count);

static struct kw_rv search(struct kw_lease *lease, struct kw_template *t, batch_fn *batch, void *data)
{
    struct kw_rv r = kw_lease_check(lease, lease->call->C_FindObjectsInit(lease->session, t->items, t->count),
                                    "C_FindObjectsInit");
    if (!kw_ok(r)) {
        return r;
    }
    CK_ULONG got = 0;
    bool more = true;
    do {
        CK_OBJECT_HANDLE handles[FIND_BATCH] = {0}; /* a token may count more than it gives */
        got = 0;
        r = kw_lease_check(lease, lease->call->C_FindObjects(lease->session, handles, FIND_BATCH, &got), "C_FindObjects");
        if (kw_ok(r) && got > 0) {
            more = batch(data, handles, got < FIND_BATCH ? got : FIND_BATCH);
        }
    } while (kw_ok(r) && got > 0 && more);
    (void)lease->call->C_FindObjectsFinal(lease->session);
    return r;
}

struct only {
    CK_OBJECT_HANDLE handle;
    unsigned count;
};

static bool take_only(void *data, const CK_OBJECT_HANDLE *handles, CK_ULONG count)
{
    struct only *only = data;
    only->handle = handles[0];
    only->count += (unsigned)count;
    return only->count < 2;
}

/* Whether a handle from before still is this data key: openCryptoki gives that of an object which another process has destroyed to the
 * next one that is made, so there it is asked each time, and elsewhere once a second. Whatever the token answers else, it is asked by a search. A
 * session object is nobody else's to destroy; it goes with its session, and then nothing is remembered (backing.c). */
static bool is_still(struct kw_lease *lease, const struct kw_dek_owner *owner, const struct kw_dek *dek, CK_OBJECT_HANDLE handle, bool fresh)
{
    uint8_t id[FULL_ID_MAX];
    CK_ATTRIBUTE a = {CKA_ID, id, sizeof id};
    if (!dek->spec.token || (fresh && !kw_probe_reuses_handles(lease))) {
        return true;
    }
    bool same = lease->call->C_GetAttributeValue(lease->session, handle, &a, 1) == CKR_OK && a.ulValueLen <= sizeof id && a.ulValueLen >= LENGTH_AT &&
                memcmp(id, owner->lineage, NAME_AT) == 0 && memcmp(id + NAME_AT, dek->name, KW_DEK_NAME_SIZE) == 0;
    if (same) {
        kw_lease_remember(lease, dek->name, handle);
    }
    return same;
}

/* Vendors do not answer other calls of a session reliably while a search is open in it, so the handles are collected first. */
enum { LIST_MAX = 65536 };

struct collection {
    CK_OBJECT_HANDLE *handles;
    size_t count;
    size_t room;
    bool failed;
};

static bool collect(void *data, const CK_OBJECT_HANDLE *handles, CK_ULONG count)
{
    struct collection *c = data;
    if (count == 0) {
        return true;
    }
    if (c->count + count > c->room) {
        size_t room = c->room == 0 ? 256 : c->room * 2;
        CK_OBJECT_HANDLE *more = room > LIST_MAX ? NULL : reallocarray(c->handles, room, sizeof *more);
        if (more == NULL) {
            c->failed = true;
            return false;
        }
        c->handles = more;
        c->room = room;
    }
    memcpy(c->handles + c->count, handles, count * sizeof *handles);
    c->count += count;
    return true;
}

/* One data key as the token has it; *mine false: somebody else's. */
static struct kw_rv describe(struct kw_lease *lease, const struct kw_dek_owner *owner, CK_OBJECT_HANDLE handle,
                             struct kw_dek *dek, bool *mine)
{
    uint8_t id[FULL_ID_MAX];
    CK_KEY_TYPE type = 0;
    CK_BBOOL sensitive = CK_TRUE;
    CK_BBOOL extractable = CK_FALSE;
    CK_BBOOL local = CK_FALSE;
    CK_ATTRIBUTE t[] = {
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_SENSITIVE, &sensitive, sizeof sensitive},
        {CKA_EXTRACTABLE, &extractable, sizeof extractable},
        {CKA_LOCAL, &local, sizeof local},
        {CKA_ID, id, sizeof id},
    };
    CK_RV rv = lease->call->C_GetAttributeValue(lease->session, handle, t, 5);
    *mine = false;
    if (kw_error_class(rv) == KW_CLASS_CALLER || kw_error_class(rv) == KW_CLASS_HANDLE) {
        return KW_OK; /* a key of another form, or one that was destroyed meanwhile */
    }
    struct kw_rv r = kw_lease_check(lease, rv, "C_GetAttributeValue");
    if (kw_ok(r) && parse_id(owner, id, t[4].ulValueLen, dek) && (type == CKK_AES || type == CKK_GENERIC_SECRET)) {
        *mine = true;
        dek->spec.type = type;
        dek->spec.token = true;
        dek->spec.sensitive = sensitive;
        dek->spec.extractable = extractable;
        dek->local = local;
    }
    return r;
}

/* Calls `each` for every persistent data key of the owner; borrowed for the call. */
typedef void listed_fn(void *data, CK_OBJECT_HANDLE handle, const struct kw_dek *dek);

static struct kw_rv list(struct kw_lease *lease, const struct kw_dek_owner *owner, listed_fn *each, void *data)
{
    struct collection c = {0};
    struct kw_template t = {0};
    char label[LABEL_MAX];
    make_label(owner, label);
    kw_template_ulong(&t, CKA_CLASS, CKO_SECRET_KEY);
    kw_template_bool(&t, CKA_TOKEN, 1);
    kw_template_bytes(&t, CKA_LABEL, label, strlen(label));
    struct kw_rv r = search(lease, &t, collect, &c);
    if (kw_ok(r) && c.failed) {
        r = KW_FAIL(CKR_HOST_MEMORY, "too many data keys in the token to list");
    }
    for (size_t i = 0; kw_ok(r) && i < c.count; i++) {
        struct kw_dek dek = {0};
        bool mine = false;
        r = describe(lease, owner, c.handles[i], &dek, &mine);
        if (kw_ok(r) && mine) {
            kw_lease_remember(lease, dek.name, c.handles[i]);
            each(data, c.handles[i], &dek);
        }
    }
    free(c.handles);
    return r;
}

struct listener {
    kw_dek_each *each;
    void *data;
};

static void tell(void *data, CK_OBJECT_HANDLE handle, const struct kw_dek *dek)
{
    const struct listener *l = data;
    (void)handle;
    l->each(l->data, dek);
}

struct kw_rv kw_dek_list(struct kw_lease *lease, const struct kw_dek_owner *owner, kw_dek_each *each, void *data)
{
    struct listener l = {each, data};
    return list(lease, owner, tell, &l);
}

struct bearers {
    const uint8_t *name;
    struct only only;
};

static void take_bearer(void *data, CK_OBJECT_HANDLE handle, const struct kw_dek *dek)
{
    struct bearers *b = data;
    if (memcmp(b->name, dek->name, KW_DEK_NAME_SIZE) == 0) {
        (void)take_only(&b->only, &handle, 1);
    }
}

/* A persistent data key that is not there under the caller's label and id as this process knows them: another process may have changed those, but not
 * its name. Looks at every data key of the owner. */
static struct kw_rv find_renamed(struct kw_lease *lease, const struct kw_dek_owner *owner, const struct kw_dek *dek, struct only *out)
{
    struct bearers b = {dek->name, {CK_INVALID_HANDLE, 0}};
    struct kw_rv r = list(lease, owner, take_bearer, &b);
    *out = b.only;
    return r;
}

struct kw_rv kw_dek_find(struct kw_lease *lease, const struct kw_dek_owner *owner, const struct kw_dek *dek, bool again,
                         CK_OBJECT_HANDLE *out)
{
    if (dek->spec.nameless) {
        *out = lease->nameless;
        return KW_OK;
    }
    bool fresh = false;
    CK_OBJECT_HANDLE handle = again ? CK_INVALID_HANDLE : kw_lease_recall(lease, dek->name, &fresh);
    if (handle != CK_INVALID_HANDLE && is_still(lease, owner, dek, handle, fresh)) {
        *out = handle;
        return KW_OK;
    }
    struct only only = {CK_INVALID_HANDLE, 0};
    struct kw_template t = {0};
    struct tag tag;
    make_tag(owner, dek, &tag);
    kw_template_ulong(&t, CKA_CLASS, CKO_SECRET_KEY);
    kw_template_bytes(&t, CKA_LABEL, tag.label, strlen(tag.label));
    kw_template_bytes(&t, CKA_ID, tag.id, tag.id_len);
    struct kw_rv r = search(lease, &t, take_only, &only);
    if (kw_ok(r) && only.count == 0 && dek->spec.token) {
        r = find_renamed(lease, owner, dek, &only);
    }
    if (!kw_ok(r)) {
        return r;
    }
    kw_lease_remember(lease, dek->name, only.count == 1 ? only.handle : CK_INVALID_HANDLE);
    if (only.count > 1) {
        kw_log(KW_LOG_ERROR, "token %s: two keys %s/data have one CKA_ID; neither is used: destroy the copy with the vendor's tool",
               kw_backing_config(lease->backing)->name, owner->label);
    }
    r = only.count == 0 ? kw_lease_confirm(lease) : KW_OK;
    if (!kw_ok(r)) {
        return r;
    }
    if (only.count != 1) {
        return KW_FAIL(CKR_OBJECT_HANDLE_INVALID, "the data key is not in the token any more");
    }
    *out = only.handle;
    return KW_OK;
}

struct kw_rv kw_dek_rename(struct kw_lease *lease, const struct kw_dek_owner *owner, CK_OBJECT_HANDLE handle,
                           const struct kw_dek *to)
{
    struct kw_template t = {0};
    struct tag tag;
    make_tag(owner, to, &tag);
    kw_template_bytes(&t, CKA_ID, tag.id, tag.id_len);
    return kw_lease_check(lease, lease->call->C_SetAttributeValue(lease->session, handle, t.items, t.count),
                          "C_SetAttributeValue");
}
