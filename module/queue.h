/*
 * queue.h: those who wait for the same scarce thing: a session of a token, a turn in a vendor's module.
 *
 * Whoever is running when the thing comes free takes it, which costs no switch of threads; but without more, one of many could be passed over until its
 * time is up. So who has waited for a tenth of a second (an eighth of the time it may wait, if that is less) goes before everybody who has not. The
 * owner's mutex guards all of it and is held in every call.
 */
#ifndef KW_QUEUE_H
#define KW_QUEUE_H

#include <pthread.h>

#include "pulse.h"

struct kw_queue {
    unsigned long impatient;
};

/* One caller's place. All zero: has not waited yet. */
struct kw_queue_place {
    struct timespec until; /* kw_clock_in */
    struct timespec soon;  /* when it becomes impatient */
    bool impatient;
};

/* Whether others go first although the thing is free. */
bool kw_queue_has_others(const struct kw_queue *q, const struct kw_queue_place *p);

/* What is waited with: the owner's condition, which is broadcast whenever the thing comes free, and its mutex; ms is the whole time. */
struct kw_queue_wait {
    pthread_cond_t *changed;
    pthread_mutex_t *lock;
    long ms;
};

/* Waits for a change. False when the time is over, or when the token hangs (pulse, unless NULL: kw_pulse_wait). */
bool kw_queue_wait(struct kw_queue *q, struct kw_queue_place *p, const struct kw_queue_wait *w, const struct kw_pulse *pulse);

/* The caller waits no more, whatever came of it. Once for each place. */
void kw_queue_leave(struct kw_queue *q, const struct kw_queue_place *p, pthread_cond_t *changed);

#endif
