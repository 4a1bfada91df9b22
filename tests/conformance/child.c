#include "child.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct word {
    int line; /* -1: the job has not returned */
};

/* LeakSanitizer asks this at exit. What a child has from its parent it cannot free, so nothing is said of leaks there. */
static bool leaves_leaks;
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return leaves_leaks;
}

void child_leaves_leaks(void)
{
    leaves_leaks = true;
}

static bool explain(int status, const struct word *word)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && word->line == 0) {
        return true;
    }
    if (WIFSIGNALED(status)) {
        (void)printf("\n    a child was killed by signal %d%s", WTERMSIG(status),
                     WTERMSIG(status) == SIGALRM ? ": it hung" : "");
    } else if (word->line > 0) {
        (void)printf("\n    a child failed at line %d", word->line);
    } else {
        (void)printf("\n    a child ended with status %d", WEXITSTATUS(status));
    }
    (void)fflush(stdout);
    return false;
}

static bool run(child_job *job, void *arg, unsigned seconds, bool to_exit)
{
    int status = 0;
    struct word *word = mmap(NULL, sizeof *word, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (word == MAP_FAILED) {
        return false;
    }
    word->line = -1;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        leaves_leaks = true;
        (void)alarm(seconds);
        word->line = job(arg);
        if (to_exit) {
            exit(word->line == 0 ? 0 : 1);
        }
        _exit(word->line == 0 ? 0 : 1);
    }
    bool good = child > 0 && waitpid(child, &status, 0) == child && explain(status, word);
    (void)munmap(word, sizeof *word);
    return good;
}

bool child_run(child_job *job, void *arg, unsigned seconds)
{
    return run(job, arg, seconds, false);
}

bool child_run_to_exit(child_job *job, void *arg, unsigned seconds)
{
    return run(job, arg, seconds, true);
}
