#include "member.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "capability.h"
#include "log.h"
#include "pin.h"

enum {
    HANDLE_TRIES = 8, /* SoftHSM answers handle-invalid on up to 3 % of calls while a key is written */
    HANDLE_US = 1000, /* before the third and each further one, doubled: a tenth of a second in all */
    OTHER_TRIES = 2
};

struct member {
    struct kw_backing *backing;
    struct kw_cmk *cmk;
    atomic_bool joined; /* this slot is a user of the backing's login; changed under the lock */
    bool joining;       /* somebody is at it */
};

struct kw_members {
    pthread_mutex_t lock;
    bool in; /* the slot is logged in */
    size_t count;
    struct member list[KW_CONFIG_MEMBERS_MAX];
};

void kw_members_free(struct kw_members *m)
{
    if (m != NULL) {
        for (size_t i = 0; i < m->count; i++) {
            kw_cmk_free(m->list[i].cmk);
        }
        (void)pthread_mutex_destroy(&m->lock);
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
    one->joined = kw_ok(r) && m->in;
    bool late = kw_ok(r) && !m->in; /* the slot was logged out meanwhile */
    pthread_mutex_unlock(&m->lock);
    if (late) {
        kw_backing_logout(one->backing);
        r = KW_FAIL(CKR_USER_NOT_LOGGED_IN, "the slot was logged out");
    }
    return r;
}

static bool may_repeat(const struct kw_job *job, enum kw_class class, unsigned attempt)
{
    switch (class) {
    case KW_CLASS_HANDLE:
        return attempt + 1 < HANDLE_TRIES;
    case KW_CLASS_LOGIN:
    case KW_CLASS_SESSION:
        return attempt + 1 < OTHER_TRIES;
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

static struct kw_rv run_on(struct kw_members *m, struct member *one, const struct kw_job *job, bool *outage)
{
    struct kw_rv r = job->user ? join(m, one, outage) : KW_OK;
    if (!kw_ok(r)) {
        return r;
    }
    for (unsigned attempt = 0;; attempt++) {
        struct kw_lease lease;
        r = kw_backing_lease(one->backing, job->user, &lease);
        if (!kw_ok(r)) {
            *outage = r.code == CKR_TOKEN_NOT_PRESENT || r.code == CKR_DEVICE_ERROR;
            return r;
        }
        lease.attempt = attempt;
        r = job->user ? kw_capability_require(&lease) : KW_OK;
        if (kw_ok(r)) {
            r = job->op(&lease, one->cmk, job->arg);
        }
        enum kw_class class = kw_ok(r) ? KW_CLASS_OK : kw_error_class(lease.failure);
        if (kw_ok(r)) {
            lease.failure = CKR_OK;
        }
        kw_backing_return(&lease);
        *outage = is_outage(class) && !job->once; /* what may have been made here is not made elsewhere as well */
        if (!may_repeat(job, class, attempt)) {
            return r;
        }
        if (class == KW_CLASS_HANDLE && attempt > 0) {
            (void)usleep((useconds_t)HANDLE_US << attempt);
        }
    }
}

struct kw_rv kw_members_run_on(struct kw_members *m, size_t i, const struct kw_job *job)
{
    bool outage = false;
    return run_on(m, &m->list[i], job, &outage);
}

struct kw_rv kw_members_run(struct kw_members *m, const struct kw_job *job)
{
    struct kw_rv r = KW_FAIL(CKR_DEVICE_REMOVED, "the slot has no backing token");
    for (size_t i = 0; i < m->count; i++) {
        bool outage = false;
        r = run_on(m, &m->list[i], job, &outage);
        if (!outage) {
            return r;
        }
    }
    return KW_FAIL(CKR_DEVICE_REMOVED, "no backing token of the slot can be reached");
}

struct kw_rv kw_members_login_on(struct kw_members *m, size_t i, const struct kw_secret *pin)
{
    struct kw_rv r = kw_backing_login(m->list[i].backing, pin);
    if (kw_ok(r)) {
        pthread_mutex_lock(&m->lock);
        m->list[i].joined = true;
        m->in = true;
        pthread_mutex_unlock(&m->lock);
    }
    return r;
}

struct kw_rv kw_members_login(struct kw_members *m, const struct kw_secret *pin)
{
    struct kw_rv first = KW_OK;
    bool any = false;
    for (size_t i = 0; i < m->count; i++) {
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
        kw_log(KW_LOG_WARNING, "token %s: not logged in (%s); see `keyward check`",
               kw_backing_config(m->list[i].backing)->name, kw_error_name(r.code));
    }
    return any ? KW_OK : first;
}

void kw_members_logout(struct kw_members *m)
{
    for (size_t i = 0; i < m->count; i++) {
        pthread_mutex_lock(&m->lock);
        m->in = false;
        bool joined = m->list[i].joined;
        m->list[i].joined = false;
        pthread_mutex_unlock(&m->lock);
        if (joined) {
            kw_backing_logout(m->list[i].backing);
        }
    }
}
