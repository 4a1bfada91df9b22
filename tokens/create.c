/* keyward create SLOT: the first version of a slot's CMK, on every token of the slot. */
#include "lineage.h"
#include "show.h"

static bool parse_type(const char *text, struct type *out)
{
    *out = (struct type){CKK_AES, 256};
    if (text != NULL && !type_parse(text, out)) {
        command_say("--type %s: the types are aes:128, aes:192, aes:256, rsa:2048, rsa:3072 and rsa:4096", text);
        return false;
    }
    return true;
}

int verb_create(struct command *c, int argc, char **argv)
{
    struct show_options o;
    struct lineage l;
    struct type type;
    if (!show_parse(argc, argv, "jt", &o) || !parse_type(o.type, &type)) {
        return USAGE;
    }
    bool done = lineage_open(c, o.slot, &l);
    if (done && lineage_highest(&l) != 0) {
        command_say("slot %s: key %s exists; nothing was changed (`keyward rotate %s` makes a new version)", o.slot, l.slot->key, o.slot);
        done = false;
    }
    done = done && lineage_make(&l, 1, type);
    const struct kw_config_slot *slot = l.slot;
    lineage_close(&l);
    return done ? show_slot(c, slot, o.json) : FAILED;
}
