/* The origin key of an RSA lineage: made in one token, or carried to all of them as a CMK is. */
#include "stamp.h"

#include <stdio.h>
#include <string.h>

#include "origin.h"

struct work {
    struct kw_dek_owner owner;
    size_t count;
    uint8_t tag[KW_ORIGIN_TAG_SIZE];
    struct kw_custody_source source;
    struct kw_custody_receiver receiver;
    struct kw_custody_blob blob;
};

static struct kw_rv do_count(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct work *w = arg;
    (void)cmk;
    return kw_origin_count(lease, &w->owner, &w->count);
}

static struct kw_rv do_tag(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    static const uint8_t text[] = "keyward origin";
    struct work *w = arg;
    (void)cmk;
    return kw_origin_tag(lease, &w->owner, text, sizeof text, w->tag);
}

static struct kw_rv do_generate(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    const struct work *w = arg;
    (void)cmk;
    return kw_origin_generate(lease, &w->owner);
}

static struct kw_rv do_begin(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct work *w = arg;
    (void)cmk;
    return kw_origin_begin(lease, &w->source);
}

static struct kw_rv do_prepare(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct work *w = arg;
    (void)cmk;
    return kw_custody_prepare(lease, &w->receiver);
}

static struct kw_rv do_send(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct work *w = arg;
    (void)cmk;
    return kw_custody_send(lease, &w->source, &w->receiver, &w->blob);
}

static struct kw_rv do_receive(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct work *w = arg;
    (void)cmk;
    return kw_origin_receive(lease, &w->receiver, &w->blob, &w->owner);
}

static struct kw_rv do_end(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    const struct work *w = arg;
    (void)cmk;
    kw_custody_end(lease, &w->source);
    return KW_OK;
}

static struct kw_rv do_destroy(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    const struct work *w = arg;
    (void)cmk;
    return kw_origin_destroy(lease, &w->owner);
}

static bool make(struct lineage *l, struct work *w)
{
    size_t tokens = l->slot->token_count;
    if (tokens == 1) {
        return lineage_step(l, 0, do_generate, w);
    }
    bool ok = lineage_step(l, 0, do_begin, w);
    if (!ok) {
        return false;
    }
    for (size_t i = 0; ok && i < tokens; i++) {
        ok = lineage_step(l, i, do_prepare, w) && lineage_step(l, 0, do_send, w) && lineage_step(l, i, do_receive, w);
    }
    return lineage_step(l, 0, do_end, w) && ok;
}

/* The same in every token: they sign alike. */
static bool are_alike(struct lineage *l, struct work *w)
{
    uint8_t first[KW_ORIGIN_TAG_SIZE];
    for (size_t i = 0; i < l->slot->token_count; i++) {
        if (!lineage_step(l, i, do_tag, w)) {
            return false;
        }
        if (i > 0 && memcmp(first, w->tag, sizeof first) != 0) {
            command_say("slot %s: the origin keys in the tokens %s and %s differ: what one wraps into envelopes, the other refuses", l->slot->name,
                        l->slot->tokens[0]->name, l->slot->tokens[i]->name);
            return false;
        }
        memcpy(first, w->tag, sizeof first);
    }
    return true;
}

/* Whether a broker may have used any version. */
static bool was_used(const struct lineage *l)
{
    uint32_t versions[KW_VERSIONS_MAX];
    size_t count = lineage_versions(l, versions);
    for (size_t i = 0; i < count; i++) {
        if (lineage_any(l, versions[i])->version.purge != KW_CMK_UNFINISHED) {
            return true;
        }
    }
    return false;
}

static bool destroy_all(struct lineage *l, struct work *w)
{
    bool ok = true;
    for (size_t i = 0; i < l->slot->token_count; i++) {
        ok = lineage_step(l, i, do_destroy, w) && ok;
    }
    return ok;
}

bool stamp_ensure(struct lineage *l, bool say)
{
    uint32_t highest = lineage_highest(l);
    const struct kw_cmk_entry *e = highest == 0 ? NULL : lineage_any(l, highest);
    struct work w = {.owner = {.label = l->slot->key}};
    size_t having = 0;
    size_t lacking = l->slot->token_count;
    if (e == NULL || e->version.type != CKK_RSA) {
        return true;
    }
    memcpy(w.owner.lineage, e->version.lineage, KW_LINEAGE_SIZE);
    for (size_t i = 0; i < l->slot->token_count; i++) {
        if (!lineage_step(l, i, do_count, &w)) {
            return false;
        }
        having += w.count > 0;
        lacking = w.count == 0 && lacking == l->slot->token_count ? i : lacking;
    }
    if (having == l->slot->token_count) {
        return are_alike(l, &w);
    }
    if (having > 0 && was_used(l)) {
        command_say("slot %s: token %s has no origin key and cannot be given one, since it leaves no token; take that token out of `tokens =`",
                    l->slot->name, l->slot->tokens[lacking]->name);
        return false;
    }
    bool made = (having == 0 || destroy_all(l, &w)) && make(l, &w) && are_alike(l, &w);
    if (made && say) {
        (void)fprintf(stderr, "origin key: made in every token\n");
    }
    return made;
}

bool stamp_end(struct lineage *l, const uint8_t lineage[KW_LINEAGE_SIZE])
{
    struct work w = {.owner = {.label = l->slot->key}};
    memcpy(w.owner.lineage, lineage, KW_LINEAGE_SIZE);
    return destroy_all(l, &w);
}
