/*
 * console.c - a machine's serial line: on a terminal both ways, Ctrl-] leaves; elsewhere what the machine says, until it ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "tools/cli/cli.h"

enum { CTRL_RIGHT_BRACKET = 0x1d };

typedef struct Typing {
    AtollStream *stream;
    GCancellable *left; /* the user has */
} Typing;

/* On a thread of its own: reading a terminal cannot be cancelled, so it is left behind at the end. */
static gpointer type(gpointer data)
{
    Typing *t = data;
    char text[256];
    for (ssize_t n; (n = read(STDIN_FILENO, text, sizeof text)) > 0;) {
        const char *escape = memchr(text, CTRL_RIGHT_BRACKET, n);
        g_autoptr(GBytes) bytes = g_bytes_new(text, escape ? escape - text : n);
        if (g_bytes_get_size(bytes) && !atoll_stream_send_sync(t->stream, bytes, NULL, NULL))
            break;
        if (escape)
            break;
    }
    g_cancellable_cancel(t->left);
    g_object_unref(t->stream);
    g_object_unref(t->left);
    g_free(t);
    return NULL;
}

static bool write_all(GBytes *bytes)
{
    gsize n;
    const char *at = g_bytes_get_data(bytes, &n);
    for (ssize_t done; n; at += done, n -= done)
        if ((done = write(STDOUT_FILENO, at, n)) < 0)
            return false;
    return true;
}

static bool pump(AtollStream *s, GCancellable *left, GError **err)
{
    for (;;) {
        g_autoptr(GBytes) bytes = atoll_stream_receive_sync(s, left, err);
        if (!bytes)
            return false;
        if (!g_bytes_get_size(bytes) || !write_all(bytes))
            return true;
    }
}

bool run_console(Cli *c, AtollDomain *d, const char *device, bool force, bool start, GError **err)
{
    bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    GVariant *args = g_variant_new("(@(ssi)msu)", atoll_object_get_handle(ATOLL_OBJECT(d)), device, force ? 1 : 0);
    g_autoptr(AtollStream) s = atoll_connection_open_stream_sync(c->connection, "DOMAIN_OPEN_CONSOLE", args, NULL, err);
    if (!s)
        return false;
    g_autoptr(GCancellable) left = g_cancellable_new();
    struct termios before, raw;
    if (terminal) {
        out_message(c, "Connected to domain '%s'\nEscape character is ^] (Ctrl + ])", name_of(d));
        fflush(stdout);
        tcgetattr(STDIN_FILENO, &before);
        raw = before;
        cfmakeraw(&raw);
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
        Typing *t = g_new(Typing, 1);
        *t = (Typing){ g_object_ref(s), g_object_ref(left) };
        g_thread_unref(g_thread_new("typing", type, t));
    }
    fflush(stdout);
    g_autoptr(GError) why = NULL;
    bool started = !start || atoll_domain_resume_sync(d, NULL, err);
    bool ended = started && pump(s, left, &why);
    if (terminal)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    if (ended)
        atoll_stream_finish_sync(s, NULL, NULL);
    else
        atoll_stream_abort(s);
    if (terminal)
        putchar('\n');
    if (why && !g_error_matches(why, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    return started;
}
