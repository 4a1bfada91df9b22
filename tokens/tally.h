/*
 * tally.h: what became of the lines of `rewrap`, counted by one thread, and what is said of it: failures, progress, the summary.
 */
#ifndef KW_TALLY_H
#define KW_TALLY_H

#include <time.h>

#include "batch.h"

enum { TALLY_VERSIONS = 64, TALLY_FATES = 5 };

/* Lines whose envelope names one version of a key. */
struct tally_version {
    uint32_t version;
    bool other; /* of the slot that they come from */
    unsigned long long lines;
};

struct tally {
    unsigned long long lines;
    unsigned long long fates[TALLY_FATES]; /* by enum batch_fate */
    struct tally_version versions[TALLY_VERSIONS];
    size_t version_count;
    unsigned long long more_versions; /* lines of versions for which there was no room */
    unsigned long long size;          /* bytes of the input; 0: not known */
    struct timespec started;
    struct timespec shown;
};

void tally_start(struct tally *t, unsigned long long size);

/* Counts the lines of a batch; says on standard error which failed and why, and now and then how far it is. */
void tally_add(struct tally *t, const struct batch *b);

/* The summary, on standard error. */
void tally_say(const struct tally *t);

/* For a dry run: the lines of each version, on standard output. */
void tally_print(const struct tally *t, const char *slot, const char *from, uint32_t active);

/* Whether every line is as it should be. */
bool tally_is_good(const struct tally *t);

#endif
