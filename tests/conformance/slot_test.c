/* Slots, tokens, mechanisms, events: PKCS#11 3.1 sections 5.5.1 to 5.5.6; DESIGN section 3. */
#include "chapter.h"

#include <keyward.h>

enum { SLOTS = 4 };
static const char *const slot_names[SLOTS] = {"alpha", "beta", "asking", "missing"};

static CK_SLOT_ID find_slot(const char *name)
{
    CK_SLOT_ID id = 0;
    CHECK(caller_slot(world, name, &id), name);
    return id;
}

/* The slot whose token is absent has no label to be found by: it is the one that is listed only without tokenPresent. */
static CK_SLOT_ID missing_slot(void)
{
    CK_SLOT_ID all[SLOTS];
    CK_SLOT_ID present[SLOTS];
    CK_ULONG all_count = SLOTS;
    CK_ULONG present_count = SLOTS;
    CHECK_RV(p11->C_GetSlotList(CK_FALSE, all, &all_count), CKR_OK, "5.5.1: all slots");
    CHECK_RV(p11->C_GetSlotList(CK_TRUE, present, &present_count), CKR_OK, "5.5.1: slots with a token");
    CHECK(all_count == SLOTS && present_count == SLOTS - 1, "5.5.1: one token is absent");
    for (CK_ULONG i = 0; i < all_count; i++) {
        bool seen = false;
        for (CK_ULONG k = 0; k < present_count; k++) {
            seen |= present[k] == all[i];
        }
        if (!seen) {
            return all[i];
        }
    }
    return 0;
}

static void C_GetSlotList_follows_the_size_convention(void)
{
    CK_SLOT_ID list[SLOTS + 2];
    CK_ULONG count = 77;
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CHECK_RV(p11->C_GetSlotList(CK_FALSE, NULL, NULL), CKR_ARGUMENTS_BAD, "5.5.1: pulCount NULL");
    CHECK_RV(p11->C_GetSlotList(CK_FALSE, list, NULL), CKR_ARGUMENTS_BAD, "5.5.1: pulCount NULL with a list");
    CHECK_RV(p11->C_GetSlotList(CK_FALSE, NULL, &count), CKR_OK, "5.5.1: size query");
    CHECK(count == SLOTS, "5.5.1: one slot per [slot]");
    memset(list, 0xEE, sizeof list);
    count = SLOTS - 1;
    CHECK_RV(p11->C_GetSlotList(CK_FALSE, list, &count), CKR_BUFFER_TOO_SMALL, "5.5.1: a short list");
    CHECK(count == SLOTS, "5.2: the needed size is told");
    CHECK(list[0] == 0xEEEEEEEEEEEEEEEEUL, "5.2: the short list is untouched");
    count = 0;
    CHECK_RV(p11->C_GetSlotList(CK_FALSE, list, &count), CKR_BUFFER_TOO_SMALL, "5.5.1: a list of length 0");
    count = SLOTS + 2;
    CHECK_RV(p11->C_GetSlotList(CK_FALSE, list, &count), CKR_OK, "5.5.1: a long list");
    CHECK(count == SLOTS && list[SLOTS] == 0xEEEEEEEEEEEEEEEEUL, "5.5.1: no more than the slots is written");
    for (CK_ULONG i = 0; i < SLOTS; i++) {
        for (CK_ULONG k = 0; k < i; k++) {
            CHECK(list[i] != list[k], "5.5.1: ids differ");
        }
    }
    count = SLOTS + 2;
    CHECK_RV(p11->C_GetSlotList(0x55, list, &count), CKR_OK,
             "5.5.1: a tokenPresent that is neither true nor false");
    CHECK(missing_slot() != 0, "5.5.1: the absent token");
    leave();
}

static void slot_ids_survive_reordering(void)
{
    CK_SLOT_ID before[SLOTS - 1];
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    for (int i = 0; i < SLOTS - 1; i++) {
        before[i] = find_slot(slot_names[i]);
    }
    leave();
    CHECK(fixture_configure(world, true), "the configuration in reverse order");
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    for (int i = 0; i < SLOTS - 1; i++) {
        CHECK(find_slot(slot_names[i]) == before[i],
              chapter_join("DESIGN 3: the id comes from the name", slot_names[i]));
    }
    leave();
    CHECK(fixture_configure(world, false), "the configuration as it was");
}

static bool is_padded(const CK_UTF8CHAR *field, size_t size, const char *text)
{
    size_t len = strlen(text);
    for (size_t i = len; i < size; i++) {
        if (field[i] != ' ') {
            return false;
        }
    }
    return len <= size && memcmp(field, text, len) == 0;
}

static bool has_no_nul(const CK_UTF8CHAR *field, size_t size)
{
    return memchr(field, 0, size) == NULL;
}

static void C_GetSlotInfo_describes_a_slot(void)
{
    CK_SLOT_INFO info;
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CK_SLOT_ID alpha = find_slot("alpha");
    CHECK_RV(p11->C_GetSlotInfo(alpha, NULL), CKR_ARGUMENTS_BAD, "5.5.2: pInfo NULL");
    memset(&info, 0xEE, sizeof info);
    CHECK_RV(p11->C_GetSlotInfo(~alpha, &info), CKR_SLOT_ID_INVALID, "5.5.2: no such slot");
    CHECK(info.flags == 0xEEEEEEEEEEEEEEEEUL, "5.2: output untouched");
    CHECK_RV(p11->C_GetSlotInfo(alpha, &info), CKR_OK, "5.5.2");
    CHECK((info.flags & CKF_TOKEN_PRESENT) != 0, "5.5.2: CKF_TOKEN_PRESENT");
    CHECK((info.flags & ~(CK_FLAGS)(CKF_TOKEN_PRESENT | CKF_REMOVABLE_DEVICE | CKF_HW_SLOT)) == 0,
          "3.2: no other flags");
    CHECK(has_no_nul(info.slotDescription, sizeof info.slotDescription), "3.2: blank-padded slotDescription");
    CHECK(memcmp(info.slotDescription, "alpha", 5) == 0, "the description begins with the slot's name");
    CHECK(has_no_nul(info.manufacturerID, sizeof info.manufacturerID), "3.2: blank-padded manufacturerID");
    CHECK_RV(p11->C_GetSlotInfo(missing_slot(), &info), CKR_OK, "5.5.2: a slot without a token");
    CHECK((info.flags & CKF_TOKEN_PRESENT) == 0, "5.5.2: no CKF_TOKEN_PRESENT");
    CHECK((info.flags & CKF_REMOVABLE_DEVICE) != 0, "3.2: only a removable token can be absent");
    leave();
}

static void C_GetTokenInfo_describes_a_token(void)
{
    CK_TOKEN_INFO info;
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CK_SLOT_ID alpha = find_slot("alpha");
    CHECK_RV(p11->C_GetTokenInfo(alpha, NULL), CKR_ARGUMENTS_BAD, "5.5.3: pInfo NULL");
    memset(&info, 0xEE, sizeof info);
    CHECK_RV(p11->C_GetTokenInfo(~alpha, &info), CKR_SLOT_ID_INVALID, "5.5.3: no such slot");
    CHECK_RV(p11->C_GetTokenInfo(missing_slot(), &info), CKR_TOKEN_NOT_PRESENT, "5.5.3: an absent token");
    CHECK(info.flags == 0xEEEEEEEEEEEEEEEEUL, "5.2: output untouched");
    CHECK_RV(p11->C_GetTokenInfo(alpha, &info), CKR_OK, "5.5.3");
    CHECK(is_padded(info.label, sizeof info.label, "alpha"),
          "DESIGN 3: the token's label is the slot's name, blank-padded");
    CHECK(has_no_nul(info.manufacturerID, sizeof info.manufacturerID), "3.3: blank-padded manufacturerID");
    CHECK(has_no_nul(info.model, sizeof info.model), "3.3: blank-padded model");
    CHECK(has_no_nul(info.serialNumber, sizeof info.serialNumber), "3.3: blank-padded serialNumber");
    CHECK(is_padded(info.utcTime, sizeof info.utcTime, "") || (info.flags & CKF_CLOCK_ON_TOKEN) != 0,
          "3.3: no clock, no time");
    const CK_FLAGS all = CKF_LOGIN_REQUIRED | CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED | CKF_RNG;
    CHECK((info.flags & all) == all, "DESIGN 3, CLIENTS 7: login required, initialized, random numbers");
    CHECK((info.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0,
          "DESIGN 3: a PIN source is a protected path");
    CHECK((info.flags & (CKF_WRITE_PROTECTED | CKF_RESTORE_KEY_NOT_NEEDED | CKF_DUAL_CRYPTO_OPERATIONS)) == 0,
          "3.3: nothing untrue");
    CHECK(info.ulMaxPinLen >= 4 && info.ulMinPinLen <= 4, "3.3: the PIN of this world is possible");
    char serial[sizeof info.serialNumber];
    memcpy(serial, info.serialNumber, sizeof serial);
    CHECK_RV(p11->C_GetTokenInfo(find_slot("asking"), &info), CKR_OK, "5.5.3: a token without a PIN source");
    CHECK((info.flags & CKF_PROTECTED_AUTHENTICATION_PATH) == 0,
          "DESIGN 3: no PIN source, no protected path");
    CHECK(memcmp(serial, info.serialNumber, sizeof serial) != 0, "3.3: serial numbers differ");
    leave();
}

static void check_counters(CK_SLOT_ID slot, CK_ULONG all, CK_ULONG rw, const char *what)
{
    CK_TOKEN_INFO info;
    CHECK_RV(p11->C_GetTokenInfo(slot, &info), CKR_OK, what);
    CHECK(info.ulSessionCount == all && info.ulRwSessionCount == rw, what);
}

static void CK_TOKEN_INFO_counts_sessions(void)
{
    CK_SESSION_HANDLE s[3] = {0};
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CK_SLOT_ID alpha = find_slot("alpha");
    CK_SLOT_ID beta = find_slot("beta");
    check_counters(alpha, 0, 0, "3.3: no session yet");
    CHECK_RV(p11->C_OpenSession(alpha, CKF_SERIAL_SESSION, NULL, NULL, &s[0]), CKR_OK, "read-only");
    CHECK_RV(p11->C_OpenSession(alpha, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s[1]), CKR_OK,
             "read/write");
    CHECK_RV(p11->C_OpenSession(beta, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s[2]), CKR_OK,
             "another slot");
    check_counters(alpha, 2, 1, "3.3: one of each");
    check_counters(beta, 1, 1, "3.3: of the other slot on the same backing token");
    CHECK_RV(p11->C_CloseSession(s[1]), CKR_OK, "close");
    check_counters(alpha, 1, 0, "3.3: the read/write session is closed");
    CHECK_RV(p11->C_CloseAllSessions(alpha), CKR_OK, "close all");
    check_counters(alpha, 0, 0, "3.3: all are closed");
    check_counters(beta, 1, 1, "5.6.3: sessions of another slot stay open");
    leave();
}

static const struct {
    CK_MECHANISM_TYPE type;
    const char *name;
    CK_FLAGS flags;
} mechanisms[] = {
    {CKM_AES_KEY_WRAP, "CKM_AES_KEY_WRAP", CKF_WRAP | CKF_UNWRAP},
    {CKM_AES_KEY_WRAP_KWP, "CKM_AES_KEY_WRAP_KWP", CKF_WRAP | CKF_UNWRAP},
    {CKM_AES_KEY_WRAP_PAD, "CKM_AES_KEY_WRAP_PAD", CKF_WRAP | CKF_UNWRAP},
    {CKM_RSA_PKCS_OAEP, "CKM_RSA_PKCS_OAEP", CKF_WRAP | CKF_UNWRAP},
    {CKM_RSA_AES_KEY_WRAP, "CKM_RSA_AES_KEY_WRAP", CKF_WRAP | CKF_UNWRAP},
    {CKM_KEYWARD_ENVELOPE, "CKM_KEYWARD_ENVELOPE", CKF_WRAP | CKF_UNWRAP},
    {CKM_AES_KEY_GEN, "CKM_AES_KEY_GEN", CKF_GENERATE},
    {CKM_GENERIC_SECRET_KEY_GEN, "CKM_GENERIC_SECRET_KEY_GEN", CKF_GENERATE},
};

static bool is_listed(CK_MECHANISM_TYPE type)
{
    for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
        if (mechanisms[i].type == type) {
            return true;
        }
    }
    return false;
}

static void C_GetMechanismList_is_truthful(void)
{
    CK_MECHANISM_TYPE list[COUNT_OF(mechanisms) + 4];
    CK_ULONG count = 0;
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CK_SLOT_ID alpha = find_slot("alpha");
    CHECK_RV(p11->C_GetMechanismList(alpha, NULL, NULL), CKR_ARGUMENTS_BAD, "5.5.5: pulCount NULL");
    CHECK_RV(p11->C_GetMechanismList(~alpha, NULL, &count), CKR_SLOT_ID_INVALID, "5.5.5: no such slot");
    CHECK_RV(p11->C_GetMechanismList(missing_slot(), NULL, &count), CKR_TOKEN_NOT_PRESENT,
             "5.5.5: an absent token");
    CHECK_RV(p11->C_GetMechanismList(alpha, NULL, &count), CKR_OK, "5.5.5: size query");
    CHECK(count == COUNT_OF(mechanisms), "DESIGN 5: the mechanisms");
    memset(list, 0xEE, sizeof list);
    count--;
    CHECK_RV(p11->C_GetMechanismList(alpha, list, &count), CKR_BUFFER_TOO_SMALL, "5.5.5: a short list");
    CHECK(count == COUNT_OF(mechanisms) && list[0] == 0xEEEEEEEEEEEEEEEEUL, "5.2: size told, list untouched");
    count = COUNT_OF(list);
    CHECK_RV(p11->C_GetMechanismList(alpha, list, &count), CKR_OK, "5.5.5: a long list");
    CHECK(count == COUNT_OF(mechanisms), "5.5.5: the number given");
    for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
        bool found = false;
        for (CK_ULONG k = 0; k < count && k < COUNT_OF(list); k++) {
            found |= list[k] == mechanisms[i].type;
        }
        CHECK(found, mechanisms[i].name);
    }
    leave();
}

static void C_GetMechanismInfo_knows_the_list_and_nothing_else(void)
{
    CK_MECHANISM_INFO info;
    unsigned known = 0;
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CK_SLOT_ID alpha = find_slot("alpha");
    CHECK_RV(p11->C_GetMechanismInfo(alpha, CKM_AES_KEY_WRAP, NULL), CKR_ARGUMENTS_BAD, "5.5.6: pInfo NULL");
    CHECK_RV(p11->C_GetMechanismInfo(alpha, CKM_RSA_PKCS, NULL), CKR_ARGUMENTS_BAD,
             "CLIENTS 2: arguments before the mechanism");
    CHECK_RV(p11->C_GetMechanismInfo(~alpha, CKM_AES_KEY_WRAP, &info), CKR_SLOT_ID_INVALID,
             "5.5.6: no such slot");
    CHECK_RV(p11->C_GetMechanismInfo(missing_slot(), CKM_AES_KEY_WRAP, &info), CKR_TOKEN_NOT_PRESENT,
             "5.5.6: an absent token");
    for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
        CHECK_RV(p11->C_GetMechanismInfo(alpha, mechanisms[i].type, &info), CKR_OK, mechanisms[i].name);
        CHECK(info.flags == mechanisms[i].flags,
              chapter_join("CLIENTS 3: truthful flags", mechanisms[i].name));
        CHECK(info.ulMinKeySize <= info.ulMaxKeySize, chapter_join("5.5.6: a range", mechanisms[i].name));
    }
    for (CK_MECHANISM_TYPE type = 0; type <= 0x4100; type++) {
        CK_RV rv = p11->C_GetMechanismInfo(alpha, type, &info);
        known += rv == CKR_OK;
        if (is_listed(type) ? rv != CKR_OK : rv != CKR_MECHANISM_INVALID) {
            CHECK_RV(rv, is_listed(type) ? CKR_OK : CKR_MECHANISM_INVALID,
                     chapter_join("5.5.6", chapter_rv_name(type)));
        }
    }
    CHECK(known + 1 == COUNT_OF(mechanisms) /* the envelope is a vendor's */, "ATTACKS A20: no mechanism beyond the list");
    static const CK_MECHANISM_TYPE others[] = {CKM_VENDOR_DEFINED, CKM_VENDOR_DEFINED | 1,
                                               CK_UNAVAILABLE_INFORMATION};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        CHECK_RV(p11->C_GetMechanismInfo(alpha, others[i], &info), CKR_MECHANISM_INVALID,
                 "5.5.6: a vendor's mechanism");
    }
    leave();
}

static void C_WaitForSlotEvent_never_blocks(void)
{
    CK_SLOT_ID slot = 77;
    int reserved = 0;
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CHECK_RV(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT, "5.5.4: no event");
    CHECK_RV(p11->C_WaitForSlotEvent(0, &slot, NULL), CKR_FUNCTION_NOT_SUPPORTED,
             "5.5.4: to wait is not supported");
    CHECK_RV(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, &reserved), CKR_ARGUMENTS_BAD,
             "5.5.4: pReserved");
    CHECK_RV(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, NULL, NULL), CKR_ARGUMENTS_BAD, "5.5.4: pSlot NULL");
    CHECK(slot == 77, "5.2: output untouched");
    leave();
}

int main(void)
{
    static const struct fixture_slot slots[] = {
        {.name = "alpha", .tokens = "eu-1"},
        {.name = "beta", .tokens = "eu-1"},
        {.name = "asking", .tokens = "eu-2", .ask_pin = true},
        {.name = "missing", .tokens = "eu-3", .absent = true},
        {0},
    };
    CU_TestInfo tests[] = {
        {"C_GetSlotList follows the size convention", C_GetSlotList_follows_the_size_convention},
        {"slot ids survive reordering", slot_ids_survive_reordering},
        {"C_GetSlotInfo describes a slot", C_GetSlotInfo_describes_a_slot},
        {"C_GetTokenInfo describes a token", C_GetTokenInfo_describes_a_token},
        {"CK_TOKEN_INFO counts sessions", CK_TOKEN_INFO_counts_sessions},
        {"C_GetMechanismList is truthful", C_GetMechanismList_is_truthful},
        {"C_GetMechanismInfo knows the list and nothing else",
         C_GetMechanismInfo_knows_the_list_and_nothing_else},
        {"C_WaitForSlotEvent never blocks", C_WaitForSlotEvent_never_blocks},
        CU_TEST_INFO_NULL,
    };
    return chapter_run("slot", &(struct fixture_settings){.slots = slots}, tests);
}
