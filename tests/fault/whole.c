/*
 * whole.c: whole.so, the module in front of SoftHSM that has CKM_RSA_AES_KEY_WRAP itself, for C_UnwrapKey; no module of Debian 12 has. Both layers are
 * SoftHSM's: OAEP with SHA-1, then RFC 5649. It stands in for the shape of the call, not for any HSM. $KW_WHOLE:
 *   a path    a line is added to that file for each key that it has opened
 *   refuses   it says that it has the mechanism and does not take it
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "front.h"

enum { MODULUS_MAX = 512 };

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list);

static CK_FUNCTION_LIST *vendor;
static CK_FUNCTION_LIST table;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static CK_RV get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info)
{
    if (type == CKM_RSA_AES_KEY_WRAP) {
        *info = (CK_MECHANISM_INFO){2048, 4096, CKF_UNWRAP};
        return CKR_OK;
    }
    return vendor->C_GetMechanismInfo(slot, type, info);
}

static CK_RV open_outer(CK_SESSION_HANDLE session, CK_RSA_PKCS_OAEP_PARAMS *params, CK_OBJECT_HANDLE rsa, CK_BYTE_PTR bytes, CK_OBJECT_HANDLE *aes)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    CK_BYTE modulus[MODULUS_MAX];
    CK_ATTRIBUTE n = {CKA_MODULUS, modulus, sizeof modulus};
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class},    {CKA_KEY_TYPE, &type, sizeof type},   {CKA_TOKEN, &no, sizeof no},
                        {CKA_SENSITIVE, &yes, sizeof yes},    {CKA_EXTRACTABLE, &no, sizeof no},    {CKA_UNWRAP, &yes, sizeof yes},
                        {CKA_PRIVATE, &yes, sizeof yes}};
    CK_MECHANISM oaep = {CKM_RSA_PKCS_OAEP, params, sizeof *params};
    CK_RV rv = vendor->C_GetAttributeValue(session, rsa, &n, 1);
    return rv == CKR_OK ? vendor->C_UnwrapKey(session, &oaep, rsa, bytes, n.ulValueLen, t, sizeof t / sizeof t[0], aes) : rv;
}

static CK_ULONG modulus_len(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE rsa)
{
    CK_ATTRIBUTE n = {CKA_MODULUS, NULL, 0};
    return vendor->C_GetAttributeValue(session, rsa, &n, 1) == CKR_OK ? n.ulValueLen : 0;
}

static void note(const char *path)
{
    int fd = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        (void)!write(fd, "opened\n", 7);
        (void)close(fd);
    }
}

static CK_RV unwrap_key(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE unwrapping, CK_BYTE_PTR bytes, CK_ULONG len,
                        CK_ATTRIBUTE_PTR t, CK_ULONG count, CK_OBJECT_HANDLE_PTR key)
{
    const char *how = getenv("KW_WHOLE");
    CK_MECHANISM kwp = {CKM_AES_KEY_WRAP_PAD, NULL, 0}; /* RFC 5649 on SoftHSM */
    CK_OBJECT_HANDLE aes = CK_INVALID_HANDLE;
    if (mechanism->mechanism != CKM_RSA_AES_KEY_WRAP) {
        return vendor->C_UnwrapKey(session, mechanism, unwrapping, bytes, len, t, count, key);
    }
    const struct kw_rsa_aes_params *p = mechanism->pParameter;
    CK_ULONG outer = modulus_len(session, unwrapping);
    if (how != NULL && strcmp(how, "refuses") == 0) {
        return CKR_MECHANISM_INVALID;
    }
    if (p == NULL || mechanism->ulParameterLen != sizeof *p || p->oaep == NULL || p->oaep->hashAlg != CKM_SHA_1 || p->bits != 256) {
        return CKR_MECHANISM_PARAM_INVALID;
    }
    if (outer == 0 || len <= outer) {
        return CKR_WRAPPED_KEY_LEN_RANGE;
    }
    CK_RV rv = open_outer(session, p->oaep, unwrapping, bytes, &aes);
    if (rv == CKR_OK) {
        rv = vendor->C_UnwrapKey(session, &kwp, aes, bytes + outer, len - outer, t, count, key);
        (void)vendor->C_DestroyObject(session, aes);
    }
    if (rv != CKR_OK) {
        return CKR_WRAPPED_KEY_INVALID;
    }
    note(how);
    return CKR_OK;
}

static void load(void)
{
    vendor = front_load(FRONT_SOFTHSM);
    if (vendor != NULL) {
        table = *vendor;
        table.C_GetFunctionList = C_GetFunctionList;
        table.C_GetMechanismInfo = get_mechanism_info;
        table.C_UnwrapKey = unwrap_key;
    }
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
    (void)pthread_once(&once, load);
    if (list == NULL || vendor == NULL) {
        return list == NULL ? CKR_ARGUMENTS_BAD : CKR_GENERAL_ERROR;
    }
    *list = &table;
    return CKR_OK;
}
