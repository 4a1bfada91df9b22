/*
 * clock.h: the monotonic clock for deadlines and ages. Pure; no locks.
 */
#ifndef KW_CLOCK_H
#define KW_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

/* The time `ms` milliseconds from now (or ago, when negative), on CLOCK_MONOTONIC. */
struct timespec kw_clock_in(long ms);

/* Whether that time has come. */
bool kw_clock_is_past(const struct timespec *t);

/* Milliseconds since then, and from one such time to another. */
long kw_clock_since(const struct timespec *t);
long kw_clock_between(const struct timespec *from, const struct timespec *to);

/* A random number below `below` (not 0), so that those who wait do not wake together. Not for secrets. */
unsigned kw_clock_jitter(unsigned below);

/* A condition whose timed waits take times of kw_clock_in. */
void kw_clock_cond_init(pthread_cond_t *cond);

#endif
