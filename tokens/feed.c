#include "feed.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

enum { CHUNK = 64 * 1024 };

void feed_init(struct feed *f, int fd)
{
    struct stat st;
    *f = (struct feed){.fd = fd};
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && at >= 0 && st.st_size > at) {
        f->size = (unsigned long long)(st.st_size - at);
    }
}

void feed_clear(struct feed *f)
{
    batch_bytes_clear(&f->buffer);
}

/* Reads some more behind what is there. */
static enum feed_state fill(struct feed *f)
{
    struct batch_bytes *b = &f->buffer;
    if (f->start > 0) {
        memmove(b->at, b->at + f->start, b->len - f->start);
        b->len -= f->start;
        f->searched -= f->start;
        f->start = 0;
    }
    if (!batch_reserve(b, CHUNK)) {
        return FEED_MEMORY;
    }
    ssize_t n = 0;
    do {
        n = read(f->fd, b->at + b->len, b->room - b->len);
    } while (n < 0 && file_again(f->fd, POLLIN, errno));
    if (n < 0) {
        return FEED_UNREADABLE;
    }
    f->ended = n == 0;
    b->len += (size_t)n;
    return FEED_MORE;
}

/* The length of the next line with its end; 0 when it is not whole yet. */
static size_t next_line(struct feed *f)
{
    const struct batch_bytes *b = &f->buffer;
    const unsigned char *end = f->searched < b->len ? memchr(b->at + f->searched, '\n', b->len - f->searched) : NULL;
    if (end != NULL) {
        return (size_t)(end - b->at) + 1 - f->start;
    }
    f->searched = b->len;
    return f->ended ? b->len - f->start : 0;
}

static bool take_line(struct feed *f, size_t len, struct batch *out)
{
    const unsigned char *line = f->buffer.at + f->start;
    size_t end = line[len - 1] == '\n' ? 1 : 0;
    if (end == 1 && len > 1 && line[len - 2] == '\r') {
        end = 2;
    }
    out->lines[out->count] = (struct batch_line){.start = out->in.len, .len = len - end, .end_len = end};
    if (!batch_add(&out->in, line, len)) {
        return false;
    }
    out->count++;
    f->start += len;
    f->searched = f->start;
    f->lines++;
    f->bytes += len;
    return true;
}

enum feed_state feed_next(struct feed *f, struct batch *out)
{
    size_t len = 0;
    batch_reset(out);
    out->first = f->lines + 1;
    while ((len = next_line(f)) == 0) {
        if (f->ended) {
            return FEED_END;
        }
        enum feed_state s = fill(f);
        if (s != FEED_MORE) {
            return s;
        }
    }
    while (len > 0 && out->count < BATCH_LINES) {
        if (!take_line(f, len, out)) {
            return FEED_MEMORY;
        }
        len = next_line(f);
    }
    out->taken = f->bytes;
    return FEED_MORE;
}
