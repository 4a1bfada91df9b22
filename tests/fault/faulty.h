/*
 * faulty.h: faulty.so, a PKCS#11 module in front of SoftHSM that fails and lies when it is told to.
 *
 * It stands as module-path in keyward.conf and serves the tokens of SoftHSM ($FAULTY_VENDOR names another module to forward to).
 * What it does wrong is a queue of rules in the file $FAULTY_CONTROL, mapped and shared: a running test, in this process or in another
 * one, arms and clears them at any time (scandal.h). Without the variable the module forwards every call. The first rule that fits a
 * call and whose turn has come acts. Counters and rules are atomics; no locks.
 */
#ifndef FAULT_FAULTY_H
#define FAULT_FAULTY_H

#include <stdatomic.h>

#include "cryptoki.h"

enum faulty_function {
#define COUNTED(name, parameters, arguments) FAULTY_##name,
#include "counting.def"
#undef COUNTED
    FAULTY_FUNCTIONS,
    FAULTY_ANY = FAULTY_FUNCTIONS
};

enum faulty_act {
    FAULTY_CODE,     /* answers `value`; SoftHSM is not asked */
    FAULTY_LATE,     /* does it and answers `value` all the same */
    FAULTY_DELAY,    /* waits `value` milliseconds, then does it */
    FAULTY_HANG,     /* waits until the rule is cleared, at most `value` milliseconds, then does it */
    FAULTY_SEGV,     /* dies of SIGSEGV */
    FAULTY_EXIT,     /* calls _exit(value) */
    FAULTY_RENUMBER, /* C_Finalize and C_Initialize behind the caller's back; the old object handles mean other objects now */
    FAULTY_DROP,     /* closes every session of the token, then does it */
    FAULTY_LOGOUT,   /* logs the token out, then does it */
    FAULTY_VANISH,   /* the token is not there until the rule has acted `times` times or is cleared; its sessions are closed */
    FAULTY_LENGTH,   /* C_WrapKey, C_Sign, C_GetAttributeValue, C_FindObjects, C_GetSlotList: each length or count that comes out is `value` more */
    FAULTY_ZERO,     /* C_FindObjects, C_CreateObject, C_GenerateKey, C_UnwrapKey, C_OpenSession: CKR_OK and the handle 0 */
    FAULTY_OTHER,    /* C_WrapKey, C_UnwrapKey: another wrapping key is used; C_FindObjects: the first handle is another key's */
    FAULTY_LIMIT,    /* C_OpenSession: CKR_SESSION_COUNT when `value` sessions are open */
    FAULTY_FLAGS,    /* C_GetTokenInfo: `value` is added to the token's flags */
    FAULTY_NAME      /* C_GetAttributeValue: a bit of byte `value` of a CKA_ID that comes out, or of its last byte, is another one */
};

struct faulty_rule {
    atomic_uint armed;       /* written last */
    unsigned function;       /* enum faulty_function */
    unsigned act;            /* enum faulty_act */
    CK_ULONG value;
    unsigned long skip;      /* calls that fit and are let by first */
    unsigned long times;     /* how often it acts then; 0: for ever */
    char token[33];          /* label of the token whose calls fit; "": any */
    atomic_ulong seen;       /* calls that fitted */
    atomic_ulong acted;
};

enum { FAULTY_RULES = 8 };

struct faulty_control {
    struct faulty_rule rules[FAULTY_RULES];
    atomic_ulong calls[FAULTY_FUNCTIONS]; /* of all processes */
    atomic_int inside;                    /* calls that SoftHSM is at, of all processes */
    atomic_ulong pins;                    /* PINs that C_Login has forwarded */
    atomic_ulong wrong_pins;              /* and that SoftHSM has refused */
};

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list);

#endif
