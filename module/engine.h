/*
 * engine.h: the seam. Above it are PKCS#11 handles of the caller, below it those of the vendor; through it go plain bytes and names.
 *
 * Nothing here takes or returns a handle, a pointer into the other side or a CK_ATTRIBUTE, so that the engine can later run in another
 * process behind the same face. A slot is named by its index in the configuration. Thread-safe; no lock of the face is held
 * during a call. Secrets that come back are the caller's (kw_secret_free).
 */
#ifndef KW_ENGINE_H
#define KW_ENGINE_H

#include "config.h"
#include "key.h"

struct kw_engine;

/* What a slot's backing token says of itself (the first one that can be reached). */
struct kw_engine_token {
    CK_VERSION hardware;
    CK_VERSION firmware;
    CK_ULONG min_pin; /* bytes */
    CK_ULONG max_pin;
    bool pin_count_low;
    bool pin_final_try;
    bool pin_locked;
    bool write_protected;
};

/* What it wraps and unwraps by, as far as is known. */
struct kw_engine_offers {
    bool kw;   /* RFC 3394 */
    bool kwp;  /* RFC 5649 */
    bool oaep; /* RSA with OAEP */
};

/* An engine for the configuration (borrowed). Connects nothing. *out is the caller's; close it with every call returned. */
KW_MUST_USE struct kw_rv kw_engine_open(const struct kw_config *config, struct kw_engine **out);
void kw_engine_close(struct kw_engine *e);

/* Reaches the slot's token and asks what it says of itself, or what it offers now. CKR_TOKEN_NOT_PRESENT. */
KW_MUST_USE struct kw_rv kw_engine_reach(struct kw_engine *e, size_t slot, struct kw_engine_token *out);
KW_MUST_USE struct kw_rv kw_engine_offers(struct kw_engine *e, size_t slot, struct kw_engine_offers *out);

/* Whether every token of the slot has a PIN source of its own. */
bool kw_engine_has_pin_source(const struct kw_engine *e, size_t slot);

/* Logs the slot in; pin NULL: from the source. CKR_PIN_*, CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_ERROR. */
KW_MUST_USE struct kw_rv kw_engine_login(struct kw_engine *e, size_t slot, const struct kw_secret *pin);
void kw_engine_logout(struct kw_engine *e, size_t slot);

/* Calls `each` for every version of the slot's CMK, active ones first, then newest first. */
typedef void kw_engine_each_version(void *data, const struct kw_version *version);
KW_MUST_USE struct kw_rv kw_engine_versions(struct kw_engine *e, size_t slot, kw_engine_each_version *each, void *data);

/* Calls `each` for every persistent data key of the slot; borrowed for the call. */
typedef void kw_engine_each_dek(void *data, const struct kw_dek *dek);
KW_MUST_USE struct kw_rv kw_engine_deks(struct kw_engine *e, size_t slot, kw_engine_each_dek *each, void *data);

/* Makes a data key as dek->spec says (len > 0): random bytes of the token, or `value` when not NULL. Sets value or name, and local. */
KW_MUST_USE struct kw_rv kw_engine_make(struct kw_engine *e, size_t slot, const struct kw_secret *value, struct kw_dek *dek);

/* The bytes of a readable data key of the token home. */
KW_MUST_USE struct kw_rv kw_engine_value(struct kw_engine *e, size_t slot, const struct kw_dek *dek, struct kw_secret **out);

/* Destroys a data key of the token home. CKR_OBJECT_HANDLE_INVALID when it is gone. */
KW_MUST_USE struct kw_rv kw_engine_destroy(struct kw_engine *e, size_t slot, const struct kw_dek *dek);

/* Gives a data key of the token home the label and id of `to` (same name). */
KW_MUST_USE struct kw_rv kw_engine_rename(struct kw_engine *e, size_t slot, const struct kw_dek *from, const struct kw_dek *to);

/* blob has room for KW_BLOB_MAX bytes. Errors: wrapper.h. */
KW_MUST_USE struct kw_rv kw_engine_wrap(struct kw_engine *e, size_t slot, const struct kw_wrapping *w, uint8_t *blob,
                                        size_t *len);

/* dek->spec says what is wanted (len 0: as it comes). Errors: wrapper.h. */
KW_MUST_USE struct kw_rv kw_engine_unwrap(struct kw_engine *e, size_t slot, const struct kw_unwrapping *u,
                                          struct kw_dek *dek);

/* Random bytes of the token; needs no login. */
KW_MUST_USE struct kw_rv kw_engine_random(struct kw_engine *e, size_t slot, uint8_t *out, size_t len);

#endif
