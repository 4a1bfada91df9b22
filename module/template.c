#include "template.h"

static CK_ATTRIBUTE *next(struct kw_template *t, CK_ATTRIBUTE_TYPE type)
{
    CK_ATTRIBUTE *a = &t->items[t->count < KW_TEMPLATE_MAX ? t->count++ : KW_TEMPLATE_MAX];
    a->type = type;
    return a;
}

void kw_template_bool(struct kw_template *t, CK_ATTRIBUTE_TYPE type, int value)
{
    CK_ATTRIBUTE *a = next(t, type);
    CK_BBOOL *b = &t->values[a - t->items].b;
    *b = value ? CK_TRUE : CK_FALSE;
    a->pValue = b;
    a->ulValueLen = sizeof *b;
}

void kw_template_ulong(struct kw_template *t, CK_ATTRIBUTE_TYPE type, CK_ULONG value)
{
    CK_ATTRIBUTE *a = next(t, type);
    CK_ULONG *u = &t->values[a - t->items].u;
    *u = value;
    a->pValue = u;
    a->ulValueLen = sizeof *u;
}

void kw_template_bytes(struct kw_template *t, CK_ATTRIBUTE_TYPE type, const void *bytes, size_t len)
{
    union {
        const void *in;
        void *out;
    } cast = {bytes}; /* CK_ATTRIBUTE has no const; templates are read only */
    CK_ATTRIBUTE *a = next(t, type);
    a->pValue = cast.out;
    a->ulValueLen = len;
}

void kw_template_no_usage(struct kw_template *t)
{
    static const CK_ATTRIBUTE_TYPE never[] = {CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_DERIVE};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        kw_template_bool(t, never[i], 0);
    }
}

void kw_template_session(struct kw_template *t, CK_KEY_TYPE type, unsigned may)
{
    kw_template_ulong(t, CKA_CLASS, CKO_SECRET_KEY);
    kw_template_ulong(t, CKA_KEY_TYPE, type);
    kw_template_bool(t, CKA_TOKEN, 0);
    kw_template_bool(t, CKA_PRIVATE, 1);
    kw_template_bool(t, CKA_SENSITIVE, (may & KW_MAY_BE_READ) == 0);
    kw_template_bool(t, CKA_EXTRACTABLE, (may & KW_MAY_LEAVE) != 0);
    kw_template_no_usage(t);
    kw_template_bool(t, CKA_WRAP, (may & KW_MAY_WRAP) != 0);
    kw_template_bool(t, CKA_UNWRAP, (may & KW_MAY_UNWRAP) != 0);
}

void kw_template_data_key(struct kw_template *t)
{
    kw_template_no_usage(t);
    kw_template_bool(t, CKA_WRAP, 0);
    kw_template_bool(t, CKA_UNWRAP, 0);
}
