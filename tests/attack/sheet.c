#include "sheet.h"

#include <stdlib.h>

static size_t next(struct sheet *t, CK_ATTRIBUTE_TYPE type)
{
    if (t->count == SHEET_MAX) {
        abort();
    }
    t->items[t->count].type = type;
    return t->count++;
}

void sheet_bool(struct sheet *t, CK_ATTRIBUTE_TYPE type, bool value)
{
    size_t i = next(t, type);
    t->room[i].b = value ? CK_TRUE : CK_FALSE;
    t->items[i].pValue = &t->room[i].b;
    t->items[i].ulValueLen = sizeof t->room[i].b;
}

void sheet_ulong(struct sheet *t, CK_ATTRIBUTE_TYPE type, CK_ULONG value)
{
    size_t i = next(t, type);
    t->room[i].u = value;
    t->items[i].pValue = &t->room[i].u;
    t->items[i].ulValueLen = sizeof t->room[i].u;
}

void sheet_bytes(struct sheet *t, CK_ATTRIBUTE_TYPE type, const void *bytes, size_t len)
{
    union {
        const void *in;
        void *out;
    } cast = {bytes}; /* CK_ATTRIBUTE knows no const */
    size_t i = next(t, type);
    t->items[i].pValue = cast.out;
    t->items[i].ulValueLen = len;
}

void sheet_secret(struct sheet *t, CK_KEY_TYPE type, bool token)
{
    t->count = 0;
    sheet_ulong(t, CKA_CLASS, CKO_SECRET_KEY);
    sheet_ulong(t, CKA_KEY_TYPE, type);
    sheet_bool(t, CKA_TOKEN, token);
}

void sheet_data_key(struct sheet *t, CK_KEY_TYPE type, bool sensitive)
{
    sheet_secret(t, type, false);
    sheet_bool(t, CKA_SENSITIVE, sensitive);
    sheet_bool(t, CKA_EXTRACTABLE, true);
}

void sheet_master_usage(struct sheet *t)
{
    static const CK_ATTRIBUTE_TYPE never[] = {CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_DERIVE};
    sheet_bool(t, CKA_WRAP, true);
    sheet_bool(t, CKA_UNWRAP, true);
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        sheet_bool(t, never[i], false);
    }
}
