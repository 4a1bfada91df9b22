/* sigpipe_test.c: a SIGPIPE of our own making stays with us, one of the application's stays with it. */
#include "sigpipe.h"

#include <unistd.h>

#include "scratch.h"

static volatile sig_atomic_t called;

static void count(int number)
{
    (void)number;
    called++;
}

/* Writes to a pipe that nobody reads: the kernel raises SIGPIPE in this thread. */
static void break_pipe(void)
{
    int ends[2];
    CU_ASSERT_FATAL(pipe(ends) == 0);
    (void)close(ends[0]);
    CU_ASSERT(write(ends[1], "x", 1) == -1);
    (void)close(ends[1]);
}

static bool is_pending(void)
{
    sigset_t pending;
    (void)sigemptyset(&pending);
    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

static bool is_blocked(void)
{
    sigset_t mask;
    (void)sigemptyset(&mask);
    return pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGPIPE) == 1;
}

static void block(int how)
{
    sigset_t pipe_only;
    (void)sigemptyset(&pipe_only);
    (void)sigaddset(&pipe_only, SIGPIPE);
    (void)pthread_sigmask(how, &pipe_only, NULL);
}

static void the_handler_is_not_called(void)
{
    struct kw_sigpipe s;
    called = 0;
    kw_sigpipe_hold(&s);
    break_pipe();
    CU_ASSERT(is_pending());
    kw_sigpipe_release(&s);
    CU_ASSERT_EQUAL(called, 0);
    CU_ASSERT_FALSE(is_pending());
    CU_ASSERT_FALSE(is_blocked());
    break_pipe();
    CU_ASSERT_EQUAL(called, 1); /* outside of hold and release it is the application's */
}

static void none_is_left_to_who_has_blocked_it(void)
{
    struct kw_sigpipe s;
    block(SIG_BLOCK);
    kw_sigpipe_hold(&s);
    break_pipe();
    kw_sigpipe_release(&s);
    CU_ASSERT_FALSE(is_pending());
    CU_ASSERT(is_blocked());
    block(SIG_UNBLOCK);
}

static void a_pending_one_stays(void)
{
    struct kw_sigpipe s;
    called = 0;
    block(SIG_BLOCK);
    CU_ASSERT(raise(SIGPIPE) == 0);
    kw_sigpipe_hold(&s);
    break_pipe();
    kw_sigpipe_release(&s);
    CU_ASSERT(is_pending());
    CU_ASSERT(is_blocked());
    CU_ASSERT_EQUAL(called, 0);
    block(SIG_UNBLOCK);
    CU_ASSERT_EQUAL(called, 1);
}

static void pairs_nest(void)
{
    struct kw_sigpipe outer;
    struct kw_sigpipe inner;
    called = 0;
    kw_sigpipe_hold(&outer);
    break_pipe();
    kw_sigpipe_hold(&inner);
    break_pipe();
    kw_sigpipe_release(&inner);
    CU_ASSERT(is_blocked());
    kw_sigpipe_release(&outer);
    CU_ASSERT_FALSE(is_blocked());
    CU_ASSERT_EQUAL(called, 0);
}

int main(void)
{
    static CU_TestInfo tests[] = {
        {"the application's handler is not called", the_handler_is_not_called},
        {"none is left to who has blocked it", none_is_left_to_who_has_blocked_it},
        {"one that was pending before stays", a_pending_one_stays},
        {"pairs nest", pairs_nest},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {
        {"sigpipe", NULL, NULL, NULL, NULL, tests},
        CU_SUITE_INFO_NULL,
    };
    (void)signal(SIGPIPE, count);
    return scratch_run(suites);
}
