#include "counting.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"

atomic_ulong counting_calls[COUNTING_FUNCTIONS];

static CK_FUNCTION_LIST *vendor;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* PKCS#11 names the types of the parameters in the prototypes; the rows of counting.def repeat them. */
#define COUNTED(name, parameters, arguments)                                                                 \
    static CK_RV count_##name parameters                                                                     \
    {                                                                                                        \
        (void)atomic_fetch_add(&counting_calls[COUNTING_##name], 1);                                         \
        return vendor->name arguments;                                                                       \
    }
#include "counting.def"
#undef COUNTED

static CK_FUNCTION_LIST table = {
    .version = {2, 40},
    .C_GetFunctionList = C_GetFunctionList,
#define COUNTED(name, parameters, arguments) .name = count_##name,
#include "counting.def"
#undef COUNTED
};

static void load(void)
{
    const char *path = getenv("ATTACK_VENDOR");
    CK_C_GetFunctionList list = NULL;
    void *module = dlopen(path == NULL ? SOFTHSM : path, RTLD_NOW | RTLD_LOCAL);
    if (module != NULL) {
        *(void **)(void *)&list = dlsym(module, "C_GetFunctionList");
    }
    if (list == NULL || list(&vendor) != CKR_OK) {
        vendor = NULL;
    }
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
    (void)pthread_once(&once, load);
    if (list == NULL) {
        return CKR_ARGUMENTS_BAD;
    }
    if (vendor == NULL) {
        return CKR_GENERAL_ERROR;
    }
    *list = &table;
    return CKR_OK;
}
