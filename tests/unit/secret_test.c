/* secret_test.c: memory of PINs and keys: locked, not dumped, zero in a child, wiped. */
#include "secret.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "scratch.h"

/* One length for each way of allocating: a cell, the largest cell and above it, pages, the most. */
static const size_t lengths[] = {1, 32, 100, 104, 105, 128, 129, 4096, 16384, KW_SECRET_MAX};
enum { LENGTHS = sizeof lengths / sizeof lengths[0] };

static bool all_zero(const unsigned char *bytes, size_t len)
{
    size_t i = 0;
    while (i < len && bytes[i] == 0) {
        i++;
    }
    return i == len;
}

static struct kw_secret *new_secret(size_t len)
{
    struct kw_secret *s = NULL;
    CU_ASSERT_FATAL(kw_ok(kw_secret_new(len, &s)));
    CU_ASSERT_FATAL(s != NULL);
    return s;
}

static void new_ones_are_zero_and_writable(void)
{
    for (size_t i = 0; i < LENGTHS; i++) {
        for (int round = 0; round < 2; round++) { /* the second gets what the first gave back */
            struct kw_secret *s = new_secret(lengths[i]);
            CU_ASSERT_EQUAL(kw_secret_len(s), lengths[i]);
            CU_ASSERT_PTR_EQUAL(kw_secret_peek(s), kw_secret_bytes(s));
            CU_ASSERT(all_zero(kw_secret_peek(s), lengths[i]));
            memset(kw_secret_bytes(s), 0xA5, lengths[i]);
            kw_secret_free(s);
        }
    }
    CU_ASSERT_EQUAL(kw_secret_alive(), 0);
}

static void copies_are_equal(void)
{
    unsigned char bytes[300];
    struct kw_secret *s = NULL;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(i * 31 + 1);
    }
    for (size_t len = 0; len <= sizeof bytes; len += 50) {
        CU_ASSERT_FATAL(kw_ok(kw_secret_dup(bytes, len, &s)));
        CU_ASSERT_EQUAL(kw_secret_len(s), len);
        CU_ASSERT_TRUE(kw_secret_equal(s, bytes, len));
        CU_ASSERT_FALSE(kw_secret_equal(s, bytes, len + 1));
        if (len > 0) {
            CU_ASSERT_FALSE(kw_secret_equal(s, bytes, len - 1));
            bytes[len - 1] ^= 1;
            CU_ASSERT_FALSE(kw_secret_equal(s, bytes, len));
            bytes[len - 1] ^= 1;
            bytes[0] ^= 0x80;
            CU_ASSERT_FALSE(kw_secret_equal(s, bytes, len));
            bytes[0] ^= 0x80;
        }
        kw_secret_free(s);
    }
    CU_ASSERT(kw_ok(kw_secret_dup(NULL, 0, &s)));
    CU_ASSERT_EQUAL(kw_secret_len(s), 0);
    CU_ASSERT_TRUE(kw_secret_equal(s, "", 0));
    kw_secret_free(s);
}

static void null_is_answered(void)
{
    kw_secret_free(NULL);
    CU_ASSERT_PTR_NULL(kw_secret_bytes(NULL));
    CU_ASSERT_PTR_NULL(kw_secret_peek(NULL));
    CU_ASSERT_EQUAL(kw_secret_len(NULL), 0);
    CU_ASSERT_FALSE(kw_secret_equal(NULL, "", 0));
}

static void shrinking_wipes_the_rest(void)
{
    for (size_t i = 0; i < LENGTHS; i++) {
        size_t len = lengths[i];
        struct kw_secret *s = new_secret(len);
        memset(kw_secret_bytes(s), 0xA5, len);
        kw_secret_shrink(s, len);
        CU_ASSERT_EQUAL(kw_secret_len(s), len);
        kw_secret_shrink(s, len / 2);
        CU_ASSERT_EQUAL(kw_secret_len(s), len / 2);
        CU_ASSERT(all_zero(kw_secret_peek(s) + len / 2, len - len / 2));
        CU_ASSERT(len / 2 == 0 || kw_secret_peek(s)[len / 2 - 1] == 0xA5);
        kw_secret_shrink(s, len); /* never grows */
        CU_ASSERT_EQUAL(kw_secret_len(s), len / 2);
        kw_secret_shrink(s, 0);
        CU_ASSERT_EQUAL(kw_secret_len(s), 0);
        kw_secret_free(s);
    }
}

enum { FLAGS_SIZE = 512 };

/* Whether the address is mapped; *flags are those of the mapping, as in proc(5): " rd wr mr ... ". */
static bool mapping_of(const void *address, char flags[FLAGS_SIZE])
{
    char line[FLAGS_SIZE];
    bool inside = false;
    bool found = false;
    FILE *maps = fopen("/proc/self/smaps", "re");
    CU_ASSERT_FATAL(maps != NULL);
    flags[0] = '\0';
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from = 0;
        unsigned long to = 0;
        if (scratch_mapping(line, &from, &to)) {
            inside = from <= (uintptr_t)address && (uintptr_t)address < to;
            found = found || inside;
        } else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            (void)snprintf(flags, FLAGS_SIZE, "%s", line + 8);
        }
    }
    (void)fclose(maps);
    return found;
}

/* Whether mlock(2) reaches the kernel: the sanitizers' run time replaces it by one that does nothing. */
static bool mlock_is_real(void)
{
    char flags[FLAGS_SIZE] = "";
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_FATAL(page != MAP_FAILED && mlock(page, 4096) == 0);
    bool real = mapping_of(page, flags) && strstr(flags, " lo ") != NULL;
    (void)munmap(page, 4096);
    return real;
}

static void free_wipes(void)
{
    for (size_t i = 0; i < LENGTHS; i++) {
        size_t len = lengths[i];
        struct kw_secret *s = new_secret(len);
        uintptr_t first = (uintptr_t)kw_secret_bytes(s);
        uintptr_t last = first + len - 1;
        char flags[FLAGS_SIZE];
        memset(kw_secret_bytes(s), 0xA5, len);
        kw_secret_free(s);
        /* Either the kernel has the pages back (new ones are zero), or they are zero here. */
        if (mapping_of((const void *)first, flags)) {
            CU_ASSERT(mapping_of((const void *)last, flags));
            CU_ASSERT(all_zero((const unsigned char *)first, len));
        }
    }
}

static void memory_is_locked_not_dumped_and_not_inherited(void)
{
    static const char *const wanted[] = {" dd ", " wf ", " lo "};
    size_t count = mlock_is_real() ? 3 : 2;
    for (size_t i = 0; i < LENGTHS; i++) {
        char flags[FLAGS_SIZE];
        struct kw_secret *s = new_secret(lengths[i]);
        for (size_t end = 0; end < 2; end++) {
            CU_ASSERT(mapping_of(kw_secret_peek(s) + end * (lengths[i] - 1), flags));
            for (size_t j = 0; j < count; j++) {
                if (strstr(flags, wanted[j]) == NULL) {
                    (void)printf("\n    %zu bytes: flags%s", lengths[i], flags);
                }
                CU_ASSERT(strstr(flags, wanted[j]) != NULL);
            }
        }
        kw_secret_free(s);
    }
}

/* Runs `in_child` in a forked child; its exit status. */
static int in_a_child(int (*in_child)(void *data), void *data)
{
    (void)fflush(NULL);
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        (void)alarm(30);
        _exit(in_child(data));
    }
    int status = -1;
    CU_ASSERT_FATAL(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int child_sees_zeros(void *data)
{
    struct kw_secret **kept = data;
    /* The length lies in the wiped memory too: the parent's knowledge counts. */
    for (size_t i = 0; i < LENGTHS; i++) {
        if (!all_zero(kw_secret_peek(kept[i]), lengths[i])) {
            return 1;
        }
    }
    kw_secret_forked();
    if (kw_secret_alive() != 0) {
        return 2;
    }
    for (size_t i = 0; i < LENGTHS; i++) {
        struct kw_secret *s = NULL;
        if (!kw_ok(kw_secret_new(lengths[i], &s)) || s == kept[i]) {
            return 3;
        }
        memset(kw_secret_bytes(s), 0x5A, lengths[i]);
        kw_secret_free(s);
    }
    return kw_secret_alive() == 0 ? 0 : 4;
}

static void a_child_inherits_zeros(void)
{
    struct kw_secret *kept[LENGTHS];
    for (size_t i = 0; i < LENGTHS; i++) {
        kept[i] = new_secret(lengths[i]);
        memset(kw_secret_bytes(kept[i]), 0xA5, lengths[i]);
    }
    CU_ASSERT_EQUAL(in_a_child(child_sees_zeros, kept), 0);
    for (size_t i = 0; i < LENGTHS; i++) { /* the parent is unharmed */
        CU_ASSERT_EQUAL(kw_secret_len(kept[i]), lengths[i]);
        CU_ASSERT_EQUAL(kw_secret_peek(kept[i])[0], 0xA5);
        CU_ASSERT_EQUAL(kw_secret_peek(kept[i])[lengths[i] - 1], 0xA5);
        kw_secret_free(kept[i]);
    }
    CU_ASSERT_EQUAL(kw_secret_alive(), 0);
}

static int child_may_not_lock(void *data)
{
    static const struct rlimit none = {0, 0};
    struct kw_secret *s = NULL;
    (void)data;
    kw_secret_forked(); /* no arena of the parent's is left to hand out */
    /* Root has CAP_IPC_LOCK, which does not know the limit. */
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && setuid(65534) != 0)) {
        return 1;
    }
    for (size_t i = 0; i < LENGTHS; i++) {
        struct kw_rv r = kw_secret_new(lengths[i], &s);
        if (r.code != CKR_HOST_MEMORY || s != NULL || strstr(r.why, "ulimit -l") == NULL) {
            return 2;
        }
        r = kw_secret_dup("1234", 4, &s);
        if (r.code != CKR_HOST_MEMORY || s != NULL) {
            return 3;
        }
    }
    return kw_secret_alive() == 0 ? 0 : 4;
}

static void memory_that_cannot_be_locked_is_not_used(void)
{
    if (mlock_is_real()) {
        CU_ASSERT_EQUAL(in_a_child(child_may_not_lock, NULL), 0);
    }
}

static void too_much_is_refused(void)
{
    static const size_t too_much[] = {KW_SECRET_MAX + 1, 1UL << 31, 1UL << 63, SIZE_MAX - 7, SIZE_MAX};
    for (size_t i = 0; i < sizeof too_much / sizeof too_much[0]; i++) {
        struct kw_secret *s = NULL;
        CU_ASSERT_EQUAL(kw_secret_new(too_much[i], &s).code, CKR_HOST_MEMORY);
        CU_ASSERT_EQUAL(kw_secret_dup("x", too_much[i], &s).code, CKR_HOST_MEMORY);
        CU_ASSERT_PTR_NULL(s);
    }
    CU_ASSERT_EQUAL(kw_secret_alive(), 0);
}

/* Many at once: none overlaps another, whatever order they go in. */
static void many_do_not_overlap(void)
{
    enum { MANY = 1000 };
    static struct kw_secret *all[MANY];
    for (size_t i = 0; i < MANY; i++) {
        all[i] = new_secret(1 + i * 7 % 200);
        memset(kw_secret_bytes(all[i]), (int)(i % 251 + 1), kw_secret_len(all[i]));
    }
    CU_ASSERT_EQUAL(kw_secret_alive(), MANY);
    for (size_t i = 0; i < MANY; i += 3) { /* holes */
        kw_secret_free(all[i]);
        all[i] = NULL;
    }
    for (size_t i = 0; i < MANY; i += 3) { /* filled again */
        all[i] = new_secret(1 + i * 7 % 200);
        CU_ASSERT(all_zero(kw_secret_peek(all[i]), kw_secret_len(all[i])));
        memset(kw_secret_bytes(all[i]), (int)(i % 251 + 1), kw_secret_len(all[i]));
    }
    size_t good = 0;
    for (size_t n = 0; n < MANY; n++) {
        size_t i = n * 7 % MANY; /* 7 and 1000 have no common factor */
        size_t len = 1 + i * 7 % 200;
        size_t same = 0;
        while (same < len && kw_secret_peek(all[i])[same] == i % 251 + 1) {
            same++;
        }
        good += kw_secret_len(all[i]) == len && same == len;
        kw_secret_free(all[i]);
    }
    CU_ASSERT_EQUAL(good, MANY);
    CU_ASSERT_EQUAL(kw_secret_alive(), 0);
}

static void *make_and_drop(void *data)
{
    size_t number = *(size_t *)data;
    size_t bad = 0;
    for (size_t i = 0; i < 2000; i++) {
        struct kw_secret *s = NULL;
        size_t len = (i % 50) == 0 ? 5000 : 32;
        if (!kw_ok(kw_secret_new(len, &s))) {
            bad++;
            continue;
        }
        bad += !all_zero(kw_secret_peek(s), len);
        memset(kw_secret_bytes(s), (int)number + 1, len);
        bad += kw_secret_peek(s)[0] != number + 1 || kw_secret_peek(s)[len - 1] != number + 1;
        kw_secret_free(s);
    }
    *(size_t *)data = bad;
    return NULL;
}

static void threads_do_not_meet(void)
{
    pthread_t threads[4];
    size_t results[4];
    for (size_t i = 0; i < 4; i++) {
        results[i] = i;
        CU_ASSERT_FATAL(pthread_create(&threads[i], NULL, make_and_drop, &results[i]) == 0);
    }
    for (size_t i = 0; i < 4; i++) {
        CU_ASSERT(pthread_join(threads[i], NULL) == 0);
        CU_ASSERT_EQUAL(results[i], 0);
    }
    CU_ASSERT_EQUAL(kw_secret_alive(), 0);
}

int main(void)
{
    static CU_TestInfo bytes[] = {
        {"new ones are zero and writable", new_ones_are_zero_and_writable},
        {"copies are equal, and to nothing else", copies_are_equal},
        {"NULL is answered", null_is_answered},
        {"shrinking wipes the rest", shrinking_wipes_the_rest},
        {"too much is refused", too_much_is_refused},
        {"many do not overlap", many_do_not_overlap},
        {"threads do not meet", threads_do_not_meet},
        CU_TEST_INFO_NULL,
    };
    static CU_TestInfo memory[] = {
        {"free wipes", free_wipes},
        {"memory is locked, not dumped, not inherited", memory_is_locked_not_dumped_and_not_inherited},
        {"a child inherits zeros and starts afresh", a_child_inherits_zeros},
        {"memory that cannot be locked is not used", memory_that_cannot_be_locked_is_not_used},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {
        {"secret: bytes", NULL, NULL, NULL, NULL, bytes},
        {"secret: memory", NULL, NULL, NULL, NULL, memory},
        CU_SUITE_INFO_NULL,
    };
    return scratch_run(suites);
}
