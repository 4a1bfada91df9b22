#include "shortage.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>
#include <unwind.h>

enum { DEPTH = 32, BLOCKS = 1 << 16, KEPT = 12 };

/* Where the code of those is who matter. */
static struct range {
    const char *name;
    unsigned whose;
    uintptr_t from, to;
} ranges[] = {
    {NULL, SHORTAGE_MODULE, 0, 0}, /* its name is find's */
    {"libcrypto.so", SHORTAGE_CRYPTO, 0, 0},
    {"libc.so", SHORTAGE_LIBRARIES, 0, 0},
    {"libp11-kit.so", SHORTAGE_P11_KIT, 0, 0},
    {"libinih.so", SHORTAGE_LIBRARIES, 0, 0},
    {"ld-linux", SHORTAGE_LOADER, 0, 0},
};
enum { RANGES = sizeof ranges / sizeof ranges[0] };

static atomic_bool armed;
static struct shortage choice;
static struct counts {
    atomic_ulong asked, failed;
} own_counts, *counts = &own_counts; /* find makes them common to all processes */
static __thread unsigned long failed_here;
static __thread bool busy; /* the unwinder may ask for memory itself */
static __thread bool spared;
static struct shortage_notes *notes;

/* Who asks. */

struct walk {
    unsigned whose; /* 0: not for Keyward */
    unsigned skip, count;
    bool inside; /* frames of Keyward were seen; ends behind them */
    uintptr_t frames[DEPTH];
};
static __thread struct walk asker; /* of the call at hand */
static __thread unsigned asker_whose;
static struct walk loser; /* the last that failed */

static const struct range *range_of(uintptr_t p)
{
    for (size_t i = 0; i < RANGES; i++) {
        if (p >= ranges[i].from && p < ranges[i].to) {
            return &ranges[i];
        }
    }
    return NULL;
}

static _Unwind_Reason_Code see_frame(struct _Unwind_Context *context, void *data)
{
    struct walk *w = data;
    uintptr_t p = _Unwind_GetIP(context);
    if (w->skip > 0) {
        w->skip--;
        return _URC_NO_REASON;
    }
    const struct range *r = range_of(p);
    bool keyward = r != NULL && r->whose == SHORTAGE_MODULE;
    if (r != NULL && (w->whose == 0 || (!w->inside && r->whose > SHORTAGE_ALL))) {
        w->whose = r->whose; /* the innermost, but libc asks for libp11-kit and the loader, too */
    }
    if (!keyward && (r == NULL || w->inside)) {
        return _URC_END_OF_STACK;
    }
    w->inside |= keyward;
    if (w->count < DEPTH) {
        w->frames[w->count++] = p - r->from;
    }
    return _URC_NO_REASON;
}

/* The frames from the one that called the interposed function, which called this. */
static __attribute__((noinline)) unsigned who_asks(struct walk *w)
{
    busy = true;
    w->skip = 3; /* this one, asks_in_vain, and the interposed function */
    (void)_Unwind_Backtrace(see_frame, w);
    busy = false;
    return w->inside ? w->whose : 0;
}

static unsigned long long hash_of(const struct walk *w)
{
    unsigned long long h = 1469598103934665603ULL;
    for (unsigned i = 0; i < w->count; i++) {
        h = (h ^ w->frames[i]) * 1099511628211ULL;
    }
    return h;
}

static void note_site(unsigned long long hash)
{
    struct shortage_site *s = notes->sites;
    size_t i = 0;
    while (i < notes->count && s[i].hash != hash) {
        i++;
    }
    if (i == notes->count) {
        if (i == notes->most) {
            return;
        }
        s[notes->count++] = (struct shortage_site){.hash = hash, .first = notes->part};
    }
    s[i].times = s[i].last == notes->part ? s[i].times + 1 : 1;
    s[i].last = notes->part;
}

static bool is_chosen(unsigned long number)
{
    if (choice.seed == 0) {
        return number == choice.at;
    }
    unsigned long long x = (choice.seed + number) * 0x9E3779B97F4A7C15ULL; /* splitmix64: threads need no order */
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    return (x ^ (x >> 31)) % choice.one_in == 0;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool tracking;

/* Whether this one does not get what it asks for. */
static __attribute__((noinline)) bool asks_in_vain(void)
{
    bool is_armed = atomic_load(&armed);
    if (busy) {
        return false;
    }
    asker_whose = 0;
    if (spared || (!is_armed && !atomic_load(&tracking))) {
        return false;
    }
    asker = (struct walk){0};
    asker_whose = who_asks(&asker);
    if (!is_armed || (asker_whose & choice.whose) == 0) {
        return false;
    }
    if (notes != NULL) {
        (void)pthread_mutex_lock(&lock);
        note_site(hash_of(&asker));
        (void)pthread_mutex_unlock(&lock);
    }
    if ((choice.site != 0 && hash_of(&asker) != choice.site) || !is_chosen(atomic_fetch_add(&counts->asked, 1) + 1)) {
        return false;
    }
    (void)atomic_fetch_add(&counts->failed, 1);
    failed_here++;
    loser = asker;
    return true;
}

/* What Keyward has: an open table of blocks, by address. OpenSSL's own are not looked at: it keeps some for each thread. */

static struct block {
    uintptr_t at;
    uintptr_t frames[KEPT];
} blocks[BLOCKS];
static size_t live;
enum { GONE = 1 };

static size_t slot_of(uintptr_t p)
{
    return (size_t)((p >> 4) * 0x9E3779B97F4A7C15ULL >> 48) % BLOCKS;
}

/* After asks_in_vain, by the same caller. */
static void remember(const void *p)
{
    if (busy || p == NULL || !atomic_load(&tracking) || (asker_whose & (SHORTAGE_MODULE | SHORTAGE_LIBRARIES)) == 0) {
        return;
    }
    (void)pthread_mutex_lock(&lock);
    for (size_t i = slot_of((uintptr_t)p), n = 0; n < BLOCKS; i = (i + 1) % BLOCKS, n++) {
        if (blocks[i].at <= GONE) {
            blocks[i].at = (uintptr_t)p;
            for (unsigned k = 0; k < KEPT; k++) {
                blocks[i].frames[k] = k < asker.count ? asker.frames[k] : 0;
            }
            live++;
            break;
        }
    }
    (void)pthread_mutex_unlock(&lock);
}

static void forget(const void *p)
{
    if (p == NULL || !atomic_load(&tracking)) {
        return;
    }
    (void)pthread_mutex_lock(&lock);
    for (size_t i = slot_of((uintptr_t)p), n = 0; n < BLOCKS && blocks[i].at != 0; i = (i + 1) % BLOCKS, n++) {
        if (blocks[i].at == (uintptr_t)p) {
            blocks[i].at = GONE;
            live--;
            break;
        }
    }
    (void)pthread_mutex_unlock(&lock);
}

/* glibc's own names for what these stand before: no dlsym, which allocates. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *p);

#define NEXT(real, name)                                      \
    if ((real) == NULL) {                                     \
        *(void **)(void *)&(real) = dlsym(RTLD_NEXT, (name)); \
    }

#pragma GCC visibility push(default)

/* As libc tells of it. */
static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

void *malloc(size_t size)
{
    void *p = asks_in_vain() ? no_memory() : __libc_malloc(size);
    remember(p);
    return p;
}

void *calloc(size_t count, size_t size)
{
    void *p = asks_in_vain() ? no_memory() : __libc_calloc(count, size);
    remember(p);
    return p;
}

void *realloc(void *old, size_t size)
{
    if (asks_in_vain()) {
        return no_memory();
    }
    forget(old);
    void *p = __libc_realloc(old, size);
    remember(p);
    return p;
}

void *reallocarray(void *old, size_t count, size_t size)
{
    size_t bytes = 0;
    if (asks_in_vain() || __builtin_mul_overflow(count, size, &bytes)) {
        return no_memory();
    }
    forget(old);
    void *p = __libc_realloc(old, bytes);
    remember(p);
    return p;
}

void free(void *p)
{
    forget(p);
    __libc_free(p);
}

int mlock(const void *start, size_t len)
{
    static int (*real)(const void *, size_t);
    NEXT(real, "mlock")
    errno = ENOMEM;
    return asks_in_vain() ? -1 : real(start, len);
}

int madvise(void *start, size_t len, int advice)
{
    static int (*real)(void *, size_t, int);
    NEXT(real, "madvise")
    errno = ENOMEM;
    return asks_in_vain() ? -1 : real(start, len, advice);
}

void *mmap(void *start, size_t len, int protection, int flags, int fd, off_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off_t);
    NEXT(real, "mmap")
    errno = ENOMEM;
    void *p = asks_in_vain() ? MAP_FAILED : real(start, len, protection, flags, fd, offset);
    if (p != MAP_FAILED) {
        remember(p);
    }
    return p;
}

int munmap(void *start, size_t len)
{
    static int (*real)(void *, size_t);
    NEXT(real, "munmap")
    forget(start);
    return real(start, len);
}

int open(const char *path, int flags, ...)
{
    static int (*real)(const char *, int, ...);
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    NEXT(real, "open")
    errno = EMFILE;
    return asks_in_vain() ? -1 : real(path, flags, mode);
}

ssize_t read(int fd, void *out, size_t len)
{
    static ssize_t (*real)(int, void *, size_t);
    NEXT(real, "read")
    errno = EIO;
    return asks_in_vain() ? -1 : real(fd, out, len);
}

ssize_t getrandom(void *out, size_t len, unsigned flags)
{
    static ssize_t (*real)(void *, size_t, unsigned);
    NEXT(real, "getrandom")
    errno = ENOSYS;
    return asks_in_vain() ? -1 : real(out, len, flags);
}

#pragma GCC visibility pop

/* What the tests call. */

static int see_library(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    (void)data;
    for (size_t i = 0; i < RANGES; i++) {
        const char *base = strrchr(info->dlpi_name, '/');
        base = base == NULL ? info->dlpi_name : base + 1;
        if (strncmp(base, ranges[i].name, strlen(ranges[i].name)) != 0) {
            continue;
        }
        ranges[i].from = UINTPTR_MAX;
        for (int k = 0; k < info->dlpi_phnum; k++) {
            if (info->dlpi_phdr[k].p_type == PT_LOAD) {
                uintptr_t from = info->dlpi_addr + info->dlpi_phdr[k].p_vaddr;
                ranges[i].from = from < ranges[i].from ? from : ranges[i].from;
                ranges[i].to = from + info->dlpi_phdr[k].p_memsz;
            }
        }
    }
    return 0;
}

/* OpenSSL makes what the whole process shares at first use, and not again when that failed once: then SoftHSM fails, too. That is not Keyward's. */
static void warm_openssl(void)
{
    int (*random_bytes)(unsigned char *, int) = NULL;
    unsigned char byte = 0;
    void *crypto = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_NOLOAD);
    if (crypto != NULL) {
        *(void **)(void *)&random_bytes = dlsym(crypto, "RAND_bytes");
    }
    if (random_bytes == NULL || random_bytes(&byte, 1) != 1) {
        (void)fputs("shortage: no libcrypto.so.3\n", stderr);
    }
}

static void take_lock(void)
{
    (void)pthread_mutex_lock(&lock);
}

static void leave_lock(void)
{
    (void)pthread_mutex_unlock(&lock);
}

/* Before Keyward's own handlers are there: at fork(2) they come first, and wait for threads that may want the lock. */
static __attribute__((constructor)) void guard_forks(void)
{
    (void)pthread_atfork(take_lock, leave_lock, leave_lock);
}

static bool find(const char *module)
{
    if (counts == &own_counts) {
        struct counts *common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        counts = common != MAP_FAILED ? common : counts;
    }
    warm_openssl();
    const char *base = strrchr(module, '/');
    ranges[0].name = base == NULL ? module : base + 1;
    (void)dl_iterate_phdr(see_library, NULL);
    return ranges[0].to != 0;
}

static void arm(const struct shortage *s)
{
    choice = *s;
    atomic_store(&counts->asked, 0);
    atomic_store(&counts->failed, 0);
    atomic_store(&armed, true);
}

static void disarm(void)
{
    atomic_store(&armed, false);
    notes = NULL;
}

static void spare(bool yes)
{
    spared = yes;
}

static void note(struct shortage_notes *n)
{
    notes = n;
}

static unsigned long get_failed(void)
{
    return atomic_load(&counts->failed);
}

static unsigned long get_failed_here(void)
{
    return failed_here;
}

static size_t get_live(void)
{
    return live;
}

static void track(void)
{
    atomic_store(&tracking, true);
}

static void tell(const char *what, const uintptr_t *frames, unsigned count)
{
    (void)printf("    %s, from", what);
    for (unsigned k = 0; k < count && frames[k] != 0; k++) {
        (void)printf(" 0x%lx", (unsigned long)frames[k]);
    }
    (void)printf(" (offsets in Keyward, or in the library that asks for it)\n");
}

static void tell_live(void)
{
    atomic_store(&tracking, false);
    for (size_t i = 0; i < BLOCKS; i++) {
        if (blocks[i].at > GONE) {
            tell("not given back", blocks[i].frames, KEPT);
        }
    }
}

static void tell_failed(void)
{
    tell("failed", loser.frames, loser.count);
}

const struct shortage_functions shortage_so __attribute__((visibility("default"))) = {
    find, arm, disarm, spare, get_failed, get_failed_here, note, get_live, track, tell_live, tell_failed,
};
