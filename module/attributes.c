#include "attributes.h"

#include <keyward.h>
#include <string.h>

#include "slot.h"

enum form { YES, NO, NUMBER, EMPTY };

/* What is the same for every object of a kind. */
struct constant {
    CK_ATTRIBUTE_TYPE type;
    enum form cmk;
    enum form dek;
    CK_ULONG number; /* for NUMBER */
};

static const struct constant constants[] = {
    {CKA_CLASS, NUMBER, NUMBER, CKO_SECRET_KEY},
    {CKA_PRIVATE, YES, YES, 0},
    {CKA_MODIFIABLE, NO, YES, 0},
    {CKA_COPYABLE, NO, NO, 0},
    {CKA_DESTROYABLE, NO, YES, 0},
    {CKA_START_DATE, EMPTY, EMPTY, 0},
    {CKA_END_DATE, EMPTY, EMPTY, 0},
    {CKA_ENCRYPT, NO, NO, 0},
    {CKA_DECRYPT, NO, NO, 0},
    {CKA_SIGN, NO, NO, 0},
    {CKA_VERIFY, NO, NO, 0},
    {CKA_DERIVE, NO, NO, 0},
    {CKA_TRUSTED, NO, NO, 0},
    {CKA_WRAP_WITH_TRUSTED, NO, NO, 0},
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
        case NUMBER:
            kw_attr_set_ulong(v, c->number);
            break;
        default:
            kw_attr_set_bytes(v, "", 0);
        }
        return true;
    }
    return false;
}

/* The mechanisms that a CMK of this type may be used with. */
static void set_allowed(struct kw_attr_value *v)
{
    v->room.u[0] = CKM_AES_KEY_WRAP;
    v->room.u[1] = CKM_AES_KEY_WRAP_KWP;
    v->room.u[2] = CKM_AES_KEY_WRAP_PAD;
    kw_attr_set_bytes(v, v->room.u, 3 * sizeof v->room.u[0]);
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

/* CKA_UNIQUE_ID of a version: its lineage and number, in hex. */
static void set_version_id(const struct kw_version *k, struct kw_attr_value *v)
{
    uint8_t id[KW_LINEAGE_SIZE + 4];
    memcpy(id, k->lineage, KW_LINEAGE_SIZE);
    for (size_t i = 0; i < 4; i++) {
        id[KW_LINEAGE_SIZE + i] = (uint8_t)(k->version >> (24 - 8 * i));
    }
    set_hex(v, id, sizeof id);
}

static CK_RV cmk_attribute(const struct kw_object *o, CK_ATTRIBUTE_TYPE type, struct kw_attr_value *v)
{
    const struct kw_version *k = &o->version;
    bool local = k->origin == KW_ORIGIN_GENERATED;
    switch (type) {
    case CKA_TOKEN:
    case CKA_SENSITIVE:
        kw_attr_set_bool(v, true);
        return CKR_OK;
    case CKA_EXTRACTABLE:
        kw_attr_set_bool(v, false);
        return CKR_OK;
    case CKA_LOCAL:
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
    case CKA_KEY_TYPE:
        kw_attr_set_ulong(v, k->type);
        return CKR_OK;
    case CKA_VALUE_LEN:
        kw_attr_set_ulong(v, k->bits / 8);
        return CKR_OK;
    case CKA_LABEL:
        kw_attr_set_bytes(v, o->slot->config->key, strlen(o->slot->config->key));
        return CKR_OK;
    case CKA_ID:
        kw_attr_set_bytes(v, k->id, k->id_len);
        return CKR_OK;
    case CKA_UNIQUE_ID:
        set_version_id(k, v);
        return CKR_OK;
    case CKA_ALLOWED_MECHANISMS:
        set_allowed(v);
        return CKR_OK;
    case CKA_KEYWARD_VERSION:
        kw_attr_set_ulong(v, k->version);
        return CKR_OK;
    case CKA_KEYWARD_STATE:
        kw_attr_set_ulong(v, (CK_ULONG)k->state);
        return CKR_OK;
    case CKA_KEYWARD_FINGERPRINT:
        kw_attr_set_bytes(v, k->fingerprint, k->has_fingerprint ? KW_FINGERPRINT_SIZE : 0);
        return CKR_OK;
    case CKA_VALUE:
        return CKR_ATTRIBUTE_SENSITIVE;
    default:
        return CKR_ATTRIBUTE_TYPE_INVALID;
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
    if (constant_attribute(o, type, v)) {
        return CKR_OK;
    }
    return o->kind == KW_OBJECT_CMK ? cmk_attribute(o, type, v) : dek_attribute(o, type, v);
}
