/*
 * steps.h: what a broker does, step by step, and whether the answer is the true one; behind faulty.so.
 *
 * One world for the program, with an AES or an RSA master key that is known (truth.h), so OpenSSL knows each answer. One thread at a time.
 */
#ifndef FAULT_STEPS_H
#define FAULT_STEPS_H

#include "scandal.h"
#include "truth.h"

enum step_deed { STEP_LOGIN, STEP_WRAP, STEP_UNWRAP, STEP_GENERATE, STEP_GENERATE_SEALED, STEP_UNWRAP_SEALED };

struct step {
    const char *name;
    enum step_deed deed;
    enum truth_format format;
    bool fresh; /* the library is started anew before it, and logged in unless it is the login itself */
};

/* Those of the master key; the fresh ones come first. */
enum { STEPS_MOST = 16 };
extern const struct step *steps;
extern size_t steps_count, steps_first_warm;

/* Faults beside the codes. A `function` of FAULTY_ANY: at every function. */
struct lie {
    const char *name;
    enum faulty_function function;
    enum faulty_act act;
    CK_ULONG value;
    bool always_only; /* once is a fault that no caller of a token can see: the token did one thing with another key */
};

enum { LIES = 25 };
extern const struct lie lies[LIES];

extern struct fixture *steps_world;
extern struct faulty_control *steps_control;

/* Builds the world; loads Keyward, which is not initialized. False with a line on stderr. */
bool steps_start(bool rsa);

/* C_Initialize unless that was done, a session, the login and the master key. */
CK_RV steps_enter(void);

/* The step's answer; CKR_OK with *wrong means a wrong key. */
CK_RV steps_run(const struct step *s, bool *wrong);

/* Makes the world as the step wants to find it. */
bool steps_ready(const struct step *s);

#endif
