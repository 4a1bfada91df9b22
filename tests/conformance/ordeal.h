/*
 * ordeal.h: a chapter again and again, each time with another resource that Keyward does not get (tests/fault/shortage.h).
 *
 * With shortage.so preloaded and KW_TEST_ORDEAL in the environment chapter_run does not run its cases once but hands them over here. A first run
 * notes every place where Keyward asks for something, told by its callers. Then, in a process and with the world of the beginning each time: for each
 * place its first and its last asking fail; and for each seed one asking in a hundred, or in ten. A case in which something failed may fail, if a call
 * has told; demanded are: no crash, no hang, no answer but shortage_may_answer's or what it was without the shortage, that every case in which
 * nothing fails passes, that the slots open at the end, and that Keyward has given back what it had.
 *
 *     KW_TEST_ORDEAL="EVERY SEEDS"     each EVERYth of the places; that many seeds of each kind
 */
#ifndef KW_TEST_ORDEAL_H
#define KW_TEST_ORDEAL_H

#include <CUnit/CUnit.h>
#include <stdbool.h>

#include "fixture.h"

/* Whether one is asked for. */
bool ordeal_wanted(void);

/* Runs it: run_cases() runs all cases and gives a status, `names` of which are not looked at. The status of the chapter. */
int ordeal_run(const char *title, struct fixture *f, int (*run_cases)(void));

/* Before and after each case, for CUnit; nothing where no ordeal is on. */
void ordeal_case_begins(void);
void ordeal_case_ends(void);

#endif
