#include "input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags);

static uint64_t random_state;

ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags)
{
    uint8_t *bytes = out;
    (void)flags;
    for (size_t i = 0; i < len; i++) {
        random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
        bytes[i] = (uint8_t)(random_state >> 56);
    }
    return (ssize_t)len;
}

void input_init(struct input *in, const uint8_t *bytes, size_t len)
{
    in->at = bytes;
    in->left = len;
    in->count = 0;
    random_state = 1;
}

bool input_more(const struct input *in)
{
    return in->left > 0;
}

uint8_t input_byte(struct input *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->at++;
}

uint64_t input_number(struct input *in, size_t bytes)
{
    uint64_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        n |= (uint64_t)input_byte(in) << (8 * i);
    }
    return n;
}

size_t input_below(struct input *in, size_t n)
{
    return input_byte(in) % n;
}

bool input_flag(struct input *in)
{
    return input_below(in, 4) == 3;
}

void *input_room(struct input *in, size_t len)
{
    if (in->count == INPUT_ROOMS) {
        input_finding(__FILE__, __LINE__, "the target takes more rooms than there are: mend the target");
    }
    void *room = malloc(len);
    if (room == NULL && (room = malloc(1)) == NULL) {
        abort();
    }
    memset(room, INPUT_FILL, len);
    in->rooms[in->count++] = room;
    return room;
}

uint8_t *input_take(struct input *in, size_t len)
{
    uint8_t *room = input_room(in, len);
    size_t have = len < in->left ? len : in->left;
    memset(room, 0, len);
    if (have > 0) {
        memcpy(room, in->at, have);
        in->at += have;
        in->left -= have;
    }
    return room;
}

void *input_copy(struct input *in, const void *bytes, size_t len)
{
    void *room = input_room(in, len);
    if (len > 0) {
        memcpy(room, bytes, len);
    }
    return room;
}

void input_forget(struct input *in)
{
    while (in->count > 0) {
        free(in->rooms[--in->count]);
    }
}

bool input_untouched(const void *bytes, size_t len)
{
    const uint8_t *b = bytes;
    for (size_t i = 0; i < len; i++) {
        if (b[i] != INPUT_FILL) {
            return false;
        }
    }
    return true;
}

void input_finding(const char *file, int line, const char *sentence)
{
    fprintf(stderr, "FINDING %s:%d: %s\n", file, line, sentence);
    abort();
}
