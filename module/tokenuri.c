#include "tokenuri.h"

#include <openssl/crypto.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "inifile.h"

/* RFC 7512 section 2.3, as far as it can name a token: the rest names objects, slots or libraries. */
static const char *const path_names[] = {"token", "serial", "manufacturer", "model"};
/* Section 2.4. module-name would leave it to p11-kit's configuration which file is loaded. */
static const char *const query_names[] = {"module-path", "pin-source", "pin-value"};

static const char path_problem[] =
    "has an attribute that is none of token, serial, manufacturer and model, or has one twice; mend it";
static const char query_problem[] =
    "has a query attribute that is none of module-path, pin-source and pin-value, or has one twice; "
    "mend it (a literal & is written %26)";

/* Whether each attribute of text[len], split at `separator`, has one of the names, and none twice. */
static bool names_fit(const char *text, size_t len, char separator, const char *const *names,
                      size_t name_count)
{
    unsigned seen = 0;
    const char *end = text + len;
    while (text < end) {
        const char *stop = memchr(text, separator, (size_t)(end - text));
        stop = stop == NULL ? end : stop;
        const char *equals = memchr(text, '=', (size_t)(stop - text));
        size_t name_len = (size_t)((equals == NULL ? stop : equals) - text);
        size_t i = 0;
        while (i < name_count && (strlen(names[i]) != name_len || memcmp(names[i], text, name_len) != 0)) {
            i++;
        }
        if (i == name_count || (seen & (1U << i)) != 0) {
            return false;
        }
        seen |= 1U << i;
        text = stop + 1;
    }
    return true;
}

/* What p11-kit does not look at. */
static const char *text_problem(const char *text)
{
    if (strncmp(text, P11_KIT_URI_SCHEME ":", P11_KIT_URI_SCHEME_LEN + 1) != 0) {
        return "does not begin with pkcs11: (RFC 7512)";
    }
    if (strpbrk(text, " \t") != NULL) {
        return "has a blank in it; write %20";
    }
    if (strstr(text, "%00") != NULL) {
        return "has a NUL byte (%00) in it; take it out";
    }
    const char *path = text + P11_KIT_URI_SCHEME_LEN + 1;
    size_t path_len = strcspn(path, "?");
    if (!names_fit(path, path_len, ';', path_names, sizeof path_names / sizeof path_names[0])) {
        return path_problem;
    }
    const char *query = path[path_len] == '?' ? path + path_len + 1 : path + path_len;
    if (!names_fit(query, strlen(query), '&', query_names, sizeof query_names / sizeof query_names[0])) {
        return query_problem;
    }
    return NULL;
}

/* p11-kit leaves unset fields zero and pads set ones with blanks. */
static bool field_set(const CK_UTF8CHAR *field, size_t len)
{
    size_t i = 0;
    while (i < len && field[i] == ' ') {
        i++;
    }
    return i < len && field[i] != '\0';
}

/* Paths are told to people, and escapes get past the look at the lines. */
static bool can_be_shown(const char *path)
{
    return path == NULL || kw_inifile_text_problem(path, strlen(path)) == NULL;
}

static const char *parsed_problem(P11KitUri *uri)
{
    const CK_TOKEN_INFO *info = p11_kit_uri_get_token_info(uri);
    const char *module = p11_kit_uri_get_module_path(uri);
    if (p11_kit_uri_any_unrecognized(uri)) {
        return "has a token, serial, manufacturer or model that is longer than a token's (32, 16, 32 "
               "and 16 bytes); mend it";
    }
    if (!field_set(info->label, sizeof info->label) &&
        !field_set(info->serialNumber, sizeof info->serialNumber)) {
        return "names no token; add token=LABEL or serial=NUMBER before the question mark";
    }
    if (module == NULL || module[0] == '\0') {
        return "has no module-path; add ?module-path=/PATH/OF/THE/VENDORS/MODULE.so";
    }
    if (module[0] != '/') {
        return "has a module-path that is relative; write the whole path from / on";
    }
    const char *source = p11_kit_uri_get_pin_source(uri);
    const char *pin = p11_kit_uri_get_pin_value(uri);
    if (!can_be_shown(module) || !can_be_shown(source)) {
        return "has a module-path or pin-source that is not UTF-8 or holds a control character; mend it";
    }
    if (source != NULL && pin != NULL) {
        return "has both pin-source and pin-value; keep pin-source";
    }
    if ((source != NULL && source[0] == '\0') || (pin != NULL && pin[0] == '\0')) {
        return "has an empty pin-source or pin-value; give it a value or take it out";
    }
    return NULL;
}

static const char *parse_problem(int result)
{
    switch (result) {
    case P11_KIT_URI_OK:
        return NULL;
    case P11_KIT_URI_BAD_ENCODING:
        return "has a % that is not followed by two hex digits; write %25 for the character itself";
    default:
        return "is no PKCS#11 URI; write pkcs11:token=LABEL?module-path=/PATH&pin-source=file:/PATH "
               "(RFC 7512)";
    }
}

static char *dup_or_null(const char *text)
{
    return text == NULL ? NULL : strdup(text);
}

static void wipe(char *text)
{
    if (text != NULL) {
        OPENSSL_cleanse(text, strlen(text));
    }
}

/* The URI keeps a PIN in plain memory of p11-kit, which frees it as it is. */
static void wipe_pin_value(P11KitUri *uri)
{
    wipe((char *)(uintptr_t)p11_kit_uri_get_pin_value(uri));
    p11_kit_uri_set_pin_value(uri, NULL);
}

void kw_tokenuri_clear(struct kw_config_token *token)
{
    wipe(token->pin_value);
    free(token->pin_value);
    free(token->pin_source);
    free(token->module_path);
    p11_kit_uri_free(token->uri);
    token->pin_value = NULL;
    token->pin_source = NULL;
    token->module_path = NULL;
    token->uri = NULL;
}

/* Copies what the token needs; takes `uri`. */
static struct kw_rv take_uri(P11KitUri *uri, struct kw_config_token *token)
{
    const char *source = p11_kit_uri_get_pin_source(uri);
    const char *pin = p11_kit_uri_get_pin_value(uri);
    token->module_path = dup_or_null(p11_kit_uri_get_module_path(uri));
    token->pin_source = dup_or_null(source);
    token->pin_value = dup_or_null(pin);
    bool whole = token->module_path != NULL && (source == NULL || token->pin_source != NULL) &&
                 (pin == NULL || token->pin_value != NULL);
    wipe_pin_value(uri);
    token->uri = uri;
    if (!whole) {
        kw_tokenuri_clear(token);
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for a token's URI");
    }
    return KW_OK;
}

struct kw_rv kw_tokenuri_read(const char *text, struct kw_config_token *token, const char **problem)
{
    *problem = text_problem(text);
    if (*problem != NULL) {
        return KW_OK;
    }
    P11KitUri *uri = p11_kit_uri_new();
    if (uri == NULL) {
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for a token's URI");
    }
    /* Attributes that do not belong to a token come back as unrecognized. */
    *problem = parse_problem(p11_kit_uri_parse(text, P11_KIT_URI_FOR_TOKEN, uri));
    if (*problem == NULL) {
        *problem = parsed_problem(uri);
    }
    if (*problem != NULL) {
        wipe_pin_value(uri);
        p11_kit_uri_free(uri);
        return KW_OK;
    }
    return take_uri(uri, token);
}

static bool differ(const CK_UTF8CHAR *a, const CK_UTF8CHAR *b, size_t len)
{
    return field_set(a, len) && field_set(b, len) && memcmp(a, b, len) != 0;
}

static bool share(const CK_UTF8CHAR *a, const CK_UTF8CHAR *b, size_t len)
{
    return field_set(a, len) && field_set(b, len) && memcmp(a, b, len) == 0;
}

bool kw_tokenuri_same(const struct kw_config_token *a, const struct kw_config_token *b)
{
    const CK_TOKEN_INFO *x = p11_kit_uri_get_token_info(a->uri);
    const CK_TOKEN_INFO *y = p11_kit_uri_get_token_info(b->uri);
    bool meet = share(x->label, y->label, sizeof x->label) ||
                share(x->serialNumber, y->serialNumber, sizeof x->serialNumber);
    return meet && !differ(x->label, y->label, sizeof x->label) &&
           !differ(x->serialNumber, y->serialNumber, sizeof x->serialNumber) &&
           !differ(x->manufacturerID, y->manufacturerID, sizeof x->manufacturerID) &&
           !differ(x->model, y->model, sizeof x->model);
}
