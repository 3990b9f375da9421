/* server.c - the NBD server's socket, exports and clients. */
#include "block/nbd/server.h"

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/un.h>

#include "base/checked.h"
#include "base/error.h"

/* ---- clients */

static void tell(NbdServer *s, int change, bool served)
{
    g_mutex_lock(&s->lock);
    s->clients += change;
    unsigned n = s->clients;
    g_cond_broadcast(&s->fewer);
    g_mutex_unlock(&s->lock);
    if (s->clients_changed)
        s->clients_changed(s->owner, n, served);
}

static void *serve(void *client)
{
    Client *c = client;
    NbdServer *s = c->server;
    bool served = nbd_negotiate(c);
    if (served)
        nbd_transmit(c);
    link_free(c->link);
    g_mutex_clear(&c->lock);
    g_cond_clear(&c->less);
    g_free(c);
    tell(s, -1, served);
    g_mutex_lock(&s->lock);
    s->threads--; /* from here on s may go */
    g_cond_broadcast(&s->fewer);
    g_mutex_unlock(&s->lock);
    return NULL;
}

static void start_client(NbdServer *s, GSocket *socket)
{
    Client *c = g_new0(Client, 1);
    c->server = s;
    c->link = link_new(socket, s->stop);
    g_mutex_init(&c->lock);
    g_cond_init(&c->less);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1, NULL); /* fails on unix sockets, which need it not */
    g_mutex_lock(&s->lock);
    s->threads++;
    g_mutex_unlock(&s->lock);
    tell(s, 1, false);
    g_thread_unref(g_thread_new("nbd-client", serve, c));
}

static void *accept_clients(void *server)
{
    NbdServer *s = server;
    while (!g_cancellable_is_cancelled(s->stop)) {
        g_mutex_lock(&s->lock);
        while (s->max_clients && s->clients >= s->max_clients && !g_cancellable_is_cancelled(s->stop))
            g_cond_wait_until(&s->fewer, &s->lock, g_get_monotonic_time() + G_TIME_SPAN_SECOND / 5);
        g_mutex_unlock(&s->lock);
        GSocket *socket = g_socket_listener_accept_socket(s->listener, NULL, s->stop, NULL);
        if (socket)
            start_client(s, socket);
        else if (!g_cancellable_is_cancelled(s->stop))
            g_usleep(G_USEC_PER_SEC / 20); /* out of descriptors: let some go first */
    }
    return NULL;
}

/* ---- listening */

/* A socket whose server was killed is in the way, but nobody answers there. */
static void remove_dead_socket(const char *path, GSocketAddress *address)
{
    g_autoptr(GSocket) probe = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL);
    GStatBuf st;
    if (probe && !g_lstat(path, &st) && S_ISSOCK(st.st_mode) && !g_socket_connect(probe, address, NULL, NULL))
        g_unlink(path);
}

static bool listen_unix(NbdServer *s, const char *path, GError **err)
{
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GError) why = NULL;
    if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return error_set(err, ERR_INVALID, "socket path '%s' is too long: at most %zu bytes", path, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
    remove_dead_socket(path, address);
    if (!g_socket_listener_add_address(s->listener, address, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, &why))
        return error_set(err, ERR_BUSY, "cannot listen on unix socket '%s': %s", path, why->message);
    s->socket_path = g_strdup(path);
    return true;
}

static bool listen_tcp(NbdServer *s, const char *host, uint16_t port, GError **err)
{
    g_autoptr(GError) why = NULL;
    if (!host) {
        bool ok = port ? g_socket_listener_add_inet_port(s->listener, port, NULL, &why) : (s->port = g_socket_listener_add_any_inet_port(s->listener, NULL, &why));
        s->port = port ? port : s->port;
        return ok || error_set(err, ERR_BUSY, "cannot listen on TCP port %u: %s", port, why->message);
    }
    g_autoptr(GSocketConnectable) name = g_network_address_new(host, port);
    g_autoptr(GSocketAddressEnumerator) each = g_socket_connectable_enumerate(name);
    g_autoptr(GSocketAddress) address = g_socket_address_enumerator_next(each, NULL, &why), effective = NULL;
    if (!address || !g_socket_listener_add_address(s->listener, address, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL, &effective, &why))
        return error_set(err, ERR_BUSY, "cannot listen on %s port %u: %s", host, port, why ? why->message : "no address");
    s->port = g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(effective));
    return true;
}

static bool listen_fd(NbdServer *s, int fd, GError **err)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(GSocket) socket = g_socket_new_from_fd(fd, &why);
    if (!socket || !g_socket_listener_add_socket(s->listener, socket, NULL, &why))
        return error_set(err, ERR_INVALID, "cannot listen on descriptor %d: %s", fd, why->message);
    return true;
}

/* ---- exports */

static bool add_export(NbdServer *s, const NbdExport *e, GError **err)
{
    BlkInfo info;
    blk_info(e->node, &info);
    uint64_t rest = info.size - MIN(e->off, info.size);
    if (e->off > info.size || (e->len && !range_within(e->off, e->len, info.size)))
        return error_set(err, ERR_INVALID, "cannot export '%s' from offset %" G_GUINT64_FORMAT ": it has only %" G_GUINT64_FORMAT " bytes", info.filename, e->off, info.size);
    if (strlen(e->name) > NBD_MAX_STRING || (e->description && strlen(e->description) > NBD_MAX_STRING))
        return error_set(err, ERR_INVALID, "an export's name and description have at most %d bytes", NBD_MAX_STRING);
    for (const char *const *b = e->bitmaps; b && *b; b++)
        if (!blk_bitmap_find(e->node, *b))
            return error_set(err, ERR_NOT_FOUND, "cannot export bitmap '%s': '%s' has none of that name", *b, info.filename);
    s->export[s->n_exports++] = (Export){ g_strdup(e->name), g_strdup(e->description ? e->description : ""), e->node, e->read_only || info.read_only,
                                          e->allocation_depth, e->off, e->len ? e->len : rest, g_strdupv((char **)e->bitmaps) };
    return true;
}

/* ---- life */

static bool listen_on(NbdServer *s, const NbdServerOptions *o, GError **err)
{
    if (o->fd > 0)
        return listen_fd(s, o->fd, err);
    return o->socket_path ? listen_unix(s, o->socket_path, err) : listen_tcp(s, o->host, o->port, err);
}

NbdServer *nbd_server_start(const NbdServerOptions *o, const NbdExport *exports, unsigned n_exports, GError **err)
{
    NbdServer *s = g_new0(NbdServer, 1);
    g_mutex_init(&s->lock);
    g_cond_init(&s->fewer);
    s->stop = g_cancellable_new();
    s->listener = g_socket_listener_new();
    s->max_clients = o->max_clients;
    s->clients_changed = o->clients_changed;
    s->owner = o->owner;
    s->export = g_new0(Export, n_exports);
    bool ok = !o->tls_creds || (s->creds = tls_creds_load(o->env, o->tls_creds, err)) != NULL;
    for (unsigned i = 0; i < n_exports && ok; i++)
        ok = add_export(s, &exports[i], err);
    if (!ok || !listen_on(s, o, err)) {
        nbd_server_close(s);
        return NULL;
    }
    s->thread = g_thread_new("nbd-accept", accept_clients, s);
    return s;
}

uint16_t nbd_server_port(const NbdServer *s) { return s->port; }

static void wait_for_clients(NbdServer *s)
{
    g_mutex_lock(&s->lock);
    while (s->threads)
        g_cond_wait(&s->fewer, &s->lock);
    g_mutex_unlock(&s->lock);
}

void nbd_server_close(NbdServer *s)
{
    if (!s)
        return;
    s->clients_changed = NULL;
    g_cancellable_cancel(s->stop);
    if (s->thread)
        g_thread_join(s->thread);
    wait_for_clients(s);
    g_socket_listener_close(s->listener);
    if (s->socket_path)
        g_unlink(s->socket_path);
    for (unsigned i = 0; i < s->n_exports; i++) {
        g_free(s->export[i].name);
        g_free(s->export[i].description);
        g_strfreev(s->export[i].bitmaps);
    }
    tls_creds_free(s->creds);
    g_object_unref(s->listener);
    g_object_unref(s->stop);
    g_mutex_clear(&s->lock);
    g_cond_clear(&s->fewer);
    g_free(s->socket_path);
    g_free(s->export);
    g_free(s);
}
