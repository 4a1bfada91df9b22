/*
 * shortage.h: memory, locked pages, files and random numbers that run out, for Keyward alone.
 *
 * shortage.c stands before libc's malloc, calloc, realloc, reallocarray, free, mmap, munmap, mlock, madvise, open, read and getrandom for every library of the
 * process: linked into a program (scarce.c), or preloaded as shortage.so under a conformance chapter (tests/conformance/ordeal.c). What is asked for
 * fails only when Keyward asks: the innermost frame that is not of libc, libcrypto, libp11-kit or libinih must be Keyward's. So SoftHSM, which uses
 * OpenSSL too, and the test itself get what they want. One choice at a time for the process and for what it forks meanwhile, which counts along;
 * the counts are atomic.
 */
#ifndef FAULT_SHORTAGE_H
#define FAULT_SHORTAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "cryptoki.h"

/* Who asks: Keyward itself, or for it OpenSSL, or libc and libinih. Not of all: libp11-kit 0.24.1, which dies itself when it gets no memory
 * (p11_kit_uri_parse, at C_Initialize), and the loader of glibc 2.36, which can load a library never again after that ("undefined symbol"). */
enum shortage_whose { SHORTAGE_MODULE = 1, SHORTAGE_CRYPTO = 2, SHORTAGE_LIBRARIES = 4, SHORTAGE_ALL = 7, SHORTAGE_P11_KIT = 8, SHORTAGE_LOADER = 16 };

struct shortage {
    unsigned whose;
    unsigned long at;        /* the call that fails, from 1; 0: none */
    unsigned long long site; /* not 0: only calls of this place count for `at` */
    unsigned long long seed; /* not 0: one in `one_in` fails, by this seed, and `at` is not looked at */
    unsigned long one_in;
};

/* One place that asks, told by its callers down to the test's frame. */
struct shortage_site {
    unsigned long long hash;
    unsigned first, last; /* parts of the run in which it asked */
    unsigned long times;  /* in the last of them */
};

/* Places, noted while a run goes on; all of it may lie in shared memory. */
struct shortage_notes {
    struct shortage_site *sites;
    size_t most, count;
    unsigned part; /* of the run; the test changes it */
};

/* What shortage.so has for a chapter, which finds it by dlsym("shortage_so"). */
struct shortage_functions {
    bool (*find)(const char *module); /* where the libraries are, once Keyward is loaded; false when it is not */
    void (*arm)(const struct shortage *s);
    void (*disarm)(void);
    void (*spare)(bool yes); /* this thread, which gets what it asks for */
    unsigned long (*failed)(void); /* calls, since it was armed */
    unsigned long (*failed_here)(void); /* in this thread, ever */
    void (*note)(struct shortage_notes *notes); /* from now on, until disarm */
    size_t (*live)(void);             /* blocks that Keyward, or a small library for it, got since `track` and did not give back */
    void (*track)(void);
    void (*tell_live)(void);          /* and where they come from, to stdout */
    void (*tell_failed)(void);        /* the place of the last call that failed in this process, the same way */
};
extern const struct shortage_functions shortage_so;

/* What a call may answer when it did not get what it needed. A token that cannot be asked for want of memory counts as away. */
static inline bool shortage_may_answer(CK_RV rv)
{
    switch (rv) {
    case CKR_OK:
    case CKR_HOST_MEMORY:
    case CKR_FUNCTION_FAILED:
    case CKR_GENERAL_ERROR:
    case CKR_DEVICE_ERROR:
    case CKR_DEVICE_MEMORY:
    case CKR_DEVICE_REMOVED:
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_PIN_INVALID: /* its file cannot be read */
        return true;
    default:
        return false;
    }
}

#endif
