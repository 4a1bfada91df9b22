#include "blob.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "encoding.h"

static const char schema_version[] = "1.0.0";
static const char alg[] = "dir";
static const char enc[] = "CKM_RSA_AES_KEY_WRAP";

void blob_clear(struct blob *b)
{
    free(b->kid);
    free(b->bytes);
    *b = (struct blob){0};
}

/* Text that begins with a brace. Wrapped keys are random and have 280 bytes at least: the chance
 * that one is taken for text is below 2^-50. */
static bool is_json(const unsigned char *p, size_t len)
{
    size_t blanks = 0;
    while (blanks < len &&
           (p[blanks] == ' ' || p[blanks] == '\t' || p[blanks] == '\r' || p[blanks] == '\n')) {
        blanks++;
    }
    if (blanks == len || p[blanks] != '{') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (p[i] == 0x7f || (p[i] < ' ' && p[i] != '\t' && p[i] != '\r' && p[i] != '\n')) {
            return false;
        }
    }
    return true;
}

/* A kid is said to people and written to terminals. */
static bool is_printable(const char *kid)
{
    size_t len = strlen(kid);
    for (size_t i = 0; i < len; i++) {
        if (kid[i] <= ' ' || kid[i] > '~') {
            return false;
        }
    }
    return len > 0 && len <= BLOB_KID_MAX;
}

/* RFC 4648 section 5. Padding may be there, if it is right. */
static struct kw_rv decode(const char *text, struct blob *b)
{
    size_t len = strlen(text);
    b->bytes = malloc(len / 4 * 3 + 3);
    if (b->bytes == NULL) {
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for the file");
    }
    switch (encoding_from_base64((const unsigned char *)text, len, ENCODING_URL, b->bytes, &b->len)) {
    case ENCODING_LENGTH:
        return KW_FAIL(CKR_ARGUMENTS_BAD, "its ciphertext is no base64url: the length is wrong");
    case ENCODING_CHARACTER:
        return KW_FAIL(CKR_ARGUMENTS_BAD, "its ciphertext is no base64url, which has letters, "
                                          "digits, - and _ only (not + and /)");
    case ENCODING_LOOSE_BITS:
        return KW_FAIL(
            CKR_ARGUMENTS_BAD,
            "its ciphertext is no base64url: the last character is not one that an encoder writes");
    default:
        return KW_OK;
    }
}

static bool equals(const json_t *object, const char *name, const char *want)
{
    const char *is = json_string_value(json_object_get(object, name));
    return is != NULL && strcmp(is, want) == 0;
}

static struct kw_rv read_header(const json_t *header, struct blob *b)
{
    const char *kid = json_string_value(json_object_get(header, "kid"));
    if (!equals(header, "alg", alg)) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "header.alg is not \"dir\"");
    }
    if (!equals(header, "enc", enc)) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "header.enc is not \"CKM_RSA_AES_KEY_WRAP\"; keys "
                                          "wrapped in another way are not taken");
    }
    if (kid == NULL || !is_printable(kid)) {
        return KW_FAIL(CKR_ARGUMENTS_BAD,
                       "header.kid is missing, or is not 1 to 512 printable characters");
    }
    b->kid = strdup(kid);
    return b->kid == NULL ? KW_FAIL(CKR_HOST_MEMORY, "no memory for the file") : KW_OK;
}

static struct kw_rv read_json(const json_t *root, struct blob *b)
{
    const json_t *header = json_object_get(root, "header");
    const json_t *generator = json_object_get(root, "generator");
    const char *ciphertext = json_string_value(json_object_get(root, "ciphertext"));
    if (!equals(root, "schema_version", schema_version)) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "schema_version is not \"1.0.0\", the one that is known");
    }
    if (!json_is_object(header)) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "header is missing, or no object");
    }
    if (ciphertext == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "ciphertext is missing, or no string");
    }
    if (generator != NULL && !json_is_string(generator)) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "generator is no string");
    }
    struct kw_rv r = read_header(header, b);
    return kw_ok(r) ? decode(ciphertext, b) : r;
}

static struct kw_rv parse_json(const void *file, size_t len, struct blob *b)
{
    json_t *root = json_loadb(file, len, JSON_REJECT_DUPLICATES, NULL);
    struct kw_rv r =
        root == NULL
            ? KW_FAIL(
                  CKR_ARGUMENTS_BAD,
                  "it begins like a .byok file but is no JSON: it was cut or edited, or a name is "
                  "there twice")
            : read_json(root, b);
    json_decref(root);
    return r;
}

struct kw_rv blob_parse(const void *file, size_t len, struct blob *out)
{
    struct blob b = {0};
    struct kw_rv r;
    if (len == 0) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "it is empty");
    }
    if (len > BLOB_FILE_MAX) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "it is larger than 64 KiB; no wrapped key is");
    }
    if (is_json(file, len)) {
        r = parse_json(file, len, &b);
    } else {
        b.bytes = malloc(len);
        b.len = len;
        r = b.bytes == NULL ? KW_FAIL(CKR_HOST_MEMORY, "no memory for the file") : KW_OK;
        if (kw_ok(r)) {
            memcpy(b.bytes, file, len);
        }
    }
    if (!kw_ok(r)) {
        blob_clear(&b);
        return r;
    }
    *out = b;
    return KW_OK;
}

/* base64url without padding; NULL when memory is short. */
static char *encode(const uint8_t *bytes, size_t len)
{
    const struct encoding form = {.bare = true, .alphabet = ENCODING_URL};
    char *text = malloc(encoding_room(len) + 1);
    if (text != NULL) {
        text[encoding_write(&form, bytes, len, (unsigned char *)text)] = '\0';
    }
    return text;
}

struct kw_rv blob_text(const struct blob *b, char **out)
{
    char generator[32];
    if (b->kid == NULL || !is_printable(b->kid)) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "a kid is 1 to 512 printable characters without blanks");
    }
    (void)snprintf(generator, sizeof generator, "keyward %d.%d", KW_VERSION_MAJOR,
                   KW_VERSION_MINOR);
    char *ciphertext = encode(b->bytes, b->len);
    json_t *root = ciphertext == NULL
                       ? NULL
                       : json_pack("{s:s, s:{s:s, s:s, s:s}, s:s, s:s}", "schema_version",
                                   schema_version, "header", "kid", b->kid, "alg", alg, "enc", enc,
                                   "ciphertext", ciphertext, "generator", generator);
    char *text = root == NULL ? NULL : json_dumps(root, JSON_INDENT(2));
    char *line = NULL;
    bool good = text != NULL && asprintf(&line, "%s\n", text) >= 0;
    free(text);
    json_decref(root);
    free(ciphertext);
    if (!good) {
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for the file");
    }
    *out = line;
    return KW_OK;
}
