#include "config.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inifile.h"
#include "log.h"
#include "pin.h"
#include "tokenuri.h"
#include "trust.h"

static const char default_path[] = "/etc/keyward/keyward.conf";

enum { KEY_LABEL_MAX = 128 };

/* What a setter gets: the tree so far, and the token or slot whose section it stands in. */
struct build {
    struct kw_inifile *file;
    struct kw_config *config;
    const struct kw_inifile_section *section;
    struct kw_config_token *token;
    struct kw_config_slot *slot;
};

static void copy(struct build *b, char **field, const char *text)
{
    *field = strdup(text);
    if (*field == NULL) {
        b->file->no_memory = true;
    }
}

static bool is_word(const char *text, size_t len, const char *word)
{
    return strlen(word) == len && memcmp(text, word, len) == 0;
}

/* The next of the words between blanks, from *at on; NULL at the end. */
static const char *next_word(const char **at, size_t *len)
{
    const char *word = *at + strspn(*at, " ");
    *len = strcspn(word, " ");
    *at = word + *len;
    return *len > 0 ? word : NULL;
}

/* Setters, one per key. */

static void set_host_geo(void *context, const struct kw_inifile_value *value)
{
    struct build *b = context;
    copy(b, &b->config->geo, value->text);
}

static void set_log(void *context, const struct kw_inifile_value *value)
{
    struct build *b = context;
    if (!kw_log_sink_valid(value->text)) {
        kw_inifile_problem(b->file, value->line,
                           "log = %s: write syslog, stderr, none or file:/PATH (the whole path)",
                           value->text);
        return;
    }
    copy(b, &b->config->log, value->text);
}

static void set_uri(void *context, const struct kw_inifile_value *value)
{
    struct build *b = context;
    const char *problem = NULL;
    if (!kw_ok(kw_tokenuri_read(value->text, b->token, &problem))) {
        b->file->no_memory = true;
    } else if (problem != NULL) {
        kw_inifile_problem(b->file, value->line, "the uri of [token %s] %s", b->section->name, problem);
    }
}

static void set_token_geo(void *context, const struct kw_inifile_value *value)
{
    struct build *b = context;
    copy(b, &b->token->geo, value->text);
}

static void set_init(void *context, const struct kw_inifile_value *value)
{
    struct build *b = context;
    copy(b, &b->token->init, value->text);
}

static void set_weak(void *context, const struct kw_inifile_value *value)
{
    struct build *b = context;
    if (strcmp(value->text, "yes") != 0 && strcmp(value->text, "no") != 0) {
        kw_inifile_problem(b->file, value->line, "accept-weak-token = %s: write yes or no", value->text);
        return;
    }
    b->token->accepts_weak = strcmp(value->text, "yes") == 0;
}

/* A decimal number from `low` to `high` with a unit behind it; false when it is none. */
static bool read_number(const char *text, const char *unit, unsigned long low, unsigned long high, unsigned long *out)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9' || strlen(text) > 9) {
        return false;
    }
    unsigned long n = strtoul(text, &end, 10);
    if (strcmp(end, unit) != 0 || n < low || n > high) {
        return false;
    }
    *out = n;
    return true;
}

static void set_sessions(void *context, const struct kw_inifile_value *value)
{
    struct build *b = context;
    unsigned long n = 0;
    if (!read_number(value->text, "", 1, KW_CONFIG_SESSIONS_MAX, &n)) {
        kw_inifile_problem(b->file, value->line, "sessions = %s: write a number from 1 to %d", value->text, KW_CONFIG_SESSIONS_MAX);
        return;
    }
    b->token->sessions = (unsigned)n;
}

static void set_wait(void *context, const struct kw_inifile_value *value)
{
    struct build *b = context;
    unsigned long n = 0;
    if (read_number(value->text, "s", 1, KW_CONFIG_WAIT_MAX_MS / 1000, &n)) {
        n *= 1000;
    } else if (!read_number(value->text, "ms", 1, KW_CONFIG_WAIT_MAX_MS, &n)) {
        kw_inifile_problem(b->file, value->line, "wait = %s: write a time up to 60s, such as 5s or 500ms", value->text);
        return;
    }
    b->token->wait_ms = (long)n;
}

static void set_tenant(void *context, const struct kw_inifile_value *value)
{
    struct build *b = context;
    copy(b, &b->slot->tenant, value->text);
}

static void set_slot_geo(void *context, const struct kw_inifile_value *value)
{
    struct build *b = context;
    copy(b, &b->slot->geo, value->text);
}

static void set_key(void *context, const struct kw_inifile_value *value)
{
    struct build *b = context;
    if (strlen(value->text) > KEY_LABEL_MAX) {
        kw_inifile_problem(b->file, value->line,
                           "the key label of [slot %s] is longer than %d bytes; shorten it", b->section->name,
                           KEY_LABEL_MAX);
        return;
    }
    copy(b, &b->slot->key, value->text);
}

static const struct kw_config_token *find_token(const struct kw_config *config, const char *name, size_t len)
{
    for (size_t i = 0; i < config->token_count; i++) {
        if (is_word(name, len, config->tokens[i].name)) {
            return &config->tokens[i];
        }
    }
    return NULL;
}

static bool slot_has(const struct kw_config_slot *slot, const struct kw_config_token *token)
{
    for (size_t i = 0; i < slot->token_count; i++) {
        if (slot->tokens[i] == token) {
            return true;
        }
    }
    return false;
}

static void add_member(struct build *b, const char *name, size_t len, int line)
{
    struct kw_config_slot *slot = b->slot;
    const struct kw_config_token *token = find_token(b->config, name, len);
    if (token == NULL) {
        kw_inifile_problem(b->file, line,
                           "[slot %s] uses the token '%.*s', which is not defined; add a section "
                           "[token %.*s] or mend the name",
                           b->section->name, (int)len, name, (int)len, name);
    } else if (slot_has(slot, token)) {
        kw_inifile_problem(b->file, line, "[slot %s] names the token '%s' twice; name it once",
                           b->section->name, token->name);
    } else if (slot->token_count == KW_CONFIG_MEMBERS_MAX) {
        kw_inifile_problem(b->file, line, "[slot %s] has more than %d tokens; take '%s' out",
                           b->section->name, KW_CONFIG_MEMBERS_MAX, token->name);
    } else {
        slot->tokens[slot->token_count++] = token;
    }
}

static void set_tokens(void *context, const struct kw_inifile_value *value)
{
    struct build *b = context;
    const char *at = value->text;
    size_t len = 0;
    for (const char *word = next_word(&at, &len); word != NULL; word = next_word(&at, &len)) {
        add_member(b, word, len, value->line);
    }
}

static void set_data_keys(void *context, const struct kw_inifile_value *value)
{
    struct build *b = context;
    if (strcmp(value->text, "readable") != 0 && strcmp(value->text, "sealed") != 0) {
        kw_inifile_problem(b->file, value->line, "data-keys = %s: write readable or sealed", value->text);
        return;
    }
    b->slot->sealed = strcmp(value->text, "sealed") == 0;
}

static void set_spread(void *context, const struct kw_inifile_value *value)
{
    struct build *b = context;
    if (strcmp(value->text, "yes") != 0 && strcmp(value->text, "no") != 0) {
        kw_inifile_problem(b->file, value->line, "spread = %s: write yes or no", value->text);
        return;
    }
    b->slot->spread = strcmp(value->text, "yes") == 0;
}

static void set_mechanisms(void *context, const struct kw_inifile_value *value)
{
    struct build *b = context;
    const char *at = value->text;
    size_t len = 0;
    b->slot->mechanisms = 0;
    b->slot->asks_mechanisms = true;
    for (const char *word = next_word(&at, &len); word != NULL; word = next_word(&at, &len)) {
        if (is_word(word, len, "standard")) {
            b->slot->mechanisms |= KW_MECHANISMS_STANDARD;
        } else if (is_word(word, len, "envelope")) {
            b->slot->mechanisms |= KW_MECHANISMS_ENVELOPE;
        } else {
            kw_inifile_problem(b->file, value->line, "mechanisms = %.*s: known are standard and envelope", (int)len, word);
        }
    }
}

/* The schema: a new key is a row here and a setter above. */

static const struct kw_inifile_key keyward_keys[] = {
    {"geo", KW_INIFILE_NO_JOIN, false, set_host_geo},
    {"log", KW_INIFILE_NO_JOIN, false, set_log},
};
static const struct kw_inifile_key token_keys[] = {
    {"uri", KW_INIFILE_GLUE, true, set_uri},
    {"geo", KW_INIFILE_NO_JOIN, false, set_token_geo},
    {"init", KW_INIFILE_NO_JOIN, false, set_init},
    {"accept-weak-token", KW_INIFILE_NO_JOIN, false, set_weak},
    {"sessions", KW_INIFILE_NO_JOIN, false, set_sessions},
    {"wait", KW_INIFILE_NO_JOIN, false, set_wait},
};
static const struct kw_inifile_key slot_keys[] = {
    {"tenant", KW_INIFILE_NO_JOIN, false, set_tenant},
    {"geo", KW_INIFILE_NO_JOIN, false, set_slot_geo},
    {"key", KW_INIFILE_NO_JOIN, false, set_key},
    {"tokens", KW_INIFILE_LIST, true, set_tokens},
    {"data-keys", KW_INIFILE_NO_JOIN, false, set_data_keys},
    {"spread", KW_INIFILE_NO_JOIN, false, set_spread},
    {"mechanisms", KW_INIFILE_LIST, false, set_mechanisms},
};
#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])
_Static_assert(COUNT(slot_keys) <= KW_INIFILE_VALUES_MAX, "a section has room for all of its keys");

enum { KEYWARD, TOKEN, SLOT, KINDS };
static const struct kw_inifile_kind kinds[KINDS] = {
    [KEYWARD] = {"keyward", false, COUNT(keyward_keys), keyward_keys},
    [TOKEN] = {"token", true, COUNT(token_keys), token_keys},
    [SLOT] = {"slot", true, COUNT(slot_keys), slot_keys},
};

/* From sections to the tree. */

static size_t count_sections(const struct kw_inifile *file, const struct kw_inifile_kind *kind)
{
    size_t n = 0;
    for (size_t i = 0; i < file->section_count; i++) {
        n += file->sections[i].kind == kind;
    }
    return n;
}

static bool make_room(struct kw_inifile *file, struct kw_config *config)
{
    static const struct {
        int kind;
        size_t max;
    } limits[] = {{TOKEN, KW_CONFIG_TOKENS_MAX}, {SLOT, KW_CONFIG_SLOTS_MAX}};
    for (size_t i = 0; i < COUNT(limits); i++) {
        size_t n = count_sections(file, &kinds[limits[i].kind]);
        if (n > limits[i].max) {
            kw_inifile_problem(file, 0,
                               "has %zu [%s NAME] sections, more than %zu; spread them "
                               "over several hosts",
                               n, kinds[limits[i].kind].word, limits[i].max);
            return false;
        }
    }
    /* One more than needed: calloc(0) may give NULL. */
    struct kw_config_token *tokens = calloc(count_sections(file, &kinds[TOKEN]) + 1, sizeof *tokens);
    struct kw_config_slot *slots = calloc(count_sections(file, &kinds[SLOT]) + 1, sizeof *slots);
    if (tokens == NULL || slots == NULL) {
        free(tokens);
        free(slots);
        file->no_memory = true;
        return false;
    }
    config->tokens = tokens;
    config->slots = slots;
    return true;
}

static void build_token(struct build *b)
{
    b->token = &b->config->tokens[b->config->token_count++];
    b->token->line = b->section->line;
    b->token->sessions = KW_CONFIG_SESSIONS;
    b->token->wait_ms = KW_CONFIG_WAIT_MS;
    memcpy(b->token->name, b->section->name, sizeof b->token->name);
    kw_inifile_apply(b->section, b);
}

static void build_slot(struct build *b)
{
    b->slot = &b->config->slots[b->config->slot_count++];
    b->slot->line = b->section->line;
    b->slot->mechanisms = KW_MECHANISMS_STANDARD | KW_MECHANISMS_ENVELOPE;
    memcpy(b->slot->name, b->section->name, sizeof b->slot->name);
    kw_inifile_apply(b->section, b);
    if (b->slot->key == NULL) {
        copy(b, &b->slot->key, b->slot->name);
    }
}

/* Tokens first: slots point to them. */
static void build_tree(struct build *b)
{
    if (!make_room(b->file, b->config)) {
        return;
    }
    for (int kind = KEYWARD; kind < KINDS; kind++) {
        for (size_t i = 0; i < b->file->section_count; i++) {
            b->section = &b->file->sections[i];
            if (b->section->kind != &kinds[kind]) {
                continue;
            }
            if (kind == KEYWARD) {
                kw_inifile_apply(b->section, b);
            } else if (kind == TOKEN) {
                build_token(b);
            } else {
                build_slot(b);
            }
        }
    }
    if (count_sections(b->file, &kinds[SLOT]) == 0) {
        kw_inifile_problem(b->file, 0, "has no [slot NAME] section; add one for each master key");
    }
}

/* What holds between sections. */

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static const char *or_none(const char *geo)
{
    return geo == NULL ? "(none)" : geo;
}

/* Residency, DESIGN section 3: replicas and failover never cross a geo. */
static void check_geo(struct build *b, const struct kw_config_slot *slot)
{
    const char *host = b->config->geo;
    if (host != NULL && !same_text(host, slot->geo)) {
        kw_inifile_problem(b->file, slot->line,
                           "[slot %s] has geo %s, this host has geo %s; a slot is served in its own "
                           "geo only: mend geo or move the slot",
                           slot->name, or_none(slot->geo), host);
    }
    for (size_t i = 0; i < slot->token_count; i++) {
        if (!same_text(slot->geo, slot->tokens[i]->geo)) {
            kw_inifile_problem(b->file, slot->line,
                               "[slot %s] has geo %s, its token '%s' (line %d) has geo %s; a slot and "
                               "its tokens have one geo: mend geo or take the token out",
                               slot->name, or_none(slot->geo), slot->tokens[i]->name, slot->tokens[i]->line,
                               or_none(slot->tokens[i]->geo));
        }
    }
}

/* Debian, for one, has SoftHSM under two names. */
static bool is_same_module(const struct kw_config_token *a, const struct kw_config_token *b)
{
    struct stat one;
    struct stat other;
    return strcmp(a->module_path, b->module_path) == 0 || (stat(a->module_path, &one) == 0 && stat(b->module_path, &other) == 0 &&
                                                           one.st_dev == other.st_dev && one.st_ino == other.st_ino);
}

/* Two names for one token would let two slots meet on it unseen, and make a replica of itself. */
static void check_token(struct build *b, const struct kw_config_token *token)
{
    for (const struct kw_config_token *t = b->config->tokens; t < token; t++) {
        if (token->uri == NULL || t->uri == NULL) {
            continue;
        }
        bool same = kw_tokenuri_same(t, token);
        if ((!same && same_text(t->init, token->init)) || !is_same_module(t, token)) {
            continue;
        }
        if (same) {
            kw_inifile_problem(b->file, token->line,
                               "[token %s] and [token %s] (line %d) mean the same token; keep one of "
                               "them, or tell them apart by serial",
                               token->name, t->name, t->line);
        }
        if (!same_text(t->init, token->init)) {
            kw_inifile_problem(b->file, token->line,
                               "[token %s] and [token %s] (line %d) have the same module and another "
                               "init, but a module is initialized once; give both the same init",
                               token->name, t->name, t->line);
        }
    }
}

static const struct kw_config_token *shared_token(const struct kw_config_slot *a,
                                                  const struct kw_config_slot *b)
{
    for (size_t i = 0; i < a->token_count; i++) {
        if (slot_has(b, a->tokens[i])) {
            return a->tokens[i];
        }
    }
    return NULL;
}

/* Whether `key` is the label under which data keys or the origin key of `of` live (DESIGN sections 5 and 6). */
static bool is_data_label(const char *key, const char *of)
{
    size_t len = strlen(of);
    return strncmp(key, of, len) == 0 && (strcmp(key + len, "/data") == 0 || strcmp(key + len, "/origin") == 0);
}

/* Slots on one token are kept apart by their key labels (DESIGN G5). */
static void check_labels(struct build *b, const struct kw_config_slot *slot)
{
    for (const struct kw_config_slot *s = b->config->slots; s < slot; s++) {
        if (s->key == NULL || slot->key == NULL) {
            continue;
        }
        bool twins = strcmp(s->key, slot->key) == 0;
        bool data = is_data_label(s->key, slot->key) || is_data_label(slot->key, s->key);
        const struct kw_config_token *token = twins || data ? shared_token(s, slot) : NULL;
        if (token != NULL) {
            kw_inifile_problem(b->file, slot->line,
                               "[slot %s] and [slot %s] (line %d) would see each other's keys on the "
                               "token '%s': %s; give one of them another key",
                               slot->name, s->name, s->line, token->name,
                               twins ? "their key labels are equal"
                                     : "one's key label is the other's label of data keys or of its origin key");
        }
    }
}

/* What can spoil one token only: the first problem stays with it, each is told. */
static void look_at_token(struct build *b, struct kw_config_token *token)
{
    int fd = -1;
    const char *problem = kw_trust_open(token->module_path, KW_TRUST_CONFIG, &fd);
    b->file->no_memory = b->file->no_memory || problem == kw_trust_short; /* no fault of the file, to be kept until the next start */
    if (problem == NULL) {
        (void)close(fd);
    } else {
        token->problem = kw_inifile_remark(b->file, token->line, "the module %s of [token %s] %s",
                                           token->module_path, token->name, problem);
    }
    problem = kw_pin_file_problem(token);
    b->file->no_memory = b->file->no_memory || problem == kw_trust_short;
    if (problem != NULL) {
        char *text = kw_inifile_remark(b->file, token->line, "the PIN source %s of [token %s] %s",
                                       token->pin_source, token->name, problem);
        if (token->problem == NULL) {
            token->problem = text;
        } else {
            free(text);
        }
    }
}

static void check_tree(struct build *b)
{
    struct kw_config *c = b->config;
    for (size_t i = 0; i < c->token_count; i++) {
        check_token(b, &c->tokens[i]);
        if (c->tokens[i].uri != NULL) {
            look_at_token(b, &c->tokens[i]);
        }
    }
    for (size_t i = 0; i < c->slot_count; i++) {
        if (c->slots[i].name[0] != '\0') { /* else its name was refused: enough for one slot */
            check_geo(b, &c->slots[i]);
            check_labels(b, &c->slots[i]);
        }
    }
}

/* The whole. */

static void build_config(struct build *b, int fd)
{
    if (kw_inifile_read(b->file, fd, kinds, KINDS)) {
        build_tree(b);
    }
    if (!b->file->no_memory) {
        check_tree(b);
    }
    kw_inifile_clear(b->file);
}

static const char *choose_path(const char *path)
{
    if (path == NULL) {
        /* secure_getenv: a set-user-id program must not load the module that its caller names. */
        path = secure_getenv("KEYWARD_CONF");
    }
    return path == NULL || path[0] == '\0' ? default_path : path;
}

struct kw_rv kw_config_load(const char *path, kw_config_report *report, void *data, struct kw_config **out)
{
    struct kw_inifile file = {.path = choose_path(path), .report = report, .data = data};
    struct kw_config *config = calloc(1, sizeof *config);
    if (config == NULL || (config->path = strdup(file.path)) == NULL) {
        kw_config_free(config);
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for the configuration");
    }
    int fd = -1;
    const char *problem = kw_trust_open(file.path, KW_TRUST_CONFIG, &fd);
    if (problem != NULL) {
        kw_inifile_problem(&file, 0, "the configuration %s", problem);
    } else {
        struct build b = {.file = &file, .config = config};
        build_config(&b, fd);
        (void)close(fd);
    }
    if (file.no_memory) {
        kw_config_free(config);
        return KW_FAIL(CKR_HOST_MEMORY, "no memory for the configuration");
    }
    if (file.problems > 0) {
        kw_config_free(config);
        return KW_FAIL(CKR_GENERAL_ERROR, "the configuration has a problem; the log says where");
    }
    *out = config;
    return KW_OK;
}

void kw_config_free(struct kw_config *config)
{
    if (config == NULL) {
        return;
    }
    for (size_t i = 0; i < config->token_count; i++) {
        kw_tokenuri_clear(&config->tokens[i]);
        free(config->tokens[i].init);
        free(config->tokens[i].geo);
        free(config->tokens[i].problem);
    }
    for (size_t i = 0; i < config->slot_count; i++) {
        free(config->slots[i].tenant);
        free(config->slots[i].geo);
        free(config->slots[i].key);
    }
    free(config->tokens);
    free(config->slots);
    free(config->path);
    free(config->geo);
    free(config->log);
    free(config);
}

const struct kw_config_slot *kw_config_slot(const struct kw_config *config, const char *name)
{
    for (size_t i = 0; i < config->slot_count; i++) {
        if (strcmp(config->slots[i].name, name) == 0) {
            return &config->slots[i];
        }
    }
    return NULL;
}
