/*
 * sigpipe.h: keeps a SIGPIPE of our own making from the application.
 *
 * Some vendors' modules write to a socket whose peer may be gone (p11-kit's client, caml-crush), and a log may go to a closed pipe. Between hold
 * and release SIGPIPE is blocked in the calling thread; one that came meanwhile is taken away, one that was pending before stays pending, and
 * so does the mask. The application's disposition is never touched. No locks; pairs nest. (HSM-FACTS rule 11.)
 *
 * Where the application ignores SIGPIPE and the thread does not block it, as in most servers, nothing is held: two system calls that only ask, in
 * place of three or more. It is asked each time, so the application may change its mind between calls; once it did not ignore it, it is not asked
 * again. One that ceases to ignore it while a call is inside gets what this call raises from then on.
 */
#ifndef KW_SIGPIPE_H
#define KW_SIGPIPE_H

#include <signal.h>
#include <stdbool.h>

struct kw_sigpipe {
    bool held;     /* else the application ignores it and the thread does not block it, and the rest means nothing */
    sigset_t mask; /* of the thread, before */
    bool pending;  /* one was pending before, because the application has blocked it */
};

void kw_sigpipe_hold(struct kw_sigpipe *s);
/* In the thread that held it. */
void kw_sigpipe_release(const struct kw_sigpipe *s);

#endif
