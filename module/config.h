/*
 * config.h: keyward.conf, read once, immutable afterwards (DESIGN section 3).
 *
 * kw_config_load gives a tree of plain values that the caller owns and frees with kw_config_free. It checks everything
 * that can be checked without a token: syntax, unknown and duplicate names, references, residency (geo), permissions.
 * Problems that spoil one slot only (a module file that is not there, a PIN file that is missing or has wrong permissions)
 * are kept with that token: its slots have no token, the others work. Everything else fails the load.
 * Every problem is a sentence "file:line: what is wrong; what to do". No locks.
 */
#ifndef KW_CONFIG_H
#define KW_CONFIG_H

#include <p11-kit/uri.h>
#include <stddef.h>

#include "error.h"

enum {
    KW_CONFIG_NAME_MAX = 32,   /* slot and token names: CK_TOKEN_INFO.label is 32 bytes; [A-Za-z0-9][A-Za-z0-9._-]* */
    KW_CONFIG_SLOTS_MAX = 1024,
    KW_CONFIG_TOKENS_MAX = 256,
    KW_CONFIG_MEMBERS_MAX = 8, /* tokens of one slot */
    KW_CONFIG_SESSIONS = 8,    /* default of `sessions =` */
    KW_CONFIG_SESSIONS_MAX = 1024,
    KW_CONFIG_WAIT_MS = 5000,  /* default of `wait =` */
    KW_CONFIG_WAIT_MAX_MS = 60000
};

/* Which mechanisms a slot offers. */
enum { KW_MECHANISMS_STANDARD = 1, KW_MECHANISMS_ENVELOPE = 2 };

struct kw_config_token {
    char name[KW_CONFIG_NAME_MAX + 1];
    int line;            /* of its section */
    P11KitUri *uri;      /* token attributes to match (p11_kit_uri_match_token_info); never NULL once loaded */
    char *module_path;   /* from the URI's module-path; absolute */
    char *pin_source;    /* from the URI, or NULL */
    char *pin_value;     /* from the URI, or NULL; tests only; wiped by free */
    char *init;          /* `init =`: the string for the vendor's C_Initialize pReserved, or NULL */
    char *geo;           /* or NULL */
    bool accepts_weak;   /* accept-weak-token = yes: used although it lets keys out or does more with them than they may (capability.h) */
    unsigned sessions;   /* of this token that Keyward opens at most */
    long wait_ms;        /* for one of them, and for a connection that another thread makes */
    char *problem;       /* NULL, or the sentence that says why this token cannot be used */
};

struct kw_config_slot {
    char name[KW_CONFIG_NAME_MAX + 1]; /* = token label that the broker sees */
    int line;
    char *tenant;        /* or NULL */
    char *geo;           /* or NULL */
    char *key;           /* CKA_LABEL of the CMK; default: the slot's name; at most 128 bytes */
    size_t token_count;  /* 1 to KW_CONFIG_MEMBERS_MAX */
    const struct kw_config_token *tokens[KW_CONFIG_MEMBERS_MAX]; /* in order of preference */
    bool sealed;         /* data-keys = sealed */
    bool spread;         /* spread = yes: the tokens take turns */
    unsigned mechanisms; /* KW_MECHANISMS_*; default all */
    bool asks_mechanisms; /* `mechanisms =` says so */
};

struct kw_config {
    char *path;          /* the file that was read */
    char *geo;           /* of this host, or NULL */
    char *log;           /* `log =`, or NULL */
    size_t token_count;
    struct kw_config_token *tokens;
    size_t slot_count;
    struct kw_config_slot *slots;
};

/* Where a configuration problem goes: one call per problem, `sentence` borrowed for the call. */
typedef void kw_config_report(void *data, const char *sentence);

/* Reads the file `path`; NULL means $KEYWARD_CONF, else /etc/keyward/keyward.conf. On success *out is the caller's (free);
 * tokens may still carry a `problem` (each is reported too). CKR_GENERAL_ERROR after reporting every problem found;
 * CKR_HOST_MEMORY. `report` may be NULL. Refused: a file that is not regular, is writable by group or others,
 * or is owned by neither root nor the effective user. */
KW_MUST_USE struct kw_rv kw_config_load(const char *path, kw_config_report *report, void *data, struct kw_config **out);

/* Frees and wipes pin values; NULL is fine. */
void kw_config_free(struct kw_config *config);

/* The slot of that name, borrowed, or NULL. */
const struct kw_config_slot *kw_config_slot(const struct kw_config *config, const char *name);

#endif
