#include "queue.h"

#include "clock.h"

enum { PATIENCE_MS = 100, PART = 8 };

bool kw_queue_has_others(const struct kw_queue *q, const struct kw_queue_place *p)
{
    return q->impatient > 0 && !p->impatient;
}

bool kw_queue_wait(struct kw_queue *q, struct kw_queue_place *p, const struct kw_queue_wait *w, const struct kw_pulse *pulse)
{
    if (p->until.tv_sec == 0) {
        p->until = kw_clock_in(w->ms);
        p->soon = kw_clock_in(w->ms / PART < PATIENCE_MS ? w->ms / PART : PATIENCE_MS);
    }
    if (kw_pulse_wait(pulse, w->changed, w->lock, p->impatient ? &p->until : &p->soon)) {
        return true;
    }
    if (p->impatient || kw_clock_is_past(&p->until) || (pulse != NULL && kw_pulse_hangs(pulse))) {
        return false;
    }
    p->impatient = true;
    q->impatient++;
    return true;
}

void kw_queue_leave(struct kw_queue *q, const struct kw_queue_place *p, pthread_cond_t *changed)
{
    if (p->impatient && --q->impatient == 0) {
        (void)pthread_cond_broadcast(changed);
    }
}
