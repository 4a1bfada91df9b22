#include "mock_token.h"

#include <string.h>

#include "mock_objects.h"

enum { LIES = 8 };

static const char *const labels[MOCK_LABELS] = {"one", "two", "three"};

static CK_SESSION_HANDLE next_session;
static bool initialized, logged_in[MOCK_TOKENS], present[MOCK_TOKENS];
static struct {
    CK_SESSION_HANDLE handle; /* 0: none */
    size_t token;
    size_t found;
    CK_OBJECT_HANDLE hits[MOCK_OBJECTS];
    bool searching;
} sessions[16];
static struct mock_lie lies[LIES];
static size_t lie_count;
static bool has_lied, has_forged;
static struct mock_lie now; /* of this call; kind MOCK_KINDS: none */

/* A version of a master key as `keyward create` leaves it (DESIGN section 4); `forged`: another key in its place. */
static void add_cmk(size_t token, size_t label, uint32_t version, bool forged)
{
    static const CK_BBOOL yes[] = {1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1};
    struct mock_object *o = mock_object_new(token);
    if (o == NULL) {
        return;
    }
    for (size_t i = 0; i < MOCK_BITS; i++) {
        o->bit[i] = yes[i];
    }
    o->type = CKK_AES;
    o->len = 32;
    mock_genuine(label, version, o->value);
    o->label_len = strlen(labels[label]);
    memcpy(o->label, labels[label], o->label_len);
    if (label == 2) { /* a key that was made elsewhere */
        o->id_len = 3;
        memcpy(o->id, "abc", 3);
    } else {
        o->id_len = 48;
        memcpy(o->id, "kw lineage  ", 12);
        o->id[11] = (uint8_t)label;
        o->id[15] = (uint8_t)version;
        o->id[16] = 1;
        (void)mock_wrap(o->value, KW_FORMAT_KW, (const uint8_t *)"keyward canary 1", 16, o->id + 24);
    }
    o->value[0] ^= forged;
    o->forged = forged;
    has_forged |= forged && label == 2;
}

void mock_reset(void)
{
    mock_objects_clear();
    memset(sessions, 0, sizeof sessions);
    memset(logged_in, 0, sizeof logged_in);
    next_session = 500;
    lie_count = 0;
    initialized = has_lied = has_forged = false;
    present[0] = present[1] = true;
    add_cmk(0, 0, 1, false);
    add_cmk(0, 1, 1, false);
    add_cmk(1, 1, 1, false);
    add_cmk(1, 2, 1, false);
}

void mock_announce(const struct mock_lie *lie)
{
    if (lie_count < LIES) {
        lies[lie_count++] = *lie;
    }
}

bool mock_lied(void)
{
    return has_lied;
}

bool mock_forged(void)
{
    return has_forged;
}

static struct mock_object *pick_cmk(unsigned choice)
{
    struct mock_object *picked = NULL;
    for (size_t i = 0; i < MOCK_OBJECTS; i++) {
        if (mock_objects[i].handle != 0 && mock_objects[i].label_len <= 5 && (picked == NULL || i % 5 == choice % 5)) {
            picked = &mock_objects[i];
        }
    }
    return picked;
}

static uint32_t newest(size_t label)
{
    uint32_t version = 0;
    for (size_t i = 0; i < MOCK_OBJECTS; i++) {
        const struct mock_object *o = &mock_objects[i];
        bool mine = o->handle != 0 && o->label_len == strlen(labels[label]) && memcmp(o->label, labels[label], o->label_len) == 0;
        version = mine && o->id_len == 48 && o->id[15] > version ? o->id[15] : version;
    }
    return version;
}

/* Another key takes the place of this one, with a handle of its own: an epoch change or a plot (ATTACKS A28). */
static void replace(struct mock_object *o)
{
    o->handle = mock_object_handle();
    o->value[0] ^= 1;
    o->forged = !o->forged;
    has_forged |= o->id_len != 48; /* nothing proves a key that carries no canary before it was used once */
}

void mock_world(unsigned choice)
{
    struct mock_object *o = pick_cmk(choice >> 4);
    size_t label = choice >> 4 & 1;
    has_lied = true;
    if (o == NULL) {
        return;
    }
    switch (choice % 16) {
    case 0: /* rotate */
        if (newest(label) < MOCK_VERSIONS - 1) {
            uint32_t next = newest(label) + 1;
            o->bit[MOCK_WRAP] = false;
            add_cmk(0, label, next, false);
            if (label == 1) {
                add_cmk(1, label, next, false);
            }
        }
        break;
    case 1:
        o->bit[MOCK_WRAP] = !o->bit[MOCK_WRAP];
        break;
    case 2:
        o->bit[MOCK_UNWRAP] = !o->bit[MOCK_UNWRAP];
        break;
    case 3:
        replace(o);
        break;
    case 4: /* a twin */
        add_cmk(o->token, label, 1, (choice & 128) != 0);
        break;
    case 5: /* destroyed */
        o->handle = 0;
        break;
    case 6: /* an attribute flipped (A07) */
        o->bit[choice / 16 % MOCK_BITS] = !o->bit[choice / 16 % MOCK_BITS];
        break;
    case 7:
        present[label] = !present[label];
        break;
    case 8: /* another CKA_ID */
        o->id_len = choice >> 4;
        has_forged |= o->forged;
        break;
    case 9: /* the handles of two keys change places */
        if (o != &mock_objects[0] && mock_objects[0].handle != 0) {
            CK_OBJECT_HANDLE h = o->handle;
            o->handle = mock_objects[0].handle;
            mock_objects[0].handle = h;
            has_forged = true; /* within one epoch nothing proves which key a handle means */
        }
        break;
    default: /* somebody logs the token out */
        logged_in[label] = false;
    }
}

/* Counts a call and takes the lie that is due; true when the call is to fail without doing anything. */
static bool begin(CK_RV *rv)
{
    now.kind = MOCK_KINDS;
    for (size_t i = 0; i < lie_count; i++) {
        if (now.kind == MOCK_KINDS && lies[i].after == 0) {
            now = lies[i];
            memmove(&lies[i], &lies[i + 1], (lie_count - i - 1) * sizeof lies[0]);
            lie_count--;
            i--;
        } else if (lies[i].after > 0) {
            lies[i].after--;
        }
    }
    if (now.kind == MOCK_KINDS) {
        return false;
    }
    has_lied = true;
    has_forged |= now.kind == MOCK_GARBAGE;
    if (now.kind == MOCK_WORLD) {
        mock_world((unsigned)now.number);
    }
    *rv = now.code;
    return now.kind == MOCK_ERROR;
}

/* The end of a call that was served. */
static CK_RV served(void)
{
    return now.kind == MOCK_ERROR_LATE ? now.code : CKR_OK;
}

#define BEGIN                   \
    CK_RV told = CKR_OK;        \
    if (begin(&told)) {         \
        return told;            \
    }                           \
    if (!initialized) {         \
        return CKR_CRYPTOKI_NOT_INITIALIZED; \
    }

static size_t find_session(CK_SESSION_HANDLE handle)
{
    size_t i = 0;
    while (i < 16 && (handle == 0 || sessions[i].handle != handle)) {
        i++;
    }
    return i;
}

#define SESSION(handle, i)                   \
    size_t i = find_session(handle);         \
    if (i == 16) {                           \
        return CKR_SESSION_HANDLE_INVALID;   \
    }                                        \
    if (!present[sessions[i].token]) {       \
        return CKR_DEVICE_REMOVED;           \
    }

#define USER(i)                              \
    if (!logged_in[sessions[i].token]) {     \
        return CKR_USER_NOT_LOGGED_IN;       \
    }

static CK_RV mock_Initialize(CK_VOID_PTR args)
{
    CK_RV rv = CKR_OK;
    (void)args;
    if (begin(&rv)) {
        return rv;
    }
    if (initialized) {
        return CKR_CRYPTOKI_ALREADY_INITIALIZED;
    }
    initialized = true;
    return served();
}

static void end_session(size_t i)
{
    sessions[i].handle = 0;
    sessions[i].searching = false;
}

static CK_RV mock_Finalize(CK_VOID_PTR reserved)
{
    BEGIN
    (void)reserved;
    initialized = false;
    for (size_t i = 0; i < 16; i++) {
        end_session(i);
    }
    for (size_t i = 0; i < MOCK_OBJECTS; i++) {
        mock_objects[i].handle = mock_objects[i].bit[MOCK_TOKEN] ? mock_objects[i].handle : 0;
    }
    memset(logged_in, 0, sizeof logged_in);
    return served();
}

static CK_RV mock_GetSlotList(CK_BBOOL present_only, CK_SLOT_ID_PTR list, CK_ULONG_PTR count)
{
    BEGIN
    CK_ULONG n = 0;
    for (size_t i = 0; i < MOCK_TOKENS; i++) {
        if (!present_only || present[i]) {
            if (list != NULL && n < *count) {
                list[n] = i;
            }
            n++;
        }
    }
    *count = now.kind == MOCK_NUMBER ? now.number : n;
    return served();
}

static CK_RV mock_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
    BEGIN
    if (slot >= MOCK_TOKENS) {
        return CKR_SLOT_ID_INVALID;
    }
    if (!present[slot]) {
        return CKR_TOKEN_NOT_PRESENT;
    }
    memset(info, now.kind == MOCK_GARBAGE ? 0xEE : ' ', sizeof *info);
    if (now.kind != MOCK_GARBAGE) {
        info->label[0] = (CK_UTF8CHAR)('a' + slot);
        info->flags = CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | (now.kind == MOCK_NUMBER ? now.number : 0);
        info->ulMinPinLen = 4;
        info->ulMaxPinLen = now.kind == MOCK_NUMBER ? now.number : 255;
    }
    return served();
}

static CK_RV mock_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info)
{
    BEGIN
    (void)slot;
    (void)type;
    *info = (CK_MECHANISM_INFO){16, 32, now.kind == MOCK_NUMBER ? now.number : CKF_WRAP | CKF_UNWRAP};
    return served();
}

static CK_RV mock_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR data, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR out)
{
    BEGIN
    (void)flags;
    (void)data;
    (void)notify;
    if (slot >= MOCK_TOKENS || !present[slot]) {
        return CKR_TOKEN_NOT_PRESENT;
    }
    for (size_t i = 0; i < 16; i++) {
        if (sessions[i].handle == 0) {
            sessions[i].handle = ++next_session;
            sessions[i].token = slot;
            *out = now.kind == MOCK_NUMBER ? now.number : sessions[i].handle;
            return served();
        }
    }
    return CKR_SESSION_COUNT;
}

static CK_RV mock_CloseSession(CK_SESSION_HANDLE session)
{
    BEGIN
    SESSION(session, i)
    end_session(i);
    return served();
}

static CK_RV mock_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG len)
{
    BEGIN
    SESSION(session, i)
    bool right = len == sizeof MOCK_PIN - 1 && memcmp(pin, MOCK_PIN, len) == 0;
    memset(pin, 0, len); /* some modules write there */
    if (user != CKU_USER) {
        return CKR_USER_TYPE_INVALID;
    }
    if (logged_in[sessions[i].token]) {
        return CKR_USER_ALREADY_LOGGED_IN;
    }
    logged_in[sessions[i].token] = right;
    return right ? served() : CKR_PIN_INCORRECT;
}

static CK_RV mock_Logout(CK_SESSION_HANDLE session)
{
    BEGIN
    SESSION(session, i)
    logged_in[sessions[i].token] = false;
    return served();
}

static CK_RV mock_GetSessionInfo(CK_SESSION_HANDLE session, CK_SESSION_INFO_PTR info)
{
    BEGIN
    SESSION(session, i)
    *info = (CK_SESSION_INFO){.state = logged_in[sessions[i].token] ? CKS_RW_USER_FUNCTIONS : CKS_RW_PUBLIC_SESSION,
                              .flags = CKF_SERIAL_SESSION | CKF_RW_SESSION};
    if (now.kind == MOCK_NUMBER) {
        info->state = now.number;
    }
    return served();
}

/* The handle that the caller is told. */
static void tell_handle(CK_OBJECT_HANDLE handle, CK_OBJECT_HANDLE_PTR out)
{
    bool another = now.kind == MOCK_NUMBER;
    has_forged |= another && now.number != 0;
    *out = another ? now.number : handle;
}

static CK_RV mock_CreateObject(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR t, CK_ULONG count, CK_OBJECT_HANDLE_PTR out)
{
    BEGIN
    SESSION(session, i)
    USER(i)
    CK_OBJECT_HANDLE handle = 0;
    CK_RV rv = mock_object_make(sessions[i].token, t, count, &handle);
    if (rv != CKR_OK) {
        return rv;
    }
    tell_handle(handle, out);
    return served();
}

static CK_RV mock_GenerateKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR t, CK_ULONG count,
                              CK_OBJECT_HANDLE_PTR out)
{
    BEGIN
    SESSION(session, i)
    USER(i)
    CK_OBJECT_HANDLE handle = 0;
    (void)mechanism;
    CK_RV rv = mock_object_make(sessions[i].token, t, count, &handle);
    if (rv != CKR_OK) {
        return rv;
    }
    mock_object_find(handle)->bit[MOCK_LOCAL] = true;
    tell_handle(handle, out);
    return served();
}

static CK_RV mock_DestroyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    BEGIN
    SESSION(session, i)
    USER(i)
    struct mock_object *o = mock_object_find(object);
    if (o == NULL || o->token != sessions[i].token) {
        return CKR_OBJECT_HANDLE_INVALID;
    }
    INPUT_MUST(o->label_len > 5 || o->label_len == 0 || has_forged, "Keyward destroys a master key");
    o->handle = 0;
    return served();
}

static CK_RV mock_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR t, CK_ULONG count)
{
    BEGIN
    SESSION(session, k)
    USER(k)
    CK_RV rv = CKR_OK;
    const struct mock_object *o = mock_object_find(object);
    if (o == NULL || o->token != sessions[k].token) {
        return CKR_OBJECT_HANDLE_INVALID;
    }
    for (CK_ULONG i = 0; i < count; i++) {
        size_t len = 0;
        const void *bytes = mock_object_get(o, t[i].type, &len);
        if (bytes == NULL || (t[i].type == CKA_VALUE && (o->bit[MOCK_SENSITIVE] || !o->bit[MOCK_EXTRACTABLE]))) {
            t[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
            rv = bytes == NULL ? CKR_ATTRIBUTE_TYPE_INVALID : CKR_ATTRIBUTE_SENSITIVE;
        } else if (t[i].pValue != NULL && t[i].ulValueLen < len) {
            t[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
            rv = CKR_BUFFER_TOO_SMALL;
        } else {
            if (t[i].pValue != NULL && now.kind == MOCK_GARBAGE) {
                memset(t[i].pValue, (int)now.number, t[i].ulValueLen);
            } else if (t[i].pValue != NULL && len > 0) {
                memcpy(t[i].pValue, bytes, len);
            }
            t[i].ulValueLen = len;
        }
    }
    if (now.kind == MOCK_NUMBER && count > 0) {
        has_forged = true;
        t[now.number % count].ulValueLen = now.number;
    }
    return rv == CKR_OK ? served() : rv;
}

static CK_RV mock_SetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR t, CK_ULONG count)
{
    BEGIN
    SESSION(session, k)
    USER(k)
    struct mock_object *o = mock_object_find(object);
    if (o == NULL || o->token != sessions[k].token) {
        return CKR_OBJECT_HANDLE_INVALID;
    }
    INPUT_MUST(o->label_len > 5 || has_forged, "Keyward changes a master key");
    for (CK_ULONG i = 0; i < count; i++) {
        if (!mock_object_set(o, &t[i])) {
            return CKR_ATTRIBUTE_TYPE_INVALID;
        }
    }
    return served();
}

static CK_RV mock_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR t, CK_ULONG count)
{
    BEGIN
    SESSION(session, k)
    if (sessions[k].searching) {
        return CKR_OPERATION_ACTIVE;
    }
    sessions[k].searching = true;
    sessions[k].found = 0;
    for (size_t i = 0; i < MOCK_OBJECTS; i++) {
        bool hit = mock_objects[i].handle != 0 && mock_objects[i].token == sessions[k].token && logged_in[sessions[k].token];
        for (CK_ULONG n = 0; hit && n < count; n++) {
            size_t len = 0;
            const void *bytes = mock_object_get(&mock_objects[i], t[n].type, &len);
            hit = bytes != NULL && len == t[n].ulValueLen && memcmp(bytes, t[n].pValue, len) == 0;
        }
        if (hit) {
            sessions[k].hits[sessions[k].found++] = mock_objects[i].handle;
        }
    }
    return served();
}

static CK_RV mock_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR list, CK_ULONG most, CK_ULONG_PTR count)
{
    BEGIN
    SESSION(session, k)
    CK_ULONG n = 0;
    if (!sessions[k].searching) {
        return CKR_OPERATION_NOT_INITIALIZED;
    }
    memset(list, 0, most * sizeof *list);
    while (n < most && sessions[k].found > 0) {
        list[n++] = sessions[k].hits[--sessions[k].found];
    }
    *count = now.kind == MOCK_NUMBER ? now.number : n;
    return served();
}

static CK_RV mock_FindObjectsFinal(CK_SESSION_HANDLE session)
{
    BEGIN
    SESSION(session, k)
    sessions[k].searching = false;
    return served();
}

static enum kw_format format_of(const CK_MECHANISM *m)
{
    return m->mechanism == CKM_AES_KEY_WRAP ? KW_FORMAT_KW : KW_FORMAT_KWP;
}

static CK_RV mock_WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE wrapping, CK_OBJECT_HANDLE key,
                          CK_BYTE_PTR out, CK_ULONG_PTR len)
{
    BEGIN
    SESSION(session, k)
    USER(k)
    uint8_t blob[KW_BLOB_MAX];
    const struct mock_object *w = mock_object_find(wrapping);
    const struct mock_object *o = mock_object_find(key);
    if (w == NULL || w->token != sessions[k].token) {
        return CKR_WRAPPING_KEY_HANDLE_INVALID;
    }
    if (o == NULL || o->token != sessions[k].token) {
        return CKR_KEY_HANDLE_INVALID;
    }
    if (!w->bit[MOCK_WRAP] || !o->bit[MOCK_EXTRACTABLE]) {
        return !w->bit[MOCK_WRAP] ? CKR_KEY_FUNCTION_NOT_PERMITTED : CKR_KEY_UNEXTRACTABLE;
    }
    size_t n = mock_object_wrap(w, format_of(mechanism), o, blob);
    if (n == 0) {
        return CKR_KEY_SIZE_RANGE;
    }
    if (*len < n) {
        return CKR_BUFFER_TOO_SMALL;
    }
    memcpy(out, blob, n);
    if (now.kind == MOCK_GARBAGE) {
        memset(out, (int)now.number, *len);
    }
    *len = now.kind == MOCK_NUMBER ? now.number : n;
    return served();
}

static CK_RV mock_UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE unwrapping, CK_BYTE_PTR blob,
                            CK_ULONG len, CK_ATTRIBUTE_PTR t, CK_ULONG count, CK_OBJECT_HANDLE_PTR out)
{
    BEGIN
    SESSION(session, k)
    USER(k)
    uint8_t value[KW_BLOB_MAX + 16];
    const struct mock_object *u = mock_object_find(unwrapping);
    CK_OBJECT_HANDLE handle = 0;
    if (u == NULL || u->token != sessions[k].token) {
        return CKR_UNWRAPPING_KEY_HANDLE_INVALID;
    }
    if (!u->bit[MOCK_UNWRAP]) {
        return CKR_KEY_FUNCTION_NOT_PERMITTED;
    }
    size_t n = mock_object_unwrap(u, format_of(mechanism), &(struct mock_bytes){blob, len}, value);
    if (n == 0 || n > KW_DEK_LENGTH_MAX) {
        return CKR_GENERAL_ERROR; /* as SoftHSM does (HSM-FACTS section 4) */
    }
    CK_RV rv = mock_object_make(sessions[k].token, t, count, &handle);
    if (rv != CKR_OK) {
        return rv;
    }
    struct mock_object *o = mock_object_find(handle);
    memcpy(o->value, value, n);
    o->len = n;
    if (now.kind == MOCK_GARBAGE) {
        memset(o->value, (int)now.number, n);
        o->len = now.number % sizeof o->value;
    }
    tell_handle(handle, out);
    return served();
}

static CK_RV mock_GenerateRandom(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG len)
{
    BEGIN
    SESSION(session, k)
    for (CK_ULONG i = 0; i < len; i++) {
        out[i] = (CK_BYTE)(now.kind == MOCK_GARBAGE ? 0 : next_session * 7 + i * 3 + 1);
    }
    return served();
}

CK_FUNCTION_LIST mock_functions = {
    .version = {2, 40},
    .C_Initialize = mock_Initialize,
    .C_Finalize = mock_Finalize,
    .C_GetSlotList = mock_GetSlotList,
    .C_GetTokenInfo = mock_GetTokenInfo,
    .C_GetMechanismInfo = mock_GetMechanismInfo,
    .C_OpenSession = mock_OpenSession,
    .C_CloseSession = mock_CloseSession,
    .C_GetSessionInfo = mock_GetSessionInfo,
    .C_Login = mock_Login,
    .C_Logout = mock_Logout,
    .C_CreateObject = mock_CreateObject,
    .C_DestroyObject = mock_DestroyObject,
    .C_GetAttributeValue = mock_GetAttributeValue,
    .C_SetAttributeValue = mock_SetAttributeValue,
    .C_FindObjectsInit = mock_FindObjectsInit,
    .C_FindObjects = mock_FindObjects,
    .C_FindObjectsFinal = mock_FindObjectsFinal,
    .C_GenerateKey = mock_GenerateKey,
    .C_WrapKey = mock_WrapKey,
    .C_UnwrapKey = mock_UnwrapKey,
    .C_GenerateRandom = mock_GenerateRandom,
};
