#include "provider.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Fail from any thread: _exit, because exit handlers must not run while other threads are inside
 * the module. */
void provider_expect(const struct provider *provider, CK_RV rv, const char *call)
{
    if (rv != CKR_OK) {
        fprintf(stderr, "bench: %s: %s gave 0x%08lx\n", provider->name, call, rv);
        _exit(1);
    }
}

void provider_fail(const struct provider *provider, const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", provider->name, what);
    _exit(1);
}

void provider_load(const struct settings_side *side, struct provider *provider)
{
    *provider = (struct provider){.name = side->name};
    void *library = dlopen(side->module, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        provider_fail(provider, dlerror());
    }
    void *symbol = dlsym(library, "C_GetFunctionList");
    if (symbol == NULL) {
        provider_fail(provider, dlerror());
    }
    CK_C_GetFunctionList get_list;
    memcpy(&get_list, &symbol, sizeof get_list);
    provider_expect(provider, get_list(&provider->f), "C_GetFunctionList");
}

void provider_initialize(const struct provider *provider)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    provider_expect(provider, provider->f->C_Initialize(&args), "C_Initialize");
}

size_t provider_slots(const struct provider *provider, CK_SLOT_ID *slots, size_t max)
{
    CK_ULONG count = max;
    provider_expect(provider, provider->f->C_GetSlotList(CK_TRUE, slots, &count),
                    "C_GetSlotList");
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        provider_expect(provider, provider->f->C_GetTokenInfo(slots[i], &info),
                        "C_GetTokenInfo");
        if ((info.flags & CKF_TOKEN_INITIALIZED) != 0) {
            slots[kept++] = slots[i];
        }
    }
    return kept;
}

/* Token labels are padded with blanks to 32 bytes and not terminated. */
static bool is_label(const unsigned char *padded, const char *label)
{
    size_t length = strlen(label);
    if (length > 32 || memcmp(padded, label, length) != 0) {
        return false;
    }
    while (length < 32 && padded[length] == ' ') {
        length++;
    }
    return length == 32;
}

CK_SLOT_ID provider_slot_of(const struct provider *provider, const char *label)
{
    CK_SLOT_ID slots[256];
    CK_ULONG count = sizeof slots / sizeof slots[0];
    provider_expect(provider, provider->f->C_GetSlotList(CK_TRUE, slots, &count),
                    "C_GetSlotList");
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        provider_expect(provider, provider->f->C_GetTokenInfo(slots[i], &info),
                        "C_GetTokenInfo");
        if (is_label(info.label, label)) {
            return slots[i];
        }
    }
    provider_fail(provider, "no token has the label that was given");
    return 0;
}

CK_SESSION_HANDLE provider_session(const struct provider *provider, CK_SLOT_ID slot,
                                   CK_FLAGS flags)
{
    CK_SESSION_HANDLE session = 0;
    provider_expect(provider,
                    provider->f->C_OpenSession(slot, CKF_SERIAL_SESSION | flags, NULL, NULL,
                                               &session),
                    "C_OpenSession");
    return session;
}

void provider_login(const struct provider *provider, CK_SESSION_HANDLE session,
                    const struct settings *settings)
{
    CK_UTF8CHAR pin[SETTINGS_PIN_MAX];
    memcpy(pin, settings->pin, settings->pin_length);
    CK_RV rv = provider->f->C_Login(session, CKU_USER, pin, settings->pin_length);
    if (rv != CKR_USER_ALREADY_LOGGED_IN) {
        provider_expect(provider, rv, "C_Login");
    }
}

void provider_find(const struct provider *provider, CK_SESSION_HANDLE session,
                   const CK_ATTRIBUTE *match, CK_ULONG match_count,
                   struct provider_objects *found)
{
    CK_ATTRIBUTE copy[8];
    memcpy(copy, match, match_count * sizeof *match);
    provider_expect(provider, provider->f->C_FindObjectsInit(session, copy, match_count),
                    "C_FindObjectsInit");
    provider_expect(provider,
                    provider->f->C_FindObjects(session, found->handle, PROVIDER_OBJECTS_MAX,
                                               &found->count),
                    "C_FindObjects");
    provider_expect(provider, provider->f->C_FindObjectsFinal(session), "C_FindObjectsFinal");
}

void provider_master_keys(const struct provider *provider, CK_SESSION_HANDLE session,
                          struct provider_objects *found)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_BBOOL yes = CK_TRUE;
    const CK_ATTRIBUTE match[] = {
        {CKA_CLASS, &class, sizeof class},
        {CKA_WRAP, &yes, sizeof yes},
    };
    provider_find(provider, session, match, 2, found);
    if (found->count == 0) {
        provider_fail(provider, "the token holds no master key (secret key with CKA_WRAP)");
    }
}
