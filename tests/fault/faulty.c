#include "faulty.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "front.h"
#include "rules.h"

static CK_FUNCTION_LIST *vendor;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#define FIRST(a, ...) a

#define COUNTED(name, parameters, arguments)                                                                 \
    static CK_RV forward_##name parameters                                                                   \
    {                                                                                                        \
        const struct rules_call call = rules_begin(FAULTY_##name, (CK_ULONG)(uintptr_t)(FIRST arguments));   \
        return call.over ? call.rv : rules_end(&call, vendor->name arguments);                               \
    }
#include "counting.def"
#undef COUNTED

static CK_FUNCTION_LIST table = {
    .version = {2, 40},
    .C_GetFunctionList = C_GetFunctionList,
#define COUNTED(name, parameters, arguments) .name = forward_##name,
#include "counting.def"
#undef COUNTED
};

/* The functions that have something to lie about, or that carry object handles. */

static bool lies(const struct rules_call *call, enum faulty_act act, CK_RV rv)
{
    return rv == CKR_OK && call->rule != NULL && call->act == act;
}

/* The answer of a function that makes an object: its handle goes out. */
static CK_RV give_handle(const struct rules_call *call, CK_RV rv, CK_OBJECT_HANDLE *handle)
{
    if (rv == CKR_OK) {
        *handle = lies(call, FAULTY_ZERO, rv) ? CK_INVALID_HANDLE : rules_outer(*handle);
    }
    return rules_end(call, rv);
}

static CK_RV initialize(CK_VOID_PTR args)
{
    const struct rules_call call = rules_begin(FAULTY_C_Initialize, 0);
    rules_no_sessions();
    return call.over ? call.rv : rules_end(&call, vendor->C_Initialize(args));
}

static CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count)
{
    const struct rules_call call = rules_begin(FAULTY_C_GetSlotList, 0);
    if (call.over) {
        return call.rv;
    }
    CK_RV rv = vendor->C_GetSlotList(present, list, count);
    if (rv == CKR_OK && list != NULL) {
        CK_ULONG kept = 0;
        for (CK_ULONG i = 0; i < *count; i++) {
            if (!rules_vanished(list[i])) {
                list[kept++] = list[i];
            }
        }
        *count = kept;
    }
    if (lies(&call, FAULTY_LENGTH, rv)) {
        *count += call.value;
    }
    return rules_end(&call, rv);
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
    const struct rules_call call = rules_begin(FAULTY_C_GetTokenInfo, slot);
    if (call.over) {
        return call.rv;
    }
    CK_RV rv = vendor->C_GetTokenInfo(slot, info);
    if (lies(&call, FAULTY_FLAGS, rv)) {
        info->flags |= call.value;
    }
    return rules_end(&call, rv);
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR session)
{
    const struct rules_call call = rules_begin(FAULTY_C_OpenSession, slot);
    if (call.over) {
        return call.rv;
    }
    if (lies(&call, FAULTY_LIMIT, CKR_OK) && rules_sessions() >= (long)call.value) {
        return rules_end(&call, CKR_SESSION_COUNT);
    }
    CK_RV rv = vendor->C_OpenSession(slot, flags, application, notify, session);
    if (rv == CKR_OK) {
        rules_count_sessions(1);
    }
    if (lies(&call, FAULTY_ZERO, rv)) {
        *session = CK_INVALID_HANDLE;
    }
    return rules_end(&call, rv);
}

static CK_RV close_session(CK_SESSION_HANDLE session)
{
    const struct rules_call call = rules_begin(FAULTY_C_CloseSession, session);
    if (call.over) {
        return call.rv;
    }
    CK_RV rv = vendor->C_CloseSession(session);
    if (rv == CKR_OK) {
        rules_count_sessions(-1);
    }
    return rules_end(&call, rv);
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG pin_len)
{
    const struct rules_call call = rules_begin(FAULTY_C_Login, session);
    CK_RV rv = call.over ? call.rv : rules_end(&call, vendor->C_Login(session, user, pin, pin_len));
    rules_count_pin(rv);
    return rv;
}

static CK_RV create_object(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR t, CK_ULONG count, CK_OBJECT_HANDLE_PTR object)
{
    const struct rules_call call = rules_begin(FAULTY_C_CreateObject, session);
    return call.over ? call.rv : give_handle(&call, vendor->C_CreateObject(session, t, count, object), object);
}

static CK_RV generate_key(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR t, CK_ULONG count, CK_OBJECT_HANDLE_PTR key)
{
    const struct rules_call call = rules_begin(FAULTY_C_GenerateKey, session);
    return call.over ? call.rv : give_handle(&call, vendor->C_GenerateKey(session, mechanism, t, count, key), key);
}

static CK_RV destroy_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    const struct rules_call call = rules_begin(FAULTY_C_DestroyObject, session);
    return call.over ? call.rv : rules_end(&call, vendor->C_DestroyObject(session, rules_inner(object)));
}

static CK_RV set_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR t, CK_ULONG count)
{
    const struct rules_call call = rules_begin(FAULTY_C_SetAttributeValue, session);
    return call.over ? call.rv : rules_end(&call, vendor->C_SetAttributeValue(session, rules_inner(object), t, count));
}

static void rename_key(const CK_ATTRIBUTE *a, CK_ULONG at)
{
    if (a->type == CKA_ID && a->pValue != NULL && a->ulValueLen != CK_UNAVAILABLE_INFORMATION && a->ulValueLen > 0) {
        ((CK_BYTE *)a->pValue)[at < a->ulValueLen ? at : a->ulValueLen - 1] ^= 1;
    }
}

static CK_RV get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR t, CK_ULONG count)
{
    const struct rules_call call = rules_begin(FAULTY_C_GetAttributeValue, session);
    if (call.over) {
        return call.rv;
    }
    CK_RV rv = vendor->C_GetAttributeValue(session, rules_inner(object), t, count);
    for (CK_ULONG i = 0; lies(&call, FAULTY_LENGTH, rv) && i < count; i++) {
        t[i].ulValueLen += call.value;
    }
    for (CK_ULONG i = 0; lies(&call, FAULTY_NAME, rv) && i < count; i++) {
        rename_key(&t[i], call.value);
    }
    return rules_end(&call, rv);
}

static CK_RV find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR list, CK_ULONG most, CK_ULONG_PTR count)
{
    const struct rules_call call = rules_begin(FAULTY_C_FindObjects, session);
    if (call.over) {
        return call.rv;
    }
    CK_RV rv = vendor->C_FindObjects(session, list, most, count);
    for (CK_ULONG i = 0; rv == CKR_OK && i < *count; i++) {
        list[i] = lies(&call, FAULTY_ZERO, rv) ? CK_INVALID_HANDLE : rules_outer(list[i]);
    }
    if (lies(&call, FAULTY_OTHER, rv) && *count > 0) {
        list[0] = rules_outer(rules_other_key(session, rules_inner(list[0])));
    }
    if (lies(&call, FAULTY_LENGTH, rv)) {
        *count += call.value;
    }
    return rules_end(&call, rv);
}

static CK_RV wrap_key(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE wrapping, CK_OBJECT_HANDLE key,
                      CK_BYTE_PTR wrapped, CK_ULONG_PTR len)
{
    const struct rules_call call = rules_begin(FAULTY_C_WrapKey, session);
    if (call.over) {
        return call.rv;
    }
    CK_OBJECT_HANDLE with = lies(&call, FAULTY_OTHER, CKR_OK) ? rules_other_key(session, rules_inner(wrapping)) : rules_inner(wrapping);
    CK_RV rv = vendor->C_WrapKey(session, mechanism, with, rules_inner(key), wrapped, len);
    if (lies(&call, FAULTY_LENGTH, rv)) {
        *len += call.value;
    }
    return rules_end(&call, rv);
}

static CK_RV unwrap_key(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE unwrapping, CK_BYTE_PTR wrapped,
                        CK_ULONG wrapped_len, CK_ATTRIBUTE_PTR t, CK_ULONG count, CK_OBJECT_HANDLE_PTR key)
{
    const struct rules_call call = rules_begin(FAULTY_C_UnwrapKey, session);
    if (call.over) {
        return call.rv;
    }
    CK_OBJECT_HANDLE with = lies(&call, FAULTY_OTHER, CKR_OK) ? rules_other_key(session, rules_inner(unwrapping)) : rules_inner(unwrapping);
    return give_handle(&call, vendor->C_UnwrapKey(session, mechanism, with, wrapped, wrapped_len, t, count, key), key);
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len, CK_BYTE_PTR signature, CK_ULONG_PTR signature_len)
{
    const struct rules_call call = rules_begin(FAULTY_C_Sign, session);
    if (call.over) {
        return call.rv;
    }
    CK_RV rv = vendor->C_Sign(session, data, len, signature, signature_len);
    if (lies(&call, FAULTY_LENGTH, rv)) {
        *signature_len += call.value;
    }
    return rules_end(&call, rv);
}

static CK_RV encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
    const struct rules_call call = rules_begin(FAULTY_C_EncryptInit, session);
    return call.over ? call.rv : rules_end(&call, vendor->C_EncryptInit(session, mechanism, rules_inner(key)));
}

static CK_RV decrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
    const struct rules_call call = rules_begin(FAULTY_C_DecryptInit, session);
    return call.over ? call.rv : rules_end(&call, vendor->C_DecryptInit(session, mechanism, rules_inner(key)));
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
    const struct rules_call call = rules_begin(FAULTY_C_SignInit, session);
    return call.over ? call.rv : rules_end(&call, vendor->C_SignInit(session, mechanism, rules_inner(key)));
}

static CK_RV derive_key(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE base, CK_ATTRIBUTE_PTR t, CK_ULONG count,
                        CK_OBJECT_HANDLE_PTR key)
{
    const struct rules_call call = rules_begin(FAULTY_C_DeriveKey, session);
    return call.over ? call.rv : give_handle(&call, vendor->C_DeriveKey(session, mechanism, rules_inner(base), t, count, key), key);
}

static CK_RV copy_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR t, CK_ULONG count, CK_OBJECT_HANDLE_PTR copy)
{
    const struct rules_call call = rules_begin(FAULTY_C_CopyObject, session);
    return call.over ? call.rv : give_handle(&call, vendor->C_CopyObject(session, rules_inner(object), t, count, copy), copy);
}

static CK_RV generate_key_pair(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR pub, CK_ULONG pub_count,
                               CK_ATTRIBUTE_PTR priv, CK_ULONG priv_count, CK_OBJECT_HANDLE_PTR pub_key, CK_OBJECT_HANDLE_PTR priv_key)
{
    const struct rules_call call = rules_begin(FAULTY_C_GenerateKeyPair, session);
    if (call.over) {
        return call.rv;
    }
    CK_RV rv = vendor->C_GenerateKeyPair(session, mechanism, pub, pub_count, priv, priv_count, pub_key, priv_key);
    if (rv == CKR_OK) {
        *priv_key = rules_outer(*priv_key);
    }
    return give_handle(&call, rv, pub_key);
}

static void load(void)
{
    const char *path = getenv("FAULTY_VENDOR");
    vendor = front_load(path == NULL ? FRONT_SOFTHSM : path);
    if (vendor == NULL || !rules_start(vendor)) {
        vendor = NULL;
        return;
    }
    table.C_Initialize = initialize;
    table.C_GetSlotList = get_slot_list;
    table.C_GetTokenInfo = get_token_info;
    table.C_OpenSession = open_session;
    table.C_CloseSession = close_session;
    table.C_Login = login;
    table.C_CreateObject = create_object;
    table.C_GenerateKey = generate_key;
    table.C_DestroyObject = destroy_object;
    table.C_SetAttributeValue = set_attribute_value;
    table.C_GetAttributeValue = get_attribute_value;
    table.C_FindObjects = find_objects;
    table.C_WrapKey = wrap_key;
    table.C_UnwrapKey = unwrap_key;
    table.C_EncryptInit = encrypt_init;
    table.C_DecryptInit = decrypt_init;
    table.C_SignInit = sign_init;
    table.C_Sign = sign;
    table.C_DeriveKey = derive_key;
    table.C_CopyObject = copy_object;
    table.C_GenerateKeyPair = generate_key_pair;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
    (void)pthread_once(&once, load);
    if (list == NULL) {
        return CKR_ARGUMENTS_BAD;
    }
    if (vendor == NULL) {
        return CKR_GENERAL_ERROR;
    }
    *list = &table;
    return CKR_OK;
}
