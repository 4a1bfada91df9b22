/*
 * show.h: a slot and the versions of its key, as text or as JSON, for every verb that prints them.
 *
 * JSON: {"slot", "tenant", "geo", "key", "versions": [{"version", "state", "type", "fingerprint", "tokens"}]}; with detail each version has
 * "origin", "created", "age_days" and "purge_on" as well; dates are YYYY-MM-DD or null. Text: one line for the slot, one for each version.
 */
#ifndef KW_SHOW_H
#define KW_SHOW_H

#include <jansson.h>

#include "survey.h"

/* `detail`: age, origin and day of purge as well. */
json_t *show_json(const struct survey *s, bool detail);
void show_text(const struct survey *s, bool detail);

/* Surveys the slot and prints it in the way that a lifecycle verb ends. Returns the exit status: DONE, or FAILED when a token fell away. */
int show_slot(struct command *c, const struct kw_config_slot *slot, bool json);

/* The text as a whole number from `least` to a million; says what `name` needs and gives false when it is none. */
bool show_number(const char *name, const char *text, long least, long *out);

/* Options that the lifecycle verbs share. */
struct show_options {
    bool json;
    bool yes;
    bool last_version;
    long version; /* 0: not given */
    long days;    /* -1: not given */
    const char *type;
    const char *slot;
};

/* Parses `SLOT [options]`; `allowed` has one letter for each option: j --json, y --yes, l --last-version, v --version N, a --after DAYS,
 * i --if-older-than DAYS, t --type TYPE. False: usage. */
bool show_parse(int argc, char **argv, const char *allowed, struct show_options *out);

#endif
