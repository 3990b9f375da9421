/* server.c - sockets that are listened on. */
#include <errno.h>
#include <gio/gunixsocketaddress.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/rpc/rpc_inside.h"

typedef struct Listener {
    RpcServer *server;
    GSocket *socket;
    GSource *source;
    RpcTls *tls; /* NULL: of this host */
    char *path; /* removed at the end; NULL: not ours */
    bool readonly;
} Listener;

static void listener_free(gpointer data)
{
    Listener *l = data;
    g_source_destroy(l->source);
    g_source_unref(l->source);
    g_object_unref(l->socket);
    if (l->path)
        unlink(l->path);
    g_free(l->path);
    rpc_tls_unref(l->tls);
    g_free(l);
}

RpcServer *rpc_server_new(const RpcHandlers *handlers, void *opaque)
{
    RpcServer *s = g_new0(RpcServer, 1);
    s->handlers = *handlers;
    s->opaque = opaque;
    s->context = g_main_context_ref_thread_default();
    s->listeners = g_ptr_array_new_with_free_func(listener_free);
    s->connections = g_hash_table_new_full(NULL, NULL, (GDestroyNotify)rpc_connection_unref, NULL);
    return s;
}

void rpc_server_free(RpcServer *s)
{
    if (!s)
        return;
    g_ptr_array_unref(s->listeners);
    g_autoptr(GList) all = g_hash_table_get_keys(s->connections);
    for (GList *l = all; l; l = l->next)
        rpc_close_connection(l->data);
    g_hash_table_unref(s->connections);
    g_main_context_unref(s->context);
    g_free(s);
}

unsigned rpc_server_connections(const RpcServer *s) { return g_hash_table_size(s->connections); }

static gboolean on_connection(GSocket *socket, GIOCondition condition, gpointer data)
{
    Listener *l = data;
    g_autoptr(GError) err = NULL;
    g_autoptr(GSocket) client = g_socket_accept(socket, NULL, &err);
    if (!client) {
        if (!g_error_matches(err, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
            g_warning("cannot take a connection: %s", err->message);
        return G_SOURCE_CONTINUE;
    }
    if (rpc_server_connections(l->server) >= RPC_CONNECTIONS_MAX) {
        g_warning("a client was turned away: %d are connected", RPC_CONNECTIONS_MAX);
        return G_SOURCE_CONTINUE;
    }
    if (l->tls && l->server->strangers >= RPC_STRANGERS_MAX) {
        g_warning("a client was turned away: %d have not shown a certificate yet", RPC_STRANGERS_MAX);
        return G_SOURCE_CONTINUE;
    }
    RpcConnection *c = connection_new(l->server, client, l->readonly, l->tls);
    if (!l->tls)
        connection_known(c);
    return G_SOURCE_CONTINUE;
}

static void listen_on(RpcServer *s, GSocket *socket, const char *path, RpcTls *tls, bool readonly)
{
    Listener *l = g_new0(Listener, 1);
    *l = (Listener){ .server = s, .socket = g_object_ref(socket), .path = g_strdup(path), .tls = tls ? rpc_tls_ref(tls) : NULL, .readonly = readonly };
    g_socket_set_blocking(socket, FALSE);
    l->source = g_socket_create_source(socket, G_IO_IN, NULL);
    g_source_set_callback(l->source, G_SOURCE_FUNC(on_connection), l, NULL);
    g_source_attach(l->source, s->context);
    g_ptr_array_add(s->listeners, l);
}

/* Somebody who answers keeps the name. */
static bool clear_name(const char *path, GSocketAddress *address, GError **err)
{
    g_autoptr(GSocket) probe = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, err);
    if (!probe)
        return false;
    if (g_socket_connect(probe, address, NULL, NULL))
        return error_set(err, ERR_BUSY, "another daemon listens on '%s'", path);
    unlink(path);
    return true;
}

bool rpc_server_listen(RpcServer *s, const char *path, unsigned mode, bool readonly, GError **err)
{
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    if (!clear_name(path, address, err))
        return false;
    g_autoptr(GSocket) socket = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, err);
    mode_t before = umask(~mode & 0777);
    bool bound = socket && g_socket_bind(socket, address, FALSE, err);
    umask(before);
    g_socket_set_listen_backlog(socket, 128);
    if (!bound || !g_socket_listen(socket, err)) {
        g_prefix_error(err, "cannot listen on '%s': ", path);
        return false;
    }
    listen_on(s, socket, path, NULL, readonly);
    return true;
}

bool rpc_server_listen_fd(RpcServer *s, int fd, bool readonly, GError **err)
{
    g_autoptr(GSocket) socket = g_socket_new_from_fd(fd, err);
    if (!socket || !g_socket_listen(socket, err))
        return false;
    listen_on(s, socket, NULL, NULL, readonly);
    return true;
}

/* ---- TCP */
static GSocket *listen_at(const char *address, unsigned port, GError **err)
{
    g_autoptr(GSocketAddress) a = g_inet_socket_address_new_from_string(address, port);
    if (!a) {
        error_set(err, ERR_INVALID, "'%s' is no IP address", address);
        return NULL;
    }
    g_autoptr(GSocket) s = g_socket_new(g_socket_address_get_family(a), G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, err);
    if (!s || !g_socket_bind(s, a, TRUE, err) || !g_socket_listen(s, err)) {
        g_prefix_error(err, "cannot listen for TLS on '%s', port %u: ", address, port);
        return NULL;
    }
    return g_steal_pointer(&s);
}

/* Splits "[ADDRESS]:PORT" and what is shorter. */
static bool split(const char *where, char **ret_address, unsigned *ret_port, GError **err)
{
    const char *colon = strrchr(where, ':'), *bracket = strchr(where, ']');
    bool only_port = *where && !where[strspn(where, "0123456789")];
    bool with_port = only_port || (colon && (bracket ? colon > bracket : strchr(where, ':') == colon));
    const char *port = only_port ? where : with_port ? colon + 1 : NULL;
    g_autofree char *address = only_port ? g_strdup("") : g_strndup(where, with_port ? colon - where : (gssize)strlen(where));
    if (*address == '[' && bracket)
        *strchr(memmove(address, address + 1, strlen(address)), ']') = 0;
    guint64 n = RPC_TLS_PORT;
    if (port && !g_ascii_string_to_unsigned(port, 10, 0, 65535, &n, NULL))
        return error_set(err, ERR_INVALID, "'%s' has no port from 0 to 65535", where);
    *ret_address = g_steal_pointer(&address);
    *ret_port = n;
    return true;
}

bool rpc_server_listen_tls(RpcServer *s, const char *where, RpcTls *tls, GError **err)
{
    g_autofree char *address = NULL;
    unsigned port;
    if (!split(where, &address, &port, err))
        return false;
    g_autoptr(GSocket) socket = *address ? listen_at(address, port, err) : listen_at("::", port, NULL); /* of IPv4 too */
    if (!socket && !*address)
        socket = listen_at("0.0.0.0", port, err);
    if (!socket)
        return false;
    listen_on(s, socket, NULL, tls, false);
    return true;
}
