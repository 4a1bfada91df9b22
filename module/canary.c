#include "canary.h"

#include <string.h>

#include "template.h"
#include "unwrap.h"

static const uint8_t plain[16] = "keyward canary 1";

/* What the canary holds, as a session object. */
static void session_template(struct kw_template *t)
{
    kw_template_session(t, CKK_GENERIC_SECRET, KW_MAY_BE_READ | KW_MAY_LEAVE);
}

struct wrapping {
    CK_MECHANISM *mechanism;
    CK_OBJECT_HANDLE key;
    size_t len; /* that the wrapped bytes must have */
};

/* Wraps the known bytes; out has KW_RSA_MAX + 64 bytes. */
static struct kw_rv wrap(struct kw_lease *lease, const struct wrapping *w, CK_BYTE *out)
{
    struct kw_template t = {0};
    session_template(&t);
    kw_template_bytes(&t, CKA_VALUE, plain, sizeof plain);
    CK_OBJECT_HANDLE secret = CK_INVALID_HANDLE;
    CK_RV rv = lease->call->C_CreateObject(lease->session, t.items, t.count, &secret);
    struct kw_rv r = kw_lease_check(lease, rv, "C_CreateObject");
    if (!kw_ok(r)) {
        return r;
    }
    CK_ULONG len = KW_RSA_MAX + 64;
    r = kw_lease_check(lease, lease->call->C_WrapKey(lease->session, w->mechanism, w->key, secret, out, &len), "C_WrapKey");
    (void)lease->call->C_DestroyObject(lease->session, secret);
    if (kw_ok(r) && len != w->len) {
        lease->failure = CKR_DEVICE_ERROR;
        r = KW_FAIL(CKR_DEVICE_ERROR, "the token wraps to another length than the standard");
    }
    return r;
}

struct kw_rv kw_canary_make(struct kw_lease *lease, CK_OBJECT_HANDLE key, uint8_t out[KW_CANARY_SIZE])
{
    CK_MECHANISM mechanism = {CKM_AES_KEY_WRAP, NULL, 0};
    CK_BYTE wrapped[KW_RSA_MAX + 64];
    const struct wrapping w = {&mechanism, key, KW_CANARY_SIZE};
    struct kw_rv r = wrap(lease, &w, wrapped);
    if (kw_ok(r)) {
        memcpy(out, wrapped, KW_CANARY_SIZE);
    }
    return r;
}

/* Unwraps w->len bytes. *same tells whether they hold the known bytes; a refusal by the integrity check is an answer too. */
static struct kw_rv open_wrapped(struct kw_lease *lease, const struct wrapping *w, const uint8_t *bytes, bool *same)
{
    struct kw_template t = {0};
    session_template(&t);
    CK_BYTE blob[KW_RSA_MAX];
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    memcpy(blob, bytes, w->len);
    const struct kw_wrapped wrapped = {w->mechanism, w->key, blob, w->len};
    CK_RV rv = kw_unwrap(lease, &wrapped, &t, &key);
    *same = false;
    if (kw_error_class(rv) == KW_CLASS_AMBIGUOUS) {
        return kw_lease_confirm(lease);
    }
    struct kw_rv r = kw_lease_check(lease, rv, "C_UnwrapKey");
    if (!kw_ok(r)) {
        return r;
    }
    uint8_t value[sizeof plain + 16];
    CK_ATTRIBUTE a = {CKA_VALUE, value, sizeof value};
    r = kw_lease_check(lease, lease->call->C_GetAttributeValue(lease->session, key, &a, 1), "C_GetAttributeValue");
    (void)lease->call->C_DestroyObject(lease->session, key);
    *same = kw_ok(r) && a.ulValueLen == sizeof plain && memcmp(value, plain, sizeof plain) == 0;
    return r;
}

struct kw_rv kw_canary_open(struct kw_lease *lease, CK_OBJECT_HANDLE key, const uint8_t canary[KW_CANARY_SIZE], bool *same)
{
    CK_MECHANISM mechanism = {CKM_AES_KEY_WRAP, NULL, 0};
    const struct wrapping w = {&mechanism, key, KW_CANARY_SIZE};
    return open_wrapped(lease, &w, canary, same);
}

static struct kw_rv verify_aes(struct kw_lease *lease, const struct kw_canary_key *key, const uint8_t *canary, bool *same)
{
    uint8_t again[KW_CANARY_SIZE];
    CK_MECHANISM mechanism = {CKM_AES_KEY_WRAP, NULL, 0};
    const struct wrapping w = {&mechanism, key->handle, KW_CANARY_SIZE};
    if (!key->may_wrap) {
        struct kw_rv r = open_wrapped(lease, &w, canary, same);
        return kw_ok(r) && !*same ? open_wrapped(lease, &w, canary, same) : r; /* twice: a token may stumble once */
    }
    struct kw_rv r = kw_canary_make(lease, key->handle, again);
    *same = kw_ok(r) && memcmp(canary, again, sizeof again) == 0;
    return r;
}

/* Encrypts the known bytes to the numbers and lets the private half open them; twice, as above. */
static struct kw_rv opens_with(struct kw_lease *lease, CK_OBJECT_HANDLE private_key, const struct kw_rsa_public *numbers,
                               CK_MECHANISM_TYPE hash, bool *opens)
{
    CK_RSA_PKCS_OAEP_PARAMS params;
    CK_MECHANISM mechanism = kw_rsa_oaep(hash, &params);
    const struct wrapping w = {&mechanism, private_key, numbers->modulus_len};
    uint8_t blob[KW_RSA_MAX];
    struct kw_rv r = kw_rsa_encrypt(numbers, hash, plain, sizeof plain, blob);
    if (kw_ok(r)) {
        r = open_wrapped(lease, &w, blob, opens);
    }
    return kw_ok(r) && !*opens ? open_wrapped(lease, &w, blob, opens) : r;
}

struct kw_rv kw_canary_opens(struct kw_lease *lease, CK_OBJECT_HANDLE private_key, CK_MECHANISM_TYPE hash, bool *opens)
{
    struct kw_rsa_public numbers;
    *opens = false;
    struct kw_rv r = kw_rsa_read(lease, private_key, &numbers);
    return kw_ok(r) ? opens_with(lease, private_key, &numbers, hash, opens) : r;
}

static struct kw_rv verify_rsa(struct kw_lease *lease, const struct kw_canary_key *key, const uint8_t *canary, bool *same)
{
    CK_RSA_PKCS_OAEP_PARAMS params;
    CK_MECHANISM mechanism = kw_rsa_oaep(CKM_SHA_1, &params);
    struct kw_rsa_public numbers;
    uint8_t name[KW_RSA_NAME_SIZE];
    CK_BYTE blob[KW_RSA_MAX + 64];
    struct kw_rv r = kw_rsa_read(lease, key->handle, &numbers);
    if (kw_ok(r)) {
        r = kw_rsa_name(&numbers, name);
    }
    if (!kw_ok(r) || memcmp(name, canary, sizeof name) != 0) {
        return r;
    }
    r = opens_with(lease, key->handle, &numbers, CKM_SHA_1, same);
    if (!kw_ok(r) || !*same || !key->may_wrap) {
        return r;
    }
    const struct wrapping seal = {&mechanism, key->public_handle, numbers.modulus_len};
    const struct wrapping unseal = {&mechanism, key->handle, numbers.modulus_len};
    *same = false;
    r = wrap(lease, &seal, blob);
    return kw_ok(r) ? open_wrapped(lease, &unseal, blob, same) : r;
}

struct kw_rv kw_canary_verify(struct kw_lease *lease, const struct kw_canary_key *key, const uint8_t canary[KW_CANARY_SIZE], bool *same)
{
    *same = false;
    return key->type == CKK_RSA ? verify_rsa(lease, key, canary, same) : verify_aes(lease, key, canary, same);
}
