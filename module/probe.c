#include "probe.h"

#include <string.h>

#include "canary.h"
#include "clock.h"
#include "log.h"
#include "template.h"

enum { NO_MS = 1000 /* how long a no of OAEP is believed */ };

/* RFC 3394 section 4.6: 256 bits of key data under a 256-bit KEK. */
static const uint8_t kw_kek[32] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a,
                                   0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15,
                                   0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f};
static const uint8_t kw_plain[32] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa,
                                     0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05,
                                     0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f};
static const uint8_t kw_wrapped[40] = {0x28, 0xc9, 0xf4, 0x04, 0xc4, 0xb8, 0x10, 0xf4, 0xcb, 0xcc, 0xb3, 0x5c, 0xfb, 0x87,
                                       0xf8, 0x26, 0x3f, 0x57, 0x86, 0xe2, 0xd8, 0x0e, 0xd3, 0x26, 0xcb, 0xc7, 0xf0, 0xe7,
                                       0x1a, 0x99, 0xf4, 0x3b, 0xfb, 0x98, 0x8b, 0x9b, 0x7a, 0x02, 0xdd, 0x21};

/* RFC 5649 section 6: 20 octets under a 192-bit KEK, and (computed with OpenSSL, checked by a test) 32 octets under the KEK above. */
static const uint8_t kwp_kek[24] = {0x58, 0x40, 0xdf, 0x6e, 0x29, 0xb0, 0x2a, 0xf1, 0xab, 0x49, 0x3b, 0x70,
                                    0x5b, 0xf1, 0x6e, 0xa1, 0xae, 0x83, 0x38, 0xf4, 0xdc, 0xc1, 0x76, 0xa8};
static const uint8_t kwp_plain[20] = {0xc3, 0x7b, 0x7e, 0x64, 0x92, 0x58, 0x43, 0x40, 0xbe, 0xd1,
                                      0x22, 0x07, 0x80, 0x89, 0x41, 0x15, 0x50, 0x68, 0xf7, 0x38};
static const uint8_t kwp_wrapped[32] = {0x13, 0x8b, 0xde, 0xaa, 0x9b, 0x8f, 0xa7, 0xfc, 0x61, 0xf9, 0x77,
                                        0x42, 0xe7, 0x22, 0x48, 0xee, 0x5a, 0xe6, 0xae, 0x53, 0x60, 0xd1,
                                        0xae, 0x6a, 0x5f, 0x54, 0xf3, 0x73, 0xfa, 0x54, 0x3b, 0x6a};
static const uint8_t kwp_wrapped32[40] = {
    0x4a, 0x80, 0x29, 0x24, 0x30, 0x27, 0x35, 0x3b, 0x06, 0x94, 0xcf, 0x1b, 0xd8, 0xfc,
    0x74, 0x5b, 0xb0, 0xce, 0x8a, 0x73, 0x9b, 0x19, 0xb1, 0x96, 0x0b, 0x12, 0x42, 0x6d,
    0x4c, 0x39, 0xcf, 0xed, 0xa9, 0x26, 0xd1, 0x03, 0xab, 0x34, 0xe9, 0xf6};

struct vector {
    const uint8_t *kek;
    size_t kek_len;
    const uint8_t *plain;
    size_t plain_len;
    const uint8_t *wrapped; /* NULL: not known */
    size_t wrapped_len;
};

static const struct vector kw_vector = {kw_kek, sizeof kw_kek, kw_plain, sizeof kw_plain, kw_wrapped, sizeof kw_wrapped};
static const struct vector kwp_even = {kw_kek, sizeof kw_kek, kw_plain, sizeof kw_plain, kwp_wrapped32, sizeof kwp_wrapped32};
static const struct vector kwp_odd = {kwp_kek, sizeof kwp_kek, kwp_plain, sizeof kwp_plain, kwp_wrapped, sizeof kwp_wrapped};

static CK_RV create(struct kw_lease *lease, CK_KEY_TYPE type, const uint8_t *value, size_t len, CK_OBJECT_HANDLE *out)
{
    struct kw_template t = {0};
    kw_template_session(&t, type, type == CKK_AES ? KW_MAY_BE_READ | KW_MAY_WRAP | KW_MAY_UNWRAP : KW_MAY_BE_READ | KW_MAY_LEAVE);
    kw_template_bytes(&t, CKA_VALUE, value, len);
    return lease->call->C_CreateObject(lease->session, t.items, t.count, out);
}

/* A key wrapped under a throw-away key, to be opened again. */
struct sample {
    CK_MECHANISM mechanism;
    CK_OBJECT_HANDLE kek;
    CK_BYTE blob[KW_DEK_LENGTH_MAX + 64];
    CK_ULONG len;
};

static bool is_expected(const struct vector *v, const struct sample *s)
{
    return v->wrapped == NULL ? s->len <= sizeof s->blob : s->len == v->wrapped_len && memcmp(s->blob, v->wrapped, s->len) == 0;
}

/* Opens the sample and asks for the size of what was in it. */
static CK_RV open_again(struct kw_lease *lease, struct sample *s, size_t *got)
{
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_ATTRIBUTE a = {CKA_VALUE, NULL, 0};
    struct kw_template t = {0};
    kw_template_session(&t, CKK_GENERIC_SECRET, KW_MAY_BE_READ | KW_MAY_LEAVE);
    CK_RV rv = lease->call->C_UnwrapKey(lease->session, &s->mechanism, s->kek, s->blob, s->len, t.items, t.count, &key);
    if (rv == CKR_OK) {
        rv = lease->call->C_GetAttributeValue(lease->session, key, &a, 1);
        (void)lease->call->C_DestroyObject(lease->session, key);
        *got = a.ulValueLen;
    }
    return rv;
}

/* Wraps the vector's plain text under its KEK and, if that gives what it should, opens it again. CKR_OK and whether it came back whole, or
 * what the token said. */
static CK_RV try_vector(struct kw_lease *lease, CK_MECHANISM_TYPE type, const struct vector *v, bool *whole)
{
    struct sample s = {.mechanism = {type, NULL, 0}, .kek = CK_INVALID_HANDLE, .len = sizeof s.blob};
    CK_OBJECT_HANDLE plain = CK_INVALID_HANDLE;
    size_t got = 0;
    *whole = false;
    CK_RV rv = create(lease, CKK_AES, v->kek, v->kek_len, &s.kek);
    if (rv == CKR_OK) {
        rv = create(lease, CKK_GENERIC_SECRET, v->plain, v->plain_len, &plain);
    }
    if (rv == CKR_OK) {
        rv = lease->call->C_WrapKey(lease->session, &s.mechanism, s.kek, plain, s.blob, &s.len);
        (void)lease->call->C_DestroyObject(lease->session, plain);
    }
    if (rv == CKR_OK && is_expected(v, &s)) {
        rv = open_again(lease, &s, &got);
        *whole = rv == CKR_OK && got == v->plain_len;
    }
    if (s.kek != CK_INVALID_HANDLE) {
        (void)lease->call->C_DestroyObject(lease->session, s.kek);
    }
    return rv;
}

/* A token that is ill, or may be, proves nothing: its answer goes up. Any other refusal means that the mechanism does not do it. */
static bool is_outage(CK_RV rv)
{
    return kw_error_is_trouble(rv) || kw_error_class(rv) == KW_CLASS_AMBIGUOUS;
}

static struct kw_rv proves(struct kw_lease *lease, CK_MECHANISM_TYPE type, const struct vector *v, bool *same)
{
    CK_RV rv = try_vector(lease, type, v, same);
    return is_outage(rv) ? kw_lease_check(lease, rv, "C_WrapKey") : KW_OK;
}

/* Some tokens wrap a longer key than they open: the longest of a few lengths that comes back. None: the mechanism is of no use. */
static struct kw_rv measure(struct kw_lease *lease, struct kw_proof *p)
{
    static const uint8_t zeros[KW_DEK_LENGTH_MAX];
    static const size_t lengths[] = {KW_DEK_LENGTH_MAX, 256, 128, 64, 32};
    CK_RV rv = CKR_OK;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        const struct vector v = {.kek = kw_kek, .kek_len = sizeof kw_kek, .plain = zeros, .plain_len = lengths[i]};
        bool whole = false;
        rv = try_vector(lease, p->mechanism, &v, &whole);
        enum kw_class class = kw_error_class(rv);
        if (whole) {
            p->most = lengths[i];
            p->measured = true;
            return KW_OK;
        }
        if (class != KW_CLASS_OK && class != KW_CLASS_CALLER && class != KW_CLASS_REFUSED && class != KW_CLASS_AMBIGUOUS) {
            break;
        }
    }
    p->mechanism = CK_UNAVAILABLE_INFORMATION;
    return is_outage(rv) ? kw_lease_check(lease, rv, "C_UnwrapKey") : KW_OK;
}

static struct kw_rv prove_kw(struct kw_lease *lease, struct kw_proof *p)
{
    bool same = false;
    struct kw_rv r = proves(lease, CKM_AES_KEY_WRAP, &kw_vector, &same);
    *p = (struct kw_proof){.mechanism = CK_UNAVAILABLE_INFORMATION};
    if (kw_ok(r) && same) {
        p->mechanism = CKM_AES_KEY_WRAP;
        p->most = kw_vector.plain_len;
    }
    p->tried = kw_ok(r);
    return r;
}

static struct kw_rv prove_kwp(struct kw_lease *lease, struct kw_proof *p)
{
    static const CK_MECHANISM_TYPE candidates[] = {CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD};
    *p = (struct kw_proof){.mechanism = CK_UNAVAILABLE_INFORMATION};
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
        bool even = false;
        bool odd = false;
        struct kw_rv r = proves(lease, candidates[i], &kwp_even, &even);
        if (kw_ok(r) && even) {
            r = proves(lease, candidates[i], &kwp_odd, &odd);
        }
        if (!kw_ok(r)) {
            return r;
        }
        if (even) {
            p->mechanism = candidates[i];
            p->any_length = odd;
            p->most = kwp_even.plain_len;
            break;
        }
    }
    p->tried = true;
    return KW_OK;
}

static bool lists(struct kw_lease *lease, CK_MECHANISM_TYPE type)
{
    CK_MECHANISM_INFO info;
    return lease->call->C_GetMechanismInfo(kw_lease_slot(lease), type, &info) == CKR_OK && (info.flags & CKF_WRAP) != 0;
}

/* A token may stumble once: that it does not do what it lists is believed for this call only. */
static bool is_final(struct kw_lease *lease, enum kw_format format, const struct kw_proof *p)
{
    const struct kw_proof *kept = format == KW_FORMAT_KW ? &lease->profile.kw : &lease->profile.kwp;
    return p->mechanism != CK_UNAVAILABLE_INFORMATION || (!kept->tried && !kw_probe_offers(lease, format));
}

/* Whether what is known of the mechanism is enough for a data key of this length. */
static bool is_known(const struct kw_proof *p, size_t length)
{
    return p->tried && (length <= p->most || p->measured || p->mechanism == CK_UNAVAILABLE_INFORMATION);
}

struct kw_rv kw_probe(struct kw_lease *lease, enum kw_format format, size_t length, struct kw_proof *out)
{
    struct kw_proof *p = format == KW_FORMAT_KW ? &lease->profile.kw : &lease->profile.kwp;
    struct kw_rv r = KW_OK;
    if (!is_known(p, length)) {
        struct kw_proof found = *p;
        if (!found.tried) {
            r = format == KW_FORMAT_KW ? prove_kw(lease, &found) : prove_kwp(lease, &found);
        }
        if (kw_ok(r) && !is_known(&found, length)) {
            r = measure(lease, &found);
        }
        if (kw_ok(r) && is_final(lease, format, &found)) {
            kw_lease_see_profile(lease); /* the other one may be known by now */
            *p = found;
            kw_lease_keep_profile(lease);
        }
        *out = kw_ok(r) ? found : *out;
    } else {
        *out = *p;
    }
    return r;
}

CK_MECHANISM_TYPE kw_probe_hash(size_t i)
{
    static const CK_MECHANISM_TYPE hashes[KW_OAEP_HASHES] = {CKM_SHA_1, CKM_SHA256, CKM_SHA384, CKM_SHA512};
    return hashes[i < KW_OAEP_HASHES ? i : 0];
}

/* A token may stumble once: that it does not do a hash is believed for a while, and only of a token that does another one. */
static bool is_settled(const struct kw_profile *profile, size_t i)
{
    bool does_any = false;
    for (size_t k = 0; k < KW_OAEP_HASHES; k++) {
        does_any |= profile->oaep[k].tried && profile->oaep[k].mechanism != CK_UNAVAILABLE_INFORMATION;
    }
    const struct kw_proof *p = &profile->oaep[i];
    return p->tried && (p->mechanism != CK_UNAVAILABLE_INFORMATION || (does_any && !kw_clock_is_past(&p->again)));
}

struct kw_rv kw_probe_oaep(struct kw_lease *lease, CK_OBJECT_HANDLE private_key, CK_MECHANISM_TYPE hash, bool *does)
{
    size_t i = 0;
    while (i < KW_OAEP_HASHES - 1 && kw_probe_hash(i) != hash) {
        i++;
    }
    if (is_settled(&lease->profile, i)) {
        *does = lease->profile.oaep[i].mechanism != CK_UNAVAILABLE_INFORMATION;
        return KW_OK;
    }
    struct kw_rv r = kw_canary_opens(lease, private_key, hash, does);
    bool unknown = !kw_ok(r) && kw_error_class(lease->failure) == KW_CLASS_CALLER; /* the token does not know the hash */
    if (unknown) {
        lease->failure = CKR_OK;
        *does = false;
        r = KW_OK;
    }
    if (kw_ok(r) && (*does || unknown)) {
        kw_lease_see_profile(lease);
        lease->profile.oaep[i] = (struct kw_proof){
            .tried = true, .mechanism = *does ? CKM_RSA_PKCS_OAEP : CK_UNAVAILABLE_INFORMATION, .any_length = *does, .most = KW_DEK_LENGTH_MAX,
            .again = kw_clock_in(NO_MS)};
        kw_lease_keep_profile(lease);
    }
    return r;
}

bool kw_probe_offers(struct kw_lease *lease, enum kw_format format)
{
    if (format == KW_FORMAT_OAEP) {
        return lists(lease, CKM_RSA_PKCS_OAEP);
    }
    const struct kw_proof *p = format == KW_FORMAT_KW ? &lease->profile.kw : &lease->profile.kwp;
    if (p->tried) {
        return p->mechanism != CK_UNAVAILABLE_INFORMATION;
    }
    if (format == KW_FORMAT_KW) {
        return lists(lease, CKM_AES_KEY_WRAP);
    }
    return lists(lease, CKM_AES_KEY_WRAP_KWP) || lists(lease, CKM_AES_KEY_WRAP_PAD);
}

bool kw_probe_reuses_handles(struct kw_lease *lease)
{
    if (lease->profile.tried_handles) {
        return lease->profile.reuses_handles;
    }
    CK_OBJECT_HANDLE handle[2] = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    for (size_t i = 0; i < 2; i++) {
        if (create(lease, CKK_GENERIC_SECRET, kw_plain, sizeof kw_plain, &handle[i]) != CKR_OK ||
            lease->call->C_DestroyObject(lease->session, handle[i]) != CKR_OK) {
            return true;
        }
    }
    kw_lease_see_profile(lease);
    lease->profile.tried_handles = true;
    lease->profile.reuses_handles = handle[0] == handle[1];
    kw_lease_keep_profile(lease);
    return lease->profile.reuses_handles;
}
