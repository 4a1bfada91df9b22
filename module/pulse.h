/*
 * pulse.h: whether a token gives signs of life: how many calls are at it, and when one last came back.
 *
 * A call that hangs in a vendor's module cannot be ended. While others come back from the same token it hangs alone; when none does for two
 * seconds the token hangs, and those who have another one go there. Once in thirty seconds one caller may try it all the same: the calls that hang
 * may never come back although the token does. Storage of the caller, zero at first; atomic, no locks.
 */
#ifndef KW_PULSE_H
#define KW_PULSE_H

#include <stdatomic.h>
#include <stdbool.h>

struct kw_pulse {
    atomic_uint inside;
    atomic_long since; /* ms of the monotonic clock: a call came back, or the first one began */
    atomic_long tried; /* the same: somebody tried it although it hangs; 0: nobody */
};

void kw_pulse_begin(struct kw_pulse *p);
void kw_pulse_end(struct kw_pulse *p);

/* Whether calls are at it and none has come back for two seconds. */
bool kw_pulse_hangs(const struct kw_pulse *p);

/* The same, unless the caller is the one to try it. */
bool kw_pulse_avoid(struct kw_pulse *p);

#endif
