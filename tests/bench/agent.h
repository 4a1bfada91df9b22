/*
 * agent: a child process that holds one side's module and does what it is asked, one request at a
 * time. It is this same program, executed anew with `--role SIDE`, its end of a SOCK_SEQPACKET
 * socket pair on descriptor AGENT_SOCKET. Each side lives in a process of its own because Keyward
 * loads the vendor's module too: in one process both sides would share its state and its login.
 */
#ifndef BENCH_AGENT_H
#define BENCH_AGENT_H

#include "memory.h"
#include "settings.h"

enum { AGENT_SOCKET = 3, AGENT_THREADS_MAX = 8, AGENT_STAGES = 2 };

enum agent_order {
    AGENT_OPEN,      /* load, log in, make the seats ready; no answer but that it is done */
    AGENT_MEASURE,   /* one job for some time */
    AGENT_START,     /* time everything from dlopen to the first wrap */
    AGENT_MEMORY,    /* what is resident after start, and after every master key was used */
    AGENT_MAKE_KEYS, /* create `count` master keys */
    AGENT_MAKE_ENVELOPES /* print `count` envelopes, a line of hex each */
};

struct agent_request {
    enum agent_order order;
    int job;
    unsigned count; /* threads, keys or envelopes */
    double seconds;
};

struct agent_reply {
    double calls;       /* repetitions of the job */
    double seconds;     /* wall clock */
    double cpu_seconds; /* of all threads of the process */
    unsigned slots;
    unsigned keys;
    struct memory_sample memory[AGENT_STAGES]; /* 0: initialised, 1: every key used */
};

/* Serves requests until the coordinator closes its end. */
void agent_serve(const struct settings *settings);

#endif
