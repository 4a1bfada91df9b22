/*
 * error.h: the answer of every internal function, and the classes of PKCS#11 return codes.
 *
 * A kw_rv cannot be mixed up with a CK_RV, an int or a bool, and must be looked at. It carries the code that the caller
 * gets and a sentence (a string literal with file and line) for the log. entry.c alone turns it into a CK_RV.
 * No ownership, no locks. Codes: PKCS#11 3.2 section 5.1 "Function return values".
 */
#ifndef KW_ERROR_H
#define KW_ERROR_H

#include <stdbool.h>

#include "cryptoki.h"

#define KW_MUST_USE __attribute__((warn_unused_result))

struct kw_rv {
    CK_RV code;      /* CKR_* */
    const char *why; /* "file:line: sentence", static; NULL when code is CKR_OK */
};

#define KW_ERROR_STR_(x) #x
#define KW_ERROR_STR(x) KW_ERROR_STR_(x)

/* An error made here. `sentence` is a string literal: what is wrong, in words. */
#define KW_FAIL(ckr, sentence) ((struct kw_rv){(ckr), __FILE__ ":" KW_ERROR_STR(__LINE__) ": " sentence})
#define KW_OK ((struct kw_rv){CKR_OK, NULL})

static inline bool kw_ok(struct kw_rv r)
{
    return __builtin_expect(r.code == CKR_OK, 1); /* what goes well is what has to be fast */
}

/* What a return code of the vendor's module means for us (DESIGN section 7). */
enum kw_class {
    KW_CLASS_OK,
    KW_CLASS_CALLER,     /* return it; never counts against the HSM */
    KW_CLASS_HANDLE,     /* an object handle is stale: look up again, retry once */
    KW_CLASS_SESSION,    /* the session is gone: new session, look up again, retry once */
    KW_CLASS_LOGIN,      /* the login is gone: log in again, retry once */
    KW_CLASS_DEVICE,     /* the token is gone or ill: reconnect, else next member */
    KW_CLASS_CAPACITY,   /* the token has no room: CKR_DEVICE_MEMORY */
    KW_CLASS_CREDENTIAL, /* stop: never retried */
    KW_CLASS_REFUSED,    /* the key may not do this: an answer, never retried elsewhere */
    KW_CLASS_AMBIGUOUS   /* a bad blob or an ill HSM: the canary decides */
};

/* The class of a code answered by a vendor module. Unknown codes are KW_CLASS_DEVICE. */
enum kw_class kw_error_class(CK_RV code);

/* Whether the answer tells of the token or the connection and nothing of what was asked: a lost session, login or handle, no room, an outage. An
 * ambiguous one may be either. */
bool kw_error_is_trouble(CK_RV rv);

/* What a vendor's answer becomes for our caller, once nothing more can be done about it. */
CK_RV kw_error_translate(CK_RV rv);

/* The name of a code, "CKR_…"; "CKR_unknown" when it has none. Static storage. */
const char *kw_error_name(CK_RV code);

#endif
