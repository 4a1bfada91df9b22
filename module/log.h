/*
 * log.h: sentences for the operator. What is wrong, where, and what to do.
 *
 * Sinks: "syslog" (default), "stderr", "file:PATH", "none"; the environment variable KEYWARD_LOG overrides the
 * configuration's `log =`. Environment variables are ignored in set-user-id programs (secure_getenv).
 * Never holds key bytes, PINs or plaintext: no function here takes a kw_secret.
 * Thread-safe (one leaf mutex, never held while anything else is called); safe in a forked child after kw_log_forked.
 */
#ifndef KW_LOG_H
#define KW_LOG_H

#include "error.h"

enum kw_level { KW_LOG_ERROR, KW_LOG_WARNING, KW_LOG_INFO, KW_LOG_DEBUG };

/* Whether `sink` is one of the above; PATH begins with /. */
bool kw_log_sink_valid(const char *sink);

/* Chooses the sink: `sink` as above, NULL for the default. Lines above `level` are dropped (default KW_LOG_WARNING;
 * KEYWARD_LOG_LEVEL=error|warning|info|debug overrides). CKR_GENERAL_ERROR when the file cannot be opened for appending;
 * then syslog is in use. */
KW_MUST_USE struct kw_rv kw_log_open(const char *sink);

/* Closes a file sink; further lines go to the default. */
void kw_log_close(void);

void kw_log(enum kw_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts a ? for every byte of what could move a terminal's cursor or begin a second line. */
void kw_log_neutralize(char *text);

/* In the child of a fork: makes the mutex new. No lock of libc is taken for a line (syslog(3) and gmtime_r(3) have some,
 * which hang a child that was forked while another thread held them). */
void kw_log_forked(void);

#endif
