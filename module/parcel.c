#include "parcel.h"

#include <string.h>

#include "probe.h"

struct kw_rv kw_parcel_answer(struct kw_lease *lease, struct kw_rv r)
{
    lease->failure = CKR_OK;
    return r;
}

bool kw_parcel_is_about_key(struct kw_lease *lease)
{
    CK_TOKEN_INFO info;
    switch (lease->failure) {
    case CKR_ATTRIBUTE_VALUE_INVALID:
    case CKR_DATA_INVALID:
    case CKR_DATA_LEN_RANGE:
    case CKR_KEY_SIZE_RANGE:
    case CKR_UNWRAPPING_KEY_SIZE_RANGE:
    case CKR_WRAPPING_KEY_SIZE_RANGE:
        return true;
    default:
        return kw_error_class(lease->failure) == KW_CLASS_AMBIGUOUS &&
               lease->call->C_GetTokenInfo(kw_lease_slot(lease), &info) == CKR_OK;
    }
}

bool kw_parcel_is_about_template(CK_RV rv)
{
    enum kw_class class = kw_error_class(rv);
    return rv != CKR_OK && class != KW_CLASS_SESSION && class != KW_CLASS_DEVICE && class != KW_CLASS_LOGIN;
}

void kw_parcel_destroy(struct kw_lease *lease, CK_OBJECT_HANDLE key)
{
    if (key != CK_INVALID_HANDLE) {
        (void)lease->call->C_DestroyObject(lease->session, key);
    }
}

void kw_parcel_state(struct kw_template *t, const struct kw_parcel_flag *flags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        kw_template_bool(t, flags[i].type, flags[i].want);
    }
}

struct kw_rv kw_parcel_holds(struct kw_lease *lease, CK_OBJECT_HANDLE key, const struct kw_parcel_flag *flags, size_t count,
                             bool *holds)
{
    CK_BBOOL is[KW_TEMPLATE_MAX];
    CK_ATTRIBUTE t[KW_TEMPLATE_MAX];
    for (size_t i = 0; i < count; i++) {
        is[i] = 2;
        t[i] = (CK_ATTRIBUTE){flags[i].type, &is[i], sizeof is[i]};
    }
    CK_RV rv = lease->call->C_GetAttributeValue(lease->session, key, t, count);
    if (rv != CKR_OK && rv != CKR_ATTRIBUTE_TYPE_INVALID && rv != CKR_ATTRIBUTE_SENSITIVE) {
        return kw_lease_check(lease, rv, "C_GetAttributeValue");
    }
    *holds = rv == CKR_OK;
    for (size_t i = 0; i < count; i++) {
        *holds &= t[i].ulValueLen == sizeof is[i] && is[i] == flags[i].want;
    }
    return KW_OK;
}

void kw_parcel_rsa(struct kw_template *t, bool extractable)
{
    kw_template_bool(t, CKA_TOKEN, 0);
    kw_template_bool(t, CKA_PRIVATE, 1);
    kw_template_bool(t, CKA_SENSITIVE, 1);
    kw_template_bool(t, CKA_EXTRACTABLE, extractable);
    kw_template_bool(t, CKA_DECRYPT, 0);
    kw_template_bool(t, CKA_SIGN, 0);
    kw_template_bool(t, CKA_DERIVE, 0);
    kw_template_bool(t, CKA_UNWRAP, 1);
}

/* A session object of the public half. */
static struct kw_rv create_public(struct kw_lease *lease, const struct kw_rsa_public *numbers, CK_OBJECT_HANDLE *out)
{
    struct kw_template t = {0};
    kw_template_ulong(&t, CKA_CLASS, CKO_PUBLIC_KEY);
    kw_template_ulong(&t, CKA_KEY_TYPE, CKK_RSA);
    kw_template_bool(&t, CKA_TOKEN, 0);
    kw_template_bool(&t, CKA_WRAP, 1);
    kw_template_bool(&t, CKA_ENCRYPT, 0);
    kw_template_bool(&t, CKA_VERIFY, 0);
    kw_template_bytes(&t, CKA_MODULUS, numbers->modulus, numbers->modulus_len);
    kw_template_bytes(&t, CKA_PUBLIC_EXPONENT, numbers->exponent, numbers->exponent_len);
    return kw_lease_check(lease, lease->call->C_CreateObject(lease->session, t.items, t.count, out), "C_CreateObject");
}

struct kw_rv kw_parcel_wrap(struct kw_lease *lease, const struct kw_rsa_public *to, CK_OBJECT_HANDLE key, CK_BYTE *out)
{
    CK_RSA_PKCS_OAEP_PARAMS params;
    CK_MECHANISM mechanism = kw_rsa_oaep(CKM_SHA_1, &params);
    CK_OBJECT_HANDLE public_key = CK_INVALID_HANDLE;
    CK_ULONG len = to->modulus_len;
    struct kw_rv r = create_public(lease, to, &public_key);
    if (kw_ok(r)) {
        CK_RV rv = lease->call->C_WrapKey(lease->session, &mechanism, public_key, key, out, &len);
        r = kw_lease_check(lease, rv, "C_WrapKey");
    }
    kw_parcel_destroy(lease, public_key);
    if (kw_ok(r) && len != to->modulus_len) {
        r = KW_FAIL(CKR_DEVICE_ERROR, "the token's OAEP gives another length than that of the modulus");
    }
    return r;
}

/* A new AES-256 session key that may be wrapped. */
static struct kw_rv generate_aes(struct kw_lease *lease, bool wraps, CK_OBJECT_HANDLE *out)
{
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    struct kw_template t = {0};
    kw_template_session(&t, CKK_AES, wraps ? KW_MAY_LEAVE | KW_MAY_WRAP : KW_MAY_LEAVE);
    kw_template_ulong(&t, CKA_VALUE_LEN, 32);
    return kw_lease_check(lease, lease->call->C_GenerateKey(lease->session, &mechanism, t.items, t.count, out), "C_GenerateKey");
}

struct kw_rv kw_parcel_unwrap(struct kw_lease *lease, const struct kw_wrapped *w, struct kw_template *t, CK_OBJECT_HANDLE *out)
{
    CK_RV rv = kw_unwrap(lease, w, t, out);
    return kw_lease_check(lease, rv, "C_UnwrapKey");
}

/* OAEP-unwraps the bytes to an AES session key that only unwraps. */
static struct kw_rv open_first_layer(struct kw_lease *lease, const struct kw_wrapped *w, CK_OBJECT_HANDLE *out)
{
    CK_RSA_PKCS_OAEP_PARAMS params;
    CK_MECHANISM mechanism = kw_rsa_oaep(CKM_SHA_1, &params);
    const struct kw_wrapped first = {&mechanism, w->key, w->bytes, w->len};
    struct kw_template t = {0};
    kw_template_session(&t, CKK_AES, KW_MAY_UNWRAP);
    return kw_parcel_unwrap(lease, &first, &t, out);
}

/* OAEP checks itself, so what opens is what was wrapped. */
struct kw_rv kw_parcel_prove(struct kw_lease *lease, CK_OBJECT_HANDLE private_key, const struct kw_rsa_public *numbers, bool *same)
{
    CK_BYTE blob[KW_RSA_MAX];
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE back = CK_INVALID_HANDLE;
    struct kw_rv r = generate_aes(lease, false, &key);
    if (kw_ok(r)) {
        r = kw_parcel_wrap(lease, numbers, key, blob);
    }
    if (kw_ok(r)) {
        const struct kw_wrapped w = {NULL, private_key, blob, numbers->modulus_len};
        r = open_first_layer(lease, &w, &back);
    }
    *same = kw_ok(r);
    if (!kw_ok(r) && kw_parcel_is_about_key(lease)) {
        r = kw_parcel_answer(lease, KW_OK);
    }
    kw_parcel_destroy(lease, key);
    kw_parcel_destroy(lease, back);
    return r;
}

static struct kw_rv rfc5649(struct kw_lease *lease, CK_MECHANISM *out)
{
    struct kw_proof proof;
    struct kw_rv r = kw_probe(lease, KW_FORMAT_KWP, 0, &proof);
    if (kw_ok(r) && proof.mechanism == CK_UNAVAILABLE_INFORMATION) {
        return kw_parcel_answer(lease, KW_FAIL(CKR_MECHANISM_INVALID, "the token can do neither CKM_RSA_AES_KEY_WRAP "
                                                                      "nor RFC 5649, which the key needs"));
    }
    if (kw_ok(r)) {
        *out = (CK_MECHANISM){proof.mechanism, NULL, 0};
    }
    return r;
}

struct kw_rv kw_parcel_make(struct kw_lease *lease, const struct kw_rsa_public *to, CK_OBJECT_HANDLE key, CK_BYTE *out, size_t *len)
{
    CK_MECHANISM mechanism;
    CK_OBJECT_HANDLE aes = CK_INVALID_HANDLE;
    CK_ULONG rest = KW_PARCEL_TARGET_MAX;
    struct kw_rv r = rfc5649(lease, &mechanism);
    if (kw_ok(r)) {
        r = generate_aes(lease, true, &aes);
    }
    if (kw_ok(r)) {
        CK_RV rv = lease->call->C_WrapKey(lease->session, &mechanism, aes, key, out + to->modulus_len, &rest);
        r = kw_lease_check(lease, rv, "C_WrapKey");
    }
    if (kw_ok(r)) {
        r = kw_parcel_wrap(lease, to, aes, out);
    }
    kw_parcel_destroy(lease, aes);
    if (kw_ok(r)) {
        *len = to->modulus_len + rest;
    }
    return r;
}

static bool has_mechanism(struct kw_lease *lease)
{
    CK_MECHANISM_INFO info;
    return lease->call->C_GetMechanismInfo(kw_lease_slot(lease), CKM_RSA_AES_KEY_WRAP, &info) == CKR_OK &&
           (info.flags & CKF_UNWRAP) != 0;
}

static struct kw_rv open_whole(struct kw_lease *lease, const struct kw_parcel_opening *o)
{
    CK_RSA_PKCS_OAEP_PARAMS oaep;
    (void)kw_rsa_oaep(CKM_SHA_1, &oaep);
    struct kw_rsa_aes_params params = {256, &oaep};
    CK_MECHANISM mechanism = {CKM_RSA_AES_KEY_WRAP, &params, sizeof params};
    struct kw_wrapped w = o->parcel;
    w.mechanism = &mechanism;
    return o->deed(lease, &w, o->arg);
}

static struct kw_rv open_in_parts(struct kw_lease *lease, const struct kw_parcel_opening *o)
{
    CK_MECHANISM mechanism;
    CK_OBJECT_HANDLE aes = CK_INVALID_HANDLE;
    struct kw_wrapped w = o->parcel;
    struct kw_rv r = rfc5649(lease, &mechanism);
    w.len = o->modulus_len;
    if (kw_ok(r)) {
        r = open_first_layer(lease, &w, &aes);
    }
    if (kw_ok(r)) {
        w = (struct kw_wrapped){&mechanism, aes, o->parcel.bytes + o->modulus_len, o->parcel.len - o->modulus_len};
        r = o->deed(lease, &w, o->arg);
    }
    kw_parcel_destroy(lease, aes);
    return r;
}

/* By the token's own mechanism where it has it; where that did not do, in two steps: a list of mechanisms proves nothing.
 * The receiving key was proven a moment ago, so a token that is well and does not open the parcel says something about the
 * parcel. One sentence for every reason: which layer failed is nobody's business. */
struct kw_rv kw_parcel_open(struct kw_lease *lease, const struct kw_parcel_opening *o)
{
    bool listed = has_mechanism(lease);
    bool bad = false;
    struct kw_rv r = KW_OK;
    if (listed) {
        r = open_whole(lease, o);
        bad = !kw_ok(r) && kw_parcel_is_about_key(lease);
    }
    if (!listed || bad || kw_error_class(lease->failure) == KW_CLASS_CALLER) {
        lease->failure = CKR_OK;
        r = open_in_parts(lease, o);
        bad = !kw_ok(r) && (kw_parcel_is_about_key(lease) || (bad && r.code == CKR_MECHANISM_INVALID));
    }
    if (bad) {
        r = kw_parcel_answer(lease, KW_FAIL(CKR_WRAPPED_KEY_INVALID,
                                            "it does not open: it was wrapped to another key, or changed on the way"));
    }
    return r;
}
