/*
 * settings: what one run of the benchmark was asked to do, as read from the command line.
 * Every string is borrowed from argv and lives as long as the process. The same command line is
 * given to the agents (the child processes that do the work), with `--role SIDE` added.
 */
#ifndef BENCH_SETTINGS_H
#define BENCH_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

enum { SIDE_DIRECT, SIDE_KEYWARD, SIDES };
enum { SETTINGS_ENV_MAX = 8, SETTINGS_PIN_MAX = 64 };

struct settings_env {
    const char *assignment[SETTINGS_ENV_MAX]; /* "NAME=VALUE" */
    size_t count;
};

struct settings_side {
    const char *name;   /* "direct" or "keyward" */
    const char *module; /* path of the PKCS#11 module */
    const char *token;  /* label of the token to log in to */
    struct settings_env env;
};

struct settings {
    struct settings_side side[SIDES];
    struct settings_env memory_env; /* on top of each side's own, for the memory job only */
    char pin[SETTINGS_PIN_MAX];
    size_t pin_length;
    unsigned rounds;
    unsigned renew;     /* rounds after which both agents are replaced by fresh processes */
    double seconds;     /* per round and side */
    const char *jobs;   /* comma-separated names; NULL: all */
    const char *json;   /* file to write; NULL: none */
    bool check;         /* exit 1 when a target is missed */
    bool envelope;      /* the Keyward side's envelope jobs use CKM_KEYWARD_ENVELOPE */
    unsigned make_keys; /* create so many CMKs in the direct side's token, then stop */
    unsigned make_envelopes; /* print so many envelopes of the Keyward side, then stop */
    int role;           /* SIDES in the coordinator, the side in an agent */
};

/* Fills *settings or prints what is wrong and ends the process with status 2. */
void settings_parse(int argc, char **argv, struct settings *settings);

/* True when the job `name` is wanted; `always`: also when no list of jobs was given. */
bool settings_wants(const struct settings *settings, const char *name, bool always);

#endif
