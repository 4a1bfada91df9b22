/*
 * scratch.h: what a unit test of files needs: a folder of its own under TMPDIR, files in it, and the
 * run of its CUnit suites. The folder goes with scratch_end. Paths are borrowed until the next call.
 */
#ifndef KW_TEST_SCRATCH_H
#define KW_TEST_SCRATCH_H

#include <CUnit/Basic.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_folder[PATH_MAX / 2];

static inline void scratch_begin(void)
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(scratch_folder, sizeof scratch_folder, "%s/keyward-unit-XXXXXX",
                   base != NULL && base[0] == '/' ? base : "/tmp");
    if (mkdtemp(scratch_folder) == NULL) {
        perror("mkdtemp");
        exit(2);
    }
}

static inline const char *scratch_path(const char *name)
{
    static char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", scratch_folder, name);
    return path;
}

/* A new file with exactly these bytes and this mode, whatever the umask. */
static inline const char *scratch_write(const char *name, const void *bytes, size_t len, mode_t mode)
{
    const char *path = scratch_path(name);
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || fchmod(fd, mode) != 0) {
        perror(path);
        exit(2);
    }
    (void)close(fd);
    return path;
}

/* The text of a file, NUL-terminated, "" if there is none; storage of the next call too. */
static inline const char *scratch_read(const char *name)
{
    static char text[256 * 1024];
    size_t used = 0;
    int fd = open(scratch_path(name), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd >= 0 ? 1 : 0;
    while (n > 0 && used < sizeof text - 1) {
        n = read(fd, text + used, sizeof text - 1 - used);
        used += n > 0 ? (size_t)n : 0;
    }
    text[used] = '\0';
    if (fd >= 0) {
        (void)close(fd);
    }
    return text;
}

/* Whether a line of /proc/self/maps or smaps begins a mapping, and which. */
static inline bool scratch_mapping(const char *line, unsigned long *from, unsigned long *to)
{
    char *end = NULL;
    *from = strtoul(line, &end, 16);
    if (end == line || *end != '-') {
        return false;
    }
    const char *second = end + 1;
    *to = strtoul(second, &end, 16);
    return end != second && *end == ' ';
}

static inline void scratch_end(void)
{
    DIR *folder = opendir(scratch_folder);
    for (struct dirent *e = folder == NULL ? NULL : readdir(folder); e != NULL; e = readdir(folder)) {
        if (unlinkat(dirfd(folder), e->d_name, 0) != 0) {
            (void)unlinkat(dirfd(folder), e->d_name, AT_REMOVEDIR);
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    (void)rmdir(scratch_folder);
}

/* Runs the suites; the exit status of the test: 0 only if something ran and nothing failed. */
static inline int scratch_run(CU_SuiteInfo *suites)
{
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS) {
        (void)fprintf(stderr, "CUnit: %s\n", CU_get_error_msg());
        return 2;
    }
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_ErrorCode result = CU_basic_run_tests();
    bool good =
        result == CUE_SUCCESS && CU_get_number_of_asserts() > 0 && CU_get_number_of_failure_records() == 0;
    CU_cleanup_registry();
    return good ? 0 : 1;
}

#endif
