/* qtest.c - the line: text in, answers out, and a log of both. */
#include "vmm/qtest/qtest.h"

#include <errno.h>
#include <string.h>

#include "console/chardev.h"

/* Called with the lock held.  As QEMU's: what, seconds since the start, text. */
static void note(Qtest *q, char what, const char *text)
{
    if (q->log)
        fprintf(q->log, "[%c +%f] %s\n", what, (g_get_monotonic_time() - q->opened_us) / 1e6, text);
}

static void put_line(Qtest *q, const char *text)
{
    g_autofree char *line = g_strconcat(text, "\n", NULL);
    g_mutex_lock(&q->lock);
    note(q, 'S', text);
    chardev_write(q->chardev, (const uint8_t *)line, strlen(line));
    g_mutex_unlock(&q->lock);
}

void qtest_say(Qtest *q, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    put_line(q, text);
}

static void take_line(Qtest *q)
{
    if (q->line->len && q->line->str[q->line->len - 1] == '\r')
        g_string_truncate(q->line, q->line->len - 1);
    g_mutex_lock(&q->lock);
    note(q, 'R', q->line->str);
    g_mutex_unlock(&q->lock);
    g_autofree char *answer = q->too_long ? g_strdup("FAIL the line is too long") : qtest_command(q, q->line->str);
    if (*answer)
        put_line(q, answer);
    g_string_truncate(q->line, 0);
    q->too_long = false;
}

static size_t can_receive(void *opaque) { return 64 << 10; }

static void receive(void *opaque, const uint8_t *data, size_t n)
{
    Qtest *q = opaque;
    for (const uint8_t *end = data + n; data < end;) {
        const uint8_t *line_end = memchr(data, '\n', end - data);
        size_t part = (line_end ? line_end : end) - data;
        q->too_long |= q->line->len + part > QTEST_LINE_BYTES;
        if (!q->too_long)
            g_string_append_len(q->line, (const char *)data, part);
        if (line_end)
            take_line(q);
        data += part + !!line_end;
    }
}

static void event(void *opaque, ChardevEvent e)
{
    Qtest *q = opaque;
    g_string_truncate(q->line, 0);
    q->too_long = false;
    g_mutex_lock(&q->lock);
    note(q, 'I', e == CHARDEV_OPENED ? "OPENED" : "CLOSED");
    g_mutex_unlock(&q->lock);
}

static const ChardevFrontend frontend = { can_receive, receive, event };

Qtest *qtest_open(Vm *vm, Chardev *chardev, const char *log, GError **err)
{
    FILE *file = !log ? stderr : g_str_equal(log, "none") ? NULL : fopen(log, "we");
    if (!file && log && !g_str_equal(log, "none")) {
        error_set_errno(err, errno, "-qtest-log: cannot write '%s'", log);
        return NULL;
    }
    if (file)
        setvbuf(file, NULL, _IOLBF, 0);
    Qtest *q = g_new0(Qtest, 1);
    q->vm = vm;
    q->chardev = chardev;
    q->log = file;
    q->line = g_string_new(NULL);
    q->opened_us = g_get_monotonic_time();
    q->taps = g_ptr_array_new_with_free_func(qtest_untap);
    g_mutex_init(&q->lock);
    chardev_attach(chardev, &frontend, q);
    return q;
}

void qtest_close(Qtest *q)
{
    if (!q)
        return;
    chardev_attach(q->chardev, NULL, NULL);
    g_ptr_array_unref(q->taps);
    if (q->log && q->log != stderr)
        fclose(q->log);
    g_string_free(q->line, TRUE);
    g_mutex_clear(&q->lock);
    g_free(q);
}
