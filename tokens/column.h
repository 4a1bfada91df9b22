/*
 * column.h: where the value stands in a line of an export: the whole line, or a column of CSV (RFC 4180) or TSV.
 *
 * Pure. A field that begins with a quotation mark ends at its closing one, and may hold the delimiter; two of them in it are one. Where the
 * delimiter is a tab there are no quotation marks: databases write such files with escapes instead.
 */
#ifndef KW_COLUMN_H
#define KW_COLUMN_H

#include <stddef.h>

struct column {
    unsigned long number; /* from 1; 0: the whole line */
    unsigned char delimiter;
};

struct column_span {
    size_t start;
    size_t end;
};

/* The value in the line, without blanks and quotation marks around it (it may be empty). NULL, or why there is none: the end of a
 * sentence, static. */
const char *column_find(const struct column *c, const unsigned char *line, size_t len, struct column_span *out);

#endif
