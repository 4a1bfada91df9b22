/* keyward delete SLOT, keyward recover SLOT, keyward purge SLOT: a version goes in two steps, and can be had back between them. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lineage.h"
#include "show.h"

enum { DAYS_DEFAULT = 30, DAYS_LEAST = 7 };

/* The version that --version names; says so and gives NULL when there is none. */
static const struct kw_cmk_entry *named(const struct lineage *l, const struct show_options *o)
{
    const struct kw_cmk_entry *e = lineage_any(l, (uint32_t)o->version);
    if (e == NULL) {
        command_say("slot %s: there is no version %ld; `keyward status %s` shows them", l->slot->name, o->version, l->slot->name);
    }
    return e;
}

static bool is_only_usable(const struct lineage *l, uint32_t version)
{
    uint32_t versions[KW_VERSIONS_MAX];
    size_t count = lineage_versions(l, versions);
    for (size_t i = 0; i < count; i++) {
        if (versions[i] != version && lineage_any(l, versions[i])->version.state == KW_STATE_ACTIVE) {
            return false;
        }
    }
    return true;
}

static bool delete_version(struct lineage *l, const struct show_options *o)
{
    const struct kw_cmk_entry *e = named(l, o);
    long days = o->days < 0 ? DAYS_DEFAULT : o->days;
    if (e == NULL || !lineage_is_sound(l)) {
        return false;
    }
    if (e->version.state == KW_STATE_PENDING) {
        command_say("slot %s: version %ld is to be deleted already", l->slot->name, o->version);
        return false;
    }
    const struct kw_custody_state pending = {.purge = lineage_today() + (uint32_t)days};
    return lineage_change(l, (uint32_t)o->version, &pending);
}

static bool recover_version(struct lineage *l, const struct show_options *o)
{
    const struct kw_cmk_entry *e = named(l, o);
    if (e == NULL || !lineage_is_sound(l)) {
        return false;
    }
    if (e->version.state != KW_STATE_PENDING) {
        command_say("slot %s: version %ld is not to be deleted; there is nothing to recover", l->slot->name, o->version);
        return false;
    }
    const struct kw_custody_state usable = lineage_usable(l, (uint32_t)o->version);
    return lineage_change(l, (uint32_t)o->version, &usable);
}

/* Says what will be lost and asks. */
static bool confirmed(const struct lineage *l, const struct kw_cmk_entry *e, bool yes)
{
    (void)fprintf(stderr, "slot %s: version %u, fingerprint %s, will be destroyed in %zu token%s.\n"
                          "Every data key that is wrapped under it, and all data under those, can never be read again.\n",
                  l->slot->name, e->version.version, command_fingerprint(&e->version), l->slot->token_count,
                  l->slot->token_count == 1 ? "" : "s");
    if (yes) {
        return true;
    }
    if (isatty(STDIN_FILENO) == 0) {
        command_say("nobody can be asked here; nothing was changed (--yes goes on without asking)");
        return false;
    }
    (void)fprintf(stderr, "Type the slot's name to go on: ");
    char name[KW_CONFIG_NAME_MAX + 2] = "";
    bool same = fgets(name, sizeof name, stdin) != NULL && strcspn(name, "\n") == strlen(l->slot->name) &&
                strncmp(name, l->slot->name, strlen(l->slot->name)) == 0;
    if (!same) {
        command_say("nothing was changed");
    }
    return same;
}

/* Whether token i shows the version as one that may be purged today, or has lost it already; says why not. */
static bool is_due(const struct lineage *l, size_t i, uint32_t version)
{
    const struct kw_cmk_entry *e = lineage_at(l, i, version);
    const char *token = l->slot->tokens[i]->name;
    if (e == NULL) {
        return true; /* an interrupted purge */
    }
    if (e->version.state != KW_STATE_PENDING) {
        command_say("slot %s: version %u on token %s is %s; `keyward delete %s --version %u` comes first", l->slot->name, version, token,
                    kw_state_name(e->version.state), l->slot->name, version);
        return false;
    }
    if (e->version.purge > lineage_today()) {
        uint32_t days = e->version.purge - lineage_today();
        command_say("slot %s: version %u can be purged in %u day%s, not before; until then `keyward recover` brings it back",
                    l->slot->name, version, days, days == 1 ? "" : "s");
        return false;
    }
    return true;
}

/* Marks the version in every token that has it as one whose purge is confirmed, so that `repair` can tell an interrupted purge from a token that
 * never had the version. Then destroys it. */
static bool destroy(struct lineage *l, uint32_t version)
{
    const struct kw_custody_state purging = {.purge = LINEAGE_PURGING};
    for (size_t i = 0; i < l->slot->token_count; i++) {
        const struct kw_cmk_entry *e = lineage_at(l, i, version);
        if (e != NULL && e->version.purge != LINEAGE_PURGING && !lineage_change_in(l, i, version, &purging)) {
            return false;
        }
    }
    return lineage_destroy(l, version);
}

static bool purge_version(struct lineage *l, const struct show_options *o)
{
    const struct kw_cmk_entry *e = named(l, o);
    if (e == NULL) {
        return false;
    }
    for (size_t i = 0; i < l->slot->token_count; i++) {
        if (!is_due(l, i, (uint32_t)o->version)) {
            return false;
        }
    }
    uint32_t versions[KW_VERSIONS_MAX];
    if (lineage_versions(l, versions) > 1 && versions[0] == (uint32_t)o->version) {
        command_say("slot %s: version %ld is the newest; its number would be used again. Recover it and `keyward rotate %s` first, then delete it",
                    l->slot->name, o->version, l->slot->name);
        return false;
    }
    if (is_only_usable(l, (uint32_t)o->version) && !o->last_version) {
        command_say("slot %s: no other version is active: without version %ld nothing can be wrapped; type --last-version to go on",
                    l->slot->name, o->version);
        return false;
    }
    return confirmed(l, e, o->yes) && destroy(l, (uint32_t)o->version);
}

static int run(struct command *c, int argc, char **argv, const char *options)
{
    struct show_options o;
    struct lineage l;
    bool purge = strchr(options, 'y') != NULL;
    bool remove = strchr(options, 'a') != NULL;
    if (!show_parse(argc, argv, options, &o)) {
        return USAGE;
    }
    if (o.version == 0) {
        command_say("--version N is needed");
        return USAGE;
    }
    if (remove && o.days >= 0 && o.days < DAYS_LEAST) {
        command_say("--after %ld: at least %d days", o.days, DAYS_LEAST);
        return USAGE;
    }
    bool done = lineage_open(c, o.slot, &l);
    if (done) {
        done = remove ? delete_version(&l, &o) : purge ? purge_version(&l, &o) : recover_version(&l, &o);
    }
    const struct kw_config_slot *slot = l.slot;
    lineage_close(&l);
    return done ? show_slot(c, slot, o.json) : FAILED;
}

int verb_delete(struct command *c, int argc, char **argv)
{
    return run(c, argc, argv, "jva");
}

int verb_recover(struct command *c, int argc, char **argv)
{
    return run(c, argc, argv, "jv");
}

int verb_purge(struct command *c, int argc, char **argv)
{
    return run(c, argc, argv, "jvyl");
}
