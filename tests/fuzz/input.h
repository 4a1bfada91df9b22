/*
 * input.h: the fuzzer's bytes, read as choices, and heap buffers of exactly the size that a call is told.
 *
 * A struct input borrows the bytes of one execution. Past their end every choice is 0, so that each prefix of an input is an input.
 * What input_room and input_copy return is malloc'ed with exact sizes, so that AddressSanitizer sees every byte too many; all of it is
 * freed by input_forget. getrandom(2) is wrapped here, so that an input does the same whenever it is run. One thread only.
 */
#ifndef KW_FUZZ_INPUT_H
#define KW_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { INPUT_FILL = 0xA5, INPUT_ROOMS = 1024 };

struct input {
    const uint8_t *at;
    size_t left;
    size_t count;
    void *rooms[INPUT_ROOMS];
};

void input_init(struct input *in, const uint8_t *bytes, size_t len);
bool input_more(const struct input *in);

uint8_t input_byte(struct input *in);
uint64_t input_number(struct input *in, size_t bytes); /* little-endian, 1 to 8 bytes */
size_t input_below(struct input *in, size_t n);        /* a choice of n, at most 256 */
bool input_flag(struct input *in);                     /* true in one of four */

/* `len` bytes of INPUT_FILL; never NULL. */
void *input_room(struct input *in, size_t len);
/* A copy of `len` bytes of the input (zeros past its end), or of `bytes`. */
uint8_t *input_take(struct input *in, size_t len);
void *input_copy(struct input *in, const void *bytes, size_t len);
/* Frees every room. */
void input_forget(struct input *in);

/* Whether all bytes are INPUT_FILL. */
bool input_untouched(const void *bytes, size_t len);

/* Prints the sentence and aborts: the finding of a fuzz target. */
void input_finding(const char *file, int line, const char *sentence) __attribute__((noreturn));
#define INPUT_MUST(condition, sentence)                        \
    do {                                                       \
        if (!(condition)) {                                    \
            input_finding(__FILE__, __LINE__, (sentence));     \
        }                                                      \
    } while (0)

#endif
