/*
 * peer: the coordinator's hold on one agent process: starting it, asking it, ending it. A peer
 * that dies or does not answer in time ends the whole run with a message, because figures from
 * half a run compare nothing.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <sys/types.h>

#include "agent.h"

struct peer {
    const char *name;
    pid_t pid;
    int socket;
};

/* How to start one: the side, the command line of this process, more environment (or NULL). */
struct peer_plan {
    const struct settings_side *side;
    const struct settings_env *more;
    char **argv;
};

/* Starts an agent; the caller ends it with peer_stop. */
void peer_start(const struct peer_plan *plan, struct peer *peer);

/* Sends a request and waits for the answer. */
void peer_ask(const struct peer *peer, const struct agent_request *request,
              struct agent_reply *reply);

/* Ends the agent and waits for it. */
void peer_stop(struct peer *peer);

#endif
