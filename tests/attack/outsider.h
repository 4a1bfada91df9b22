/*
 * outsider.h: what somebody who holds the PIN does to the token past Keyward, in another process
 * (fixture/outside.h).
 *
 * Each job takes a flat order that is copied to the other process and back; 0 is success. Nothing
 * is owned.
 */
#ifndef ATTACK_OUTSIDER_H
#define ATTACK_OUTSIDER_H

#include <stdbool.h>
#include <stdint.h>

#include "outside.h"

enum { OUTSIDER_LABEL_MAX = 48, OUTSIDER_ID_MAX = 64 };

/* What is wrong with a planted key. */
enum {
    PLANT_ENCRYPT = 1,
    PLANT_DECRYPT = 2,
    PLANT_SIGN = 4,
    PLANT_VERIFY = 8,
    PLANT_DERIVE = 16,
    PLANT_EXTRACTABLE = 32,
    PLANT_NOT_SENSITIVE = 64,
    PLANT_NOT_PRIVATE = 128,
    PLANT_UNWRAP_TEMPLATE = 256, /* CKA_UNWRAP_TEMPLATE {SENSITIVE true, EXTRACTABLE false} */
    PLANT_RETIRED = 1024,        /* CKA_WRAP false */
    PLANT_KW_ONLY = 512          /* CKA_ALLOWED_MECHANISMS {CKM_AES_KEY_WRAP} */
};

/* A master key with this value, or a generated one of `len` bytes when `known` is false. */
struct outsider_plant {
    char label[OUTSIDER_LABEL_MAX];
    uint8_t id[OUTSIDER_ID_MAX];
    size_t id_len;
    uint8_t value[32];
    size_t len;
    bool known;
    unsigned wrong;
};
int outsider_plant(const struct outside_token *token, void *order);

/* The key with this label: its CKA_ID is read to `id`; `type` is set to `value` when it is not 0;
 * destroyed when `destroy`. */
struct outsider_key {
    char label[OUTSIDER_LABEL_MAX];
    uint8_t id[OUTSIDER_ID_MAX];
    size_t id_len;
    CK_ATTRIBUTE_TYPE type;
    bool value;
    bool destroy;
};
int outsider_key(const struct outside_token *token, void *order);

/* An RSA-2048 pair as a master key: the public half wraps, the private half unwraps; the modulus is
 * given back. */
struct outsider_rsa {
    char label[OUTSIDER_LABEL_MAX];
    uint8_t modulus[256];
};
int outsider_rsa(const struct outside_token *token, void *order);

#endif
