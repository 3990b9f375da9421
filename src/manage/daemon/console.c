/* console.c - streams beside calls: a machine's serial line, a picture of its screen. */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/daemon/daemon_inside.h"

enum { CONSOLE_FORCE = 1, CHUNK = 16 << 10, PENDING_MAX = 1 << 20 /* bytes typed that the line has not taken */ };

/* ---- the serial line */
typedef struct Console {
    ManagedDomain *domain;
    RpcStream *stream;
    int fd;
    guint readable, writable; /* sources; 0: none */
    GByteArray *pending;
} Console;

static void unwatch(guint *source)
{
    if (*source)
        g_source_remove(*source);
    *source = 0;
}

static void console_closed(RpcStream *s, void *opaque)
{
    Console *c = opaque;
    unwatch(&c->readable);
    unwatch(&c->writable);
    close(c->fd);
    if (c->domain->console == s)
        c->domain->console = NULL;
    domain_unref(c->domain);
    g_byte_array_unref(c->pending);
    g_free(c);
}

static gboolean on_line_readable(int fd, GIOCondition condition, gpointer data)
{
    Console *c = data;
    char text[CHUNK];
    if (rpc_stream_full(c->stream)) {
        c->readable = 0; /* until it has drained */
        return G_SOURCE_REMOVE;
    }
    ssize_t n = read(fd, text, sizeof text);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    if (n > 0 && rpc_stream_send(c->stream, text, n))
        return G_SOURCE_CONTINUE;
    c->readable = 0;
    if (c->domain->console == c->stream)
        c->domain->console = NULL; /* a client that never closes does not keep the next start's line from others */
    rpc_stream_end(c->stream);
    return G_SOURCE_REMOVE;
}

static void watch_line(Console *c)
{
    if (!c->readable)
        c->readable = g_unix_fd_add(c->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_line_readable, c);
}

static void console_drained(RpcStream *s, void *opaque) { watch_line(opaque); }

static gboolean on_line_writable(int fd, GIOCondition condition, gpointer data)
{
    Console *c = data;
    ssize_t n = write(fd, c->pending->data, c->pending->len);
    if (n > 0)
        g_byte_array_remove_range(c->pending, 0, n);
    if (c->pending->len && (n >= 0 || errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    c->writable = 0;
    return G_SOURCE_REMOVE;
}

static void console_received(RpcStream *s, const void *data, size_t bytes, void *opaque)
{
    Console *c = opaque;
    if (c->pending->len + bytes > PENDING_MAX)
        return; /* the guest does not read: as a real line would lose it */
    g_byte_array_append(c->pending, data, bytes);
    if (!c->writable)
        c->writable = g_unix_fd_add(c->fd, G_IO_OUT, on_line_writable, c);
}

static const RpcStreamOps console_ops = { .received = console_received, .drained = console_drained, .closed = console_closed };

/* The terminal of the line that the client names by alias, or of the first. */
static const char *terminal(const Domain *live, const char *name)
{
    GPtrArray *const lists[] = { live->devices->serials, live->devices->consoles };
    for (unsigned l = 0; l < G_N_ELEMENTS(lists); l++)
        for (guint i = 0; lists[l] && i < lists[l]->len; i++) {
            const Character *c = lists[l]->pdata[i];
            if (c->tty && (!name || !g_strcmp0(c->alias, name)))
                return c->tty;
        }
    return NULL;
}

static void open_console(Client *client, RpcCall *call, GVariant *args)
{
    const char *name;
    guint flags;
    ManagedDomain *d = domain_of_call(client, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)m&su)", NULL, &name, &flags);
    const char *path = d->live && domain_active(d) ? terminal(d->live, name) : NULL;
    if (!domain_active(d)) {
        rpc_fail(call, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running", d->name);
    } else if (!path) {
        rpc_fail(call, RPC_ERR_OPERATION_FAILED, "domain '%s' has no serial line of type='pty'%s%s", d->name, name ? " with the alias " : ": add <console type='pty'/>", name ? name : "");
    } else if (d->console && !(flags & CONSOLE_FORCE)) {
        rpc_fail(call, RPC_ERR_OPERATION_FAILED, "Active console session exists for this domain: --force takes it over");
    } else {
        int fd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0) {
            rpc_fail(call, RPC_ERR_SYSTEM, "cannot open '%s': %s", path, g_strerror(errno));
            return;
        }
        if (d->console)
            rpc_stream_fail(d->console, RPC_ERR_OPERATION_ABORTED, "another client has taken the console over");
        Console *c = g_new0(Console, 1);
        *c = (Console){ .domain = domain_ref(d), .fd = fd, .pending = g_byte_array_new() };
        d->console = c->stream = rpc_stream_open(call, &console_ops, c);
        watch_line(c);
        rpc_reply(call, NULL);
    }
}

/* ---- a file sent down a stream, and removed */
typedef struct Download {
    RpcStream *stream;
    int fd;
} Download;

static void send_file(RpcStream *s, void *opaque)
{
    Download *d = opaque;
    char text[CHUNK];
    while (!rpc_stream_full(s)) {
        ssize_t n = read(d->fd, text, sizeof text);
        if (n <= 0) {
            rpc_stream_end(s);
            return;
        }
        rpc_stream_send(s, text, n);
    }
}

static void download_closed(RpcStream *s, void *opaque)
{
    Download *d = opaque;
    close(d->fd);
    g_free(d);
}

static const RpcStreamOps download_ops = { .drained = send_file, .closed = download_closed };

typedef struct Shot {
    ManagedDomain *domain;
    RpcCall *call;
    const HvDriver *driver;
    HvDomain *hv;
    guint screen;
    char *path;
} Shot;

static bool shot_begin(Job *j, GError **err)
{
    Shot *s = j->data;
    s->driver = s->domain->driver;
    s->hv = s->domain->hv;
    if (!s->hv)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running", s->domain->name);
    return s->driver->screenshot || rpc_error_set(err, RPC_ERR_NO_SUPPORT, "the driver '%s' takes no pictures", s->driver->name);
}

static bool shot_run(Job *j, GError **err)
{
    Shot *s = j->data;
    return s->driver->screenshot(s->hv, s->screen, &s->path, err);
}

static void shot_done(Job *j, GError *err)
{
    Shot *s = j->data;
    int fd = err ? -1 : open(s->path, O_RDONLY | O_CLOEXEC);
    if (err) {
        rpc_fail_error(s->call, err);
    } else if (fd < 0) {
        rpc_fail(s->call, RPC_ERR_SYSTEM, "cannot read the picture '%s': %s", s->path, g_strerror(errno));
    } else {
        Download *d = g_new0(Download, 1);
        d->fd = fd;
        d->stream = rpc_stream_open(s->call, &download_ops, d);
        rpc_reply(s->call, g_variant_new("(ms)", "image/png"));
        send_file(d->stream, d);
    }
    if (s->path)
        g_unlink(s->path);
    g_free(s->path);
    domain_unref(s->domain);
    g_free(s);
}

static void screenshot(Client *client, RpcCall *call, GVariant *args)
{
    static const JobType type = { "screenshot", shot_begin, shot_run, shot_done };
    ManagedDomain *d = domain_of_call(client, call, args);
    if (!d)
        return;
    Shot *s = g_new0(Shot, 1);
    *s = (Shot){ .domain = domain_ref(d), .call = call };
    g_variant_get_child(args, 1, "u", &s->screen);
    lane_push(d->lane, &type, s);
}

const Handler console_handlers[] = {
    { "DOMAIN_OPEN_CONSOLE", open_console },
    { "DOMAIN_SCREENSHOT", screenshot },
    { NULL },
};
