#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const memory_part_text[MEMORY_PARTS] = {
    [MEMORY_KEYWARD] = "keyward-pkcs11.so",
    [MEMORY_P11KIT] = "libp11-kit, libffi, libinih",
    [MEMORY_LIBCRYPTO] = "libcrypto",
    [MEMORY_VENDOR] = "vendor module, libstdc++",
    [MEMORY_LIBC] = "libc, ld.so",
    [MEMORY_OTHER_FILE] = "other files (the bench itself)",
    [MEMORY_ANONYMOUS] = "anonymous: heap, stacks, .bss",
};

static const struct {
    const char *in_path;
    int part;
} owners[] = {
    {"/keyward-pkcs11", MEMORY_KEYWARD}, {"/libp11-kit", MEMORY_P11KIT},
    {"/libffi", MEMORY_P11KIT},          {"/libinih", MEMORY_P11KIT},
    {"/libcrypto", MEMORY_LIBCRYPTO},    {"/libsofthsm2", MEMORY_VENDOR},
    {"/libstdc++", MEMORY_VENDOR},       {"/libgcc_s", MEMORY_VENDOR},
    {"/libm.", MEMORY_VENDOR},           {"/libc.", MEMORY_LIBC},
    {"/ld-linux", MEMORY_LIBC},          {"/", MEMORY_OTHER_FILE},
};

static int part_of(const char *path)
{
    for (size_t i = 0; i < sizeof owners / sizeof owners[0]; i++) {
        if (strstr(path, owners[i].in_path) != NULL) {
            return owners[i].part;
        }
    }
    return MEMORY_ANONYMOUS;
}

static void add_field(const char *line, struct memory_figures *figures)
{
    unsigned long kib = 0;
    if (sscanf(line, "Rss: %lu kB", &kib) == 1) {
        figures->rss += kib;
    } else if (sscanf(line, "Pss: %lu kB", &kib) == 1) {
        figures->pss += kib;
    } else if (sscanf(line, "Private_Dirty: %lu kB", &kib) == 1) {
        figures->private_dirty += kib;
    }
}

/* A mapping opens with "start-end perms offset device inode   path" (proc(5)); the lines after it
 * are its fields. Returns -1 when the line is not such an opening. */
static int opening(const char *line)
{
    unsigned long start = 0;
    unsigned long end = 0;
    int path_at = 0;
    if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &start, &end, &path_at) != 2) {
        return -1;
    }
    return part_of(line + path_at);
}

static FILE *open_proc(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        fprintf(stderr, "bench: cannot read %s: the memory job needs it\n", path);
        exit(1);
    }
    return file;
}

void memory_take(struct memory_sample *sample)
{
    char line[1024];
    *sample = (struct memory_sample){0};
    FILE *file = open_proc("/proc/self/smaps_rollup");
    while (fgets(line, sizeof line, file) != NULL) {
        add_field(line, &sample->total);
    }
    fclose(file);
    int part = MEMORY_OTHER_FILE;
    file = open_proc("/proc/self/smaps");
    while (fgets(line, sizeof line, file) != NULL) {
        int opened = opening(line);
        if (opened >= 0) {
            part = opened;
        } else {
            add_field(line, &sample->part[part]);
        }
    }
    fclose(file);
}
