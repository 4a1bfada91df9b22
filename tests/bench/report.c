#include "report.h"

#include <stdlib.h>

#include "agent.h"

const unsigned report_threads[REPORT_COUNTS] = {1, 2, 8};

static const double start_target = 1.3;
static const long memory_target_kib = 4096;

static const char *const stage_name[AGENT_STAGES] = {"initialised", "every_key_used"};
static const char *const stage_text[AGENT_STAGES] = {"initialised, all slots listed",
                                                     "every key found and used once"};

static const char *verdict(bool met, unsigned *missed)
{
    *missed += met ? 0 : 1;
    return met ? "met" : "MISSED";
}

/* Keyward / direct over the whole run, without regard to rounds. */
static double whole_ratio(const struct report_rate *rate)
{
    return rate->all_calls[SIDE_KEYWARD] / rate->all_seconds[SIDE_KEYWARD] /
           (rate->all_calls[SIDE_DIRECT] / rate->all_seconds[SIDE_DIRECT]);
}

static void print_rates(const struct report *report, FILE *out, unsigned *missed)
{
    fprintf(out, "%-35s %7s %8s %9s  %5s  %-13s  %-5s  %-14s  %s\n", "job", "threads", "direct/s",
            "keyward/s", "ratio", "95 % interval", "whole", "per cpu second", "target");
    for (int job = 0; job < JOBS; job++) {
        for (int i = 0; report->has_rate[job] && i < REPORT_COUNTS; i++) {
            const struct report_rate *rate = &report->rate[job][i];
            struct series_ratio ratio = series_ratio(&rate->calls);
            struct series_ratio cpu = series_ratio(&rate->cpu_calls);
            fprintf(out,
                    "%-35s %7u %8.0f %9.0f  %5.3f  %5.3f - %5.3f  %5.3f  %-14.3f  "
                    ">= %.3f %s\n",
                    job_table[job].text, report_threads[i],
                    series_median(&rate->calls, SIDE_DIRECT),
                    series_median(&rate->calls, SIDE_KEYWARD), ratio.median, ratio.low, ratio.high,
                    whole_ratio(rate), cpu.median, job_table[job].target,
                    verdict(ratio.median >= job_table[job].target, missed));
        }
    }
}

static void print_start(const struct report *report, FILE *out, unsigned *missed)
{
    struct series_ratio ratio = series_ratio(&report->start);
    struct series_ratio cpu = series_ratio(&report->start_cpu);
    fprintf(out, "\nstart: dlopen to first wrap, a new process each time (%zu of each)\n",
            report->start.count);
    fprintf(out,
            "direct %.2f ms, keyward %.2f ms, ratio %.3f (%.3f - %.3f), of cpu time %.3f;"
            " target <= %.1f %s\n",
            series_median(&report->start, SIDE_DIRECT) * 1e3,
            series_median(&report->start, SIDE_KEYWARD) * 1e3, ratio.median, ratio.low, ratio.high,
            cpu.median, start_target, verdict(ratio.median <= start_target, missed));
}

static void print_figures(const char *text, const struct memory_figures *direct,
                          const struct memory_figures *keyward, FILE *out)
{
    fprintf(out, "  %-31s %7lu %7lu %+7ld  %7lu %7lu %+7ld  %7lu %7lu %+7ld\n", text, direct->rss,
            keyward->rss, (long)keyward->rss - (long)direct->rss, direct->pss, keyward->pss,
            (long)keyward->pss - (long)direct->pss, direct->private_dirty, keyward->private_dirty,
            (long)keyward->private_dirty - (long)direct->private_dirty);
}

static void print_memory(const struct report *report, FILE *out, unsigned *missed)
{
    const struct report_memory *memory = &report->memory;
    fprintf(out, "\nmemory in KiB, medians of %u new processes of each side\n",
            report->memory_samples);
    fprintf(out, "direct: %u slots, %u keys; keyward: %u slots, %u keys\n",
            memory->slots[SIDE_DIRECT], memory->keys[SIDE_DIRECT], memory->slots[SIDE_KEYWARD],
            memory->keys[SIDE_KEYWARD]);
    for (int stage = 0; stage < AGENT_STAGES; stage++) {
        const struct memory_sample *direct = &memory->median[SIDE_DIRECT][stage];
        const struct memory_sample *keyward = &memory->median[SIDE_KEYWARD][stage];
        fprintf(out, "%-33s %23s  %23s  %23s\n", stage_text[stage], "Rss direct keyward +",
                "Pss direct keyward +", "Private_Dirty d. k. +");
        for (int part = 0; part < MEMORY_PARTS; part++) {
            print_figures(memory_part_text[part], &direct->part[part], &keyward->part[part], out);
        }
        print_figures("total (smaps_rollup)", &direct->total, &keyward->total, out);
        long more = (long)keyward->total.rss - (long)direct->total.rss;
        fprintf(out, "  resident more with Keyward: %ld KiB; target <= %ld KiB %s\n", more,
                memory_target_kib, verdict(more <= memory_target_kib, missed));
    }
}

unsigned report_print(const struct report *report, FILE *out)
{
    unsigned missed = 0;
    const struct settings *settings = report->settings;
    fprintf(out, "direct:  %s\nkeyward: %s\n", settings->side[SIDE_DIRECT].module,
            settings->side[SIDE_KEYWARD].module);
    fprintf(out, "%u rounds of %g s for each side, sides by turns, processes renewed every %u\n\n",
            settings->rounds, settings->seconds, settings->renew);
    print_rates(report, out, &missed);
    if (report->has_start) {
        print_start(report, out, &missed);
    }
    if (report->has_memory) {
        print_memory(report, out, &missed);
    }
    return missed;
}

static void json_string(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            fprintf(out, "\\%c", c);
        } else if (c < 0x20) {
            fprintf(out, "\\u%04x", c);
        } else {
            fputc(c, out);
        }
    }
    fputc('"', out);
}

static void json_ratio(const char *name, const struct series *series, FILE *out)
{
    struct series_ratio ratio = series_ratio(series);
    fprintf(out, "\"%s\": %.4f, \"%s_low\": %.4f, \"%s_high\": %.4f", name, ratio.median, name,
            ratio.low, name, ratio.high);
}

static void json_rates(const struct report *report, FILE *out)
{
    const char *separator = "";
    fputs("  \"rates\": [", out);
    for (int job = 0; job < JOBS; job++) {
        for (int i = 0; report->has_rate[job] && i < REPORT_COUNTS; i++) {
            const struct report_rate *rate = &report->rate[job][i];
            fprintf(out,
                    "%s\n    {\"job\": \"%s\", \"threads\": %u, \"direct_per_s\": %.1f, "
                    "\"keyward_per_s\": %.1f, \"direct_per_cpu_s\": %.1f, ",
                    separator, job_table[job].name, report_threads[i],
                    series_median(&rate->calls, SIDE_DIRECT),
                    series_median(&rate->calls, SIDE_KEYWARD),
                    series_median(&rate->cpu_calls, SIDE_DIRECT));
            json_ratio("ratio", &rate->calls, out);
            fprintf(out, ", \"whole_ratio\": %.4f, ", whole_ratio(rate));
            json_ratio("cpu_ratio", &rate->cpu_calls, out);
            fprintf(out, ", \"target_at_least\": %.3f}", job_table[job].target);
            separator = ",";
        }
    }
    fputs("\n  ]", out);
}

static void json_start(const struct report *report, FILE *out)
{
    fprintf(out, ",\n  \"start\": {\"samples\": %zu, \"direct_ms\": %.3f, \"keyward_ms\": %.3f, ",
            report->start.count, series_median(&report->start, SIDE_DIRECT) * 1e3,
            series_median(&report->start, SIDE_KEYWARD) * 1e3);
    json_ratio("time_ratio", &report->start, out);
    fputs(", ", out);
    json_ratio("cpu_time_ratio", &report->start_cpu, out);
    fprintf(out, ", \"target_at_most\": %.2f}", start_target);
}

static void json_sample(const struct memory_sample *sample, FILE *out)
{
    fprintf(out, "{\"rss\": %lu, \"pss\": %lu, \"private_dirty\": %lu, \"parts\": [",
            sample->total.rss, sample->total.pss, sample->total.private_dirty);
    for (int part = 0; part < MEMORY_PARTS; part++) {
        const struct memory_figures *figures = &sample->part[part];
        fprintf(out, "%s\n        {\"part\": ", part > 0 ? "," : "");
        json_string(memory_part_text[part], out);
        fprintf(out, ", \"rss\": %lu, \"pss\": %lu, \"private_dirty\": %lu}", figures->rss,
                figures->pss, figures->private_dirty);
    }
    fputs("]}", out);
}

static void json_memory(const struct report *report, FILE *out)
{
    const struct report_memory *memory = &report->memory;
    fprintf(out,
            ",\n  \"memory_kib\": {\"samples\": %u, \"keyward_slots\": %u, \"keyward_keys\": %u, "
            "\"direct_keys\": %u, \"target_rss_at_most\": %ld",
            report->memory_samples, memory->slots[SIDE_KEYWARD], memory->keys[SIDE_KEYWARD],
            memory->keys[SIDE_DIRECT], memory_target_kib);
    for (int stage = 0; stage < AGENT_STAGES; stage++) {
        const struct memory_sample *direct = &memory->median[SIDE_DIRECT][stage];
        const struct memory_sample *keyward = &memory->median[SIDE_KEYWARD][stage];
        fprintf(out, ",\n    \"%s\": {\"more_rss\": %ld, \"more_private_dirty\": %ld,\n",
                stage_name[stage], (long)keyward->total.rss - (long)direct->total.rss,
                (long)keyward->total.private_dirty - (long)direct->total.private_dirty);
        fputs("      \"direct\": ", out);
        json_sample(direct, out);
        fputs(",\n      \"keyward\": ", out);
        json_sample(keyward, out);
        fputs("}", out);
    }
    fputs("}", out);
}

void report_write_json(const struct report *report, const char *path)
{
    const struct settings *settings = report->settings;
    FILE *out = fopen(path, "we");
    if (out == NULL) {
        fprintf(stderr, "bench: cannot write %s; give --json a file in a writable folder\n", path);
        exit(1);
    }
    fputs("{\n  \"direct\": ", out);
    json_string(settings->side[SIDE_DIRECT].module, out);
    fputs(",\n  \"keyward\": ", out);
    json_string(settings->side[SIDE_KEYWARD].module, out);
    fprintf(out, ",\n  \"rounds\": %u, \"seconds_per_round\": %g, \"renew\": %u,\n",
            settings->rounds, settings->seconds, settings->renew);
    json_rates(report, out);
    if (report->has_start) {
        json_start(report, out);
    }
    if (report->has_memory) {
        json_memory(report, out);
    }
    fputs("\n}\n", out);
    if (ferror(out) != 0 || fclose(out) != 0) {
        fprintf(stderr, "bench: %s could not be written whole; is the disk full?\n", path);
        exit(1);
    }
}
