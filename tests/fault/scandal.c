#include "scandal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

const CK_RV scandal_codes[] = {
#define KW_ERROR(code, class) code,
#include "errors.def"
#undef KW_ERROR
    0x1234,               /* of no version of the standard */
    CKR_VENDOR_DEFINED | 0x99,
    0xFFFFFFFFFFFFFFFF,   /* caml-crush */
};
const size_t scandal_code_count = sizeof scandal_codes / sizeof scandal_codes[0];

static const char *const names[] = {
#define COUNTED(name, parameters, arguments) #name,
#include "counting.def"
#undef COUNTED
};

const char *scandal_name(enum faulty_function function)
{
    return function < FAULTY_FUNCTIONS ? names[function] : "any";
}

double scandal_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

const char *scandal_prepare(struct faulty_control **control)
{
    char path[64];
    int fd = memfd_create("faulty", 0); /* not closed on exec: the path goes through /proc of this process */
    void *map = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)sizeof **control) == 0) {
        map = mmap(NULL, sizeof **control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), fd);
    if (map == MAP_FAILED || setenv("FAULTY_CONTROL", path, 1) != 0) {
        perror("scandal: the control memory");
        return NULL;
    }
    *control = map;
    return FAULTY_PATH;
}

struct faulty_rule *scandal_arm(struct faulty_control *control, const struct scandal *s)
{
    struct faulty_rule *r = control->rules;
    while (r < control->rules + FAULTY_RULES && atomic_load(&r->armed) != 0) {
        r++;
    }
    if (r == control->rules + FAULTY_RULES) {
        (void)fputs("scandal: no rule is free\n", stderr);
        abort();
    }
    r->function = (unsigned)s->function;
    r->act = (unsigned)s->act;
    r->value = s->value;
    r->skip = s->skip;
    r->times = s->times;
    (void)snprintf(r->token, sizeof r->token, "%s", s->token == NULL ? "" : s->token);
    atomic_store(&r->seen, 0);
    atomic_store(&r->acted, 0);
    atomic_store(&r->armed, 1);
    return r;
}

void scandal_clear(struct faulty_control *control)
{
    for (size_t i = 0; i < FAULTY_RULES; i++) {
        atomic_store(&control->rules[i].armed, 0);
    }
}
