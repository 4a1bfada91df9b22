/* queue_test.c: who has waited long goes before who has not. */
#include "queue.h"

#include "clock.h"
#include "scratch.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;

static void who_waits_becomes_impatient_and_then_gives_up(void)
{
    const struct kw_queue_wait wait = {&changed, &lock, 80};
    struct kw_queue queue = {0};
    struct kw_queue_place old = {0};
    struct kw_queue_place young = {0};
    pthread_mutex_lock(&lock);
    const struct timespec start = kw_clock_in(0);
    CU_ASSERT_FALSE(kw_queue_has_others(&queue, &young));
    while (!old.impatient) {
        CU_ASSERT_TRUE_FATAL(kw_queue_wait(&queue, &old, &wait, NULL));
    }
    CU_ASSERT_TRUE(kw_clock_since(&start) >= 10);
    CU_ASSERT_TRUE(kw_queue_has_others(&queue, &young));
    CU_ASSERT_FALSE(kw_queue_has_others(&queue, &old));
    while (kw_queue_wait(&queue, &old, &wait, NULL)) {
    }
    CU_ASSERT_TRUE(kw_clock_since(&start) >= 80);
    kw_queue_leave(&queue, &old, &changed);
    CU_ASSERT_FALSE(kw_queue_has_others(&queue, &young));
    kw_queue_leave(&queue, &young, &changed); /* who was never impatient changes nothing */
    CU_ASSERT_FALSE(kw_queue_has_others(&queue, &young));
    pthread_mutex_unlock(&lock);
}

/* One thing, held for a moment by each in turn; most take it again at once, and nobody may be passed over for as long as the others like. */
enum { THREADS = 12, ROUNDS = 500 };

static struct kw_queue queue;
static bool taken;
static unsigned long given_up;

static bool take(struct kw_queue_place *place)
{
    const struct kw_queue_wait wait = {&changed, &lock, 2000};
    while (taken || kw_queue_has_others(&queue, place)) {
        if (!kw_queue_wait(&queue, place, &wait, NULL)) {
            return false;
        }
    }
    taken = true;
    return true;
}

static void *run(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct kw_queue_place place = {0};
        pthread_mutex_lock(&lock);
        bool got = take(&place);
        kw_queue_leave(&queue, &place, &changed);
        given_up += !got;
        pthread_mutex_unlock(&lock);
        pthread_mutex_lock(&lock);
        taken = taken && !got;
        (void)pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void everybody_has_a_turn(void)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CU_ASSERT_FATAL(pthread_create(&threads[i], NULL, run, NULL) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    CU_ASSERT_EQUAL(given_up, 0);
    CU_ASSERT_EQUAL(queue.impatient, 0);
    CU_ASSERT_FALSE(taken);
}

int main(void)
{
    static CU_TestInfo tests[] = {
        {"who waits becomes impatient, and then gives up", who_waits_becomes_impatient_and_then_gives_up},
        {"everybody has a turn", everybody_has_a_turn},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {
        {"queue", NULL, NULL, NULL, NULL, tests},
        CU_SUITE_INFO_NULL,
    };
    kw_clock_cond_init(&changed);
    return scratch_run(suites);
}
