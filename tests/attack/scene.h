/*
 * scene.h: where an attack happens: one token, four tenants' master keys on it, and a module to
 * attack it through.
 *
 * Through Keyward each tenant has a slot; at the vendor's module ("direct") all of them are the one
 * slot of the token, and a master key is a wrap-and-unwrap-only AES key. The place PLANTED has no
 * master key until somebody outside plants one. A scene lives in a process of its own (main.c), so
 * nothing of SoftHSM's state is shared between two attacks or two sides.
 *
 * What an attack needs before it can attack must work: scene_need ends the process with "broken"
 * otherwise, so that a refusal is never the refusal of the preparation. Handles are those of the
 * module under attack.
 */
#ifndef ATTACK_SCENE_H
#define ATTACK_SCENE_H

#include <stdint.h>

#include "attack.h"
#include "counting.h"
#include "fixture.h"
#include "outsider.h"
#include "sheet.h"

enum where { ALPHA, BETA, SEALED, WEAK, PLANTED, ENVELOPED, PLACES };

enum { SCENE_BLOB_MAX = 1024, SCENE_KEY_LEN = 32 };

/* What is attacked: Keyward, SoftHSM itself, or NSS softokn itself (which refuses less than SoftHSM). */
enum module { KEYWARD, SOFTHSM, NSS };

struct place {
    const char *name; /* of the slot, and the label of the master key */
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session; /* 0: nobody has entered */
    CK_OBJECT_HANDLE master;   /* 0: none found */
};

struct scene {
    struct fixture *fixture;
    const struct calls *p11;
    enum module module;
    bool direct;                 /* p11 is the vendor's module */
    struct outside_token vendor; /* NSS has no outside: its jobs run here */
    atomic_ulong *counts;
    struct place places[PLACES];
    uint8_t dek[SCENE_KEY_LEN]; /* the data key that the attacker wants, for comparison */
    struct report *report;
};

/* What an attack leaves behind for the parent. */
struct report {
    enum verdict verdict;
    bool odd; /* refused, but not as it must be; the note says how */
    char note[240];
};

struct blob {
    uint8_t bytes[SCENE_BLOB_MAX];
    CK_ULONG len;
};

/* Starts the scene in this process, or ends the process. C_Initialize is done. */
void scene_start(struct scene *s, enum module module, struct report *report);

/* Makes the tokens of which each scene of Keyward's takes a copy from now on, instead of making its own; false when that fails. */
bool scene_prepare(void);
void scene_put_away(void);
void scene_stop(struct scene *s);

/* C_Finalize and C_Initialize; every place has to be entered anew. */
void scene_restart(struct scene *s);

/* The same, with a keyward.conf that has no PIN file any more: the PIN comes through C_Login only. */
void scene_forget_pin(struct scene *s);

/* A read/write session and the login, if there is none yet, and the search for the master key. */
void scene_enter(struct scene *s, enum where w);
/* The session alone. */
void scene_sit_down(struct scene *s, enum where w);
CK_RV scene_login(struct scene *s, enum where w, const char *pin);
/* The secret key with the place's label, or 0. */
CK_OBJECT_HANDLE scene_find_master(struct scene *s, enum where w);
/* All objects that match, at most `most`. */
CK_ULONG scene_find(struct scene *s, enum where w, struct sheet *match, CK_OBJECT_HANDLE *out, CK_ULONG most);

/* Ends the process as broken unless `good`; `what` could not be prepared. */
void scene_need(struct scene *s, bool good, const char *what);
/* What happened, for the reader of --verbose; the last one counts, an odd one stays. */
__attribute__((format(printf, 2, 3))) void scene_note(struct scene *s, const char *format, ...);
/* Keyward gave another answer than it must give, be it a refusal. Ignored at the vendor's module. */
void scene_expect(struct scene *s, CK_RV rv, CK_RV wanted, const char *what);

/* A session data key with s->dek as its value. */
CK_OBJECT_HANDLE scene_data_key(struct scene *s, enum where w, bool sensitive);
CK_RV scene_create(struct scene *s, enum where w, struct sheet *t, CK_OBJECT_HANDLE *key);
CK_RV scene_generate(struct scene *s, enum where w, struct sheet *t, CK_OBJECT_HANDLE *key);
void scene_destroy(struct scene *s, enum where w, CK_OBJECT_HANDLE key);

/* C_WrapKey and C_UnwrapKey without a parameter. */
CK_RV scene_wrap(struct scene *s, enum where w, CK_MECHANISM_TYPE mechanism, const CK_OBJECT_HANDLE keys[2],
                 struct blob *out);
struct scene_opening {
    CK_MECHANISM_TYPE mechanism;
    CK_OBJECT_HANDLE with;
    const struct blob *blob;
};
CK_RV scene_unwrap(struct scene *s, enum where w, const struct scene_opening *o, struct sheet *t,
                   CK_OBJECT_HANDLE *key);

/* s->dek, wrapped (RFC 3394) by the master key of a place where the scene was entered; needed. */
void scene_wrapped_dek(struct scene *s, enum where w, struct blob *out);
/* Whether the master key can be used at all: rv of wrapping a new data key. */
CK_RV scene_try_wrap(struct scene *s, enum where w);

/* Whether C_GetAttributeValue gives these bytes as CKA_VALUE. */
bool scene_reads(struct scene *s, enum where w, CK_OBJECT_HANDLE key, const uint8_t *value, size_t len);
bool scene_reads_dek(struct scene *s, enum where w, CK_OBJECT_HANDLE key);

/* A job outside (outsider.h); needed. */
void scene_outside(struct scene *s, outside_job *job, void *order, size_t size);
/* Plants a master key for `w` with a value that the attacker knows (kept in `value`), wrong as said. */
void scene_plant(struct scene *s, enum where w, unsigned wrong, uint8_t value[SCENE_KEY_LEN]);
/* An RSA master key for ENVELOPED, made by the command, and the place entered: the public half and the private one. */
void scene_pair(struct scene *s, CK_OBJECT_HANDLE halves[2]);
/* Destroys a key of that place. */
void scene_uproot(struct scene *s, enum where w);

/* The counts of all calls to the vendor's module so far; the sum of two readings' difference. */
unsigned long scene_calls(const struct scene *s);

#endif
