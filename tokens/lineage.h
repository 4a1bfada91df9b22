/*
 * lineage.h: the CMK of one slot over all its tokens, as the lifecycle verbs see and change it.
 *
 * Opening a lineage takes the lock (one lifecycle command at a time on a host), reaches and logs in every token of the slot, and reads
 * the versions of each. A verb then plans, and changes the tokens one after another in an order that leaves a usable key after a crash between any
 * two steps; `repair` finishes what was left. Errors are said where they are found; functions give false then.
 */
#ifndef KW_LINEAGE_H
#define KW_LINEAGE_H

#include "command.h"
#include "custody.h"
#include "transfer.h"
#include "type.h"

/* The day of purge, in 1970, of a version whose purge was confirmed and has begun: what is left of it is nobody's loss any more. */
enum { LINEAGE_PURGING = 1 };

struct lineage {
    struct command *command;
    const struct kw_config_slot *slot;
    struct kw_members *members;
    int lock;
    size_t logged_in;                                  /* members 0 to logged_in - 1 */
    struct kw_snapshot *snapshots[KW_CONFIG_MEMBERS_MAX]; /* of each token, as last read */
};

/* One thing in token i, under a lease of the logged-in user; says why it failed. */
bool lineage_step(struct lineage *l, size_t i, kw_member_op *op, void *arg);

/* Every token of the slot must be reachable, else nothing is opened. */
bool lineage_open(struct command *c, const char *slot, struct lineage *l);
void lineage_close(struct lineage *l);

/* Reads every token again. */
bool lineage_read(struct lineage *l);

/* The entry of a version in token i, or NULL; the first one that any token has, or NULL. Borrowed until the next reading. */
const struct kw_cmk_entry *lineage_at(const struct lineage *l, size_t i, uint32_t version);
const struct kw_cmk_entry *lineage_any(const struct lineage *l, uint32_t version);

/* The highest version that any token has; 0: none. The number of all versions into out[KW_VERSIONS_MAX], highest first. */
uint32_t lineage_highest(const struct lineage *l);
size_t lineage_versions(const struct lineage *l, uint32_t out[KW_VERSIONS_MAX]);

/* Says what is wrong and gives false when tokens differ, or a version is unfinished or out of service: `repair` comes first. */
bool lineage_is_sound(const struct lineage *l);

/* Says so and gives false when no version is active: a slot whose key was taken away is not brought back by a new version. */
bool lineage_has_active(const struct lineage *l);

/* Gives a version a state in every token. */
bool lineage_change(struct lineage *l, uint32_t version, const struct kw_custody_state *to);
/* In one token only; for repair. */
bool lineage_change_in(struct lineage *l, size_t i, uint32_t version, const struct kw_custody_state *to);

/* Whether all objects of the version in token i agree (kw_custody_agrees). */
bool lineage_agrees(struct lineage *l, size_t i, uint32_t version, bool *agrees);

/* Destroys a version in every token that has it. */
bool lineage_destroy(struct lineage *l, uint32_t version);

/* Makes a version in every token (generated, or replicated by the ceremony when there are several): unfinished, then confirmed, then activated. What fails
 * before it is activated is taken back; afterwards brokers may have used it and nothing is destroyed any more. */
bool lineage_make(struct lineage *l, uint32_t version, struct type type);
/* The same with the customer's own key, which kw_transfer_check has found to be of `type`. */
bool lineage_import(struct lineage *l, uint32_t version, struct type type, const struct kw_transfer *from);

/* A lineage keeps one type of key: says so and gives false when it has versions of another. */
bool lineage_is_of(const struct lineage *l, CK_KEY_TYPE type);

/* Of the newest version. There must be one. */
struct type lineage_type(const struct lineage *l);

/* The end of making a version that every token has unfinished. Confirm: fresh connections show the same key everywhere (HSM-FACTS rule 9).
 * Activate: brokers may use it. Take back: says so and destroys it; always false. */
bool lineage_confirm(struct lineage *l, uint32_t version);
bool lineage_activate(struct lineage *l, uint32_t version);
bool lineage_take_back(struct lineage *l, uint32_t version);

/* Retires every active version but the newest: the last step of a rotation, and what repair does after an interrupted one. `say`: tells about each. */
bool lineage_retire_older(struct lineage *l, bool say);

/* The state that `enable` and `recover` give a version: active if it is the highest, else retired. */
struct kw_custody_state lineage_usable(const struct lineage *l, uint32_t version);

/* Today, in days since 1970. */
uint32_t lineage_today(void);

#endif
