/*
 * feed.h: the input of `rewrap`, cut into lines without changing a byte.
 *
 * A feed borrows its descriptor and owns a buffer that is as large as the longest line so far needs. What has arrived is given on at
 * once: a batch is waited for only until one whole line is there.
 */
#ifndef KW_FEED_H
#define KW_FEED_H

#include "batch.h"

struct feed {
    int fd;
    struct batch_bytes buffer;
    size_t start;            /* of what is not given on yet */
    size_t searched;         /* up to here there is no end of line */
    bool ended;
    unsigned long long lines; /* given on */
    unsigned long long bytes; /* given on */
    unsigned long long size;  /* of the input, if it is a file; else 0 */
};

void feed_init(struct feed *f, int fd);
void feed_clear(struct feed *f);

enum feed_state { FEED_MORE, FEED_END, FEED_UNREADABLE /* errno tells */, FEED_MEMORY };

/* Fills the batch with one line or more. Anything but MORE: there is none. */
enum feed_state feed_next(struct feed *f, struct batch *out);

#endif
