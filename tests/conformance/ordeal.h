/*
 * ordeal.h: a chapter again and again, each time with another resource that Keyward does not get (tests/fault/shortage.h).
 *
 * With shortage.so preloaded and KW_TEST_ORDEAL in the environment chapter_run does not run its cases once but hands them over here. A first run
 * notes every place where Keyward asks for something, told by its callers, and the cases in which it asks. Then all cases are run, each time in a process
 * and with the world of the beginning, while one asking in three hundred fails, or in two thousand, by seeds. Then case after case, with the world
 * that those before have left: for each place its very first asking fails, and one in the midst of the last case that meets it. Each time in a process
 * of its own, which then runs the case once more, with the same world and without a failure. A case in which something failed may fail, if a call has
 * told; demanded are: no wrong key, no crash, no hang, no answer but shortage_may_answer's or what it was without the shortage, that every case in which
 * nothing fails passes, that the slots open at the end, and that Keyward has given back what it had.
 *
 *     KW_TEST_ORDEAL="EVERY[:FROM] SEEDS"     one in EVERY of the places; that many seeds of each kind. Places that chapters
 *                                             have in common are shared out among them by different FROM, 0 to EVERY - 1.
 */
#ifndef KW_TEST_ORDEAL_H
#define KW_TEST_ORDEAL_H

#include <CUnit/CUnit.h>
#include <stdbool.h>

#include "fixture.h"

/* Whether one is asked for. */
bool ordeal_wanted(void);

/* Runs it: run_cases runs some of the tests (which end with CU_TEST_INFO_NULL) and gives 0 when all passed. The status of the chapter. */
int ordeal_run(const char *title, struct fixture *f, CU_TestInfo *tests, int (*run_cases)(CU_TestInfo *tests));

/* After a case has loaded the module anew, or got another table: where it is now, and the table to be used, whose answers are seen here. */
CK_FUNCTION_LIST *ordeal_loaded(CK_FUNCTION_LIST *list);

/* Before and after each case, for CUnit; nothing where no ordeal is on. */
void ordeal_case_begins(void);
void ordeal_case_ends(void);

#endif
