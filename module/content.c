#include "content.h"

#include <string.h>

#include "dek.h"
#include "log.h"
#include "wrapper.h"

/* What the content key is in the token while it is wrapped or unwrapped: readable, in our memory, or sealed, in the token. */
static const struct kw_dek_spec readable = {.type = CKK_AES, .len = KW_ENVELOPE_KEY, .extractable = true};
static const struct kw_dek_spec sealed = {.type = CKK_AES, .len = KW_ENVELOPE_KEY, .sensitive = true, .extractable = true};

/* The slot's lineage and the version that wraps now (0: none). */
struct standing {
    uint8_t lineage[KW_LINEAGE_SIZE];
    uint32_t current;
};

static struct kw_rv get_standing(struct kw_lease *lease, struct kw_cmk *cmk, bool again, struct standing *out)
{
    struct kw_snapshot *s = NULL;
    struct kw_dek_owner owner;
    struct kw_rv r = kw_cmk_get(lease, cmk, again || lease->attempt > 0, &s);
    if (kw_ok(r)) {
        r = kw_wrapper_owner(s, kw_cmk_label(cmk), &owner);
    }
    if (kw_ok(r)) {
        const struct kw_version *first = &s->entries[0].version;
        memcpy(out->lineage, owner.lineage, sizeof out->lineage);
        out->current = first->state == KW_STATE_ACTIVE ? first->version : 0;
    }
    kw_snapshot_put(s);
    return r;
}

static const struct kw_scheme aes_kw = {.format = KW_FORMAT_KW};

/* Wraps the content key (of either home) by w->version and fills in what the envelope says of it. `wrapped` has KW_BLOB_MAX bytes. */
static struct kw_rv wrap_content(struct kw_lease *lease, struct kw_cmk *cmk, const struct kw_dek *content, struct kw_envelope *e,
                                 uint8_t *wrapped)
{
    const struct kw_wrapping w = {e->version, aes_kw, content};
    e->how = KW_ENVELOPE_AES_KW;
    e->wrapped = wrapped;
    e->origin = NULL;
    return kw_wrapper_wrap(lease, cmk, &w, wrapped, &e->wrapped_len);
}

/* Content key and nonce, random numbers of the token. */
static struct kw_rv make_content(struct kw_lease *lease, struct kw_dek *content, struct kw_envelope *e)
{
    static const uint8_t zero[16];
    struct kw_secret *s = NULL;
    struct kw_rv r = kw_secret_new(KW_ENVELOPE_KEY + KW_GCM_NONCE_SIZE, &s);
    if (!kw_ok(r)) {
        return r;
    }
    r = kw_lease_check(lease, lease->call->C_GenerateRandom(lease->session, kw_secret_bytes(s), kw_secret_len(s)), "C_GenerateRandom");
    if (kw_ok(r) && memcmp(kw_secret_peek(s), zero, sizeof zero) == 0) {
        lease->failure = CKR_DEVICE_ERROR;
        r = KW_FAIL(CKR_DEVICE_ERROR, "the token's random numbers are all zero");
    }
    if (!kw_ok(r)) {
        kw_secret_free(s);
        return r;
    }
    memcpy(e->nonce, kw_secret_peek(s) + KW_ENVELOPE_KEY, sizeof e->nonce);
    kw_secret_shrink(s, KW_ENVELOPE_KEY);
    *content = (struct kw_dek){.spec = readable, .value = s};
    return KW_OK;
}

/* The data key's bytes: those of the memory home, or a copy in *read of those in the token. */
static struct kw_rv data_key_bytes(struct kw_lease *lease, const struct kw_dek_owner *owner, const struct kw_dek *dek,
                                   struct kw_secret **read, const struct kw_secret **out)
{
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    if (dek->spec.sensitive || !dek->spec.extractable) {
        return KW_FAIL(CKR_KEY_UNEXTRACTABLE, "an envelope is made of a readable data key; a sealed one is wrapped by a standard mechanism");
    }
    if (dek->value != NULL) {
        *out = dek->value;
        return KW_OK;
    }
    struct kw_rv r = kw_dek_find(lease, owner, dek, lease->attempt > 0, &handle);
    if (r.code == CKR_OBJECT_HANDLE_INVALID) {
        return KW_FAIL(CKR_KEY_HANDLE_INVALID, "the data key is not in the token any more");
    }
    if (kw_ok(r)) {
        r = kw_dek_value(lease, handle, dek->spec.len, read);
    }
    *out = *read;
    return r;
}

/* A refused version 0 was perhaps retired a moment ago: worth a second look at which one is current. */
static bool is_stale(struct kw_lease *lease, struct kw_rv r)
{
    bool stale = r.code == CKR_KEY_FUNCTION_NOT_PERMITTED || r.code == CKR_WRAPPING_KEY_HANDLE_INVALID;
    lease->failure = stale ? CKR_OK : lease->failure;
    return stale;
}

static struct kw_rv no_active(void)
{
    return KW_FAIL(CKR_KEY_FUNCTION_NOT_PERMITTED, "no version of the CMK is active");
}

/* Wraps the content key by the version that is asked for, or by the current one. */
static struct kw_rv wrap_current(struct kw_lease *lease, struct kw_cmk *cmk, const struct kw_dek *content, uint32_t asked,
                                 struct kw_envelope *e, uint8_t *wrapped)
{
    struct standing now;
    struct kw_rv r = KW_OK;
    for (int look = 0; look < 2; look++) {
        r = asked == 0 ? get_standing(lease, cmk, look > 0, &now) : KW_OK;
        if (kw_ok(r)) {
            e->version = asked == 0 ? now.current : asked;
            r = e->version == 0 ? no_active() : wrap_content(lease, cmk, content, e, wrapped);
        }
        if (kw_ok(r) || asked != 0 || !is_stale(lease, r)) {
            break;
        }
    }
    return r;
}

struct kw_rv kw_content_wrap(struct kw_lease *lease, struct kw_cmk *cmk, const struct kw_content_wrapping *w, uint8_t *envelope,
                             size_t *len)
{
    uint8_t wrapped[KW_BLOB_MAX];
    uint8_t text[KW_ENVELOPE_SEALED_MAX];
    struct kw_envelope e = {.type = w->dek->spec.type, .sealed = text, .sealed_len = w->dek->spec.len + KW_GCM_TAG_SIZE};
    struct kw_dek content = {0};
    struct kw_secret *read = NULL;
    const struct kw_secret *data = NULL;
    struct kw_dek_owner owner = {.label = kw_cmk_label(cmk)};
    struct standing now;
    struct kw_rv r = get_standing(lease, cmk, false, &now);
    if (kw_ok(r)) {
        memcpy(e.lineage, now.lineage, sizeof e.lineage);
        memcpy(owner.lineage, now.lineage, sizeof owner.lineage);
        r = data_key_bytes(lease, &owner, w->dek, &read, &data);
    }
    if (kw_ok(r) && kw_secret_len(data) + KW_GCM_TAG_SIZE != e.sealed_len) {
        r = KW_FAIL(CKR_KEY_SIZE_RANGE, "the data key in the token has another length than it had");
    }
    if (kw_ok(r)) {
        r = make_content(lease, &content, &e);
    }
    if (kw_ok(r)) {
        r = wrap_current(lease, cmk, &content, w->version, &e, wrapped);
    }
    if (kw_ok(r)) {
        r = kw_envelope_seal(&e, &w->place, content.value, data, text);
    }
    if (kw_ok(r)) {
        *len = kw_envelope_write(&e, envelope);
    }
    kw_secret_free(content.value);
    kw_secret_free(read);
    return r;
}

/* Why the envelope cannot hold what is asked for; NULL when it may. */
static const char *judge(const struct kw_content_unwrapping *u, const struct kw_dek_spec *asked, const uint8_t *lineage,
                         struct kw_envelope *e)
{
    const char *why = kw_envelope_parse(u->bytes, u->len, e);
    if (why != NULL) {
        return why;
    }
    if (memcmp(e->lineage, lineage, KW_LINEAGE_SIZE) != 0) {
        return "it is of another CMK than the slot's";
    }
    if (e->type != asked->type) {
        return "its data key is of another type than the template asks for";
    }
    return asked->len != 0 && asked->len != kw_envelope_key_len(e) ? "its data key has another length than the template asks for" : NULL;
}

/* Unwraps the content key as `content` says, by the version that the envelope names. */
static struct kw_rv open_content(struct kw_lease *lease, struct kw_cmk *cmk, const struct kw_envelope *e, struct kw_dek *content)
{
    const struct kw_unwrapping u = {
        .version = e->version, .scheme = aes_kw, .blob = e->wrapped, .len = e->wrapped_len, .stand_in = true};
    return kw_wrapper_unwrap(lease, cmk, &u, content);
}

/*
 * Every bad envelope costs the token the same calls (ATTACKS A10): one whose header is wrong, or whose content key opened but not its data key,
 * pays for the unwrapping of a content key that does not open; one whose content key did not open, for opening something (the canary).
 */
static const uint8_t opens_nothing[KW_ENVELOPE_AES_WRAPPED];

static struct kw_rv pay_for_unwrapping(struct kw_lease *lease, struct kw_cmk *cmk)
{
    const struct kw_envelope nothing = {.wrapped = opens_nothing, .wrapped_len = sizeof opens_nothing}; /* under version 0, which never is */
    struct kw_dek content = {.spec = readable};
    struct kw_rv r = open_content(lease, cmk, &nothing, &content);
    kw_secret_free(content.value);
    return kw_ok(r) ? KW_FAIL(CKR_DEVICE_ERROR, "the token unwraps what nobody has wrapped") : r;
}

static void pay_for_reading(struct kw_lease *lease, struct kw_cmk *cmk)
{
    struct kw_snapshot *s = NULL;
    bool same = false;
    struct kw_rv r = kw_cmk_get(lease, cmk, false, &s);
    const struct kw_cmk_entry *e = kw_ok(r) ? kw_snapshot_stand_in(s) : NULL;
    if (e != NULL && e->has_canary) {
        r = kw_canary_open(lease, e->handle, e->canary, &same);
    }
    kw_snapshot_put(s);
    lease->failure = CKR_OK; /* the envelope is bad whatever came of it */
}

/* The one answer to a bad envelope, or what makes it impossible to say that it is bad. */
static struct kw_rv refuse(struct kw_lease *lease, struct kw_rv paid, const char *why)
{
    if (paid.code != CKR_WRAPPED_KEY_INVALID) {
        return paid;
    }
    kw_log(KW_LOG_DEBUG, "token %s: an envelope is refused: %s", kw_backing_config(lease->backing)->name, why);
    return KW_FAIL(CKR_WRAPPED_KEY_INVALID, "the envelope does not open here; the log of level debug has the reason");
}

static struct kw_rv open_envelope(struct kw_lease *lease, struct kw_cmk *cmk, const struct kw_envelope *e,
                                  const struct kw_envelope_place *place, struct kw_secret **out)
{
    struct kw_dek content = {.spec = readable};
    struct kw_rv r = open_content(lease, cmk, e, &content);
    if (!kw_ok(r)) {
        if (r.code == CKR_WRAPPED_KEY_INVALID) {
            pay_for_reading(lease, cmk);
        }
        return refuse(lease, r, "its content key does not open under the version that it names, or there is no such version");
    }
    r = kw_envelope_open(e, place, content.value, out);
    kw_secret_free(content.value);
    if (r.code == CKR_WRAPPED_KEY_INVALID) {
        r = refuse(lease, pay_for_unwrapping(lease, cmk), "its data key does not open: changed, or of another tenant, geo or context");
    }
    return r;
}

struct kw_rv kw_content_unwrap(struct kw_lease *lease, struct kw_cmk *cmk, const struct kw_content_unwrapping *u, struct kw_dek *dek)
{
    struct kw_dek_owner owner = {.label = kw_cmk_label(cmk)};
    struct kw_secret *data = NULL;
    struct kw_envelope e;
    struct standing now;
    struct kw_rv r = get_standing(lease, cmk, false, &now);
    if (!kw_ok(r)) {
        return r;
    }
    memcpy(owner.lineage, now.lineage, sizeof owner.lineage);
    const char *why = judge(u, &dek->spec, now.lineage, &e);
    if (why != NULL) {
        r = pay_for_unwrapping(lease, cmk);
        if (r.code == CKR_WRAPPED_KEY_INVALID) {
            pay_for_reading(lease, cmk);
        }
        return refuse(lease, r, why);
    }
    r = open_envelope(lease, cmk, &e, &u->place, &data);
    if (!kw_ok(r)) {
        return r;
    }
    dek->spec.len = kw_secret_len(data);
    if (kw_dek_in_memory(&dek->spec)) {
        dek->value = data;
        return KW_OK;
    }
    r = kw_dek_import(lease, &owner, data, dek);
    kw_secret_free(data);
    return r;
}

/* Destroys the sealed content key. */
static void end_sealed(struct kw_lease *lease, const struct kw_dek *content)
{
    CK_OBJECT_HANDLE handle = kw_lease_recall(lease, content->name);
    if (handle != CK_INVALID_HANDLE) {
        kw_lease_remember(lease, content->name, CK_INVALID_HANDLE);
        (void)lease->call->C_DestroyObject(lease->session, handle);
    }
}

struct kw_rv kw_content_rewrap(struct kw_lease *lease, struct kw_cmk *cmk, const uint8_t *bytes, size_t len,
                               struct kw_content_rewrapped *out)
{
    uint8_t wrapped[KW_BLOB_MAX];
    struct kw_envelope e;
    struct standing now;
    struct kw_dek content = {.spec = sealed};
    struct kw_rv r = get_standing(lease, cmk, false, &now);
    if (!kw_ok(r)) {
        return r;
    }
    const char *why = kw_envelope_parse(bytes, len, &e);
    if (why == NULL && memcmp(e.lineage, now.lineage, sizeof e.lineage) != 0) {
        why = "it is of another CMK than the slot's";
    }
    if (why != NULL) {
        return refuse(lease, KW_FAIL(CKR_WRAPPED_KEY_INVALID, "no envelope of this slot"), why);
    }
    out->from = e.version;
    if (e.version == now.current) {
        out->to = e.version;
        out->len = len;
        memcpy(out->bytes, bytes, len);
        return KW_OK;
    }
    r = open_content(lease, cmk, &e, &content);
    if (!kw_ok(r)) {
        return refuse(lease, r, "its content key does not open under the version that it names, or there is no such version");
    }
    r = wrap_current(lease, cmk, &content, 0, &e, wrapped);
    end_sealed(lease, &content);
    if (kw_ok(r)) {
        out->to = e.version;
        out->len = kw_envelope_write(&e, out->bytes);
    }
    return r;
}
