/*
 * member.h: the backing tokens behind one slot, in order of preference, and how work is retried on them.
 *
 * A job is an operation under a lease of one member. Stale handles, lost sessions and lost logins are mended below the caller; an outage
 * moves on to the next member; a refusal is an answer and never moves on (DESIGN section 7). A member that fails is left alone for a while
 * (health.h); one that holds other keys than its peers is out of service (replica.h). Owns the kw_cmk of each member, borrows the
 * backings. One mutex for who is logged in and how the members are, never held across a vendor call; under it only the clock is asked.
 */
#ifndef KW_MEMBER_H
#define KW_MEMBER_H

#include "cmk.h"

struct kw_members;

/* The members of a slot; `backings` and `label` are borrowed for the life of *out. */
KW_MUST_USE struct kw_rv kw_members_new(struct kw_backing *const *backings, size_t count, const char *label,
                                        struct kw_members **out);
/* The members take turns with work that can be done anywhere. Before the first job. */
void kw_members_spread(struct kw_members *m);
void kw_members_free(struct kw_members *m);

typedef struct kw_rv kw_member_op(struct kw_lease *lease, struct kw_cmk *cmk, void *arg);

struct kw_job {
    kw_member_op *op; /* an error with lease->failure CKR_OK is its answer; otherwise the failure decides what happens next */
    void *arg;
    bool user;        /* needs the login */
    bool once;        /* makes a token object: not repeated when it may have been done */
    bool anywhere;    /* it is the same on each member: they may take turns */
    bool homed;       /* about a data key that lives in one member: one that does not have it is no answer */
};

/* Runs the job on the first member that can. CKR_DEVICE_REMOVED when none can be reached: after a quarter of a second at most in which one that was
 * lost a moment ago is waited for. */
KW_MUST_USE struct kw_rv kw_members_run(struct kw_members *m, const struct kw_job *job);

/* Reaches the first member that can be reached, without a login: what it says of itself and which one it is. CKR_TOKEN_NOT_PRESENT. */
KW_MUST_USE struct kw_rv kw_members_reach(struct kw_members *m, CK_TOKEN_INFO *info, size_t *member);

/* Logs in to the members: `pin`, or each one's own source when NULL. Done when one of them took it; the first one that answers decides about
 * a refusal. Then work with job->user is possible until kw_members_logout. */
KW_MUST_USE struct kw_rv kw_members_login(struct kw_members *m, const struct kw_secret *pin);
/* The same on member i only. */
KW_MUST_USE struct kw_rv kw_members_login_on(struct kw_members *m, size_t i, const struct kw_secret *pin);
void kw_members_logout(struct kw_members *m);

/* Member i, borrowed; for the command, which visits each. */
size_t kw_members_count(const struct kw_members *m);
struct kw_backing *kw_members_backing(const struct kw_members *m, size_t i);
/* The job on member i only, whatever is known of it. */
KW_MUST_USE struct kw_rv kw_members_run_on(struct kw_members *m, size_t i, const struct kw_job *job);

#endif
