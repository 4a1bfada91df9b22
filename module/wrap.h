/*
 * wrap.h: C_WrapKey and C_UnwrapKey, what Keyward is for, and their authenticated forms. (PKCS#11 3.2 sections 5.18.2 to 5.18.7.)
 *
 * Order of checks: arguments, mechanism and its parameter, template, handles, what the keys may do, lengths; then the engine. A size query and a
 * buffer that is too short are answered without the backing token. No state of its own, no locks.
 */
#ifndef KW_WRAP_H
#define KW_WRAP_H

#include "session.h"

struct kw_template_in {
    const CK_ATTRIBUTE *items;
    CK_ULONG count;
};

/* The two keys of a wrap. */
struct kw_key_pair {
    CK_OBJECT_HANDLE wrapping;
    CK_OBJECT_HANDLE key;
};

/* `associated`: of C_WrapKeyAuthenticated; NULL for C_WrapKey. */
KW_MUST_USE struct kw_rv kw_wrap_key(struct kw_session *s, const CK_MECHANISM *mechanism, struct kw_key_pair keys,
                                     const struct kw_in *associated, struct kw_out out);

/* A wrapped key and the key that opens it; the associated data of C_UnwrapKeyAuthenticated, NULL for C_UnwrapKey. */
struct kw_wrapped_in {
    CK_OBJECT_HANDLE unwrapping;
    struct kw_in blob;
    const struct kw_in *associated;
};

KW_MUST_USE struct kw_rv kw_unwrap_key(struct kw_session *s, const CK_MECHANISM *mechanism, struct kw_wrapped_in wrapped,
                                       struct kw_template_in template, CK_OBJECT_HANDLE *key);

#endif
