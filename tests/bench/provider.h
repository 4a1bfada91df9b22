/*
 * provider: one PKCS#11 module loaded into this process, and the few things every job does with it
 * (find a token, log in, find the master keys). Used alike for the vendor's module and for Keyward:
 * there is no line in here that knows which of them it talks to.
 *
 * A benchmark with a failed call has no result, so every function here that fails names the call,
 * prints its CK_RV and ends the process; the coordinator then reports the loss of the agent.
 */
#ifndef BENCH_PROVIDER_H
#define BENCH_PROVIDER_H

#include <p11-kit/pkcs11.h>

#include "settings.h"

struct provider {
    const char *name; /* the side's name, for messages */
    CK_FUNCTION_LIST *f;
};

/* Ends the process with a message unless rv is CKR_OK; `call` names the function. */
void provider_expect(const struct provider *provider, CK_RV rv, const char *call);

/* Ends the process with a message: `what` is wrong with the result of a call that said CKR_OK. */
void provider_fail(const struct provider *provider, const char *what);

/* dlopen and C_GetFunctionList. The module stays loaded until the process ends. */
void provider_load(const struct settings_side *side, struct provider *provider);

/* C_Initialize with CKF_OS_LOCKING_OK. */
void provider_initialize(const struct provider *provider);

/* The slots that hold an initialised token, at most `max`; their number is returned. */
size_t provider_slots(const struct provider *provider, CK_SLOT_ID *slots, size_t max);

/* The slot whose token has this label. */
CK_SLOT_ID provider_slot_of(const struct provider *provider, const char *label);

/* A session; flags are added to CKF_SERIAL_SESSION. */
CK_SESSION_HANDLE provider_session(const struct provider *provider, CK_SLOT_ID slot,
                                   CK_FLAGS flags);

/* C_Login as CKU_USER; CKR_USER_ALREADY_LOGGED_IN is as good as CKR_OK. */
void provider_login(const struct provider *provider, CK_SESSION_HANDLE session,
                    const struct settings *settings);

/* Objects that match; more than PROVIDER_OBJECTS_MAX are left out. */
enum { PROVIDER_OBJECTS_MAX = 128 };

struct provider_objects {
    CK_OBJECT_HANDLE handle[PROVIDER_OBJECTS_MAX];
    CK_ULONG count;
};

void provider_find(const struct provider *provider, CK_SESSION_HANDLE session,
                   const CK_ATTRIBUTE *match, CK_ULONG match_count,
                   struct provider_objects *found);

/* The master keys: secret keys with CKA_WRAP true. At least one, or the process ends. */
void provider_master_keys(const struct provider *provider, CK_SESSION_HANDLE session,
                          struct provider_objects *found);

#endif
