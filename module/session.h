/*
 * session.h: sessions and the login of a slot. (PKCS#11 3.2 sections 5.6 and 6.7.)
 *
 * A session is counted: one reference by its handle, one by each call that is using it. All sessions of a slot share one login. Session objects
 * belong to the session that made them and go with it; logging out ends every handle of the slot, closing the last session logs out.
 * Everything in a kw_session is guarded by the face's lock, except `slot`, which does not change.
 */
#ifndef KW_SESSION_H
#define KW_SESSION_H

#include <stdint.h>

#include "error.h"

struct kw_library;
struct kw_slot;

struct kw_session {
    unsigned references;
    struct kw_slot *slot;
    CK_SESSION_HANDLE handle;
    bool rw;
    bool closed;
    bool finding;            /* C_FindObjectsInit has been called */
    uint64_t search;         /* counts searches, so that one that was cancelled meanwhile is not taken for the next */
    CK_OBJECT_HANDLE *found; /* what it found; owned */
    size_t found_count;
    size_t found_next;
};

/* Bytes that a caller gives, and room that he gives; as the C_* functions have them, unchecked. */
struct kw_in {
    const CK_BYTE *bytes;
    CK_ULONG len;
};
struct kw_out {
    CK_BYTE *bytes;
    CK_ULONG *len;
};

/* A call of a session comes (kw_library_enter, and the session of the handle with one reference more) and goes. CKR_CRYPTOKI_NOT_INITIALIZED,
 * CKR_SESSION_HANDLE_INVALID. */
KW_MUST_USE struct kw_rv kw_session_enter(CK_SESSION_HANDLE handle, struct kw_session **out);
void kw_session_leave(struct kw_session *s);
/* The same with the face's lock held. */
KW_MUST_USE struct kw_rv kw_session_enter_locked(CK_SESSION_HANDLE handle, struct kw_session **out);
void kw_session_leave_locked(struct kw_session *s);

KW_MUST_USE struct kw_rv kw_session_open(CK_SLOT_ID slot, CK_FLAGS flags, CK_SESSION_HANDLE *out);
KW_MUST_USE struct kw_rv kw_session_close(struct kw_session *s);
KW_MUST_USE struct kw_rv kw_session_close_all(CK_SLOT_ID slot);
KW_MUST_USE struct kw_rv kw_session_info(struct kw_session *s, CK_SESSION_INFO *info);

/* C_Login: CKU_USER only. A NULL PIN means the configured source (CKF_PROTECTED_AUTHENTICATION_PATH). */
KW_MUST_USE struct kw_rv kw_session_login(struct kw_session *s, CK_USER_TYPE user, const CK_UTF8CHAR *pin, CK_ULONG len);
/* C_LoginUser: there are no user names; an empty one is C_Login, any other CKR_USER_TYPE_INVALID. */
KW_MUST_USE struct kw_rv kw_session_login_user(struct kw_session *s, CK_USER_TYPE user, struct kw_in pin, struct kw_in name);
KW_MUST_USE struct kw_rv kw_session_logout(struct kw_session *s);

/* C_SessionCancel: ends a search when CKF_FIND_OBJECTS is among the flags; nothing else can be active. */
KW_MUST_USE struct kw_rv kw_session_cancel(struct kw_session *s, CK_FLAGS flags);

/* C_GetSessionValidationFlags (3.2): no operation of ours is validated, so the flags are 0. */
KW_MUST_USE struct kw_rv kw_session_validation(struct kw_session *s, CK_ULONG type, CK_FLAGS *flags);

/* C_GenerateRandom from the backing token; at most 1 MiB. */
KW_MUST_USE struct kw_rv kw_session_random(struct kw_session *s, CK_BYTE *out, CK_ULONG len);

/* A call that makes a data key comes and goes; `persistent`: a logout waits for it, because without the login nobody could destroy a key that its
 * caller cannot be given any more. CKR_USER_NOT_LOGGED_IN; CKR_SESSION_READ_ONLY: `persistent` in a session that is. Takes the face's lock. */
KW_MUST_USE struct kw_rv kw_session_begin_making(struct kw_session *s, bool persistent);
void kw_session_end_making(struct kw_session *s, bool persistent);

/* Forgets a search. The face's lock is held. */
void kw_session_end_find_locked(struct kw_session *s);

/* C_Finalize: ends every session, object and login of the library. Nobody else is inside. */
void kw_session_end_all(struct kw_library *l);

#endif
