/*
 * grammar.h: templates, mechanisms and awkward lengths, decoded from the fuzzer's bytes.
 *
 * A template is one that a broker would send, with attributes added, or one of random attributes: known and unknown types, values of the
 * right and of the wrong length, NULL pointers, duplicates, nested templates, lengths that no memory has. Everything lives in rooms of
 * the input (input.h). A length below GRAMMAR_ABSURD is always the length of the memory behind the pointer.
 */
#ifndef KW_FUZZ_GRAMMAR_H
#define KW_FUZZ_GRAMMAR_H

#include "cryptoki.h"
#include "input.h"

#define GRAMMAR_ABSURD 65536UL /* longer than anything that Keyward reads */

enum { GRAMMAR_ITEMS_MAX = 24 };

struct grammar_template {
    CK_ATTRIBUTE *items; /* NULL: the caller gives none */
    CK_ULONG count;      /* may be a lie when it is over GRAMMAR_ITEMS_MAX, or when items is NULL */
};

CK_ATTRIBUTE_TYPE grammar_type(struct input *in);
CK_ULONG grammar_length(struct input *in); /* at least GRAMMAR_ABSURD */

/* What a template is for: mostly the attributes that this call needs are there, and those that spoil it are not. */
enum grammar_purpose { GRAMMAR_CREATE, GRAMMAR_GENERATE, GRAMMAR_UNWRAP, GRAMMAR_OTHER };
struct grammar_template grammar_template(struct input *in, enum grammar_purpose purpose);
/* For C_GetAttributeValue: rooms to be filled. */
struct grammar_template grammar_question(struct input *in);

/* A mechanism in a room, or NULL. `usual`: the ones that Keyward serves, `count` of them. */
CK_MECHANISM *grammar_mechanism(struct input *in, const CK_MECHANISM_TYPE *usual, size_t count);

#endif
