/*
 * liar.c: liar.so, the module in front of SoftHSM that says CKR_OK and does something else with RSA keys that stay in the token. $KW_LIE:
 *   decrypts  the private half may decrypt as well
 *   retires   the public half does not wrap
 *   renames   the private half has another CKA_ID
 *   swaps     the public half is that of another pair
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "front.h"

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list);

static CK_FUNCTION_LIST *vendor;
static CK_FUNCTION_LIST table;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool lies(const char *how)
{
    const char *lie = getenv("KW_LIE");
    return lie != NULL && strcmp(lie, how) == 0;
}

static bool stays(const CK_ATTRIBUTE *t, CK_ULONG count)
{
    for (CK_ULONG i = 0; i < count; i++) {
        if (t[i].type == CKA_TOKEN) {
            return *(const CK_BBOOL *)t[i].pValue != CK_FALSE;
        }
    }
    return false;
}

static CK_OBJECT_CLASS class_of(const CK_ATTRIBUTE *t, CK_ULONG count)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    for (CK_ULONG i = 0; i < count; i++) {
        if (t[i].type == CKA_CLASS) {
            memcpy(&class, t[i].pValue, sizeof class);
        }
    }
    return class;
}

static void set(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type, CK_BBOOL value)
{
    CK_ATTRIBUTE a = {type, &value, sizeof value};
    (void)vendor->C_SetAttributeValue(session, key, &a, 1);
}

static void lie_about_private(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    CK_BYTE id[24] = "kw";
    CK_ATTRIBUTE a = {CKA_ID, id, sizeof id};
    if (lies("decrypts")) {
        set(session, key, CKA_DECRYPT, CK_TRUE);
    } else if (lies("renames")) {
        (void)vendor->C_SetAttributeValue(session, key, &a, 1);
    }
}

static CK_RV generate_pair(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR pub, CK_ULONG pub_count,
                           CK_ATTRIBUTE_PTR priv, CK_ULONG priv_count, CK_OBJECT_HANDLE_PTR public_key, CK_OBJECT_HANDLE_PTR private_key)
{
    CK_OBJECT_HANDLE other[2];
    CK_RV rv = vendor->C_GenerateKeyPair(session, mechanism, pub, pub_count, priv, priv_count, public_key, private_key);
    if (rv != CKR_OK || !stays(priv, priv_count)) {
        return rv;
    }
    lie_about_private(session, *private_key);
    if (lies("retires")) {
        set(session, *public_key, CKA_WRAP, CK_FALSE);
    } else if (lies("swaps")) {
        rv = vendor->C_GenerateKeyPair(session, mechanism, pub, pub_count, priv, priv_count, &other[0], &other[1]);
        (void)vendor->C_DestroyObject(session, other[1]);
        (void)vendor->C_DestroyObject(session, *public_key);
        *public_key = other[0];
    }
    return rv;
}

static CK_RV unwrap_key(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE unwrapping, CK_BYTE_PTR bytes, CK_ULONG len,
                        CK_ATTRIBUTE_PTR t, CK_ULONG count, CK_OBJECT_HANDLE_PTR key)
{
    CK_RV rv = vendor->C_UnwrapKey(session, mechanism, unwrapping, bytes, len, t, count, key);
    if (rv == CKR_OK && stays(t, count) && class_of(t, count) == CKO_PRIVATE_KEY) {
        lie_about_private(session, *key);
    }
    return rv;
}

static CK_RV set_attributes(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_PTR t, CK_ULONG count)
{
    CK_RV rv = vendor->C_SetAttributeValue(session, key, t, count);
    if (rv == CKR_OK && lies("decrypts") && count > 0 && t[0].type == CKA_DECRYPT) {
        set(session, key, CKA_DECRYPT, CK_TRUE); /* it is not given away again */
    }
    return rv;
}

static CK_RV create_object(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR t, CK_ULONG count, CK_OBJECT_HANDLE_PTR key)
{
    CK_RV rv = vendor->C_CreateObject(session, t, count, key);
    if (rv == CKR_OK && lies("retires") && stays(t, count) && class_of(t, count) == CKO_PUBLIC_KEY) {
        set(session, *key, CKA_WRAP, CK_FALSE);
    }
    return rv;
}

static void load(void)
{
    vendor = front_load(FRONT_SOFTHSM);
    if (vendor != NULL) {
        table = *vendor;
        table.C_GetFunctionList = C_GetFunctionList;
        table.C_GenerateKeyPair = generate_pair;
        table.C_UnwrapKey = unwrap_key;
        table.C_SetAttributeValue = set_attributes;
        table.C_CreateObject = create_object;
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
