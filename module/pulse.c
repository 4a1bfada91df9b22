#include "pulse.h"

#include "clock.h"

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
    (void)atomic_fetch_sub(&p->inside, 1);
}

void kw_pulse_beat(struct kw_pulse *p)
{
    if (atomic_load_explicit(&p->inside, memory_order_relaxed) > 0) { /* else the next to come sets it */
        atomic_store_explicit(&p->since, now(), memory_order_relaxed);
    }
    atomic_store_explicit(&p->tried, 0, memory_order_relaxed);
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

bool kw_pulse_wait(const struct kw_pulse *p, pthread_cond_t *changed, pthread_mutex_t *lock, const struct timespec *until)
{
    if (p == NULL) {
        return pthread_cond_timedwait(changed, lock, until) == 0;
    }
    if (kw_pulse_hangs(p)) {
        return false;
    }
    long left = atomic_load(&p->since) + HANGS_MS - now();
    struct timespec due = kw_clock_in(left > 0 ? left + 1 : 1); /* when it hangs if it does not answer */
    (void)pthread_cond_timedwait(changed, lock, kw_clock_between(&due, until) < 0 ? until : &due);
    return !kw_clock_is_past(until) && !kw_pulse_hangs(p);
}
