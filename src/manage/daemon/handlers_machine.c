/* handlers_machine.c - what is handed through to a running machine: its monitor, its screen, its keyboard. */
#include <gio/gunixsocketaddress.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/daemon/daemon_inside.h"

/* A job that asks the driver and answers with what it gave. */
typedef struct Ask {
    ManagedDomain *domain;
    RpcCall *call;
    const HvDriver *driver;
    HvDomain *hv;
    char *text, *answer;
    guint flags, hold, codeset;
    GArray *keys;
    GSocketConnectable *address;
    int fd;
} Ask;

enum { MONITOR_HMP = 1 };

static bool ask_begin(Job *j, GError **err)
{
    Ask *a = j->data;
    a->driver = a->domain->driver;
    a->hv = a->domain->hv;
    return a->hv || rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running", a->domain->name);
}

static void ask_free(Ask *a)
{
    domain_unref(a->domain);
    g_free(a->text);
    g_free(a->answer);
    g_clear_pointer(&a->keys, g_array_unref);
    g_clear_object(&a->address);
    g_free(a);
}

static Ask *ask_new(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return NULL;
    Ask *a = g_new0(Ask, 1);
    a->domain = domain_ref(d);
    a->call = call;
    a->fd = -1;
    return a;
}

static bool unsupported(const Ask *a, GError **err)
{
    return rpc_error_set(err, RPC_ERR_NO_SUPPORT, "machines of the driver '%s' cannot do that", a->driver->name);
}

static bool monitor_run(Job *j, GError **err)
{
    Ask *a = j->data;
    return a->driver->monitor ? a->driver->monitor(a->hv, a->text, a->flags & MONITOR_HMP, &a->answer, err) : unsupported(a, err);
}

static void ask_done(Job *j, GError *err)
{
    Ask *a = j->data;
    if (err)
        rpc_fail_error(a->call, err);
    else if (a->fd >= 0)
        rpc_reply_fd(a->call, a->fd);
    else
        rpc_reply(a->call, a->answer ? g_variant_new("(s)", a->answer) : NULL);
    ask_free(a);
}

static void monitor_command(Client *c, RpcCall *call, GVariant *args)
{
    static const JobType type = { "monitor-command", ask_begin, monitor_run, ask_done };
    Ask *a = ask_new(c, call, args);
    if (!a)
        return;
    g_variant_get(args, "(@(ssi)su)", NULL, &a->text, &a->flags);
    lane_push(a->domain->lane, &type, a);
}

static bool keys_run(Job *j, GError **err)
{
    Ask *a = j->data;
    return a->driver->send_keys ? a->driver->send_keys(a->hv, a->codeset, a->hold, (guint *)a->keys->data, a->keys->len, err) : unsupported(a, err);
}

static void send_key(Client *c, RpcCall *call, GVariant *args)
{
    static const JobType type = { "send-key", ask_begin, keys_run, ask_done };
    g_autoptr(GVariant) keys = NULL;
    Ask *a = ask_new(c, call, args);
    if (!a)
        return;
    g_variant_get(args, "(@(ssi)uu@auu)", NULL, &a->codeset, &a->hold, &keys, NULL);
    gsize n;
    gconstpointer data = g_variant_get_fixed_array(keys, &n, sizeof(guint));
    a->keys = g_array_append_vals(g_array_new(FALSE, FALSE, sizeof(guint)), data, n);
    lane_push(a->domain->lane, &type, a);
}

static bool nmi_run(Job *j, GError **err)
{
    Ask *a = j->data;
    return a->driver->nmi ? a->driver->nmi(a->hv, err) : unsupported(a, err);
}

static void inject_nmi(Client *c, RpcCall *call, GVariant *args)
{
    static const JobType type = { "inject-nmi", ask_begin, nmi_run, ask_done };
    Ask *a = ask_new(c, call, args);
    if (a)
        lane_push(a->domain->lane, &type, a);
}

/* The daemon goes to the machine's VNC port itself and hands the connection over: so viewers need no way to it. */
static bool graphics_run(Job *j, GError **err)
{
    Ask *a = j->data;
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_socket_client_set_timeout(client, 5);
    g_autoptr(GSocketConnection) connection = g_socket_client_connect(client, a->address, NULL, err);
    if (connection)
        a->fd = dup(g_socket_get_fd(g_socket_connection_get_socket(connection)));
    return connection && a->fd >= 0;
}

static GSocketConnectable *screen_address(const Domain *live, guint index)
{
    const GPtrArray *list = live ? live->devices->graphics : NULL;
    const Graphics *g = list && index < list->len ? list->pdata[index] : NULL;
    if (!g || (!g->socket && !g->port))
        return NULL;
    return g->socket ? G_SOCKET_CONNECTABLE(g_unix_socket_address_new(g->socket)) : g_network_address_new("127.0.0.1", atoi(g->port));
}

static void open_graphics(Client *c, RpcCall *call, GVariant *args)
{
    static const JobType type = { "open-graphics", ask_begin, graphics_run, ask_done };
    guint index;
    Ask *a = ask_new(c, call, args);
    if (!a)
        return;
    g_variant_get_child(args, 1, "u", &index);
    a->address = screen_address(a->domain->live, index);
    if (!a->address) {
        rpc_fail(call, RPC_ERR_OPERATION_INVALID, "domain '%s' shows no screen %u now", a->domain->name, index);
        ask_free(a);
        return;
    }
    lane_push(a->domain->lane, &type, a);
}

const Handler machine_handlers[] = {
    { "DOMAIN_MONITOR_COMMAND", monitor_command },
    { "DOMAIN_SEND_KEY", send_key },
    { "DOMAIN_INJECT_NMI", inject_nmi },
    { "DOMAIN_OPEN_GRAPHICS_FD", open_graphics },
    { NULL },
};
