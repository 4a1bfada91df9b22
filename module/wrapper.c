#include "wrapper.h"

#include <string.h>
#include <unistd.h>

#include "dek.h"
#include "hybrid.h"
#include "recipe.h"

struct kw_rv kw_wrapper_owner(const struct kw_snapshot *s, const char *label, struct kw_dek_owner *out)
{
    if (s->count == 0 || s->problem != NULL) {
        return KW_FAIL(CKR_FUNCTION_FAILED, "the slot has no CMK that a data key could belong to; see `keyward check`");
    }
    out->label = label;
    memcpy(out->lineage, s->entries[0].version.lineage, KW_LINEAGE_SIZE);
    return KW_OK;
}

/* The version of a snapshot, if it is the key that the caller means: after a purge, or when somebody has put another key in its place, the number
 * alone says nothing. */
static struct kw_cmk_entry *find_meant(const struct kw_lease *lease, struct kw_snapshot *s, uint32_t version, const struct kw_version *meant)
{
    struct kw_cmk_entry *e = kw_snapshot_version(s, version);
    if (e == NULL || meant == NULL) {
        return e;
    }
    bool same_lineage = lease->replicated || memcmp(e->version.lineage, meant->lineage, KW_LINEAGE_SIZE) == 0;
    return same_lineage && !kw_version_differs(&e->version, meant) ? e : NULL;
}

/* Whether the version has the name that an envelope gives it: one with another name never opens. Tokens that say two things of one key are ill. `sure`: the
 * attributes were just read. */
static struct kw_rv check_name(struct kw_lease *lease, struct kw_cmk *cmk, const struct kw_wrapping *w, const struct kw_cmk_entry *e, bool sure)
{
    if (w->lineage == NULL) {
        return KW_OK;
    }
    if (memcmp(e->version.lineage, w->lineage, KW_LINEAGE_SIZE) != 0) {
        lease->failure = sure ? CKR_DEVICE_ERROR : CKR_OK;
        return KW_FAIL(CKR_DEVICE_ERROR, "the token shows the CMK in two lineages");
    }
    return kw_cmk_was_renamed(cmk, e) ? KW_FAIL(CKR_KEY_FUNCTION_NOT_PERMITTED, "this CMK had another lineage or version before; envelopes are made after C_Finalize and C_Initialize")
                                      : KW_OK;
}

/* The version, proven and active. A refusal is believed only when the attributes were just read: the state may have changed meanwhile. */
static struct kw_rv proven_version(struct kw_lease *lease, struct kw_cmk *cmk, const struct kw_wrapping *w, struct kw_snapshot **s,
                                   struct kw_cmk_entry **entry)
{
    struct kw_rv r = KW_OK;
    bool again = lease->attempt > 0;
    for (;;) {
        r = kw_cmk_get(lease, cmk, again, s);
        if (!kw_ok(r)) {
            return r;
        }
        *entry = find_meant(lease, *s, w->version, w->meant);
        r = *entry == NULL ? KW_FAIL(CKR_WRAPPING_KEY_HANDLE_INVALID, "this version of the CMK is not in the token")
                           : kw_cmk_prove(lease, cmk, *entry, (struct kw_cmk_use){.wrap = true});
        if (kw_ok(r)) {
            r = check_name(lease, cmk, w, *entry, again);
        }
        bool refused = !kw_ok(r) && (lease->failure == CKR_OK || kw_error_class(lease->failure) == KW_CLASS_REFUSED);
        if (kw_ok(r) || !refused || again) {
            break;
        }
        lease->failure = CKR_OK;
        kw_snapshot_put(*s);
        *s = NULL;
        again = true;
    }
    if (!kw_ok(r)) {
        kw_snapshot_put(*s);
        *s = NULL;
    }
    return r;
}

/* The handle of the data key: a lent object for one of the memory home. */
static struct kw_rv dek_handle(struct kw_lease *lease, const struct kw_dek_owner *owner, const struct kw_dek *dek,
                               CK_OBJECT_HANDLE *out)
{
    if (dek->value != NULL) {
        return kw_dek_lend(lease, dek, out);
    }
    struct kw_rv r = kw_dek_find(lease, owner, dek, lease->attempt > 0, out);
    if (r.code == CKR_OBJECT_HANDLE_INVALID) {
        r = KW_FAIL(CKR_KEY_HANDLE_INVALID, "the data key is not in the token any more");
    }
    return r;
}

/* C_WrapKey into room of our own, whatever the token believes of lengths (HSM-FACTS rule 5). */
struct vendor_wrap {
    CK_MECHANISM *mechanism;
    CK_OBJECT_HANDLE cmk;
    CK_OBJECT_HANDLE key;
    size_t expected; /* bytes that the mechanism must give */
};

static struct kw_rv call_wrap(struct kw_lease *lease, const struct vendor_wrap *v, uint8_t *blob)
{
    CK_BYTE out[KW_BLOB_MAX + 64];
    CK_ULONG len = sizeof out;
    CK_RV rv = lease->call->C_WrapKey(lease->session, v->mechanism, v->cmk, v->key, out, &len);
    struct kw_rv r = kw_lease_check(lease, rv, "C_WrapKey");
    if (kw_ok(r) && len != v->expected) {
        lease->failure = CKR_DEVICE_ERROR;
        r = KW_FAIL(CKR_DEVICE_ERROR, "the token wrapped to another length than the mechanism gives");
    }
    if (kw_ok(r)) {
        memcpy(blob, out, v->expected);
    }
    return r;
}

/* Both layers of CKM_RSA_AES_KEY_WRAP: the key under a new AES key, that under the public half. */
static struct kw_rv hybrid_wrap(struct kw_lease *lease, const struct kw_hybrid *h, CK_OBJECT_HANDLE key, size_t expected, uint8_t *blob)
{
    CK_OBJECT_HANDLE aes = CK_INVALID_HANDLE;
    struct kw_rv r = kw_hybrid_begin(lease, h, blob, &aes);
    if (kw_ok(r)) {
        const struct vendor_wrap inner = {h->kwp, aes, key, expected - h->modulus_len};
        r = call_wrap(lease, &inner, blob + h->modulus_len);
        (void)lease->call->C_DestroyObject(lease->session, aes);
    }
    return r;
}

static struct kw_rv check_length(const struct kw_wrapping *w, size_t expected, const struct kw_recipe *recipe)
{
    if (expected == 0 || w->dek->spec.len > recipe->most || (w->dek->spec.len % 8 != 0 && !recipe->any_length)) {
        return KW_FAIL(CKR_KEY_SIZE_RANGE, "a data key of this length would not come back exactly from the token");
    }
    return KW_OK;
}

/* Wraps the data key with a proven version. */
static struct kw_rv wrap_with(struct kw_lease *lease, const struct kw_dek_owner *owner, const struct kw_cmk_entry *e,
                              const struct kw_wrapping *w, uint8_t *blob)
{
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    size_t expected = kw_scheme_blob_len(&w->scheme, e->version.bits, w->dek->spec.len);
    bool rsa = e->version.type == CKK_RSA;
    struct kw_recipe recipe;
    if (!kw_scheme_fits(&w->scheme, e->version.type)) {
        return KW_FAIL(CKR_WRAPPING_KEY_TYPE_INCONSISTENT, "the mechanism is not for a CMK of this type");
    }
    const struct kw_recipe_use use = {e->handle, w->dek->spec.len};
    struct kw_rv r = kw_recipe_prepare(lease, &w->scheme, &use, &recipe);
    if (kw_ok(r)) {
        r = check_length(w, expected, &recipe);
    }
    if (kw_ok(r)) {
        r = dek_handle(lease, owner, w->dek, &key);
    }
    if (!kw_ok(r)) {
        return r;
    }
    if (w->scheme.format == KW_FORMAT_RSA_AES) {
        const struct kw_hybrid h = {&recipe.mechanism, &recipe.inner, e->public_handle, e->version.bits / 8, w->scheme.aes_bits};
        r = hybrid_wrap(lease, &h, key, expected, blob);
    } else {
        const struct vendor_wrap v = {&recipe.mechanism, rsa ? e->public_handle : e->handle, key, expected};
        r = call_wrap(lease, &v, blob);
    }
    if (w->dek->value != NULL) {
        (void)lease->call->C_DestroyObject(lease->session, key);
    }
    return r;
}

struct kw_rv kw_wrapper_wrap(struct kw_lease *lease, struct kw_cmk *cmk, const struct kw_wrapping *w, uint8_t *blob,
                             size_t *len)
{
    struct kw_snapshot *s = NULL;
    struct kw_cmk_entry *e = NULL;
    struct kw_dek_owner owner;
    struct kw_rv r = proven_version(lease, cmk, w, &s, &e);
    if (!kw_ok(r)) {
        return r;
    }
    r = kw_wrapper_owner(s, kw_cmk_label(cmk), &owner);
    if (kw_ok(r)) {
        r = wrap_with(lease, &owner, e, w, blob);
    }
    if (kw_ok(r)) {
        *len = kw_scheme_blob_len(&w->scheme, e->version.bits, w->dek->spec.len);
    }
    kw_snapshot_put(s);
    return r;
}

/* What became of the attempts to open a blob with the versions of one snapshot. */
struct tally {
    bool known;                  /* the version that was asked for is there */
    bool refused;                /* a version may not be used: its state, or it is out of service */
    struct kw_cmk_entry *closed; /* a version that was used and did not open it */
};

struct opening {
    const struct kw_unwrapping *request;
    const uint8_t *blob; /* of the request, or as good as it */
    struct kw_dek_owner owner;
    struct kw_dek *dek;
};

/* What tokens answer to a blob that does not open (HSM-FACTS rule 7). Any other complaint is about us or the token, not about the blob. */
static bool is_about_blob(CK_RV rv)
{
    return kw_error_class(rv) == KW_CLASS_AMBIGUOUS || rv == CKR_DATA_INVALID || rv == CKR_DATA_LEN_RANGE ||
           rv == CKR_UNWRAPPING_KEY_SIZE_RANGE || rv == CKR_KEY_SIZE_RANGE ||
           rv == CKR_ARGUMENTS_BAD; /* NSS: the blob is no number below the modulus */
}

/* Unwraps with a proven version. */
static struct kw_rv unwrap_with(struct kw_lease *lease, const struct kw_cmk_entry *e, const struct opening *o)
{
    const struct kw_unwrapping *u = o->request;
    struct kw_recipe recipe;
    struct kw_scheme_range range = {0, 0};
    const struct kw_recipe_use use = {e->handle, 0};
    struct kw_rv r = kw_recipe_prepare(lease, &u->scheme, &use, &recipe);
    if (!kw_ok(r)) {
        return r;
    }
    (void)kw_scheme_range(&u->scheme, e->version.bits, u->len, &range); /* it fits: see can_open */
    range = u->exact != 0 ? (struct kw_scheme_range){u->exact, u->exact} : range;
    if (u->scheme.format != KW_FORMAT_RSA_AES) {
        const struct kw_dek_blob blob = {&recipe.mechanism, e->handle, o->blob, u->len, range};
        return kw_dek_unwrap(lease, &o->owner, &blob, o->dek);
    }
    size_t k = e->version.bits / 8;
    CK_OBJECT_HANDLE aes = CK_INVALID_HANDLE;
    const struct kw_hybrid h = {&recipe.mechanism, &recipe.inner, e->handle, k, 0};
    r = kw_hybrid_open(lease, &h, o->blob, &aes);
    if (kw_ok(r)) {
        const struct kw_dek_blob blob = {&recipe.inner, aes, o->blob + k, u->len - k, range};
        r = kw_dek_unwrap(lease, &o->owner, &blob, o->dek);
        (void)lease->call->C_DestroyObject(lease->session, aes);
    }
    return r;
}

/* Whether a version can have made a blob of this scheme and length. */
static bool can_open(const struct kw_cmk_entry *e, const struct kw_unwrapping *u)
{
    struct kw_scheme_range range;
    return kw_scheme_fits(&u->scheme, e->version.type) && kw_scheme_range(&u->scheme, e->version.bits, u->len, &range);
}

/* Opens the blob with one version; true when *r is the answer, good or bad, false when the next version is worth a try. */
static bool open_with(struct kw_lease *lease, struct kw_cmk *cmk, struct kw_cmk_entry *e, const struct opening *o,
                      struct tally *tally, struct kw_rv *r)
{
    if (!can_open(e, o->request)) {
        return false;
    }
    *r = kw_cmk_prove(lease, cmk, e, (struct kw_cmk_use){0});
    if (kw_ok(*r)) {
        *r = unwrap_with(lease, e, o);
        if (kw_ok(*r) || lease->failure == CKR_OK) {
            return true;
        }
        if (is_about_blob(lease->failure)) {
            tally->closed = e;
            lease->failure = CKR_OK;
            return false;
        }
    }
    bool judged = lease->failure == CKR_OK && r->code == CKR_KEY_FUNCTION_NOT_PERMITTED; /* and not a lack of memory */
    if (judged || kw_error_class(lease->failure) == KW_CLASS_REFUSED) {
        tally->refused = true;
        lease->failure = CKR_OK;
        return false;
    }
    return true;
}

static const uint8_t opens_nothing[KW_BLOB_MAX];

/* Opens the blob with the versions of a snapshot: the one asked for and, if wanted, the others, newest first. */
static bool open_with_any(struct kw_lease *lease, struct kw_cmk *cmk, struct kw_snapshot *s, struct opening *o,
                          struct tally *tally, struct kw_rv *r)
{
    const struct kw_unwrapping *u = o->request;
    struct kw_cmk_entry *first = find_meant(lease, s, u->version, u->meant);
    o->blob = u->blob;
    if (first == NULL && u->stand_in) { /* one that must not open what names another */
        first = kw_snapshot_stand_in(s);
        o->blob = opens_nothing;
    }
    *tally = (struct tally){.known = first != NULL};
    *r = kw_wrapper_owner(s, kw_cmk_label(cmk), &o->owner);
    if (!kw_ok(*r)) {
        tally->refused = s->count > 0;
        return false;
    }
    if (first != NULL && open_with(lease, cmk, first, o, tally, r)) {
        return true;
    }
    for (size_t i = 0; u->older_too && i < s->count; i++) {
        if (&s->entries[i] != first && open_with(lease, cmk, &s->entries[i], o, tally, r)) {
            return true;
        }
    }
    return false;
}

/* It did not open. A bad blob, an ill token, or a version that may not be used? The canary tells a bad blob from an ill token. */
static struct kw_rv conclude(struct kw_lease *lease, struct kw_cmk *cmk, const struct tally *tally)
{
    if (tally->closed != NULL) {
        struct kw_rv r = kw_cmk_prove(lease, cmk, tally->closed, (struct kw_cmk_use){.again = true});
        if (!kw_ok(r)) {
            return r;
        }
    }
    if (tally->refused) {
        return KW_FAIL(CKR_KEY_FUNCTION_NOT_PERMITTED, "a version of the CMK that might open this may not be used");
    }
    if (!tally->known) {
        return KW_FAIL(CKR_UNWRAPPING_KEY_HANDLE_INVALID, "this version of the CMK is not in the token");
    }
    return KW_FAIL(CKR_WRAPPED_KEY_INVALID, "the wrapped key does not open under any version that was tried");
}

/*
 * First with the versions as they were known a moment ago, then, if nothing opened it, with the versions as they are now: a rotation or an
 * `enable` in another process must not look like a bad blob. While somebody writes keys, SoftHSM fails now and then for no
 * reason: then twice more, with a pause. Every bad blob takes the same way at the same time, with the same number of calls.
 */
enum { PASSES = 4, PAUSE_US = 2000 };

struct kw_rv kw_wrapper_unwrap(struct kw_lease *lease, struct kw_cmk *cmk, const struct kw_unwrapping *u,
                               struct kw_dek *dek)
{
    struct opening o = {.request = u, .dek = dek};
    struct kw_rv r = KW_OK;
    const bool named = !kw_dek_in_memory(&dek->spec); /* after the lineage */
    for (int pass = 0, last = 1; pass <= last; pass++) {
        struct kw_snapshot *s = NULL;
        struct tally tally;
        const bool again = pass > 0 || lease->attempt > 0;
        r = named ? kw_cmk_get_confirmed(lease, cmk, again, &s) : kw_cmk_get(lease, cmk, again, &s);
        if (!kw_ok(r)) {
            return r;
        }
        bool over = open_with_any(lease, cmk, s, &o, &tally, &r);
        last = !over && kw_cmk_is_restless(cmk) ? PASSES - 1 : last;
        if (!over && pass == last) {
            r = conclude(lease, cmk, &tally);
        }
        kw_snapshot_put(s);
        if (over) {
            break;
        }
        if (pass > 0 && pass < last) {
            (void)usleep(PAUSE_US);
        }
    }
    return r;
}
