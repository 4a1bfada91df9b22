#include "show.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lineage.h"

static json_t *string_or_null(const char *s)
{
    return s == NULL ? json_null() : json_string(s);
}

/* A day as YYYY-MM-DD, or NULL for none. Static storage. */
static const char *day_text(uint32_t day)
{
    static char text[16];
    struct tm tm;
    time_t t = (time_t)day * 86400;
    if (day == 0 || day == KW_CMK_UNFINISHED || gmtime_r(&t, &tm) == NULL) {
        return NULL;
    }
    (void)strftime(text, sizeof text, "%Y-%m-%d", &tm);
    return text;
}

static const char *origin_text(enum kw_origin origin)
{
    static const char *const names[] = {"adopted", "generated", "replicated", "imported"};
    return names[origin];
}

static json_t *version_json(const struct survey *s, const struct survey_row *row, bool detail)
{
    const struct kw_version *v = &row->version;
    json_t *tokens = json_array();
    for (size_t i = 0; i < s->slot->token_count; i++) {
        if ((row->tokens & 1u << i) != 0) {
            (void)json_array_append_new(tokens, json_string(s->slot->tokens[i]->name));
        }
    }
    json_t *o = json_pack("{s:I, s:s, s:s, s:o, s:o}", "version", (json_int_t)v->version, "state", kw_state_name(v->state),
                          "type", type_text((struct type){v->type, v->bits}), "fingerprint", v->has_fingerprint ? json_string(command_fingerprint(v)) : json_null(),
                          "tokens", tokens);
    if (!detail) {
        return o;
    }
    (void)json_object_set_new(o, "origin", json_string(origin_text(v->origin)));
    (void)json_object_set_new(o, "created", string_or_null(day_text(v->created)));
    (void)json_object_set_new(o, "age_days", v->created == 0 ? json_null() : json_integer((json_int_t)lineage_today() - v->created));
    (void)json_object_set_new(o, "purge_on", string_or_null(day_text(v->purge)));
    return o;
}

json_t *show_json(const struct survey *s, bool detail)
{
    json_t *versions = json_array();
    for (size_t i = 0; i < s->count; i++) {
        (void)json_array_append_new(versions, version_json(s, &s->rows[i], detail));
    }
    return json_pack("{s:s, s:o, s:o, s:s, s:o}", "slot", s->slot->name, "tenant", string_or_null(s->slot->tenant), "geo",
                     string_or_null(s->slot->geo), "key", s->slot->key, "versions", versions);
}

static void print_detail(const struct kw_version *v)
{
    const char *created = day_text(v->created);
    (void)printf(", %s", origin_text(v->origin));
    if (created != NULL) {
        (void)printf(" %s (%ld days old)", created, (long)lineage_today() - (long)v->created);
    }
    if (v->purge == LINEAGE_PURGING) {
        (void)printf(", its purge has begun");
    } else if (day_text(v->purge) != NULL) {
        (void)printf(", can be purged from %s", day_text(v->purge));
    }
}

void show_text(const struct survey *s, bool detail)
{
    (void)printf("%s%s%s%s%s  key %s\n", s->slot->name, s->slot->tenant == NULL ? "" : "  tenant ",
                 s->slot->tenant == NULL ? "" : s->slot->tenant, s->slot->geo == NULL ? "" : "  geo ",
                 s->slot->geo == NULL ? "" : s->slot->geo, s->slot->key);
    for (size_t i = 0; i < s->count; i++) {
        const struct survey_row *row = &s->rows[i];
        (void)printf("  version %-4u %-16s %-8s %s ", row->version.version, kw_state_name(row->version.state),
                     type_text((struct type){row->version.type, row->version.bits}), command_fingerprint(&row->version));
        for (size_t k = 0; k < s->slot->token_count; k++) {
            if ((row->tokens & 1u << k) != 0) {
                (void)printf(" %s", s->slot->tokens[k]->name);
            }
        }
        if (detail) {
            print_detail(&row->version);
        }
        (void)putchar('\n');
    }
    if (s->count == 0) {
        (void)puts(survey_is_whole(s) ? "  no key" : "  its versions cannot be read");
    }
}

int show_slot(struct command *c, const struct kw_config_slot *slot, bool json)
{
    struct survey *s = malloc(sizeof *s);
    if (s == NULL) {
        command_say("memory is short");
        return FAILED;
    }
    survey_slot(c, slot, false, s);
    if (json) {
        json_t *o = show_json(s, true);
        (void)json_dumpf(o, stdout, JSON_INDENT(2));
        (void)putchar('\n');
        json_decref(o);
    } else {
        show_text(s, true);
    }
    int status = survey_is_whole(s) ? DONE : FAILED;
    for (size_t i = 0; i < s->problem_count; i++) {
        command_say("%s", s->problems[i]);
    }
    free(s);
    return status;
}

enum { NUMBER_MOST = 1000000 };

bool show_number(const char *name, const char *text, long least, long *out)
{
    char *end = NULL;
    long n = strtol(text, &end, 10);
    if (end == text || *end != '\0' || n < least || n > NUMBER_MOST) {
        command_say("%s %s: a whole number from %ld to %d is needed", name, text, least, NUMBER_MOST);
        return false;
    }
    *out = n;
    return true;
}

static bool take_option(int option, struct show_options *out)
{
    switch (option) {
    case 'j':
        out->json = true;
        return true;
    case 'y':
        out->yes = true;
        return true;
    case 'l':
        out->last_version = true;
        return true;
    case 'v':
        return show_number("--version", optarg, 1, &out->version);
    case 'a':
        return show_number("--after", optarg, 0, &out->days);
    case 'i':
        return show_number("--if-older-than", optarg, 0, &out->days);
    case 't':
        out->type = optarg;
        return true;
    default:
        return false;
    }
}

bool show_parse(int argc, char **argv, const char *allowed, struct show_options *out)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},          {"yes", no_argument, NULL, 'y'},
        {"last-version", no_argument, NULL, 'l'},  {"version", required_argument, NULL, 'v'},
        {"after", required_argument, NULL, 'a'},   {"if-older-than", required_argument, NULL, 'i'},
        {"type", required_argument, NULL, 't'},    {NULL, 0, NULL, 0},
    };
    int option = 0;
    *out = (struct show_options){.days = -1};
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?' || strchr(allowed, option) == NULL) {
            if (option != '?') {
                command_say("%s does not take this option", argv[0]);
            }
            return false;
        }
        if (!take_option(option, out)) {
            return false;
        }
    }
    if (argc - optind != 1) {
        return false;
    }
    out->slot = argv[optind];
    return true;
}
