#include "readback.h"

#include <stddef.h>
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

/* Where an attribute goes. */
struct field {
    CK_ATTRIBUTE_TYPE type;
    size_t at;
    size_t size;
};
#define FIELD(type, member) {type, offsetof(struct kw_readback, member), sizeof((struct kw_readback *)NULL)->member}

static const struct field secret_fields[] = {
    FIELD(CKA_CLASS, class),       FIELD(CKA_TOKEN, token),     FIELD(CKA_PRIVATE, private), FIELD(CKA_SENSITIVE, sensitive),
    FIELD(CKA_EXTRACTABLE, extractable), FIELD(CKA_ENCRYPT, encrypt), FIELD(CKA_DECRYPT, decrypt), FIELD(CKA_SIGN, sign),
    FIELD(CKA_VERIFY, verify),     FIELD(CKA_DERIVE, derive),   FIELD(CKA_WRAP, wrap),       FIELD(CKA_UNWRAP, unwrap),
    FIELD(CKA_KEY_TYPE, type),     FIELD(CKA_VALUE_LEN, len),   FIELD(CKA_ID, id),
};
static const struct field private_fields[] = {
    FIELD(CKA_CLASS, class),     FIELD(CKA_TOKEN, token), FIELD(CKA_PRIVATE, private), FIELD(CKA_SENSITIVE, sensitive),
    FIELD(CKA_EXTRACTABLE, extractable), FIELD(CKA_DECRYPT, decrypt), FIELD(CKA_SIGN, sign), FIELD(CKA_DERIVE, derive),
    FIELD(CKA_UNWRAP, unwrap),   FIELD(CKA_KEY_TYPE, type), FIELD(CKA_ID, id),
};
static const struct field public_fields[] = {
    FIELD(CKA_CLASS, class), FIELD(CKA_TOKEN, token),   FIELD(CKA_PRIVATE, private),
    FIELD(CKA_WRAP, wrap),   FIELD(CKA_KEY_TYPE, type), FIELD(CKA_ID, id),
};
#define COUNT(fields) (sizeof(fields) / sizeof(fields)[0])

/* One C_GetAttributeValue. out->complete: every attribute came, with its length (CKA_ID, the last field: with at most that). */
static struct kw_rv read_fields(struct kw_lease *lease, CK_OBJECT_HANDLE key, const struct field *fields, size_t count, struct kw_readback *out)
{
    CK_ATTRIBUTE t[COUNT(secret_fields)];
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < count; i++) {
        t[i] = (CK_ATTRIBUTE){fields[i].type, (uint8_t *)out + fields[i].at, fields[i].size};
    }
    CK_RV rv = lease->call->C_GetAttributeValue(lease->session, key, t, count);
    if (rv != CKR_OK && rv != CKR_ATTRIBUTE_TYPE_INVALID && rv != CKR_ATTRIBUTE_SENSITIVE && rv != CKR_BUFFER_TOO_SMALL) {
        return kw_lease_check(lease, rv, "C_GetAttributeValue");
    }
    out->complete = rv == CKR_OK;
    for (size_t i = 0; i < count; i++) {
        out->complete &= t[i].type == CKA_ID ? t[i].ulValueLen <= fields[i].size : t[i].ulValueLen == fields[i].size;
    }
    out->id_len = out->complete ? t[count - 1].ulValueLen : 0;
    if (t[0].ulValueLen != sizeof out->class) { /* some tokens stop at the first attribute that the object has not */
        CK_ATTRIBUTE class = {CKA_CLASS, &out->class, sizeof out->class};
        rv = lease->call->C_GetAttributeValue(lease->session, key, &class, 1);
        return kw_lease_check(lease, rv, "C_GetAttributeValue");
    }
    return KW_OK;
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
    struct kw_rv r = read_fields(lease, key, secret_fields, COUNT(secret_fields), out);
    const CK_OBJECT_CLASS class = out->class;
    if (kw_ok(r) && class == CKO_PRIVATE_KEY) {
        r = read_fields(lease, key, private_fields, COUNT(private_fields), out);
    } else if (kw_ok(r) && class == CKO_PUBLIC_KEY) {
        r = read_fields(lease, key, public_fields, COUNT(public_fields), out);
    }
    if (!kw_ok(r)) {
        return r;
    }
    if (class == CKO_PRIVATE_KEY || class == CKO_PUBLIC_KEY) {
        return read_numbers(lease, key, out);
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
