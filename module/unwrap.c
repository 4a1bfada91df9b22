#include "unwrap.h"

static const CK_ATTRIBUTE *find(const struct kw_template *t, CK_ATTRIBUTE_TYPE type)
{
    for (CK_ULONG i = 0; i < t->count; i++) {
        if (t->items[i].type == type) {
            return &t->items[i];
        }
    }
    return NULL;
}

static bool asks(const struct kw_template *t, CK_ATTRIBUTE_TYPE type, CK_BBOOL value)
{
    const CK_ATTRIBUTE *a = find(t, type);
    return a != NULL && *(const CK_BBOOL *)a->pValue == value;
}

static CK_RV call(struct kw_lease *lease, const struct kw_wrapped *w, CK_ATTRIBUTE *items, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    *out = CK_INVALID_HANDLE;
    return lease->call->C_UnwrapKey(lease->session, w->mechanism, w->key, w->bytes, w->len, items, count, out);
}

/* Makes the key sensitive and unextractable where that was asked for and is not so. */
static CK_RV harden(struct kw_lease *lease, const struct kw_template *t, CK_OBJECT_HANDLE key)
{
    CK_BBOOL sensitive = CK_TRUE;
    CK_BBOOL extractable = CK_FALSE;
    CK_ATTRIBUTE is[] = {{CKA_SENSITIVE, &sensitive, sizeof sensitive}, {CKA_EXTRACTABLE, &extractable, sizeof extractable}};
    struct kw_template more = {0};
    CK_RV rv = lease->call->C_GetAttributeValue(lease->session, key, is, 2);
    if (rv != CKR_OK) {
        return rv;
    }
    if (asks(t, CKA_SENSITIVE, CK_TRUE) && !sensitive) {
        kw_template_bool(&more, CKA_SENSITIVE, 1);
    }
    if (asks(t, CKA_EXTRACTABLE, CK_FALSE) && extractable) {
        kw_template_bool(&more, CKA_EXTRACTABLE, 0);
    }
    return more.count == 0 ? CKR_OK : lease->call->C_SetAttributeValue(lease->session, key, more.items, more.count);
}

CK_RV kw_unwrap(struct kw_lease *lease, const struct kw_wrapped *w, struct kw_template *t, CK_OBJECT_HANDLE *out)
{
    bool harder = asks(t, CKA_EXTRACTABLE, CK_FALSE);
    CK_RV rv = call(lease, w, t->items, t->count, out);
    if (rv == CKR_ATTRIBUTE_READ_ONLY && (find(t, CKA_SENSITIVE) != NULL || find(t, CKA_EXTRACTABLE) != NULL)) {
        struct kw_template less = {0};
        for (CK_ULONG i = 0; i < t->count; i++) {
            if (t->items[i].type != CKA_SENSITIVE && t->items[i].type != CKA_EXTRACTABLE) {
                less.items[less.count++] = t->items[i];
            }
        }
        rv = call(lease, w, less.items, less.count, out);
        harder = true;
    }
    if (rv == CKR_OK && harder && *out != CK_INVALID_HANDLE) {
        rv = harden(lease, t, *out);
        if (rv != CKR_OK) {
            (void)lease->call->C_DestroyObject(lease->session, *out);
            *out = CK_INVALID_HANDLE;
        }
    }
    return rv;
}
