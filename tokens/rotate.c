/* keyward rotate SLOT: a new version becomes active, the one before is retired. */
#include <stdio.h>

#include "lineage.h"
#include "show.h"

static bool is_young(const struct lineage *l, uint32_t version, long days)
{
    const struct kw_cmk_entry *e = lineage_any(l, version);
    return days >= 0 && e->version.created != 0 && (long)lineage_today() - (long)e->version.created <= days;
}

/* --type may be said, but a rotation keeps it. */
static bool keeps_type(const struct lineage *l, const char *text)
{
    struct type type;
    if (text == NULL || (type_parse(text, &type) && type.key == lineage_type(l).key && type.bits == lineage_type(l).bits)) {
        return true;
    }
    command_say("slot %s: key %s is %s, and a rotation keeps that; make a slot of its own for a key of another type", l->slot->name,
                l->slot->key, type_text(lineage_type(l)));
    return false;
}

int verb_rotate(struct command *c, int argc, char **argv)
{
    struct show_options o;
    struct lineage l;
    if (!show_parse(argc, argv, "jit", &o)) {
        return USAGE;
    }
    bool done = lineage_open(c, o.slot, &l);
    uint32_t newest = done ? lineage_highest(&l) : 0;
    if (done && newest == 0) {
        command_say("slot %s: there is no key to rotate; make it with `keyward create %s`", o.slot, o.slot);
        done = false;
    }
    done = done && lineage_is_sound(&l) && lineage_has_active(&l) && keeps_type(&l, o.type);
    if (done && !lineage_any(&l, newest)->ours) {
        command_say("slot %s: key %s was not made by Keyward and has no versions; make a key of its own for the slot", o.slot, l.slot->key);
        done = false;
    }
    if (done && is_young(&l, newest, o.days)) {
        (void)fprintf(o.json ? stderr : stdout, "nothing to do: version %u is not older than %ld days\n", newest, o.days);
    } else if (done) {
        done = lineage_make(&l, newest + 1, lineage_type(&l)) && lineage_retire_older(&l, false);
    }
    const struct kw_config_slot *slot = l.slot;
    lineage_close(&l);
    return done ? show_slot(c, slot, o.json) : FAILED;
}
