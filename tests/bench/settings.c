#include "settings.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPT_DIRECT = 256,
    OPT_DIRECT_TOKEN,
    OPT_DIRECT_ENV,
    OPT_KEYWARD,
    OPT_KEYWARD_TOKEN,
    OPT_KEYWARD_ENV,
    OPT_MEMORY_ENV,
    OPT_PIN_FILE,
    OPT_ROUNDS,
    OPT_RENEW,
    OPT_SECONDS,
    OPT_JOBS,
    OPT_JSON,
    OPT_CHECK,
    OPT_MAKE_KEYS,
    OPT_MAKE_ENVELOPES,
    OPT_ENVELOPE,
    OPT_ROLE,
    OPT_HELP
};

static const struct option options[] = {
    {"direct", required_argument, NULL, OPT_DIRECT},
    {"direct-token", required_argument, NULL, OPT_DIRECT_TOKEN},
    {"direct-env", required_argument, NULL, OPT_DIRECT_ENV},
    {"keyward", required_argument, NULL, OPT_KEYWARD},
    {"keyward-token", required_argument, NULL, OPT_KEYWARD_TOKEN},
    {"keyward-env", required_argument, NULL, OPT_KEYWARD_ENV},
    {"memory-env", required_argument, NULL, OPT_MEMORY_ENV},
    {"pin-file", required_argument, NULL, OPT_PIN_FILE},
    {"rounds", required_argument, NULL, OPT_ROUNDS},
    {"renew", required_argument, NULL, OPT_RENEW},
    {"seconds-per-round", required_argument, NULL, OPT_SECONDS},
    {"jobs", required_argument, NULL, OPT_JOBS},
    {"json", required_argument, NULL, OPT_JSON},
    {"check", no_argument, NULL, OPT_CHECK},
    {"make-keys", required_argument, NULL, OPT_MAKE_KEYS},
    {"make-envelopes", required_argument, NULL, OPT_MAKE_ENVELOPES},
    {"envelope", no_argument, NULL, OPT_ENVELOPE},
    {"role", required_argument, NULL, OPT_ROLE},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "Measures the same PKCS#11 jobs directly on a vendor module and through Keyward, by turns.\n"
    "  --direct PATH  --direct-token LABEL  [--direct-env NAME=VALUE]...\n"
    "  --keyward PATH --keyward-token LABEL [--keyward-env NAME=VALUE]...\n"
    "  --pin-file FILE          PIN of both tokens\n"
    "  --rounds N               rounds per job and number of threads (200)\n"
    "  --seconds-per-round S    time per round for each side (0.015)\n"
    "  --renew N                fresh processes every N rounds (10)\n"
    "  --jobs LIST              of wrap,unwrap,generate,envelope-unwrap,envelope-wrap,start,memory (all), loop and held\n"
    "  --envelope               the Keyward side's envelope jobs make envelopes, not RFC 3394\n"
    "  --memory-env NAME=VALUE  environment of the memory job, both sides\n"
    "  --json FILE              write the results there as well\n"
    "  --check                  exit 1 when a target is missed\n"
    "  --make-keys N            only create N master keys in the direct token\n"
    "  --make-envelopes N       only print N envelopes of the Keyward token, with --envelope\n";

static void complain(const char *what, const char *value)
{
    fprintf(stderr, "bench: %s: %s (bench --help shows the options)\n", what, value);
    exit(2);
}

static void add_env(struct settings_env *env, const char *assignment)
{
    if (strchr(assignment, '=') == NULL) {
        complain("not of the form NAME=VALUE", assignment);
    }
    if (env->count == SETTINGS_ENV_MAX) {
        complain("too many environment settings, 8 at most", assignment);
    }
    env->assignment[env->count++] = assignment;
}

static unsigned parse_count(const char *text)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == '\0' || *text == '-' || *end != '\0' || value < 1 || value > 100000) {
        complain("not a number from 1 to 100000", text);
    }
    return (unsigned)value;
}

static double parse_seconds(const char *text)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !(value >= 0.001 && value <= 60.0)) {
        complain("not a time from 0.001 to 60 seconds", text);
    }
    return value;
}

static int parse_role(const char *text)
{
    if (strcmp(text, "direct") != 0 && strcmp(text, "keyward") != 0) {
        complain("not a role", text);
    }
    return strcmp(text, "direct") == 0 ? SIDE_DIRECT : SIDE_KEYWARD;
}

static void read_pin(const char *path, struct settings *settings)
{
    FILE *file = fopen(path, "re");
    if (file == NULL || fgets(settings->pin, sizeof settings->pin, file) == NULL) {
        complain("cannot read the PIN file", path);
    }
    fclose(file);
    settings->pin_length = strcspn(settings->pin, "\n");
}

static void take_side(int option, const char *value, struct settings_side *side)
{
    switch (option) {
    case OPT_DIRECT:
    case OPT_KEYWARD:
        side->module = value;
        break;
    case OPT_DIRECT_TOKEN:
    case OPT_KEYWARD_TOKEN:
        side->token = value;
        break;
    default:
        add_env(&side->env, value);
        break;
    }
}

static void take_run(int option, const char *value, struct settings *settings)
{
    switch (option) {
    case OPT_MEMORY_ENV:
        add_env(&settings->memory_env, value);
        break;
    case OPT_PIN_FILE:
        read_pin(value, settings);
        break;
    case OPT_ROUNDS:
        settings->rounds = parse_count(value);
        break;
    case OPT_RENEW:
        settings->renew = parse_count(value);
        break;
    case OPT_SECONDS:
        settings->seconds = parse_seconds(value);
        break;
    case OPT_JOBS:
        settings->jobs = value;
        break;
    case OPT_JSON:
        settings->json = value;
        break;
    case OPT_CHECK:
        settings->check = true;
        break;
    case OPT_MAKE_KEYS:
        settings->make_keys = parse_count(value);
        break;
    case OPT_MAKE_ENVELOPES:
        settings->make_envelopes = parse_count(value);
        break;
    case OPT_ENVELOPE:
        settings->envelope = true;
        break;
    case OPT_ROLE:
        settings->role = parse_role(value);
        break;
    case OPT_HELP:
        fputs(help, stdout);
        exit(0);
    default:
        fputs(help, stderr);
        exit(2);
    }
}

static void require(const struct settings *settings)
{
    int last = settings->make_keys > 0 ? SIDE_DIRECT : SIDE_KEYWARD;
    for (int i = SIDE_DIRECT; i <= last; i++) {
        if (settings->side[i].module == NULL || settings->side[i].token == NULL) {
            complain("module or token label not given for the side", settings->side[i].name);
        }
    }
    if (settings->pin_length == 0) {
        complain("no PIN", "--pin-file");
    }
}

static void check_jobs(const char *list)
{
    static const char *const known[] = {"wrap", "unwrap", "generate", "envelope-unwrap", "envelope-wrap", "loop", "held", "start", "memory"};
    const size_t count = sizeof known / sizeof known[0];
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        size_t length = strcspn(at, ",");
        size_t i = 0;
        while (i < count && (strlen(known[i]) != length || strncmp(known[i], at, length) != 0)) {
            i++;
        }
        if (i == count) {
            complain("unknown job in the list", list);
        }
    }
}

void settings_parse(int argc, char **argv, struct settings *settings)
{
    *settings = (struct settings){
        .side = {{.name = "direct"}, {.name = "keyward"}},
        .rounds = 200,
        .renew = 10,
        .seconds = 0.015,
        .role = SIDES,
    };
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o >= OPT_DIRECT && o <= OPT_DIRECT_ENV) {
            take_side(o, optarg, &settings->side[SIDE_DIRECT]);
        } else if (o >= OPT_KEYWARD && o <= OPT_KEYWARD_ENV) {
            take_side(o, optarg, &settings->side[SIDE_KEYWARD]);
        } else {
            take_run(o, optarg, settings);
        }
    }
    if (optind != argc) {
        complain("not an option", argv[optind]);
    }
    check_jobs(settings->jobs);
    require(settings);
}

bool settings_wants(const struct settings *settings, const char *name, bool always)
{
    size_t length = strlen(name);
    for (const char *at = settings->jobs; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0')) {
            return true;
        }
    }
    return settings->jobs == NULL && always;
}
