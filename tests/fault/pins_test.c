/*
 * pins_test.c: what is sent as a PIN, counted where the token takes it (faulty.so): a wrong one once per process and value, none to a token that is
 * locked or at its last try, never an empty one.
 */
#include <unistd.h>

#include "teller.h"

static CK_SESSION_HANDLE open_slot(const char *slot)
{
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    return caller_open(world, slot);
}

static CK_RV log_in(CK_SESSION_HANDLE s, const char *pin)
{
    CK_UTF8CHAR text[64];
    (void)snprintf((char *)text, sizeof text, "%s", pin);
    return p11->C_Login(s, CKU_USER, text, strlen(pin));
}

static unsigned long sent(void)
{
    return atomic_load(&teller_control->pins);
}

static void a_wrong_pin_is_sent_once(void)
{
    CK_SESSION_HANDLE s = open_slot("ask");
    unsigned long before = sent();
    for (unsigned i = 0; i < 5; i++) {
        CHECK_RV(log_in(s, "9999"), CKR_PIN_INCORRECT, "5: a wrong PIN");
    }
    CHECK(sent() == before + 1, "5: was sent once");
    CHECK_RV(log_in(s, "8888"), CKR_PIN_INCORRECT, "5: another wrong PIN");
    CHECK(sent() == before + 2, "5: was sent once as well");
    leave();
    s = open_slot("ask");
    CHECK_RV(log_in(s, "9999"), CKR_PIN_INCORRECT, "5: after C_Finalize and C_Initialize in the same process");
    CHECK(sent() == before + 2, "5: it is still not sent again");
    CHECK_RV(log_in(s, FIXTURE_PIN), CKR_OK, "the right one works");
    CHECK(sent() == before + 3, "sent once");
    leave();
}

static void an_empty_pin_is_never_sent(void)
{
    CK_SESSION_HANDLE s = open_slot("ask");
    unsigned long before = sent();
    CK_UTF8CHAR nothing[1] = {0};
    CHECK(p11->C_Login(s, CKU_USER, nothing, 0) != CKR_OK, "5: an empty PIN is refused");
    CHECK(p11->C_Login(s, CKU_USER, NULL, 0) != CKR_OK, "5: no PIN where there is no source");
    CHECK(log_in(s, "1") != CKR_OK, "5: one that is shorter than the token takes");
    CHECK(sent() == before, "5: none of them was sent");
    leave();
}

static void a_locked_token_gets_none(void)
{
    static const struct {
        CK_FLAGS flag;
        const char *name;
    } flags[] = {{CKF_USER_PIN_FINAL_TRY, "FINAL_TRY"}, {CKF_USER_PIN_LOCKED, "LOCKED"}};
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        CK_SESSION_HANDLE s = open_slot("ask");
        unsigned long before = sent();
        (void)scandal_arm(teller_control, &(struct scandal){.function = FAULTY_C_GetTokenInfo, .act = FAULTY_FLAGS, .value = flags[i].flag});
        CHECK_RV(log_in(s, FIXTURE_PIN), CKR_PIN_LOCKED, chapter_join("5: checked before it is sent", flags[i].name));
        CHECK(sent() == before, "5: and not sent");
        scandal_clear(teller_control);
        CHECK_RV(log_in(s, FIXTURE_PIN), CKR_OK, "unlocked, it works");
        leave();
    }
}

/* Refusals of the token about the PIN: each is told, and not tried again by itself. */
static void refusals_are_not_repeated(void)
{
    static const CK_RV codes[] = {CKR_PIN_LOCKED, CKR_PIN_EXPIRED, CKR_PIN_INCORRECT};
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        CK_SESSION_HANDLE s = open_slot("source");
        unsigned long before = sent();
        (void)scandal_arm(teller_control, &(struct scandal){.function = FAULTY_C_Login, .act = FAULTY_CODE, .value = codes[i]});
        CHECK_RV(p11->C_Login(s, CKU_USER, NULL, 0), codes[i], "5: the token's refusal is the answer");
        CHECK(sent() == before + 1, "5: after one try");
        scandal_clear(teller_control);
        leave();
    }
}

/* A login that the token has lost is made again with the PIN that worked; when that is refused now, it is not tried again and again. */
static void a_pin_changed_meanwhile(void)
{
    CK_SESSION_HANDLE s = open_slot("later");
    CHECK_RV(p11->C_Login(s, CKU_USER, NULL, 0), CKR_OK, "logged in");
    teller_session = s;
    teller_cmk = caller_cmk(world, s);
    CHECK_RV(teller_unwrap(), CKR_OK, "and at work");
    unsigned long before = sent();
    (void)scandal_arm(teller_control, &(struct scandal){.function = FAULTY_C_Login, .act = FAULTY_CODE, .value = CKR_PIN_INCORRECT});
    (void)scandal_arm(teller_control, &(struct scandal){.function = FAULTY_C_WrapKey, .act = FAULTY_LOGOUT, .times = 1});
    (void)scandal_arm(teller_control, &(struct scandal){.function = FAULTY_C_UnwrapKey, .act = FAULTY_LOGOUT, .times = 1});
    for (unsigned i = 0; i < 10; i++) {
        CHECK(teller_unwrap() != CKR_OK, "the login is lost, and the PIN that worked is refused now");
    }
    CHECK(sent() == before + 1, "5: it was sent once more, not ten times");
    teller_end();
}

static CU_TestInfo tests[] = {
    {"a wrong PIN is sent once per process and value", a_wrong_pin_is_sent_once},
    {"an empty PIN is never sent", an_empty_pin_is_never_sent},
    {"a locked token gets no PIN", a_locked_token_gets_none},
    {"a PIN that is refused meanwhile", a_pin_changed_meanwhile},
    {"refusals are not repeated", refusals_are_not_repeated},
    CU_TEST_INFO_NULL,
};

int main(void)
{
    static const struct fixture_slot slots[] = {{.name = "ask", .tokens = "eu-1", .ask_pin = true, .cmk = FIXTURE_CMK_KNOWN},
                                                {.name = "later", .tokens = "eu-2", .cmk = FIXTURE_CMK_KNOWN},
                                                {.name = "source", .tokens = "eu-3", .cmk = FIXTURE_CMK_KNOWN},
                                                {0}};
    const struct fixture_settings settings = {.slots = slots, .vendor = teller_prepare()};
    return settings.vendor == NULL ? 1 : chapter_run("PINs", &settings, tests);
}
