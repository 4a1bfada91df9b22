/*
 * written.h: an envelope as text, for the verbs that are given one: base64 or hex, or its bytes as they are.
 *
 * On the caller's stack; nothing is owned, `envelope` borrows `bytes` of the same structure, so it is not copied.
 */
#ifndef KW_WRITTEN_H
#define KW_WRITTEN_H

#include "encoding.h"
#include "envelope.h"

struct written {
    struct encoding form;
    uint8_t bytes[KW_ENVELOPE_MAX];
    size_t len;
    struct kw_envelope envelope;
};

/* NULL, or why the text is no envelope: the end of a sentence, static. */
const char *written_read(const unsigned char *text, size_t len, struct written *out);

/* The envelope in `argument`, or on standard input when that is NULL: text with blanks and ends of line around it, or the bare bytes. Says why not and
 * gives false. */
bool written_given(const char *argument, struct written *out);

#endif
