#include "upset.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "digest.h"
#include "engine.h"

long upset_shortage = -1;
bool upset_starved;
void (*upset_meanwhile)(void);
enum upset_digest upset_digest;

static bool runs_out(void)
{
    bool now = upset_shortage == 0;
    upset_shortage -= upset_shortage >= 0;
    upset_starved |= now;
    return now;
}

#define ALLOCATOR(type, name, none, parameters, arguments) \
    type __real_##name parameters;                         \
    type __wrap_##name parameters;                         \
    type __wrap_##name parameters                          \
    {                                                      \
        return runs_out() ? (none) : __real_##name arguments; \
    }
ALLOCATOR(void *, malloc, NULL, (size_t size), (size))
ALLOCATOR(void *, calloc, NULL, (size_t count, size_t size), (count, size))
ALLOCATOR(void *, realloc, NULL, (void *old, size_t size), (old, size))
ALLOCATOR(void *, reallocarray, NULL, (void *old, size_t count, size_t size), (old, count, size))
ALLOCATOR(char *, strdup, NULL, (const char *text), (text))
ALLOCATOR(int, mlock, -1, (const void *at, size_t size), (at, size))
ALLOCATOR(void *, mmap, MAP_FAILED, (void *at, size_t size, int protect, int flags, int fd, off_t offset),
          (at, size, protect, flags, fd, offset))

static void let_it_happen(void)
{
    void (*now)(void) = upset_meanwhile;
    upset_meanwhile = NULL;
    if (now != NULL) {
        now();
    }
}

struct kw_rv __real_kw_engine_make(struct kw_engine *e, size_t slot, const struct kw_secret *value, struct kw_dek *dek);
struct kw_rv __wrap_kw_engine_make(struct kw_engine *e, size_t slot, const struct kw_secret *value, struct kw_dek *dek);
struct kw_rv __wrap_kw_engine_make(struct kw_engine *e, size_t slot, const struct kw_secret *value, struct kw_dek *dek)
{
    struct kw_rv r = __real_kw_engine_make(e, slot, value, dek);
    let_it_happen();
    return r;
}

struct kw_rv __real_kw_engine_destroy(struct kw_engine *e, size_t slot, const struct kw_dek *dek);
struct kw_rv __wrap_kw_engine_destroy(struct kw_engine *e, size_t slot, const struct kw_dek *dek);
struct kw_rv __wrap_kw_engine_destroy(struct kw_engine *e, size_t slot, const struct kw_dek *dek)
{
    let_it_happen();
    return __real_kw_engine_destroy(e, slot, dek);
}

struct listener {
    kw_engine_each_version *version;
    kw_engine_each_dek *dek;
    void *data;
};

static void hear_version(void *data, const struct kw_version *version)
{
    struct listener *l = data;
    let_it_happen();
    l->version(l->data, version);
}

static void hear_dek(void *data, const struct kw_dek *dek)
{
    struct listener *l = data;
    let_it_happen();
    l->dek(l->data, dek);
}

struct kw_rv __real_kw_engine_versions(struct kw_engine *e, size_t slot, kw_engine_each_version *each, void *data);
struct kw_rv __wrap_kw_engine_versions(struct kw_engine *e, size_t slot, kw_engine_each_version *each, void *data);
struct kw_rv __wrap_kw_engine_versions(struct kw_engine *e, size_t slot, kw_engine_each_version *each, void *data)
{
    struct listener l = {.version = each, .data = data};
    return __real_kw_engine_versions(e, slot, hear_version, &l);
}

struct kw_rv __real_kw_engine_deks(struct kw_engine *e, size_t slot, kw_engine_each_dek *each, void *data);
struct kw_rv __wrap_kw_engine_deks(struct kw_engine *e, size_t slot, kw_engine_each_dek *each, void *data);
struct kw_rv __wrap_kw_engine_deks(struct kw_engine *e, size_t slot, kw_engine_each_dek *each, void *data)
{
    struct listener l = {.dek = each, .data = data};
    return __real_kw_engine_deks(e, slot, hear_dek, &l);
}

struct kw_rv __real_kw_digest_sha256(const void *const parts[], const size_t lens[], size_t count, uint8_t out[KW_SHA256_SIZE]);
struct kw_rv __wrap_kw_digest_sha256(const void *const parts[], const size_t lens[], size_t count, uint8_t out[KW_SHA256_SIZE]);
struct kw_rv __wrap_kw_digest_sha256(const void *const parts[], const size_t lens[], size_t count, uint8_t out[KW_SHA256_SIZE])
{
    if (upset_digest == UPSET_DIGEST_FAILS) {
        return KW_FAIL(CKR_GENERAL_ERROR, "told to fail");
    }
    struct kw_rv r = __real_kw_digest_sha256(parts, lens, count, out);
    if (upset_digest == UPSET_DIGEST_COLLIDES && count == 3 && *(const unsigned char *)parts[2] == 0) {
        memset(out, 1, 4); /* the id of each first try */
    }
    return r;
}
