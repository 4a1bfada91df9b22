/*
 * tokenuri.h: the URI of a backing token (RFC 7512), taken apart by p11-kit.
 *
 * Stricter than p11-kit, which passes over names that it does not know and lets the last of two equal
 * ones win: a misspelt pin-source would leave a token without its PIN, a misspelt serial would match
 * another token. The strings belong to the token of the configuration (kw_config_free). No locks.
 */
#ifndef KW_TOKENURI_H
#define KW_TOKENURI_H

#include "config.h"

/* Sets uri, module_path, pin_source and pin_value of *token from `text`. *problem is NULL, or what is
 * wrong and what to do, as the end of a sentence about the URI (static; it never quotes the URI,
 * which may hold a PIN); then *token is unchanged. CKR_HOST_MEMORY. */
KW_MUST_USE struct kw_rv kw_tokenuri_read(const char *text, struct kw_config_token *token,
                                          const char **problem);

/* Whether both URIs may mean the same token of one module: they share the label or the serial number, and nothing
 * that both of them state differs. */
bool kw_tokenuri_same(const struct kw_config_token *a, const struct kw_config_token *b);

/* Wipes pin_value and frees what kw_tokenuri_read has set. */
void kw_tokenuri_clear(struct kw_config_token *token);

#endif
