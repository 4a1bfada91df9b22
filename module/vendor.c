#include "vendor.h"

#include <p11-kit/p11-kit.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "openssl.h"
#include "queue.h"
#include "sigpipe.h"

enum { WAIT_MS = 5000, FORK_WAIT_MS = 1000, START_MS = 2000 };

/* Where a backing token is. */
struct place {
    char token[KW_CONFIG_NAME_MAX + 1];
    CK_SLOT_ID slot;
};

struct kw_vendor {
    struct kw_vendor *next;
    char *path;
    char *init;
    CK_FUNCTION_LIST *functions;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned connections; /* backing tokens connected in this epoch: places that are taken */
    struct place places[KW_CONFIG_TOKENS_MAX];
    unsigned inside;     /* calls in the vendor's code */
    bool started;        /* C_Initialize has succeeded in this epoch */
    bool busy;           /* C_Initialize or C_Finalize runs, or a fork is near: nobody enters */
    bool watched;        /* our exit handler stands behind the vendor's own */
    bool foreign;        /* somebody else had initialised it: not ours to finalise */
    bool stuck;          /* a restart waited in vain for a call that does not return, and it is still inside */
    struct kw_queue queue; /* for a turn */
    long turn_ms;        /* one thread at a time is inside, and others wait so long for their turn; 0: any number */
    bool inherited;      /* this process is a fork of the one that initialised it */
    unsigned long epoch; /* counts C_Initialize */
    struct timespec since;
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kw_vendor *registry;
static _Atomic bool no_threads;
static _Atomic(void (*)(void)) exit_hook;

/* Of this thread; in one place, because finding such a place is a call. */
static _Thread_local struct {
    bool loading;                  /* it is in dlopen, and has the registry's lock */
    unsigned inside;               /* how often it is inside some vendor */
    struct kw_sigpipe pipe_before; /* while it is inside */
} mine;

/* Around the vendor's code: the SIGPIPE that it may raise and the errors that it may leave are not for the application. */
static void be_quiet(struct kw_sigpipe *before)
{
    kw_sigpipe_hold(before);
    kw_openssl_errors_hold();
}

static void be_loud(const struct kw_sigpipe *before)
{
    kw_openssl_errors_release();
    kw_sigpipe_release(before);
}

static void init_sync(struct kw_vendor *v)
{
    v->queue = (struct kw_queue){0};
    (void)pthread_mutex_init(&v->lock, NULL);
    kw_clock_cond_init(&v->changed);
}

static void vendor_free(struct kw_vendor *v)
{
    if (v != NULL) {
        free(v->path);
        free(v->init);
        free(v);
    }
}

static struct kw_rv load_locked(const char *path, const char *init, struct kw_vendor **out)
{
    struct kw_vendor *v = calloc(1, sizeof *v);
    struct kw_rv r = KW_FAIL(CKR_HOST_MEMORY, "no memory for a vendor module");
    if (v == NULL || (v->path = strdup(path)) == NULL || (init != NULL && (v->init = strdup(init)) == NULL)) {
        goto done;
    }
    mine.loading = true;
    v->functions = p11_kit_module_load(path, P11_KIT_MODULE_UNMANAGED | P11_KIT_MODULE_CRITICAL);
    mine.loading = false;
    if (v->functions == NULL) {
        const char *why = p11_kit_message();
        kw_log(KW_LOG_ERROR, "the PKCS#11 module %s cannot be loaded (%s); check module-path in keyward.conf", path,
               why == NULL ? "no reason given" : why);
        r = KW_FAIL(CKR_GENERAL_ERROR, "the vendor's module cannot be loaded");
        goto done;
    }
    init_sync(v);
    v->next = registry;
    registry = v;
    *out = v;
    v = NULL;
    r = KW_OK;
done:
    vendor_free(v);
    return r;
}

/* The name of a file that all its names lead to; a copy of `path` where nobody knows. NULL when memory is short: the other names of a module that is
 * loaded would make a second one of it. */
static char *resolve(const char *path)
{
    char *real = realpath(path, NULL);
    return real != NULL || errno == ENOMEM ? real : strdup(path);
}

static struct kw_rv check_not_myself(const char *name)
{
    Dl_info info;
    struct kw_rv r = KW_OK;
    if (dladdr(&registry, &info) == 0 || info.dli_fname == NULL) {
        return r;
    }
    char *own = resolve(info.dli_fname);
    if (own == NULL) {
        r = KW_FAIL(CKR_HOST_MEMORY, "no memory for the name of a vendor module");
    } else if (strcmp(own, name) == 0) {
        kw_log(KW_LOG_ERROR, "%s is Keyward itself; module-path must name the vendor's module", name);
        r = KW_FAIL(CKR_GENERAL_ERROR, "the vendor's module is Keyward itself");
    }
    free(own);
    return r;
}

struct kw_rv kw_vendor_load(const char *path, const char *init, struct kw_vendor **out)
{
    char *name = resolve(path); /* two names of one file are one module */
    if (name == NULL) {
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for the name of a vendor module");
    }
    struct kw_rv r = check_not_myself(name);
    if (!kw_ok(r)) {
        free(name);
        return r;
    }
    pthread_mutex_lock(&registry_lock);
    struct kw_vendor *v = registry;
    while (v != NULL && strcmp(v->path, name) != 0) {
        v = v->next;
    }
    if (v != NULL) {
        *out = v;
    } else {
        r = load_locked(name, init, out);
    }
    pthread_mutex_unlock(&registry_lock);
    free(name);
    return r;
}

/* C_Initialize; nobody else is inside. A module inherited by fork that says it is initialised holds the parent's session and
 * login: it is finalised first (HSM-FACTS section 2, "fork"). */
static CK_RV call_initialize(struct kw_vendor *v, bool inherited, bool *foreign)
{
    CK_FLAGS flags = CKF_OS_LOCKING_OK | (no_threads ? CKF_LIBRARY_CANT_CREATE_OS_THREADS : 0);
    CK_C_INITIALIZE_ARGS args = {NULL, NULL, NULL, NULL, flags, v->init};
    CK_RV rv = v->functions->C_Initialize(&args);
    if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED && inherited && !*foreign) {
        (void)v->functions->C_Finalize(NULL);
        rv = v->functions->C_Initialize(&args);
    }
    *foreign = rv == CKR_CRYPTOKI_ALREADY_INITIALIZED;
    return *foreign ? CKR_OK : rv;
}

static void run_exit_hook(void)
{
    void (*hook)(void) = exit_hook;
    if (hook != NULL) {
        hook();
    }
}

void kw_vendor_on_exit(void (*hook)(void))
{
    exit_hook = hook;
}

bool kw_vendor_is_inside(void)
{
    return mine.inside > 0;
}

/* Called with the lock held and busy false; gives it up while the vendor's code runs. */
static struct kw_rv start_locked(struct kw_vendor *v)
{
    bool inherited = v->inherited;
    bool foreign = v->foreign;
    v->busy = true;
    pthread_mutex_unlock(&v->lock);
    mine.inside++;
    CK_RV rv = call_initialize(v, inherited, &foreign);
    mine.inside--;
    pthread_mutex_lock(&v->lock);
    v->busy = false;
    v->inherited = false;
    if (rv == CKR_OK) {
        v->started = true;
        v->foreign = foreign;
        v->epoch++;
        v->connections = 0;
        v->since = kw_clock_in(0);
        /* Handlers run in the reverse order: ours comes before those that the vendor and its libraries have set up by now. */
        v->watched = v->watched || atexit(run_exit_hook) == 0;
    }
    pthread_cond_broadcast(&v->changed);
    if (rv != CKR_OK) {
        kw_log(KW_LOG_ERROR, "%s: C_Initialize answers %s (0x%lx); check the vendor's own configuration", v->path,
               kw_error_name(rv), rv);
        return KW_FAIL(CKR_DEVICE_ERROR, "the vendor's module cannot be initialised");
    }
    return KW_OK;
}

/* Waits until nobody is inside; false when time runs out. The lock is held, busy is set. */
static bool wait_empty_locked(struct kw_vendor *v, long ms)
{
    struct timespec until = kw_clock_in(ms);
    while (v->inside > 0) {
        if (pthread_cond_timedwait(&v->changed, &v->lock, &until) != 0) {
            return v->inside == 0;
        }
    }
    return true;
}

/* Waits while a restart runs; false when time runs out. The lock is held. */
static bool wait_idle_locked(struct kw_vendor *v, long ms)
{
    struct timespec until = kw_clock_in(ms);
    while (v->busy) {
        if (pthread_cond_timedwait(&v->changed, &v->lock, &until) != 0) {
            return !v->busy;
        }
    }
    return true;
}

void kw_vendor_one_at_a_time(struct kw_vendor *v, long wait_ms)
{
    pthread_mutex_lock(&v->lock);
    v->turn_ms = wait_ms > v->turn_ms ? wait_ms : v->turn_ms;
    pthread_mutex_unlock(&v->lock);
}

/* Waits while a restart runs, and for the caller's turn; the lock is held. */
static struct kw_rv wait_in_queue_locked(struct kw_vendor *v, struct kw_queue_place *place, const struct kw_pulse *pulse)
{
    const struct kw_queue_wait wait = {&v->changed, &v->lock, v->turn_ms};
    for (;;) {
        if (v->busy) {
            if (!wait_idle_locked(v, WAIT_MS)) {
                return KW_FAIL(CKR_DEVICE_ERROR, "the vendor's module is being restarted and does not come back");
            }
        } else if (v->turn_ms > 0 && mine.inside == 0 && (v->inside > 0 || kw_queue_has_others(&v->queue, place))) {
            if (!kw_queue_wait(&v->queue, place, &wait, pulse)) {
                return KW_FAIL(CKR_DEVICE_MEMORY, "the vendor's module is used by one call at a time and stays busy");
            }
        } else {
            return KW_OK;
        }
    }
}

static struct kw_rv wait_turn_locked(struct kw_vendor *v, const struct kw_pulse *pulse)
{
    struct kw_queue_place place = {0};
    struct kw_rv r = wait_in_queue_locked(v, &place, pulse);
    kw_queue_leave(&v->queue, &place, &v->changed);
    return r;
}

struct kw_rv kw_vendor_enter(struct kw_vendor *v, const struct kw_pulse *pulse, const CK_FUNCTION_LIST **functions, unsigned long *epoch)
{
    bool first = mine.inside == 0;
    if (first) {
        be_quiet(&mine.pipe_before);
    }
    pthread_mutex_lock(&v->lock);
    struct kw_rv r = wait_turn_locked(v, pulse);
    if (kw_ok(r) && !v->started) {
        r = start_locked(v);
    }
    if (kw_ok(r)) {
        v->inside++;
        mine.inside++;
        *functions = v->functions;
        *epoch = v->epoch;
    }
    pthread_mutex_unlock(&v->lock);
    if (first && !kw_ok(r)) {
        be_loud(&mine.pipe_before);
    }
    return r;
}

void kw_vendor_leave(struct kw_vendor *v)
{
    pthread_mutex_lock(&v->lock);
    v->inside--;
    mine.inside--;
    v->stuck = v->stuck && v->inside > 0;
    if (v->inside == 0 && (v->busy || v->turn_ms > 0)) {
        pthread_cond_broadcast(&v->changed);
    }
    pthread_mutex_unlock(&v->lock);
    if (mine.inside == 0) {
        be_loud(&mine.pipe_before);
    }
}

struct kw_rv kw_vendor_end_epoch(struct kw_vendor *v, unsigned long epoch)
{
    struct kw_rv r = KW_OK;
    pthread_mutex_lock(&v->lock);
    if (v->epoch != epoch || !v->started || v->busy) {
        goto done;
    }
    v->busy = true;
    if (!wait_empty_locked(v, v->stuck ? 0 : WAIT_MS)) { /* while it waits nobody gets in: once for each call that hangs */
        v->stuck = true;
        r = KW_FAIL(CKR_DEVICE_ERROR, "a call does not return from the vendor's module, which cannot be restarted meanwhile");
    } else {
        v->started = false;
        if (!v->foreign) {
            pthread_mutex_unlock(&v->lock);
            struct kw_sigpipe pipe;
            be_quiet(&pipe);
            mine.inside++;
            (void)v->functions->C_Finalize(NULL);
            mine.inside--;
            be_loud(&pipe);
            pthread_mutex_lock(&v->lock);
        }
    }
    v->busy = false;
    pthread_cond_broadcast(&v->changed);
done:
    pthread_mutex_unlock(&v->lock);
    return r;
}

bool kw_vendor_connected(struct kw_vendor *v, const char *token, CK_SLOT_ID slot, char other[KW_CONFIG_NAME_MAX + 1])
{
    struct place *own = NULL;
    const struct place *twin = NULL;
    pthread_mutex_lock(&v->lock);
    for (unsigned i = 0; i < v->connections; i++) {
        struct place *p = &v->places[i];
        if (strcmp(p->token, token) == 0) {
            own = p;
        } else if (p->slot == slot) {
            twin = p;
        }
    }
    if (twin != NULL) {
        memcpy(other, twin->token, sizeof twin->token);
    } else if (own != NULL || v->connections < KW_CONFIG_TOKENS_MAX) {
        own = own != NULL ? own : &v->places[v->connections++];
        (void)snprintf(own->token, sizeof own->token, "%s", token);
        own->slot = slot;
    }
    pthread_mutex_unlock(&v->lock);
    return twin == NULL;
}

bool kw_vendor_may_restart(struct kw_vendor *v, bool first)
{
    pthread_mutex_lock(&v->lock);
    bool may = v->connections == 0 || (first && kw_clock_since(&v->since) < START_MS);
    pthread_mutex_unlock(&v->lock);
    return may;
}

void kw_vendor_end_all(void)
{
    pthread_mutex_lock(&registry_lock);
    struct kw_vendor *first = registry;
    pthread_mutex_unlock(&registry_lock);
    for (struct kw_vendor *v = first; v != NULL; v = v->next) {
        pthread_mutex_lock(&v->lock);
        unsigned long epoch = v->epoch;
        pthread_mutex_unlock(&v->lock);
        struct kw_rv r = kw_vendor_end_epoch(v, epoch);
        if (!kw_ok(r)) {
            kw_log(KW_LOG_WARNING, "%s: %s", v->path, r.why);
        }
        pthread_mutex_lock(&v->lock);
        v->connections = 0; /* those of the next C_Initialize may have other names */
        pthread_mutex_unlock(&v->lock);
    }
}

void kw_vendor_allow_threads(bool allow)
{
    no_threads = !allow;
}

void kw_vendor_fork_prepare(void)
{
    if (mine.loading) { /* a module that forks while it is loaded: who has the lock cannot wait for it */
        return;
    }
    pthread_mutex_lock(&registry_lock);
    for (struct kw_vendor *v = registry; v != NULL; v = v->next) {
        const struct timespec until = kw_clock_in(FORK_WAIT_MS);
        pthread_mutex_lock(&v->lock);
        if (mine.inside == 0 && wait_idle_locked(v, FORK_WAIT_MS)) {
            v->busy = true;
            (void)wait_empty_locked(v, -kw_clock_since(&until));
            v->busy = false;
            pthread_cond_broadcast(&v->changed);
        }
    }
}

void kw_vendor_fork_parent(void)
{
    if (mine.loading) {
        return;
    }
    for (struct kw_vendor *v = registry; v != NULL; v = v->next) {
        pthread_mutex_unlock(&v->lock);
    }
    pthread_mutex_unlock(&registry_lock);
}

void kw_vendor_fork_child(void)
{
    (void)pthread_mutex_init(&registry_lock, NULL);
    for (struct kw_vendor *v = registry; v != NULL; v = v->next) {
        init_sync(v);
        v->inherited |= v->started; /* the process between may never have entered it */
        v->started = false;
        v->busy = false;
        v->stuck = false;
        v->inside = 0;
    }
    mine.inside = 0;
    mine.loading = false;
}
