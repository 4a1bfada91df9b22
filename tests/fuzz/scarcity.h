/*
 * scarcity.h: memory that runs out at a chosen allocation of the code under test.
 *
 * The targets are linked with --wrap for malloc, calloc, reallocarray and strdup. While armed, the allocation number `nth` (from 0) fails,
 * once; the others are served. The target arms it just before a call and disarms it just after, so that only the module is short.
 */
#ifndef KW_FUZZ_SCARCITY_H
#define KW_FUZZ_SCARCITY_H

#include <stdbool.h>

void scarcity_arm(unsigned nth);
/* Whether an allocation was failed since scarcity_arm. */
bool scarcity_disarm(void);

#endif
