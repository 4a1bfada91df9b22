#include "content.h"

#include <string.h>

#include "dek.h"
#include "log.h"
#include "origin.h"
#include "wrapper.h"

/* What the content key is in the token while it is wrapped or unwrapped: readable, in our memory, or sealed, in the token. */
static const struct kw_dek_spec readable = {.type = CKK_AES, .len = KW_ENVELOPE_KEY, .extractable = true};
static const struct kw_dek_spec sealed = {
    .type = CKK_AES, .len = KW_ENVELOPE_KEY, .sensitive = true, .extractable = true, .nameless = true};

/* What an operation works with: the slot's lineage, whether it is RSA, and the version that wraps now (0: none). */
struct desk {
    struct kw_lease *lease;
    struct kw_cmk *cmk;
    struct kw_dek_owner owner;
    bool rsa;
    uint32_t current;
    const struct kw_version *meant; /* by who asks for a version; else NULL */
};

static struct kw_rv sit_down(struct kw_lease *lease, struct kw_cmk *cmk, bool again, struct desk *out)
{
    struct kw_snapshot *s = NULL;
    *out = (struct desk){.lease = lease, .cmk = cmk};
    struct kw_rv r = kw_cmk_get_confirmed(lease, cmk, again || lease->attempt > 0, &s);
    if (kw_ok(r)) {
        r = kw_wrapper_owner(s, kw_cmk_label(cmk), &out->owner);
    }
    if (kw_ok(r)) {
        const struct kw_version *first = &s->entries[0].version;
        out->rsa = first->type == CKK_RSA; /* a lineage keeps its type */
        out->current = first->state == KW_STATE_ACTIVE ? first->version : 0;
    }
    kw_snapshot_put(s);
    return r;
}

static struct kw_scheme scheme_of(enum kw_envelope_how how)
{
    if (how == KW_ENVELOPE_AES_KW) {
        return (struct kw_scheme){.format = KW_FORMAT_KW};
    }
    return (struct kw_scheme){.format = KW_FORMAT_OAEP, .hash = how == KW_ENVELOPE_OAEP_SHA256 ? CKM_SHA256 : CKM_SHA_1};
}

static struct kw_rv tag_of(const struct desk *d, const struct kw_envelope *e, uint8_t tag[KW_ORIGIN_TAG_SIZE])
{
    uint8_t text[KW_ENVELOPE_ORIGIN_TEXT_MAX];
    size_t len = kw_envelope_origin_text(e, text);
    return kw_origin_tag(d->lease, &d->owner, text, len, tag);
}

/* What an envelope borrows while it is made. */
struct room {
    uint8_t wrapped[KW_BLOB_MAX];
    uint8_t tag[KW_ORIGIN_TAG_SIZE];
};

/* Wraps the content key (of either home) by e->version, in the best way that the token is proven to do, and fills in what the envelope says of it. With
 * replicas the best way is OAEP with SHA-1, which every token with OAEP does: another one, of another vendor perhaps, has to open it when this one is away. */
static struct kw_rv wrap_content(const struct desk *d, const struct kw_dek *content, struct kw_envelope *e, struct room *room)
{
    static const enum kw_envelope_how alone[] = {KW_ENVELOPE_AES_KW, KW_ENVELOPE_OAEP_SHA256, KW_ENVELOPE_OAEP_SHA1};
    static const enum kw_envelope_how replicated[] = {KW_ENVELOPE_AES_KW, KW_ENVELOPE_OAEP_SHA1, KW_ENVELOPE_OAEP_SHA256};
    const enum kw_envelope_how *ways = d->lease->replicated ? replicated : alone;
    struct kw_rv r = KW_OK;
    e->wrapped = room->wrapped;
    e->origin = NULL;
    for (size_t i = d->rsa ? 1 : 0; i < (d->rsa ? 3 : 1); i++) {
        const struct kw_wrapping w = {e->version, scheme_of(ways[i]), content, d->meant, e->lineage};
        e->how = ways[i];
        r = kw_wrapper_wrap(d->lease, d->cmk, &w, room->wrapped, &e->wrapped_len);
        if (r.code != CKR_MECHANISM_INVALID && r.code != CKR_MECHANISM_PARAM_INVALID) {
            break;
        }
        d->lease->failure = CKR_OK;
    }
    if (kw_ok(r) && d->rsa) {
        e->origin = room->tag;
        r = tag_of(d, e, room->tag);
    }
    return r;
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
static struct kw_rv wrap_current(struct desk *d, const struct kw_dek *content, uint32_t asked, struct kw_envelope *e, struct room *room)
{
    struct kw_rv r = KW_OK;
    for (int look = 0; look < 2; look++) {
        if (look > 0) {
            r = sit_down(d->lease, d->cmk, true, d);
        }
        if (kw_ok(r)) {
            e->version = asked == 0 ? d->current : asked;
            r = e->version == 0 ? no_active() : wrap_content(d, content, e, room);
        }
        if (kw_ok(r) || asked != 0 || !is_stale(d->lease, r)) {
            break;
        }
    }
    return r;
}

struct kw_rv kw_content_wrap(struct kw_lease *lease, struct kw_cmk *cmk, const struct kw_content_wrapping *w, uint8_t *envelope,
                             size_t *len)
{
    struct room room = {0};
    uint8_t text[KW_ENVELOPE_SEALED_MAX];
    struct kw_envelope e = {.type = w->dek->spec.type, .sealed = text, .sealed_len = w->dek->spec.len + KW_GCM_TAG_SIZE};
    struct kw_dek content = {0};
    struct kw_secret *read = NULL;
    const struct kw_secret *data = NULL;
    struct desk d;
    struct kw_rv r = sit_down(lease, cmk, false, &d);
    d.meant = w->meant;
    if (kw_ok(r)) {
        memcpy(e.lineage, d.owner.lineage, sizeof e.lineage);
        r = data_key_bytes(lease, &d.owner, w->dek, &read, &data);
    }
    if (kw_ok(r) && kw_secret_len(data) + KW_GCM_TAG_SIZE != e.sealed_len) {
        r = KW_FAIL(CKR_KEY_SIZE_RANGE, "the data key in the token has another length than it had");
    }
    if (kw_ok(r)) {
        r = make_content(lease, &content, &e);
    }
    if (kw_ok(r)) {
        r = wrap_current(&d, &content, w->version, &e, &room);
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

/* Why an envelope is none for this slot; NULL when it may be one. */
static const char *read_envelope(const struct desk *d, const uint8_t *bytes, size_t len, struct kw_envelope *e)
{
    const char *why = kw_envelope_parse(bytes, len, e);
    if (why != NULL) {
        return why;
    }
    if (memcmp(e->lineage, d->owner.lineage, KW_LINEAGE_SIZE) != 0) {
        return "it is of another CMK than the slot's";
    }
    return (e->how == KW_ENVELOPE_AES_KW) == d->rsa ? "its content key is wrapped for a CMK of another type" : NULL;
}

/* The same, and why it cannot hold what is asked for. */
static const char *judge(const struct desk *d, const struct kw_content_unwrapping *u, const struct kw_dek_spec *asked, struct kw_envelope *e)
{
    const char *why = read_envelope(d, u->bytes, u->len, e);
    if (why != NULL) {
        return why;
    }
    if (e->type != asked->type) {
        return "its data key is of another type than the template asks for";
    }
    return asked->len != 0 && asked->len != kw_envelope_key_len(e) ? "its data key has another length than the template asks for" : NULL;
}

/* Whether the envelope was made in the token: its origin tag is right. Under an AES key the content key's own wrapping says so. */
static struct kw_rv is_ours(const struct desk *d, const struct kw_envelope *e, bool *ours)
{
    uint8_t tag[KW_ORIGIN_TAG_SIZE];
    uint8_t differs = 0;
    struct kw_rv r = KW_OK;
    if (d->rsa) {
        r = tag_of(d, e, tag);
        for (size_t i = 0; kw_ok(r) && i < sizeof tag; i++) {
            differs |= (uint8_t)(tag[i] ^ e->origin[i]);
        }
    }
    *ours = kw_ok(r) && differs == 0;
    return r;
}

/* Unwraps the content key as `content` says, by the version that the envelope names. */
static struct kw_rv open_content(const struct desk *d, const struct kw_envelope *e, struct kw_dek *content)
{
    const struct kw_unwrapping u = {.version = e->version,
                                    .scheme = scheme_of(e->how),
                                    .blob = e->wrapped,
                                    .len = e->wrapped_len,
                                    .exact = KW_ENVELOPE_KEY,
                                    .stand_in = true};
    struct kw_rv r = kw_wrapper_unwrap(d->lease, d->cmk, &u, content);
    return r.code == CKR_MECHANISM_PARAM_INVALID ? KW_FAIL(CKR_MECHANISM_INVALID, "this token does not do OAEP with the envelope's hash") : r;
}

/*
 * Every bad envelope costs the token the same calls (ATTACKS A10, A12). Under an AES key: one whose header is wrong, or whose content key opened
 * but not its data key, pays for the unwrapping of a content key that does not open; one whose content key did not open, for opening something
 * (the canary). Under an RSA key: an origin tag is made for one whose header is wrong; one whose tag is wrong pays for opening something that
 * opens, and for that the modulus is read; one whose data key does not open has paid for all but reading the modulus.
 */
static const uint8_t opens_nothing[KW_RSA_MAX];

static struct kw_rv pay_for_unwrapping(const struct desk *d)
{
    const struct kw_envelope nothing = {
        .how = KW_ENVELOPE_AES_KW, .wrapped = opens_nothing, .wrapped_len = KW_ENVELOPE_AES_WRAPPED}; /* under version 0, which never is */
    struct kw_dek content = {.spec = readable};
    struct kw_rv r = open_content(d, &nothing, &content);
    kw_secret_free(content.value);
    return kw_ok(r) ? KW_FAIL(CKR_DEVICE_ERROR, "the token unwraps what nobody has wrapped") : r;
}

/* What is done with a version, any that may unwrap, to pay. */
enum payment { OPEN_CANARY, OPEN_OAEP, READ_MODULUS };

static struct kw_rv pay_with_version(const struct desk *d, enum payment what)
{
    struct kw_snapshot *s = NULL;
    struct kw_rsa_public numbers;
    bool same = false;
    struct kw_rv r = kw_cmk_get(d->lease, d->cmk, false, &s);
    const struct kw_cmk_entry *e = kw_ok(r) ? kw_snapshot_stand_in(s) : NULL;
    if (e == NULL || !e->may_unwrap) {
        r = KW_FAIL(CKR_KEY_FUNCTION_NOT_PERMITTED, "no version of the CMK may be used");
    } else if (what == OPEN_CANARY) {
        r = e->has_canary ? kw_canary_open(d->lease, e->handle, e->canary, &same) : KW_OK;
    } else {
        r = what == OPEN_OAEP ? kw_canary_opens(d->lease, e->handle, CKM_SHA_1, &same) : kw_rsa_read(d->lease, e->handle, &numbers);
    }
    kw_snapshot_put(s);
    return kw_ok(r) ? KW_FAIL(CKR_WRAPPED_KEY_INVALID, "a bad envelope") : r;
}

/* The one answer to a bad envelope, or what makes it impossible to say that it is bad. */
static struct kw_rv refuse(const struct desk *d, struct kw_rv paid, const char *why)
{
    if (paid.code != CKR_WRAPPED_KEY_INVALID) {
        return paid;
    }
    kw_log(KW_LOG_DEBUG, "token %s: an envelope is refused: %s", kw_backing_config(d->lease->backing)->name, why);
    return KW_FAIL(CKR_WRAPPED_KEY_INVALID, "the envelope does not open here; the log of level debug has the reason");
}

static struct kw_rv refuse_header(const struct desk *d, const char *why)
{
    const struct kw_envelope nothing = {.how = KW_ENVELOPE_OAEP_SHA1, .wrapped = opens_nothing, .wrapped_len = 2048 / 8};
    uint8_t tag[KW_ORIGIN_TAG_SIZE];
    struct kw_rv r = d->rsa ? tag_of(d, &nothing, tag) : pay_for_unwrapping(d);
    if (d->rsa ? kw_ok(r) : r.code == CKR_WRAPPED_KEY_INVALID) {
        r = pay_with_version(d, d->rsa ? OPEN_OAEP : OPEN_CANARY);
    }
    return refuse(d, r, why);
}

static struct kw_rv open_envelope(const struct desk *d, const struct kw_envelope *e, const struct kw_envelope_place *place,
                                  struct kw_secret **out)
{
    struct kw_dek content = {.spec = readable};
    bool ours = false;
    struct kw_rv r = is_ours(d, e, &ours);
    if (kw_ok(r) && !ours) {
        return refuse(d, pay_with_version(d, OPEN_OAEP), "its origin tag is wrong: the token did not make it");
    }
    if (kw_ok(r)) {
        r = open_content(d, e, &content);
    }
    if (!kw_ok(r)) {
        if (r.code == CKR_WRAPPED_KEY_INVALID && !d->rsa) {
            r = pay_with_version(d, OPEN_CANARY);
        }
        return refuse(d, r, "its content key does not open under the version that it names, or there is no such version");
    }
    r = kw_envelope_open(e, place, content.value, out);
    kw_secret_free(content.value);
    if (r.code == CKR_WRAPPED_KEY_INVALID) {
        r = refuse(d, d->rsa ? pay_with_version(d, READ_MODULUS) : pay_for_unwrapping(d),
                   "its data key does not open: changed, or of another tenant, geo or context");
    }
    return r;
}

struct kw_rv kw_content_unwrap(struct kw_lease *lease, struct kw_cmk *cmk, const struct kw_content_unwrapping *u, struct kw_dek *dek)
{
    struct kw_secret *data = NULL;
    struct kw_envelope e;
    struct desk d;
    struct kw_rv r = sit_down(lease, cmk, false, &d);
    if (!kw_ok(r)) {
        return r;
    }
    const char *why = judge(&d, u, &dek->spec, &e);
    r = why != NULL ? refuse_header(&d, why) : open_envelope(&d, &e, &u->place, &data);
    if (!kw_ok(r)) {
        return r;
    }
    dek->spec.len = kw_secret_len(data);
    if (kw_dek_in_memory(&dek->spec)) {
        dek->value = data;
        return KW_OK;
    }
    r = kw_dek_import(lease, &d.owner, data, dek);
    kw_secret_free(data);
    return r;
}

/* Destroys the sealed content key. */
static void end_sealed(struct kw_lease *lease)
{
    (void)lease->call->C_DestroyObject(lease->session, lease->nameless);
    lease->nameless = CK_INVALID_HANDLE;
}

/* Opens the content key into a sealed object; the one answer when the envelope is bad. */
static struct kw_rv open_sealed(const struct desk *d, const struct kw_envelope *e, struct kw_dek *content)
{
    bool ours = false;
    struct kw_rv r = is_ours(d, e, &ours);
    if (kw_ok(r) && !ours) {
        return refuse(d, KW_FAIL(CKR_WRAPPED_KEY_INVALID, "a bad envelope"), "its origin tag is wrong: the token did not make it");
    }
    if (kw_ok(r)) {
        r = open_content(d, e, content);
    }
    return kw_ok(r) ? r : refuse(d, r, "its content key does not open under the version that it names, or there is no such version");
}

struct kw_rv kw_content_rewrap(struct kw_lease *lease, struct kw_cmk *cmk, const uint8_t *bytes, size_t len,
                               struct kw_content_rewrapped *out)
{
    struct room room = {0};
    struct kw_envelope e;
    struct desk d;
    struct kw_dek content = {.spec = sealed};
    struct kw_rv r = sit_down(lease, cmk, false, &d);
    if (!kw_ok(r)) {
        return r;
    }
    const char *why = read_envelope(&d, bytes, len, &e);
    if (why != NULL) {
        return refuse(&d, KW_FAIL(CKR_WRAPPED_KEY_INVALID, "no envelope of this slot"), why);
    }
    out->from = e.version;
    if (e.version == d.current) {
        out->to = e.version;
        out->len = len;
        memcpy(out->bytes, bytes, len);
        return KW_OK;
    }
    r = open_sealed(&d, &e, &content);
    if (!kw_ok(r)) {
        return r;
    }
    r = wrap_current(&d, &content, 0, &e, &room);
    end_sealed(lease);
    if (kw_ok(r)) {
        out->to = e.version;
        out->len = kw_envelope_write(&e, out->bytes);
    }
    return r;
}
