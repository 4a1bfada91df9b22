#include "wrap.h"

#include <stdlib.h>
#include <string.h>

#include "attrs.h"
#include "library.h"
#include "object.h"
#include "policy.h"
#include "scheme.h"
#include "slot.h"

/* Looks a key up and gives an invalid handle the name that the function has for it. */
static struct kw_rv lookup_as(const struct kw_session *s, CK_OBJECT_HANDLE handle, struct kw_rv invalid,
                              struct kw_object_view *view)
{
    struct kw_rv r = kw_object_lookup(s, handle, view);
    return r.code == CKR_OBJECT_HANDLE_INVALID ? invalid : r;
}

/* What the keys may do (ATTACKS A05, A06, A23). */
static struct kw_rv may_wrap(const struct kw_scheme *scheme, const struct kw_object_view *cmk, const struct kw_object_view *key)
{
    if (cmk->kind != KW_OBJECT_CMK) {
        return KW_FAIL(CKR_KEY_FUNCTION_NOT_PERMITTED, "a data key wraps nothing");
    }
    if (!kw_scheme_fits(scheme, cmk->version.type)) {
        return KW_FAIL(CKR_WRAPPING_KEY_TYPE_INCONSISTENT, "the mechanism is not for a CMK of this type");
    }
    if (cmk->class == CKO_PRIVATE_KEY) {
        return KW_FAIL(CKR_KEY_FUNCTION_NOT_PERMITTED, "the public half of an RSA CMK wraps, the private half unwraps");
    }
    if (key->kind != KW_OBJECT_DEK || !key->dek.spec.extractable) {
        return KW_FAIL(CKR_KEY_UNEXTRACTABLE, "only an extractable data key can be wrapped");
    }
    if (scheme->format == KW_FORMAT_ENVELOPE && key->dek.spec.sensitive) {
        return KW_FAIL(CKR_KEY_UNEXTRACTABLE, "an envelope is made of a readable data key");
    }
    return kw_policy_strength(&cmk->version, &key->dek.spec);
}

static struct kw_rv wrap_looked_up(const struct kw_session *s, const struct kw_scheme *scheme, const struct kw_object_view *cmk,
                                   const struct kw_object_view *key, struct kw_out out)
{
    uint8_t blob[KW_BLOB_MAX];
    bool give = false;
    struct kw_rv r = may_wrap(scheme, cmk, key);
    if (!kw_ok(r)) {
        return r;
    }
    size_t len = kw_scheme_blob_len(scheme, cmk->version.bits, key->dek.spec.len);
    if (len == 0) {
        r = KW_FAIL(CKR_KEY_SIZE_RANGE, "the mechanism does not wrap a data key of this length");
    }
    if (kw_ok(r)) {
        r = kw_out_check(out.bytes, out.len, len, &give);
    }
    if (!kw_ok(r) || !give) {
        return r;
    }
    const struct kw_wrapping w = {cmk->version.version, *scheme, &key->dek, &cmk->version, NULL};
    r = kw_engine_wrap(kw_library()->engine, s->slot->index, &w, blob, &len);
    if (kw_ok(r)) { /* once more: the version may have become another size since the handle was given out */
        r = kw_out_check(out.bytes, out.len, len, &give);
    }
    if (kw_ok(r)) {
        kw_out_give(out.bytes, out.len, blob, len);
    }
    return r;
}

/* A caller's mechanism as judged, and our copy of the context that goes with it. */
struct asked {
    struct kw_mechanism_use use;
    uint8_t *context;
};

/* Judges it; `associated` NULL: it is of a function that has none. To be freed (context) on success. */
static struct kw_rv ask(const struct kw_session *s, const CK_MECHANISM *mechanism, CK_FLAGS flag, const struct kw_in *associated,
                        struct asked *out)
{
    struct kw_scheme *scheme = &out->use.scheme;
    struct kw_rv r = associated == NULL ? kw_policy_mechanism(mechanism, flag, &out->use)
                                        : kw_policy_authenticated(mechanism, associated->bytes, associated->len, &out->use);
    if (kw_ok(r) && !kw_policy_allows(out->use.row, s->slot->config->mechanisms)) {
        r = KW_FAIL(CKR_MECHANISM_INVALID, "the configuration of the slot does not allow this mechanism (mechanisms =)");
    }
    if (kw_ok(r) && scheme->context_len > 0) {
        out->context = malloc(scheme->context_len);
        if (out->context == NULL) {
            return KW_FAIL(CKR_HOST_MEMORY, "no memory for the context of an envelope");
        }
        memcpy(out->context, scheme->context, scheme->context_len);
        scheme->context = out->context;
    }
    return r;
}

static struct kw_rv wrap_key(struct kw_session *s, const struct kw_scheme *scheme, struct kw_key_pair keys, struct kw_out out)
{
    struct kw_object_view cmk;
    struct kw_object_view key;
    cmk.object = key.object = NULL;
    struct kw_rv r = lookup_as(s, keys.wrapping, KW_FAIL(CKR_WRAPPING_KEY_HANDLE_INVALID, "there is no such wrapping key"), &cmk);
    if (kw_ok(r)) {
        r = lookup_as(s, keys.key, KW_FAIL(CKR_KEY_HANDLE_INVALID, "there is no such key to wrap"), &key);
    }
    if (kw_ok(r)) {
        r = wrap_looked_up(s, scheme, &cmk, &key, out);
    }
    kw_object_put(&cmk);
    kw_object_put(&key);
    return r;
}

struct kw_rv kw_wrap_key(struct kw_session *s, const CK_MECHANISM *mechanism, struct kw_key_pair keys, const struct kw_in *associated,
                         struct kw_out out)
{
    struct asked asked = {0};
    if (out.len == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "there is no place for the length of the wrapped key");
    }
    struct kw_rv r = ask(s, mechanism, CKF_WRAP, associated, &asked);
    if (kw_ok(r)) {
        r = wrap_key(s, &asked.use.scheme, keys, out);
    }
    free(asked.context);
    return r;
}

/* Whether a blob of this length can hold the data key that is asked for. */
static bool length_fits(const struct kw_scheme *scheme, unsigned cmk_bits, size_t blob, const struct kw_dek_spec *spec)
{
    struct kw_scheme_range range;
    if (scheme->format == KW_FORMAT_ENVELOPE) {
        return true; /* the engine judges it: every bad one takes the same way */
    }
    if (scheme->format == KW_FORMAT_OAEP || scheme->format == KW_FORMAT_RSA_AES) {
        return blob <= KW_BLOB_MAX; /* and of these, too: the modulus may be another than when the handle was given out, or not have been read then */
    }
    if (blob > KW_BLOB_MAX || !kw_scheme_range(scheme, cmk_bits, blob, &range)) {
        return false;
    }
    return spec->len == 0 || kw_scheme_blob_len(scheme, cmk_bits, spec->len) == blob;
}

static struct kw_rv unwrap_looked_up(struct kw_session *s, const struct kw_scheme *scheme, const struct kw_object_view *cmk,
                                     struct kw_in blob, struct kw_dek *dek)
{
    uint8_t copy[KW_BLOB_MAX];
    size_t asked = dek->spec.len;
    if (cmk->kind != KW_OBJECT_CMK) {
        return KW_FAIL(CKR_KEY_FUNCTION_NOT_PERMITTED, "a data key unwraps nothing");
    }
    if (!kw_scheme_fits(scheme, cmk->version.type)) {
        return KW_FAIL(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, "the mechanism is not for a CMK of this type");
    }
    if (cmk->class == CKO_PUBLIC_KEY) {
        return KW_FAIL(CKR_KEY_FUNCTION_NOT_PERMITTED, "the public half of an RSA CMK wraps, the private half unwraps");
    }
    if (!length_fits(scheme, cmk->version.bits, blob.len, &dek->spec)) {
        return KW_FAIL(CKR_WRAPPED_KEY_INVALID, "no wrapped data key of this kind has this length");
    }
    size_t len = blob.len <= sizeof copy ? blob.len : 0; /* what is too long for an envelope is none, as good as nothing */
    memcpy(copy, blob.bytes, len);
    /* A broker that looked its key up by label goes on after a rotation with the handle that it has. */
    const struct kw_unwrapping u = {
        .version = cmk->version.version, .meant = &cmk->version, .older_too = cmk->was_active, .scheme = *scheme, .blob = copy, .len = len};
    struct kw_rv r = kw_engine_unwrap(kw_library()->engine, s->slot->index, &u, dek);
    if (kw_ok(r) && asked != 0 && asked != dek->spec.len) {
        if (dek->value == NULL) {
            struct kw_rv gone = kw_engine_destroy(kw_library()->engine, s->slot->index, dek);
            (void)gone; /* the error below is the one to tell */
        }
        kw_secret_free(dek->value);
        r = KW_FAIL(CKR_WRAPPED_KEY_INVALID, "the wrapped key has another length than CKA_VALUE_LEN says");
    }
    return r;
}

static struct kw_rv unwrap_key(struct kw_session *s, const struct kw_scheme *scheme, const struct kw_wrapped_in *wrapped,
                               struct kw_template_in template, CK_OBJECT_HANDLE *key)
{
    const struct kw_making_of of = {KW_MAKING_UNWRAP, CK_UNAVAILABLE_INFORMATION, s->slot->config->sealed};
    struct kw_dek_request request;
    struct kw_object_view cmk;
    cmk.object = NULL;
    bool making = false;
    struct kw_rv r = kw_policy_data_key(&of, template.items, template.count, &request);
    if (kw_ok(r) && request.spec.token) {
        r = kw_session_begin_making(s, true);
        making = kw_ok(r);
    }
    if (kw_ok(r)) {
        r = lookup_as(s, wrapped->unwrapping, KW_FAIL(CKR_UNWRAPPING_KEY_HANDLE_INVALID, "there is no such unwrapping key"), &cmk);
    }
    if (kw_ok(r)) {
        struct kw_dek dek = {.spec = request.spec};
        r = unwrap_looked_up(s, scheme, &cmk, wrapped->blob, &dek);
        if (kw_ok(r)) {
            r = kw_object_adopt(s, &dek, key);
        }
    }
    if (making) {
        kw_session_end_making(s, true);
    }
    kw_object_put(&cmk);
    return r;
}

struct kw_rv kw_unwrap_key(struct kw_session *s, const CK_MECHANISM *mechanism, struct kw_wrapped_in wrapped,
                           struct kw_template_in template, CK_OBJECT_HANDLE *key)
{
    struct asked asked = {0};
    if (wrapped.blob.bytes == NULL || key == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "the wrapped key or the place for the key handle is NULL");
    }
    struct kw_rv r = ask(s, mechanism, CKF_UNWRAP, wrapped.associated, &asked);
    if (kw_ok(r)) {
        r = unwrap_key(s, &asked.use.scheme, &wrapped, template, key);
    }
    free(asked.context);
    return r;
}
