/*
 * rules.h: what faulty.c does with the rules of faulty.h, call by call. The state of one process; thread-safe.
 */
#ifndef FAULT_RULES_H
#define FAULT_RULES_H

#include <stdbool.h>

#include "faulty.h"

/* One call. */
struct rules_call {
    const struct faulty_rule *rule; /* that acts, or NULL */
    enum faulty_act act;            /* when there is one */
    CK_ULONG value;
    bool over; /* the call is over: its answer is `rv` */
    CK_RV rv;
};

/* Maps $FAULTY_CONTROL; `vendor` is borrowed for ever. False when the file is not as it must be. */
bool rules_start(CK_FUNCTION_LIST *vendor);

/* Before the vendor is asked. `first` is the first argument: a session, a slot or neither. */
struct rules_call rules_begin(enum faulty_function function, CK_ULONG first);

/* After it, unless the call was over: the answer to give for the vendor's answer. */
CK_RV rules_end(const struct rules_call *call, CK_RV rv);

/* Whether a rule makes the token of this slot vanish. */
bool rules_vanished(CK_SLOT_ID slot);

/* What a handle of the caller's is for the vendor, and the other way round. */
CK_OBJECT_HANDLE rules_inner(CK_OBJECT_HANDLE handle);
CK_OBJECT_HANDLE rules_outer(CK_OBJECT_HANDLE handle);

/* Another key than `like` (the vendor's handle), of its class, which may wrap and unwrap: for a secret key an AES one, made for the occasion; for an
 * RSA half the one labelled RULES_STRANGER. The vendor's handle, or 0 when there is none. */
#define RULES_STRANGER "stranger"
CK_OBJECT_HANDLE rules_other_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE like);

/* Sessions of this process: `opened` more or less; all gone. */
void rules_count_sessions(int opened);
void rules_no_sessions(void);
long rules_sessions(void);

/* C_Login's answer. */
void rules_count_pin(CK_RV rv);

#endif
