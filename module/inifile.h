/*
 * inifile.h: an INI file as sections, keys and values with their line numbers.
 *
 * inih takes the lines apart; this adds what an operator needs to mend a file: every problem with
 * file and line, duplicates, unknown names, missing keys, lines that inih would cut in silence.
 * What sections and keys there are says a schema, a table of the caller.
 *
 * A value may go on in an indented line where its key allows that. A comment starts with # or ; at
 * the beginning of a line or after a blank. The caller owns a kw_inifile (init/clear) and borrows
 * what it reads from it; texts are wiped when they are freed, because a URI may hold a PIN. No locks.
 */
#ifndef KW_INIFILE_H
#define KW_INIFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"

enum {
    KW_INIFILE_SIZE_MAX = 1024 * 1024, /* bytes; a larger file is refused */
    KW_INIFILE_VALUES_MAX = 12,        /* keys of one kind of section */
    KW_INIFILE_PROBLEMS_MAX = 20       /* told one by one, then "and more" */
};

/* What an indented line after a key does. */
enum kw_inifile_join {
    KW_INIFILE_NO_JOIN, /* it is a problem */
    KW_INIFILE_GLUE,    /* it is appended as it is: uri */
    KW_INIFILE_LIST     /* it is appended after a blank: lists of words */
};

struct kw_inifile_value {
    const struct kw_inifile_key *key;
    char *text; /* never empty in a file that was read without a problem */
    int line;   /* where the key stands */
};

/* Called by kw_inifile_apply for a value; `context` as given there. */
typedef void kw_inifile_set(void *context, const struct kw_inifile_value *value);

struct kw_inifile_key {
    const char *name;
    enum kw_inifile_join join;
    bool required;
    kw_inifile_set *set;
};

struct kw_inifile_kind {
    const char *word; /* [word] or [word NAME] */
    bool named;
    size_t key_count;
    const struct kw_inifile_key *keys;
};

struct kw_inifile_section {
    const struct kw_inifile_kind *kind;
    char name[KW_CONFIG_NAME_MAX + 1]; /* empty when the kind has no names, or the name was bad */
    int line;
    bool spoiled; /* a problem was told about a line of it: do not complain about consequences */
    size_t value_count;
    struct kw_inifile_value values[KW_INIFILE_VALUES_MAX];
};

struct kw_inifile {
    const char *path; /* borrowed; for the sentences */
    kw_config_report *report;
    void *data;
    unsigned problems;
    bool no_memory;
    size_t section_count;
    struct kw_inifile_section *sections;
};

/* Reads the open file `fd` (it stays open) by the schema kinds[kind_count] into *file, whose path,
 * report and data are set and whose rest is zero. What is wrong is told and counted in
 * file->problems; short memory sets file->no_memory. False when there is nothing to go on with. */
bool kw_inifile_read(struct kw_inifile *file, int fd, const struct kw_inifile_kind *kinds,
                     size_t kind_count);

/* Wipes and frees what was read. */
void kw_inifile_clear(struct kw_inifile *file);

/* Calls each value's setter in the order of the lines. */
void kw_inifile_apply(const struct kw_inifile_section *section, void *context);

/* What is wrong with text that shall be shown to people, as the end of a sentence (static), or NULL: it must be
 * UTF-8 without control characters. */
const char *kw_inifile_text_problem(const char *text, size_t len);

/* Tells and counts a problem that spoils the file; line 0 means the file as a whole. */
void kw_inifile_problem(struct kw_inifile *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Tells a problem that does not spoil the file. The sentence is the caller's (free); NULL with
 * file->no_memory set when memory is short. */
char *kw_inifile_remark(struct kw_inifile *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
