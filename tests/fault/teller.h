/*
 * teller.h: a broker's day in the cases of the fault tests: one session, one master key, one wrapped data key that must open to one value.
 *
 * One for the program, like chapter.h, on which it stands. The master key is FIXTURE_CMK_KNOWN, so OpenSSL makes the wrapped key and the truth.
 */
#ifndef FAULT_TELLER_H
#define FAULT_TELLER_H

#include "chapter.h"
#include "scandal.h"

enum { TELLER_VALUE = 32, TELLER_BLOB = 40 };

extern struct faulty_control *teller_control;
extern uint8_t teller_value[TELLER_VALUE];
extern uint8_t teller_blob[TELLER_BLOB]; /* RFC 3394 of it */
extern CK_SESSION_HANDLE teller_session;
extern CK_OBJECT_HANDLE teller_cmk;

/* The values, and the path of faulty.so; NULL with a line on stderr. Before chapter_run. */
const char *teller_prepare(void);

/* C_Initialize, a logged-in session and the master key of the slot, with no rule armed; and C_Finalize. */
void teller_begin(const char *slot);
void teller_end(void);

/* Wraps teller_value, or unwraps teller_blob; the latter checks that CKR_OK comes with the right value. */
CK_RV teller_wrap(uint8_t out[TELLER_BLOB]);
CK_RV teller_unwrap(void);
/* The same without a check, for other threads: *same is true unless it is CKR_OK with another value. */
CK_RV teller_unwrap_quietly(bool *same);

/* Unwraps until it is CKR_OK: after how many milliseconds; -1 when not within `most_ms`. */
double teller_until_ok(double most_ms);

#endif
