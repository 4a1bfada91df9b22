#include "scarcity.h"

#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
char *__wrap_strdup(const char *text);

static bool armed;
static bool failed;
static unsigned left;

void scarcity_arm(unsigned nth)
{
    armed = true;
    failed = false;
    left = nth;
}

bool scarcity_disarm(void)
{
    armed = false;
    return failed;
}

static bool now(void)
{
    if (!armed || failed) {
        return false;
    }
    failed = left-- == 0;
    return failed;
}

void *__wrap_malloc(size_t size)
{
    return now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return now() ? NULL : __real_calloc(count, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return now() ? NULL : __real_reallocarray(old, count, size);
}

char *__wrap_strdup(const char *text)
{
    return now() ? NULL : __real_strdup(text);
}
