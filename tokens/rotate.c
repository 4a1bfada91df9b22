/* keyward rotate SLOT: a new version becomes active, the one before is retired. */
#include <stdio.h>

#include "lineage.h"
#include "show.h"

static bool is_young(const struct lineage *l, uint32_t version, long days)
{
    const struct kw_cmk_entry *e = lineage_any(l, version);
    return days >= 0 && e->version.created != 0 && (long)lineage_today() - (long)e->version.created <= days;
}

int verb_rotate(struct command *c, int argc, char **argv)
{
    struct show_options o;
    struct lineage l;
    if (!show_parse(argc, argv, "ji", &o)) {
        return USAGE;
    }
    bool done = lineage_open(c, o.slot, &l);
    uint32_t newest = done ? lineage_highest(&l) : 0;
    if (done && newest == 0) {
        command_say("slot %s: there is no key to rotate; make it with `keyward create %s`", o.slot, o.slot);
        done = false;
    }
    done = done && lineage_is_sound(&l) && lineage_has_active(&l);
    if (done && lineage_any(&l, newest)->full_id_len != KW_CMK_FULL_ID) {
        command_say("slot %s: key %s was not made by Keyward and has no versions; make a key of its own for the slot", o.slot, l.slot->key);
        done = false;
    }
    if (done && is_young(&l, newest, o.days)) {
        (void)fprintf(o.json ? stderr : stdout, "nothing to do: version %u is not older than %ld days\n", newest, o.days);
    } else if (done) {
        unsigned bits = lineage_any(&l, newest)->version.bits;
        done = lineage_make(&l, newest + 1, bits) && lineage_retire_older(&l, false);
    }
    const struct kw_config_slot *slot = l.slot;
    lineage_close(&l);
    return done ? show_slot(c, slot, o.json) : FAILED;
}
