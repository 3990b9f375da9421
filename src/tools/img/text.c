/* text.c - sizes, progress, rates: small things with one place. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/keyval.h"
#include "tools/img/util.h"

/* Three digits, and 1000 bytes are not a KiB yet. */
char *size_text(uint64_t bytes)
{
    static const char *const units[] = { "", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei" };
    unsigned unit = 0;
    while (unit < 6 && bytes >= 1000.0 * ((uint64_t)1 << unit * 10))
        unit++;
    return g_strdup_printf("%0.3g %sB", (double)bytes / ((uint64_t)1 << unit * 10), units[unit]);
}

bool img_parse_size(const char *text, const char *what, uint64_t max, uint64_t *ret, GError **err)
{
    uint64_t value;
    if (!parse_size(text, 1, &value))
        return error_set(err, ERR_INVALID, "Invalid %s specified: '%s'! You may use k, M, G, T, P or E suffixes for kilobytes, megabytes, "
                         "gigabytes, terabytes, petabytes and exabytes.", what, text);
    if (value > max)
        return error_set(err, ERR_INVALID, "Invalid %s specified: '%s'! It must be at most %" G_GUINT64_FORMAT ".", what, text, max);
    *ret = value;
    return true;
}

bool img_parse_number(const char *text, const char *what, uint64_t min, uint64_t max, uint64_t *ret, GError **err)
{
    uint64_t value;
    if (!g_ascii_string_to_unsigned(text, 10, min, max, &value, NULL))
        return error_set(err, ERR_INVALID, "Invalid %s specified: '%s'! It must be a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT ".",
                         what, text, min, max);
    *ret = value;
    return true;
}

/* ---- progress */

void progress_start(Progress *p, bool on)
{
    *p = (Progress){ .on = on, .last = -1 };
    g_mutex_init(&p->lock);
    progress_show(p, 0, 1);
}

static void show(Progress *p, double percent)
{
    if (percent - p->last < 1 && percent < 100)
        return;
    p->last = percent;
    printf("    (%3.2f/100%%)\r", percent);
    fflush(stdout);
}

void progress_show(Progress *p, uint64_t done, uint64_t total)
{
    if (!p->on || !total)
        return;
    g_mutex_lock(&p->lock);
    show(p, 100.0 * done / total);
    g_mutex_unlock(&p->lock);
}

void progress_end(Progress *p, bool complete)
{
    if (p->on && complete)
        progress_show(p, 1, 1);
    if (p->on)
        printf("\n");
    g_mutex_clear(&p->lock);
}

/* ---- rate */

bool rate_start(Rate *r, const char *text, GError **err)
{
    *r = (Rate){ .start_us = g_get_monotonic_time() };
    g_mutex_init(&r->lock);
    return !text || img_parse_size(text, "rate limit", INT64_MAX, &r->per_s, err);
}

void rate_spend(Rate *r, uint64_t bytes)
{
    if (!r->per_s)
        return;
    g_mutex_lock(&r->lock);
    r->spent += bytes;
    int64_t due_us = r->start_us + (int64_t)((double)r->spent / r->per_s * G_USEC_PER_SEC);
    g_mutex_unlock(&r->lock);
    int64_t now_us = g_get_monotonic_time();
    if (due_us > now_us)
        g_usleep(due_us - now_us);
}

/* All bytes are zero if the first 16 are and each is as the one 16 before it. */
bool is_zero(const void *buf, size_t len)
{
    static const char zeros[16];
    size_t head = MIN(len, sizeof(zeros));
    return !memcmp(buf, zeros, head) && !memcmp(buf, (const char *)buf + head, len - head);
}
