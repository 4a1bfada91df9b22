#include "crew.h"

#include <pthread.h>

CK_RV crew_note(struct crew_worker *w, CK_RV rv)
{
    struct crew_tally *t = &w->tally;
    t->calls++;
    for (size_t i = 0; i < CREW_CODES; i++) {
        if (t->codes[i].count == 0 || t->codes[i].rv == rv) {
            t->codes[i].rv = rv;
            t->codes[i].count++;
            break;
        }
    }
    return rv;
}

unsigned long crew_count(const struct crew_tally *t, CK_RV rv)
{
    for (size_t i = 0; i < CREW_CODES; i++) {
        if (t->codes[i].count > 0 && t->codes[i].rv == rv) {
            return t->codes[i].count;
        }
    }
    return 0;
}

static void add(struct crew_tally *sum, const struct crew_tally *t)
{
    sum->calls += t->calls;
    sum->wrong += t->wrong;
    for (size_t i = 0; i < CREW_CODES && t->codes[i].count > 0; i++) {
        for (size_t k = 0; k < CREW_CODES; k++) {
            if (sum->codes[k].count == 0 || sum->codes[k].rv == t->codes[i].rv) {
                sum->codes[k].rv = t->codes[i].rv;
                sum->codes[k].count += t->codes[i].count;
                break;
            }
        }
    }
}

/* Nobody begins before everybody is there. */
static pthread_barrier_t gate;

static void *work(void *arg)
{
    struct crew_worker *w = arg;
    (void)pthread_barrier_wait(&gate);
    w->job(w);
    return NULL;
}

struct crew_tally crew_run(unsigned count, crew_job *const *jobs, size_t job_count,
                           const struct crew_worker *model)
{
    static struct crew_worker workers[CREW_MAX];
    pthread_t threads[CREW_MAX];
    struct crew_tally sum = {0};
    (void)pthread_barrier_init(&gate, NULL, count);
    for (unsigned i = 0; i < count; i++) {
        workers[i] = *model;
        workers[i].number = i;
        workers[i].job = jobs[i % job_count];
        if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0) {
            (void)fprintf(stderr, "crew: no thread\n");
            abort();
        }
    }
    for (unsigned i = 0; i < count; i++) {
        (void)pthread_join(threads[i], NULL);
        add(&sum, &workers[i].tally);
    }
    (void)pthread_barrier_destroy(&gate);
    return sum;
}

const char *crew_surprises(const struct crew_tally *t, const CK_RV *allowed, size_t n)
{
    static char text[512];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < CREW_CODES && t->codes[i].count > 0; i++) {
        bool fine = t->codes[i].rv == CKR_OK;
        for (size_t k = 0; k < n; k++) {
            fine = fine || t->codes[i].rv == allowed[k];
        }
        if (!fine && used < sizeof text - 64) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s x %lu ",
                                     chapter_rv_name(t->codes[i].rv), t->codes[i].count);
        }
    }
    return text;
}
