/*
 * crew.h: threads that use Keyward at the same time and keep a tally of the answers.
 *
 * Checks are for the main thread only, so a worker counts: each answer by its code, and values that came back wrong. A tally belongs
 * to one worker until crew_end has joined it; crew_run adds all of them up.
 */
#ifndef KW_TEST_CREW_H
#define KW_TEST_CREW_H

#include "chapter.h"

enum { CREW_MAX = 24, CREW_CODES = 24 };

struct crew_tally {
    unsigned long calls;
    unsigned long wrong; /* values or blobs that are not what they must be */
    struct {
        CK_RV rv;
        unsigned long count;
    } codes[CREW_CODES];
};

struct crew_worker;
typedef void crew_job(struct crew_worker *w);

struct crew_worker {
    struct crew_tally tally;
    crew_job *job;
    unsigned number;
    CK_SESSION_HANDLE session; /* shared by the crew, or 0 */
    CK_SLOT_ID slot;
};

/* Counts the answer and returns it. */
CK_RV crew_note(struct crew_worker *w, CK_RV rv);

/* How often the code was answered. */
unsigned long crew_count(const struct crew_tally *t, CK_RV rv);

/* Runs `count` workers, worker i with jobs[i % job_count], waits for them, and adds up. `model` gives session and slot. */
struct crew_tally crew_run(unsigned count, crew_job *const *jobs, size_t job_count,
                           const struct crew_worker *model);

/* The codes that are neither CKR_OK nor in `allowed`[n], as text for a check; "" when there are none. Static storage. */
const char *crew_surprises(const struct crew_tally *t, const CK_RV *allowed, size_t n);

#endif
