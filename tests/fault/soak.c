/*
 * soak.c: N unwraps without a fault, in one process: what they add to its memory, and what the same calls add on SoftHSM without Keyward.
 *
 *   soak N
 *
 * Prints the memory every 100000 calls. Status 1 when a call does not succeed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "front.h"
#include "steps.h"

enum { STRIDE = 100000 };

static long resident_kb(void)
{
    long size = 0;
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%ld %ld", &size, &pages) != 2) {
        pages = 0;
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* n times `call`, with the memory at the beginning, when it is warm, and at the end. */
static bool grow(const char *name, unsigned long n, bool (*call)(void))
{
    long warm = 0;
    double start = scandal_ms();
    for (unsigned long i = 0; i < n; i++) {
        if (!call()) {
            (void)printf("%s: call %lu does not go well\n", name, i);
            return false;
        }
        warm = i == 1000 ? resident_kb() : warm;
        if ((i + 1) % STRIDE == 0 || i + 1 == n) {
            (void)printf("%-8s %10lu calls %8.0f s   resident %8ld KiB, %+8ld KiB, %.1f bytes a call\n", name, i + 1,
                         (scandal_ms() - start) / 1000, resident_kb(), resident_kb() - warm,
                         (double)(resident_kb() - warm) * 1024 / (double)(i + 1));
            (void)fflush(stdout);
        }
    }
    return true;
}

static bool call_keyward(void)
{
    static const struct step unwrap = {"unwrap", STEP_UNWRAP, TRUTH_KW, false};
    bool wrong = false;
    return steps_run(&unwrap, &wrong) == CKR_OK && !wrong;
}

/* What Keyward asks of SoftHSM for one unwrap, without Keyward. */
static CK_FUNCTION_LIST *bare;
static CK_SESSION_HANDLE bare_session;
static CK_OBJECT_HANDLE bare_cmk;
static CK_BYTE bare_blob[40];

static CK_RV make_bare_key(CK_OBJECT_HANDLE *key)
{
    struct form t = {0};
    static const uint8_t value[32] = {1};
    form_secret(&t, CKK_AES);
    form_bool(&t, CKA_TOKEN, false);
    form_bool(&t, CKA_PRIVATE, true);
    form_readable(&t);
    form_bytes(&t, CKA_VALUE, value, sizeof value);
    return bare->C_CreateObject(bare_session, t.a, t.count, key);
}

static bool open_bare(void)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    CK_SLOT_ID slots[4];
    CK_ULONG count = 4;
    CK_UTF8CHAR pin[] = FIXTURE_PIN;
    CK_OBJECT_HANDLE key = 0;
    CK_ULONG len = sizeof bare_blob;
    struct form t = {0};
    form_bytes(&t, CKA_LABEL, "faulty", 6);
    bare = front_load(FRONT_SOFTHSM);
    return bare != NULL && bare->C_Initialize(&args) == CKR_OK && bare->C_GetSlotList(CK_TRUE, slots, &count) == CKR_OK &&
           bare->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &bare_session) == CKR_OK &&
           bare->C_Login(bare_session, CKU_USER, pin, sizeof pin - 1) == CKR_OK && bare->C_FindObjectsInit(bare_session, t.a, t.count) == CKR_OK &&
           bare->C_FindObjects(bare_session, &bare_cmk, 1, &count) == CKR_OK && count == 1 && bare->C_FindObjectsFinal(bare_session) == CKR_OK &&
           make_bare_key(&key) == CKR_OK &&
           bare->C_WrapKey(bare_session, caller_mechanism(CKM_AES_KEY_WRAP), bare_cmk, key, bare_blob, &len) == CKR_OK && len == sizeof bare_blob;
}

static bool call_bare(void)
{
    CK_OBJECT_HANDLE key = 0;
    uint8_t value[32];
    CK_ATTRIBUTE a = {CKA_VALUE, value, sizeof value};
    struct form t = {0};
    form_secret(&t, CKK_AES);
    form_bool(&t, CKA_TOKEN, false);
    form_bool(&t, CKA_PRIVATE, true);
    form_readable(&t);
    return bare->C_UnwrapKey(bare_session, caller_mechanism(CKM_AES_KEY_WRAP), bare_cmk, bare_blob, sizeof bare_blob, t.a, t.count, &key) == CKR_OK &&
           bare->C_GetAttributeValue(bare_session, key, &a, 1) == CKR_OK && bare->C_DestroyObject(bare_session, key) == CKR_OK;
}

static int run_soak(unsigned long n)
{
    int status = 0;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(open_bare() && grow("SoftHSM", n, call_bare) ? 0 : 1);
    }
    bool good = pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
    return good && steps_enter() == CKR_OK && grow("Keyward", n, call_keyward) ? 0 : 1;
}

int main(int argc, char **argv)
{
    unsigned long n = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (n == 0) {
        (void)fputs("usage: soak N\n", stderr);
        return 2;
    }
    if (!steps_start(false)) {
        (void)fputs("soak: the world cannot be built\n", stderr);
        return 1;
    }
    int status = run_soak(n);
    (void)steps_world->calls->C_Finalize(NULL);
    fixture_stop(steps_world);
    return status;
}
