/*
 * memory: what this process has resident, by whom it is mapped, from /proc/self/smaps_rollup (the
 * totals) and /proc/self/smaps (the parts). All figures in KiB.
 */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

struct memory_figures {
    unsigned long rss;
    unsigned long pss;           /* rss, each page divided by the number of its users */
    unsigned long private_dirty; /* written by this process: nobody shares it */
};

enum {
    MEMORY_KEYWARD,
    MEMORY_P11KIT,
    MEMORY_LIBCRYPTO,
    MEMORY_VENDOR, /* SoftHSM and the C++ library that comes with it */
    MEMORY_LIBC,
    MEMORY_OTHER_FILE,
    MEMORY_ANONYMOUS, /* heap, stacks, .bss, locked memory */
    MEMORY_PARTS
};

struct memory_sample {
    struct memory_figures total;
    struct memory_figures part[MEMORY_PARTS];
};

extern const char *const memory_part_text[MEMORY_PARTS];

/* Fills *sample; ends the process with a message when /proc cannot be read. */
void memory_take(struct memory_sample *sample);

#endif
