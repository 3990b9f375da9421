/* monitor.c - the monitors of a machine: their chardevs, and events to all of them. */
#include "vmm/monitor/inside.h"

#include <string.h>
#include <unistd.h>

#include "console/chardev.h"
#include "schema/events.h"

void monitor_print(Monitor *m, const char *text) { chardev_write(m->chardev, (const uint8_t *)text, strlen(text)); }

void monitor_send(Monitor *m, JsonNode *node)
{
    g_autofree char *text = json_to_string(node, m->mode == MONITOR_QMP_PRETTY);
    g_autofree char *line = g_strconcat(text, "\r\n", NULL);
    monitor_print(m, line);
    json_node_unref(node);
}

/* ---- chardev */

static size_t can_receive(void *opaque) { return 4096; }

static void receive(void *opaque, const uint8_t *data, size_t n)
{
    Monitor *m = opaque;
    if (m->mode == MONITOR_TEXT)
        line_receive(m, (const char *)data, n);
    else
        json_stream_feed(&m->stream, (const char *)data, n);
}

static void forget_session(Monitor *m)
{
    m->negotiated = false;
    json_stream_restart(&m->stream);
    g_string_truncate(m->line, 0);
}

static void event(void *opaque, ChardevEvent e)
{
    Monitor *m = opaque;
    if (e == CHARDEV_BREAK)
        return;
    forget_session(m);
    if (e == CHARDEV_OPENED)
        (m->mode == MONITOR_TEXT ? line_open : qmp_open)(m);
}

static const ChardevFrontend frontend = { can_receive, receive, event, .descriptors = true };

int monitor_take_descriptor(Monitor *m) { return chardev_take_descriptor(m->chardev); }

static void close_descriptor(void *fd) { close(GPOINTER_TO_INT(fd)); }

void monitor_add(Monitors *all, Chardev *chardev, MonitorMode mode)
{
    Monitor *m = g_new0(Monitor, 1);
    m->all = all;
    m->chardev = chardev;
    m->mode = mode;
    m->line = g_string_new(NULL);
    m->fds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, close_descriptor);
    json_stream_init(&m->stream, qmp_request, m);
    g_ptr_array_add(all->list, m);
    chardev_attach(chardev, &frontend, m);
}

static void monitor_free(void *opaque)
{
    Monitor *m = opaque;
    chardev_attach(m->chardev, NULL, NULL);
    json_stream_clear(&m->stream);
    g_string_free(m->line, TRUE);
    g_hash_table_unref(m->fds);
    g_free(m);
}

/* ---- all of them */

Monitors *monitors_new(Vm *vm)
{
    Monitors *all = g_new0(Monitors, 1);
    all->vm = vm;
    all->schema = qapi_schema_new();
    qapi_schema_add(all->schema, qapi_types);
    all->list = g_ptr_array_new_with_free_func(monitor_free);
    all->held = g_ptr_array_new();
    return all;
}

void monitors_free(Monitors *all)
{
    if (!all)
        return;
    if (all->hold)
        g_source_remove(all->hold); /* the guest is going, too */
    g_ptr_array_unref(all->held);
    g_ptr_array_unref(all->list);
    qapi_schema_free(all->schema);
    g_free(all);
}

const QapiSchema *monitors_schema(const Monitors *all) { return all->schema; }

/* ---- events */

static const QapiEvent *event_find(const char *name)
{
    for (const QapiEvent *e = qapi_events; e->name; e++)
        if (g_str_equal(e->name, name))
            return e;
    g_return_val_if_reached(NULL);
}

static JsonNode *event_node(const char *name, JsonObject *data)
{
    gint64 now = g_get_real_time();
    JsonObject *o = json_object_new(), *stamp = json_object_new();
    json_object_set_int_member(stamp, "seconds", now / G_USEC_PER_SEC);
    json_object_set_int_member(stamp, "microseconds", now % G_USEC_PER_SEC);
    json_object_set_object_member(o, "timestamp", stamp);
    json_object_set_string_member(o, "event", name);
    if (data)
        json_object_set_object_member(o, "data", json_object_ref(data));
    return json_node_of(o);
}

void monitors_event(Vm *vm, const char *name, JsonObject *data)
{
    g_autoptr(JsonObject) owned = data;
    g_autoptr(GError) err = NULL;
    Monitors *all = vm->monitors;
    const QapiEvent *e = event_find(name);
    if (!all || !all->list->len || !e)
        return;
    if (!qapi_check_arguments(all->schema, e->members, data, &err))
        g_critical("event %s is not what the schema says: %s", name, err->message);
    for (unsigned i = 0; i < all->list->len; i++) {
        Monitor *m = all->list->pdata[i];
        if (m->mode != MONITOR_TEXT && m->negotiated)
            monitor_send(m, event_node(name, data));
    }
}
