/*
 * job: what is measured. A seat is one thread's place at a module: its own session and the handles
 * that its jobs use. The templates state every usage attribute, as a broker that trusts no token's
 * defaults does; CKA_PRIVATE is left at its default (true). Both sides get the very same calls.
 *
 * Every result is compared with what it must be, so a side cannot be fast by being wrong.
 */
#ifndef BENCH_JOB_H
#define BENCH_JOB_H

#include "provider.h"

enum { JOB_WRAP, JOB_UNWRAP, JOB_GENERATE, JOB_ENVELOPE_UNWRAP, JOB_ENVELOPE_WRAP, JOB_LOOP, JOB_HELD, JOBS };
enum { JOB_KEY_LENGTH = 32, JOB_WRAPPED_LENGTH = 40 }; /* RFC 3394: 8 more than the key */
enum { JOB_ENVELOPE_LENGTH = 124 };                    /* docs/envelope.md */
enum { JOB_HELD_KEYS = 5000 };                         /* data keys that a seat of the job `held` keeps */

struct job_seat {
    const struct provider *provider;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE master_key;
    CK_OBJECT_HANDLE data_key;            /* home: the token */
    CK_BYTE wrapped[JOB_WRAPPED_LENGTH];  /* data_key under master_key */
    CK_BYTE value[JOB_KEY_LENGTH];        /* of data_key, as first unwrapped */
    bool has_envelopes;                   /* the envelope jobs use CKM_KEYWARD_ENVELOPE, not RFC 3394 */
    CK_BYTE envelope[JOB_ENVELOPE_LENGTH]; /* another data key, as these jobs wrap it */
    CK_BYTE envelope_value[JOB_KEY_LENGTH];
    bool holds;                            /* for the job `held` */
    CK_OBJECT_HANDLE held[JOB_HELD_KEYS];
    size_t oldest;                         /* of them */
};

/* One repetition of a job. */
typedef void job_run(struct job_seat *seat);

struct job {
    const char *name;
    const char *text;
    job_run *run;
    double target; /* Keyward's calls per second over direct's, at least; 0: none, and run only when it is named */
};

extern const struct job job_table[JOBS];

/* Creates a master key in the token the way DESIGN section 4 states it. Needs a R/W session. */
void job_make_master_key(const struct provider *provider, CK_SESSION_HANDLE session);

/* The token-home data key of the jobs: found by its label, or else generated. R/W session. */
CK_OBJECT_HANDLE job_data_key(const struct provider *provider, CK_SESSION_HANDLE session);

/* Fills a seat: opens its session on `slot`, wraps and unwraps the data key once for reference. seat->has_envelopes and
 * seat->holds are kept. */
void job_seat_init(const struct provider *provider, CK_SLOT_ID slot, CK_OBJECT_HANDLE data_key,
                   struct job_seat *seat);

/* A new data key in an envelope of the seat. */
void job_make_envelope(const struct job_seat *seat, CK_BYTE envelope[JOB_ENVELOPE_LENGTH]);

/* A new readable session data key, wrapped once under `master_key` and destroyed. */
void job_first_wrap(const struct provider *provider, CK_SESSION_HANDLE session,
                    CK_OBJECT_HANDLE master_key);

#endif
