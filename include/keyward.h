/*
 * keyward.h: what Keyward adds to PKCS#11. Include it after any vendor's pkcs11.h (it uses CK_ULONG's constants only).
 *
 * All numbers are vendor defined (PKCS#11 3.2 section 4.1): 0x80000000 | 0x4B57 ("KW") << 12 | n.
 */
#ifndef KEYWARD_H
#define KEYWARD_H

#define KEYWARD_VENDOR_BASE 0x84B57000UL

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
