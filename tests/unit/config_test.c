/* config_test.c: keyward.conf, read whole, refused with file and line. */
#include "config.h"

#include <stdint.h>

#include "config_cases.h"
#include "scratch.h"

enum { HEARD_MAX = 64 };

static struct {
    size_t count;
    char text[HEARD_MAX][1024];
} heard;

static void listen(void *data, const char *sentence)
{
    CU_ASSERT_PTR_EQUAL(data, &heard);
    CU_ASSERT_FATAL(heard.count < HEARD_MAX);
    (void)snprintf(heard.text[heard.count++], sizeof heard.text[0], "%s", sentence);
}

static struct kw_rv load(const char *path, struct kw_config **config)
{
    heard.count = 0;
    return kw_config_load(path, listen, &heard, config);
}

/* Writes the text as keyward.conf, each @ replaced by the scratch folder, and loads it. */
static struct kw_rv load_text(const char *text, struct kw_config **config)
{
    static char whole[512 * 1024];
    size_t used = 0;
    for (const char *c = text; *c != '\0'; c++) {
        CU_ASSERT_FATAL(used + sizeof scratch_folder < sizeof whole);
        if (*c == '@') {
            used += (size_t)snprintf(whole + used, sizeof whole - used, "%s", scratch_folder);
        } else {
            whole[used++] = *c;
        }
    }
    return load(scratch_write("keyward.conf", whole, used, 0644), config);
}

/* A failure that names the case. */
static void expect(bool good, const char *name, const char *what)
{
    if (!good) {
        (void)printf("\n    case '%s': %s", name, what);
        for (size_t i = 0; i < heard.count; i++) {
            (void)printf("\n      heard: %s", heard.text[i]);
        }
    }
    CU_ASSERT(good);
}

/* Whether the sentence is "FILE:LINE: ...words...", or "FILE: ...words..." for line 0. */
static bool says(const char *sentence, int line, const char *words)
{
    char start[PATH_MAX + 32];
    (void)snprintf(start, sizeof start, line > 0 ? "%s:%d: " : "%s: ", scratch_path("keyward.conf"), line);
    return strncmp(sentence, start, strlen(start)) == 0 && strstr(sentence, words) != NULL;
}

/* What loads. */

static const char design_example[] =
    "[keyward]\n"
    "geo = eu                                   # where this host is; optional\n"
    "log = file:/var/log/keyward/keyward.log\n"
    "\n"
    "[token eu-1]\n"
    "uri = pkcs11:token=eu-1?module-path=@/vendor.so&pin-source=file:@/eu-1.pin\n"
    "geo = eu\n"
    "init = configdir='sql:/var/lib/nss' flags=\n"
    "sessions = 20\n"
    "wait = 250ms\n"
    "[token eu-2]\n"
    "uri = pkcs11:serial=0815;manufacturer=Example%20AG\n"
    "  ?module-path=@/other.so          ; comment of a continuation\n"
    "      &pin-source=credential:eu-2.pin\n"
    "geo = eu\n"
    "accept-weak-token = yes\n"
    "\n"
    "[slot contoso-prod]\n"
    "tenant = contoso\n"
    "geo = eu\n"
    "key = contoso-prod                         # CKA_LABEL of the CMK\n"
    "tokens = eu-1\n"
    "\n"
    "   # a comment between\n"
    "\teu-2                                    # replicas of the same CMK\n"
    "data-keys = sealed                         # or readable\n"
    "spread = yes\n"
    "mechanisms = standard\n"
    "; the second slot lives on defaults\n"
    "[slot fabrikam.test_1]\n"
    "geo = eu\n"
    "tokens = eu-2\n";

static void design_example_loads(void)
{
    struct kw_config *c = NULL;
    CU_ASSERT_FATAL(kw_ok(load_text(design_example, &c)));
    if (c == NULL) {
        return;
    }
    CU_ASSERT_EQUAL(heard.count, 0);
    CU_ASSERT_STRING_EQUAL(c->path, scratch_path("keyward.conf"));
    CU_ASSERT_STRING_EQUAL(c->geo, "eu");
    CU_ASSERT_STRING_EQUAL(c->log, "file:/var/log/keyward/keyward.log");

    CU_ASSERT_EQUAL_FATAL(c->token_count, 2);
    const struct kw_config_token *t = c->tokens;
    CU_ASSERT_STRING_EQUAL(t[0].name, "eu-1");
    CU_ASSERT_EQUAL(t[0].line, 5);
    CU_ASSERT_STRING_EQUAL(t[0].module_path, scratch_path("vendor.so"));
    CU_ASSERT_STRING_EQUAL(t[0].geo, "eu");
    CU_ASSERT_STRING_EQUAL(t[0].init, "configdir='sql:/var/lib/nss' flags=");
    CU_ASSERT(strncmp(t[0].pin_source, "file:/", 6) == 0);
    CU_ASSERT_PTR_NULL(t[0].pin_value);
    CU_ASSERT_PTR_NULL(t[0].problem);
    CU_ASSERT(memcmp(p11_kit_uri_get_token_info(t[0].uri)->label, "eu-1                            ", 32) ==
              0);
    CU_ASSERT_STRING_EQUAL(t[1].name, "eu-2");
    CU_ASSERT_STRING_EQUAL(t[1].module_path, scratch_path("other.so"));
    CU_ASSERT_STRING_EQUAL(t[1].pin_source, "credential:eu-2.pin");
    CU_ASSERT(memcmp(p11_kit_uri_get_token_info(t[1].uri)->manufacturerID, "Example AG                      ",
                     32) == 0);
    CU_ASSERT_PTR_NULL(t[1].init);
    CU_ASSERT(!t[0].accepts_weak);
    CU_ASSERT(t[1].accepts_weak);
    CU_ASSERT_EQUAL(t[0].sessions, 20);
    CU_ASSERT_EQUAL(t[0].wait_ms, 250);
    CU_ASSERT_EQUAL(t[1].sessions, KW_CONFIG_SESSIONS);
    CU_ASSERT_EQUAL(t[1].wait_ms, KW_CONFIG_WAIT_MS);

    CU_ASSERT_EQUAL_FATAL(c->slot_count, 2);
    const struct kw_config_slot *s = kw_config_slot(c, "contoso-prod");
    CU_ASSERT_PTR_EQUAL_FATAL(s, &c->slots[0]);
    CU_ASSERT_EQUAL(s->line, 18);
    CU_ASSERT_TRUE(s->spread);
    CU_ASSERT_STRING_EQUAL(s->tenant, "contoso");
    CU_ASSERT_STRING_EQUAL(s->geo, "eu");
    CU_ASSERT_STRING_EQUAL(s->key, "contoso-prod");
    CU_ASSERT_EQUAL_FATAL(s->token_count, 2);
    CU_ASSERT_PTR_EQUAL(s->tokens[0], &t[0]);
    CU_ASSERT_PTR_EQUAL(s->tokens[1], &t[1]);
    CU_ASSERT_TRUE(s->sealed);
    CU_ASSERT_EQUAL(s->mechanisms, KW_MECHANISMS_STANDARD);
    CU_ASSERT_TRUE(s->asks_mechanisms);

    s = kw_config_slot(c, "fabrikam.test_1");
    CU_ASSERT_PTR_EQUAL_FATAL(s, &c->slots[1]);
    CU_ASSERT_PTR_NULL(s->tenant);
    CU_ASSERT_STRING_EQUAL(s->key, "fabrikam.test_1");
    CU_ASSERT_EQUAL_FATAL(s->token_count, 1);
    CU_ASSERT_PTR_EQUAL(s->tokens[0], &t[1]);
    CU_ASSERT_FALSE(s->sealed);
    CU_ASSERT_FALSE(s->spread);
    CU_ASSERT_EQUAL(s->mechanisms, KW_MECHANISMS_STANDARD | KW_MECHANISMS_ENVELOPE);
    CU_ASSERT_FALSE(s->asks_mechanisms);
    CU_ASSERT_PTR_NULL(kw_config_slot(c, "contoso"));
    kw_config_free(c);
}

static void good_files_load(void)
{
    for (size_t i = 0; i < sizeof good_files / sizeof good_files[0]; i++) {
        struct kw_config *c = NULL;
        struct kw_rv r = load_text(good_files[i].text, &c);
        expect(kw_ok(r) && heard.count == 0 && c != NULL, good_files[i].name, "must load in silence");
        kw_config_free(c);
    }
}

static void bad_files_are_refused(void)
{
    for (size_t i = 0; i < sizeof bad_files / sizeof bad_files[0]; i++) {
        struct kw_config *c = NULL;
        struct kw_rv r = load_text(bad_files[i].text, &c);
        expect(r.code == CKR_GENERAL_ERROR && c == NULL, bad_files[i].name, "must be refused");
        size_t n = 0;
        while (n < 4 && bad_files[i].heard[n].words != NULL) {
            bool told = n < heard.count &&
                        says(heard.text[n], bad_files[i].heard[n].line, bad_files[i].heard[n].words);
            expect(told, bad_files[i].name, bad_files[i].heard[n].words);
            n++;
        }
        expect(heard.count == n, bad_files[i].name, "told more problems than there are");
        kw_config_free(c);
    }
}

static void bad_uris_are_refused_and_never_quoted(void)
{
    for (size_t i = 0; i < sizeof bad_uris / sizeof bad_uris[0]; i++) {
        char text[1024];
        struct kw_config *c = NULL;
        (void)snprintf(text, sizeof text, "[token a]\n# one line down\nuri = %s\n" SLOT_S, bad_uris[i].uri);
        struct kw_rv r = load_text(text, &c);
        expect(r.code == CKR_GENERAL_ERROR && c == NULL, bad_uris[i].name, "must be refused");
        expect(heard.count == 1 && says(heard.text[0], 3, bad_uris[i].words), bad_uris[i].name,
               bad_uris[i].words);
        expect(heard.count == 1 && strstr(heard.text[0], "s3cret") == NULL, bad_uris[i].name,
               "must not quote a PIN");
        kw_config_free(c);
    }
}

static void nul_byte_is_refused(void)
{
    static const char text[] = "[token a]\nuri = x\n[slot s]\ntenant = a\0b\ntokens = a\n";
    struct kw_config *c = NULL;
    struct kw_rv r = load(scratch_write("keyward.conf", text, sizeof text - 1, 0644), &c);
    CU_ASSERT_EQUAL(r.code, CKR_GENERAL_ERROR);
    CU_ASSERT_EQUAL(heard.count, 2);
    CU_ASSERT(says(heard.text[0], 4, "NUL byte"));
    CU_ASSERT(says(heard.text[1], 2, "pkcs11:"));
}

static void all_problems_are_told_up_to_twenty(void)
{
    char text[2048] = TOKEN_A SLOT_S;
    size_t used = strlen(text);
    struct kw_config *c = NULL;
    for (int i = 0; i < 20; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "wrong-%d = x\n", i);
    }
    CU_ASSERT_EQUAL(load_text(text, &c).code, CKR_GENERAL_ERROR);
    CU_ASSERT_EQUAL(heard.count, 20);
    CU_ASSERT(says(heard.text[0], 5, "'wrong-0'"));
    CU_ASSERT(says(heard.text[19], 24, "'wrong-19'"));
    (void)snprintf(text + used, sizeof text - used, "wrong-20 = x\nwrong-21 = x\n");
    CU_ASSERT_EQUAL(load_text(text, &c).code, CKR_GENERAL_ERROR);
    CU_ASSERT_EQUAL(heard.count, 21);
    CU_ASSERT(says(heard.text[20], 0, "and more problems"));
    CU_ASSERT_PTR_NULL(c);
    /* Nobody has to listen. */
    CU_ASSERT_EQUAL(kw_config_load(scratch_path("keyward.conf"), NULL, NULL, &c).code, CKR_GENERAL_ERROR);
}

/* `tokens` tokens and `slots` slots, all on the first token. */
static struct kw_rv load_many(size_t tokens, size_t slots, struct kw_config **config)
{
    static char text[256 * 1024];
    size_t used = 0;
    for (size_t i = 0; i < tokens; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "[token t%zu]\nuri=pkcs11:serial=%zu?module-path=@/vendor.so\n", i, i);
    }
    for (size_t i = 0; i < slots; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "[slot s%zu]\ntokens=t0\n", i);
    }
    return load_text(text, config);
}

static void limits_hold(void)
{
    struct kw_config *c = NULL;
    CU_ASSERT_FATAL(kw_ok(load_many(KW_CONFIG_TOKENS_MAX, KW_CONFIG_SLOTS_MAX, &c)));
    CU_ASSERT_EQUAL(c->token_count, KW_CONFIG_TOKENS_MAX);
    CU_ASSERT_EQUAL(c->slot_count, KW_CONFIG_SLOTS_MAX);
    CU_ASSERT_STRING_EQUAL(c->slots[1023].key, "s1023");
    kw_config_free(c);
    c = NULL;
    CU_ASSERT_EQUAL(load_many(KW_CONFIG_TOKENS_MAX + 1, 1, &c).code, CKR_GENERAL_ERROR);
    CU_ASSERT(heard.count == 1 && says(heard.text[0], 0, "257 [token NAME] sections, more than 256"));
    CU_ASSERT_EQUAL(load_many(1, KW_CONFIG_SLOTS_MAX + 1, &c).code, CKR_GENERAL_ERROR);
    CU_ASSERT(heard.count == 1 && says(heard.text[0], 0, "1025 [slot NAME] sections, more than 1024"));
    CU_ASSERT_PTR_NULL(c);
    static char large[1024 * 1024 + 1];
    memset(large, '\n', sizeof large);
    CU_ASSERT_EQUAL(load(scratch_write("keyward.conf", large, sizeof large, 0644), &c).code,
                    CKR_GENERAL_ERROR);
    CU_ASSERT(heard.count == 1 && says(heard.text[0], 0, "larger than 1048576 bytes"));
}

/* The file itself. */

static const struct {
    const char *name;
    mode_t mode;
    uid_t owner;
    const char *words; /* NULL: loads */
} files[] = {
    {"for all to read", 0644, 0, NULL},
    {"for nobody else", 0600, 0, NULL},
    {"for the group to read", 0440, 0, NULL},
    {"for the group to write", 0664, 0, "may be written by its group or by others"},
    {"for others to write", 0646, 0, "may be written by its group or by others"},
    {"of another user", 0644, 1, "belongs to another user"},
};

static void permissions_are_judged(void)
{
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct kw_config *c = NULL;
        (void)load_text(TOKEN_A SLOT_S, &c);
        kw_config_free(c);
        c = NULL;
        const char *path = scratch_path("keyward.conf");
        bool made = chmod(path, files[i].mode) == 0;
        if (files[i].owner != 0) {
            if (geteuid() != 0) {
                continue; /* only root can give a file away */
            }
            made = made && chown(path, files[i].owner, (gid_t)-1) == 0;
        }
        CU_ASSERT_FATAL(made);
        struct kw_rv r = load(path, &c);
        if (files[i].words == NULL) {
            expect(kw_ok(r) && heard.count == 0, files[i].name, "must load");
        } else {
            expect(r.code == CKR_GENERAL_ERROR && heard.count == 1 && says(heard.text[0], 0, files[i].words),
                   files[i].name, files[i].words);
        }
        kw_config_free(c);
    }
}

static void what_is_no_file_is_refused(void)
{
    struct kw_config *c = NULL;
    const char *path = scratch_path("keyward.conf");
    (void)unlink(path);
    CU_ASSERT_EQUAL(load(path, &c).code, CKR_GENERAL_ERROR);
    CU_ASSERT(heard.count == 1 && says(heard.text[0], 0, "does not exist"));
    CU_ASSERT_FATAL(mkdir(path, 0755) == 0);
    CU_ASSERT_EQUAL(load(path, &c).code, CKR_GENERAL_ERROR);
    CU_ASSERT(heard.count == 1 && says(heard.text[0], 0, "is not a regular file"));
    CU_ASSERT_FATAL(rmdir(path) == 0 && mkfifo(path, 0600) == 0);
    CU_ASSERT_EQUAL(load(path, &c).code, CKR_GENERAL_ERROR); /* and does not wait for a writer */
    CU_ASSERT(heard.count == 1 && says(heard.text[0], 0, "is not a regular file"));
    CU_ASSERT_FATAL(unlink(path) == 0 && symlink("keyward.conf", path) == 0);
    CU_ASSERT_EQUAL(load(path, &c).code, CKR_GENERAL_ERROR);
    CU_ASSERT(heard.count == 1 && says(heard.text[0], 0, "loop of symbolic links"));
    CU_ASSERT_PTR_NULL(c);
    CU_ASSERT(unlink(path) == 0);
}

static void path_comes_from_the_environment(void)
{
    struct kw_config *c = NULL;
    CU_ASSERT_FATAL(kw_ok(load_text(TOKEN_A SLOT_S, &c)));
    kw_config_free(c);
    c = NULL;
    CU_ASSERT_FATAL(setenv("KEYWARD_CONF", scratch_path("keyward.conf"), 1) == 0);
    CU_ASSERT_FATAL(kw_ok(load(NULL, &c)));
    CU_ASSERT_STRING_EQUAL(c->path, scratch_path("keyward.conf"));
    kw_config_free(c);
    c = NULL;
    CU_ASSERT_FATAL(setenv("KEYWARD_CONF", "/nonexistent/by-environment", 1) == 0);
    CU_ASSERT_EQUAL(load(NULL, &c).code, CKR_GENERAL_ERROR);
    CU_ASSERT(heard.count == 1 && strstr(heard.text[0], "/nonexistent/by-environment: ") != NULL);
    CU_ASSERT(kw_ok(load(scratch_path("keyward.conf"), &c))); /* an explicit path wins */
    kw_config_free(c);
    CU_ASSERT(unsetenv("KEYWARD_CONF") == 0);
    if (access("/etc/keyward/keyward.conf", F_OK) != 0) {
        CU_ASSERT_EQUAL(load(NULL, &c).code, CKR_GENERAL_ERROR);
        CU_ASSERT(heard.count == 1 && strstr(heard.text[0], "/etc/keyward/keyward.conf: ") != NULL);
    }
}

/* What spoils one token only. */

static const struct {
    const char *name;
    const char *query;
    const char *words[2];
} spoiled[] = {
    {"a module that is not there", "module-path=@/missing.so", {"missing.so of [token a] does not"}},
    {"a module that is a folder", "module-path=@", {"is not a regular file"}},
    {"a PIN file that is not there",
     "module-path=@/vendor.so&pin-source=file:@/no.pin",
     {"no.pin of [token a] does not exist"}},
    {"a PIN file that others may read",
     "module-path=@/vendor.so&pin-source=file:@/open.pin",
     {"is open to others"}},
    {"a PIN file as a mere path", "module-path=@/vendor.so&pin-source=@/open.pin", {"is open to others"}},
    {"a PIN file with an empty host",
     "module-path=@/vendor.so&pin-source=file://@/open.pin",
     {"is open to others"}},
    {"a PIN file for the group to write",
     "module-path=@/vendor.so&pin-source=file:@/group.pin",
     {"may be written by its group"}},
    {"a relative PIN file", "module-path=@/vendor.so&pin-source=file:eu-1.pin", {"is not file:/PATH"}},
    {"both", "module-path=@/missing.so&pin-source=file:@/no.pin", {"missing.so", "no.pin"}},
};

static void token_problems_spoil_one_token(void)
{
    (void)scratch_write("open.pin", "1234\n", 5, 0604);
    (void)scratch_write("group.pin", "1234\n", 5, 0620);
    for (size_t i = 0; i < sizeof spoiled / sizeof spoiled[0]; i++) {
        char text[1024];
        struct kw_config *c = NULL;
        (void)snprintf(text, sizeof text, "%s[token a]\nuri = pkcs11:token=a?\n  %s\n" SLOT_S, TOKEN_B,
                       spoiled[i].query);
        expect(kw_ok(load_text(text, &c)), spoiled[i].name, "must load");
        size_t n = spoiled[i].words[1] == NULL ? 1 : 2;
        expect(heard.count == n, spoiled[i].name, "each problem is told once");
        for (size_t j = 0; j < n && j < heard.count; j++) {
            expect(says(heard.text[j], 3, spoiled[i].words[j]), spoiled[i].name, spoiled[i].words[j]);
        }
        if (c == NULL) {
            continue;
        }
        const char *kept = c->tokens[1].problem;
        expect(kept != NULL && strcmp(kept, heard.text[0]) == 0, spoiled[i].name, "must be kept");
        CU_ASSERT_PTR_NULL(c->tokens[0].problem);
        kw_config_free(c);
    }
}

/* Secrets. */

/* The PIN is computed, never stored by the test, so that the search does not find itself. Its second half is
 * what is searched: malloc(3) writes over the beginning of what is freed. */
enum { PIN_LEN = 64, PIN_HALF = 32 };

static unsigned char pin_letter(uint32_t i)
{
    return (unsigned char)('A' + (i * 2654435761U >> 20) % 26);
}

static size_t count_in(const unsigned char *bytes, size_t len)
{
    const unsigned char *end = bytes + (len < PIN_HALF ? 0 : len - PIN_HALF + 1);
    size_t found = 0;
    while ((bytes = memchr(bytes, pin_letter(PIN_HALF), (size_t)(end - bytes))) != NULL) {
        uint32_t same = 1;
        while (same < PIN_HALF && bytes[same] == pin_letter(PIN_HALF + same)) {
            same++;
        }
        found += same == PIN_HALF;
        bytes++;
    }
    return found;
}

/* How often the PIN stands in the writable memory of this process. */
static size_t count_in_memory(void)
{
    static unsigned char piece[64 * 1024];
    FILE *maps = fopen("/proc/self/maps", "re");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    CU_ASSERT_FATAL(maps != NULL && memory >= 0);
    char line[512];
    size_t found = 0;
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from = 0;
        unsigned long to = 0;
        bool writable = scratch_mapping(line, &from, &to) && strstr(line, " rw") != NULL;
        /* ASan's shadow is terabytes of nothing. */
        for (; writable && to - from < (1UL << 32) && from < to; from += sizeof piece - PIN_HALF) {
            if (from <= (unsigned long)piece && (unsigned long)piece < from + sizeof piece) {
                continue;
            }
            ssize_t n = pread(memory, piece, sizeof piece, (off_t)from);
            found += n > 0 ? count_in(piece, (size_t)n < to - from ? (size_t)n : to - from) : 0;
        }
    }
    memset(piece, 0, sizeof piece);
    (void)fclose(maps);
    (void)close(memory);
    return found;
}

static void pin_value_leaves_no_trace(void)
{
    char text[1024];
    struct kw_config *c = NULL;
    int len = snprintf(text, sizeof text,
                       "[token a]\nuri = pkcs11:token=a?module-path=%s\n &pin-value=%0*d\n" SLOT_S,
                       scratch_path("vendor.so"), PIN_LEN, 0);
    char *pin = strstr(text, "pin-value=") + strlen("pin-value=");
    for (uint32_t i = 0; i < PIN_LEN; i++) {
        pin[i] = (char)pin_letter(i);
    }
    const char *path = scratch_write("keyward.conf", text, (size_t)len, 0600);
    CU_ASSERT_EQUAL(count_in((const unsigned char *)text, (size_t)len), 1);
    explicit_bzero(text, sizeof text);
    CU_ASSERT_EQUAL_FATAL(count_in_memory(), 0);
    CU_ASSERT_FATAL(kw_ok(load(path, &c)) && c != NULL && c->tokens[0].pin_value != NULL);
    CU_ASSERT_EQUAL(count_in((unsigned char *)c->tokens[0].pin_value, PIN_LEN), 1);
    CU_ASSERT_EQUAL(strlen(c->tokens[0].pin_value), PIN_LEN);
    CU_ASSERT_EQUAL(count_in_memory(), 1); /* the tree's own copy and no other */
    kw_config_free(c);
    CU_ASSERT_EQUAL(count_in_memory(), 0);
}

static void free_takes_null(void)
{
    kw_config_free(NULL);
    CU_PASS("still alive");
}

int main(void)
{
    static CU_TestInfo loads[] = {
        {"the example of the design loads, every field", design_example_loads},
        {"good files load in silence", good_files_load},
        {"the path comes from KEYWARD_CONF", path_comes_from_the_environment},
        {"limits of tokens, slots and size hold", limits_hold},
        {"free takes NULL", free_takes_null},
        CU_TEST_INFO_NULL,
    };
    static CU_TestInfo refusals[] = {
        {"bad files are refused with file, line and mend", bad_files_are_refused},
        {"bad URIs are refused and never quoted", bad_uris_are_refused_and_never_quoted},
        {"a NUL byte is refused", nul_byte_is_refused},
        {"all problems are told, up to twenty", all_problems_are_told_up_to_twenty},
        {"permissions of the file are judged", permissions_are_judged},
        {"what is no regular file is refused", what_is_no_file_is_refused},
        CU_TEST_INFO_NULL,
    };
    static CU_TestInfo tokens[] = {
        {"a token's problem spoils that token only", token_problems_spoil_one_token},
        {"a pin-value is wiped everywhere", pin_value_leaves_no_trace},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {
        {"configuration: what loads", NULL, NULL, NULL, NULL, loads},
        {"configuration: what is refused", NULL, NULL, NULL, NULL, refusals},
        {"configuration: tokens", NULL, NULL, NULL, NULL, tokens},
        CU_SUITE_INFO_NULL,
    };
    (void)unsetenv("KEYWARD_CONF");
    scratch_begin();
    (void)scratch_write("vendor.so", "", 0, 0644);
    (void)scratch_write("other.so", "", 0, 0644);
    (void)!symlink("vendor.so", scratch_path("alias.so"));
    (void)scratch_write("eu-1.pin", "1234\n", 5, 0600);
    int status = scratch_run(suites);
    scratch_end();
    return status;
}
