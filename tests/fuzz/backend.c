/*
 * backend.c: the target `backend`: the real engine, down to the calls of a vendor's module, over a module that fails and lies.
 *
 * Calls of engine.h with the blobs, PINs and data keys that the face lets through; between them lies are announced, the clock goes on, and
 * somebody else changes the tokens. Unless the mock itself forged a key (mock_forged), no answer may be a wrong key.
 */
#include "engine.h"
#include "scheme.h"

#include <p11-kit/p11-kit.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "digest.h"
#include "log.h"
#include "mock_token.h"
#include "policy.h"
#include "refusals.h"

enum { SLOTS = 3, KEYS = 12, BLOBS = 8 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
CK_FUNCTION_LIST *__wrap_p11_kit_module_load(const char *path, int flags);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_usleep(useconds_t us);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until);
void __wrap_kw_openssl_end(void);

static const char config_text[] = "[keyward]\nlog = none\n"
                                  "[token a]\nuri = pkcs11:token=a?module-path=/proc/self/status&pin-value=" MOCK_PIN "\n"
                                  "[token b]\nuri = pkcs11:token=b?module-path=/proc/self/status\n"
                                  "[slot one]\ntokens = a\n[slot two]\ntokens = a b\n[slot three]\ntokens = b\n";

static struct kw_config *config;
static uint64_t clock_us;

/* What an execution knows. */
struct world {
    struct input in;
    struct kw_engine *engine;
    bool in_slot[SLOTS];
    size_t key_count;
    struct key {
        size_t slot;
        struct kw_dek dek;
    } keys[KEYS];
    size_t blob_count;
    struct blob {
        size_t slot;
        enum kw_format format;
        size_t len;
        uint8_t bytes[KW_BLOB_MAX];
        size_t plain_len;
        uint8_t plain[KW_DEK_LENGTH_MAX];
    } blobs[BLOBS];
};

CK_FUNCTION_LIST *__wrap_p11_kit_module_load(const char *path, int flags)
{
    (void)path;
    (void)flags;
    return &mock_functions;
}

/* Time goes on when the input says so or somebody sleeps. It is long past for the kernel, so that no wait for another thread lasts. */
int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
    (void)id;
    t->tv_sec = (time_t)(clock_us / 1000000);
    t->tv_nsec = (long)(clock_us % 1000000) * 1000;
    return 0;
}

int __wrap_usleep(useconds_t us)
{
    clock_us += us;
    return 0;
}

/* There is no other thread that would signal: the time is over at once. */
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until)
{
    uint64_t end = (uint64_t)until->tv_sec * 1000000U + (uint64_t)until->tv_nsec / 1000U + 1U;
    (void)cond;
    (void)lock;
    clock_us = end > clock_us ? end : clock_us;
    return ETIMEDOUT;
}

/* The context of OpenSSL is kept from one execution to the next: making it takes longer than all the rest. */
void __wrap_kw_openssl_end(void)
{
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char path[64];
    (void)argc;
    (void)argv;
    int fd = memfd_create("keyward.conf", 0);
    if (fd < 0 || fchmod(fd, S_IRUSR | S_IWUSR) != 0 || setenv("KEYWARD_LOG", "none", 1) != 0 ||
        write(fd, config_text, sizeof config_text - 1) != (ssize_t)sizeof config_text - 1) {
        abort();
    }
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return kw_ok(kw_log_open("none")) && kw_ok(kw_config_load(path, NULL, NULL, &config)) ? 0 : 1;
}

static void open_engine(struct world *w)
{
    struct kw_rv r = kw_engine_open(config, &w->engine);
    INPUT_MUST(kw_ok(r), "the engine does not open");
}

static void op_login(struct world *w)
{
    size_t slot = input_below(&w->in, SLOTS);
    size_t choice = input_below(&w->in, 8);
    struct kw_secret *pin = NULL;
    if (w->in_slot[slot]) {
        return;
    }
    if (choice < 6 || slot > 0) {
        const char *text = choice == 7 ? "wrong" : MOCK_PIN;
        if (!kw_ok(kw_secret_dup(text, strlen(text), &pin))) {
            abort();
        }
    }
    struct kw_rv r = kw_engine_login(w->engine, slot, pin);
    INPUT_MUST(!kw_ok(r) || choice != 7 || pin == NULL || mock_lied(), "a wrong PIN logs in");
    w->in_slot[slot] = kw_ok(r);
    kw_secret_free(pin);
}

/* As the face does: session objects are destroyed first, then every key of the slot is forgotten. */
static void log_out(struct world *w, size_t slot)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->key_count; i++) {
        struct key *k = &w->keys[i];
        if (k->slot != slot) {
            w->keys[kept++] = *k;
            continue;
        }
        if (k->dek.value == NULL && !k->dek.spec.token) {
            struct kw_rv r = kw_engine_destroy(w->engine, slot, &k->dek);
            (void)r;
        }
        kw_secret_free(k->dek.value);
    }
    w->key_count = kept;
    if (w->in_slot[slot]) {
        kw_engine_logout(w->engine, slot);
        w->in_slot[slot] = false;
    }
}

static void op_logout(struct world *w)
{
    log_out(w, input_below(&w->in, SLOTS));
}

static void op_reach(struct world *w)
{
    struct kw_engine_token token;
    struct kw_engine_offers offers;
    size_t slot = input_below(&w->in, SLOTS);
    struct kw_rv r = kw_engine_reach(w->engine, slot, &token);
    r = kw_ok(r) ? kw_engine_offers(w->engine, slot, &offers) : r;
    (void)r;
}

struct seen {
    size_t slot;
    unsigned active;
    bool data_keys_last;
};

static void see_version(void *data, const struct kw_version *v)
{
    struct seen *seen = data;
    INPUT_MUST(v->state <= KW_STATE_OUT_OF_SERVICE && v->id_len <= sizeof v->id, "a version is described wrong");
    INPUT_MUST(v->state != KW_STATE_OUT_OF_SERVICE || v->problem != NULL, "a version is out of service without a reason");
    INPUT_MUST(v->state == KW_STATE_OUT_OF_SERVICE || (v->type == CKK_AES && (v->bits == 128 || v->bits == 192 || v->bits == 256)),
               "a version in service is no AES key");
    seen->active += v->state == KW_STATE_ACTIVE;
}

static void see_dek(void *data, const struct kw_dek *dek)
{
    (void)data;
    INPUT_MUST(dek->spec.len > 0 && dek->spec.len <= KW_DEK_LENGTH_MAX, "a data key of an impossible length is listed");
    INPUT_MUST(dek->spec.id_len <= KW_DEK_TEXT_MAX && dek->spec.label_len <= KW_DEK_TEXT_MAX, "a data key is described wrong");
    INPUT_MUST(dek->value == NULL && dek->spec.token, "a data key is listed that is not the token's");
}

static void op_list(struct world *w)
{
    struct seen seen = {.slot = input_below(&w->in, SLOTS)};
    struct kw_rv r = kw_engine_versions(w->engine, seen.slot, see_version, &seen);
    if (kw_ok(r) || input_flag(&w->in)) {
        r = kw_engine_deks(w->engine, seen.slot, see_dek, &seen);
    }
}

static struct key *add_key(struct world *w, size_t slot, const struct kw_dek *dek)
{
    struct key *k = &w->keys[w->key_count++];
    *k = (struct key){slot, *dek};
    return k;
}

/* The value of a data key as it really is; 0: gone. */
static size_t truth(const struct kw_dek *dek, uint8_t value[KW_DEK_LENGTH_MAX])
{
    if (dek->value == NULL) {
        return mock_named(dek->name, value);
    }
    memcpy(value, kw_secret_peek(dek->value), kw_secret_len(dek->value));
    return kw_secret_len(dek->value);
}

static struct kw_dek_spec pick_spec(struct world *w, bool length)
{
    static const size_t lengths[] = {16, 24, 32, 1, 7, 20, 40, 512};
    unsigned choice = (unsigned)input_number(&w->in, 2);
    struct kw_dek_spec s = {.type = (choice & 1) != 0 ? CKK_GENERIC_SECRET : CKK_AES};
    s.token = (choice & 2) != 0;
    s.sensitive = (choice & 4) != 0;
    s.extractable = (choice & 8) == 0;
    s.label_len = (choice >> 4) % 8;
    memcpy(s.label, "a label", s.label_len);
    s.id_len = (choice & 128) != 0 ? KW_DEK_TEXT_MAX : 2;
    s.len = lengths[choice >> 8 & 7];
    if (!kw_policy_length(s.type, s.len)) {
        s.len = 32;
    }
    s.len = length ? s.len : 0;
    return s;
}

static void op_make(struct world *w)
{
    size_t slot = input_below(&w->in, SLOTS);
    struct kw_dek dek = {.spec = pick_spec(w, true)};
    struct kw_secret *value = NULL;
    uint8_t real[KW_DEK_LENGTH_MAX];
    if (w->key_count == KEYS || !w->in_slot[slot]) {
        return;
    }
    if (input_flag(&w->in) && !kw_ok(kw_secret_dup(input_take(&w->in, dek.spec.len), dek.spec.len, &value))) {
        abort();
    }
    struct kw_rv r = kw_engine_make(w->engine, slot, value, &dek);
    if (kw_ok(r)) {
        INPUT_MUST((dek.value != NULL) == kw_dek_in_memory(&dek.spec), "a data key is in another home than its attributes say");
        INPUT_MUST(dek.local == (value == NULL), "CKA_LOCAL is wrong");
        (void)add_key(w, slot, &dek);
        size_t len = truth(&dek, real);
        INPUT_MUST(mock_lied() || len == dek.spec.len, "a data key has another length");
        INPUT_MUST(mock_lied() || value == NULL || kw_secret_equal(value, real, len), "a data key has another value");
    } else {
        INPUT_MUST(dek.value == NULL, "an error gives a value");
    }
    kw_secret_free(value);
}

static struct key *pick_key(struct world *w)
{
    return w->key_count == 0 ? NULL : &w->keys[input_below(&w->in, w->key_count)];
}

static void op_value(struct world *w)
{
    struct key *k = pick_key(w);
    struct kw_secret *value = NULL;
    uint8_t real[KW_DEK_LENGTH_MAX];
    if (k == NULL || k->dek.value != NULL || k->dek.spec.sensitive || !k->dek.spec.extractable) {
        return;
    }
    struct kw_rv r = kw_engine_value(w->engine, k->slot, &k->dek, &value);
    size_t len = truth(&k->dek, real);
    INPUT_MUST(kw_ok(r) == (value != NULL), "a value and an error, or none");
    INPUT_MUST(!kw_ok(r) || mock_lied() || kw_secret_equal(value, real, len), "another value is read");
    kw_secret_free(value);
}

static void op_destroy(struct world *w)
{
    struct key *k = pick_key(w);
    if (k == NULL || k->dek.value != NULL) {
        return;
    }
    struct kw_rv r = kw_engine_destroy(w->engine, k->slot, &k->dek);
    if (kw_ok(r)) {
        uint8_t value[KW_DEK_LENGTH_MAX];
        INPUT_MUST(mock_lied() || mock_named(k->dek.name, value) == 0, "a data key that was destroyed is there");
        *k = w->keys[--w->key_count];
    }
}

static void op_rename(struct world *w)
{
    struct key *k = pick_key(w);
    if (k == NULL || k->dek.value != NULL) {
        return;
    }
    struct kw_dek to = k->dek;
    to.spec.label_len = input_byte(&w->in) % (KW_DEK_TEXT_MAX + 1);
    memset(to.spec.label, 'x', to.spec.label_len);
    struct kw_rv r = kw_engine_rename(w->engine, k->slot, &k->dek, &to);
    if (kw_ok(r)) {
        k->dek = to;
    }
}

/* Opens a blob with any version of the slot's master key, as it really is. */
static size_t open_really(size_t slot, enum kw_format format, const uint8_t *blob, size_t len, uint8_t out[KW_BLOB_MAX + 16])
{
    size_t n = 0;
    for (uint32_t v = 1; v <= MOCK_VERSIONS && n == 0; v++) {
        uint8_t key[32];
        mock_genuine(slot, v, key);
        n = mock_unwrap(key, format, blob, len, out);
    }
    return n;
}

static void op_wrap(struct world *w)
{
    struct key *k = pick_key(w);
    uint8_t blob[KW_BLOB_MAX];
    uint8_t real[KW_DEK_LENGTH_MAX];
    uint8_t opened[KW_BLOB_MAX + 16];
    size_t len = 0;
    if (k == NULL || !k->dek.spec.extractable) {
        return;
    }
    const uint32_t version = 1 + (uint32_t)input_below(&w->in, 3);
    const struct kw_wrapping wrapping = {version, {.format = (enum kw_format)input_below(&w->in, 2)}, &k->dek, NULL, NULL};
    if (kw_scheme_blob_len(&wrapping.scheme, 0, k->dek.spec.len) == 0) {
        return;
    }
    size_t real_len = truth(&k->dek, real);
    struct kw_rv r = kw_engine_wrap(w->engine, k->slot, &wrapping, blob, &len);
    if (!kw_ok(r)) {
        return;
    }
    INPUT_MUST(len == kw_scheme_blob_len(&wrapping.scheme, 0, k->dek.spec.len), "a blob has another length than was told before");
    if (mock_forged()) {
        return;
    }
    size_t n = open_really(k->slot, wrapping.scheme.format, blob, len, opened);
    INPUT_MUST(n > 0, "CKR_OK, but the blob does not open under the master key");
    INPUT_MUST(n == real_len && memcmp(opened, real, n) == 0, "CKR_OK, but another key was wrapped");
    struct blob *b = &w->blobs[w->blob_count < BLOBS ? w->blob_count++ : input_below(&w->in, BLOBS)];
    *b = (struct blob){.slot = k->slot, .format = wrapping.scheme.format, .len = len, .plain_len = n};
    memcpy(b->bytes, blob, len);
    memcpy(b->plain, real, n);
}

/* A blob that was given, one made by somebody who has the master key, a changed one, or nonsense. */
static size_t pick_blob(struct world *w, size_t *slot, enum kw_format *format, uint8_t blob[KW_BLOB_MAX])
{
    size_t choice = input_byte(&w->in);
    size_t len = 0;
    if (choice < 128 && w->blob_count > 0) {
        const struct blob *b = &w->blobs[choice % w->blob_count];
        *slot = b->slot;
        *format = b->format;
        len = b->len;
        memcpy(blob, b->bytes, len);
    } else if (choice < 224) {
        uint8_t key[32];
        size_t plain = 1 + input_number(&w->in, 2) % KW_DEK_LENGTH_MAX;
        mock_genuine(choice % SLOTS, 1 + choice % MOCK_VERSIONS, key);
        len = mock_wrap(key, *format, input_take(&w->in, plain), plain, blob);
    }
    if (len == 0) {
        len = 16 + 8 * (input_byte(&w->in) % 65U);
        memcpy(blob, input_take(&w->in, len), len);
    }
    if (input_flag(&w->in)) {
        size_t bit = input_number(&w->in, 2) % (len * 8);
        blob[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    return len;
}

static void check_unwrapped(const struct kw_unwrapping *u, size_t slot, const struct kw_dek *dek)
{
    uint8_t opened[KW_BLOB_MAX + 16];
    uint8_t real[KW_DEK_LENGTH_MAX];
    size_t n = open_really(slot, u->scheme.format, u->blob, u->len, opened);
    size_t real_len = truth(dek, real);
    INPUT_MUST(n > 0, "CKR_OK for a blob that does not open under the master key");
    INPUT_MUST(n == dek->spec.len, "CKR_OK, but the data key has another length");
    INPUT_MUST(mock_lied() || real_len == n, "CKR_OK, but the data key is not there");
    INPUT_MUST(real_len == 0 || (real_len == n && memcmp(real, opened, n) == 0), "CKR_OK, but it is another data key");
}

static void op_unwrap(struct world *w)
{
    uint8_t blob[KW_BLOB_MAX];
    size_t slot = input_below(&w->in, SLOTS);
    enum kw_format format = (enum kw_format)input_below(&w->in, 2);
    struct kw_unwrapping u = {.version = 1 + (uint32_t)input_below(&w->in, 3), .older_too = input_flag(&w->in)};
    struct kw_dek dek = {.spec = pick_spec(w, false)};
    u.len = pick_blob(w, &slot, &format, blob);
    u.scheme.format = format;
    u.blob = input_copy(&w->in, blob, u.len);
    if (w->key_count == KEYS || !w->in_slot[slot] || (format == KW_FORMAT_KW && u.len < 24)) {
        return;
    }
    struct kw_rv r = kw_engine_unwrap(w->engine, slot, &u, &dek);
    if (!kw_ok(r)) {
        INPUT_MUST(dek.value == NULL, "an error gives a value");
        INPUT_MUST(mock_lied() || r.code == CKR_WRAPPED_KEY_INVALID || r.code == CKR_UNWRAPPING_KEY_HANDLE_INVALID ||
                       r.code == CKR_DEVICE_MEMORY,
                   "a bad blob is answered with another code");
        return;
    }
    (void)add_key(w, slot, &dek);
    INPUT_MUST((dek.value != NULL) == kw_dek_in_memory(&dek.spec), "a data key is in another home than its attributes say");
    INPUT_MUST(kw_policy_length(dek.spec.type, dek.spec.len), "CKR_OK for a length that no data key of this type has");
    if (!mock_forged()) {
        check_unwrapped(&u, slot, &dek);
    }
}

static void op_random(struct world *w)
{
    size_t len = 1 + input_below(&w->in, 64);
    struct kw_rv r = kw_engine_random(w->engine, input_below(&w->in, SLOTS), input_room(&w->in, len), len);
    (void)r;
}

static void op_clock(struct world *w)
{
    static const uint64_t steps[] = {1000, 60000, 1100000, 10000000};
    clock_us += steps[input_below(&w->in, 4)];
}

static void op_world(struct world *w)
{
    mock_world(input_byte(&w->in));
}

static void op_lie(struct world *w)
{
    static const CK_RV codes[] = {
#define KW_ERROR(code, class) code,
#include "errors.def"
#undef KW_ERROR
    };
    static const CK_ULONG numbers[] = {0, 1, 15, 16, 17, 24, 32, 40, 41, 64, 128, 512, 600, 65535, 1UL << 31, 1UL << 32,
                                       1UL << 63, CK_UNAVAILABLE_INFORMATION, 101, 102, 103, 104};
    struct mock_lie lie = {.after = input_byte(&w->in) % 48U, .kind = (enum mock_kind)input_below(&w->in, MOCK_KINDS)};
    size_t choice = input_byte(&w->in);
    lie.code = choice < 250 ? codes[choice % (sizeof codes / sizeof codes[0])] : input_number(&w->in, 8);
    lie.code = lie.code == CKR_OK ? CKR_DEVICE_ERROR : lie.code;
    lie.number = lie.kind == MOCK_NUMBER ? numbers[input_byte(&w->in) % (sizeof numbers / sizeof numbers[0])] : input_byte(&w->in);
    mock_announce(&lie);
}

/* Refused PINs are known for the life of the process. Here they end with the engine, so that one input does not change the next; the linker
 * puts this in the place of kw_refusals_of. The first letter of the key is the name of the [token]. */
static struct kw_refusals refused[2];
struct kw_refusals *__wrap_kw_refusals_of(const char *key);
struct kw_refusals *__wrap_kw_refusals_of(const char *key)
{
    return &refused[key[0] == 'b'];
}

static void close_engine(struct world *w)
{
    for (size_t i = 0; i < SLOTS; i++) {
        log_out(w, i);
    }
    kw_engine_close(w->engine);
    kw_refusals_clear(&refused[0]);
    kw_refusals_clear(&refused[1]);
    INPUT_MUST(kw_secret_alive() == 0, "a secret survives the engine");
    INPUT_MUST(mock_lied() || mock_session_objects() == 0, "a session object survives the engine");
}

static void op_reopen(struct world *w)
{
    close_engine(w);
    open_engine(w);
}

typedef void op(struct world *w);
static op *const ops[] = {
    op_login, op_make,   op_wrap,  op_unwrap, op_lie,    op_login, op_make,   op_wrap, op_unwrap, op_lie,
    op_list,  op_logout, op_reach, op_value,  op_rename, op_clock, op_random, op_world, op_destroy, op_reopen,
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct world w;
    memset(&w, 0, sizeof w);
    clock_us = 1000000;
    input_init(&w.in, bytes, len);
    mock_reset();
    open_engine(&w);
    for (unsigned i = 0; i < 100 && input_more(&w.in); i++) {
        ops[input_below(&w.in, sizeof ops / sizeof ops[0])](&w);
        input_forget(&w.in);
    }
    close_engine(&w);
    return 0;
}
