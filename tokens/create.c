/* keyward create SLOT: the first version of a slot's CMK, generated in its token. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "command.h"

struct creation {
    struct kw_cmk_plan plan;
    bool exists;
    struct kw_version made; /* as read back */
};

static int parse_type(const char *type, unsigned *bits)
{
    static const struct {
        const char *name;
        unsigned bits;
    } types[] = {{"aes:128", 128}, {"aes:192", 192}, {"aes:256", 256}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(type, types[i].name) == 0) {
            *bits = types[i].bits;
            return DONE;
        }
    }
    command_say("--type %s: the types are aes:128, aes:192 and aes:256", type);
    return USAGE;
}

static struct kw_rv do_create(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct creation *c = arg;
    struct kw_snapshot *s = NULL;
    struct kw_rv r = kw_cmk_get(lease, cmk, true, &s);
    if (!kw_ok(r)) {
        return r;
    }
    c->exists = s->count > 0;
    kw_snapshot_put(s);
    return c->exists ? KW_FAIL(CKR_ACTION_PROHIBITED, "the key exists") : kw_cmk_create(lease, &c->plan);
}

/* HSM-FACTS rule 9: believe in the key only when a fresh connection shows it. */
static struct kw_rv do_confirm(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct creation *c = arg;
    struct kw_snapshot *s = NULL;
    struct kw_rv r = kw_cmk_get(lease, cmk, true, &s);
    if (!kw_ok(r)) {
        return r;
    }
    struct kw_cmk_entry *e = kw_snapshot_version(s, c->plan.version);
    if (e == NULL || memcmp(e->version.lineage, c->plan.lineage, KW_LINEAGE_SIZE) != 0) {
        r = KW_FAIL(CKR_DEVICE_ERROR, "the token said that it made the key, but a fresh connection does not show it");
    } else {
        r = kw_cmk_prove(lease, cmk, e, true);
        c->made = e->version;
    }
    kw_snapshot_put(s);
    return r;
}

static struct kw_rv create_and_confirm(struct kw_members *m, struct creation *c)
{
    const struct kw_job create = {.op = do_create, .arg = c, .user = true, .once = true};
    const struct kw_job confirm = {.op = do_confirm, .arg = c, .user = true};
    struct kw_rv r = kw_members_run_on(m, 0, &create);
    if (kw_ok(r)) {
        r = kw_backing_reconnect(kw_members_backing(m, 0));
    }
    return kw_ok(r) ? kw_members_run_on(m, 0, &confirm) : r;
}

static int create_in(struct command *command, const struct kw_config_slot *slot, struct creation *c)
{
    int status = FAILED;
    struct kw_members *m = command_members(command, slot);
    if (m == NULL || !command_login(m, 0)) {
        goto done;
    }
    struct kw_rv r = create_and_confirm(m, c);
    if (c->exists) {
        command_say("slot %s: key %s exists on token %s; nothing was changed", slot->name, slot->key, slot->tokens[0]->name);
    } else if (!kw_ok(r)) {
        command_say("slot %s: the key was not made on token %s: %s (%s)", slot->name, slot->tokens[0]->name,
                    command_reason(r), kw_error_name(r.code));
    } else {
        (void)printf("%s: key %s version %u, AES-%u, fingerprint %s, on %s\n", slot->name, slot->key, c->made.version,
                     c->made.bits, command_fingerprint(&c->made), slot->tokens[0]->name);
        status = DONE;
    }
    kw_backing_logout(kw_members_backing(m, 0));
done:
    kw_members_free(m);
    return status;
}

int verb_create(struct command *command, int argc, char **argv)
{
    static const struct option options[] = {{"type", required_argument, NULL, 't'}, {NULL, 0, NULL, 0}};
    struct creation c = {.plan = {.bits = 256, .version = 1, .today = (uint32_t)(time(NULL) / 86400)}};
    int option = 0;
    while ((option = getopt_long(argc, argv, "t:", options, NULL)) != -1) {
        if (option != 't' || parse_type(optarg, &c.plan.bits) != DONE) {
            return USAGE;
        }
    }
    if (argc - optind != 1) {
        return USAGE;
    }
    const struct kw_config_slot *slot = command_slot(command, argv[optind]);
    if (slot == NULL) {
        return FAILED;
    }
    if (slot->token_count > 1) {
        command_say("slot %s: it has %zu tokens, and a key is made on one token only in this version; name one in `tokens =`",
                    slot->name, slot->token_count);
        return FAILED;
    }
    c.plan.label = slot->key;
    memcpy(c.plan.lineage, "kw", 2);
    if (getrandom(c.plan.lineage + 2, sizeof c.plan.lineage - 2, 0) != (ssize_t)sizeof c.plan.lineage - 2) {
        command_say("the system gives no random numbers");
        return FAILED;
    }
    return create_in(command, slot, &c);
}
