/*
 * recipe.h: how a token does a scheme of wrapping: with which mechanisms and parameters, as far as it is proven to. (DESIGN section 7.)
 *
 * Under a lease. No state of its own, no locks.
 */
#ifndef KW_RECIPE_H
#define KW_RECIPE_H

#include "probe.h"

/* Points into itself: prepare it where it is used, do not copy it. */
struct kw_recipe {
    CK_MECHANISM mechanism; /* KW, KWP, OAEP: the one; RSA_AES: the outer layer, OAEP */
    CK_MECHANISM inner;     /* RSA_AES: RFC 5649 */
    CK_RSA_PKCS_OAEP_PARAMS oaep;
    size_t most;            /* bytes of the longest data key that comes back */
    bool any_length;        /* else only data keys whose length is a multiple of 8 come back exactly */
};

/* What for: with a version's secret key or private half, which may unwrap (what is not proven yet is proven with it), and to wrap a data key of
 * this length (0: to unwrap). */
struct kw_recipe_use {
    CK_OBJECT_HANDLE key;
    size_t length;
};

/* CKR_MECHANISM_INVALID when the token
 * is not proven to do the scheme; or the token's failure. */
KW_MUST_USE struct kw_rv kw_recipe_prepare(struct kw_lease *lease, const struct kw_scheme *scheme,
                                           const struct kw_recipe_use *use, struct kw_recipe *out);

#endif
