/* agent.c - conversations with guest agents. */
#include "manage/daemon/agent.h"

#include <gio/gunixsocketaddress.h>
#include <string.h>

#include "base/error.h"
#include "manage/hypervisor/qmp.h"

struct Agent {
    GSocket *socket;
    GCancellable *cancel;
    GByteArray *read; /* not looked at yet */
    int sync_seconds;
};

static Character *channel_find(const Domain *d, size_t off, const char *text)
{
    const GPtrArray *list = d->devices->channels;
    for (guint i = 0; list && i < list->len; i++)
        if (!g_strcmp0(*(char **)((char *)list->pdata[i] + off), text))
            return list->pdata[i];
    return NULL;
}

const char *agent_path(const ManagedDomain *d, GError **err)
{
    const Character *c = d->live ? channel_find(d->live, offsetof(Character, target_name), AGENT_CHANNEL) : NULL;
    if (!d->live || !domain_active(d))
        rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running", d->name);
    else if (d->state != DOMAIN_RUNNING)
        rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is paused: its agent cannot answer", d->name);
    else if (!c || c->type != CHAR_UNIX || !c->path)
        rpc_error_set(err, RPC_ERR_ARGUMENT_UNSUPPORTED, "domain '%s' has no channel '" AGENT_CHANNEL "' of type unix: QEMU guest agent is not configured", d->name);
    else if (!g_strcmp0(c->target_state, "disconnected"))
        rpc_error_set(err, RPC_ERR_AGENT_UNRESPONSIVE, "Guest agent is not responding: QEMU guest agent is not connected in the guest of domain '%s'", d->name);
    else
        return c->path;
    return NULL;
}

void agent_expect(Domain *live, const char *state)
{
    const GPtrArray *list = live->devices->channels;
    for (guint i = 0; list && i < list->len; i++) {
        Character *c = list->pdata[i];
        g_free(c->target_state);
        c->target_state = g_strdup(c->type == CHAR_UNIX ? state : NULL);
    }
}

void agent_told(ManagedDomain *d, const char *alias, bool open)
{
    enum { CONNECTED = 1, DISCONNECTED = 2, REASON_CHANNEL = 2 }; /* virConnectDomainEventAgentLifecycleState */
    Character *c = channel_find(d->live, offsetof(Character, alias), alias);
    if (!c)
        return;
    g_free(c->target_state);
    c->target_state = g_strdup(open ? "connected" : "disconnected");
    if (!g_strcmp0(c->target_name, AGENT_CHANNEL))
        domain_event(d, EVENT_AGENT, "(ii)", open ? CONNECTED : DISCONNECTED, REASON_CHANNEL);
}

/* ---- what passes: a line of JSON either way; 0xff before what answers guest-sync-delimited */
static bool silent(GError **err) { return rpc_error_set(err, RPC_ERR_AGENT_UNRESPONSIVE, "Guest agent is not responding: Guest agent not available for now"); }

static bool write_all(Agent *a, const char *text, GError **err)
{
    for (gsize done = 0, all = strlen(text); done < all;) {
        gssize n = g_socket_send(a->socket, text + done, all - done, a->cancel, err);
        if (n < 0)
            return false;
        done += n;
    }
    return true;
}

/* end_us 0: as long as it takes */
static bool read_more(Agent *a, gint64 end_us, GError **err)
{
    guint8 piece[4096];
    gint64 left = end_us ? end_us - g_get_monotonic_time() : -1;
    g_autoptr(GError) late = NULL;
    if (end_us && left <= 0)
        return silent(err);
    if (!g_socket_condition_timed_wait(a->socket, G_IO_IN, left, a->cancel, &late)) {
        if (g_error_matches(late, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
            return silent(err);
        g_propagate_error(err, g_steal_pointer(&late));
        return false;
    }
    gssize n = g_socket_receive(a->socket, (char *)piece, sizeof piece, a->cancel, err);
    if (n > 0)
        g_byte_array_append(a->read, piece, n);
    if (n == 0)
        return rpc_error_set(err, RPC_ERR_AGENT_UNRESPONSIVE, "Guest agent is not responding: the machine has closed its channel");
    return n > 0 && (a->read->len <= AGENT_REPLY_MAX || rpc_error_set(err, RPC_ERR_AGENT_UNRESPONSIVE, "the guest agent's answer has no end"));
}

/* The next line, which the caller frees. */
static char *read_line(Agent *a, int seconds, GError **err)
{
    gint64 end_us = seconds == AGENT_BLOCK ? 0 : g_get_monotonic_time() + (gint64)seconds * G_USEC_PER_SEC;
    guint8 *newline;
    while (!(newline = a->read->len ? memchr(a->read->data, '\n', a->read->len) : NULL))
        if (!read_more(a, end_us, err))
            return NULL;
    gsize length = newline - a->read->data;
    g_autofree char *line = g_strndup((char *)a->read->data, length);
    g_byte_array_remove_range(a->read, 0, length + 1);
    const char *begin = strrchr(line, '\xff');
    return g_strdup(begin ? begin + 1 : line);
}

/* What an earlier question left unread, and half a command that the agent has, end here. */
static bool synchronize(Agent *a, GError **err)
{
    guint32 id = g_random_int();
    gint64 end_us = g_get_monotonic_time() + (gint64)a->sync_seconds * G_USEC_PER_SEC;
    g_autofree char *ask = g_strdup_printf("\xff{\"execute\": \"guest-sync-delimited\", \"arguments\": {\"id\": %u}}\n", id);
    if (!write_all(a, ask, err))
        return false;
    while (g_get_monotonic_time() < end_us) {
        g_autofree char *line = read_line(a, a->sync_seconds, err);
        if (!line)
            return false;
        g_autoptr(JsonNode) said = json_from_string(line, NULL);
        if (said && JSON_NODE_HOLDS_OBJECT(said) && qmp_number(json_node_get_object(said), "return", -1) == id)
            return true;
    }
    return silent(err);
}

Agent *agent_open(const char *path, int sync_seconds, GCancellable *cancel, GError **err)
{
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    Agent *a = g_new0(Agent, 1);
    *a = (Agent){ g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, err), cancel, g_byte_array_new(), sync_seconds > 0 ? sync_seconds : AGENT_DEFAULT_S };
    if (a->socket && g_socket_connect(a->socket, address, cancel, err) && synchronize(a, err))
        return a;
    agent_close(a);
    return NULL;
}

void agent_close(Agent *a)
{
    g_clear_object(&a->socket);
    g_byte_array_unref(a->read);
    g_free(a);
}

char *agent_say(Agent *a, const char *command, int seconds, GError **err)
{
    g_autofree char *line = g_strconcat(command, "\n", NULL);
    if (!write_all(a, line, err))
        return NULL;
    return seconds == AGENT_NOWAIT ? g_strdup("") : read_line(a, seconds == AGENT_DEFAULT ? AGENT_DEFAULT_S : seconds, err);
}

JsonNode *agent_ask(Agent *a, const char *command, GError **err)
{
    g_autofree char *line = agent_say(a, command, AGENT_BLOCK, err);
    if (!line)
        return NULL;
    g_autoptr(JsonNode) said = json_from_string(line, NULL);
    JsonObject *o = said && JSON_NODE_HOLDS_OBJECT(said) ? json_node_get_object(said) : NULL, *error = qmp_member(o, "error");
    JsonNode *answer = o ? json_object_get_member(o, "return") : NULL;
    if (answer)
        return json_node_copy(answer);
    if (error && !strcmp(qmp_text(error, "class", ""), "CommandNotFound"))
        rpc_error_set(err, RPC_ERR_OPERATION_UNSUPPORTED, "the guest agent does not know that: %s", qmp_text(error, "desc", ""));
    else
        rpc_error_set(err, RPC_ERR_INTERNAL, "unable to execute QEMU agent command: %s", error ? qmp_text(error, "desc", "it says not why") : "it answers with nonsense");
    return NULL;
}
