#include "engine.h"

#include <stdlib.h>
#include <string.h>

#include "content.h"
#include "dek.h"
#include "member.h"
#include "openssl.h"
#include "pin.h"
#include "vendor.h"
#include "wrapper.h"

struct kw_engine {
    const struct kw_config *config;
    struct kw_backing **backings; /* one per token of the configuration */
    struct kw_members **slots;    /* one per slot */
};

static struct kw_rv open_slot(struct kw_engine *e, size_t slot)
{
    const struct kw_config_slot *s = &e->config->slots[slot];
    struct kw_backing *backings[KW_CONFIG_MEMBERS_MAX];
    for (size_t i = 0; i < s->token_count; i++) {
        backings[i] = e->backings[s->tokens[i] - e->config->tokens];
    }
    struct kw_rv r = kw_members_new(backings, s->token_count, s->key, &e->slots[slot]);
    if (kw_ok(r) && s->spread) {
        kw_members_spread(e->slots[slot]);
    }
    return r;
}

struct kw_rv kw_engine_open(const struct kw_config *config, struct kw_engine **out)
{
    struct kw_engine *e = calloc(1, sizeof *e);
    if (e == NULL) {
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for the engine");
    }
    e->config = config;
    e->backings = calloc(config->token_count + 1, sizeof e->backings[0]);
    e->slots = calloc(config->slot_count + 1, sizeof e->slots[0]);
    struct kw_rv r = KW_OK;
    if (e->backings == NULL || e->slots == NULL) {
        r = KW_FAIL(CKR_HOST_MEMORY, "no memory for the engine");
    }
    for (size_t i = 0; kw_ok(r) && i < config->token_count; i++) {
        r = kw_backing_new(&config->tokens[i], &e->backings[i]);
    }
    for (size_t i = 0; kw_ok(r) && i < config->slot_count; i++) {
        r = open_slot(e, i);
    }
    if (!kw_ok(r)) {
        kw_engine_close(e);
        return r;
    }
    *out = e;
    return KW_OK;
}

void kw_engine_close(struct kw_engine *e)
{
    if (e == NULL) {
        return;
    }
    for (size_t i = 0; e->slots != NULL && i < e->config->slot_count; i++) {
        kw_members_free(e->slots[i]);
    }
    for (size_t i = 0; e->backings != NULL && i < e->config->token_count; i++) {
        kw_backing_free(e->backings[i]);
    }
    kw_vendor_end_all();
    kw_openssl_end();
    free(e->slots);
    free(e->backings);
    free(e);
}

struct kw_rv kw_engine_reach(struct kw_engine *e, size_t slot, struct kw_engine_token *out)
{
    CK_TOKEN_INFO info;
    size_t member = 0;
    struct kw_rv r = kw_members_reach(e->slots[slot], &info, &member);
    if (!kw_ok(r)) {
        return r;
    }
    *out = (struct kw_engine_token){
        .hardware = info.hardwareVersion,
        .firmware = info.firmwareVersion,
        .min_pin = info.ulMinPinLen,
        .max_pin = info.ulMaxPinLen,
        .pin_count_low = (info.flags & CKF_USER_PIN_COUNT_LOW) != 0,
        .pin_final_try = (info.flags & CKF_USER_PIN_FINAL_TRY) != 0,
        .pin_locked = (info.flags & CKF_USER_PIN_LOCKED) != 0,
        .write_protected = (info.flags & CKF_WRITE_PROTECTED) != 0,
    };
    return KW_OK;
}

static struct kw_rv do_offers(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct kw_engine_offers *out = arg;
    (void)cmk;
    out->kw = kw_probe_offers(lease, KW_FORMAT_KW);
    out->kwp = kw_probe_offers(lease, KW_FORMAT_KWP);
    out->oaep = kw_probe_offers(lease, KW_FORMAT_OAEP);
    return KW_OK;
}

static struct kw_rv offers_of_one(struct kw_members *m, struct kw_engine_offers *out)
{
    const struct kw_job job = {.op = do_offers, .arg = out};
    CK_TOKEN_INFO info;
    size_t member = 0;
    struct kw_rv r = kw_members_reach(m, &info, &member);
    return kw_ok(r) ? kw_members_run_on(m, member, &job) : r;
}

struct kw_rv kw_engine_offers(struct kw_engine *e, size_t slot, struct kw_engine_offers *out)
{
    struct kw_members *m = e->slots[slot];
    struct kw_rv r = offers_of_one(m, out);
    for (size_t i = 1; !kw_ok(r) && i < kw_members_count(m); i++) {
        r = offers_of_one(m, out); /* the one that was reached went away: its peers */
    }
    return r;
}

bool kw_engine_has_pin_source(const struct kw_engine *e, size_t slot)
{
    const struct kw_config_slot *s = &e->config->slots[slot];
    bool all = true;
    for (size_t i = 0; i < s->token_count; i++) {
        all &= kw_pin_has_source(s->tokens[i]);
    }
    return all;
}

struct kw_rv kw_engine_login(struct kw_engine *e, size_t slot, const struct kw_secret *pin)
{
    return kw_members_login(e->slots[slot], pin);
}

void kw_engine_logout(struct kw_engine *e, size_t slot)
{
    kw_members_logout(e->slots[slot]);
}

/* The arguments of an operation on a slot; each uses what it needs. */
struct arguments {
    const char *key; /* the slot's CMK label */
    kw_engine_each_version *each_version;
    kw_engine_each_dek *each_dek;
    void *data;
    const struct kw_secret *value;
    const struct kw_dek *from;
    struct kw_dek *dek;
    struct kw_secret **secret;
    const struct kw_wrapping *wrapping;
    const struct kw_unwrapping *unwrapping;
    struct kw_envelope_place place;
    uint8_t *bytes;
    size_t *len;
};

static struct kw_rv run(struct kw_engine *e, size_t slot, kw_member_op *op, struct arguments *a)
{
    a->key = e->config->slots[slot].key;
    bool makes = a->dek != NULL && !kw_dek_in_memory(&a->dek->spec);
    bool homed = a->from != NULL || (a->wrapping != NULL && a->wrapping->dek->value == NULL);
    const struct kw_job job = {
        .op = op,
        .arg = a,
        .user = true,
        .once = makes,
        .homed = homed,
        .anywhere = !makes && !homed && a->each_dek == NULL && a->each_version == NULL,
    };
    return kw_members_run(e->slots[slot], &job);
}

static struct kw_rv get_owner(struct kw_lease *lease, struct kw_cmk *cmk, const char *key, struct kw_dek_owner *owner)
{
    struct kw_snapshot *s = NULL;
    struct kw_rv r = kw_cmk_get_confirmed(lease, cmk, false, &s);
    if (kw_ok(r)) {
        r = kw_wrapper_owner(s, key, owner);
    }
    kw_snapshot_put(s);
    return r;
}

static struct kw_rv do_versions(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct arguments *a = arg;
    struct kw_snapshot *s = NULL;
    struct kw_rv r = kw_cmk_get(lease, cmk, true, &s);
    for (size_t i = 0; kw_ok(r) && i < s->count; i++) {
        a->each_version(a->data, &s->entries[i].version);
    }
    kw_snapshot_put(s);
    return r;
}

struct kw_rv kw_engine_versions(struct kw_engine *e, size_t slot, kw_engine_each_version *each, void *data)
{
    struct arguments a = {.each_version = each, .data = data};
    return run(e, slot, do_versions, &a);
}

static struct kw_rv do_deks(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct arguments *a = arg;
    struct kw_dek_owner owner;
    struct kw_rv r = get_owner(lease, cmk, a->key, &owner);
    if (r.code == CKR_FUNCTION_FAILED && lease->failure == CKR_OK) {
        return KW_OK; /* without a CMK there are no data keys */
    }
    return kw_ok(r) ? kw_dek_list(lease, &owner, a->each_dek, a->data) : r;
}

struct kw_rv kw_engine_deks(struct kw_engine *e, size_t slot, kw_engine_each_dek *each, void *data)
{
    struct arguments a = {.each_dek = each, .data = data};
    return run(e, slot, do_deks, &a);
}

static struct kw_rv do_random(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct arguments *a = arg;
    (void)cmk;
    return kw_lease_check(lease, lease->call->C_GenerateRandom(lease->session, a->bytes, *a->len), "C_GenerateRandom");
}

struct kw_rv kw_engine_random(struct kw_engine *e, size_t slot, uint8_t *out, size_t len)
{
    struct arguments a = {.bytes = out, .len = &len};
    const struct kw_job job = {.op = do_random, .arg = &a, .anywhere = true};
    return kw_members_run(e->slots[slot], &job);
}

/* A data key of the memory home is random bytes of the token: no object is made there. */
static struct kw_rv make_in_memory(struct kw_engine *e, size_t slot, const struct kw_secret *value, struct kw_dek *dek)
{
    static const uint8_t zero[16];
    struct kw_secret *s = NULL;
    struct kw_rv r = value == NULL ? kw_secret_new(dek->spec.len, &s)
                                   : kw_secret_dup(kw_secret_peek(value), kw_secret_len(value), &s);
    if (kw_ok(r) && value == NULL) {
        size_t len = dek->spec.len;
        struct arguments a = {.bytes = kw_secret_bytes(s), .len = &len};
        const struct kw_job job = {.op = do_random, .arg = &a, .user = true, .anywhere = true};
        r = kw_members_run(e->slots[slot], &job);
        if (kw_ok(r) && len >= sizeof zero && memcmp(kw_secret_peek(s), zero, sizeof zero) == 0) {
            r = KW_FAIL(CKR_DEVICE_ERROR, "the token's random numbers are all zero");
        }
    }
    if (!kw_ok(r)) {
        kw_secret_free(s);
        return r;
    }
    dek->value = s;
    return KW_OK;
}

static struct kw_rv do_make(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct arguments *a = arg;
    struct kw_dek_owner owner;
    struct kw_rv r = get_owner(lease, cmk, a->key, &owner);
    if (!kw_ok(r)) {
        return r;
    }
    return a->value == NULL ? kw_dek_generate(lease, &owner, a->dek) : kw_dek_import(lease, &owner, a->value, a->dek);
}

struct kw_rv kw_engine_make(struct kw_engine *e, size_t slot, const struct kw_secret *value, struct kw_dek *dek)
{
    dek->local = value == NULL;
    if (kw_dek_in_memory(&dek->spec)) {
        return make_in_memory(e, slot, value, dek);
    }
    struct arguments a = {.value = value, .dek = dek};
    return run(e, slot, do_make, &a);
}

/* Finds the data key `from` and does one thing with it. */
typedef struct kw_rv found_fn(struct kw_lease *lease, const struct kw_dek_owner *owner, CK_OBJECT_HANDLE h, struct arguments *a);

static struct kw_rv with_found(struct kw_lease *lease, struct kw_cmk *cmk, struct arguments *a, found_fn *then)
{
    struct kw_dek_owner owner;
    CK_OBJECT_HANDLE h = CK_INVALID_HANDLE;
    struct kw_rv r = get_owner(lease, cmk, a->key, &owner);
    if (kw_ok(r)) {
        r = kw_dek_find(lease, &owner, a->from, lease->attempt > 0, &h);
    }
    return kw_ok(r) ? then(lease, &owner, h, a) : r;
}

static struct kw_rv then_value(struct kw_lease *lease, const struct kw_dek_owner *owner, CK_OBJECT_HANDLE h, struct arguments *a)
{
    (void)owner;
    return kw_dek_value(lease, h, a->from->spec.len, a->secret);
}

static struct kw_rv do_value(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    return with_found(lease, cmk, arg, then_value);
}

struct kw_rv kw_engine_value(struct kw_engine *e, size_t slot, const struct kw_dek *dek, struct kw_secret **out)
{
    struct arguments a = {.from = dek, .secret = out};
    return run(e, slot, do_value, &a);
}

static struct kw_rv then_destroy(struct kw_lease *lease, const struct kw_dek_owner *owner, CK_OBJECT_HANDLE h, struct arguments *a)
{
    (void)owner;
    struct kw_rv r = kw_lease_check(lease, lease->call->C_DestroyObject(lease->session, h), "C_DestroyObject");
    if (kw_ok(r)) {
        kw_lease_remember(lease, a->from->name, CK_INVALID_HANDLE);
    }
    return r;
}

static struct kw_rv do_destroy(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    return with_found(lease, cmk, arg, then_destroy);
}

struct kw_rv kw_engine_destroy(struct kw_engine *e, size_t slot, const struct kw_dek *dek)
{
    struct arguments a = {.from = dek};
    return run(e, slot, do_destroy, &a);
}

static struct kw_rv then_rename(struct kw_lease *lease, const struct kw_dek_owner *owner, CK_OBJECT_HANDLE h, struct arguments *a)
{
    return kw_dek_rename(lease, owner, h, a->dek);
}

static struct kw_rv do_rename(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    return with_found(lease, cmk, arg, then_rename);
}

struct kw_rv kw_engine_rename(struct kw_engine *e, size_t slot, const struct kw_dek *from, const struct kw_dek *to)
{
    struct kw_dek copy = *to; /* `to` is not changed; the arguments have one field for both directions */
    struct arguments a = {.from = from, .dek = &copy};
    return run(e, slot, do_rename, &a);
}

static struct kw_rv do_wrap(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct arguments *a = arg;
    if (a->wrapping->scheme.format != KW_FORMAT_ENVELOPE) {
        return kw_wrapper_wrap(lease, cmk, a->wrapping, a->bytes, a->len);
    }
    const struct kw_content_wrapping w = {a->wrapping->version, a->place, a->wrapping->dek, a->wrapping->meant};
    return kw_content_wrap(lease, cmk, &w, a->bytes, a->len);
}

/* Where a data key of the slot belongs. */
static struct kw_envelope_place place_of(const struct kw_engine *e, size_t slot, const struct kw_scheme *scheme)
{
    const struct kw_config_slot *s = &e->config->slots[slot];
    return (struct kw_envelope_place){s->tenant, s->geo, scheme->context, scheme->context_len};
}

struct kw_rv kw_engine_wrap(struct kw_engine *e, size_t slot, const struct kw_wrapping *w, uint8_t *blob, size_t *len)
{
    struct arguments a = {.wrapping = w, .place = place_of(e, slot, &w->scheme), .bytes = blob, .len = len};
    return run(e, slot, do_wrap, &a);
}

static struct kw_rv do_unwrap(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct arguments *a = arg;
    if (a->unwrapping->scheme.format != KW_FORMAT_ENVELOPE) {
        return kw_wrapper_unwrap(lease, cmk, a->unwrapping, a->dek);
    }
    const struct kw_content_unwrapping u = {a->place, a->unwrapping->blob, a->unwrapping->len};
    return kw_content_unwrap(lease, cmk, &u, a->dek);
}

struct kw_rv kw_engine_unwrap(struct kw_engine *e, size_t slot, const struct kw_unwrapping *u, struct kw_dek *dek)
{
    struct arguments a = {.unwrapping = u, .place = place_of(e, slot, &u->scheme), .dek = dek};
    dek->local = false;
    return run(e, slot, do_unwrap, &a);
}
