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
#include "block/driver.h"

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
    g_mutex_lock(&s->lock);
    g_ptr_array_remove_fast(s->all, c); /* what it has used may go */
    g_mutex_unlock(&s->lock);
    g_object_unref(c->stop);
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
    c->stop = g_cancellable_new();
    c->link = link_new(socket, c->stop);
    g_mutex_init(&c->lock);
    g_cond_init(&c->less);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1, NULL); /* fails on unix sockets, which need it not */
    g_mutex_lock(&s->lock);
    s->threads++;
    g_ptr_array_add(s->all, c);
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

static Export *find_export(const NbdServer *s, const char *name)
{
    for (unsigned i = 0; i < s->exports->len; i++)
        if (g_str_equal(((Export *)s->exports->pdata[i])->name, name))
            return s->exports->pdata[i];
    return NULL;
}

const Export *nbd_hold_export(Client *c, const char *name)
{
    g_mutex_lock(&c->server->lock);
    const Export *e = c->in_hand = find_export(c->server, name);
    g_mutex_unlock(&c->server->lock);
    return e;
}

void nbd_keep_export(Client *c, const Export **which)
{
    g_mutex_lock(&c->server->lock);
    *which = c->in_hand;
    g_mutex_unlock(&c->server->lock);
}

void nbd_let_export_go(Client *c)
{
    g_mutex_lock(&c->server->lock);
    c->in_hand = NULL;
    g_cond_broadcast(&c->server->fewer);
    g_mutex_unlock(&c->server->lock);
}

static void hold_bitmaps(const NbdExport *e, bool busy)
{
    for (const char *const *b = e->bitmaps; b && *b; b++)
        bitmap_set_busy(blk_bitmap_find(e->node, *b), busy);
}

static void free_export(void *export)
{
    Export *e = export;
    hold_bitmaps(&(NbdExport){ .node = e->node, .bitmaps = (const char *const *)e->bitmaps }, false);
    g_free(e->name);
    g_free(e->description);
    g_strfreev(e->bitmaps);
    g_free(e);
}

static bool check_bitmap(const NbdExport *e, const char *name, GError **err)
{
    BlkInfo image;
    BlkBitmapInfo info;
    BlkBitmap *b = blk_bitmap_find(e->node, name);
    blk_info(e->node, &image);
    if (!b)
        return error_set(err, ERR_NOT_FOUND, "cannot export bitmap '%s': '%s' has none of that name", name, image.filename);
    blk_bitmap_info(b, &info);
    return !info.busy || error_set(err, ERR_BUSY, "cannot export bitmap '%s' of '%s': a job or an export uses it", name, image.filename);
}

bool nbd_server_add_export(NbdServer *s, const NbdExport *e, GError **err)
{
    BlkInfo info;
    blk_info(e->node, &info);
    uint64_t rest = info.size - MIN(e->off, info.size);
    if (e->off > info.size || (e->len && !range_within(e->off, e->len, info.size)))
        return error_set(err, ERR_INVALID, "cannot export '%s' from offset %" G_GUINT64_FORMAT ": it has only %" G_GUINT64_FORMAT " bytes", info.filename, e->off, info.size);
    if (strlen(e->name) > NBD_MAX_STRING || (e->description && strlen(e->description) > NBD_MAX_STRING))
        return error_set(err, ERR_INVALID, "an export's name and description have at most %d bytes", NBD_MAX_STRING);
    for (const char *const *b = e->bitmaps; b && *b; b++)
        if (!check_bitmap(e, *b, err))
            return false;
    Export *x = g_new(Export, 1);
    *x = (Export){ g_strdup(e->name), g_strdup(e->description ? e->description : ""), e->node, e->read_only || info.read_only,
                   e->allocation_depth, e->writethrough, e->off, e->len ? e->len : rest, g_strdupv((char **)e->bitmaps) };
    g_mutex_lock(&s->lock);
    bool taken = find_export(s, e->name);
    if (!taken)
        g_ptr_array_add(s->exports, x);
    g_mutex_unlock(&s->lock);
    if (!taken) {
        hold_bitmaps(e, true);
        return true;
    }
    g_clear_pointer(&x->bitmaps, g_strfreev); /* they are not held for this one */
    free_export(x);
    return error_set(err, ERR_BUSY, "NBD server already has export named '%s'", e->name);
}

/* Ends the clients that use e if `end`; says whether there are some. */
static bool has_users(NbdServer *s, const Export *e, bool end)
{
    bool found = false;
    for (unsigned i = 0; i < s->all->len; i++) {
        Client *c = s->all->pdata[i];
        if (c->in_hand != e && c->export != e && c->contexts_of != e)
            continue;
        found = true;
        if (end)
            g_cancellable_cancel(c->stop);
    }
    return found;
}

static bool take_away(NbdServer *s, const char *name, bool hard, GError **err)
{
    Export *e = find_export(s, name);
    if (!e)
        return error_set(err, ERR_NOT_FOUND, "Export '%s' is not found", name);
    if (!hard && has_users(s, e, false))
        return error_set(err, ERR_BUSY, "export '%s' still in use: let its clients go, or say mode=hard", name);
    guint at;
    g_ptr_array_find(s->exports, e, &at);
    g_ptr_array_steal_index(s->exports, at);
    while (has_users(s, e, true))
        g_cond_wait(&s->fewer, &s->lock);
    free_export(e);
    return true;
}

bool nbd_server_remove_export(NbdServer *s, const char *name, bool hard, GError **err)
{
    g_mutex_lock(&s->lock);
    bool ok = take_away(s, name, hard, err);
    g_mutex_unlock(&s->lock);
    return ok;
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
    s->exports = g_ptr_array_new_with_free_func(free_export);
    s->all = g_ptr_array_new();
    bool ok = !o->tls_creds || (s->creds = tls_creds_load(o->env, o->tls_creds, err)) != NULL;
    for (unsigned i = 0; i < n_exports && ok; i++)
        ok = nbd_server_add_export(s, &exports[i], err);
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
    for (unsigned i = 0; i < s->all->len; i++)
        g_cancellable_cancel(((Client *)s->all->pdata[i])->stop);
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
    g_ptr_array_unref(s->exports);
    g_ptr_array_unref(s->all);
    tls_creds_free(s->creds);
    g_object_unref(s->listener);
    g_object_unref(s->stop);
    g_mutex_clear(&s->lock);
    g_cond_clear(&s->fewer);
    g_free(s->socket_path);
    g_free(s);
}
