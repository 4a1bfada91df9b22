#include "trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

const char kw_trust_short[] = "cannot be opened now, because files or memory are short; raise the limits of this process (ulimit -n)";

static const char *open_problem(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return "does not exist; create it or mend the path";
    case EACCES:
    case EPERM:
        return "may not be read by this user; give read permission on it and on its folders";
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return kw_trust_short;
    case ELOOP:
        return "is a loop of symbolic links; mend the path";
    default:
        return "cannot be opened for reading; mend the path or the disk";
    }
}

static const char *file_problem(const struct stat *file, enum kw_trust rule)
{
    if (!S_ISREG(file->st_mode)) {
        return "is not a regular file; mend the path";
    }
    if (file->st_uid != 0 && file->st_uid != geteuid()) {
        return "belongs to another user; let root or the user of this process own it (chown)";
    }
    if ((file->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return "may be written by its group or by others; take that away (chmod go-w)";
    }
    if (rule == KW_TRUST_PIN && (file->st_mode & S_IRWXO) != 0) {
        return "is open to others; take that away (chmod o=)";
    }
    return NULL;
}

const char *kw_trust_open(const char *path, enum kw_trust rule, int *fd)
{
    /* O_NONBLOCK: a FIFO in the file's place must not hang the caller (DESIGN G6). */
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (opened < 0) {
        return open_problem(errno);
    }
    struct stat file;
    const char *problem =
        fstat(opened, &file) == 0 ? file_problem(&file, rule) : "cannot be examined; mend the disk";
    if (problem != NULL) {
        (void)close(opened);
        return problem;
    }
    *fd = opened;
    return NULL;
}
