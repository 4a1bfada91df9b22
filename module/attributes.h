/*
 * attributes.h: the attributes of an object, as C_GetAttributeValue gives them and C_FindObjectsInit matches them.
 * (PKCS#11 3.2 sections 4.4 to 4.9.) Pure; the face's lock is held by the caller.
 */
#ifndef KW_ATTRIBUTES_H
#define KW_ATTRIBUTES_H

#include "attrs.h"
#include "object.h"

/* One attribute; *v may borrow from o. CKR_OK, CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID. The value of a data key of the token home is
 * never here (CKR_ATTRIBUTE_SENSITIVE). */
CK_RV kw_attributes_read(const struct kw_object *o, CK_ATTRIBUTE_TYPE type, struct kw_attr_value *v);

#endif
