#include "sigpipe.h"

#include <errno.h>
#include <time.h>

static bool is_pending(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

void kw_sigpipe_hold(struct kw_sigpipe *s)
{
    sigset_t pipe;
    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    (void)sigemptyset(&s->mask);
    (void)pthread_sigmask(SIG_BLOCK, &pipe, &s->mask);
    s->pending = sigismember(&s->mask, SIGPIPE) == 1 && is_pending(); /* none can be where it is not blocked */
}

void kw_sigpipe_release(const struct kw_sigpipe *s)
{
    static const struct timespec at_once = {0, 0};
    if (!s->pending && is_pending()) { /* asking is cheaper than waiting for nothing */
        sigset_t pipe;
        (void)sigemptyset(&pipe);
        (void)sigaddset(&pipe, SIGPIPE);
        while (sigtimedwait(&pipe, NULL, &at_once) == SIGPIPE || errno == EINTR) {
        }
    }
    (void)pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
}
