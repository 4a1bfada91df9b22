/*
 * unwrap.h: C_UnwrapKey of the vendor's module, with the attributes that were asked for.
 *
 * openCryptoki does not take CKA_EXTRACTABLE true in an unwrap template, and takes but ignores CKA_SENSITIVE true and CKA_EXTRACTABLE false;
 * both can be set on the key afterwards, in the one direction that the standard allows (HSM-FACTS rule 6). So a token that refuses them is asked
 * without them, and what is missing is set before the key is handed out. No state, no locks.
 */
#ifndef KW_UNWRAP_H
#define KW_UNWRAP_H

#include "backing.h"
#include "template.h"

/* A wrapped key and what opens it, all borrowed; vendors do not write to the bytes. */
struct kw_wrapped {
    CK_MECHANISM *mechanism;
    CK_OBJECT_HANDLE key; /* of the lease's epoch */
    CK_BYTE *bytes;
    CK_ULONG len;
};

/* The vendor's own answer. On CKR_OK *out is a key of which CKA_SENSITIVE and CKA_EXTRACTABLE were set as the template says; the caller
 * reads back what it relies on. On anything else nothing is left in the token. `t` is not changed: modules take a pointer to non-const. */
CK_RV kw_unwrap(struct kw_lease *lease, const struct kw_wrapped *w, struct kw_template *t, CK_OBJECT_HANDLE *out);

#endif
