/*
 * find.h: C_FindObjectsInit, C_FindObjects, C_FindObjectsFinal. (PKCS#11 3.2 section 5.7.6.)
 *
 * The search is done by C_FindObjectsInit: it reads the token (so that the broker sees new versions of the CMK and other processes'
 * data keys), matches the template, and keeps the handles in the session. Before a login it finds nothing. No state of its own.
 */
#ifndef KW_FIND_H
#define KW_FIND_H

#include "error.h"

struct kw_session;

KW_MUST_USE struct kw_rv kw_find_init(struct kw_session *s, const CK_ATTRIBUTE *template, CK_ULONG count);
KW_MUST_USE struct kw_rv kw_find_next(struct kw_session *s, CK_OBJECT_HANDLE *list, CK_ULONG most, CK_ULONG *count);
KW_MUST_USE struct kw_rv kw_find_final(struct kw_session *s);

#endif
