/* listen.c - where viewers knock: TCP ports from 5900 on, or a UNIX socket. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "console/vnc/inside.h"

enum { BASE_PORT = 5900 };

/* ---- knocking */

static void name_peer(const struct sockaddr_storage *a, socklen_t len, VncServer *s, int fd)
{
    char host[NI_MAXHOST] = "", service[NI_MAXSERV] = "";
    if (a->ss_family == AF_UNIX) {
        vnc_accept(s, fd, s->path, "", "unix");
        return;
    }
    getnameinfo((const struct sockaddr *)a, len, host, sizeof(host), service, sizeof(service), NI_NUMERICHOST | NI_NUMERICSERV);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    vnc_accept(s, fd, host, service, a->ss_family == AF_INET6 ? "ipv6" : "ipv4");
}

static gboolean on_knock(int fd, GIOCondition condition, void *opaque)
{
    struct sockaddr_storage a = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof(a);
    int peer = accept4(fd, (struct sockaddr *)&a, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (peer >= 0)
        name_peer(&a, len, opaque, peer);
    return G_SOURCE_CONTINUE;
}

static void watch(VncServer *s, int fd)
{
    GSource *source = g_unix_fd_source_new(fd, G_IO_IN);
    g_source_set_callback(source, G_SOURCE_FUNC(on_knock), s, NULL);
    g_source_attach(source, NULL);
    g_array_append_val(s->listen_fds, fd);
    g_array_append_val(s->listen_sources, source);
}

/* ---- opening */

static int bind_to(const struct sockaddr *a, socklen_t len, int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 1 }, sizeof(int));
    if (bind(fd, a, len) == 0 && listen(fd, 8) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* Every address that the name has, as far as this host speaks its family.  0 or an errno. */
static int listen_on_all(VncServer *s, const struct addrinfo *list)
{
    int first = EADDRNOTAVAIL;
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        int fd = bind_to(a->ai_addr, a->ai_addrlen, a->ai_family);
        if (fd < 0 && errno == EADDRINUSE) {
            vnc_unlisten(s);
            return EADDRINUSE;
        }
        if (fd < 0) {
            first = errno;
            continue;
        }
        g_free(s->family);
        s->family = g_strdup(a->ai_family == AF_INET6 ? "ipv6" : "ipv4");
        watch(s, fd);
    }
    return s->listen_fds->len ? 0 : first;
}

static bool listen_tcp(VncServer *s, const VncConfig *c, GError **err)
{
    const char *host = c->host && *c->host ? c->host : NULL;
    int problem = EADDRINUSE;
    for (unsigned n = c->display; n <= MAX(c->to, c->display) && problem == EADDRINUSE; n++) {
        struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *list;
        g_autofree char *port = g_strdup_printf("%u", BASE_PORT + n);
        int status = getaddrinfo(host, port, &hints, &list);
        if (status)
            return error_set(err, ERR_INVALID, "-vnc: cannot find the address of host '%s': %s", host ? host : "", gai_strerror(status));
        problem = listen_on_all(s, list);
        freeaddrinfo(list);
        g_free(s->service);
        s->service = g_steal_pointer(&port);
    }
    if (problem == EADDRINUSE)
        return error_set(err, ERR_BUSY, "-vnc: port %u of %s is in use by another program%s; choose another display number, or a range by to=",
                         BASE_PORT + c->display, host ? host : "this host", c->to > c->display ? ", and so are those up to to=" : "");
    return !problem || error_set_errno(err, problem, "-vnc: cannot listen on port %u of %s", BASE_PORT + c->display, host ? host : "this host");
}

/* A socket that nobody listens to any more is left over from a machine that died. */
static bool is_stale(const struct sockaddr_un *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

static bool listen_unix(VncServer *s, const char *path, GError **err)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    if (g_strlcpy(a.sun_path, path, sizeof(a.sun_path)) >= sizeof(a.sun_path))
        return error_set(err, ERR_INVALID, "-vnc: the path '%s' is longer than the %zu bytes that a socket's name may have", path, sizeof(a.sun_path) - 1);
    int fd = bind_to((struct sockaddr *)&a, sizeof(a), AF_UNIX);
    if (fd < 0 && errno == EADDRINUSE && is_stale(&a) && unlink(path) == 0)
        fd = bind_to((struct sockaddr *)&a, sizeof(a), AF_UNIX);
    if (fd < 0)
        return error_set_errno(err, errno, "-vnc: cannot listen on 'unix:%s'", path);
    s->path = g_strdup(path);
    s->service = g_strdup("");
    s->family = g_strdup("unix");
    watch(s, fd);
    return true;
}

bool vnc_listen(VncServer *s, const VncConfig *c, GError **err)
{
    s->host = g_strdup(c->path ? c->path : c->host && *c->host ? c->host : "0.0.0.0");
    return c->path ? listen_unix(s, c->path, err) : listen_tcp(s, c, err);
}

void vnc_unlisten(VncServer *s)
{
    for (unsigned i = 0; i < s->listen_fds->len; i++) {
        GSource *source = g_array_index(s->listen_sources, GSource *, i);
        g_source_destroy(source);
        g_source_unref(source);
        close(g_array_index(s->listen_fds, int, i));
    }
    g_array_set_size(s->listen_fds, 0);
    g_array_set_size(s->listen_sources, 0);
    if (s->path)
        unlink(s->path);
}
