/*
 * sigpipe.h: keeps a SIGPIPE of our own making from the application.
 *
 * Some vendors' modules write to a socket whose peer may be gone (p11-kit's client, caml-crush), and a log may go to a closed pipe. Between hold
 * and release SIGPIPE is blocked in the calling thread; one that came meanwhile is taken away, one that was pending before stays pending, and
 * so does the mask. The application's disposition is never touched. No locks; pairs nest. (HSM-FACTS rule 11.)
 */
#ifndef KW_SIGPIPE_H
#define KW_SIGPIPE_H

#include <signal.h>
#include <stdbool.h>

struct kw_sigpipe {
    sigset_t mask; /* of the thread, before */
    bool pending;  /* one was pending before, because the application has blocked it */
};

void kw_sigpipe_hold(struct kw_sigpipe *s);
/* In the thread that held it. */
void kw_sigpipe_release(const struct kw_sigpipe *s);

#endif
