/* keyward list: every slot and the versions of its key. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "show.h"

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
            (void)json_array_append_new(array, show_json(s, false));
        } else {
            show_text(s, false);
        }
        status = survey_is_whole(s) ? status : FAILED;
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
    bool json = false;
    int option = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'j') {
            return USAGE;
        }
        json = true;
    }
    if (optind != argc) {
        return USAGE;
    }
    json_t *array = json ? json_array() : NULL;
    int status = list_slots(c, array);
    if (array != NULL) {
        (void)json_dumpf(array, stdout, JSON_INDENT(2));
        (void)putchar('\n');
        json_decref(array);
    }
    return status;
}
