#include "origin.h"

#include <stdio.h>
#include <string.h>

#include "log.h"
#include "template.h"

enum { KEY_SIZE = 32, LABEL_MAX = 160, FOUND_MAX = 8 };

static void make_label(const struct kw_dek_owner *owner, char out[LABEL_MAX])
{
    (void)snprintf(out, LABEL_MAX, "%s/origin", owner->label);
}

/* What handles of it are remembered by: 8 of the 10 random bytes of the lineage. */
static const uint8_t *name_of(const struct kw_dek_owner *owner)
{
    return owner->lineage + KW_LINEAGE_SIZE - 8;
}

static struct kw_rv find(struct kw_lease *lease, const struct kw_dek_owner *owner, CK_OBJECT_HANDLE found[FOUND_MAX], CK_ULONG *count)
{
    struct kw_template t = {0};
    char label[LABEL_MAX];
    make_label(owner, label);
    kw_template_ulong(&t, CKA_CLASS, CKO_SECRET_KEY);
    kw_template_bytes(&t, CKA_LABEL, label, strlen(label));
    kw_template_bytes(&t, CKA_ID, owner->lineage, KW_LINEAGE_SIZE);
    struct kw_rv r = kw_lease_check(lease, lease->call->C_FindObjectsInit(lease->session, t.items, t.count), "C_FindObjectsInit");
    if (!kw_ok(r)) {
        return r;
    }
    *count = 0;
    memset(found, 0, FOUND_MAX * sizeof *found); /* a token may count more than it gives */
    r = kw_lease_check(lease, lease->call->C_FindObjects(lease->session, found, FOUND_MAX, count), "C_FindObjects");
    (void)lease->call->C_FindObjectsFinal(lease->session);
    *count = *count > FOUND_MAX ? FOUND_MAX : *count;
    return r;
}

static const struct kw_parcel_flag flags[] = {
    {CKA_TOKEN, CK_TRUE},    {CKA_PRIVATE, CK_TRUE},  {CKA_SENSITIVE, CK_TRUE}, {CKA_EXTRACTABLE, CK_FALSE},
    {CKA_SIGN, CK_TRUE},     {CKA_VERIFY, CK_FALSE},  {CKA_ENCRYPT, CK_FALSE},  {CKA_DECRYPT, CK_FALSE},
    {CKA_WRAP, CK_FALSE},    {CKA_UNWRAP, CK_FALSE},  {CKA_DERIVE, CK_FALSE},
};
enum { FLAGS = sizeof flags / sizeof flags[0] };

/* The one that may be used. It is looked for, and at what it may do, once a second. */
static struct kw_rv usable(struct kw_lease *lease, const struct kw_dek_owner *owner, CK_OBJECT_HANDLE *out)
{
    CK_OBJECT_HANDLE found[FOUND_MAX];
    CK_ULONG count = 0;
    bool holds = false;
    bool fresh = false;
    CK_OBJECT_HANDLE known = lease->attempt > 0 ? CK_INVALID_HANDLE : kw_lease_recall(lease, name_of(owner), &fresh);
    if (fresh) {
        *out = known;
        return KW_OK;
    }
    struct kw_rv r = find(lease, owner, found, &count);
    if (kw_ok(r) && count == 1) {
        r = kw_parcel_holds(lease, found[0], flags, FLAGS, &holds);
    }
    if (kw_ok(r) && !holds) {
        kw_log(KW_LOG_ERROR, "token %s: key %s has %s; envelopes are not served, see `keyward repair`", kw_backing_config(lease->backing)->name,
               owner->label, count == 0 ? "no origin key" : count == 1 ? "an origin key that may do more than sign" : "two origin keys");
        r = KW_FAIL(CKR_KEY_FUNCTION_NOT_PERMITTED, "the RSA key has no origin key that may be used, so envelopes cannot be told from forged ones");
    }
    if (kw_ok(r)) {
        kw_lease_remember(lease, name_of(owner), found[0]);
        *out = found[0];
    }
    return r;
}

static struct kw_rv sign(struct kw_lease *lease, CK_OBJECT_HANDLE key, const uint8_t *text, size_t len, uint8_t tag[KW_ORIGIN_TAG_SIZE])
{
    CK_MECHANISM mechanism = {CKM_SHA256_HMAC, NULL, 0};
    CK_BYTE copy[KW_RSA_MAX + 64]; /* modules take a pointer to non-const */
    CK_BYTE out[KW_ORIGIN_TAG_SIZE + 32];
    CK_ULONG out_len = sizeof out;
    if (len > sizeof copy) {
        return KW_FAIL(CKR_GENERAL_ERROR, "the text of an origin tag is longer than any");
    }
    memcpy(copy, text, len);
    struct kw_rv r = kw_lease_check(lease, lease->call->C_SignInit(lease->session, &mechanism, key), "C_SignInit");
    if (kw_ok(r)) {
        r = kw_lease_check(lease, lease->call->C_Sign(lease->session, copy, len, out, &out_len), "C_Sign");
    }
    if (kw_ok(r) && out_len != KW_ORIGIN_TAG_SIZE) {
        lease->failure = CKR_DEVICE_ERROR;
        r = KW_FAIL(CKR_DEVICE_ERROR, "the token's HMAC-SHA256 has another length than 32 bytes");
    }
    if (kw_ok(r)) {
        memcpy(tag, out, KW_ORIGIN_TAG_SIZE);
    }
    return r;
}

struct kw_rv kw_origin_tag(struct kw_lease *lease, const struct kw_dek_owner *owner, const uint8_t *text, size_t len,
                           uint8_t tag[KW_ORIGIN_TAG_SIZE])
{
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    struct kw_rv r = usable(lease, owner, &key);
    return kw_ok(r) ? sign(lease, key, text, len, tag) : r;
}

struct kw_rv kw_origin_count(struct kw_lease *lease, const struct kw_dek_owner *owner, size_t *count)
{
    CK_OBJECT_HANDLE found[FOUND_MAX];
    CK_ULONG n = 0;
    struct kw_rv r = find(lease, owner, found, &n);
    *count = n;
    return r;
}

/* Every attribute stated; as with a CMK, what not every token knows is asked for as far as it goes. */
static void origin_template(struct kw_template *t, const struct kw_dek_owner *owner, const char *label, int fences)
{
    static CK_MECHANISM_TYPE allowed[] = {CKM_SHA256_HMAC};
    kw_template_ulong(t, CKA_CLASS, CKO_SECRET_KEY);
    kw_template_ulong(t, CKA_KEY_TYPE, CKK_GENERIC_SECRET);
    kw_parcel_state(t, flags, FLAGS);
    kw_template_bytes(t, CKA_LABEL, label, strlen(label));
    kw_template_bytes(t, CKA_ID, owner->lineage, KW_LINEAGE_SIZE);
    if (fences > 0) {
        kw_template_bool(t, CKA_COPYABLE, 0);
        kw_template_bytes(t, CKA_ALLOWED_MECHANISMS, allowed, sizeof allowed);
    }
}

static struct kw_rv check_made(struct kw_lease *lease, CK_OBJECT_HANDLE key)
{
    bool holds = false;
    struct kw_rv r = kw_parcel_holds(lease, key, flags, FLAGS, &holds);
    if (kw_ok(r) && !holds) {
        r = KW_FAIL(CKR_TEMPLATE_INCONSISTENT, "the token did not make the origin key as asked");
    }
    if (!kw_ok(r)) {
        (void)lease->call->C_DestroyObject(lease->session, key);
    }
    return r;
}

struct kw_rv kw_origin_generate(struct kw_lease *lease, const struct kw_dek_owner *owner)
{
    CK_MECHANISM mechanism = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_RV rv = CKR_GENERAL_ERROR;
    char label[LABEL_MAX];
    make_label(owner, label);
    for (int fences = 1; fences >= 0; fences--) {
        struct kw_template t = {0};
        origin_template(&t, owner, label, fences);
        kw_template_ulong(&t, CKA_VALUE_LEN, KEY_SIZE);
        rv = lease->call->C_GenerateKey(lease->session, &mechanism, t.items, t.count, &key);
        if (!kw_parcel_is_about_template(rv)) {
            break;
        }
    }
    struct kw_rv r = kw_lease_check(lease, rv, "C_GenerateKey");
    return kw_ok(r) ? check_made(lease, key) : r;
}

struct kw_rv kw_origin_begin(struct kw_lease *lease, struct kw_custody_source *out)
{
    CK_MECHANISM mechanism = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    struct kw_template t = {0};
    kw_template_session(&t, CKK_GENERIC_SECRET, KW_MAY_LEAVE);
    kw_template_ulong(&t, CKA_VALUE_LEN, KEY_SIZE);
    CK_RV rv = lease->call->C_GenerateKey(lease->session, &mechanism, t.items, t.count, &key);
    struct kw_rv r = kw_lease_check(lease, rv, "C_GenerateKey");
    if (kw_ok(r)) {
        *out = (struct kw_custody_source){key, CKK_GENERIC_SECRET, lease->epoch};
    }
    return r;
}

struct kw_rv kw_origin_receive(struct kw_lease *lease, const struct kw_custody_receiver *receiver, struct kw_custody_blob *blob,
                               const struct kw_dek_owner *owner)
{
    CK_RSA_PKCS_OAEP_PARAMS params;
    CK_MECHANISM mechanism = kw_rsa_oaep(CKM_SHA_1, &params);
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_RV rv = CKR_GENERAL_ERROR;
    char label[LABEL_MAX];
    make_label(owner, label);
    if (receiver->epoch != lease->epoch) {
        return KW_FAIL(CKR_DEVICE_ERROR, "the connection to the token was lost on the way");
    }
    for (int fences = 1; fences >= 0; fences--) {
        struct kw_template t = {0};
        origin_template(&t, owner, label, fences);
        rv = lease->call->C_UnwrapKey(lease->session, &mechanism, receiver->private_key, blob->bytes, blob->len, t.items, t.count, &key);
        if (!kw_parcel_is_about_template(rv)) {
            break;
        }
    }
    struct kw_rv r = kw_lease_check(lease, rv, "C_UnwrapKey");
    kw_parcel_destroy(lease, receiver->private_key);
    return kw_ok(r) ? check_made(lease, key) : r;
}

struct kw_rv kw_origin_destroy(struct kw_lease *lease, const struct kw_dek_owner *owner)
{
    CK_OBJECT_HANDLE found[FOUND_MAX];
    CK_ULONG count = 0;
    struct kw_rv r = find(lease, owner, found, &count);
    for (CK_ULONG i = 0; kw_ok(r) && i < count; i++) {
        r = kw_lease_check(lease, lease->call->C_DestroyObject(lease->session, found[i]), "C_DestroyObject");
    }
    kw_lease_remember(lease, name_of(owner), CK_INVALID_HANDLE);
    return r;
}
