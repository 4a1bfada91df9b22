/*
 * batch.h: some lines of the input on their way through `rewrap`, and what is written for them.
 *
 * A batch owns its memory and is used again and again; it grows to what its lines need, whatever bytes they hold. A line is its bytes and its end, "\n",
 * "\r\n" or nothing (the last one); what is written keeps the end. One thread has a batch at a time (window.h).
 */
#ifndef KW_BATCH_H
#define KW_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encoding.h"

enum { BATCH_LINES = 64 };

/* What became of a line. */
enum batch_fate { BATCH_EMPTY, BATCH_CURRENT, BATCH_REWRAPPED, BATCH_FAILED, BATCH_UNTRIED };

struct batch_line {
    size_t start;
    size_t len;       /* without its end */
    size_t end_len;   /* 0 to 2 */
    enum batch_fate fate;
    const char *why;  /* FAILED: the end of a sentence, static */
    uint32_t version; /* that its envelope names; 0: none was found */
    bool other;       /* of the slot that it comes from */
};

struct batch_bytes {
    unsigned char *at;
    size_t len;
    size_t room;
};

struct batch {
    unsigned long long first; /* number of its first line, from 1 */
    unsigned long long taken; /* bytes of the input up to the end of its last line */
    enum encoding_alphabet alphabet; /* of the file, as far as it was read */
    bool whole;               /* `out` has every line */
    size_t count;
    struct batch_line lines[BATCH_LINES];
    struct batch_bytes in;
    struct batch_bytes out;
};

/* Frees what a batch or bytes hold; what is all zero is empty. */
void batch_clear(struct batch *b);
void batch_bytes_clear(struct batch_bytes *b);

/* Empties it; memory beyond what lines usually need is given back. */
void batch_reset(struct batch *b);

/* Appends; false when memory is short. */
bool batch_add(struct batch_bytes *to, const void *bytes, size_t len);

/* Room for `more` bytes behind the present ones; false when memory is short. */
bool batch_reserve(struct batch_bytes *b, size_t more);

#endif
