#include "batch.h"

#include <stdlib.h>
#include <string.h>

enum { USUAL = 256 * 1024 }; /* bytes; more than that is kept only while it is needed */

void batch_bytes_clear(struct batch_bytes *b)
{
    free(b->at);
    *b = (struct batch_bytes){0};
}

void batch_clear(struct batch *b)
{
    batch_bytes_clear(&b->in);
    batch_bytes_clear(&b->out);
}

static void empty(struct batch_bytes *b)
{
    if (b->room > USUAL) {
        batch_bytes_clear(b);
    }
    b->len = 0;
}

void batch_reset(struct batch *b)
{
    empty(&b->in);
    empty(&b->out);
    b->count = 0;
}

bool batch_reserve(struct batch_bytes *b, size_t more)
{
    if (more <= b->room - b->len) {
        return true;
    }
    size_t room = b->room < 4096 ? 4096 : b->room;
    while (room - b->len < more) {
        if (room > SIZE_MAX / 4 || more > SIZE_MAX / 4) {
            return false;
        }
        room *= 2;
    }
    unsigned char *at = realloc(b->at, room);
    if (at == NULL) {
        return false;
    }
    b->at = at;
    b->room = room;
    return true;
}

bool batch_add(struct batch_bytes *to, const void *bytes, size_t len)
{
    if (!batch_reserve(to, len)) {
        return false;
    }
    if (len > 0) {
        memcpy(to->at + to->len, bytes, len);
        to->len += len;
    }
    return true;
}
