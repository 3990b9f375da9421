/* events.c - who wants to be told what. */
#include <stdarg.h>
#include <string.h>

#include "base/error.h"
#include "manage/daemon/daemon_inside.h"

/* virDomainEventID -> procedure; the callback's form, which clients that ask for feature 14 take. */
static const char *const domain_events[] = {
    [0] = "DOMAIN_EVENT_CALLBACK_LIFECYCLE",      [1] = "DOMAIN_EVENT_CALLBACK_REBOOT",        [2] = "DOMAIN_EVENT_CALLBACK_RTC_CHANGE",
    [3] = "DOMAIN_EVENT_CALLBACK_WATCHDOG",       [4] = "DOMAIN_EVENT_CALLBACK_IO_ERROR",      [5] = "DOMAIN_EVENT_CALLBACK_GRAPHICS",
    [6] = "DOMAIN_EVENT_CALLBACK_IO_ERROR_REASON", [7] = "DOMAIN_EVENT_CALLBACK_CONTROL_ERROR", [8] = "DOMAIN_EVENT_CALLBACK_BLOCK_JOB",
    [9] = "DOMAIN_EVENT_CALLBACK_DISK_CHANGE",    [10] = "DOMAIN_EVENT_CALLBACK_TRAY_CHANGE",  [11] = "DOMAIN_EVENT_CALLBACK_PMWAKEUP",
    [12] = "DOMAIN_EVENT_CALLBACK_PMSUSPEND",     [13] = "DOMAIN_EVENT_CALLBACK_BALLOON_CHANGE", [14] = "DOMAIN_EVENT_CALLBACK_PMSUSPEND_DISK",
    [15] = "DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED", [16] = "DOMAIN_EVENT_BLOCK_JOB_2",          [17] = "DOMAIN_EVENT_CALLBACK_TUNABLE",
    [18] = "DOMAIN_EVENT_CALLBACK_AGENT_LIFECYCLE", [19] = "DOMAIN_EVENT_CALLBACK_DEVICE_ADDED", [20] = "DOMAIN_EVENT_CALLBACK_MIGRATION_ITERATION",
    [21] = "DOMAIN_EVENT_CALLBACK_JOB_COMPLETED", [22] = "DOMAIN_EVENT_CALLBACK_DEVICE_REMOVAL_FAILED", [23] = "DOMAIN_EVENT_CALLBACK_METADATA_CHANGE",
    [24] = "DOMAIN_EVENT_BLOCK_THRESHOLD",        [25] = "DOMAIN_EVENT_MEMORY_FAILURE",        [26] = "DOMAIN_EVENT_MEMORY_DEVICE_SIZE_CHANGE",
};

/* The same as clients are told that know of no callbacks: without a callback's number, and one kind is asked for once. */
static const char *const old_events[] = {
    "DOMAIN_EVENT_LIFECYCLE",       "DOMAIN_EVENT_REBOOT",        "DOMAIN_EVENT_RTC_CHANGE", "DOMAIN_EVENT_WATCHDOG",    "DOMAIN_EVENT_IO_ERROR",
    "DOMAIN_EVENT_GRAPHICS",        "DOMAIN_EVENT_IO_ERROR_REASON", "DOMAIN_EVENT_CONTROL_ERROR", "DOMAIN_EVENT_BLOCK_JOB", "DOMAIN_EVENT_DISK_CHANGE",
    "DOMAIN_EVENT_TRAY_CHANGE",     "DOMAIN_EVENT_PMWAKEUP",      "DOMAIN_EVENT_PMSUSPEND",  "DOMAIN_EVENT_BALLOON_CHANGE", "DOMAIN_EVENT_PMSUSPEND_DISK",
};
enum { NO_CALLBACK = -1 };

static void clear_subscription(gpointer data) { g_free(((Subscription *)data)->uuid); }

static void add_subscription(Client *c, SubscriptionClass class, int event, int callback, const char *uuid)
{
    if (!c->subscriptions) {
        c->subscriptions = g_array_new(FALSE, TRUE, sizeof(Subscription));
        g_array_set_clear_func(c->subscriptions, clear_subscription);
    }
    const Subscription s = { .callback = callback, .event = event, .class = class, .uuid = g_strdup(uuid) };
    g_array_append_val(c->subscriptions, s);
}

static int subscribe(Client *c, SubscriptionClass class, int event, const char *uuid)
{
    int callback = c->next_callback++;
    add_subscription(c, class, event, callback, uuid);
    return callback;
}

void client_unsubscribe_all(Client *c) { g_clear_pointer(&c->subscriptions, g_array_unref); }

static bool unsubscribe(Client *c, SubscriptionClass class, int callback)
{
    for (guint i = 0; c->subscriptions && i < c->subscriptions->len; i++) {
        const Subscription *s = &g_array_index(c->subscriptions, Subscription, i);
        if (s->callback == callback && s->class == (int)class) {
            g_array_remove_index(c->subscriptions, i);
            return true;
        }
    }
    return false;
}

/* The event's letters begin with the callback, unless there is none; behind it comes a structure, or the same members without one. */
static void send(Client *c, const Procedure *p, int callback, const ManagedDomain *d, GVariant *values)
{
    bool structure = callback != NO_CALLBACK && strchr(p->ret, '(') != NULL;
    GVariantBuilder b, *at = &b;
    g_variant_builder_init(&b, G_VARIANT_TYPE_TUPLE);
    if (callback != NO_CALLBACK)
        g_variant_builder_add(&b, "i", callback);
    if (structure)
        g_variant_builder_open(&b, G_VARIANT_TYPE_TUPLE);
    g_variant_builder_add_value(at, domain_handle(d));
    for (gsize i = 0; i < g_variant_n_children(values); i++) {
        g_autoptr(GVariant) child = g_variant_get_child_value(values, i);
        g_variant_builder_add_value(at, child);
    }
    if (structure)
        g_variant_builder_close(&b);
    rpc_event(c->connection, p, g_variant_builder_end(&b));
}

void domain_event(ManagedDomain *d, int event, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    g_autoptr(GVariant) values = g_variant_ref_sink(g_variant_new_va(format, NULL, &ap));
    va_end(ap);
    const Procedure *p = procedure_named(domain_events[event]);
    GHashTableIter i;
    gpointer client;
    g_hash_table_iter_init(&i, d->realm->daemon->clients);
    while (g_hash_table_iter_next(&i, &client, NULL)) {
        Client *c = client;
        for (guint n = 0; c->realm == d->realm && c->subscriptions && n < c->subscriptions->len; n++) {
            const Subscription *s = &g_array_index(c->subscriptions, Subscription, n);
            if (s->class == SUBSCRIBE_DOMAIN && s->event == event && (!s->uuid || !strcmp(s->uuid, d->uuid)))
                send(c, s->callback == NO_CALLBACK ? procedure_named(old_events[event]) : p, s->callback, d, values);
        }
    }
}

/* The events of other objects, in the order of their numbers. */
static const char *const object_events[][3] = {
    [SUBSCRIBE_NETWORK] = { "NETWORK_EVENT_LIFECYCLE" },
    [SUBSCRIBE_POOL] = { "STORAGE_POOL_EVENT_LIFECYCLE", "STORAGE_POOL_EVENT_REFRESH" },
    [SUBSCRIBE_NODE_DEVICE] = { "NODE_DEVICE_EVENT_LIFECYCLE", "NODE_DEVICE_EVENT_UPDATE" },
    [SUBSCRIBE_SECRET] = { "SECRET_EVENT_LIFECYCLE", "SECRET_EVENT_VALUE_CHANGED" },
};

/* (callback, handle, values...) */
static GVariant *object_message(int callback, GVariant *handle, GVariant *values)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE_TUPLE);
    g_variant_builder_add(&b, "i", callback);
    g_variant_builder_add_value(&b, handle);
    for (gsize i = 0; i < g_variant_n_children(values); i++) {
        g_autoptr(GVariant) child = g_variant_get_child_value(values, i);
        g_variant_builder_add_value(&b, child);
    }
    return g_variant_builder_end(&b);
}

void object_event(Realm *r, SubscriptionClass class, int event, const char *uuid, GVariant *handle, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    g_autoptr(GVariant) values = g_variant_ref_sink(g_variant_new_va(format, NULL, &ap)), object = g_variant_ref_sink(handle);
    va_end(ap);
    const Procedure *p = procedure_named(object_events[class][event]);
    GHashTableIter i;
    gpointer client;
    g_hash_table_iter_init(&i, r->daemon->clients);
    while (g_hash_table_iter_next(&i, &client, NULL)) {
        const Client *c = client;
        for (guint n = 0; c->realm == r && c->subscriptions && n < c->subscriptions->len; n++) {
            const Subscription *s = &g_array_index(c->subscriptions, Subscription, n);
            if (s->class == (int)class && s->event == event && (!s->uuid || !strcmp(s->uuid, uuid)))
                rpc_event(c->connection, p, object_message(s->callback, object, values));
        }
    }
}

void domain_lifecycle(ManagedDomain *d, int event, int detail) { domain_event(d, 0, "(ii)", event, detail); }

static void register_domain(Client *c, RpcCall *call, GVariant *args)
{
    int event;
    const char *uuid = NULL;
    g_autoptr(GVariant) handle = NULL;
    g_variant_get(args, "(im@(ssi))", &event, &handle);
    if (handle)
        g_variant_get(handle, "(s&si)", NULL, &uuid, NULL);
    if (event < 0 || event >= (int)G_N_ELEMENTS(domain_events))
        rpc_fail(call, RPC_ERR_INVALID_ARG, "there is no domain event %d", event);
    else
        rpc_reply(call, g_variant_new("(i)", subscribe(c, SUBSCRIBE_DOMAIN, event, uuid)));
}

/* ---- without callbacks */
static int index_of_old(const Client *c, int event)
{
    for (guint i = 0; c->subscriptions && i < c->subscriptions->len; i++) {
        const Subscription *s = &g_array_index(c->subscriptions, Subscription, i);
        if (s->callback == NO_CALLBACK && s->event == event)
            return i;
    }
    return -1;
}

static bool change_old(Client *c, RpcCall *call, int event, bool in)
{
    int at = index_of_old(c, event);
    if (event < 0 || event >= (int)G_N_ELEMENTS(old_events))
        rpc_fail(call, RPC_ERR_INVALID_ARG, "there is no domain event %d for clients without callbacks", event);
    else if (in != (at < 0))
        rpc_fail(call, RPC_ERR_INVALID_ARG, in ? "domain event %d already registered" : "domain event %d not registered", event);
    else if (in)
        add_subscription(c, SUBSCRIBE_DOMAIN, event, NO_CALLBACK, NULL);
    else
        g_array_remove_index(c->subscriptions, at);
    return event >= 0 && event < (int)G_N_ELEMENTS(old_events) && in == (at < 0);
}

/* Answered with how many there are then. */
static void register_lifecycle(Client *c, RpcCall *call, GVariant *args)
{
    if (change_old(c, call, EVENT_LIFECYCLE, true))
        rpc_reply(call, g_variant_new("(i)", 1));
}

static void deregister_lifecycle(Client *c, RpcCall *call, GVariant *args)
{
    if (change_old(c, call, EVENT_LIFECYCLE, false))
        rpc_reply(call, g_variant_new("(i)", 0));
}

static void change_any(Client *c, RpcCall *call, GVariant *args, bool in)
{
    int event;
    g_variant_get(args, "(i)", &event);
    if (change_old(c, call, event, in))
        rpc_reply(call, NULL);
}

static void register_any(Client *c, RpcCall *call, GVariant *args) { change_any(c, call, args, true); }
static void deregister_any(Client *c, RpcCall *call, GVariant *args) { change_any(c, call, args, false); }

static void deregister(Client *c, RpcCall *call, GVariant *args, SubscriptionClass class)
{
    int callback;
    g_variant_get(args, "(i)", &callback);
    if (unsubscribe(c, class, callback))
        rpc_reply(call, NULL);
    else
        rpc_fail(call, RPC_ERR_INVALID_ARG, "there is no callback %d", callback);
}

static void deregister_domain(Client *c, RpcCall *call, GVariant *args) { deregister(c, call, args, SUBSCRIBE_DOMAIN); }
static void deregister_network(Client *c, RpcCall *call, GVariant *args) { deregister(c, call, args, SUBSCRIBE_NETWORK); }
static void deregister_pool(Client *c, RpcCall *call, GVariant *args) { deregister(c, call, args, SUBSCRIBE_POOL); }
static void deregister_node_device(Client *c, RpcCall *call, GVariant *args) { deregister(c, call, args, SUBSCRIBE_NODE_DEVICE); }
static void deregister_secret(Client *c, RpcCall *call, GVariant *args) { deregister(c, call, args, SUBSCRIBE_SECRET); }

/* What an object is known by: the UUID in its handle, or a device's name. */
static char *uuid_of(GVariant *handle, SubscriptionClass class)
{
    char *uuid;
    if (class == SUBSCRIBE_NODE_DEVICE)
        return g_variant_dup_string(handle, NULL);
    g_variant_get_child(handle, class == SUBSCRIBE_SECRET ? 0 : 1, "s", &uuid);
    return uuid;
}

/* (event, object or nothing) */
static void register_other(Client *c, RpcCall *call, GVariant *args, SubscriptionClass class)
{
    int event;
    g_variant_get_child(args, 0, "i", &event);
    g_autoptr(GVariant) maybe = g_variant_get_child_value(args, 1), object = g_variant_get_maybe(maybe);
    g_autofree char *uuid = object ? uuid_of(object, class) : NULL;
    if (event < 0 || event >= (int)G_N_ELEMENTS(object_events[class]) || !object_events[class][event])
        rpc_fail(call, RPC_ERR_INVALID_ARG, "there is no event %d of that kind of object", event);
    else
        rpc_reply(call, g_variant_new("(i)", subscribe(c, class, event, uuid)));
}

static void register_network(Client *c, RpcCall *call, GVariant *args) { register_other(c, call, args, SUBSCRIBE_NETWORK); }
static void register_pool(Client *c, RpcCall *call, GVariant *args) { register_other(c, call, args, SUBSCRIBE_POOL); }
static void register_node_device(Client *c, RpcCall *call, GVariant *args)
{
    if (!c->realm->in_memory)
        host_watch(c->daemon);
    register_other(c, call, args, SUBSCRIBE_NODE_DEVICE);
}
static void register_secret(Client *c, RpcCall *call, GVariant *args) { register_other(c, call, args, SUBSCRIBE_SECRET); }

const Handler event_handlers[] = {
    { "CONNECT_DOMAIN_EVENT_REGISTER", register_lifecycle },
    { "CONNECT_DOMAIN_EVENT_DEREGISTER", deregister_lifecycle },
    { "CONNECT_DOMAIN_EVENT_REGISTER_ANY", register_any },
    { "CONNECT_DOMAIN_EVENT_DEREGISTER_ANY", deregister_any },
    { "CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY", register_domain },
    { "CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY", deregister_domain },
    { "CONNECT_NETWORK_EVENT_REGISTER_ANY", register_network },
    { "CONNECT_NETWORK_EVENT_DEREGISTER_ANY", deregister_network },
    { "CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY", register_pool },
    { "CONNECT_STORAGE_POOL_EVENT_DEREGISTER_ANY", deregister_pool },
    { "CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY", register_node_device },
    { "CONNECT_NODE_DEVICE_EVENT_DEREGISTER_ANY", deregister_node_device },
    { "CONNECT_SECRET_EVENT_REGISTER_ANY", register_secret },
    { "CONNECT_SECRET_EVENT_DEREGISTER_ANY", deregister_secret },
    { NULL },
};
