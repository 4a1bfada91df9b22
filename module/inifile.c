#include "inifile.h"

#include <errno.h>
#include <ini.h>
#include <openssl/asn1.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * inih asks next_line for one line after the other and calls take_pair for each key that it finds,
 * while the line of that key is the current one: that is how a key gets its line number. inih says
 * nothing about a new section, so next_line slips in a line ANNOUNCE= after each header; no real
 * line can hold that character.
 */
enum { ANNOUNCE = '\001', INIH_SECTION_MAX = 49 };

struct reader {
    struct kw_inifile *file;
    const struct kw_inifile_kind *kinds;
    size_t kind_count;
    const char *at; /* the rest of the text */
    const char *end;
    int line;                       /* the current one, from 1 */
    bool continued;                 /* it is indented */
    bool announce;                  /* it is a header: ANNOUNCE comes next */
    bool unanswered;                /* inih has it and has not called take_pair */
    bool skip;                      /* the lines of a section that is not understood */
    bool value_bad;                 /* the value above was refused: so is what continues it */
    struct kw_inifile_section *now; /* the last one, NULL before the first */
    struct kw_inifile_value *value; /* the last one of it, NULL if none */
};

/* Sentences. */

static char *sentence(const struct kw_inifile *file, int line, const char *format, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0) {
        return NULL;
    }
    char *whole = NULL;
    int len = line > 0 ? asprintf(&whole, "%s:%d: %s", file->path, line, text)
                       : asprintf(&whole, "%s: %s", file->path, text);
    free(text);
    return len < 0 ? NULL : whole;
}

static char *tell(struct kw_inifile *file, int line, const char *format, va_list args)
{
    char *text = sentence(file, line, format, args);
    if (text == NULL) {
        file->no_memory = true;
    } else if (file->report != NULL) {
        file->report(file->data, text);
    }
    return text;
}

char *kw_inifile_remark(struct kw_inifile *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = tell(file, line, format, args);
    va_end(args);
    return text;
}

void kw_inifile_problem(struct kw_inifile *file, int line, const char *format, ...)
{
    file->problems++;
    if (file->problems > KW_INIFILE_PROBLEMS_MAX) {
        if (file->problems == KW_INIFILE_PROBLEMS_MAX + 1) {
            free(kw_inifile_remark(file, 0, "and more problems; mend these first"));
        }
        return;
    }
    va_list args;
    va_start(args, format);
    free(tell(file, line, format, args));
    va_end(args);
}

/* Values and sections. */

static void wipe_text(char *text)
{
    if (text != NULL) {
        OPENSSL_cleanse(text, strlen(text));
        free(text);
    }
}

/* text + joint + more in new memory; `text` is wiped and freed, or kept when memory is short. */
static bool append(struct kw_inifile *file, char **text, const char *joint, const char *more)
{
    const char *old = *text == NULL ? "" : *text;
    joint = old[0] == '\0' ? "" : joint;
    size_t size = strlen(old) + strlen(joint) + strlen(more) + 1;
    char *whole = malloc(size);
    if (whole == NULL) {
        file->no_memory = true;
        return false;
    }
    (void)snprintf(whole, size, "%s%s%s", old, joint, more);
    wipe_text(*text);
    *text = whole;
    return true;
}

/* The list in the sentence about an unknown name: "a, b and c" is more trouble than it is worth. */
static const char *known_keys(const struct kw_inifile_kind *kind, char *buffer, size_t size)
{
    size_t used = 0;
    buffer[0] = '\0';
    for (size_t i = 0; i < kind->key_count && used < size; i++) {
        int n = snprintf(buffer + used, size - used, "%s%s", i > 0 ? ", " : "", kind->keys[i].name);
        used += n > 0 ? (size_t)n : 0;
    }
    return buffer;
}

static const char *known_kinds(const struct reader *r, char *buffer, size_t size)
{
    size_t used = 0;
    buffer[0] = '\0';
    for (size_t i = 0; i < r->kind_count && used < size; i++) {
        int n = snprintf(buffer + used, size - used, "%s[%s%s]", i > 0 ? ", " : "", r->kinds[i].word,
                         r->kinds[i].named ? " NAME" : "");
        used += n > 0 ? (size_t)n : 0;
    }
    return buffer;
}

static bool name_fits(const char *name, size_t len)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    if (len == 0 || len > KW_CONFIG_NAME_MAX || strchr(letters, name[0]) == NULL) {
        return false;
    }
    size_t good = 0;
    while (good < len && (strchr(letters, name[good]) != NULL || strchr("._-", name[good]) != NULL)) {
        good++;
    }
    return good == len;
}

static const struct kw_inifile_kind *find_kind(const struct reader *r, const char *word, size_t len)
{
    for (size_t i = 0; i < r->kind_count; i++) {
        if (strlen(r->kinds[i].word) == len && memcmp(r->kinds[i].word, word, len) == 0) {
            return &r->kinds[i];
        }
    }
    return NULL;
}

static const struct kw_inifile_section *find_section(const struct kw_inifile *file,
                                                     const struct kw_inifile_section *like)
{
    for (size_t i = 0; i < file->section_count; i++) {
        const struct kw_inifile_section *s = &file->sections[i];
        bool unnamed = like->kind->named && like->name[0] == '\0';
        if (!unnamed && s->kind == like->kind && strcmp(s->name, like->name) == 0) {
            return s;
        }
    }
    return NULL;
}

/* Copies the name of [word NAME], or tells what is wrong with it. */
static bool name_section(struct reader *r, struct kw_inifile_section *section, const char *name)
{
    size_t len = strlen(name);
    if (!section->kind->named) {
        if (len > 0) {
            kw_inifile_problem(r->file, r->line, "[%s] takes no name; write [%s]", section->kind->word,
                               section->kind->word);
        }
        return len == 0;
    }
    if (!name_fits(name, len)) {
        kw_inifile_problem(r->file, r->line,
                           "[%s %s]: a name has 1 to %d characters, letters, digits, '.', '_' and '-', "
                           "and begins with a letter or digit; choose another name",
                           section->kind->word, name, KW_CONFIG_NAME_MAX);
        return false;
    }
    memcpy(section->name, name, len + 1);
    return true;
}

static void add_section(struct reader *r, const struct kw_inifile_section *section)
{
    struct kw_inifile *file = r->file;
    size_t count = file->section_count;
    if ((count & (count - 1)) == 0) { /* the room doubles at each power of two */
        size_t room = count == 0 ? 1 : 2 * count;
        void *grown = realloc(file->sections, room * sizeof *file->sections);
        if (grown == NULL) {
            file->no_memory = true;
            return;
        }
        file->sections = grown;
    }
    file->sections[count] = *section;
    file->section_count = count + 1;
    r->now = &file->sections[count];
    r->skip = false;
}

/* `header` is what stands between the brackets. */
static void open_section(struct reader *r, const char *header)
{
    char known[160];
    const char *word = header + strspn(header, " ");
    size_t word_len = strcspn(word, " ");
    char name[INIH_SECTION_MAX + 1] = "";
    (void)snprintf(name, sizeof name, "%s", word + word_len + strspn(word + word_len, " "));
    for (size_t len = strlen(name); len > 0 && name[len - 1] == ' '; len--) {
        name[len - 1] = '\0';
    }

    r->skip = true;
    struct kw_inifile_section section = {.kind = find_kind(r, word, word_len), .line = r->line};
    if (section.kind == NULL) {
        kw_inifile_problem(r->file, r->line, "unknown section [%s]; known are %s", header,
                           known_kinds(r, known, sizeof known));
        return;
    }
    section.spoiled = !name_section(r, &section, name);
    const struct kw_inifile_section *twin = find_section(r->file, &section);
    if (twin != NULL) {
        kw_inifile_problem(r->file, r->line, "[%s] is there already in line %d; keep one of them", header,
                           twin->line);
        return;
    }
    add_section(r, &section);
}

/* A problem with the key of the current line, or with a line that continues it. */
static void refuse_value(struct reader *r)
{
    r->value = NULL;
    r->value_bad = true;
    if (r->now != NULL && !r->skip) {
        r->now->spoiled = true;
    }
}

static const struct kw_inifile_key *find_key(const struct kw_inifile_kind *kind, const char *name)
{
    for (size_t i = 0; i < kind->key_count; i++) {
        if (strcmp(kind->keys[i].name, name) == 0) {
            return &kind->keys[i];
        }
    }
    return NULL;
}

static void new_value(struct reader *r, const char *name, const char *text)
{
    char known[160];
    struct kw_inifile_section *s = r->now;
    const struct kw_inifile_key *key = find_key(s->kind, name);
    r->value = NULL;
    r->value_bad = false;
    if (key == NULL) {
        kw_inifile_problem(r->file, r->line, "unknown key '%.64s' in [%s]; known are %s", name, s->kind->word,
                           known_keys(s->kind, known, sizeof known));
        refuse_value(r);
        return;
    }
    for (size_t i = 0; i < s->value_count; i++) {
        if (s->values[i].key == key) {
            kw_inifile_problem(r->file, r->line, "'%s' is set already in line %d; keep one of them", name,
                               s->values[i].line);
            refuse_value(r);
            return;
        }
    }
    struct kw_inifile_value value = {.key = key, .line = r->line};
    if (s->value_count < KW_INIFILE_VALUES_MAX && append(r->file, &value.text, "", text)) {
        s->values[s->value_count] = value;
        r->value = &s->values[s->value_count++];
    }
}

static void continue_value(struct reader *r, const char *name, const char *text)
{
    if (r->value_bad) {
        return;
    }
    if (r->value == NULL) {
        kw_inifile_problem(r->file, r->line,
                           "an indented line goes on with the key above it, but "
                           "there is none; take the blanks away");
        refuse_value(r);
        return;
    }
    if (r->value->key->join == KW_INIFILE_NO_JOIN) {
        kw_inifile_problem(r->file, r->line,
                           "an indented line goes on with the key above it, but "
                           "'%s' has one line; take the blanks away",
                           r->value->key->name);
        refuse_value(r);
        return;
    }
    if (strcmp(name, r->value->key->name) != 0) {
        kw_inifile_problem(r->file, r->line,
                           "the application has switched inih's continuation lines "
                           "off (ini_allow_multiline); write the value on one line");
        refuse_value(r);
        return;
    }
    (void)append(r->file, &r->value->text, r->value->key->join == KW_INIFILE_LIST ? " " : "", text);
}

/* inih's handler; always 1 ("no error"), because problems are told here. */
static int take_pair(void *data, const char *section, const char *name, const char *value)
{
    struct reader *r = data;
    r->unanswered = false;
    value = value == NULL ? "" : value; /* an application may set ini_allow_no_value */
    if (r->continued) {
        continue_value(r, name, value);
    } else if (name[0] == ANNOUNCE) {
        r->value = NULL;
        r->value_bad = false;
        open_section(r, section);
    } else if (r->now != NULL) {
        new_value(r, name, value);
    }
    return 1;
}

/* Lines. */

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Length without the comment and the blanks before it. */
static size_t content_length(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((line[i] == '#' || line[i] == ';') && (i == 0 || blank(line[i - 1]))) {
            len = i;
        }
    }
    while (len > 0 && blank(line[len - 1])) {
        len--;
    }
    return len;
}

/* Control characters (C0, DEL, and C1 as UTF-8) would reach terminals and labels. */
const char *kw_inifile_text_problem(const char *line, size_t len)
{
    size_t i = 0;
    while (i < len) {
        unsigned long c = 0;
        int n = UTF8_getc((const unsigned char *)line + i, (int)(len - i), &c);
        if (n <= 0) {
            return "is not UTF-8; save the file as UTF-8";
        }
        if ((c < 0x20 && c != '\t') || (c >= 0x7f && c < 0xa0)) {
            return "holds a control character or a NUL byte; take it out";
        }
        i += (size_t)n;
    }
    return NULL;
}

/* What is wrong with a line before inih sees it: content of `len` bytes, room for `size` with the NUL. */
static const char *line_problem(struct reader *r, const char *line, size_t len, size_t size)
{
    if (len >= size) {
        return "is too long; shorten it, or continue it on an indented line where the key allows that";
    }
    if (line[0] == '[') {
        if (memchr(line, ']', len) != line + len - 1 || len - 2 > INIH_SECTION_MAX) {
            return "is not a section header; write [WORD] or [WORD NAME] alone on its line";
        }
        return NULL;
    }
    if (r->now == NULL && !r->skip) {
        return "stands before the first section; begin with a line [WORD] or [WORD NAME]";
    }
    return NULL;
}

/* Looks at the next physical line and copies what inih shall see of it: nothing, if it is refused. */
static void give_line(struct reader *r, char *line, size_t size)
{
    const char *text = r->at;
    const char *newline = memchr(text, '\n', (size_t)(r->end - text));
    size_t len = (size_t)((newline == NULL ? r->end : newline) - text);
    r->at = newline == NULL ? r->end : newline + 1;
    r->line++;
    if (len > 0 && text[len - 1] == '\r') {
        len--;
    }
    const char *problem = kw_inifile_text_problem(text, len);
    len = content_length(text, len);
    if (problem == NULL && len > 0) {
        problem = line_problem(r, text, len, size);
    }
    bool header = len > 0 && text[0] == '[';
    if (problem != NULL) {
        kw_inifile_problem(r->file, r->line, "the line %s", problem);
        r->skip = r->skip || header;
        refuse_value(r);
    }
    if (problem != NULL || len == 0 || (r->skip && !header)) {
        return;
    }
    for (size_t i = 0; i < len; i++) {
        line[i] = text[i] == '\t' ? ' ' : text[i];
    }
    line[len] = '\0';
    r->continued = blank(text[0]);
    r->announce = header;
    r->unanswered = !header;
}

/* inih's reader. */
static char *next_line(char *line, int size, void *data)
{
    struct reader *r = data;
    if (r->announce) {
        r->announce = false;
        (void)snprintf(line, (size_t)size, "%c=", ANNOUNCE);
        return line;
    }
    if (r->unanswered) {
        kw_inifile_problem(r->file, r->line,
                           "the line is neither a [section] nor key = value; mend "
                           "it, or indent it if it goes on with the line above");
        refuse_value(r);
    }
    r->continued = false;
    r->unanswered = false;
    if (r->at == r->end) {
        OPENSSL_cleanse(line, (size_t)size); /* inih's own buffer: a URI may hold a PIN */
        return NULL;
    }
    line[0] = '\0';
    give_line(r, line, (size_t)size);
    return line;
}

/* The whole. */

/* The text of the file in new memory, or NULL after telling why. */
static char *slurp(struct kw_inifile *file, int fd, size_t *len)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || info.st_size > KW_INIFILE_SIZE_MAX) {
        kw_inifile_problem(file, 0, "is larger than %d bytes; is it the right file?", KW_INIFILE_SIZE_MAX);
        return NULL;
    }
    size_t room = (size_t)info.st_size + 1;
    char *text = malloc(room);
    if (text == NULL) {
        file->no_memory = true;
        return NULL;
    }
    size_t used = 0;
    ssize_t n = 1;
    while (used < room && (n = TEMP_FAILURE_RETRY(read(fd, text + used, room - used))) > 0) {
        used += (size_t)n;
    }
    if (n != 0) {
        kw_inifile_problem(file, 0, "%s",
                           n < 0 ? "cannot be read; look at the disk" : "grew while it was read; try again");
        OPENSSL_cleanse(text, room);
        free(text);
        return NULL;
    }
    *len = used;
    return text;
}

static void check_section(struct kw_inifile *file, const struct kw_inifile_section *s)
{
    for (size_t i = 0; i < s->value_count; i++) {
        if (s->values[i].text[0] == '\0') {
            kw_inifile_problem(file, s->values[i].line,
                               "'%s' is empty; give it a value or take the "
                               "line out",
                               s->values[i].key->name);
        }
    }
    for (size_t i = 0; i < s->kind->key_count && !s->spoiled; i++) {
        const struct kw_inifile_key *key = &s->kind->keys[i];
        bool found = false;
        for (size_t j = 0; j < s->value_count; j++) {
            found = found || s->values[j].key == key;
        }
        if (key->required && !found) {
            kw_inifile_problem(file, s->line, "[%s %s] has no '%s'; add a line %s = ...", s->kind->word,
                               s->name, key->name, key->name);
        }
    }
}

bool kw_inifile_read(struct kw_inifile *file, int fd, const struct kw_inifile_kind *kinds, size_t kind_count)
{
    size_t len = 0;
    char *text = slurp(file, fd, &len);
    if (text == NULL) {
        return false;
    }
    struct reader r = {.file = file, .kinds = kinds, .kind_count = kind_count};
    size_t bom = len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    r.at = text + bom;
    r.end = text + len;
    if (ini_parse_stream(next_line, &r, take_pair, &r) == -2) {
        file->no_memory = true;
    }
    for (size_t i = 0; i < file->section_count && !file->no_memory; i++) {
        check_section(file, &file->sections[i]);
    }
    OPENSSL_cleanse(text, len);
    free(text);
    return !file->no_memory;
}

void kw_inifile_clear(struct kw_inifile *file)
{
    for (size_t i = 0; i < file->section_count; i++) {
        for (size_t j = 0; j < file->sections[i].value_count; j++) {
            wipe_text(file->sections[i].values[j].text);
        }
    }
    free(file->sections);
    file->sections = NULL;
    file->section_count = 0;
}

void kw_inifile_apply(const struct kw_inifile_section *section, void *context)
{
    for (size_t i = 0; i < section->value_count; i++) {
        if (section->values[i].text[0] != '\0') {
            section->values[i].key->set(context, &section->values[i]);
        }
    }
}
