#include "member.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "capability.h"
#include "clock.h"
#include "health.h"
#include "log.h"
#include "pin.h"
#include "pulse.h"
#include "replica.h"

enum {
    HANDLE_TRIES = 8, /* SoftHSM answers handle-invalid on up to 3 % of calls while a key is written */
    HANDLE_US = 1000, /* before the third and each further one, doubled: a tenth of a second in all */
    SESSION_TRIES = 4, /* the session may be gone, then the login, and both once more in the thick of it */
    OTHER_TRIES = 2,
    REST_MS = 250,     /* for a member that may be tried again soon, when none can serve */
    REST_TRIES = 3,    /* in one call; then the next call, too, comes in time (health.c: 50, 100, 200 ms) */
    LAG_MS = 10000,    /* a rotation or another change of the versions is over by then on every token */
    COMPARE_MS = 1000  /* between two looks at the peers of a member that lags */
};

struct member {
    struct kw_backing *backing;
    struct kw_cmk *cmk;
    atomic_bool joined; /* this slot is a user of the backing's login; changed under the lock */
    bool joining;       /* somebody is at it */
    struct kw_health health;
    struct kw_snapshot *seen; /* the versions when it was last compared with its peers */
    bool lags;                /* they were not those of its peers */
    struct timespec lags_since;
};

struct kw_members {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* the health of one */
    bool in;                /* the slot is logged in */
    bool spread;
    atomic_bool troubled; /* a member is not up, or lags: set under the lock, so that without trouble none is taken */
    size_t turn;
    struct timespec compare_at; /* when one lags */
    size_t count;
    struct member list[KW_CONFIG_MEMBERS_MAX];
};

void kw_members_free(struct kw_members *m)
{
    if (m != NULL) {
        for (size_t i = 0; i < m->count; i++) {
            kw_snapshot_put(m->list[i].seen);
            kw_cmk_free(m->list[i].cmk);
        }
        (void)pthread_mutex_destroy(&m->lock);
        (void)pthread_cond_destroy(&m->changed);
        free(m);
    }
}

struct kw_rv kw_members_new(struct kw_backing *const *backings, size_t count, const char *label, struct kw_members **out)
{
    struct kw_members *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for the members of a slot");
    }
    struct kw_rv r = KW_OK;
    (void)pthread_mutex_init(&m->lock, NULL);
    kw_clock_cond_init(&m->changed);
    for (size_t i = 0; kw_ok(r) && i < count; i++) {
        m->list[i].backing = backings[i];
        r = kw_cmk_new(label, &m->list[i].cmk);
        m->count++;
    }
    if (!kw_ok(r)) {
        kw_members_free(m);
        return r;
    }
    *out = m;
    return KW_OK;
}

void kw_members_spread(struct kw_members *m)
{
    m->spread = true;
}

size_t kw_members_count(const struct kw_members *m)
{
    return m->count;
}

struct kw_backing *kw_members_backing(const struct kw_members *m, size_t i)
{
    return m->list[i].backing;
}

/* Whether work that needs the login can be done on the member. One that was away when the slot logged in joins now, if its PIN has a source
 * of its own; while it does, other threads go to the next member. */
static struct kw_rv join(struct kw_members *m, struct member *one, bool *outage)
{
    if (one->joined) {
        return KW_OK;
    }
    pthread_mutex_lock(&m->lock);
    bool in = m->in;
    bool joined = one->joined;
    bool mine = in && !joined && !one->joining && kw_pin_has_source(kw_backing_config(one->backing));
    one->joining = one->joining || mine;
    pthread_mutex_unlock(&m->lock);
    *outage = in;
    if (joined) {
        return KW_OK;
    }
    if (!mine) {
        return in ? KW_FAIL(CKR_TOKEN_NOT_PRESENT, "the backing token is not logged in")
                  : KW_FAIL(CKR_USER_NOT_LOGGED_IN, "nobody has logged in");
    }
    struct kw_rv r = kw_backing_login(one->backing, NULL);
    pthread_mutex_lock(&m->lock);
    one->joining = false;
    in = m->in;
    bool vain = kw_ok(r) && (!in || one->joined); /* the slot was logged out meanwhile, or logged in once more, with this member */
    one->joined = one->joined || (kw_ok(r) && in);
    pthread_mutex_unlock(&m->lock);
    if (vain) {
        kw_backing_logout(one->backing);
    }
    return kw_ok(r) && !in ? KW_FAIL(CKR_USER_NOT_LOGGED_IN, "the slot was logged out") : r;
}

static bool may_repeat(const struct kw_job *job, enum kw_class class, unsigned attempt)
{
    switch (class) {
    case KW_CLASS_HANDLE:
        return attempt + 1 < HANDLE_TRIES;
    case KW_CLASS_LOGIN:
    case KW_CLASS_SESSION:
        return attempt + 1 < SESSION_TRIES;
    case KW_CLASS_DEVICE:
    case KW_CLASS_AMBIGUOUS:
        return attempt + 1 < OTHER_TRIES && !job->once;
    default:
        return false;
    }
}

static bool is_outage(enum kw_class class)
{
    return class == KW_CLASS_DEVICE || class == KW_CLASS_AMBIGUOUS || class == KW_CLASS_SESSION;
}

static const char *name_of(const struct member *one)
{
    return kw_backing_config(one->backing)->name;
}

/* Comparing a member with its peers. */

static void tell_trouble_locked(struct kw_members *m)
{
    bool any = false;
    for (size_t i = 0; i < m->count; i++) {
        any |= m->list[i].lags || m->list[i].health.state != KW_HEALTH_UP;
    }
    atomic_store(&m->troubled, any);
}

/* Whether the member, with these versions, may serve beside its peers; what is wrong with it, or NULL. The lock is held. */
static const char *judge_locked(struct kw_members *m, size_t i, const struct kw_snapshot *s, bool first)
{
    struct member *one = &m->list[i];
    enum kw_replica_verdict worst = KW_REPLICA_AGREES;
    const char *why = NULL;
    for (size_t k = 0; k < m->count; k++) {
        const char *reason = NULL;
        const struct member *peer = &m->list[k];
        if (k == i || peer->seen == NULL || peer->health.state == KW_HEALTH_OUT) {
            continue;
        }
        enum kw_replica_verdict v = kw_replica_judge(s, peer->seen, &reason);
        why = v > worst ? reason : why;
        worst = v > worst ? v : worst;
    }
    if (worst == KW_REPLICA_LAGS && !first) {
        if (!one->lags) {
            one->lags = true;
            one->lags_since = kw_clock_in(0);
        }
        return kw_clock_since(&one->lags_since) < LAG_MS ? NULL : why;
    }
    one->lags = false;
    return why;
}

/* A key that was made elsewhere has no fingerprint before it is proven, and without one nothing can be compared. */
static struct kw_rv prove_adopted(struct kw_lease *lease, struct kw_cmk *cmk, struct kw_snapshot **s)
{
    struct kw_rv r = KW_OK;
    bool any = false;
    for (size_t i = 0; kw_ok(r) && i < (*s)->count; i++) {
        struct kw_cmk_entry *e = &(*s)->entries[i];
        if (!e->version.has_fingerprint && e->version.problem == NULL && e->may_wrap) {
            r = kw_cmk_prove(lease, cmk, e, (struct kw_cmk_use){.wrap = true});
            any = true;
        }
    }
    if (kw_ok(r) && any) {
        kw_snapshot_put(*s);
        *s = NULL;
        r = kw_cmk_get(lease, cmk, true, s);
    }
    return r;
}

/* Compares the member with its peers when its versions were read anew. *why is set, with KW_OK, when it must not serve. */
static struct kw_rv compare(struct kw_members *m, size_t i, struct kw_lease *lease, const char **why)
{
    struct member *one = &m->list[i];
    struct kw_snapshot *s = NULL;
    struct kw_rv r = kw_cmk_get(lease, one->cmk, lease->attempt > 0, &s);
    if (!kw_ok(r)) {
        return r;
    }
    pthread_mutex_lock(&m->lock);
    bool known = one->seen == s && !one->lags && one->health.state == KW_HEALTH_UP;
    pthread_mutex_unlock(&m->lock);
    if (!known) {
        r = prove_adopted(lease, one->cmk, &s);
    }
    if (kw_ok(r) && !known) {
        pthread_mutex_lock(&m->lock);
        *why = judge_locked(m, i, s, one->seen == NULL || one->health.state == KW_HEALTH_OUT);
        struct kw_snapshot *old = one->seen;
        one->seen = s;
        s = old;
        tell_trouble_locked(m);
        pthread_mutex_unlock(&m->lock);
    }
    kw_snapshot_put(s);
    return r;
}

/* One member. */

/* What an attempt on a member came to, beside its answer. */
struct outcome {
    bool ill;         /* the member cannot be used: for its health */
    bool busy;        /* it never began: the member's sessions are all taken, or it hangs */
    bool next;        /* another member may be asked */
    const char *wrong; /* it holds other keys than its peers */
};

static void note(struct kw_members *m, struct member *one, const struct outcome *o)
{
    bool changed = false;
    if (!o->ill && !o->busy && o->wrong == NULL && !atomic_load(&m->troubled)) {
        return;
    }
    long rest = o->ill ? kw_backing_rest(one->backing) : 0;
    pthread_mutex_lock(&m->lock);
    if (o->wrong != NULL) {
        changed = kw_health_poisoned(&one->health, o->wrong);
    } else if (o->busy) {
        one->health.trial = false;
    } else if (o->ill) {
        changed = kw_health_failed(&one->health, rest);
    } else {
        changed = kw_health_served(&one->health);
    }
    if (changed) {
        (void)pthread_cond_broadcast(&m->changed);
    }
    tell_trouble_locked(m);
    pthread_mutex_unlock(&m->lock);
    if (changed && o->wrong != NULL) {
        kw_log(KW_LOG_ERROR, "token %s: out of service for this slot: %s; see `keyward check`", name_of(one), o->wrong);
    } else if (changed && m->count > 1) {
        kw_log(KW_LOG_WARNING, o->ill ? "token %s: down; left alone for a moment, then tried again" : "token %s: serves again", name_of(one));
    }
}

/* The job on one member, mended and repeated as the class of a failure allows. `compared`: only beside peers that hold the same keys. */
static struct kw_rv try_on(struct kw_members *m, size_t i, const struct kw_job *job, bool compared, struct outcome *o)
{
    struct member *one = &m->list[i];
    const bool elsewhere = compared && m->count > 1;
    struct kw_rv r = job->user ? join(m, one, &o->ill) : KW_OK;
    o->next = o->ill;
    if (!kw_ok(r)) {
        return r;
    }
    for (unsigned attempt = 0;; attempt++) {
        struct kw_lease lease;
        bool begun = false; /* the job itself */
        r = elsewhere ? kw_backing_lease_while_alive(one->backing, job->user, &lease) : kw_backing_lease(one->backing, job->user, &lease);
        if (!kw_ok(r)) {
            o->ill = r.code == CKR_TOKEN_NOT_PRESENT || r.code == CKR_DEVICE_ERROR;
            o->busy = r.code == CKR_DEVICE_MEMORY;
            o->next = o->ill || o->busy;
            return r;
        }
        lease.attempt = attempt;
        lease.replicated = m->count > 1;
        r = job->user ? kw_capability_require(&lease) : KW_OK;
        if (kw_ok(r) && elsewhere && job->user) {
            r = compare(m, i, &lease, &o->wrong);
        }
        if (kw_ok(r) && o->wrong == NULL) {
            begun = true;
            r = job->op(&lease, one->cmk, job->arg);
        }
        enum kw_class class = kw_ok(r) ? KW_CLASS_OK : kw_error_class(lease.failure);
        if (kw_ok(r)) {
            lease.failure = CKR_OK;
        }
        kw_backing_return(&lease);
        o->ill = is_outage(class);
        o->next = o->wrong != NULL || (o->ill && !(job->once && begun)); /* what may have been made here is not made elsewhere as well */
        if (o->wrong != NULL || !may_repeat(job, class, attempt)) {
            return r;
        }
        if (class == KW_CLASS_HANDLE && attempt > 0) {
            (void)usleep((useconds_t)HANDLE_US << attempt);
        }
    }
}

/* The same with the token's pulse, which only those who have another one ask for. */
static struct kw_rv run_on(struct kw_members *m, size_t i, const struct kw_job *job, bool compared, struct outcome *o)
{
    if (m->count == 1) {
        return try_on(m, i, job, compared, o);
    }
    struct kw_pulse *pulse = kw_backing_pulse(m->list[i].backing);
    kw_pulse_begin(pulse);
    struct kw_rv r = try_on(m, i, job, compared, o);
    kw_pulse_end(pulse);
    return r;
}

struct kw_rv kw_members_run_on(struct kw_members *m, size_t i, const struct kw_job *job)
{
    struct outcome o = {0};
    return run_on(m, i, job, false, &o);
}

/* All of them. */

/* Bit i: calls hang in member i, and it is left alone for that. Where all hang, none is: there is nobody to ask in their place. */
static unsigned hanging(struct kw_members *m, struct kw_pulse *pulse_of(struct kw_backing *))
{
    unsigned bits = 0;
    bool all = true;
    if (m->count == 1) {
        return 0;
    }
    for (size_t i = 0; i < m->count; i++) {
        bool hangs = kw_pulse_hangs(pulse_of(m->list[i].backing));
        all &= hangs;
        bits |= hangs ? 1u << i : 0;
    }
    if (bits == 0 || all) {
        return 0;
    }
    for (size_t i = 0; i < m->count; i++) {
        bits &= kw_pulse_avoid(pulse_of(m->list[i].backing)) ? ~0u : ~(1u << i);
    }
    return bits;
}

/* The members worth a try, in the order of preference or, when they take turns, from the next one on. */
static size_t choose(struct kw_members *m, const struct kw_job *job, size_t order[KW_CONFIG_MEMBERS_MAX])
{
    size_t n = 0;
    const unsigned left_alone = hanging(m, kw_backing_pulse);
    if (!atomic_load(&m->troubled) && !m->spread) {
        for (size_t i = 0; i < m->count; i++) {
            if ((left_alone & 1u << i) == 0) {
                order[n++] = i;
            }
        }
        return n;
    }
    pthread_mutex_lock(&m->lock);
    size_t first = m->spread && job->anywhere ? m->turn++ : 0;
    for (size_t i = 0; i < m->count; i++) {
        size_t k = (first + i) % m->count;
        if ((left_alone & 1u << k) == 0 && kw_health_take(&m->list[k].health)) {
            order[n++] = k;
        }
    }
    pthread_mutex_unlock(&m->lock);
    return n;
}

/* Gives back the members that were taken for a trial and not needed. */
static void give_back(struct kw_members *m, const size_t *order, size_t n)
{
    if (n > 0 && atomic_load(&m->troubled)) {
        pthread_mutex_lock(&m->lock);
        for (size_t i = 0; i < n; i++) {
            m->list[order[i]].health.trial = false;
        }
        pthread_mutex_unlock(&m->lock);
    }
}

/* Waits until a member may be tried, if that is soon. */
static bool rest(struct kw_members *m, const struct timespec *until)
{
    bool worth = false;
    bool over = false;
    pthread_mutex_lock(&m->lock);
    while (!worth && !over && !kw_clock_is_past(until)) {
        const long left = -kw_clock_since(until) + 1;
        long soonest = left;
        for (size_t i = 0; i < m->count; i++) {
            long ms = kw_pulse_hangs(kw_backing_pulse(m->list[i].backing)) ? -1 : kw_health_rest(&m->list[i].health);
            soonest = ms >= 0 && ms < soonest ? ms : soonest;
        }
        worth = soonest <= 0;
        if (!worth) {
            struct timespec then = kw_clock_in(soonest + 1);
            over = pthread_cond_timedwait(&m->changed, &m->lock, &then) != 0;
            worth = over && soonest < left; /* it is time for one of them */
        }
    }
    pthread_mutex_unlock(&m->lock);
    return worth;
}

static struct kw_rv do_nothing(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    (void)lease;
    (void)cmk;
    (void)arg;
    return KW_OK;
}

/* Looks at the peers of a member that lags: whether it is behind them is known only when they, too, were just read. */
static void look_around(struct kw_members *m)
{
    static const struct kw_job look = {.op = do_nothing, .user = true};
    bool lags = false;
    if (!atomic_load(&m->troubled)) {
        return;
    }
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->count; i++) {
        lags |= m->list[i].lags;
    }
    lags = lags && kw_clock_is_past(&m->compare_at);
    if (lags) {
        m->compare_at = kw_clock_in(COMPARE_MS);
    }
    pthread_mutex_unlock(&m->lock);
    for (size_t i = 0; lags && i < m->count; i++) {
        pthread_mutex_lock(&m->lock);
        const struct member *one = &m->list[i];
        bool take = one->joined && one->health.state == KW_HEALTH_UP && !kw_pulse_hangs(kw_backing_pulse(one->backing));
        pthread_mutex_unlock(&m->lock);
        if (take) {
            struct outcome o = {0};
            struct kw_rv r = run_on(m, i, &look, true, &o);
            (void)r; /* for its health only */
            note(m, &m->list[i], &o);
        }
    }
}

static bool is_absent(const struct kw_job *job, CK_RV code)
{
    return job->homed && (code == CKR_OBJECT_HANDLE_INVALID || code == CKR_KEY_HANDLE_INVALID);
}

/* Members out of service: whatever they hold, it is not used. */
static size_t count_out(struct kw_members *m)
{
    size_t n = 0;
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->count; i++) {
        n += m->list[i].health.state == KW_HEALTH_OUT;
    }
    pthread_mutex_unlock(&m->lock);
    return n;
}

/* The job on one after the other. *next: none of them gave an answer. One whose sessions are all taken counts when no other serves. */
static struct kw_rv run_through(struct kw_members *m, const struct kw_job *job, bool *next)
{
    size_t order[KW_CONFIG_MEMBERS_MAX];
    size_t absent = 0;
    size_t n = choose(m, job, order);
    struct kw_rv r = KW_FAIL(CKR_DEVICE_REMOVED, "no backing token of the slot can be reached");
    struct kw_rv gone = r;
    struct kw_rv busy = KW_OK;
    for (size_t i = 0; i < n; i++) {
        struct outcome o = {0};
        r = run_on(m, order[i], job, true, &o);
        note(m, &m->list[order[i]], &o);
        if (!kw_ok(r) && !o.next && is_absent(job, r.code)) {
            absent++;
            gone = r;
        } else if (o.busy) {
            busy = r;
        } else if (!o.next) {
            give_back(m, order + i + 1, n - i - 1);
            *next = false;
            return r;
        }
    }
    if (!kw_ok(busy)) { /* it is there, and was waited for */
        *next = false;
        return busy;
    }
    *next = absent == 0 || absent + count_out(m) < m->count;
    return gone;
}

struct kw_rv kw_members_run(struct kw_members *m, const struct kw_job *job)
{
    bool next = true;
    look_around(m);
    struct kw_rv r = run_through(m, job, &next);
    if (next) {
        struct timespec until = kw_clock_in(REST_MS);
        for (unsigned i = 1; next && i < REST_TRIES && rest(m, &until); i++) {
            r = run_through(m, job, &next);
        }
    }
    return next ? KW_FAIL(CKR_DEVICE_REMOVED, "no backing token of the slot can be reached") : r;
}

struct kw_rv kw_members_login_on(struct kw_members *m, size_t i, const struct kw_secret *pin)
{
    struct kw_rv r = kw_backing_login(m->list[i].backing, pin);
    if (kw_ok(r)) {
        pthread_mutex_lock(&m->lock);
        bool twice = m->list[i].joined; /* a call that had begun before the slot was logged out was quicker */
        m->list[i].joined = true;
        m->in = true;
        pthread_mutex_unlock(&m->lock);
        if (twice) {
            kw_backing_logout(m->list[i].backing);
        }
    }
    return r;
}

static struct kw_rv login_through(struct kw_members *m, const struct kw_secret *pin)
{
    struct kw_rv first = KW_OK;
    bool any = false;
    const unsigned left_alone = hanging(m, kw_backing_pulse); /* they join when they come back */
    for (size_t i = 0; i < m->count; i++) {
        if ((left_alone & 1u << i) != 0) {
            continue;
        }
        struct kw_rv r = kw_members_login_on(m, i, pin);
        any |= kw_ok(r);
        if (kw_ok(r)) {
            continue;
        }
        if (kw_ok(first) || kw_error_class(first.code) == KW_CLASS_DEVICE) {
            first = r;
        }
        if (!any && kw_error_class(r.code) == KW_CLASS_CREDENTIAL) {
            break; /* the first one that answers decides */
        }
        kw_log(KW_LOG_WARNING, "token %s: not logged in (%s); see `keyward check`", name_of(&m->list[i]), kw_error_name(r.code));
    }
    return any ? KW_OK : first;
}

/* Nothing was reached: whether it is worth another try, after the time for which the token that comes first is left alone. */
static bool rest_backings(struct kw_members *m, unsigned tries)
{
    long soonest = REST_MS + 1;
    for (size_t i = 0; i < m->count; i++) {
        long ms = kw_backing_rest(m->list[i].backing);
        soonest = ms < soonest ? ms : soonest;
    }
    if (tries >= OTHER_TRIES || soonest > REST_MS) {
        return false;
    }
    (void)usleep((useconds_t)(soonest + 1) * 1000);
    return true;
}

/* Compares all that were logged in, so that one which holds other keys is known before the others fail. Twice: the first ones are compared with
 * nobody yet. Nothing is forgiven here as being on its way: who lags is looked at again in a few seconds. */
static void compare_all(struct kw_members *m)
{
    for (int pass = 0; pass < 2; pass++) {
        pthread_mutex_lock(&m->lock);
        for (size_t i = 0; i < m->count; i++) {
            m->list[i].lags = true;
            m->list[i].lags_since = kw_clock_in(-LAG_MS);
        }
        m->compare_at = kw_clock_in(0);
        atomic_store(&m->troubled, true);
        pthread_mutex_unlock(&m->lock);
        look_around(m);
    }
}

struct kw_rv kw_members_login(struct kw_members *m, const struct kw_secret *pin)
{
    struct kw_rv r = login_through(m, pin);
    for (unsigned i = 1; kw_error_class(r.code) == KW_CLASS_DEVICE && rest_backings(m, i); i++) {
        r = login_through(m, pin);
    }
    if (kw_ok(r) && m->count > 1) {
        compare_all(m);
    }
    return r;
}

struct kw_rv kw_members_reach(struct kw_members *m, CK_TOKEN_INFO *info, size_t *member)
{
    struct kw_rv r = KW_FAIL(CKR_TOKEN_NOT_PRESENT, "the slot has no backing token");
    unsigned left_alone = hanging(m, kw_backing_pulse) | hanging(m, kw_backing_door);
    left_alone = left_alone == (1u << m->count) - 1 ? 0 : left_alone;
    for (unsigned tries = 0; tries == 0 || rest_backings(m, tries); tries++) {
        for (size_t i = 0; i < m->count; i++) {
            if ((left_alone & 1u << i) != 0) {
                continue;
            }
            r = kw_backing_reach(m->list[i].backing, info);
            if (kw_ok(r)) {
                *member = i;
                return r;
            }
        }
    }
    return r;
}

void kw_members_logout(struct kw_members *m)
{
    for (size_t i = 0; i < m->count; i++) {
        struct member *one = &m->list[i];
        pthread_mutex_lock(&m->lock);
        m->in = false;
        bool joined = one->joined;
        struct kw_snapshot *seen = one->seen; /* the next login compares anew */
        one->joined = false;
        one->lags = false;
        one->seen = NULL;
        one->health = (struct kw_health){0};
        pthread_mutex_unlock(&m->lock);
        kw_snapshot_put(seen);
        if (joined) {
            kw_backing_logout(one->backing);
        }
    }
}
