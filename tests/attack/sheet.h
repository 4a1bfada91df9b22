/*
 * sheet.h: an attribute template on the stack, with the values that it points to.
 *
 * sheet_bytes borrows its bytes; everything else is copied in. A sheet must not be moved once it is
 * filled. An attacker may add what he likes, twice if he likes. Aborts when it is full: that is a
 * mistake in the test.
 */
#ifndef ATTACK_SHEET_H
#define ATTACK_SHEET_H

#include <stdbool.h>
#include <stddef.h>

#include "cryptoki.h"

enum { SHEET_MAX = 24 };

struct sheet {
    CK_ATTRIBUTE items[SHEET_MAX];
    CK_ULONG count;
    union {
        CK_BBOOL b;
        CK_ULONG u;
    } room[SHEET_MAX];
};

void sheet_bool(struct sheet *t, CK_ATTRIBUTE_TYPE type, bool value);
void sheet_ulong(struct sheet *t, CK_ATTRIBUTE_TYPE type, CK_ULONG value);
void sheet_bytes(struct sheet *t, CK_ATTRIBUTE_TYPE type, const void *bytes, size_t len);

/* CKA_CLASS, CKA_KEY_TYPE and CKA_TOKEN of a secret key; the sheet is emptied first. */
void sheet_secret(struct sheet *t, CK_KEY_TYPE type, bool token);

/* sheet_secret of a session key, CKA_SENSITIVE, and CKA_EXTRACTABLE true. */
void sheet_data_key(struct sheet *t, CK_KEY_TYPE type, bool sensitive);

/* All usages false but the two that a master key has. */
void sheet_master_usage(struct sheet *t);

#endif
