/* Runs every attack on the bare token and through Keyward, each in a process of its own, and prints
 * the table. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scene.h"

enum { DEADLINE_S = 180 };

static const char *const names[] = {"Keyward", "SoftHSM in Keyward's place", "NSS in Keyward's place"};

struct options {
    enum module module; /* in Keyward's place, or KEYWARD */
    bool all;           /* with a stand-in: also the rows that another one proves, or none */
    bool verbose;
    const char *only;
};

struct tally {
    unsigned rows;
    unsigned bare;
    unsigned keyward;
    unsigned odd;
    unsigned broken;
    unsigned unproven;
};

/* In a process of its own. */
static void play(const struct attack *a, enum module module, attack_fn *attack, struct report *report)
{
    struct scene s;
    (void)alarm(DEADLINE_S);
    report->verdict = BROKEN;
    (void)snprintf(report->note, sizeof report->note, "%s died or hung", a->id);
    scene_start(&s, module, report);
    report->note[0] = '\0';
    enum verdict verdict = attack(&s);
    scene_stop(&s);
    report->verdict = verdict;
}

static void run(const struct attack *a, enum module module, attack_fn *attack, struct report *out)
{
    struct report *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0;
    *out = (struct report){.verdict = BROKEN};
    if (shared == MAP_FAILED) {
        return;
    }
    *shared = *out;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        play(a, module, attack, shared);
        _exit(0);
    }
    bool good =
        child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    *out = *shared;
    if (!good) {
        out->verdict = BROKEN;
        (void)snprintf(out->note, sizeof out->note, "the process ended with status 0x%x", (unsigned)status);
    }
    (void)munmap(shared, sizeof *shared);
}

static const char *word(const struct report *r)
{
    static const char *const words[] = {"refused", "succeeds", "n/a", "broken"};
    return r->verdict == REFUSED && r->odd ? "refused, oddly" : words[r->verdict];
}

static void tell(const struct options *o, const char *side, const struct report *r)
{
    bool wrong = r->verdict == BROKEN || r->odd || (r->verdict == NOT_APPLICABLE && o->module == KEYWARD);
    if (r->note[0] != '\0' && (wrong || o->verbose)) {
        (void)printf("      %s: %s\n", side, r->note);
    }
}

static void row(const struct options *o, const struct attack *a, struct tally *tally)
{
    struct report bare = {.verdict = NOT_APPLICABLE};
    struct report keyward;
    if (o->module != KEYWARD) {
        (void)snprintf(bare.note, sizeof bare.note, "not run again beside a stand-in");
    } else if (a->bare != NULL) {
        run(a, SOFTHSM, a->bare, &bare);
    } else {
        (void)snprintf(bare.note, sizeof bare.note, "%s", a->reason);
    }
    run(a, o->module, a->keyward, &keyward);
    (void)printf("%-4s | %-51s | %-10s | %s\n", a->id, a->name, word(&bare), word(&keyward));
    tell(o, "bare token", &bare);
    tell(o, names[o->module], &keyward);
    (void)fflush(stdout);
    tally->rows++;
    tally->bare += bare.verdict == SUCCEEDS;
    tally->keyward += keyward.verdict == SUCCEEDS;
    tally->odd += keyward.odd;
    tally->broken += bare.verdict == BROKEN;
    tally->broken += keyward.verdict == BROKEN;
    const unsigned bits[] = {0, PROVEN_SOFTHSM, PROVEN_NSS};
    tally->unproven += (a->proven & bits[o->module]) != 0 && keyward.verdict != SUCCEEDS;
}

static int conclude(const struct options *o, const struct tally *t)
{
    if (t->rows == 0) {
        (void)fprintf(stderr, "attack: there is no attack '%s'\n", o->only);
        return 2;
    }
    if (o->module != KEYWARD) {
        (void)printf("\n%u rows. %s: %u succeed, %u that should do not.\n", t->rows, names[o->module],
                     t->keyward, t->unproven);
        return t->unproven + t->broken > 0;
    }
    (void)printf("\n%u rows. Bare token: %u succeed. Keyward: %u succeed", t->rows, t->bare, t->keyward);
    (void)printf(", %u refused with another answer than the right one, %u broken.\n", t->odd, t->broken);
    return t->keyward + t->odd + t->broken > 0;
}

/* Whether a row is to be played. A stand-in plays what it alone proves, SoftHSM before NSS. */
static bool is_wanted(const struct options *o, const struct attack *a)
{
    bool proves = (o->module == SOFTHSM && (a->proven & PROVEN_SOFTHSM) != 0) ||
                  (o->module == NSS && a->proven == PROVEN_NSS);
    return (o->only == NULL || strncmp(a->id, o->only, strlen(o->only)) == 0) &&
           (o->module == KEYWARD || o->all || o->only != NULL || proves);
}

static bool read_options(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--stand-in=softhsm") == 0) {
            o->module = SOFTHSM;
        } else if (strcmp(argv[i], "--stand-in=nss") == 0) {
            o->module = NSS;
        } else if (strcmp(argv[i], "--all") == 0) {
            o->all = true;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            o->verbose = true;
        } else if (argv[i][0] != '-') {
            o->only = argv[i];
        } else {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct tally tally = {0};
    unsigned count = 0;
    const struct attack *rows = attack_table(&count);
    if (!read_options(argc, argv, &o)) {
        (void)fprintf(stderr,
                      "usage: attack [--stand-in=softhsm|nss [--all]] [--verbose] [ID]\n"
                      "  --stand-in  a vendor's module in Keyward's place: fails unless the attacks that\n"
                      "              are marked so succeed; --all plays the others as well\n");
        return 2;
    }
    (void)setenv("ATTACK_COUNTING", ATTACK_COUNTING_PATH, 0);
    if (o.module == KEYWARD && o.only == NULL && !scene_prepare()) {
        return 1;
    }
    (void)printf("id   | %-51s | bare token | %s\n", "attack", names[o.module]);
    (void)printf(
        "-----|-----------------------------------------------------|------------|---------------\n");
    for (unsigned i = 0; i < count; i++) {
        if (is_wanted(&o, &rows[i])) {
            row(&o, &rows[i], &tally);
        }
    }
    scene_put_away();
    return conclude(&o, &tally);
}
