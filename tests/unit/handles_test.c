/* handles_test.c: the numbers that callers hold: none of them is ever followed when it is stale, foreign or invented. */
#include "handles.h"

#include "scratch.h"

static void a_handle_finds_its_object_until_it_ends(void)
{
    struct kw_handles t;
    int object = 0;
    CK_ULONG h = 0;
    kw_handles_init(&t, KW_HANDLE_OBJECT);
    CU_ASSERT_TRUE_FATAL(kw_ok(kw_handles_add(&t, &object, &h)));
    CU_ASSERT_NOT_EQUAL(h, CK_INVALID_HANDLE);
    CU_ASSERT_PTR_EQUAL(kw_handles_get(&t, h), &object);
    kw_handles_remove(&t, h);
    CU_ASSERT_PTR_NULL(kw_handles_get(&t, h));
    kw_handles_remove(&t, h); /* a second time does nothing */
    CU_ASSERT_EQUAL(t.used, 0);
    kw_handles_clear(&t);
}

static void a_number_is_not_given_out_again(void)
{
    enum { TURNS = 5000 };
    struct kw_handles t;
    CK_ULONG seen[TURNS];
    int object = 0;
    kw_handles_init(&t, KW_HANDLE_SESSION);
    for (size_t i = 0; i < TURNS; i++) {
        CU_ASSERT_TRUE_FATAL(kw_ok(kw_handles_add(&t, &object, &seen[i])));
        kw_handles_remove(&t, seen[i]);
    }
    CU_ASSERT_EQUAL(t.count, 1); /* one place, many generations */
    size_t again = 0;
    for (size_t i = 0; i + 1 < TURNS; i++) {
        again += seen[i] == seen[i + 1];
    }
    CU_ASSERT_EQUAL(again, 0);
    kw_handles_clear(&t);
}

static void foreign_and_invented_handles_find_nothing(void)
{
    struct kw_handles sessions;
    struct kw_handles objects;
    int object = 0;
    CK_ULONG h = 0;
    kw_handles_init(&sessions, KW_HANDLE_SESSION);
    kw_handles_init(&objects, KW_HANDLE_OBJECT);
    CU_ASSERT_TRUE_FATAL(kw_ok(kw_handles_add(&sessions, &object, &h)));
    const CK_ULONG invented[] = {0, 1, (CK_ULONG)-1, h + 1, h - 1, h ^ (1UL << 24), h ^ (1UL << 55), h ^ (1UL << 56)};
    CU_ASSERT_PTR_NULL(kw_handles_get(&objects, h));
    for (size_t i = 0; i < sizeof invented / sizeof invented[0]; i++) {
        CU_ASSERT_PTR_NULL(kw_handles_get(&sessions, invented[i]));
        kw_handles_remove(&sessions, invented[i]);
    }
    CU_ASSERT_PTR_EQUAL(kw_handles_get(&sessions, h), &object);
    kw_handles_clear(&sessions);
    kw_handles_clear(&objects);
}

static void handles_of_an_earlier_table_are_stale(void)
{
    struct kw_handles t;
    int object = 0;
    CK_ULONG before = 0;
    CK_ULONG after = 0;
    kw_handles_init(&t, KW_HANDLE_OBJECT);
    CU_ASSERT_TRUE_FATAL(kw_ok(kw_handles_add(&t, &object, &before)));
    kw_handles_clear(&t);
    CU_ASSERT_TRUE_FATAL(kw_ok(kw_handles_add(&t, &object, &after)));
    CU_ASSERT_PTR_NULL(kw_handles_get(&t, before));
    kw_handles_clear(&t);
}

static void many_objects_are_told_apart(void)
{
    enum { MANY = 1000 };
    struct kw_handles t;
    int objects[MANY];
    CK_ULONG h[MANY];
    kw_handles_init(&t, KW_HANDLE_OBJECT);
    for (size_t i = 0; i < MANY; i++) {
        CU_ASSERT_TRUE_FATAL(kw_ok(kw_handles_add(&t, &objects[i], &h[i])));
    }
    for (size_t i = 0; i < MANY; i += 2) {
        kw_handles_remove(&t, h[i]);
    }
    size_t wrong = 0;
    for (size_t i = 0; i < MANY; i++) {
        wrong += kw_handles_get(&t, h[i]) != (i % 2 == 0 ? NULL : &objects[i]);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    size_t walked = 0;
    for (size_t i = 0; i < kw_handles_room(&t); i++) {
        walked += kw_handles_at(&t, i) != NULL;
    }
    CU_ASSERT_EQUAL(walked, MANY / 2);
    CU_ASSERT_PTR_NULL(kw_handles_at(&t, MANY));
    kw_handles_clear(&t);
}

int main(void)
{
    static CU_TestInfo tests[] = {
        {"a handle finds its object until it ends", a_handle_finds_its_object_until_it_ends},
        {"a number is not given out again", a_number_is_not_given_out_again},
        {"foreign and invented handles find nothing", foreign_and_invented_handles_find_nothing},
        {"handles of an earlier table are stale", handles_of_an_earlier_table_are_stale},
        {"many objects are told apart", many_objects_are_told_apart},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {
        {"handles", NULL, NULL, NULL, NULL, tests},
        CU_SUITE_INFO_NULL,
    };
    return scratch_run(suites);
}
