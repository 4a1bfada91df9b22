#include <keyward.h>
#include <string.h>

#include "cipher.h"
#include "scene.h"

/*
 * What an attacker learns from one call: the code, and how much work was done (as far as calls to
 * the token tell). Once a second Keyward reads the master key's attributes again, whatever the
 * blob; so each blob is sent a few times and the try with the fewest calls counts.
 */
struct answer {
    CK_RV rv;
    unsigned long calls[COUNTING_FUNCTIONS];
};

enum { TRIES = 3, RANDOMS = 30 };

static unsigned long sum(const struct answer *a)
{
    unsigned long n = 0;
    for (size_t i = 0; i < COUNTING_FUNCTIONS; i++) {
        n += a->calls[i];
    }
    return n;
}

/* A series of bad blobs of one length; the first answer is what all must give. */
struct series {
    struct scene *s;
    CK_MECHANISM mechanism;
    const struct place *at; /* NULL: PLANTED or ALPHA */
    bool sensitive; /* asks for a sealed key, which takes another way through Keyward than a readable one */
    CK_RV wanted;   /* through Keyward; CKR_OK: any, as long as it is one */
    bool started;
    struct answer first;
    bool told; /* two answers differ: the oracle */
    unsigned offered; /* of which each fixture_every()-th is sent */
    unsigned count;
};

static void ask_once(struct series *q, const struct blob *blob, struct answer *out)
{
    struct scene *s = q->s;
    struct sheet t = {0};
    CK_OBJECT_HANDLE key = 0;
    uint8_t copy[SCENE_BLOB_MAX];
    const struct place *p = q->at != NULL ? q->at : &s->places[s->places[PLANTED].master != 0 ? PLANTED : ALPHA];
    memcpy(copy, blob->bytes, blob->len);
    sheet_data_key(&t, CKK_AES, q->sensitive);
    for (size_t i = 0; i < COUNTING_FUNCTIONS; i++) {
        out->calls[i] = atomic_load(&s->counts[i]);
    }
    out->rv =
        s->p11->C_UnwrapKey(p->session, &q->mechanism, p->master, copy, blob->len, t.items, t.count, &key);
    for (size_t i = 0; i < COUNTING_FUNCTIONS; i++) {
        out->calls[i] = atomic_load(&s->counts[i]) - out->calls[i];
    }
}

static void ask(struct series *q, const struct blob *blob, struct answer *out)
{
    ask_once(q, blob, out);
    for (int i = 1; i < TRIES; i++) {
        struct answer a;
        ask_once(q, blob, &a);
        if (a.rv != out->rv || sum(&a) < sum(out)) {
            *out = a;
        }
    }
}

static void send(struct series *q, const struct blob *blob)
{
    struct answer a;
    if (q->offered++ % fixture_every() != 0) {
        return;
    }
    ask(q, blob, &a);
    q->count++;
    if (!q->started) {
        q->started = true;
        q->first = a;
    }
    if (a.rv != q->first.rv || memcmp(a.calls, q->first.calls, sizeof a.calls) != 0) {
        scene_note(q->s, "mechanism 0x%lx, %lu bytes: 0x%lx after %lu calls, 0x%lx after %lu calls",
                   q->mechanism.mechanism, blob->len, q->first.rv, sum(&q->first), a.rv, sum(&a));
        q->told = true;
    }
    if (a.rv == CKR_OK) {
        scene_note(q->s, "a bad blob was accepted");
        q->told = true;
    }
    if (q->wanted != CKR_OK) {
        scene_expect(q->s, a.rv, q->wanted, "C_UnwrapKey of a bad blob");
    }
}

static void send_random(struct series *q, CK_ULONG len, unsigned times)
{
    struct blob blob = {.len = len};
    for (unsigned i = 0; i < times; i++) {
        cipher_random(blob.bytes, len);
        send(q, &blob);
    }
}

/* Blobs that pass for right down to the last check: sealed by the master key itself, with one thing
 * wrong each. */
static void send_crafted(struct series *q, const uint8_t value[SCENE_KEY_LEN], CK_ULONG len, bool padded)
{
    const uint32_t data = (uint32_t)len - 8;
    const uint32_t wrong_lengths[] = {0,        1,          data - 8,   data - 9,   data + 1,
                                      data + 8, 0x7fffffff, 0x80000000, 0xffffffff, data - 3};
    struct cipher_key key = {value, SCENE_KEY_LEN};
    struct blob blob = {.len = len};
    uint8_t plain[64];
    uint8_t iv[8];
    cipher_random(plain, sizeof plain);
    plain[data - 1] |= 1; /* padding that is not zero */
    for (size_t i = 0; i < sizeof wrong_lengths / sizeof wrong_lengths[0]; i++) {
        cipher_kwp_iv(iv, wrong_lengths[i]);
        scene_need(
            q->s, cipher_seal(&(struct cipher_mill){cipher_known_forward, &key}, iv, plain, data, blob.bytes),
            "AES");
        send(q, &blob);
    }
    for (size_t i = 0; i < 8; i++) { /* the integrity value, wrong in one byte */
        if (padded) {
            cipher_kwp_iv(iv, data);
        } else {
            cipher_kw_iv(iv);
        }
        iv[i] ^= 0x40;
        scene_need(
            q->s, cipher_seal(&(struct cipher_mill){cipher_known_forward, &key}, iv, plain, data, blob.bytes),
            "AES");
        send(q, &blob);
    }
    if (padded) {
        cipher_kw_iv(iv); /* right for the other format */
    } else {
        cipher_kwp_iv(iv, data);
    }
    scene_need(q->s,
               cipher_seal(&(struct cipher_mill){cipher_known_forward, &key}, iv, plain, data, blob.bytes),
               "AES");
    send(q, &blob);
    cipher_kw_iv(iv);
    if (padded) {
        cipher_kwp_iv(iv, data);
    }
    scene_need(q->s,
               cipher_seal(&(struct cipher_mill){cipher_known_forward, &key}, iv, plain, data, blob.bytes),
               "AES");
    for (size_t bit = 0; bit < len * 8; bit += 7) { /* a right one with one bit changed */
        blob.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        send(q, &blob);
        blob.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}

/* AES-CBC with PKCS#7 padding, a zero IV and the master key: one blob that is right, then paddings
 * that are not. */
static void send_cbc(struct series *q, const uint8_t value[SCENE_KEY_LEN])
{
    struct cipher_key key = {value, SCENE_KEY_LEN};
    for (unsigned pad = 16; pad < 64; pad++) {
        uint8_t block[16] = {0};
        struct blob blob = {.len = 48};
        for (size_t at = 0; at < blob.len; at += 16) {
            uint8_t plain[16];
            cipher_random(plain, sizeof plain);
            if (at == 32) {
                memset(plain, (int)pad, sizeof plain);
            }
            for (size_t i = 0; i < 16; i++) {
                block[i] ^= plain[i];
            }
            scene_need(q->s, cipher_known_forward(&key, block, blob.bytes + at), "AES");
            memcpy(block, blob.bytes + at, sizeof block);
        }
        send(q, &blob);
    }
}

struct padding {
    struct scene *s;
    uint8_t value[SCENE_KEY_LEN];
    unsigned sent;
    unsigned long most; /* calls for one blob */
};

/* Every bad blob of one length and mechanism. True when two answers differ. */
static bool padding_tells(struct padding *p, CK_MECHANISM *m, CK_ULONG len, bool sensitive)
{
    const bool cbc = m->mechanism == CKM_AES_CBC_PAD;
    struct series q = {.s = p->s, .mechanism = *m, .sensitive = sensitive};
    struct blob warm = {.len = 24};
    struct answer ignored;
    q.wanted = cbc ? CKR_MECHANISM_INVALID : CKR_WRAPPED_KEY_INVALID;
    ask(&q, &warm, &ignored); /* the probe of the mechanism is not part of it */
    send_random(&q, len, RANDOMS);
    if (cbc && len == 48) {
        send_cbc(&q, p->value);
    } else if (!cbc && len >= 24 && len % 8 == 0) {
        send_crafted(&q, p->value, len, m->mechanism != CKM_AES_KEY_WRAP);
    }
    p->sent += q.count;
    p->most = sum(&q.first) > p->most ? sum(&q.first) : p->most;
    return q.told;
}

/* Bad envelopes, each in another way and some of another length. */
static void send_envelopes(struct series *q, const struct blob *good)
{
    const size_t end = good->len;
    const struct {
        size_t at;
        uint8_t flip;
    } wrong[] = {{0, 1},  {4, 2},  {4, 6},  {5, 3},  {5, 1},     {6, 1},        {7, 1},        {8, 1},        {19, 0x80},   {20, 0x80},  {23, 4},
                 {23, 1}, {24, 1}, {36, 1}, {75, 1}, {end - 80, 1}, {end - 49, 1}, {end - 48, 1}, {end - 17, 1}, {end - 16, 1}, {end - 1, 1}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct blob bad = *good;
        bad.bytes[wrong[i].at] ^= wrong[i].flip;
        send(q, &bad);
    }
    for (CK_ULONG len = 1; len < good->len + 300 && len < SCENE_BLOB_MAX; len += 23) {
        struct blob bad = *good;
        bad.len = len == good->len ? len + 1 : len;
        send(q, &bad);
    }
    send_random(q, good->len, RANDOMS);
}

/* Every bad envelope, whatever is wrong with it: one code, one count of calls. `with` wraps, at->master opens. */
static bool envelopes_tell(struct padding *p, const struct place *at, CK_OBJECT_HANDLE with, bool sensitive)
{
    struct scene *s = p->s;
    struct series q = {.s = s, .mechanism = {CKM_KEYWARD_ENVELOPE, NULL, 0}, .at = at, .sensitive = sensitive, .wanted = CKR_WRAPPED_KEY_INVALID};
    const enum where w = (enum where)(at - s->places);
    uint8_t context[] = "row 2";
    CK_KEYWARD_ENVELOPE_PARAMS params = {context, sizeof context};
    struct blob good = {.len = sizeof good.bytes};
    struct blob warm = {.len = 24};
    struct answer ignored;
    CK_OBJECT_HANDLE key = scene_data_key(s, w, false);
    scene_need(s, s->p11->C_WrapKey(at->session, &q.mechanism, with, key, good.bytes, &good.len) == CKR_OK,
               "an envelope cannot be made");
    scene_destroy(s, w, key);
    ask(&q, &warm, &ignored);
    send_envelopes(&q, &good);
    q.mechanism = (CK_MECHANISM){CKM_KEYWARD_ENVELOPE, &params, sizeof params}; /* a good one, in another row */
    send(&q, &good);
    p->sent += q.count;
    p->most = sum(&q.first) > p->most ? sum(&q.first) : p->most;
    return q.told;
}

static bool planted_envelopes_tell(struct padding *p)
{
    const struct place *at = &p->s->places[PLANTED];
    return envelopes_tell(p, at, at->master, false) || envelopes_tell(p, at, at->master, true);
}

static bool any_padding_tells(struct padding *p)
{
    static const CK_MECHANISM_TYPE types[] = {CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_PAD, CKM_AES_KEY_WRAP_KWP,
                                              CKM_AES_CBC_PAD};
    static const CK_ULONG lengths[] = {24, 32, 40, 48, 1, 8, 16, 23, 25, 31, 33, 41};
    uint8_t iv[16] = {0};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (size_t m = 0; m < 4; m++) {
            bool cbc = types[m] == CKM_AES_CBC_PAD;
            CK_MECHANISM mechanism = {types[m], cbc ? iv : NULL, cbc ? sizeof iv : 0};
            if (padding_tells(p, &mechanism, lengths[i], false) ||
                padding_tells(p, &mechanism, lengths[i], true)) {
                return true;
            }
        }
    }
    return !p->s->direct && planted_envelopes_tell(p);
}

/* Version `number` of a lineage as Keyward makes them (DESIGN section 4), with the value given;
 * wrong as outsider.h says. */
static void plant_version(struct scene *s, const struct padding *p, uint8_t number, unsigned wrong)
{
    static const uint8_t canary[16] = "keyward canary 1";
    struct outsider_plant o = {
        .label = "planted", .id = {'k', 'w'}, .id_len = 48, .len = SCENE_KEY_LEN, .known = true};
    memcpy(o.value, p->value, sizeof o.value);
    o.value[0] ^= (uint8_t)(number - 1);
    o.wrong = wrong;
    o.id[15] = number;
    o.id[16] = 1;
    o.id[19] = 1;
    scene_need(s, cipher_kw_wrap(&(struct cipher_key){o.value, o.len}, canary, sizeof canary, o.id + 24),
               "AES");
    scene_outside(s, outsider_plant, &o, sizeof o);
}

enum verdict attack_padding(struct scene *s)
{
    struct padding p = {.s = s};
    scene_plant(s, PLANTED, 0, p.value);
    scene_enter(s, PLANTED);
    scene_need(s, s->places[PLANTED].master != 0 && scene_try_wrap(s, PLANTED) == CKR_OK,
               "the planted key does not wrap");
    if (any_padding_tells(&p)) {
        return SUCCEEDS;
    }
    if (!s->direct) { /* once more with two versions, one of them retired: both are tried, for every blob */
        scene_uproot(s, PLANTED);
        plant_version(s, &p, 1, PLANT_RETIRED);
        plant_version(s, &p, 2, 0);
        scene_restart(s);
        scene_enter(s, PLANTED);
        scene_need(s, s->places[PLANTED].master != 0 && scene_try_wrap(s, PLANTED) == CKR_OK,
                   "two versions do not wrap");
        if (any_padding_tells(&p)) {
            return SUCCEEDS;
        }
    }
    scene_note(s, "%u bad blobs: per mechanism and length one code and one count of calls (at most %lu)",
               p.sent, p.most);
    return REFUSED;
}

/* Through Keyward the other RSA mechanisms end before the token is asked: one code, no call. */
static enum verdict refused_unasked(struct scene *s, CK_MECHANISM *m)
{
    struct outsider_rsa rsa = {.label = "planted"};
    struct series q = {.s = s, .mechanism = *m, .wanted = CKR_MECHANISM_INVALID};
    struct blob blob = {.len = CIPHER_RSA_BYTES};
    uint8_t plain[CIPHER_RSA_BYTES] = {0};
    struct sheet private_keys = {0};
    CK_OBJECT_HANDLE found = 0;
    scene_outside(s, outsider_rsa, &rsa, sizeof rsa);
    scene_enter(s, ALPHA);
    scene_enter(s, PLANTED);
    sheet_ulong(&private_keys, CKA_CLASS, CKO_PRIVATE_KEY);
    scene_need(s, scene_find(s, PLANTED, &private_keys, &found, 1) == 1, "the private half is not shown");
    s->places[PLANTED].master = found;
    for (unsigned i = 0; i < RANDOMS; i++) {
        cipher_random(plain, sizeof plain);
        plain[0] = (uint8_t)(i % 2); /* what Manger's attack tells apart */
        plain[1] = 2;                /* and Bleichenbacher's */
        scene_need(s, cipher_rsa(rsa.modulus, CIPHER_RAW, plain, sizeof plain, blob.bytes), "RSA");
        send(&q, &blob);
    }
    scene_need(s, cipher_rsa(rsa.modulus, CIPHER_PKCS1, s->dek, sizeof s->dek, blob.bytes), "RSA");
    send(&q, &blob);
    scene_need(s, cipher_rsa(rsa.modulus, CIPHER_OAEP, s->dek, sizeof s->dek, blob.bytes), "RSA");
    send(&q, &blob);
    send_random(&q, CIPHER_RSA_BYTES, RANDOMS);
    if (!q.told && sum(&q.first) != 0) {
        scene_note(s, "mechanism 0x%lx: the token was asked", m->mechanism);
        s->report->odd = true;
    }
    return q.told ? SUCCEEDS : REFUSED;
}

enum verdict attack_bleichenbacher_here(struct scene *s)
{
    CK_MECHANISM pkcs = {CKM_RSA_PKCS, NULL, 0};
    CK_MECHANISM raw = {CKM_RSA_X_509, NULL, 0};
    if (refused_unasked(s, &pkcs) == SUCCEEDS) {
        return SUCCEEDS;
    }
    struct series q = {.s = s, .mechanism = raw, .wanted = CKR_MECHANISM_INVALID};
    send_random(&q, CIPHER_RSA_BYTES, RANDOMS);
    return q.told ? SUCCEEDS : REFUSED;
}

/* What Manger's attack tells apart, and what OAEP's later checks would: one code and one count of calls. */
enum verdict attack_manger_here(struct scene *s)
{
    CK_RSA_PKCS_OAEP_PARAMS params = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
    struct outsider_rsa rsa = {.label = "planted"};
    struct series q = {.s = s, .mechanism = {CKM_RSA_PKCS_OAEP, &params, sizeof params}, .wanted = CKR_WRAPPED_KEY_INVALID};
    struct blob blob = {.len = CIPHER_RSA_BYTES};
    uint8_t plain[CIPHER_RSA_BYTES] = {0};
    struct sheet private_keys = {0};
    struct answer good;
    scene_outside(s, outsider_rsa, &rsa, sizeof rsa);
    scene_enter(s, PLANTED);
    sheet_ulong(&private_keys, CKA_CLASS, CKO_PRIVATE_KEY);
    scene_need(s, scene_find(s, PLANTED, &private_keys, &s->places[PLANTED].master, 1) == 1, "the private half is not shown");
    scene_need(s, cipher_rsa(rsa.modulus, CIPHER_OAEP, s->dek, sizeof s->dek, blob.bytes), "RSA");
    ask(&q, &blob, &good);
    scene_need(s, good.rv == CKR_OK, "a right blob does not open");
    for (unsigned i = 0; i < 2 * RANDOMS; i++) {
        cipher_random(plain, sizeof plain);
        plain[0] = (uint8_t)(i % 2); /* below any modulus of 2048 bits */
        scene_need(s, cipher_rsa(rsa.modulus, CIPHER_RAW, plain, sizeof plain, blob.bytes), "RSA");
        send(&q, &blob);
    }
    memset(blob.bytes, 0xff, blob.len); /* not below the modulus, which of the random ones some are or none, as the modulus is */
    send(&q, &blob);
    send_random(&q, CIPHER_RSA_BYTES, RANDOMS);
    scene_note(s, "%u bad blobs: one code and one count of calls (%lu)", q.count, sum(&q.first));
    return q.told ? SUCCEEDS : REFUSED;
}

/* At the vendor's module: an RSA pair of our own. */
struct rsa {
    CK_OBJECT_HANDLE private_key;
    uint8_t modulus[CIPHER_RSA_BYTES];
};

static void make_rsa(struct scene *s, struct rsa *out)
{
    static const uint8_t exponent[] = {1, 0, 1};
    CK_MECHANISM m = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_OBJECT_HANDLE public_key = 0;
    struct sheet a = {0};
    struct sheet b = {0};
    sheet_bool(&a, CKA_WRAP, true);
    sheet_ulong(&a, CKA_MODULUS_BITS, 2048);
    sheet_bytes(&a, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent);
    sheet_bool(&b, CKA_UNWRAP, true);
    sheet_bool(&b, CKA_DECRYPT, false);
    CK_SESSION_HANDLE session = s->places[ALPHA].session;
    CK_RV rv = s->p11->C_GenerateKeyPair(session, &m, a.items, a.count, b.items, b.count, &public_key,
                                         &out->private_key);
    CK_ATTRIBUTE modulus = {CKA_MODULUS, out->modulus, sizeof out->modulus};
    scene_need(s, rv == CKR_OK && s->p11->C_GetAttributeValue(session, public_key, &modulus, 1) == CKR_OK,
               "RSA pair");
}

static CK_RV rsa_unwrap(struct scene *s, CK_MECHANISM *m, const struct rsa *rsa,
                        uint8_t blob[CIPHER_RSA_BYTES])
{
    struct sheet t = {0};
    CK_OBJECT_HANDLE key = 0;
    sheet_data_key(&t, CKK_AES, false);
    CK_RV rv = s->p11->C_UnwrapKey(s->places[ALPHA].session, m, rsa->private_key, blob, CIPHER_RSA_BYTES,
                                   t.items, t.count, &key);
    return rv == CKR_OK && !scene_reads_dek(s, ALPHA, key) ? CKR_DATA_INVALID : rv;
}

/* The oracle of PKCS#1 v1.5: a conforming ciphertext is told from others by the code. */
enum verdict attack_bleichenbacher(struct scene *s)
{
    CK_MECHANISM m = {CKM_RSA_PKCS, NULL, 0};
    uint8_t blob[CIPHER_RSA_BYTES];
    struct rsa rsa;
    scene_enter(s, ALPHA);
    make_rsa(s, &rsa);
    scene_need(s, cipher_rsa(rsa.modulus, CIPHER_PKCS1, s->dek, sizeof s->dek, blob), "RSA");
    CK_RV conforming = rsa_unwrap(s, &m, &rsa, blob);
    unsigned told = 0;
    for (unsigned i = 0; i < RANDOMS; i++) {
        cipher_random(blob, sizeof blob);
        blob[0] = 0;
        told += rsa_unwrap(s, &m, &rsa, blob) != conforming;
    }
    scene_note(s, "%u of %u bad ciphertexts told from a conforming one by the code", told, RANDOMS);
    return conforming == CKR_OK && told > 0 ? SUCCEEDS : REFUSED;
}

/* Manger's oracle on OAEP: the first byte of the plaintext, zero or not, shows in the code. */
enum verdict attack_manger(struct scene *s)
{
    CK_RSA_PKCS_OAEP_PARAMS params = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
    CK_MECHANISM m = {CKM_RSA_PKCS_OAEP, &params, sizeof params};
    uint8_t plain[CIPHER_RSA_BYTES];
    uint8_t blob[CIPHER_RSA_BYTES];
    CK_RV first = CKR_OK;
    struct rsa rsa;
    scene_enter(s, ALPHA);
    make_rsa(s, &rsa);
    scene_need(s,
               cipher_rsa(rsa.modulus, CIPHER_OAEP, s->dek, sizeof s->dek, blob) &&
                   rsa_unwrap(s, &m, &rsa, blob) == CKR_OK,
               "OAEP does not work");
    for (unsigned i = 0; i < 2 * RANDOMS; i++) {
        cipher_random(plain, sizeof plain);
        plain[0] = (uint8_t)(i % 2); /* below any modulus of 2048 bits */
        scene_need(s, cipher_rsa(rsa.modulus, CIPHER_RAW, plain, sizeof plain, blob), "RSA");
        CK_RV rv = rsa_unwrap(s, &m, &rsa, blob);
        first = i == 0 ? rv : first;
        if (rv != first) {
            scene_note(s, "0x%lx for a first byte of zero, 0x%lx for another", first, rv);
            return SUCCEEDS;
        }
    }
    return REFUSED;
}

/* Whoever has the public key wraps a data key of his own; the victim takes it for his. */
enum verdict attack_rsa_forge(struct scene *s)
{
    CK_RSA_PKCS_OAEP_PARAMS params = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
    CK_MECHANISM m = {CKM_RSA_PKCS_OAEP, &params, sizeof params};
    uint8_t blob[CIPHER_RSA_BYTES];
    struct rsa rsa;
    scene_enter(s, ALPHA);
    make_rsa(s, &rsa);
    scene_need(s, cipher_rsa(rsa.modulus, CIPHER_OAEP, s->dek, sizeof s->dek, blob), "RSA");
    return rsa_unwrap(s, &m, &rsa, blob) == CKR_OK ? SUCCEEDS : REFUSED;
}

/* Envelopes under an RSA key: the tag is looked at first, so no bad one tells anything of what OAEP made of it. */
enum verdict attack_envelope_oracle(struct scene *s)
{
    struct padding p = {.s = s};
    CK_OBJECT_HANDLE halves[2];
    if (s->direct) {
        return attack_manger(s);
    }
    scene_pair(s, halves);
    struct place *at = &s->places[ENVELOPED];
    at->master = halves[1];
    bool told = envelopes_tell(&p, at, halves[0], false) || envelopes_tell(&p, at, halves[0], true);
    scene_note(s, "%u bad envelopes: one code and one count of calls (%lu)", p.sent, p.most);
    return told ? SUCCEEDS : REFUSED;
}
