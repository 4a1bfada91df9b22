#include "type.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *text;
    struct type type;
} types[] = {
    {"aes:128", {CKK_AES, 128}},   {"aes:192", {CKK_AES, 192}},   {"aes:256", {CKK_AES, 256}},
    {"rsa:2048", {CKK_RSA, 2048}}, {"rsa:3072", {CKK_RSA, 3072}}, {"rsa:4096", {CKK_RSA, 4096}},
};

bool type_parse(const char *text, struct type *out)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(text, types[i].text) == 0) {
            *out = types[i].type;
            return true;
        }
    }
    return false;
}

const char *type_text(struct type type)
{
    static char text[24];
    (void)snprintf(text, sizeof text, "%s:%u", type.key == CKK_RSA ? "rsa" : "aes", type.bits);
    return text;
}

const char *type_name(CK_KEY_TYPE key)
{
    return key == CKK_RSA ? "RSA" : "AES";
}
