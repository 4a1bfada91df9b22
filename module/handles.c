#include "handles.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

enum { FIRST_ROOM = 64, MOST = 1 << 20, INDEX_BITS = 24, INDEX_MASK = (1 << INDEX_BITS) - 1 };

_Static_assert(sizeof(CK_ULONG) == 8, "handles are 64 bits wide");

struct kw_handle_entry {
    void *object;        /* NULL: free */
    uint32_t uses;       /* ended handles of this entry */
    uint32_t next;       /* in the free list */
};

void kw_handles_init(struct kw_handles *t, enum kw_handle_kind kind)
{
    uint32_t base = 0;
    if (getrandom(&base, sizeof base, GRND_NONBLOCK) != (ssize_t)sizeof base) {
        base = (uint32_t)time(NULL);
    }
    *t = (struct kw_handles){.kind = kind, .base = base};
}

void kw_handles_clear(struct kw_handles *t)
{
    free(t->entries);
    kw_handles_init(t, t->kind);
}

static struct kw_rv grow(struct kw_handles *t)
{
    uint32_t room = t->room == 0 ? FIRST_ROOM : t->room * 2;
    struct kw_handle_entry *more = room > MOST ? NULL : reallocarray(t->entries, room, sizeof *more);
    if (more == NULL) {
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for another handle");
    }
    t->entries = more;
    t->room = room;
    return KW_OK;
}

struct kw_rv kw_handles_add(struct kw_handles *t, void *object, CK_ULONG *handle)
{
    uint32_t i = 0;
    if (t->free != 0) {
        i = t->free - 1;
        t->free = t->entries[i].next;
    } else {
        struct kw_rv r = t->count == t->room ? grow(t) : KW_OK;
        if (!kw_ok(r)) {
            return r;
        }
        i = t->count++;
        t->entries[i].uses = 0;
    }
    t->entries[i].object = object;
    t->used++;
    *handle = (CK_ULONG)t->kind << 56 | (CK_ULONG)(t->base + t->entries[i].uses) << INDEX_BITS | (i + 1);
    return KW_OK;
}

static struct kw_handle_entry *find(const struct kw_handles *t, CK_ULONG handle)
{
    uint32_t i = (uint32_t)handle & INDEX_MASK;
    uint32_t generation = (uint32_t)(handle >> INDEX_BITS);
    if (handle >> 56 != (CK_ULONG)t->kind || i == 0 || i > t->count) {
        return NULL;
    }
    struct kw_handle_entry *e = &t->entries[i - 1];
    return e->object != NULL && t->base + e->uses == generation ? e : NULL;
}

void *kw_handles_get(const struct kw_handles *t, CK_ULONG handle)
{
    const struct kw_handle_entry *e = find(t, handle);
    return e == NULL ? NULL : e->object;
}

void kw_handles_remove(struct kw_handles *t, CK_ULONG handle)
{
    struct kw_handle_entry *e = find(t, handle);
    if (e == NULL) {
        return;
    }
    e->object = NULL;
    t->used--;
    if (++e->uses < UINT32_MAX) { /* else worn out: never used again */
        e->next = t->free;
        t->free = (uint32_t)handle & INDEX_MASK;
    }
}

size_t kw_handles_room(const struct kw_handles *t)
{
    return t->count;
}

void *kw_handles_at(const struct kw_handles *t, size_t i)
{
    return i < t->count ? t->entries[i].object : NULL;
}
