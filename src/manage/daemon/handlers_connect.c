/* handlers_connect.c - opening a connection, and what it is. */
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/daemon/daemon_inside.h"

/* virDrvFeature; without the first, virt-viewer --attach does not even ask for the screen's descriptor. */
enum { FEATURE_FD_PASSING = 8, FEATURE_KEEPALIVE = 10, FEATURE_EVENT_CALLBACK = 14, FEATURE_CLOSE_CALLBACK = 15, FEATURE_NETWORK_UPDATE_ORDER = 16 };
enum { OPEN_READONLY = 1, AUTH_NONE = 0 };
/* 9.0.0, whose protocol this is. */
enum { LIBVIRT_VERSION = 9 * 1000000 };

/* qemu:///system, atoll:///session, test:///default, or nothing: the daemon picks. */
static Realm *realm_for(Daemon *d, const char *uri, GError **err)
{
    static const char *const own[] = { "qemu:///system", "qemu:///session", "atoll:///system", "atoll:///session", NULL };
    const char *wanted = d->session ? "session" : "system";
    if (!uri || !*uri)
        return d->machines;
    if (g_str_has_prefix(uri, "test:///"))
        return d->test;
    for (unsigned i = 0; own[i]; i++)
        if (!strcmp(uri, own[i])) {
            if (g_str_has_suffix(uri, wanted))
                return d->machines;
            rpc_error_set(err, RPC_ERR_INVALID_ARG, "'%s': this daemon serves qemu:///%s", uri, wanted);
            return NULL;
        }
    rpc_error_set(err, RPC_ERR_INVALID_ARG, "no driver for the URI '%s': qemu:///%s and test:///default are served here", uri, wanted);
    return NULL;
}

static void connect_open(Client *c, RpcCall *call, GVariant *args)
{
    const char *uri;
    guint flags;
    g_autoptr(GError) err = NULL;
    g_variant_get(args, "(m&su)", &uri, &flags);
    if (c->realm) {
        rpc_fail(call, RPC_ERR_OPERATION_INVALID, "the connection is open already");
        return;
    }
    if (!(c->realm = realm_for(c->daemon, uri, &err))) {
        rpc_fail_error(call, err);
        return;
    }
    if (flags & OPEN_READONLY)
        rpc_set_readonly(c->connection);
    rpc_reply(call, NULL);
}

static void connect_close(Client *c, RpcCall *call, GVariant *args)
{
    client_unsubscribe_all(c);
    c->realm = NULL;
    rpc_reply(call, NULL);
}

static void auth_list(Client *c, RpcCall *call, GVariant *args)
{
    const int none = AUTH_NONE;
    rpc_reply(call, g_variant_new("(@ai)", g_variant_new_fixed_array(G_VARIANT_TYPE_INT32, &none, 1, sizeof none)));
}

static void supports_feature(Client *c, RpcCall *call, GVariant *args)
{
    int feature;
    g_variant_get(args, "(i)", &feature);
    if (feature == FEATURE_KEEPALIVE)
        rpc_start_keepalive(c->connection);
    rpc_reply(call, g_variant_new("(i)", feature == FEATURE_FD_PASSING || feature == FEATURE_KEEPALIVE || feature == FEATURE_EVENT_CALLBACK || feature == FEATURE_CLOSE_CALLBACK ||
                                             feature == FEATURE_NETWORK_UPDATE_ORDER));
}

static void get_type(Client *c, RpcCall *call, GVariant *args) { rpc_reply(call, g_variant_new("(s)", c->realm->in_memory ? "TEST" : "QEMU")); }

static void get_version(Client *c, RpcCall *call, GVariant *args)
{
    rpc_reply(call, g_variant_new("(t)", (guint64)(c->realm->in_memory ? 2 : 7 * 1000000 + 2 * 1000)));
}

static void get_lib_version(Client *c, RpcCall *call, GVariant *args) { rpc_reply(call, g_variant_new("(t)", (guint64)LIBVIRT_VERSION)); }

static void get_hostname(Client *c, RpcCall *call, GVariant *args) { rpc_reply(call, g_variant_new("(s)", g_get_host_name())); }

static void get_uri(Client *c, RpcCall *call, GVariant *args)
{
    g_autofree char *uri = c->realm->in_memory ? g_strdup("test:///default") : g_strdup_printf("qemu:///%s", c->daemon->session ? "session" : "system");
    rpc_reply(call, g_variant_new("(s)", uri));
}

static void is_secure(Client *c, RpcCall *call, GVariant *args) { rpc_reply(call, g_variant_new("(i)", 1)); }

static void nothing(Client *c, RpcCall *call, GVariant *args) { rpc_reply(call, NULL); }

const Handler connect_handlers[] = {
    { "CONNECT_OPEN", connect_open },
    { "CONNECT_CLOSE", connect_close },
    { "AUTH_LIST", auth_list },
    { "CONNECT_SUPPORTS_FEATURE", supports_feature },
    { "CONNECT_GET_TYPE", get_type },
    { "CONNECT_GET_VERSION", get_version },
    { "CONNECT_GET_LIB_VERSION", get_lib_version },
    { "CONNECT_GET_HOSTNAME", get_hostname },
    { "CONNECT_GET_URI", get_uri },
    { "CONNECT_IS_SECURE", is_secure },
    { "CONNECT_REGISTER_CLOSE_CALLBACK", nothing },
    { "CONNECT_UNREGISTER_CLOSE_CALLBACK", nothing },
    { NULL },
};
