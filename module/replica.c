#include "replica.h"

static const struct kw_cmk_entry *find(const struct kw_snapshot *s, uint32_t version)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->entries[i].version.version == version) {
            return &s->entries[i];
        }
    }
    return NULL;
}

static bool is_passing(const struct kw_version *v)
{
    return v->purge == KW_CMK_UNFINISHED || v->state == KW_STATE_PENDING;
}

static enum kw_replica_verdict judge_version(const struct kw_version *mine, const struct kw_version *theirs, const char **why)
{
    if (mine->problem != NULL) {
        *why = "a version that its peers can use is out of service on it";
        return mine->purge == KW_CMK_UNFINISHED ? KW_REPLICA_LAGS : KW_REPLICA_POISONED;
    }
    if (kw_version_differs(mine, theirs)) {
        *why = "a version is another key than on its peers";
        return KW_REPLICA_POISONED;
    }
    if (mine->state < theirs->state) {
        *why = "a version may be used on it that its peers have retired or disabled";
        return KW_REPLICA_LAGS;
    }
    return KW_REPLICA_AGREES;
}

enum kw_replica_verdict kw_replica_judge(const struct kw_snapshot *mine, const struct kw_snapshot *peer, const char **why)
{
    enum kw_replica_verdict worst = KW_REPLICA_AGREES;
    if (peer->problem != NULL) {
        return worst; /* a peer like that is no measure */
    }
    for (size_t i = 0; i < peer->count; i++) {
        const struct kw_version *theirs = &peer->entries[i].version;
        const struct kw_cmk_entry *e = find(mine, theirs->version);
        const char *reason = "a version is missing that its peers have";
        enum kw_replica_verdict v = KW_REPLICA_LAGS;
        if (theirs->problem != NULL || is_passing(theirs)) {
            continue;
        }
        if (e != NULL) {
            v = judge_version(&e->version, theirs, &reason);
        }
        if (v > worst) {
            worst = v;
            *why = reason;
        }
    }
    return worst;
}
