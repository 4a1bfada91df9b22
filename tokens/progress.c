#include "progress.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

static bool shown; /* a line, by the thread that the command began with */

void progress_say(const char *format, ...)
{
    va_list args;
    if (isatty(STDERR_FILENO) == 0) {
        return;
    }
    va_start(args, format);
    (void)fputs("\r\033[K", stderr);
    shown = true;
    (void)vfprintf(stderr, format, args);
    (void)fflush(stderr);
    va_end(args);
}

void progress_end(void)
{
    if (shown) {
        shown = false;
        (void)fputs("\r\033[K", stderr);
        (void)fflush(stderr);
    }
}
