/* log_test.c: lines for the operator: where they go, what they look like, what cannot get into them. */
#include "log.h"

#include <errno.h>
#include <paths.h>
#include <pthread.h>
#include <regex.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>

#include "scratch.h"

/* "file:" and the path of the scratch file `name`. */
static const char *file_sink(const char *name)
{
    static char sink[PATH_MAX + 8];
    (void)snprintf(sink, sizeof sink, "file:%s", scratch_path(name));
    return sink;
}

/* The clock as log.c reads it. */

static time_t fake_time = -1;

time_t time(time_t *out)
{
    struct timespec now = {.tv_sec = fake_time};
    if (fake_time < 0) {
        (void)clock_gettime(CLOCK_REALTIME, &now);
    }
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}

static bool matches(const char *text, const char *pattern)
{
    regex_t compiled;
    CU_ASSERT_FATAL(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) == 0);
    bool found = regexec(&compiled, text, 0, NULL, 0) == 0;
    regfree(&compiled);
    if (!found) {
        (void)printf("\n    '%s' does not match '%s'", text, pattern);
    }
    return found;
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        n += *text == '\n';
    }
    return n;
}

/* Sends stderr to the scratch file `name` until restore_stderr gets what this returns. */
static int redirect_stderr(const char *name)
{
    int saved = dup(STDERR_FILENO);
    int fd = open(scratch_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CU_ASSERT_FATAL(saved >= 0 && fd >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
    (void)close(fd);
    return saved;
}

static void restore_stderr(int saved)
{
    CU_ASSERT_FATAL(dup2(saved, STDERR_FILENO) == STDERR_FILENO);
    (void)close(saved);
}

/* A syslog of the test's own: log.c's connect(2) to /dev/log ends up at this socket. */

static int syslog_socket = -1;

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    const struct sockaddr_un *local = (const struct sockaddr_un *)(const void *)address;
    struct sockaddr_un mine = {.sun_family = AF_UNIX};
    if (address->sa_family == AF_UNIX && strcmp(local->sun_path, _PATH_LOG) == 0) {
        (void)snprintf(mine.sun_path, sizeof mine.sun_path, "%.80s/devlog", scratch_folder);
        address = (const struct sockaddr *)&mine;
        size = sizeof mine;
    }
    return (int)syscall(SYS_connect, fd, address, size);
}

static void start_syslog(void)
{
    struct sockaddr_un mine = {.sun_family = AF_UNIX};
    (void)snprintf(mine.sun_path, sizeof mine.sun_path, "%.80s/devlog", scratch_folder);
    syslog_socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (syslog_socket < 0 || bind(syslog_socket, (const struct sockaddr *)&mine, sizeof mine) != 0) {
        perror("devlog");
        exit(2);
    }
}

/* The next record that syslog got, "" if none; storage of the next call too. */
static const char *next_record(void)
{
    static char record[2048];
    ssize_t n = recv(syslog_socket, record, sizeof record - 1, 0);
    record[n > 0 ? n : 0] = '\0';
    return record;
}

static void reset(void)
{
    (void)unsetenv("KEYWARD_LOG");
    (void)unsetenv("KEYWARD_LOG_LEVEL");
    (void)unlink(scratch_path("kw.log"));
    kw_log_close();
    while (next_record()[0] != '\0') {
        continue;
    }
}

static void line_has_time_pid_level_and_text(void)
{
    char pattern[256];
    reset();
    CU_ASSERT_FATAL(kw_ok(kw_log_open(file_sink("kw.log"))));
    kw_log(KW_LOG_WARNING, "token %s: %d tries", "eu-1", 3);
    (void)snprintf(pattern, sizeof pattern,
                   "^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]Z "
                   "keyward\\[%ld\\]: warning: token eu-1: 3 tries\n$",
                   (long)getpid());
    CU_ASSERT(matches(scratch_read("kw.log"), pattern));
    kw_log(KW_LOG_ERROR, "second");
    CU_ASSERT(matches(scratch_read("kw.log"), "\n.*: error: second\n$"));
}

static bool dated(time_t when)
{
    struct tm utc;
    char expect[64];
    CU_ASSERT_FATAL(gmtime_r(&when, &utc) != NULL);
    CU_ASSERT_FATAL(strftime(expect, sizeof expect, "%Y-%m-%dT%H:%M:%SZ ", &utc) > 0);
    reset();
    CU_ASSERT_FATAL(kw_ok(kw_log_open(file_sink("kw.log"))));
    fake_time = when;
    kw_log(KW_LOG_ERROR, "now");
    fake_time = -1;
    const char *got = scratch_read("kw.log");
    bool same = strncmp(got, expect, strlen(expect)) == 0;
    if (!same) {
        (void)printf("\n    got %.24s, not %s", got, expect);
    }
    return same;
}

static void dates_are_right(void)
{
    static const time_t borders[] = {
        0,          86399,      86400,      /* the first day */
        5097599,    5097600,                /* 1970-02-28 to 03-01: no leap year */
        951782400,  951868800,              /* 2000-02-29 and 03-01: a leap year though a century */
        1709164800, 1735603200, 1735689599, /* 2024-02-29, the last day of 2024 and its last second */
        4107542399, 4107542400,             /* 2100-02-28 to 03-01: a century, no leap year */
    };
    for (size_t i = 0; i < sizeof borders / sizeof borders[0]; i++) {
        CU_ASSERT(dated(borders[i]));
    }
    for (time_t t = 1; t < 5000000000; t += 40000003) {
        CU_ASSERT(dated(t));
    }
}

static void file_is_private_and_appended_to(void)
{
    struct stat info;
    reset();
    mode_t mask = umask(0);
    CU_ASSERT(kw_ok(kw_log_open(file_sink("kw.log"))));
    (void)umask(mask);
    kw_log(KW_LOG_ERROR, "one");
    kw_log_close();
    CU_ASSERT_FATAL(stat(scratch_path("kw.log"), &info) == 0);
    CU_ASSERT_EQUAL(info.st_mode & 07777, 0600);
    CU_ASSERT(kw_ok(kw_log_open(file_sink("kw.log"))));
    kw_log(KW_LOG_ERROR, "two");
    CU_ASSERT(matches(scratch_read("kw.log"), "error: one\n.*error: two\n$"));
    /* O_APPEND: a file that logrotate has cut is not left with a hole. */
    CU_ASSERT(truncate(scratch_path("kw.log"), 0) == 0);
    kw_log(KW_LOG_ERROR, "three");
    CU_ASSERT(matches(scratch_read("kw.log"), "^[^\n]*error: three\n$"));
}

/* KEYWARD_LOG_LEVEL, and how many of error, warning, info, debug are written. */
static const struct {
    const char *level;
    size_t lines;
} level_cases[] = {
    {NULL, 2}, {"", 2}, {"error", 1}, {"warning", 2}, {"info", 3}, {"debug", 4},
};

static void levels_filter(void)
{
    for (size_t i = 0; i < sizeof level_cases / sizeof level_cases[0]; i++) {
        reset();
        if (level_cases[i].level != NULL) {
            CU_ASSERT_FATAL(setenv("KEYWARD_LOG_LEVEL", level_cases[i].level, 1) == 0);
        }
        CU_ASSERT(kw_ok(kw_log_open(file_sink("kw.log"))));
        kw_log(KW_LOG_ERROR, "e");
        kw_log(KW_LOG_WARNING, "w");
        kw_log(KW_LOG_INFO, "i");
        kw_log(KW_LOG_DEBUG, "d");
        CU_ASSERT_EQUAL(count_lines(scratch_read("kw.log")), level_cases[i].lines);
    }
    reset();
    CU_ASSERT_FATAL(setenv("KEYWARD_LOG_LEVEL", "loud", 1) == 0);
    CU_ASSERT(kw_ok(kw_log_open(file_sink("kw.log"))));
    CU_ASSERT(matches(scratch_read("kw.log"), "warning: KEYWARD_LOG_LEVEL is unknown"));
}

static const struct {
    const char *name;
    const char *text;
    const char *expect;
} texts[] = {
    {"a newline", "a\nb", "a?b"},
    {"an escape sequence", "a\033[2Jb", "a?[2Jb"},
    {"carriage return, tab, DEL", "\r\t\177", "???"},
    {"a C1 control character in UTF-8",
     "a\xC2\x9B"
     "2J",
     "a??2J"},
    {"letters in UTF-8 stay", "schl\xC3\xBCssel \xE2\x82\xAC", "schl\xC3\xBCssel \xE2\x82\xAC"},
    {"a percent sign is no format", "100%s", "100%s"},
};

static void control_characters_are_replaced(void)
{
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char expect[128];
        reset();
        CU_ASSERT(kw_ok(kw_log_open(file_sink("kw.log"))));
        kw_log(KW_LOG_ERROR, "%s", texts[i].text);
        (void)snprintf(expect, sizeof expect, ": error: %s\n", texts[i].expect);
        const char *got = scratch_read("kw.log");
        bool good = strstr(got, expect) != NULL && count_lines(got) == 1;
        if (!good) {
            (void)printf("\n    %s: got %s", texts[i].name, got);
        }
        CU_ASSERT(good);
    }
}

static void long_text_is_cut(void)
{
    static char text[5000];
    memset(text, 'x', sizeof text - 1);
    reset();
    CU_ASSERT(kw_ok(kw_log_open(file_sink("kw.log"))));
    kw_log(KW_LOG_ERROR, "%.1023s", text);
    CU_ASSERT(matches(scratch_read("kw.log"), "xxx\n$"));
    reset();
    CU_ASSERT(kw_ok(kw_log_open(file_sink("kw.log"))));
    kw_log(KW_LOG_ERROR, "%s", text);
    const char *got = scratch_read("kw.log");
    CU_ASSERT(matches(got, "error: x+\\.\\.\\.\n$"));
    const char *from = strchr(got, 'x');
    CU_ASSERT_EQUAL(from == NULL ? 0 : strlen(from), 1024); /* 1020 x, three dots and the newline */
}

static const struct {
    const char *sink;
    bool valid;
} sinks[] = {
    {"syslog", true},  {"stderr", true},     {"none", true},  {"file:/x", true},
    {"file:x", false}, {"file:", false},     {"", false},     {"stdout", false},
    {"/x", false},     {"file:../x", false}, {"None", false}, {"syslog ", false},
};

static void words_for_sinks_are_judged(void)
{
    for (size_t i = 0; i < sizeof sinks / sizeof sinks[0]; i++) {
        CU_ASSERT_EQUAL(kw_log_sink_valid(sinks[i].sink), sinks[i].valid);
        if (!sinks[i].valid) {
            CU_ASSERT_EQUAL(kw_log_open(sinks[i].sink).code, CKR_GENERAL_ERROR);
        }
    }
}

static void what_is_no_file_is_not_opened(void)
{
    reset();
    (void)scratch_write("victim", "", 0, 0600);
    CU_ASSERT_FATAL(symlink("victim", scratch_path("link")) == 0);
    CU_ASSERT_FATAL(mkfifo(scratch_path("fifo"), 0600) == 0);
    CU_ASSERT_FATAL(mkdir(scratch_path("folder"), 0700) == 0);
    static const char *const names[] = {"link", "fifo", "folder", "missing/kw.log"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        CU_ASSERT_EQUAL(kw_log_open(file_sink(names[i])).code, CKR_GENERAL_ERROR);
    }
    kw_log(KW_LOG_ERROR, "lost");
    CU_ASSERT_STRING_EQUAL(scratch_read("victim"), "");
    CU_ASSERT_EQUAL(kw_log_open("file:/dev/null").code, CKR_GENERAL_ERROR);
}

static void environment_overrides(void)
{
    reset();
    CU_ASSERT_FATAL(setenv("KEYWARD_LOG", file_sink("kw.log"), 1) == 0);
    CU_ASSERT(kw_ok(kw_log_open("none")));
    kw_log(KW_LOG_ERROR, "seen");
    CU_ASSERT_EQUAL(count_lines(scratch_read("kw.log")), 1);
    CU_ASSERT_FATAL(setenv("KEYWARD_LOG", "none", 1) == 0);
    CU_ASSERT(kw_ok(kw_log_open(file_sink("kw.log"))));
    kw_log(KW_LOG_ERROR, "unseen");
    CU_ASSERT_EQUAL(count_lines(scratch_read("kw.log")), 1);
    CU_ASSERT_FATAL(setenv("KEYWARD_LOG", "", 1) == 0);
    CU_ASSERT(kw_ok(kw_log_open(file_sink("kw.log"))));
    kw_log(KW_LOG_ERROR, "seen again");
    CU_ASSERT_EQUAL(count_lines(scratch_read("kw.log")), 2);
    CU_ASSERT_FATAL(setenv("KEYWARD_LOG", "nonsense", 1) == 0);
    CU_ASSERT_EQUAL(kw_log_open("none").code, CKR_GENERAL_ERROR);
}

static void stderr_gets_lines(void)
{
    reset();
    CU_ASSERT(kw_ok(kw_log_open("stderr")));
    int saved = redirect_stderr("err");
    kw_log(KW_LOG_ERROR, "to stderr");
    restore_stderr(saved);
    CU_ASSERT(matches(scratch_read("err"), "^20.*keyward\\[[0-9]+\\]: error: to stderr\n$"));
}

static bool is_record(const char *record, int priority, const char *text)
{
    char expect[1500];
    (void)snprintf(expect, sizeof expect, "<%d>keyward[%ld]: %s", LOG_DAEMON | priority, (long)getpid(),
                   text);
    bool same = strcmp(record, expect) == 0;
    if (!same) {
        (void)printf("\n    got '%s', not '%s'", record, expect);
    }
    return same;
}

static void syslog_gets_lines(void)
{
    reset();
    CU_ASSERT(kw_ok(kw_log_open(NULL)));
    kw_log(KW_LOG_ERROR, "to %s", "syslog");
    CU_ASSERT(is_record(next_record(), LOG_ERR, "error: to syslog"));
    kw_log(KW_LOG_WARNING, "two\nlines");
    CU_ASSERT(is_record(next_record(), LOG_WARNING, "warning: two?lines"));
    kw_log(KW_LOG_INFO, "dropped");
    CU_ASSERT_STRING_EQUAL(next_record(), "");
}

/* A file that cannot be opened leaves syslog in use, and says so there. */
static void what_fails_is_told_to_syslog(void)
{
    reset();
    CU_ASSERT_FALSE(kw_ok(kw_log_open("file:/nonexistent/kw.log")));
    CU_ASSERT(is_record(next_record(), LOG_ERR,
                        "error: the log file /nonexistent/kw.log cannot be opened (No such file or "
                        "directory); it must be a regular file that this user may write; logging to "
                        "syslog"));
    CU_ASSERT_FALSE(kw_ok(kw_log_open("stdout")));
    CU_ASSERT(is_record(next_record(), LOG_ERR,
                        "error: log 'stdout' is unknown; write syslog, stderr, none or file:/PATH"));
    kw_log(KW_LOG_ERROR, "after");
    CU_ASSERT(is_record(next_record(), LOG_ERR, "error: after"));
}

static void full_disk_does_not_lose_the_line(void)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    reset();
    if (full < 0) {
        return;
    }
    int next = dup(full); /* the number that the log file will get */
    CU_ASSERT_FATAL(next >= 0 && close(next) == 0);
    CU_ASSERT_FATAL(kw_ok(kw_log_open(file_sink("kw.log"))));
    CU_ASSERT_FATAL(dup2(full, next) == next);
    (void)close(full);
    errno = EINTR;
    kw_log(KW_LOG_ERROR, "kept");
    CU_ASSERT_EQUAL(errno, EINTR);
    CU_ASSERT(is_record(next_record(), LOG_ERR, "error: kept"));
    CU_ASSERT_STRING_EQUAL(scratch_read("kw.log"), "");
    kw_log_close();
}

/* A syslog that does not read: the line is given up after a second, the caller goes on. */
static void stuck_syslog_does_not_hang(void)
{
    struct timespec begin;
    struct timespec end;
    int lines = 0;
    reset();
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        kw_log(KW_LOG_ERROR, "line %d", ++lines);
        (void)clock_gettime(CLOCK_MONOTONIC, &end);
    } while (end.tv_sec - begin.tv_sec < 2 && lines < 100000);
    CU_ASSERT(lines > 1 && lines < 100000); /* one of them met a full socket */
    CU_ASSERT(end.tv_sec - begin.tv_sec < 5);
    while (next_record()[0] != '\0') {
        lines--;
    }
    CU_ASSERT(lines > 0);
}

static volatile sig_atomic_t pipes;

static void count_pipe(int number)
{
    (void)number;
    pipes = pipes + 1;
}

static void broken_stderr_raises_no_signal(void)
{
    int ends[2];
    reset();
    CU_ASSERT(kw_ok(kw_log_open("stderr")));
    CU_ASSERT_FATAL(pipe(ends) == 0);
    (void)close(ends[0]);
    struct sigaction count = {.sa_handler = count_pipe};
    struct sigaction before;
    CU_ASSERT_FATAL(sigaction(SIGPIPE, &count, &before) == 0);
    int saved = dup(STDERR_FILENO);
    (void)dup2(ends[1], STDERR_FILENO);
    (void)close(ends[1]);
    kw_log(KW_LOG_ERROR, "nobody reads this");
    restore_stderr(saved);
    CU_ASSERT_EQUAL(pipes, 0);
    sigset_t mask;
    CU_ASSERT(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGPIPE) == 0);
    CU_ASSERT(raise(SIGPIPE) == 0 && pipes == 1); /* the application's own handler still works */
    CU_ASSERT(sigaction(SIGPIPE, &before, NULL) == 0);
}

static void errno_is_kept(void)
{
    reset();
    CU_ASSERT(kw_ok(kw_log_open(file_sink("kw.log"))));
    errno = ENOENT;
    kw_log(KW_LOG_ERROR, "%m");
    CU_ASSERT_EQUAL(errno, ENOENT);
    kw_log(KW_LOG_DEBUG, "dropped");
    CU_ASSERT_EQUAL(errno, ENOENT);
    CU_ASSERT(matches(scratch_read("kw.log"), "error: No such file or directory\n$"));
}

enum { THREADS = 4, LINES = 200 };

static void *write_lines(void *data)
{
    for (int i = 0; i < LINES; i++) {
        kw_log(KW_LOG_ERROR, "thread %d line %03d end", *(int *)data, i);
    }
    return NULL;
}

static void threads_write_whole_lines(void)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    reset();
    CU_ASSERT(kw_ok(kw_log_open(file_sink("kw.log"))));
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CU_ASSERT_FATAL(pthread_create(&threads[i], NULL, write_lines, &numbers[i]) == 0);
    }
    /* Opening again meanwhile neither loses lines nor writes into somebody else's descriptor. */
    for (int i = 0; i < 50; i++) {
        CU_ASSERT(kw_ok(kw_log_open(file_sink("kw.log"))));
    }
    for (int i = 0; i < THREADS; i++) {
        CU_ASSERT(pthread_join(threads[i], NULL) == 0);
    }
    const char *got = scratch_read("kw.log");
    CU_ASSERT_EQUAL(count_lines(got), (size_t)THREADS * LINES);
    size_t whole = 0;
    for (const char *line = got; *line != '\0'; line = strchr(line, '\n') + 1) {
        static const char sample[] = "thread 0 line 000 end\n";
        const char *text = strstr(line, ": error: thread ");
        whole += text != NULL && strchr(line, '\n') == text + strlen(": error: ") + strlen(sample) - 1 &&
                 strncmp(strchr(line, '\n') - 4, " end", 4) == 0;
    }
    CU_ASSERT_EQUAL(whole, (size_t)THREADS * LINES);
}

static void child_of_a_fork_logs(void)
{
    char pattern[64];
    reset();
    CU_ASSERT(kw_ok(kw_log_open(file_sink("kw.log"))));
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        kw_log_forked();
        kw_log(KW_LOG_ERROR, "in the child");
        _exit(0);
    }
    int status = -1;
    CU_ASSERT(waitpid(child, &status, 0) == child && status == 0);
    (void)snprintf(pattern, sizeof pattern, "keyward\\[%ld\\]: error: in the child\n$", (long)child);
    CU_ASSERT(matches(scratch_read("kw.log"), pattern));
}

/* A child that is forked while a thread writes must not hang on a lock that the thread has: our own,
 * or one of gmtime_r(3) and syslog(3), which log.c therefore does not call. */
static int busy = 1;

static void *write_until_told(void *data)
{
    (void)data;
    while (__atomic_load_n(&busy, __ATOMIC_RELAXED)) {
        kw_log(KW_LOG_ERROR, "busy");
    }
    return NULL;
}

static void fork_while_a_thread_logs(void)
{
    pthread_t thread;
    int hangs = 0;
    const int forks = getenv("KW_TEST_EVERY") != NULL ? 20 : 200; /* slow in valgrind */
    reset();
    CU_ASSERT(kw_ok(kw_log_open(file_sink("kw.log"))));
    CU_ASSERT_FATAL(pthread_create(&thread, NULL, write_until_told, NULL) == 0);
    for (int i = 0; i < forks && hangs == 0; i++) {
        pid_t child = fork();
        if (child == 0) {
            (void)alarm(10);
            kw_log_forked();
            kw_log(KW_LOG_ERROR, "in the child");
            _exit(0);
        }
        int status = -1;
        hangs += waitpid(child, &status, 0) != child || status != 0;
    }
    __atomic_store_n(&busy, 0, __ATOMIC_RELAXED);
    CU_ASSERT(pthread_join(thread, NULL) == 0);
    CU_ASSERT_EQUAL(hangs, 0);
}

static void close_goes_back_to_syslog(void)
{
    reset();
    CU_ASSERT(kw_ok(kw_log_open(file_sink("kw.log"))));
    kw_log_close();
    kw_log_close();
    kw_log(KW_LOG_ERROR, "elsewhere");
    CU_ASSERT(is_record(next_record(), LOG_ERR, "error: elsewhere"));
    CU_ASSERT_STRING_EQUAL(scratch_read("kw.log"), "");
}

int main(void)
{
    static CU_TestInfo lines[] = {
        {"a line has time, pid, level and text", line_has_time_pid_level_and_text},
        {"dates are right", dates_are_right},
        {"levels filter", levels_filter},
        {"control characters are replaced", control_characters_are_replaced},
        {"a long text is cut", long_text_is_cut},
        {"errno is kept", errno_is_kept},
        CU_TEST_INFO_NULL,
    };
    static CU_TestInfo places[] = {
        {"words for sinks are judged", words_for_sinks_are_judged},
        {"the file is private and appended to", file_is_private_and_appended_to},
        {"what is no regular file is not opened", what_is_no_file_is_not_opened},
        {"the environment overrides", environment_overrides},
        {"stderr gets lines", stderr_gets_lines},
        {"syslog gets lines", syslog_gets_lines},
        {"what fails is told to syslog", what_fails_is_told_to_syslog},
        {"a stuck syslog does not hang the caller", stuck_syslog_does_not_hang},
        {"a full disk does not lose the line", full_disk_does_not_lose_the_line},
        {"a broken stderr raises no SIGPIPE", broken_stderr_raises_no_signal},
        {"close goes back to syslog", close_goes_back_to_syslog},
        CU_TEST_INFO_NULL,
    };
    static CU_TestInfo processes[] = {
        {"threads write whole lines", threads_write_whole_lines},
        {"the child of a fork logs", child_of_a_fork_logs},
        {"a fork while a thread logs", fork_while_a_thread_logs},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {
        {"log: lines", NULL, NULL, NULL, NULL, lines},
        {"log: sinks", NULL, NULL, NULL, NULL, places},
        {"log: threads and forks", NULL, NULL, NULL, NULL, processes},
        CU_SUITE_INFO_NULL,
    };
    scratch_begin();
    start_syslog();
    int status = scratch_run(suites);
    reset();
    scratch_end();
    return status;
}
