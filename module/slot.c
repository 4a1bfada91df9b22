#include "slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attrs.h"
#include "digest.h"
#include "library.h"
#include "policy.h"

/* The first 8 bytes of SHA-256 of the name and a counter: the serial number, and in it the slot id. */
static struct kw_rv hash_name(const char *name, unsigned char counter, uint8_t out[KW_SHA256_SIZE])
{
    const void *const parts[] = {"keyward slot", name, &counter};
    const size_t lens[] = {12, strlen(name) + 1, sizeof counter};
    return kw_digest_sha256(parts, lens, 3, out);
}

static bool id_is_taken(const struct kw_slot *slots, size_t count, CK_SLOT_ID id)
{
    for (size_t i = 0; i < count; i++) {
        if (slots[i].config != NULL && slots[i].id == id) {
            return true;
        }
    }
    return false;
}

static struct kw_rv name_slot(struct kw_slot *slots, size_t count, const struct kw_config_slot *config, size_t at)
{
    uint8_t h[KW_SHA256_SIZE];
    for (unsigned char counter = 0;; counter++) {
        struct kw_rv r = hash_name(config->name, counter, h);
        if (!kw_ok(r)) {
            return r;
        }
        CK_SLOT_ID id = (CK_SLOT_ID)(h[0] & 0x7f) << 24 | (CK_SLOT_ID)h[1] << 16 | (CK_SLOT_ID)h[2] << 8 | h[3];
        if (!id_is_taken(slots, count, id)) {
            slots[at].id = id;
            break;
        }
    }
    for (size_t i = 0; i < 8; i++) {
        (void)snprintf(slots[at].serial + 2 * i, 3, "%02x", h[i]);
    }
    slots[at].index = at;
    slots[at].config = config;
    return KW_OK;
}

static int compare_names(const void *x, const void *y)
{
    const struct kw_config_slot *const *a = x;
    const struct kw_config_slot *const *b = y;
    return strcmp((*a)->name, (*b)->name);
}

/* Ids are given in the order of the names, so that two names whose hashes collide keep theirs when the file is reordered. */
struct kw_rv kw_slots_new(const struct kw_config *config, struct kw_slot **out)
{
    struct kw_slot *slots = calloc(config->slot_count, sizeof *slots);
    const struct kw_config_slot **order = calloc(config->slot_count, sizeof *order);
    struct kw_rv r = KW_FAIL(CKR_HOST_MEMORY, "no memory for the slots");
    if (slots == NULL || order == NULL) {
        goto done;
    }
    r = KW_OK;
    for (size_t i = 0; i < config->slot_count; i++) {
        order[i] = &config->slots[i];
    }
    qsort(order, config->slot_count, sizeof *order, compare_names);
    for (size_t i = 0; kw_ok(r) && i < config->slot_count; i++) {
        r = name_slot(slots, config->slot_count, order[i], (size_t)(order[i] - config->slots));
    }
    if (kw_ok(r)) {
        *out = slots;
        slots = NULL;
    }
done:
    free(order);
    free(slots);
    return r;
}

void kw_slots_free(struct kw_slot *slots)
{
    free(slots);
}

struct kw_rv kw_slot_find(CK_SLOT_ID id, struct kw_slot **out)
{
    struct kw_library *l = kw_library();
    for (size_t i = 0; i < l->config->slot_count; i++) {
        if (l->slots[i].id == id) {
            *out = &l->slots[i];
            return KW_OK;
        }
    }
    return KW_FAIL(CKR_SLOT_ID_INVALID, "there is no such slot");
}

static bool is_present(const struct kw_slot *slot)
{
    struct kw_engine_token token;
    return kw_ok(kw_engine_reach(kw_library()->engine, slot->index, &token));
}

struct kw_rv kw_slot_list(CK_BBOOL token_present, CK_SLOT_ID *list, CK_ULONG *count)
{
    const struct kw_library *l = kw_library();
    if (count == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the number of slots");
    }
    CK_ULONG room = *count;
    CK_ULONG n = 0;
    CK_SLOT_ID ids[KW_CONFIG_SLOTS_MAX];
    for (size_t i = 0; i < l->config->slot_count; i++) {
        if (!token_present || is_present(&l->slots[i])) {
            ids[n++] = l->slots[i].id;
        }
    }
    *count = n;
    if (list == NULL) {
        return KW_OK;
    }
    if (room < n) {
        return KW_FAIL(CKR_BUFFER_TOO_SMALL, "the caller's list is too short");
    }
    memcpy(list, ids, n * sizeof *list);
    return KW_OK;
}

struct kw_rv kw_slot_info(CK_SLOT_ID id, CK_SLOT_INFO *info)
{
    struct kw_slot *slot = NULL;
    if (info == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the information");
    }
    struct kw_rv r = kw_slot_find(id, &slot);
    if (!kw_ok(r)) {
        return r;
    }
    const struct kw_config_slot *c = slot->config;
    char text[65];
    CK_SLOT_INFO i = {.flags = CKF_REMOVABLE_DEVICE | (is_present(slot) ? CKF_TOKEN_PRESENT : 0)};
    (void)snprintf(text, sizeof text, "%s%s%s%s%s", c->name, c->tenant == NULL ? "" : ", tenant ",
                   c->tenant == NULL ? "" : c->tenant, c->geo == NULL ? "" : ", geo ", c->geo == NULL ? "" : c->geo);
    kw_pad(i.slotDescription, sizeof i.slotDescription, text);
    kw_pad(i.manufacturerID, sizeof i.manufacturerID, "Keyward");
    i.hardwareVersion = (CK_VERSION){KW_VERSION_MAJOR, KW_VERSION_MINOR};
    i.firmwareVersion = i.hardwareVersion;
    *info = i;
    return KW_OK;
}

static CK_FLAGS token_flags(const struct kw_slot *slot, const struct kw_engine_token *t)
{
    CK_FLAGS f = CKF_RNG | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED | CKF_TOKEN_INITIALIZED;
    f |= kw_engine_has_pin_source(kw_library()->engine, slot->index) ? CKF_PROTECTED_AUTHENTICATION_PATH : 0;
    f |= t->pin_count_low ? CKF_USER_PIN_COUNT_LOW : 0;
    f |= t->pin_final_try ? CKF_USER_PIN_FINAL_TRY : 0;
    f |= t->pin_locked ? CKF_USER_PIN_LOCKED : 0;
    f |= t->write_protected ? CKF_WRITE_PROTECTED : 0;
    return f;
}

struct kw_rv kw_slot_token_info(CK_SLOT_ID id, CK_TOKEN_INFO *info)
{
    struct kw_slot *slot = NULL;
    struct kw_engine_token token;
    if (info == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the information");
    }
    struct kw_rv r = kw_slot_find(id, &slot);
    if (kw_ok(r)) {
        r = kw_engine_reach(kw_library()->engine, slot->index, &token);
    }
    if (!kw_ok(r)) {
        return r;
    }
    CK_TOKEN_INFO i = {
        .flags = token_flags(slot, &token),
        .ulMaxSessionCount = CK_EFFECTIVELY_INFINITE,
        .ulMaxRwSessionCount = CK_EFFECTIVELY_INFINITE,
        .ulMaxPinLen = token.max_pin,
        .ulMinPinLen = token.min_pin,
        .ulTotalPublicMemory = CK_UNAVAILABLE_INFORMATION,
        .ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION,
        .ulTotalPrivateMemory = CK_UNAVAILABLE_INFORMATION,
        .ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION,
        .hardwareVersion = token.hardware,
        .firmwareVersion = token.firmware,
    };
    kw_pad(i.label, sizeof i.label, slot->config->name);
    kw_pad(i.manufacturerID, sizeof i.manufacturerID, "Keyward");
    kw_pad(i.model, sizeof i.model, "CMK slot");
    kw_pad(i.serialNumber, sizeof i.serialNumber, slot->serial);
    memset(i.utcTime, ' ', sizeof i.utcTime);
    kw_face_lock();
    i.ulSessionCount = slot->sessions;
    i.ulRwSessionCount = slot->rw_sessions;
    kw_face_unlock();
    *info = i;
    return KW_OK;
}

static bool is_offered(const struct kw_slot *slot, const struct kw_mechanism_row *m, const struct kw_engine_offers *o)
{
    if (!kw_policy_allows(m, slot->config->mechanisms)) {
        return false;
    }
    if ((m->flags & CKF_WRAP) == 0) {
        return true;
    }
    switch (m->format) {
    case KW_FORMAT_KW:
        return o->kw;
    case KW_FORMAT_KWP:
        return o->kwp;
    case KW_FORMAT_OAEP:
        return o->oaep;
    case KW_FORMAT_RSA_AES:
        return o->oaep && o->kwp;
    case KW_FORMAT_ENVELOPE:
        return o->kw || o->oaep;
    default:
        return false;
    }
}

/* The slot of an id, and what its token offers now. */
static struct kw_rv find_offers(CK_SLOT_ID id, struct kw_slot **slot, struct kw_engine_offers *offers)
{
    struct kw_rv r = kw_slot_find(id, slot);
    return kw_ok(r) ? kw_engine_offers(kw_library()->engine, (*slot)->index, offers) : r;
}

struct kw_rv kw_slot_mechanisms(CK_SLOT_ID id, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
    struct kw_slot *slot = NULL;
    struct kw_engine_offers offers;
    if (count == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the number of mechanisms");
    }
    struct kw_rv r = find_offers(id, &slot, &offers);
    if (!kw_ok(r)) {
        return r;
    }
    CK_ULONG room = *count;
    CK_ULONG n = 0;
    size_t rows = 0;
    const struct kw_mechanism_row *m = kw_policy_mechanisms(&rows);
    for (size_t i = 0; i < rows; i++) {
        n += is_offered(slot, &m[i], &offers);
    }
    *count = n;
    if (list != NULL && room < n) {
        return KW_FAIL(CKR_BUFFER_TOO_SMALL, "the caller's list is too short");
    }
    for (size_t i = 0, k = 0; list != NULL && i < rows; i++) {
        if (is_offered(slot, &m[i], &offers)) {
            list[k++] = m[i].type;
        }
    }
    return KW_OK;
}

struct kw_rv kw_slot_mechanism_info(CK_SLOT_ID id, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    struct kw_slot *slot = NULL;
    struct kw_engine_offers offers;
    if (info == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the information");
    }
    struct kw_rv r = find_offers(id, &slot, &offers);
    if (!kw_ok(r)) {
        return r;
    }
    size_t rows = 0;
    const struct kw_mechanism_row *m = kw_policy_mechanisms(&rows);
    for (size_t i = 0; i < rows; i++) {
        if (m[i].type == type && is_offered(slot, &m[i], &offers)) {
            *info = (CK_MECHANISM_INFO){m[i].min, m[i].max, m[i].flags};
            return KW_OK;
        }
    }
    return KW_FAIL(CKR_MECHANISM_INVALID, "the slot does not do this mechanism");
}

struct kw_rv kw_slot_wait(CK_FLAGS flags, CK_SLOT_ID *slot, const void *reserved)
{
    if (slot == NULL || reserved != NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the slot, or pReserved is not NULL");
    }
    if ((flags & CKF_DONT_BLOCK) == 0) {
        return KW_FAIL(CKR_FUNCTION_NOT_SUPPORTED, "slots have no events to wait for");
    }
    return KW_FAIL(CKR_NO_EVENT, "slots have no events");
}
