/*
 * ledger.h: the handles that the module has given out in one execution, and what a caller may expect of each.
 *
 * Dead ones are kept, so that the target can offer them again: none may ever be served. Plain storage, one thread.
 */
#ifndef KW_FUZZ_LEDGER_H
#define KW_FUZZ_LEDGER_H

#include "recording_engine.h"

enum { LEDGER_SESSIONS = 24, LEDGER_OBJECTS = 96, LEDGER_BLOBS = 12 };

struct ledger_session {
    CK_SESSION_HANDLE handle;
    size_t slot;
    bool rw;
    bool open;
    bool searching;
};

struct ledger_object {
    CK_OBJECT_HANDLE handle;
    size_t slot;
    CK_SESSION_HANDLE owner; /* of a session object; else 0 */
    bool alive;              /* false: it must never be served again. true: it may be gone in the token */
    bool cmk;
    bool gone;                /* a data key that was gone in the token when its handle was found: nothing is known of it */
    uint32_t version;         /* of a CMK */
    struct recording_key key; /* of a data key: what it really is */
};

/* A wrapped key that the module gave. */
struct ledger_blob {
    size_t slot;
    uint32_t version;
    enum kw_format format;
    size_t len;
    uint8_t bytes[KW_BLOB_MAX];
};

struct ledger {
    bool initialized;
    bool logged_in[RECORDING_SLOTS];
    size_t session_count;
    struct ledger_session sessions[LEDGER_SESSIONS];
    size_t object_count;
    struct ledger_object objects[LEDGER_OBJECTS];
    size_t blob_count;
    struct ledger_blob blobs[LEDGER_BLOBS];
};

/* NULL when the handle was never given out. */
struct ledger_session *ledger_session(struct ledger *l, CK_SESSION_HANDLE handle);
struct ledger_object *ledger_object(struct ledger *l, CK_OBJECT_HANDLE handle);

/* A new entry, zero but for its handle; it takes the place of an old one when there are too many. A handle that is alive already is a finding. */
struct ledger_session *ledger_add_session(struct ledger *l, CK_SESSION_HANDLE handle);
struct ledger_object *ledger_add_object(struct ledger *l, CK_OBJECT_HANDLE handle);
struct ledger_blob *ledger_add_blob(struct ledger *l);

size_t ledger_open_sessions(const struct ledger *l, size_t slot);

/* What a logout, the end of a session and the end of the library do to handles. */
void ledger_logout(struct ledger *l, size_t slot);
void ledger_close(struct ledger *l, struct ledger_session *s);
void ledger_finalize(struct ledger *l);

/* A handle to call with: mostly a live one (of the session's slot), else a dead one, another one's neighbour, or none. */
CK_SESSION_HANDLE ledger_pick_session(struct ledger *l, struct input *in);
CK_OBJECT_HANDLE ledger_pick_object(struct ledger *l, struct input *in, CK_SESSION_HANDLE session, bool cmk);

#endif
