/*
 * series: paired measurements, one of each side per round, and what they say. The two values of a
 * pair were taken one right after the other, so the ratio is formed per pair and its median taken:
 * a disturbance of the machine spoils a pair, not the result.
 */
#ifndef BENCH_SERIES_H
#define BENCH_SERIES_H

#include <stddef.h>

#include "settings.h"

struct series {
    double *value[SIDES];
    size_t count;
    size_t room;
};

struct series_ratio {
    double median; /* of keyward / direct */
    double low;    /* 95 % interval of that median (binomial, by rank) */
    double high;
};

/* Allocates room for `room` pairs; ends the process when memory is out. series_clear frees. */
void series_init(struct series *series, size_t room);
void series_clear(struct series *series);

/* Adds one pair; beyond the room given it is an error that ends the process. */
void series_add(struct series *series, const double pair[SIDES]);

/* The median of one side's values. */
double series_median(const struct series *series, int side);

struct series_ratio series_ratio(const struct series *series);

#endif
