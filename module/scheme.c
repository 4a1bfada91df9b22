#include "scheme.h"

#include "envelope.h"

enum { SEMIBLOCK = 8, KWP_LEAST = 16, KW_LEAST = 24 };

bool kw_scheme_fits(const struct kw_scheme *s, CK_KEY_TYPE cmk_type)
{
    switch (s->format) {
    case KW_FORMAT_KW:
    case KW_FORMAT_KWP:
        return cmk_type == CKK_AES;
    case KW_FORMAT_OAEP:
    case KW_FORMAT_RSA_AES:
        return cmk_type == CKK_RSA;
    default:
        return cmk_type == CKK_AES || cmk_type == CKK_RSA;
    }
}

size_t kw_scheme_hash_len(CK_MECHANISM_TYPE hash)
{
    switch (hash) {
    case CKM_SHA_1:
        return 20;
    case CKM_SHA256:
        return 32;
    case CKM_SHA384:
        return 48;
    case CKM_SHA512:
        return 64;
    default:
        return 0;
    }
}

/* What OAEP can hold under a modulus of k bytes; 0: nothing. */
static size_t oaep_most(CK_MECHANISM_TYPE hash, size_t k)
{
    size_t overhead = 2 * kw_scheme_hash_len(hash) + 2;
    return overhead > 2 && k > overhead ? k - overhead : 0;
}

static size_t kwp_len(size_t len)
{
    return (len + SEMIBLOCK - 1) / SEMIBLOCK * SEMIBLOCK + SEMIBLOCK;
}

size_t kw_scheme_blob_len(const struct kw_scheme *s, unsigned cmk_bits, size_t len)
{
    size_t k = cmk_bits / 8;
    if (len == 0 || len > KW_DEK_LENGTH_MAX) {
        return 0;
    }
    switch (s->format) {
    case KW_FORMAT_KW:
        return len >= 2 * SEMIBLOCK && len % SEMIBLOCK == 0 ? len + SEMIBLOCK : 0;
    case KW_FORMAT_KWP:
        return kwp_len(len);
    case KW_FORMAT_OAEP:
        return len <= oaep_most(s->hash, k) ? k : 0;
    case KW_FORMAT_RSA_AES:
        return oaep_most(s->hash, k) >= s->aes_bits / 8 ? k + kwp_len(len) : 0;
    default:
        return k >= 2048 / 8 ? kw_envelope_len(KW_ENVELOPE_OAEP_SHA256, k, len) : kw_envelope_len(KW_ENVELOPE_AES_KW, KW_ENVELOPE_AES_WRAPPED, len);
    }
}

static bool kwp_range(size_t blob_len, struct kw_scheme_range *out)
{
    if (blob_len < KWP_LEAST || blob_len % SEMIBLOCK != 0 || blob_len > kwp_len(KW_DEK_LENGTH_MAX)) {
        return false;
    }
    *out = (struct kw_scheme_range){blob_len - 2 * SEMIBLOCK + 1, blob_len - SEMIBLOCK};
    return true;
}

bool kw_scheme_range(const struct kw_scheme *s, unsigned cmk_bits, size_t blob_len, struct kw_scheme_range *out)
{
    size_t k = cmk_bits / 8;
    switch (s->format) {
    case KW_FORMAT_KW:
        if (blob_len < KW_LEAST || !kwp_range(blob_len, out)) {
            return false;
        }
        out->least = out->most;
        return true;
    case KW_FORMAT_KWP:
        return kwp_range(blob_len, out);
    case KW_FORMAT_OAEP:
        *out = (struct kw_scheme_range){1, oaep_most(s->hash, k)};
        return blob_len == k && out->most > 0;
    case KW_FORMAT_RSA_AES:
        return blob_len > k && kwp_range(blob_len - k, out);
    default: /* an envelope may be under a version of another size: it says itself what it holds */
        return false;
    }
}
