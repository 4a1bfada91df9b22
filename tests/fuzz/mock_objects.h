/*
 * mock_objects.h: the objects of the mock's tokens, and the key wrap that it does with them. For mock_token.c only.
 */
#ifndef KW_FUZZ_MOCK_OBJECTS_H
#define KW_FUZZ_MOCK_OBJECTS_H

#include "mock_token.h"

/* CK_BBOOL attributes by their place in mock_object.bit. */
enum { MOCK_TOKEN = 0, MOCK_SENSITIVE = 2, MOCK_EXTRACTABLE = 3, MOCK_WRAP = 9, MOCK_UNWRAP = 10, MOCK_LOCAL = 11, MOCK_BITS = 12 };

struct mock_object {
    CK_OBJECT_HANDLE handle; /* 0: none */
    size_t token;
    bool forged; /* another key in the place of a master key */
    bool bit[MOCK_BITS];
    CK_ULONG type;
    size_t label_len;
    size_t id_len;
    size_t len;
    uint8_t label[160];
    uint8_t id[320];
    uint8_t value[KW_DEK_LENGTH_MAX];
};

extern struct mock_object mock_objects[MOCK_OBJECTS];

void mock_objects_clear(void);
CK_OBJECT_HANDLE mock_object_handle(void); /* a new one */
struct mock_object *mock_object_new(size_t token);
struct mock_object *mock_object_find(CK_OBJECT_HANDLE handle);

/* A new object of a template; its value is the template's, else bytes that follow from its handle. */
CK_RV mock_object_make(size_t token, const CK_ATTRIBUTE *t, CK_ULONG count, CK_OBJECT_HANDLE *out);

/* Bytes of an attribute, good until the next call; NULL when the object has none. */
const void *mock_object_get(const struct mock_object *o, CK_ATTRIBUTE_TYPE type, size_t *len);
bool mock_object_set(struct mock_object *o, const CK_ATTRIBUTE *a);

struct mock_bytes {
    const uint8_t *at;
    size_t len;
};

/* Wraps o, or opens a blob, under `key`, an AES key of any length; 0 when it cannot. out has room for KW_BLOB_MAX + 16 bytes. */
size_t mock_object_unwrap(const struct mock_object *key, enum kw_format format, const struct mock_bytes *blob, uint8_t *out);
size_t mock_object_wrap(const struct mock_object *key, enum kw_format format, const struct mock_object *o, uint8_t *out);

#endif
