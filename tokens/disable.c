/* keyward disable SLOT, keyward enable SLOT: takes versions away at once, and gives them back. */
#include "lineage.h"
#include "show.h"

/* Whether the verb means this version: the one that was named, or every one that it can change. */
static bool is_meant(const struct lineage *l, const struct show_options *o, uint32_t version, bool enable)
{
    enum kw_state state = lineage_any(l, version)->version.state;
    if (o->version != 0) {
        return (uint32_t)o->version == version;
    }
    if (enable && state == KW_STATE_RETIRED && version == lineage_highest(l)) {
        return true; /* an interrupted change: the newest one is never retired otherwise */
    }
    return enable ? state == KW_STATE_DISABLED : state == KW_STATE_ACTIVE || state == KW_STATE_RETIRED;
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

static bool change_all(struct lineage *l, const struct show_options *o, bool enable)
{
    const struct kw_custody_state off = {.wrap = false, .unwrap = false};
    uint32_t versions[KW_VERSIONS_MAX];
    size_t count = lineage_versions(l, versions);
    bool found = false;
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        if (!is_meant(l, o, versions[i], enable)) {
            continue;
        }
        found = true;
        const struct kw_custody_state on = lineage_usable(l, versions[i]);
        ok = is_allowed(l, versions[i], enable) && lineage_change(l, versions[i], enable ? &on : &off) && ok;
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
