/*
 * connection.h: what backing.c (the connection and its sessions), login.c (the login) and lease.c (what is asked under one) share of one backing
 * token. Nobody else includes it.
 *
 * All fields are guarded by `lock`, except `config`, `vendor`, `pulse`, `door`, and `slot` once it is set. Whoever changes the connection or the login holds the
 * exclusive flag for it, so that the lock is free while the vendor's code runs.
 */
#ifndef KW_CONNECTION_H
#define KW_CONNECTION_H

#include <pthread.h>
#include <time.h>

#include "backing.h"
#include "pulse.h"
#include "queue.h"
#include "recall.h"

enum {
    KW_BACKING_PROBLEM = 320 /* bytes of a sentence */
};

struct kw_backing {
    const struct kw_config_token *config;
    _Atomic(struct kw_vendor *) vendor;
    struct kw_pulse pulse;
    struct kw_pulse door; /* of C_GetTokenInfo */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct kw_queue queue;      /* for a session */
    bool connected;
    bool exclusive;             /* somebody connects, logs in or logs out */
    bool draining;              /* a logout waits until every lease is back; no new one is given */
    unsigned long vendor_epoch; /* of the vendor's module, when connected */
    unsigned long epoch;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE *pool; /* config->sessions of them */
    unsigned idle; /* in the pool */
    unsigned open; /* idle and leased */
    unsigned users;
    bool logged_in;
    bool borrowed;           /* the application's own login is used; it is not ours to end */
    struct kw_secret *pin;   /* that worked; while users > 0 */
    struct timespec retry_at;
    unsigned failures;
    char problem[KW_BACKING_PROBLEM];
    struct kw_profile profile;
    struct kw_recall recall; /* of this epoch */
};

/* Makes the caller the only one that connects, logs in or logs out; the lock is held, and given up while waiting. CKR_DEVICE_ERROR after
 * config->wait_ms, and at once when the caller is `inside` the vendor's module (has a lease) and the connection is over: whoever makes the next
 * one waits until nobody is inside. */
KW_MUST_USE struct kw_rv kw_connection_claim(struct kw_backing *b, bool inside);
void kw_connection_release(struct kw_backing *b);

/* Logs the lease's token in with `pin`, or compares with the one that worked; NULL: with the one that worked. `trusted`: the PIN needs no
 * proof by the token. Called with the lock held, given up meanwhile. CKR_PIN_*, CKR_USER_NOT_LOGGED_IN, or the token's failure. */
KW_MUST_USE struct kw_rv kw_login_locked(struct kw_lease *lease, const struct kw_secret *pin, bool trusted);

#endif
