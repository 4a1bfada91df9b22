/*
 * blob.h: the .byok file: a customer's key, wrapped to a transport key (CKM_RSA_AES_KEY_WRAP), as
 * JSON or as the bare bytes.
 *
 * JSON: {"schema_version": "1.0.0", "header": {"kid", "alg": "dir", "enc": "CKM_RSA_AES_KEY_WRAP"},
 * "ciphertext": base64url, "generator"}, the format of Azure Key Vault. A file is JSON when it is
 * text that begins with a brace; anything else is the bytes themselves. A blob owns its kid and its
 * bytes. Errors are sentences about the file, to be said after its name.
 */
#ifndef KW_BLOB_H
#define KW_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum { BLOB_FILE_MAX = 64 * 1024, BLOB_KID_MAX = 512 };

struct blob {
    char *kid; /* printable; NULL: bare bytes */
    uint8_t *bytes;
    size_t len; /* at least 1 */
};

/* What is in a file of `len` bytes. On success *out is the caller's (clear). Fields that are not
 * known are left alone. */
KW_MUST_USE struct kw_rv blob_parse(const void *file, size_t len, struct blob *out);
void blob_clear(struct blob *b);

/* The JSON text of a blob with a kid, with a NUL at its end; *out is the caller's (free).
 * CKR_ARGUMENTS_BAD: the kid is not printable. */
KW_MUST_USE struct kw_rv blob_text(const struct blob *b, char **out);

#endif
