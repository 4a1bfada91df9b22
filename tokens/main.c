#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "log.h"
#include "openssl.h"
#include "vendor.h"

static const struct {
    const char *name;
    verb_fn *run;
    const char *usage;
    const char *help;
    bool bare; /* works without a configuration */
} verbs[] = {
    {"create", verb_create, "create SLOT [--type aes:128|192|256|rsa:2048|3072|4096] [--json]", "make the slot's key, on every token of the slot", false},
    {"list", verb_list, "list [--json]", "show the slots and the versions of their keys", false},
    {"status", verb_status, "status SLOT [--json]", "show the versions of a key: state, age, origin, fingerprint", false},
    {"check", verb_check, "check", "reach every token, say what is there and what is wrong", false},
    {"rotate", verb_rotate, "rotate SLOT [--if-older-than DAYS] [--json]", "make a new version, retire the one before", false},
    {"disable", verb_disable, "disable SLOT [--version N] [--json]", "take versions away at once", false},
    {"enable", verb_enable, "enable SLOT [--version N] [--json]", "give disabled versions back", false},
    {"delete", verb_delete, "delete SLOT --version N [--after DAYS] [--json]", "disable a version and set the day of its purge", false},
    {"recover", verb_recover, "recover SLOT --version N [--json]", "take a deletion back", false},
    {"purge", verb_purge, "purge SLOT --version N [--last-version] [--yes] [--json]", "destroy a deleted version after its day", false},
    {"repair", verb_repair, "repair SLOT [--json]", "finish what an interrupted command left half done", false},
    {"transport-key", verb_transport_key, "transport-key SLOT [--type rsa:2048|3072|4096] [-o FILE] [--json]",
     "make or show the key to which a customer wraps a key of their own", false},
    {"import", verb_import, "import SLOT FILE [--json]", "take a key that a customer wrapped to the transport key as the next version", false},
    {"export-blob", verb_export_blob, "export-blob KEY --to FILE -o FILE [--kid KID] [--raw]",
     "on the customer's machine: wrap a key to a transport key; needs no configuration", true},
    {"wrap", verb_wrap, "wrap SLOT [--context C] [--type aes|generic]", "a data key from standard input into an envelope, as a line of base64", false},
    {"unwrap", verb_unwrap, "unwrap SLOT [--context C] --reveal", "an envelope from standard input into the data key's bytes", false},
    {"rewrap", verb_rewrap,
     "rewrap SLOT [--column N] [--delimiter C] [--header] [--jobs N] [--dry-run]\n"
     "          [--from SLOT [--context C | --context-column N]]",
     "put the envelopes in the lines of standard input under the present version, to standard output", false},
    {"inspect", verb_inspect, "inspect [ENVELOPE] [--json]", "show what an envelope says of itself; needs no token and no configuration", true},
};
enum { VERBS = sizeof verbs / sizeof verbs[0] };

static void help(FILE *to)
{
    (void)fputs("usage: keyward [--config FILE] VERB ...\n\n", to);
    for (size_t i = 0; i < VERBS; i++) {
        (void)fprintf(to, "  keyward %s\n      %s\n", verbs[i].usage, verbs[i].help);
    }
    (void)fputs("\n  --config FILE  the configuration; default $KEYWARD_CONF, else /etc/keyward/keyward.conf\n"
                "  --help, --version\n\n"
                "exit status: 0 done, 1 refused or failed, 2 usage\n",
                to);
}

static void report(void *data, const char *sentence)
{
    (void)data;
    command_say("%s", sentence);
}

/* Opens what every verb needs; all but the bare ones need the configuration. */
static bool open_command(struct command *c, bool bare)
{
    /* Only what the command itself cannot tell: what keeps a token from being used. */
    if (setenv("KEYWARD_LOG_LEVEL", "error", 0) != 0) {
        command_say("memory is short");
        return false;
    }
    if (!kw_ok(kw_log_open("stderr"))) {
        command_say("the log that KEYWARD_LOG names cannot be used; name stderr, syslog, none, or file:/PATH of a regular file that this user may write");
        return false;
    }
    if (bare) {
        return true;
    }
    if (!kw_ok(kw_config_load(c->config_path, report, NULL, &c->config))) {
        return false;
    }
    c->backings = calloc(c->config->token_count + 1, sizeof *c->backings);
    for (size_t i = 0; c->backings != NULL && i < c->config->token_count; i++) {
        if (!kw_ok(kw_backing_new(&c->config->tokens[i], &c->backings[i]))) {
            return false;
        }
    }
    return c->backings != NULL;
}

static void close_command(struct command *c)
{
    for (size_t i = 0; c->backings != NULL && i < c->config->token_count; i++) {
        kw_backing_free(c->backings[i]);
    }
    free(c->backings);
    command_forget_pins();
    kw_vendor_end_all();
    kw_openssl_end();
    kw_config_free(c->config);
}

/* `keyward VERB --help` needs neither the other arguments nor a configuration. */
static bool asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

static int run_verb(struct command *c, int argc, char **argv)
{
    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(argv[0], verbs[i].name) != 0) {
            continue;
        }
        if (asks_for_help(argc, argv)) {
            (void)printf("usage: keyward %s\n\n  %s; more in keyward(1)\n", verbs[i].usage, verbs[i].help);
            return DONE;
        }
        int status = open_command(c, verbs[i].bare) ? verbs[i].run(c, argc, argv) : FAILED;
        close_command(c);
        if (status == USAGE) {
            (void)fprintf(stderr, "usage: keyward %s\n", verbs[i].usage);
        }
        return status;
    }
    command_say("there is no verb %s; `keyward --help` lists them", argv[0]);
    return USAGE;
}

static int start(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    struct command c = {0};
    int option = 0;
    while ((option = getopt_long(argc, argv, "+c:hV", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            c.config_path = optarg;
            break;
        case 'h':
            help(stdout);
            return DONE;
        case 'V':
            (void)printf("keyward %d.%d\n", KW_VERSION_MAJOR, KW_VERSION_MINOR);
            return DONE;
        default:
            return USAGE;
        }
    }
    if (optind >= argc) {
        help(stderr);
        return USAGE;
    }
    char **verb = argv + optind;
    int count = argc - optind;
    optind = 0; /* glibc: the verb parses its own options from the start */
    return run_verb(&c, count, verb);
}

/* Standard input, output and error are never a file that is opened later, a token's for instance: one that is closed stays one that cannot be used. */
static bool keep_descriptors(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd) {
            return false;
        }
    }
    return true;
}

/* What was printed and did not arrive is a failure. */
static int settle(int status)
{
    char text[128];
    errno = 0;
    if (fflush(stdout) == 0 && ferror(stdout) == 0) {
        return status;
    }
    command_say("standard output cannot be written: %s; `keyward status` shows what was done",
                strerror_r(errno == 0 ? EIO : errno, text, sizeof text));
    return status == DONE ? FAILED : status;
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN); /* a reader that goes away ends no verb between two steps */
    return keep_descriptors() ? settle(start(argc, argv)) : FAILED;
}
