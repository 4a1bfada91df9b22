/* Function tables and interfaces: PKCS#11 3.1 sections 3.6, 5.4.4 to 5.4.6; issue 3 point 1. */
#include "chapter.h"

#include <dlfcn.h>
#include <stddef.h>

/* The functions in the order of the standard's tables, written down from the standard and not from functions.def. */
static const char *const names[] = {
    "C_Initialize",
    "C_Finalize",
    "C_GetInfo",
    "C_GetFunctionList",
    "C_GetSlotList",
    "C_GetSlotInfo",
    "C_GetTokenInfo",
    "C_GetMechanismList",
    "C_GetMechanismInfo",
    "C_InitToken",
    "C_InitPIN",
    "C_SetPIN",
    "C_OpenSession",
    "C_CloseSession",
    "C_CloseAllSessions",
    "C_GetSessionInfo",
    "C_GetOperationState",
    "C_SetOperationState",
    "C_Login",
    "C_Logout",
    "C_CreateObject",
    "C_CopyObject",
    "C_DestroyObject",
    "C_GetObjectSize",
    "C_GetAttributeValue",
    "C_SetAttributeValue",
    "C_FindObjectsInit",
    "C_FindObjects",
    "C_FindObjectsFinal",
    "C_EncryptInit",
    "C_Encrypt",
    "C_EncryptUpdate",
    "C_EncryptFinal",
    "C_DecryptInit",
    "C_Decrypt",
    "C_DecryptUpdate",
    "C_DecryptFinal",
    "C_DigestInit",
    "C_Digest",
    "C_DigestUpdate",
    "C_DigestKey",
    "C_DigestFinal",
    "C_SignInit",
    "C_Sign",
    "C_SignUpdate",
    "C_SignFinal",
    "C_SignRecoverInit",
    "C_SignRecover",
    "C_VerifyInit",
    "C_Verify",
    "C_VerifyUpdate",
    "C_VerifyFinal",
    "C_VerifyRecoverInit",
    "C_VerifyRecover",
    "C_DigestEncryptUpdate",
    "C_DecryptDigestUpdate",
    "C_SignEncryptUpdate",
    "C_DecryptVerifyUpdate",
    "C_GenerateKey",
    "C_GenerateKeyPair",
    "C_WrapKey",
    "C_UnwrapKey",
    "C_DeriveKey",
    "C_SeedRandom",
    "C_GenerateRandom",
    "C_GetFunctionStatus",
    "C_CancelFunction",
    "C_WaitForSlotEvent",
    /* 3.0 */
    "C_GetInterfaceList",
    "C_GetInterface",
    "C_LoginUser",
    "C_SessionCancel",
    "C_MessageEncryptInit",
    "C_EncryptMessage",
    "C_EncryptMessageBegin",
    "C_EncryptMessageNext",
    "C_MessageEncryptFinal",
    "C_MessageDecryptInit",
    "C_DecryptMessage",
    "C_DecryptMessageBegin",
    "C_DecryptMessageNext",
    "C_MessageDecryptFinal",
    "C_MessageSignInit",
    "C_SignMessage",
    "C_SignMessageBegin",
    "C_SignMessageNext",
    "C_MessageSignFinal",
    "C_MessageVerifyInit",
    "C_VerifyMessage",
    "C_VerifyMessageBegin",
    "C_VerifyMessageNext",
    "C_MessageVerifyFinal",
    /* 3.2 */
    "C_EncapsulateKey",
    "C_DecapsulateKey",
    "C_VerifySignatureInit",
    "C_VerifySignature",
    "C_VerifySignatureUpdate",
    "C_VerifySignatureFinal",
    "C_GetSessionValidationFlags",
    "C_AsyncComplete",
    "C_AsyncGetID",
    "C_AsyncJoin",
    "C_WrapKeyAuthenticated",
    "C_UnwrapKeyAuthenticated",
};

/* The rows of functions.def. */
static const struct {
    const char *name;
    size_t offset;
} rows[] = {
#define KW_FUNCTION(table, name, gate, call, parameters) {#name, offsetof(struct calls, name)},
#include "functions.def"
#undef KW_FUNCTION
};

enum { COUNT_2_40 = 68, COUNT_3_0 = 92, COUNT_3_2 = 104 };

static const struct version {
    const char *name;
    CK_VERSION version;
    size_t count;
} versions[] = {
    {"3.2", {3, 2}, COUNT_3_2},
    {"3.0", {3, 0}, COUNT_3_0},
    {"2.40", {2, 40}, COUNT_2_40},
};

static CK_UTF8CHAR pkcs11[] = "PKCS 11";

static bool same_version(const CK_VERSION *a, const CK_VERSION *b)
{
    return a->major == b->major && a->minor == b->minor;
}

static void rows_are_the_standards_functions_in_its_order(void)
{
    CHECK(COUNT_OF(names) == COUNT_3_2 && COUNT_OF(rows) == COUNT_3_2, "5.4.4: 68 + 24 + 12 functions");
    for (size_t i = 0; i < COUNT_OF(rows) && i < COUNT_OF(names); i++) {
        CHECK(strcmp(rows[i].name, names[i]) == 0, chapter_join("5.4.4: order of the table", names[i]));
        CHECK(rows[i].offset == sizeof(void *) * (i + 1),
              chapter_join("5.4.4: place in the table", names[i]));
    }
    CHECK(offsetof(CK_FUNCTION_LIST, C_WaitForSlotEvent) == offsetof(struct calls, C_WaitForSlotEvent) &&
              offsetof(CK_FUNCTION_LIST, C_UnwrapKey) == offsetof(struct calls, C_UnwrapKey),
          "5.4.4: the table fits another header's CK_FUNCTION_LIST");
}

static void every_function_is_exported(void)
{
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        CHECK(dlsym(world->handle, names[i]) != NULL,
              chapter_join("CLIENTS: brokers bind the symbols", names[i]));
    }
    (void)dlerror();
    CHECK(dlsym(world->handle, "kw_library_initialize") == NULL,
          "nothing but the standard's names is exported");
}

static void check_table(const struct version *v, const void *table)
{
    CK_VERSION said;
    memcpy(&said, table, sizeof said);
    CHECK(same_version(&said, &v->version), chapter_join("3.6: the version in the table", v->name));
    for (size_t i = 0; i < v->count; i++) {
        void *slot;
        memcpy(&slot, (const char *)table + rows[i].offset, sizeof slot);
        CHECK(slot != NULL, chapter_join("5.4.4: every slot is filled", rows[i].name));
    }
}

static void C_GetFunctionList_gives_2_40(void)
{
    CK_C_GetFunctionList get = NULL;
    CK_FUNCTION_LIST *list = NULL;
    *(void **)(void *)&get = dlsym(world->handle, "C_GetFunctionList");
    CHECK_RV(get(NULL), CKR_ARGUMENTS_BAD, "5.4.4: ppFunctionList NULL");
    CHECK_RV(get(&list), CKR_OK, "5.4.4: before C_Initialize");
    CHECK(list != NULL, "5.4.4: a list");
    if (list != NULL) {
        check_table(&versions[2], list);
        CK_FUNCTION_LIST *again = NULL;
        CHECK_RV(list->C_GetFunctionList(&again), CKR_OK, "5.4.4: through the list itself");
        CHECK(again == list, "5.4.4: there is one list");
    }
}

static const struct version *find_version(const CK_INTERFACE *i)
{
    CK_VERSION said = {0, 0};
    if (i->pFunctionList != NULL) {
        memcpy(&said, i->pFunctionList, sizeof said);
    }
    for (size_t k = 0; k < COUNT_OF(versions); k++) {
        if (same_version(&said, &versions[k].version)) {
            return &versions[k];
        }
    }
    return NULL;
}

static void C_GetInterfaceList_gives_three_versions(void)
{
    CK_INTERFACE list[8];
    CK_ULONG count = 0;
    bool seen[COUNT_OF(versions)] = {false};
    memset(list, 0xEE, sizeof list);
    CHECK_RV(p11->C_GetInterfaceList(NULL, NULL), CKR_ARGUMENTS_BAD, "5.4.5: pulCount NULL");
    CHECK_RV(p11->C_GetInterfaceList(list, NULL), CKR_ARGUMENTS_BAD, "5.4.5: pulCount NULL with a list");
    CHECK_RV(p11->C_GetInterfaceList(NULL, &count), CKR_OK, "5.4.5: size query");
    CHECK(count == COUNT_OF(versions), "5.4.5: three interfaces");
    count = COUNT_OF(versions) - 1;
    CHECK_RV(p11->C_GetInterfaceList(list, &count), CKR_BUFFER_TOO_SMALL, "5.4.5: a short list");
    CHECK(count == COUNT_OF(versions), "5.2: the needed size is told");
    CHECK(list[0].flags == (CK_FLAGS)0xEEEEEEEEEEEEEEEEUL, "5.2: the short list is untouched");
    count = 8;
    CHECK_RV(p11->C_GetInterfaceList(list, &count), CKR_OK, "5.4.5: a long list");
    CHECK(count == COUNT_OF(versions), "5.4.5: the number given");
    for (CK_ULONG i = 0; i < count && i < COUNT_OF(versions); i++) {
        const struct version *v = find_version(&list[i]);
        CHECK(v != NULL, "5.4.5: a version of the standard");
        CHECK(strcmp((const char *)list[i].pInterfaceName, "PKCS 11") == 0, "5.4.5: the standard's name");
        if (v != NULL) {
            CHECK(!seen[v - versions], chapter_join("5.4.5: each once", v->name));
            seen[v - versions] = true;
            check_table(v, list[i].pFunctionList);
        }
    }
}

static const struct {
    const char *what;
    CK_UTF8CHAR *name;
    bool versioned;
    CK_VERSION version;
    bool good;
    CK_VERSION given;
} requests[] = {
    {"5.4.6: name and version NULL: the default", NULL, false, {0, 0}, true, {2, 40}},
    {"5.4.6: the name only: the default", pkcs11, false, {0, 0}, true, {2, 40}},
    {"5.4.6: 2.40", pkcs11, true, {2, 40}, true, {2, 40}},
    {"5.4.6: 3.0", pkcs11, true, {3, 0}, true, {3, 0}},
    {"5.4.6: 3.2", pkcs11, true, {3, 2}, true, {3, 2}},
    {"5.4.6: a version without a name", NULL, true, {3, 2}, true, {3, 2}},
    {"5.4.6: 3.1 is not offered", pkcs11, true, {3, 1}, false, {0, 0}},
    {"5.4.6: 9.9 is not offered", pkcs11, true, {9, 9}, false, {0, 0}},
    {"5.4.6: another name", (CK_UTF8CHAR[]){"Vendor X"}, false, {0, 0}, false, {0, 0}},
    {"5.4.6: an empty name", (CK_UTF8CHAR[]){""}, false, {0, 0}, false, {0, 0}},
    {"5.4.6: the beginning of the name", (CK_UTF8CHAR[]){"PKCS 1"}, false, {0, 0}, false, {0, 0}},
};

static void C_GetInterface_gives_what_is_asked_for(void)
{
    CK_INTERFACE *i = NULL;
    CHECK_RV(p11->C_GetInterface(NULL, NULL, NULL, 0), CKR_ARGUMENTS_BAD, "5.4.6: ppInterface NULL");
    for (size_t k = 0; k < COUNT_OF(requests); k++) {
        CK_VERSION version = requests[k].version;
        i = NULL;
        CK_RV rv = p11->C_GetInterface(requests[k].name, requests[k].versioned ? &version : NULL, &i, 0);
        if (!requests[k].good) {
            CHECK_EITHER(rv, CKR_ARGUMENTS_BAD, CKR_FUNCTION_FAILED, requests[k].what);
            CHECK(i == NULL, chapter_join(requests[k].what, "output untouched"));
            continue;
        }
        CHECK_RV(rv, CKR_OK, requests[k].what);
        CHECK(i != NULL && same_version(i->pFunctionList, &requests[k].given), requests[k].what);
    }
    CHECK_EITHER(p11->C_GetInterface(pkcs11, NULL, &i, CKF_INTERFACE_FORK_SAFE << 4), CKR_ARGUMENTS_BAD,
                 CKR_FUNCTION_FAILED, "5.4.6: flags that no interface has");
}

static void fork_safety_is_announced_as_it_is(void)
{
    CK_INTERFACE *any = NULL;
    CK_INTERFACE *safe = NULL;
    CK_RV rv = p11->C_GetInterface(pkcs11, NULL, &any, 0);
    CHECK_RV(rv, CKR_OK, "5.4.6: no flags asked for");
    rv = p11->C_GetInterface(pkcs11, NULL, &safe, CKF_INTERFACE_FORK_SAFE);
    if (rv == CKR_OK) {
        CHECK(safe != NULL && (safe->flags & CKF_INTERFACE_FORK_SAFE) != 0,
              "5.4.6: the flag asked for is there");
    } else {
        CHECK_EITHER(rv, CKR_ARGUMENTS_BAD, CKR_FUNCTION_FAILED, "5.4.6: the flag is not offered");
        CHECK(any != NULL && (any->flags & CKF_INTERFACE_FORK_SAFE) == 0, "5.4.6: and not set");
    }
}

int main(void)
{
    static const struct fixture_slot slots[] = {{.name = "alpha", .tokens = "eu-1", .cmk = FIXTURE_CMK_NONE},
                                                {0}};
    CU_TestInfo tests[] = {
        {"the rows of functions.def are the standard's functions in its order",
         rows_are_the_standards_functions_in_its_order},
        {"every function is exported", every_function_is_exported},
        {"C_GetFunctionList gives the 2.40 table", C_GetFunctionList_gives_2_40},
        {"C_GetInterfaceList gives 3.2, 3.0 and 2.40", C_GetInterfaceList_gives_three_versions},
        {"C_GetInterface gives what is asked for", C_GetInterface_gives_what_is_asked_for},
        {"fork safety is announced as it is", fork_safety_is_announced_as_it_is},
        CU_TEST_INFO_NULL,
    };
    return chapter_run("interfaces", &(struct fixture_settings){.slots = slots}, tests);
}
