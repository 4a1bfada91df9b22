/*
 * command.h: the `keyward` command: what the verbs share.
 *
 * One file per verb; a verb is a row in main.c. Exit status: 0 done, 1 refused or failed, 2 usage. Messages go to standard error as
 * "keyward: where: what; what to do". Results go to standard output, or as JSON with --json.
 */
#ifndef KW_COMMAND_H
#define KW_COMMAND_H

#include <stdbool.h>

#include "cmk.h"
#include "config.h"
#include "member.h"

enum { DONE = 0, FAILED = 1, USAGE = 2 };

/* The configuration, loaded, and the members of one slot at a time. Owned by main; borrowed by the verb. */
struct command {
    const char *config_path; /* --config, or NULL */
    struct kw_config *config;
    struct kw_backing **backings; /* one per token of the configuration */
};

/* A verb: argc and argv begin with its name. Returns the exit status. */
typedef int verb_fn(struct command *c, int argc, char **argv);
verb_fn verb_create;
verb_fn verb_list;
verb_fn verb_status;
verb_fn verb_check;
verb_fn verb_rotate;
verb_fn verb_disable;
verb_fn verb_enable;
verb_fn verb_delete;
verb_fn verb_recover;
verb_fn verb_purge;
verb_fn verb_repair;
verb_fn verb_transport_key;
verb_fn verb_import;
verb_fn verb_export_blob;
verb_fn verb_wrap;
verb_fn verb_unwrap;
verb_fn verb_rewrap;
verb_fn verb_inspect;

/* Prints "keyward: " and the sentence to standard error, with a ? for each control character. */
void command_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The configured slot of that name; says so and gives NULL when there is none. */
const struct kw_config_slot *command_slot(const struct command *c, const char *name);

/* The members of a slot, to be freed with kw_members_free. Says why not and gives NULL. */
struct kw_members *command_members(struct command *c, const struct kw_config_slot *slot);

/* Logs member i in: PIN from its source, else asked on the terminal without echo, once in a command. Says why not and gives false. */
bool command_login(struct kw_members *m, size_t i);
/* Frees the PINs that were typed. */
void command_forget_pins(void);

/* A fingerprint as 16 hex digits, or "-"; a lineage as 24 hex digits. Static storage. */
const char *command_fingerprint(const struct kw_version *v);

/* What can be said of a failure on a token: a sentence for `r` with what to do. Static. */
const char *command_reason(struct kw_rv r);

#endif
