/* config.c: the target `config`: kw_config_load on the input as keyward.conf. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input.h"
#include "log.h"
#include "scarcity.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

/* A PIN that no sentence may tell; the dictionary and the seeds have it. */
static const char pin[] = "S3CR3TPIN";

static char config_path[64];
static int config_fd;
static int loose_fd; /* a file that everybody may write */

/* The configuration is opened as it is. Of the other files that it names, /ok... is a good one, /loose... one that must not be believed,
 * and the rest is not there: the fuzzer opens nothing of the machine. */
int __wrap_open(const char *path, int flags, ...)
{
    char loose[64];
    (void)snprintf(loose, sizeof loose, "/proc/self/fd/%d", loose_fd);
    if (strcmp(path, config_path) == 0) {
        return __real_open(path, flags);
    }
    if (strncmp(path, "/ok", 3) == 0) {
        return __real_open("/proc/self/exe", flags);
    }
    if (strncmp(path, "/loose", 6) == 0) {
        return __real_open(loose, flags);
    }
    errno = ENOENT;
    return -1;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    config_fd = memfd_create("keyward.conf", 0);
    loose_fd = memfd_create("loose", 0);
    if (config_fd < 0 || loose_fd < 0 || fchmod(config_fd, S_IRUSR | S_IWUSR) != 0 || setenv("KEYWARD_LOG", "none", 1) != 0) {
        abort();
    }
    (void)snprintf(config_path, sizeof config_path, "/proc/self/fd/%d", config_fd);
    return kw_ok(kw_log_open("none")) ? 0 : 1;
}

struct told {
    unsigned sentences;
    bool pin_is_secret; /* the PIN stands in the file as a PIN only */
};

/* A sentence is one line for an operator's terminal: it names the file, has no control character, and no PIN. */
static void report(void *data, const char *sentence)
{
    struct told *told = data;
    told->sentences++;
    INPUT_MUST(strncmp(sentence, config_path, strlen(config_path)) == 0, "a sentence does not name the file");
    for (const char *c = sentence; *c != '\0'; c++) {
        INPUT_MUST((unsigned char)*c >= 0x20 && *c != 0x7F, "a sentence has a control character");
    }
    INPUT_MUST(!told->pin_is_secret || strstr(sentence, pin) == NULL, "a sentence tells the PIN");
}

/* Whether the file has the PIN, and only as the pin-value in a line that begins with uri. */
static bool pin_is_secret(const char *text, size_t len)
{
    static const char before[] = "pin-value=";
    const size_t n = sizeof before - 1;
    const char *at = memmem(text, len, pin, sizeof pin - 1);
    bool secret = at != NULL;
    while (at != NULL) {
        const char *line = at;
        while (line > text && line[-1] != '\n') {
            line--;
        }
        secret = secret && (size_t)(at - line) > n + 3 && memcmp(at - n, before, n) == 0 && strncmp(line, "uri = pkcs11:", 13) == 0 &&
                 memchr(line, 0, (size_t)(at - line)) == NULL;
        at = memmem(at + 1, len - (size_t)(at + 1 - text), pin, sizeof pin - 1);
    }
    return secret;
}

static bool same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void check_slot(const struct kw_config *c, const struct kw_config_slot *s)
{
    INPUT_MUST(s->name[0] != '\0' && strlen(s->name) <= KW_CONFIG_NAME_MAX, "a slot has no name");
    INPUT_MUST(kw_config_slot(c, s->name) == s, "two slots have one name");
    INPUT_MUST(s->key != NULL && s->key[0] != '\0' && strlen(s->key) <= 128, "a slot has no key");
    INPUT_MUST(s->token_count >= 1 && s->token_count <= KW_CONFIG_MEMBERS_MAX, "a slot has no token, or too many");
    INPUT_MUST(s->mechanisms != 0, "a slot has no mechanism");
    INPUT_MUST(c->geo == NULL || same(c->geo, s->geo), "a slot is not in the geo of the host");
    for (size_t i = 0; i < s->token_count; i++) {
        const struct kw_config_token *t = s->tokens[i];
        INPUT_MUST(t >= c->tokens && t < c->tokens + c->token_count, "a slot has a token that there is not");
        INPUT_MUST(same(s->geo, t->geo), "a slot and its token have different geos");
        for (size_t k = 0; k < i; k++) {
            INPUT_MUST(s->tokens[k] != t, "a slot has a token twice");
        }
    }
    for (const struct kw_config_slot *o = c->slots; o < s; o++) {
        for (size_t i = 0; i < s->token_count * o->token_count; i++) {
            bool meet = s->tokens[i % s->token_count] == o->tokens[i / s->token_count];
            INPUT_MUST(!meet || strcmp(s->key, o->key) != 0, "two slots share a master key");
        }
    }
}

/* What config.h promises of a configuration that was read. */
static void check(const struct kw_config *c)
{
    INPUT_MUST(c->slot_count >= 1 && c->slot_count <= KW_CONFIG_SLOTS_MAX, "there is no slot");
    INPUT_MUST(same(c->path, config_path), "another path");
    for (size_t i = 0; i < c->token_count; i++) {
        const struct kw_config_token *t = &c->tokens[i];
        INPUT_MUST(t->name[0] != '\0' && t->uri != NULL, "a token has no name or no uri");
        INPUT_MUST(t->module_path != NULL && t->module_path[0] == '/', "a token has no module");
        INPUT_MUST(t->pin_source == NULL || t->pin_value == NULL, "a token has two PIN sources");
        INPUT_MUST(p11_kit_uri_get_pin_value(t->uri) == NULL, "the PIN stays in the uri");
    }
    for (size_t i = 0; i < c->slot_count; i++) {
        check_slot(c, &c->slots[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct input in;
    struct kw_config *config = NULL;
    input_init(&in, bytes, len);
    uint8_t shortage = input_byte(&in);
    char *text = input_room(&in, in.left + 1);
    size_t text_len = in.left;
    memcpy(text, in.at, text_len);
    text[text_len] = '\0';
    if (ftruncate(config_fd, 0) != 0 || pwrite(config_fd, text, text_len, 0) != (ssize_t)text_len) {
        abort();
    }
    struct told told = {.pin_is_secret = pin_is_secret(text, text_len)};
    if (shortage >= 192) {
        scarcity_arm(shortage - 192U);
    }
    struct kw_rv r = kw_config_load(config_path, report, &told, &config);
    bool starved = scarcity_disarm();
    if (kw_ok(r)) {
        check(config);
        kw_config_free(config);
    } else {
        INPUT_MUST(config == NULL, "an error gives a configuration");
        INPUT_MUST(r.code == CKR_HOST_MEMORY ? starved : r.code == CKR_GENERAL_ERROR, "another code");
        INPUT_MUST(r.code == CKR_HOST_MEMORY || told.sentences > 0, "a refusal without a reason");
    }
    input_forget(&in);
    return 0;
}
