/*
 * What must not stay in memory: data keys after they are destroyed, after logout, close and finalize; PINs at once. What lives is
 * locked, not dumped and not inherited by a fork. (Issue 3 point 8; STYLE "Memory and locks".)
 */
#include "chapter.h"

#include <unistd.h>

#include "child.h"
#include "memory_scan.h"

enum { KEY = 32, PIN = 20, PIN_NEEDLE = 4711, PATIENCE = 60 };

static CK_SESSION_HANDLE session;
static unsigned needle; /* another one for each case */

static void check_gone(unsigned n, size_t len, bool text, const char *what)
{
    struct memory_scan_hit hit;
    char sentence[320];
    long hits = memory_scan(n, len, text, &hit);
    (void)snprintf(sentence, sizeof sentence, "%s: found %ld times, first in %s", what, hits, hit.mapping);
    CHECK(hits == 0, hits == 0 ? what : sentence);
}

/* The homes that a data key can have, and the ways in. */
static const struct home {
    const char *name;
    bool token;
    bool sensitive;
} homes[] = {
    {"memory", false, false},
    {"sealed in the token", false, true},
    {"persistent, readable", true, false},
    {"persistent, sealed", true, true},
};

/* A data key whose value is the needle; the caller's own copy is wiped. */
static CK_OBJECT_HANDLE make(const struct home *home)
{
    uint8_t value[KEY];
    struct form t = {0};
    CK_OBJECT_HANDLE key = 0;
    needle++;
    memory_scan_needle(needle, value, sizeof value);
    form_secret(&t, CKK_AES);
    form_bool(&t, CKA_TOKEN, home->token);
    form_bool(&t, CKA_SENSITIVE, home->sensitive);
    form_bool(&t, CKA_EXTRACTABLE, true);
    form_bytes(&t, CKA_VALUE, value, sizeof value);
    CHECK_RV(p11->C_CreateObject(session, t.a, t.count, &key), CKR_OK, home->name);
    memory_scan_wipe(value, sizeof value);
    return key;
}

/* Everything that can be done with it: wrapped both ways, unwrapped into the same home, read. The handle of the second one. */
static CK_OBJECT_HANDLE use(const struct home *home, CK_OBJECT_HANDLE key)
{
    uint8_t blob[64];
    uint8_t value[KEY];
    CK_ULONG len = sizeof blob;
    CK_OBJECT_HANDLE cmk = caller_cmk(world, session);
    CK_OBJECT_HANDLE back = 0;
    struct form t = {0};
    CHECK_RV(p11->C_WrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP_KWP), cmk, key, blob, &len), CKR_OK,
             home->name);
    len = sizeof blob;
    CHECK_RV(p11->C_WrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), cmk, key, blob, &len), CKR_OK,
             home->name);
    form_secret(&t, CKK_AES);
    form_bool(&t, CKA_TOKEN, home->token);
    form_bool(&t, CKA_SENSITIVE, home->sensitive);
    form_bool(&t, CKA_EXTRACTABLE, true);
    CHECK_RV(
        p11->C_UnwrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), cmk, blob, len, t.a, t.count, &back),
        CKR_OK, home->name);
    if (!home->sensitive) {
        CHECK(caller_value(world, session, key, value, sizeof value) == KEY, home->name);
        CHECK(caller_value(world, session, back, value, sizeof value) == KEY, home->name);
        memory_scan_wipe(value, sizeof value);
    }
    return back;
}

static void the_scan_finds_what_is_there(void)
{
    struct memory_scan_hit hit;
    uint8_t *bytes = malloc(KEY);
    CHECK(bytes != NULL, "memory");
    if (bytes != NULL) {
        needle++;
        CHECK(memory_scan(needle, KEY, false, &hit) == 0, "nothing there yet");
        memory_scan_needle(needle, bytes, KEY);
        CHECK(memory_scan(needle, KEY, false, &hit) == 1 && hit.at == (uintptr_t)bytes, "found on the heap");
        memory_scan_wipe(bytes, KEY);
        CHECK(memory_scan(needle, KEY, false, &hit) == 0, "wiped");
        free(bytes);
    }
}

static void destroyed_keys_are_gone(void)
{
    for (size_t i = 0; i < COUNT_OF(homes); i++) {
        session = enter("alpha");
        CK_OBJECT_HANDLE key = make(&homes[i]);
        CK_OBJECT_HANDLE back = use(&homes[i], key);
        CHECK_RV(p11->C_DestroyObject(session, key), CKR_OK, homes[i].name);
        CHECK_RV(p11->C_DestroyObject(session, back), CKR_OK, homes[i].name);
        check_gone(needle, KEY, false, chapter_join("after C_DestroyObject", homes[i].name));
        leave();
    }
}

static void keys_of_a_session_go_with_it(void)
{
    for (size_t i = 0; i < 2; i++) {
        session = enter("alpha");
        CK_SESSION_HANDLE other = caller_open(world, "alpha");
        (void)use(&homes[i], make(&homes[i]));
        CHECK_RV(p11->C_CloseSession(session), CKR_OK, "5.6.2");
        check_gone(needle, KEY, false, chapter_join("after C_CloseSession", homes[i].name));
        session = other;
        (void)use(&homes[i], make(&homes[i]));
        CHECK_RV(p11->C_Logout(session), CKR_OK, "5.6.10");
        check_gone(needle, KEY, false, chapter_join("after C_Logout", homes[i].name));
        leave();
    }
}

static void keys_of_the_library_go_with_it(void)
{
    for (size_t i = 0; i < COUNT_OF(homes); i++) {
        session = enter("alpha");
        (void)use(&homes[i], make(&homes[i]));
        leave();
        check_gone(needle, KEY, false, chapter_join("after C_Finalize", homes[i].name));
    }
    session = enter("alpha"); /* the persistent ones are not for the next case */
    struct form t = {0};
    CK_OBJECT_HANDLE list[16];
    CK_ULONG n = 0;
    form_bool(&t, CKA_TOKEN, true);
    form_bool(&t, CKA_EXTRACTABLE, true);
    CHECK_RV(p11->C_FindObjectsInit(session, t.a, t.count), CKR_OK, "5.7.7");
    CHECK_RV(p11->C_FindObjects(session, list, 16, &n), CKR_OK, "5.7.8");
    CHECK_RV(p11->C_FindObjectsFinal(session), CKR_OK, "5.7.9");
    CHECK(n == 4, "the persistent keys of this case");
    for (CK_ULONG i = 0; i < n; i++) {
        CHECK_RV(p11->C_DestroyObject(session, list[i]), CKR_OK, "5.7.3");
    }
    leave();
}

/* A call that fails half-way leaves nothing either. */
static void refused_keys_are_gone(void)
{
    uint8_t value[KEY + 1];
    CK_OBJECT_HANDLE key = 0;
    session = enter("sealed");
    for (int i = 0; i < 3; i++) {
        struct form t = {0};
        memory_scan_needle(++needle, value, sizeof value);
        form_secret(&t, CKK_AES);
        form_bytes(&t, CKA_VALUE, value, i == 0 ? sizeof value : KEY);
        form_bool(&t, i == 1 ? CKA_WRAP : CKA_SENSITIVE, i == 1);
        CHECK(p11->C_CreateObject(session, t.a, t.count, &key) != CKR_OK, "a template that is refused");
        memory_scan_wipe(value, sizeof value);
        check_gone(needle, KEY, false, "after a refused C_CreateObject");
    }
    leave();
}

static int look_in_child(void *arg)
{
    struct memory_scan_hit hit;
    const unsigned *n = arg;
    STEP(memory_scan(*n, KEY, false, &hit) == 0);
    return 0;
}

static void a_living_key_is_locked_not_dumped_and_not_inherited(void)
{
    struct memory_scan_hit hit;
    session = enter("alpha");
    CK_OBJECT_HANDLE key = make(&homes[0]);
    long hits = memory_scan(needle, KEY, false, &hit);
    CHECK(hits == 1, "a readable session key is in memory once");
    const char *flags = memory_scan_flags(hit.at);
    CHECK(SANITIZED || strstr(flags, " lo") != NULL, chapter_join("locked: not swapped", flags));
    CHECK(strstr(flags, " dd") != NULL, chapter_join("not in a core dump", flags));
    CHECK(strstr(flags, " wf") != NULL, chapter_join("wiped in a forked child", flags));
    CHECK(child_run(look_in_child, &needle, PATIENCE), "a forked child does not have it");
    (void)use(&homes[0], key);
    CHECK(memory_scan(needle, KEY, false, &hit) == 2, "it and its twin, and no third copy after all uses");
    leave();
    check_gone(needle, KEY, false, "after C_Finalize");
}

/* Locks of memory are not inherited: a child that uses the library must have places of its own. */
static int live_in_child(void *arg)
{
    struct memory_scan_hit hit;
    uint8_t value[KEY];
    const unsigned n = *(const unsigned *)arg + 1;
    STEP(p11->C_Initialize(NULL) == CKR_OK);
    CK_SESSION_HANDLE s = caller_enter(world, "alpha");
    memory_scan_needle(n, value, sizeof value);
    STEP(s != 0 && caller_import(world, s, CKK_AES, value, sizeof value) != 0);
    memory_scan_wipe(value, sizeof value);
    STEP(memory_scan(n, KEY, false, &hit) == 1);
    const char *flags = memory_scan_flags(hit.at);
    STEP(SANITIZED || strstr(flags, " lo") != NULL);
    STEP(strstr(flags, " dd") != NULL && strstr(flags, " wf") != NULL);
    STEP(p11->C_Finalize(NULL) == CKR_OK);
    STEP(memory_scan(n, KEY, false, &hit) == 0);
    return 0;
}

static void a_key_of_a_forked_child_is_locked_as_well(void)
{
    session = enter("alpha");
    (void)use(&homes[0], make(&homes[0]));
    CHECK(child_run(live_in_child, &needle, PATIENCE), "a key that a forked child makes");
    needle++;
    leave();
}

/* PINs. */

static int set_pin(const struct outside_token *t, void *data)
{
    CK_UTF8CHAR old[] = FIXTURE_PIN;
    CK_UTF8CHAR pin[PIN];
    (void)data;
    memory_scan_text(PIN_NEEDLE, pin, PIN);
    return t->calls->C_SetPIN(t->session, old, sizeof old - 1, pin, PIN) == CKR_OK ? 0 : 1;
}

static CK_RV log_in(CK_SESSION_HANDLE s, unsigned n)
{
    CK_UTF8CHAR pin[PIN];
    memory_scan_text(n, pin, PIN);
    CK_RV rv = p11->C_Login(s, CKU_USER, pin, PIN);
    memory_scan_wipe(pin, PIN);
    return rv;
}

static void PINs_do_not_stay(void)
{
    struct memory_scan_hit hit;
    CHECK(fixture_outside(world, "eu-2", set_pin, NULL, 0) == 0, "a PIN that can be looked for");
    CHECK(memory_scan(PIN_NEEDLE, PIN, true, &hit) == 0, "it is not here yet");
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CK_SESSION_HANDLE s = caller_open(world, "asking");
    CHECK_RV(log_in(s, PIN_NEEDLE + 1), CKR_PIN_INCORRECT, "5.6.8: a wrong PIN");
    check_gone(PIN_NEEDLE + 1, PIN, true, "a wrong PIN after C_Login");
    CHECK_RV(log_in(s, PIN_NEEDLE), CKR_OK, "5.6.8: the PIN");
    long hits = memory_scan(PIN_NEEDLE, PIN, true, &hit);
    CHECK(hits <= 1, "DESIGN 3: while logged in, the PIN is kept once, to compare others with it");
    if (hits == 1) {
        const char *flags = memory_scan_flags(hit.at);
        CHECK((SANITIZED || strstr(flags, " lo") != NULL) && strstr(flags, " dd") != NULL &&
                  strstr(flags, " wf") != NULL,
              chapter_join("the PIN is locked, not dumped, wiped on fork", flags));
    }
    CHECK_RV(p11->C_Logout(s), CKR_OK, "5.6.10");
    check_gone(PIN_NEEDLE, PIN, true, "the PIN after C_Logout");
    CHECK_RV(log_in(s, PIN_NEEDLE), CKR_OK, "5.6.8: the PIN again");
    leave();
    check_gone(PIN_NEEDLE, PIN, true, "the PIN after C_Finalize");
    check_gone(PIN_NEEDLE + 1, PIN, true, "the wrong PIN after C_Finalize");
}

/* The same with the PIN from a file. */
static void the_PIN_of_a_file_does_not_stay(void)
{
    char text[PIN + 2] = {0};
    memory_scan_text(PIN_NEEDLE, (uint8_t *)text, PIN);
    text[PIN] = '\n';
    CHECK(fixture_write(world, "eu-2.pin", text), "a PIN file");
    memory_scan_wipe(text, sizeof text);
    CHECK(fixture_configure(world, false), "the configuration names it");
    session = enter("asking");
    CHECK_RV(p11->C_Logout(session), CKR_OK, "5.6.10");
    check_gone(PIN_NEEDLE, PIN, true, "the PIN of a file after C_Logout");
    leave();
    check_gone(PIN_NEEDLE, PIN, true, "the PIN of a file after C_Finalize");
}

/* A log is for the operator, not for secrets. Runs last: it looks at what all cases have left. */
static void the_log_holds_no_secret(void)
{
    static uint8_t text[1 << 20];
    uint8_t pin[PIN];
    FILE *log = fopen(world->log, "re");
    size_t n = log == NULL ? 0 : fread(text, 1, sizeof text, log);
    if (log != NULL) {
        (void)fclose(log);
    }
    memory_scan_text(PIN_NEEDLE, pin, PIN);
    CHECK(n > 0, "Keyward has logged something");
    CHECK(memmem(text, n, pin, PIN) == NULL, "the PIN is not in the log");
    memory_scan_text(PIN_NEEDLE + 1, pin, PIN);
    CHECK(memmem(text, n, pin, PIN) == NULL, "a wrong PIN is not in the log");
}

int main(void)
{
    static const struct fixture_slot slots[] = {{.name = "alpha", .tokens = "eu-1"},
                                                {.name = "sealed", .tokens = "eu-1", .sealed = true},
                                                {.name = "asking", .tokens = "eu-2", .ask_pin = true},
                                                {0}};
    CU_TestInfo tests[] = {
        {"the scan finds what is there", the_scan_finds_what_is_there},
        {"destroyed keys are gone", destroyed_keys_are_gone},
        {"keys of a session go with it", keys_of_a_session_go_with_it},
        {"keys of the library go with it", keys_of_the_library_go_with_it},
        {"refused keys are gone", refused_keys_are_gone},
        {"a living key is locked, not dumped and not inherited",
         a_living_key_is_locked_not_dumped_and_not_inherited},
        {"a key of a forked child is locked as well", a_key_of_a_forked_child_is_locked_as_well},
        {"PINs do not stay", PINs_do_not_stay},
        {"the PIN of a file does not stay", the_PIN_of_a_file_does_not_stay},
        {"the log holds no secret", the_log_holds_no_secret},
        CU_TEST_INFO_NULL,
    };
    if (setenv("KEYWARD_LOG_LEVEL", "debug", 1) != 0) {
        return 2;
    }
    return chapter_run("secrets", &(struct fixture_settings){.slots = slots}, tests);
}
