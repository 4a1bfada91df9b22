/* Many threads at once: PKCS#11 3.1 sections 5.4.1, 6.7; issue 3 point 7. Meant for the tsan preset too. */
#include "chapter.h"

#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "crew.h"
#include "ordeal.h"

enum { CREW = 16, ROUNDS = 60, KEY = 32, SMALL_MS = 700, CHANGES = 20 };

static atomic_bool stop;

static void nap(long ms)
{
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    (void)nanosleep(&t, NULL);
}

/* One data key from birth to death; wrong when what was unwrapped is not what was wrapped. True when every call was CKR_OK. */
static bool live(struct crew_worker *w, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE cmk)
{
    uint8_t one[KEY] = {0};
    uint8_t two[KEY] = {1};
    uint8_t blob[KEY + 8];
    CK_ULONG len = sizeof blob;
    CK_OBJECT_HANDLE key = 0;
    CK_OBJECT_HANDLE back = 0;
    struct form make = {0};
    struct form open = {0};
    form_readable(&make);
    form_ulong(&make, CKA_VALUE_LEN, KEY);
    form_secret(&open, CKK_AES);
    form_readable(&open);
    CK_ATTRIBUTE read_one = {CKA_VALUE, one, sizeof one};
    CK_ATTRIBUTE read_two = {CKA_VALUE, two, sizeof two};
    CK_MECHANISM *kwp = caller_mechanism(w->number % 2 == 0 ? CKM_AES_KEY_WRAP : CKM_AES_KEY_WRAP_KWP);
    bool good = crew_note(w, p11->C_GenerateKey(session, caller_mechanism(CKM_AES_KEY_GEN), make.a,
                                                make.count, &key)) == CKR_OK;
    good = good && crew_note(w, p11->C_GetAttributeValue(session, key, &read_one, 1)) == CKR_OK;
    good = good && crew_note(w, p11->C_WrapKey(session, kwp, cmk, key, blob, &len)) == CKR_OK;
    good = good &&
           crew_note(w, p11->C_UnwrapKey(session, kwp, cmk, blob, len, open.a, open.count, &back)) == CKR_OK;
    good = good && crew_note(w, p11->C_GetAttributeValue(session, back, &read_two, 1)) == CKR_OK;
    w->tally.wrong += good && memcmp(one, two, KEY) != 0;
    good = good && crew_note(w, p11->C_DestroyObject(session, key)) == CKR_OK;
    good = good && crew_note(w, p11->C_DestroyObject(session, back)) == CKR_OK;
    return good;
}

static CK_OBJECT_HANDLE find_cmk(struct crew_worker *w, CK_SESSION_HANDLE session)
{
    CK_OBJECT_HANDLE cmk = 0;
    CK_ULONG n = 0;
    struct form t = {0};
    form_bool(&t, CKA_WRAP, true);
    if (crew_note(w, p11->C_FindObjectsInit(session, t.a, t.count)) == CKR_OK) {
        (void)crew_note(w, p11->C_FindObjects(session, &cmk, 1, &n));
        (void)crew_note(w, p11->C_FindObjectsFinal(session));
    }
    return n == 1 ? cmk : 0;
}

static void live_in_an_own_session(struct crew_worker *w)
{
    CK_SESSION_HANDLE session = 0;
    for (int i = 0; i < ROUNDS / 10; i++) {
        if (crew_note(w, p11->C_OpenSession(w->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                            &session)) == CKR_OK) {
            CK_OBJECT_HANDLE cmk = find_cmk(w, session);
            for (int k = 0; k < 10; k++) {
                (void)live(w, session, cmk);
            }
            (void)crew_note(w, p11->C_CloseSession(session));
        }
    }
}

static CK_SLOT_ID slot_of(const char *name)
{
    CK_SLOT_ID id = 0;
    CHECK(caller_slot(world, name, &id), name);
    return id;
}

static void threads_with_own_sessions_do_not_disturb_each_other(void)
{
    static crew_job *const jobs[] = {live_in_an_own_session};
    CHECK(enter("alpha") != 0, "a login");
    const struct crew_worker model = {.slot = slot_of("alpha")};
    struct crew_tally t = crew_run(CREW, jobs, 1, &model);
    (void)printf("[%lu calls] ", t.calls);
    CHECK(t.wrong == 0, "every key came back as it was");
    CHECK(crew_surprises(&t, NULL, 0)[0] == '\0',
          chapter_join("every call is CKR_OK", crew_surprises(&t, NULL, 0)));
    CHECK(crew_count(&t, CKR_OK) == t.calls && t.calls > (unsigned long)CREW * ROUNDS * 7,
          "all rounds were run");
    leave();
}

static CK_OBJECT_HANDLE shared_cmk;

static void live_in_the_shared_session(struct crew_worker *w)
{
    for (int i = 0; i < ROUNDS; i++) {
        (void)live(w, w->session, shared_cmk);
    }
}

static void search_in_the_shared_session(struct crew_worker *w)
{
    CK_OBJECT_HANDLE list[64];
    CK_ULONG n = 0;
    for (int i = 0; i < ROUNDS; i++) {
        (void)crew_note(w, p11->C_FindObjectsInit(w->session, NULL, 0));
        (void)crew_note(w, p11->C_FindObjects(w->session, list, 64, &n));
        (void)crew_note(w, w->number % 8 < 4
                               ? p11->C_FindObjectsFinal(w->session)
                               : p11->C_SessionCancel(w->session, 0x40UL /* CKF_FIND_OBJECTS */));
    }
}

static void threads_share_one_session(void)
{
    static crew_job *const jobs[] = {live_in_the_shared_session, live_in_the_shared_session,
                                     live_in_the_shared_session, search_in_the_shared_session};
    static const CK_RV allowed[] = {CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED};
    CK_SESSION_HANDLE session = enter("alpha");
    shared_cmk = caller_cmk(world, session);
    const struct crew_worker model = {.session = session};
    struct crew_tally t = crew_run(CREW, jobs, COUNT_OF(jobs), &model);
    (void)printf("[%lu calls] ", t.calls);
    CHECK(t.wrong == 0, "every key came back as it was");
    CHECK(crew_surprises(&t, allowed, 2)[0] == '\0',
          chapter_join("only searches are in each other's way", crew_surprises(&t, allowed, 2)));
    CHECK(crew_count(&t, CKR_OK) > (unsigned long)CREW * ROUNDS * 3, "the keys lived");
    leave();
}

/* Answers that a caller may get whose session, login or library another thread has just ended. */
static const CK_RV ended[] = {
    CKR_SESSION_HANDLE_INVALID,      CKR_USER_NOT_LOGGED_IN,
    CKR_OBJECT_HANDLE_INVALID,       CKR_KEY_HANDLE_INVALID,
    CKR_WRAPPING_KEY_HANDLE_INVALID, CKR_UNWRAPPING_KEY_HANDLE_INVALID,
    CKR_USER_ALREADY_LOGGED_IN,      CKR_OPERATION_ACTIVE,
    CKR_OPERATION_NOT_INITIALIZED,   CKR_SESSION_CLOSED,
    CKR_CRYPTOKI_NOT_INITIALIZED,    CKR_CRYPTOKI_ALREADY_INITIALIZED,
};

static void live_while_it_goes(struct crew_worker *w)
{
    while (!atomic_load(&stop)) {
        CK_SESSION_HANDLE session = 0;
        if (crew_note(w, p11->C_OpenSession(w->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                            &session)) == CKR_OK) {
            (void)crew_note(w, p11->C_Login(session, CKU_USER, NULL, 0));
            CK_OBJECT_HANDLE cmk = find_cmk(w, session);
            for (int k = 0; k < 5 && live(w, session, cmk); k++) {
            }
            (void)crew_note(w, p11->C_CloseSession(session));
        }
    }
}

static void end_logins(struct crew_worker *w)
{
    while (!atomic_load(&stop)) {
        CK_SESSION_HANDLE session = 0;
        nap(3);
        if (crew_note(w, p11->C_OpenSession(w->slot, CKF_SERIAL_SESSION, NULL, NULL, &session)) == CKR_OK) {
            (void)crew_note(w, p11->C_Logout(session));
            nap(1);
            (void)crew_note(w, p11->C_Login(session, CKU_USER, NULL, 0));
            (void)crew_note(w, p11->C_CloseSession(session));
        }
    }
}

static void end_sessions(struct crew_worker *w)
{
    while (!atomic_load(&stop)) {
        nap(7);
        (void)crew_note(w, p11->C_CloseAllSessions(w->slot));
    }
}

static void keep_time(struct crew_worker *w)
{
    (void)w;
    nap(SMALL_MS);
    atomic_store(&stop, true);
}

static void check_race(const struct crew_tally *t, const char *what)
{
    (void)printf("[%lu calls, %lu CKR_OK] ", t->calls, crew_count(t, CKR_OK));
    CHECK(t->wrong == 0, chapter_join("never a wrong key", what));
    CHECK(crew_surprises(t, ended, COUNT_OF(ended))[0] == '\0',
          chapter_join(what, crew_surprises(t, ended, COUNT_OF(ended))));
    CHECK(crew_count(t, CKR_OK) > (ordeal_wanted() ? 0 : 20), chapter_join("work was done", what)); /* an ordeal is slow */
}

static void logout_and_close_race_with_work(void)
{
    static crew_job *const jobs[] = {keep_time,          end_logins,         end_sessions,
                                     live_while_it_goes, live_while_it_goes, live_while_it_goes,
                                     live_while_it_goes, live_while_it_goes, live_while_it_goes};
    CK_TOKEN_INFO info;
    CHECK(enter("alpha") != 0, "a login");
    const struct crew_worker model = {.slot = slot_of("alpha")};
    atomic_store(&stop, false);
    struct crew_tally t = crew_run(COUNT_OF(jobs), jobs, COUNT_OF(jobs), &model);
    check_race(&t, "logout and close race with work");
    CHECK_RV(p11->C_CloseAllSessions(model.slot), CKR_OK, "5.6.3");
    CHECK_RV(p11->C_GetTokenInfo(model.slot, &info), CKR_OK, "5.5.3");
    CHECK(info.ulSessionCount == 0 && info.ulRwSessionCount == 0, "3.3: the counters are right after it all");
    CK_SESSION_HANDLE session = caller_enter(world, "alpha");
    struct form all = {0};
    CHECK(caller_count(world, session, &all) == 1, "5.6.3: no data key is left");
    leave();
}

static void end_the_library(struct crew_worker *w)
{
    while (!atomic_load(&stop)) {
        nap(15);
        (void)crew_note(w, p11->C_Finalize(NULL));
        (void)crew_note(w, p11->C_Initialize(NULL));
    }
}

static void finalize_races_with_work(void)
{
    static crew_job *const jobs[] = {
        keep_time,          end_the_library,    live_while_it_goes, live_while_it_goes, live_while_it_goes,
        live_while_it_goes, live_while_it_goes, live_while_it_goes, live_while_it_goes, live_while_it_goes};
    CHECK(enter("alpha") != 0, "a login");
    const struct crew_worker model = {.slot = slot_of("alpha")};
    atomic_store(&stop, false);
    struct crew_tally t = crew_run(COUNT_OF(jobs), jobs, COUNT_OF(jobs), &model);
    check_race(&t, "C_Finalize races with work");
    CK_RV rv = p11->C_Finalize(NULL);
    CHECK_EITHER(rv, CKR_OK, CKR_CRYPTOKI_NOT_INITIALIZED, "5.4.2: the end");
    CHECK(enter("alpha") != 0, "and a new beginning");
    leave();
}

static void initialize_once(struct crew_worker *w)
{
    (void)crew_note(w, p11->C_Initialize(NULL));
}

static void finalize_once(struct crew_worker *w)
{
    (void)crew_note(w, p11->C_Finalize(NULL));
}

static void log_in_once(struct crew_worker *w)
{
    (void)crew_note(w, p11->C_Login(w->session, CKU_USER, NULL, 0));
}

static CK_OBJECT_HANDLE victim;

static void destroy_once(struct crew_worker *w)
{
    (void)crew_note(w, p11->C_DestroyObject(w->session, victim));
}

static void check_once(crew_job *job, const struct crew_worker *model, CK_RV others, const char *what)
{
    crew_job *const jobs[] = {job};
    struct crew_tally t = crew_run(CREW, jobs, 1, model);
    CHECK(crew_count(&t, CKR_OK) == 1, chapter_join("exactly one is served", what));
    CHECK(crew_count(&t, others) == CREW - 1, chapter_join("the others are told", what));
}

static void what_can_be_done_once_is_done_once(void)
{
    for (int i = 0; i < 5; i++) {
        check_once(initialize_once, &(struct crew_worker){0}, CKR_CRYPTOKI_ALREADY_INITIALIZED,
                   "5.4.1: C_Initialize");
        CK_SESSION_HANDLE session = caller_open(world, "alpha");
        const struct crew_worker model = {.session = session};
        check_once(log_in_once, &model, CKR_USER_ALREADY_LOGGED_IN, "5.6.8: C_Login");
        victim = caller_generate(world, session, CKK_AES, KEY);
        check_once(destroy_once, &model, CKR_OBJECT_HANDLE_INVALID, "5.7.3: C_DestroyObject");
        struct form t = {0};
        form_bool(&t, CKA_TOKEN, true);
        form_ulong(&t, CKA_VALUE_LEN, KEY);
        CHECK_RV(p11->C_GenerateKey(session, caller_mechanism(CKM_AES_KEY_GEN), t.a, t.count, &victim),
                 CKR_OK, "a token object");
        check_once(destroy_once, &model, CKR_OBJECT_HANDLE_INVALID,
                   "5.7.3: C_DestroyObject of a token object");
        check_once(finalize_once, &model, CKR_CRYPTOKI_NOT_INITIALIZED, "5.4.2: C_Finalize");
    }
}

static uint8_t present[4]; /* what label and id of the victim become */

static void set_to_present(struct crew_worker *w, CK_ATTRIBUTE_TYPE type)
{
    CK_ATTRIBUTE a = {type, present, sizeof present};
    (void)crew_note(w, p11->C_SetAttributeValue(w->session, victim, &a, 1));
}

static void set_label(struct crew_worker *w)
{
    set_to_present(w, CKA_LABEL);
}

static void set_id(struct crew_worker *w)
{
    set_to_present(w, CKA_ID);
}

/* A persistent key has both in one attribute of the backing token. */
static void two_changes_of_one_object_are_both_kept(void)
{
    crew_job *const jobs[] = {set_label, set_id};
    struct form t = {0};
    unsigned kept = 0;
    const struct crew_worker model = {.session = enter("alpha")};
    form_bool(&t, CKA_TOKEN, true);
    form_ulong(&t, CKA_VALUE_LEN, KEY);
    CHECK_RV(p11->C_GenerateKey(model.session, caller_mechanism(CKM_AES_KEY_GEN), t.a, t.count, &victim), CKR_OK, "a token object");
    for (int i = 1; i <= CHANGES; i++) {
        uint8_t label[4] = {0};
        uint8_t id[4] = {0};
        CK_ATTRIBUTE is[] = {{CKA_LABEL, label, sizeof label}, {CKA_ID, id, sizeof id}};
        memset(present, i, sizeof present);
        struct crew_tally tally = crew_run(2, jobs, 2, &model);
        CHECK(crew_count(&tally, CKR_OK) == 2, "5.7.6: both are served");
        CHECK_RV(p11->C_GetAttributeValue(model.session, victim, is, 2), CKR_OK, "5.7.5: what it is now");
        kept += memcmp(label, present, sizeof label) == 0 && memcmp(id, present, sizeof id) == 0;
    }
    CHECK(kept == CHANGES, "5.7.6: neither takes the other's back");
    CHECK_RV(p11->C_DestroyObject(model.session, victim), CKR_OK, "5.7.3");
    leave();
}

int main(void)
{
    static const struct fixture_slot slots[] = {{.name = "alpha", .tokens = "eu-1"}, {0}};
    CU_TestInfo tests[] = {
        {"threads with own sessions do not disturb each other",
         threads_with_own_sessions_do_not_disturb_each_other},
        {"threads share one session", threads_share_one_session},
        {"logout and close race with work", logout_and_close_race_with_work},
        {"finalize races with work", finalize_races_with_work},
        {"what can be done once is done once", what_can_be_done_once_is_done_once},
        {"two changes of one object are both kept", two_changes_of_one_object_are_both_kept},
        CU_TEST_INFO_NULL,
    };
    return chapter_run("thread", &(struct fixture_settings){.slots = slots}, tests);
}
