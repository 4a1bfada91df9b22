/*
 * counting.h: counting.so, a PKCS#11 module that forwards every call to SoftHSM and counts it.
 *
 * It is the module-path of the tokens in an attack's keyward.conf, and the attack loads the same
 * file: dlopen gives both the same instance, so `counting_calls` is what Keyward asked of the
 * vendor's module in this process. One count per function of counting.def, in its order; atomic;
 * they only grow. $ATTACK_VENDOR names another module to forward to.
 */
#ifndef ATTACK_COUNTING_H
#define ATTACK_COUNTING_H

#include <stdatomic.h>

#include "cryptoki.h"

enum counting_function {
#define COUNTED(name, parameters, arguments) COUNTING_##name,
#include "counting.def"
#undef COUNTED
    COUNTING_FUNCTIONS
};

/* The name under which the array of COUNTING_FUNCTIONS counts is exported. */
#define COUNTING_SYMBOL "counting_calls"

__attribute__((visibility("default"))) extern atomic_ulong counting_calls[COUNTING_FUNCTIONS];
__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list);

#endif
