/*
 * chaos.c: a broker's calls for a long time, with faults at random.
 *
 *   chaos [--rsa] N [SEED [ONE_IN]]      N calls; one in ONE_IN (40) meets a fault. --rsa: the master key is an RSA one
 *
 * A fault is armed where it will be met: at a call that the next step really makes into its token. Which those are is learned first, for each step
 * and for each way that the step may have to go: nothing is amiss, or the sessions are lost, the login, the handles, the token
 * for some calls, the module answers an outage, the library is started anew. What goes amiss is caused, and the fault lies on the way back. A
 * few faults lurk where Keyward reads the master key anew, about once a second, until they are met.
 * The faults are the return codes of errors.def and the lies of steps.c. Prints armed and met of each kind. Status 1 for a
 * wrong key, for an end beyond the bound, for a token that is not served again within a second and a half after the fault, and when
 * one fault in ten was not met.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "steps.h"

enum { ONE_IN = 40, BOUND_MS = 6000, BACK_MS = 1500 /* the key's attributes are read anew once a second */, HANG_S = 60, LESSONS = 3, TRIES = 50, PAUSE_US = 2000, LURK_ONE_IN = 200, LURK_MS = 3000, REREAD_MS = 1100, LURK_LEAST = 50000 };

static unsigned long long state;

static unsigned long pick(unsigned long below)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned long)(state >> 33) % below;
}

static size_t any_step(void)
{
    return steps_first_warm + pick(steps_count - steps_first_warm);
}

/* The ways of a step, and what is done so that it has to go there. */
enum way { WARM, LOST, LOGGED_OUT, RENUMBERED, VANISHED, OUTAGE, ANEW, REREAD, WAYS, DRAWN = REREAD };

static const struct {
    const char *name;
    enum faulty_act act;
    CK_ULONG value;
    unsigned long times; /* 0: nothing is caused */
} ways[WAYS] = {
    [WARM] = {"nothing is amiss", FAULTY_CODE, 0, 0},
    [LOST] = {"sessions lost", FAULTY_DROP, 0, 1},
    [LOGGED_OUT] = {"logged out", FAULTY_LOGOUT, 0, 1},
    [RENUMBERED] = {"handles renumbered", FAULTY_RENUMBER, 0, 1},
    [VANISHED] = {"token gone for 3 calls", FAULTY_VANISH, 0, 3},
    [OUTAGE] = {"an outage, the module restarted", FAULTY_CODE, CKR_DEVICE_ERROR, 1},
    [ANEW] = {"the library started anew", FAULTY_CODE, 0, 0},
    [REREAD] = {"the key read anew", FAULTY_CODE, 0, 0},
};

/* Calls of each function that a step makes at least. */
static unsigned long profile[STEPS_MOST][WAYS][FAULTY_FUNCTIONS];

/* Kinds of faults: three with a code, and the lies. */
enum kind { ONCE, FOR_EVER, THOUGH_DONE, CODE_KINDS, KINDS = CODE_KINDS + LIES };
static const char *const code_kinds[CODE_KINDS] = {"code, once", "code, from then on", "code, though it was done"};

struct score {
    unsigned long armed, met, served;
};

static struct {
    unsigned long calls, wrong, slow, stuck, failed, late;
    double longest, back;
    double over; /* when the last fault was */
    struct score all, kinds[KINDS], ways[WAYS];
    bool codes[256];
} tally;

/* A fault, and where it lies. */
struct plan {
    size_t step;
    enum way way;
    enum kind kind;
    size_t code; /* in scandal_codes */
    struct scandal fault;
};

/* Whether the broker has its session and the master key's handle. It keeps them over everything but its own C_Finalize; a handle that it got while
 * the token lied about the key may be that of another one, which is not there when the lie is over: then it looks the key up again. */
static bool entered;
static bool doubtful;
static bool disturbs;

static bool is_another(CK_RV rv)
{
    return rv == CKR_WRAPPING_KEY_HANDLE_INVALID || rv == CKR_UNWRAPPING_KEY_HANDLE_INVALID;
}

static CK_RV go(size_t step, enum way way, bool *wrong)
{
    CK_RV rv = CKR_OK;
    if (way == ANEW) {
        (void)steps_world->calls->C_Finalize(NULL);
        entered = false;
    }
    if (!entered) {
        rv = steps_enter();
        entered = rv == CKR_OK;
        doubtful = disturbs;
    }
    rv = rv == CKR_OK ? steps_run(&steps[step], wrong) : rv;
    if (is_another(rv) && doubtful && !disturbs) {
        entered = false;
        rv = go(step, WARM, wrong);
    }
    return rv;
}

static void cause(enum way way)
{
    if (ways[way].times > 0) {
        (void)scandal_arm(steps_control, &(struct scandal){FAULTY_ANY, ways[way].act, ways[way].value, 0, ways[way].times, NULL});
    }
}

/* One undisturbed step. False when it does not succeed, if not the first time then the second. */
static bool listen(size_t step, enum way way, unsigned long calls[FAULTY_FUNCTIONS])
{
    bool wrong = false;
    if (steps_run(&steps[step], &wrong) != CKR_OK) {
        return false;
    }
    if (way == REREAD) {
        (void)usleep(REREAD_MS * 1000);
    }
    for (size_t f = 0; f < FAULTY_FUNCTIONS; f++) {
        atomic_store(&steps_control->calls[f], 0);
    }
    cause(way);
    CK_RV rv = go(step, way, &wrong);
    for (size_t f = 0; f < FAULTY_FUNCTIONS; f++) {
        calls[f] = atomic_load(&steps_control->calls[f]);
    }
    scandal_clear(steps_control);
    return !wrong && (rv == CKR_OK || steps_run(&steps[step], &wrong) == CKR_OK);
}

static bool learn_one(size_t step, enum way way)
{
    unsigned long *known = profile[step][way];
    for (int i = 0; i < (way == REREAD ? 1 : LESSONS); i++) {
        unsigned long calls[FAULTY_FUNCTIONS];
        if (!listen(step, way, calls)) {
            (void)printf("%s, %s: does not work\n", steps[step].name, ways[way].name);
            return false;
        }
        for (size_t f = 0; f < FAULTY_FUNCTIONS; f++) {
            known[f] = i == 0 || calls[f] < known[f] ? calls[f] : known[f];
        }
    }
    return true;
}

static bool learn(unsigned long n)
{
    bool good = true;
    for (size_t s = steps_first_warm; s < steps_count; s++) {
        for (enum way w = 0; w < DRAWN; w++) {
            good = learn_one(s, w) && good;
        }
        good = (n < LURK_LEAST || learn_one(s, REREAD)) && good;
    }
    return good;
}

/* Whether a function can lie like this. A PIN is never refused: it would be sent no more. */
static bool fits(const struct plan *p, enum faulty_function f)
{
    if (p->kind >= CODE_KINDS) {
        const struct lie *l = &lies[p->kind - CODE_KINDS];
        return l->function == FAULTY_ANY || l->function == f;
    }
    return f != FAULTY_C_Login || p->fault.value != CKR_PIN_INCORRECT;
}

/* A function that the step calls and that can do this; FAULTY_ANY when there is none. */
static enum faulty_function any_function(const struct plan *p)
{
    enum faulty_function fitting[FAULTY_FUNCTIONS] = {FAULTY_ANY};
    size_t count = 0;
    for (unsigned f = 0; f < FAULTY_FUNCTIONS; f++) {
        if (profile[p->step][p->way][f] > 0 && fits(p, (enum faulty_function)f)) {
            fitting[count++] = (enum faulty_function)f;
        }
    }
    return fitting[count == 0 ? 0 : pick(count)];
}

/* What to do wrong: half of it a code, each in one of three ways; half a lie. */
static void draw_kind(struct plan *p)
{
    if (pick(2) == 0) {
        p->kind = (enum kind)pick(CODE_KINDS);
        do {
            p->code = pick(scandal_code_count);
        } while (scandal_codes[p->code] == CKR_OK);
        p->fault = (struct scandal){.act = p->kind == THOUGH_DONE ? FAULTY_LATE : FAULTY_CODE,
                                    .value = scandal_codes[p->code],
                                    .times = p->kind == FOR_EVER ? 0 : 1};
    } else {
        const struct lie *l = &lies[pick(LIES)];
        p->kind = (enum kind)(CODE_KINDS + (l - lies));
        p->fault = (struct scandal){.act = l->act, .value = l->value, .times = l->always_only ? 0 : pick(2)};
    }
}

/* A fault and a place for it. */
static struct plan draw(bool lurks)
{
    struct plan p = {0};
    unsigned tries = 0;
    do {
        if (tries++ % TRIES == 0) {
            draw_kind(&p); /* the one before fits nothing there */
        }
        p.step = any_step();
        p.way = lurks ? REREAD : (enum way)pick(DRAWN);
        p.fault.function = any_function(&p);
    } while (p.fault.function == FAULTY_ANY);
    p.fault.skip = pick(profile[p.step][p.way][p.fault.function]);
    return p;
}

/* For the one who looks into it; a hang ends the run. */
static char at_hand[256];

static void describe(const struct plan *p)
{
    const struct scandal *f = &p->fault;
    (void)snprintf(at_hand, sizeof at_hand, "call %lu, %s, %s: %s, call %lu of %s, value 0x%lx, %s", tally.calls, steps[p->step].name,
                   ways[p->way].name, p->kind < CODE_KINDS ? code_kinds[p->kind] : lies[p->kind - CODE_KINDS].name, f->skip + 1,
                   scandal_name(f->function), f->value, f->times == 0 ? "from then on" : "once");
}

static void on_hang(int number)
{
    static const char what[] = ": HANGS\n";
    (void)number;
    (void)!write(STDOUT_FILENO, at_hand, strlen(at_hand));
    (void)!write(STDOUT_FILENO, what, sizeof what - 1);
    _exit(1);
}

static void complain(const char *what, CK_RV rv)
{
    (void)printf("%s: %s (0x%lx)\n", at_hand, what, rv);
    (void)fflush(stdout);
}

static CK_RV timed(size_t step, enum way way, bool *wrong)
{
    double start = scandal_ms();
    CK_RV rv = go(step, way, wrong);
    double took = scandal_ms() - start;
    tally.calls++;
    tally.failed += rv != CKR_OK;
    tally.longest = took > tally.longest ? took : tally.longest;
    if (took > BOUND_MS) {
        complain("beyond the bound", rv);
        tally.slow++;
    }
    if (*wrong) {
        complain("A WRONG KEY", rv);
        tally.wrong++;
        *wrong = false;
    }
    return rv;
}

/* The fault is gone. A caller whose login failed logs in once more. */
static void come_back(const struct plan *p)
{
    bool wrong = false;
    double start = scandal_ms();
    CK_RV rv = go(p->step, WARM, &wrong);
    while (rv != CKR_OK && !wrong && scandal_ms() - start < BACK_MS) {
        (void)usleep(PAUSE_US);
        rv = go(p->step, WARM, &wrong);
    }
    double took = scandal_ms() - start;
    tally.back = took > tally.back ? took : tally.back;
    if (rv != CKR_OK || wrong) {
        complain(wrong ? "A WRONG KEY AFTERWARDS" : "not served though the fault is gone", rv);
        tally.wrong += wrong;
        tally.stuck++;
        (void)go(p->step, ANEW, &wrong);
    }
}

static void note(struct score *s, bool met, bool served)
{
    s->armed++;
    s->met += met;
    s->served += met && served;
}

static void settle(const struct plan *p, bool met, bool served)
{
    scandal_clear(steps_control);
    disturbs = false;
    tally.over = scandal_ms();
    come_back(p);
    (void)alarm(0);
    note(&tally.all, met, served);
    note(&tally.kinds[p->kind], met, served);
    note(&tally.ways[p->way], met, served);
    tally.codes[p->code] |= met && p->kind < CODE_KINDS;
}

/* A fault that goes on is met by up to three calls more. */
static void disturbed(void)
{
    const struct plan p = draw(false);
    bool wrong = false;
    describe(&p);
    (void)alarm(HANG_S);
    const struct faulty_rule *rule = scandal_arm(steps_control, &p.fault);
    disturbs = true;
    cause(p.way);
    bool served = timed(p.step, p.way, &wrong) == CKR_OK;
    for (unsigned long more = p.fault.times == 0 ? pick(4) : 0; more > 0; more--) {
        (void)timed(any_step(), WARM, &wrong);
    }
    settle(&p, atomic_load(&rule->acted) > 0, served);
}

/* A fault that waits for the next reading of the key. */
static void lurking(void)
{
    const struct plan p = draw(true);
    double start = scandal_ms();
    bool wrong = false;
    CK_RV rv = CKR_OK;
    describe(&p);
    (void)alarm(HANG_S);
    const struct faulty_rule *rule = scandal_arm(steps_control, &p.fault);
    disturbs = true;
    while (atomic_load(&rule->acted) == 0 && scandal_ms() - start < LURK_MS) {
        rv = timed(any_step(), WARM, &wrong);
    }
    settle(&p, atomic_load(&rule->acted) > 0, rv == CKR_OK);
}

static void quiet(void)
{
    bool wrong = false;
    (void)snprintf(at_hand, sizeof at_hand, "call %lu, without a fault", tally.calls);
    size_t step = any_step();
    CK_RV rv = timed(step, WARM, &wrong);
    tally.late += rv != CKR_OK;
    while (rv != CKR_OK && scandal_ms() - tally.over < BACK_MS) { /* another step than the one that came back */
        (void)usleep(PAUSE_US);
        rv = timed(step, WARM, &wrong);
    }
    if (rv != CKR_OK) {
        complain("not served", rv);
        tally.stuck++;
    }
}

static void print_score(const char *name, enum faulty_function f, const struct score *s)
{
    (void)printf("  %-32s %-20s %7lu armed %7lu met %7lu of them served all the same\n", name, f == FAULTY_ANY ? "" : scandal_name(f), s->armed, s->met,
                 s->served);
}

static void report(unsigned long seed, double start)
{
    unsigned long codes = 0;
    for (size_t i = 0; i < scandal_code_count; i++) {
        codes += tally.codes[i];
    }
    for (size_t k = 0; k < CODE_KINDS; k++) {
        print_score(code_kinds[k], FAULTY_ANY, &tally.kinds[k]);
    }
    for (size_t k = 0; k < LIES; k++) {
        print_score(lies[k].name, lies[k].function, &tally.kinds[CODE_KINDS + k]);
    }
    for (enum way w = 0; w < WAYS; w++) {
        print_score(ways[w].name, FAULTY_ANY, &tally.ways[w]);
    }
    (void)printf("%lu calls in %.0f s, seed %lu: %lu faults armed, %lu met, %lu of %zu codes; %lu calls failed; %lu wrong keys, %lu not served within "
                 "%d ms of the end of the fault, %lu served later than at once, %lu beyond %d ms; the longest call %.0f ms, the longest way back %.0f ms\n",
                 tally.calls, (scandal_ms() - start) / 1000, seed, tally.all.armed, tally.all.met, codes, scandal_code_count - 1, tally.failed,
                 tally.wrong, tally.stuck, BACK_MS, tally.late, tally.slow, BOUND_MS, tally.longest, tally.back);
}

static int run_calls(unsigned long n, unsigned long seed, unsigned long one_in)
{
    bool wrong = false;
    state = seed;
    if (go(steps_first_warm, ANEW, &wrong) != CKR_OK || !learn(n)) {
        return 1;
    }
    (void)signal(SIGALRM, on_hang);
    double start = scandal_ms();
    while (tally.calls < n) {
        if (pick(one_in) != 0) {
            quiet();
        } else if (n >= LURK_LEAST && pick(LURK_ONE_IN) == 0) {
            lurking();
        } else {
            disturbed();
        }
    }
    report(seed, start);
    bool found = tally.all.met * 10 >= tally.all.armed * 9 && tally.all.met > 0;
    return found && tally.wrong + tally.stuck + tally.slow == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    bool rsa = argc > 1 && strcmp(argv[1], "--rsa") == 0;
    char **words = argv + (rsa ? 1 : 0);
    int count = argc - (rsa ? 1 : 0);
    unsigned long n = count > 1 ? strtoul(words[1], NULL, 10) : 0;
    unsigned long one_in = count > 3 ? strtoul(words[3], NULL, 10) : ONE_IN;
    if (n == 0 || one_in == 0) {
        (void)fputs("usage: chaos [--rsa] N [SEED [ONE_IN]]\n", stderr);
        return 2;
    }
    if (!steps_start(rsa)) {
        (void)fputs("chaos: the world cannot be built\n", stderr);
        return 1;
    }
    int status = run_calls(n, count > 2 ? strtoul(words[2], NULL, 10) : 1, one_in);
    (void)steps_world->calls->C_Finalize(NULL);
    fixture_stop(steps_world);
    return status;
}
