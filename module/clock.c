#include "clock.h"

#include <sys/random.h>

struct timespec kw_clock_in(long ms)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000L;
    } else if (t.tv_nsec < 0) {
        t.tv_sec--;
        t.tv_nsec += 1000000000L;
    }
    return t;
}

long kw_clock_between(const struct timespec *from, const struct timespec *to)
{
    return (to->tv_sec - from->tv_sec) * 1000 + (to->tv_nsec - from->tv_nsec) / 1000000;
}

long kw_clock_since(const struct timespec *t)
{
    const struct timespec now = kw_clock_in(0);
    return kw_clock_between(t, &now);
}

bool kw_clock_is_past(const struct timespec *t)
{
    return kw_clock_since(t) >= 0;
}

void kw_clock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(cond, &attr);
    (void)pthread_condattr_destroy(&attr);
}

unsigned kw_clock_jitter(unsigned below)
{
    unsigned n = below / 2;
    (void)!getrandom(&n, sizeof n, GRND_NONBLOCK);
    return n % below;
}
