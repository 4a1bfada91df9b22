/* Forks in every state: PKCS#11 3.1 section 5.4.1 and 6.6.1 (a child must call C_Initialize itself); issue 3 point 7. */
#include "chapter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"

enum { PATIENCE = 30, FORKS = SANITIZED ? 8 : 40 };

static const struct {
    const char *name;
    size_t offset;
} rows[] = {
#define KW_FUNCTION(table, name, gate, call, parameters) {#name, offsetof(struct calls, name)},
#include "functions.def"
#undef KW_FUNCTION
};

static bool needs_no_library(const char *name)
{
    return strcmp(name, "C_Initialize") == 0 || strcmp(name, "C_GetFunctionList") == 0 ||
           strncmp(name, "C_GetInterface", 14) == 0;
}

/* Every function with the parent's session handle as its first argument. */
static bool all_say_not_initialized(CK_SESSION_HANDLE session)
{
    CK_RV(*f)
    (CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        memcpy(&f, (const char *)p11 + rows[i].offset, sizeof f);
        if (!needs_no_library(rows[i].name) &&
            f(session, 0, 0, 0, 0, 0, 0, 0, 0, 0) != CKR_CRYPTOKI_NOT_INITIALIZED) {
            (void)printf("\n    %s does not say CKR_CRYPTOKI_NOT_INITIALIZED in the child", rows[i].name);
            (void)fflush(stdout);
            return false;
        }
    }
    return true;
}

struct family {
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE cmk;
    CK_OBJECT_HANDLE key;
    uint8_t value[32];
    uint8_t blob[40];
};

/* The whole job in the child's own library: its own session, and the parent's blob opens to the parent's value. */
static int work_in_child(const struct family *f)
{
    uint8_t out[32];
    uint8_t blob[40];
    struct form t = {0};
    CK_OBJECT_HANDLE key = 0;
    CK_SESSION_INFO info;
    CK_ULONG size = 0;
    STEP(p11->C_Initialize(NULL) == CKR_OK);
    STEP(f->session == 0 || p11->C_GetSessionInfo(f->session, &info) == CKR_SESSION_HANDLE_INVALID);
    CK_SESSION_HANDLE session = caller_open(world, "alpha");
    STEP(session != 0 && p11->C_GetSessionInfo(session, &info) == CKR_OK);
    STEP(info.state == CKS_RW_PUBLIC_SESSION); /* the parent's login is not ours */
    STEP(p11->C_Login(session, CKU_USER, NULL, 0) == CKR_OK);
    STEP(f->key == 0 || p11->C_GetObjectSize(session, f->key, &size) == CKR_OBJECT_HANDLE_INVALID);
    memcpy(blob, f->blob, sizeof blob);
    form_secret(&t, CKK_AES);
    form_readable(&t);
    STEP(p11->C_UnwrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), caller_cmk(world, session), blob,
                          sizeof blob, t.a, t.count, &key) == CKR_OK);
    STEP(caller_value(world, session, key, out, sizeof out) == 32 && memcmp(out, f->value, 32) == 0);
    STEP(p11->C_Finalize(NULL) == CKR_OK);
    return 0;
}

static int child_of_an_initialized_parent(void *arg)
{
    struct family *f = arg;
    STEP(all_say_not_initialized(f->session));
    STEP(p11->C_Finalize(NULL) == CKR_CRYPTOKI_NOT_INITIALIZED);
    return work_in_child(f);
}

static int child_that_does_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int child_that_leaves_without_finalize(void *arg)
{
    struct family *f = arg;
    STEP(p11->C_Initialize(NULL) == CKR_OK);
    STEP(caller_enter(world, "alpha") != 0);
    STEP(f->session != 0);
    return 0;
}

static int grandchild(void *arg)
{
    STEP(all_say_not_initialized(((struct family *)arg)->session));
    return work_in_child(arg);
}

static int child_with_a_child(void *arg)
{
    STEP(p11->C_Initialize(NULL) == CKR_OK);
    CK_SESSION_HANDLE session = caller_enter(world, "alpha");
    STEP(session != 0);
    STEP(child_run(grandchild, arg, PATIENCE));
    STEP(caller_generate(world, session, CKK_AES, 32) != 0);
    STEP(p11->C_Finalize(NULL) == CKR_OK);
    return 0;
}

static void make_family(struct family *f)
{
    CK_ULONG len = sizeof f->blob;
    f->session = enter("alpha");
    f->cmk = caller_cmk(world, f->session);
    f->key = caller_generate(world, f->session, CKK_AES, 32);
    CHECK(caller_value(world, f->session, f->key, f->value, sizeof f->value) == 32, "the parent's key");
    CHECK_RV(p11->C_WrapKey(f->session, caller_mechanism(CKM_AES_KEY_WRAP), f->cmk, f->key, f->blob, &len),
             CKR_OK, "the parent's blob");
}

/* The parent's handles, login and keys are what they were. */
static void check_parent(const struct family *f, const char *what)
{
    uint8_t value[32];
    uint8_t blob[40];
    CK_ULONG len = sizeof blob;
    CHECK_RV(p11->C_WrapKey(f->session, caller_mechanism(CKM_AES_KEY_WRAP), f->cmk, f->key, blob, &len),
             CKR_OK, what);
    CHECK(memcmp(blob, f->blob, sizeof blob) == 0, what);
    CHECK(caller_value(world, f->session, f->key, value, sizeof value) == 32 &&
              memcmp(value, f->value, 32) == 0,
          what);
}

static void a_child_begins_anew_and_the_parent_goes_on(void)
{
    struct family f = {0};
    make_family(&f);
    CHECK(child_run(child_that_does_nothing, &f, PATIENCE), "a child that does nothing");
    check_parent(&f, "after a child that did nothing");
    CHECK(child_run_to_exit(child_that_does_nothing, &f, PATIENCE),
          "a child that exits with all destructors");
    check_parent(&f, "after a child that exited");
    CHECK(child_run(child_of_an_initialized_parent, &f, PATIENCE), "5.4.1: a child that uses the library");
    check_parent(&f, "after a child that used the library");
    CHECK(child_run_to_exit(child_that_leaves_without_finalize, &f, PATIENCE), "a child without C_Finalize");
    check_parent(&f, "after a child without C_Finalize");
    CHECK(child_run(child_with_a_child, &f, PATIENCE), "a child with a child");
    check_parent(&f, "after a child with a child");
    leave();
}

static int child_of_a_parent_without_library(void *arg)
{
    STEP(all_say_not_initialized(0));
    return work_in_child(arg);
}

static void a_child_of_a_parent_that_is_not_initialized(void)
{
    struct family f = {0};
    make_family(&f);
    leave();
    f.session = 0;
    f.key = 0;
    CHECK(child_run(child_of_a_parent_without_library, &f, PATIENCE), "forked after C_Finalize");
    CHECK(enter("alpha") != 0, "the parent begins again");
    leave();
}

static void a_fork_in_the_middle_of_a_search(void)
{
    struct family f = {0};
    CK_OBJECT_HANDLE list[8];
    CK_ULONG n = 0;
    make_family(&f);
    CHECK_RV(p11->C_FindObjectsInit(f.session, NULL, 0), CKR_OK, "5.7.7");
    CHECK(child_run(child_of_an_initialized_parent, &f, PATIENCE), "a child in the middle of a search");
    CHECK_RV(p11->C_FindObjects(f.session, list, 8, &n), CKR_OK, "5.7.8: the parent's search goes on");
    CHECK(n == 2, "5.7.8: and finds both");
    CHECK_RV(p11->C_FindObjectsFinal(f.session), CKR_OK, "5.7.9");
    check_parent(&f, "after a fork in the middle of a search");
    leave();
}

/* The parent is logged in to the vendor's module with the right PIN; to the child that proves nothing. */
static int child_with_a_wrong_PIN(void *arg)
{
    CK_UTF8CHAR right[] = FIXTURE_PIN;
    CK_UTF8CHAR wrong[] = "4321";
    (void)arg;
    STEP(p11->C_Initialize(NULL) == CKR_OK);
    CK_SESSION_HANDLE session = caller_open(world, "asking");
    STEP(session != 0);
    STEP(p11->C_Login(session, CKU_USER, wrong, 4) == CKR_PIN_INCORRECT);
    STEP(p11->C_Login(session, CKU_USER, right, 4) == CKR_OK);
    STEP(caller_generate(world, session, CKK_AES, 32) != 0);
    STEP(p11->C_Finalize(NULL) == CKR_OK);
    return 0;
}

/* daemon(3) and its like fork twice, and the process between them does nothing. */
static int child_that_only_forks(void *arg)
{
    STEP(child_run(child_with_a_wrong_PIN, arg, PATIENCE));
    return 0;
}

static void the_login_of_the_parent_is_no_proof_in_the_child(void)
{
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CK_SESSION_HANDLE session = caller_enter(world, "asking");
    CHECK(session != 0, "the parent is logged in with a PIN of its own");
    CHECK(child_run(child_with_a_wrong_PIN, NULL, PATIENCE), "HSM-FACTS: a child does not inherit the login");
    CHECK(child_run(child_that_only_forks, NULL, PATIENCE), "nor does the child of a child that did nothing");
    CHECK(caller_generate(world, session, CKK_AES, 32) != 0, "the parent is still logged in");
    leave();
}

/* Forks while other threads are inside Keyward and inside the vendor's module. */

static atomic_bool stop;
static atomic_ulong rounds;
static atomic_ulong failures;

static void *keep_busy(void *arg)
{
    const struct family *f = arg;
    while (!atomic_load(&stop)) {
        uint8_t blob[40];
        CK_ULONG len = sizeof blob;
        CK_RV rv = p11->C_WrapKey(f->session, caller_mechanism(CKM_AES_KEY_WRAP), f->cmk, f->key, blob, &len);
        bool good = rv == CKR_OK && memcmp(blob, f->blob, sizeof blob) == 0;
        atomic_fetch_add(&rounds, 1);
        atomic_fetch_add(&failures, good ? 0 : 1);
    }
    return NULL;
}

static int child_of_a_busy_parent(void *arg)
{
    const struct family *f = arg;
    CK_INFO info;
    STEP(p11->C_GetInfo(&info) == CKR_CRYPTOKI_NOT_INITIALIZED);
    /* The allocator of a sanitizer does not survive a fork while another thread is in it. */
    return SANITIZED || chapter_in_valgrind() ? 0 : work_in_child(f);
}

static void forks_while_other_threads_work(void)
{
    enum { THREADS = 4 };
    struct family f = {0};
    pthread_t threads[THREADS];
    const unsigned forks = FORKS / fixture_every();
    unsigned good = 0;
    make_family(&f);
    atomic_store(&stop, false);
    atomic_store(&rounds, 0);
    atomic_store(&failures, 0);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, keep_busy, &f) == 0, "a thread");
    }
    for (unsigned i = 0; i < forks; i++) {
        good += child_run(child_of_a_busy_parent, &f, PATIENCE);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    (void)printf("[%u forks, %lu wraps beside] ", good, atomic_load(&rounds));
    CHECK(good == forks && good > 0, "every child of a busy parent did its work");
    CHECK(atomic_load(&failures) == 0, "no call of the parent failed");
    CHECK(atomic_load(&rounds) > forks, "the parent was busy");
    check_parent(&f, "after forks while other threads work");
    leave();
}

int main(void)
{
    static const struct fixture_slot slots[] = {
        {.name = "alpha", .tokens = "eu-1"}, {.name = "asking", .tokens = "eu-2", .ask_pin = true}, {0}};
    CU_TestInfo tests[] = {
        {"a child begins anew and the parent goes on", a_child_begins_anew_and_the_parent_goes_on},
        {"a child of a parent that is not initialized", a_child_of_a_parent_that_is_not_initialized},
        {"a fork in the middle of a search", a_fork_in_the_middle_of_a_search},
        {"the login of the parent is no proof in the child",
         the_login_of_the_parent_is_no_proof_in_the_child},
        {"forks while other threads work", forks_while_other_threads_work},
        CU_TEST_INFO_NULL,
    };
    int reset = chapter_run("fork, the vendor's module starts anew",
                            &(struct fixture_settings){.slots = slots}, tests);
    int inherits = chapter_run("fork, the vendor's module is inherited logged in",
                               &(struct fixture_settings){.slots = slots, .inherits = true}, tests);
    return reset != 0 ? reset : inherits;
}
