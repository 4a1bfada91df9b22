/*
 * scene.h: one slot of one HSM, as a broker that stays up and a custodian beside it use it.
 *
 * A scene borrows a struct fixture (Keyward loaded, $KEYWARD_CONF set) and has one open session. scene_keyward runs the command in a
 * process of its own, as the custodian would. Checks count in the scene; each failure is told on stderr with what was expected.
 * For one thread, except scene_wrap and scene_open on sessions of their own.
 */
#ifndef KW_TEST_SCENE_H
#define KW_TEST_SCENE_H

#include "caller.h"

enum { SCENE_ROOM = 1200 };

/* One way to wrap: a mechanism with its parameter. */
struct way {
    const char *name;
    CK_MECHANISM_TYPE type;
    CK_MECHANISM_TYPE hash; /* of OAEP; 0: none */
    enum { WAY_AES, WAY_RSA, WAY_BOTH } of; /* the type of master key */
};

extern const struct way ways[];
extern const size_t way_count;

struct scene {
    struct fixture *f;
    const struct calls *p11; /* the 2.40 part is used */
    const char *slot;
    bool rsa;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE wrapping; /* the active version: the key that wraps, and the one that unwraps */
    CK_OBJECT_HANDLE unwrapping;
    const struct way *way; /* the first that the slot does */
    unsigned checks;
    unsigned failed;
};

/* Counts a check; false and a line on stderr when it does not hold. */
bool scene_check(struct scene *s, bool good, const char *what, CK_RV rv);

/* C_Initialize, a session, the login, the active version; scene_end is C_Finalize. */
bool scene_begin(struct scene *s);
void scene_end(struct scene *s);
/* The active version anew, after a rotation. */
bool scene_look(struct scene *s);

/* Runs `keyward VERB [SLOT [--version VERSION]]`; true when it ends with 0. */
bool scene_keyward(struct scene *s, const char *verb, const char *slot, const char *version);

/* Runs the shell command of an environment variable, which takes the HSM away or brings it back (hsm.sh). */
bool scene_shell(struct scene *s, const char *variable);
/* Of a clock that only goes forward. */
double scene_seconds(void);

/* C_WrapKey by a way; *len becomes the length, SCENE_ROOM is there. */
CK_RV scene_wrap(const struct scene *s, const struct way *w, CK_OBJECT_HANDLE key, uint8_t *out, CK_ULONG *len);

/* C_UnwrapKey to a session key: readable, or sealed. */
struct blob {
    const struct way *way;
    const uint8_t *bytes;
    CK_ULONG len;
    CK_KEY_TYPE type;
    bool sealed;
};
CK_RV scene_open(const struct scene *s, const struct blob *b, CK_OBJECT_HANDLE *key);

/* Whether the blob opens to these bytes. */
bool scene_opens(struct scene *s, const struct blob *b, const uint8_t *value, size_t len);

/* A data key that came from `value`, wrapped by the scene's way: what a broker keeps. */
struct kept {
    uint8_t value[64];
    size_t len;
    uint8_t blob[SCENE_ROOM];
    CK_ULONG blob_len;
};
bool scene_keep(struct scene *s, struct kept *k);
bool scene_still_opens(struct scene *s, const struct kept *k, const char *what);
/* What C_UnwrapKey answers for it now. */
CK_RV scene_answer(struct scene *s, const struct kept *k);

#endif
