#include "envelope.h"

#include <string.h>

static const uint8_t magic[4] = "KWE1";
static const char label[] = "keyward envelope v1"; /* with its NUL, the first bytes of the associated data */

/* Where the fields of the header are. */
enum { HOW_AT = 4, TYPE_AT = 5, WRAPPED_LEN_AT = 6, LINEAGE_AT = 8, VERSION_AT = 20, NONCE_AT = 24 };
enum { TYPE_AES = 1, TYPE_GENERIC = 2 };

static uint8_t type_byte(CK_KEY_TYPE type)
{
    return type == CKK_AES ? TYPE_AES : TYPE_GENERIC;
}

static size_t origin_len(enum kw_envelope_how how)
{
    return how == KW_ENVELOPE_AES_KW ? 0 : KW_ENVELOPE_ORIGIN;
}

static void put16(uint8_t *out, size_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

static void put32(uint8_t *out, uint32_t value)
{
    put16(out, value >> 16);
    put16(out + 2, value & 0xffff);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool wrapped_len_fits(enum kw_envelope_how how, size_t n)
{
    if (how == KW_ENVELOPE_AES_KW) {
        return n == KW_ENVELOPE_AES_WRAPPED;
    }
    return n == 2048 / 8 || n == 3072 / 8 || n == 4096 / 8;
}

static bool key_len_fits(CK_KEY_TYPE type, size_t len)
{
    return type == CKK_AES ? len == 16 || len == 24 || len == 32 : len > 0 && len <= KW_DEK_LENGTH_MAX;
}

const char *kw_envelope_parse(const uint8_t *bytes, size_t len, struct kw_envelope *out)
{
    if (len < KW_ENVELOPE_HEADER || memcmp(bytes, magic, sizeof magic) != 0) {
        return "it does not begin as an envelope does";
    }
    if (bytes[HOW_AT] < KW_ENVELOPE_AES_KW || bytes[HOW_AT] > KW_ENVELOPE_OAEP_SHA1) {
        return "its content key is wrapped in an unknown way";
    }
    if (bytes[TYPE_AT] != TYPE_AES && bytes[TYPE_AT] != TYPE_GENERIC) {
        return "its data key is of an unknown type";
    }
    struct kw_envelope e = {
        .how = (enum kw_envelope_how)bytes[HOW_AT],
        .type = bytes[TYPE_AT] == TYPE_AES ? CKK_AES : CKK_GENERIC_SECRET,
        .version = get32(bytes + VERSION_AT),
        .wrapped = bytes + KW_ENVELOPE_HEADER,
        .wrapped_len = (size_t)bytes[WRAPPED_LEN_AT] << 8 | bytes[WRAPPED_LEN_AT + 1],
    };
    memcpy(e.lineage, bytes + LINEAGE_AT, sizeof e.lineage);
    memcpy(e.nonce, bytes + NONCE_AT, sizeof e.nonce);
    if (e.version == 0) {
        return "it names no version of a CMK";
    }
    if (!wrapped_len_fits(e.how, e.wrapped_len)) {
        return "its wrapped content key has an impossible length";
    }
    size_t before = KW_ENVELOPE_HEADER + e.wrapped_len + origin_len(e.how);
    if (len < before + KW_GCM_TAG_SIZE || !key_len_fits(e.type, len - before - KW_GCM_TAG_SIZE)) {
        return "it is cut off, or longer than its data key";
    }
    e.origin = origin_len(e.how) > 0 ? e.wrapped + e.wrapped_len : NULL;
    e.sealed = bytes + before;
    e.sealed_len = len - before;
    *out = e;
    return NULL;
}

size_t kw_envelope_len(enum kw_envelope_how how, size_t wrapped_len, size_t len)
{
    return KW_ENVELOPE_HEADER + wrapped_len + origin_len(how) + len + KW_GCM_TAG_SIZE;
}

size_t kw_envelope_write(const struct kw_envelope *e, uint8_t *out)
{
    uint8_t *at = out + KW_ENVELOPE_HEADER;
    memcpy(out, magic, sizeof magic);
    out[HOW_AT] = (uint8_t)e->how;
    out[TYPE_AT] = type_byte(e->type);
    put16(out + WRAPPED_LEN_AT, e->wrapped_len);
    memcpy(out + LINEAGE_AT, e->lineage, sizeof e->lineage);
    put32(out + VERSION_AT, e->version);
    memcpy(out + NONCE_AT, e->nonce, sizeof e->nonce);
    memcpy(at, e->wrapped, e->wrapped_len);
    at += e->wrapped_len;
    if (e->origin != NULL) {
        memcpy(at, e->origin, KW_ENVELOPE_ORIGIN);
        at += KW_ENVELOPE_ORIGIN;
    }
    memcpy(at, e->sealed, e->sealed_len);
    at += e->sealed_len;
    return (size_t)(at - out);
}

/* The associated data, in parts; `room` holds those that are not borrowed. A context of 64 KiB has the length 0: it ends the associated data,
 * whose own length GCM authenticates, so nothing else looks like it. */
struct bound {
    uint8_t fixed[1 + KW_LINEAGE_SIZE];
    uint8_t lens[3][2];
    struct kw_gcm gcm;
};

static void add(struct kw_gcm *g, const void *bytes, size_t len)
{
    g->parts[g->count] = bytes;
    g->lens[g->count] = len;
    g->count++;
}

static struct kw_rv bind(const struct kw_envelope *e, const struct kw_envelope_place *place, const struct kw_secret *key,
                         struct bound *b)
{
    size_t tenant_len = place->tenant == NULL ? 0 : strlen(place->tenant);
    size_t geo_len = place->geo == NULL ? 0 : strlen(place->geo);
    if (place->context_len > KW_ENVELOPE_CONTEXT_MAX) {
        return KW_FAIL(CKR_MECHANISM_PARAM_INVALID, "the context is longer than 64 KiB");
    }
    if (tenant_len > UINT16_MAX || geo_len > UINT16_MAX) {
        return KW_FAIL(CKR_GENERAL_ERROR, "the tenant or the geo of the slot is longer than an envelope can bind");
    }
    b->gcm = (struct kw_gcm){.key = kw_secret_peek(key), .nonce = e->nonce};
    b->fixed[0] = type_byte(e->type);
    memcpy(b->fixed + 1, e->lineage, sizeof e->lineage);
    put16(b->lens[0], tenant_len);
    put16(b->lens[1], geo_len);
    put16(b->lens[2], place->context_len & UINT16_MAX);
    add(&b->gcm, label, sizeof label);
    add(&b->gcm, b->fixed, sizeof b->fixed);
    add(&b->gcm, b->lens[0], sizeof b->lens[0]);
    add(&b->gcm, place->tenant, tenant_len);
    add(&b->gcm, b->lens[1], sizeof b->lens[1]);
    add(&b->gcm, place->geo, geo_len);
    add(&b->gcm, b->lens[2], sizeof b->lens[2]);
    add(&b->gcm, place->context, place->context_len);
    return KW_OK;
}

struct kw_rv kw_envelope_seal(const struct kw_envelope *e, const struct kw_envelope_place *place, const struct kw_secret *key,
                              const struct kw_secret *data, uint8_t *sealed)
{
    struct bound b;
    struct kw_rv r = bind(e, place, key, &b);
    return kw_ok(r) ? kw_cipher_seal(&b.gcm, kw_secret_peek(data), kw_secret_len(data), sealed) : r;
}

struct kw_rv kw_envelope_open(const struct kw_envelope *e, const struct kw_envelope_place *place, const struct kw_secret *key,
                              struct kw_secret **out)
{
    struct bound b;
    struct kw_secret *data = NULL;
    struct kw_rv r = bind(e, place, key, &b);
    if (kw_ok(r)) {
        r = kw_secret_new(kw_envelope_key_len(e), &data);
    }
    if (kw_ok(r)) {
        r = kw_cipher_open(&b.gcm, e->sealed, e->sealed_len, kw_secret_bytes(data));
    }
    if (kw_ok(r)) {
        *out = data;
        data = NULL;
    }
    kw_secret_free(data);
    return r;
}

size_t kw_envelope_origin_text(const struct kw_envelope *e, uint8_t *out)
{
    uint8_t *at = out;
    memcpy(at, magic, sizeof magic);
    at += sizeof magic;
    *at++ = (uint8_t)e->how;
    memcpy(at, e->lineage, sizeof e->lineage);
    at += sizeof e->lineage;
    put32(at, e->version);
    at += 4;
    memcpy(at, e->wrapped, e->wrapped_len);
    return (size_t)(at - out) + e->wrapped_len;
}
