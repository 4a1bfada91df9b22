/* keyward import SLOT FILE: a key that a customer wrapped to the slot's transport key becomes the
 * next version. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "blob.h"
#include "file.h"
#include "kek.h"
#include "lineage.h"
#include "show.h"

static bool parse(int argc, char **argv, const char *names[2], bool *json)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
    int option = 0;
    *json = false;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'j') {
            return false;
        }
        *json = true;
    }
    if (argc - optind != 2) {
        return false;
    }
    names[0] = argv[optind];
    names[1] = argv[optind + 1];
    return true;
}

/* The file as it goes into the first token, and what was found in it there. */
struct incoming {
    const char *path;
    struct blob blob;
    struct kw_transfer transfer;
    struct kw_transfer_found found;
    struct kw_transfer_key key;
    bool has_key;
};

static bool read_file(const char *path, struct incoming *in)
{
    struct kw_secret *file = NULL;
    struct kw_rv r = file_read(path, &file);
    if (kw_ok(r)) {
        r = blob_parse(kw_secret_peek(file), kw_secret_len(file), &in->blob);
    }
    kw_secret_free(file);
    if (!kw_ok(r)) {
        command_say("%s: %s", path, command_reason(r));
    }
    return kw_ok(r);
}

static struct kw_rv do_find(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct incoming *in = arg;
    (void)cmk;
    return kw_transfer_find(lease, in->transfer.label, &in->key, &in->has_key);
}

static struct kw_rv do_check(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct incoming *in = arg;
    (void)cmk;
    return kw_transfer_check(lease, &in->transfer, &in->found);
}

/* The kid only serves to say it better: whether the file opens is what counts. One that is not of
 * our form is not looked at. */
static bool is_for_key(const struct lineage *l, const struct incoming *in)
{
    static const char ours[] = "keyward:";
    struct kek k;
    if (in->blob.kid == NULL || strncmp(in->blob.kid, ours, sizeof ours - 1) != 0 || !in->has_key ||
        !kw_ok(kek_from_token(&in->key, &k))) {
        return true;
    }
    const char *slash = strrchr(in->blob.kid, '/');
    bool same = strcmp(slash == NULL ? in->blob.kid + sizeof ours - 1 : slash + 1, k.id) == 0;
    if (!same) {
        command_say(
            "%s: it is wrapped to the key %s, but the transport key of slot %s is keyward:%s/%s",
            in->path, in->blob.kid, l->slot->name, l->slot->name, k.id);
    }
    kek_clear(&k);
    return same;
}

/* Opens the file in the first token without making anything there that lasts. */
static bool examine(struct lineage *l, struct incoming *in)
{
    const struct kw_job find = {.op = do_find, .arg = in, .user = true};
    const struct kw_job check = {.op = do_check, .arg = in, .user = true};
    in->transfer = (struct kw_transfer){l->slot->key, in->blob.bytes, in->blob.len};
    struct kw_rv r = kw_members_run_on(l->members, 0, &find);
    if (kw_ok(r) && !is_for_key(l, in)) {
        return false;
    }
    if (kw_ok(r) && !in->has_key) {
        command_say("slot %s: it has no transport key, so nothing can have been wrapped to it; "
                    "make it with `keyward transport-key %s`",
                    l->slot->name, l->slot->name);
        return false;
    }
    if (!kw_ok(r)) {
        command_say("slot %s: token %s: %s (%s)", l->slot->name, l->slot->tokens[0]->name,
                    command_reason(r), kw_error_name(r.code));
        return false;
    }
    r = kw_members_run_on(l->members, 0, &check);
    if (!kw_ok(r)) {
        command_say("%s: token %s: %s", in->path, l->slot->tokens[0]->name, command_reason(r));
    }
    return kw_ok(r);
}

/* The same key twice would be two versions that differ in nothing. */
static bool is_new(const struct lineage *l, const struct incoming *in)
{
    uint32_t versions[KW_VERSIONS_MAX];
    size_t count = lineage_versions(l, versions);
    for (size_t i = 0; i < count; i++) {
        const struct kw_cmk_entry *e = lineage_any(l, versions[i]);
        if (e != NULL && e->has_canary &&
            memcmp(e->canary, in->found.canary, KW_CANARY_SIZE) == 0) {
            command_say("%s: the key in it is version %u of slot %s (%s); nothing was changed",
                        in->path, versions[i], l->slot->name, kw_state_name(e->version.state));
            return false;
        }
    }
    return true;
}

static bool may_grow(const struct lineage *l)
{
    uint32_t newest = lineage_highest(l);
    if (newest != 0 && !lineage_any(l, newest)->ours) {
        command_say("slot %s: key %s was not made by Keyward and has no versions; make a slot of "
                    "its own for the key",
                    l->slot->name, l->slot->key);
        return false;
    }
    return lineage_is_sound(l) && (newest == 0 || lineage_has_active(l));
}

int verb_import(struct command *c, int argc, char **argv)
{
    const char *names[2];
    struct incoming in = {0};
    struct lineage l;
    bool json = false;
    if (!parse(argc, argv, names, &json)) {
        return USAGE;
    }
    in.path = names[1];
    if (command_slot(c, names[0]) == NULL || !read_file(in.path, &in)) {
        return FAILED;
    }
    bool done = lineage_open(c, names[0], &l) && may_grow(&l) && examine(&l, &in) &&
                lineage_is_of(&l, in.found.type) && is_new(&l, &in) &&
                lineage_import(&l, lineage_highest(&l) + 1,
                               (struct type){in.found.type, in.found.bits}, &in.transfer) &&
                lineage_retire_older(&l, false);
    const struct kw_config_slot *slot = l.slot;
    lineage_close(&l);
    blob_clear(&in.blob);
    return done ? show_slot(c, slot, json) : FAILED;
}
