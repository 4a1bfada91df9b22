#include "recipe.h"

#include "rsa.h"

static struct kw_rv aes(struct kw_lease *lease, enum kw_format format, size_t length, struct kw_proof *proof)
{
    struct kw_rv r = kw_probe(lease, format, length, proof);
    if (kw_ok(r) && proof->mechanism == CK_UNAVAILABLE_INFORMATION) {
        r = KW_FAIL(CKR_MECHANISM_INVALID, "the backing token is not proven to do this mechanism");
    }
    return r;
}

static struct kw_rv oaep(struct kw_lease *lease, CK_MECHANISM_TYPE hash, CK_OBJECT_HANDLE key)
{
    bool does = false;
    struct kw_rv r = kw_probe_oaep(lease, key, hash, &does);
    if (kw_ok(r) && !does) {
        r = KW_FAIL(CKR_MECHANISM_PARAM_INVALID, "the backing token is not proven to do OAEP with this hash");
    }
    return r;
}

struct kw_rv kw_recipe_prepare(struct kw_lease *lease, const struct kw_scheme *scheme, const struct kw_recipe_use *use, struct kw_recipe *out)
{
    bool rsa = scheme->format == KW_FORMAT_OAEP || scheme->format == KW_FORMAT_RSA_AES;
    struct kw_proof proof = {.mechanism = CK_UNAVAILABLE_INFORMATION, .any_length = true, .most = KW_DEK_LENGTH_MAX};
    struct kw_rv r = rsa ? oaep(lease, scheme->hash, use->key) : KW_OK;
    if (kw_ok(r) && scheme->format != KW_FORMAT_OAEP) {
        r = aes(lease, scheme->format == KW_FORMAT_KW ? KW_FORMAT_KW : KW_FORMAT_KWP, use->length, &proof);
    }
    if (!kw_ok(r)) {
        return r;
    }
    out->most = proof.most;
    out->any_length = proof.any_length;
    out->inner = (CK_MECHANISM){proof.mechanism, NULL, 0};
    out->mechanism = rsa ? kw_rsa_oaep(scheme->hash, &out->oaep) : out->inner;
    return KW_OK;
}
