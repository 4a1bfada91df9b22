/* keyward rewrap SLOT: envelopes in lines of text, put under the version of the slot's key that wraps now. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feed.h"
#include "file.h"
#include "rewriter.h"
#include "show.h"
#include "tally.h"
#include "window.h"

enum { JOBS_MOST = 8 /* sessions of a token's pool */, JOBS_USUAL = 2, RENEW_AFTER = 20000 /* uses of a token: 5 MB in SoftHSM */ };

struct options {
    const char *slot;
    const char *from;
    const char *context;
    struct column column;
    unsigned long context_column;
    unsigned jobs;
    bool dry;
    bool header;
};

static bool parse_delimiter(const char *text, unsigned char *out)
{
    bool tab = strcmp(text, "\\t") == 0 || strcmp(text, "tab") == 0;
    if (!tab && (strlen(text) != 1 || *text == '"' || *text == '\n' || *text == '\r')) {
        command_say("--delimiter %s: one character is needed, or \\t for a tab", text);
        return false;
    }
    *out = tab ? '\t' : (unsigned char)*text;
    return true;
}

static bool parse_count(const char *name, unsigned long *out)
{
    long n = 0;
    if (!show_number(name, optarg, 1, &n)) {
        return false;
    }
    *out = (unsigned long)n;
    return true;
}

static bool take_option(int option, struct options *out)
{
    unsigned long jobs = 0;
    switch (option) {
    case 'c':
        return parse_count("--column", &out->column.number);
    case 'd':
        return parse_delimiter(optarg, &out->column.delimiter);
    case 'f':
        out->from = optarg;
        return true;
    case 'x':
        out->context = optarg;
        return true;
    case 'X':
        return parse_count("--context-column", &out->context_column);
    case 'h':
        out->header = true;
        return true;
    case 'n':
        out->dry = true;
        return true;
    case 'j':
        if (!parse_count("--jobs", &jobs)) {
            return false;
        }
        if (jobs > JOBS_MOST) {
            command_say("--jobs %lu: at most %d, one for each session with a token", jobs, JOBS_MOST);
            return false;
        }
        out->jobs = (unsigned)jobs;
        return true;
    default:
        return false;
    }
}

static bool is_sensible(const struct options *o)
{
    if (o->from == NULL && (o->context != NULL || o->context_column > 0)) {
        command_say("a context is needed with --from only: within a slot an envelope keeps the one it has");
        return false;
    }
    if (o->context != NULL && o->context_column > 0) {
        command_say("give --context or --context-column, not both");
        return false;
    }
    if (o->from != NULL && strcmp(o->from, o->slot) == 0) {
        command_say("--from %s: that is the slot itself", o->from);
        return false;
    }
    return true;
}

static bool parse(int argc, char **argv, struct options *out)
{
    static const struct option options[] = {
        {"column", required_argument, NULL, 'c'},  {"delimiter", required_argument, NULL, 'd'},
        {"from", required_argument, NULL, 'f'},    {"context", required_argument, NULL, 'x'},
        {"header", no_argument, NULL, 'h'},        {"context-column", required_argument, NULL, 'X'},
        {"jobs", required_argument, NULL, 'j'},    {"dry-run", no_argument, NULL, 'n'},
        {NULL, 0, NULL, 0},
    };
    int option = 0;
    *out = (struct options){.column = {0, ','}, .jobs = JOBS_USUAL};
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (!take_option(option, out)) {
            return false;
        }
    }
    if (argc - optind != 1) {
        return false;
    }
    out->slot = argv[optind];
    return is_sensible(out);
}

/* A run over the whole input. */
struct run {
    struct rewriter rewriter;
    struct feed feed;
    struct tally tally;
    bool broken; /* input, output or memory failed; it was said */
};

static bool fill(void *arg, struct batch *b)
{
    struct run *run = arg;
    char text[128];
    switch (feed_next(&run->feed, b)) {
    case FEED_MORE:
        rewriter_look(&run->rewriter, b);
        return true;
    case FEED_END:
        return false;
    case FEED_UNREADABLE:
        command_say("standard input cannot be read after line %llu: %s", run->feed.lines, strerror_r(errno, text, sizeof text));
        break;
    default:
        command_say("line %llu: memory is short for so long a line; it and what follows was not read", run->feed.lines + 1);
        break;
    }
    run->broken = true;
    return false;
}

static void work(void *arg, struct batch *b)
{
    struct run *run = arg;
    rewriter_batch(&run->rewriter, b);
}

static bool give(void *arg, struct batch *b)
{
    struct run *run = arg;
    char text[128];
    bool good = b->whole;
    if (!good) {
        command_say("line %llu: memory is short; %llu lines were written, run it again", b->first, run->tally.lines);
    } else if (!run->rewriter.dry && !file_put(STDOUT_FILENO, b->out.at, b->out.len)) {
        good = false;
        command_say("standard output cannot be written: %s; of the input %llu lines were written whole, run it again",
                    strerror_r(errno, text, sizeof text), run->tally.lines);
    }
    if (good) {
        tally_add(&run->tally, b);
    }
    run->broken = run->broken || !good;
    return good;
}

static bool renew_is_due(void *arg)
{
    const struct run *run = arg;
    const struct rewriter *r = &run->rewriter;
    return atomic_load(&r->to->uses) + (r->from == NULL ? 0 : atomic_load(&r->from->uses)) >= RENEW_AFTER;
}

/* What cannot be renewed fails at the next line, which tells why. */
static bool renew(void *arg)
{
    struct run *run = arg;
    const struct rewriter *r = &run->rewriter;
    struct kw_rv v = keeper_renew(r->to);
    if (kw_ok(v) && r->from != NULL) {
        v = keeper_renew(r->from);
    }
    (void)v;
    return true;
}

/* What a file system keeps back until the end, a full disk for instance, is told too. */
static bool settle(void)
{
    struct stat st;
    char text[128];
    if (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) && fsync(STDOUT_FILENO) != 0) {
        command_say("standard output cannot be written: %s; run it again", strerror_r(errno, text, sizeof text));
        return false;
    }
    return true;
}

static bool run_all(struct run *run, const struct options *o)
{
    const struct window_roles roles = {fill, work, give, renew_is_due, renew, run};
    feed_init(&run->feed, STDIN_FILENO);
    tally_start(&run->tally, run->feed.size);
    bool done = window_run(&roles, o->jobs);
    feed_clear(&run->feed);
    if (!done) {
        command_say("memory or threads are short; nothing was written");
        return false;
    }
    if (o->dry) {
        tally_print(&run->tally, o->slot, o->from, run->rewriter.to->active);
        run->broken = fflush(stdout) != 0 || run->broken;
    } else {
        run->broken = !settle() || run->broken;
    }
    tally_say(&run->tally);
    return !run->broken && tally_is_good(&run->tally);
}

/* A sealed data key is never revealed, and a slot with readable ones would reveal it. */
static bool may_move(const struct keeper *from, const struct keeper *to)
{
    if (from->slot->sealed && !to->slot->sealed) {
        command_say("slot %s: its data keys are sealed, and would not be in slot %s; set `data-keys = sealed` there too", from->slot->name,
                    to->slot->name);
        return false;
    }
    return true;
}

int verb_rewrap(struct command *c, int argc, char **argv)
{
    struct options o;
    struct keeper to = {0};
    struct keeper from = {0};
    if (!parse(argc, argv, &o)) {
        return USAGE;
    }
    bool done = keeper_open(c, o.slot, true, &to);
    if (done && o.from != NULL) {
        done = keeper_open(c, o.from, false, &from) && may_move(&from, &to);
    }
    if (done) {
        struct run run = {.rewriter = {.to = &to,
                                       .from = o.from == NULL ? NULL : &from,
                                       .column = o.column,
                                       .context_column = {o.context_column, o.column.delimiter},
                                       .context = o.context,
                                       .header = o.header,
                                       .dry = o.dry}};
        done = run_all(&run, &o);
    }
    keeper_close(&from);
    keeper_close(&to);
    return done ? DONE : FAILED;
}
