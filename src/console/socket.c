/*
 * socket.c - a UNIX or TCP socket: as a server that takes one peer at a time, or as a client.
 *
 * While nobody is connected, output goes nowhere, as on a line without a modem.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "console/backend.h"

typedef struct SocketChardev {
    Chardev chardev;
    FdPort port;
    int listener; /* -1: client */
    GSource *accept_source;
    char *path;   /* UNIX server: to be unlinked */
    bool is_telnet;
    Telnet telnet;
} SocketChardev;

static bool unix_address(const char *path, InetAddress *ret, GError **err)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&ret->addr;
    if (strlen(path) >= sizeof(un->sun_path))
        return error_set(err, ERR_INVALID, "socket path '%s' is longer than the %zu bytes that the system takes", path,
                         sizeof(un->sun_path) - 1);
    un->sun_family = AF_UNIX;
    strcpy(un->sun_path, path);
    ret->len = sizeof(*un);
    return true;
}

bool inet_address(const char *host, const char *port, int type, int family, InetAddress *ret, GError **err)
{
    struct addrinfo hints = { .ai_socktype = type, .ai_family = family, .ai_flags = AI_PASSIVE }, *list = NULL;
    int rc = getaddrinfo(*host ? host : NULL, port, &hints, &list);
    if (rc != 0)
        return error_set(err, ERR_NOT_FOUND, "cannot resolve '%s' port '%s': %s", host, port, gai_strerror(rc));
    memcpy(&ret->addr, list->ai_addr, list->ai_addrlen);
    ret->len = list->ai_addrlen;
    freeaddrinfo(list);
    return true;
}

static int new_socket(const InetAddress *a)
{
    int fd = socket(a->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd >= 0 && a->addr.ss_family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    return fd;
}

/* A socket file that nobody listens at is a dead machine's. */
static void remove_stale(const InetAddress *a, const char *path)
{
    int fd = new_socket(a);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&a->addr, a->len) < 0 && errno == ECONNREFUSED)
        unlink(path);
    if (fd >= 0)
        close(fd);
}

static void on_hangup(Chardev *c);

static void adopt_peer(SocketChardev *s, int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fd_port_open(&s->port, &s->chardev, fd, fd, on_hangup);
    if (s->is_telnet)
        telnet_hello(&s->telnet, &s->port);
    chardev_event(&s->chardev, CHARDEV_OPENED);
}

static size_t on_telnet(Chardev *c, uint8_t *data, size_t n) { return telnet_take(&((SocketChardev *)c)->telnet, c, data, n); }

static gboolean on_accept(int listener, GIOCondition condition, void *opaque)
{
    SocketChardev *s = opaque;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return G_SOURCE_CONTINUE;
    g_clear_pointer(&s->accept_source, g_source_unref);
    adopt_peer(s, fd);
    return G_SOURCE_REMOVE;
}

static void start_accepting(SocketChardev *s)
{
    s->accept_source = g_unix_fd_source_new(s->listener, G_IO_IN);
    g_source_set_callback(s->accept_source, G_SOURCE_FUNC(on_accept), s, NULL);
    g_source_attach(s->accept_source, NULL);
}

static void on_hangup(Chardev *c)
{
    SocketChardev *s = (SocketChardev *)c;
    fd_port_close(&s->port, 0);
    chardev_event(c, CHARDEV_CLOSED);
    if (s->listener >= 0)
        start_accepting(s);
}

static bool accept_first(SocketChardev *s, bool wait, GError **err);

static bool serve(SocketChardev *s, const InetAddress *a, const char *path, bool wait, GError **err)
{
    if (path)
        remove_stale(a, path);
    s->listener = new_socket(a);
    if (s->listener < 0 || bind(s->listener, (const struct sockaddr *)&a->addr, a->len) < 0)
        return error_set_errno(err, errno, "cannot listen at %s", s->chardev.description);
    s->path = g_strdup(path);
    if (listen(s->listener, 1) < 0)
        return error_set_errno(err, errno, "cannot listen at %s", s->chardev.description);
    return accept_first(s, wait, err);
}

static bool accept_first(SocketChardev *s, bool wait, GError **err)
{
    if (!wait) {
        start_accepting(s);
        return true;
    }
    g_printerr("waiting for a connection at %s\n", s->chardev.description);
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "no connection at %s", s->chardev.description);
    adopt_peer(s, fd);
    return true;
}

static bool call(SocketChardev *s, const InetAddress *a, GError **err)
{
    int fd = new_socket(a);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&a->addr, a->len) < 0) {
        error_set_errno(err, errno, "cannot connect to %s (is somebody listening there? server=on makes the machine listen)",
                        s->chardev.description);
        if (fd >= 0)
            close(fd);
        return false;
    }
    adopt_peer(s, fd);
    return true;
}

/* A socket that whoever started us has opened: one that listens (server=on), or a peer. */
static bool inherit(SocketChardev *s, const char *text, bool server, bool wait, GError **err)
{
    char *end;
    long fd = strtol(text, &end, 10);
    struct sockaddr_un un = { 0 };
    socklen_t len = sizeof(un) - 1;
    int listening = 0, type;
    socklen_t type_len = sizeof(type), listening_len = sizeof(listening);
    if (end == text || *end || fd < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0 || type != SOCK_STREAM)
        return error_set(err, ERR_INVALID, "chardev '%s': fd=%s is no stream socket that this program was given", s->chardev.id, text);
    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &listening_len);
    if (server != (listening != 0))
        return error_set(err, ERR_INVALID, "chardev '%s': the socket fd=%s %s", s->chardev.id, text,
                         server ? "does not listen: leave out server=on" : "listens: give server=on");
    getsockname(fd, (struct sockaddr *)&un, &len);
    s->chardev.description = un.sun_family == AF_UNIX && un.sun_path[0] ? g_strdup_printf("unix:%s%s", un.sun_path, server ? ",server=on" : "")
                                                                         : g_strdup_printf("fd:%ld", fd);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (!server) {
        adopt_peer(s, fd);
        return true;
    }
    s->listener = fd;
    return accept_first(s, wait, err);
}

static bool socket_open(Chardev *c, KeyVals *kv, GError **err)
{
    SocketChardev *s = (SocketChardev *)c;
    InetAddress a = { .len = 0 };
    bool server = false, wait = true;
    s->listener = -1;
    const char *fd = keyvals_take(kv, "fd");
    const char *path = keyvals_take(kv, "path"), *host = keyvals_take(kv, "host"), *port = keyvals_take(kv, "port");
    if (!keyvals_take_bool(kv, "server", &server, err) || !keyvals_take_bool(kv, "wait", &wait, err) || !keyvals_take_bool(kv, "telnet", &s->is_telnet, err) || !keyvals_end(kv, err))
        return false;
    s->port.filter = s->is_telnet ? on_telnet : NULL;
    if (!!path + !!port + !!fd != 1)
        return error_set(err, ERR_INVALID, "chardev '%s': a socket needs one of path=, host= and port=, or fd=", c->id);
    if (fd)
        return inherit(s, fd, server, wait, err);
    c->description = path ? g_strdup_printf("unix:%s", path) : g_strdup_printf("%s:%s:%s", s->is_telnet ? "telnet" : "tcp", host ? host : "", port);
    if (!(path ? unix_address(path, &a, err) : inet_address(host ? host : "", port, SOCK_STREAM, AF_UNSPEC, &a, err)))
        return false;
    return server ? serve(s, &a, path, wait, err) : call(s, &a, err);
}

static void socket_close(Chardev *c)
{
    SocketChardev *s = (SocketChardev *)c;
    fd_port_close(&s->port, 100);
    if (s->accept_source) {
        g_source_destroy(s->accept_source);
        g_source_unref(s->accept_source);
    }
    if (s->listener >= 0)
        close(s->listener);
    if (s->path)
        unlink(s->path);
    g_free(s->path);
}

static void socket_write(Chardev *c, const uint8_t *data, size_t n)
{
    SocketChardev *s = (SocketChardev *)c;
    if (c->connected)
        (s->is_telnet ? telnet_write : fd_port_write)(&s->port, data, n);
}

static size_t socket_room(Chardev *c) { return c->connected ? fd_port_room(&((SocketChardev *)c)->port) : SIZE_MAX; }

static void socket_resume(Chardev *c)
{
    if (((SocketChardev *)c)->port.chardev)
        fd_port_resume(&((SocketChardev *)c)->port);
}

const ChardevBackend chardev_socket = {
    .name = "socket",
    .doc = "path=PATH, or host=HOST, port=PORT, or fd=N (inherited); server=on|off, wait=on|off (a server waits for its first peer), telnet=on|off",
    .size = sizeof(SocketChardev),
    .open = socket_open,
    .close = socket_close,
    .write = socket_write,
    .write_room = socket_room,
    .resume = socket_resume,
};
