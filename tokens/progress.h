/*
 * progress.h: one line on the terminal while something takes long; nothing when standard error is no terminal.
 */
#ifndef KW_PROGRESS_H
#define KW_PROGRESS_H

/* Replaces the line by this sentence. */
void progress_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Removes the line. */
void progress_end(void);

#endif
