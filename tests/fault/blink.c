/*
 * blink.c: blink.so, the module in front of SoftHSM that loses sight of its tokens for a moment: in each process the calls of C_GetTokenInfo
 * number $KW_BLINK_FROM to $KW_BLINK_TO fail with CKR_GENERAL_ERROR. So SoftHSM answers while another process logs in. While it is loaded it forks, as
 * a module does that starts a helper.
 */
#include <p11-kit/pkcs11.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list);

#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"

static CK_FUNCTION_LIST *vendor;
static CK_FUNCTION_LIST table;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_ulong calls;
static unsigned long from;
static unsigned long to;

__attribute__((constructor)) static void start_helper(void)
{
    pid_t helper = fork();
    if (helper == 0) {
        _exit(0);
    }
    (void)waitpid(helper, NULL, 0);
}

static CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
    unsigned long number = atomic_fetch_add(&calls, 1) + 1;
    return number >= from && number <= to ? CKR_GENERAL_ERROR : vendor->C_GetTokenInfo(slot, info);
}

static unsigned long number_of(const char *name)
{
    const char *text = getenv(name);
    return text == NULL ? 0 : strtoul(text, NULL, 10);
}

static void load(void)
{
    CK_C_GetFunctionList list = NULL;
    void *module = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL);
    from = number_of("KW_BLINK_FROM");
    to = number_of("KW_BLINK_TO");
    if (module != NULL) {
        *(void **)(void *)&list = dlsym(module, "C_GetFunctionList");
    }
    if (list != NULL && list(&vendor) == CKR_OK) {
        table = *vendor;
        table.C_GetFunctionList = C_GetFunctionList;
        table.C_GetTokenInfo = token_info;
    }
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
    (void)pthread_once(&once, load);
    if (list == NULL || vendor == NULL) {
        return list == NULL ? CKR_ARGUMENTS_BAD : CKR_GENERAL_ERROR;
    }
    *list = &table;
    return CKR_OK;
}
