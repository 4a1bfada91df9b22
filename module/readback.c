#include "readback.h"

#include <string.h>

/* SoftHSM shows CKA_VALUE_LEN 0 for a key that came by C_UnwrapKey, so such a version tells its size in the upper half of the origin
 * byte: 1, 2, 3 for 16, 24, 32 bytes. */
static CK_ULONG told_length(uint8_t origin)
{
    unsigned code = origin >> 4;
    return code >= 1 && code <= 3 ? 8 + 8 * (CK_ULONG)code : 0;
}

bool kw_readback_is_ours(const struct kw_readback *a)
{
    size_t len = a->class == CKO_SECRET_KEY ? KW_CMK_FULL_ID : KW_CMK_RSA_ID;
    return a->id_len == len && memcmp(a->id, "kw", 2) == 0;
}

/* One C_GetAttributeValue; *complete: every attribute came, with its length (CKA_ID: with at most that). */
static struct kw_rv read_all(struct kw_lease *lease, CK_OBJECT_HANDLE key, CK_ATTRIBUTE *t, CK_ULONG count, bool *complete)
{
    enum { MOST = 16 };
    CK_ULONG sizes[MOST];
    for (CK_ULONG i = 0; i < count; i++) {
        sizes[i] = t[i].ulValueLen;
    }
    CK_RV rv = lease->call->C_GetAttributeValue(lease->session, key, t, count);
    if (rv != CKR_OK && rv != CKR_ATTRIBUTE_TYPE_INVALID && rv != CKR_ATTRIBUTE_SENSITIVE && rv != CKR_BUFFER_TOO_SMALL) {
        return kw_lease_check(lease, rv, "C_GetAttributeValue");
    }
    *complete = rv == CKR_OK;
    for (CK_ULONG i = 0; i < count; i++) {
        *complete &= t[i].type == CKA_ID ? t[i].ulValueLen <= sizes[i] : t[i].ulValueLen == sizes[i];
    }
    return KW_OK;
}

static struct kw_rv read_secret(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_readback *out)
{
    CK_ATTRIBUTE t[] = {
        {CKA_CLASS, &out->class, sizeof out->class},
        {CKA_TOKEN, &out->token, sizeof out->token},
        {CKA_PRIVATE, &out->private, sizeof out->private},
        {CKA_SENSITIVE, &out->sensitive, sizeof out->sensitive},
        {CKA_EXTRACTABLE, &out->extractable, sizeof out->extractable},
        {CKA_ENCRYPT, &out->encrypt, sizeof out->encrypt},
        {CKA_DECRYPT, &out->decrypt, sizeof out->decrypt},
        {CKA_SIGN, &out->sign, sizeof out->sign},
        {CKA_VERIFY, &out->verify, sizeof out->verify},
        {CKA_DERIVE, &out->derive, sizeof out->derive},
        {CKA_WRAP, &out->wrap, sizeof out->wrap},
        {CKA_UNWRAP, &out->unwrap, sizeof out->unwrap},
        {CKA_KEY_TYPE, &out->type, sizeof out->type},
        {CKA_VALUE_LEN, &out->len, sizeof out->len},
        {CKA_ID, out->id, sizeof out->id},
    };
    const CK_ULONG count = sizeof t / sizeof t[0];
    struct kw_rv r = read_all(lease, key, t, count, &out->complete);
    out->id_len = kw_ok(r) && out->complete ? t[count - 1].ulValueLen : 0;
    if (kw_ok(r) && t[0].ulValueLen != sizeof out->class) { /* some tokens stop at the first attribute that the object has not */
        CK_ATTRIBUTE class = {CKA_CLASS, &out->class, sizeof out->class};
        r = kw_lease_check(lease, lease->call->C_GetAttributeValue(lease->session, key, &class, 1), "C_GetAttributeValue");
    }
    return r;
}

static struct kw_rv read_private(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_readback *out)
{
    CK_ATTRIBUTE t[] = {
        {CKA_TOKEN, &out->token, sizeof out->token},
        {CKA_PRIVATE, &out->private, sizeof out->private},
        {CKA_SENSITIVE, &out->sensitive, sizeof out->sensitive},
        {CKA_EXTRACTABLE, &out->extractable, sizeof out->extractable},
        {CKA_DECRYPT, &out->decrypt, sizeof out->decrypt},
        {CKA_SIGN, &out->sign, sizeof out->sign},
        {CKA_DERIVE, &out->derive, sizeof out->derive},
        {CKA_UNWRAP, &out->unwrap, sizeof out->unwrap},
        {CKA_KEY_TYPE, &out->type, sizeof out->type},
        {CKA_ID, out->id, sizeof out->id},
    };
    const CK_ULONG count = sizeof t / sizeof t[0];
    struct kw_rv r = read_all(lease, key, t, count, &out->complete);
    out->id_len = kw_ok(r) && out->complete ? t[count - 1].ulValueLen : 0;
    return r;
}

static struct kw_rv read_public(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_readback *out)
{
    CK_ATTRIBUTE t[] = {
        {CKA_TOKEN, &out->token, sizeof out->token},
        {CKA_PRIVATE, &out->private, sizeof out->private},
        {CKA_WRAP, &out->wrap, sizeof out->wrap},
        {CKA_KEY_TYPE, &out->type, sizeof out->type},
        {CKA_ID, out->id, sizeof out->id},
    };
    const CK_ULONG count = sizeof t / sizeof t[0];
    struct kw_rv r = read_all(lease, key, t, count, &out->complete);
    out->id_len = kw_ok(r) && out->complete ? t[count - 1].ulValueLen : 0;
    return r;
}

/* The numbers of an RSA key; of a size that is not ours none, for the judge. */
static struct kw_rv read_numbers(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_readback *out)
{
    if (!out->complete || out->type != CKK_RSA) {
        return KW_OK;
    }
    struct kw_rv r = kw_rsa_read(lease, key, &out->rsa);
    if (!kw_ok(r) && kw_error_class(lease->failure) == KW_CLASS_CALLER) { /* it does not show the modulus */
        lease->failure = CKR_OK;
    }
    return lease->failure == CKR_OK ? KW_OK : r;
}

struct kw_rv kw_readback_read(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_readback *out)
{
    memset(out, 0, sizeof *out);
    struct kw_rv r = read_secret(lease, key, out);
    if (!kw_ok(r)) {
        return r;
    }
    CK_OBJECT_CLASS class = out->class;
    if (class == CKO_PRIVATE_KEY || class == CKO_PUBLIC_KEY) {
        memset(out, 0, sizeof *out);
        out->class = class;
        r = class == CKO_PRIVATE_KEY ? read_private(lease, key, out) : read_public(lease, key, out);
        return kw_ok(r) ? read_numbers(lease, key, out) : r;
    }
    if (class == CKO_SECRET_KEY && out->complete && out->len == 0 && kw_readback_is_ours(out)) {
        out->len = told_length(out->id[16]);
    }
    return KW_OK;
}

const char *kw_readback_judge(const struct kw_readback *a)
{
    bool rsa = a->class == CKO_PRIVATE_KEY;
    if (!a->complete) {
        return "the token does not show all its attributes, or its CKA_ID is longer than 64 bytes";
    }
    if (!a->token) {
        return "it is a session object: somebody planted it";
    }
    if (!a->private) {
        return "CKA_PRIVATE is false: anybody can use it without a PIN";
    }
    if (!a->sensitive || a->extractable) {
        return "CKA_SENSITIVE is false or CKA_EXTRACTABLE is true: its value may leave the token";
    }
    if (a->encrypt || a->decrypt || a->sign || a->verify || a->derive) {
        return "it has another usage than CKA_WRAP and CKA_UNWRAP";
    }
    if (a->wrap && !a->unwrap) {
        return "it may wrap but not unwrap";
    }
    if (rsa && (a->type != CKK_RSA || !kw_rsa_size(a->rsa.modulus_len))) {
        return "it is no RSA key of 2048, 3072 or 4096 bits";
    }
    if (!rsa && (a->type != CKK_AES || (a->len != 16 && a->len != 24 && a->len != 32))) {
        return "it is no AES key of 128, 192 or 256 bits";
    }
    return NULL;
}
