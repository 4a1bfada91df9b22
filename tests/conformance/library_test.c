/* The library as a whole: PKCS#11 3.1 sections 5.4.1 to 5.4.3; the order of checks (CLIENTS.md point 2, issue 3 point 1). */
#include "chapter.h"

#include <dirent.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is served; everything else in functions.def must be refused. Written down from DESIGN section 5 and issues 2 and 3. */
enum served { ANYTIME, LIBRARY_CALL, SESSION_CALL, NOT_PARALLEL, REFUSED_SLOT_CALL, REFUSED_CALL };
static const struct {
    const char *name;
    enum served served;
} served[] = {
    {"C_Initialize", ANYTIME},
    {"C_Finalize", ANYTIME},
    {"C_GetFunctionList", ANYTIME},
    {"C_GetInterfaceList", ANYTIME},
    {"C_GetInterface", ANYTIME},
    {"C_GetInfo", LIBRARY_CALL},
    {"C_GetSlotList", LIBRARY_CALL},
    {"C_GetSlotInfo", LIBRARY_CALL},
    {"C_GetTokenInfo", LIBRARY_CALL},
    {"C_GetMechanismList", LIBRARY_CALL},
    {"C_GetMechanismInfo", LIBRARY_CALL},
    {"C_OpenSession", LIBRARY_CALL},
    {"C_CloseAllSessions", LIBRARY_CALL},
    {"C_WaitForSlotEvent", LIBRARY_CALL},
    {"C_InitToken", REFUSED_SLOT_CALL},
    {"C_CloseSession", SESSION_CALL},
    {"C_GetSessionInfo", SESSION_CALL},
    {"C_Login", SESSION_CALL},
    {"C_Logout", SESSION_CALL},
    {"C_CreateObject", SESSION_CALL},
    {"C_DestroyObject", SESSION_CALL},
    {"C_GetObjectSize", SESSION_CALL},
    {"C_GetAttributeValue", SESSION_CALL},
    {"C_SetAttributeValue", SESSION_CALL},
    {"C_FindObjectsInit", SESSION_CALL},
    {"C_FindObjects", SESSION_CALL},
    {"C_FindObjectsFinal", SESSION_CALL},
    {"C_GenerateKey", SESSION_CALL},
    {"C_WrapKey", SESSION_CALL},
    {"C_UnwrapKey", SESSION_CALL},
    {"C_GenerateRandom", SESSION_CALL},
    {"C_LoginUser", SESSION_CALL},
    {"C_SessionCancel", SESSION_CALL},
    {"C_GetSessionValidationFlags", SESSION_CALL},
    {"C_WrapKeyAuthenticated", SESSION_CALL},
    {"C_UnwrapKeyAuthenticated", SESSION_CALL},
    {"C_GetFunctionStatus", NOT_PARALLEL},
    {"C_CancelFunction", NOT_PARALLEL},
};

static enum served how_served(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(served); i++) {
        if (strcmp(served[i].name, name) == 0) {
            return served[i].served;
        }
    }
    return REFUSED_CALL;
}

static const struct {
    const char *name;
    size_t offset;
} rows[] = {
#define KW_FUNCTION(table, name, gate, call, parameters) {#name, offsetof(struct calls, name)},
#include "functions.def"
#undef KW_FUNCTION
};

/* No function has more than ten parameters, and all of them travel as machine words. */
typedef CK_RV any_call(CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG,
                       CK_ULONG, CK_ULONG);

static CK_RV call(size_t row, CK_ULONG first, CK_ULONG rest)
{
    any_call *function;
    memcpy(&function, (const char *)p11 + rows[row].offset, sizeof function);
    return function(first, rest, rest, rest, rest, rest, rest, rest, rest, rest);
}

/* Neither NULL nor any of these is a pointer that may be followed, nor a session. */
static const CK_ULONG garbage[] = {
    0, 1, 0xDEADBEEFUL, CK_UNAVAILABLE_INFORMATION, 0x5300000100000000UL, 0xFFFFFFFF00000000UL};

static void check_not_initialized(const char *when)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t g = 0; how_served(rows[i].name) != ANYTIME && g < COUNT_OF(garbage); g++) {
            CHECK_RV(call(i, garbage[g], garbage[g]), CKR_CRYPTOKI_NOT_INITIALIZED,
                     chapter_join(when, rows[i].name));
        }
    }
    CHECK_RV(p11->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED, chapter_join(when, "C_Finalize"));
}

static void nothing_works_without_C_Initialize(void)
{
    check_not_initialized("5.4.1: before C_Initialize");
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CHECK_RV(p11->C_Finalize(NULL), CKR_OK, "C_Finalize");
    check_not_initialized("5.4.2: after C_Finalize");
}

static void a_bad_session_comes_before_bad_arguments(void)
{
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CK_SESSION_HANDLE closed = caller_open(world, "alpha");
    CHECK_RV(p11->C_CloseSession(closed), CKR_OK, "C_CloseSession");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        enum served how = how_served(rows[i].name);
        if (how != SESSION_CALL && how != REFUSED_CALL && how != NOT_PARALLEL) {
            continue;
        }
        for (size_t g = 0; g < COUNT_OF(garbage); g++) {
            CHECK_RV(call(i, garbage[g], garbage[g]), CKR_SESSION_HANDLE_INVALID,
                     chapter_join("CLIENTS 2: session before arguments", rows[i].name));
        }
        CHECK_RV(call(i, closed, 0), CKR_SESSION_HANDLE_INVALID,
                 chapter_join("5.6.2: a closed session", rows[i].name));
    }
    leave();
}

static void every_refused_function_refuses(void)
{
    CK_SESSION_HANDLE session = enter("alpha");
    CK_SLOT_ID slot = 0;
    unsigned refused = 0;
    CHECK(caller_slot(world, "alpha", &slot), "the slot");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        enum served how = how_served(rows[i].name);
        for (size_t g = 0; g < COUNT_OF(garbage); g++) {
            if (how == REFUSED_CALL) {
                CHECK_RV(call(i, session, garbage[g]), CKR_FUNCTION_NOT_SUPPORTED, rows[i].name);
            } else if (how == NOT_PARALLEL) {
                CHECK_RV(call(i, session, garbage[g]), CKR_FUNCTION_NOT_PARALLEL,
                         chapter_join("5.20", rows[i].name));
            } else if (how == REFUSED_SLOT_CALL) {
                CHECK_RV(call(i, slot, garbage[g]), CKR_FUNCTION_NOT_SUPPORTED, rows[i].name);
                CHECK_RV(call(i, garbage[g], garbage[g]), CKR_FUNCTION_NOT_SUPPORTED, rows[i].name);
            }
        }
        refused += how == REFUSED_CALL || how == REFUSED_SLOT_CALL;
    }
    CHECK(refused == 104 - COUNT_OF(served) + 1, "all functions of the three tables were looked at");
    leave();
}

/* Mutex callbacks that may be given; none of ours may be called when CKF_OS_LOCKING_OK lets the module choose. */
static CK_RV create_mutex(void **mutex)
{
    static int one;
    *mutex = &one;
    return CKR_OK;
}

static CK_RV touch_mutex(void *mutex)
{
    (void)mutex;
    return CKR_OK;
}

static CK_RV fail_mutex(void *mutex)
{
    (void)mutex;
    return CKR_GENERAL_ERROR;
}

#define MUTEXES create_mutex, touch_mutex, touch_mutex, touch_mutex
static const struct {
    const char *what;
    CK_C_INITIALIZE_ARGS args;
    CK_RV expect;
} starts[] = {
    {"5.4.1: no flags, no mutexes: one thread only", {NULL, NULL, NULL, NULL, 0, NULL}, CKR_OK},
    {"5.4.1: locking by the system", {NULL, NULL, NULL, NULL, CKF_OS_LOCKING_OK, NULL}, CKR_OK},
    {"5.4.1: mutexes or the system's", {MUTEXES, CKF_OS_LOCKING_OK, NULL}, CKR_OK},
    {"5.4.1: mutexes only, cannot be served", {MUTEXES, 0, NULL}, CKR_CANT_LOCK},
    {"5.4.1: mutexes or the system's, callbacks that fail",
     {create_mutex, fail_mutex, fail_mutex, fail_mutex, CKF_OS_LOCKING_OK, NULL},
     CKR_OK},
    {"5.4.1: no CreateMutex", {NULL, touch_mutex, touch_mutex, touch_mutex, 0, NULL}, CKR_ARGUMENTS_BAD},
    {"5.4.1: no DestroyMutex", {create_mutex, NULL, touch_mutex, touch_mutex, 0, NULL}, CKR_ARGUMENTS_BAD},
    {"5.4.1: no LockMutex",
     {create_mutex, touch_mutex, NULL, touch_mutex, CKF_OS_LOCKING_OK, NULL},
     CKR_ARGUMENTS_BAD},
    {"5.4.1: no UnlockMutex",
     {create_mutex, touch_mutex, touch_mutex, NULL, CKF_OS_LOCKING_OK, NULL},
     CKR_ARGUMENTS_BAD},
    {"5.4.1: CreateMutex only", {create_mutex, NULL, NULL, NULL, 0, NULL}, CKR_ARGUMENTS_BAD},
    {"5.4.1: no threads of the library's own",
     {NULL, NULL, NULL, NULL, CKF_LIBRARY_CANT_CREATE_OS_THREADS | CKF_OS_LOCKING_OK, NULL},
     CKR_OK},
    {"5.4.1: pReserved is some number", {NULL, NULL, NULL, NULL, 0, (void *)1}, CKR_ARGUMENTS_BAD},
    {"5.4.1: pReserved is a pointer to nowhere",
     {NULL, NULL, NULL, NULL, 0, (void *)0xFFFFFFFFFFFFFFFFUL},
     CKR_ARGUMENTS_BAD},
};

static void C_Initialize_judges_its_arguments(void)
{
    char other[] = "configuration=/etc/passwd";
    char no_file[] = "config=/nowhere/keyward.conf";
    char empty[] = "";
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        CK_C_INITIALIZE_ARGS args = starts[i].args;
        CK_RV rv = p11->C_Initialize(&args);
        CHECK_RV(rv, starts[i].expect, starts[i].what);
        CHECK_RV(p11->C_Finalize(NULL), rv == CKR_OK ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED, starts[i].what);
    }
    CK_C_INITIALIZE_ARGS args = {.pReserved = other};
    CHECK_RV(p11->C_Initialize(&args), CKR_ARGUMENTS_BAD, "5.4.1: pReserved is another string");
    args.pReserved = empty;
    CHECK_RV(p11->C_Initialize(&args), CKR_ARGUMENTS_BAD, "5.4.1: pReserved is an empty string");
    args.pReserved = no_file;
    CHECK_RV(p11->C_Initialize(&args), CKR_GENERAL_ERROR, "DESIGN 3: config= names no file");
    char path[FIXTURE_PATH_MAX + 8];
    (void)snprintf(path, sizeof path, "config=%s", world->conf);
    args.pReserved = path;
    CHECK(setenv("KEYWARD_CONF", "/nowhere/keyward.conf", 1) == 0, "setenv");
    CHECK_RV(p11->C_Initialize(NULL), CKR_GENERAL_ERROR, "DESIGN 3: $KEYWARD_CONF names no file");
    CHECK_RV(p11->C_Initialize(&args), CKR_OK, "DESIGN 3: config= goes before the environment");
    CHECK(setenv("KEYWARD_CONF", world->conf, 1) == 0, "setenv");
    leave();
}

static void C_Initialize_and_C_Finalize_come_in_pairs(void)
{
    int reserved = 0;
    for (int i = 0; i < 20; i++) {
        CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "5.4.1: again and again");
        CHECK_RV(p11->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED, "5.4.1: a second time");
        CHECK_RV(p11->C_Finalize(&reserved), CKR_ARGUMENTS_BAD, "5.4.2: pReserved");
        CHECK(caller_open(world, "alpha") != 0, "5.4.2: a refused C_Finalize ends nothing");
        leave();
        CHECK_RV(p11->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED, "5.4.2: a second time");
    }
}

static bool is_padded(const CK_UTF8CHAR *field, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (field[i] < ' ') {
            return false;
        }
    }
    return field[0] != ' ';
}

static void C_GetInfo_tells_who_we_are(void)
{
    CK_INFO info;
    memset(&info, 0xEE, sizeof info);
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CHECK_RV(p11->C_GetInfo(NULL), CKR_ARGUMENTS_BAD, "5.4.3: pInfo NULL");
    CHECK_RV(p11->C_GetInfo(&info), CKR_OK, "5.4.3");
    CHECK(info.cryptokiVersion.major == 2 && info.cryptokiVersion.minor == 40,
          "5.4.3: the version of the default interface");
    CHECK(info.flags == 0, "3.2: flags are zero");
    CHECK(is_padded(info.manufacturerID, sizeof info.manufacturerID), "3.1: blank-padded manufacturerID");
    CHECK(is_padded(info.libraryDescription, sizeof info.libraryDescription),
          "3.1: blank-padded libraryDescription");
    leave();
}

static const struct {
    const char *what;
    const char *name;
    const char *text; /* %s: the configuration of the world */
    mode_t mode;
} faults[] = {
    {"issue 2: an empty configuration", "empty.conf", "", 0600},
    {"issue 2: an unknown section", "section.conf", "[tokens]\nx = y\n", 0600},
    {"issue 2: a slot without tokens", "slot.conf", "[slot x]\nkey = x\n", 0600},
    {"issue 2: a slot of an unknown token", "token.conf", "[slot x]\ntokens = y\n", 0600},
    {"issue 2: not a configuration at all", "text.conf", "\177ELF\001\002\003", 0600},
    {"DESIGN 3: others may write the configuration", "mode.conf", NULL, 0666},
    {"DESIGN 3: the group may write the configuration", "group.conf", NULL, 0660},
};

static void a_bad_configuration_is_an_error_and_not_a_state(void)
{
    char text[4096] = "";
    FILE *conf = fopen(world->conf, "re");
    size_t n = conf == NULL ? 0 : fread(text, 1, sizeof text - 1, conf);
    CHECK(n > 0, "the configuration of the world");
    if (conf != NULL) {
        (void)fclose(conf);
    }
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        char reserved[2 * FIXTURE_PATH_MAX + 8];
        CHECK(fixture_write(world, faults[i].name, faults[i].text == NULL ? text : faults[i].text),
              faults[i].name);
        CHECK(chmod(fixture_path(world, faults[i].name), faults[i].mode) == 0, faults[i].name);
        (void)snprintf(reserved, sizeof reserved, "config=%s", fixture_path(world, faults[i].name));
        CK_C_INITIALIZE_ARGS args = {.pReserved = reserved};
        CHECK_RV(p11->C_Initialize(&args), CKR_GENERAL_ERROR, faults[i].what);
        CHECK_RV(p11->C_GetInfo(NULL), CKR_CRYPTOKI_NOT_INITIALIZED, faults[i].what);
    }
    CHECK(enter("alpha") != 0, "a good configuration works afterwards");
    leave();
}

static unsigned count_threads(void)
{
    unsigned n = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *e = tasks == NULL ? NULL : readdir(tasks); e != NULL; e = readdir(tasks)) {
        n += e->d_name[0] != '.';
    }
    if (tasks != NULL) {
        (void)closedir(tasks);
    }
    return n;
}

static void no_threads_are_made_where_they_are_forbidden(void)
{
    unsigned before = count_threads();
    uint8_t value[32];
    uint8_t blob[64];
    CK_ULONG len = sizeof blob;
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_LIBRARY_CANT_CREATE_OS_THREADS | CKF_OS_LOCKING_OK};
    CHECK(before > 0, "the threads of this process can be counted");
    CHECK_RV(p11->C_Initialize(&args), CKR_OK, "5.4.1: CKF_LIBRARY_CANT_CREATE_OS_THREADS");
    CK_SESSION_HANDLE session = caller_enter(world, "alpha");
    CK_OBJECT_HANDLE key = caller_generate(world, session, CKK_AES, 32);
    CHECK_RV(p11->C_WrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), caller_cmk(world, session), key,
                            blob, &len),
             CKR_OK, "C_WrapKey");
    CHECK(caller_value(world, session, key, value, sizeof value) == 32, "CKA_VALUE");
    CHECK(count_threads() == before, "5.4.1: no thread was made");
    leave();
}

static void handles_do_not_survive_C_Finalize(void)
{
    CK_SESSION_INFO info;
    CK_ULONG size = 0;
    CK_SESSION_HANDLE old_session = enter("alpha");
    CK_OBJECT_HANDLE old_key = caller_generate(world, old_session, CKK_AES, 32);
    leave();
    CK_SESSION_HANDLE session = enter("alpha");
    CHECK(caller_generate(world, session, CKK_AES, 16) != 0, "a new key");
    CHECK_RV(p11->C_GetSessionInfo(old_session, &info), CKR_SESSION_HANDLE_INVALID,
             "5.4.2: a session of before");
    CHECK_RV(p11->C_GetObjectSize(session, old_key, &size), CKR_OBJECT_HANDLE_INVALID,
             "5.4.2: an object of before");
    leave();
}

int main(void)
{
    static const struct fixture_slot slots[] = {{.name = "alpha", .tokens = "eu-1"}, {0}};
    CU_TestInfo tests[] = {
        {"nothing works without C_Initialize", nothing_works_without_C_Initialize},
        {"a bad session comes before bad arguments", a_bad_session_comes_before_bad_arguments},
        {"every refused function refuses", every_refused_function_refuses},
        {"C_Initialize judges its arguments", C_Initialize_judges_its_arguments},
        {"C_Initialize and C_Finalize come in pairs", C_Initialize_and_C_Finalize_come_in_pairs},
        {"C_GetInfo tells who we are", C_GetInfo_tells_who_we_are},
        {"a bad configuration is an error and not a state", a_bad_configuration_is_an_error_and_not_a_state},
        {"no threads are made where they are forbidden", no_threads_are_made_where_they_are_forbidden},
        {"handles do not survive C_Finalize", handles_do_not_survive_C_Finalize},
        CU_TEST_INFO_NULL,
    };
    return chapter_run("library", &(struct fixture_settings){.slots = slots}, tests);
}
