#include "library.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attrs.h"
#include "clock.h"
#include "log.h"
#include "openssl.h"
#include "refusals.h"
#include "secret.h"
#include "session.h"
#include "slot.h"
#include "vendor.h"

enum { FINALIZE_WAIT_MS = 10000, EXIT_WAIT_MS = 2000, FORK_WAIT_MS = 1000, LOCK_STEP_US = 500 };

enum state { OFF, STARTING, ON, STOPPING };

/* All of this, and the face's tables. */
static pthread_mutex_t face_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t state_changed;
static pthread_cond_t face_changed_cond;
static enum state state;
static unsigned inside;
static struct kw_library *library;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local bool fork_holds; /* this thread forks, and has the lock */

void kw_face_lock(void)
{
    pthread_mutex_lock(&face_lock);
}

void kw_face_unlock(void)
{
    pthread_mutex_unlock(&face_lock);
}

/* A handler of SIGSEGV may exit or fork while its own thread holds the lock: when a bad pointer of the caller was written to. That is not
 * waited for without end. */
static bool lock_for_a_while(long ms)
{
    const struct timespec until = kw_clock_in(ms);
    while (pthread_mutex_trylock(&face_lock) != 0) { /* ThreadSanitizer does not know pthread_mutex_clocklock */
        if (kw_clock_is_past(&until)) {
            return false;
        }
        (void)usleep(LOCK_STEP_US);
    }
    return true;
}

/* The vendors first: who is inside one may need the face's lock to get out. */
static void fork_prepare(void)
{
    kw_vendor_fork_prepare();
    fork_holds = lock_for_a_while(FORK_WAIT_MS);
}

static void fork_parent(void)
{
    if (fork_holds) {
        kw_face_unlock();
    }
    kw_vendor_fork_parent();
}

/* The child starts from nothing: what the parent had is left where it is, unread; its secrets are zero pages here. */
static void fork_child(void)
{
    kw_vendor_fork_child();
    kw_secret_forked();
    kw_refusals_forked();
    kw_openssl_forked();
    kw_log_forked();
    (void)pthread_mutex_init(&face_lock, NULL);
    kw_clock_cond_init(&state_changed);
    kw_clock_cond_init(&face_changed_cond);
    state = OFF;
    inside = 0;
    library = NULL;
}

/* The process exits without C_Finalize: from here on nothing is served, because the vendors' modules end next. What other threads are doing
 * is waited for. Nothing is freed; the kernel does that. */
static void exit_now(void)
{
    if (!lock_for_a_while(EXIT_WAIT_MS)) {
        return;
    }
    if (state == ON) {
        struct timespec until = kw_clock_in(EXIT_WAIT_MS);
        state = STOPPING;
        while (inside > 0 && !kw_vendor_is_inside() &&
               pthread_cond_timedwait(&state_changed, &face_lock, &until) == 0) {
        }
    }
    kw_face_unlock();
}

/* Once, before anything else. */
static void prepare_process(void)
{
    kw_clock_cond_init(&state_changed);
    kw_clock_cond_init(&face_changed_cond);
    kw_vendor_on_exit(exit_now);
    (void)pthread_atfork(fork_prepare, fork_parent, fork_child);
}

struct kw_library *kw_library(void)
{
    return library;
}

bool kw_face_wait(const struct timespec *until)
{
    return pthread_cond_timedwait(&face_changed_cond, &face_lock, until) == 0;
}

void kw_face_changed(void)
{
    (void)pthread_cond_broadcast(&face_changed_cond);
}

struct kw_rv kw_library_enter_locked(void)
{
    if (state != ON) {
        return KW_FAIL(CKR_CRYPTOKI_NOT_INITIALIZED, "C_Initialize has not been called in this process");
    }
    inside++;
    return KW_OK;
}

void kw_library_leave_locked(void)
{
    if (--inside == 0 && state == STOPPING) {
        (void)pthread_cond_broadcast(&state_changed);
    }
}

struct kw_rv kw_library_enter(void)
{
    kw_face_lock();
    struct kw_rv r = kw_library_enter_locked();
    kw_face_unlock();
    return r;
}

void kw_library_leave(void)
{
    kw_face_lock();
    kw_library_leave_locked();
    kw_face_unlock();
}

/* pReserved: NULL or "config=PATH". access(2) tells a pointer that cannot be read (EFAULT) without following it here. */
static struct kw_rv read_reserved(const void *reserved, const char **path)
{
    static const char prefix[] = "config=";
    *path = NULL;
    if (reserved == NULL) {
        return KW_OK;
    }
    if ((access(reserved, F_OK) != 0 && errno == EFAULT) || strncmp(reserved, prefix, sizeof prefix - 1) != 0) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "pReserved is neither NULL nor config=PATH");
    }
    *path = (const char *)reserved + sizeof prefix - 1;
    return KW_OK;
}

/* PKCS#11 3.2 section 5.4, C_Initialize: the four cases of locking. We lock with the system's mutexes only. */
static struct kw_rv read_args(const CK_C_INITIALIZE_ARGS *args, const char **path)
{
    *path = NULL;
    if (args == NULL) {
        kw_vendor_allow_threads(true);
        return KW_OK;
    }
    const CK_C_INITIALIZE_ARGS a = *args;
    int given = (a.CreateMutex != NULL) + (a.DestroyMutex != NULL) + (a.LockMutex != NULL) + (a.UnlockMutex != NULL);
    if (given != 0 && given != 4) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "some mutex callbacks are given and some are not");
    }
    if (given == 4 && (a.flags & CKF_OS_LOCKING_OK) == 0) {
        return KW_FAIL(CKR_CANT_LOCK, "only the mutex callbacks may be used, and this module locks with the system's");
    }
    kw_vendor_allow_threads((a.flags & CKF_LIBRARY_CANT_CREATE_OS_THREADS) == 0);
    return read_reserved(a.pReserved, path);
}

static void report(void *data, const char *sentence)
{
    (void)data;
    kw_log(KW_LOG_ERROR, "%s", sentence);
}

static void library_free(struct kw_library *l)
{
    if (l != NULL) {
        kw_session_end_all(l);
        kw_engine_close(l->engine);
        kw_handles_clear(&l->sessions);
        kw_handles_clear(&l->objects);
        kw_slots_free(l->slots);
        kw_config_free(l->config);
        free(l);
    }
}

static struct kw_rv library_new(const char *path, struct kw_library **out)
{
    struct kw_library *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for the library");
    }
    kw_handles_init(&l->sessions, KW_HANDLE_SESSION);
    kw_handles_init(&l->objects, KW_HANDLE_OBJECT);
    struct kw_rv r = kw_config_load(path, report, NULL, &l->config);
    if (kw_ok(r)) {
        struct kw_rv log = kw_log_open(l->config->log);
        (void)log; /* a sink that cannot be opened says so itself, and lines go to syslog */
    }
    if (kw_ok(r)) {
        r = kw_engine_open(l->config, &l->engine);
    }
    if (kw_ok(r)) {
        r = kw_slots_new(l->config, &l->slots);
    }
    if (!kw_ok(r)) {
        library_free(l);
        return r;
    }
    *out = l;
    return KW_OK;
}

struct kw_rv kw_library_initialize(const void *args)
{
    const char *path = NULL;
    struct kw_library *l = NULL;
    struct kw_rv r = KW_OK;
    (void)pthread_once(&once, prepare_process);
    kw_face_lock();
    bool free_to_start = state == OFF;
    if (free_to_start) {
        state = STARTING;
    }
    kw_face_unlock();
    if (!free_to_start) {
        return KW_FAIL(CKR_CRYPTOKI_ALREADY_INITIALIZED, "C_Initialize has been called before");
    }
    r = kw_log_open(NULL);
    r = read_args(args, &path);
    if (kw_ok(r)) {
        r = library_new(path, &l);
    }
    kw_face_lock();
    library = l;
    state = kw_ok(r) ? ON : OFF;
    kw_face_unlock();
    return r;
}

struct kw_rv kw_library_finalize(const void *reserved)
{
    struct kw_rv r = KW_OK;
    struct kw_library *l = NULL;
    kw_face_lock();
    if (state != ON) {
        r = KW_FAIL(CKR_CRYPTOKI_NOT_INITIALIZED, "C_Initialize has not been called in this process");
    } else if (reserved != NULL) {
        r = KW_FAIL(CKR_ARGUMENTS_BAD, "pReserved of C_Finalize is not NULL");
    } else {
        struct timespec until = kw_clock_in(FINALIZE_WAIT_MS);
        state = STOPPING;
        while (inside > 0 && pthread_cond_timedwait(&state_changed, &face_lock, &until) == 0) {
        }
        if (inside > 0) {
            state = ON;
            r = KW_FAIL(CKR_FUNCTION_FAILED, "calls of other threads do not return");
        } else {
            l = library;
        }
    }
    kw_face_unlock();
    if (!kw_ok(r)) {
        return r;
    }
    library_free(l);
    kw_log_close();
    kw_face_lock();
    library = NULL;
    state = OFF;
    kw_face_unlock();
    return KW_OK;
}

struct kw_rv kw_library_info(CK_INFO *info)
{
    if (info == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the information");
    }
    CK_INFO i = {.cryptokiVersion = {2, 40}, .libraryVersion = {KW_VERSION_MAJOR, KW_VERSION_MINOR}};
    kw_pad(i.manufacturerID, sizeof i.manufacturerID, "Keyward");
    kw_pad(i.libraryDescription, sizeof i.libraryDescription, "Keyward customer-managed keys");
    *info = i;
    return KW_OK;
}
