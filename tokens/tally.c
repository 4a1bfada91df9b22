#include "tally.h"

#include <stdio.h>

#include "clock.h"
#include "command.h"
#include "progress.h"

enum { SHOW_MS = 300 };

void tally_start(struct tally *t, unsigned long long size)
{
    *t = (struct tally){.size = size, .started = kw_clock_in(0), .shown = kw_clock_in(0)};
}

static void count_version(struct tally *t, const struct batch_line *line)
{
    size_t i = 0;
    while (i < t->version_count && (t->versions[i].version != line->version || t->versions[i].other != line->other)) {
        i++;
    }
    if (i == TALLY_VERSIONS) {
        t->more_versions++;
        return;
    }
    if (i == t->version_count) {
        t->versions[t->version_count++] = (struct tally_version){line->version, line->other, 0};
    }
    t->versions[i].lines++;
}

static void say_failure(struct tally *t, const struct batch_line *line, unsigned long long number)
{
    progress_end();
    if (line->fate == BATCH_FAILED) {
        command_say("line %llu: %s; it is written unchanged", number, line->why);
    } else if (t->fates[BATCH_UNTRIED] == 1) {
        command_say("line %llu: the token does not answer; this line and those after it are written unchanged", number);
    }
}

static void show(struct tally *t, unsigned long long taken)
{
    double seconds = (double)kw_clock_since(&t->started) / 1000.0;
    double rate = seconds > 0 ? (double)t->lines / seconds : 0;
    if (t->size == 0 || taken == 0 || taken > t->size) {
        progress_say("%llu lines, %.0f a second", t->lines, rate);
    } else {
        long left = (long)(seconds * ((double)t->size / (double)taken - 1.0));
        progress_say("%llu lines, %.0f a second, %.0f %%, %ld:%02ld left", t->lines, rate, 100.0 * (double)taken / (double)t->size, left / 60,
                     left % 60);
    }
}

void tally_add(struct tally *t, const struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const struct batch_line *line = &b->lines[i];
        t->lines++;
        t->fates[line->fate]++;
        if (line->version != 0) {
            count_version(t, line);
        }
        if (line->fate == BATCH_FAILED || line->fate == BATCH_UNTRIED) {
            say_failure(t, line, b->first + i);
        }
    }
    if (kw_clock_since(&t->shown) >= SHOW_MS) {
        t->shown = kw_clock_in(0);
        show(t, b->taken);
    }
}

bool tally_is_good(const struct tally *t)
{
    return t->fates[BATCH_FAILED] == 0 && t->fates[BATCH_UNTRIED] == 0;
}

void tally_say(const struct tally *t)
{
    progress_end();
    command_say("%llu lines: %llu rewrapped, %llu current, %llu without an envelope, %llu failed, %llu not tried", t->lines,
                t->fates[BATCH_REWRAPPED], t->fates[BATCH_CURRENT], t->fates[BATCH_EMPTY], t->fates[BATCH_FAILED], t->fates[BATCH_UNTRIED]);
}

void tally_print(const struct tally *t, const char *slot, const char *from, uint32_t active)
{
    progress_end();
    for (size_t i = 0; i < t->version_count; i++) {
        const struct tally_version *v = &t->versions[i];
        (void)printf("%s version %u: %llu lines%s\n", v->other ? from : slot, v->version, v->lines,
                     !v->other && v->version == active ? ", current" : "");
    }
    if (t->more_versions > 0) {
        (void)printf("other versions: %llu lines\n", t->more_versions);
    }
    (void)printf("to be rewrapped: %llu\nwithout an envelope: %llu\nthat would fail: %llu\n", t->fates[BATCH_REWRAPPED], t->fates[BATCH_EMPTY],
                 t->fates[BATCH_FAILED]);
}
