/*
 * keyward.h: what Keyward adds to PKCS#11. Include it after any vendor's pkcs11.h (it needs nothing of it).
 *
 * All numbers are vendor defined (PKCS#11 3.2 section 4.1): 0x80000000 | 0x4B57 ("KW") << 12 | n.
 */
#ifndef KEYWARD_H
#define KEYWARD_H

#define KEYWARD_VENDOR_BASE 0x84B57000UL

/*
 * CKM_KEYWARD_ENVELOPE, a mechanism of C_WrapKey, C_UnwrapKey and of C_WrapKeyAuthenticated, C_UnwrapKeyAuthenticated (PKCS#11 3.2): a wrapped key that
 * names its CMK version and is bound to the slot's tenant and geo and to a context of the broker's choice. docs/envelope.md has the format.
 * Parameter of the first two: NULL with length 0 (no context), or CK_KEYWARD_ENVELOPE_PARAMS. Of the other two: NULL with length 0, the context is
 * the associated data. A context has 0 to 65536 bytes; pContext may be NULL when it has none.
 */
#define CKM_KEYWARD_ENVELOPE (KEYWARD_VENDOR_BASE + 1UL)

typedef struct CK_KEYWARD_ENVELOPE_PARAMS {
    unsigned char *pContext;    /* CK_BYTE_PTR; only read */
    unsigned long ulContextLen; /* CK_ULONG */
} CK_KEYWARD_ENVELOPE_PARAMS;

/* Attributes of a CMK version, readable with C_GetAttributeValue and usable in C_FindObjectsInit. */
#define CKA_KEYWARD_VERSION (KEYWARD_VENDOR_BASE + 1UL)     /* CK_ULONG: 1, 2, ... within the lineage */
#define CKA_KEYWARD_STATE (KEYWARD_VENDOR_BASE + 2UL)       /* CK_ULONG: CKS_KEYWARD_* */
#define CKA_KEYWARD_FINGERPRINT (KEYWARD_VENDOR_BASE + 3UL) /* 8 bytes; empty while none is known */

/* Values of CKA_KEYWARD_STATE. */
#define CKS_KEYWARD_ACTIVE 0UL         /* wraps and unwraps */
#define CKS_KEYWARD_RETIRED 1UL        /* unwraps what it wrapped */
#define CKS_KEYWARD_DISABLED 2UL       /* refused until it is enabled again */
#define CKS_KEYWARD_PENDING 3UL        /* to be deleted; can be recovered until its day */
#define CKS_KEYWARD_OUT_OF_SERVICE 4UL /* its attributes or its fingerprint are not as they must be; see `keyward check` */

#endif
