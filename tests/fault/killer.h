/*
 * killer.h: killer.so, a PKCS#11 module that forwards every call to SoftHSM and kills its process at one of them.
 *
 * It is the module-path of the tokens in the keyward.conf of tests/fault/crash. The environment says what happens:
 *   KW_KILL_LOG=FILE   a line with the name of each function is added to the file before the call
 *   KW_KILL_AT=N       at the call number N of this process, from 1 on, kill(getpid(), SIGKILL)
 *   KW_KILL_WHEN=WORD  before (default) or after the real call
 * Without them it only forwards. C_GetFunctionList is not counted: it asks nothing of the token.
 */
#ifndef FAULT_KILLER_H
#define FAULT_KILLER_H

#include "cryptoki.h"

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list);

#endif
