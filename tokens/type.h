/*
 * type.h: the type of a master key or a transport key as people write it: aes:256, rsa:3072. Plain values.
 */
#ifndef KW_TYPE_H
#define KW_TYPE_H

#include <stdbool.h>

#include "cryptoki.h"

struct type {
    CK_KEY_TYPE key; /* CKK_AES, CKK_RSA */
    unsigned bits;
};

/* One of aes:128, aes:192, aes:256, rsa:2048, rsa:3072 and rsa:4096; false for any other text. */
bool type_parse(const char *text, struct type *out);

/* As type_parse takes it. Static storage. */
const char *type_text(struct type type);

/* AES, RSA. Static. */
const char *type_name(CK_KEY_TYPE key);

#endif
