/* face_library.c: general purpose, slots, sessions, login (PKCS#11 3.2 sections 5.4 to 5.6), random numbers. */
#include "face.h"

#include <stdio.h>
#include <string.h>

#include "entry.h"
#include "library.h"
#include "slot.h"

#define KW_FUNCTION(table, name, gate, call, parameters) CK_RV name parameters;
#include "functions.def"
#undef KW_FUNCTION

/* Mutex callbacks that nobody may call. */
static CK_RV no_create(CK_VOID_PTR_PTR mutex)
{
    (void)mutex;
    input_finding(__FILE__, __LINE__, "a mutex callback is called");
}

static CK_RV no_use(CK_VOID_PTR mutex)
{
    (void)mutex;
    input_finding(__FILE__, __LINE__, "a mutex callback is called");
}

static void initialized(struct face *f)
{
    f->ledger.initialized = true;
    for (size_t i = 0; i < RECORDING_SLOTS && f->slots[i] != 0; i++) {
        INPUT_MUST(kw_library()->slots[i].id == f->slots[i], "a slot id does not survive C_Initialize");
    }
}

static void finalized(struct face *f)
{
    ledger_finalize(&f->ledger);
    INPUT_MUST(kw_secret_alive() == 0, "a secret survives C_Finalize");
    INPUT_MUST(recording_trouble() || recording_session_keys() == 0, "a session object survives C_Finalize in the token");
}

void face_start(struct face *f)
{
    CK_RV rv = CKR_OK;
    FACE_CALL(f, rv, C_Initialize, NULL);
    INPUT_MUST(rv == CKR_OK, "C_Initialize fails");
    initialized(f);
}

void face_finish(struct face *f)
{
    CK_RV rv = CKR_OK;
    FACE_CALL(f, rv, C_Finalize, NULL);
    INPUT_MUST(rv == (f->ledger.initialized ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED), "C_Finalize fails");
    finalized(f);
}

static void *reserved_text(struct face *f)
{
    char text[96];
    switch (input_below(&f->in, 8)) {
    case 0:
        (void)snprintf(text, sizeof text, "config=%s", face_config_path());
        return input_copy(&f->in, text, strlen(text) + 1);
    case 1:
        return input_copy(&f->in, "config=/nowhere", 16);
    case 2:
        return input_copy(&f->in, "config", 7);
    case 3:
        return (void *)(uintptr_t)1;
    default:
        return NULL;
    }
}

static void op_initialize(struct face *f)
{
    CK_C_INITIALIZE_ARGS *args = NULL;
    CK_RV rv = CKR_OK;
    if (input_flag(&f->in)) {
        CK_C_INITIALIZE_ARGS a = {.flags = input_byte(&f->in)};
        unsigned which = input_byte(&f->in);
        a.CreateMutex = (which & 1) != 0 ? no_create : NULL;
        a.DestroyMutex = (which & 2) != 0 ? no_use : NULL;
        a.LockMutex = (which & 4) != 0 ? no_use : NULL;
        a.UnlockMutex = (which & 8) != 0 ? no_use : NULL;
        a.pReserved = reserved_text(f);
        args = input_copy(&f->in, &a, sizeof a);
    }
    FACE_CALL(f, rv, C_Initialize, args);
    INPUT_MUST(f->ledger.initialized == (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED), "C_Initialize does not know whether it was called");
    if (rv == CKR_OK) {
        initialized(f);
    }
}

static void op_finalize(struct face *f)
{
    CK_RV rv = CKR_OK;
    void *reserved = input_flag(&f->in) ? input_room(&f->in, 1) : NULL;
    FACE_CALL(f, rv, C_Finalize, reserved);
    CK_RV want = reserved == NULL ? CKR_OK : CKR_ARGUMENTS_BAD;
    INPUT_MUST(rv == (f->ledger.initialized ? want : CKR_CRYPTOKI_NOT_INITIALIZED), "C_Finalize answers another code");
    if (rv == CKR_OK) {
        finalized(f);
    }
}

static void op_info(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_INFO *info = face_place(f, sizeof *info);
    FACE_CALL(f, rv, C_GetInfo, info);
    face_check_place(rv, info, sizeof *info);
}

static void op_function_list(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_FUNCTION_LIST **list = face_place(f, sizeof *list);
    FACE_CALL(f, rv, C_GetFunctionList, list);
    face_check_place(rv, list, sizeof *list);
    INPUT_MUST(rv != CKR_OK || ((*list)->version.major == 2 && (*list)->version.minor == 40), "C_GetFunctionList gives no 2.40");
}

static void op_interface_list(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_ULONG room = input_below(&f->in, 6);
    CK_INTERFACE *list = input_flag(&f->in) ? NULL : input_room(&f->in, room * sizeof *list);
    CK_ULONG *count = input_flag(&f->in) ? NULL : input_copy(&f->in, &room, sizeof room);
    FACE_CALL(f, rv, C_GetInterfaceList, list, count);
    INPUT_MUST(rv == CKR_OK || list == NULL || input_untouched(list, room * sizeof *list), "an error changes the list");
    INPUT_MUST(rv != CKR_OK || *count == 3, "there are not three interfaces");
}

static void op_interface(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_UTF8CHAR *name = NULL;
    CK_VERSION *version = NULL;
    switch (input_below(&f->in, 4)) {
    case 0:
        name = input_copy(&f->in, "PKCS 11", 8);
        break;
    case 1:
        name = input_take(&f->in, 1 + input_below(&f->in, 12));
        name[0] = 0;
        break;
    default:
        break;
    }
    if (input_flag(&f->in)) {
        static const CK_VERSION versions[] = {{2, 40}, {3, 0}, {3, 2}, {3, 1}, {0, 0}};
        version = input_copy(&f->in, &versions[input_below(&f->in, 5)], sizeof *version);
    }
    CK_INTERFACE **out = face_place(f, sizeof *out);
    FACE_CALL(f, rv, C_GetInterface, name, version, out, input_byte(&f->in) % 3U);
    face_check_place(rv, out, sizeof *out);
    INPUT_MUST(rv != CKR_OK || version == NULL || memcmp((*out)->pFunctionList, version, sizeof *version) == 0,
               "C_GetInterface gives another version");
}

static void op_slot_list(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_ULONG room = input_below(&f->in, 8);
    CK_BBOOL present = input_byte(&f->in);
    CK_SLOT_ID *list = input_flag(&f->in) ? NULL : input_room(&f->in, room * sizeof *list);
    CK_ULONG *count = input_flag(&f->in) ? NULL : input_copy(&f->in, &room, sizeof room);
    FACE_CALL(f, rv, C_GetSlotList, present, list, count);
    INPUT_MUST(rv == CKR_OK || list == NULL || input_untouched(list, room * sizeof *list), "an error changes the list");
    INPUT_MUST(rv != CKR_OK || present || *count == RECORDING_SLOTS, "a slot is missing");
    INPUT_MUST(rv != CKR_BUFFER_TOO_SMALL || f->told == rv || *count > room, "CKR_BUFFER_TOO_SMALL, but it fits");
}

static void op_slot_info(struct face *f)
{
    CK_RV rv = CKR_OK;
    size_t index = 0;
    CK_SLOT_ID id = face_pick_slot(f, &index);
    CK_SLOT_INFO *info = face_place(f, sizeof *info);
    FACE_CALL(f, rv, C_GetSlotInfo, id, info);
    face_check_place(rv, info, sizeof *info);
    INPUT_MUST(rv != CKR_OK || index < RECORDING_SLOTS, "a slot that there is not has information");
}

static void op_token_info(struct face *f)
{
    CK_RV rv = CKR_OK;
    size_t index = 0;
    CK_SLOT_ID id = face_pick_slot(f, &index);
    CK_TOKEN_INFO *info = face_place(f, sizeof *info);
    FACE_CALL(f, rv, C_GetTokenInfo, id, info);
    face_check_place(rv, info, sizeof *info);
    if (rv == CKR_OK) {
        INPUT_MUST(index < RECORDING_SLOTS, "a slot that there is not has a token");
        INPUT_MUST(info->ulSessionCount == ledger_open_sessions(&f->ledger, index), "CK_TOKEN_INFO counts other sessions");
        INPUT_MUST((info->flags & CKF_LOGIN_REQUIRED) != 0, "the token says that it needs no login");
        INPUT_MUST(memchr(info->label, 0, sizeof info->label) == NULL, "the label is not padded with blanks");
    }
}

static void op_mechanism_list(struct face *f)
{
    CK_RV rv = CKR_OK;
    size_t index = 0;
    CK_SLOT_ID id = face_pick_slot(f, &index);
    CK_ULONG room = input_below(&f->in, 8);
    CK_MECHANISM_TYPE *list = input_flag(&f->in) ? NULL : input_room(&f->in, room * sizeof *list);
    CK_ULONG *count = input_flag(&f->in) ? NULL : input_copy(&f->in, &room, sizeof room);
    FACE_CALL(f, rv, C_GetMechanismList, id, list, count);
    INPUT_MUST(rv == CKR_OK || list == NULL || input_untouched(list, room * sizeof *list), "an error changes the list");
    INPUT_MUST(rv != CKR_BUFFER_TOO_SMALL || f->told == rv || *count > room, "CKR_BUFFER_TOO_SMALL, but it fits");
    for (CK_ULONG i = 0; rv == CKR_OK && list != NULL && i < *count; i++) {
        CK_MECHANISM_INFO info;
        recording_quiet(true);
        INPUT_MUST(C_GetMechanismInfo(id, list[i], &info) == CKR_OK, "a mechanism of the list has no information");
        recording_quiet(false);
    }
}

static void op_mechanism_info(struct face *f)
{
    static const CK_MECHANISM_TYPE types[] = {CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD, CKM_AES_KEY_GEN,
                                              CKM_GENERIC_SECRET_KEY_GEN, CKM_AES_CBC, CKM_RSA_PKCS};
    CK_RV rv = CKR_OK;
    size_t index = 0;
    CK_SLOT_ID id = face_pick_slot(f, &index);
    CK_MECHANISM_TYPE type = types[input_below(&f->in, sizeof types / sizeof types[0])];
    CK_MECHANISM_INFO *info = face_place(f, sizeof *info);
    FACE_CALL(f, rv, C_GetMechanismInfo, id, type, info);
    face_check_place(rv, info, sizeof *info);
    INPUT_MUST(rv != CKR_OK || (type != CKM_AES_CBC && type != CKM_RSA_PKCS), "the slot offers a mechanism that it must not");
}

static void op_wait(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_SLOT_ID *slot = face_place(f, sizeof *slot);
    void *reserved = input_flag(&f->in) ? input_room(&f->in, 1) : NULL;
    FACE_CALL(f, rv, C_WaitForSlotEvent, input_byte(&f->in) % 3U, slot, reserved);
    INPUT_MUST(rv != CKR_OK, "a slot has an event");
    face_check_place(rv, slot, sizeof *slot);
}

static void op_open(struct face *f)
{
    CK_RV rv = CKR_OK;
    size_t index = 0;
    size_t choice = input_byte(&f->in);
    CK_SLOT_ID id = face_pick_slot(f, &index);
    CK_FLAGS flags = choice < 240 ? CKF_SERIAL_SESSION | ((choice & 1) != 0 ? CKF_RW_SESSION : 0) : input_number(&f->in, 8);
    CK_SESSION_HANDLE *out = face_place(f, sizeof *out);
    if (ledger_open_sessions(&f->ledger, RECORDING_SLOTS) == LEDGER_SESSIONS) {
        return;
    }
    FACE_CALL(f, rv, C_OpenSession, id, flags, NULL, NULL, out);
    face_check_place(rv, out, sizeof *out);
    if (rv == CKR_OK) {
        INPUT_MUST(index < RECORDING_SLOTS, "a session opens on a slot that there is not");
        INPUT_MUST((flags & CKF_SERIAL_SESSION) != 0, "a parallel session opens");
        struct ledger_session *s = ledger_add_session(&f->ledger, *out);
        s->slot = index;
        s->rw = (flags & CKF_RW_SESSION) != 0;
    }
}

static void op_close(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    FACE_CALL(f, rv, C_CloseSession, handle);
    struct ledger_session *s = face_session(f, handle, rv);
    if (s != NULL) {
        INPUT_MUST(rv == CKR_OK, "an open session does not close");
        ledger_close(&f->ledger, s);
    }
}

static void op_close_all(struct face *f)
{
    CK_RV rv = CKR_OK;
    size_t index = 0;
    CK_SLOT_ID id = face_pick_slot(f, &index);
    FACE_CALL(f, rv, C_CloseAllSessions, id);
    for (size_t i = 0; rv == CKR_OK && i < f->ledger.session_count; i++) {
        struct ledger_session *s = &f->ledger.sessions[i];
        if (s->open && s->slot == index) {
            ledger_close(&f->ledger, s);
        }
    }
    INPUT_MUST(rv != CKR_OK || !recording_logged_in(index), "the last session is closed and the slot is logged in");
}

static void op_session_info(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    CK_SESSION_INFO *info = face_place(f, sizeof *info);
    FACE_CALL(f, rv, C_GetSessionInfo, handle, info);
    face_check_place(rv, info, sizeof *info);
    const struct ledger_session *s = face_session(f, handle, rv);
    if (rv == CKR_OK) {
        bool in = f->ledger.logged_in[s->slot];
        CK_STATE state = s->rw ? (in ? CKS_RW_USER_FUNCTIONS : CKS_RW_PUBLIC_SESSION)
                               : (in ? CKS_RO_USER_FUNCTIONS : CKS_RO_PUBLIC_SESSION);
        INPUT_MUST(info->slotID == f->slots[s->slot] && info->state == state, "C_GetSessionInfo tells another state");
    }
}

/* The PIN, one that is wrong, or none. */
static struct grammar_template pick_pin(struct face *f, CK_UTF8CHAR **pin)
{
    struct grammar_template t = {NULL, 0};
    size_t choice = input_below(&f->in, 16);
    if (choice < 10) {
        t.count = sizeof RECORDING_PIN - 1;
        *pin = input_copy(&f->in, RECORDING_PIN, t.count);
    } else if (choice < 12) {
        *pin = NULL;
    } else if (choice == 12) {
        *pin = NULL;
        t.count = input_byte(&f->in);
    } else if (choice == 13) {
        *pin = input_room(&f->in, 1);
        t.count = grammar_length(&f->in);
    } else {
        t.count = input_number(&f->in, 2) % 300;
        *pin = input_take(&f->in, t.count);
    }
    return t;
}

static void login(struct face *f, bool named)
{
    static const CK_USER_TYPE users[] = {CKU_USER, CKU_USER, CKU_USER, CKU_USER, CKU_USER, CKU_SO, CKU_CONTEXT_SPECIFIC, 7};
    CK_RV rv = CKR_OK;
    CK_UTF8CHAR *pin = NULL;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    CK_USER_TYPE user = users[input_below(&f->in, 8)];
    CK_ULONG len = pick_pin(f, &pin).count;
    if (named) {
        CK_ULONG name_len = input_flag(&f->in) ? grammar_length(&f->in) : 0;
        CK_UTF8CHAR *name = input_flag(&f->in) ? input_room(&f->in, 4) : NULL;
        FACE_CALL(f, rv, C_LoginUser, handle, user, pin, len, name, name_len);
        INPUT_MUST(rv != CKR_OK || name_len == 0, "a user with a name logs in");
    } else {
        FACE_CALL(f, rv, C_Login, handle, user, pin, len);
    }
    const struct ledger_session *s = face_session(f, handle, rv);
    if (s != NULL && rv == CKR_OK) {
        INPUT_MUST(user == CKU_USER, "another user than CKU_USER logs in");
        INPUT_MUST(!f->ledger.logged_in[s->slot], "a slot is logged in twice");
        INPUT_MUST(pin == NULL || (len == 4 && memcmp(pin, RECORDING_PIN, 4) == 0), "a wrong PIN logs in");
        f->ledger.logged_in[s->slot] = true;
    }
    for (size_t i = 0; i < RECORDING_SLOTS; i++) {
        INPUT_MUST(recording_logged_in(i) == f->ledger.logged_in[i], "the engine and the caller disagree about a login");
    }
}

static void op_login(struct face *f)
{
    login(f, false);
}

static void op_login_user(struct face *f)
{
    login(f, true);
}

static void op_logout(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    FACE_CALL(f, rv, C_Logout, handle);
    const struct ledger_session *s = face_session(f, handle, rv);
    if (s != NULL) {
        INPUT_MUST((rv == CKR_OK) == f->ledger.logged_in[s->slot], "C_Logout does not know whether the slot is logged in");
        ledger_logout(&f->ledger, s->slot);
    }
}

static void op_cancel(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    CK_FLAGS flags = input_number(&f->in, 2);
    FACE_CALL(f, rv, C_SessionCancel, handle, flags);
    struct ledger_session *s = face_session(f, handle, rv);
    if (s != NULL) {
        s->searching = s->searching && (flags & 0x40) == 0;
    }
}

static void op_validation(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    CK_FLAGS *flags = face_place(f, sizeof *flags);
    FACE_CALL(f, rv, C_GetSessionValidationFlags, handle, input_below(&f->in, 3), flags);
    face_check_place(rv, flags, sizeof *flags);
    (void)face_session(f, handle, rv);
}

static void op_random(struct face *f)
{
    static const CK_ULONG lies[] = {(1UL << 24) + 1, 1UL << 31, 1UL << 63, (CK_ULONG)-8, (CK_ULONG)-1};
    CK_RV rv = CKR_OK;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    size_t choice = input_byte(&f->in);
    CK_ULONG len = choice == 255 ? 65536UL + 10 : choice % 80;
    CK_BYTE *out = choice == 254 ? NULL : input_room(&f->in, len);
    CK_ULONG told = choice == 253 ? lies[input_below(&f->in, 5)] : len;
    FACE_CALL(f, rv, C_GenerateRandom, handle, out, told);
    INPUT_MUST(rv == CKR_OK || out == NULL || input_untouched(out, len), "an error changes the room for random bytes");
    (void)face_session(f, handle, rv);
}

face_op *const face_library_ops[] = {
    op_open,           op_login,          op_open,     op_login,   op_open,           op_login,        op_close,
    op_close_all,      op_logout,         op_info,     op_wait,    op_function_list,  op_interface,    op_interface_list,
    op_slot_list,      op_slot_info,      op_token_info, op_cancel, op_session_info,  op_validation,   op_random,
    op_mechanism_list, op_mechanism_info, op_login_user, op_initialize, op_finalize,
};
const size_t face_library_count = sizeof face_library_ops / sizeof face_library_ops[0];
