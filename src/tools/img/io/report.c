/* report.c - numbers in qemu-io's words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/keyval.h"
#include "tools/img/io/io.h"

char *io_bytes_text(double bytes)
{
    static const char *const units[] = { " bytes", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB" };
    unsigned unit = 0;
    while (unit < 6 && bytes >= 1024) {
        bytes /= 1024;
        unit++;
    }
    if (!unit && bytes != (uint64_t)bytes)
        return g_strdup_printf("%f bytes", bytes);
    g_autofree char *text = g_strdup_printf("%.3f", bytes);
    if (g_str_has_suffix(text, ".000"))
        text[strlen(text) - 4] = 0;
    return g_strconcat(text, units[unit], NULL);
}

int64_t io_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static char *time_text(int64_t ns, bool machine)
{
    unsigned s = ns / 1000000000;
    double rest = s % 60 + ns % 1000000000 / 1e9;
    if (machine || s >= 3600)
        return g_strdup_printf("%u:%02u:%05.2f", s / 3600, s / 60 % 60, rest);
    return s >= 60 ? g_strdup_printf("%02u:%05.2f", s / 60, rest) : g_strdup_printf("%05.2f sec", rest);
}

void io_report(const IoReport *r, int64_t end_ns)
{
    if (r->quiet)
        return;
    int64_t ns = MAX(end_ns - r->start_ns, 1);
    double rate = r->bytes * 1e9 / ns, ops = 1e9 / ns;
    g_autofree char *time = time_text(ns, r->machine), *bytes = io_bytes_text(r->bytes), *per_s = io_bytes_text(rate);
    if (r->machine) {
        printf("%" G_GUINT64_FORMAT ",1,%s,%.3f,%.3f\n", r->bytes, time, rate, ops);
        return;
    }
    printf("%s %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT "\n", r->verb, r->bytes, r->bytes, r->off);
    printf("%s, 1 ops; %s (%s/sec and %.4f ops/sec)\n", bytes, time, per_s, ops);
}

bool io_size(const char *text, uint64_t *ret)
{
    if (parse_size(text, 1, ret) && *ret <= INT64_MAX)
        return true;
    printf("Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- %s\n", text);
    return false;
}

bool io_byte(const char *text, int *ret)
{
    char *end;
    long value = strtol(text, &end, 0);
    if (!*text || *end || value < 0 || value > 255) {
        printf("%s is not a valid pattern byte\n", text);
        return false;
    }
    *ret = value;
    return true;
}

int io_failed(const char *name, int status)
{
    printf("%s failed: %s\n", name, g_strerror(-status));
    return -1;
}

int io_complain(const Io *io, GError *err)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", io->args->program, err->message);
    g_error_free(err);
    return -1;
}
