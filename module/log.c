#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "sigpipe.h"

enum { TEXT_MAX = 1024, LINE_SIZE = TEXT_MAX + 96 }; /* bytes, with the NUL */

enum sink { SINK_SYSLOG, SINK_STDERR, SINK_FILE, SINK_NONE };

static const char file_prefix[] = "file:";

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static enum sink sink = SINK_SYSLOG; /* the lock guards this and the following */
static int sink_fd = -1;             /* of SINK_FILE */
static enum kw_level threshold = KW_LOG_WARNING;

static const struct {
    const char *name;
    int priority;
} levels[] = {
    [KW_LOG_ERROR] = {"error", LOG_ERR},
    [KW_LOG_WARNING] = {"warning", LOG_WARNING},
    [KW_LOG_INFO] = {"info", LOG_INFO},
    [KW_LOG_DEBUG] = {"debug", LOG_DEBUG},
};
enum { LEVELS = sizeof levels / sizeof levels[0] };

static bool parse_sink(const char *text, enum sink *which)
{
    static const char *const names[] = {"syslog", "stderr", NULL, "none"};
    for (int i = SINK_SYSLOG; i <= SINK_NONE; i++) {
        if (names[i] != NULL && strcmp(text, names[i]) == 0) {
            *which = (enum sink)i;
            return true;
        }
    }
    *which = SINK_FILE;
    return strncmp(text, file_prefix, strlen(file_prefix)) == 0 && text[strlen(file_prefix)] == '/';
}

bool kw_log_sink_valid(const char *text)
{
    enum sink which = SINK_SYSLOG;
    return parse_sink(text, &which);
}

/* secure_getenv: a set-user-id program must not write to a file that its caller names. */
static const char *environment(const char *name)
{
    const char *value = secure_getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

/* Returns whether KEYWARD_LOG_LEVEL, if there is one, was understood. */
static bool choose_level(enum kw_level *level)
{
    const char *name = environment("KEYWARD_LOG_LEVEL");
    *level = KW_LOG_WARNING;
    for (int i = 0; i < LEVELS && name != NULL; i++) {
        if (strcmp(name, levels[i].name) == 0) {
            *level = (enum kw_level)i;
            return true;
        }
    }
    return name == NULL;
}

/* -1 with errno. No link is followed: a log in a folder that others may write must not lead the
 * writer to another file; and a FIFO or a device could hang it. */
static int open_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
    struct stat info;
    if (fd >= 0 && (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))) {
        (void)close(fd);
        errno = EINVAL;
        return -1;
    }
    return fd;
}

static void switch_to(enum sink which, int fd, enum kw_level level)
{
    pthread_mutex_lock(&lock);
    int old = sink_fd;
    sink = which;
    sink_fd = fd;
    threshold = level;
    pthread_mutex_unlock(&lock);
    if (old >= 0) {
        (void)close(old);
    }
}

struct kw_rv kw_log_open(const char *text)
{
    const char *override = environment("KEYWARD_LOG");
    const char *wanted = override != NULL ? override : text != NULL ? text : "syslog";
    enum kw_level level = KW_LOG_WARNING;
    bool level_fits = choose_level(&level);
    enum sink which = SINK_SYSLOG;
    if (!parse_sink(wanted, &which)) {
        switch_to(SINK_SYSLOG, -1, level);
        kw_log(KW_LOG_ERROR, "log '%s' is unknown; write syslog, stderr, none or file:/PATH", wanted);
        return KW_FAIL(CKR_GENERAL_ERROR, "the log sink is unknown");
    }
    int fd = which == SINK_FILE ? open_file(wanted + strlen(file_prefix)) : -1;
    if (which == SINK_FILE && fd < 0) {
        const char *why = strerrordesc_np(errno);
        switch_to(SINK_SYSLOG, -1, level);
        kw_log(KW_LOG_ERROR,
               "the log file %s cannot be opened (%s); it must be a regular file that this "
               "user may write; logging to syslog",
               wanted + strlen(file_prefix), why == NULL ? "unknown error" : why);
        return KW_FAIL(CKR_GENERAL_ERROR, "the log file cannot be opened for appending");
    }
    switch_to(which, fd, level);
    if (!level_fits) {
        kw_log(KW_LOG_WARNING, "KEYWARD_LOG_LEVEL is unknown; write error, warning, info or debug");
    }
    return KW_OK;
}

void kw_log_close(void)
{
    pthread_mutex_lock(&lock);
    enum kw_level level = threshold;
    pthread_mutex_unlock(&lock);
    switch_to(SINK_SYSLOG, -1, level);
}

void kw_log_forked(void)
{
    (void)pthread_mutex_init(&lock, NULL);
}

/* C0, DEL, and C1 in UTF-8. */
void kw_log_neutralize(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++) {
        if (*c < 0x20 || *c == 0x7f) {
            *c = '?';
        } else if (c[0] == 0xC2 && c[1] >= 0x80 && c[1] <= 0x9F) {
            c[0] = '?';
            c[1] = '?';
        }
    }
}

/* write(2) without the SIGPIPE that a closed pipe would raise: the signal is the application's. */
static bool write_quietly(int fd, const char *line, size_t len)
{
    struct kw_sigpipe pipe;
    kw_sigpipe_hold(&pipe);
    ssize_t n = TEMP_FAILURE_RETRY(write(fd, line, len));
    kw_sigpipe_release(&pipe);
    return n == (ssize_t)len;
}

static bool leap(long year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* UTC by hand: gmtime_r(3) takes the lock of the time zones, which hangs a child that was forked while
 * another thread held it. */
static void format_date(char *date, size_t size)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    long second = (long)time(NULL);
    long day = second / 86400;
    second %= 86400;
    long year = 1970;
    for (; day >= (leap(year) ? 366 : 365); year++) {
        day -= leap(year) ? 366 : 365;
    }
    int month = 0;
    while (month < 11 && day >= month_days[month] + (month == 1 && leap(year))) {
        day -= month_days[month] + (month == 1 && leap(year));
        month++;
    }
    (void)snprintf(date, size, "%04ld-%02d-%02ldT%02ld:%02ld:%02ldZ", year, month + 1, day + 1, second / 3600,
                   second / 60 % 60, second % 60);
}

static bool write_line(int fd, enum kw_level level, const char *text)
{
    char line[LINE_SIZE];
    char date[64];
    format_date(date, sizeof date);
    int len = snprintf(line, sizeof line, "%s keyward[%ld]: %s: %s\n", date, (long)getpid(),
                       levels[level].name, text);
    return len > 0 && write_quietly(fd, line, (size_t)len);
}

/* A record of RFC 3164 to the local syslog, which adds the time. Not syslog(3): its lock hangs a
 * forked child as above, a full socket would hang the caller, and its ident is the application's. */
static void write_syslog(enum kw_level level, const char *text)
{
    static const struct timeval patience = {.tv_sec = 1};
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = _PATH_LOG};
    char line[LINE_SIZE];
    int len = snprintf(line, sizeof line, "<%d>keyward[%ld]: %s: %s", LOG_DAEMON | levels[level].priority,
                       (long)getpid(), levels[level].name, text);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (len > 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) {
        (void)TEMP_FAILURE_RETRY(send(fd, line, (size_t)len, MSG_NOSIGNAL));
    }
    (void)close(fd);
}

/* Whether a line of this level is wanted, and where: *fd is a copy that the caller closes, so that the
 * file may be closed or exchanged while the line is being written. */
static bool borrow_sink(enum kw_level level, enum sink *which, int *fd)
{
    pthread_mutex_lock(&lock);
    bool wanted = level <= threshold && sink != SINK_NONE;
    *which = sink;
    *fd = wanted && sink == SINK_FILE ? fcntl(sink_fd, F_DUPFD_CLOEXEC, 3) : -1;
    pthread_mutex_unlock(&lock);
    return wanted;
}

void kw_log(enum kw_level level, const char *format, ...)
{
    int saved = errno;
    enum sink which = SINK_NONE;
    int fd = -1;
    if (!borrow_sink(level, &which, &fd)) {
        errno = saved;
        return;
    }
    char text[TEXT_MAX];
    errno = saved; /* for %m */
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0) {
        (void)snprintf(text, sizeof text, "a line of the log could not be formatted");
    } else if ((size_t)len >= sizeof text) {
        memcpy(text + sizeof text - 4, "...", 4);
    }
    kw_log_neutralize(text);

    bool written = false;
    if (which == SINK_STDERR || which == SINK_FILE) {
        written = write_line(which == SINK_STDERR ? STDERR_FILENO : fd, level, text);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (which != SINK_STDERR && !written) { /* also when the disk of the file is full */
        write_syslog(level, text);
    }
    errno = saved;
}
