#include "recording_engine.h"

#include <string.h>

struct kw_engine {
    const struct kw_config *config;
};

struct slot_model {
    bool present;
    bool logged_in;
    bool write_protected;
    bool kw;
    bool kwp;
    size_t version_count;
    struct kw_version versions[RECORDING_VERSIONS];
};

static struct kw_engine the_engine;
static struct slot_model slots[RECORDING_SLOTS];
static struct recording_key keys[RECORDING_KEYS];
static struct recording_key last;
static unsigned long made;
static unsigned long calls;
static uint64_t names;
static bool trouble;
static bool silent;

static struct {
    bool announced;
    bool done;
    bool partly;
    unsigned after;
    CK_RV code;
} fault;

/* Numbers that look random and are the same in each execution. */
static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ (b + 7) * UINT64_C(0xBF58476D1CE4E5B9);
    x ^= x >> 29;
    x *= UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 32;
}

static void fill(uint8_t *out, size_t len, uint64_t seed)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)mix(seed, i);
    }
}

static void add_version(size_t slot, uint32_t number)
{
    struct slot_model *m = &slots[slot];
    if (m->version_count == RECORDING_VERSIONS) {
        return;
    }
    struct kw_version *v = &m->versions[m->version_count++];
    *v = (struct kw_version){.version = number, .state = KW_STATE_ACTIVE, .origin = KW_ORIGIN_GENERATED, .type = CKK_AES};
    v->bits = slot == 3 ? 128 : 256;
    memcpy(v->lineage, "kw lineage ", 11);
    v->lineage[11] = (uint8_t)('0' + slot);
    memcpy(v->id, v->lineage, KW_LINEAGE_SIZE);
    v->id[15] = (uint8_t)number;
    v->id_len = KW_CMK_ID_SIZE;
    v->has_fingerprint = slot != 2;
    memset(v->fingerprint, (int)number, sizeof v->fingerprint);
}

void recording_reset(void)
{
    memset(slots, 0, sizeof slots);
    memset(keys, 0, sizeof keys);
    recording_forgive();
    names = 0;
    trouble = false;
    for (size_t i = 0; i < RECORDING_SLOTS; i++) {
        slots[i] = (struct slot_model){.present = true, .kw = true, .kwp = i != 2};
        add_version(i, 1);
    }
}

void recording_fault(unsigned after, CK_RV code, bool partly)
{
    fault.announced = true;
    fault.after = after;
    fault.code = code == CKR_OK ? CKR_DEVICE_ERROR : code;
    fault.partly = partly;
}

bool recording_failed(CK_RV *code)
{
    *code = fault.code;
    return fault.done;
}

void recording_forgive(void)
{
    memset(&fault, 0, sizeof fault);
}

void recording_quiet(bool quiet)
{
    silent = quiet;
}

unsigned long recording_calls(void)
{
    return calls;
}

const struct recording_key *recording_last(void)
{
    return &last;
}

unsigned long recording_made(void)
{
    return made;
}

bool recording_logged_in(size_t slot)
{
    return slots[slot].logged_in;
}

size_t recording_session_keys(void)
{
    size_t n = 0;
    for (size_t i = 0; i < RECORDING_KEYS; i++) {
        n += keys[i].used && !keys[i].spec.token;
    }
    return n;
}

bool recording_trouble(void)
{
    return trouble;
}

/* Counts a call; whether it is the one to fail. */
static bool fails(struct kw_rv *r)
{
    calls++;
    if (!silent && fault.announced && fault.after-- == 0) {
        fault.announced = false;
        fault.done = true;
        trouble = true;
        *r = KW_FAIL(fault.code, "told to fail");
        return true;
    }
    return false;
}

/* What holds for every call that needs a login. */
static bool refused(size_t slot, struct kw_rv *r)
{
    INPUT_MUST(slot < RECORDING_SLOTS, "the face names a slot that there is not");
    INPUT_MUST(slots[slot].logged_in, "the face asks for keys of a slot that is not logged in");
    if (fails(r)) {
        return true;
    }
    if (!slots[slot].present && !silent) {
        trouble = true;
        *r = KW_FAIL(CKR_DEVICE_REMOVED, "the token of the model is gone");
        return true;
    }
    return false;
}

static struct recording_key *find_key(size_t slot, const uint8_t *name)
{
    for (size_t i = 0; i < RECORDING_KEYS; i++) {
        if (keys[i].used && keys[i].slot == slot && memcmp(keys[i].name, name, KW_DEK_NAME_SIZE) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

const struct recording_key *recording_named(size_t slot, const uint8_t name[KW_DEK_NAME_SIZE])
{
    return find_key(slot, name);
}

/* Keeps a data key of the token home; false when the token is full. */
static bool keep(struct recording_key *key)
{
    for (size_t i = 0; i < RECORDING_KEYS; i++) {
        if (!keys[i].used) {
            uint64_t name = mix(key->slot, ++names);
            memcpy(key->name, &name, sizeof key->name);
            key->used = true;
            keys[i] = *key;
            return true;
        }
    }
    return false;
}

struct kw_rv kw_engine_open(const struct kw_config *config, struct kw_engine **out)
{
    INPUT_MUST(config->slot_count == RECORDING_SLOTS, "the configuration of the target has another number of slots");
    the_engine.config = config;
    *out = &the_engine;
    return KW_OK;
}

void kw_engine_close(struct kw_engine *e)
{
    for (size_t i = 0; e != NULL && i < RECORDING_SLOTS; i++) {
        INPUT_MUST(!slots[i].logged_in, "the face closes the engine and leaves a slot logged in");
    }
}

static struct kw_rv reach(size_t slot)
{
    struct kw_rv r = KW_OK;
    if (!fails(&r) && !slots[slot].present) {
        r = KW_FAIL(CKR_TOKEN_NOT_PRESENT, "the token of the model is gone");
    }
    return r;
}

struct kw_rv kw_engine_reach(struct kw_engine *e, size_t slot, struct kw_engine_token *out)
{
    struct kw_rv r = reach(slot);
    (void)e;
    if (!kw_ok(r)) {
        return r;
    }
    *out = (struct kw_engine_token){.hardware = {1, 2}, .firmware = {3, 4}, .min_pin = 4, .max_pin = 255};
    out->write_protected = slots[slot].write_protected;
    return KW_OK;
}

struct kw_rv kw_engine_offers(struct kw_engine *e, size_t slot, struct kw_engine_offers *out)
{
    struct kw_rv r = reach(slot);
    (void)e;
    if (kw_ok(r)) {
        *out = (struct kw_engine_offers){.kw = slots[slot].kw, .kwp = slots[slot].kwp};
    }
    return r;
}

/* The odd slots have one. */
bool kw_engine_has_pin_source(const struct kw_engine *e, size_t slot)
{
    (void)e;
    return slot % 2 == 1;
}

struct kw_rv kw_engine_login(struct kw_engine *e, size_t slot, const struct kw_secret *pin)
{
    struct kw_rv r = KW_OK;
    INPUT_MUST(!slots[slot].logged_in, "the face logs a slot in twice");
    INPUT_MUST(pin != NULL || kw_engine_has_pin_source(e, slot), "the face logs in without a PIN");
    if (fails(&r)) {
        return r;
    }
    if (!slots[slot].present) {
        return KW_FAIL(CKR_TOKEN_NOT_PRESENT, "the token of the model is gone");
    }
    if (pin != NULL && !kw_secret_equal(pin, RECORDING_PIN, sizeof RECORDING_PIN - 1)) {
        return KW_FAIL(CKR_PIN_INCORRECT, "another PIN");
    }
    slots[slot].logged_in = true;
    return KW_OK;
}

void kw_engine_logout(struct kw_engine *e, size_t slot)
{
    (void)e;
    INPUT_MUST(slots[slot].logged_in, "the face logs out a slot that is not logged in");
    slots[slot].logged_in = false;
}

struct kw_rv kw_engine_versions(struct kw_engine *e, size_t slot, kw_engine_each_version *each, void *data)
{
    struct kw_rv r = KW_OK;
    (void)e;
    const struct slot_model *m = &slots[slot];
    if (refused(slot, &r)) {
        if (fault.partly && m->version_count > 0) {
            each(data, &m->versions[0]);
        }
        return r;
    }
    for (size_t i = m->version_count; i-- > 0;) {
        each(data, &m->versions[i]);
    }
    return KW_OK;
}

struct kw_rv kw_engine_deks(struct kw_engine *e, size_t slot, kw_engine_each_dek *each, void *data)
{
    struct kw_rv r = KW_OK;
    (void)e;
    bool stop = refused(slot, &r);
    for (size_t i = 0; i < RECORDING_KEYS && (!stop || fault.partly); i++) {
        const struct recording_key *k = &keys[i];
        if (k->used && k->slot == slot && k->spec.token) {
            struct kw_dek dek = {.spec = k->spec, .local = k->local};
            memcpy(dek.name, k->name, sizeof dek.name);
            each(data, &dek);
            if (stop) {
                break;
            }
        }
    }
    return r;
}

/* The policy once more, in other words (DESIGN section 5). */
static void check_spec(const struct kw_engine *e, size_t slot, const struct kw_dek_spec *s)
{
    bool aes = s->type == CKK_AES;
    bool length = aes ? s->len == 16 || s->len == 24 || s->len == 32 : s->len <= KW_DEK_LENGTH_MAX;
    INPUT_MUST(aes || s->type == CKK_GENERIC_SECRET, "the face lets another key type through");
    INPUT_MUST(s->len == 0 || length, "the face lets a length through that no data key has");
    INPUT_MUST(s->sensitive || !e->config->slots[slot].sealed, "the face makes a readable data key in a sealed slot");
    INPUT_MUST(s->label_len <= KW_DEK_TEXT_MAX && s->id_len <= KW_DEK_TEXT_MAX, "the face lets a label or id through that is too long");
}

/* Hands a data key out and remembers it. */
static struct kw_rv give(size_t slot, const uint8_t *value, struct kw_dek *dek)
{
    struct recording_key key = {.slot = slot, .spec = dek->spec, .local = dek->local};
    memcpy(key.value, value, dek->spec.len);
    if (kw_dek_in_memory(&dek->spec)) {
        struct kw_rv r = kw_secret_dup(value, dek->spec.len, &dek->value);
        if (!kw_ok(r)) {
            return r;
        }
    } else if (!keep(&key)) {
        return KW_FAIL(CKR_DEVICE_MEMORY, "the token of the model is full");
    }
    memcpy(dek->name, key.name, sizeof dek->name);
    last = key;
    made++;
    return KW_OK;
}

struct kw_rv kw_engine_make(struct kw_engine *e, size_t slot, const struct kw_secret *value, struct kw_dek *dek)
{
    struct kw_rv r = KW_OK;
    uint8_t bytes[KW_DEK_LENGTH_MAX];
    check_spec(e, slot, &dek->spec);
    INPUT_MUST(dek->spec.len > 0, "the face makes a data key without a length");
    INPUT_MUST(value == NULL || kw_secret_len(value) == dek->spec.len, "the face names another length than the value has");
    if (refused(slot, &r)) {
        if (fault.partly) {
            memset(dek->name, 0x5A, sizeof dek->name);
        }
        return r;
    }
    fill(bytes, sizeof bytes, mix(slot, calls));
    if (value != NULL) {
        memcpy(bytes, kw_secret_peek(value), dek->spec.len);
    }
    dek->local = value == NULL;
    return give(slot, bytes, dek);
}

struct kw_rv kw_engine_value(struct kw_engine *e, size_t slot, const struct kw_dek *dek, struct kw_secret **out)
{
    struct kw_rv r = KW_OK;
    INPUT_MUST(!dek->spec.sensitive && dek->spec.extractable, "the face asks for a value that it may not read");
    INPUT_MUST(!e->config->slots[slot].sealed, "the face asks for a value in a sealed slot");
    if (refused(slot, &r)) {
        return r;
    }
    const struct recording_key *k = find_key(slot, dek->name);
    if (k == NULL) {
        return KW_FAIL(CKR_OBJECT_HANDLE_INVALID, "gone in the model");
    }
    return kw_secret_dup(k->value, k->spec.len, out);
}

struct kw_rv kw_engine_destroy(struct kw_engine *e, size_t slot, const struct kw_dek *dek)
{
    struct kw_rv r = KW_OK;
    (void)e;
    INPUT_MUST(dek->value == NULL, "the face destroys a key of the memory home in the token");
    bool failed = refused(slot, &r);
    struct recording_key *k = find_key(slot, dek->name);
    if (failed && !fault.partly) {
        return r;
    }
    if (k == NULL) {
        return failed ? r : KW_FAIL(CKR_OBJECT_HANDLE_INVALID, "gone in the model");
    }
    k->used = false;
    return r;
}

struct kw_rv kw_engine_rename(struct kw_engine *e, size_t slot, const struct kw_dek *from, const struct kw_dek *to)
{
    struct kw_rv r = KW_OK;
    INPUT_MUST(memcmp(from->name, to->name, sizeof to->name) == 0, "the face renames to another name");
    INPUT_MUST(from->spec.sensitive == to->spec.sensitive && from->spec.extractable == to->spec.extractable &&
                   from->spec.len == to->spec.len && from->spec.type == to->spec.type && from->spec.token == to->spec.token,
               "the face changes more than label and id");
    INPUT_MUST(to->spec.label_len <= KW_DEK_TEXT_MAX && to->spec.id_len <= KW_DEK_TEXT_MAX, "the face lets a name through that is too long");
    (void)e;
    if (refused(slot, &r)) {
        return r;
    }
    struct recording_key *k = find_key(slot, from->name);
    if (k == NULL) {
        return KW_FAIL(CKR_OBJECT_HANDLE_INVALID, "gone in the model");
    }
    k->spec = to->spec;
    return KW_OK;
}

static size_t blob_len_of(enum kw_format format, size_t len)
{
    if (len == 0 || len > KW_DEK_LENGTH_MAX) {
        return 0;
    }
    if (format == KW_FORMAT_KW) {
        return len >= 16 && len % 8 == 0 ? len + 8 : 0;
    }
    return (len + 7) / 8 * 8 + 8;
}

/* A blob of the model: length 2 | checksum 6 | value under a keystream, padded as the format is. */
static void seal(const struct recording_blob *b, const uint8_t *value, size_t len, uint8_t *out)
{
    size_t size = blob_len_of(b->format, len);
    uint64_t key = mix(b->slot * 1000 + b->version, b->format);
    uint64_t check = mix(key, len);
    memset(out, 0, size);
    for (size_t i = 0; i < size - 8; i++) {
        uint8_t v = i < len ? value[i] : 0;
        check = mix(check, v);
        out[8 + i] = (uint8_t)(v ^ (uint8_t)mix(key, i));
    }
    out[0] = (uint8_t)(len >> 8);
    out[1] = (uint8_t)len;
    for (size_t i = 0; i < 6; i++) {
        out[2 + i] = (uint8_t)(check >> (8 * i));
    }
}

bool recording_open(const struct recording_blob *blob, uint8_t value[KW_DEK_LENGTH_MAX], size_t *len)
{
    uint8_t again[KW_BLOB_MAX];
    const uint8_t *b = blob->bytes;
    size_t n = blob->len < 8 ? 0 : (size_t)b[0] << 8 | b[1];
    if (n == 0 || blob_len_of(blob->format, n) != blob->len) {
        return false;
    }
    uint32_t first = blob->version == 0 ? 1 : blob->version;
    uint32_t end = blob->version == 0 ? RECORDING_VERSIONS : blob->version;
    for (uint32_t v = first; v <= end; v++) {
        struct recording_blob one = *blob;
        one.version = v;
        uint64_t key = mix(one.slot * 1000 + v, one.format);
        for (size_t i = 0; i < n; i++) {
            value[i] = (uint8_t)(b[8 + i] ^ (uint8_t)mix(key, i));
        }
        seal(&one, value, n, again);
        if (memcmp(again, b, blob->len) == 0) {
            *len = n;
            return true;
        }
    }
    return false;
}

static const struct kw_version *find_version(size_t slot, uint32_t version)
{
    for (size_t i = 0; i < slots[slot].version_count; i++) {
        if (slots[slot].versions[i].version == version) {
            return &slots[slot].versions[i];
        }
    }
    return NULL;
}

struct kw_rv kw_engine_wrap(struct kw_engine *e, size_t slot, const struct kw_wrapping *w, uint8_t *blob, size_t *len)
{
    struct kw_rv r = KW_OK;
    (void)e;
    INPUT_MUST(w->dek->spec.extractable, "the face wraps a data key that may not leave");
    if (refused(slot, &r)) {
        if (fault.partly) {
            memset(blob, 0x5A, KW_BLOB_MAX);
            *len = KW_BLOB_MAX;
        }
        return r;
    }
    const struct kw_version *v = find_version(slot, w->version);
    const struct recording_key *k = w->dek->value == NULL ? find_key(slot, w->dek->name) : NULL;
    if (v == NULL) {
        return KW_FAIL(CKR_WRAPPING_KEY_HANDLE_INVALID, "no such version in the model");
    }
    if (v->state != KW_STATE_ACTIVE) {
        return KW_FAIL(CKR_KEY_FUNCTION_NOT_PERMITTED, "the version may not wrap");
    }
    if (w->dek->value == NULL && k == NULL) {
        return KW_FAIL(CKR_KEY_HANDLE_INVALID, "gone in the model");
    }
    size_t n = k == NULL ? kw_secret_len(w->dek->value) : k->spec.len;
    INPUT_MUST(n == w->dek->spec.len, "the face names another length than the data key has");
    INPUT_MUST(n * 8 <= v->bits || v->bits == 256, "a weak master key wraps a strong data key");
    const struct recording_blob b = {slot, w->version, w->scheme.format, NULL, 0};
    seal(&b, k == NULL ? kw_secret_peek(w->dek->value) : k->value, n, blob);
    *len = blob_len_of(w->scheme.format, n);
    return KW_OK;
}

/* Opens with one version; true when it is the one. */
static bool opens(const struct kw_unwrapping *u, size_t slot, const struct kw_version *v, struct recording_key *out)
{
    const struct recording_blob b = {slot, v->version, u->scheme.format, u->blob, u->len};
    return recording_open(&b, out->value, &out->spec.len);
}

struct kw_rv kw_engine_unwrap(struct kw_engine *e, size_t slot, const struct kw_unwrapping *u, struct kw_dek *dek)
{
    struct kw_rv r = KW_OK;
    struct recording_key found = {0};
    bool denied = false;
    check_spec(e, slot, &dek->spec);
    INPUT_MUST(u->len <= KW_BLOB_MAX, "the face lets a blob through that is too long");
    if (refused(slot, &r)) {
        if (fault.partly) {
            dek->spec.len = KW_DEK_LENGTH_MAX;
        }
        return r;
    }
    const struct kw_version *first = find_version(slot, u->version);
    if (first == NULL && !u->older_too) {
        return KW_FAIL(CKR_UNWRAPPING_KEY_HANDLE_INVALID, "no such version in the model");
    }
    for (size_t i = 0; i < slots[slot].version_count; i++) {
        const struct kw_version *v = &slots[slot].versions[i];
        if (v != first && !u->older_too) {
            continue;
        }
        if (v->state != KW_STATE_ACTIVE && v->state != KW_STATE_RETIRED) {
            denied = true;
        } else if (opens(u, slot, v, &found)) {
            dek->spec.len = found.spec.len;
            bool fits = dek->spec.type != CKK_AES || found.spec.len == 16 || found.spec.len == 24 || found.spec.len == 32;
            dek->local = false;
            return fits ? give(slot, found.value, dek) : KW_FAIL(CKR_WRAPPED_KEY_INVALID, "no key of this type");
        }
    }
    return denied ? KW_FAIL(CKR_KEY_FUNCTION_NOT_PERMITTED, "a version that may not be used")
                  : KW_FAIL(CKR_WRAPPED_KEY_INVALID, "it does not open");
}

struct kw_rv kw_engine_random(struct kw_engine *e, size_t slot, uint8_t *out, size_t len)
{
    struct kw_rv r = KW_OK;
    (void)e;
    if (fails(&r)) {
        if (fault.partly) { /* as a vendor's module may: its C_GenerateRandom writes to the same memory */
            memset(out, 0x5A, len / 2);
        }
        return r;
    }
    if (!slots[slot].present) {
        return KW_FAIL(CKR_DEVICE_REMOVED, "the token of the model is gone");
    }
    fill(out, len, calls);
    return KW_OK;
}

static void plant(struct input *in, size_t slot)
{
    struct recording_key key = {.slot = slot, .spec = {.type = CKK_AES, .len = 32, .token = true, .extractable = true}};
    unsigned choice = input_byte(in);
    key.spec.sensitive = (choice & 1) == 0; /* readable ones in the sealed slot as well: made before it was sealed */
    key.spec.extractable = (choice & 2) == 0;
    key.spec.label_len = choice % KW_DEK_TEXT_MAX;
    key.local = (choice & 4) != 0;
    fill(key.value, key.spec.len, mix(choice, slot));
    (void)keep(&key);
}

void recording_world(struct input *in)
{
    size_t slot = input_below(in, RECORDING_SLOTS);
    struct slot_model *m = &slots[slot];
    struct kw_version *v = m->version_count > 0 ? &m->versions[input_below(in, m->version_count)] : NULL;
    size_t i = 0;
    switch (input_below(in, 9)) {
    case 0: /* rotate */
        if (m->version_count < RECORDING_VERSIONS - 1) {
            uint32_t number = m->version_count == 0 ? 1 : m->versions[m->version_count - 1].version + 1;
            if (v != NULL) {
                v->state = KW_STATE_RETIRED;
            }
            if (number < RECORDING_VERSIONS) {
                add_version(slot, number);
            }
        }
        break;
    case 1: /* disable, enable, … */
        if (v != NULL) {
            v->state = (enum kw_state)input_below(in, KW_STATE_OUT_OF_SERVICE + 1);
        }
        break;
    case 2: /* purge */
        if (m->version_count > 0) {
            m->version_count--;
        }
        break;
    case 3:
        m->present = !m->present;
        break;
    case 4:
        m->write_protected = !m->write_protected;
        break;
    case 5:
        m->kw = !m->kw;
        m->kwp = !m->kwp;
        break;
    case 6: /* another process destroys a data key */
        i = input_below(in, RECORDING_KEYS);
        keys[i].used = false;
        break;
    default:
        plant(in, slot);
    }
}
