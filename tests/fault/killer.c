#include "killer.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "front.h"

static CK_FUNCTION_LIST *vendor;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_ulong calls;
static unsigned long kill_at; /* 0: never */
static bool kill_after;
static int record = -1;

static void die(void)
{
    (void)kill(getpid(), SIGKILL);
}

/* The number of this call. One write for the whole line, so that the file is right up to the last call, whoever dies. */
static unsigned long begin_call(const char *name)
{
    unsigned long number = atomic_fetch_add(&calls, 1) + 1;
    char line[64] = "";
    size_t len = strlen(name);
    if (record >= 0 && len < sizeof line) {
        memcpy(line, name, len);
        line[len] = '\n';
        if (write(record, line, len + 1) < 0) {
            die(); /* a matrix with a wrong count would prove nothing */
        }
    }
    if (number == kill_at && !kill_after) {
        die();
    }
    return number;
}

static CK_RV end_call(unsigned long number, CK_RV rv)
{
    if (number == kill_at && kill_after) {
        die();
    }
    return rv;
}

#define COUNTED(name, parameters, arguments)                                                                 \
    static CK_RV forward_##name parameters                                                                   \
    {                                                                                                        \
        unsigned long number = begin_call(#name);                                                            \
        return end_call(number, vendor->name arguments);                                                     \
    }
#include "counting.def"
#undef COUNTED

static CK_FUNCTION_LIST table = {
    .version = {2, 40},
    .C_GetFunctionList = C_GetFunctionList,
#define COUNTED(name, parameters, arguments) .name = forward_##name,
#include "counting.def"
#undef COUNTED
};

static void load(void)
{
    const char *path = getenv("KW_KILL_LOG");
    const char *at = getenv("KW_KILL_AT");
    const char *when = getenv("KW_KILL_WHEN");
    kill_at = at == NULL ? 0 : strtoul(at, NULL, 10);
    kill_after = when != NULL && strcmp(when, "after") == 0;
    if (path != NULL) {
        record = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    vendor = path != NULL && record < 0 ? NULL : front_load(FRONT_SOFTHSM);
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
