#include "memory_scan.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, OVERLAP = 64 };
static const unsigned long most = 1UL << 30; /* bytes of a mapping: only a sanitizer's shadow is longer */

uint8_t memory_scan_byte(unsigned n, size_t i)
{
    uint64_t x = ((uint64_t)n << 32 | i) + 0x9E3779B97F4A7C15UL;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9UL;
    x = (x ^ x >> 27) * 0x94D049BB133111EBUL;
    return (uint8_t)(x >> 40);
}

static uint8_t text_byte(unsigned n, size_t i)
{
    return (uint8_t)("abcdefghijklmnopqrstuvwxyz0123456789"[memory_scan_byte(n, i) % 36]);
}

void memory_scan_needle(unsigned n, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = memory_scan_byte(n, i);
    }
}

void memory_scan_text(unsigned n, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = text_byte(n, i);
    }
}

void memory_scan_wipe(void *bytes, size_t len)
{
    explicit_bzero(bytes, len);
}

static bool is_at(const uint8_t *p, unsigned n, size_t len, bool text)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != (text ? text_byte(n, i) : memory_scan_byte(n, i))) {
            return false;
        }
    }
    return true;
}

struct scan {
    unsigned n;
    size_t len;
    bool text;
    int mem;
    uint8_t *buffer; /* CHUNK bytes, a mapping of its own */
    long hits;
    struct memory_scan_hit *hit;
};

static void scan_bytes(struct scan *s, uintptr_t at, size_t got, const char *line)
{
    const uint8_t first = s->text ? text_byte(s->n, 0) : memory_scan_byte(s->n, 0);
    const uint8_t *end = s->buffer + (got < s->len ? 0 : got - s->len + 1);
    const uint8_t *p = s->buffer;
    while ((p = memchr(p, first, (size_t)(end - p))) != NULL) {
        if (is_at(p, s->n, s->len, s->text) && s->hits++ == 0) {
            s->hit->at = at + (uintptr_t)(p - s->buffer);
            (void)snprintf(s->hit->mapping, sizeof s->hit->mapping, "%.120s", line);
        }
        p++;
    }
}

static void scan_mapping(struct scan *s, uintptr_t from, uintptr_t to, const char *line)
{
    const uintptr_t own = (uintptr_t)s->buffer;
    for (uintptr_t at = from; at < to; at += CHUNK - OVERLAP) {
        size_t want = to - at < CHUNK ? to - at : CHUNK;
        if (at < own + CHUNK &&
            own < at + want) { /* the kernel may have joined the buffer with a neighbour */
            want = at < own ? own - at : 0;
        }
        ssize_t got = want == 0 ? 0 : pread(s->mem, s->buffer, want, (off_t)at);
        if (got > 0) {
            scan_bytes(s, at, (size_t)got, line);
        }
    }
    memory_scan_wipe(s->buffer, CHUNK);
}

long memory_scan(unsigned n, size_t len, bool text, struct memory_scan_hit *hit)
{
    struct scan s = {.n = n, .len = len, .text = text, .hit = hit, .hits = 0};
    char line[512];
    *hit = (struct memory_scan_hit){0};
    s.buffer = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    s.mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    FILE *maps = fopen("/proc/self/maps", "re");
    if (s.buffer == MAP_FAILED || s.mem < 0 || maps == NULL) {
        return -1;
    }
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from = 0;
        unsigned long to = 0;
        char rights[8] = "";
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) == 3 && rights[0] == 'r' && to - from < most &&
            strstr(line, "[v") == NULL) {
            scan_mapping(&s, from, to, line);
        }
    }
    (void)fclose(maps);
    (void)close(s.mem);
    (void)munmap(s.buffer, CHUNK);
    return s.hits;
}

const char *memory_scan_flags(uintptr_t at)
{
    static char line[512];
    bool inside = false;
    FILE *smaps = fopen("/proc/self/smaps", "re");
    while (smaps != NULL && fgets(line, sizeof line, smaps) != NULL) {
        unsigned long from = 0;
        unsigned long to = 0;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
            inside = from <= at && at < to;
        } else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            (void)fclose(smaps);
            return line;
        }
    }
    if (smaps != NULL) {
        (void)fclose(smaps);
    }
    line[0] = '\0';
    return line;
}
