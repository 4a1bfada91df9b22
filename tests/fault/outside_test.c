/*
 * outside_test.c: what somebody else does to the tokens while a broker works: keys replaced, destroyed, re-labelled, changed, a store
 * moved away and back; on one token, and on one of two replicas.
 *
 * The changes are real: another process makes them in SoftHSM. Where a replica must not serve, faulty.so takes its peer away to show it.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "teller.h"

/* Changes of the master key with a label, in another process. */

enum change { REPLACE, DESTROY, RELABEL, TWIN, SET_BIT };

struct job {
    char label[32];
    enum change change;
    CK_ATTRIBUTE_TYPE bit;
    CK_BBOOL on;
    char new_label[32];
};

static CK_OBJECT_HANDLE find_key(const struct outside_token *t, const char *label)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_OBJECT_HANDLE key = 0;
    CK_ULONG count = 0;
    char text[32] = "";
    (void)snprintf(text, sizeof text, "%.31s", label);
    CK_ATTRIBUTE a[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, text, strlen(text)}};
    CK_RV rv = t->calls->C_FindObjectsInit(t->session, a, 2);
    if (rv == CKR_OK) {
        rv = t->calls->C_FindObjects(t->session, &key, 1, &count);
        (void)t->calls->C_FindObjectsFinal(t->session);
    }
    return rv == CKR_OK && count == 1 ? key : 0;
}

static CK_RV plant(const struct outside_token *t, char *label)
{
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    CK_ULONG len = TELLER_VALUE;
    CK_OBJECT_HANDLE key = 0;
    CK_MECHANISM generate = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ATTRIBUTE a[] = {
        {CKA_TOKEN, &yes, sizeof yes},     {CKA_PRIVATE, &yes, sizeof yes}, {CKA_SENSITIVE, &yes, sizeof yes}, {CKA_EXTRACTABLE, &no, sizeof no},
        {CKA_WRAP, &yes, sizeof yes},      {CKA_UNWRAP, &yes, sizeof yes},  {CKA_ENCRYPT, &no, sizeof no},     {CKA_DECRYPT, &no, sizeof no},
        {CKA_SIGN, &no, sizeof no},        {CKA_VERIFY, &no, sizeof no},    {CKA_DERIVE, &no, sizeof no},      {CKA_LABEL, label, strlen(label)},
        {CKA_VALUE_LEN, &len, sizeof len},
    };
    return t->calls->C_GenerateKey(t->session, &generate, a, sizeof a / sizeof a[0], &key);
}

static int do_change(const struct outside_token *t, void *data)
{
    struct job copy;
    struct job *j = &copy;
    memcpy(&copy, data, sizeof copy); /* which need not be aligned */
    CK_OBJECT_HANDLE key = find_key(t, j->label);
    CK_ATTRIBUTE bit = {j->bit, &j->on, sizeof j->on};
    CK_ATTRIBUTE label = {CKA_LABEL, j->new_label, strlen(j->new_label)};
    CK_RV rv = key == 0 ? CKR_KEY_HANDLE_INVALID : CKR_OK;
    if (rv == CKR_OK && j->change == RELABEL) {
        rv = t->calls->C_SetAttributeValue(t->session, key, &label, 1);
    } else if (rv == CKR_OK && j->change == SET_BIT) {
        rv = t->calls->C_SetAttributeValue(t->session, key, &bit, 1);
    } else if (rv == CKR_OK && j->change != TWIN) {
        rv = t->calls->C_DestroyObject(t->session, key);
    }
    if (rv == CKR_OK && (j->change == REPLACE || j->change == TWIN)) {
        rv = plant(t, j->label);
    }
    return rv == CKR_OK ? 0 : 1;
}

/* What C_SetAttributeValue of CKA_LABEL does in another process with Keyward: the caller's label is the end of the CKA_ID. */
static int do_rename_data_key(const struct outside_token *t, void *data)
{
    uint8_t id[128];
    CK_ATTRIBUTE a = {CKA_ID, id, sizeof id - 1};
    CK_OBJECT_HANDLE key = find_key(t, data);
    CK_RV rv = key == 0 ? CKR_KEY_HANDLE_INVALID : t->calls->C_GetAttributeValue(t->session, key, &a, 1);
    if (rv == CKR_OK) {
        id[a.ulValueLen++] = 'x';
        rv = t->calls->C_SetAttributeValue(t->session, key, &a, 1);
    }
    return rv == CKR_OK ? 0 : 1;
}

static void change(const char *token, struct job j)
{
    CHECK(fixture_outside(world, token, do_change, &j, sizeof j) == 0, chapter_join("another process changes the key", token));
}

static void lose(const char *token)
{
    (void)scandal_arm(teller_control, &(struct scandal){.function = FAULTY_ANY, .act = FAULTY_VANISH, .token = token});
}

/* Unwraps until the answer is the one that is wanted, two seconds long: a change is seen at the next reading of the versions. */
static CK_RV settle(CK_RV want)
{
    double start = scandal_ms();
    CK_RV rv = teller_unwrap();
    while (rv != want && scandal_ms() - start < 2500) {
        (void)usleep(20 * 1000);
        rv = teller_unwrap();
    }
    return rv;
}

/* A replica that is not what its peer is. Each case has a slot, because what it does to its keys stays. */

static const struct {
    const char *slot;
    const char *name;
    struct job job;
} poisons[] = {
    {"p-other", "another key under the same label", {.label = "p-other", .change = REPLACE}},
    {"p-gone", "no key at all", {.label = "p-gone", .change = DESTROY}},
    {"p-named", "the key under another name", {.label = "p-named", .change = RELABEL, .new_label = "elsewhere"}},
    {"p-twin", "a twin", {.label = "p-twin", .change = TWIN}},
    {"p-bit", "a key that decrypts", {.label = "p-bit", .change = SET_BIT, .bit = CKA_DECRYPT, .on = CK_TRUE}},
};

static void poisoned_before_login(void)
{
    for (size_t i = 0; i < COUNT_OF(poisons); i++) {
        change("eu-2", poisons[i].job);
        teller_begin(poisons[i].slot);
        CHECK_RV(teller_unwrap(), CKR_OK, chapter_join("the good token serves", poisons[i].name));
        lose("eu-1");
        CHECK_RV(teller_unwrap(), CKR_DEVICE_REMOVED, chapter_join("7: the other one is out of service", poisons[i].name));
        teller_end();
    }
}

static void other_states(void)
{
    change("eu-1", (struct job){.label = "p-state", .change = SET_BIT, .bit = CKA_WRAP, .on = CK_FALSE});
    change("eu-1", (struct job){.label = "p-state", .change = SET_BIT, .bit = CKA_UNWRAP, .on = CK_FALSE});
    scandal_clear(teller_control);
    teller_session = enter("p-state");
    teller_cmk = caller_cmk(world, teller_session);
    CHECK_RV(teller_unwrap(), CKR_KEY_FUNCTION_NOT_PERMITTED, "G4: disabled on the first token is disabled");
    lose("eu-1");
    CHECK_RV(teller_unwrap(), CKR_DEVICE_REMOVED, "G4: the replica on which it is still enabled does not serve in its place");
    teller_end();
}

/* What the operator is told of the tokens that the cases above have left. */
static void check_says_why(void)
{
    static const char *const wants[] = {"slot p-other: version 1 is another key on token eu-2", "slot p-gone: version 1 is missing on token eu-2",
                                        "slot p-named: version 1 is missing on token eu-2", "slot p-twin: version 1 on token eu-2 is out of service",
                                        "slot p-bit: version 1 on token eu-2 is out of service", "slot p-state: version 1 is active on token eu-2 but not on its peers"};
    bool seen[COUNT_OF(wants)] = {false};
    char line[1024];
    int ends[2];
    int status = 0;
    if (pipe(ends) != 0) {
        CU_FAIL_FATAL("no pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)close(ends[0]);
        (void)close(ends[1]);
        (void)execl(fixture_command(), "keyward", "check", (char *)NULL);
        _exit(0);
    }
    (void)close(ends[1]);
    FILE *from = fdopen(ends[0], "r");
    while (from != NULL && fgets(line, sizeof line, from) != NULL) {
        for (size_t i = 0; i < COUNT_OF(wants); i++) {
            seen[i] = seen[i] || strstr(line, wants[i]) != NULL;
        }
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status != 0, "4: `keyward check` is not content");
    if (from != NULL) {
        (void)fclose(from);
    }
    for (size_t i = 0; i < COUNT_OF(wants); i++) {
        CHECK(seen[i], chapter_join("4: `keyward check` says why", wants[i]));
    }
}

static void poisoned_while_it_serves(void)
{
    teller_begin("p-late");
    CHECK_RV(teller_unwrap(), CKR_OK, "both are well");
    change("eu-1", (struct job){.label = "p-late", .change = SET_BIT, .bit = CKA_DECRYPT, .on = CK_TRUE});
    double start = scandal_ms();
    const struct faulty_rule *two = scandal_arm(
        teller_control, &(struct scandal){.function = FAULTY_C_UnwrapKey, .act = FAULTY_DELAY, .skip = 1UL << 60, .token = "eu-2"});
    while (atomic_load(&two->seen) == 0 && scandal_ms() - start < 3000) {
        CHECK_RV(teller_unwrap(), CKR_OK, "7: no call fails while the good replica takes over");
        (void)usleep(20 * 1000);
    }
    CHECK(atomic_load(&two->seen) > 0, "7: a token whose key got another usage is out of service, its peer serves");
    change("eu-1", (struct job){.label = "p-late", .change = SET_BIT, .bit = CKA_DECRYPT, .on = CK_FALSE});
    const struct faulty_rule *one = scandal_arm(
        teller_control, &(struct scandal){.function = FAULTY_C_UnwrapKey, .act = FAULTY_DELAY, .skip = 1UL << 60, .token = "eu-1"});
    start = scandal_ms();
    while (atomic_load(&one->seen) == 0 && scandal_ms() - start < 9000) {
        CHECK_RV(teller_unwrap(), CKR_OK, "served meanwhile");
        (void)usleep(50 * 1000);
    }
    CHECK(atomic_load(&one->seen) > 0, "set right by an operator it serves again, without a restart");
    teller_end();
}

/* One token. */

static void one_token_loses_its_key(void)
{
    teller_begin("o-gone");
    CHECK_RV(teller_unwrap(), CKR_OK, "well at first");
    change("eu-1", (struct job){.label = "o-gone", .change = DESTROY});
    CK_RV rv = teller_unwrap();
    CHECK(rv != CKR_OK, "a destroyed key opens nothing any more");
    CHECK_RV(settle(CKR_UNWRAPPING_KEY_HANDLE_INVALID), CKR_UNWRAPPING_KEY_HANDLE_INVALID, "a key that is gone is told as gone");
    teller_end();
}

static void one_token_is_renamed(void)
{
    teller_begin("o-named");
    CHECK_RV(teller_unwrap(), CKR_OK, "well at first");
    change("eu-1", (struct job){.label = "o-named", .change = RELABEL, .new_label = "o-other"});
    CHECK_RV(settle(CKR_UNWRAPPING_KEY_HANDLE_INVALID), CKR_UNWRAPPING_KEY_HANDLE_INVALID, "under another name it is not this slot's key");
    change("eu-1", (struct job){.label = "o-other", .change = RELABEL, .new_label = "o-named"});
    CHECK_RV(settle(CKR_OK), CKR_OK, "with its name it is back, and the handle still means it");
    teller_end();
}

static void one_token_gets_another_key(void)
{
    teller_begin("o-other");
    CHECK_RV(teller_unwrap(), CKR_OK, "well at first");
    change("eu-1", (struct job){.label = "o-other", .change = REPLACE});
    uint8_t out[TELLER_BLOB];
    double start = scandal_ms();
    bool refused = false;
    while (!refused && scandal_ms() - start < 2500) {
        CK_RV rv = teller_wrap(out);
        CHECK(rv != CKR_OK || memcmp(out, teller_blob, TELLER_BLOB) == 0, "G2: nothing is wrapped under the key that was put in its place");
        refused = rv != CKR_OK;
    }
    CHECK(refused, "G2: the replaced key is refused");
    CHECK(teller_unwrap() != CKR_OK, "and opens nothing");
    teller_end();
}

static void one_token_gets_a_twin(void)
{
    teller_begin("o-twin");
    CHECK_RV(teller_unwrap(), CKR_OK, "well at first");
    change("eu-1", (struct job){.label = "o-twin", .change = TWIN});
    CHECK_RV(settle(CKR_KEY_FUNCTION_NOT_PERMITTED), CKR_KEY_FUNCTION_NOT_PERMITTED, "twins are both out of service");
    teller_end();
}

static void a_data_key_gets_another_label(void)
{
    char label[] = "o-data/data";
    uint8_t out[TELLER_BLOB];
    CK_ULONG len = sizeof out;
    CK_OBJECT_HANDLE key = 0;
    struct form t = {0};
    teller_begin("o-data");
    form_bool(&t, CKA_TOKEN, true);
    form_bytes(&t, CKA_LABEL, "orders", 6);
    form_ulong(&t, CKA_VALUE_LEN, TELLER_VALUE);
    form_readable(&t);
    CHECK_RV(p11->C_GenerateKey(teller_session, caller_mechanism(CKM_AES_KEY_GEN), t.a, t.count, &key), CKR_OK, "a persistent data key");
    CHECK(fixture_outside(world, "eu-1", do_rename_data_key, label, sizeof label) == 0, "another process gives it another label");
    (void)scandal_arm(teller_control, &(struct scandal){.function = FAULTY_C_WrapKey, .act = FAULTY_CODE, .value = CKR_KEY_HANDLE_INVALID, .times = 1});
    CHECK_RV(p11->C_WrapKey(teller_session, caller_mechanism(CKM_AES_KEY_WRAP), teller_cmk, key, out, &len), CKR_OK,
             "it is found again when the token has forgotten its handle");
    CHECK_RV(p11->C_DestroyObject(teller_session, key), CKR_OK, "and destroyed");
    teller_end();
}

static void the_store_goes_and_comes(void)
{
    char here[FIXTURE_PATH_MAX + 32];
    char away[FIXTURE_PATH_MAX + 32];
    double longest = 0;
    (void)snprintf(here, sizeof here, "%s/tokens", world->folder);
    (void)snprintf(away, sizeof away, "%s/elsewhere", world->folder);
    teller_begin("o-store");
    CHECK_RV(teller_unwrap(), CKR_OK, "well at first");
    for (unsigned i = 0; i < 3; i++) {
        CHECK(rename(here, away) == 0, "SoftHSM's store is moved away");
        double start = scandal_ms();
        CK_RV rv = settle(CKR_DEVICE_REMOVED);
        CHECK_RV(rv, CKR_DEVICE_REMOVED, "the token is gone, not the key: no other answer");
        CHECK(scandal_ms() - start < 5000, "told within the bound");
        (void)usleep(i * 400 * 1000);
        CHECK(rename(away, here) == 0, "and back");
        double back = teller_until_ok(4000);
        CHECK(back >= 0 && back < (SANITIZED ? 4000 : 1500), "recovery by itself");
        longest = back > longest ? back : longest;
    }
    (void)printf("\n    # served again at most %.0f ms after the store's return\n", longest);
    teller_end();
}

/* The vendor's code dies in the broker's process and takes it along: nothing is left that hinders the next one. */
static void the_module_dies_inside_the_caller(void)
{
    static const struct {
        enum faulty_act act;
        const char *name;
    } deaths[] = {{FAULTY_SEGV, "SIGSEGV"}, {FAULTY_EXIT, "_exit"}};
    for (size_t i = 0; i < COUNT_OF(deaths); i++) {
        int status = 0;
        (void)fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            teller_begin("o-crash");
            (void)scandal_arm(teller_control, &(struct scandal){.function = FAULTY_C_UnwrapKey, .act = deaths[i].act, .value = 7, .skip = 2});
            for (unsigned k = 0; k < 10; k++) {
                (void)teller_unwrap();
            }
            _exit(0);
        }
        bool ended = pid > 0 && waitpid(pid, &status, 0) == pid;
        bool died = deaths[i].act == FAULTY_SEGV ? WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV : WIFEXITED(status) && WEXITSTATUS(status) == 7;
        if (SANITIZED && deaths[i].act == FAULTY_SEGV) {
            died = status != 0;
        }
        CHECK(ended && died, chapter_join("the module ends the process", deaths[i].name));
        teller_begin("o-crash");
        CHECK_RV(teller_unwrap(), CKR_OK, "the next process works");
        teller_end();
    }
}

static CU_TestInfo tests[] = {
    {"a replica that is not what its peer is, does not serve", poisoned_before_login},
    {"nor one that allows more than its peer", other_states},
    {"check says why", check_says_why},
    {"a replica that is changed while it serves", poisoned_while_it_serves},
    {"the only token loses its key", one_token_loses_its_key},
    {"the only token's key is re-labelled and back", one_token_is_renamed},
    {"the only token's key is replaced", one_token_gets_another_key},
    {"the only token's key gets a twin", one_token_gets_a_twin},
    {"a data key gets another label", a_data_key_gets_another_label},
    {"the store is moved away and back", the_store_goes_and_comes},
    {"the module dies inside the caller", the_module_dies_inside_the_caller},
    CU_TEST_INFO_NULL,
};

int main(void)
{
#define PAIR(n) {.name = n, .tokens = "eu-1 eu-2", .cmk = FIXTURE_CMK_KNOWN}
#define ONE(n) {.name = n, .tokens = "eu-1", .cmk = FIXTURE_CMK_KNOWN}
    static const struct fixture_slot slots[] = {PAIR("p-other"), PAIR("p-gone"), PAIR("p-named"), PAIR("p-twin"), PAIR("p-bit"),
                                                PAIR("p-state"), PAIR("p-late"), ONE("o-gone"),   ONE("o-named"), ONE("o-other"),
                                                ONE("o-twin"),   ONE("o-store"), ONE("o-crash"), ONE("o-data"), {0}};
    const struct fixture_settings settings = {.slots = slots, .vendor = teller_prepare()};
    return settings.vendor == NULL ? 1 : chapter_run("changes from outside", &settings, tests);
}
