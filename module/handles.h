/*
 * handles.h: the numbers that callers hold.
 *
 * A handle is kind (8 bits) | generation (32) | index (24): never a pointer, never the vendor's handle, never 0. A stale, foreign or invented one
 * is answered with NULL; generations begin at a random number, so that those of an earlier C_Initialize are stale. The table borrows the objects. No lock of its own: the face's lock is held around every call.
 */
#ifndef KW_HANDLES_H
#define KW_HANDLES_H

#include <stdint.h>

#include "error.h"

enum kw_handle_kind { KW_HANDLE_SESSION = 0x53, KW_HANDLE_OBJECT = 0x4F };

struct kw_handles {
    enum kw_handle_kind kind;
    struct kw_handle_entry *entries;
    uint32_t count; /* entries that were ever used */
    uint32_t room;
    uint32_t free; /* index + 1 of the first free entry; 0: none */
    uint32_t used;
    uint32_t base; /* the first generation of every entry */
};

void kw_handles_init(struct kw_handles *t, enum kw_handle_kind kind);
void kw_handles_clear(struct kw_handles *t);

/* A new handle for `object` (not NULL). CKR_HOST_MEMORY when memory or numbers run out. */
KW_MUST_USE struct kw_rv kw_handles_add(struct kw_handles *t, void *object, CK_ULONG *handle);

/* The object, borrowed, or NULL. */
void *kw_handles_get(const struct kw_handles *t, CK_ULONG handle);

/* Ends a handle; its number is not given out again. Unknown ones are ignored. */
void kw_handles_remove(struct kw_handles *t, CK_ULONG handle);

/* For walking over all: entries 0 to room - 1, NULL where none is. */
size_t kw_handles_room(const struct kw_handles *t);
void *kw_handles_at(const struct kw_handles *t, size_t i);

#endif
