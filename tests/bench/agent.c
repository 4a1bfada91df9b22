#include "agent.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "job.h"

enum { WARM_UP = 50 };

struct agent {
    const struct settings *settings;
    const struct settings_side *side;
    struct provider provider;
    struct job_seat seat[AGENT_THREADS_MAX];
};

struct runner {
    struct job_seat *seat;
    job_run *run;
    pthread_barrier_t *start;
    const atomic_bool *stop;
    double calls;
};

static double now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void open_seats(struct agent *agent)
{
    provider_load(agent->side, &agent->provider);
    provider_initialize(&agent->provider);
    CK_SLOT_ID slot = provider_slot_of(&agent->provider, agent->side->token);
    CK_SESSION_HANDLE session = provider_session(&agent->provider, slot, CKF_RW_SESSION);
    provider_login(&agent->provider, session, agent->settings);
    CK_OBJECT_HANDLE data_key = job_data_key(&agent->provider, session);
    for (size_t i = 0; i < AGENT_THREADS_MAX; i++) {
        agent->seat[i].has_envelopes = agent->settings->envelope && agent->settings->role == SIDE_KEYWARD;
        agent->seat[i].holds = settings_wants(agent->settings, "held", false);
        job_seat_init(&agent->provider, slot, data_key, &agent->seat[i]);
    }
    for (size_t i = 0; i < WARM_UP; i++) {
        for (size_t j = 0; j < JOBS; j++) {
            if (j == JOB_HELD && !agent->seat[0].holds) {
                continue;
            }
            job_table[j].run(&agent->seat[i % AGENT_THREADS_MAX]);
        }
    }
}

static void *run_until_stopped(void *argument)
{
    struct runner *runner = argument;
    double calls = 0;
    pthread_barrier_wait(runner->start);
    do { /* at least once: a rate of nothing has no ratio */
        runner->run(runner->seat);
        calls++;
    } while (!atomic_load_explicit(runner->stop, memory_order_relaxed));
    runner->calls = calls;
    return NULL;
}

/* The clock runs from the release of the threads to the end of the last one's last repetition, so
 * repetitions that end late are paid for. */
static void measure(struct agent *agent, const struct agent_request *request,
                    struct agent_reply *reply)
{
    pthread_t thread[AGENT_THREADS_MAX];
    struct runner runner[AGENT_THREADS_MAX];
    pthread_barrier_t start;
    atomic_bool stop = false;
    pthread_barrier_init(&start, NULL, request->count + 1);
    for (size_t i = 0; i < request->count; i++) {
        runner[i] = (struct runner){&agent->seat[i], job_table[request->job].run, &start, &stop, 0};
        if (pthread_create(&thread[i], NULL, run_until_stopped, &runner[i]) != 0) {
            provider_fail(&agent->provider, "no more threads can be made");
        }
    }
    double cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    double wall = now(CLOCK_MONOTONIC);
    pthread_barrier_wait(&start);
    time_t whole = (time_t)request->seconds;
    struct timespec time = {whole, (long)((request->seconds - (double)whole) * 1e9)};
    nanosleep(&time, NULL);
    atomic_store(&stop, true);
    for (size_t i = 0; i < request->count; i++) {
        pthread_join(thread[i], NULL);
        reply->calls += runner[i].calls;
    }
    reply->seconds = now(CLOCK_MONOTONIC) - wall;
    reply->cpu_seconds = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    pthread_barrier_destroy(&start);
}

static void measure_start(struct agent *agent, struct agent_reply *reply)
{
    double cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    double wall = now(CLOCK_MONOTONIC);
    provider_load(agent->side, &agent->provider);
    provider_initialize(&agent->provider);
    CK_SLOT_ID slot = provider_slot_of(&agent->provider, agent->side->token);
    CK_SESSION_HANDLE session = provider_session(&agent->provider, slot, 0);
    provider_login(&agent->provider, session, agent->settings);
    struct provider_objects found;
    provider_master_keys(&agent->provider, session, &found);
    job_first_wrap(&agent->provider, session, found.handle[0]);
    reply->seconds = now(CLOCK_MONOTONIC) - wall;
    reply->cpu_seconds = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    reply->calls = 1;
}

/* One session for each master key on both sides, although Keyward shows every key in a slot of its
 * own and the vendor all keys in one: the sessions are not what is compared. */
static void measure_memory(struct agent *agent, struct agent_reply *reply)
{
    CK_SLOT_ID slots[256];
    provider_load(agent->side, &agent->provider);
    provider_initialize(&agent->provider);
    reply->slots = (unsigned)provider_slots(&agent->provider, slots, 256);
    memory_take(&reply->memory[0]);
    for (size_t i = 0; i < reply->slots; i++) {
        CK_SESSION_HANDLE session = provider_session(&agent->provider, slots[i], 0);
        provider_login(&agent->provider, session, agent->settings);
        struct provider_objects found;
        provider_master_keys(&agent->provider, session, &found);
        for (CK_ULONG j = 0; j < found.count; j++) {
            if (j > 0) {
                session = provider_session(&agent->provider, slots[i], 0);
            }
            job_first_wrap(&agent->provider, session, found.handle[j]);
        }
        reply->keys += (unsigned)found.count;
    }
    memory_take(&reply->memory[1]);
}

static void make_keys(struct agent *agent, unsigned count)
{
    provider_load(agent->side, &agent->provider);
    provider_initialize(&agent->provider);
    CK_SLOT_ID slot = provider_slot_of(&agent->provider, agent->side->token);
    CK_SESSION_HANDLE session = provider_session(&agent->provider, slot, CKF_RW_SESSION);
    provider_login(&agent->provider, session, agent->settings);
    for (unsigned i = 0; i < count; i++) {
        job_make_master_key(&agent->provider, session);
    }
}

static void make_envelopes(struct agent *agent, unsigned count)
{
    open_seats(agent);
    for (unsigned i = 0; i < count; i++) {
        CK_BYTE envelope[JOB_ENVELOPE_LENGTH];
        job_make_envelope(&agent->seat[0], envelope);
        for (size_t j = 0; j < sizeof envelope; j++) {
            printf("%02x", envelope[j]);
        }
        putchar('\n');
    }
    if (fflush(stdout) != 0) {
        provider_fail(&agent->provider, "standard output cannot be written");
    }
}

static void obey(struct agent *agent, const struct agent_request *request,
                 struct agent_reply *reply)
{
    switch (request->order) {
    case AGENT_OPEN:
        open_seats(agent);
        break;
    case AGENT_MEASURE:
        measure(agent, request, reply);
        break;
    case AGENT_START:
        measure_start(agent, reply);
        break;
    case AGENT_MEMORY:
        measure_memory(agent, reply);
        break;
    case AGENT_MAKE_KEYS:
        make_keys(agent, request->count);
        break;
    case AGENT_MAKE_ENVELOPES:
        make_envelopes(agent, request->count);
        break;
    }
}

void agent_serve(const struct settings *settings)
{
    struct agent agent = {.settings = settings, .side = &settings->side[settings->role]};
    struct agent_request request;
    while (recv(AGENT_SOCKET, &request, sizeof request, 0) == (ssize_t)sizeof request) {
        struct agent_reply reply = {0};
        obey(&agent, &request, &reply);
        if (send(AGENT_SOCKET, &reply, sizeof reply, MSG_NOSIGNAL) != (ssize_t)sizeof reply) {
            return;
        }
    }
}
