/*
 * pin.h: the PIN of a backing token from its configured source (DESIGN section 3, RFC 7512 section 2.4).
 *
 * Sources, in the URI's pin-source: `file:/PATH` or `/PATH`; `credential:NAME` (systemd: $CREDENTIALS_DIRECTORY/NAME); anything
 * else is asked of the PIN callbacks that the application registered with p11-kit under that name. Or pin-value (tests).
 * A file is opened once and checked on the open descriptor: regular, owned by root or the effective user, no permission for
 * others and not writable by group. One trailing newline (LF or CRLF) is dropped. An empty PIN is refused.
 * The PIN goes from read(2) straight into a kw_secret; no other copy is made. No locks.
 */
#ifndef KW_PIN_H
#define KW_PIN_H

#include "config.h"
#include "secret.h"

/* Whether this token has a PIN source at all. */
bool kw_pin_has_source(const struct kw_config_token *token);

/* What is wrong with the PIN file that the token names, without reading it, as the end of a sentence about it (static);
 * NULL when nothing is, or when its source is no file. */
const char *kw_pin_file_problem(const struct kw_config_token *token);

/* Reads the PIN. *out is the caller's (free). CKR_PIN_INVALID with the reason logged (file, what to do) when the source gives none;
 * CKR_HOST_MEMORY. */
KW_MUST_USE struct kw_rv kw_pin_read(const struct kw_config_token *token, struct kw_secret **out);

#endif
