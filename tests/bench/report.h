/*
 * report: the results of a run, as a table for people and as JSON for programs, held against the
 * targets of issue 2, point 8.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdio.h>

#include "job.h"
#include "memory.h"
#include "series.h"

enum { REPORT_COUNTS = 3 }; /* of threads: 1, 2, 8 */

struct report_rate {
    struct series calls;     /* per second */
    struct series cpu_calls; /* per second of processor time */
    double all_calls[SIDES]; /* of all rounds together, so that what is slow only now and then */
    double all_seconds[SIDES]; /* shows too: a median cannot see it */
};

struct report_memory {
    unsigned slots[SIDES];
    unsigned keys[SIDES];
    struct memory_sample median[SIDES][2]; /* stages of agent_reply */
};

struct report {
    const struct settings *settings;
    bool has_rate[JOBS];
    struct report_rate rate[JOBS][REPORT_COUNTS];
    bool has_start;
    struct series start;     /* seconds */
    struct series start_cpu; /* seconds of processor time */
    bool has_memory;
    unsigned memory_samples;
    struct report_memory memory;
};

extern const unsigned report_threads[REPORT_COUNTS];

/* Prints the table; returns the number of targets missed. */
unsigned report_print(const struct report *report, FILE *out);

/* Writes the JSON file; ends the process when that fails. */
void report_write_json(const struct report *report, const char *path);

#endif
