/*
 * trust.h: which files Keyward believes: the configuration PIN files, vendors' modules.
 *
 * A file is judged on its open descriptor, so that it cannot be exchanged between the look and the
 * reading. Symbolic links are followed (Kubernetes and systemd mount secrets behind links); what
 * counts is the file that was opened. The caller owns the descriptor. No locks.
 */
#ifndef KW_TRUST_H
#define KW_TRUST_H

enum kw_trust {
    KW_TRUST_CONFIG, /* a regular file, owned by root or the effective user, not writable by group or others */
    KW_TRUST_PIN     /* the same, and without any permission for others */
};

/* What kw_trust_open gives when the process, not the file, is the matter: too many open files, or no memory. It passes. */
extern const char kw_trust_short[];

/* Opens `path` for reading. NULL, and *fd is the caller's (close), when the file may be believed;
 * else what is wrong and what to do, as the end of a sentence about the file: static storage. */
const char *kw_trust_open(const char *path, enum kw_trust rule, int *fd);

#endif
