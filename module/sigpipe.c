#include "sigpipe.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

/* The application has been seen to ignore SIGPIPE each time so far: one question of the system in place of the three below. */
static atomic_bool used_to_ignore = true;

static bool is_ignored(void)
{
    struct sigaction now;
    return sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
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
        s->held = !is_ignored();
        atomic_store_explicit(&used_to_ignore, !s->held, memory_order_relaxed);
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
