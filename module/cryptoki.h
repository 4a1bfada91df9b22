/*
 * cryptoki.h: PKCS#11 3.2 on top of p11-kit's 2.40 header.
 *
 * p11-kit 0.24.1 ships types and constants of PKCS#11 2.40. What 3.0 and 3.2 add and Keyward needs is here, written from the
 * standard (PKCS#11 3.2, sections 3 and 5): interfaces, return codes, flags, mechanisms and the function types of all tables.
 * The tables themselves come from functions.def (entry.h). Types only; nothing is owned, nothing locks.
 */
#ifndef KW_CRYPTOKI_H
#define KW_CRYPTOKI_H

#include <p11-kit/pkcs11.h>

/* Interfaces (3.0, section 3.5). */
#ifndef CKF_INTERFACE_FORK_SAFE
#define CKF_INTERFACE_FORK_SAFE 0x00000001UL
typedef struct CK_INTERFACE {
    CK_CHAR *pInterfaceName;
    CK_VOID_PTR pFunctionList;
    CK_FLAGS flags;
} CK_INTERFACE, *CK_INTERFACE_PTR, **CK_INTERFACE_PTR_PTR;
#endif

typedef CK_ULONG CK_SESSION_VALIDATION_FLAGS_TYPE; /* 3.2, section 3.7 */
#define CKS_LAST_VALIDATION_OK 0x00000001UL

typedef struct CK_ASYNC_DATA { /* 3.2, section 5.23 */
    CK_ULONG ulVersion;
    CK_BYTE_PTR pValue;
    CK_ULONG ulValue;
    CK_OBJECT_HANDLE hObject;
    CK_OBJECT_HANDLE hAdditionalObject;
} CK_ASYNC_DATA, *CK_ASYNC_DATA_PTR;


/* Return codes that 2.40 lacks (3.2, section 5.1). */
#ifndef CKR_ACTION_PROHIBITED
#define CKR_ACTION_PROHIBITED 0x0000001BUL
#endif
#ifndef CKR_CURVE_NOT_SUPPORTED
#define CKR_CURVE_NOT_SUPPORTED 0x00000140UL
#endif
#ifndef CKR_LIBRARY_LOAD_FAILED
#define CKR_LIBRARY_LOAD_FAILED 0x000001C2UL
#endif
#ifndef CKR_PIN_TOO_WEAK
#define CKR_PIN_TOO_WEAK 0x000001C3UL
#endif
#ifndef CKR_PUBLIC_KEY_INVALID
#define CKR_PUBLIC_KEY_INVALID 0x000001C4UL
#endif
#ifndef CKR_FUNCTION_REJECTED
#define CKR_FUNCTION_REJECTED 0x00000200UL
#endif
#ifndef CKR_TOKEN_RESOURCE_EXCEEDED
#define CKR_TOKEN_RESOURCE_EXCEEDED 0x00000201UL
#endif
#ifndef CKR_OPERATION_CANCEL_FAILED
#define CKR_OPERATION_CANCEL_FAILED 0x00000202UL
#endif
#ifndef CKR_KEY_EXHAUSTED
#define CKR_KEY_EXHAUSTED 0x00000203UL
#endif

#ifndef CKR_AEAD_DECRYPT_FAILED
#define CKR_AEAD_DECRYPT_FAILED 0x00000042UL
#endif

#ifndef CKR_EXCEEDED_MAX_ITERATIONS
#define CKR_EXCEEDED_MAX_ITERATIONS 0x000001B5UL
#endif

#ifndef CKR_FIPS_SELF_TEST_FAILED
#define CKR_FIPS_SELF_TEST_FAILED 0x000001B6UL
#endif

/* The parameter of CKM_RSA_AES_KEY_WRAP, CK_RSA_AES_KEY_WRAP_PARAMS (3.2, section 6.1). */
struct kw_rsa_aes_params {
    CK_ULONG bits; /* of the AES key */
    CK_RSA_PKCS_OAEP_PARAMS *oaep;
};

/* Mechanisms (3.0, section 6.13; old name 0x210A in 2.40). */
#ifndef CKM_AES_KEY_WRAP_KWP
#define CKM_AES_KEY_WRAP_KWP 0x0000210BUL
#endif

/* Attributes. */
#ifndef CKA_UNIQUE_ID
#define CKA_UNIQUE_ID 0x00000004UL
#endif
#ifndef CKA_COPYABLE
#define CKA_COPYABLE 0x00000171UL
#endif
#ifndef CKA_DESTROYABLE
#define CKA_DESTROYABLE 0x00000172UL
#endif
#ifndef CKF_ARRAY_ATTRIBUTE
#define CKF_ARRAY_ATTRIBUTE 0x40000000UL
#endif

#endif
