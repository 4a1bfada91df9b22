/* keyward wrap SLOT, unwrap SLOT: one data key into an envelope and out of it, for scripts. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "encoding.h"
#include "file.h"
#include "keeper.h"
#include "written.h"

struct options {
    const char *slot;
    const char *context; /* or NULL */
    CK_KEY_TYPE type;    /* of wrap; CK_UNAVAILABLE_INFORMATION: by its length */
    bool reveal;
};

static bool parse_type(const char *text, CK_KEY_TYPE *out)
{
    if (strcmp(text, "aes") != 0 && strcmp(text, "generic") != 0) {
        command_say("--type %s: a data key is aes or generic", text);
        return false;
    }
    *out = *text == 'a' ? CKK_AES : CKK_GENERIC_SECRET;
    return true;
}

/* `allowed`: the option that only one of the verbs has. */
static bool parse(int argc, char **argv, int allowed, struct options *out)
{
    static const struct option options[] = {
        {"context", required_argument, NULL, 'c'}, {"type", required_argument, NULL, 't'},
        {"reveal", no_argument, NULL, 'r'},        {NULL, 0, NULL, 0},
    };
    int option = 0;
    *out = (struct options){.type = CK_UNAVAILABLE_INFORMATION};
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'c') {
            out->context = optarg;
        } else if (option == 't' && allowed == 't') {
            if (!parse_type(optarg, &out->type)) {
                return false;
            }
        } else if (option == 'r' && allowed == 'r') {
            out->reveal = true;
        } else {
            return false;
        }
    }
    out->slot = argc - optind == 1 ? argv[optind] : NULL;
    return out->slot != NULL;
}

static bool say(const char *where, struct kw_rv r)
{
    if (!kw_ok(r)) {
        command_say("%s: %s (%s)", where, command_reason(r), kw_error_name(r.code));
    }
    return kw_ok(r);
}

static bool write_out(const unsigned char *bytes, size_t len)
{
    char text[128];
    if (!file_put(STDOUT_FILENO, bytes, len)) {
        command_say("standard output cannot be written: %s", strerror_r(errno, text, sizeof text));
        return false;
    }
    return true;
}

static struct kw_envelope_place place_of(const struct keeper *k, const struct options *o)
{
    return keeper_place(k, o->context, o->context == NULL ? 0 : strlen(o->context));
}

/* AES where nothing else is said and the length is one of AES. */
static bool judge_key(const struct kw_secret *key, struct options *o)
{
    size_t len = kw_secret_len(key);
    bool aes = len == 16 || len == 24 || len == 32;
    if (len == 0 || len > KW_DEK_LENGTH_MAX) {
        command_say("standard input: a data key is 1 to %d bytes", KW_DEK_LENGTH_MAX);
        return false;
    }
    if (o->type == CKK_AES && !aes) {
        command_say("standard input: an AES key is 16, 24 or 32 bytes, this is %zu", len);
        return false;
    }
    if (o->type == CK_UNAVAILABLE_INFORMATION) {
        o->type = aes ? CKK_AES : CKK_GENERIC_SECRET;
    }
    return true;
}

static bool wrap(struct keeper *k, const struct options *o, struct kw_secret *key)
{
    const struct encoding base64 = {.alphabet = ENCODING_STANDARD};
    uint8_t envelope[KW_ENVELOPE_MAX];
    unsigned char line[2 * KW_ENVELOPE_MAX + 8];
    size_t len = 0;
    const struct kw_dek dek = {.spec = {.type = o->type, .len = kw_secret_len(key), .extractable = true}, .value = key};
    const struct kw_content_wrapping w = {0, place_of(k, o), &dek, NULL};
    if (!say(o->slot, keeper_wrap(k, &w, envelope, &len))) {
        return false;
    }
    size_t written = encoding_write(&base64, envelope, len, line);
    line[written] = '\n';
    return write_out(line, written + 1);
}

int verb_wrap(struct command *c, int argc, char **argv)
{
    struct options o;
    struct keeper k = {0};
    struct kw_secret *key = NULL;
    if (!parse(argc, argv, 't', &o)) {
        return USAGE;
    }
    bool done = say("standard input", file_take(STDIN_FILENO, KW_DEK_LENGTH_MAX + 1, &key)) && judge_key(key, &o) &&
                keeper_open(c, o.slot, true, &k) && wrap(&k, &o, key);
    kw_secret_free(key);
    keeper_close(&k);
    return done ? DONE : FAILED;
}

static bool unwrap(struct keeper *k, const struct options *o, const struct written *w)
{
    struct kw_dek dek;
    const struct kw_content_unwrapping u = {place_of(k, o), w->bytes, w->len};
    if (!say(o->slot, keeper_unwrap(k, &u, w->envelope.type, &dek))) {
        return false;
    }
    bool done = write_out(kw_secret_peek(dek.value), kw_secret_len(dek.value));
    kw_secret_free(dek.value);
    return done;
}

int verb_unwrap(struct command *c, int argc, char **argv)
{
    struct options o;
    struct keeper k = {0};
    struct written w;
    if (!parse(argc, argv, 'r', &o)) {
        return USAGE;
    }
    if (!o.reveal) {
        command_say("this writes the data key itself to standard output; say --reveal if that is meant");
        return USAGE;
    }
    bool done = written_given(NULL, &w) && keeper_open(c, o.slot, false, &k);
    if (done && k.slot->sealed) {
        command_say("slot %s: its data keys are sealed and never revealed", o.slot);
        done = false;
    }
    done = done && unwrap(&k, &o, &w);
    keeper_close(&k);
    return done ? DONE : FAILED;
}
