#include "hybrid.h"

#include <string.h>

#include "template.h"

static struct kw_rv generate(struct kw_lease *lease, unsigned bits, bool wraps, CK_OBJECT_HANDLE *out)
{
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    struct kw_template t = {0};
    kw_template_session(&t, CKK_AES, wraps ? KW_MAY_LEAVE | KW_MAY_WRAP : KW_MAY_UNWRAP);
    kw_template_ulong(&t, CKA_VALUE_LEN, bits / 8);
    CK_RV rv = lease->call->C_GenerateKey(lease->session, &mechanism, t.items, t.count, out);
    return kw_lease_check(lease, rv == CKR_OK && *out == CK_INVALID_HANDLE ? CKR_DEVICE_ERROR : rv, "C_GenerateKey");
}

struct kw_rv kw_hybrid_begin(struct kw_lease *lease, const struct kw_hybrid *h, uint8_t *out, CK_OBJECT_HANDLE *aes)
{
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_BYTE wrapped[KW_RSA_MAX + 64];
    CK_ULONG len = sizeof wrapped;
    struct kw_rv r = generate(lease, h->aes_bits, true, &key);
    if (!kw_ok(r)) {
        return r;
    }
    r = kw_lease_check(lease, lease->call->C_WrapKey(lease->session, h->oaep, h->rsa, key, wrapped, &len), "C_WrapKey");
    if (kw_ok(r) && len != h->modulus_len) {
        lease->failure = CKR_DEVICE_ERROR;
        r = KW_FAIL(CKR_DEVICE_ERROR, "the token's OAEP gives another length than the modulus");
    }
    if (!kw_ok(r)) {
        (void)lease->call->C_DestroyObject(lease->session, key);
        return r;
    }
    memcpy(out, wrapped, h->modulus_len);
    *aes = key;
    return KW_OK;
}

/* What tokens answer to OAEP that does not open (HSM-FACTS rule 7), or to a key in it that is no AES key. */
static bool is_about_blob(CK_RV rv)
{
    enum kw_class class = kw_error_class(rv);
    return class == KW_CLASS_AMBIGUOUS || class == KW_CLASS_CALLER;
}

struct kw_rv kw_hybrid_open(struct kw_lease *lease, const struct kw_hybrid *h, const uint8_t *blob, CK_OBJECT_HANDLE *aes)
{
    struct kw_template t = {0};
    CK_BYTE copy[KW_RSA_MAX];
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_OBJECT_CLASS class = 0;
    CK_ATTRIBUTE a = {CKA_CLASS, &class, sizeof class};
    kw_template_session(&t, CKK_AES, KW_MAY_UNWRAP);
    memcpy(copy, blob, h->modulus_len);
    CK_RV rv = lease->call->C_UnwrapKey(lease->session, h->oaep, h->rsa, copy, h->modulus_len, t.items, t.count, &key);
    if (is_about_blob(rv)) {
        return generate(lease, 256, false, aes);
    }
    struct kw_rv r = kw_lease_check(lease, rv == CKR_OK && key == CK_INVALID_HANDLE ? CKR_DEVICE_ERROR : rv, "C_UnwrapKey");
    if (!kw_ok(r)) {
        return r;
    }
    /* The same number of calls as above; what it says does not matter. */
    (void)lease->call->C_GetAttributeValue(lease->session, key, &a, 1);
    *aes = key;
    return KW_OK;
}
