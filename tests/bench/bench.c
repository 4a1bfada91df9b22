/*
 * bench: the same jobs on the vendor's module and through Keyward, by turns (issue 2, point 8).
 * This file is the coordinator: it loads no module itself, it lets one agent process per side work
 * and rest alternately. Each round gives one pair of figures per job and number of threads, and
 * the side that goes first changes with every round.
 */
#include <stdio.h>
#include <stdlib.h>

#include "peer.h"
#include "report.h"

enum { MEMORY_SAMPLES = 5 };

static void start_peers(const struct settings *settings, char **argv, struct peer peers[SIDES])
{
    const struct agent_request open = {.order = AGENT_OPEN};
    for (int side = 0; side < SIDES; side++) {
        struct peer_plan plan = {.side = &settings->side[side], .argv = argv};
        struct agent_reply reply;
        peer_start(&plan, &peers[side]);
        peer_ask(&peers[side], &open, &reply);
    }
}

static void stop_peers(struct peer peers[SIDES])
{
    for (int side = 0; side < SIDES; side++) {
        peer_stop(&peers[side]);
    }
}

static void measure_pair(const struct peer peers[SIDES], const struct agent_request *request,
                         int first, struct report_rate *rate)
{
    double calls[SIDES];
    double cpu_calls[SIDES];
    for (int turn = 0; turn < SIDES; turn++) {
        int side = first ^ turn;
        struct agent_reply reply;
        peer_ask(&peers[side], request, &reply);
        calls[side] = reply.calls / reply.seconds;
        cpu_calls[side] = reply.calls / reply.cpu_seconds;
        rate->all_calls[side] += reply.calls;
        rate->all_seconds[side] += reply.seconds;
    }
    series_add(&rate->calls, calls);
    series_add(&rate->cpu_calls, cpu_calls);
}

static void measure_round(const struct peer peers[SIDES], unsigned round, struct report *report)
{
    for (int job = 0; job < JOBS; job++) {
        for (int i = 0; report->has_rate[job] && i < REPORT_COUNTS; i++) {
            struct agent_request request = {
                .order = AGENT_MEASURE,
                .job = job,
                .count = report_threads[i],
                .seconds = report->settings->seconds,
            };
            measure_pair(peers, &request, (int)(round % SIDES), &report->rate[job][i]);
        }
    }
}

/* New processes every few rounds: what the layout of one process in memory gives or takes, and
 * what SoftHSM keeps of every destroyed object, does not follow one side through the whole run. */
static void measure_rates(char **argv, struct report *report)
{
    const struct settings *settings = report->settings;
    struct peer peers[SIDES];
    bool wanted = false;
    for (int job = 0; job < JOBS; job++) {
        report->has_rate[job] = settings_wants(settings, job_table[job].name, job_table[job].target > 0);
        wanted = wanted || report->has_rate[job];
        for (int i = 0; i < REPORT_COUNTS; i++) {
            series_init(&report->rate[job][i].calls, settings->rounds);
            series_init(&report->rate[job][i].cpu_calls, settings->rounds);
        }
    }
    for (unsigned round = 0; wanted && round < settings->rounds; round++) {
        if (round % settings->renew == 0) {
            start_peers(settings, argv, peers);
        }
        measure_round(peers, round, report);
        if ((round + 1) % settings->renew == 0 || round + 1 == settings->rounds) {
            stop_peers(peers);
        }
    }
}

/* A fresh process per sample: that is what a broker's start is. Finalize and Initialize again in
 * one process would spare both sides the loading and OpenSSL's start, and Keyward whatever it may
 * keep, and so would not be the start that anybody waits for. */
static void ask_fresh(const struct peer_plan *plan, enum agent_order order,
                      struct agent_reply *reply)
{
    const struct agent_request request = {.order = order};
    struct peer peer;
    peer_start(plan, &peer);
    peer_ask(&peer, &request, reply);
    peer_stop(&peer);
}

static void measure_start(char **argv, struct report *report)
{
    const struct settings *settings = report->settings;
    series_init(&report->start, settings->rounds);
    series_init(&report->start_cpu, settings->rounds);
    report->has_start = settings_wants(settings, "start", true);
    for (unsigned round = 0; report->has_start && round < settings->rounds; round++) {
        double wall[SIDES];
        double cpu[SIDES];
        for (int turn = 0; turn < SIDES; turn++) {
            int side = (int)(round % SIDES) ^ turn;
            struct peer_plan plan = {.side = &settings->side[side], .argv = argv};
            struct agent_reply reply;
            ask_fresh(&plan, AGENT_START, &reply);
            wall[side] = reply.seconds;
            cpu[side] = reply.cpu_seconds;
        }
        series_add(&report->start, wall);
        series_add(&report->start_cpu, cpu);
    }
}

static int compare_figures(const void *a, const void *b)
{
    unsigned long left = *(const unsigned long *)a;
    unsigned long right = *(const unsigned long *)b;
    return (left > right) - (left < right);
}

/* The median of each figure on its own. memory_sample is nothing but unsigned longs. */
static void take_medians(const struct agent_reply *replies, int stage, struct memory_sample *out)
{
    unsigned long figures[MEMORY_SAMPLES];
    size_t count = sizeof *out / sizeof(unsigned long);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < MEMORY_SAMPLES; j++) {
            figures[j] = ((const unsigned long *)&replies[j].memory[stage])[i];
        }
        qsort(figures, MEMORY_SAMPLES, sizeof figures[0], compare_figures);
        ((unsigned long *)out)[i] = figures[MEMORY_SAMPLES / 2];
    }
}

/* Fewer keys on one side, for instance slots without a token, would be memory not compared. */
static void require_same_keys(const struct agent_reply *direct, const struct agent_reply *keyward)
{
    if (direct->keys != keyward->keys) {
        fprintf(stderr, "bench: memory: %u keys used directly, %u through Keyward's %u slots; "
                        "run `keyward check` on its configuration\n",
                direct->keys, keyward->keys, keyward->slots);
        exit(1);
    }
}

/* One process at a time, so that Pss is not divided between our own processes. */
static void measure_memory(char **argv, struct report *report)
{
    const struct settings *settings = report->settings;
    static struct agent_reply replies[SIDES][MEMORY_SAMPLES];
    report->has_memory = settings_wants(settings, "memory", true);
    report->memory_samples = MEMORY_SAMPLES;
    for (int i = 0; report->has_memory && i < MEMORY_SAMPLES; i++) {
        for (int side = 0; side < SIDES; side++) {
            struct peer_plan plan = {&settings->side[side], &settings->memory_env, argv};
            ask_fresh(&plan, AGENT_MEMORY, &replies[side][i]);
        }
        require_same_keys(&replies[SIDE_DIRECT][i], &replies[SIDE_KEYWARD][i]);
    }
    for (int side = 0; side < SIDES; side++) {
        report->memory.slots[side] = replies[side][0].slots;
        report->memory.keys[side] = replies[side][0].keys;
        for (int stage = 0; stage < AGENT_STAGES; stage++) {
            take_medians(replies[side], stage, &report->memory.median[side][stage]);
        }
    }
}

static void clear(struct report *report)
{
    for (int job = 0; job < JOBS; job++) {
        for (int i = 0; i < REPORT_COUNTS; i++) {
            series_clear(&report->rate[job][i].calls);
            series_clear(&report->rate[job][i].cpu_calls);
        }
    }
    series_clear(&report->start);
    series_clear(&report->start_cpu);
}

/* Only this order, by one side. Thousands a second are made, so a hundred is patience enough. */
static void make(const struct settings *settings, char **argv, enum agent_order order, unsigned count)
{
    const struct agent_request request = {.order = order, .count = count, .seconds = count / 100.0};
    int side = order == AGENT_MAKE_KEYS ? SIDE_DIRECT : SIDE_KEYWARD;
    struct peer_plan plan = {.side = &settings->side[side], .argv = argv};
    struct agent_reply reply;
    struct peer peer;
    peer_start(&plan, &peer);
    peer_ask(&peer, &request, &reply);
    peer_stop(&peer);
}

int main(int argc, char **argv)
{
    static struct report report;
    struct settings settings;
    settings_parse(argc, argv, &settings);
    if (settings.role != SIDES) {
        agent_serve(&settings);
        return 0;
    }
    if (settings.make_keys > 0) {
        make(&settings, argv, AGENT_MAKE_KEYS, settings.make_keys);
        return 0;
    }
    if (settings.make_envelopes > 0) {
        make(&settings, argv, AGENT_MAKE_ENVELOPES, settings.make_envelopes);
        return 0;
    }
    report.settings = &settings;
    measure_rates(argv, &report);
    measure_start(argv, &report);
    measure_memory(argv, &report);
    unsigned missed = report_print(&report, stdout);
    if (settings.json != NULL) {
        report_write_json(&report, settings.json);
    }
    clear(&report);
    return settings.check && missed > 0 ? 1 : 0;
}
