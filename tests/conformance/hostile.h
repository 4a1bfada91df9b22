/*
 * hostile.h: every function of the three tables with the bad inputs of ATTACKS.md section 3, made from module/functions.def.
 *
 * The parameters of a row are read from its text ("CK_MECHANISM_PTR mechanism, …") and grouped: a template and its count, bytes and
 * their length, room and the place of its length. Each group has a numbered list of bad values; value 0 is a good one. A call is a
 * choice of one value per group. All memory comes from region.h. What is good here and now (sessions, handles, a blob) tells the
 * caller through struct hostile_world.
 */
#ifndef KW_TEST_HOSTILE_H
#define KW_TEST_HOSTILE_H

#include "chapter.h"

enum { HOSTILE_FUNCTIONS = 104, HOSTILE_GROUPS = 10, HOSTILE_ARGS = 10 };

enum hostile_kind {
    HOSTILE_SESSION,
    HOSTILE_SLOT,
    HOSTILE_KEY, /* a data key */
    HOSTILE_CMK, /* a wrapping or unwrapping key */
    HOSTILE_MECHANISM,
    HOSTILE_TEMPLATE, /* two arguments */
    HOSTILE_BYTES,    /* two arguments: read */
    HOSTILE_OUT,      /* two arguments: written, with the place of the length */
    HOSTILE_LIST,     /* two arguments: room for several, and a number */
    HOSTILE_PLACE,    /* a pointer to a struct, a handle, a number */
    HOSTILE_NUMBER,
    HOSTILE_BOOL,
    HOSTILE_ARGS_OF_INITIALIZE,
    HOSTILE_KINDS
};

struct hostile_group {
    enum hostile_kind kind;
    size_t first;  /* index of its first argument */
    size_t unit;   /* bytes of one thing that a length counts */
    bool optional; /* a CK_VOID_PTR: NULL is its good value */
};

struct hostile_function {
    const char *name;
    size_t group_count;
    struct hostile_group groups[HOSTILE_GROUPS];
    size_t offset; /* in struct calls */
};

/* What is good, and what is not good any more. */
struct hostile_world {
    CK_SLOT_ID slot, other_slot, absent_slot;
    CK_SESSION_HANDLE session, closed_session, other_session;
    CK_OBJECT_HANDLE cmk, key, destroyed_key, other_key, other_cmk;
    const uint8_t *blob;
    size_t blob_len;
};

struct hostile_call {
    const struct hostile_function *function;
    CK_ULONG args[HOSTILE_ARGS];
    struct {
        const void *bytes; /* room that only CKR_OK may change; NULL: none */
        size_t len;
    } rooms[HOSTILE_GROUPS];
};

/* The functions in the order of the tables. */
const struct hostile_function *hostile_functions(void);

/* How many values the group has in this function, the good one included. */
size_t hostile_values(const struct hostile_function *f, size_t group);

/* Writes value number `value` of the group into the call. */
void hostile_set(struct hostile_call *call, const struct hostile_world *w, size_t group, size_t value);

CK_RV hostile_do(const struct hostile_call *call);

/* Whether every room is as it was. */
bool hostile_untouched(const struct hostile_call *call);

#endif
