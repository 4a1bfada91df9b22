#include "series.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double *allocate(size_t count)
{
    double *values = calloc(count, sizeof *values);
    if (values == NULL) {
        fputs("bench: out of memory\n", stderr);
        exit(1);
    }
    return values;
}

void series_init(struct series *series, size_t room)
{
    *series = (struct series){.room = room};
    for (int side = 0; side < SIDES; side++) {
        series->value[side] = allocate(room);
    }
}

void series_clear(struct series *series)
{
    for (int side = 0; side < SIDES; side++) {
        free(series->value[side]);
    }
    *series = (struct series){0};
}

void series_add(struct series *series, const double pair[SIDES])
{
    if (series->count == series->room) {
        fputs("bench: more rounds than there is room for\n", stderr);
        exit(1);
    }
    for (int side = 0; side < SIDES; side++) {
        series->value[side][series->count] = pair[side];
    }
    series->count++;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

/* The value at a rank from 0 to count - 1; between two values, the mean of both. */
static double at_rank(const double *sorted, double rank, size_t count)
{
    double last = (double)(count - 1);
    rank = fmin(fmax(rank, 0.0), last);
    return (sorted[(size_t)floor(rank)] + sorted[(size_t)ceil(rank)]) / 2.0;
}

double series_median(const struct series *series, int side)
{
    double *sorted = allocate(series->count);
    memcpy(sorted, series->value[side], series->count * sizeof *sorted);
    qsort(sorted, series->count, sizeof *sorted, compare);
    double median = at_rank(sorted, (double)(series->count - 1) / 2.0, series->count);
    free(sorted);
    return median;
}

struct series_ratio series_ratio(const struct series *series)
{
    size_t n = series->count;
    double *sorted = allocate(n);
    for (size_t i = 0; i < n; i++) {
        sorted[i] = series->value[SIDE_KEYWARD][i] / series->value[SIDE_DIRECT][i];
    }
    qsort(sorted, n, sizeof *sorted, compare);
    double middle = (double)(n - 1) / 2.0;
    double spread = 0.98 * sqrt((double)n); /* 1.96 standard deviations of a binomial(n, 1/2) */
    struct series_ratio ratio = {
        .median = at_rank(sorted, middle, n),
        .low = at_rank(sorted, floor(middle - spread), n),
        .high = at_rank(sorted, ceil(middle + spread), n),
    };
    free(sorted);
    return ratio;
}
