#include "attributes.h"

#include <keyward.h>
#include <string.h>

#include "slot.h"

enum form { YES, NO, EMPTY };

/* What is the same for every secret key of a kind. */
struct constant {
    CK_ATTRIBUTE_TYPE type;
    enum form cmk;
    enum form dek;
};

static const struct constant constants[] = {
    {CKA_PRIVATE, YES, YES},
    {CKA_MODIFIABLE, NO, YES},
    {CKA_COPYABLE, NO, NO},
    {CKA_DESTROYABLE, NO, YES},
    {CKA_START_DATE, EMPTY, EMPTY},
    {CKA_END_DATE, EMPTY, EMPTY},
    {CKA_ENCRYPT, NO, NO},
    {CKA_DECRYPT, NO, NO},
    {CKA_SIGN, NO, NO},
    {CKA_VERIFY, NO, NO},
    {CKA_DERIVE, NO, NO},
    {CKA_TRUSTED, NO, NO},
    {CKA_WRAP_WITH_TRUSTED, NO, NO},
};

static bool constant_attribute(const struct kw_object *o, CK_ATTRIBUTE_TYPE type, struct kw_attr_value *v)
{
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++) {
        const struct constant *c = &constants[i];
        if (c->type != type) {
            continue;
        }
        switch (o->kind == KW_OBJECT_CMK ? c->cmk : c->dek) {
        case YES:
            kw_attr_set_bool(v, true);
            break;
        case NO:
            kw_attr_set_bool(v, false);
            break;
        default:
            kw_attr_set_bytes(v, "", 0);
        }
        return true;
    }
    return false;
}

/* The mechanisms that a CMK of this type may be used with in its slot. */
static void set_allowed(const struct kw_object *o, struct kw_attr_value *v)
{
    static const CK_MECHANISM_TYPE standard[2][3] = {{CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD},
                                                     {CKM_RSA_PKCS_OAEP, CKM_RSA_AES_KEY_WRAP}};
    bool rsa = o->version.type == CKK_RSA;
    unsigned mechanisms = o->slot->config->mechanisms;
    size_t n = 0;
    for (size_t i = 0; (mechanisms & KW_MECHANISMS_STANDARD) != 0 && i < (rsa ? 2 : 3); i++) {
        v->room.u[n++] = standard[rsa][i];
    }
    if ((mechanisms & KW_MECHANISMS_ENVELOPE) != 0) {
        v->room.u[n++] = CKM_KEYWARD_ENVELOPE;
    }
    kw_attr_set_bytes(v, v->room.u, n * sizeof v->room.u[0]);
}

static void set_hex(struct kw_attr_value *v, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        v->room.bytes[2 * i] = (uint8_t)digits[bytes[i] >> 4];
        v->room.bytes[2 * i + 1] = (uint8_t)digits[bytes[i] & 15];
    }
    kw_attr_set_bytes(v, v->room.bytes, 2 * len);
}

/* CKA_UNIQUE_ID of a version: its lineage and number, in hex; of the public half 01 more. */
static void set_version_id(const struct kw_object *o, struct kw_attr_value *v)
{
    const struct kw_version *k = &o->version;
    uint8_t id[KW_LINEAGE_SIZE + 5];
    memcpy(id, k->lineage, KW_LINEAGE_SIZE);
    for (size_t i = 0; i < 4; i++) {
        id[KW_LINEAGE_SIZE + i] = (uint8_t)(k->version >> (24 - 8 * i));
    }
    id[KW_LINEAGE_SIZE + 4] = 1;
    set_hex(v, id, o->class == CKO_PUBLIC_KEY ? sizeof id : sizeof id - 1);
}

/* What a version has whatever its type. */
static bool version_attribute(const struct kw_object *o, CK_ATTRIBUTE_TYPE type, struct kw_attr_value *v)
{
    const struct kw_version *k = &o->version;
    switch (type) {
    case CKA_TOKEN:
        kw_attr_set_bool(v, true);
        return true;
    case CKA_LOCAL:
        kw_attr_set_bool(v, k->origin == KW_ORIGIN_GENERATED);
        return true;
    case CKA_KEY_TYPE:
        kw_attr_set_ulong(v, k->type);
        return true;
    case CKA_LABEL:
        kw_attr_set_bytes(v, o->slot->config->key, strlen(o->slot->config->key));
        return true;
    case CKA_ID:
        kw_attr_set_bytes(v, k->id, k->id_len);
        return true;
    case CKA_UNIQUE_ID:
        set_version_id(o, v);
        return true;
    case CKA_KEYWARD_VERSION:
        kw_attr_set_ulong(v, k->version);
        return true;
    case CKA_KEYWARD_STATE:
        kw_attr_set_ulong(v, (CK_ULONG)k->state);
        return true;
    case CKA_KEYWARD_FINGERPRINT:
        kw_attr_set_bytes(v, k->fingerprint, k->has_fingerprint ? KW_FINGERPRINT_SIZE : 0);
        return true;
    default:
        return false;
    }
}

/* An AES version. */
static CK_RV cmk_attribute(const struct kw_object *o, CK_ATTRIBUTE_TYPE type, struct kw_attr_value *v)
{
    const struct kw_version *k = &o->version;
    bool local = k->origin == KW_ORIGIN_GENERATED;
    if (version_attribute(o, type, v)) {
        return CKR_OK;
    }
    switch (type) {
    case CKA_SENSITIVE:
        kw_attr_set_bool(v, true);
        return CKR_OK;
    case CKA_EXTRACTABLE:
        kw_attr_set_bool(v, false);
        return CKR_OK;
    case CKA_ALWAYS_SENSITIVE:
    case CKA_NEVER_EXTRACTABLE:
        kw_attr_set_bool(v, local);
        return CKR_OK;
    case CKA_KEY_GEN_MECHANISM:
        kw_attr_set_ulong(v, local ? CKM_AES_KEY_GEN : CK_UNAVAILABLE_INFORMATION);
        return CKR_OK;
    case CKA_WRAP:
        kw_attr_set_bool(v, k->state == KW_STATE_ACTIVE);
        return CKR_OK;
    case CKA_UNWRAP:
        kw_attr_set_bool(v, k->state == KW_STATE_ACTIVE || k->state == KW_STATE_RETIRED);
        return CKR_OK;
    case CKA_VALUE_LEN:
        kw_attr_set_ulong(v, k->bits / 8);
        return CKR_OK;
    case CKA_ALLOWED_MECHANISMS:
        set_allowed(o, v);
        return CKR_OK;
    case CKA_VALUE:
        return CKR_ATTRIBUTE_SENSITIVE;
    default:
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

/* What is the same for every half of an RSA version. */
enum side { BOTH, PRIVATE_SIDE, PUBLIC_SIDE };

static const struct {
    CK_ATTRIBUTE_TYPE type;
    enum side side;
    enum form form;
} half_constants[] = {
    {CKA_PRIVATE, BOTH, YES},
    {CKA_MODIFIABLE, BOTH, NO},
    {CKA_COPYABLE, BOTH, NO},
    {CKA_DESTROYABLE, BOTH, NO},
    {CKA_START_DATE, BOTH, EMPTY},
    {CKA_END_DATE, BOTH, EMPTY},
    {CKA_DERIVE, BOTH, NO},
    {CKA_SUBJECT, BOTH, EMPTY},
    {CKA_SENSITIVE, PRIVATE_SIDE, YES},
    {CKA_EXTRACTABLE, PRIVATE_SIDE, NO},
    {CKA_DECRYPT, PRIVATE_SIDE, NO},
    {CKA_SIGN, PRIVATE_SIDE, NO},
    {CKA_SIGN_RECOVER, PRIVATE_SIDE, NO},
    {CKA_ALWAYS_AUTHENTICATE, PRIVATE_SIDE, NO},
    {CKA_WRAP_WITH_TRUSTED, PRIVATE_SIDE, NO},
    {CKA_ENCRYPT, PUBLIC_SIDE, NO},
    {CKA_VERIFY, PUBLIC_SIDE, NO},
    {CKA_VERIFY_RECOVER, PUBLIC_SIDE, NO},
    {CKA_TRUSTED, PUBLIC_SIDE, NO},
};

static bool half_constant(const struct kw_object *o, CK_ATTRIBUTE_TYPE type, struct kw_attr_value *v)
{
    enum side side = o->class == CKO_PUBLIC_KEY ? PUBLIC_SIDE : PRIVATE_SIDE;
    for (size_t i = 0; i < sizeof half_constants / sizeof half_constants[0]; i++) {
        if (half_constants[i].type == type && (half_constants[i].side == BOTH || half_constants[i].side == side)) {
            if (half_constants[i].form == EMPTY) {
                kw_attr_set_bytes(v, "", 0);
            } else {
                kw_attr_set_bool(v, half_constants[i].form == YES);
            }
            return true;
        }
    }
    return false;
}

/* What only one of the halves has, as far as it is not constant. */
static CK_RV side_attribute(const struct kw_object *o, CK_ATTRIBUTE_TYPE type, struct kw_attr_value *v)
{
    const struct kw_version *k = &o->version;
    bool local = k->origin == KW_ORIGIN_GENERATED;
    bool is_public = o->class == CKO_PUBLIC_KEY;
    switch (type) {
    case CKA_WRAP:
        kw_attr_set_bool(v, k->state == KW_STATE_ACTIVE);
        return is_public ? CKR_OK : CKR_ATTRIBUTE_TYPE_INVALID;
    case CKA_MODULUS_BITS:
        kw_attr_set_ulong(v, k->bits);
        return is_public ? CKR_OK : CKR_ATTRIBUTE_TYPE_INVALID;
    case CKA_UNWRAP:
        kw_attr_set_bool(v, k->state == KW_STATE_ACTIVE || k->state == KW_STATE_RETIRED);
        return is_public ? CKR_ATTRIBUTE_TYPE_INVALID : CKR_OK;
    case CKA_ALWAYS_SENSITIVE:
    case CKA_NEVER_EXTRACTABLE:
        kw_attr_set_bool(v, local);
        return is_public ? CKR_ATTRIBUTE_TYPE_INVALID : CKR_OK;
    case CKA_PRIVATE_EXPONENT:
    case CKA_PRIME_1:
    case CKA_PRIME_2:
    case CKA_EXPONENT_1:
    case CKA_EXPONENT_2:
    case CKA_COEFFICIENT:
        return is_public ? CKR_ATTRIBUTE_TYPE_INVALID : CKR_ATTRIBUTE_SENSITIVE;
    default:
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

/* Half of an RSA version (PKCS#11 3.2 sections 4.8, 4.9 and 6.1). */
static CK_RV half_attribute(const struct kw_object *o, CK_ATTRIBUTE_TYPE type, struct kw_attr_value *v)
{
    const struct kw_version *k = &o->version;
    if (version_attribute(o, type, v) || half_constant(o, type, v)) {
        return CKR_OK;
    }
    switch (type) {
    case CKA_KEY_GEN_MECHANISM:
        kw_attr_set_ulong(v, k->origin == KW_ORIGIN_GENERATED ? CKM_RSA_PKCS_KEY_PAIR_GEN : CK_UNAVAILABLE_INFORMATION);
        return CKR_OK;
    case CKA_MODULUS:
        kw_attr_set_bytes(v, k->rsa.modulus, k->rsa.modulus_len);
        return CKR_OK;
    case CKA_PUBLIC_EXPONENT:
        kw_attr_set_bytes(v, k->rsa.exponent, k->rsa.exponent_len);
        return CKR_OK;
    case CKA_ALLOWED_MECHANISMS:
        set_allowed(o, v);
        return CKR_OK;
    default:
        return side_attribute(o, type, v);
    }
}

static CK_MECHANISM_TYPE maker(const struct kw_dek *d)
{
    if (!d->local) {
        return CK_UNAVAILABLE_INFORMATION;
    }
    return d->spec.type == CKK_AES ? CKM_AES_KEY_GEN : CKM_GENERIC_SECRET_KEY_GEN;
}

/* A key of the memory home has no name; its handle is as unique. */
static void set_dek_id(const struct kw_object *o, struct kw_attr_value *v)
{
    uint8_t id[8];
    for (size_t i = 0; i < sizeof id; i++) {
        id[i] = (uint8_t)(o->handle >> (56 - 8 * i));
    }
    set_hex(v, o->dek.value == NULL ? o->dek.name : id, sizeof id);
}

static CK_RV dek_attribute(const struct kw_object *o, CK_ATTRIBUTE_TYPE type, struct kw_attr_value *v)
{
    const struct kw_dek_spec *s = &o->dek.spec;
    switch (type) {
    case CKA_TOKEN:
        kw_attr_set_bool(v, s->token);
        return CKR_OK;
    case CKA_SENSITIVE:
        kw_attr_set_bool(v, s->sensitive);
        return CKR_OK;
    case CKA_EXTRACTABLE:
        kw_attr_set_bool(v, s->extractable);
        return CKR_OK;
    case CKA_LOCAL:
        kw_attr_set_bool(v, o->dek.local);
        return CKR_OK;
    case CKA_ALWAYS_SENSITIVE:
        kw_attr_set_bool(v, o->dek.local && s->sensitive);
        return CKR_OK;
    case CKA_NEVER_EXTRACTABLE:
        kw_attr_set_bool(v, o->dek.local && !s->extractable);
        return CKR_OK;
    case CKA_KEY_GEN_MECHANISM:
        kw_attr_set_ulong(v, maker(&o->dek));
        return CKR_OK;
    case CKA_WRAP:
    case CKA_UNWRAP:
        kw_attr_set_bool(v, false);
        return CKR_OK;
    case CKA_KEY_TYPE:
        kw_attr_set_ulong(v, s->type);
        return CKR_OK;
    case CKA_VALUE_LEN:
        kw_attr_set_ulong(v, s->len);
        return CKR_OK;
    case CKA_LABEL:
        kw_attr_set_bytes(v, s->label, s->label_len);
        return CKR_OK;
    case CKA_ID:
        kw_attr_set_bytes(v, s->id, s->id_len);
        return CKR_OK;
    case CKA_UNIQUE_ID:
        set_dek_id(o, v);
        return CKR_OK;
    case CKA_VALUE:
        if (s->sensitive || !s->extractable || o->dek.value == NULL) {
            return CKR_ATTRIBUTE_SENSITIVE;
        }
        kw_attr_set_bytes(v, kw_secret_peek(o->dek.value), kw_secret_len(o->dek.value));
        return CKR_OK;
    default:
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

CK_RV kw_attributes_read(const struct kw_object *o, CK_ATTRIBUTE_TYPE type, struct kw_attr_value *v)
{
    if (type == CKA_CLASS) {
        kw_attr_set_ulong(v, o->class);
        return CKR_OK;
    }
    if (o->class != CKO_SECRET_KEY) {
        return half_attribute(o, type, v);
    }
    if (constant_attribute(o, type, v)) {
        return CKR_OK;
    }
    return o->kind == KW_OBJECT_CMK ? cmk_attribute(o, type, v) : dek_attribute(o, type, v);
}
