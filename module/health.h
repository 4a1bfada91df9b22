/*
 * health.h: whether a member of a slot is worth a try. (DESIGN section 7.)
 *
 * Up: it serves. Down: it could not be reached or is ill; it is tried again, by one caller, after a time that doubles from 50 ms to 0.8 s, less
 * a random part. Out of service: it holds other keys than its peers; looked at again every five seconds, because an operator may have set it
 * right. Plain storage of the caller, zero at first, which is up; guarded by the caller.
 */
#ifndef KW_HEALTH_H
#define KW_HEALTH_H

#include <stdbool.h>
#include <time.h>

enum kw_health_state { KW_HEALTH_UP, KW_HEALTH_DOWN, KW_HEALTH_OUT };

struct kw_health {
    enum kw_health_state state;
    bool trial; /* one caller tries it */
    unsigned failures;
    struct timespec retry_at;
    const char *why; /* out of service: a static sentence */
};

/* Whether the caller may try it now. When it is not up the caller is the only one and must say how it went by one of the three below. */
bool kw_health_take(struct kw_health *h);

/* How it went. Each gives whether the state is another one now. */
bool kw_health_served(struct kw_health *h);
/* `rest_ms`: 0, or for how long the token will be refused anyway; then it is tried after that time, and not later. */
bool kw_health_failed(struct kw_health *h, long rest_ms);
bool kw_health_poisoned(struct kw_health *h, const char *why);

/* Milliseconds until it may be tried; 0: now; -1: somebody is at it. */
long kw_health_rest(const struct kw_health *h);

#endif
