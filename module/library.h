/*
 * library.h: C_Initialize, C_Finalize, C_GetInfo; what lives between them; forks. (PKCS#11 3.2 sections 5.4 and 6.6.)
 *
 * One kw_library per process: configuration, engine, slots, handle tables. Every C_* call counts itself in (kw_library_enter)
 * and out, so that C_Finalize can wait until nobody is inside. The face has one lock, taken for a few instructions around
 * that count and its own tables, and never during an engine call: kw_face_lock / kw_face_unlock.
 */
#ifndef KW_LIBRARY_H
#define KW_LIBRARY_H

#include <time.h>

#include "config.h"
#include "engine.h"
#include "handles.h"

struct kw_slot;

struct kw_library {
    struct kw_config *config;
    struct kw_engine *engine;
    struct kw_slot *slots; /* config->slot_count, in the order of the configuration */
    struct kw_handles sessions;
    struct kw_handles objects;
};

/* C_Initialize: pReserved NULL or the string "config=PATH". CKR_ARGUMENTS_BAD, CKR_CANT_LOCK (mutex callbacks without
 * CKF_OS_LOCKING_OK), CKR_CRYPTOKI_ALREADY_INITIALIZED, CKR_GENERAL_ERROR (configuration; the reasons are in the log), CKR_HOST_MEMORY. */
KW_MUST_USE struct kw_rv kw_library_initialize(const void *args);

/* C_Finalize. Waits at most 10 s for the calls of other threads, then CKR_FUNCTION_FAILED and nothing has happened. */
KW_MUST_USE struct kw_rv kw_library_finalize(const void *reserved);

KW_MUST_USE struct kw_rv kw_library_info(CK_INFO *info);

/* Counts a call in. CKR_CRYPTOKI_NOT_INITIALIZED before C_Initialize, after C_Finalize, and in a forked child. */
KW_MUST_USE struct kw_rv kw_library_enter(void);
void kw_library_leave(void);
/* The same with the face's lock held. */
KW_MUST_USE struct kw_rv kw_library_enter_locked(void);
void kw_library_leave_locked(void);

/* The library, borrowed while a call is counted in. */
struct kw_library *kw_library(void);

void kw_face_lock(void);
void kw_face_unlock(void);
/* Waits on a change of the face's state until then (clock.h); the lock is held. False when the time is over. */
bool kw_face_wait(const struct timespec *until);
void kw_face_changed(void);

#endif
