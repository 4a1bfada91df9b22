#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "library.h"
#include "object.h"
#include "slot.h"

#ifndef CKF_FIND_OBJECTS
#define CKF_FIND_OBJECTS 0x00000040UL /* PKCS#11 3.0, C_SessionCancel */
#endif

enum {
    PIN_MOST = 255,
    SESSIONS_MOST = 65536, /* of a slot */
    RANDOM_MOST = KW_SECRET_MAX,
    RANDOM_STEP = 64 * 1024,
    BUSY_WAIT_MS = 10000,
    MAKERS_WAIT_MS = 5000
};

static struct kw_rv get_locked(CK_SESSION_HANDLE handle, struct kw_session **out)
{
    struct kw_session *s = kw_handles_get(&kw_library()->sessions, handle);
    if (s == NULL) {
        return KW_FAIL(CKR_SESSION_HANDLE_INVALID, "there is no such session");
    }
    s->references++;
    *out = s;
    return KW_OK;
}

struct kw_rv kw_session_enter_locked(CK_SESSION_HANDLE handle, struct kw_session **out)
{
    struct kw_rv r = kw_library_enter_locked();
    if (kw_ok(r)) {
        r = get_locked(handle, out);
        if (!kw_ok(r)) {
            kw_library_leave_locked();
        }
    }
    return r;
}

struct kw_rv kw_session_enter(CK_SESSION_HANDLE handle, struct kw_session **out)
{
    kw_face_lock();
    struct kw_rv r = kw_session_enter_locked(handle, out);
    kw_face_unlock();
    return r;
}

static void put_locked(struct kw_session *s)
{
    if (--s->references == 0) {
        kw_session_end_find_locked(s);
        free(s);
    }
}

void kw_session_leave_locked(struct kw_session *s)
{
    put_locked(s);
    kw_library_leave_locked();
}

void kw_session_leave(struct kw_session *s)
{
    kw_face_lock();
    kw_session_leave_locked(s);
    kw_face_unlock();
}

void kw_session_end_find_locked(struct kw_session *s)
{
    free(s->found);
    s->found = NULL;
    s->found_count = 0;
    s->found_next = 0;
    s->finding = false;
}

struct kw_rv kw_session_begin_making(struct kw_session *s, bool persistent)
{
    if (persistent && !s->rw) {
        return KW_FAIL(CKR_SESSION_READ_ONLY, "a token object needs a read/write session");
    }
    kw_face_lock();
    bool in = s->slot->logged_in;
    s->slot->makers += in && persistent;
    kw_face_unlock();
    return in ? KW_OK : KW_FAIL(CKR_USER_NOT_LOGGED_IN, "nothing is served before C_Login");
}

void kw_session_end_making(struct kw_session *s, bool persistent)
{
    if (persistent) {
        kw_face_lock();
        if (--s->slot->makers == 0) {
            kw_face_changed();
        }
        kw_face_unlock();
    }
}

/* Makes the caller the only one that changes the slot's login. The lock is held, and given up while waiting. */
static struct kw_rv begin_busy_locked(struct kw_slot *slot)
{
    const struct timespec until = kw_clock_in(BUSY_WAIT_MS);
    while (slot->busy) {
        if (!kw_face_wait(&until) && slot->busy) {
            return KW_FAIL(CKR_FUNCTION_FAILED, "a login or logout of another thread does not come to an end");
        }
    }
    slot->busy = true;
    return KW_OK;
}

static void end_busy_locked(struct kw_slot *slot)
{
    slot->busy = false;
    kw_face_changed();
}

struct kw_rv kw_session_open(CK_SLOT_ID id, CK_FLAGS flags, CK_SESSION_HANDLE *out)
{
    struct kw_library *l = kw_library();
    struct kw_slot *slot = NULL;
    struct kw_engine_token token;
    if (out == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the session handle");
    }
    struct kw_rv r = kw_slot_find(id, &slot);
    if (!kw_ok(r)) {
        return r;
    }
    if ((flags & CKF_SERIAL_SESSION) == 0) {
        return KW_FAIL(CKR_SESSION_PARALLEL_NOT_SUPPORTED, "CKF_SERIAL_SESSION must be set");
    }
    r = kw_engine_reach(l->engine, slot->index, &token);
    if (!kw_ok(r)) {
        return r;
    }
    if ((flags & CKF_RW_SESSION) != 0 && token.write_protected) {
        return KW_FAIL(CKR_TOKEN_WRITE_PROTECTED, "the backing token is write protected");
    }
    struct kw_session *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for a session");
    }
    s->references = 1;
    s->slot = slot;
    s->rw = (flags & CKF_RW_SESSION) != 0;
    kw_face_lock();
    r = slot->sessions < SESSIONS_MOST ? kw_handles_add(&l->sessions, s, &s->handle)
                                       : KW_FAIL(CKR_SESSION_COUNT, "the slot has too many sessions");
    if (kw_ok(r)) {
        slot->sessions++;
        slot->rw_sessions += s->rw;
        *out = s->handle;
    }
    kw_face_unlock();
    if (!kw_ok(r)) {
        free(s);
    }
    return r;
}

/* Ends the session's handle and counts it off; its objects are handed to *gone. The lock is held. */
static void detach_locked(struct kw_session *s, struct kw_object **gone)
{
    struct kw_library *l = kw_library();
    s->closed = true;
    kw_handles_remove(&l->sessions, s->handle);
    s->slot->sessions--;
    s->slot->rw_sessions -= s->rw;
    kw_session_end_find_locked(s);
    kw_object_detach_session_locked(s, gone);
}

/* Logs the slot out. busy is ours, the lock is held, and given up meanwhile. */
static void log_out_locked(struct kw_slot *slot)
{
    struct kw_object *gone = NULL;
    if (!slot->logged_in) {
        return;
    }
    slot->logged_in = false;
    kw_object_detach_all_locked(slot, &gone);
    const struct timespec until = kw_clock_in(MAKERS_WAIT_MS);
    while (slot->makers > 0 && kw_face_wait(&until)) {
    }
    kw_face_unlock();
    kw_objects_end(gone);
    kw_engine_logout(kw_library()->engine, slot->index);
    kw_face_lock();
}

/* Closes sessions of a slot: `only`, or all when NULL. */
static struct kw_rv close_sessions(struct kw_slot *slot, CK_SESSION_HANDLE only)
{
    struct kw_library *l = kw_library();
    struct kw_object *gone = NULL;
    kw_face_lock();
    struct kw_rv r = begin_busy_locked(slot);
    if (!kw_ok(r)) {
        kw_face_unlock();
        return r;
    }
    if (only != CK_INVALID_HANDLE) {
        struct kw_session *s = kw_handles_get(&l->sessions, only);
        if (s == NULL) {
            r = KW_FAIL(CKR_SESSION_HANDLE_INVALID, "there is no such session");
        } else {
            detach_locked(s, &gone);
            put_locked(s);
        }
    }
    for (size_t i = 0; only == CK_INVALID_HANDLE && i < kw_handles_room(&l->sessions); i++) {
        struct kw_session *s = kw_handles_at(&l->sessions, i);
        if (s != NULL && s->slot == slot) {
            detach_locked(s, &gone);
            put_locked(s);
        }
    }
    bool last = kw_ok(r) && slot->sessions == 0;
    kw_face_unlock();
    kw_objects_end(gone);
    kw_face_lock();
    if (last && slot->sessions == 0) {
        log_out_locked(slot);
    }
    end_busy_locked(slot);
    kw_face_unlock();
    return r;
}

struct kw_rv kw_session_close(struct kw_session *s)
{
    return close_sessions(s->slot, s->handle);
}

struct kw_rv kw_session_close_all(CK_SLOT_ID id)
{
    struct kw_slot *slot = NULL;
    struct kw_rv r = kw_slot_find(id, &slot);
    return kw_ok(r) ? close_sessions(slot, CK_INVALID_HANDLE) : r;
}

void kw_session_end_all(struct kw_library *l)
{
    for (size_t i = 0; l->slots != NULL && i < l->config->slot_count; i++) {
        struct kw_rv r = close_sessions(&l->slots[i], CK_INVALID_HANDLE);
        (void)r; /* nobody else is inside: the slot cannot be busy */
    }
}

struct kw_rv kw_session_info(struct kw_session *s, CK_SESSION_INFO *info)
{
    if (info == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the information");
    }
    kw_face_lock();
    bool in = s->slot->logged_in;
    kw_face_unlock();
    CK_SESSION_INFO i = {.slotID = s->slot->id, .flags = CKF_SERIAL_SESSION | (s->rw ? CKF_RW_SESSION : 0)};
    if (s->rw) {
        i.state = in ? CKS_RW_USER_FUNCTIONS : CKS_RW_PUBLIC_SESSION;
    } else {
        i.state = in ? CKS_RO_USER_FUNCTIONS : CKS_RO_PUBLIC_SESSION;
    }
    *info = i;
    return KW_OK;
}

static struct kw_rv check_user(const struct kw_session *s, CK_USER_TYPE user, const CK_UTF8CHAR *pin, CK_ULONG len)
{
    if (user == CKU_CONTEXT_SPECIFIC) {
        return KW_FAIL(CKR_OPERATION_NOT_INITIALIZED, "no operation asks for a login of its own");
    }
    if (user != CKU_USER) {
        return KW_FAIL(CKR_USER_TYPE_INVALID, "only CKU_USER logs in; the key's custodian uses the keyward command");
    }
    if (pin == NULL && len > 0) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "the PIN is NULL but has a length");
    }
    if (pin == NULL && !kw_engine_has_pin_source(kw_library()->engine, s->slot->index)) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "the slot has no PIN source: C_Login needs the PIN");
    }
    if (len > PIN_MOST || (pin != NULL && len == 0)) {
        return KW_FAIL(CKR_PIN_LEN_RANGE, "no PIN has this length");
    }
    return KW_OK;
}

struct kw_rv kw_session_login(struct kw_session *s, CK_USER_TYPE user, const CK_UTF8CHAR *pin, CK_ULONG len)
{
    struct kw_slot *slot = s->slot;
    struct kw_secret *secret = NULL;
    struct kw_rv r = check_user(s, user, pin, len);
    if (kw_ok(r) && pin != NULL) {
        r = kw_secret_dup(pin, len, &secret);
    }
    if (!kw_ok(r)) {
        return r;
    }
    kw_face_lock();
    r = begin_busy_locked(slot);
    if (!kw_ok(r)) {
        kw_face_unlock();
        kw_secret_free(secret);
        return r;
    }
    if (s->closed) {
        r = KW_FAIL(CKR_SESSION_HANDLE_INVALID, "the session was closed meanwhile");
    } else if (slot->logged_in) {
        r = KW_FAIL(CKR_USER_ALREADY_LOGGED_IN, "the slot is logged in");
    } else {
        kw_face_unlock();
        r = kw_engine_login(kw_library()->engine, slot->index, secret);
        kw_face_lock();
        slot->logged_in = kw_ok(r);
        if (slot->logged_in && slot->sessions == 0) { /* the last session was closed meanwhile */
            log_out_locked(slot);
        }
    }
    end_busy_locked(slot);
    kw_face_unlock();
    kw_secret_free(secret);
    return r;
}

struct kw_rv kw_session_login_user(struct kw_session *s, CK_USER_TYPE user, struct kw_in pin, struct kw_in name)
{
    if (name.len > 0) {
        return name.bytes == NULL ? KW_FAIL(CKR_ARGUMENTS_BAD, "the user name is NULL but has a length")
                                  : KW_FAIL(CKR_USER_TYPE_INVALID, "a slot has no user names");
    }
    return kw_session_login(s, user, pin.bytes, pin.len);
}

struct kw_rv kw_session_logout(struct kw_session *s)
{
    struct kw_slot *slot = s->slot;
    kw_face_lock();
    struct kw_rv r = begin_busy_locked(slot);
    if (kw_ok(r)) {
        if (slot->logged_in) {
            log_out_locked(slot);
        } else {
            r = KW_FAIL(CKR_USER_NOT_LOGGED_IN, "the slot is not logged in");
        }
        end_busy_locked(slot);
    }
    kw_face_unlock();
    return r;
}

struct kw_rv kw_session_cancel(struct kw_session *s, CK_FLAGS flags)
{
    if ((flags & CKF_FIND_OBJECTS) != 0) {
        kw_face_lock();
        kw_session_end_find_locked(s);
        kw_face_unlock();
    }
    return KW_OK;
}

struct kw_rv kw_session_validation(struct kw_session *s, CK_ULONG type, CK_FLAGS *flags)
{
    (void)s;
    if (flags == NULL || type != CKS_LAST_VALIDATION_OK) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the flags, or no such kind of validation");
    }
    *flags = 0;
    return KW_OK;
}

struct kw_rv kw_session_random(struct kw_session *s, CK_BYTE *out, CK_ULONG len)
{
    struct kw_secret *bytes = NULL;
    if ((out == NULL && len > 0) || len > RANDOM_MOST) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the random bytes, or more than 1 MiB is asked for");
    }
    if (len == 0) {
        return KW_OK;
    }
    struct kw_rv r = kw_secret_new(len, &bytes); /* the caller's room is written on success only, and not by the vendor's module */
    for (CK_ULONG at = 0; kw_ok(r) && at < len; at += RANDOM_STEP) {
        CK_ULONG step = len - at < RANDOM_STEP ? len - at : RANDOM_STEP;
        r = kw_engine_random(kw_library()->engine, s->slot->index, kw_secret_bytes(bytes) + at, step);
    }
    if (kw_ok(r)) {
        memcpy(out, kw_secret_peek(bytes), len);
    }
    kw_secret_free(bytes);
    return r;
}
