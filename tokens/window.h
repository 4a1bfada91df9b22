/*
 * window.h: batches in order through several threads, a bounded number of them at a time.
 *
 * The caller of window_run fills batches; `jobs` threads work on them at the same time; one more thread gives them on in the order in which they were
 * filled. So memory does not grow with the input, and the first result does not wait for the last line. One mutex; no function of the caller
 * is called under it.
 */
#ifndef KW_WINDOW_H
#define KW_WINDOW_H

#include "batch.h"

struct window;

struct window_roles {
    bool (*fill)(void *arg, struct batch *b); /* false: that was all */
    void (*work)(void *arg, struct batch *b); /* in several threads */
    bool (*give)(void *arg, struct batch *b); /* false: stop, nothing more is wanted */
    bool (*pause)(void *arg);                 /* before a batch is filled: whether `alone` is to be called */
    bool (*alone)(void *arg);                 /* while no batch is on its way; false: stop */
    void *arg;
};

/* Until everything was given on, or somebody said stop; every thread has ended then. False: memory or threads are short, nothing was done. */
bool window_run(const struct window_roles *roles, unsigned jobs);

#endif
