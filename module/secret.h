/*
 * secret.h: the only place where PINs and key bytes live.
 *
 * A kw_secret is memory that is locked (never swapped), left out of core dumps, zero in a forked child, and wiped when it
 * is freed. It has a fixed size, is never moved and never grown. The caller owns what new/dup return and frees it.
 * One internal mutex, a leaf in the lock order; nothing else is called while it is held.
 */
#ifndef KW_SECRET_H
#define KW_SECRET_H

#include <stddef.h>

#include "error.h"

struct kw_secret;

enum { KW_SECRET_MAX = 1024 * 1024 }; /* bytes; a larger secret is refused */

/* New zeroed secret of `len` bytes (1 to KW_SECRET_MAX). *out is the caller's (free). CKR_HOST_MEMORY when memory is
 * short or cannot be locked (RLIMIT_MEMLOCK). */
KW_MUST_USE struct kw_rv kw_secret_new(size_t len, struct kw_secret **out);

/* New secret holding a copy of bytes[len]; len 0 gives a secret of length 0. Otherwise as kw_secret_new. */
KW_MUST_USE struct kw_rv kw_secret_dup(const void *bytes, size_t len, struct kw_secret **out);

/* Wipes and frees; NULL is fine. */
void kw_secret_free(struct kw_secret *s);

/* The bytes, borrowed while s lives. NULL for a NULL secret. */
unsigned char *kw_secret_bytes(struct kw_secret *s);
const unsigned char *kw_secret_peek(const struct kw_secret *s);

/* Length in bytes; 0 for a NULL secret. */
size_t kw_secret_len(const struct kw_secret *s);

/* Shortens to `len` (at most the present length) and wipes the rest. */
void kw_secret_shrink(struct kw_secret *s, size_t len);

/* Whether s holds exactly bytes[len]; time depends on the lengths only. */
bool kw_secret_equal(const struct kw_secret *s, const void *bytes, size_t len);

/* In the child of a fork: forgets every secret (the kernel has zeroed them) and starts afresh. */
void kw_secret_forked(void);

/* Number of secrets alive; tests use it to find leaks. */
size_t kw_secret_alive(void);

#endif
