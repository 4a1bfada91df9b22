#include "pin.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <p11-kit/pin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "trust.h"

enum { PIN_MAX = 1024 }; /* bytes */

static const char credential_prefix[] = "credential:";

static const char bad_file_source[] = "is not file:/PATH with the whole path; mend it";

bool kw_pin_has_source(const struct kw_config_token *token)
{
    return token->pin_source != NULL || token->pin_value != NULL;
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Whether the source is a file; *path is then its path (in `source`), or NULL if it has none.
 * file: URIs have an empty host or none (RFC 8089 section 2). */
static bool is_file(const char *source, const char **path)
{
    const char *rest = begins(source, "file:") ? source + strlen("file:") : source;
    if (rest == source && source[0] != '/') {
        return false;
    }
    if (rest != source && begins(rest, "//")) {
        rest += 2;
    }
    *path = rest[0] == '/' ? rest : NULL;
    return true;
}

const char *kw_pin_file_problem(const struct kw_config_token *token)
{
    const char *path = NULL;
    if (token->pin_source == NULL || !is_file(token->pin_source, &path)) {
        return NULL;
    }
    if (path == NULL) {
        return bad_file_source;
    }
    int fd = -1;
    const char *problem = kw_trust_open(path, KW_TRUST_PIN, &fd);
    if (problem == NULL) {
        (void)close(fd);
    }
    return problem;
}

/* The reason goes to the log with the token and the source, the caller gets one code. */
static struct kw_rv refuse(const struct kw_config_token *token, const char *what, const char *why)
{
    kw_log(KW_LOG_ERROR, "token %s: %s %s", token->name, what, why);
    return KW_FAIL(CKR_PIN_INVALID, "the PIN source of a token gives no PIN; the log says why");
}

/* A PIN that cannot be meant must not reach the HSM, where it would count as a wrong try. */
static const char *pin_problem(const struct kw_secret *pin)
{
    const unsigned char *bytes = kw_secret_peek(pin);
    size_t len = kw_secret_len(pin);
    if (len == 0) {
        return "gives an empty PIN; put the PIN there";
    }
    if (len > PIN_MAX) {
        return "gives a PIN that is too long; is it the right source?";
    }
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\0' || bytes[i] == '\n' || bytes[i] == '\r') {
            return "gives more than one line, or a NUL byte; the PIN alone must be there";
        }
    }
    return NULL;
}

/* Hands the PIN over if it can be meant; takes `pin`. */
static struct kw_rv deliver(const struct kw_config_token *token, const char *what, struct kw_secret *pin,
                            struct kw_secret **out)
{
    const char *problem = pin_problem(pin);
    if (problem != NULL) {
        kw_secret_free(pin);
        return refuse(token, what, problem);
    }
    *out = pin;
    return KW_OK;
}

/* Reads to the end of the file, which has less than the secret's length; NULL or what is wrong. */
static const char *fill(int fd, struct kw_secret *pin)
{
    size_t used = 0;
    size_t room = kw_secret_len(pin);
    ssize_t n = 1;
    while (used < room && n > 0) {
        n = TEMP_FAILURE_RETRY(read(fd, kw_secret_bytes(pin) + used, room - used));
        used += n > 0 ? (size_t)n : 0;
    }
    if (n < 0) {
        return "cannot be read; look at the disk";
    }
    if (used == room) {
        return "grew while it was read; try again";
    }
    const unsigned char *bytes = kw_secret_peek(pin);
    if (used > 0 && bytes[used - 1] == '\n') {
        used -= used > 1 && bytes[used - 2] == '\r' ? 2 : 1;
    }
    kw_secret_shrink(pin, used);
    return NULL;
}

/* `what` names the file in the log. */
static struct kw_rv read_file(const struct kw_config_token *token, const char *path, const char *what,
                              struct kw_secret **out)
{
    int fd = -1;
    const char *problem = kw_trust_open(path, KW_TRUST_PIN, &fd);
    if (problem != NULL) {
        return refuse(token, what, problem);
    }
    struct stat info;
    struct kw_secret *pin = NULL;
    struct kw_rv r;
    if (fstat(fd, &info) != 0 || info.st_size > PIN_MAX + 2) {
        r = refuse(token, what, "is too long for a PIN; is it the right file?");
        goto done;
    }
    r = kw_secret_new((size_t)info.st_size + 1, &pin);
    if (!kw_ok(r)) {
        goto done;
    }
    problem = fill(fd, pin);
    if (problem != NULL) {
        r = refuse(token, what, problem);
        goto done;
    }
    r = deliver(token, what, pin, out);
    pin = NULL;
done:
    kw_secret_free(pin);
    (void)close(fd);
    return r;
}

/* systemd.exec(5), Credentials: a file named as the credential in $CREDENTIALS_DIRECTORY. */
static struct kw_rv read_credential(const struct kw_config_token *token, const char *name,
                                    struct kw_secret **out)
{
    char path[PATH_MAX];
    const char *what = token->pin_source;
    const char *folder = secure_getenv("CREDENTIALS_DIRECTORY");
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL) {
        return refuse(token, what, "is not credential:NAME with a plain file name; mend it");
    }
    if (folder == NULL || folder[0] != '/') {
        return refuse(token, what,
                      "needs $CREDENTIALS_DIRECTORY; run this in the systemd unit that "
                      "has LoadCredential=");
    }
    int len = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (len < 0 || (size_t)len >= sizeof path) {
        return refuse(token, what, "leads to a path that is too long; shorten it");
    }
    return read_file(token, path, what, out);
}

/* RFC 7512 section 2.4 leaves other sources to the application; p11-kit knows its callbacks. */
static struct kw_rv ask_application(const struct kw_config_token *token, struct kw_secret **out)
{
    P11KitPin *given =
        p11_kit_pin_request(token->pin_source, token->uri, token->name, P11_KIT_PIN_FLAGS_USER_LOGIN);
    if (given == NULL) {
        return refuse(token, token->pin_source,
                      "is a PIN source that nobody answers; write file:/PATH or credential:NAME, or "
                      "let the application register a p11-kit PIN callback for it");
    }
    size_t len = 0;
    const unsigned char *bytes = p11_kit_pin_get_value(given, &len);
    struct kw_secret *pin = NULL;
    struct kw_rv r = kw_secret_dup(bytes, len, &pin);
    /* p11-kit frees the bytes as they are. An application that kept a reference finds zeros: such a
     * PIN is refused the next time, before it could count as a wrong try. */
    OPENSSL_cleanse((void *)(uintptr_t)bytes, len);
    p11_kit_pin_unref(given);
    return kw_ok(r) ? deliver(token, token->pin_source, pin, out) : r;
}

struct kw_rv kw_pin_read(const struct kw_config_token *token, struct kw_secret **out)
{
    const char *path = NULL;
    if (token->pin_value != NULL) {
        struct kw_secret *pin = NULL;
        struct kw_rv r = kw_secret_dup(token->pin_value, strlen(token->pin_value), &pin);
        return kw_ok(r) ? deliver(token, "pin-value", pin, out) : r;
    }
    if (token->pin_source == NULL) {
        return refuse(token, "its uri", "has no PIN source; add pin-source=file:/PATH");
    }
    if (is_file(token->pin_source, &path)) {
        return path == NULL ? refuse(token, token->pin_source, bad_file_source)
                            : read_file(token, path, token->pin_source, out);
    }
    if (begins(token->pin_source, credential_prefix)) {
        return read_credential(token, token->pin_source + strlen(credential_prefix), out);
    }
    return ask_application(token, out);
}
