#include "encoding.h"

#include <string.h>

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

unsigned encoding_hex_digit(unsigned char c)
{
    unsigned lower = c | 0x20u;
    if (c >= '0' && c <= '9') {
        return c - (unsigned)'0';
    }
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 16;
}

/* 64: none. */
static unsigned base64_digit(unsigned char c, enum encoding_alphabet alphabet)
{
    if (c >= 'A' && c <= 'Z') {
        return c - (unsigned)'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - (unsigned)'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - (unsigned)'0' + 52;
    }
    if (alphabet == ENCODING_URL) {
        return c == '-' ? 62 : c == '_' ? 63 : 64;
    }
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

enum encoding_alphabet encoding_alphabet_of(const unsigned char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '+' || text[i] == '/') {
            return ENCODING_STANDARD;
        }
        if (text[i] == '-' || text[i] == '_') {
            return ENCODING_URL;
        }
    }
    return ENCODING_EITHER;
}

/* How many characters of padding the text ends with. */
static size_t padding_of(const unsigned char *text, size_t len)
{
    size_t padding = 0;
    while (padding < 2 && padding < len && text[len - 1 - padding] == '=') {
        padding++;
    }
    return padding;
}

enum encoding_fault encoding_from_base64(const unsigned char *text, size_t len, enum encoding_alphabet alphabet, uint8_t *out, size_t *count)
{
    size_t padding = padding_of(text, len);
    size_t used = 0;
    unsigned bits = 0;
    unsigned waiting = 0;
    len -= padding;
    if (len == 0 || len % 4 == 1 || (padding > 0 && (len + padding) % 4 != 0)) {
        return ENCODING_LENGTH;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned digit = base64_digit(text[i], alphabet);
        if (digit == 64) {
            return ENCODING_CHARACTER;
        }
        bits = (bits << 6 | digit) & 0xffff;
        waiting += 6;
        if (waiting >= 8) {
            waiting -= 8;
            out[used++] = (uint8_t)(bits >> waiting);
        }
    }
    if ((bits & ((1u << waiting) - 1)) != 0) {
        return ENCODING_LOOSE_BITS;
    }
    *count = used;
    return ENCODING_GOOD;
}

/* \x is PostgreSQL's (doubled in COPY), 0x everybody else's. */
static size_t hex_lead(const unsigned char *text, size_t len)
{
    static const char *const leads[] = {"\\\\x", "\\x", "0x"};
    for (size_t i = 0; i < sizeof leads / sizeof leads[0]; i++) {
        size_t n = strlen(leads[i]);
        if (len >= n && memcmp(text, leads[i], n) == 0) {
            return n;
        }
    }
    return 0;
}

/* Whether it is nothing but hex digits, in pairs. Base64 that looks so is not told apart; an envelope in base64 begins with S. */
static bool is_hex(const unsigned char *text, size_t len, bool *upper)
{
    *upper = false;
    for (size_t i = 0; i < len; i++) {
        if (encoding_hex_digit(text[i]) == 16) {
            return false;
        }
        *upper = *upper || (text[i] >= 'A' && text[i] <= 'F');
    }
    return len > 0 && len % 2 == 0;
}

static const char *read_base64(const unsigned char *text, size_t len, struct encoding *form, uint8_t *out, size_t *room)
{
    size_t count = 0;
    size_t digits = len - padding_of(text, len);
    if (digits / 4 * 3 + digits % 4 * 3 / 4 > *room) {
        return "it is longer than any envelope";
    }
    form->alphabet = encoding_alphabet_of(text, len);
    if (encoding_from_base64(text, len, form->alphabet, out, &count) != ENCODING_GOOD) {
        return "it is neither base64 nor hex";
    }
    form->bare = digits == len && (count % 3 != 0 || form->alphabet == ENCODING_URL);
    *room = count;
    return NULL;
}

const char *encoding_read(const unsigned char *text, size_t len, struct encoding *form, uint8_t *out, size_t *room)
{
    *form = (struct encoding){.lead = hex_lead(text, len)};
    const unsigned char *digits = text + form->lead;
    size_t n = len - form->lead;
    if (len == 0) {
        return "it is empty";
    }
    form->hex = is_hex(digits, n, &form->upper);
    if (!form->hex) {
        return form->lead > 0 ? "it begins like hex and is none" : read_base64(text, len, form, out, room);
    }
    if (n / 2 > *room) {
        return "it is longer than any envelope";
    }
    for (size_t i = 0; i < n / 2; i++) {
        out[i] = (uint8_t)(encoding_hex_digit(digits[2 * i]) << 4 | encoding_hex_digit(digits[2 * i + 1]));
    }
    *room = n / 2;
    return NULL;
}

size_t encoding_room(size_t count)
{
    return 2 * count + 4;
}

static size_t write_base64(const struct encoding *form, const uint8_t *bytes, size_t count, unsigned char *out)
{
    const char *digits = form->alphabet == ENCODING_URL ? url : standard;
    size_t used = 0;
    unsigned bits = 0;
    unsigned waiting = 0;
    for (size_t i = 0; i < count; i++) {
        bits = (bits << 8 | bytes[i]) & 0xffff;
        for (waiting += 8; waiting >= 6; waiting -= 6) {
            out[used++] = (unsigned char)digits[bits >> (waiting - 6) & 63];
        }
    }
    if (waiting > 0) {
        out[used++] = (unsigned char)digits[bits << (6 - waiting) & 63];
    }
    while (!form->bare && used % 4 != 0) {
        out[used++] = '=';
    }
    return used;
}

size_t encoding_write(const struct encoding *form, const uint8_t *bytes, size_t count, unsigned char *out)
{
    static const char lower[] = "0123456789abcdef";
    static const char upper[] = "0123456789ABCDEF";
    if (!form->hex) {
        return write_base64(form, bytes, count, out);
    }
    const char *digits = form->upper ? upper : lower;
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = (unsigned char)digits[bytes[i] >> 4];
        out[2 * i + 1] = (unsigned char)digits[bytes[i] & 15];
    }
    return 2 * count;
}
