/*
 * recording_engine.h: module/engine.h over a model in memory, and what a fuzz target may ask of the model or do to it.
 *
 * It is linked instead of engine.c and everything below. The model knows the versions of each slot's CMK, the data keys of the token home
 * and every value that was made, and "wraps" with a keystream and a checksum of its own. The next calls can be told to fail with any code. It
 * finds fault (input_finding) with a face that lets through what the policy forbids. State is static; one thread.
 */
#ifndef KW_FUZZ_RECORDING_ENGINE_H
#define KW_FUZZ_RECORDING_ENGINE_H

#include "engine.h"
#include "input.h"

enum { RECORDING_SLOTS = 4, RECORDING_VERSIONS = 6, RECORDING_KEYS = 24 };

/* The PIN of every token of the model. */
#define RECORDING_PIN "1234"

/* A data key as it really is. */
struct recording_key {
    bool used;
    size_t slot;
    struct kw_dek_spec spec;
    bool local;
    uint8_t name[KW_DEK_NAME_SIZE]; /* of the token home */
    uint8_t value[KW_DEK_LENGTH_MAX];
};

/* Everything as at the beginning of an execution: one active version in each slot, tokens present, nobody logged in. */
void recording_reset(void);

/* Call number `after` from now (0: the next one) fails with `code`, after doing a part of its work when `partly`. */
void recording_fault(unsigned after, CK_RV code, bool partly);
/* Whether a call has failed so since recording_forgive, and with what code. */
bool recording_failed(CK_RV *code);
/* Takes back what recording_fault has announced and forgets what it did. */
void recording_forgive(void);

/* While quiet, calls are served that would fail: the target looks for itself. */
void recording_quiet(bool quiet);

/* Calls of the engine so far that reach a token. */
unsigned long recording_calls(void);

/* What other processes and operators do to the tokens: a choice of the input. */
void recording_world(struct input *in);

/* The data key that the last successful kw_engine_make or kw_engine_unwrap gave, and how many there were. */
const struct recording_key *recording_last(void);
unsigned long recording_made(void);

/* The data key of the token home with this name, or NULL. */
const struct recording_key *recording_named(size_t slot, const uint8_t name[KW_DEK_NAME_SIZE]);

/* Opens a blob as the model does, whatever the state of the version; version 0: any. False when it is none. */
struct recording_blob {
    size_t slot;
    uint32_t version;
    enum kw_format format;
    const uint8_t *bytes;
    size_t len;
};
bool recording_open(const struct recording_blob *blob, uint8_t value[KW_DEK_LENGTH_MAX], size_t *len);

bool recording_logged_in(size_t slot);

/* Data keys of the token home that are session objects; and whether a call has failed since recording_reset, so that some may be left. */
size_t recording_session_keys(void);
bool recording_trouble(void);

#endif
