/* connection.c - AtollConnection: an open URI, calls by name, what the daemon tells of its own accord. */
#include "manage/api/api_inside.h"
#include "manage/api/transport.h"
#include "manage/rpc/xdr.h"

struct _AtollConnection {
    GObject parent_instance;
    Transport *transport;
    char *uri;
    gint closed;
};

enum { SIGNAL_EVENT, SIGNAL_DOMAIN, SIGNAL_NETWORK, SIGNAL_POOL, SIGNAL_CLOSED, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_QUARK(atoll-manager-error, atoll_manager_error)
G_DEFINE_FINAL_TYPE(AtollConnection, atoll_connection, G_TYPE_OBJECT)

static void atoll_connection_dispose(GObject *object)
{
    AtollConnection *self = ATOLL_CONNECTION(object);
    if (self->transport)
        transport_close(self->transport);
    g_clear_pointer(&self->transport, transport_unref);
    G_OBJECT_CLASS(atoll_connection_parent_class)->dispose(object);
}

static void atoll_connection_finalize(GObject *object)
{
    g_free(ATOLL_CONNECTION(object)->uri);
    G_OBJECT_CLASS(atoll_connection_parent_class)->finalize(object);
}

static guint signal_new(AtollConnectionClass *class, const char *name, guint n, const GType types[n])
{
    return g_signal_newv(name, G_TYPE_FROM_CLASS(class), G_SIGNAL_RUN_LAST, NULL, NULL, NULL, NULL, G_TYPE_NONE, n, (GType *)types);
}

static void atoll_connection_class_init(AtollConnectionClass *class)
{
    G_OBJECT_CLASS(class)->dispose = atoll_connection_dispose;
    G_OBJECT_CLASS(class)->finalize = atoll_connection_finalize;
    /**
     * AtollConnection::event:
     * @self: the connection
     * @name: the procedure of libvirt's protocol, such as `DOMAIN_EVENT_CALLBACK_REBOOT`
     * @values: its tuple; begins with the number that the subscription returned
     *
     * Anything that was subscribed to.
     */
    signals[SIGNAL_EVENT] = signal_new(class, "event", 2, (GType[]){ G_TYPE_STRING, G_TYPE_VARIANT });
    /**
     * AtollConnection::domain-lifecycle:
     * @self: the connection
     * @domain: the domain
     * @event: what happened: 0 defined, 1 undefined, 2 started, 3 suspended, 4 resumed, 5 stopped, 6 shut down, 7 PM suspended, 8 crashed
     * @detail: and why
     *
     * Comes after atoll_connection_watch_domains_sync() with event 0.
     */
    signals[SIGNAL_DOMAIN] = signal_new(class, "domain-lifecycle", 3, (GType[]){ ATOLL_TYPE_DOMAIN, G_TYPE_INT, G_TYPE_INT });
    /**
     * AtollConnection::network-lifecycle:
     * @self: the connection
     * @network: the network
     * @event: what happened
     * @detail: and why
     */
    signals[SIGNAL_NETWORK] = signal_new(class, "network-lifecycle", 3, (GType[]){ ATOLL_TYPE_NETWORK, G_TYPE_INT, G_TYPE_INT });
    /**
     * AtollConnection::pool-lifecycle:
     * @self: the connection
     * @pool: the pool
     * @event: what happened
     * @detail: and why
     */
    signals[SIGNAL_POOL] = signal_new(class, "pool-lifecycle", 3, (GType[]){ ATOLL_TYPE_POOL, G_TYPE_INT, G_TYPE_INT });
    /**
     * AtollConnection::closed:
     * @self: the connection
     *
     * The daemon has gone away.
     */
    signals[SIGNAL_CLOSED] = signal_new(class, "closed", 0, NULL);
}

static void atoll_connection_init(AtollConnection *self) { }

/* ---- events: from the reading thread to the context that the connection was opened in */

typedef struct Listener {
    GWeakRef connection;
    GMainContext *context;
} Listener;

typedef struct Told {
    AtollConnection *connection;
    const Procedure *procedure; /* NULL: the end */
    GVariant *values;
} Told;

static void told_free(gpointer data)
{
    Told *t = data;
    g_object_unref(t->connection);
    g_clear_pointer(&t->values, g_variant_unref);
    g_free(t);
}

static void emit_lifecycle(Told *t, guint signal, GType type, GVariant *values, guint first)
{
    int event, detail;
    g_autoptr(GVariant) handle = g_variant_get_child_value(values, first);
    g_autoptr(AtollObject) object = atoll_object_new(type, t->connection, handle);
    g_variant_get_child(values, first + 1, "i", &event);
    g_variant_get_child(values, first + 2, "i", &detail);
    g_signal_emit(t->connection, signals[signal], 0, object, event, detail);
}

static gboolean emit(gpointer data)
{
    Told *t = data;
    if (!t->procedure) {
        g_signal_emit(t->connection, signals[SIGNAL_CLOSED], 0);
        return G_SOURCE_REMOVE;
    }
    g_signal_emit(t->connection, signals[SIGNAL_EVENT], 0, t->procedure->name, t->values);
    if (!strcmp(t->procedure->name, "DOMAIN_EVENT_CALLBACK_LIFECYCLE")) {
        g_autoptr(GVariant) inner = g_variant_get_child_value(t->values, 1);
        emit_lifecycle(t, SIGNAL_DOMAIN, ATOLL_TYPE_DOMAIN, inner, 0);
    } else if (!strcmp(t->procedure->name, "NETWORK_EVENT_LIFECYCLE")) {
        emit_lifecycle(t, SIGNAL_NETWORK, ATOLL_TYPE_NETWORK, t->values, 1);
    } else if (!strcmp(t->procedure->name, "STORAGE_POOL_EVENT_LIFECYCLE")) {
        emit_lifecycle(t, SIGNAL_POOL, ATOLL_TYPE_POOL, t->values, 1);
    }
    return G_SOURCE_REMOVE;
}

static void tell(const Procedure *p, GVariant *values, gpointer opaque)
{
    Listener *l = opaque;
    AtollConnection *c = g_weak_ref_get(&l->connection);
    if (!c)
        return;
    Told *t = g_new(Told, 1);
    *t = (Told){ c, p, values ? g_variant_ref(values) : NULL };
    g_autoptr(GSource) source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, emit, t, told_free);
    g_source_attach(source, l->context);
}

static void on_closed(gpointer opaque)
{
    Listener *l = opaque;
    g_autoptr(AtollConnection) c = g_weak_ref_get(&l->connection);
    if (c)
        g_atomic_int_set(&c->closed, 1);
    tell(NULL, NULL, opaque);
}

static void listener_free(gpointer data)
{
    Listener *l = data;
    g_weak_ref_clear(&l->connection);
    g_main_context_unref(l->context);
    g_free(l);
}

/* ---- opening */

enum { FEATURE_KEEPALIVE = 10 };

/* The calls with which libvirt's clients begin. */
static gboolean greet(AtollConnection *self, const char *name, gboolean readonly, GCancellable *cancellable, GError **error)
{
    g_autoptr(GVariant) auth = atoll_connection_call_sync(self, "AUTH_LIST", NULL, cancellable, error);
    if (!auth)
        return FALSE;
    g_autoptr(GVariant) keepalive = atoll_connection_call_sync(self, "CONNECT_SUPPORTS_FEATURE", g_variant_new("(i)", FEATURE_KEEPALIVE), cancellable, NULL);
    g_autoptr(GVariant) opened = atoll_connection_call_sync(self, "CONNECT_OPEN", g_variant_new("(msu)", name, readonly ? 1 : 0), cancellable, error);
    return opened != NULL;
}

static AtollConnection *open_uri(const char *uri, AtollOpenFlags flags, GMainContext *context, GCancellable *cancellable, GError **error)
{
    static const TransportEvents events = { tell, on_closed };
    g_autofree char *name = NULL;
    GSocket *socket = endpoint_connect(uri, flags, &name, cancellable, error);
    if (!socket)
        return NULL;
    g_autoptr(AtollConnection) self = g_object_new(ATOLL_TYPE_CONNECTION, NULL);
    Listener *l = g_new0(Listener, 1);
    g_weak_ref_init(&l->connection, self);
    l->context = g_main_context_ref(context);
    self->uri = g_strdup(name);
    self->transport = transport_new(socket, &events, l, listener_free);
    return greet(self, name, flags & ATOLL_OPEN_READONLY, cancellable, error) ? g_steal_pointer(&self) : NULL;
}

/**
 * atoll_connection_open_sync:
 * @uri: (nullable): `atoll:///system`, `atoll:///session`, `test:///default`, `atoll+ssh://HOST/system`; %NULL: what suits the user
 * @flags: how
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Connects to the daemon. Where no daemon of the user's session runs, one is started, and ends by itself when it is no longer needed.
 *
 * Returns: (transfer full): the connection
 */
AtollConnection *atoll_connection_open_sync(const char *uri, AtollOpenFlags flags, GCancellable *cancellable, GError **error)
{
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();
    return open_uri(uri, flags, context, cancellable, error);
}

typedef struct Opening {
    char *uri;
    AtollOpenFlags flags;
    GMainContext *context;
} Opening;

static void opening_free(gpointer data)
{
    Opening *o = data;
    g_free(o->uri);
    g_main_context_unref(o->context);
    g_free(o);
}

static void open_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    const Opening *o = data;
    GError *error = NULL;
    AtollConnection *c = open_uri(o->uri, o->flags, o->context, cancellable, &error);
    if (c)
        g_task_return_pointer(task, c, g_object_unref);
    else
        g_task_return_error(task, error);
}

/**
 * atoll_connection_open:
 * @uri: (nullable): as for atoll_connection_open_sync()
 * @flags: how
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async): called when it is open, or has failed
 * @user_data: for @callback
 */
void atoll_connection_open(const char *uri, AtollOpenFlags flags, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
    g_autoptr(GTask) task = g_task_new(NULL, cancellable, callback, user_data);
    Opening *o = g_new(Opening, 1);
    *o = (Opening){ g_strdup(uri), flags, g_main_context_ref_thread_default() };
    g_task_set_task_data(task, o, opening_free);
    g_task_run_in_thread(task, open_thread);
}

/**
 * atoll_connection_open_finish: (constructor)
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Returns: (transfer full): the connection
 */
AtollConnection *atoll_connection_open_finish(GAsyncResult *result, GError **error) { return g_task_propagate_pointer(G_TASK(result), error); }

/**
 * atoll_connection_close:
 * @self: the connection
 *
 * Ends it now; calls under way fail.
 */
void atoll_connection_close(AtollConnection *self) { transport_close(self->transport); }

/**
 * atoll_connection_get_uri:
 * @self: the connection
 *
 * Returns: the URI that it was opened with
 */
const char *atoll_connection_get_uri(AtollConnection *self) { return self->uri; }

/**
 * atoll_connection_is_open:
 * @self: the connection
 *
 * Returns: whether the daemon is still there
 */
gboolean atoll_connection_is_open(AtollConnection *self) { return !g_atomic_int_get(&self->closed); }

/* ---- calls */

static const Procedure *procedure_called(const char *name, GError **error)
{
    const Procedure *p = procedure_named(name);
    if (p && p->right != RPC_EVENT)
        return p;
    g_set_error(error, ATOLL_MANAGER_ERROR, ATOLL_MANAGER_ERROR_INVALID_ARG, "there is no procedure '%s'", name);
    return NULL;
}

static GVariant *or_nothing(GVariant *arguments) { return arguments ? arguments : g_variant_new_tuple(NULL, 0); }

/**
 * atoll_connection_call_sync:
 * @self: the connection
 * @procedure: its name, such as `DOMAIN_GET_STATE`
 * @arguments: (nullable): a tuple; consumed if floating
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Calls any procedure of libvirt's protocol; what has a function of its own is called more comfortably by that.
 *
 * Returns: (transfer full): its results, a tuple
 */
GVariant *atoll_connection_call_sync(AtollConnection *self, const char *procedure, GVariant *arguments, GCancellable *cancellable, GError **error)
{
    g_autoptr(GVariant) args = g_variant_ref_sink(or_nothing(arguments));
    const Procedure *p = procedure_called(procedure, error);
    return p ? transport_call(self->transport, p, args, NULL, cancellable, error) : NULL;
}

/**
 * atoll_connection_call:
 * @self: the connection
 * @procedure: its name
 * @arguments: (nullable): a tuple; consumed if floating
 * @cancellable: (nullable): a #GCancellable
 * @callback: called with the reply
 * @user_data: for @callback
 */
void atoll_connection_call(AtollConnection *self, const char *procedure, GVariant *arguments, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
    g_autoptr(GTask) task = g_task_new(self, cancellable, callback, user_data);
    g_autoptr(GVariant) args = g_variant_ref_sink(or_nothing(arguments));
    GError *error = NULL;
    const Procedure *p = procedure_called(procedure, &error);
    if (p)
        transport_call_task(self->transport, p, args, task);
    else
        g_task_return_error(task, error);
}

/**
 * atoll_connection_call_finish:
 * @self: the connection
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Returns: (transfer full): the results, a tuple
 */
GVariant *atoll_connection_call_finish(AtollConnection *self, GAsyncResult *result, GError **error) { return g_task_propagate_pointer(G_TASK(result), error); }

/**
 * atoll_connection_call_fd_sync:
 * @self: the connection
 * @procedure: one that answers with a descriptor: `DOMAIN_OPEN_GRAPHICS_FD`
 * @arguments: (nullable): a tuple; consumed if floating
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Returns: the descriptor, the caller's; -1 on failure
 */
int atoll_connection_call_fd_sync(AtollConnection *self, const char *procedure, GVariant *arguments, GCancellable *cancellable, GError **error)
{
    g_autoptr(GVariant) args = g_variant_ref_sink(or_nothing(arguments));
    const Procedure *p = procedure_called(procedure, error);
    int fd = -1;
    g_autoptr(GVariant) result = p ? transport_call(self->transport, p, args, &fd, cancellable, error) : NULL;
    if (result && fd < 0)
        g_set_error(error, ATOLL_MANAGER_ERROR, ATOLL_MANAGER_ERROR_RPC, "%s answered without a descriptor", procedure);
    return fd;
}

/**
 * atoll_connection_get_result_type:
 * @procedure: a procedure's name
 *
 * Returns: (transfer full) (nullable): the #GVariant type of its results
 */
char *atoll_connection_get_result_type(const char *procedure)
{
    const Procedure *p = procedure_named(procedure);
    return p ? xdr_type(p->ret) : NULL;
}

/* ---- streams */

struct _AtollStream {
    GObject parent_instance;
    Pipe *pipe;
};

G_DEFINE_FINAL_TYPE(AtollStream, atoll_stream, G_TYPE_OBJECT)

static void atoll_stream_finalize(GObject *object)
{
    pipe_free(ATOLL_STREAM(object)->pipe);
    G_OBJECT_CLASS(atoll_stream_parent_class)->finalize(object);
}

static void atoll_stream_class_init(AtollStreamClass *class) { G_OBJECT_CLASS(class)->finalize = atoll_stream_finalize; }
static void atoll_stream_init(AtollStream *self) { }

/**
 * atoll_connection_open_stream_sync:
 * @self: the connection
 * @procedure: one that a stream follows, such as `DOMAIN_OPEN_CONSOLE`
 * @arguments: (nullable): a tuple; consumed if floating
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Returns: (transfer full): the stream
 */
AtollStream *atoll_connection_open_stream_sync(AtollConnection *self, const char *procedure, GVariant *arguments, GCancellable *cancellable, GError **error)
{
    g_autoptr(GVariant) args = g_variant_ref_sink(or_nothing(arguments));
    const Procedure *p = procedure_called(procedure, error);
    if (!p)
        return NULL;
    if (p->stream == RPC_NO_STREAM) {
        g_set_error(error, ATOLL_MANAGER_ERROR, ATOLL_MANAGER_ERROR_INVALID_ARG, "no stream follows %s", procedure);
        return NULL;
    }
    Pipe *pipe;
    g_autoptr(GVariant) result = transport_open_pipe(self->transport, p, args, &pipe, cancellable, error);
    if (!result)
        return NULL;
    AtollStream *s = g_object_new(ATOLL_TYPE_STREAM, NULL);
    s->pipe = pipe;
    return s;
}

/**
 * atoll_stream_send_sync:
 * @self: the stream
 * @data: what to send
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Returns: whether it has gone out
 */
gboolean atoll_stream_send_sync(AtollStream *self, GBytes *data, GCancellable *cancellable, GError **error)
{
    gsize bytes;
    gconstpointer at = g_bytes_get_data(data, &bytes);
    return !g_cancellable_set_error_if_cancelled(cancellable, error) && pipe_send(self->pipe, at, bytes, error);
}

/**
 * atoll_stream_receive_sync:
 * @self: the stream
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Waits for data.
 *
 * Returns: (transfer full): what has come; empty at the end
 */
GBytes *atoll_stream_receive_sync(AtollStream *self, GCancellable *cancellable, GError **error) { return pipe_receive(self->pipe, cancellable, error); }

static void receive_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    GError *error = NULL;
    GBytes *bytes = pipe_receive(ATOLL_STREAM(source)->pipe, cancellable, &error);
    if (bytes)
        g_task_return_pointer(task, bytes, (GDestroyNotify)g_bytes_unref);
    else
        g_task_return_error(task, error);
}

/**
 * atoll_stream_receive:
 * @self: the stream
 * @cancellable: (nullable): a #GCancellable
 * @callback: called when data or the end has come
 * @user_data: for @callback
 */
void atoll_stream_receive(AtollStream *self, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
    g_autoptr(GTask) task = g_task_new(self, cancellable, callback, user_data);
    g_task_run_in_thread(task, receive_thread);
}

/**
 * atoll_stream_receive_finish:
 * @self: the stream
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Returns: (transfer full): what has come; empty at the end
 */
GBytes *atoll_stream_receive_finish(AtollStream *self, GAsyncResult *result, GError **error) { return g_task_propagate_pointer(G_TASK(result), error); }

/**
 * atoll_stream_finish_sync:
 * @self: the stream
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Says that all has been sent, or received, and waits until the daemon has seen that.
 *
 * Returns: whether all went well at its end too
 */
gboolean atoll_stream_finish_sync(AtollStream *self, GCancellable *cancellable, GError **error) { return pipe_finish(self->pipe, cancellable, error); }

/**
 * atoll_stream_abort:
 * @self: the stream
 *
 * Ends it without success.
 */
void atoll_stream_abort(AtollStream *self) { pipe_abort(self->pipe); }
