/*
 * replica.h: whether the tokens behind one slot still hold the same CMK. (DESIGN sections 4 and 7.)
 *
 * Pure: compares what two tokens were last seen to hold, entry by entry. No state, no locks, nothing owned.
 */
#ifndef KW_REPLICA_H
#define KW_REPLICA_H

#include "cmk.h"

/* How far a replica is from its peer. */
enum kw_replica_verdict {
    KW_REPLICA_AGREES,  /* or has more than the peer, or allows less: then the peer is the one to be judged */
    KW_REPLICA_LAGS,    /* a version less, or one that allows more than the peer's: so it is for a moment while somebody changes them */
    KW_REPLICA_POISONED /* another key, or one that may not serve where the peer's may */
};

/* Judges `mine` by `peer`. *why: static, set unless KW_REPLICA_AGREES, says what is wrong with `mine`. Versions that are unfinished or wait for
 * their deletion do not count. */
enum kw_replica_verdict kw_replica_judge(const struct kw_snapshot *mine, const struct kw_snapshot *peer, const char **why);

#endif
