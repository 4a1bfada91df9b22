/* keyward create SLOT: the first version of a slot's CMK, on every token of the slot. */
#include <string.h>

#include "lineage.h"
#include "show.h"

static bool parse_type(const char *type, unsigned *bits)
{
    static const struct {
        const char *name;
        unsigned bits;
    } types[] = {{"aes:128", 128}, {"aes:192", 192}, {"aes:256", 256}};
    *bits = 256;
    for (size_t i = 0; type != NULL && i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(type, types[i].name) == 0) {
            *bits = types[i].bits;
            return true;
        }
    }
    if (type != NULL) {
        command_say("--type %s: the types are aes:128, aes:192 and aes:256", type);
    }
    return type == NULL;
}

int verb_create(struct command *c, int argc, char **argv)
{
    struct show_options o;
    struct lineage l;
    unsigned bits = 0;
    if (!show_parse(argc, argv, "jt", &o) || !parse_type(o.type, &bits)) {
        return USAGE;
    }
    bool done = lineage_open(c, o.slot, &l);
    if (done && lineage_highest(&l) != 0) {
        command_say("slot %s: key %s exists; nothing was changed (`keyward rotate %s` makes a new version)", o.slot, l.slot->key, o.slot);
        done = false;
    }
    done = done && lineage_make(&l, 1, bits);
    const struct kw_config_slot *slot = l.slot;
    lineage_close(&l);
    return done ? show_slot(c, slot, o.json) : FAILED;
}
