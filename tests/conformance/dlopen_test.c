/*
 * The module as a guest in a process: loaded and unloaded, left behind at exit, called at the wrong time, and in company of an
 * OpenSSL that loads Keyward itself as an engine. (Issue 3 point 7; ATTACKS.md section 3 "in atexit / after dlclose".)
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* engines are what this is about */
#include "chapter.h"

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "ordeal.h"

enum { TIMES = 100, PATIENCE = 60 };
static const char engine_path[] = "/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so";

/* The whole job with whatever table; 0 or the line that failed. */
static int do_job(const CK_FUNCTION_LIST *f)
{
    uint8_t blob[64];
    CK_ULONG len = sizeof blob;
    CK_OBJECT_HANDLE key = 0;
    CK_OBJECT_HANDLE cmk = 0;
    CK_OBJECT_HANDLE back = 0;
    CK_SESSION_HANDLE session = 0;
    CK_SLOT_ID slot[4];
    CK_ULONG slots = 4;
    CK_ULONG n = 0;
    struct form make = {0};
    struct form wraps = {0};
    struct form open = {0};
    form_readable(&make);
    form_ulong(&make, CKA_VALUE_LEN, 32);
    form_bool(&wraps, CKA_WRAP, true);
    form_secret(&open, CKK_AES);
    form_readable(&open);
    CK_MECHANISM *kw = caller_mechanism(CKM_AES_KEY_WRAP);
    STEP(f->C_GetSlotList(CK_TRUE, slot, &slots) == CKR_OK && slots == 1);
    STEP(f->C_OpenSession(slot[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session) == CKR_OK);
    CK_RV rv = f->C_Login(session, CKU_USER, NULL, 0);
    STEP(rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN);
    STEP(f->C_FindObjectsInit(session, wraps.a, wraps.count) == CKR_OK);
    STEP(f->C_FindObjects(session, &cmk, 1, &n) == CKR_OK && n == 1);
    STEP(f->C_FindObjectsFinal(session) == CKR_OK);
    STEP(f->C_GenerateKey(session, caller_mechanism(CKM_AES_KEY_GEN), make.a, make.count, &key) == CKR_OK);
    STEP(f->C_WrapKey(session, kw, cmk, key, blob, &len) == CKR_OK);
    STEP(f->C_UnwrapKey(session, kw, cmk, blob, len, open.a, open.count, &back) == CKR_OK);
    STEP(f->C_CloseSession(session) == CKR_OK);
    return 0;
}

static CK_FUNCTION_LIST *load(void **handle)
{
    CK_C_GetFunctionList get = NULL;
    CK_FUNCTION_LIST *list = NULL;
    *handle = dlopen(world->module, RTLD_NOW | RTLD_LOCAL);
    if (*handle != NULL) {
        *(void **)(void *)&get = dlsym(*handle, "C_GetFunctionList");
    }
    return get != NULL && get(&list) == CKR_OK ? ordeal_loaded(list) : NULL;
}

static unsigned count_entries(const char *folder)
{
    unsigned n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d)) {
        n += e->d_name[0] != '.';
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return n;
}

/* Resident memory in KiB. */
static long resident(void)
{
    long size = 0;
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm != NULL) {
        if (fscanf(statm, "%ld %ld", &size, &pages) != 2) {
            pages = 0;
        }
        (void)fclose(statm);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int load_and_unload(void *arg)
{
    unsigned files = 0;
    const unsigned threads = count_entries("/proc/self/task");
    long kib = resident();
    (void)arg;
    const unsigned times = TIMES / fixture_every();
    (void)dlclose(world->handle); /* nobody else keeps it loaded */
    for (unsigned i = 0; i < times; i++) {
        void *handle = NULL;
        const CK_FUNCTION_LIST *f = load(&handle);
        STEP(f != NULL);
        STEP(f->C_Initialize(NULL) == CKR_OK);
        STEP(do_job(f) == 0);
        STEP(f->C_Finalize(NULL) == CKR_OK);
        STEP(dlclose(handle) == 0);
        if (i == times / 4) { /* what is set up once is there by now */
            files = count_entries("/proc/self/fd");
            kib = resident();
        }
    }
    STEP(count_entries("/proc/self/fd") == files);
    STEP(count_entries("/proc/self/task") == threads && threads > 0);
    STEP(kib > 0 && (SANITIZED || chapter_in_valgrind() || ordeal_wanted() || resident() - kib < 2048)); /* of an ordeal's own memory, too */
    return 0;
}

static void the_module_can_be_loaded_again_and_again(void)
{
    CHECK(child_run(load_and_unload, NULL, PATIENCE),
          "100 times: works, and leaks no file, thread or memory");
}

static int unload_in_use(void *arg)
{
    void *handle = NULL;
    const CK_FUNCTION_LIST *f = load(&handle);
    CK_INFO info;
    (void)arg;
    (void)dlclose(world->handle);
    STEP(f != NULL && f->C_Initialize(NULL) == CKR_OK);
    STEP(do_job(f) == 0);
    STEP(dlclose(handle) == 0);          /* without C_Finalize */
    STEP(f->C_GetInfo(&info) == CKR_OK); /* ATTACKS 3: after dlclose */
    handle = NULL;
    f = load(&handle);
    STEP(f != NULL && f->C_Initialize(NULL) == CKR_CRYPTOKI_ALREADY_INITIALIZED);
    STEP(do_job(f) == 0 && f->C_Finalize(NULL) == CKR_OK);
    return 0;
}

static void unloading_in_use_is_survived(void)
{
    CHECK(child_run_to_exit(unload_in_use, NULL, PATIENCE), "dlclose without C_Finalize");
}

/* Leaving without C_Finalize, by exit(3). */

static void late_calls(void)
{
    CK_INFO info;
    CK_RV rv = p11->C_GetInfo(&info);
    if (rv != CKR_OK && rv != CKR_CRYPTOKI_NOT_INITIALIZED) {
        _exit(99);
    }
    rv = p11->C_Finalize(NULL);
    if (rv != CKR_OK && rv != CKR_CRYPTOKI_NOT_INITIALIZED) {
        _exit(98);
    }
}

static int leave_with_everything_open(void *arg)
{
    (void)arg;
    STEP(p11->C_Initialize(NULL) == CKR_OK);
    CK_SESSION_HANDLE session = caller_enter(world, "alpha");
    STEP(session != 0 && caller_generate(world, session, CKK_AES, 32) != 0);
    STEP(p11->C_FindObjectsInit(session, NULL, 0) == CKR_OK);
    return 0;
}

static int leave_with_late_calls(void *arg)
{
    STEP(atexit(late_calls) == 0);
    return leave_with_everything_open(arg);
}

static int leave_with_late_calls_registered_late(void *arg)
{
    int failed = leave_with_everything_open(arg);
    STEP(atexit(late_calls) == 0); /* runs before whatever the modules have registered */
    return failed;
}

static void *work_for_ever(void *arg)
{
    (void)arg;
    for (;;) {
        CK_FUNCTION_LIST *f = NULL;
        if (world->calls->C_GetFunctionList(&f) == CKR_OK) {
            (void)do_job(f);
        }
    }
    return NULL;
}

static int leave_while_threads_work(void *arg)
{
    pthread_t threads[3];
    (void)arg;
    STEP(p11->C_Initialize(NULL) == CKR_OK);
    STEP(caller_enter(world, "alpha") != 0);
    for (int i = 0; i < 3; i++) {
        STEP(pthread_create(&threads[i], NULL, work_for_ever, NULL) == 0);
    }
    (void)usleep(50000);
    return 0;
}

static void exit_without_C_Finalize_is_survived(void)
{
    CHECK(child_run_to_exit(leave_with_everything_open, NULL, PATIENCE), "sessions, keys and a search open");
    CHECK(child_run_to_exit(leave_with_late_calls, NULL, PATIENCE),
          "calls from an atexit handler that runs last");
    CHECK(child_run_to_exit(leave_with_late_calls_registered_late, NULL, PATIENCE),
          "calls from an atexit handler that runs first");
}

/* The vendor's destructors must not run while threads of the application are in the vendor's code. */
static void exit_while_threads_work_is_survived(void)
{
    unsigned good = 0;
    for (int i = 0; i < 10; i++) {
        good += child_run_to_exit(leave_while_threads_work, NULL, PATIENCE);
    }
    CHECK(good == 10, "exit while other threads are in the module");
}

static sigjmp_buf after_crash;

static void crash(int number)
{
    (void)number;
    siglongjmp(after_crash, 1);
}

static int fork_and_wait(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

/* As handlers of crashes do: fork for who takes the traces, then exit. The crash is in the module, at a pointer of the caller's. */
static int leave_after_a_crash(void *arg)
{
    CK_ULONG size = 0;
    void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CK_ATTRIBUTE label = {CKA_LABEL, nowhere, 4096};
    (void)arg;
    STEP(nowhere != MAP_FAILED && signal(SIGSEGV, crash) != SIG_ERR && p11->C_Initialize(NULL) == CKR_OK);
    CK_SESSION_HANDLE session = caller_enter(world, "alpha");
    CK_OBJECT_HANDLE cmk = caller_cmk(world, session);
    if (sigsetjmp(after_crash, 1) == 0) {
        (void)p11->C_GetObjectSize(session, cmk, nowhere);
        return __LINE__;
    }
    STEP(p11->C_GetObjectSize(session, cmk, &size) == CKR_OK && size == 32);
    if (sigsetjmp(after_crash, 1) == 0) {
        (void)p11->C_GetAttributeValue(session, cmk, &label, 1);
        return __LINE__;
    }
    STEP(fork_and_wait() == 0);
    return 0;
}

static void a_crash_at_a_pointer_of_the_caller_is_no_hang(void)
{
    CHECK(chapter_in_valgrind() || child_run_to_exit(leave_after_a_crash, NULL, PATIENCE / 2), "G6: the process forks and exits");
}

/* OpenSSL's engine. */

static ENGINE *load_engine(bool everything)
{
    ENGINE_load_dynamic();
    ENGINE *e = ENGINE_by_id("dynamic");
    if (e == NULL || ENGINE_ctrl_cmd_string(e, "SO_PATH", engine_path, 0) != 1 ||
        ENGINE_ctrl_cmd_string(e, "ID", "pkcs11", 0) != 1 ||
        ENGINE_ctrl_cmd_string(e, "LIST_ADD", "1", 0) != 1 ||
        ENGINE_ctrl_cmd_string(e, "LOAD", NULL, 0) != 1 ||
        ENGINE_ctrl_cmd_string(e, "MODULE_PATH", world->module, 0) != 1 || ENGINE_init(e) != 1) {
        return NULL;
    }
    return everything && ENGINE_set_default(e, ENGINE_METHOD_ALL) != 1 ? NULL : e;
}

/* The engine has Keyward, Keyward has SoftHSM, and SoftHSM uses the OpenSSL whose default engine that is. */
static int use_beside_the_engine(void *arg)
{
    CK_FUNCTION_LIST *f = NULL;
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    bool first = *(const bool *)arg; /* whether the engine comes before the application's C_Initialize */
    ENGINE *e = first ? load_engine(true) : NULL;
    CK_RV rv = p11->C_Initialize(NULL);
    STEP(first ? e != NULL : rv == CKR_OK);
    STEP(rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED);
    STEP(first || (e = load_engine(true)) != NULL);
    STEP(world->calls->C_GetFunctionList(&f) == CKR_OK);
    f = ordeal_loaded(f);
    STEP(do_job(f) == 0);
    STEP(EVP_Digest("abc", 3, hash, &len, EVP_sha256(), NULL) == 1 && len == 32);
    STEP(do_job(f) == 0);
    STEP(p11->C_Finalize(NULL) == CKR_OK);
    STEP(ENGINE_finish(e) == 1);
    STEP(ENGINE_free(e) == 1);
    return 0;
}

static void the_default_engine_may_be_keyward_itself(void)
{
    bool first = true;
    CHECK(access(engine_path, R_OK) == 0, "libengine-pkcs11-openssl is installed");
    CHECK(child_run(use_beside_the_engine, &first, PATIENCE), "the engine comes first");
    first = false;
    CHECK(child_run(use_beside_the_engine, &first, PATIENCE), "the application comes first");
}

/* The same by OpenSSL's configuration: it is read by whoever uses OpenSSL first, here SoftHSM in its C_Initialize. */
static int run_with_configuration(void *arg)
{
    const char *const program = arg;
    char text[1024];
    char path[512];
    STEP(readlink("/proc/self/exe", path, sizeof path - 1) > 0);
    (void)snprintf(text, sizeof text,
                   "openssl_conf = init\n[init]\nengines = engines\n[engines]\npkcs11 = "
                   "keyward\n[keyward]\nengine_id = pkcs11\n"
                   "dynamic_path = %s\nMODULE_PATH = %s\ndefault_algorithms = ALL\ninit = 1\n",
                   engine_path, world->module);
    STEP(fixture_write(world, "openssl.cnf", text));
    STEP(setenv("OPENSSL_CONF", fixture_path(world, "openssl.cnf"), 1) == 0);
    STEP(setenv("KEYWARD_MODULE", world->module, 1) == 0);
    const char *const argv[] = {program, "--job", NULL};
    STEP(fixture_execute(world, argv));
    return 0;
}

/* Whose queue of errors in OpenSSL is not empty when it asks SSL_get_error takes a good connection for a broken one. */
static void the_errors_of_OpenSSL_are_the_applications(void)
{
    uint8_t blob[40] = {1, 2, 3};
    struct form t = {0};
    CK_OBJECT_HANDLE key = 0;
    CK_SESSION_HANDLE session = enter("alpha");
    CK_OBJECT_HANDLE cmk = caller_cmk(world, session);
    form_secret(&t, CKK_AES);
    form_readable(&t);
    CHECK(ERR_peek_error() == 0, "C_Initialize and C_Login leave none");
    CHECK_RV(p11->C_UnwrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), cmk, blob, sizeof blob, t.a, t.count, &key), CKR_WRAPPED_KEY_INVALID,
             "a bad blob, about which SoftHSM's OpenSSL complains");
    CHECK(ERR_peek_error() == 0, "leaves none");
    ERR_raise(ERR_LIB_USER, ERR_R_INTERNAL_ERROR);
    CHECK_RV(p11->C_UnwrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), cmk, blob, sizeof blob, t.a, t.count, &key), CKR_WRAPPED_KEY_INVALID,
             "a bad blob");
    CHECK(ERR_GET_LIB(ERR_get_error()) == ERR_LIB_USER && ERR_get_error() == 0, "leaves the application's own, and that alone");
    leave();
}

static char own_path[PATH_MAX];

static void the_engine_may_come_by_configuration(void)
{
    CHECK(child_run(run_with_configuration, own_path, PATIENCE),
          "openssl.cnf names the engine, and SoftHSM reads it");
}

/* dlopen_test --job: the job in a process of its own, with the environment's configuration. */
static int main_of_job(void)
{
    CK_C_GetFunctionList get = NULL;
    CK_FUNCTION_LIST *f = NULL;
    const char *path = getenv("KEYWARD_MODULE");
    void *handle = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    (void)alarm(PATIENCE / 2);
    child_leaves_leaks(); /* the engine's, in OpenSSL */
    if (handle != NULL) {
        *(void **)(void *)&get = dlsym(handle, "C_GetFunctionList");
    }
    if (get == NULL || get(&f) != CKR_OK) {
        (void)printf("the module cannot be loaded\n");
        return 1;
    }
    CK_RV rv = f->C_Initialize(NULL);
    int line = rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED ? do_job(f) : 1;
    (void)printf("C_Initialize 0x%lx, job %d\n", rv, line);
    (void)f->C_Finalize(NULL);
    return line == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct fixture_slot slots[] = {{.name = "alpha", .tokens = "eu-1"}, {0}};
    CU_TestInfo tests[] = {
        {"the module can be loaded again and again", the_module_can_be_loaded_again_and_again},
        {"unloading in use is survived", unloading_in_use_is_survived},
        {"exit without C_Finalize is survived", exit_without_C_Finalize_is_survived},
        {"exit while threads work is survived", exit_while_threads_work_is_survived},
        {"a crash at a pointer of the caller is no hang", a_crash_at_a_pointer_of_the_caller_is_no_hang},
        {"the default engine may be Keyward itself", the_default_engine_may_be_keyward_itself},
        {"the engine may come by configuration", the_engine_may_come_by_configuration},
        {"the errors of OpenSSL are the application's", the_errors_of_OpenSSL_are_the_applications},
        CU_TEST_INFO_NULL,
    };
    if (argc > 1 && strcmp(argv[1], "--job") == 0) {
        return main_of_job();
    }
    if (realpath(argv[0], own_path) == NULL) {
        return 2;
    }
    return chapter_run("dlopen", &(struct fixture_settings){.slots = slots}, tests);
}
