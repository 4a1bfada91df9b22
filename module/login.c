#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "connection.h"
#include "log.h"
#include "pin.h"
#include "refusals.h"
#include "vendor.h"

enum { LOGIN_TRIES = 5 /* HSM-FACTS rule 10 */, KEY_SIZE = 4096 + 128 /* a path and what else names a token */ };

/* The refusals of the token as this section of the configuration means it. */
static struct kw_refusals *refusals_of(const struct kw_config_token *config, const CK_TOKEN_INFO *info)
{
    char key[KEY_SIZE];
    (void)snprintf(key, sizeof key, "%s %.32s %.16s %s", config->name, (const char *)info->label, (const char *)info->serialNumber,
                   config->module_path);
    return kw_refusals_of(key);
}

/* C_Login. The exclusive flag is held, the lock is not. */
static struct kw_rv send_pin(struct kw_lease *lease, const struct kw_secret *pin, bool trusted)
{
    struct kw_backing *b = lease->backing;
    CK_TOKEN_INFO info;
    CK_RV rv = lease->call->C_GetTokenInfo(b->slot, &info);
    if (rv != CKR_OK) {
        return kw_lease_check(lease, rv, "C_GetTokenInfo");
    }
    struct kw_refusals *refusals = refusals_of(b->config, &info);
    if (refusals == NULL) {
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for the refusals of a token");
    }
    struct kw_rv r = kw_refusals_check(refusals, &info, pin);
    if (!kw_ok(r)) {
        return r;
    }
    struct kw_secret *copy = NULL; /* C_Login takes a pointer to non-const; some modules do write there */
    r = kw_secret_dup(kw_secret_peek(pin), kw_secret_len(pin), &copy);
    if (!kw_ok(r)) {
        return r;
    }
    rv = lease->call->C_Login(lease->session, CKU_USER, kw_secret_bytes(copy), kw_secret_len(copy));
    kw_secret_free(copy);
    if (rv == CKR_PIN_INCORRECT && !kw_ok(kw_refusals_add(refusals, pin))) {
        kw_log(KW_LOG_WARNING, "token %s: that this PIN was refused cannot be remembered", b->config->name);
    }
    b->borrowed = rv == CKR_USER_ALREADY_LOGGED_IN;
    if (b->borrowed) {
        /* Somebody else in this process has logged in: no proof of this PIN, but the operator's own source needs none. */
        return trusted ? KW_OK : KW_FAIL(CKR_DEVICE_ERROR, "the application itself has logged in to the backing token");
    }
    return kw_lease_check(lease, rv, "C_Login");
}

struct kw_rv kw_login_locked(struct kw_lease *lease, const struct kw_secret *pin, bool trusted)
{
    struct kw_backing *b = lease->backing;
    struct kw_rv r = kw_connection_claim(b, true);
    if (!kw_ok(r)) {
        return r;
    }
    if (pin == NULL) {
        pin = b->pin;
    }
    if (pin == NULL) {
        r = KW_FAIL(CKR_USER_NOT_LOGGED_IN, "nobody is logged in any more");
        goto done;
    }
    if (b->pin != NULL && !kw_secret_equal(b->pin, kw_secret_peek(pin), kw_secret_len(pin))) {
        r = KW_FAIL(CKR_PIN_INCORRECT, "the backing token is logged in with another PIN");
        goto done;
    }
    if (b->logged_in) {
        goto done;
    }
    struct kw_secret *copy = NULL;
    r = kw_secret_dup(kw_secret_peek(pin), kw_secret_len(pin), &copy);
    if (!kw_ok(r)) {
        goto done;
    }
    pthread_mutex_unlock(&b->lock);
    r = send_pin(lease, copy, trusted);
    pthread_mutex_lock(&b->lock);
    if (kw_ok(r)) {
        b->logged_in = b->epoch == lease->epoch; /* else the connection was given up meanwhile; the PIN is good all the same */
        kw_secret_free(b->pin);
        b->pin = copy;
        copy = NULL;
    }
    kw_secret_free(copy);
done:
    kw_connection_release(b);
    return r;
}

/* Logs in under a lease of its own. *again: the module stumbled as SoftHSM does when several processes start at once; a new epoch cures that
 * (HSM-FACTS rule 10), and neither answer is a refusal of the PIN. */
static struct kw_rv login_once(struct kw_backing *b, const struct kw_secret *pin, bool trusted, bool *again)
{
    struct kw_lease lease;
    *again = false;
    struct kw_rv r = kw_backing_lease(b, false, &lease);
    if (!kw_ok(r)) {
        return r;
    }
    pthread_mutex_lock(&b->lock);
    r = kw_login_locked(&lease, pin, trusted);
    b->users += kw_ok(r);
    pthread_mutex_unlock(&b->lock);
    *again = !kw_ok(r) && (lease.failure == CKR_GENERAL_ERROR || lease.failure == CKR_USER_PIN_NOT_INITIALIZED);
    kw_backing_return(&lease);
    return r;
}

struct kw_rv kw_backing_login(struct kw_backing *b, const struct kw_secret *pin)
{
    struct kw_secret *own = NULL;
    struct kw_rv r = KW_OK;
    if (kw_pin_has_source(b->config) || pin == NULL) {
        r = kw_pin_read(b->config, &own);
        if (kw_ok(r) && pin != NULL && !kw_secret_equal(own, kw_secret_peek(pin), kw_secret_len(pin))) {
            r = KW_FAIL(CKR_PIN_INCORRECT, "the PIN is not the one of the configured source; it was not sent to the token");
        }
        pin = own;
    }
    bool again = kw_ok(r);
    kw_pulse_begin(&b->pulse);
    for (unsigned i = 0; again && i < LOGIN_TRIES; i++) {
        if (i > 0) {
            (void)usleep(1000 + kw_clock_jitter(20000));
        }
        r = login_once(b, pin, own != NULL, &again);
    }
    kw_pulse_end(&b->pulse);
    kw_secret_free(own);
    return r;
}

/* Ends the login of one connection and closes its idle sessions. The caller holds the exclusive flag, not the lock. */
static void end_login(struct kw_backing *b, const CK_SESSION_HANDLE *idle, unsigned count, unsigned long epoch)
{
    const CK_FUNCTION_LIST *f = NULL;
    unsigned long now = 0;
    if (!kw_ok(kw_vendor_enter(b->vendor, NULL, &f, &now))) {
        return;
    }
    if (now == epoch) {
        CK_SESSION_HANDLE own = CK_INVALID_HANDLE;
        CK_SESSION_HANDLE any = count > 0 ? idle[0] : CK_INVALID_HANDLE;
        if (count == 0 && f->C_OpenSession(b->slot, CKF_SERIAL_SESSION, NULL, NULL, &own) == CKR_OK) {
            any = own;
        }
        if (!b->borrowed && any != CK_INVALID_HANDLE) {
            (void)f->C_Logout(any);
        }
        for (unsigned i = 0; i < count; i++) {
            (void)f->C_CloseSession(idle[i]);
        }
        if (own != CK_INVALID_HANDLE) {
            (void)f->C_CloseSession(own);
        }
    }
    kw_vendor_leave(b->vendor);
}

/* Waits until every lease is back. Modules are at their worst when a logout takes the objects away under another thread's call: SoftHSM
 * answers at random or dies, NSS aborts (ATTACKS section 3). */
static void drain_locked(struct kw_backing *b)
{
    struct timespec until = kw_clock_in(b->config->wait_ms);
    b->draining = true;
    while (b->open > b->idle && pthread_cond_timedwait(&b->changed, &b->lock, &until) == 0) {
    }
}

void kw_backing_logout(struct kw_backing *b)
{
    pthread_mutex_lock(&b->lock);
    if (b->users > 1) {
        b->users--;
        pthread_mutex_unlock(&b->lock);
        return;
    }
    drain_locked(b);
    struct kw_rv alone = kw_connection_claim(b, false); /* a login of another slot is over, or begins after this */
    if (b->users > 1 || !kw_ok(alone)) {
        b->users -= b->users > 0;
        goto done;
    }
    bool connected = b->connected;
    unsigned count = b->idle;
    unsigned long epoch = b->vendor_epoch;
    b->users = 0;
    b->logged_in = false;
    kw_secret_free(b->pin);
    b->pin = NULL;
    b->open -= b->idle;
    b->idle = 0;
    b->epoch++; /* private handles are dead after a logout (HSM-FACTS rule 8) */
    kw_recall_clear(&b->recall);
    pthread_mutex_unlock(&b->lock);
    if (connected) {
        end_login(b, b->pool, count, epoch); /* no lease is given while it drains, and none of another epoch comes back to the pool */
    }
    pthread_mutex_lock(&b->lock);
done:
    b->draining = false;
    if (kw_ok(alone)) {
        kw_connection_release(b);
    }
    (void)pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}
