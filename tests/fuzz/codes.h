/*
 * codes.h: which codes a C_* function may answer.
 *
 * The codes are those that PKCS#11 3.2 section 5 lists with each function, those of sections 5.1.1 to 5.1.3 that any function, any function
 * with a session and any function that uses a token may answer, and a few that Keyward's design adds; codes.c names them apart.
 */
#ifndef KW_FUZZ_CODES_H
#define KW_FUZZ_CODES_H

#include "cryptoki.h"

#include <stdbool.h>

bool codes_allow(const char *function, CK_RV rv);

#endif
