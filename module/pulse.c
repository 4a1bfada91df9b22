#include "pulse.h"

#include <time.h>

enum { HANGS_MS = 2000, TRY_MS = 30000 };

static long now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void kw_pulse_begin(struct kw_pulse *p)
{
    if (atomic_load_explicit(&p->inside, memory_order_relaxed) == 0) {
        atomic_store(&p->since, now());
    }
    (void)atomic_fetch_add(&p->inside, 1);
}

void kw_pulse_end(struct kw_pulse *p)
{
    atomic_store(&p->since, now());
    atomic_store_explicit(&p->tried, 0, memory_order_relaxed);
    (void)atomic_fetch_sub(&p->inside, 1);
}

bool kw_pulse_hangs(const struct kw_pulse *p)
{
    return atomic_load(&p->inside) > 0 && now() - atomic_load(&p->since) > HANGS_MS;
}

bool kw_pulse_avoid(struct kw_pulse *p)
{
    if (!kw_pulse_hangs(p)) {
        return false;
    }
    long tried = atomic_load(&p->tried);
    long time = now();
    if (tried == 0) { /* it has only just been found to hang */
        (void)atomic_compare_exchange_strong(&p->tried, &tried, time);
        return true;
    }
    return time - tried < TRY_MS || !atomic_compare_exchange_strong(&p->tried, &tried, time);
}
