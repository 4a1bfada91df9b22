/* health.h and replica.h: when a member may be tried, and whether it is what its peers are. */
#include "health.h"

#include <stdlib.h>

#include "clock.h"
#include "replica.h"
#include "scratch.h"

static void up_is_for_everybody(void)
{
    struct kw_health h = {0};
    CU_ASSERT_TRUE(kw_health_take(&h));
    CU_ASSERT_TRUE(kw_health_take(&h));
    CU_ASSERT_EQUAL(kw_health_rest(&h), 0);
    CU_ASSERT_FALSE(kw_health_served(&h));
}

static void down_is_left_alone_and_then_tried_by_one(void)
{
    struct kw_health h = {0};
    CU_ASSERT_TRUE(kw_health_failed(&h, 0));
    CU_ASSERT_EQUAL(h.state, KW_HEALTH_DOWN);
    CU_ASSERT(kw_health_rest(&h) <= 50);
    h.retry_at = kw_clock_in(60000); /* however busy the machine is, not over before the next lines */
    CU_ASSERT_FALSE(kw_health_take(&h));
    CU_ASSERT(kw_health_rest(&h) > 0);
    CU_ASSERT_FALSE(kw_health_failed(&h, 0)); /* a call that had begun before */
    CU_ASSERT_EQUAL(h.failures, 1);
    h.retry_at = kw_clock_in(0);
    CU_ASSERT_TRUE(kw_health_take(&h));
    CU_ASSERT_FALSE(kw_health_take(&h));
    CU_ASSERT_EQUAL(kw_health_rest(&h), -1);
    CU_ASSERT_TRUE(kw_health_served(&h));
    CU_ASSERT_EQUAL(h.state, KW_HEALTH_UP);
}

static void each_failure_doubles_the_time(void)
{
    struct kw_health h = {0};
    static const long most[] = {50, 100, 200, 400, 800, 800, 800};
    for (size_t i = 0; i < sizeof most / sizeof most[0]; i++) {
        h.retry_at = kw_clock_in(0);
        CU_ASSERT_TRUE(kw_health_take(&h));
        const struct timespec begun = kw_clock_in(0);
        (void)kw_health_failed(&h, 0);
        long least = -kw_clock_since(&h.retry_at);
        CU_ASSERT(least <= most[i] && least + kw_clock_since(&begun) >= most[i] * 3 / 4 - 2);
    }
    h.retry_at = kw_clock_in(0);
    (void)kw_health_take(&h);
    (void)kw_health_failed(&h, 5000); /* the token is refused for so long anyway */
    CU_ASSERT(kw_health_rest(&h) > 800);
    h.trial = true;
    (void)kw_health_failed(&h, 30); /* or for a shorter time than its own would be by now */
    CU_ASSERT(kw_health_rest(&h) <= 30);
}

static void out_of_service_stays_so_until_it_is_looked_at(void)
{
    struct kw_health h = {0};
    CU_ASSERT_TRUE(kw_health_poisoned(&h, "why"));
    CU_ASSERT_FALSE(kw_health_take(&h));
    CU_ASSERT_FALSE(kw_health_served(&h)); /* a call that had begun before */
    CU_ASSERT_EQUAL(h.state, KW_HEALTH_OUT);
    h.retry_at = kw_clock_in(0);
    CU_ASSERT_TRUE(kw_health_take(&h));
    CU_ASSERT_FALSE(kw_health_failed(&h, 0));
    CU_ASSERT_EQUAL(h.state, KW_HEALTH_OUT); /* that it cannot be reached is no excuse */
    h.retry_at = kw_clock_in(0);
    CU_ASSERT_TRUE(kw_health_take(&h));
    CU_ASSERT_TRUE(kw_health_served(&h));
    CU_ASSERT_EQUAL(h.state, KW_HEALTH_UP);
}

/* Snapshots of at most two versions, 1 and 2. */
struct pair {
    struct kw_snapshot *mine, *peer;
};

static struct kw_snapshot *snapshot(size_t count)
{
    struct kw_snapshot *s = calloc(1, sizeof *s + 2 * sizeof s->entries[0]);
    if (s == NULL) {
        abort();
    }
    s->count = count;
    for (size_t i = 0; i < 2; i++) {
        struct kw_version *v = &s->entries[i].version;
        v->version = (uint32_t)(i + 1);
        v->origin = KW_ORIGIN_GENERATED;
        v->type = CKK_AES;
        v->has_fingerprint = true;
        v->fingerprint[0] = (uint8_t)(i + 1);
    }
    return s;
}

static struct kw_version *mine(struct pair *p) { return &p->mine->entries[1].version; }
static struct kw_version *theirs(struct pair *p) { return &p->peer->entries[1].version; }

static void same(struct pair *p) { (void)p; }
static void one_less(struct pair *p) { p->mine->count = 1; }
static void one_more(struct pair *p) { p->peer->count = 1; }
static void none(struct pair *p) { p->mine->count = 0; }
static void other_fingerprint(struct pair *p) { mine(p)->fingerprint[7] = 9; }
static void unproven(struct pair *p) { other_fingerprint(p); mine(p)->has_fingerprint = false; }
static void other_lineage(struct pair *p) { mine(p)->lineage[3] = 9; }
static void adopted_lineage(struct pair *p) { other_lineage(p); mine(p)->origin = KW_ORIGIN_UNKNOWN; }
static void other_type(struct pair *p) { mine(p)->type = CKK_RSA; }
static void attributes(struct pair *p) { mine(p)->problem = "x"; mine(p)->state = KW_STATE_OUT_OF_SERVICE; }
static void unfinished(struct pair *p) { attributes(p); mine(p)->purge = KW_CMK_UNFINISHED; }
static void theirs_unfinished(struct pair *p) { one_less(p); theirs(p)->problem = "x"; theirs(p)->purge = KW_CMK_UNFINISHED; }
static void allows_more(struct pair *p) { theirs(p)->state = KW_STATE_DISABLED; }
static void allows_less(struct pair *p) { mine(p)->state = KW_STATE_DISABLED; }
static void theirs_pending(struct pair *p) { one_less(p); theirs(p)->state = KW_STATE_PENDING; }
static void peer_mixed(struct pair *p) { one_less(p); p->peer->problem = "x"; }

static const struct {
    const char *name;
    void (*make)(struct pair *p);
    enum kw_replica_verdict verdict;
} cases[] = {
    {"the same", same, KW_REPLICA_AGREES},
    {"a version less", one_less, KW_REPLICA_LAGS},
    {"a version more", one_more, KW_REPLICA_AGREES},
    {"no version at all", none, KW_REPLICA_LAGS},
    {"another fingerprint", other_fingerprint, KW_REPLICA_POISONED},
    {"a fingerprint that is not known yet", unproven, KW_REPLICA_AGREES},
    {"another lineage", other_lineage, KW_REPLICA_POISONED},
    {"another lineage of an adopted key", adopted_lineage, KW_REPLICA_AGREES},
    {"another type", other_type, KW_REPLICA_POISONED},
    {"attributes that must not be", attributes, KW_REPLICA_POISONED},
    {"not finished here", unfinished, KW_REPLICA_LAGS},
    {"not finished there", theirs_unfinished, KW_REPLICA_AGREES},
    {"enabled where the peer is disabled", allows_more, KW_REPLICA_LAGS},
    {"disabled where the peer is enabled", allows_less, KW_REPLICA_AGREES},
    {"pending deletion there", theirs_pending, KW_REPLICA_AGREES},
    {"a peer of mixed lineages is no measure", peer_mixed, KW_REPLICA_AGREES},
};

static void replicas_are_judged(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pair p = {snapshot(2), snapshot(2)};
        const char *why = NULL;
        cases[i].make(&p);
        bool good = kw_replica_judge(p.mine, p.peer, &why) == cases[i].verdict && (why != NULL) == (cases[i].verdict != KW_REPLICA_AGREES);
        if (!good) {
            (void)printf("\n    %s: %s\n", cases[i].name, why == NULL ? "agrees" : why);
        }
        CU_ASSERT_TRUE(good);
        free(p.mine);
        free(p.peer);
    }
}

int main(void)
{
    CU_TestInfo health[] = {{"up is for everybody", up_is_for_everybody},
                            {"down is left alone and then tried by one", down_is_left_alone_and_then_tried_by_one},
                            {"each failure doubles the time", each_failure_doubles_the_time},
                            {"out of service stays so until it is looked at", out_of_service_stays_so_until_it_is_looked_at},
                            CU_TEST_INFO_NULL};
    CU_TestInfo replica[] = {{"replicas are judged", replicas_are_judged}, CU_TEST_INFO_NULL};
    CU_SuiteInfo suites[] = {{"health", NULL, NULL, NULL, NULL, health}, {"replica", NULL, NULL, NULL, NULL, replica}, CU_SUITE_INFO_NULL};
    return scratch_run(suites);
}
