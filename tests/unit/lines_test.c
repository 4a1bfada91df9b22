/* lines_test.c: what `rewrap` does with text before any token is asked: base64 and hex, columns, lines, and their order through several threads. */
#include <CUnit/Basic.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "column.h"
#include "encoding.h"
#include "feed.h"
#include "file.h"
#include "scratch.h"
#include "window.h"

#define TEXT(s) ((const unsigned char *)(s)), (sizeof(s) - 1)

static void a_value_is_written_as_it_was_found(void)
{
    static const char *const texts[] = {
        "S1dFMQEBACg=", "S1dFMQEBACg", "S1dFMQEBACj7+//+", "S1dFMQEBACj7-__-", "S1dFMQEBACj7-w", "4b57453101010028ff",
        "4B57453101010028FF", "\\x4b57453101", "\\\\x4b57453101", "0x4B57453101AB",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const unsigned char *text = (const unsigned char *)texts[i];
        size_t len = strlen(texts[i]);
        struct encoding form;
        uint8_t bytes[64];
        unsigned char out[160];
        size_t count = 60;
        const char *why = encoding_read(text, len, &form, bytes, &count);
        CU_ASSERT_PTR_NULL(why);
        CU_ASSERT(count >= 4 && memcmp(bytes, "KWE1", 4) == 0);
        size_t written = encoding_write(&form, bytes, count, out);
        bool same = why == NULL && written + form.lead == len && memcmp(out, text + form.lead, written) == 0;
        if (!same) {
            (void)fprintf(stderr, "%s came back as %.*s\n", texts[i], (int)written, (const char *)out);
        }
        CU_ASSERT_TRUE(same);
        CU_ASSERT(encoding_room(count) >= written);
    }
}

static void every_length_comes_back(void)
{
    uint8_t bytes[100];
    uint8_t back[103];
    unsigned char text[260];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 37 + 251);
    }
    for (size_t len = 1; len <= sizeof bytes; len++) {
        for (unsigned form = 0; form < 8; form++) {
            const struct encoding want = {form >= 4, form & 1, form & 1, form & 2 ? ENCODING_URL : ENCODING_STANDARD, 0};
            struct encoding got;
            size_t count = 100;
            size_t written = encoding_write(&want, bytes, len, text);
            CU_ASSERT_PTR_NULL(encoding_read(text, written, &got, back, &count));
            CU_ASSERT(count == len && memcmp(bytes, back, len) == 0);
        }
    }
}

static void what_no_encoder_writes_is_refused(void)
{
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"", "empty"},
        {"S1dF!", "neither base64 nor hex"},
        {"S1dFM", "neither base64 nor hex"},
        {"S1dFMQ=", "neither base64 nor hex"},
        {"S1dFMQ===", "neither base64 nor hex"},
        {"S1dFMR==", "neither base64 nor hex"},
        {"S1dF+_AA", "neither base64 nor hex"},
        {"S1dF S1dF", "neither base64 nor hex"},
        {"====", "neither base64 nor hex"},
        {"\\x4b5", "begins like hex"},
        {"0x", "begins like hex"},
        {"4b57453101010028ffaabbcc", "longer"},
        {"S1dFMQEBACj7+//+AA==", "longer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct encoding form;
        uint8_t bytes[14];
        size_t count = 11;
        const char *why = encoding_read((const unsigned char *)cases[i].text, strlen(cases[i].text), &form, bytes, &count);
        bool good = why != NULL && strstr(why, cases[i].says) != NULL;
        if (!good) {
            (void)fprintf(stderr, "%s: %s\n", cases[i].text, why == NULL ? "taken" : why);
        }
        CU_ASSERT_TRUE(good);
    }
}

static void a_column_is_found(void)
{
    static const struct {
        const char *line;
        unsigned long number;
        char delimiter;
        const char *value; /* NULL: there is none */
    } cases[] = {
        {"abc", 0, ',', "abc"},
        {"  abc\t", 0, ',', "abc"},
        {"\"abc\"", 0, ',', "abc"},
        {"", 0, ',', ""},
        {"a,b,c", 1, ',', "a"},
        {"a,b,c", 2, ',', "b"},
        {"a,b,c", 3, ',', "c"},
        {"a,b,c", 4, ',', NULL},
        {"a,b,", 3, ',', ""},
        {"", 1, ',', ""},
        {"", 2, ',', NULL},
        {"a,\"b, with \"\"quotes\"\"\",c", 3, ',', "c"},
        {"\"x\ny\",b", 2, ',', "b"},
        {"a,\"b\",c", 2, ',', "b"},
        {"a,'b',c", 2, ',', "b"},
        {"a,\"b", 2, ',', NULL},
        {"a,\"b", 1, ',', "a"},
        {"\"a,b", 2, ',', NULL},
        {"a\t\"b\tc", 2, '\t', "\"b"},
        {"a\t\"b\tc", 3, '\t', "c"},
        {"5\" disk;b", 2, ';', "b"},
        {"a||b", 2, '|', ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct column c = {cases[i].number, (unsigned char)cases[i].delimiter};
        struct column_span s = {0, 0};
        const char *line = cases[i].line;
        const char *want = cases[i].value;
        const char *why = column_find(&c, (const unsigned char *)line, strlen(line), &s);
        bool good = want == NULL ? why != NULL
                                 : why == NULL && s.end - s.start == strlen(want) && memcmp(line + s.start, want, s.end - s.start) == 0;
        if (!good) {
            (void)fprintf(stderr, "column %lu of %s: %.*s\n", cases[i].number, line, (int)(s.end - s.start), line + s.start);
        }
        CU_ASSERT_TRUE(good);
    }
}

static int file_with(const void *bytes, size_t len)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    CU_ASSERT_FATAL(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static void lines_lose_no_byte(void)
{
    static const char input[] = "one\r\n\r\n\ntwo\0and a half\r\r\n\rthree\nlast";
    static const struct {
        size_t len;
        size_t end;
    } want[] = {{3, 2}, {0, 2}, {0, 1}, {15, 2}, {6, 1}, {4, 0}};
    struct feed f;
    struct batch b = {0};
    int fd = file_with(TEXT(input));
    feed_init(&f, fd);
    CU_ASSERT_EQUAL(f.size, sizeof input - 1);
    size_t lines = 0;
    size_t bytes = 0;
    while (feed_next(&f, &b) == FEED_MORE) {
        CU_ASSERT_EQUAL(b.first, lines + 1);
        CU_ASSERT(bytes + b.in.len < sizeof input && memcmp(b.in.at, input + bytes, b.in.len) == 0);
        bytes += b.in.len;
        for (size_t i = 0; i < b.count && lines < 6; i++, lines++) {
            CU_ASSERT_EQUAL(b.lines[i].len, want[lines].len);
            CU_ASSERT_EQUAL(b.lines[i].end_len, want[lines].end);
        }
    }
    CU_ASSERT_EQUAL(lines, 6);
    CU_ASSERT(f.ended && f.lines == 6 && f.bytes == sizeof input - 1 && bytes == sizeof input - 1);
    batch_clear(&b);
    feed_clear(&f);
    (void)close(fd);
}

static void a_long_line_is_whole_and_its_memory_is_given_back(void)
{
    enum { LONG = 5 * 1024 * 1024 };
    unsigned char *input = malloc(LONG + 8);
    if (input == NULL) {
        CU_FAIL_FATAL("no memory");
        return;
    }
    memset(input, 'x', LONG);
    memcpy(input + LONG, "\nshort\n", 7);
    struct feed f;
    struct batch b = {0};
    int fd = file_with(input, LONG + 7);
    feed_init(&f, fd);
    CU_ASSERT_EQUAL(feed_next(&f, &b), FEED_MORE);
    CU_ASSERT(b.lines[0].len == LONG && b.in.len >= LONG && memcmp(b.in.at, input, LONG) == 0);
    if (b.count == 1) {
        CU_ASSERT_EQUAL(feed_next(&f, &b), FEED_MORE);
    }
    CU_ASSERT_EQUAL(b.lines[b.count - 1].len, 5);
    batch_reset(&b);
    CU_ASSERT(b.in.room <= 256 * 1024);
    batch_clear(&b);
    feed_clear(&f);
    (void)close(fd);
    free(input);
}

static void an_input_that_cannot_be_read_is_told_from_its_end(void)
{
    struct feed f;
    struct batch b = {0};
    int fd = open("/", O_RDONLY | O_CLOEXEC);
    feed_init(&f, fd);
    CU_ASSERT_EQUAL(feed_next(&f, &b), FEED_UNREADABLE);
    batch_clear(&b);
    feed_clear(&f);
    (void)close(fd);
}

/* Writes what `arg` has, a little at a time and late, so that the reader finds nothing there. */
struct dribble {
    int fd;
    const char *text;
};

static void *dribble(void *arg)
{
    const struct dribble *d = arg;
    for (const char *p = d->text; *p != '\0'; p++) {
        (void)usleep(500);
        CU_ASSERT_TRUE(file_put(d->fd, (const unsigned char *)p, 1));
    }
    (void)close(d->fd);
    return NULL;
}

static void *put_all(void *arg)
{
    const struct dribble *d = arg;
    CU_ASSERT_TRUE(file_put(d->fd, (const unsigned char *)d->text, strlen(d->text)));
    (void)close(d->fd);
    return NULL;
}

static void a_pipe_that_does_not_block_is_waited_for(void)
{
    int ends[2];
    pthread_t thread;
    struct feed f;
    struct batch b = {0};
    char got[32] = "";
    CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    struct dribble d = {ends[1], "a first\nand a last"};
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, dribble, &d), 0);
    feed_init(&f, ends[0]);
    while (feed_next(&f, &b) == FEED_MORE) {
        (void)strncat(got, (const char *)b.in.at, b.in.len);
    }
    CU_ASSERT_STRING_EQUAL(got, d.text);
    CU_ASSERT_EQUAL(f.lines, 2);
    (void)pthread_join(thread, NULL);
    batch_clear(&b);
    feed_clear(&f);
    (void)close(ends[0]);
}

static void a_full_pipe_is_waited_for(void)
{
    enum { MUCH = 300000 };
    static unsigned char bytes[MUCH];
    int ends[2];
    pthread_t thread;
    struct feed f;
    struct batch b = {0};
    memset(bytes, 'x', sizeof bytes);
    CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    struct dribble d = {ends[1], (const char *)bytes};
    bytes[MUCH - 1] = '\0';
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, put_all, &d), 0);
    feed_init(&f, ends[0]);
    CU_ASSERT_EQUAL(feed_next(&f, &b), FEED_MORE);
    CU_ASSERT(b.count == 1 && b.lines[0].len == MUCH - 1);
    (void)pthread_join(thread, NULL);
    batch_clear(&b);
    feed_clear(&f);
    (void)close(ends[0]);
}

/* The roles of a window: numbers go in, each takes its own time, and they must come out in order. */
struct numbers {
    unsigned long long filled;
    unsigned long long last;
    unsigned long long given;
    unsigned long long stop_at; /* 0: never */
    unsigned pauses;
    bool in_order;
    bool all_alone;
};

static bool fill_number(void *arg, struct batch *b)
{
    struct numbers *n = arg;
    if (n->filled == n->last) {
        return false;
    }
    b->first = ++n->filled;
    b->out.len = 0;
    return true;
}

static void work_number(void *arg, struct batch *b)
{
    (void)arg;
    (void)usleep((useconds_t)(b->first * 7919 % 97));
    CU_ASSERT_TRUE(batch_add(&b->out, &b->first, sizeof b->first));
}

static bool give_number(void *arg, struct batch *b)
{
    struct numbers *n = arg;
    n->in_order = n->in_order && b->first == n->given + 1 && b->out.len == sizeof b->first && memcmp(b->out.at, &b->first, sizeof b->first) == 0;
    n->given++;
    return n->given != n->stop_at;
}

static bool pause_number(void *arg)
{
    const struct numbers *n = arg;
    return n->filled > 0 && n->filled % 50 == 0;
}

static bool alone_number(void *arg)
{
    struct numbers *n = arg;
    n->pauses++;
    n->all_alone = n->all_alone && n->given == n->filled;
    return true;
}

static void run_numbers(struct numbers *n, unsigned jobs)
{
    const struct window_roles roles = {fill_number, work_number, give_number, pause_number, alone_number, n};
    n->in_order = true;
    n->all_alone = true;
    CU_ASSERT_TRUE(window_run(&roles, jobs));
    CU_ASSERT_TRUE(n->in_order);
    CU_ASSERT_TRUE(n->all_alone);
}

static void batches_keep_their_order(void)
{
    for (unsigned jobs = 1; jobs <= 8; jobs++) {
        struct numbers n = {.last = 500};
        run_numbers(&n, jobs);
        CU_ASSERT_EQUAL(n.given, 500);
        CU_ASSERT_EQUAL(n.pauses, 10);
    }
}

static void a_window_stops_when_nothing_more_is_wanted(void)
{
    for (unsigned jobs = 1; jobs <= 8; jobs++) {
        struct numbers n = {.last = 100000, .stop_at = 75};
        run_numbers(&n, jobs);
        CU_ASSERT_EQUAL(n.given, 75);
        CU_ASSERT(n.filled < 75 + 64);
    }
}

int main(void)
{
    static CU_TestInfo tests[] = {
        {"a value is written as it was found", a_value_is_written_as_it_was_found},
        {"every length comes back", every_length_comes_back},
        {"what no encoder writes is refused", what_no_encoder_writes_is_refused},
        {"a column is found", a_column_is_found},
        {"lines lose no byte", lines_lose_no_byte},
        {"a long line is whole and its memory is given back", a_long_line_is_whole_and_its_memory_is_given_back},
        {"an input that cannot be read is told from its end", an_input_that_cannot_be_read_is_told_from_its_end},
        {"a pipe that does not block is waited for", a_pipe_that_does_not_block_is_waited_for},
        {"a full pipe is waited for", a_full_pipe_is_waited_for},
        {"batches keep their order", batches_keep_their_order},
        {"a window stops when nothing more is wanted", a_window_stops_when_nothing_more_is_wanted},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {
        {"lines", NULL, NULL, NULL, NULL, tests},
        CU_SUITE_INFO_NULL,
    };
    return scratch_run(suites);
}
