#include "halves.h"

#include <string.h>

#include "capability.h"
#include "log.h"
#include "unwrap.h"

static const struct kw_parcel_flag private_half[] = {
    {CKA_TOKEN, 1},   {CKA_PRIVATE, 1}, {CKA_SENSITIVE, 1}, {CKA_EXTRACTABLE, 0},
    {CKA_DECRYPT, 0}, {CKA_SIGN, 0},    {CKA_DERIVE, 0},    {CKA_UNWRAP, 1},
};
static const struct kw_parcel_flag public_half[] = {
    {CKA_TOKEN, 1}, {CKA_ENCRYPT, 0}, {CKA_VERIFY, 0}, {CKA_DERIVE, 0},
};
enum { PRIVATE_HALF = sizeof private_half / sizeof private_half[0], PUBLIC_HALF = sizeof public_half / sizeof public_half[0] };

/* What a half is called. */
struct name {
    const char *label;
    size_t label_len;
    const uint8_t *id; /* KW_CMK_RSA_ID bytes */
};

static void add_name(struct kw_template *t, const struct name *n)
{
    kw_template_bytes(t, CKA_LABEL, n->label, n->label_len);
    kw_template_bytes(t, CKA_ID, n->id, KW_CMK_RSA_ID);
}

/* What the token itself shall refuse to whoever holds the PIN; not every token knows these (HSM-FACTS section 2): 2 all of it, 1 without the
 * templates, 0 nothing. What is unwrapped may unwrap: CKM_RSA_AES_KEY_WRAP needs that on tokens that do it in two steps. */
static void add_fences(struct kw_template *t, int fences, struct kw_template *inner, CK_ATTRIBUTE_TYPE recover)
{
    static CK_MECHANISM_TYPE allowed[] = {CKM_RSA_PKCS_OAEP, CKM_RSA_AES_KEY_WRAP};
    if (fences >= 1) {
        kw_template_bool(t, CKA_MODIFIABLE, 1); /* which it is anyway: the state lives in the attributes */
        kw_template_bool(t, CKA_COPYABLE, 0);
        kw_template_bool(t, recover, 0);
    }
    if (fences >= 2) {
        kw_template_bytes(t, CKA_ALLOWED_MECHANISMS, allowed, sizeof allowed);
    }
    if (fences >= 2 && inner != NULL) {
        kw_template_no_usage(inner);
        kw_template_bytes(t, CKA_UNWRAP_TEMPLATE, inner->items, inner->count * sizeof inner->items[0]);
    }
}

/* Each half is tried with less until the token takes it, from what session keys took. The public one begins as an object that is seen after the login only, so that nobody
 * without the PIN can change or destroy it. */
static struct kw_rv first_level(struct kw_lease *lease, int *level)
{
    int fences = 0;
    struct kw_rv r = kw_capability_fences(lease, &fences);
    *level = 2 * fences + 1;
    return r;
}

static void private_template(struct kw_template *t, struct kw_template *inner, const struct name *n, int level)
{
    kw_parcel_state(t, private_half, PRIVATE_HALF);
    add_fences(t, level / 2, inner, CKA_SIGN_RECOVER);
    add_name(t, n);
}

static void public_template(struct kw_template *t, const struct name *n, bool wrap, int level)
{
    kw_parcel_state(t, public_half, PUBLIC_HALF);
    kw_template_bool(t, CKA_WRAP, wrap);
    kw_template_bool(t, CKA_PRIVATE, level % 2);
    add_fences(t, level / 2, NULL, CKA_VERIFY_RECOVER);
    add_name(t, n);
}

/* The public half as a token object. */
static struct kw_rv create_public(struct kw_lease *lease, const struct name *n, const struct kw_rsa_public *numbers, bool wrap,
                                  CK_OBJECT_HANDLE *out)
{
    CK_RV rv = CKR_GENERAL_ERROR;
    int first = 0;
    struct kw_rv r = first_level(lease, &first);
    if (!kw_ok(r)) {
        return r;
    }
    for (int level = first; level >= 0; level--) {
        struct kw_template t = {0};
        kw_template_ulong(&t, CKA_CLASS, CKO_PUBLIC_KEY);
        kw_template_ulong(&t, CKA_KEY_TYPE, CKK_RSA);
        kw_template_bytes(&t, CKA_MODULUS, numbers->modulus, numbers->modulus_len);
        kw_template_bytes(&t, CKA_PUBLIC_EXPONENT, numbers->exponent, numbers->exponent_len);
        public_template(&t, n, wrap, level);
        rv = lease->call->C_CreateObject(lease->session, t.items, t.count, out);
        if (!kw_parcel_is_about_template(rv)) {
            break;
        }
    }
    return kw_lease_check(lease, rv, "C_CreateObject");
}

static struct kw_rv not_as_asked(const struct kw_lease *lease, const char *why)
{
    kw_log(KW_LOG_ERROR, "token %s: the RSA key is not as asked: %s", kw_backing_config(lease->backing)->name, why);
    return KW_FAIL(CKR_TEMPLATE_INCONSISTENT, "the token did not make the key as asked");
}

/* Whether a half has this use and this CKA_ID (NULL: any). */
static struct kw_rv is_so(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_parcel_flag use, const uint8_t *id, bool *so)
{
    uint8_t is[KW_CMK_FULL_ID + 16];
    CK_ATTRIBUTE a = {CKA_ID, is, sizeof is};
    struct kw_rv r = kw_parcel_holds(lease, key, &use, 1, so);
    if (!kw_ok(r) || id == NULL || !*so) {
        return r;
    }
    CK_RV rv = lease->call->C_GetAttributeValue(lease->session, key, &a, 1);
    if (rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL) {
        return kw_lease_check(lease, rv, "C_GetAttributeValue");
    }
    *so = rv == CKR_OK && a.ulValueLen == KW_CMK_RSA_ID && memcmp(is, id, KW_CMK_RSA_ID) == 0;
    return KW_OK;
}

static bool same_numbers(const struct kw_rsa_public *a, const struct kw_rsa_public *b)
{
    return a->modulus_len == b->modulus_len && a->exponent_len == b->exponent_len &&
           memcmp(a->modulus, b->modulus, a->modulus_len) == 0 && memcmp(a->exponent, b->exponent, a->exponent_len) == 0;
}

/* Reads both halves back: each as it was asked, and one the other's. (HSM-FACTS rule 1.) */
static struct kw_rv read_back(struct kw_lease *lease, const struct kw_custody_plan *plan, const uint8_t *id, const CK_OBJECT_HANDLE pair[2])
{
    struct kw_rsa_public numbers[2];
    bool good[4] = {false};
    bool paired = false;
    struct kw_rv r = kw_parcel_holds(lease, pair[0], public_half, PUBLIC_HALF, &good[0]);
    if (kw_ok(r)) {
        r = kw_parcel_holds(lease, pair[1], private_half, PRIVATE_HALF, &good[1]);
    }
    if (kw_ok(r)) {
        r = is_so(lease, pair[0], (struct kw_parcel_flag){CKA_WRAP, 1}, id, &good[2]);
    }
    if (kw_ok(r)) {
        r = is_so(lease, pair[1], (struct kw_parcel_flag){CKA_UNWRAP, 1}, id, &good[3]);
    }
    for (size_t i = 0; kw_ok(r) && i < 2; i++) {
        r = kw_rsa_read(lease, pair[i], &numbers[i]);
    }
    if (!kw_ok(r)) {
        return r;
    }
    if (!good[0] || !good[1] || !good[2] || !good[3]) {
        return not_as_asked(lease, "the token changed what was asked");
    }
    if (!same_numbers(&numbers[0], &numbers[1]) || numbers[1].modulus_len * 8 != plan->bits) {
        return not_as_asked(lease, "the halves differ, or are of another size");
    }
    r = kw_parcel_prove(lease, pair[1], &numbers[1], &paired);
    return kw_ok(r) && !paired ? not_as_asked(lease, "the private half does not open what is wrapped to the public one") : r;
}

/* The end of making a version: reads it back, or destroys what was made of it. */
static struct kw_rv finish(struct kw_lease *lease, const struct kw_custody_plan *plan, const uint8_t *id, const CK_OBJECT_HANDLE pair[2])
{
    struct kw_rv r = read_back(lease, plan, id, pair);
    if (!kw_ok(r)) {
        kw_parcel_destroy(lease, pair[0]);
        kw_parcel_destroy(lease, pair[1]);
    }
    return r;
}

struct kw_rv kw_halves_generate(struct kw_lease *lease, const struct kw_custody_plan *plan, const uint8_t *id)
{
    static const uint8_t exponent[] = {1, 0, 1};
    const struct name n = {plan->label, strlen(plan->label), id};
    CK_MECHANISM mechanism = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_OBJECT_HANDLE pair[2] = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    CK_RV rv = CKR_GENERAL_ERROR;
    int first = 0;
    struct kw_rv r = first_level(lease, &first);
    if (!kw_ok(r)) {
        return r;
    }
    for (int level = first; level >= 0; level--) {
        struct kw_template pub = {0};
        struct kw_template priv = {0};
        struct kw_template inner = {0};
        kw_template_ulong(&pub, CKA_MODULUS_BITS, plan->bits);
        kw_template_bytes(&pub, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent);
        public_template(&pub, &n, true, level);
        private_template(&priv, &inner, &n, level);
        rv = lease->call->C_GenerateKeyPair(lease->session, &mechanism, pub.items, pub.count, priv.items, priv.count, &pair[0], &pair[1]);
        if (!kw_parcel_is_about_template(rv)) {
            break;
        }
    }
    r = kw_lease_check(lease, rv, "C_GenerateKeyPair");
    return kw_ok(r) ? finish(lease, plan, id, pair) : r;
}

static struct kw_rv unwrap_private(struct kw_lease *lease, const struct kw_wrapped *w, const struct name *n, CK_OBJECT_HANDLE *out)
{
    CK_RV rv = CKR_GENERAL_ERROR;
    int first = 0;
    struct kw_rv r = first_level(lease, &first);
    if (!kw_ok(r)) {
        return r;
    }
    for (int level = first; level >= 0; level -= 2) {
        struct kw_template t = {0};
        struct kw_template inner = {0};
        kw_template_ulong(&t, CKA_CLASS, CKO_PRIVATE_KEY);
        kw_template_ulong(&t, CKA_KEY_TYPE, CKK_RSA);
        private_template(&t, &inner, n, level);
        rv = kw_unwrap(lease, w, &t, out);
        if (!kw_parcel_is_about_template(rv)) {
            break;
        }
    }
    return kw_lease_check(lease, rv, "C_UnwrapKey");
}

/* NSS gives a private key that it unwraps DECRYPT and SIGN, whatever the template says (HSM-FACTS rule 1): they are taken away, and what is not
 * taken away is found when the halves are read back. */
static struct kw_rv take_away(struct kw_lease *lease, CK_OBJECT_HANDLE key)
{
    bool so = false;
    struct kw_template t = {0};
    struct kw_rv r = kw_parcel_holds(lease, key, private_half, PRIVATE_HALF, &so);
    if (kw_ok(r) && !so) {
        kw_template_bool(&t, CKA_DECRYPT, 0);
        kw_template_bool(&t, CKA_SIGN, 0);
        kw_template_bool(&t, CKA_DERIVE, 0);
        (void)lease->call->C_SetAttributeValue(lease->session, key, t.items, t.count);
    }
    return r;
}

struct kw_rv kw_halves_unwrap(struct kw_lease *lease, const struct kw_wrapped *w, const struct kw_custody_plan *plan,
                              const uint8_t *id)
{
    const struct name n = {plan->label, strlen(plan->label), id};
    CK_OBJECT_HANDLE pair[2] = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    struct kw_rsa_public numbers;
    struct kw_rv r = unwrap_private(lease, w, &n, &pair[1]);
    if (!kw_ok(r)) {
        return r;
    }
    r = take_away(lease, pair[1]);
    if (kw_ok(r)) {
        r = kw_rsa_read(lease, pair[1], &numbers);
    }
    if (kw_ok(r)) {
        r = create_public(lease, &n, &numbers, true, &pair[0]);
    }
    if (!kw_ok(r)) {
        kw_parcel_destroy(lease, pair[1]);
        return r;
    }
    return finish(lease, plan, id, pair);
}

/* Gives one half its use and its CKA_ID (NULL: as it is) and reads them back. A half that is so already is not written: brokers are using it. */
static struct kw_rv set_half(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_parcel_flag use, const uint8_t *id)
{
    bool so = false;
    struct kw_template t = {0};
    struct kw_rv r = is_so(lease, key, use, id, &so);
    if (!kw_ok(r) || so) {
        return r;
    }
    kw_parcel_state(&t, &use, 1);
    if (id != NULL) {
        kw_template_bytes(&t, CKA_ID, id, KW_CMK_RSA_ID);
    }
    CK_RV rv = lease->call->C_SetAttributeValue(lease->session, key, t.items, t.count);
    r = kw_lease_check(lease, rv, "C_SetAttributeValue");
    if (kw_ok(r)) {
        r = is_so(lease, key, use, id, &so);
    }
    return kw_ok(r) && !so ? not_as_asked(lease, "it did not keep the new state") : r;
}

/* A public half in the place of one that was lost. */
static struct kw_rv make_public(struct kw_lease *lease, const struct kw_cmk_entry *e, bool wrap, const uint8_t *id)
{
    char label[256];
    CK_ATTRIBUTE a = {CKA_LABEL, label, sizeof label};
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    struct kw_rsa_public numbers;
    struct kw_rv r = kw_lease_check(lease, lease->call->C_GetAttributeValue(lease->session, e->handle, &a, 1), "C_GetAttributeValue");
    if (kw_ok(r)) {
        r = kw_rsa_read(lease, e->handle, &numbers);
    }
    const struct name n = {label, a.ulValueLen, id};
    return kw_ok(r) ? create_public(lease, &n, &numbers, wrap, &made) : r;
}

struct kw_rv kw_halves_change(struct kw_lease *lease, const struct kw_cmk_entry *e, const struct kw_custody_state *to, const uint8_t *id)
{
    const struct kw_parcel_flag use[2] = {{CKA_WRAP, to->wrap}, {CKA_UNWRAP, to->unwrap}};
    struct kw_rv r = set_half(lease, e->handle, use[1], id);
    if (!kw_ok(r)) {
        return r;
    }
    if (e->public_handle != CK_INVALID_HANDLE) {
        return set_half(lease, e->public_handle, use[0], id);
    }
    return id == NULL ? KW_OK : make_public(lease, e, to->wrap, id); /* an adopted key without one never wraps */
}

struct kw_rv kw_halves_destroy(struct kw_lease *lease, const struct kw_cmk_entry *e)
{
    struct kw_rv r = KW_OK;
    if (e->public_handle != CK_INVALID_HANDLE) {
        r = kw_lease_check(lease, lease->call->C_DestroyObject(lease->session, e->public_handle), "C_DestroyObject");
    }
    return kw_ok(r) ? kw_lease_check(lease, lease->call->C_DestroyObject(lease->session, e->handle), "C_DestroyObject") : r;
}

struct kw_rv kw_halves_agree(struct kw_lease *lease, const struct kw_cmk_entry *e, bool *agree)
{
    if (e->public_handle == CK_INVALID_HANDLE) {
        *agree = !e->ours;
        return KW_OK;
    }
    return is_so(lease, e->public_handle, (struct kw_parcel_flag){CKA_WRAP, e->may_wrap}, e->ours ? e->full_id : NULL, agree);
}
