#include "rules.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { POLL_US = 500, HANDLE_STEP = 1 };

static CK_FUNCTION_LIST *vendor;
static struct faulty_control nothing;
static struct faulty_control *control = &nothing;
static atomic_ulong shift; /* of object handles; grows with each renumbering */
static atomic_long sessions;

bool rules_start(CK_FUNCTION_LIST *to)
{
    const char *path = getenv("FAULTY_CONTROL");
    struct stat st;
    vendor = to;
    if (path == NULL) {
        return true;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size != (off_t)sizeof *control) {
        return false;
    }
    void *map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (map == MAP_FAILED) {
        return false;
    }
    control = map;
    return true;
}

CK_OBJECT_HANDLE rules_inner(CK_OBJECT_HANDLE handle)
{
    return handle == CK_INVALID_HANDLE ? handle : handle - atomic_load(&shift);
}

CK_OBJECT_HANDLE rules_outer(CK_OBJECT_HANDLE handle)
{
    return handle == CK_INVALID_HANDLE ? handle : handle + atomic_load(&shift);
}

void rules_count_sessions(int opened)
{
    (void)atomic_fetch_add(&sessions, opened);
}

void rules_no_sessions(void)
{
    atomic_store(&sessions, 0);
}

long rules_sessions(void)
{
    return atomic_load(&sessions);
}

void rules_count_pin(CK_RV rv)
{
    (void)atomic_fetch_add(&control->pins, 1);
    if (rv == CKR_PIN_INCORRECT) {
        (void)atomic_fetch_add(&control->wrong_pins, 1);
    }
}

/* Which call is about which token. */

static bool takes_slot(enum faulty_function f)
{
    return f == FAULTY_C_GetSlotInfo || f == FAULTY_C_GetTokenInfo || f == FAULTY_C_GetMechanismList || f == FAULTY_C_GetMechanismInfo ||
           f == FAULTY_C_InitToken || f == FAULTY_C_OpenSession || f == FAULTY_C_CloseAllSessions;
}

static bool takes_session(enum faulty_function f)
{
    return !takes_slot(f) && f != FAULTY_C_Initialize && f != FAULTY_C_Finalize && f != FAULTY_C_GetInfo && f != FAULTY_C_GetSlotList &&
           f != FAULTY_C_WaitForSlotEvent;
}

/* The slot that the call is about; false when it is about none. */
static bool slot_of(enum faulty_function f, CK_ULONG first, CK_SLOT_ID *slot)
{
    CK_SESSION_INFO info;
    *slot = first;
    if (takes_session(f)) {
        if (vendor->C_GetSessionInfo(first, &info) != CKR_OK) {
            return false;
        }
        *slot = info.slotID;
    }
    return takes_slot(f) || takes_session(f);
}

static bool has_label(CK_SLOT_ID slot, const char *label)
{
    CK_TOKEN_INFO info;
    size_t len = strlen(label);
    return vendor->C_GetTokenInfo(slot, &info) == CKR_OK && memcmp(info.label, label, len) == 0 &&
           (len == sizeof info.label || info.label[len] == ' ');
}

static bool fits(const struct faulty_rule *r, enum faulty_function f, CK_ULONG first)
{
    CK_SLOT_ID slot = 0;
    if (atomic_load(&r->armed) == 0 || (r->function != FAULTY_ANY && r->function != (unsigned)f)) {
        return false;
    }
    if (r->act == FAULTY_VANISH && f == FAULTY_C_GetSlotList) {
        return false; /* the list itself is shortened, rules_vanished */
    }
    return r->token[0] == '\0' || (slot_of(f, first, &slot) && has_label(slot, r->token));
}

/* The rule that acts on this call, or NULL. */
static struct faulty_rule *choose(enum faulty_function f, CK_ULONG first)
{
    for (size_t i = 0; i < FAULTY_RULES; i++) {
        struct faulty_rule *r = &control->rules[i];
        if (fits(r, f, first)) {
            unsigned long seen = atomic_fetch_add(&r->seen, 1);
            if (seen >= r->skip && (r->times == 0 || seen < r->skip + r->times)) {
                (void)atomic_fetch_add(&r->acted, 1);
                return r;
            }
        }
    }
    return NULL;
}

bool rules_vanished(CK_SLOT_ID slot)
{
    for (size_t i = 0; i < FAULTY_RULES; i++) {
        const struct faulty_rule *r = &control->rules[i];
        bool over = r->times != 0 && atomic_load(&r->acted) >= r->times;
        if (atomic_load(&r->armed) != 0 && r->act == FAULTY_VANISH && !over && (r->token[0] == '\0' || has_label(slot, r->token))) {
            return true;
        }
    }
    return false;
}

/* Acts. */

static void hang(const struct faulty_rule *r, CK_ULONG ms)
{
    for (CK_ULONG us = 0; atomic_load(&r->armed) != 0 && us < ms * 1000; us += POLL_US) {
        (void)usleep(POLL_US);
    }
}

static void renumber(void)
{
    CK_C_INITIALIZE_ARGS args = {NULL, NULL, NULL, NULL, CKF_OS_LOCKING_OK, NULL};
    (void)vendor->C_Finalize(NULL);
    (void)vendor->C_Initialize(&args);
    rules_no_sessions();
    (void)atomic_fetch_add(&shift, HANDLE_STEP);
}

static void drop(enum faulty_function f, CK_ULONG first, bool logout)
{
    CK_SLOT_ID slot = 0;
    if (!slot_of(f, first, &slot)) {
        return;
    }
    if (logout) {
        (void)vendor->C_Logout(first);
    } else {
        (void)vendor->C_CloseAllSessions(slot);
        rules_no_sessions();
    }
}

static CK_RV vanished(enum faulty_function f, CK_ULONG first, bool *over)
{
    *over = takes_slot(f) || takes_session(f);
    if (takes_session(f)) {
        drop(f, first, false);
    }
    return takes_slot(f) ? CKR_TOKEN_NOT_PRESENT : CKR_DEVICE_REMOVED;
}

static struct rules_call judge(enum faulty_function f, CK_ULONG first)
{
    struct rules_call call = {0};
    (void)atomic_fetch_add(&control->calls[f], 1);
    const struct faulty_rule *r = choose(f, first);
    if (r == NULL) {
        return call;
    }
    call = (struct rules_call){.rule = r, .act = (enum faulty_act)r->act, .value = r->value};
    switch (call.act) {
    case FAULTY_CODE:
        call.over = true;
        call.rv = call.value;
        break;
    case FAULTY_DELAY:
        (void)usleep((useconds_t)call.value * 1000);
        break;
    case FAULTY_HANG:
        hang(r, call.value);
        break;
    case FAULTY_SEGV:
        (void)signal(SIGSEGV, SIG_DFL);
        (void)raise(SIGSEGV);
        break;
    case FAULTY_EXIT:
        _exit((int)call.value);
    case FAULTY_RENUMBER:
        renumber();
        break;
    case FAULTY_DROP:
    case FAULTY_LOGOUT:
        drop(f, first, call.act == FAULTY_LOGOUT);
        break;
    case FAULTY_VANISH:
        call.rv = vanished(f, first, &call.over);
        break;
    default:
        break; /* faulty.c lies where the function has something to lie about */
    }
    return call;
}

struct rules_call rules_begin(enum faulty_function f, CK_ULONG first)
{
    (void)atomic_fetch_add(&control->inside, 1);
    struct rules_call call = judge(f, first);
    if (call.over) {
        (void)atomic_fetch_sub(&control->inside, 1);
    }
    return call;
}

CK_RV rules_end(const struct rules_call *call, CK_RV rv)
{
    (void)atomic_fetch_sub(&control->inside, 1);
    return call->rule != NULL && call->act == FAULTY_LATE ? call->value : rv;
}

static CK_OBJECT_HANDLE make_aes(CK_SESSION_HANDLE session)
{
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    CK_ULONG len = 32;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ATTRIBUTE t[] = {{CKA_TOKEN, &no, sizeof no},   {CKA_PRIVATE, &yes, sizeof yes}, {CKA_SENSITIVE, &no, sizeof no},
                        {CKA_WRAP, &yes, sizeof yes},  {CKA_UNWRAP, &yes, sizeof yes},  {CKA_EXTRACTABLE, &yes, sizeof yes},
                        {CKA_VALUE_LEN, &len, sizeof len}};
    return vendor->C_GenerateKey(session, &mechanism, t, sizeof t / sizeof t[0], &key) == CKR_OK ? key : CK_INVALID_HANDLE;
}

/* In a session of its own: the caller's may be in the middle of a search. */
static CK_OBJECT_HANDLE find_stranger(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class)
{
    char label[] = RULES_STRANGER;
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, label, sizeof label - 1}};
    CK_SESSION_INFO info;
    CK_SESSION_HANDLE own = 0;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_ULONG count = 0;
    if (vendor->C_GetSessionInfo(session, &info) != CKR_OK ||
        vendor->C_OpenSession(info.slotID, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &own) != CKR_OK) {
        return CK_INVALID_HANDLE;
    }
    if (vendor->C_FindObjectsInit(own, t, 2) == CKR_OK) {
        (void)vendor->C_FindObjects(own, &key, 1, &count);
        (void)vendor->C_FindObjectsFinal(own);
    }
    (void)vendor->C_CloseSession(own);
    return count == 1 ? key : CK_INVALID_HANDLE;
}

CK_OBJECT_HANDLE rules_other_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE like)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_ATTRIBUTE a = {CKA_CLASS, &class, sizeof class};
    (void)vendor->C_GetAttributeValue(session, like, &a, 1);
    return class == CKO_SECRET_KEY ? make_aes(session) : find_stranger(session, class);
}
