/* keyward status SLOT: the versions of a slot's key: state, age, origin, fingerprint, tokens. */
#include "show.h"

int verb_status(struct command *c, int argc, char **argv)
{
    struct show_options o;
    if (!show_parse(argc, argv, "j", &o)) {
        return USAGE;
    }
    const struct kw_config_slot *slot = command_slot(c, o.slot);
    return slot == NULL ? FAILED : show_slot(c, slot, o.json);
}
