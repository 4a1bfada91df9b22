/* keyward list: every slot and the versions of its key. */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "survey.h"

static json_t *string_or_null(const char *s)
{
    return s == NULL ? json_null() : json_string(s);
}

static json_t *version_json(const struct survey *s, const struct survey_row *row)
{
    char type[16];
    json_t *tokens = json_array();
    (void)snprintf(type, sizeof type, "aes:%u", row->version.bits);
    for (size_t i = 0; i < s->slot->token_count; i++) {
        if ((row->tokens & 1u << i) != 0) {
            (void)json_array_append_new(tokens, json_string(s->slot->tokens[i]->name));
        }
    }
    return json_pack("{s:I, s:s, s:s, s:o, s:o}", "version", (json_int_t)row->version.version, "state",
                     kw_state_name(row->version.state), "type", type, "fingerprint",
                     row->version.has_fingerprint ? json_string(command_fingerprint(&row->version)) : json_null(), "tokens",
                     tokens);
}

static json_t *slot_json(const struct survey *s)
{
    json_t *versions = json_array();
    for (size_t i = 0; i < s->count; i++) {
        (void)json_array_append_new(versions, version_json(s, &s->rows[i]));
    }
    return json_pack("{s:s, s:o, s:o, s:s, s:o}", "slot", s->slot->name, "tenant", string_or_null(s->slot->tenant), "geo",
                     string_or_null(s->slot->geo), "key", s->slot->key, "versions", versions);
}

static void print_slot(const struct survey *s)
{
    (void)printf("%s%s%s%s%s  key %s\n", s->slot->name, s->slot->tenant == NULL ? "" : "  tenant ",
                 s->slot->tenant == NULL ? "" : s->slot->tenant, s->slot->geo == NULL ? "" : "  geo ",
                 s->slot->geo == NULL ? "" : s->slot->geo, s->slot->key);
    for (size_t i = 0; i < s->count; i++) {
        const struct survey_row *row = &s->rows[i];
        (void)printf("  version %-4u %-16s aes:%-4u %s ", row->version.version, kw_state_name(row->version.state),
                     row->version.bits, command_fingerprint(&row->version));
        for (size_t k = 0; k < s->slot->token_count; k++) {
            if ((row->tokens & 1u << k) != 0) {
                (void)printf(" %s", s->slot->tokens[k]->name);
            }
        }
        (void)putchar('\n');
    }
    if (s->count == 0) {
        (void)puts("  no key");
    }
}

static int list_slots(struct command *c, json_t *array)
{
    int status = DONE;
    struct survey *s = malloc(sizeof *s);
    if (s == NULL) {
        command_say("memory is short");
        return FAILED;
    }
    for (size_t i = 0; i < c->config->slot_count; i++) {
        survey_slot(c, &c->config->slots[i], false, s);
        if (array != NULL) {
            (void)json_array_append_new(array, slot_json(s));
        } else {
            print_slot(s);
        }
        for (size_t k = 0; k < s->slot->token_count; k++) {
            status = s->tokens[k].logged_in ? status : FAILED;
        }
        for (size_t k = 0; k < s->problem_count; k++) {
            command_say("%s", s->problems[k]);
        }
    }
    free(s);
    return status;
}

int verb_list(struct command *c, int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
    json_t *array = NULL;
    int option = 0;
    int status = DONE;
    while ((option = getopt_long(argc, argv, "j", options, NULL)) != -1) {
        if (option != 'j') {
            json_decref(array);
            return USAGE;
        }
        if (array == NULL) {
            array = json_array();
        }
    }
    if (optind != argc) {
        status = USAGE;
    } else {
        status = list_slots(c, array);
        if (array != NULL) {
            (void)json_dumpf(array, stdout, JSON_INDENT(2));
            (void)putchar('\n');
        }
    }
    json_decref(array);
    return status;
}
