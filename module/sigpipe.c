#include "sigpipe.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

/* The application has been seen to ignore SIGPIPE each time so far: two questions of the system in place of what is done below. */
static atomic_bool used_to_ignore = true;

static bool is_ignored(void)
{
    struct sigaction now;
    return sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

static bool is_blocked(void)
{
    sigset_t mask;
    return pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGPIPE) == 1;
}

static sigset_t only_pipe(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    return set;
}

static bool is_pending(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

void kw_sigpipe_hold(struct kw_sigpipe *s)
{
    s->held = true;
    if (atomic_load_explicit(&used_to_ignore, memory_order_relaxed)) {
        if (is_ignored()) {
            s->held = is_blocked(); /* Linux keeps a signal that is blocked, also while it is ignored */
        } else {
            atomic_store_explicit(&used_to_ignore, false, memory_order_relaxed);
        }
    }
    if (s->held) {
        const sigset_t pipe = only_pipe();
        (void)pthread_sigmask(SIG_BLOCK, &pipe, &s->mask);
        s->pending = sigismember(&s->mask, SIGPIPE) == 1 && is_pending(); /* none can be where it is not blocked */
    }
}

void kw_sigpipe_release(const struct kw_sigpipe *s)
{
    static const struct timespec at_once = {0, 0};
    if (!s->held) {
        return;
    }
    if (!s->pending && is_pending()) { /* asking is cheaper than waiting for nothing */
        const sigset_t pipe = only_pipe();
        while (sigtimedwait(&pipe, NULL, &at_once) == SIGPIPE || errno == EINTR) {
        }
    }
    (void)pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
}
