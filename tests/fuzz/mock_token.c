#define OPENSSL_SUPPRESS_DEPRECATED /* the block cipher alone: the fetched one is too slow to fuzz with */
#include "mock_token.h"

#include <openssl/aes.h>
#include <openssl/modes.h>
#include <string.h>

/* CK_BBOOL attributes, one bit each. */
static const CK_ATTRIBUTE_TYPE bits[] = {CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_ENCRYPT, CKA_DECRYPT,
                                         CKA_SIGN, CKA_VERIFY, CKA_DERIVE, CKA_WRAP, CKA_UNWRAP, CKA_LOCAL};
enum { BITS = sizeof bits / sizeof bits[0], TOKEN_BIT = 0, WRAP_BIT = 9, UNWRAP_BIT = 10, LOCAL_BIT = 11, LIES = 8 };

struct object {
    CK_OBJECT_HANDLE handle; /* 0: none */
    size_t token;
    bool bit[BITS];
    CK_ULONG type;
    size_t label_len, id_len, len;
    uint8_t label[160], id[320], value[KW_DEK_LENGTH_MAX];
};

static const char *const labels[MOCK_LABELS] = {"one", "two", "three"};

static struct object objects[MOCK_OBJECTS];
static CK_OBJECT_HANDLE next_handle;
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

void mock_genuine(size_t label, uint32_t version, uint8_t key[32])
{
    for (size_t i = 0; i < 32; i++) {
        key[i] = (uint8_t)(label * 71 + version * 29 + i * 13 + 5);
    }
}

size_t mock_wrap(const uint8_t key[32], enum kw_format format, const uint8_t *in, size_t len, uint8_t *out)
{
    AES_KEY aes;
    if (len == 0 || len > KW_DEK_LENGTH_MAX || AES_set_encrypt_key(key, 256, &aes) != 0) {
        return 0;
    }
    if (format == KW_FORMAT_KW) {
        return len % 8 != 0 || len < 16 ? 0 : CRYPTO_128_wrap(&aes, NULL, out, in, len, (block128_f)AES_encrypt);
    }
    return CRYPTO_128_wrap_pad(&aes, NULL, out, in, len, (block128_f)AES_encrypt);
}

size_t mock_unwrap(const uint8_t key[32], enum kw_format format, const uint8_t *in, size_t len, uint8_t *out)
{
    AES_KEY aes;
    if (len < 16 || len > KW_BLOB_MAX || len % 8 != 0 || AES_set_decrypt_key(key, 256, &aes) != 0) {
        return 0;
    }
    if (format == KW_FORMAT_KW) {
        return len < 24 ? 0 : CRYPTO_128_unwrap(&aes, NULL, out, in, len, (block128_f)AES_decrypt);
    }
    return CRYPTO_128_unwrap_pad(&aes, NULL, out, in, len, (block128_f)AES_decrypt);
}

static struct object *new_object(size_t token)
{
    for (size_t i = 0; i < MOCK_OBJECTS; i++) {
        if (objects[i].handle == 0) {
            objects[i] = (struct object){.handle = ++next_handle, .token = token};
            return &objects[i];
        }
    }
    return NULL;
}

static struct object *find_object(CK_OBJECT_HANDLE handle)
{
    for (size_t i = 0; handle != 0 && i < MOCK_OBJECTS; i++) {
        if (objects[i].handle == handle) {
            return &objects[i];
        }
    }
    return NULL;
}

/* A version of a master key as `keyward create` leaves it (DESIGN section 4); `forged`: another key in its place. */
static void add_cmk(size_t token, size_t label, uint32_t version, bool forged)
{
    static const CK_BBOOL yes[] = {1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1};
    struct object *o = new_object(token);
    if (o == NULL) {
        return;
    }
    for (size_t i = 0; i < BITS; i++) {
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
}

void mock_reset(void)
{
    memset(objects, 0, sizeof objects);
    memset(sessions, 0, sizeof sessions);
    memset(logged_in, 0, sizeof logged_in);
    next_handle = 100;
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

static struct object *pick_cmk(unsigned choice)
{
    struct object *picked = NULL;
    for (size_t i = 0; i < MOCK_OBJECTS; i++) {
        if (objects[i].handle != 0 && objects[i].label_len <= 5 && (picked == NULL || i % 5 == choice % 5)) {
            picked = &objects[i];
        }
    }
    return picked;
}

static uint32_t newest(size_t label)
{
    uint32_t version = 0;
    for (size_t i = 0; i < MOCK_OBJECTS; i++) {
        const struct object *o = &objects[i];
        bool mine = o->handle != 0 && o->label_len == strlen(labels[label]) && memcmp(o->label, labels[label], o->label_len) == 0;
        version = mine && o->id_len == 48 && o->id[15] > version ? o->id[15] : version;
    }
    return version;
}

/* Another key takes the place of this one, with a handle of its own: an epoch change or a plot (ATTACKS A28). */
static void replace(struct object *o)
{
    o->handle = ++next_handle;
    o->value[0] ^= 1;
}

void mock_world(unsigned choice)
{
    struct object *o = pick_cmk(choice >> 4);
    size_t label = choice >> 4 & 1;
    has_lied = true;
    if (o == NULL) {
        return;
    }
    switch (choice % 16) {
    case 0: /* rotate */
        if (newest(label) < MOCK_VERSIONS - 1) {
            uint32_t next = newest(label) + 1;
            o->bit[WRAP_BIT] = false;
            add_cmk(0, label, next, false);
            if (label == 1) {
                add_cmk(1, label, next, false);
            }
        }
        break;
    case 1:
        o->bit[WRAP_BIT] = !o->bit[WRAP_BIT];
        break;
    case 2:
        o->bit[UNWRAP_BIT] = !o->bit[UNWRAP_BIT];
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
        o->bit[choice / 16 % BITS] = !o->bit[choice / 16 % BITS];
        break;
    case 7:
        present[label] = !present[label];
        break;
    case 8: /* another CKA_ID */
        o->id_len = choice >> 4;
        break;
    case 9: /* the handles of two keys change places */
        if (o != &objects[0] && objects[0].handle != 0) {
            CK_OBJECT_HANDLE h = o->handle;
            o->handle = objects[0].handle;
            objects[0].handle = h;
            has_forged = true; /* within one epoch nothing proves which key a handle means */
        }
        break;
    default: /* somebody logs the token out */
        logged_in[label] = false;
    }
}

size_t mock_named(const uint8_t name[KW_DEK_NAME_SIZE], uint8_t value[KW_DEK_LENGTH_MAX])
{
    for (size_t i = 0; i < MOCK_OBJECTS; i++) {
        const struct object *o = &objects[i];
        if (o->handle != 0 && o->label_len > 5 && o->id_len >= 20 && memcmp(o->id + 12, name, KW_DEK_NAME_SIZE) == 0) {
            memcpy(value, o->value, o->len);
            return o->len;
        }
    }
    return 0;
}

size_t mock_session_objects(void)
{
    size_t n = 0;
    for (size_t i = 0; i < MOCK_OBJECTS; i++) {
        n += objects[i].handle != 0 && !objects[i].bit[TOKEN_BIT];
    }
    return n;
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
        objects[i].handle = objects[i].bit[TOKEN_BIT] ? objects[i].handle : 0;
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

static size_t bit_of(CK_ATTRIBUTE_TYPE type)
{
    size_t i = 0;
    while (i < BITS && bits[i] != type) {
        i++;
    }
    return i;
}

/* Bytes of an attribute; NULL when the object has none. */
static const void *attribute(const struct object *o, CK_ATTRIBUTE_TYPE type, size_t *len)
{
    static CK_BBOOL b;
    static CK_ULONG u;
    size_t bit = bit_of(type);
    if (bit < BITS) {
        b = o->bit[bit];
        *len = sizeof b;
        return &b;
    }
    *len = sizeof u;
    switch (type) {
    case CKA_CLASS:
        u = CKO_SECRET_KEY;
        return &u;
    case CKA_KEY_TYPE:
        u = o->type;
        return &u;
    case CKA_VALUE_LEN:
        u = o->len;
        return &u;
    case CKA_LABEL:
        *len = o->label_len;
        return o->label;
    case CKA_ID:
        *len = o->id_len;
        return o->id;
    case CKA_VALUE:
        *len = o->len;
        return o->value;
    default:
        return NULL;
    }
}

static bool set_attribute(struct object *o, const CK_ATTRIBUTE *a)
{
    size_t bit = bit_of(a->type);
    CK_ULONG n = 0;
    if (bit < BITS) {
        o->bit[bit] = *(const CK_BBOOL *)a->pValue != CK_FALSE;
        return true;
    }
    switch (a->type) {
    case CKA_LABEL:
        n = a->ulValueLen <= sizeof o->label ? a->ulValueLen : sizeof o->label;
        memcpy(o->label, a->pValue, n);
        o->label_len = n;
        return true;
    case CKA_ID:
        n = a->ulValueLen <= sizeof o->id ? a->ulValueLen : sizeof o->id;
        memcpy(o->id, a->pValue, n);
        o->id_len = n;
        return true;
    case CKA_VALUE:
        n = a->ulValueLen <= sizeof o->value ? a->ulValueLen : sizeof o->value;
        memcpy(o->value, a->pValue, n);
        o->len = n;
        return true;
    case CKA_KEY_TYPE:
        memcpy(&o->type, a->pValue, sizeof o->type);
        return true;
    case CKA_VALUE_LEN:
        memcpy(&n, a->pValue, sizeof n);
        o->len = n <= sizeof o->value ? n : sizeof o->value;
        return true;
    default:
        return a->type == CKA_CLASS || a->type == CKA_MODIFIABLE || a->type == CKA_COPYABLE;
    }
}

/* A new object of a template; `from` NULL: random bytes. */
static CK_RV make(size_t token, const CK_ATTRIBUTE *t, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    struct object *o = new_object(token);
    if (o == NULL) {
        return CKR_DEVICE_MEMORY;
    }
    for (size_t i = 0; i < sizeof o->value; i++) {
        o->value[i] = (uint8_t)(o->handle * 37 + i * 11 + 1);
    }
    for (CK_ULONG i = 0; i < count; i++) {
        if (!set_attribute(o, &t[i])) {
            o->handle = 0;
            return CKR_ATTRIBUTE_TYPE_INVALID;
        }
    }
    *out = o->handle;
    return CKR_OK;
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
    CK_RV rv = make(sessions[i].token, t, count, &handle);
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
    CK_RV rv = make(sessions[i].token, t, count, &handle);
    if (rv != CKR_OK) {
        return rv;
    }
    find_object(handle)->bit[LOCAL_BIT] = true;
    tell_handle(handle, out);
    return served();
}

static CK_RV mock_DestroyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    BEGIN
    SESSION(session, i)
    USER(i)
    struct object *o = find_object(object);
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
    const struct object *o = find_object(object);
    if (o == NULL || o->token != sessions[k].token) {
        return CKR_OBJECT_HANDLE_INVALID;
    }
    for (CK_ULONG i = 0; i < count; i++) {
        size_t len = 0;
        const void *bytes = attribute(o, t[i].type, &len);
        if (bytes == NULL || (t[i].type == CKA_VALUE && (o->bit[2] || !o->bit[3]))) {
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
    struct object *o = find_object(object);
    if (o == NULL || o->token != sessions[k].token) {
        return CKR_OBJECT_HANDLE_INVALID;
    }
    INPUT_MUST(o->label_len > 5 || has_forged, "Keyward changes a master key");
    for (CK_ULONG i = 0; i < count; i++) {
        if (!set_attribute(o, &t[i])) {
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
        bool hit = objects[i].handle != 0 && objects[i].token == sessions[k].token && logged_in[sessions[k].token];
        for (CK_ULONG n = 0; hit && n < count; n++) {
            size_t len = 0;
            const void *bytes = attribute(&objects[i], t[n].type, &len);
            hit = bytes != NULL && len == t[n].ulValueLen && memcmp(bytes, t[n].pValue, len) == 0;
        }
        if (hit) {
            sessions[k].hits[sessions[k].found++] = objects[i].handle;
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

/* Another key length than 256 bits: for the vectors of probe.c. */
static size_t wrap_with(const struct object *key, enum kw_format format, const struct object *o, uint8_t *out)
{
    AES_KEY aes;
    if (key->len == 32) {
        return mock_wrap(key->value, format, o->value, o->len, out);
    }
    if (key->len != 24 || format != KW_FORMAT_KWP || AES_set_encrypt_key(key->value, 192, &aes) != 0) {
        return 0;
    }
    return CRYPTO_128_wrap_pad(&aes, NULL, out, o->value, o->len, (block128_f)AES_encrypt);
}

static CK_RV mock_WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE wrapping, CK_OBJECT_HANDLE key,
                          CK_BYTE_PTR out, CK_ULONG_PTR len)
{
    BEGIN
    SESSION(session, k)
    USER(k)
    uint8_t blob[KW_BLOB_MAX];
    const struct object *w = find_object(wrapping);
    const struct object *o = find_object(key);
    if (w == NULL || w->token != sessions[k].token) {
        return CKR_WRAPPING_KEY_HANDLE_INVALID;
    }
    if (o == NULL || o->token != sessions[k].token) {
        return CKR_KEY_HANDLE_INVALID;
    }
    if (!w->bit[WRAP_BIT] || !o->bit[3]) {
        return !w->bit[WRAP_BIT] ? CKR_KEY_FUNCTION_NOT_PERMITTED : CKR_KEY_UNEXTRACTABLE;
    }
    size_t n = wrap_with(w, format_of(mechanism), o, blob);
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
    const struct object *u = find_object(unwrapping);
    CK_OBJECT_HANDLE handle = 0;
    if (u == NULL || u->token != sessions[k].token || u->len != 32) {
        return CKR_UNWRAPPING_KEY_HANDLE_INVALID;
    }
    if (!u->bit[UNWRAP_BIT]) {
        return CKR_KEY_FUNCTION_NOT_PERMITTED;
    }
    size_t n = mock_unwrap(u->value, format_of(mechanism), blob, len, value);
    if (n == 0 || n > KW_DEK_LENGTH_MAX) {
        return CKR_GENERAL_ERROR; /* as SoftHSM does (HSM-FACTS section 4) */
    }
    CK_RV rv = make(sessions[k].token, t, count, &handle);
    if (rv != CKR_OK) {
        return rv;
    }
    struct object *o = find_object(handle);
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
        out[i] = (CK_BYTE)(now.kind == MOCK_GARBAGE ? 0 : next_handle * 7 + i * 3 + 1);
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
