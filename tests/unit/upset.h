/*
 * upset.h: what upsets the face from below: an allocation that fails, a call that comes in the middle of an engine call, a digest that
 * fails or collides.
 *
 * The program is linked with --wrap for the allocating functions, for kw_digest_sha256 and for some of the engine's. The variables are
 * the test's to set; one thread. Where something happens in the middle of an engine call, the face holds no lock.
 */
#ifndef KW_TEST_UPSET_H
#define KW_TEST_UPSET_H

#include <stdbool.h>

extern long upset_shortage; /* the allocation that fails, counted down; negative: none */
extern bool upset_starved;  /* one has failed; the test sets it back */

extern void (*upset_meanwhile)(void); /* called once, in the middle of the next engine call that is wrapped */

/* The digest that slots are named by. */
extern enum upset_digest {
    UPSET_DIGEST_TRUE,
    UPSET_DIGEST_FAILS,
    UPSET_DIGEST_COLLIDES /* all names have the same id at the first try */
} upset_digest;

#endif
