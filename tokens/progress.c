#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void progress_say(const char *format, ...)
{
    va_list args;
    if (isatty(STDERR_FILENO) == 0) {
        return;
    }
    va_start(args, format);
    (void)fputs("\r\033[K", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fflush(stderr);
    va_end(args);
}

void progress_end(void)
{
    if (isatty(STDERR_FILENO) != 0) {
        (void)fputs("\r\033[K", stderr);
        (void)fflush(stderr);
    }
}
