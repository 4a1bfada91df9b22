#include "capability.h"

#include <string.h>
#include <sys/random.h>

#include "key.h"
#include "log.h"
#include "template.h"

/* PKCS#11 2.40, section 2.15: derives a key by encrypting data that the caller knows. */
#ifndef CKM_AES_ECB_ENCRYPT_DATA
#define CKM_AES_ECB_ENCRYPT_DATA 0x00001104UL
#endif

enum { ROOM = 1024, MODULUS = 256 /* bytes of the RSA key that a key is wrapped to */ };

/* What the answer to a forbidden call tells. One that the token does not know at all tells nothing. */
static struct kw_rv judge(struct kw_lease *lease, CK_RV rv, const char *name, enum kw_finding *found)
{
    if (kw_error_is_trouble(rv)) { /* an ill token proves nothing */
        return kw_lease_check(lease, rv, name);
    }
    bool unknown = rv == CKR_MECHANISM_INVALID || rv == CKR_MECHANISM_PARAM_INVALID || rv == CKR_FUNCTION_NOT_SUPPORTED;
    *found = rv == CKR_OK ? KW_FINDING_BROKEN : unknown ? KW_FINDING_NONE : KW_FINDING_KEPT;
    return KW_OK;
}

/* A session key as a CMK is one: it may wrap and unwrap and nothing else, and never leaves. */
static void secret_template(struct kw_template *t)
{
    kw_template_session(t, CKK_AES, KW_MAY_WRAP | KW_MAY_UNWRAP);
    kw_template_ulong(t, CKA_VALUE_LEN, 32);
}

static CK_RV generate(struct kw_lease *lease, struct kw_template *t, CK_OBJECT_HANDLE *key)
{
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    return lease->call->C_GenerateKey(lease->session, &mechanism, t->items, t->count, key);
}

static void destroy(struct kw_lease *lease, CK_OBJECT_HANDLE key)
{
    if (key != CK_INVALID_HANDLE) {
        (void)lease->call->C_DestroyObject(lease->session, key);
    }
}

/* Asks for the key wrapped to `kek`. What is given out is the value of a throw-away key; it is not looked at. */
static struct kw_rv try_wrap(struct kw_lease *lease, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE kek, CK_OBJECT_HANDLE key,
                             enum kw_finding *found)
{
    CK_BYTE out[ROOM];
    CK_ULONG len = sizeof out;
    return judge(lease, lease->call->C_WrapKey(lease->session, mechanism, kek, key, out, &len), "C_WrapKey", found);
}

/* The public half of an RSA key that nobody has. */
static CK_RV make_public(struct kw_lease *lease, CK_OBJECT_HANDLE *key)
{
    static const uint8_t exponent[] = {1, 0, 1};
    uint8_t modulus[MODULUS];
    struct kw_template t = {0};
    if (getrandom(modulus, sizeof modulus, 0) != (ssize_t)sizeof modulus) {
        return CKR_HOST_MEMORY;
    }
    modulus[0] |= 0x80;
    modulus[MODULUS - 1] |= 1;
    kw_template_ulong(&t, CKA_CLASS, CKO_PUBLIC_KEY);
    kw_template_ulong(&t, CKA_KEY_TYPE, CKK_RSA);
    kw_template_bool(&t, CKA_TOKEN, 0);
    kw_template_bool(&t, CKA_WRAP, 1);
    kw_template_bytes(&t, CKA_MODULUS, modulus, sizeof modulus);
    kw_template_bytes(&t, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent);
    return lease->call->C_CreateObject(lease->session, t.items, t.count, key);
}

/* Under a second key like it by RFC 3394, or, where the token does not know that, to an RSA key. */
static struct kw_rv try_extractable_elsewhere(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_capability *c)
{
    CK_MECHANISM key_wrap = {CKM_AES_KEY_WRAP, NULL, 0};
    CK_RSA_PKCS_OAEP_PARAMS sha1 = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
    CK_MECHANISM oaep = {CKM_RSA_PKCS_OAEP, &sha1, sizeof sha1};
    CK_OBJECT_HANDLE kek = CK_INVALID_HANDLE;
    struct kw_template t = {0};
    secret_template(&t);
    struct kw_rv r = kw_lease_check(lease, generate(lease, &t, &kek), "C_GenerateKey");
    if (!kw_ok(r)) {
        return r;
    }
    r = try_wrap(lease, &key_wrap, kek, key, &c->extractable);
    destroy(lease, kek);
    kek = CK_INVALID_HANDLE;
    if (kw_ok(r) && c->extractable == KW_FINDING_NONE && make_public(lease, &kek) == CKR_OK) {
        r = try_wrap(lease, &oaep, kek, key, &c->extractable);
        destroy(lease, kek);
    }
    return r;
}

/* Under itself: a token that says that the key is not extractable has said enough. */
static struct kw_rv try_extractable(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_capability *c)
{
    CK_MECHANISM key_wrap = {CKM_AES_KEY_WRAP, NULL, 0};
    CK_BYTE out[ROOM];
    CK_ULONG len = sizeof out;
    CK_RV rv = lease->call->C_WrapKey(lease->session, &key_wrap, key, key, out, &len);
    return rv == CKR_KEY_UNEXTRACTABLE ? judge(lease, rv, "C_WrapKey", &c->extractable) : try_extractable_elsewhere(lease, key, c);
}

static struct kw_rv try_sensitive(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_capability *c)
{
    CK_BYTE value[32];
    CK_ATTRIBUTE a = {CKA_VALUE, value, sizeof value};
    CK_RV rv = lease->call->C_GetAttributeValue(lease->session, key, &a, 1);
    if (rv == CKR_OK && (a.ulValueLen == 0 || a.ulValueLen == CK_UNAVAILABLE_INFORMATION)) {
        rv = CKR_ATTRIBUTE_SENSITIVE; /* nothing was given */
    }
    return judge(lease, rv, "C_GetAttributeValue", &c->sensitive);
}

/* A key that may only wrap is asked to encrypt. */
static struct kw_rv try_usage(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_capability *c)
{
    CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
    CK_BYTE in[16] = {0};
    CK_BYTE out[64];
    CK_ULONG len = sizeof out;
    CK_RV rv = lease->call->C_EncryptInit == NULL || lease->call->C_Encrypt == NULL
                   ? CKR_FUNCTION_NOT_SUPPORTED
                   : lease->call->C_EncryptInit(lease->session, &ecb, key);
    if (rv == CKR_OK) {
        rv = lease->call->C_Encrypt(lease->session, in, sizeof in, out, &len);
    }
    return judge(lease, rv, "C_Encrypt", &c->usage);
}

static struct kw_rv find_out(struct kw_lease *lease, struct kw_capability *c)
{
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    struct kw_template t = {0};
    secret_template(&t);
    CK_RV rv = generate(lease, &t, &key);
    if (kw_error_class(rv) == KW_CLASS_CALLER || kw_error_class(rv) == KW_CLASS_REFUSED) {
        return KW_OK; /* it makes no such session key: nothing can be found out */
    }
    struct kw_rv r = kw_lease_check(lease, rv, "C_GenerateKey");
    if (!kw_ok(r)) {
        return r;
    }
    r = try_extractable(lease, key, c);
    if (kw_ok(r)) {
        r = try_sensitive(lease, key, c);
    }
    if (kw_ok(r)) {
        r = try_usage(lease, key, c);
    }
    destroy(lease, key);
    return r;
}

static struct kw_rv weakness(const struct kw_capability *c)
{
    if (c->sensitive == KW_FINDING_BROKEN) {
        return KW_FAIL(CKR_FUNCTION_FAILED,
                       "it gives out the value of a key whose CKA_SENSITIVE is true: whoever has its PIN can read the CMK");
    }
    if (c->extractable == KW_FINDING_BROKEN) {
        return KW_FAIL(CKR_FUNCTION_FAILED,
                       "it wraps a key out whose CKA_EXTRACTABLE is false: whoever has its PIN can take the CMK");
    }
    if (c->usage == KW_FINDING_BROKEN) {
        return KW_FAIL(CKR_FUNCTION_FAILED,
                       "it encrypts with a key that may only wrap: whoever has its PIN can use the CMK past Keyward");
    }
    return KW_OK;
}

const char *kw_capability_weakness(const struct kw_capability *c)
{
    struct kw_rv r = weakness(c);
    return kw_ok(r) ? NULL : strstr(r.why, ": ") + 2;
}

/* That a token is one at all is not for the operator to waive. */
static bool is_accepted(const struct kw_lease *lease, const struct kw_capability *c)
{
    return kw_backing_config(lease->backing)->accepts_weak && c->sensitive != KW_FINDING_BROKEN;
}

static void report(const struct kw_lease *lease, const struct kw_capability *c)
{
    const char *why = kw_capability_weakness(c);
    bool accepted = is_accepted(lease, c);
    if (why != NULL) {
        kw_log(accepted ? KW_LOG_INFO : KW_LOG_ERROR, "token %s: %s; %s", kw_backing_config(lease->backing)->name, why,
               accepted ? "accepted by accept-weak-token" : "it is not used, see `keyward check`");
    }
}

struct kw_rv kw_capability(struct kw_lease *lease, struct kw_capability *out)
{
    if (!lease->profile.capability.tried) {
        struct kw_capability found = {.tried = true};
        struct kw_rv r = find_out(lease, &found);
        if (!kw_ok(r)) {
            return r;
        }
        kw_lease_see_profile(lease); /* the rest may be known by now */
        lease->profile.capability = found;
        kw_lease_keep_profile(lease);
        report(lease, &found);
    }
    *out = lease->profile.capability;
    return KW_OK;
}

struct kw_rv kw_capability_require(struct kw_lease *lease)
{
    struct kw_capability c;
    struct kw_rv r = kw_capability(lease, &c);
    if (!kw_ok(r)) {
        return r;
    }
    return is_accepted(lease, &c) ? KW_OK : weakness(&c);
}

/* Whether a key with one more attribute can be made. */
static bool takes(struct kw_lease *lease, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    struct kw_template t = {0};
    secret_template(&t);
    kw_template_bytes(&t, type, value, len);
    CK_RV rv = generate(lease, &t, &key);
    destroy(lease, key);
    return rv == CKR_OK;
}

static bool takes_generic(struct kw_lease *lease, size_t len)
{
    static const uint8_t value[KW_DEK_LENGTH_MAX] = {1};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    struct kw_template t = {0};
    kw_template_session(&t, CKK_GENERIC_SECRET, KW_MAY_BE_READ | KW_MAY_LEAVE);
    kw_template_bytes(&t, CKA_VALUE, value, len);
    CK_RV rv = lease->call->C_CreateObject(lease->session, t.items, t.count, &key);
    destroy(lease, key);
    return rv == CKR_OK;
}

/* A key that may only wrap is asked to derive, which encrypts too. */
static struct kw_rv try_derive(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_limits *l)
{
    CK_BYTE data[32] = {0};
    struct {
        CK_BYTE *data;
        CK_ULONG len;
    } parameter = {data, sizeof data}; /* CK_KEY_DERIVATION_STRING_DATA */
    CK_MECHANISM mechanism = {CKM_AES_ECB_ENCRYPT_DATA, &parameter, sizeof parameter};
    CK_OBJECT_HANDLE derived = CK_INVALID_HANDLE;
    struct kw_template t = {0};
    secret_template(&t);
    CK_RV rv = lease->call->C_DeriveKey == NULL
                   ? CKR_FUNCTION_NOT_SUPPORTED
                   : lease->call->C_DeriveKey(lease->session, &mechanism, key, t.items, t.count, &derived);
    destroy(lease, derived);
    return judge(lease, rv, "C_DeriveKey", &l->derive);
}

static struct kw_rv find_derive(struct kw_lease *lease, struct kw_limits *l)
{
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    struct kw_template t = {0};
    secret_template(&t);
    if (generate(lease, &t, &key) != CKR_OK) {
        return KW_OK;
    }
    struct kw_rv r = try_derive(lease, key, l);
    destroy(lease, key);
    return r;
}

struct kw_rv kw_capability_limits(struct kw_lease *lease, struct kw_limits *out)
{
    static const CK_BBOOL no = CK_FALSE;
    static const CK_MECHANISM_TYPE allowed[] = {CKM_AES_KEY_WRAP};
    static const size_t lengths[] = {1, 16, 32, 64, 128, 256, KW_DEK_LENGTH_MAX};
    struct kw_template inner = {0};
    struct kw_capability now;
    *out = (struct kw_limits){0};
    kw_template_data_key(&inner);
    const size_t inner_size = inner.count * sizeof inner.items[0];
    out->copyable = takes(lease, CKA_COPYABLE, &no, sizeof no);
    out->allowed = takes(lease, CKA_ALLOWED_MECHANISMS, allowed, sizeof allowed);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        if (takes_generic(lease, lengths[i])) {
            out->generic_least = out->generic_least == 0 ? lengths[i] : out->generic_least;
            out->generic_most = lengths[i];
        }
    }
    out->templates = takes(lease, CKA_WRAP_TEMPLATE, inner.items, inner_size) && /* last: a transport may give up over it */
                     takes(lease, CKA_UNWRAP_TEMPLATE, inner.items, inner_size);
    struct kw_rv r = find_derive(lease, out);
    return kw_ok(r) ? kw_capability(lease, &now) : r;
}

struct kw_rv kw_capability_fences(struct kw_lease *lease, int *out)
{
    struct kw_limits l;
    struct kw_rv r = kw_capability_limits(lease, &l);
    if (kw_ok(r)) {
        *out = l.copyable ? (l.allowed && l.templates ? 2 : 1) : 0;
    }
    return r;
}
