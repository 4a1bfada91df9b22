#include "attrs.h"

#include <string.h>

struct kw_rv kw_attrs_check(const CK_ATTRIBUTE *template, CK_ULONG count)
{
    if (count > KW_ATTRS_MAX || (template == NULL && count > 0)) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "a template of this size, or a NULL template, is not read");
    }
    return KW_OK;
}

struct kw_rv kw_attrs_bool(const CK_ATTRIBUTE *a, bool *out)
{
    CK_BBOOL b = 2;
    if (a->pValue != NULL && a->ulValueLen == sizeof b) {
        memcpy(&b, a->pValue, sizeof b);
    }
    if (b != CK_TRUE && b != CK_FALSE) {
        return KW_FAIL(CKR_ATTRIBUTE_VALUE_INVALID, "a CK_BBOOL attribute is not CK_TRUE or CK_FALSE");
    }
    *out = b == CK_TRUE;
    return KW_OK;
}

struct kw_rv kw_attrs_ulong(const CK_ATTRIBUTE *a, CK_ULONG *out)
{
    if (a->pValue == NULL || a->ulValueLen != sizeof *out) {
        return KW_FAIL(CKR_ATTRIBUTE_VALUE_INVALID, "a CK_ULONG attribute has another length");
    }
    memcpy(out, a->pValue, sizeof *out);
    return KW_OK;
}

struct kw_rv kw_attrs_bytes(const CK_ATTRIBUTE *a, uint8_t *out, size_t room, size_t *len)
{
    if (a->ulValueLen > room || (a->pValue == NULL && a->ulValueLen > 0)) {
        return KW_FAIL(CKR_ATTRIBUTE_VALUE_INVALID, "a byte string attribute is too long or NULL");
    }
    if (a->ulValueLen > 0) {
        memcpy(out, a->pValue, a->ulValueLen);
    }
    *len = a->ulValueLen;
    return KW_OK;
}

void kw_attr_set_bool(struct kw_attr_value *v, bool value)
{
    v->room.b = value ? CK_TRUE : CK_FALSE;
    kw_attr_set_bytes(v, &v->room.b, sizeof v->room.b);
}

void kw_attr_set_ulong(struct kw_attr_value *v, CK_ULONG value)
{
    v->room.u[0] = value;
    kw_attr_set_bytes(v, v->room.u, sizeof v->room.u[0]);
}

void kw_attr_set_bytes(struct kw_attr_value *v, const void *bytes, size_t len)
{
    v->bytes = bytes;
    v->len = len;
}

CK_RV kw_attr_deny(CK_ATTRIBUTE *to, CK_RV why)
{
    to->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    return why;
}

CK_RV kw_attr_give(CK_ATTRIBUTE *to, const struct kw_attr_value *v)
{
    void *p = to->pValue;
    CK_ULONG room = to->ulValueLen;
    if (p != NULL && (room < v->len || room == CK_UNAVAILABLE_INFORMATION)) {
        return kw_attr_deny(to, CKR_BUFFER_TOO_SMALL);
    }
    if (p != NULL && v->len > 0) {
        memcpy(p, v->bytes, v->len);
    }
    to->ulValueLen = v->len;
    return CKR_OK;
}

struct kw_rv kw_out_check(const CK_BYTE *out, CK_ULONG *out_len, size_t len, bool *give)
{
    *give = false;
    if (out == NULL) {
        *out_len = len;
        return KW_OK;
    }
    if (*out_len < len) {
        *out_len = len;
        return KW_FAIL(CKR_BUFFER_TOO_SMALL, "the caller's buffer is too short");
    }
    *give = true;
    return KW_OK;
}

void kw_out_give(CK_BYTE *out, CK_ULONG *out_len, const uint8_t *bytes, size_t len)
{
    memcpy(out, bytes, len);
    *out_len = len;
}

void kw_pad(CK_UTF8CHAR *field, size_t size, const char *text)
{
    size_t len = strlen(text);
    memset(field, ' ', size);
    memcpy(field, text, len < size ? len : size);
}
