/*
 * front.h: what every module in front of another one begins with: the other one's function table.
 *
 * Stateless; the module that is loaded stays loaded.
 */
#ifndef FAULT_FRONT_H
#define FAULT_FRONT_H

#include <dlfcn.h>

#include "cryptoki.h"

#define FRONT_SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"

/* The PKCS#11 2.40 functions of the module at `path`, or NULL. */
static inline CK_FUNCTION_LIST *front_load(const char *path)
{
    CK_C_GetFunctionList list = NULL;
    CK_FUNCTION_LIST *functions = NULL;
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (module != NULL) {
        *(void **)(void *)&list = dlsym(module, "C_GetFunctionList");
    }
    return list != NULL && list(&functions) == CKR_OK ? functions : NULL;
}

#endif
