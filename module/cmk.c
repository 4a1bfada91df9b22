#include "cmk.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "digest.h"
#include "log.h"
#include "template.h"

/* What every canary holds: 16 bytes, known to everybody. */
static const uint8_t canary_plain[16] = "keyward canary 1";

enum { FIND_BATCH = 16, FRESH_MS = 1000, RESTLESS_MS = 3000, DOUBT_TRIES = 12, DOUBT_US = 3000 };

/* The canary that a version had when it was proven. Somebody with the PIN can put another key with another canary in its place; this
 * process does not take it for the same version any more. It also is the canary of an adopted key, whose CKA_ID has no room for one. */
struct pin {
    uint8_t lineage[KW_LINEAGE_SIZE];
    uint32_t version;
    uint8_t canary[KW_CANARY_SIZE];
};

struct kw_cmk {
    const char *label;
    pthread_mutex_t lock;
    struct kw_snapshot *latest;
    struct timespec read_at;
    struct timespec changed_at; /* when a reading last differed from the one before; zero: never */
    atomic_bool reopened; /* for having found no key at all */
    size_t pin_count;
    size_t pin_room;
    struct pin *pins; /* what was proven, for the life of the process */
};

struct kw_rv kw_cmk_new(const char *label, struct kw_cmk **out)
{
    struct kw_cmk *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for the versions of a key");
    }
    c->label = label;
    (void)pthread_mutex_init(&c->lock, NULL);
    *out = c;
    return KW_OK;
}

const char *kw_cmk_label(const struct kw_cmk *c)
{
    return c->label;
}

void kw_snapshot_put(struct kw_snapshot *s)
{
    if (s != NULL && atomic_fetch_sub(&s->references, 1) == 1) {
        free(s);
    }
}

void kw_cmk_free(struct kw_cmk *c)
{
    if (c != NULL) {
        kw_snapshot_put(c->latest);
        free(c->pins);
        (void)pthread_mutex_destroy(&c->lock);
        free(c);
    }
}

struct kw_cmk_entry *kw_snapshot_version(struct kw_snapshot *s, uint32_t version)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->entries[i].version.version == version) {
            return &s->entries[i];
        }
    }
    return NULL;
}

static bool is_ours(const struct kw_cmk_readback *a)
{
    return a->id_len == KW_CMK_FULL_ID && memcmp(a->id, "kw", 2) == 0;
}

/* SoftHSM shows CKA_VALUE_LEN 0 for a key that came by C_UnwrapKey, so such a version tells its size in the upper half of the origin
 * byte: 1, 2, 3 for 16, 24, 32 bytes. */
static CK_ULONG told_length(uint8_t origin)
{
    unsigned code = origin >> 4;
    return code >= 1 && code <= 3 ? 8 + 8 * (CK_ULONG)code : 0;
}

struct kw_rv kw_cmk_read(struct kw_lease *lease, CK_OBJECT_HANDLE key, struct kw_cmk_readback *out)
{
    memset(out, 0, sizeof *out);
    CK_ATTRIBUTE t[] = {
        {CKA_TOKEN, &out->token, sizeof out->token},
        {CKA_PRIVATE, &out->private, sizeof out->private},
        {CKA_SENSITIVE, &out->sensitive, sizeof out->sensitive},
        {CKA_EXTRACTABLE, &out->extractable, sizeof out->extractable},
        {CKA_ENCRYPT, &out->encrypt, sizeof out->encrypt},
        {CKA_DECRYPT, &out->decrypt, sizeof out->decrypt},
        {CKA_SIGN, &out->sign, sizeof out->sign},
        {CKA_VERIFY, &out->verify, sizeof out->verify},
        {CKA_DERIVE, &out->derive, sizeof out->derive},
        {CKA_WRAP, &out->wrap, sizeof out->wrap},
        {CKA_UNWRAP, &out->unwrap, sizeof out->unwrap},
        {CKA_KEY_TYPE, &out->type, sizeof out->type},
        {CKA_VALUE_LEN, &out->len, sizeof out->len},
        {CKA_ID, out->id, sizeof out->id},
    };
    const CK_ULONG count = sizeof t / sizeof t[0];
    CK_ULONG sizes[sizeof t / sizeof t[0]];
    for (CK_ULONG i = 0; i < count; i++) {
        sizes[i] = t[i].ulValueLen;
    }
    CK_RV rv = lease->call->C_GetAttributeValue(lease->session, key, t, count);
    if (rv != CKR_OK && rv != CKR_ATTRIBUTE_TYPE_INVALID && rv != CKR_ATTRIBUTE_SENSITIVE && rv != CKR_BUFFER_TOO_SMALL) {
        return kw_lease_check(lease, rv, "C_GetAttributeValue");
    }
    out->complete = rv == CKR_OK;
    for (CK_ULONG i = 0; i < count; i++) {
        bool is_id = t[i].type == CKA_ID;
        out->complete &= is_id ? t[i].ulValueLen <= sizes[i] : t[i].ulValueLen == sizes[i];
    }
    out->id_len = out->complete ? t[count - 1].ulValueLen : 0;
    if (out->complete && out->len == 0 && is_ours(out)) {
        out->len = told_length(out->id[16]);
    }
    return KW_OK;
}

const char *kw_cmk_judge(const struct kw_cmk_readback *a)
{
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
    if (a->type != CKK_AES || (a->len != 16 && a->len != 24 && a->len != 32)) {
        return "it is no AES key of 128, 192 or 256 bits";
    }
    return NULL;
}

static uint32_t big_endian(const uint8_t *p, size_t n)
{
    uint32_t v = 0;
    while (n-- > 0) {
        v = v << 8 | *p++;
    }
    return v;
}

static struct kw_rv set_fingerprint(struct kw_cmk_entry *e)
{
    uint8_t hash[KW_SHA256_SIZE];
    const void *const parts[] = {e->canary};
    const size_t lens[] = {KW_CANARY_SIZE};
    struct kw_rv r = kw_digest_sha256(parts, lens, 1, hash);
    if (kw_ok(r)) {
        memcpy(e->version.fingerprint, hash, KW_FINGERPRINT_SIZE);
        e->version.has_fingerprint = true;
        e->has_canary = true;
    }
    return r;
}

/* The pin of a version, or NULL. The lock is held. */
static const struct pin *find_pin_locked(const struct kw_cmk *c, const struct kw_version *v)
{
    for (size_t i = 0; i < c->pin_count; i++) {
        if (c->pins[i].version == v->version && memcmp(c->pins[i].lineage, v->lineage, KW_LINEAGE_SIZE) == 0) {
            return &c->pins[i];
        }
    }
    return NULL;
}

/* Copies the pinned canary; false when the version has none. */
static bool get_pin(struct kw_cmk *c, const struct kw_version *v, uint8_t canary[KW_CANARY_SIZE])
{
    pthread_mutex_lock(&c->lock);
    const struct pin *pin = find_pin_locked(c, v);
    if (pin != NULL) {
        memcpy(canary, pin->canary, KW_CANARY_SIZE);
    }
    pthread_mutex_unlock(&c->lock);
    return pin != NULL;
}

static struct kw_rv set_pin(struct kw_cmk *c, const struct kw_version *v, const uint8_t canary[KW_CANARY_SIZE])
{
    struct kw_rv r = KW_OK;
    pthread_mutex_lock(&c->lock);
    if (find_pin_locked(c, v) != NULL) {
        goto done;
    }
    if (c->pin_count == c->pin_room) {
        size_t room = c->pin_room == 0 ? 8 : c->pin_room * 2;
        struct pin *more = reallocarray(c->pins, room, sizeof *more);
        if (more == NULL) {
            r = KW_FAIL(CKR_HOST_MEMORY, "no memory for what was proven of a key");
            goto done;
        }
        c->pins = more;
        c->pin_room = room;
    }
    struct pin *pin = &c->pins[c->pin_count++];
    pin->version = v->version;
    memcpy(pin->lineage, v->lineage, KW_LINEAGE_SIZE);
    memcpy(pin->canary, canary, KW_CANARY_SIZE);
done:
    pthread_mutex_unlock(&c->lock);
    return r;
}

/* A key that was made elsewhere is adopted as version 1; its lineage follows from its label and CKA_ID. */
static struct kw_rv adopt(struct kw_cmk *c, const struct kw_cmk_readback *a, struct kw_cmk_entry *e)
{
    uint8_t hash[KW_SHA256_SIZE];
    const void *const parts[] = {"keyward adopted", c->label, a->id};
    const size_t lens[] = {16, strlen(c->label) + 1, a->id_len};
    struct kw_rv r = kw_digest_sha256(parts, lens, 3, hash);
    if (!kw_ok(r)) {
        return r;
    }
    memcpy(e->version.lineage, "kw", 2);
    memcpy(e->version.lineage + 2, hash, KW_LINEAGE_SIZE - 2);
    e->version.version = 1;
    e->version.origin = KW_ORIGIN_UNKNOWN;
    if (get_pin(c, &e->version, e->canary)) {
        return set_fingerprint(e);
    }
    if (!a->wrap && a->unwrap && e->version.problem == NULL) {
        e->version.problem = "it has no canary and may not wrap, so nothing proves which key it is";
    }
    return KW_OK;
}

/* A version of ours carries its canary in its CKA_ID. */
static struct kw_rv recognize(struct kw_cmk *c, const struct kw_cmk_readback *a, struct kw_cmk_entry *e)
{
    uint8_t pinned[KW_CANARY_SIZE];
    unsigned origin = a->id[16] & 15;
    memcpy(e->version.lineage, a->id, KW_LINEAGE_SIZE);
    e->version.version = big_endian(a->id + 12, 4);
    e->version.origin = origin <= KW_ORIGIN_IMPORTED ? (enum kw_origin)origin : KW_ORIGIN_UNKNOWN;
    e->version.created = big_endian(a->id + 17, 3);
    e->version.purge = big_endian(a->id + 20, 4);
    memcpy(e->canary, a->id + 24, KW_CANARY_SIZE);
    if (e->version.purge == KW_CMK_UNFINISHED) {
        e->version.problem = "it is not finished; `keyward repair` finishes or removes it";
    }
    if (get_pin(c, &e->version, pinned) && memcmp(pinned, e->canary, KW_CANARY_SIZE) != 0) {
        e->version.problem = "another key stands in its place: its fingerprint is not the one that was proven before";
    }
    return set_fingerprint(e);
}

static enum kw_state state_of(const struct kw_cmk_readback *a, uint32_t purge)
{
    if (a->wrap) {
        return KW_STATE_ACTIVE;
    }
    if (a->unwrap) {
        return KW_STATE_RETIRED;
    }
    return purge != 0 ? KW_STATE_PENDING : KW_STATE_DISABLED;
}

static struct kw_rv make_entry(struct kw_cmk *c, CK_OBJECT_HANDLE handle, const struct kw_cmk_readback *a,
                               struct kw_cmk_entry *e)
{
    memset(e, 0, sizeof *e);
    e->handle = handle;
    e->may_wrap = a->wrap;
    e->may_unwrap = a->unwrap;
    e->full_id_len = a->id_len < sizeof e->full_id ? a->id_len : sizeof e->full_id;
    memcpy(e->full_id, a->id, e->full_id_len);
    e->version.type = a->type;
    e->version.bits = a->len <= 32 ? (unsigned)a->len * 8 : 0;
    e->version.id_len = a->id_len < KW_CMK_ID_SIZE ? a->id_len : KW_CMK_ID_SIZE;
    memcpy(e->version.id, a->id, e->version.id_len);
    e->version.problem = kw_cmk_judge(a);
    struct kw_rv r = is_ours(a) ? recognize(c, a, e) : adopt(c, a, e);
    e->version.state = e->version.problem != NULL ? KW_STATE_OUT_OF_SERVICE : state_of(a, e->version.purge);
    return r;
}

static int compare_entries(const void *x, const void *y)
{
    const struct kw_cmk_entry *a = x;
    const struct kw_cmk_entry *b = y;
    bool a_active = a->version.state == KW_STATE_ACTIVE;
    bool b_active = b->version.state == KW_STATE_ACTIVE;
    if (a_active != b_active) {
        return a_active ? -1 : 1;
    }
    return a->version.version < b->version.version ? 1 : a->version.version > b->version.version ? -1 : 0;
}

static void put_out_of_service(struct kw_cmk_entry *e, const char *why)
{
    if (e->version.problem == NULL) {
        e->version.problem = why;
    }
    e->version.state = KW_STATE_OUT_OF_SERVICE;
}

/* Twins, mixed lineages and several foreign keys (ATTACKS A28). */
static void judge_lineage(struct kw_snapshot *s)
{
    bool mixed = false;
    for (size_t i = 0; i < s->count; i++) {
        struct kw_cmk_entry *e = &s->entries[i];
        mixed |= memcmp(e->version.lineage, s->entries[0].version.lineage, KW_LINEAGE_SIZE) != 0;
        if (e->version.version == 0) {
            put_out_of_service(e, "its CKA_ID names version 0");
        }
        for (size_t k = 0; k < i; k++) {
            if (s->entries[k].version.version == e->version.version) {
                put_out_of_service(e, "the token has two keys of this version");
                put_out_of_service(&s->entries[k], "the token has two keys of this version");
            }
        }
    }
    if (mixed) {
        s->problem = "keys of several lineages carry this label";
        for (size_t i = 0; i < s->count; i++) {
            put_out_of_service(&s->entries[i], s->problem);
        }
    }
    qsort(s->entries, s->count, sizeof s->entries[0], compare_entries);
}

/* The handles of all secret keys with the label; never a part of them. */
static struct kw_rv find_handles(struct kw_lease *lease, const char *label, CK_OBJECT_HANDLE out[KW_VERSIONS_MAX], size_t *count)
{
    struct kw_template t = {0};
    kw_template_ulong(&t, CKA_CLASS, CKO_SECRET_KEY);
    kw_template_bytes(&t, CKA_LABEL, label, strlen(label));
    struct kw_rv r = kw_lease_check(lease, lease->call->C_FindObjectsInit(lease->session, t.items, t.count),
                                    "C_FindObjectsInit");
    if (!kw_ok(r)) {
        return r;
    }
    CK_ULONG got = 0;
    *count = 0;
    do {
        CK_OBJECT_HANDLE batch[FIND_BATCH];
        got = 0;
        r = kw_lease_check(lease, lease->call->C_FindObjects(lease->session, batch, FIND_BATCH, &got), "C_FindObjects");
        got = got < FIND_BATCH ? got : FIND_BATCH;
        if (kw_ok(r) && *count + got > KW_VERSIONS_MAX) {
            kw_log(KW_LOG_ERROR, "token %s: more than %d keys are called %s; destroy those that are not its versions",
                   kw_backing_config(lease->backing)->name, KW_VERSIONS_MAX, label);
            r = KW_FAIL(CKR_DEVICE_MEMORY, "the token has more keys of this label than a lineage can have versions");
        }
        for (CK_ULONG i = 0; kw_ok(r) && i < got; i++) {
            out[(*count)++] = batch[i];
        }
    } while (kw_ok(r) && got > 0);
    (void)lease->call->C_FindObjectsFinal(lease->session);
    return r;
}

/* No key at all: either none was made or the token is gone, and only C_GetTokenInfo tells (HSM-FACTS, "Loss of store"). */
static struct kw_rv check_token(struct kw_lease *lease)
{
    CK_TOKEN_INFO info;
    if (lease->call->C_GetTokenInfo(kw_lease_slot(lease), &info) != CKR_OK) {
        return kw_lease_check(lease, CKR_DEVICE_REMOVED, "C_GetTokenInfo");
    }
    return KW_OK;
}

static struct kw_rv read_snapshot(struct kw_lease *lease, struct kw_cmk *c, struct kw_snapshot **out)
{
    CK_OBJECT_HANDLE handles[KW_VERSIONS_MAX];
    size_t count = 0;
    struct kw_snapshot *s = NULL;
    struct kw_rv r = find_handles(lease, c->label, handles, &count);
    if (kw_ok(r) && count == 0) {
        r = check_token(lease);
    }
    if (!kw_ok(r)) {
        return r;
    }
    s = calloc(1, sizeof *s + count * sizeof s->entries[0]);
    if (s == NULL) {
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for the versions of a key");
    }
    atomic_init(&s->references, 1);
    s->epoch = lease->epoch;
    for (size_t i = 0; kw_ok(r) && i < count; i++) {
        struct kw_cmk_readback a;
        r = kw_cmk_read(lease, handles[i], &a);
        if (kw_ok(r)) {
            r = make_entry(c, handles[i], &a, &s->entries[s->count]);
            s->count++;
        }
    }
    if (!kw_ok(r)) {
        kw_snapshot_put(s);
        return r;
    }
    judge_lineage(s);
    *out = s;
    return KW_OK;
}

/* What was proven stays proven while epoch, handle and CKA_ID are the same. */
static void carry_proofs(const struct kw_snapshot *from, struct kw_snapshot *to)
{
    for (size_t i = 0; from != NULL && from->epoch == to->epoch && i < to->count; i++) {
        for (size_t k = 0; k < from->count; k++) {
            const struct kw_cmk_entry *a = &from->entries[k];
            struct kw_cmk_entry *b = &to->entries[i];
            if (a->handle == b->handle && a->full_id_len == b->full_id_len &&
                memcmp(a->full_id, b->full_id, a->full_id_len) == 0) {
                atomic_store(&b->proven, atomic_load(&a->proven));
            }
        }
    }
}

/* Tells the operator once about what went out of service. */
static void report_changes(const struct kw_cmk *c, const struct kw_lease *lease, const struct kw_snapshot *from,
                           const struct kw_snapshot *to)
{
    for (size_t i = 0; i < to->count; i++) {
        const struct kw_version *v = &to->entries[i].version;
        bool known = false;
        for (size_t k = 0; from != NULL && k < from->count; k++) {
            known |= from->entries[k].version.version == v->version && from->entries[k].version.problem == v->problem;
        }
        if (v->problem != NULL && !known) {
            kw_log(v->purge == KW_CMK_UNFINISHED ? KW_LOG_INFO : KW_LOG_ERROR, "token %s: key %s version %u is out of service: %s; see `keyward check`",
                   kw_backing_config(lease->backing)->name, c->label, v->version, v->problem);
        }
    }
}

/* SoftHSM's C_FindObjects leaves a key out while another process writes it. So a reading is doubted in which a version is missing that was there
 * before or that must have been there: none at all, or a gap in the numbers. */
static bool is_doubtful(struct kw_cmk *c, const struct kw_snapshot *s)
{
    bool doubt = s->count == 0;
    uint32_t highest = 0;
    for (size_t i = 0; i < s->count; i++) {
        highest = s->entries[i].version.version > highest ? s->entries[i].version.version : highest;
    }
    pthread_mutex_lock(&c->lock);
    if (c->latest == NULL) {
        doubt |= s->problem == NULL && highest != s->count;
    }
    for (size_t i = 0; c->latest != NULL && i < c->latest->count; i++) {
        bool there = false;
        for (size_t k = 0; k < s->count; k++) {
            there |= s->entries[k].version.version == c->latest->entries[i].version.version;
        }
        doubt |= !there;
    }
    pthread_mutex_unlock(&c->lock);
    return doubt;
}

/* Reads until nothing is doubtful, or long enough (a quarter of a second) to believe that it is so. */
static struct kw_rv read_sure(struct kw_lease *lease, struct kw_cmk *c, struct kw_snapshot **out)
{
    struct kw_rv r = read_snapshot(lease, c, out);
    for (useconds_t i = 1; kw_ok(r) && i <= DOUBT_TRIES && is_doubtful(c, *out); i++) {
        kw_snapshot_put(*out);
        *out = NULL;
        (void)usleep(i * DOUBT_US);
        r = read_snapshot(lease, c, out);
    }
    /* A token that was opened while others were opening it may show nothing for the whole of an epoch (HSM-FACTS rule 10): one new epoch. */
    if (kw_ok(r) && (*out)->count == 0 && !atomic_exchange(&c->reopened, true)) {
        kw_snapshot_put(*out);
        *out = NULL;
        lease->failure = CKR_DEVICE_REMOVED;
        r = KW_FAIL(CKR_DEVICE_REMOVED, "the token shows no key of this label; it is looked at anew");
    }
    return r;
}

static bool differs(const struct kw_snapshot *a, const struct kw_snapshot *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        const struct kw_cmk_entry *x = &a->entries[i];
        const struct kw_cmk_entry *y = &b->entries[i];
        same = x->may_wrap == y->may_wrap && x->may_unwrap == y->may_unwrap && x->full_id_len == y->full_id_len &&
               memcmp(x->full_id, y->full_id, x->full_id_len) == 0;
    }
    return !same;
}

bool kw_cmk_is_restless(struct kw_cmk *c)
{
    pthread_mutex_lock(&c->lock);
    bool restless = c->changed_at.tv_sec != 0 && kw_clock_since(&c->changed_at) < RESTLESS_MS;
    pthread_mutex_unlock(&c->lock);
    return restless;
}

struct kw_rv kw_cmk_get(struct kw_lease *lease, struct kw_cmk *c, bool again, struct kw_snapshot **out)
{
    const struct timespec now = kw_clock_in(0);
    pthread_mutex_lock(&c->lock);
    bool good = c->latest != NULL && c->latest->epoch == lease->epoch && !again;
    if (good && kw_clock_since(&c->read_at) >= FRESH_MS) {
        c->read_at = now; /* this caller reads again, the others go on with what is there */
        good = false;
    }
    if (good) {
        atomic_fetch_add(&c->latest->references, 1);
        *out = c->latest;
    }
    pthread_mutex_unlock(&c->lock);
    if (good) {
        return KW_OK;
    }
    struct kw_snapshot *s = NULL;
    struct kw_rv r = read_sure(lease, c, &s);
    if (!kw_ok(r)) {
        return r;
    }
    pthread_mutex_lock(&c->lock);
    if (c->latest != NULL && differs(c->latest, s)) {
        c->changed_at = now;
    }
    carry_proofs(c->latest, s);
    report_changes(c, lease, c->latest, s);
    kw_snapshot_put(c->latest);
    c->latest = s;
    c->read_at = now;
    atomic_fetch_add(&s->references, 1);
    pthread_mutex_unlock(&c->lock);
    *out = s;
    return KW_OK;
}

/* What the canary holds, as a session object. */
static void canary_template(struct kw_template *t)
{
    kw_template_ulong(t, CKA_CLASS, CKO_SECRET_KEY);
    kw_template_ulong(t, CKA_KEY_TYPE, CKK_GENERIC_SECRET);
    kw_template_bool(t, CKA_TOKEN, 0);
    kw_template_bool(t, CKA_PRIVATE, 1);
    kw_template_bool(t, CKA_SENSITIVE, 0);
    kw_template_bool(t, CKA_EXTRACTABLE, 1);
    kw_template_data_key(t);
}

struct kw_rv kw_cmk_canary(struct kw_lease *lease, CK_OBJECT_HANDLE key, uint8_t out[KW_CANARY_SIZE])
{
    struct kw_template t = {0};
    canary_template(&t);
    kw_template_bytes(&t, CKA_VALUE, canary_plain, sizeof canary_plain);
    CK_OBJECT_HANDLE plain = CK_INVALID_HANDLE;
    CK_RV rv = lease->call->C_CreateObject(lease->session, t.items, t.count, &plain);
    struct kw_rv r = kw_lease_check(lease, rv, "C_CreateObject");
    if (!kw_ok(r)) {
        return r;
    }
    CK_MECHANISM mechanism = {CKM_AES_KEY_WRAP, NULL, 0};
    CK_BYTE wrapped[KW_CANARY_SIZE + 64];
    CK_ULONG len = sizeof wrapped;
    r = kw_lease_check(lease, lease->call->C_WrapKey(lease->session, &mechanism, key, plain, wrapped, &len), "C_WrapKey");
    (void)lease->call->C_DestroyObject(lease->session, plain);
    if (kw_ok(r) && len != KW_CANARY_SIZE) {
        lease->failure = CKR_DEVICE_ERROR;
        r = KW_FAIL(CKR_DEVICE_ERROR, "the token's AES key wrap gives another length than RFC 3394");
    }
    if (kw_ok(r)) {
        memcpy(out, wrapped, KW_CANARY_SIZE);
    }
    return r;
}

/* Opens the canary. *same tells whether it held the known bytes; a refusal by the integrity check is an answer too. */
static struct kw_rv open_canary(struct kw_lease *lease, const struct kw_cmk_entry *e, bool *same)
{
    struct kw_template t = {0};
    canary_template(&t);
    CK_MECHANISM mechanism = {CKM_AES_KEY_WRAP, NULL, 0};
    CK_BYTE blob[KW_CANARY_SIZE];
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    memcpy(blob, e->canary, sizeof blob);
    CK_RV rv = lease->call->C_UnwrapKey(lease->session, &mechanism, e->handle, blob, sizeof blob, t.items, t.count, &key);
    *same = false;
    if (kw_error_class(rv) == KW_CLASS_AMBIGUOUS) {
        return check_token(lease);
    }
    struct kw_rv r = kw_lease_check(lease, rv, "C_UnwrapKey");
    if (!kw_ok(r)) {
        return r;
    }
    uint8_t value[sizeof canary_plain + 16];
    CK_ATTRIBUTE a = {CKA_VALUE, value, sizeof value};
    r = kw_lease_check(lease, lease->call->C_GetAttributeValue(lease->session, key, &a, 1), "C_GetAttributeValue");
    (void)lease->call->C_DestroyObject(lease->session, key);
    *same = kw_ok(r) && a.ulValueLen == sizeof canary_plain && memcmp(value, canary_plain, sizeof canary_plain) == 0;
    return r;
}

struct kw_rv kw_cmk_verify(struct kw_lease *lease, const struct kw_cmk_entry *e, bool *same)
{
    uint8_t canary[KW_CANARY_SIZE];
    if (!e->may_wrap) {
        struct kw_rv r = open_canary(lease, e, same);
        return kw_ok(r) && !*same ? open_canary(lease, e, same) : r; /* twice: a token may stumble once */
    }
    struct kw_rv r = kw_cmk_canary(lease, e->handle, canary);
    *same = kw_ok(r) && memcmp(canary, e->canary, sizeof canary) == 0;
    return r;
}

/* A key that has no canary yet, because it was made elsewhere, gets one here for the life of the process. */
static struct kw_rv first_canary(struct kw_lease *lease, struct kw_cmk *c, const struct kw_cmk_entry *e)
{
    uint8_t canary[KW_CANARY_SIZE];
    struct kw_rv r = kw_cmk_canary(lease, e->handle, canary);
    return kw_ok(r) ? set_pin(c, &e->version, canary) : r;
}

struct kw_rv kw_cmk_prove(struct kw_lease *lease, struct kw_cmk *c, struct kw_cmk_entry *e, struct kw_cmk_use use)
{
    bool same = true;
    if (e->version.problem != NULL) {
        return KW_FAIL(CKR_KEY_FUNCTION_NOT_PERMITTED, "this version of the CMK is out of service");
    }
    if (use.wrap ? !e->may_wrap : !e->may_unwrap) {
        return KW_FAIL(CKR_KEY_FUNCTION_NOT_PERMITTED, "the state of this version of the CMK does not allow it");
    }
    if (atomic_load(&e->proven) && !use.again) {
        return KW_OK;
    }
    struct kw_rv r = e->has_canary ? kw_cmk_verify(lease, e, &same) : first_canary(lease, c, e);
    if (!kw_ok(r)) {
        return r;
    }
    if (!same) {
        kw_log(KW_LOG_ERROR, "token %s: key %s version %u is not the key that its fingerprint names; it is not used, see "
                             "`keyward check`", kw_backing_config(lease->backing)->name, c->label, e->version.version);
        return KW_FAIL(CKR_KEY_FUNCTION_NOT_PERMITTED, "the canary does not fit: another key stands in the place of the CMK");
    }
    if (e->has_canary) {
        r = set_pin(c, &e->version, e->canary);
    }
    if (kw_ok(r)) {
        atomic_store(&e->proven, true);
    }
    return r;
}
