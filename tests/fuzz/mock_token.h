/*
 * mock_token.h: a vendor's PKCS#11 module in this process, with two tokens, that serves, fails and lies as it is told.
 *
 * Token 0 has the labels "one" and "two", token 1 "two" (the same master key) and "three". It does AES key wrap with OpenSSL and keeps its
 * objects in static memory. Lies are announced ahead: "after n calls, this". What a key really is the target learns from mock_genuine.
 * Only the functions that Keyward calls are there; a call of another one is a crash, and so a finding. One thread.
 */
#ifndef KW_FUZZ_MOCK_TOKEN_H
#define KW_FUZZ_MOCK_TOKEN_H

#include "input.h"
#include "key.h"

enum { MOCK_TOKENS = 2, MOCK_LABELS = 3, MOCK_VERSIONS = 5, MOCK_OBJECTS = 48 };

#define MOCK_PIN "1234"

enum mock_kind {
    MOCK_ERROR,      /* the code, and nothing done */
    MOCK_ERROR_LATE, /* done, and the code all the same */
    MOCK_NUMBER,     /* a length, count or handle of the answer is `number` */
    MOCK_GARBAGE,    /* CKR_OK with other bytes */
    MOCK_WORLD,      /* before the call, somebody else changes the token */
    MOCK_KINDS
};

struct mock_lie {
    unsigned after; /* calls */
    enum mock_kind kind;
    CK_RV code;
    CK_ULONG number;
};

extern CK_FUNCTION_LIST mock_functions;

/* Everything as at the beginning; the module is not initialized. */
void mock_reset(void);

/* At most eight at a time; more are dropped. */
void mock_announce(const struct mock_lie *lie);

/* What somebody else does to a token; `choice` says what. */
void mock_world(unsigned choice);

/* Whether the mock has failed or lied since mock_reset, and whether it has given another key, value or attribute than the real one: then
 * nobody can tell a wrong key. */
bool mock_lied(void);
bool mock_forged(void);

/* The value of a version of the master key `label` (0 to MOCK_LABELS - 1): 32 bytes. */
void mock_genuine(size_t label, uint32_t version, uint8_t key[32]);

/* RFC 3394 and RFC 5649; 0: it does not open. out has room for KW_BLOB_MAX bytes. */
size_t mock_wrap(const uint8_t key[32], enum kw_format format, const uint8_t *in, size_t len, uint8_t *out);
size_t mock_unwrap(const uint8_t key[32], enum kw_format format, const uint8_t *in, size_t len, uint8_t *out);

/* The value of the data key with this name in any token; 0 when there is none. */
size_t mock_named(const uint8_t name[KW_DEK_NAME_SIZE], uint8_t value[KW_DEK_LENGTH_MAX]);

/* Session objects that are left. */
size_t mock_session_objects(void);

#endif
