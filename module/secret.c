#include "secret.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Secrets are carved from arenas: page-aligned mappings that are locked, not dumped and zeroed in a child. A small arena holds cells
 * of one fixed size, a large secret has an arena of its own. An arena goes back to the kernel with its last secret, except for one that
 * is kept so that a broker which makes one data key at a time does not map and lock pages at every call.
 */
enum { CELL = 128, ARENA = 16384, CELLS = ARENA / CELL - 2 };

struct kw_secret {
    struct arena *arena;
    size_t len;  /* what the owner sees */
    size_t room; /* what is wiped */
    unsigned char bytes[];
};

struct arena {
    struct arena *next;
    size_t size;
    size_t used;               /* secrets alive in it */
    unsigned char taken[CELLS]; /* small arenas only */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct arena *arenas; /* small ones */
static size_t alive;

_Static_assert(sizeof(struct arena) <= 2 * CELL, "the arena's head fits its two first cells");

static struct arena *arena_map(size_t size)
{
    struct arena *a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (a == MAP_FAILED) {
        return NULL;
    }
    if (mlock(a, size) != 0 || madvise(a, size, MADV_DONTDUMP) != 0 || madvise(a, size, MADV_WIPEONFORK) != 0) {
        (void)munmap(a, size);
        return NULL;
    }
    a->size = size;
    return a;
}

static struct kw_secret *cell(struct arena *a, size_t i)
{
    return (struct kw_secret *)(void *)((unsigned char *)a + (i + 2) * CELL);
}

/* A free cell of a small arena, mapping a new arena if need be; NULL when memory is short. The lock is held. */
static struct kw_secret *take_small_locked(void)
{
    struct arena *a = arenas;
    while (a != NULL && a->used == CELLS) {
        a = a->next;
    }
    if (a == NULL) {
        a = arena_map(ARENA);
        if (a == NULL) {
            return NULL;
        }
        a->next = arenas;
        arenas = a;
    }
    size_t i = 0;
    while (a->taken[i]) {
        i++;
    }
    a->taken[i] = 1;
    a->used++;
    struct kw_secret *s = cell(a, i);
    s->arena = a;
    s->room = CELL - sizeof *s;
    return s;
}

static struct kw_secret *take_large(size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t need = 2 * CELL + sizeof(struct kw_secret) + len;
    struct arena *a = arena_map((need + page - 1) / page * page);
    if (a == NULL) {
        return NULL;
    }
    a->used = 1;
    struct kw_secret *s = cell(a, 0);
    s->arena = a;
    s->room = len;
    return s;
}

struct kw_rv kw_secret_new(size_t len, struct kw_secret **out)
{
    if (len > KW_SECRET_MAX) {
        return KW_FAIL(CKR_HOST_MEMORY, "a secret of this length is not kept");
    }
    bool small = len <= CELL - sizeof(struct kw_secret);
    pthread_mutex_lock(&lock);
    struct kw_secret *s = small ? take_small_locked() : take_large(len);
    alive += s != NULL;
    pthread_mutex_unlock(&lock);
    if (s == NULL) {
        return KW_FAIL(CKR_HOST_MEMORY, "memory for a secret cannot be had or locked; raise the limit of locked memory "
                                        "(ulimit -l, LimitMEMLOCK=)");
    }
    s->len = len;
    *out = s;
    return KW_OK;
}

struct kw_rv kw_secret_dup(const void *bytes, size_t len, struct kw_secret **out)
{
    struct kw_secret *s = NULL;
    struct kw_rv r = kw_secret_new(len, &s);
    if (!kw_ok(r)) {
        return r;
    }
    if (len > 0) {
        memcpy(s->bytes, bytes, len);
    }
    *out = s;
    return KW_OK;
}

static void release_small_locked(struct kw_secret *s)
{
    struct arena *a = s->arena;
    size_t i = (size_t)((unsigned char *)s - (unsigned char *)a) / CELL - 2;
    OPENSSL_cleanse(s, CELL);
    a->taken[i] = 0;
    a->used--;
    if (a->used > 0 || (a == arenas && a->next == NULL)) {
        return;
    }
    struct arena **link = &arenas;
    while (*link != a) {
        link = &(*link)->next;
    }
    *link = a->next;
    (void)munmap(a, a->size);
}

void kw_secret_free(struct kw_secret *s)
{
    if (s == NULL || s->arena == NULL) { /* no arena: inherited by a fork, and zero here */
        return;
    }
    pthread_mutex_lock(&lock);
    alive--;
    if (s->room == CELL - sizeof *s) {
        release_small_locked(s);
    } else {
        struct arena *a = s->arena;
        OPENSSL_cleanse(s->bytes, s->room);
        (void)munmap(a, a->size);
    }
    pthread_mutex_unlock(&lock);
}

unsigned char *kw_secret_bytes(struct kw_secret *s)
{
    return s == NULL ? NULL : s->bytes;
}

const unsigned char *kw_secret_peek(const struct kw_secret *s)
{
    return s == NULL ? NULL : s->bytes;
}

size_t kw_secret_len(const struct kw_secret *s)
{
    return s == NULL ? 0 : s->len;
}

void kw_secret_shrink(struct kw_secret *s, size_t len)
{
    if (len < s->len) {
        OPENSSL_cleanse(s->bytes + len, s->len - len);
        s->len = len;
    }
}

bool kw_secret_equal(const struct kw_secret *s, const void *bytes, size_t len)
{
    if (s == NULL || s->len != len) {
        return false;
    }
    return len == 0 || CRYPTO_memcmp(s->bytes, bytes, len) == 0;
}

void kw_secret_forked(void)
{
    /* The pages are zero in the child: nothing in them can be followed. They are left mapped. */
    (void)pthread_mutex_init(&lock, NULL);
    arenas = NULL;
    alive = 0;
}

size_t kw_secret_alive(void)
{
    pthread_mutex_lock(&lock);
    size_t n = alive;
    pthread_mutex_unlock(&lock);
    return n;
}
