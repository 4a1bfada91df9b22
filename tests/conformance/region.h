/*
 * region.h: memory that ends where the process ends: behind its last byte lies a page that may not be touched.
 *
 * A module that reads or writes one byte too many dies at once, with or without a sanitizer. Regions are handed out in turn from a
 * small pool and filled with REGION_FILL; one is good until REGION_COUNT more were taken. One thread only.
 */
#ifndef KW_TEST_REGION_H
#define KW_TEST_REGION_H

#include <stdbool.h>
#include <stddef.h>

enum { REGION_COUNT = 128, REGION_MAX = 64 * 1024, REGION_FILL = 0x41 };

/* False when there is no memory. */
bool region_init(void);

/* `len` bytes, at most REGION_MAX, that end at the untouchable page. */
void *region_take(size_t len);

/* Whether all bytes are still REGION_FILL. */
bool region_untouched(const void *bytes, size_t len);

#endif
