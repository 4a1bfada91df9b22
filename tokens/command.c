#include "command.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "log.h"
#include "pin.h"

void command_say(const char *format, ...)
{
    va_list args;
    char *sentence = NULL;
    va_start(args, format);
    if (vasprintf(&sentence, format, args) >= 0) {
        kw_log_neutralize(sentence); /* names come from arguments, files and tokens */
        (void)fprintf(stderr, "keyward: %s\n", sentence);
        free(sentence);
    } else {
        (void)fputs("keyward: it failed, and memory is short to say why\n", stderr);
    }
    va_end(args);
}

const struct kw_config_slot *command_slot(const struct command *c, const char *name)
{
    const struct kw_config_slot *slot = kw_config_slot(c->config, name);
    if (slot == NULL) {
        command_say("%s: no slot is called %s; `keyward list` shows the slots", c->config->path, name);
    }
    return slot;
}

struct kw_members *command_members(struct command *c, const struct kw_config_slot *slot)
{
    struct kw_backing *backings[KW_CONFIG_MEMBERS_MAX];
    struct kw_members *m = NULL;
    for (size_t i = 0; i < slot->token_count; i++) {
        backings[i] = c->backings[slot->tokens[i] - c->config->tokens];
    }
    struct kw_rv r = kw_members_new(backings, slot->token_count, slot->key, &m);
    if (!kw_ok(r)) {
        command_say("slot %s: %s", slot->name, command_reason(r));
    }
    return m;
}

enum { PIN_MOST = 255, INTERRUPT = 3 /* ^C, which is a character while the terminal is silent */ };

/* Reads a line without echo, straight into a secret. CKR_PIN_INVALID: none was typed, or too much. */
static struct kw_rv read_silently(int terminal, struct kw_secret *pin)
{
    struct termios before;
    if (tcgetattr(terminal, &before) != 0) {
        return KW_FAIL(CKR_PIN_INVALID, "there is no terminal to ask for the PIN on");
    }
    struct termios silent = before;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
    (void)tcsetattr(terminal, TCSAFLUSH, &silent);
    size_t len = 0;
    bool stopped = false;
    unsigned char *p = kw_secret_bytes(pin);
    while (len <= PIN_MOST && !stopped && read(terminal, p + len, 1) == 1 && p[len] != '\n') {
        stopped = p[len] == INTERRUPT;
        len++;
    }
    (void)tcsetattr(terminal, TCSAFLUSH, &before);
    (void)fputc('\n', stderr);
    if (len == 0 || len > PIN_MOST || stopped) {
        return KW_FAIL(CKR_PIN_INVALID, "no PIN was typed");
    }
    kw_secret_shrink(pin, len);
    return KW_OK;
}

static struct kw_rv ask_pin(const char *token, struct kw_secret **out)
{
    struct kw_secret *pin = NULL;
    int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (terminal < 0) {
        return KW_FAIL(CKR_PIN_INVALID, "there is no terminal to ask for the PIN on");
    }
    struct kw_rv r = kw_secret_new(PIN_MOST + 1, &pin);
    if (kw_ok(r)) {
        (void)fprintf(stderr, "PIN of token %s: ", token);
        r = read_silently(terminal, pin);
    }
    (void)close(terminal);
    if (!kw_ok(r)) {
        kw_secret_free(pin);
        return r;
    }
    *out = pin;
    return KW_OK;
}

/* The PINs that were typed and were right: each is asked for once in a command, which logs in anew to show what it has done. */
struct typed {
    const struct kw_config_token *token;
    struct kw_secret *pin;
    struct typed *next;
};
static struct typed *typed;

static struct kw_secret *pin_of(const struct kw_config_token *token)
{
    const struct typed *t = typed;
    while (t != NULL && t->token != token) {
        t = t->next;
    }
    return t == NULL ? NULL : t->pin;
}

/* Takes `pin`. */
static void keep_pin(const struct kw_config_token *token, struct kw_secret *pin)
{
    struct typed *t = malloc(sizeof *t);
    if (t == NULL) {
        kw_secret_free(pin); /* it is asked for again */
        return;
    }
    *t = (struct typed){token, pin, typed};
    typed = t;
}

void command_forget_pins(void)
{
    while (typed != NULL) {
        struct typed *t = typed;
        typed = t->next;
        kw_secret_free(t->pin);
        free(t);
    }
}

bool command_login(struct kw_members *m, size_t i)
{
    struct kw_backing *b = kw_members_backing(m, i);
    const struct kw_config_token *t = kw_backing_config(b);
    struct kw_secret *known = pin_of(t);
    struct kw_secret *pin = NULL;
    char problem[320] = "";
    struct kw_rv r = kw_backing_reach(b, NULL);
    if (!kw_ok(r)) {
        kw_backing_problem(b, problem, sizeof problem);
        command_say("%s", problem[0] != '\0' ? problem : command_reason(r));
        return false;
    }
    if (!kw_pin_has_source(t) && known == NULL) {
        r = ask_pin(t->name, &pin);
    }
    if (kw_ok(r)) {
        r = kw_members_login_on(m, i, known != NULL ? known : pin);
    }
    if (kw_ok(r) && pin != NULL) {
        keep_pin(t, pin);
    } else {
        kw_secret_free(pin);
    }
    if (!kw_ok(r)) {
        command_say("token %s: no login: %s (%s)", t->name, command_reason(r), kw_error_name(r.code));
    }
    return kw_ok(r);
}

const char *command_fingerprint(const struct kw_version *v)
{
    static char text[2 * KW_FINGERPRINT_SIZE + 1];
    if (!v->has_fingerprint) {
        return "-";
    }
    for (size_t i = 0; i < KW_FINGERPRINT_SIZE; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", v->fingerprint[i]);
    }
    return text;
}

const char *command_reason(struct kw_rv r)
{
    switch (r.code) {
    case CKR_PIN_INCORRECT:
        return "the PIN is wrong; set the right one in the token's PIN source (a PIN is tried once)";
    case CKR_PIN_INVALID:
        return "there is no PIN; set pin-source in the token's uri, or run this on a terminal";
    case CKR_PIN_LOCKED:
        return "the PIN is locked or at its last try; see to it with the vendor's own tool";
    case CKR_PIN_LEN_RANGE:
        return "the PIN has a length that the token does not take";
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_DEVICE_REMOVED:
        return "the token cannot be reached; check that the HSM is up and the uri names it";
    case CKR_HOST_MEMORY:
        return "memory is short or cannot be locked; raise `ulimit -l`";
    default: {
        /* "file:line: sentence": the sentence is for people */
        const char *at = r.why == NULL ? NULL : strstr(r.why, ": ");
        return at == NULL ? "it failed" : at + 2;
    }
    }
}
