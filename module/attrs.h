/*
 * attrs.h: reading the attributes that a caller gives, and giving him attributes.
 *
 * Every CK_ATTRIBUTE of the caller is read once into our own memory and judged there (the caller's other threads may change it
 * meanwhile); its length is checked before its value is touched; CK_ULONG values may be misaligned. Nothing is owned, no locks.
 * PKCS#11 3.2 sections 3.5 (CK_ATTRIBUTE) and 5.7.5 (C_GetAttributeValue).
 */
#ifndef KW_ATTRS_H
#define KW_ATTRS_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum { KW_ATTRS_MAX = 256 /* attributes in a template; more are refused unread */ };

/* CKR_ARGUMENTS_BAD for a NULL template with a count, or a count over KW_ATTRS_MAX. */
KW_MUST_USE struct kw_rv kw_attrs_check(const CK_ATTRIBUTE *template, CK_ULONG count);

/* Typed readers; `a` is our own copy of the CK_ATTRIBUTE. CKR_ATTRIBUTE_VALUE_INVALID for a NULL pointer, a wrong length, or a
 * CK_BBOOL other than CK_TRUE and CK_FALSE. */
KW_MUST_USE struct kw_rv kw_attrs_bool(const CK_ATTRIBUTE *a, bool *out);
KW_MUST_USE struct kw_rv kw_attrs_ulong(const CK_ATTRIBUTE *a, CK_ULONG *out);
/* At most `room` bytes into out; *len is set. A NULL pointer is fine with length 0 only. */
KW_MUST_USE struct kw_rv kw_attrs_bytes(const CK_ATTRIBUTE *a, uint8_t *out, size_t room, size_t *len);

/* One value of ours, on the stack; `bytes` points into it or to something borrowed. */
struct kw_attr_value {
    const void *bytes;
    size_t len;
    union {
        CK_BBOOL b;
        CK_ULONG u[4];
        uint8_t bytes[40];
    } room;
};

void kw_attr_set_bool(struct kw_attr_value *v, bool value);
void kw_attr_set_ulong(struct kw_attr_value *v, CK_ULONG value);
void kw_attr_set_bytes(struct kw_attr_value *v, const void *bytes, size_t len); /* borrowed */

/* Answers one attribute of a C_GetAttributeValue template: length only for a NULL pointer, CKR_BUFFER_TOO_SMALL with
 * ulValueLen CK_UNAVAILABLE_INFORMATION when it does not fit. */
CK_RV kw_attr_give(CK_ATTRIBUTE *to, const struct kw_attr_value *v);

/* Marks an attribute as not available, and is the code for why. */
CK_RV kw_attr_deny(CK_ATTRIBUTE *to, CK_RV why);

/*
 * The output convention of PKCS#11 3.2 section 5.2: out NULL asks for the length; a short *len gets CKR_BUFFER_TOO_SMALL and the
 * length; only on success are bytes written. `bytes`[len] is what there is to give.
 */
KW_MUST_USE struct kw_rv kw_out_check(const CK_BYTE *out, CK_ULONG *out_len, size_t len, bool *give);
void kw_out_give(CK_BYTE *out, CK_ULONG *out_len, const uint8_t *bytes, size_t len);

/* Copies a string to a field of the standard that is padded with blanks and has no NUL. */
void kw_pad(CK_UTF8CHAR *field, size_t size, const char *text);

#endif
