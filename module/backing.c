#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "connection.h"
#include "log.h"
#include "vendor.h"

enum {
    CONNECT_TRIES = 10,    /* HSM-FACTS rule 10 */
    RETURN_TRIES = 2,
    REACH_TRIES = 3,       /* epochs, */
    INFO_TRIES = 3,        /* and calls in each, */
    INFO_US = 2000,        /* with a pause that grows: an epoch's end ends what other threads do */
    BACKOFF_MS = 50,
    BACKOFF_DOUBLE = 4,    /* times, to 800 ms */
    SLOTS_MOST = 4096      /* of a vendor's module */
};

struct kw_rv kw_backing_new(const struct kw_config_token *config, struct kw_backing **out)
{
    struct kw_backing *b = calloc(1, sizeof *b);
    if (b == NULL || (b->pool = calloc(config->sessions, sizeof *b->pool)) == NULL) {
        free(b);
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for a backing token");
    }
    b->config = config;
    (void)pthread_mutex_init(&b->lock, NULL);
    kw_clock_cond_init(&b->changed);
    *out = b;
    return KW_OK;
}

const struct kw_config_token *kw_backing_config(const struct kw_backing *b)
{
    return b->config;
}

/* Everything that belonged to the connection is gone. Sessions that are leased out are counted off when they come back. */
static void disconnect_locked(struct kw_backing *b)
{
    if (!b->connected) {
        return;
    }
    b->connected = false;
    b->logged_in = false;
    b->open -= b->idle;
    b->idle = 0;
    b->epoch++;
    b->profile = (struct kw_profile){0}; /* another HSM may answer next time */
    kw_recall_clear(&b->recall);
    (void)pthread_cond_broadcast(&b->changed);
}

struct kw_rv kw_connection_claim(struct kw_backing *b, bool inside)
{
    struct timespec until = kw_clock_in(b->config->wait_ms);
    while (b->exclusive) {
        if (inside && !b->connected) {
            return KW_FAIL(CKR_DEVICE_ERROR, "the connection to the backing token was given up meanwhile");
        }
        if (pthread_cond_timedwait(&b->changed, &b->lock, &until) != 0 && b->exclusive) {
            return KW_FAIL(CKR_DEVICE_ERROR, "a connection or login to the backing token does not come to an end");
        }
    }
    b->exclusive = true;
    return KW_OK;
}

void kw_connection_release(struct kw_backing *b)
{
    b->exclusive = false;
    (void)pthread_cond_broadcast(&b->changed);
}

static void set_problem_locked(struct kw_backing *b, const char *sentence)
{
    if (strncmp(b->problem, sentence, sizeof b->problem - 1) != 0) {
        (void)snprintf(b->problem, sizeof b->problem, "%s", sentence);
        if (sentence[0] != '\0') {
            kw_log(KW_LOG_WARNING, "%s", sentence);
        }
    }
}

void kw_backing_problem(struct kw_backing *b, char *out, size_t size)
{
    pthread_mutex_lock(&b->lock);
    (void)snprintf(out, size, "%s", b->problem);
    pthread_mutex_unlock(&b->lock);
}

long kw_backing_rest(struct kw_backing *b)
{
    pthread_mutex_lock(&b->lock);
    long ms = b->connected || b->failures == 0 ? 0 : -kw_clock_since(&b->retry_at);
    pthread_mutex_unlock(&b->lock);
    return ms > 0 ? ms : 0;
}

/* Room for the slots of a module with one, as most have; a few more cost another call. */
enum { SLOTS_FEW = 64 };

/* The slots that have a token, in `few` or in *many, which is to be freed. The list, or NULL with *rv. */
static CK_SLOT_ID *list_slots(const CK_FUNCTION_LIST *f, CK_SLOT_ID few[SLOTS_FEW], CK_SLOT_ID **many, CK_ULONG *count, CK_RV *rv)
{
    CK_ULONG room = SLOTS_FEW;
    CK_SLOT_ID *list = few;
    *many = NULL;
    *count = room;
    memset(few, 0xff, SLOTS_FEW * sizeof *few); /* a module may count more than it gives: none of these is a slot */
    *rv = f->C_GetSlotList(CK_TRUE, list, count);
    if (*rv == CKR_BUFFER_TOO_SMALL) {
        *rv = f->C_GetSlotList(CK_TRUE, NULL, count);
        if (*rv != CKR_OK || *count == 0 || *count > SLOTS_MOST) {
            *rv = CKR_TOKEN_NOT_PRESENT;
            return NULL;
        }
        room = *count;
        list = *many = calloc(room, sizeof *list);
        if (list == NULL) {
            *rv = CKR_HOST_MEMORY;
            return NULL;
        }
        memset(list, 0xff, room * sizeof *list);
        *rv = f->C_GetSlotList(CK_TRUE, list, count);
    }
    *count = *rv != CKR_OK ? 0 : *count < room ? *count : room; /* some say how many there are and give fewer */
    return list;
}

/* Looks for the one token that the URI names. CKR_TOKEN_NOT_PRESENT: none; CKR_TOKEN_NOT_RECOGNIZED: several. */
static CK_RV find_token(const struct kw_backing *b, const CK_FUNCTION_LIST *f, CK_SLOT_ID *slot, CK_TOKEN_INFO *info)
{
    CK_SLOT_ID few[SLOTS_FEW];
    CK_SLOT_ID *many = NULL;
    CK_ULONG count = 0;
    CK_RV rv = CKR_OK;
    unsigned hits = 0;
    const CK_SLOT_ID *list = list_slots(f, few, &many, &count, &rv);
    if (list == NULL) {
        return rv;
    }
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO t;
        memset(&t, 0, sizeof t);
        if (f->C_GetTokenInfo(list[i], &t) == CKR_OK && (t.flags & CKF_TOKEN_INITIALIZED) != 0 &&
            p11_kit_uri_match_token_info(b->config->uri, &t)) {
            hits++;
            *slot = list[i];
            *info = t;
        }
    }
    free(many);
    if (hits > 1) {
        return CKR_TOKEN_NOT_RECOGNIZED;
    }
    return hits == 1 ? CKR_OK : CKR_TOKEN_NOT_PRESENT;
}

/* find_token, with the vendor's module started anew up to ten times when the token is missing (HSM-FACTS rule 10); once when it was missing before, because others may use the module. The caller is
 * inside the vendor and stays so on success; *epoch follows the restarts. */
static CK_RV find_token_stubbornly(struct kw_backing *b, const CK_FUNCTION_LIST **f, unsigned long *epoch,
                                   CK_SLOT_ID *slot, CK_TOKEN_INFO *info)
{
    pthread_mutex_lock(&b->lock);
    const bool first = b->failures == 0;
    const unsigned tries = first ? CONNECT_TRIES : RETURN_TRIES;
    pthread_mutex_unlock(&b->lock);
    for (unsigned i = 1;; i++) {
        CK_RV rv = find_token(b, *f, slot, info);
        if (rv != CKR_TOKEN_NOT_PRESENT) {
            return rv;
        }
        if (i >= tries || !kw_vendor_may_restart(b->vendor, first)) {
            return rv;
        }
        kw_vendor_leave(b->vendor);
        struct kw_rv ended = kw_vendor_end_epoch(b->vendor, *epoch);
        if (kw_ok(ended)) {
            (void)usleep(1000 + kw_clock_jitter(20000));
        }
        struct kw_rv r = kw_vendor_enter(b->vendor, NULL, f, epoch);
        if (!kw_ok(r)) {
            return CKR_CANCEL; /* no longer inside */
        }
        if (!kw_ok(ended)) {
            return CKR_TOKEN_NOT_PRESENT;
        }
    }
}

/* It is left alone for a while. */
static void put_off_locked(struct kw_backing *b)
{
    long ms = BACKOFF_MS << (b->failures < BACKOFF_DOUBLE ? b->failures : BACKOFF_DOUBLE);
    b->failures++;
    b->retry_at = kw_clock_in(ms - (long)kw_clock_jitter((unsigned)ms / 4 + 1));
}

static void note_absent_locked(struct kw_backing *b, CK_RV rv)
{
    char sentence[KW_BACKING_PROBLEM];
    const struct kw_config_token *c = b->config;
    put_off_locked(b);
    (void)snprintf(sentence, sizeof sentence,
                   rv == CKR_TOKEN_NOT_RECOGNIZED
                       ? "token %s: its uri fits more than one token of %s; add serial= to the uri (pkcs11-tool -L)"
                       : "token %s: no such token in %s; compare the uri with `pkcs11-tool --module ... -L`, or bring the "
                         "HSM back",
                   c->name, c->module_path);
    set_problem_locked(b, sentence);
}

/* Whether it is the only name of the token that was found. */
static bool is_single_locked(struct kw_backing *b, CK_SLOT_ID slot)
{
    char sentence[KW_BACKING_PROBLEM];
    char other[KW_CONFIG_NAME_MAX + 1];
    if (kw_vendor_connected(b->vendor, b->config->name, slot, other)) {
        return true;
    }
    put_off_locked(b);
    (void)snprintf(sentence, sizeof sentence, "token %s: it is the same token as [token %s], so slots of both would see each other's keys; keep one of the two sections",
                   b->config->name, other);
    set_problem_locked(b, sentence);
    return false;
}

/* Makes the backing connected, or says why not; *info is what the token says of itself. Nobody else is at it. The caller is inside the vendor;
 * *inside tells whether it still is. */
static struct kw_rv connect_locked(struct kw_backing *b, const CK_FUNCTION_LIST **f, unsigned long *epoch, CK_TOKEN_INFO *info, bool *inside)
{
    struct kw_rv r = KW_OK;
    b->exclusive = true;
    disconnect_locked(b);
    if (b->failures > 0 && !kw_clock_is_past(&b->retry_at)) {
        r = KW_FAIL(CKR_TOKEN_NOT_PRESENT, "the backing token was absent a moment ago");
        goto done;
    }
    CK_SLOT_ID slot = 0;
    pthread_mutex_unlock(&b->lock);
    CK_RV rv = find_token_stubbornly(b, f, epoch, &slot, info);
    kw_pulse_beat(&b->pulse);
    pthread_mutex_lock(&b->lock);
    *inside = rv != CKR_CANCEL;
    if (rv != CKR_OK) {
        note_absent_locked(b, rv);
        r = KW_FAIL(CKR_TOKEN_NOT_PRESENT, "the backing token is not there");
        goto done;
    }
    if (!is_single_locked(b, slot)) {
        r = KW_FAIL(CKR_TOKEN_NOT_PRESENT, "another section of the configuration names this backing token, too");
        goto done;
    }
    b->connected = true;
    b->vendor_epoch = *epoch;
    b->slot = slot;
    b->failures = 0;
    set_problem_locked(b, "");
done:
    kw_connection_release(b);
    return r;
}

/* The vendor's module cannot be loaded or entered. */
static void set_unusable(struct kw_backing *b)
{
    char sentence[KW_BACKING_PROBLEM];
    (void)snprintf(sentence, sizeof sentence, "token %s: %s cannot be used; see the log line before this one", b->config->name,
                   b->config->module_path);
    pthread_mutex_lock(&b->lock);
    set_problem_locked(b, sentence);
    pthread_mutex_unlock(&b->lock);
}

static bool load_vendor(struct kw_backing *b)
{
    struct kw_vendor *vendor = b->vendor;
    if (vendor != NULL) {
        return true;
    }
    if (!kw_ok(kw_vendor_load(b->config->module_path, b->config->init, &vendor))) {
        set_unusable(b);
        return false;
    }
    if (b->config->sessions == 1) {
        kw_vendor_one_at_a_time(vendor, b->config->wait_ms);
    }
    b->vendor = vendor;
    return true;
}

/* Waits while somebody connects or logs in. The caller is not inside the vendor: who connects may have to start the module anew, and that waits
 * until nobody is. */
static struct kw_rv await(struct kw_backing *b, const struct kw_pulse *pulse, const struct timespec *until)
{
    pthread_mutex_lock(&b->lock);
    while (b->exclusive && kw_pulse_wait(pulse, &b->changed, &b->lock, until)) {
    }
    bool over = !b->exclusive;
    pthread_mutex_unlock(&b->lock);
    if (!over && !kw_clock_is_past(until)) {
        return KW_FAIL(CKR_DEVICE_MEMORY, "the backing token hangs while somebody connects");
    }
    return over ? KW_OK : KW_FAIL(CKR_DEVICE_ERROR, "a connection or login to the backing token does not come to an end");
}

/* Enters the vendor's module and connects. On success the caller is inside and the lock is held. *epoch is the vendor's, also of a failure.
 * `pulse`: waits for nobody when it hangs; or NULL. *info is what the token says of itself if it was connected just now; else its flags are left 0. */
static struct kw_rv enter_lock(struct kw_backing *b, const struct kw_pulse *pulse, const CK_FUNCTION_LIST **f, unsigned long *epoch, CK_TOKEN_INFO *info)
{
    struct timespec until = {0};
    bool inside = true;
    if (b->config->problem != NULL) {
        pthread_mutex_lock(&b->lock);
        set_problem_locked(b, b->config->problem);
        pthread_mutex_unlock(&b->lock);
        return KW_FAIL(CKR_TOKEN_NOT_PRESENT, "the configuration of the backing token has a problem");
    }
    if (!load_vendor(b)) {
        return KW_FAIL(CKR_TOKEN_NOT_PRESENT, "the vendor's module cannot be loaded");
    }
    for (;;) {
        struct kw_rv r = kw_vendor_enter(b->vendor, pulse, f, epoch);
        if (r.code == CKR_DEVICE_MEMORY) { /* it is only busy */
            return r;
        }
        if (!kw_ok(r)) {
            set_unusable(b);
            return KW_FAIL(CKR_TOKEN_NOT_PRESENT, "the vendor's module cannot be used");
        }
        pthread_mutex_lock(&b->lock);
        if (b->connected && b->vendor_epoch == *epoch) {
            return KW_OK;
        }
        if (!b->exclusive) {
            break;
        }
        pthread_mutex_unlock(&b->lock);
        kw_vendor_leave(b->vendor);
        until = until.tv_sec == 0 ? kw_clock_in(b->config->wait_ms) : until;
        r = await(b, pulse, &until);
        if (!kw_ok(r)) {
            return r;
        }
    }
    struct kw_rv r = connect_locked(b, f, epoch, info, &inside);
    if (!kw_ok(r)) {
        pthread_mutex_unlock(&b->lock);
        if (inside) {
            kw_vendor_leave(b->vendor);
        }
    }
    return r;
}

/* Ends the vendor's epoch. The caller is not inside any more. */
static void give_up(struct kw_backing *b, unsigned long epoch, const char *why)
{
    struct kw_rv r = kw_vendor_end_epoch(b->vendor, epoch);
    kw_log(KW_LOG_WARNING, "token %s: connection given up: %s%s%s", b->config->name, why, kw_ok(r) ? "" : "; ", kw_ok(r) ? "" : r.why);
}

/* *again: the token was found and then did not answer. */
static struct kw_rv reach_once(struct kw_backing *b, CK_TOKEN_INFO *info, bool *again)
{
    const CK_FUNCTION_LIST *f = NULL;
    unsigned long epoch = 0;
    CK_TOKEN_INFO now = {.flags = 0};
    struct kw_rv r = enter_lock(b, NULL, &f, &epoch, &now);
    if (!kw_ok(r)) {
        return r;
    }
    CK_SLOT_ID slot = b->slot;
    pthread_mutex_unlock(&b->lock);
    CK_RV rv = now.flags != 0 ? CKR_OK : f->C_GetTokenInfo(slot, &now);
    for (useconds_t i = 1; rv != CKR_OK && i < INFO_TRIES; i++) {
        (void)usleep(i * INFO_US);
        rv = f->C_GetTokenInfo(slot, &now);
    }
    pthread_mutex_lock(&b->lock);
    *again = rv != CKR_OK;
    if (rv != CKR_OK) {
        disconnect_locked(b);
        r = KW_FAIL(CKR_TOKEN_NOT_PRESENT, "the backing token does not answer");
    } else if (info != NULL) {
        *info = now;
    }
    pthread_mutex_unlock(&b->lock);
    kw_vendor_leave(b->vendor);
    if (!kw_ok(r)) {
        give_up(b, epoch, "C_GetTokenInfo failed");
    }
    return r;
}

/* A token that has just been found may fail to answer when several processes start at once; a new epoch cures that (HSM-FACTS rule 10). */
struct kw_rv kw_backing_reach(struct kw_backing *b, CK_TOKEN_INFO *info)
{
    struct kw_rv r = KW_OK;
    bool again = true;
    kw_pulse_begin(&b->door);
    for (unsigned i = 0; again && i < REACH_TRIES; i++) {
        if (i > 0) {
            (void)usleep(1000 + kw_clock_jitter(20000));
        }
        again = false;
        r = reach_once(b, info, &again);
        if (r.code != CKR_DEVICE_ERROR && r.code != CKR_DEVICE_MEMORY) { /* it has not only waited */
            kw_pulse_beat(&b->door);
        }
    }
    kw_pulse_end(&b->door);
    if (again) {
        pthread_mutex_lock(&b->lock);
        note_absent_locked(b, CKR_TOKEN_NOT_PRESENT);
        pthread_mutex_unlock(&b->lock);
    }
    return r;
}

/* C_OpenSession. The lock is held; given up meanwhile. */
static CK_RV open_session_locked(struct kw_backing *b, const CK_FUNCTION_LIST *f, CK_SESSION_HANDLE *session)
{
    CK_SLOT_ID slot = b->slot;
    CK_SESSION_HANDLE fresh = CK_INVALID_HANDLE;
    b->open++;
    pthread_mutex_unlock(&b->lock);
    CK_RV rv = f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &fresh);
    if (rv == CKR_TOKEN_WRITE_PROTECTED) {
        rv = f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &fresh);
    }
    kw_pulse_beat(&b->pulse);
    pthread_mutex_lock(&b->lock);
    if (rv == CKR_OK) {
        *session = fresh;
        return rv;
    }
    b->open--;
    (void)pthread_cond_broadcast(&b->changed);
    kw_log(KW_LOG_WARNING, "token %s: C_OpenSession answers %s (0x%lx)", b->config->name, kw_error_name(rv), rv);
    return rv;
}

/* The session that this thread had last: its processor still knows what the vendor keeps of it. */
static _Thread_local CK_SESSION_HANDLE last_session;

/* An idle session, the thread's last one if it is there. The lock is held; there is one. */
static CK_SESSION_HANDLE take_idle_locked(struct kw_backing *b)
{
    unsigned at = b->idle - 1;
    for (unsigned i = 0; i < b->idle; i++) {
        at = b->pool[i] == last_session ? i : at;
    }
    last_session = b->pool[at];
    b->pool[at] = b->pool[--b->idle];
    return last_session;
}

/* A session: an idle one, a new one, or one that somebody gives back within config->wait_ms. A token that gives no more has a limit of its own
 * below ours: then, too, one of those that are open is waited for, but not when the connection is over: its end waits until nobody is inside the
 * vendor. The lock is held; given up meanwhile. */
static struct kw_rv take_in_turn_locked(struct kw_backing *b, struct kw_queue_place *place, const struct kw_pulse *pulse, const CK_FUNCTION_LIST *f,
                                        CK_SESSION_HANDLE *session)
{
    const struct kw_queue_wait wait = {&b->changed, &b->lock, b->config->wait_ms};
    bool full = false;
    for (;;) {
        while (b->connected && (b->draining || kw_queue_has_others(&b->queue, place) ||
                                (b->idle == 0 && (b->open >= b->config->sessions || (full && b->open > 0))))) {
            if (!kw_queue_wait(&b->queue, place, &wait, pulse)) {
                return KW_FAIL(CKR_DEVICE_MEMORY, "every session of the backing token stays busy");
            }
        }
        if (!b->connected) {
            return KW_FAIL(CKR_DEVICE_ERROR, "the connection to the backing token was given up meanwhile");
        }
        if (b->idle > 0) {
            *session = take_idle_locked(b);
            return KW_OK;
        }
        CK_RV rv = open_session_locked(b, f, session);
        if (rv == CKR_OK) {
            return KW_OK;
        }
        if (kw_error_class(rv) != KW_CLASS_CAPACITY) {
            break;
        }
        if (full || b->open == 0) {
            return KW_FAIL(CKR_DEVICE_MEMORY, "the backing token gives no more sessions");
        }
        full = true;
    }
    disconnect_locked(b);
    return KW_FAIL(CKR_DEVICE_ERROR, "the backing token gives no session");
}

static struct kw_rv take_session_locked(struct kw_backing *b, const struct kw_pulse *pulse, const CK_FUNCTION_LIST *f, CK_SESSION_HANDLE *session)
{
    struct kw_queue_place place = {0};
    struct kw_rv r = take_in_turn_locked(b, &place, pulse, f, session);
    kw_queue_leave(&b->queue, &place, &b->changed);
    return r;
}

/* *epoch: the vendor's, in which it was tried. */
static struct kw_rv lease_once(struct kw_backing *b, bool user, const struct kw_pulse *pulse, struct kw_lease *lease, unsigned long *epoch)
{
    const CK_FUNCTION_LIST *f = NULL;
    CK_TOKEN_INFO info;
    struct kw_rv r = enter_lock(b, pulse, &f, epoch, &info);
    if (!kw_ok(r)) {
        return r;
    }
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    const unsigned long began = b->epoch;
    r = take_session_locked(b, pulse, f, &session);
    if (!kw_ok(r)) {
        pthread_mutex_unlock(&b->lock);
        kw_vendor_leave(b->vendor);
        return r;
    }
    *lease = (struct kw_lease){.backing = b, .call = f, .session = session, .epoch = b->epoch, .profile = b->profile, .failure = CKR_OK};
    if (user && b->users == 0) {
        lease->epoch = began; /* the session goes back to the pool if its connection is not over meanwhile */
        r = KW_FAIL(CKR_USER_NOT_LOGGED_IN, "nobody has logged in");
    } else if (user && !b->logged_in) {
        r = kw_login_locked(lease, NULL, true);
        if (kw_error_class(r.code) == KW_CLASS_CREDENTIAL) {
            r = KW_FAIL(CKR_USER_NOT_LOGGED_IN, "the backing token does not take the PIN any more");
        }
    }
    pthread_mutex_unlock(&b->lock);
    if (!kw_ok(r)) {
        kw_backing_return(lease);
    }
    return r;
}

static struct kw_rv lease_stubbornly(struct kw_backing *b, bool user, const struct kw_pulse *pulse, struct kw_lease *lease)
{
    unsigned long epoch = 0;
    struct kw_rv r = lease_once(b, user, pulse, lease, &epoch);
    if (r.code != CKR_DEVICE_ERROR) {
        return r;
    }
    r = kw_vendor_end_epoch(b->vendor, epoch); /* the connection was stale and has been given up; nothing happens if somebody else was quicker */
    return kw_ok(r) ? lease_once(b, user, pulse, lease, &epoch) : r;
}

struct kw_rv kw_backing_lease(struct kw_backing *b, bool user, struct kw_lease *lease)
{
    return lease_stubbornly(b, user, NULL, lease);
}

struct kw_rv kw_backing_lease_while_alive(struct kw_backing *b, bool user, struct kw_lease *lease)
{
    return lease_stubbornly(b, user, &b->pulse, lease);
}

struct kw_pulse *kw_backing_pulse(struct kw_backing *b)
{
    return &b->pulse;
}

struct kw_pulse *kw_backing_door(struct kw_backing *b)
{
    return &b->door;
}

/* A session was lost: those that lie idle are gone with it, or soon would be. Without a session there is no login, and the handles of private
 * objects are dead (HSM-FACTS rule 8). The lock is held; given up meanwhile. */
static void lose_sessions_locked(struct kw_backing *b, const CK_FUNCTION_LIST *f)
{
    while (b->idle > 0) {
        CK_SESSION_HANDLE idle = b->pool[--b->idle];
        pthread_mutex_unlock(&b->lock);
        (void)f->C_CloseSession(idle);
        pthread_mutex_lock(&b->lock);
        b->open--;
    }
    kw_recall_clear(&b->recall); /* session objects went with their sessions */
    if (b->open == 0) {
        b->logged_in = false;
        b->epoch++;
    }
}

void kw_backing_return(struct kw_lease *lease)
{
    struct kw_backing *b = lease->backing;
    enum kw_class class = kw_error_class(lease->failure);
    class = class == KW_CLASS_AMBIGUOUS ? KW_CLASS_DEVICE : class; /* nobody has explained it */
    pthread_mutex_lock(&b->lock);
    unsigned long vendor_epoch = b->vendor_epoch;
    bool current = b->connected && b->epoch == lease->epoch;
    bool keep = current && class != KW_CLASS_SESSION && class != KW_CLASS_DEVICE;
    if (!keep && class != KW_CLASS_DEVICE) {
        pthread_mutex_unlock(&b->lock);
        (void)lease->call->C_CloseSession(lease->session);
        pthread_mutex_lock(&b->lock);
        current = current && b->epoch == lease->epoch;
    }
    if (keep) {
        b->pool[b->idle++] = lease->session;
    } else {
        b->open--;
    }
    if (current && class == KW_CLASS_LOGIN) {
        b->logged_in = false;
    }
    if (current && class == KW_CLASS_SESSION) {
        lose_sessions_locked(b, lease->call);
    }
    if (current && class == KW_CLASS_DEVICE) {
        disconnect_locked(b);
    }
    (void)pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    kw_vendor_leave(b->vendor);
    if (current && class == KW_CLASS_DEVICE) {
        give_up(b, vendor_epoch, kw_error_name(lease->failure));
    }
}

struct kw_rv kw_backing_reconnect(struct kw_backing *b)
{
    pthread_mutex_lock(&b->lock);
    struct kw_vendor *vendor = b->vendor;
    unsigned long epoch = b->vendor_epoch;
    disconnect_locked(b);
    pthread_mutex_unlock(&b->lock);
    return vendor == NULL ? KW_OK : kw_vendor_end_epoch(vendor, epoch);
}

void kw_backing_free(struct kw_backing *b)
{
    if (b == NULL) {
        return;
    }
    const CK_FUNCTION_LIST *f = NULL;
    unsigned long epoch = 0;
    if (b->connected && kw_ok(kw_vendor_enter(b->vendor, NULL, &f, &epoch))) {
        if (epoch == b->vendor_epoch) {
            if (b->logged_in && !b->borrowed && b->idle > 0) {
                (void)f->C_Logout(b->pool[0]);
            }
            for (unsigned i = 0; i < b->idle; i++) {
                (void)f->C_CloseSession(b->pool[i]);
            }
        }
        kw_vendor_leave(b->vendor);
    }
    kw_secret_free(b->pin);
    (void)pthread_mutex_destroy(&b->lock);
    (void)pthread_cond_destroy(&b->changed);
    free(b->pool);
    free(b);
}

void kw_backing_profile(struct kw_backing *b, struct kw_profile *out)
{
    pthread_mutex_lock(&b->lock);
    *out = b->profile;
    pthread_mutex_unlock(&b->lock);
}
