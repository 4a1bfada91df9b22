#include "keeper.h"

#include <string.h>

#include "policy.h"

static struct kw_rv do_versions(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct keeper *k = arg;
    return kw_cmk_get(lease, cmk, true, &k->snapshot);
}

static struct kw_rv run(struct keeper *k, kw_member_op *op, void *arg)
{
    const struct kw_job job = {.op = op, .arg = arg, .user = true};
    atomic_fetch_add(&k->uses, 1);
    return kw_members_run(k->members, &job);
}

/* The active version comes first in a snapshot. */
static bool read_versions(struct keeper *k)
{
    struct kw_rv r = run(k, do_versions, k);
    if (!kw_ok(r)) {
        command_say("slot %s: %s (%s)", k->slot->name, command_reason(r), kw_error_name(r.code));
        return false;
    }
    if (k->snapshot->problem != NULL || k->snapshot->count == 0) {
        command_say("slot %s: %s", k->slot->name, k->snapshot->problem != NULL ? k->snapshot->problem : "it has no key yet");
        return false;
    }
    const struct kw_version *first = &k->snapshot->entries[0].version;
    memcpy(k->lineage, first->lineage, KW_LINEAGE_SIZE);
    k->active = first->state == KW_STATE_ACTIVE ? first->version : 0;
    return true;
}

bool keeper_open(struct command *c, const char *slot, bool making, struct keeper *k)
{
    *k = (struct keeper){.slot = command_slot(c, slot)};
    if (k->slot == NULL) {
        return false;
    }
    if (making && (k->slot->mechanisms & KW_MECHANISMS_ENVELOPE) == 0) {
        command_say("slot %s: it does not offer envelopes, so no broker could open one; set `mechanisms = standard envelope` in %s", slot,
                    c->config->path);
        return false;
    }
    k->members = command_members(c, k->slot);
    bool in = false;
    for (size_t i = 0; k->members != NULL && i < k->slot->token_count; i++) {
        in = command_login(k->members, i) || in;
    }
    if (!in || !read_versions(k)) {
        return false;
    }
    if (making && k->active == 0) {
        command_say("slot %s: no version of key %s is active; `keyward enable %s` comes first", slot, k->slot->key, slot);
        return false;
    }
    return true;
}

void keeper_close(struct keeper *k)
{
    kw_snapshot_put(k->snapshot);
    if (k->members != NULL) {
        kw_members_logout(k->members);
    }
    kw_members_free(k->members);
    k->members = NULL;
}

struct kw_envelope_place keeper_place(const struct keeper *k, const void *context, size_t len)
{
    return (struct kw_envelope_place){k->slot->tenant, k->slot->geo, context, len};
}

/* The arguments of a job; each uses what it needs. */
struct arguments {
    const uint8_t *bytes;
    size_t len;
    struct kw_content_rewrapped *rewrapped;
    const struct kw_content_wrapping *wrapping;
    const struct kw_content_unwrapping *unwrapping;
    uint8_t *envelope;
    size_t *envelope_len;
    struct kw_dek *dek;
};

static struct kw_rv do_rewrap(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct arguments *a = arg;
    return kw_content_rewrap(lease, cmk, a->bytes, a->len, a->rewrapped);
}

struct kw_rv keeper_rewrap(struct keeper *k, const uint8_t *bytes, size_t len, struct kw_content_rewrapped *out)
{
    struct arguments a = {.bytes = bytes, .len = len, .rewrapped = out};
    return run(k, do_rewrap, &a);
}

static struct kw_rv do_wrap(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct arguments *a = arg;
    return kw_content_wrap(lease, cmk, a->wrapping, a->envelope, a->envelope_len);
}

struct kw_rv keeper_wrap(struct keeper *k, const struct kw_content_wrapping *w, uint8_t *envelope, size_t *len)
{
    struct kw_rv strong = kw_policy_strength(&k->snapshot->entries[0].version, &w->dek->spec);
    if (!kw_ok(strong)) {
        return strong;
    }
    struct arguments a = {.wrapping = w, .envelope = envelope, .envelope_len = len};
    return run(k, do_wrap, &a);
}

static struct kw_rv do_unwrap(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct arguments *a = arg;
    return kw_content_unwrap(lease, cmk, a->unwrapping, a->dek);
}

struct kw_rv keeper_unwrap(struct keeper *k, const struct kw_content_unwrapping *u, CK_KEY_TYPE type, struct kw_dek *dek)
{
    struct arguments a = {.unwrapping = u, .dek = dek};
    *dek = (struct kw_dek){.spec = {.type = type, .extractable = true}};
    return run(k, do_unwrap, &a);
}

struct kw_rv keeper_renew(struct keeper *k)
{
    struct kw_rv r = KW_OK;
    for (size_t i = 0; kw_ok(r) && i < kw_members_count(k->members); i++) {
        r = kw_backing_reconnect(kw_members_backing(k->members, i));
    }
    atomic_store(&k->uses, 0);
    return r;
}
