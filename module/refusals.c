#include "refusals.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "digest.h"

enum { SALT = 16, MOST = 8, SIZE = SALT + MOST * KW_SHA256_SIZE };

static struct kw_rv digest(const struct kw_refusals *r, const struct kw_secret *pin, uint8_t out[KW_SHA256_SIZE])
{
    const void *const parts[] = {kw_secret_peek(r->digests), kw_secret_peek(pin)};
    const size_t lens[] = {SALT, kw_secret_len(pin)};
    return kw_digest_sha256(parts, lens, 2, out);
}

bool kw_refusals_has(const struct kw_refusals *r, const struct kw_secret *pin)
{
    uint8_t d[KW_SHA256_SIZE];
    if (r->count == 0 || !kw_ok(digest(r, pin, d))) {
        return false;
    }
    bool known = false;
    for (unsigned i = 0; i < r->count; i++) {
        known |= CRYPTO_memcmp(kw_secret_peek(r->digests) + SALT + i * sizeof d, d, sizeof d) == 0;
    }
    OPENSSL_cleanse(d, sizeof d);
    return known;
}

static struct kw_rv begin(struct kw_refusals *r)
{
    struct kw_secret *s = NULL;
    struct kw_rv rv = kw_secret_new(SIZE, &s);
    if (kw_ok(rv) && getrandom(kw_secret_bytes(s), SALT, 0) != SALT) {
        rv = KW_FAIL(CKR_FUNCTION_FAILED, "the system gives no random numbers");
    }
    if (!kw_ok(rv)) {
        kw_secret_free(s);
        return rv;
    }
    r->digests = s;
    return KW_OK;
}

struct kw_rv kw_refusals_add(struct kw_refusals *r, const struct kw_secret *pin)
{
    struct kw_rv rv = r->digests == NULL ? begin(r) : KW_OK;
    if (!kw_ok(rv)) {
        return rv;
    }
    uint8_t *first = kw_secret_bytes(r->digests) + SALT;
    if (r->count == MOST) {
        memmove(first, first + KW_SHA256_SIZE, (MOST - 1) * KW_SHA256_SIZE);
        r->count--;
    }
    rv = digest(r, pin, first + r->count * KW_SHA256_SIZE);
    r->count += kw_ok(rv);
    return rv;
}

void kw_refusals_clear(struct kw_refusals *r)
{
    kw_secret_free(r->digests);
    *r = (struct kw_refusals){0};
}

struct token {
    struct token *next;
    struct kw_refusals refusals;
    char key[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct token *tokens;

struct kw_refusals *kw_refusals_of(const char *key)
{
    size_t size = strlen(key) + 1;
    pthread_mutex_lock(&lock);
    struct token *t = tokens;
    while (t != NULL && strcmp(t->key, key) != 0) {
        t = t->next;
    }
    if (t == NULL) {
        t = calloc(1, sizeof *t + size);
        if (t != NULL) {
            memcpy(t->key, key, size);
            t->next = tokens;
            tokens = t;
        }
    }
    pthread_mutex_unlock(&lock);
    return t == NULL ? NULL : &t->refusals;
}

void kw_refusals_forked(void)
{
    (void)pthread_mutex_init(&lock, NULL);
    for (struct token *t = tokens; t != NULL; t = t->next) {
        t->refusals = (struct kw_refusals){0}; /* what it held is zero here, and forgotten (secret.h) */
    }
}

struct kw_rv kw_refusals_check(const struct kw_refusals *r, const CK_TOKEN_INFO *info, const struct kw_secret *pin)
{
    enum { SANE = 4096 }; /* modules that know no limits say strange ones */
    size_t len = kw_secret_len(pin);
    if ((info->flags & CKF_USER_PIN_LOCKED) != 0) {
        return KW_FAIL(CKR_PIN_LOCKED, "the PIN of the backing token is locked; its security officer can set a new one");
    }
    if ((info->flags & CKF_USER_PIN_FINAL_TRY) != 0) {
        return KW_FAIL(CKR_PIN_LOCKED, "one more wrong PIN would lock the backing token; log in once with the vendor's own tool");
    }
    if (len == 0 || (info->ulMaxPinLen > 0 && info->ulMaxPinLen < SANE && len > info->ulMaxPinLen) ||
        (info->ulMinPinLen < SANE && len < info->ulMinPinLen)) {
        return KW_FAIL(CKR_PIN_LEN_RANGE, "no PIN of the backing token has this length");
    }
    if (kw_refusals_has(r, pin)) {
        return KW_FAIL(CKR_PIN_INCORRECT, "this PIN was refused before and is not sent again; restart after setting it right");
    }
    return KW_OK;
}
