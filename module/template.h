/*
 * template.h: building the attribute templates that go to a vendor's module.
 *
 * A kw_template is a fixed array on the caller's stack with room for the small values in it; byte strings are borrowed. Nothing
 * is allocated, no locks. The number of attributes is known where a template is built; one too many goes to a spare place that is
 * not sent (tests/unit/template_test.c sees to it that none is).
 */
#ifndef KW_TEMPLATE_H
#define KW_TEMPLATE_H

#include <stddef.h>

#include "cryptoki.h"

enum { KW_TEMPLATE_MAX = 32 };

struct kw_template {
    CK_ULONG count;
    CK_ATTRIBUTE items[KW_TEMPLATE_MAX + 1];
    union {
        CK_BBOOL b;
        CK_ULONG u;
    } values[KW_TEMPLATE_MAX + 1];
};

void kw_template_bool(struct kw_template *t, CK_ATTRIBUTE_TYPE type, int value);
void kw_template_ulong(struct kw_template *t, CK_ATTRIBUTE_TYPE type, CK_ULONG value);
/* `bytes` is borrowed until the template is used; vendors do not write to it. */
void kw_template_bytes(struct kw_template *t, CK_ATTRIBUTE_TYPE type, const void *bytes, size_t len);

/* Every usage bit of a secret key that Keyward never grants, false: ENCRYPT DECRYPT SIGN VERIFY DERIVE. (HSM-FACTS rule 1.) */
void kw_template_no_usage(struct kw_template *t);

/* Begins the template of a secret session key, every bit stated: private, and what of these it may (or-ed; 0: nothing). */
enum { KW_MAY_BE_READ = 1 /* CKA_SENSITIVE false */, KW_MAY_LEAVE = 2 /* CKA_EXTRACTABLE */, KW_MAY_WRAP = 4, KW_MAY_UNWRAP = 8 };
void kw_template_session(struct kw_template *t, CK_KEY_TYPE type, unsigned may);

/* The usage of a data key: none at all. The above, and WRAP and UNWRAP false. */
void kw_template_data_key(struct kw_template *t);

#endif
