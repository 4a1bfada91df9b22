#include "cmk.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "digest.h"
#include "log.h"
#include "template.h"

enum { FIND_BATCH = 16, OBJECTS_MAX = 2 * KW_VERSIONS_MAX, FRESH_MS = 1000, RESTLESS_MS = 3000, DOUBT_TRIES = 12, DOUBT_US = 3000 };

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
    atomic_bool confirmed; /* a reading was the same as the one before */
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

bool kw_version_differs(const struct kw_version *a, const struct kw_version *b)
{
    bool ours = a->origin != KW_ORIGIN_UNKNOWN && b->origin != KW_ORIGIN_UNKNOWN;
    return a->type != b->type || (ours && memcmp(a->lineage, b->lineage, KW_LINEAGE_SIZE) != 0) ||
           (a->has_fingerprint && b->has_fingerprint && memcmp(a->fingerprint, b->fingerprint, KW_FINGERPRINT_SIZE) != 0);
}

struct kw_cmk_entry *kw_snapshot_stand_in(struct kw_snapshot *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->entries[i].version.problem == NULL && s->entries[i].may_unwrap) {
            return &s->entries[i];
        }
    }
    return s->count > 0 ? &s->entries[0] : NULL;
}

static uint32_t big_endian(const uint8_t *p, size_t n)
{
    uint32_t v = 0;
    while (n-- > 0) {
        v = v << 8 | *p++;
    }
    return v;
}

/* Of an AES version the hash of its canary; of an RSA version the canary is a hash already. */
static struct kw_rv set_fingerprint(struct kw_cmk_entry *e)
{
    uint8_t hash[KW_SHA256_SIZE];
    const void *const parts[] = {e->canary};
    const size_t lens[] = {KW_CANARY_SIZE};
    bool rsa = e->version.type == CKK_RSA;
    struct kw_rv r = rsa ? KW_OK : kw_digest_sha256(parts, lens, 1, hash);
    if (kw_ok(r)) {
        memcpy(e->version.fingerprint, rsa ? e->canary : hash, KW_FINGERPRINT_SIZE);
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

bool kw_cmk_was_renamed(struct kw_cmk *c, const struct kw_cmk_entry *e)
{
    bool renamed = false;
    pthread_mutex_lock(&c->lock);
    const struct pin *own = find_pin_locked(c, &e->version);
    for (const struct pin *p = c->pins; own != NULL && p < own; p++) { /* in the order in which they were set */
        renamed |= memcmp(p->canary, own->canary, KW_CANARY_SIZE) == 0;
    }
    pthread_mutex_unlock(&c->lock);
    return renamed;
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

/* The entry's canary becomes its fingerprint, unless another one was proven before. */
static struct kw_rv check_pin(struct kw_cmk *c, struct kw_cmk_entry *e)
{
    uint8_t pinned[KW_CANARY_SIZE];
    if (get_pin(c, &e->version, pinned) && memcmp(pinned, e->canary, KW_CANARY_SIZE) != 0) {
        e->version.problem = "another key stands in its place: its fingerprint is not the one that was proven before";
    }
    return set_fingerprint(e);
}

/* A key that was made elsewhere is adopted as version 1; its lineage follows from its label and CKA_ID. */
static struct kw_rv adopt(struct kw_cmk *c, const struct kw_readback *a, struct kw_cmk_entry *e)
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
    if (a->type == CKK_RSA && kw_rsa_size(a->rsa.modulus_len)) {
        r = kw_rsa_name(&a->rsa, e->canary);
        return kw_ok(r) ? check_pin(c, e) : r;
    }
    if (get_pin(c, &e->version, e->canary)) {
        return set_fingerprint(e);
    }
    if (!a->wrap && a->unwrap && e->version.problem == NULL) {
        e->version.problem = "it has no canary and may not wrap, so nothing proves which key it is";
    }
    return KW_OK;
}

/* A version of ours: an AES key carries its canary in its CKA_ID. */
static struct kw_rv recognize(struct kw_cmk *c, const struct kw_readback *a, struct kw_cmk_entry *e)
{
    struct kw_rv r = KW_OK;
    unsigned origin = a->id[16] & 15;
    memcpy(e->version.lineage, a->id, KW_LINEAGE_SIZE);
    e->version.version = big_endian(a->id + 12, 4);
    e->version.origin = origin <= KW_ORIGIN_IMPORTED ? (enum kw_origin)origin : KW_ORIGIN_UNKNOWN;
    e->version.created = big_endian(a->id + 17, 3);
    e->version.purge = big_endian(a->id + 20, 4);
    if (e->version.purge == KW_CMK_UNFINISHED) {
        e->version.problem = "it is not finished; `keyward repair` finishes or removes it";
    }
    if (a->class == CKO_SECRET_KEY) {
        memcpy(e->canary, a->id + KW_CMK_RSA_ID, KW_CANARY_SIZE);
    } else if (kw_rsa_size(a->rsa.modulus_len)) {
        r = kw_rsa_name(&a->rsa, e->canary);
    } else {
        return KW_OK; /* a modulus that was not shown is no fingerprint */
    }
    return kw_ok(r) ? check_pin(c, e) : r;
}

static enum kw_state state_of(const struct kw_cmk_entry *e)
{
    if (e->version.problem != NULL) {
        return KW_STATE_OUT_OF_SERVICE;
    }
    if (e->may_wrap) {
        return KW_STATE_ACTIVE;
    }
    if (e->may_unwrap) {
        return KW_STATE_RETIRED;
    }
    return e->version.purge != 0 ? KW_STATE_PENDING : KW_STATE_DISABLED;
}

/* The public half of an RSA version, as it was found. */
struct half {
    CK_OBJECT_HANDLE handle;
    bool private; /* CKA_PRIVATE: made by somebody who was logged in */
    bool wrap;
    struct kw_rsa_public numbers;
};

static bool fits(const struct half *h, const struct kw_rsa_public *numbers)
{
    return numbers->modulus_len > 0 && h->numbers.modulus_len == numbers->modulus_len && h->numbers.exponent_len == numbers->exponent_len &&
           memcmp(h->numbers.modulus, numbers->modulus, numbers->modulus_len) == 0 &&
           memcmp(h->numbers.exponent, numbers->exponent, numbers->exponent_len) == 0;
}

/* The public half must have the numbers of the private one, so that a data key is never wrapped to somebody else's key; one that needs a login
 * comes before one that anybody could have planted. Without one the version only unwraps. */
static void pair(struct kw_cmk_entry *e, const struct half *halves, size_t count)
{
    const struct half *best = NULL;
    for (size_t i = 0; i < count; i++) {
        if (fits(&halves[i], &e->version.rsa) && (best == NULL || (halves[i].private && !best->private))) {
            best = &halves[i];
        }
    }
    e->public_handle = best == NULL ? CK_INVALID_HANDLE : best->handle;
    e->version.has_public = best != NULL;
    e->may_wrap = best != NULL && best->wrap && e->may_unwrap;
}

static struct kw_rv make_entry(struct kw_cmk *c, CK_OBJECT_HANDLE handle, const struct kw_readback *a,
                               struct kw_cmk_entry *e)
{
    memset(e, 0, sizeof *e);
    e->handle = handle;
    e->public_handle = CK_INVALID_HANDLE;
    e->ours = kw_readback_is_ours(a);
    e->may_wrap = a->wrap;
    e->may_unwrap = a->unwrap;
    e->full_id_len = a->id_len < sizeof e->full_id ? a->id_len : sizeof e->full_id;
    memcpy(e->full_id, a->id, e->full_id_len);
    e->version.type = a->type;
    e->version.rsa = a->rsa;
    e->version.bits = a->type == CKK_RSA ? (unsigned)a->rsa.modulus_len * 8 : a->len <= 32 ? (unsigned)a->len * 8 : 0;
    e->version.id_len = a->id_len < KW_CMK_ID_SIZE ? a->id_len : KW_CMK_ID_SIZE;
    memcpy(e->version.id, a->id, e->version.id_len);
    e->version.problem = kw_readback_judge(a);
    return e->ours ? recognize(c, a, e) : adopt(c, a, e);
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

/* The handles of all objects with the label; never a part of them. */
static struct kw_rv find_handles(struct kw_lease *lease, const char *label, CK_OBJECT_HANDLE out[OBJECTS_MAX], size_t *count)
{
    struct kw_template t = {0};
    kw_template_bytes(&t, CKA_LABEL, label, strlen(label));
    struct kw_rv r = kw_lease_check(lease, lease->call->C_FindObjectsInit(lease->session, t.items, t.count),
                                    "C_FindObjectsInit");
    if (!kw_ok(r)) {
        return r;
    }
    CK_ULONG got = 0;
    *count = 0;
    do {
        CK_OBJECT_HANDLE batch[FIND_BATCH] = {0}; /* a token may count more than it gives */
        got = 0;
        r = kw_lease_check(lease, lease->call->C_FindObjects(lease->session, batch, FIND_BATCH, &got), "C_FindObjects");
        got = got < FIND_BATCH ? got : FIND_BATCH;
        if (kw_ok(r) && *count + got > OBJECTS_MAX) {
            kw_log(KW_LOG_ERROR, "token %s: more than %d objects are called %s; destroy those that are not its versions",
                   kw_backing_config(lease->backing)->name, OBJECTS_MAX, label);
            r = KW_FAIL(CKR_DEVICE_MEMORY, "the token has more keys of this label than a lineage can have versions");
        }
        for (CK_ULONG i = 0; kw_ok(r) && i < got; i++) {
            out[(*count)++] = batch[i];
        }
    } while (kw_ok(r) && got > 0);
    (void)lease->call->C_FindObjectsFinal(lease->session);
    return r;
}

/* The objects of a label, while they are read. */
struct reading {
    struct kw_snapshot *snapshot; /* entries for `count` objects */
    struct half *halves;
    size_t half_count;
};

/* One object: an entry, the public half of one, or, as a certificate, nothing. */
static struct kw_rv read_object(struct kw_lease *lease, struct kw_cmk *c, CK_OBJECT_HANDLE handle, struct reading *to)
{
    struct kw_readback a;
    struct kw_rv r = kw_readback_read(lease, handle, &a);
    if (!kw_ok(r)) {
        return r;
    }
    if (a.class == CKO_SECRET_KEY || a.class == CKO_PRIVATE_KEY) {
        return make_entry(c, handle, &a, &to->snapshot->entries[to->snapshot->count++]);
    }
    if (a.class == CKO_PUBLIC_KEY && a.complete && a.token && a.type == CKK_RSA) {
        to->halves[to->half_count++] = (struct half){handle, a.private, a.wrap, a.rsa};
    }
    return KW_OK;
}

static struct kw_rv read_objects(struct kw_lease *lease, struct kw_cmk *c, const CK_OBJECT_HANDLE *handles, size_t count,
                                 struct kw_snapshot *s)
{
    struct reading to = {.snapshot = s};
    struct kw_rv r = KW_OK;
    to.halves = calloc(count + 1, sizeof *to.halves);
    if (to.halves == NULL) {
        r = KW_FAIL(CKR_HOST_MEMORY, "no memory for the versions of a key");
    }
    for (size_t i = 0; kw_ok(r) && i < count; i++) {
        r = read_object(lease, c, handles[i], &to);
    }
    for (size_t i = 0; kw_ok(r) && i < s->count; i++) {
        struct kw_cmk_entry *e = &s->entries[i];
        if (e->version.type == CKK_RSA) {
            pair(e, to.halves, to.half_count);
        }
        e->version.state = state_of(e);
    }
    free(to.halves);
    return r;
}

static struct kw_rv read_snapshot(struct kw_lease *lease, struct kw_cmk *c, struct kw_snapshot **out)
{
    CK_OBJECT_HANDLE handles[OBJECTS_MAX];
    size_t count = 0;
    struct kw_snapshot *s = NULL;
    struct kw_rv r = find_handles(lease, c->label, handles, &count);
    if (kw_ok(r) && count == 0) {
        r = kw_lease_confirm(lease); /* either none was made, or the token or the login is gone */
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
    r = read_objects(lease, c, handles, count, s);
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
            if (a->handle == b->handle && a->public_handle == b->public_handle &&
                (b->version.type != CKK_RSA || a->may_wrap == b->may_wrap) && a->full_id_len == b->full_id_len &&
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
 * before, in that lineage, or that must have been there: none at all, or a gap in the numbers. */
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
        const struct kw_version *known = &c->latest->entries[i].version;
        bool there = false;
        for (size_t k = 0; k < s->count; k++) {
            const struct kw_version *v = &s->entries[k].version;
            there |= v->version == known->version && memcmp(v->lineage, known->lineage, KW_LINEAGE_SIZE) == 0;
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
    for (useconds_t i = 1; kw_ok(r) && *out != NULL && i <= DOUBT_TRIES && is_doubtful(c, *out); i++) {
        kw_snapshot_put(*out);
        *out = NULL;
        (void)usleep(i * DOUBT_US);
        r = read_snapshot(lease, c, out);
    }
    /* A token that was opened while others were opening it may show nothing for the whole of an epoch (HSM-FACTS rule 10): one new epoch. */
    if (kw_ok(r) && *out != NULL && (*out)->count == 0 && !atomic_exchange(&c->reopened, true)) {
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
    if (good && kw_clock_between(&c->read_at, &now) >= FRESH_MS) {
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
    } else if (c->latest != NULL) {
        atomic_store(&c->confirmed, true);
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

struct kw_rv kw_cmk_get_confirmed(struct kw_lease *lease, struct kw_cmk *c, bool again, struct kw_snapshot **out)
{
    struct kw_rv r = kw_cmk_get(lease, c, again, out);
    for (int i = 0; kw_ok(r) && !atomic_load(&c->confirmed) && i < DOUBT_TRIES; i++) {
        kw_snapshot_put(*out);
        *out = NULL;
        r = kw_cmk_get(lease, c, true, out);
    }
    return r;
}

struct kw_rv kw_cmk_verify(struct kw_lease *lease, const struct kw_cmk_entry *e, bool *same)
{
    const struct kw_canary_key key = {e->version.type, e->handle, e->public_handle, e->may_wrap};
    return kw_canary_verify(lease, &key, e->canary, same);
}

/* A key that has no canary yet, because it was made elsewhere, gets one here for the life of the process. */
static struct kw_rv first_canary(struct kw_lease *lease, struct kw_cmk *c, const struct kw_cmk_entry *e)
{
    uint8_t canary[KW_CANARY_SIZE];
    struct kw_rv r = kw_canary_make(lease, e->handle, canary);
    return kw_ok(r) ? set_pin(c, &e->version, canary) : r;
}

/* A version that may wrap proves itself by wrapping: a token that opens nothing any more passes. Twice, because it may stumble once. */
static struct kw_rv check_opens(struct kw_lease *lease, const struct kw_cmk_entry *e)
{
    bool same = false;
    struct kw_rv r = KW_OK;
    for (int i = 0; kw_ok(r) && !same && i < 2; i++) {
        r = kw_canary_open(lease, e->handle, e->canary, &same);
    }
    if (kw_ok(r) && !same) {
        lease->failure = CKR_DEVICE_ERROR;
        r = KW_FAIL(CKR_DEVICE_ERROR, "the token wraps and does not open what it has wrapped");
    }
    return r;
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
    if (kw_ok(r) && use.again && e->has_canary && e->may_wrap && e->version.type != CKK_RSA) {
        r = check_opens(lease, e);
    }
    if (kw_ok(r)) {
        atomic_store(&e->proven, true);
    }
    return r;
}
