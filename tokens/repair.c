/* keyward repair SLOT: finishes, or takes back, what a lifecycle command left half done. */
#include <stdio.h>

#include "lineage.h"
#include "show.h"
#include "stamp.h"

/* How far a state is from use; the furthest one of all tokens wins, because taking a key away must not be undone by a crash. */
static int restraint(const struct kw_version *v)
{
    switch (v->state) {
    case KW_STATE_ACTIVE:
        return 0;
    case KW_STATE_RETIRED:
        return 1;
    case KW_STATE_DISABLED:
        return 2;
    case KW_STATE_PENDING:
        return 3;
    default:
        return -1; /* out of service: not for repair to judge */
    }
}

struct finding {
    size_t present;    /* tokens that have the version */
    size_t unfinished; /* of those, unfinished */
    bool broken;       /* out of service for another reason */
    size_t purging;    /* of those, pending with a purge that was confirmed and has begun */
    bool pending;      /* one of them waits for its purge */
    size_t lost;       /* of those, RSA without the public half */
    bool halved;       /* in one of those the halves of an RSA version differ */
    const struct kw_version *most; /* the one with the most restraint */
};

static bool examine(struct lineage *l, uint32_t version, struct finding *out)
{
    struct finding f = {0};
    for (size_t i = 0; i < l->slot->token_count; i++) {
        const struct kw_cmk_entry *e = lineage_at(l, i, version);
        if (e == NULL) {
            continue;
        }
        bool agrees = true;
        if (!lineage_agrees(l, i, version, &agrees)) {
            return false;
        }
        f.present++;
        f.halved |= !agrees;
        f.lost += e->version.type == CKK_RSA && e->ours && e->public_handle == CK_INVALID_HANDLE;
        f.purging += e->version.state == KW_STATE_PENDING && e->version.purge == LINEAGE_PURGING;
        f.pending |= e->version.state == KW_STATE_PENDING;
        if (e->version.purge == KW_CMK_UNFINISHED) {
            f.unfinished++;
        } else if (restraint(&e->version) < 0) {
            f.broken = true;
        } else if (f.most == NULL || restraint(&e->version) > restraint(f.most)) {
            f.most = &e->version;
        }
    }
    *out = f;
    return true;
}

/* The state that every token shall show. The newest RSA version is retired only when it was about to become active: its private half was, and
 * the public one not yet. */
static enum kw_state state_for(const struct lineage *l, const struct kw_version *most)
{
    bool halfway = most->type == CKK_RSA && most->origin != KW_ORIGIN_UNKNOWN && most->state == KW_STATE_RETIRED && most->version == lineage_highest(l);
    return halfway ? KW_STATE_ACTIVE : most->state;
}

static struct kw_custody_state change_to(enum kw_state state, uint32_t purge)
{
    return (struct kw_custody_state){.wrap = state == KW_STATE_ACTIVE,
                                     .unwrap = state == KW_STATE_ACTIVE || state == KW_STATE_RETIRED,
                                     .purge = state == KW_STATE_PENDING ? purge : 0};
}

static bool differs(const struct lineage *l, const struct kw_version *from, enum kw_state state)
{
    for (size_t i = 0; i < l->slot->token_count; i++) {
        const struct kw_cmk_entry *e = lineage_at(l, i, from->version);
        if (e != NULL && (e->version.state != state || e->version.purge != from->purge)) {
            return true;
        }
    }
    return false;
}

/* A version of which something is not in every token. An unfinished one was never used; a marked one was being purged. Any other may be all that
 * is left of a key that somebody needs: a token that lacks it can be a new one. */
static bool repair_partial(struct lineage *l, uint32_t version, const struct finding *f)
{
    bool purging = f->purging == f->present; /* everywhere: somebody has asked for it and confirmed it */
    if (f->pending && !purging) {
        command_say("slot %s: version %u is to be deleted, and something of it is missing; `keyward purge %s --version %u` destroys what is left, or "
                    "take the tokens that lack it out of `tokens =`",
                    l->slot->name, version, l->slot->name, version);
        return false;
    }
    if (f->unfinished != f->present && !purging) {
        command_say("slot %s: version %u is missing in %zu of %zu tokens and cannot be copied there; take those tokens out of `tokens =`",
                    l->slot->name, version, l->slot->token_count - f->present, l->slot->token_count);
        return false;
    }
    (void)fprintf(stderr, "version %u: %s, removed\n", version, purging ? "its purge was interrupted" : "it was not finished");
    return lineage_destroy(l, version);
}

static bool repair_version(struct lineage *l, uint32_t version)
{
    struct finding f;
    if (!examine(l, version, &f)) {
        return false;
    }
    if (f.broken) {
        command_say("slot %s: version %u is out of service: %s", l->slot->name, version, lineage_any(l, version)->version.problem);
        return false;
    }
    if (f.present < l->slot->token_count || (f.lost > 0 && f.purging == f.present)) {
        return repair_partial(l, version, &f);
    }
    if (f.unfinished == f.present) {
        /* every token has it, but nobody was told: whether its canary was written everywhere is not known */
        (void)fprintf(stderr, "version %u: it was not finished, removed\n", version);
        return lineage_destroy(l, version);
    }
    if (f.unfinished > 0) {
        (void)fprintf(stderr, "version %u: finished on every token\n", version);
        return lineage_confirm(l, version) && lineage_activate(l, version);
    }
    enum kw_state state = state_for(l, f.most);
    if (f.halved || differs(l, f.most, state)) {
        const struct kw_custody_state to = change_to(state, f.most->purge);
        (void)fprintf(stderr, "version %u: %s on every token\n", version, kw_state_name(state));
        return lineage_change(l, version, &to);
    }
    return true;
}

int verb_repair(struct command *c, int argc, char **argv)
{
    struct show_options o;
    struct lineage l;
    uint32_t versions[KW_VERSIONS_MAX];
    if (!show_parse(argc, argv, "j", &o)) {
        return USAGE;
    }
    bool ok = lineage_open(c, o.slot, &l);
    size_t count = ok ? lineage_versions(&l, versions) : 0;
    for (size_t i = 0; i < count; i++) {
        ok = repair_version(&l, versions[i]) && ok;
    }
    ok = ok && lineage_retire_older(&l, true); /* an interrupted rotation leaves two active versions */
    ok = ok && stamp_ensure(&l, true);
    const struct kw_config_slot *slot = l.slot;
    lineage_close(&l);
    return ok ? show_slot(c, slot, o.json) : FAILED;
}
