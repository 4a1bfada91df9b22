/*
 * child.h: a case in a forked child. Checks do not work there, so the child says with its exit status where it failed:
 * STEP(condition) ends the child's function with the line of the first condition that does not hold.
 */
#ifndef KW_TEST_CHILD_H
#define KW_TEST_CHILD_H

#include <stdbool.h>

/* 0: all is well; else the line of the STEP that failed. */
typedef int child_job(void *arg);

#define STEP(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            return __LINE__;                                                                                 \
        }                                                                                                    \
    } while (0)

/* Runs the job in a child, which then leaves by _exit. True when it returned 0 within `seconds`; else a line on stdout says why. */
bool child_run(child_job *job, void *arg, unsigned seconds);

/* The same, but the child leaves by exit(3): destructors and atexit handlers run. */
bool child_run_to_exit(child_job *job, void *arg, unsigned seconds);

/* LeakSanitizer is to say nothing when this process exits; so it is in every child. */
void child_leaves_leaks(void);

#endif
