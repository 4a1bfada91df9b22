/*
 * slot.h: what the broker sees as slots and tokens. (PKCS#11 3.2 section 5.5.)
 *
 * One kw_slot per [slot] of the configuration, in its order, for the life of the library. Its id comes from its name, so it survives
 * reordering. The counters and the login state are guarded by the face's lock.
 */
#ifndef KW_SLOT_H
#define KW_SLOT_H

#include <stdint.h>

#include "config.h"

struct kw_object;

struct kw_slot {
    size_t index; /* in the configuration: the engine's name for it */
    CK_SLOT_ID id;
    const struct kw_config_slot *config;
    char serial[17];
    bool logged_in;
    bool busy; /* a login, logout or last close is under way */
    unsigned makers; /* calls that make a persistent data key: a logout waits for them */
    CK_ULONG sessions;
    CK_ULONG rw_sessions;
    uint64_t readings; /* of the token, for kw_object.seen */
    struct kw_object *objects; /* list, linked through the objects */
};

KW_MUST_USE struct kw_rv kw_slots_new(const struct kw_config *config, struct kw_slot **out);
void kw_slots_free(struct kw_slot *slots);

/* The slot of an id, borrowed. CKR_SLOT_ID_INVALID. */
KW_MUST_USE struct kw_rv kw_slot_find(CK_SLOT_ID id, struct kw_slot **out);

KW_MUST_USE struct kw_rv kw_slot_list(CK_BBOOL token_present, CK_SLOT_ID *list, CK_ULONG *count);
KW_MUST_USE struct kw_rv kw_slot_info(CK_SLOT_ID id, CK_SLOT_INFO *info);
KW_MUST_USE struct kw_rv kw_slot_token_info(CK_SLOT_ID id, CK_TOKEN_INFO *info);
KW_MUST_USE struct kw_rv kw_slot_mechanisms(CK_SLOT_ID id, CK_MECHANISM_TYPE *list, CK_ULONG *count);
KW_MUST_USE struct kw_rv kw_slot_mechanism_info(CK_SLOT_ID id, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info);

/* C_WaitForSlotEvent: there are no events; only CKF_DONT_BLOCK is served (CKR_NO_EVENT), waiting is CKR_FUNCTION_NOT_SUPPORTED. */
KW_MUST_USE struct kw_rv kw_slot_wait(CK_FLAGS flags, CK_SLOT_ID *slot, const void *reserved);

#endif
