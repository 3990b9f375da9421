/* channel.c - see channel.h. */
#include "vmm/migration/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostnet/peer.h"
#include "vmm/monitor/monitor.h"

enum { WAIT_MS = 100 };

typedef struct Opening {
    Channel *c;
    Vm *vm;
    struct Monitor *monitor;
    const char *rest; /* of the address, behind its kind */
    bool in;
} Opening;

/* ---- kinds */
static bool open_fd(Opening *o, GError **err)
{
    int fd = g_ascii_isdigit(*o->rest) ? atoi(o->rest) : o->monitor ? monitor_take_named(o->monitor, o->rest) : -1;
    if (fd < 0 || fcntl(fd, F_GETFD) < 0)
        return error_set(err, ERR_NOT_FOUND, "fd:%s is no descriptor of this program; getfd names one that comes over the monitor's socket", o->rest);
    o->c->fd = fd;
    return true;
}

static bool open_exec(Opening *o, GError **err)
{
    char *argv[] = { "/bin/sh", "-c", (char *)o->rest, NULL };
    if (g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | (o->in ? G_SPAWN_CHILD_INHERITS_STDIN : 0), NULL, NULL, &o->c->child, o->in ? NULL : &o->c->fd, o->in ? &o->c->fd : NULL, NULL, err))
        return true;
    if (!o->vm->config->sandbox.off && !o->vm->config->sandbox.allow[SANDBOX_SPAWN])
        g_prefix_error(err, "exec: needs -sandbox on,spawn=allow (fd: and unix: do without): ");
    return false;
}

static bool open_file(Opening *o, GError **err)
{
    g_autofree char *part = o->in ? NULL : g_strconcat(o->rest, ".part", NULL);
    o->c->fd = o->in ? open(o->rest, O_RDONLY | O_CLOEXEC) : open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (o->c->fd < 0) {
        const char *hint = sandbox_hint(o->vm->config);
        return error_set(err, ERR_IO, "cannot open '%s': %s%s%s", o->in ? o->rest : part, g_strerror(errno), hint ? "; " : "", hint ? hint : "");
    }
    o->c->path = o->in ? NULL : g_strdup(o->rest);
    o->c->part = g_steal_pointer(&part);
    return true;
}

static bool open_socket(Opening *o, const PeerAddress *at, GError **err)
{
    int yes = 1, fd = socket(at->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot make a socket");
    o->c->fd = fd;
    o->c->listening = o->in;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    const struct sockaddr *address = (const struct sockaddr *)&at->addr;
    bool ok = o->in ? !bind(fd, address, at->len) && !listen(fd, 1) : !connect(fd, address, at->len);
    return ok || error_set_errno(err, errno, "cannot %s '%s'", o->in ? "listen at" : "connect to", o->rest);
}

static bool open_unix(Opening *o, GError **err)
{
    PeerAddress at = { 0 };
    struct stat st;
    if (o->in && !stat(o->rest, &st) && S_ISSOCK(st.st_mode))
        unlink(o->rest); /* an earlier program's */
    return peer_unix_address(o->rest, &at, err) && open_socket(o, &at, err);
}

static bool open_tcp(Opening *o, GError **err)
{
    PeerAddress at = { 0 };
    const char *colon = strrchr(o->rest, ':');
    if (!colon)
        return error_set(err, ERR_INVALID, "tcp: takes HOST:PORT, not '%s'", o->rest);
    g_autofree char *host = g_strndup(o->rest, colon - o->rest);
    return peer_inet_address(*host ? host : "0.0.0.0", colon + 1, SOCK_STREAM, &at, err) && open_socket(o, &at, err);
}

static const struct { const char *prefix; bool (*open)(Opening *o, GError **err); } kinds[] = {
    { "fd:", open_fd }, { "exec:", open_exec }, { "file:", open_file }, { "unix:", open_unix }, { "tcp:", open_tcp },
};

static bool open_channel(Opening *o, const char *uri, GError **err)
{
    *o->c = (Channel){ .fd = -1 };
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (!g_str_has_prefix(uri, kinds[i].prefix))
            continue;
        o->rest = uri + strlen(kinds[i].prefix);
        if (kinds[i].open(o, err) && (o->c->listening || g_unix_set_fd_nonblocking(o->c->fd, TRUE, err)))
            return true;
        channel_close(o->c);
        return false;
    }
    return error_set(err, ERR_INVALID, "'%s' is no address for a machine's state: fd:NAME, exec:COMMAND, file:PATH, unix:PATH and tcp:HOST:PORT are", uri);
}

bool channel_open_out(Channel *c, Vm *vm, struct Monitor *monitor, const char *uri, GError **err)
{
    return open_channel(&(Opening){ c, vm, monitor, .in = false }, uri, err);
}

bool channel_open_in(Channel *c, Vm *vm, struct Monitor *monitor, const char *uri, GError **err)
{
    return open_channel(&(Opening){ c, vm, monitor, .in = true }, uri, err);
}

bool channel_accept(Channel *c, const _Atomic bool *cancelled, GError **err)
{
    struct pollfd watch = { .fd = c->fd, .events = POLLIN };
    while (poll(&watch, 1, WAIT_MS) <= 0)
        if (atomic_load(cancelled))
            return error_set(err, ERR_INVALID, "it was cancelled");
    int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot accept the connection");
    close(c->fd);
    c->fd = fd;
    c->listening = false;
    return true;
}

/* ---- the end */
static bool reap(Channel *c, GError **err)
{
    int status = 0;
    if (!c->child)
        return true;
    while (waitpid(c->child, &status, 0) < 0 && errno == EINTR)
        ;
    c->child = 0;
    return g_spawn_check_wait_status(status, err);
}

bool channel_finish(Channel *c, GError **err)
{
    struct stat st;
    bool ok = fstat(c->fd, &st) || !S_ISREG(st.st_mode) || !fsync(c->fd) || error_set_errno(err, errno, "cannot write it to the disk");
    close(c->fd);
    c->fd = -1;
    ok = ok && reap(c, err);
    if (ok && c->part && rename(c->part, c->path))
        ok = error_set_errno(err, errno, "cannot give '%s' its name '%s'", c->part, c->path);
    if (ok)
        g_clear_pointer(&c->part, g_free);
    return ok;
}

void channel_close(Channel *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    reap(c, NULL); /* its other end is closed */
    if (c->part)
        unlink(c->part);
    g_clear_pointer(&c->part, g_free);
    g_clear_pointer(&c->path, g_free);
}
