#include "region.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { GUARD = 4096 };

static unsigned char *regions[REGION_COUNT];

bool region_init(void)
{
    for (size_t i = 0; i < REGION_COUNT; i++) {
        void *p = mmap(NULL, REGION_MAX + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
            return false;
        }
        regions[i] = p;
        if (mprotect(regions[i] + REGION_MAX, GUARD, PROT_NONE) != 0) {
            return false;
        }
    }
    return true;
}

void *region_take(size_t len)
{
    static size_t turn;
    if (len > REGION_MAX) {
        abort();
    }
    unsigned char *p = regions[turn++ % REGION_COUNT] + REGION_MAX - len;
    memset(p, REGION_FILL, len);
    return p;
}

bool region_untouched(const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < len; i++) {
        if (p[i] != REGION_FILL) {
            return false;
        }
    }
    return true;
}
