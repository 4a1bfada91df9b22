/*
 * memory_scan.h: looks through the process's own memory for bytes that must not be there. (Issue 3 point 8.)
 *
 * A needle is made by a rule from a number, so that it can be compared byte by byte and lies nowhere itself. Every readable mapping of
 * /proc/self/maps is read through /proc/self/mem, except the scanner's own buffer. The pages of a stack below the running function
 * are looked at as well: dead frames keep what was not wiped.
 */
#ifndef KW_TEST_MEMORY_SCAN_H
#define KW_TEST_MEMORY_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Byte i of needle n. */
uint8_t memory_scan_byte(unsigned n, size_t i);

/* Writes the needle; wipe it with memory_scan_wipe. memory_scan_text makes one of letters and digits, not terminated. */
void memory_scan_needle(unsigned n, uint8_t *out, size_t len);
void memory_scan_text(unsigned n, uint8_t *out, size_t len);
void memory_scan_wipe(void *bytes, size_t len);

struct memory_scan_hit {
    uintptr_t at;
    char mapping[128]; /* its line in /proc/self/maps */
};

/* How often the first `len` bytes of needle n are in memory, binary or (`text`) as memory_scan_text makes it; the first place goes to *hit. -1
 * when memory cannot be read. */
long memory_scan(unsigned n, size_t len, bool text, struct memory_scan_hit *hit);

/* The VmFlags of the mapping at the address, as in /proc/self/smaps; "" when there is none. Static storage. */
const char *memory_scan_flags(uintptr_t at);

#endif
