#include "written.h"

#include <string.h>
#include <unistd.h>

#include "command.h"
#include "file.h"

static const char magic[] = "KWE1";

const char *written_read(const unsigned char *text, size_t len, struct written *out)
{
    out->len = sizeof out->bytes;
    const char *why = encoding_read(text, len, &out->form, out->bytes, &out->len);
    return why != NULL ? why : kw_envelope_parse(out->bytes, out->len, &out->envelope);
}

static const char *read_bare(const unsigned char *bytes, size_t len, struct written *out)
{
    if (len > sizeof out->bytes) {
        return "it is longer than any envelope";
    }
    memcpy(out->bytes, bytes, len);
    out->len = len;
    return kw_envelope_parse(out->bytes, out->len, &out->envelope);
}

static bool is_blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static const char *read_either(const unsigned char *text, size_t len, struct written *out)
{
    if (len >= sizeof magic - 1 && memcmp(text, magic, sizeof magic - 1) == 0) {
        return read_bare(text, len, out);
    }
    while (len > 0 && is_blank(text[len - 1])) {
        len--;
    }
    while (len > 0 && is_blank(*text)) {
        text++;
        len--;
    }
    return written_read(text, len, out);
}

bool written_given(const char *argument, struct written *out)
{
    enum { MOST = 2 * KW_ENVELOPE_MAX + 4096 };
    const char *where = argument != NULL ? "the envelope" : "standard input";
    struct kw_secret *input = NULL;
    if (argument == NULL) {
        struct kw_rv r = file_take(STDIN_FILENO, MOST, &input);
        if (!kw_ok(r)) {
            command_say("%s: %s", where, command_reason(r));
            return false;
        }
    }
    const char *why = argument != NULL ? read_either((const unsigned char *)argument, strlen(argument), out)
                                       : read_either(kw_secret_peek(input), kw_secret_len(input), out);
    kw_secret_free(input);
    if (why != NULL) {
        command_say("%s: %s", where, why);
    }
    return why == NULL;
}
