#include "column.h"

#include <string.h>

static const char open_quote[] = "a quoted field goes on past the end of the line; write the export with one line for each record";

/* The end of the field that begins at `at`; `len + 1` when its quotation mark is not closed in this line. */
static size_t end_of_field(const struct column *c, const unsigned char *line, size_t len, size_t at)
{
    if (at < len && line[at] == '"' && c->delimiter != '\t') {
        size_t i = at + 1;
        while (i < len && (line[i] != '"' || (i + 1 < len && line[i + 1] == '"'))) {
            i += line[i] == '"' ? 2 : 1;
        }
        if (i >= len) {
            return len + 1;
        }
        at = i + 1;
    }
    const unsigned char *next = at < len ? memchr(line + at, c->delimiter, len - at) : NULL;
    return next == NULL ? len : (size_t)(next - line);
}

static void trim(const unsigned char *line, struct column_span *s)
{
    while (s->start < s->end && (line[s->start] == ' ' || line[s->start] == '\t')) {
        s->start++;
    }
    while (s->start < s->end && (line[s->end - 1] == ' ' || line[s->end - 1] == '\t')) {
        s->end--;
    }
    if (s->end - s->start >= 2 && (line[s->start] == '"' || line[s->start] == '\'') && line[s->end - 1] == line[s->start]) {
        s->start++;
        s->end--;
    }
}

const char *column_find(const struct column *c, const unsigned char *line, size_t len, struct column_span *out)
{
    struct column_span s = {0, len};
    for (unsigned long n = 1; n <= c->number; n++) {
        s.end = end_of_field(c, line, len, s.start);
        if (s.end > len) {
            return open_quote;
        }
        if (n < c->number && s.end == len) {
            return "the line does not have so many columns";
        }
        if (n < c->number) {
            s.start = s.end + 1;
        }
    }
    trim(line, &s);
    *out = s;
    return NULL;
}
