#include "transfer.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "capability.h"
#include "log.h"
#include "template.h"

/* What the private half must be. */
static const struct kw_parcel_flag private_half[] = {
    {CKA_TOKEN, 1},   {CKA_PRIVATE, 1}, {CKA_SENSITIVE, 1}, {CKA_EXTRACTABLE, 0},
    {CKA_DECRYPT, 0}, {CKA_SIGN, 0},    {CKA_DERIVE, 0},    {CKA_UNWRAP, 1},
};
enum { PRIVATE_HALF = sizeof private_half / sizeof private_half[0] };

enum { TRANSPORT_LABEL_MAX = 160, TRANSPORT_ID = 16 };

static size_t transport_label(const char *label, char out[TRANSPORT_LABEL_MAX])
{
    int n = snprintf(out, TRANSPORT_LABEL_MAX, "%s/transport", label);
    return n < 0 || n >= TRANSPORT_LABEL_MAX ? 0 : (size_t)n;
}

/* Reads the key at k->private_key and proves it. (HSM-FACTS rule 1: everything that was asked is read back.) */
static struct kw_rv examine(struct kw_lease *lease, struct kw_transfer_key *k)
{
    bool good = false;
    bool same = false;
    struct kw_rv r = kw_parcel_holds(lease, k->private_key, private_half, PRIVATE_HALF, &good);
    if (kw_ok(r) && !good) {
        r = KW_FAIL(CKR_TEMPLATE_INCONSISTENT, "the transport key may do other things than unwrap, "
                                               "or may leave the token; destroy KEY/transport "
                                               "with the vendor's tool and make a new one");
    }
    if (kw_ok(r)) {
        r = kw_rsa_read(lease, k->private_key, &k->numbers);
        if (r.code == CKR_KEY_SIZE_RANGE) {
            r = KW_FAIL(CKR_TEMPLATE_INCONSISTENT, "the transport key is not of 2048, 3072 or 4096 bits");
        }
    }
    if (kw_ok(r)) {
        r = kw_parcel_prove(lease, k->private_key, &k->numbers, &same);
    }
    if (kw_ok(r) && !same) {
        r = KW_FAIL(CKR_TEMPLATE_INCONSISTENT,
                    "the transport key does not open what is wrapped to it; destroy KEY/transport "
                    "with the vendor's tool and make a new one");
    }
    return r;
}

struct kw_rv kw_transfer_find(struct kw_lease *lease, const char *label,
                              struct kw_transfer_key *out, bool *found)
{
    char text[TRANSPORT_LABEL_MAX];
    struct kw_template t = {0};
    CK_OBJECT_HANDLE keys[2] = {0};
    CK_ULONG count = 0;
    memset(out, 0, sizeof *out);
    kw_template_ulong(&t, CKA_CLASS, CKO_PRIVATE_KEY);
    kw_template_bytes(&t, CKA_LABEL, text, transport_label(label, text));
    struct kw_rv r =
        kw_lease_check(lease, lease->call->C_FindObjectsInit(lease->session, t.items, t.count),
                       "C_FindObjectsInit");
    if (!kw_ok(r)) {
        return r;
    }
    r = kw_lease_check(lease, lease->call->C_FindObjects(lease->session, keys, 2, &count),
                       "C_FindObjects");
    (void)lease->call->C_FindObjectsFinal(lease->session);
    if (kw_ok(r) && count > 1) {
        r = KW_FAIL(CKR_TEMPLATE_INCONSISTENT, "there are two private keys KEY/transport; destroy "
                                               "with the vendor's tool the one that nobody "
                                               "wraps to");
    }
    *found = kw_ok(r) && count == 1;
    if (*found) {
        out->private_key = keys[0];
        r = examine(lease, out);
    }
    return r;
}

/* What not every token knows: 2 all of it, 1 without the templates, 0 nothing. The transport key
 * has no state, so nothing of it changes. */
static void add_fences(struct kw_template *priv, struct kw_template *inner, int fences)
{
    static CK_MECHANISM_TYPE allowed[] = {CKM_RSA_PKCS_OAEP, CKM_RSA_AES_KEY_WRAP};
    if (fences >= 1) {
        kw_template_bool(priv, CKA_MODIFIABLE, 0);
        kw_template_bool(priv, CKA_COPYABLE, 0);
        kw_template_bool(priv, CKA_SIGN_RECOVER, 0);
    }
    if (fences >= 2) {
        kw_template_bool(inner, CKA_SENSITIVE, 1);
        kw_template_bool(inner, CKA_PRIVATE, 1);
        kw_template_bytes(priv, CKA_UNWRAP_TEMPLATE, inner->items,
                          inner->count * sizeof inner->items[0]);
        kw_template_bytes(priv, CKA_ALLOWED_MECHANISMS, allowed, sizeof allowed);
    }
}

static void public_template(struct kw_template *t, unsigned bits, int fences)
{
    static const uint8_t exponent[] = {1, 0, 1};
    kw_template_bool(t, CKA_TOKEN, 1);
    kw_template_bool(t, CKA_PRIVATE, 0);
    kw_template_ulong(t, CKA_MODULUS_BITS, bits);
    kw_template_bytes(t, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent);
    kw_template_bool(t, CKA_WRAP, 1);
    kw_template_bool(t, CKA_ENCRYPT, 0);
    kw_template_bool(t, CKA_VERIFY, 0);
    kw_template_bool(t, CKA_DERIVE, 0);
    if (fences >= 1) {
        kw_template_bool(t, CKA_MODIFIABLE, 0);
        kw_template_bool(t, CKA_COPYABLE, 0);
        kw_template_bool(t, CKA_VERIFY_RECOVER, 0);
    }
}

struct name {
    char label[TRANSPORT_LABEL_MAX];
    size_t label_len;
    uint8_t id[TRANSPORT_ID];
};

static void add_name(struct kw_template *t, const struct name *n)
{
    kw_template_bytes(t, CKA_LABEL, n->label, n->label_len);
    kw_template_bytes(t, CKA_ID, n->id, sizeof n->id);
}

static struct kw_rv generate_pair(struct kw_lease *lease, const struct name *n, unsigned bits,
                                  CK_OBJECT_HANDLE out[2])
{
    CK_MECHANISM mechanism = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_RV rv = CKR_GENERAL_ERROR;
    int most = 0;
    struct kw_rv r = kw_capability_fences(lease, &most);
    if (!kw_ok(r)) {
        return r;
    }
    for (int fences = most > 1 ? most : 1; fences >= 0; fences--) {
        struct kw_template pub = {0};
        struct kw_template priv = {0};
        struct kw_template inner = {0};
        public_template(&pub, bits, fences);
        kw_parcel_state(&priv, private_half, PRIVATE_HALF);
        add_fences(&priv, &inner, fences);
        add_name(&pub, n);
        add_name(&priv, n);
        rv = lease->call->C_GenerateKeyPair(lease->session, &mechanism, pub.items, pub.count,
                                            priv.items, priv.count, &out[0], &out[1]);
        enum kw_class class = kw_error_class(rv);
        if (class != KW_CLASS_CALLER && class != KW_CLASS_AMBIGUOUS && class != KW_CLASS_REFUSED) {
            break;
        }
    }
    return kw_lease_check(lease, rv, "C_GenerateKeyPair");
}

struct kw_rv kw_transfer_make(struct kw_lease *lease, const char *label, unsigned bits,
                              struct kw_transfer_key *out)
{
    CK_OBJECT_HANDLE pair[2] = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    struct name n;
    memset(out, 0, sizeof *out);
    n.label_len = transport_label(label, n.label);
    if (getrandom(n.id, sizeof n.id, 0) != (ssize_t)sizeof n.id) {
        return KW_FAIL(CKR_FUNCTION_FAILED, "the system gives no random numbers");
    }
    struct kw_rv r = generate_pair(lease, &n, bits, pair);
    if (!kw_ok(r)) {
        return r;
    }
    out->private_key = pair[1];
    r = examine(lease, out);
    if (kw_ok(r) && out->numbers.modulus_len * 8 != bits) {
        r = KW_FAIL(CKR_TEMPLATE_INCONSISTENT,
                    "the token made a transport key of another size than asked");
    }
    if (!kw_ok(r)) {
        kw_parcel_destroy(lease, pair[0]);
        kw_parcel_destroy(lease, pair[1]);
    }
    return r;
}

/* What a customer sent, while it is opened. */
struct opening {
    struct kw_transfer_key key;
    CK_BYTE bytes[KW_PARCEL_MAX];
    size_t len;
    CK_KEY_TYPE type; /* of the customer's key; follows from the length */
    unsigned bits;    /* of an AES key; the same */
};

/* RFC 5649 makes 8 bytes more than the key, rounded up to 8: 24, 32 and 40 bytes hold AES keys of 9 to 16, 17
 * to 24 and 25 to 32 bytes. The PKCS#8 of RSA-1024 has more than 600 bytes; of the largest EC key, P-521, 241. */
static struct kw_rv measure(const struct kw_transfer *t, struct opening *o)
{
    enum { LEAST_AES = 24, LEAST_RSA = 600 };
    size_t k = o->key.numbers.modulus_len;
    size_t rest = t->len > k ? t->len - k : 0;
    if (rest < 16 || rest % 8 != 0) {
        return KW_FAIL(
            CKR_WRAPPED_KEY_LEN_RANGE,
            "its length does not fit the transport key of the slot: it was cut, or wrapped to a "
            "key of another size");
    }
    if (rest < LEAST_AES) {
        return KW_FAIL(CKR_KEY_SIZE_RANGE, "what it holds is shorter than an AES key of 128 bits");
    }
    if (rest > KW_PARCEL_AES_MAX && rest < LEAST_RSA) {
        return KW_FAIL(CKR_WRAPPED_KEY_LEN_RANGE, "what it holds is longer than an AES key and shorter than "
                                                  "an RSA private key; or it was wrapped to a key of "
                                                  "another size");
    }
    if (rest > KW_PARCEL_TARGET_MAX) {
        return KW_FAIL(CKR_WRAPPED_KEY_LEN_RANGE, "what it holds is longer than an RSA private key of 4096 bits");
    }
    o->type = rest >= LEAST_RSA ? CKK_RSA : CKK_AES;
    o->bits = o->type == CKK_AES ? (unsigned)(rest - 8) * 8 : 0;
    o->len = t->len;
    memcpy(o->bytes, t->bytes, t->len);
    return KW_OK;
}

static struct kw_rv begin_opening(struct kw_lease *lease, const struct kw_transfer *t,
                                  struct opening *o)
{
    bool found = false;
    memset(o, 0, sizeof *o);
    struct kw_rv r = kw_transfer_find(lease, t->label, &o->key, &found);
    if (kw_ok(r) && !found) {
        r = KW_FAIL(
            CKR_KEY_HANDLE_INVALID,
            "the slot has no transport key, so nothing can have been wrapped to it; make it with "
            "`keyward transport-key`");
    }
    return kw_ok(r) ? measure(t, o) : r;
}

/* No token has seen the file before this. */
static struct kw_rv open_opening(struct kw_lease *lease, struct opening *o, kw_parcel_deed *deed, void *arg)
{
    const struct kw_parcel_opening opening = {
        .parcel = {NULL, o->key.private_key, o->bytes, o->len},
        .modulus_len = o->key.numbers.modulus_len,
        .deed = deed,
        .arg = arg,
    };
    struct kw_rv r = kw_parcel_open(lease, &opening);
    if (r.code == CKR_WRAPPED_KEY_INVALID && o->type == CKK_RSA) {
        r = KW_FAIL(CKR_WRAPPED_KEY_INVALID, "it does not open: it was wrapped to another key, or changed on the way, "
                                             "or what it holds is no RSA private key (PKCS#8)");
    }
    return r;
}

/* A session key of the customer's. An AES key may wrap: a canary then shows that it is a whole one. */
struct session_deed {
    CK_KEY_TYPE type;
    bool extractable;
    CK_OBJECT_HANDLE key;
};

static struct kw_rv do_session(struct kw_lease *lease, const struct kw_wrapped *w, void *arg)
{
    struct session_deed *s = arg;
    struct kw_template t = {0};
    if (s->type == CKK_RSA) {
        kw_template_ulong(&t, CKA_CLASS, CKO_PRIVATE_KEY);
        kw_template_ulong(&t, CKA_KEY_TYPE, CKK_RSA);
        kw_parcel_rsa(&t, s->extractable);
    } else {
        kw_template_session(&t, CKK_AES, s->extractable ? KW_MAY_LEAVE | KW_MAY_WRAP : KW_MAY_WRAP);
    }
    return kw_parcel_unwrap(lease, w, &t, &s->key);
}

/* Opens what the customer sent to a session key. */
static struct kw_rv open_session(struct kw_lease *lease, const struct kw_transfer *t, struct session_deed *s, unsigned *bits)
{
    struct opening o;
    struct kw_rv r = begin_opening(lease, t, &o);
    if (kw_ok(r)) {
        s->type = o.type;
        *bits = o.bits;
        r = open_opening(lease, &o, do_session, s);
    }
    return r;
}

/* SoftHSM takes an AES key of any size and does not tell it (CKA_VALUE_LEN 0), but uses 16, 24 and
 * 32 bytes only. The length of the wrapped key leaves one of them. */
static struct kw_rv check_size(struct kw_lease *lease, CK_OBJECT_HANDLE key,
                               struct kw_transfer_found *found)
{
    CK_ULONG told = 0;
    CK_ATTRIBUTE a = {CKA_VALUE_LEN, &told, sizeof told};
    CK_RV rv = lease->call->C_GetAttributeValue(lease->session, key, &a, 1);
    struct kw_rv r = KW_OK;
    bool fits = rv != CKR_OK || a.ulValueLen != sizeof told || told == 0 || told * 8 == found->bits;
    if (fits) {
        r = kw_canary_make(lease, key, found->canary);
    }
    if (!fits || (!kw_ok(r) && kw_parcel_is_about_key(lease))) {
        r = kw_parcel_answer(lease,
                   KW_FAIL(CKR_KEY_SIZE_RANGE, "the key in it is not of 128, 192 or 256 bits"));
    }
    return r;
}

/* Only now does the modulus tell the size. A private key that is not of its own modulus would wrap what nobody can unwrap. */
static struct kw_rv check_rsa(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_transfer_found *found)
{
    struct kw_rsa_public numbers;
    bool same = false;
    struct kw_rv r = kw_rsa_read(lease, key, &numbers);
    if (r.code == CKR_KEY_SIZE_RANGE) {
        return KW_FAIL(CKR_KEY_SIZE_RANGE, "the RSA key in it is not of 2048, 3072 or 4096 bits");
    }
    if (kw_ok(r)) {
        r = kw_parcel_prove(lease, key, &numbers, &same);
    }
    if (kw_ok(r) && !same) {
        r = KW_FAIL(CKR_WRAPPED_KEY_INVALID, "the RSA key in it is damaged: it does not open what is wrapped to it");
    }
    if (kw_ok(r)) {
        found->bits = (unsigned)numbers.modulus_len * 8;
        r = kw_rsa_name(&numbers, found->canary);
    }
    return r;
}

struct kw_rv kw_transfer_check(struct kw_lease *lease, const struct kw_transfer *t,
                               struct kw_transfer_found *out)
{
    struct session_deed s = {CKK_AES, false, CK_INVALID_HANDLE};
    struct kw_rv r = open_session(lease, t, &s, &out->bits);
    if (kw_ok(r)) {
        out->type = s.type;
        r = s.type == CKK_RSA ? check_rsa(lease, s.key, out) : check_size(lease, s.key, out);
    }
    kw_parcel_destroy(lease, s.key);
    return r;
}

struct kw_rv kw_transfer_begin(struct kw_lease *lease, const struct kw_transfer *t,
                               struct kw_custody_source *out)
{
    struct session_deed s = {CKK_AES, true, CK_INVALID_HANDLE};
    unsigned bits = 0;
    struct kw_rv r = open_session(lease, t, &s, &bits);
    if (kw_ok(r)) {
        *out = (struct kw_custody_source){s.key, s.type, lease->epoch};
    }
    return r;
}

static struct kw_rv do_version(struct kw_lease *lease, const struct kw_wrapped *w, void *arg)
{
    const struct kw_custody_plan *plan = arg;
    return kw_custody_unwrap(lease, w, plan);
}

struct kw_rv kw_transfer_receive(struct kw_lease *lease, const struct kw_transfer *t,
                                 const struct kw_custody_plan *plan)
{
    struct opening o;
    struct kw_custody_plan copy = *plan;
    struct kw_rv r = begin_opening(lease, t, &o);
    if (kw_ok(r) && (o.type != plan->type || (o.type == CKK_AES && o.bits != plan->bits))) {
        r = KW_FAIL(CKR_KEY_SIZE_RANGE, "the key in the file is not the one that was planned");
    }
    return kw_ok(r) ? open_opening(lease, &o, do_version, &copy) : r;
}
