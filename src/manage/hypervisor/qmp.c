/* qmp.c - a client of QMP. */
#include "manage/hypervisor/qmp.h"

#include <gio/gunixfdmessage.h>
#include <gio/gunixsocketaddress.h>
#include <stdarg.h>
#include <string.h>

#include "base/error.h"

enum { READ_BYTES = 64 << 10 };

struct Qmp {
    gatomicrefcount refs;
    GSocket *socket;
    GSource *source;
    GByteArray *in;
    QmpListener listener;
    void *opaque;
    GMutex lock; /* what follows */
    GCond cond;
    bool greeted, closed;
    guint64 next_id;
    GHashTable *replies; /* id -> JsonNode, for who waits; NULL value: not there yet */
};

static void qmp_unref(Qmp *q)
{
    if (!g_atomic_ref_count_dec(&q->refs))
        return;
    g_object_unref(q->socket);
    g_byte_array_unref(q->in);
    g_hash_table_unref(q->replies);
    g_mutex_clear(&q->lock);
    g_cond_clear(&q->cond);
    g_free(q);
}

static void wake(Qmp *q, bool greeted, bool closed)
{
    g_mutex_lock(&q->lock);
    q->greeted |= greeted;
    q->closed |= closed;
    g_cond_broadcast(&q->cond);
    g_mutex_unlock(&q->lock);
}

static void take_reply(Qmp *q, JsonNode *root, JsonObject *o)
{
    JsonNode *id = json_object_get_member(o, "id");
    if (!id || !JSON_NODE_HOLDS_VALUE(id) || json_node_get_value_type(id) != G_TYPE_INT64)
        return;
    gpointer key = GSIZE_TO_POINTER(json_node_get_int(id));
    g_mutex_lock(&q->lock);
    if (g_hash_table_contains(q->replies, key))
        g_hash_table_insert(q->replies, key, json_node_copy(root));
    g_cond_broadcast(&q->cond);
    g_mutex_unlock(&q->lock);
}

static void take_event(Qmp *q, JsonObject *o)
{
    const char *name = qmp_text(o, "event", NULL);
    JsonNode *data = json_object_get_member(o, "data");
    g_autoptr(JsonObject) none = json_object_new();
    if (name && q->listener.event)
        q->listener.event(name, data && JSON_NODE_HOLDS_OBJECT(data) ? json_node_get_object(data) : none, q->opaque);
}

static bool take_line(Qmp *q, const char *line, gsize bytes)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    if (!json_parser_load_from_data(parser, line, bytes, NULL))
        return false;
    JsonNode *root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root))
        return false;
    JsonObject *o = json_node_get_object(root);
    if (json_object_has_member(o, "QMP"))
        wake(q, true, false);
    else if (json_object_has_member(o, "event"))
        take_event(q, o);
    else
        take_reply(q, root, o);
    return true;
}

static bool take_lines(Qmp *q)
{
    guint start = 0;
    bool ok = true;
    for (guint8 *end; ok && q->source && (end = memchr(q->in->data + start, '\n', q->in->len - start));) {
        guint bytes = end - q->in->data - start;
        ok = !bytes || (bytes == 1 && q->in->data[start] == '\r') || take_line(q, (char *)q->in->data + start, bytes);
        start += bytes + 1;
    }
    g_byte_array_remove_range(q->in, 0, start);
    return ok && q->in->len <= QMP_LINE_MAX;
}

static void close_source(Qmp *q)
{
    if (q->source) {
        g_source_destroy(q->source);
        g_clear_pointer(&q->source, g_source_unref);
    }
}

static gboolean on_readable(GSocket *socket, GIOCondition condition, gpointer data)
{
    Qmp *q = data;
    g_autoptr(GError) err = NULL;
    guint had = q->in->len;
    g_byte_array_set_size(q->in, had + READ_BYTES);
    gssize n = g_socket_receive(socket, (char *)q->in->data + had, READ_BYTES, NULL, &err);
    g_byte_array_set_size(q->in, had + MAX(n, 0));
    if (g_error_matches(err, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK) || (n > 0 && take_lines(q)))
        return q->source ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
    if (!q->source)
        return G_SOURCE_REMOVE;
    close_source(q);
    wake(q, false, true);
    q->listener.closed(q->opaque);
    return G_SOURCE_REMOVE;
}

/* Waits for `ready`; the lock is held. */
static bool wait_for(Qmp *q, bool (*ready)(Qmp *q, gpointer key), gpointer key, const char *what, GError **err)
{
    gint64 end = g_get_monotonic_time() + QMP_TIMEOUT_S * G_USEC_PER_SEC;
    while (!ready(q, key) && !q->closed)
        if (!g_cond_wait_until(&q->cond, &q->lock, end))
            return error_set(err, ERR_IO, "the machine's monitor has not answered %s for %d s: it hangs; `destroy` ends it", what, QMP_TIMEOUT_S);
    return ready(q, key) || error_set(err, ERR_IO, "the machine ended before it answered %s", what);
}

static bool is_greeted(Qmp *q, gpointer key) { return q->greeted; }
static bool has_reply(Qmp *q, gpointer key) { return g_hash_table_lookup(q->replies, key); }

static void free_reply(gpointer node)
{
    if (node)
        json_node_unref(node);
}

static bool greet(Qmp *q, GError **err)
{
    g_mutex_lock(&q->lock);
    bool ok = wait_for(q, is_greeted, NULL, "the connection", err);
    g_mutex_unlock(&q->lock);
    return ok && qmp_execute(q, "qmp_capabilities", NULL, NULL, err);
}

Qmp *qmp_connect(const char *path, const QmpListener *l, void *opaque, GError **err)
{
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GSocket) socket = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, err);
    if (!socket || !g_socket_connect(socket, address, NULL, err)) {
        g_prefix_error(err, "cannot reach the machine's monitor at '%s': ", path);
        return NULL;
    }
    Qmp *q = g_new0(Qmp, 1);
    g_atomic_ref_count_init(&q->refs);
    q->socket = g_steal_pointer(&socket);
    q->in = g_byte_array_new();
    q->listener = *l;
    q->opaque = opaque;
    q->replies = g_hash_table_new_full(NULL, NULL, NULL, free_reply);
    q->next_id = 1;
    g_mutex_init(&q->lock);
    g_cond_init(&q->cond);
    q->source = g_socket_create_source(q->socket, G_IO_IN, NULL);
    g_atomic_ref_count_inc(&q->refs);
    g_source_set_callback(q->source, G_SOURCE_FUNC(on_readable), q, (GDestroyNotify)qmp_unref);
    g_source_attach(q->source, NULL);
    if (greet(q, err))
        return q;
    qmp_free(q);
    return NULL;
}

typedef struct Ending {
    Qmp *qmp;
    bool ended; /* under the lock */
} Ending;

static gboolean end_there(gpointer data)
{
    Ending *e = data;
    close_source(e->qmp);
    g_mutex_lock(&e->qmp->lock);
    e->qmp->closed = e->ended = true;
    g_cond_broadcast(&e->qmp->cond);
    g_mutex_unlock(&e->qmp->lock);
    return G_SOURCE_REMOVE;
}

/* Whoever reads, reads on the main thread: there the listener is let go. */
void qmp_free(Qmp *q)
{
    if (!q)
        return;
    Ending e = { .qmp = q };
    g_main_context_invoke(NULL, end_there, &e);
    g_mutex_lock(&q->lock);
    while (!e.ended)
        g_cond_wait(&q->cond, &q->lock);
    g_mutex_unlock(&q->lock);
    qmp_unref(q);
}

static JsonNode *value_of(JsonObject *o, const char *name, GType type)
{
    JsonNode *n = o ? json_object_get_member(o, name) : NULL;
    return n && JSON_NODE_HOLDS_VALUE(n) && json_node_get_value_type(n) == type ? n : NULL;
}

const char *qmp_text(JsonObject *o, const char *name, const char *otherwise)
{
    JsonNode *n = value_of(o, name, G_TYPE_STRING);
    return n ? json_node_get_string(n) : otherwise;
}

int64_t qmp_number(JsonObject *o, const char *name, int64_t otherwise)
{
    JsonNode *n = value_of(o, name, G_TYPE_INT64);
    return n ? json_node_get_int(n) : otherwise;
}

bool qmp_flag(JsonObject *o, const char *name, bool otherwise)
{
    JsonNode *n = value_of(o, name, G_TYPE_BOOLEAN);
    return n ? json_node_get_boolean(n) : otherwise;
}

JsonObject *qmp_member(JsonObject *o, const char *name)
{
    JsonNode *n = o ? json_object_get_member(o, name) : NULL;
    return n && JSON_NODE_HOLDS_OBJECT(n) ? json_node_get_object(n) : NULL;
}

guint qmp_count(JsonNode *answer) { return answer && JSON_NODE_HOLDS_ARRAY(answer) ? json_array_get_length(json_node_get_array(answer)) : 0; }

JsonObject *qmp_element(JsonNode *answer, guint i)
{
    JsonNode *n = json_array_get_element(json_node_get_array(answer), i);
    return JSON_NODE_HOLDS_OBJECT(n) ? json_node_get_object(n) : NULL;
}

/* A descriptor goes with the first byte. */
static bool send_with_fd(Qmp *q, const char *text, int fd, GError **err)
{
    g_autoptr(GSocketControlMessage) m = g_unix_fd_message_new();
    GOutputVector v = { text, 1 };
    gssize n;
    if (!g_unix_fd_message_append_fd(G_UNIX_FD_MESSAGE(m), fd, err))
        return false;
    do {
        g_clear_error(err);
        n = g_socket_send_message(q->socket, NULL, &v, 1, &m, 1, 0, NULL, err);
    } while (n < 0 && err && g_error_matches(*err, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK) && g_socket_condition_wait(q->socket, G_IO_OUT, NULL, NULL));
    return n == 1;
}

static bool send_all(Qmp *q, const char *text, int fd, GError **err)
{
    if (fd >= 0 && !send_with_fd(q, text++, fd, err))
        return false;
    for (gsize sent = 0, bytes = strlen(text); sent < bytes;) {
        gssize n = g_socket_send_with_blocking(q->socket, text + sent, bytes - sent, TRUE, NULL, err);
        if (n < 0)
            return false;
        sent += n;
    }
    return true;
}

static char *request(const char *command, JsonNode *args, guint64 id)
{
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "execute", command);
    if (args)
        json_object_set_member(o, "arguments", args);
    json_object_set_int_member(o, "id", id);
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), o);
    json_object_unref(o);
    g_autofree char *text = json_to_string(node, FALSE);
    return g_strconcat(text, "\n", NULL);
}

/* {"return": ...} or {"error": {"desc": ...}}. */
static bool take_answer(const char *command, JsonNode *reply, JsonNode **ret, GError **err)
{
    JsonObject *o = json_node_get_object(reply);
    JsonNode *value = json_object_get_member(o, "return"), *error = json_object_get_member(o, "error");
    if (value) {
        if (ret)
            *ret = json_node_copy(value);
        return true;
    }
    const char *desc = error && JSON_NODE_HOLDS_OBJECT(error) ? qmp_text(json_node_get_object(error), "desc", NULL) : NULL;
    return error_set(err, ERR_IO, "%s: %s", command, desc ? desc : "the machine answered nonsense");
}

bool qmp_execute(Qmp *q, const char *command, JsonNode *args, JsonNode **ret, GError **err) { return qmp_execute_fd(q, -1, command, args, ret, err); }

bool qmp_execute_fd(Qmp *q, int fd, const char *command, JsonNode *args, JsonNode **ret, GError **err)
{
    if (!q) {
        json_node_unref(args ? args : json_node_new(JSON_NODE_NULL));
        return error_set(err, ERR_BUSY, "%s: the machine's monitor did not answer when the daemon started; `destroy` ends the machine", command);
    }
    g_mutex_lock(&q->lock);
    guint64 id = q->next_id++;
    gpointer key = GSIZE_TO_POINTER(id);
    g_hash_table_insert(q->replies, key, NULL);
    g_autofree char *text = request(command, args, id);
    /* Under the lock, so that two commands do not mix; what is sent is far below a socket's buffer. */
    bool ok = send_all(q, text, fd, err) && wait_for(q, has_reply, key, command, err);
    gpointer reply = NULL;
    g_hash_table_steal_extended(q->replies, key, NULL, &reply);
    g_mutex_unlock(&q->lock);
    ok = ok && take_answer(command, reply, ret, err);
    free_reply(reply);
    return ok;
}

bool qmp_executef(Qmp *q, JsonNode **ret, GError **err, const char *command, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    g_autofree char *text = g_strdup_vprintf(format, ap);
    va_end(ap);
    JsonNode *args = json_from_string(text, err);
    return args && qmp_execute(q, command, args, ret, err);
}
