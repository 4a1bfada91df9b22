/*
 * chapter.h: a chapter of the conformance suite is a program: a world (fixture.h), and cases that ask Keyward as any caller would.
 *
 * `world` is the chapter's fixture and `p11` its 3.2 table, both valid while cases run. Each case leaves the library finalized;
 * enter and leave do the usual beginning and end. Checks count and print; they may be used by the main thread of the test only.
 * "what" of a check begins with the section of PKCS#11 3.1 that it comes from, or names the page of ../shared that asks for it.
 */
#ifndef KW_TEST_CHAPTER_H
#define KW_TEST_CHAPTER_H

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "caller.h"

/* A sanitizer keeps what is freed, makes mlock(2) nothing, and makes a fork slow. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define COUNT_OF(rows) (sizeof(rows) / sizeof(rows)[0])

extern struct fixture *world;
extern const struct calls *p11;

/* Starts the world, runs the cases, ends the world; the exit status of the chapter. `tests` ends with CU_TEST_INFO_NULL. */
int chapter_run(const char *title, const struct fixture_settings *settings, CU_TestInfo *tests);

void chapter_check(bool good, const char *file, unsigned line, const char *what);
void chapter_check_rv(CK_RV got, CK_RV want, const char *file, unsigned line, const char *what);
/* One of two answers, where the standard leaves the choice. */
void chapter_check_either(CK_RV got, const CK_RV want[2], const char *file, unsigned line, const char *what);

#define CHECK(condition, what) chapter_check((condition), __FILE__, __LINE__, (what))
#define CHECK_RV(call, want, what) chapter_check_rv((call), (want), __FILE__, __LINE__, (what))
#define CHECK_EITHER(call, one, other, what)                                                                 \
    chapter_check_either((call), (const CK_RV[]){(one), (other)}, __FILE__, __LINE__, (what))

/* The name of a code; "0x…" in static storage when it has none. */
const char *chapter_rv_name(CK_RV rv);

/* "before: after" in one of a few static places, for cases of a table that share a check. */
const char *chapter_join(const char *before, const char *after);

/* Whether this process runs in valgrind, which keeps what is freed and runs one thread at a time. */
bool chapter_in_valgrind(void);

/* C_Initialize, and a logged-in read/write session on the slot; the case has failed when it is 0. leave is C_Finalize. */
CK_SESSION_HANDLE enter(const char *slot);
void leave(void);

#endif
