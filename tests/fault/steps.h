/*
 * steps.h: what a broker does, step by step, and whether the answer is the true one; behind faulty.so.
 *
 * One world for the program. The master key is FIXTURE_CMK_KNOWN, so OpenSSL knows each answer. One thread at a time.
 */
#ifndef FAULT_STEPS_H
#define FAULT_STEPS_H

#include "scandal.h"

/* Each gives its answer; CKR_OK with *wrong means a wrong key. */
struct step {
    const char *name;
    bool fresh; /* the library is started anew before it, logged in unless `login` */
    bool login; /* the step is the login itself */
    CK_RV (*run)(bool *wrong);
};

enum { STEPS = 9, STEPS_FIRST_WARM = 4 };
extern const struct step steps[STEPS];

/* Faults beside the codes. A `function` of FAULTY_ANY: at every function. */
struct lie {
    const char *name;
    enum faulty_function function;
    enum faulty_act act;
    CK_ULONG value;
    bool always_only; /* once is a fault that no caller of a token can see: the token did one thing with another key */
};

enum { LIES = 23 };
extern const struct lie lies[LIES];

extern struct fixture *steps_world;
extern struct faulty_control *steps_control;

/* Builds the world; loads Keyward, which is not initialized. False with a line on stderr. */
bool steps_start(void);

/* C_Initialize unless that was done, a session, the login and the master key. */
CK_RV steps_enter(bool *wrong);

/* Makes the world as the step wants to find it. */
bool steps_ready(const struct step *s);

#endif
