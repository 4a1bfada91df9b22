#include "codes.h"

#include <stddef.h>
#include <string.h>

enum { MOST = 20 };

/* The lists of PKCS#11 3.2, compared with its text (working/doc/spec of oasis-tcs/pkcs11) on 2026-11-27. Section 5.1.1, and what every
 * function may say that looks at arguments or needs C_Initialize. */
static const CK_RV any[] = {
    CKR_OK, CKR_GENERAL_ERROR, CKR_HOST_MEMORY, CKR_FUNCTION_FAILED, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_ARGUMENTS_BAD,
};

/* Sections 5.1.2 and 5.1.3: all functions but those named there use a session, and a token. */
static const CK_RV of_session[] = {CKR_SESSION_HANDLE_INVALID, CKR_DEVICE_REMOVED, CKR_SESSION_CLOSED};
static const CK_RV of_token[] = {CKR_DEVICE_MEMORY, CKR_DEVICE_ERROR, CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_REMOVED};
static const char *const without_session[] = {
    "C_Initialize", "C_Finalize", "C_GetInfo", "C_GetFunctionList", "C_GetSlotList", "C_GetSlotInfo", "C_GetTokenInfo",
    "C_WaitForSlotEvent", "C_GetMechanismList", "C_GetMechanismInfo", "C_InitToken", "C_OpenSession", "C_CloseAllSessions",
    "C_GetInterfaceList", "C_GetInterface",
};
static const char *const without_token[] = {
    "C_Initialize", "C_Finalize", "C_GetInfo", "C_GetFunctionList", "C_GetSlotList", "C_GetSlotInfo", "C_WaitForSlotEvent",
    "C_GetInterfaceList", "C_GetInterface",
};
/* CKR_CRYPTOKI_NOT_INITIALIZED is no answer of these (section 5.1.6). */
static const char *const before_initialize[] = {"C_Initialize", "C_GetFunctionList", "C_GetInterfaceList", "C_GetInterface"};

struct list {
    const char *function;
    CK_RV codes[MOST]; /* up to the first CKR_OK */
};

#define TEMPLATE_CODES                                                                                                \
    CKR_ATTRIBUTE_READ_ONLY, CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID, CKR_SESSION_READ_ONLY,          \
        CKR_TEMPLATE_INCOMPLETE, CKR_TEMPLATE_INCONSISTENT, CKR_TOKEN_WRITE_PROTECTED, CKR_USER_NOT_LOGGED_IN
#define MECHANISM_CODES CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID, CKR_OPERATION_ACTIVE

static const struct list standard[] = {
    {"C_Initialize", {CKR_CANT_LOCK, CKR_CRYPTOKI_ALREADY_INITIALIZED, CKR_NEED_TO_CREATE_THREADS}},
    {"C_GetSlotList", {CKR_BUFFER_TOO_SMALL}},
    {"C_GetSlotInfo", {CKR_DEVICE_ERROR, CKR_SLOT_ID_INVALID}},
    {"C_GetTokenInfo", {CKR_SLOT_ID_INVALID, CKR_TOKEN_NOT_RECOGNIZED}},
    {"C_GetMechanismList", {CKR_BUFFER_TOO_SMALL, CKR_SLOT_ID_INVALID, CKR_TOKEN_NOT_RECOGNIZED}},
    {"C_GetMechanismInfo", {CKR_MECHANISM_INVALID, CKR_SLOT_ID_INVALID, CKR_TOKEN_NOT_RECOGNIZED}},
    {"C_WaitForSlotEvent", {CKR_NO_EVENT}},
    {"C_OpenSession",
     {CKR_SESSION_COUNT, CKR_SESSION_PARALLEL_NOT_SUPPORTED, CKR_SLOT_ID_INVALID, CKR_TOKEN_NOT_RECOGNIZED,
      CKR_TOKEN_WRITE_PROTECTED}},
    {"C_CloseAllSessions", {CKR_SLOT_ID_INVALID}},
    {"C_Login", {CKR_OPERATION_NOT_INITIALIZED, CKR_PIN_INCORRECT, CKR_PIN_LOCKED, CKR_USER_ALREADY_LOGGED_IN, CKR_USER_TYPE_INVALID}},
    {"C_LoginUser", {CKR_OPERATION_NOT_INITIALIZED, CKR_PIN_INCORRECT, CKR_PIN_LOCKED, CKR_USER_ALREADY_LOGGED_IN, CKR_USER_TYPE_INVALID}},
    {"C_Logout", {CKR_USER_NOT_LOGGED_IN}},
    {"C_CreateObject", {TEMPLATE_CODES}},
    {"C_DestroyObject", {CKR_ACTION_PROHIBITED, CKR_OBJECT_HANDLE_INVALID, CKR_SESSION_READ_ONLY, CKR_TOKEN_WRITE_PROTECTED}},
    {"C_GetObjectSize", {CKR_INFORMATION_SENSITIVE, CKR_OBJECT_HANDLE_INVALID}},
    {"C_GetAttributeValue", {CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_BUFFER_TOO_SMALL, CKR_OBJECT_HANDLE_INVALID}},
    {"C_SetAttributeValue",
     {CKR_ACTION_PROHIBITED, CKR_ATTRIBUTE_READ_ONLY, CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID,
      CKR_OBJECT_HANDLE_INVALID, CKR_SESSION_READ_ONLY, CKR_TEMPLATE_INCONSISTENT, CKR_TOKEN_WRITE_PROTECTED,
      CKR_USER_NOT_LOGGED_IN}},
    {"C_FindObjectsInit", {CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID, CKR_OPERATION_ACTIVE}},
    {"C_FindObjects", {CKR_OPERATION_NOT_INITIALIZED}},
    {"C_FindObjectsFinal", {CKR_OPERATION_NOT_INITIALIZED}},
    {"C_GenerateKey", {TEMPLATE_CODES, MECHANISM_CODES}},
    {"C_WrapKey",
     {MECHANISM_CODES, CKR_BUFFER_TOO_SMALL, CKR_KEY_HANDLE_INVALID, CKR_KEY_NOT_WRAPPABLE, CKR_KEY_SIZE_RANGE,
      CKR_KEY_UNEXTRACTABLE, CKR_USER_NOT_LOGGED_IN, CKR_WRAPPING_KEY_HANDLE_INVALID, CKR_WRAPPING_KEY_SIZE_RANGE,
      CKR_WRAPPING_KEY_TYPE_INCONSISTENT}},
    {"C_UnwrapKey",
     {TEMPLATE_CODES, MECHANISM_CODES, CKR_UNWRAPPING_KEY_HANDLE_INVALID, CKR_UNWRAPPING_KEY_SIZE_RANGE,
      CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, CKR_WRAPPED_KEY_INVALID, CKR_WRAPPED_KEY_LEN_RANGE}},
    {"C_GenerateRandom", {CKR_OPERATION_ACTIVE, CKR_RANDOM_NO_RNG, CKR_USER_NOT_LOGGED_IN}},
    {"C_GetInterfaceList", {CKR_BUFFER_TOO_SMALL}},
    {"C_SessionCancel", {CKR_OPERATION_CANCEL_FAILED}},
};

/* What Keyward answers beyond the lists. */
static const struct list ours[] = {
    {"C_WaitForSlotEvent", {CKR_FUNCTION_NOT_SUPPORTED}}, /* there is nothing to block for */
    /* DESIGN section 4: the state of a version is its usage bits, and this is the standard's word for a bit that is not set. */
    {"C_WrapKey", {CKR_KEY_FUNCTION_NOT_PERMITTED}},
    {"C_UnwrapKey", {CKR_KEY_FUNCTION_NOT_PERMITTED}},
    /* policy.h: a length that no data key has. */
    {"C_GenerateKey", {CKR_KEY_SIZE_RANGE}},
    /* DESIGN section 3: nothing is served before C_Login. */
    {"C_DestroyObject", {CKR_USER_NOT_LOGGED_IN}},
    {"C_GetObjectSize", {CKR_USER_NOT_LOGGED_IN}},
    {"C_GetAttributeValue", {CKR_USER_NOT_LOGGED_IN}},
    /* A PIN that no token can have is not compared with one. */
    {"C_Login", {CKR_PIN_LEN_RANGE}},
    {"C_LoginUser", {CKR_PIN_LEN_RANGE}},
};

static bool has(const struct list *lists, size_t count, const char *function, CK_RV rv)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; strcmp(lists[i].function, function) == 0 && k < MOST && lists[i].codes[k] != CKR_OK; k++) {
            if (lists[i].codes[k] == rv) {
                return true;
            }
        }
    }
    return false;
}

static bool is_among(const CK_RV *codes, size_t count, CK_RV rv)
{
    size_t i = 0;
    while (i < count && codes[i] != rv) {
        i++;
    }
    return i < count;
}

static bool is_named(const char *const *names, size_t count, const char *function)
{
    size_t i = 0;
    while (i < count && strcmp(names[i], function) != 0) {
        i++;
    }
    return i < count;
}

#define AMONG(codes, rv) is_among(codes, sizeof(codes) / sizeof(codes)[0], rv)
#define NAMED(names, function) is_named(names, sizeof(names) / sizeof(names)[0], function)

bool codes_allow(const char *function, CK_RV rv)
{
    if (rv == CKR_CRYPTOKI_NOT_INITIALIZED && NAMED(before_initialize, function)) {
        return false;
    }
    if (AMONG(any, rv) || (AMONG(of_session, rv) && !NAMED(without_session, function)) ||
        (AMONG(of_token, rv) && !NAMED(without_token, function))) {
        return true;
    }
    return has(standard, sizeof standard / sizeof standard[0], function, rv) ||
           has(ours, sizeof ours / sizeof ours[0], function, rv);
}
