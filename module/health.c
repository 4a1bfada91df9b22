#include "health.h"

#include "clock.h"

enum { FIRST_MS = 50, DOUBLED = 4 /* times */, OUT_MS = 5000 };

bool kw_health_take(struct kw_health *h)
{
    if (h->state == KW_HEALTH_UP) {
        return true;
    }
    if (h->trial || !kw_clock_is_past(&h->retry_at)) {
        return false;
    }
    h->trial = true;
    return true;
}

bool kw_health_served(struct kw_health *h)
{
    if (h->state == KW_HEALTH_UP || (h->state == KW_HEALTH_OUT && !h->trial)) {
        return false; /* nothing new, or a call that had begun before it was taken out of service */
    }
    *h = (struct kw_health){0};
    return true;
}

bool kw_health_failed(struct kw_health *h, long rest_ms)
{
    if (h->state != KW_HEALTH_UP && !h->trial) {
        return false; /* a call that had begun before it went down */
    }
    bool changed = h->state == KW_HEALTH_UP;
    long ms = h->state == KW_HEALTH_OUT ? OUT_MS : FIRST_MS << (h->failures < DOUBLED ? h->failures : DOUBLED);
    ms -= (long)kw_clock_jitter((unsigned)ms / 4 + 1);
    h->state = h->state == KW_HEALTH_OUT ? KW_HEALTH_OUT : KW_HEALTH_DOWN;
    h->failures++;
    /* Two back-offs that do not know of each other would add up: where the token itself is left alone, the end of that is the time. */
    bool rests = rest_ms > 0 && (h->state == KW_HEALTH_DOWN || rest_ms > ms);
    h->retry_at = kw_clock_in(rests ? rest_ms : ms);
    h->trial = false;
    return changed;
}

bool kw_health_poisoned(struct kw_health *h, const char *why)
{
    bool changed = h->state != KW_HEALTH_OUT || h->why != why;
    *h = (struct kw_health){.state = KW_HEALTH_OUT, .retry_at = kw_clock_in(OUT_MS), .why = why};
    return changed;
}

long kw_health_rest(const struct kw_health *h)
{
    if (h->state == KW_HEALTH_UP) {
        return 0;
    }
    long ms = -kw_clock_since(&h->retry_at);
    return h->trial ? -1 : ms > 0 ? ms : 0;
}
