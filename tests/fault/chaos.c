/*
 * chaos.c: a broker's calls for a long time.
 *
 *   chaos calls N [SEED]    N calls, one in 200 with a fault taken at random from the return codes and lies of the table
 *   chaos soak N            N unwraps without a fault, in the steps of 100000: the memory of the process; then the same calls on
 *                           SoftHSM without Keyward
 *
 * Status 1 for a wrong key, for an end beyond the bound, and for a token that is not served again within a second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "front.h"
#include "steps.h"

enum { ONE_IN = 200, WARM = 7 /* of targets: what is called when all is well */, BOUND_MS = 6000, BACK_MS = 1000, STRIDE = 100000 };

static unsigned long long state;

static unsigned long pick(unsigned long below)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned long)(state >> 33) % below;
}

static struct {
    unsigned long calls, faults, met, wrong, slow, stuck, failed;
    double longest, back;
} tally;

static const enum faulty_function targets[] = {
    FAULTY_C_WrapKey,      FAULTY_C_UnwrapKey,         FAULTY_C_CreateObject, FAULTY_C_GetAttributeValue, FAULTY_C_DestroyObject,
    FAULTY_C_GenerateKey,  FAULTY_C_GenerateRandom,    FAULTY_C_FindObjects,  FAULTY_C_FindObjectsInit,   FAULTY_C_OpenSession,
    FAULTY_C_GetTokenInfo, FAULTY_C_GetSlotList,       FAULTY_C_Login,        FAULTY_C_CloseSession,      FAULTY_C_FindObjectsFinal,
    FAULTY_C_Initialize,   FAULTY_C_GetSessionInfo};

/* A fault at random. A PIN is never refused: it would be sent no more. */
static struct scandal any_fault(void)
{
    unsigned long among = pick(4) == 0 ? sizeof targets / sizeof targets[0] : WARM;
    struct scandal s = {.function = targets[pick(among)], .skip = pick(3) == 0 ? pick(3) : 0, .times = pick(2)};
    if (pick(3) == 0) {
        const struct lie *l = &lies[pick(LIES)];
        s.function = l->function == FAULTY_ANY ? s.function : l->function;
        s.act = l->act;
        s.value = l->value;
        s.times = l->always_only ? 0 : s.times;
        return s;
    }
    s.act = pick(4) == 0 ? FAULTY_LATE : FAULTY_CODE;
    do {
        s.value = scandal_codes[pick(scandal_code_count)];
    } while (s.value == CKR_OK || (s.function == FAULTY_C_Login && s.value == CKR_PIN_INCORRECT));
    return s;
}

static void describe(const struct scandal *s, const char *what, CK_RV rv)
{
    (void)printf("call %lu: %s (0x%lx); %s act %d value 0x%lx skip %lu times %lu\n", tally.calls, what, rv, scandal_name(s->function),
                 (int)s->act, s->value, s->skip, s->times);
    (void)fflush(stdout);
}

static void one_call(void)
{
    static struct scandal fault;
    const struct step *s = &steps[STEPS_FIRST_WARM + pick(STEPS - STEPS_FIRST_WARM)];
    const struct faulty_rule *rule = NULL;
    bool wrong = false;
    if (pick(ONE_IN) == 0) {
        fault = any_fault();
        rule = scandal_arm(steps_control, &fault);
        if (pick(4) == 0) { /* so that the way back is walked, on which the fault then lies */
            (void)scandal_arm(steps_control, &(struct scandal){.function = FAULTY_ANY, .act = pick(2) == 0 ? FAULTY_DROP : FAULTY_RENUMBER, .times = 1});
        }
        tally.faults++;
    }
    double start = scandal_ms();
    CK_RV rv = s->run(&wrong);
    double took = scandal_ms() - start;
    tally.calls++;
    tally.failed += rv != CKR_OK;
    tally.longest = took > tally.longest ? took : tally.longest;
    if (rule != NULL) {
        tally.met += atomic_load(&rule->acted) > 0;
        scandal_clear(steps_control);
        start = scandal_ms();
        while (!wrong && rv != CKR_OK && scandal_ms() - start < BACK_MS) {
            rv = s->run(&wrong);
        }
        double back = scandal_ms() - start;
        tally.back = back > tally.back ? back : tally.back;
    }
    if (wrong || rv != CKR_OK || took > BOUND_MS) {
        describe(&fault, wrong ? "A WRONG KEY" : rv != CKR_OK ? "not served" : "beyond the bound", rv);
        tally.wrong += wrong;
        tally.stuck += rv != CKR_OK;
        tally.slow += took > BOUND_MS;
    }
}

static int run_calls(unsigned long n, unsigned long seed)
{
    bool wrong = false;
    state = seed;
    if (steps_enter(&wrong) != CKR_OK) {
        return 1;
    }
    double start = scandal_ms();
    for (unsigned long i = 0; i < n; i++) {
        one_call();
    }
    (void)printf("%lu calls in %.0f s, seed %lu: %lu faults armed, %lu met, %lu calls failed; %lu wrong keys, %lu not served within %d ms, "
                 "%lu beyond %d ms; the longest call %.0f ms, the longest way back %.0f ms\n",
                 tally.calls, (scandal_ms() - start) / 1000, seed, tally.faults, tally.met, tally.failed, tally.wrong, tally.stuck, BACK_MS,
                 tally.slow, BOUND_MS, tally.longest, tally.back);
    return tally.wrong + tally.stuck + tally.slow == 0 ? 0 : 1;
}

/* soak */

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
    bool wrong = false;
    return steps[STEPS_FIRST_WARM + 2].run(&wrong) == CKR_OK && !wrong;
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
    bool wrong = false;
    return good && steps_enter(&wrong) == CKR_OK && grow("Keyward", n, call_keyward) ? 0 : 1;
}

int main(int argc, char **argv)
{
    unsigned long n = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    bool soak = argc == 3 && strcmp(argv[1], "soak") == 0;
    if (n == 0 || (!soak && strcmp(argv[1], "calls") != 0)) {
        (void)fputs("usage: chaos calls N [SEED] | chaos soak N\n", stderr);
        return 2;
    }
    if (!steps_start()) {
        (void)fputs("chaos: the world cannot be built\n", stderr);
        return 1;
    }
    int status = soak ? run_soak(n) : run_calls(n, argc > 3 ? strtoul(argv[3], NULL, 10) : 1);
    (void)steps_world->calls->C_Finalize(NULL);
    fixture_stop(steps_world);
    return status;
}
