#include "window.h"

#include <pthread.h>
#include <stdlib.h>

enum { PER_JOB = 4, LEAST = 8 };

enum state { FREE, FILLED, WORKED };

struct place {
    enum state state;
    struct batch batch;
};

/* Places are filled, taken by a worker and given on in turns, each with a counter of its own. */
struct window {
    const struct window_roles *roles;
    pthread_mutex_t lock;
    pthread_cond_t filled; /* there is work, or nothing more comes */
    pthread_cond_t worked; /* the oldest may be done, or nothing more comes */
    pthread_cond_t given;  /* a place is free */
    unsigned long long fill;
    unsigned long long take;
    unsigned long long give;
    bool over; /* nothing is filled any more */
    bool stop; /* nothing is worked on or given on any more */
    size_t size;
    struct place places[];
};

static struct window *make(const struct window_roles *roles, unsigned jobs)
{
    size_t size = (size_t)jobs * PER_JOB < LEAST ? LEAST : (size_t)jobs * PER_JOB;
    struct window *w = calloc(1, sizeof *w + size * sizeof w->places[0]);
    if (w != NULL) {
        w->roles = roles;
        w->size = size;
        (void)pthread_mutex_init(&w->lock, NULL);
        (void)pthread_cond_init(&w->filled, NULL);
        (void)pthread_cond_init(&w->worked, NULL);
        (void)pthread_cond_init(&w->given, NULL);
    }
    return w;
}

static void end(struct window *w)
{
    for (size_t i = 0; i < w->size; i++) {
        batch_clear(&w->places[i].batch);
    }
    (void)pthread_cond_destroy(&w->filled);
    (void)pthread_cond_destroy(&w->worked);
    (void)pthread_cond_destroy(&w->given);
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
}

static struct place *place_of(struct window *w, unsigned long long turn)
{
    return &w->places[turn % w->size];
}

static void *work(void *arg)
{
    struct window *w = arg;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->stop && !w->over && w->take == w->fill) {
            (void)pthread_cond_wait(&w->filled, &w->lock);
        }
        if (w->stop || w->take == w->fill) {
            break;
        }
        struct place *p = place_of(w, w->take++);
        pthread_mutex_unlock(&w->lock);
        w->roles->work(w->roles->arg, &p->batch);
        pthread_mutex_lock(&w->lock);
        p->state = WORKED;
        (void)pthread_cond_signal(&w->worked);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void *give(void *arg)
{
    struct window *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        struct place *p = place_of(w, w->give);
        if (p->state == WORKED) {
            pthread_mutex_unlock(&w->lock);
            bool more = w->roles->give(w->roles->arg, &p->batch);
            pthread_mutex_lock(&w->lock);
            p->state = FREE;
            w->give++;
            w->stop = w->stop || !more;
            (void)pthread_cond_signal(&w->given);
        } else if (w->over && w->give == w->fill) {
            break;
        } else {
            (void)pthread_cond_wait(&w->worked, &w->lock);
        }
    }
    (void)pthread_cond_broadcast(&w->filled);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* Waits until a place is free, or every place when `all`. False: stopped. */
static bool wait_free_locked(struct window *w, bool all)
{
    while (!w->stop && (all ? w->give != w->fill : w->fill - w->give == w->size)) {
        (void)pthread_cond_wait(&w->given, &w->lock);
    }
    return !w->stop;
}

static void fill(struct window *w)
{
    const struct window_roles *r = w->roles;
    bool more = true;
    pthread_mutex_lock(&w->lock);
    while (more) {
        pthread_mutex_unlock(&w->lock);
        bool pause = r->pause(r->arg);
        pthread_mutex_lock(&w->lock);
        more = wait_free_locked(w, pause);
        struct place *p = place_of(w, w->fill);
        pthread_mutex_unlock(&w->lock);
        more = more && (!pause || r->alone(r->arg)) && r->fill(r->arg, &p->batch);
        pthread_mutex_lock(&w->lock);
        if (more) {
            p->state = FILLED;
            w->fill++;
            (void)pthread_cond_signal(&w->filled);
        }
    }
    w->over = true;
    (void)pthread_cond_broadcast(&w->filled);
    (void)pthread_cond_broadcast(&w->worked);
    pthread_mutex_unlock(&w->lock);
}

/* Starts the thread that gives on and the workers; how many there are in all. */
static unsigned start(struct window *w, pthread_t *threads, unsigned count)
{
    unsigned started = 0;
    while (started < count && pthread_create(&threads[started], NULL, started == 0 ? give : work, w) == 0) {
        started++;
    }
    return started;
}

/* Nothing was filled: ends the threads that there are. */
static void give_up(struct window *w)
{
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    (void)pthread_cond_broadcast(&w->filled);
    (void)pthread_cond_broadcast(&w->worked);
    pthread_mutex_unlock(&w->lock);
}

bool window_run(const struct window_roles *roles, unsigned jobs)
{
    struct window *w = make(roles, jobs);
    if (w == NULL) {
        return false;
    }
    pthread_t *threads = calloc((size_t)jobs + 1, sizeof *threads);
    unsigned started = threads == NULL ? 0 : start(w, threads, jobs + 1);
    bool done = started == jobs + 1;
    if (done) {
        fill(w);
    } else {
        give_up(w);
    }
    for (unsigned i = 0; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    end(w);
    free(threads);
    return done;
}
