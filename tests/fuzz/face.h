/*
 * face.h: one execution of the target `face`: the input, the ledger, and the rules that hold for every call.
 *
 * The calls of one chapter of the standard are in face_library.c and face_objects.c; face_refused.c has the functions that Keyward does not
 * serve. Each reads its arguments from the input, calls through FACE_CALL and looks at what came back.
 */
#ifndef KW_FUZZ_FACE_H
#define KW_FUZZ_FACE_H

#include "grammar.h"
#include "ledger.h"

struct face {
    struct input in;
    struct ledger ledger;
    CK_SLOT_ID slots[RECORDING_SLOTS]; /* by the engine's index */
    bool short_memory;                 /* the next call runs out of it at allocation `nth` */
    unsigned nth;
    bool starved;        /* the last call did */
    unsigned long calls; /* of the engine, before the last call */
    unsigned long made;  /* data keys, before the last call */
    CK_RV told;          /* what the engine was told to fail with in the last call; CKR_OK: it did not fail */
};

typedef void face_op(struct face *f);

void face_before(struct face *f);
/* The code is one that the function may answer, and what must hold between any two calls holds. */
void face_after(struct face *f, const char *name, CK_RV rv);

#define FACE_CALL(f, rv, name, ...)      \
    do {                                 \
        face_before(f);                  \
        (rv) = name(__VA_ARGS__);        \
        face_after((f), #name, (rv));    \
    } while (0)

/* The session of a call, by its handle: NULL, and the code has been judged, when there is none. */
struct ledger_session *face_session(struct face *f, CK_SESSION_HANDLE handle, CK_RV rv);

/* The object of a call that was served: alive, and of the session's slot; else a finding. */
struct ledger_object *face_object(struct face *f, const struct ledger_session *s, CK_OBJECT_HANDLE handle);

/* A slot id, mostly one that there is; *index is RECORDING_SLOTS when there is none. */
CK_SLOT_ID face_pick_slot(struct face *f, size_t *index);

/* Room for a struct or number that only CKR_OK may change; NULL in one of sixteen. */
void *face_place(struct face *f, size_t size);
void face_check_place(CK_RV rv, const void *place, size_t size);

/* The served functions, and one of the refused ones. */
extern face_op *const face_library_ops[];
extern const size_t face_library_count;
extern face_op *const face_object_ops[];
extern const size_t face_object_count;
void face_refused(struct face *f);

/* C_Initialize and C_Finalize as a well-behaved caller calls them. */
void face_start(struct face *f);
void face_finish(struct face *f);

/* The configuration file of the target. */
const char *face_config_path(void);

#endif
