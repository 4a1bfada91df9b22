/*
 * pulse.h: whether a token gives signs of life: how many callers are at it, and when it last answered one.
 *
 * A call that hangs in a vendor's module cannot be ended. While the same token answers others it hangs alone; when it answers none for two
 * seconds the token hangs, and those who have another one go there. Once in thirty seconds one caller may try it all the same: the calls that hang
 * may never come back although the token does. Storage of the caller, zero at first; atomic, no locks of its own.
 */
#ifndef KW_PULSE_H
#define KW_PULSE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

struct kw_pulse {
    atomic_uint inside;
    atomic_long since; /* ms of the monotonic clock: the token answered, or the first caller came */
    atomic_long tried; /* the same: somebody tried it although it hangs; 0: nobody */
};

/* A caller comes and goes. */
void kw_pulse_begin(struct kw_pulse *p);
void kw_pulse_end(struct kw_pulse *p);

/* The token has answered. */
void kw_pulse_beat(struct kw_pulse *p);

/* Whether callers are at it and none has had an answer for two seconds. */
bool kw_pulse_hangs(const struct kw_pulse *p);

/* The same, unless the caller is the one to try it. */
bool kw_pulse_avoid(struct kw_pulse *p);

/* pthread_cond_timedwait for a caller that has begun: false when `until` is past (kw_clock_in) or, unless p is NULL, when the token hangs. */
bool kw_pulse_wait(const struct kw_pulse *p, pthread_cond_t *changed, pthread_mutex_t *lock, const struct timespec *until);

#endif
