#define OPENSSL_SUPPRESS_DEPRECATED /* the block cipher alone: the fetched one is too slow to fuzz with */
#include "mock_objects.h"

#include <openssl/aes.h>
#include <openssl/modes.h>
#include <string.h>

/* CK_BBOOL attributes, one bit each. */
static const CK_ATTRIBUTE_TYPE bits[MOCK_BITS] = {CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_ENCRYPT, CKA_DECRYPT,
                                         CKA_SIGN, CKA_VERIFY, CKA_DERIVE, CKA_WRAP, CKA_UNWRAP, CKA_LOCAL};
struct mock_object mock_objects[MOCK_OBJECTS];
static CK_OBJECT_HANDLE last_handle;

void mock_objects_clear(void)
{
    memset(mock_objects, 0, sizeof mock_objects);
    last_handle = 100;
}

CK_OBJECT_HANDLE mock_object_handle(void)
{
    return ++last_handle;
}

void mock_genuine(size_t label, uint32_t version, uint8_t key[32])
{
    for (size_t i = 0; i < 32; i++) {
        key[i] = (uint8_t)(label * 71 + version * 29 + i * 13 + 5);
    }
}

static size_t wrap(const uint8_t *key, size_t key_len, enum kw_format format, const struct mock_bytes *in, uint8_t *out)
{
    AES_KEY aes;
    if (in->len == 0 || in->len > KW_DEK_LENGTH_MAX || AES_set_encrypt_key(key, (int)key_len * 8, &aes) != 0) {
        return 0;
    }
    if (format == KW_FORMAT_KW) {
        return in->len % 8 != 0 || in->len < 16 ? 0 : CRYPTO_128_wrap(&aes, NULL, out, in->at, in->len, (block128_f)AES_encrypt);
    }
    return CRYPTO_128_wrap_pad(&aes, NULL, out, in->at, in->len, (block128_f)AES_encrypt);
}

static size_t unwrap(const uint8_t *key, size_t key_len, enum kw_format format, const struct mock_bytes *in, uint8_t *out)
{
    AES_KEY aes;
    if (in->len < 16 || in->len > KW_BLOB_MAX || in->len % 8 != 0 || AES_set_decrypt_key(key, (int)key_len * 8, &aes) != 0) {
        return 0;
    }
    if (format == KW_FORMAT_KW) {
        return in->len < 24 ? 0 : CRYPTO_128_unwrap(&aes, NULL, out, in->at, in->len, (block128_f)AES_decrypt);
    }
    return CRYPTO_128_unwrap_pad(&aes, NULL, out, in->at, in->len, (block128_f)AES_decrypt);
}

size_t mock_wrap(const uint8_t key[32], enum kw_format format, const uint8_t *in, size_t len, uint8_t *out)
{
    return wrap(key, 32, format, &(struct mock_bytes){in, len}, out);
}

size_t mock_unwrap(const uint8_t key[32], enum kw_format format, const uint8_t *in, size_t len, uint8_t *out)
{
    return unwrap(key, 32, format, &(struct mock_bytes){in, len}, out);
}

struct mock_object *mock_object_new(size_t token)
{
    for (size_t i = 0; i < MOCK_OBJECTS; i++) {
        if (mock_objects[i].handle == 0) {
            mock_objects[i] = (struct mock_object){.handle = mock_object_handle(), .token = token};
            return &mock_objects[i];
        }
    }
    return NULL;
}

struct mock_object *mock_object_find(CK_OBJECT_HANDLE handle)
{
    for (size_t i = 0; handle != 0 && i < MOCK_OBJECTS; i++) {
        if (mock_objects[i].handle == handle) {
            return &mock_objects[i];
        }
    }
    return NULL;
}

size_t mock_named(const uint8_t name[KW_DEK_NAME_SIZE], uint8_t value[KW_DEK_LENGTH_MAX])
{
    for (size_t i = 0; i < MOCK_OBJECTS; i++) {
        const struct mock_object *o = &mock_objects[i];
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
        n += mock_objects[i].handle != 0 && !mock_objects[i].bit[MOCK_TOKEN];
    }
    return n;
}

static size_t bit_of(CK_ATTRIBUTE_TYPE type)
{
    size_t i = 0;
    while (i < MOCK_BITS && bits[i] != type) {
        i++;
    }
    return i;
}

const void *mock_object_get(const struct mock_object *o, CK_ATTRIBUTE_TYPE type, size_t *len)
{
    static CK_BBOOL b;
    static CK_ULONG u;
    size_t bit = bit_of(type);
    if (bit < MOCK_BITS) {
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

bool mock_object_set(struct mock_object *o, const CK_ATTRIBUTE *a)
{
    size_t bit = bit_of(a->type);
    CK_ULONG n = 0;
    if (bit < MOCK_BITS) {
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

CK_RV mock_object_make(size_t token, const CK_ATTRIBUTE *t, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    struct mock_object *o = mock_object_new(token);
    if (o == NULL) {
        return CKR_DEVICE_MEMORY;
    }
    for (size_t i = 0; i < sizeof o->value; i++) {
        o->value[i] = (uint8_t)(o->handle * 37 + i * 11 + 1);
    }
    for (CK_ULONG i = 0; i < count; i++) {
        if (!mock_object_set(o, &t[i])) {
            o->handle = 0;
            return CKR_ATTRIBUTE_TYPE_INVALID;
        }
    }
    *out = o->handle;
    return CKR_OK;
}

size_t mock_object_wrap(const struct mock_object *key, enum kw_format format, const struct mock_object *o, uint8_t *out)
{
    return wrap(key->value, key->len, format, &(struct mock_bytes){o->value, o->len}, out);
}

size_t mock_object_unwrap(const struct mock_object *key, enum kw_format format, const struct mock_bytes *blob, uint8_t *out)
{
    return unwrap(key->value, key->len, format, blob, out);
}
