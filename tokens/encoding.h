/*
 * encoding.h: bytes as text, in base64 (RFC 4648 sections 4 and 5) or hex, and back in the form in which they were found.
 *
 * Pure functions on the caller's memory; nothing is owned. Text is bytes with a length, never a string. What an encoder would not write (wrong
 * padding, bits that no byte needs) is refused, so that one value has one text.
 */
#ifndef KW_ENCODING_H
#define KW_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum encoding_alphabet { ENCODING_EITHER, ENCODING_STANDARD, ENCODING_URL }; /* + and /, or - and _ */

/* How a value was written. */
struct encoding {
    bool hex;
    bool upper;                      /* hex: A to F */
    bool bare;                       /* base64: without padding */
    enum encoding_alphabet alphabet; /* base64; either: no character told */
    size_t lead;                     /* bytes before the digits: \x, \\x or 0x */
};

/* Why text is no base64. */
enum encoding_fault { ENCODING_GOOD, ENCODING_LENGTH, ENCODING_CHARACTER, ENCODING_LOOSE_BITS };

/* The value of a hex digit; 16 when it is none. */
unsigned encoding_hex_digit(unsigned char c);

/* Base64 with or without padding, in the alphabet. out has room for len / 4 * 3 + 3 bytes; *count: how many there are. */
enum encoding_fault encoding_from_base64(const unsigned char *text, size_t len, enum encoding_alphabet alphabet, uint8_t *out, size_t *count);

/* The alphabet of a base64 text, as far as its characters tell. */
enum encoding_alphabet encoding_alphabet_of(const unsigned char *text, size_t len);

/* The bytes of a text in either form, and the form. *room: how many there may be, then how many there are. NULL, or why there are
 * none: the end of a sentence, static. */
const char *encoding_read(const unsigned char *text, size_t len, struct encoding *form, uint8_t *out, size_t *room);

/* Characters that the bytes can need in any form, and the text itself; returns its length. The lead is not written. */
size_t encoding_room(size_t count);
size_t encoding_write(const struct encoding *form, const uint8_t *bytes, size_t count, unsigned char *out);

#endif
