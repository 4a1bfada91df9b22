#include "custody.h"

#include <string.h>

#include "capability.h"
#include "halves.h"
#include "log.h"
#include "probe.h"
#include "template.h"
#include "unwrap.h"

static void big_endian_put(uint8_t *p, size_t n, uint32_t v)
{
    while (n-- > 0) {
        p[n] = (uint8_t)v;
        v >>= 8;
    }
}

/* CKA_ID without the canary; the first KW_CMK_RSA_ID bytes are that of an RSA version. */
static void make_id(const struct kw_custody_plan *plan, uint8_t id[KW_CMK_FULL_ID])
{
    memset(id, 0, KW_CMK_FULL_ID);
    memcpy(id, plan->lineage, KW_LINEAGE_SIZE);
    big_endian_put(id + 12, 4, plan->version);
    id[16] = (uint8_t)plan->origin;
    if (plan->type == CKK_AES && plan->origin != KW_ORIGIN_GENERATED) {
        id[16] |= (uint8_t)((plan->bits / 64 - 1) << 4); /* the size, for tokens that do not tell it (readback.c, told_length) */
    }
    big_endian_put(id + 17, 3, plan->today);
    big_endian_put(id + 20, 4, KW_CMK_UNFINISHED);
}

/* The template of DESIGN section 4: every attribute stated. CKA_MODIFIABLE stays true, the state lives in the attributes. */
static void cmk_template(struct kw_template *t, const struct kw_custody_plan *plan, const uint8_t *id)
{
    kw_template_ulong(t, CKA_CLASS, CKO_SECRET_KEY);
    kw_template_ulong(t, CKA_KEY_TYPE, CKK_AES);
    kw_template_bool(t, CKA_TOKEN, 1);
    kw_template_bool(t, CKA_PRIVATE, 1);
    kw_template_bool(t, CKA_SENSITIVE, 1);
    kw_template_bool(t, CKA_EXTRACTABLE, 0);
    kw_template_bool(t, CKA_MODIFIABLE, 1);
    kw_template_bool(t, CKA_WRAP, 1);
    kw_template_bool(t, CKA_UNWRAP, 1);
    kw_template_no_usage(t);
    kw_template_bytes(t, CKA_LABEL, plan->label, strlen(plan->label));
    kw_template_bytes(t, CKA_ID, id, KW_CMK_FULL_ID);
}

/* What the token itself shall refuse to whoever holds the PIN. Not every token knows these (HSM-FACTS section 2), so the
 * fences are put up as far as it goes: 2 all, 1 no copies, 0 none. */
static void add_fences(struct kw_template *t, int fences, struct kw_template *inner)
{
    static CK_MECHANISM_TYPE allowed[] = {CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_PAD, CKM_AES_KEY_WRAP_KWP};
    if (fences >= 1) {
        kw_template_bool(t, CKA_COPYABLE, 0);
    }
    if (fences >= 2) {
        kw_template_data_key(inner);
        kw_template_bytes(t, CKA_WRAP_TEMPLATE, inner->items, inner->count * sizeof inner->items[0]);
        kw_template_bytes(t, CKA_UNWRAP_TEMPLATE, inner->items, inner->count * sizeof inner->items[0]);
        kw_template_bytes(t, CKA_ALLOWED_MECHANISMS, allowed, sizeof allowed);
    }
}

static struct kw_rv generate(struct kw_lease *lease, const struct kw_custody_plan *plan, const uint8_t *id,
                             CK_OBJECT_HANDLE *key)
{
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    CK_RV rv = CKR_GENERAL_ERROR;
    int most = 0;
    struct kw_rv r = kw_capability_fences(lease, &most);
    if (!kw_ok(r)) {
        return r;
    }
    for (int fences = most; fences >= 0; fences--) {
        struct kw_template t = {0};
        struct kw_template inner = {0};
        cmk_template(&t, plan, id);
        kw_template_ulong(&t, CKA_VALUE_LEN, plan->bits / 8);
        add_fences(&t, fences, &inner);
        rv = lease->call->C_GenerateKey(lease->session, &mechanism, t.items, t.count, key);
        if (!kw_parcel_is_about_template(rv)) {
            break;
        }
    }
    return kw_lease_check(lease, rv, "C_GenerateKey");
}

static struct kw_rv not_as_asked(const struct kw_lease *lease, const char *why)
{
    kw_log(KW_LOG_ERROR, "token %s: the key is not as asked: %s", kw_backing_config(lease->backing)->name, why);
    return KW_FAIL(CKR_TEMPLATE_INCONSISTENT, "the token did not make the key as asked");
}

/* Writes the canary into CKA_ID and reads everything back. */
static struct kw_rv finish(struct kw_lease *lease, const struct kw_custody_plan *plan, uint8_t *id, CK_OBJECT_HANDLE key)
{
    struct kw_readback a;
    struct kw_rv r = kw_canary_make(lease, key, id + 24);
    if (kw_ok(r)) {
        CK_ATTRIBUTE t = {CKA_ID, id, KW_CMK_FULL_ID};
        r = kw_lease_check(lease, lease->call->C_SetAttributeValue(lease->session, key, &t, 1), "C_SetAttributeValue");
    }
    if (kw_ok(r)) {
        r = kw_readback_read(lease, key, &a);
    }
    if (!kw_ok(r)) {
        return r;
    }
    const char *why = kw_readback_judge(&a);
    if (why == NULL && (!a.wrap || !a.unwrap || a.len * 8 != plan->bits || a.id_len != KW_CMK_FULL_ID ||
                        memcmp(a.id, id, KW_CMK_FULL_ID) != 0)) {
        why = "the token changed what was asked";
    }
    return why == NULL ? KW_OK : not_as_asked(lease, why);
}

/* A token that does not do RFC 3394 can hold an AES key, but could not use it. */
static struct kw_rv require_key_wrap(struct kw_lease *lease)
{
    struct kw_proof proof;
    struct kw_rv r = kw_probe(lease, KW_FORMAT_KW, 0, &proof);
    if (kw_ok(r) && proof.mechanism == CK_UNAVAILABLE_INFORMATION) {
        r = KW_FAIL(CKR_MECHANISM_INVALID, "an AES key is of no use there, because the token is not proven to do RFC 3394 "
                                           "(CKM_AES_KEY_WRAP); make an RSA key, or take another HSM");
    }
    return r;
}

struct kw_rv kw_custody_generate(struct kw_lease *lease, const struct kw_custody_plan *plan)
{
    uint8_t id[KW_CMK_FULL_ID];
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    make_id(plan, id);
    if (plan->type == CKK_RSA) {
        return kw_halves_generate(lease, plan, id);
    }
    struct kw_rv r = require_key_wrap(lease);
    if (kw_ok(r)) {
        r = generate(lease, plan, id, &key);
    }
    if (!kw_ok(r)) {
        return r;
    }
    r = finish(lease, plan, id, key);
    if (!kw_ok(r)) {
        (void)lease->call->C_DestroyObject(lease->session, key);
    }
    return r;
}

static struct kw_rv change_aes(struct kw_lease *lease, const struct kw_cmk_entry *e, const struct kw_custody_state *to, const uint8_t *id)
{
    struct kw_template t = {0};
    struct kw_readback a;
    kw_template_bool(&t, CKA_WRAP, to->wrap);
    kw_template_bool(&t, CKA_UNWRAP, to->unwrap);
    if (id != NULL) {
        kw_template_bytes(&t, CKA_ID, id, KW_CMK_FULL_ID);
    }
    CK_RV rv = lease->call->C_SetAttributeValue(lease->session, e->handle, t.items, t.count);
    struct kw_rv r = kw_lease_check(lease, rv, "C_SetAttributeValue");
    if (kw_ok(r)) {
        r = kw_readback_read(lease, e->handle, &a);
    }
    if (kw_ok(r) && (!a.complete || a.wrap != to->wrap || a.unwrap != to->unwrap ||
                     (id != NULL && memcmp(a.id, id, KW_CMK_FULL_ID) != 0))) {
        r = not_as_asked(lease, "it did not keep the new state");
    }
    return r;
}

struct kw_rv kw_custody_change(struct kw_lease *lease, const struct kw_cmk_entry *e, const struct kw_custody_state *to)
{
    uint8_t id[KW_CMK_FULL_ID];
    memcpy(id, e->full_id, sizeof id);
    big_endian_put(id + 20, 4, to->purge);
    if (!e->ours && to->purge != 0) {
        return KW_FAIL(CKR_ATTRIBUTE_READ_ONLY, "the key was not made by Keyward: its CKA_ID has no room for a day of purge");
    }
    const uint8_t *new_id = e->ours ? id : NULL;
    return e->version.type == CKK_RSA ? kw_halves_change(lease, e, to, new_id) : change_aes(lease, e, to, new_id);
}

struct kw_rv kw_custody_destroy(struct kw_lease *lease, const struct kw_cmk_entry *e)
{
    if (e->version.type == CKK_RSA) {
        return kw_halves_destroy(lease, e);
    }
    return kw_lease_check(lease, lease->call->C_DestroyObject(lease->session, e->handle), "C_DestroyObject");
}

struct kw_rv kw_custody_agrees(struct kw_lease *lease, const struct kw_cmk_entry *e, bool *agrees)
{
    *agrees = true;
    return e->version.type == CKK_RSA ? kw_halves_agree(lease, e, agrees) : KW_OK;
}

static struct kw_rv generate_session_aes(struct kw_lease *lease, unsigned bits, CK_OBJECT_HANDLE *key)
{
    struct kw_template t = {0};
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    kw_template_session(&t, CKK_AES, KW_MAY_LEAVE);
    kw_template_ulong(&t, CKA_VALUE_LEN, bits / 8);
    return kw_lease_check(lease, lease->call->C_GenerateKey(lease->session, &mechanism, t.items, t.count, key), "C_GenerateKey");
}

/* A session key pair: the public half in pair[0], the private one, which only unwraps, in pair[1]. */
static struct kw_rv generate_session_pair(struct kw_lease *lease, unsigned bits, bool extractable, CK_OBJECT_HANDLE pair[2])
{
    static const uint8_t exponent[] = {1, 0, 1};
    CK_MECHANISM mechanism = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    struct kw_template pub = {0};
    struct kw_template priv = {0};
    kw_template_bool(&pub, CKA_TOKEN, 0);
    kw_template_ulong(&pub, CKA_MODULUS_BITS, bits);
    kw_template_bytes(&pub, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent);
    kw_template_bool(&pub, CKA_ENCRYPT, 0);
    kw_template_bool(&pub, CKA_VERIFY, 0);
    kw_template_bool(&pub, CKA_WRAP, 1);
    kw_parcel_rsa(&priv, extractable);
    CK_RV rv = lease->call->C_GenerateKeyPair(lease->session, &mechanism, pub.items, pub.count, priv.items, priv.count,
                                              &pair[0], &pair[1]);
    return kw_lease_check(lease, rv, "C_GenerateKeyPair");
}

struct kw_rv kw_custody_begin(struct kw_lease *lease, const struct kw_custody_plan *plan, struct kw_custody_source *out)
{
    CK_OBJECT_HANDLE pair[2] = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    struct kw_rv r = plan->type == CKK_RSA ? generate_session_pair(lease, plan->bits, true, pair)
                                           : generate_session_aes(lease, plan->bits, &pair[1]);
    kw_parcel_destroy(lease, pair[0]);
    if (kw_ok(r)) {
        *out = (struct kw_custody_source){pair[1], plan->type, lease->epoch};
    }
    return r;
}

void kw_custody_end(struct kw_lease *lease, const struct kw_custody_source *source)
{
    if (source->epoch == lease->epoch) {
        (void)lease->call->C_DestroyObject(lease->session, source->key);
    }
}

/* The public half of the transport key as numbers. */
static struct kw_rv read_public(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_custody_receiver *out)
{
    struct kw_rv r = kw_rsa_read(lease, key, &out->numbers);
    return kw_ok(r) && out->numbers.modulus_len != KW_TRANSPORT_BYTES ? not_as_asked(lease, "the transport key has another size") : r;
}

struct kw_rv kw_custody_prepare(struct kw_lease *lease, struct kw_custody_receiver *out)
{
    CK_OBJECT_HANDLE pair[2] = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    struct kw_rv r = generate_session_pair(lease, KW_TRANSPORT_BITS, false, pair);
    if (kw_ok(r)) {
        out->private_key = pair[1];
        out->epoch = lease->epoch;
        r = read_public(lease, pair[0], out);
        kw_parcel_destroy(lease, pair[0]);
    }
    return r;
}

struct kw_rv kw_custody_send(struct kw_lease *lease, const struct kw_custody_source *source,
                             const struct kw_custody_receiver *to, struct kw_custody_blob *blob)
{
    if (source->epoch != lease->epoch) {
        return KW_FAIL(CKR_DEVICE_ERROR, "the connection to the first token was lost on the way");
    }
    if (source->type == CKK_RSA) {
        return kw_parcel_make(lease, &to->numbers, source->key, blob->bytes, &blob->len);
    }
    blob->len = to->numbers.modulus_len;
    return kw_parcel_wrap(lease, &to->numbers, source->key, blob->bytes);
}

static struct kw_rv unwrap_version(struct kw_lease *lease, const struct kw_wrapped *w, const struct kw_custody_plan *plan,
                                   const uint8_t *id, CK_OBJECT_HANDLE *key)
{
    CK_RV rv = CKR_GENERAL_ERROR;
    int most = 0;
    struct kw_rv r = kw_capability_fences(lease, &most);
    if (!kw_ok(r)) {
        return r;
    }
    for (int fences = most; fences >= 0; fences--) {
        struct kw_template t = {0};
        struct kw_template inner = {0};
        cmk_template(&t, plan, id);
        add_fences(&t, fences, &inner);
        rv = kw_unwrap(lease, w, &t, key);
        if (!kw_parcel_is_about_template(rv)) {
            break;
        }
    }
    return kw_lease_check(lease, rv, "C_UnwrapKey");
}

struct kw_rv kw_custody_unwrap(struct kw_lease *lease, const struct kw_wrapped *wrapped, const struct kw_custody_plan *plan)
{
    uint8_t id[KW_CMK_FULL_ID];
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    make_id(plan, id);
    if (plan->type == CKK_RSA) {
        return kw_halves_unwrap(lease, wrapped, plan, id);
    }
    struct kw_rv r = unwrap_version(lease, wrapped, plan, id, &key);
    if (!kw_ok(r)) {
        return r;
    }
    r = finish(lease, plan, id, key);
    if (!kw_ok(r)) {
        (void)lease->call->C_DestroyObject(lease->session, key);
    }
    return r;
}

static struct kw_rv do_unwrap(struct kw_lease *lease, const struct kw_wrapped *w, void *arg)
{
    const struct kw_custody_plan *plan = arg;
    return kw_custody_unwrap(lease, w, plan);
}

struct kw_rv kw_custody_receive(struct kw_lease *lease, const struct kw_custody_receiver *receiver, struct kw_custody_blob *blob,
                                const struct kw_custody_plan *plan)
{
    CK_RSA_PKCS_OAEP_PARAMS params;
    CK_MECHANISM mechanism = kw_rsa_oaep(CKM_SHA_1, &params);
    struct kw_custody_plan copy = *plan;
    const struct kw_parcel_opening o = {
        .parcel = {&mechanism, receiver->private_key, blob->bytes, blob->len},
        .modulus_len = receiver->numbers.modulus_len,
        .deed = do_unwrap,
        .arg = &copy,
    };
    if (receiver->epoch != lease->epoch) {
        return KW_FAIL(CKR_DEVICE_ERROR, "the connection to the token was lost on the way");
    }
    struct kw_rv r = plan->type == CKK_RSA ? kw_parcel_open(lease, &o) : kw_custody_unwrap(lease, &o.parcel, plan);
    kw_parcel_destroy(lease, receiver->private_key);
    return r;
}
