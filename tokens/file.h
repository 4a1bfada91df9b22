/*
 * file.h: the files that the command reads whole and those that it makes anew.
 *
 * What is read may be a key, so it goes into a secret without passing through any other memory. A
 * file that exists is never overwritten. Errors are sentences about the file, to be said after its
 * name.
 */
#ifndef KW_FILE_H
#define KW_FILE_H

#include "secret.h"

/* The bytes of the file, at most KW_SECRET_MAX (64 KiB). *out is the caller's. */
KW_MUST_USE struct kw_rv file_read(const char *path, struct kw_secret **out);

/* What the descriptor still holds, to its end: at most `most` bytes. *out is the caller's. */
KW_MUST_USE struct kw_rv file_take(int fd, size_t most, struct kw_secret **out);

/* Writes all of it to the descriptor, however often that is interrupted; false: errno tells. */
bool file_put(int fd, const unsigned char *bytes, size_t len);

/* Whether a read or write that failed with this errno is to be done again: it was interrupted, or the descriptor does not block and is ready now. */
bool file_again(int fd, short events, int error);

/* A new file with these bytes and this mode; what was written in part is removed again. */
KW_MUST_USE struct kw_rv file_write(const char *path, const void *bytes, size_t len, unsigned mode);

#endif
