/*
 * entry.h: the function tables and the interfaces that entry.c makes from functions.def. (PKCS#11 3.2 sections 3.6, 5.4.)
 *
 * The tables are constant and live as long as the module. No locks.
 */
#ifndef KW_ENTRY_H
#define KW_ENTRY_H

#include "error.h"

/* Members in the order of the standard, after the version: 68 of 2.40, 24 more of 3.0, 12 more of 3.2. */
#define KW_MEMBER_2_40(name, parameters) CK_RV(*name) parameters;
#define KW_MEMBER_3_0(name, parameters) CK_RV(*name) parameters;
#define KW_MEMBER_3_2(name, parameters) CK_RV(*name) parameters;
#define KW_FUNCTION(table, name, gate, call, parameters) KW_MEMBER_##table(name, parameters)
struct kw_functions_3_2 {
    CK_VERSION version;
#include "functions.def"
};
#undef KW_MEMBER_3_2
#define KW_MEMBER_3_2(name, parameters)
struct kw_functions_3_0 {
    CK_VERSION version;
#include "functions.def"
};
#undef KW_FUNCTION
#undef KW_MEMBER_2_40
#undef KW_MEMBER_3_0
#undef KW_MEMBER_3_2

#endif
