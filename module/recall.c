#include "recall.h"

#include <stddef.h>
#include <string.h>

#include "clock.h"

enum { FRESH_MS = 1000 };

static size_t at(const uint8_t name[KW_RECALL_NAME])
{
    return (size_t)(name[0] << 8 | name[1]) % KW_RECALL_SIZE; /* names are random */
}

void kw_recall_clear(struct kw_recall *r)
{
    memset(r, 0, sizeof *r);
}

CK_OBJECT_HANDLE kw_recall_get(const struct kw_recall *r, const uint8_t name[KW_RECALL_NAME], bool *fresh)
{
    const struct kw_recall_entry *e = &r->entries[at(name)];
    bool known = e->handle != CK_INVALID_HANDLE && memcmp(e->name, name, KW_RECALL_NAME) == 0;
    *fresh = known && !kw_clock_is_past(&e->fresh_until);
    return known ? e->handle : CK_INVALID_HANDLE;
}

void kw_recall_set(struct kw_recall *r, const uint8_t name[KW_RECALL_NAME], CK_OBJECT_HANDLE handle)
{
    struct kw_recall_entry *e = &r->entries[at(name)];
    if (handle != CK_INVALID_HANDLE || memcmp(e->name, name, KW_RECALL_NAME) == 0) {
        memcpy(e->name, name, KW_RECALL_NAME);
        e->handle = handle;
        e->fresh_until = kw_clock_in(FRESH_MS);
    }
}
