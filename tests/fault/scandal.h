/*
 * scandal.h: the test's side of faulty.so: a world whose tokens stand behind it, and the rules.
 *
 * scandal_prepare before anything is loaded: it makes the control memory and puts its path into the environment. The memory is shared with processes that are forked or started later, the command too. Rules may be armed and cleared from any process and thread.
 */
#ifndef FAULT_SCANDAL_H
#define FAULT_SCANDAL_H

#include "caller.h"
#include "faulty.h"

/* The path of faulty.so, for fixture_settings.vendor; NULL with a line on stderr. *control lives as long as the process. */
const char *scandal_prepare(struct faulty_control **control);

/* What to do wrong; all zero but function and act: at once, for ever, on any token. */
struct scandal {
    enum faulty_function function;
    enum faulty_act act;
    CK_ULONG value;
    unsigned long skip;
    unsigned long times;
    const char *token;
};

/* Arms a free rule and gives it. */
struct faulty_rule *scandal_arm(struct faulty_control *control, const struct scandal *s);

/* Clears all. */
void scandal_clear(struct faulty_control *control);

/* The name of a function of counting.def. */
const char *scandal_name(enum faulty_function function);

/* Every return code of module/errors.def but CKR_OK, and some that nobody knows. */
extern const CK_RV scandal_codes[];
extern const size_t scandal_code_count;

/* Milliseconds on the monotonic clock. */
double scandal_ms(void);

#endif
