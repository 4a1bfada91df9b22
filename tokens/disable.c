/* keyward disable SLOT, keyward enable SLOT: takes versions away at once, and gives them back. */
#include "lineage.h"
#include "show.h"

/* Whether a broker may use what this token holds, or might when it is back in service. An unfinished version is not counted. */
static bool is_open(const struct kw_cmk_entry *e)
{
    enum kw_state state = e->version.state;
    bool dormant = state == KW_STATE_OUT_OF_SERVICE && e->version.purge != KW_CMK_UNFINISHED && (e->may_wrap || e->may_unwrap);
    return state == KW_STATE_ACTIVE || state == KW_STATE_RETIRED || dormant;
}

/* The first token, from token i on, where any key of the version is open; the number of tokens when there is none. */
static size_t open_from(const struct lineage *l, size_t i, uint32_t version)
{
    for (; i < l->slot->token_count; i++) {
        const struct kw_snapshot *s = l->snapshots[i];
        for (size_t k = 0; k < s->count; k++) {
            if (s->entries[k].version.version == version && is_open(&s->entries[k])) {
                return i;
            }
        }
    }
    return i;
}

/* Whether the verb means this version: the one that was named, or every one that it can change. Tokens may differ after a crash: to disable looks
 * at each of them. */
static bool is_meant(const struct lineage *l, const struct show_options *o, uint32_t version, bool enable)
{
    const struct kw_cmk_entry *e = lineage_any(l, version);
    if (o->version != 0 || e == NULL) {
        return (uint32_t)o->version == version;
    }
    if (!enable) {
        return open_from(l, 0, version) < l->slot->token_count;
    }
    if (e->version.state == KW_STATE_RETIRED && version == lineage_highest(l)) {
        return true; /* an interrupted change: the newest one is never retired otherwise */
    }
    return e->version.state == KW_STATE_DISABLED;
}

/* Whether the version's state allows the verb; says why not. */
static bool is_allowed(const struct lineage *l, uint32_t version, bool enable)
{
    const struct kw_version *v = &lineage_any(l, version)->version;
    if (v->state == KW_STATE_PENDING) {
        command_say("slot %s: version %u is to be deleted; `keyward recover %s --version %u` brings it back", l->slot->name, version,
                    l->slot->name, version);
        return false;
    }
    if (v->state == KW_STATE_OUT_OF_SERVICE && (enable || v->purge == KW_CMK_UNFINISHED)) {
        command_say("slot %s: version %u is out of service: %s", l->slot->name, version, v->problem);
        return false;
    }
    return true;
}

/* Disables the version in every token that has it and has not set it aside for deletion; then looks whether that is so. */
static bool take_away(struct lineage *l, uint32_t version)
{
    const struct kw_custody_state off = {.wrap = false, .unwrap = false};
    bool ok = true;
    for (size_t i = 0; i < l->slot->token_count; i++) {
        const struct kw_cmk_entry *e = lineage_at(l, i, version);
        if (e != NULL && e->version.state != KW_STATE_PENDING && (e->version.state != KW_STATE_DISABLED || open_from(l, i, version) == i)) {
            ok = lineage_change_in(l, i, version, &off) && ok;
        }
    }
    ok = lineage_read(l) && ok;
    size_t i = open_from(l, 0, version);
    if (ok && i < l->slot->token_count) {
        command_say("slot %s: version %u on token %s is NOT disabled; disable or destroy it with the vendor's tool", l->slot->name, version,
                    l->slot->tokens[i]->name);
    }
    return ok && i == l->slot->token_count;
}

static bool change_one(struct lineage *l, uint32_t version, bool enable)
{
    const struct kw_custody_state on = lineage_usable(l, version);
    if (!enable && open_from(l, 0, version) < l->slot->token_count) {
        return take_away(l, version);
    }
    return is_allowed(l, version, enable) && (enable ? lineage_change(l, version, &on) : take_away(l, version));
}

static bool change_all(struct lineage *l, const struct show_options *o, bool enable)
{
    uint32_t versions[KW_VERSIONS_MAX];
    size_t count = lineage_versions(l, versions);
    bool found = false;
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        if (is_meant(l, o, versions[i], enable)) {
            found = true;
            ok = change_one(l, versions[i], enable) && ok;
        }
    }
    if (!found && o->version != 0) {
        command_say("slot %s: there is no version %ld; `keyward status %s` shows them", l->slot->name, o->version, l->slot->name);
    } else if (!found && count == 0) {
        command_say("slot %s: there is no key; make it with `keyward create %s`", l->slot->name, l->slot->name);
    }
    return ok && (found || (o->version == 0 && count > 0));
}

static int run(struct command *c, int argc, char **argv, bool enable)
{
    struct show_options o;
    struct lineage l;
    if (!show_parse(argc, argv, "jv", &o)) {
        return USAGE;
    }
    bool done = lineage_open(c, o.slot, &l) && (!enable || lineage_is_sound(&l)) && change_all(&l, &o, enable);
    const struct kw_config_slot *slot = l.slot;
    lineage_close(&l);
    return done ? show_slot(c, slot, o.json) : FAILED;
}

int verb_disable(struct command *c, int argc, char **argv)
{
    return run(c, argc, argv, false);
}

int verb_enable(struct command *c, int argc, char **argv)
{
    return run(c, argc, argv, true);
}
