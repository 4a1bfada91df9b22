/*
 * rewriter.h: one batch of lines: the envelope in each is found, made new and put in its place.
 *
 * Borrows two keepers. What cannot be done leaves the line as it was, with the reason; no line and no byte beside the envelope is ever changed. Thread-safe
 * (rewriter_batch); rewriter_look is called by the thread that reads.
 */
#ifndef KW_REWRITER_H
#define KW_REWRITER_H

#include "batch.h"
#include "column.h"
#include "encoding.h"
#include "keeper.h"

struct rewriter {
    struct keeper *to;
    struct keeper *from; /* or NULL: only envelopes of `to` */
    struct column column;
    struct column context_column; /* number 0: `context` is that of every line */
    const char *context;          /* only for `from`: an envelope keeps its context within a slot */
    bool header;                  /* the first line is left alone */
    bool dry;                     /* nothing is asked of a token, nothing is changed */
    enum encoding_alphabet alphabet; /* of the base64 so far */
    atomic_bool gone;             /* the token was given up */
};

/* Before a batch goes to a worker: learns the alphabet of the file, for envelopes whose own characters do not tell. */
void rewriter_look(struct rewriter *r, struct batch *b);

/* Fills b->out and each line's fate. */
void rewriter_batch(struct rewriter *r, struct batch *b);

#endif
