/*
 * recall.h: vendor handles of data keys by name, for one epoch of one backing token.
 *
 * A table of fixed size in which a newer name may push out an older one: what is not recalled is looked up again. A handle is fresh for a second
 * after it was set. Plain storage of the caller, whose lock guards it.
 */
#ifndef KW_RECALL_H
#define KW_RECALL_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "cryptoki.h"

enum { KW_RECALL_NAME = 8, KW_RECALL_SIZE = 1024 };

struct kw_recall {
    struct kw_recall_entry {
        uint8_t name[KW_RECALL_NAME];
        CK_OBJECT_HANDLE handle;
        struct timespec fresh_until;
    } entries[KW_RECALL_SIZE];
};

/* Forgets all. */
void kw_recall_clear(struct kw_recall *r);

/* The handle, or CK_INVALID_HANDLE; and whether it is fresh. */
CK_OBJECT_HANDLE kw_recall_get(const struct kw_recall *r, const uint8_t name[KW_RECALL_NAME], bool *fresh);

/* Remembers the handle, or that it was seen again; CK_INVALID_HANDLE forgets the name. */
void kw_recall_set(struct kw_recall *r, const uint8_t name[KW_RECALL_NAME], CK_OBJECT_HANDLE handle);

#endif
