/* recall_test.c: what a backing token remembers: handles by name, PINs that were refused, and times. */
#include "recall.h"

#include "clock.h"
#include "refusals.h"
#include "scratch.h"

static void a_name_is_recalled_until_it_is_forgotten(void)
{
    static struct kw_recall r;
    bool fresh = false;
    const uint8_t a[KW_RECALL_NAME] = {1, 2, 3, 4, 5, 6, 7, 8};
    const uint8_t b[KW_RECALL_NAME] = {1, 2, 3, 4, 5, 6, 7, 9}; /* the same place */
    kw_recall_clear(&r);
    CU_ASSERT_EQUAL(kw_recall_get(&r, a, &fresh), CK_INVALID_HANDLE);
    kw_recall_set(&r, a, 11);
    CU_ASSERT_EQUAL(kw_recall_get(&r, a, &fresh), 11);
    CU_ASSERT_EQUAL(kw_recall_get(&r, b, &fresh), CK_INVALID_HANDLE);
    kw_recall_set(&r, b, CK_INVALID_HANDLE); /* forgetting another name leaves this one */
    CU_ASSERT_EQUAL(kw_recall_get(&r, a, &fresh), 11);
    kw_recall_set(&r, b, 12); /* pushes it out: never the wrong handle, at worst none */
    CU_ASSERT_EQUAL(kw_recall_get(&r, a, &fresh), CK_INVALID_HANDLE);
    CU_ASSERT_EQUAL(kw_recall_get(&r, b, &fresh), 12);
    kw_recall_clear(&r);
    CU_ASSERT_EQUAL(kw_recall_get(&r, b, &fresh), CK_INVALID_HANDLE);
}

static struct kw_secret *pin(const char *text)
{
    struct kw_secret *s = NULL;
    CU_ASSERT_TRUE_FATAL(kw_ok(kw_secret_dup(text, strlen(text), &s)));
    return s;
}

static void a_refused_pin_is_known_and_no_other(void)
{
    struct kw_refusals r = {0};
    struct kw_secret *wrong = pin("0000");
    struct kw_secret *other = pin("0001");
    CU_ASSERT_FALSE(kw_refusals_has(&r, wrong));
    CU_ASSERT_TRUE(kw_ok(kw_refusals_add(&r, wrong)));
    CU_ASSERT_TRUE(kw_refusals_has(&r, wrong));
    CU_ASSERT_FALSE(kw_refusals_has(&r, other));
    kw_refusals_clear(&r);
    CU_ASSERT_FALSE(kw_refusals_has(&r, wrong));
    kw_secret_free(wrong);
    kw_secret_free(other);
    CU_ASSERT_EQUAL(kw_secret_alive(), 0);
}

/* Kept for the life of the process, apart for each token; a fork forgets them. */
static void refusals_outlive_whoever_asks(void)
{
    struct kw_secret *wrong = pin("0000");
    struct kw_refusals *one = kw_refusals_of("eu-1 token");
    struct kw_refusals *other = kw_refusals_of("eu-2 token");
    CU_ASSERT_TRUE_FATAL(one != NULL && other != NULL && one != other);
    CU_ASSERT_TRUE(kw_ok(kw_refusals_add(one, wrong)));
    CU_ASSERT_TRUE(kw_refusals_has(kw_refusals_of("eu-1 token"), wrong));
    CU_ASSERT_FALSE(kw_refusals_has(kw_refusals_of("eu-2 token"), wrong));
    kw_refusals_clear(one);
    kw_refusals_forked();
    CU_ASSERT_PTR_EQUAL(kw_refusals_of("eu-1 token"), one);
    CU_ASSERT_FALSE(kw_refusals_has(one, wrong));
    kw_secret_free(wrong);
    CU_ASSERT_EQUAL(kw_secret_alive(), 0);
}

static void the_oldest_of_many_refusals_is_forgotten(void)
{
    struct kw_refusals r = {0};
    struct kw_secret *pins[9];
    for (size_t i = 0; i < 9; i++) {
        char text[8];
        (void)snprintf(text, sizeof text, "pin%zu", i);
        pins[i] = pin(text);
        CU_ASSERT_TRUE(kw_ok(kw_refusals_add(&r, pins[i])));
    }
    CU_ASSERT_FALSE(kw_refusals_has(&r, pins[0]));
    for (size_t i = 1; i < 9; i++) {
        CU_ASSERT_TRUE(kw_refusals_has(&r, pins[i]));
    }
    for (size_t i = 0; i < 9; i++) {
        kw_secret_free(pins[i]);
    }
    kw_refusals_clear(&r);
    CU_ASSERT_EQUAL(kw_secret_alive(), 0);
}

static void a_time_comes_and_has_an_age(void)
{
    const struct timespec now = kw_clock_in(0);
    const struct timespec soon = kw_clock_in(1500);
    CU_ASSERT_TRUE(kw_clock_is_past(&now));
    CU_ASSERT_FALSE(kw_clock_is_past(&soon));
    CU_ASSERT_TRUE(kw_clock_since(&now) >= 0);
    CU_ASSERT_TRUE(kw_clock_since(&soon) < 0);
    CU_ASSERT_TRUE(soon.tv_nsec >= 0 && soon.tv_nsec < 1000000000L);
}

int main(void)
{
    static CU_TestInfo tests[] = {
        {"a name is recalled until it is forgotten", a_name_is_recalled_until_it_is_forgotten},
        {"a refused PIN is known, and no other", a_refused_pin_is_known_and_no_other},
        {"refusals outlive whoever asks", refusals_outlive_whoever_asks},
        {"the oldest of many refusals is forgotten", the_oldest_of_many_refusals_is_forgotten},
        {"a time comes and has an age", a_time_comes_and_has_an_age},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {
        {"recall", NULL, NULL, NULL, NULL, tests},
        CU_SUITE_INFO_NULL,
    };
    return scratch_run(suites);
}
