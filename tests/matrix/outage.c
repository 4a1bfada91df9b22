/*
 * Kills the HSM's server or daemon under a working broker and starts it again: outage SLOT FOLDER, with $KEYWARD_CONF naming a slot that has an
 * RSA key and $CONTRACT_DOWN, $CONTRACT_UP the commands (hsm.sh). With $CONTRACT_SERVES a second token of the slot is there meanwhile,
 * which $OTHER_DOWN and $OTHER_UP take away and bring back.
 *
 *     outage --bare MODULE FOLDER     the vendor's module without Keyward: what the parts about SIGPIPE are there for. It ends as the module does.
 *
 * Prints lines as contract does, and figures on stderr.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scene.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { SLOW = 3 };
#else
enum { SLOW = 1 };
#endif

enum { THREADS = 4, ROUNDS = 2, POLL_US = 2000, CLOSED_US = 100 * 1000 /* until the kernel has closed what a killed process had */, VALUE = 32 };

/* Seconds. */
static const double healthy = 0.2;
static const double away = 0.4;
static const double call_most = 6;       /* the bound of one call (docs/reliability.md) */
static const double back_most = 1.5 * SLOW; /* from the return of the HSM to a call that is served: about a second, and this machine is busy */

static bool all_good = true;

/* Whether a second token of the slot serves meanwhile. */
static bool has_replica(void)
{
    return getenv("CONTRACT_SERVES") != NULL;
}

/* A part is over: its line, and the counters anew. */
static void tell(struct scene *s, const char *name)
{
    bool good = s->failed == 0 && s->checks > 0;
    all_good &= good;
    (void)printf("%s\t%s%s\t%s\n", good ? "ok" : "failed", has_replica() ? "replica: " : "", name, good ? "" : "see above");
    (void)fflush(stdout);
    s->checks = s->failed = 0;
}

static bool is_outage(CK_RV rv)
{
    return rv == CKR_DEVICE_REMOVED || rv == CKR_DEVICE_ERROR || rv == CKR_TOKEN_NOT_PRESENT;
}

/* The broker's threads. */

struct worker {
    struct scene scene; /* a session of its own */
    pthread_t thread;
    CK_OBJECT_HANDLE memory; /* a data key of the memory home, made before the outages */
    struct kept kept;        /* its value and a blob of it */
    atomic_ulong served;
    atomic_ulong outages;
    CK_RV strange; /* an answer that is neither */
    bool wrong;    /* CKR_OK, and not the key that was wrapped */
    double longest;
    _Atomic double back; /* the first call that was served after the HSM's return; 0: none yet */
};

static atomic_bool stop;
static _Atomic double returned; /* 0: it is not back yet */

static bool note(struct worker *w, CK_RV rv, double start)
{
    double now = scene_seconds();
    w->longest = now - start > w->longest ? now - start : w->longest;
    if (rv == CKR_OK) {
        (void)atomic_fetch_add(&w->served, 1);
        if (atomic_load(&returned) > 0 && start > atomic_load(&returned) && atomic_load(&w->back) <= 0) {
            atomic_store(&w->back, now);
        }
    } else if (is_outage(rv)) {
        (void)atomic_fetch_add(&w->outages, 1);
    } else {
        w->strange = rv;
    }
    return rv == CKR_OK;
}

/* Wraps the data key anew and opens the latest blob of it. */
static void work_once(struct worker *w)
{
    uint8_t blob[SCENE_ROOM];
    uint8_t got[64];
    CK_ULONG len = 0;
    CK_OBJECT_HANDLE key = 0;
    double start = scene_seconds();
    if (note(w, scene_wrap(&w->scene, w->scene.way, w->memory, blob, &len), start)) {
        memcpy(w->kept.blob, blob, len);
        w->kept.blob_len = len;
    }
    const struct blob b = {w->scene.way, w->kept.blob, w->kept.blob_len, CKK_AES, false};
    start = scene_seconds();
    if (note(w, scene_open(&w->scene, &b, &key), start)) {
        size_t n = caller_value(w->scene.f, w->scene.session, key, got, sizeof got);
        w->wrong = w->wrong || n != VALUE || memcmp(got, w->kept.value, VALUE) != 0;
        (void)w->scene.p11->C_DestroyObject(w->scene.session, key);
    }
}

static CK_RV watched;

/* Looks at the slot again and again, as a monitor does. */
static void *watch(void *arg)
{
    const struct scene *s = arg;
    CK_SESSION_INFO session;
    CK_TOKEN_INFO info;
    CK_RV rv = s->p11->C_GetSessionInfo(s->session, &session);
    while (rv == CKR_OK && !atomic_load(&stop)) {
        rv = s->p11->C_GetTokenInfo(session.slotID, &info);
        rv = rv == CKR_TOKEN_NOT_PRESENT && !has_replica() ? CKR_OK : rv;
    }
    watched = rv;
    return NULL;
}

static void *work(void *arg)
{
    while (!atomic_load(&stop)) {
        work_once(arg);
    }
    return NULL;
}

static bool hire(struct scene *s, struct worker *w)
{
    memset(w, 0, sizeof *w);
    w->scene = *s;
    w->scene.session = caller_enter(s->f, s->slot);
    w->memory = caller_generate(s->f, w->scene.session, CKK_AES, VALUE);
    w->kept.len = caller_value(s->f, w->scene.session, w->memory, w->kept.value, sizeof w->kept.value);
    CK_RV rv = scene_wrap(s, s->way, w->memory, w->kept.blob, &w->kept.blob_len);
    return scene_check(s, rv == CKR_OK && w->kept.len == VALUE, "a thread has a session and a data key", rv);
}

/* The session, the data key and the master key's handle of before the outages. */
static void judge(struct scene *s, struct worker *w)
{
    CK_SESSION_INFO info = {0};
    uint8_t got[64];
    (void)scene_check(s, !w->wrong, "no wrong key, ever", 0);
    (void)scene_check(s, w->strange == CKR_OK, "every answer is CKR_OK or an outage", w->strange);
    (void)scene_check(s, w->longest < call_most, "each call within its bound", (CK_RV)(w->longest * 1000));
    CK_RV rv = s->p11->C_GetSessionInfo(w->scene.session, &info);
    (void)scene_check(s, rv == CKR_OK && info.state == CKS_RW_USER_FUNCTIONS, "the caller's session is what it was", rv);
    size_t n = caller_value(s->f, w->scene.session, w->memory, got, sizeof got);
    (void)scene_check(s, n == VALUE && memcmp(got, w->kept.value, VALUE) == 0, "so is its data key of the memory home", n);
    w->scene.failed = 0;
    (void)scene_check(s, scene_still_opens(&w->scene, &w->kept, "the blob opens in that session"), "by the handle of before", 0);
    (void)s->p11->C_CloseSession(w->scene.session);
}

/* Outages. */

static void pause_for(double seconds)
{
    (void)usleep((useconds_t)(seconds * 1e6));
}

static bool down(struct scene *s)
{
    return scene_shell(s, "CONTRACT_DOWN");
}

static unsigned long outages_of(struct worker *list)
{
    unsigned long n = 0;
    for (size_t i = 0; i < THREADS; i++) {
        n += atomic_load(&list[i].outages);
    }
    return n;
}

/* Waits until each thread was served after the return; the slowest of them, in seconds after it. */
static double all_back(struct worker *list)
{
    double slowest = 0;
    for (size_t i = 0; i < THREADS; i++) {
        while (atomic_load(&list[i].back) <= 0 && scene_seconds() - atomic_load(&returned) < back_most + call_most) {
            (void)usleep(POLL_US);
        }
        double back = atomic_load(&list[i].back);
        back = back > 0 ? back - atomic_load(&returned) : call_most * 2;
        slowest = back > slowest ? back : slowest;
        atomic_store(&list[i].back, 0);
    }
    return slowest;
}

static void under_load(struct scene *s)
{
    static struct worker list[THREADS];
    pthread_t watcher;
    double longest = 0;
    atomic_store(&stop, false);
    if (pthread_create(&watcher, NULL, watch, s) != 0) {
        abort();
    }
    for (size_t i = 0; i < THREADS; i++) {
        if (!hire(s, &list[i]) || pthread_create(&list[i].thread, NULL, work, &list[i]) != 0) {
            abort();
        }
    }
    for (unsigned round = 0; round < (has_replica() ? 1 : ROUNDS); round++) {
        pause_for(healthy);
        unsigned long before = outages_of(list);
        (void)down(s);
        pause_for(away * (round + 1));
        (void)scene_shell(s, "CONTRACT_UP");
        atomic_store(&returned, scene_seconds());
        double back = all_back(list);
        atomic_store(&returned, 0);
        (void)fprintf(stderr, "# %s: away for %.1f s and more: %lu calls told; each thread served again at most %.0f ms after the return\n", s->slot,
                      away * (round + 1), outages_of(list) - before, back * 1000);
        (void)scene_check(s, back <= back_most, "each thread is served again in time", (CK_RV)(back * 1000));
    }
    if (has_replica()) {
        pause_for(back_most); /* by then the first one is preferred again */
        (void)scene_check(s, scene_shell(s, "OTHER_DOWN"), "then the other one goes", 0);
        pause_for(healthy);
        (void)scene_check(s, scene_shell(s, "OTHER_UP"), "and returns", 0);
    }
    atomic_store(&stop, true);
    (void)pthread_join(watcher, NULL);
    (void)scene_check(s, watched == CKR_OK, "the token of the slot is there, or is told as absent when it has no replica", watched);
    unsigned long served = 0;
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(list[i].thread, NULL);
        served += atomic_load(&list[i].served);
        longest = list[i].longest > longest ? list[i].longest : longest;
        judge(s, &list[i]);
    }
    (void)fprintf(stderr, "# %s: %lu calls served, %lu told of an outage, the longest took %.0f ms\n", s->slot, served, outages_of(list),
                  longest * 1000);
    (void)scene_check(s, !has_replica() || outages_of(list) == 0, "with a replica no call is told of it", outages_of(list));
}

/* One thread, which alone meets the outage: whatever the vendor's module raises is raised in it. */
static void meet_outage(struct scene *s)
{
    struct kept k;
    if (!scene_keep(s, &k) || !down(s)) {
        return;
    }
    (void)usleep(CLOSED_US);
    CK_RV rv = scene_answer(s, &k);
    (void)scene_check(s, rv == CKR_OK || (!has_replica() && is_outage(rv)), "away, it works on or answers an outage", rv);
    if (!scene_shell(s, "CONTRACT_UP")) {
        return;
    }
    double until = scene_seconds() + back_most;
    while (scene_answer(s, &k) != CKR_OK && scene_seconds() < until) {
        (void)usleep(POLL_US);
    }
    (void)scene_still_opens(s, &k, "back, the same session opens what it wrapped before");
}

static volatile sig_atomic_t raised;

static void count(int number)
{
    (void)number;
    raised++;
}

static void own_handler(struct scene *s)
{
    struct sigaction own = {.sa_handler = count};
    struct sigaction before;
    struct sigaction after;
    raised = 0;
    (void)sigaction(SIGPIPE, &own, &before);
    meet_outage(s);
    (void)sigaction(SIGPIPE, &before, &after);
    (void)scene_check(s, raised == 0, "the application's own handler was not called", (CK_RV)raised);
    (void)scene_check(s, after.sa_handler == count, "and is still in place", 0);
}

static bool is_pending(void)
{
    sigset_t pending;
    (void)sigemptyset(&pending);
    (void)sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

/* The application has blocked SIGPIPE; `own`: and one of its own is pending. */
static void blocked(struct scene *s, bool own)
{
    static const struct timespec at_once = {0, 0};
    sigset_t pipe;
    sigset_t mask;
    sigset_t before;
    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe, &before);
    if (own) {
        (void)raise(SIGPIPE);
    }
    meet_outage(s);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &mask);
    (void)scene_check(s, sigismember(&mask, SIGPIPE) == 1, "SIGPIPE is still blocked", 0);
    (void)scene_check(s, is_pending() == own, own ? "the application's own SIGPIPE is still pending" : "no SIGPIPE is left to the application", 0);
    (void)sigtimedwait(&pipe, NULL, &at_once);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void blocked_and_pending(struct scene *s)
{
    blocked(s, true);
}

static void blocked_and_not_pending(struct scene *s)
{
    blocked(s, false);
}

/* A broker that starts while the HSM is away. */
static void started_without(struct scene *s)
{
    struct kept k;
    if (!scene_keep(s, &k)) {
        return;
    }
    scene_end(s);
    if (!down(s) || !scene_check(s, caller_initialize(s->f), "C_Initialize without the HSM", 0)) {
        return;
    }
    s->session = caller_open(s->f, s->slot);
    CK_RV rv = s->session == 0 ? CKR_DEVICE_REMOVED : s->p11->C_Login(s->session, CKU_USER, NULL, 0);
    (void)scene_check(s, has_replica() ? rv == CKR_OK : rv == CKR_OK || is_outage(rv), "a login without it answers an outage", rv);
    if (!scene_shell(s, "CONTRACT_UP")) {
        return;
    }
    double until = scene_seconds() + back_most;
    while (rv != CKR_OK && scene_seconds() < until) {
        (void)usleep(POLL_US);
        s->session = s->session == 0 ? caller_open(s->f, s->slot) : s->session;
        rv = s->session == 0 ? rv : s->p11->C_Login(s->session, CKU_USER, NULL, 0);
    }
    if (scene_check(s, rv == CKR_OK, "back, the login works without another C_Initialize", rv) && scene_look(s)) {
        (void)scene_still_opens(s, &k, "and a blob opens");
    }
}

static const struct {
    const char *name;
    void (*run)(struct scene *s);
    bool alone; /* nothing new with a replica */
} parts[] = {
    {"killed -9 under load, and back", under_load, false},
    {"a broker starts while it is away", started_without, false},
    {"no SIGPIPE in the application's handler", own_handler, true},
    {"a SIGPIPE that was pending stays so", blocked_and_pending, true},
    {"no SIGPIPE is left where it is blocked", blocked_and_not_pending, true},
};

/* Without Keyward: a session, the outage, one more call. */
static int bare(const char *module, const char *folder)
{
    struct fixture f = {0};
    struct scene s = {.f = &f, .slot = "bare"};
    CK_FUNCTION_LIST *p11 = NULL;
    CK_C_GetFunctionList get = NULL;
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    CK_SLOT_ID slot = 0;
    CK_ULONG n = 1;
    CK_SESSION_HANDLE session = 0;
    (void)snprintf(f.folder, sizeof f.folder, "%s", folder);
    void *handle = dlopen(module, RTLD_NOW);
    *(void **)&get = handle == NULL ? NULL : dlsym(handle, "C_GetFunctionList");
    if (get == NULL || get(&p11) != CKR_OK || p11->C_Initialize(&args) != CKR_OK || p11->C_GetSlotList(CK_TRUE, &slot, &n) != CKR_OK ||
        p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session) != CKR_OK || !down(&s)) {
        return 2;
    }
    (void)usleep(CLOSED_US);
    CK_SESSION_INFO info;
    return p11->C_GetSessionInfo(session, &info) == CKR_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct scene s = {0};
    (void)signal(SIGPIPE, SIG_DFL);
    (void)setenv("CONTRACT_SIGNAL", "KILL", 1);
    if (argc == 4 && strcmp(argv[1], "--bare") == 0) {
        return bare(argv[2], argv[3]);
    }
    if (argc != 3 || (s.f = fixture_attach(argv[2])) == NULL) {
        (void)fprintf(stderr, "usage: outage SLOT FOLDER\n");
        return 2;
    }
    s.p11 = s.f->calls;
    s.slot = argv[1];
    s.rsa = true;
    s.way = &ways[3];
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && (s.session != 0 || scene_begin(&s)); i++) {
        if (!parts[i].alone || !has_replica()) {
            parts[i].run(&s);
            tell(&s, parts[i].name);
        }
    }
    if (s.failed > 0) {
        tell(&s, "set-up");
    }
    scene_end(&s);
    fixture_stop(s.f);
    return all_good ? 0 : 1;
}
