/*
 * object.h: the objects that a broker sees: versions of the CMK, and data keys. (PKCS#11 3.2 sections 4 and 5.7, 5.18 for C_GenerateKey.)
 *
 * A kw_object is counted: one reference by its handle, one by each call that is using it. It is in its slot's list while its handle
 * lives. Its fields are guarded by the face's lock; a call works with a view, a copy that keeps a data key's value alive. Logging out ends all of a slot's handles; they are new after the next login (section 5.6.8).
 */
#ifndef KW_OBJECT_H
#define KW_OBJECT_H

#include "key.h"

struct kw_session;
struct kw_slot;

enum kw_object_kind { KW_OBJECT_CMK, KW_OBJECT_DEK };

struct kw_object {
    unsigned references;
    enum kw_object_kind kind;
    CK_OBJECT_CLASS class; /* CKO_SECRET_KEY; of an RSA version there are two objects, CKO_PRIVATE_KEY and CKO_PUBLIC_KEY */
    struct kw_slot *slot;
    struct kw_session *owner; /* of a session object; NULL for a token object; only compared, never followed */
    CK_OBJECT_HANDLE handle;
    struct kw_object *next;  /* in the slot's list, or in a list of ended objects */
    struct kw_object **link; /* what points to it in the slot's list; NULL when it is not there */
    bool changing;           /* a call sets its label or CKA_ID; another one waits for it */
    bool dying;              /* a call destroys it; the others are told that it is gone */
    bool destroy;            /* in a list of ended objects: also in the backing token */
    uint64_t seen;           /* the slot's reading of the token that last saw it */
    bool was_active;         /* KW_OBJECT_CMK: its handle was given out for the active version once */
    union {
        struct kw_version version; /* KW_OBJECT_CMK */
        struct kw_dek dek;         /* KW_OBJECT_DEK; value is owned */
    };
};

KW_MUST_USE struct kw_rv kw_object_create(struct kw_session *s, const CK_ATTRIBUTE *template, CK_ULONG count,
                                          CK_OBJECT_HANDLE *out);
KW_MUST_USE struct kw_rv kw_object_generate(struct kw_session *s, const CK_MECHANISM *mechanism, const CK_ATTRIBUTE *template,
                                            CK_ULONG count, CK_OBJECT_HANDLE *out);
KW_MUST_USE struct kw_rv kw_object_set(struct kw_session *s, CK_OBJECT_HANDLE handle, const CK_ATTRIBUTE *template,
                                       CK_ULONG count);
KW_MUST_USE struct kw_rv kw_object_size(const struct kw_session *s, CK_OBJECT_HANDLE handle, CK_ULONG *size);

/* The face's lock is held, and given up while the backing token is asked: for what is in its home. */
KW_MUST_USE struct kw_rv kw_object_destroy_locked(struct kw_session *s, CK_OBJECT_HANDLE handle);
KW_MUST_USE struct kw_rv kw_object_get_locked(struct kw_session *s, CK_OBJECT_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count);

/* What an object was when it was looked up, and the reference that keeps its value, if it has one here. */
struct kw_object_view {
    struct kw_object *object; /* NULL: nothing to put */
    enum kw_object_kind kind;
    CK_OBJECT_CLASS class;
    bool was_active;
    union {
        struct kw_version version;
        struct kw_dek dek; /* value borrowed from the object */
    };
};

/* The object of a handle, if the session's slot may see it. *view is to be put. CKR_USER_NOT_LOGGED_IN, CKR_OBJECT_HANDLE_INVALID. */
KW_MUST_USE struct kw_rv kw_object_lookup(const struct kw_session *s, CK_OBJECT_HANDLE handle, struct kw_object_view *view);
void kw_object_put(struct kw_object_view *view);

/* A new object for a data key that was just made, owned by the session unless it is a token object. Takes dek->value, also on error; a key
 * of the token home is destroyed again on error. */
KW_MUST_USE struct kw_rv kw_object_adopt(struct kw_session *s, struct kw_dek *dek, CK_OBJECT_HANDLE *out);

/* Brings the slot's CMK objects, and its token data keys if asked, in line with the backing token. The slot is logged in. */
KW_MUST_USE struct kw_rv kw_object_refresh(struct kw_session *s, bool data_keys);

/* Ends the handles of a session's objects, or of all objects of a slot, and puts them into *gone (kw_objects_end, without the lock,
 * destroys what must be destroyed in the backing token). The face's lock is held. */
void kw_object_detach_session_locked(struct kw_session *s, struct kw_object **gone);
void kw_object_detach_all_locked(struct kw_slot *slot, struct kw_object **gone);
void kw_objects_end(struct kw_object *gone);

#endif
