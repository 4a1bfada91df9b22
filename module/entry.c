#include "entry.h"

#include <stddef.h>
#include <string.h>

#include "find.h"
#include "library.h"
#include "log.h"
#include "object.h"
#include "session.h"
#include "slot.h"
#include "wrap.h"

/* The refused functions do not look at their arguments. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

#define KW_EXPORT __attribute__((visibility("default")))

#define KW_FUNCTION(table, name, gate, call, parameters) KW_EXPORT CK_RV name parameters;
#include "functions.def"
#undef KW_FUNCTION

static struct kw_rv kw_entry_function_list(CK_FUNCTION_LIST **list);
static struct kw_rv kw_entry_interface_list(CK_INTERFACE *list, CK_ULONG *count);
static struct kw_rv kw_entry_interface(const CK_UTF8CHAR *name, const CK_VERSION *version, CK_INTERFACE **interface, CK_FLAGS flags);

/* The edge: an error becomes a CK_RV, and one line in the log. */
static CK_RV answer(const char *name, struct kw_rv r)
{
    if (!kw_ok(r)) {
        enum kw_class class = kw_error_class(r.code);
        bool ours = class == KW_CLASS_DEVICE || class == KW_CLASS_CREDENTIAL || class == KW_CLASS_CAPACITY ||
                    r.code == CKR_WRAPPED_KEY_INVALID;
        bool expected = r.code == CKR_SLOT_ID_INVALID || r.code == CKR_CRYPTOKI_NOT_INITIALIZED ||
                        r.code == CKR_USER_ALREADY_LOGGED_IN;
        kw_log(ours && !expected ? KW_LOG_WARNING : KW_LOG_DEBUG, "%s: %s (%s)", name, kw_error_name(r.code), r.why);
    }
    return r.code;
}

#define KW_IN(p, n) ((struct kw_in){(p), (n)})
#define KW_OUT(p, n) ((struct kw_out){(p), (n)})
#define KW_PAIR(a, b) ((struct kw_key_pair){(a), (b)})
#define KW_WRAPPED(key, p, n, associated) ((struct kw_wrapped_in){(key), {(p), (n)}, (associated)})
#define KW_TEMPLATE(p, n) ((struct kw_template_in){(p), (n)})
#define KW_REFUSED KW_FAIL(CKR_FUNCTION_NOT_SUPPORTED, "Keyward wraps and unwraps data keys and does nothing else")
#define KW_NOT_PARALLEL KW_FAIL(CKR_FUNCTION_NOT_PARALLEL, "no function runs in parallel")

#define KW_GATE_ALWAYS(name, call) return answer(#name, call);
#define KW_GATE_LIBRARY(name, call)     \
    struct kw_rv r = kw_library_enter(); \
    if (kw_ok(r)) {                     \
        r = call;                       \
        kw_library_leave();             \
    }                                   \
    return answer(#name, r);
#define KW_GATE_SESSION(name, call)                \
    struct kw_session *s = NULL;                   \
    struct kw_rv r = kw_session_enter(session, &s); \
    if (kw_ok(r)) {                                \
        r = call;                                  \
        kw_session_leave(s);                       \
    }                                              \
    return answer(#name, r);
#define KW_GATE_LOCKED(name, call)                        \
    struct kw_session *s = NULL;                          \
    kw_face_lock();                                       \
    struct kw_rv r = kw_session_enter_locked(session, &s); \
    if (kw_ok(r)) {                                       \
        r = call;                                         \
        kw_session_leave_locked(s);                       \
    }                                                     \
    kw_face_unlock();                                     \
    return answer(#name, r);
#define KW_GATE_REFUSED(name, call) KW_GATE_SESSION(name, KW_REFUSED)
#define KW_GATE_REFUSED_SLOT(name, call) KW_GATE_LIBRARY(name, KW_REFUSED)
#define KW_GATE_PARALLEL(name, call) KW_GATE_SESSION(name, KW_NOT_PARALLEL)

#define KW_FUNCTION(table, name, gate, call, parameters) \
    CK_RV name parameters                                \
    {                                                    \
        KW_GATE_##gate(name, call)                       \
    }
#include "functions.def"
#undef KW_FUNCTION

#define KW_FUNCTION(table, name, gate, call, parameters) KW_ROW_##table(name)
#define KW_ROW_2_40(name) .name = name,
#define KW_ROW_3_0(name)
#define KW_ROW_3_2(name)
static CK_FUNCTION_LIST functions_2_40 = {.version = {2, 40},
#include "functions.def"
};
#undef KW_ROW_3_0
#define KW_ROW_3_0(name) .name = name,
static struct kw_functions_3_0 functions_3_0 = {.version = {3, 0},
#include "functions.def"
};
#undef KW_ROW_3_2
#define KW_ROW_3_2(name) .name = name,
static struct kw_functions_3_2 functions_3_2 = {.version = {3, 2},
#include "functions.def"
};
#undef KW_FUNCTION

/* A row too many, too few or out of order does not compile: each member of 2.40 stands where p11-kit's header has it. */
#define KW_FUNCTION(table, name, gate, call, parameters) KW_AT_##table(name)
#define KW_AT_2_40(name) \
    _Static_assert(offsetof(CK_FUNCTION_LIST, name) == offsetof(struct kw_functions_3_2, name), "order of " #name);
#define KW_AT_3_0(name)
#define KW_AT_3_2(name)
#include "functions.def"
#undef KW_FUNCTION
_Static_assert(sizeof functions_2_40 == sizeof(void *) * (1 + 68), "2.40 has 68 functions");
_Static_assert(sizeof functions_3_0 == sizeof(void *) * (1 + 68 + 24), "3.0 has 24 more");
_Static_assert(sizeof functions_3_2 == sizeof(void *) * (1 + 68 + 24 + 12), "3.2 has 12 more");

static CK_CHAR interface_name[] = "PKCS 11";

/* The first one is the default: callers that ask for no version get what C_GetFunctionList gives. */
static CK_INTERFACE interfaces[] = {
    {interface_name, &functions_2_40, CKF_INTERFACE_FORK_SAFE},
    {interface_name, &functions_3_0, CKF_INTERFACE_FORK_SAFE},
    {interface_name, &functions_3_2, CKF_INTERFACE_FORK_SAFE},
};
enum { INTERFACES = sizeof interfaces / sizeof interfaces[0] };

static struct kw_rv kw_entry_function_list(CK_FUNCTION_LIST **list)
{
    if (list == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the function list");
    }
    *list = &functions_2_40;
    return KW_OK;
}

static struct kw_rv kw_entry_interface_list(CK_INTERFACE *list, CK_ULONG *count)
{
    if (count == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the number of interfaces");
    }
    CK_ULONG room = *count;
    *count = INTERFACES;
    if (list == NULL) {
        return KW_OK;
    }
    if (room < INTERFACES) {
        return KW_FAIL(CKR_BUFFER_TOO_SMALL, "the caller's list is too short");
    }
    memcpy(list, interfaces, sizeof interfaces);
    return KW_OK;
}

static struct kw_rv kw_entry_interface(const CK_UTF8CHAR *name, const CK_VERSION *version, CK_INTERFACE **interface, CK_FLAGS flags)
{
    if (interface == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the interface");
    }
    for (size_t i = 0; i < INTERFACES; i++) {
        const CK_VERSION *v = interfaces[i].pFunctionList;
        bool same_name = name == NULL || strncmp((const char *)name, (const char *)interface_name, sizeof interface_name) == 0;
        bool same_version = version == NULL || (version->major == v->major && version->minor == v->minor);
        if (same_name && same_version && (flags & ~interfaces[i].flags) == 0) {
            *interface = &interfaces[i];
            return KW_OK;
        }
    }
    return KW_FAIL(CKR_FUNCTION_FAILED, "there is no such interface");
}
