/* commands_balloon.c - the guest's memory: balloon and statistics, and what devices say of their own accord. */
#include <string.h>

#include "vmm/monitor/balloon.h"
#include "vmm/monitor/qom.h"

static Device *find_balloon(Vm *vm, GError **err)
{
    for (unsigned i = 0; i < vm->machine->devices->len; i++)
        if (balloon_is(vm->machine->devices->pdata[i]))
            return vm->machine->devices->pdata[i];
    error_set(err, ERR_NOT_FOUND, "No balloon device has been activated");
    return NULL;
}

/* ---- commands */

static bool balloon(MonitorCall *call, GError **err)
{
    Device *d = find_balloon(call->vm, err);
    int64_t value = arg_int(call, "value", 0);
    if (!d)
        return false;
    if (value <= 0)
        return error_set(err, ERR_INVALID, "Parameter 'target' expects a size");
    balloon_set_target(d, value);
    return true;
}

static bool balloon_line(MonitorCall *call, GError **err)
{
    Device *d = find_balloon(call->vm, err);
    if (d)
        balloon_set_target(d, (uint64_t)MAX(arg_int(call, "value", 0), 1) << 20);
    return d;
}

static bool query_balloon(MonitorCall *call, GError **err)
{
    Device *d = find_balloon(call->vm, err);
    if (!d)
        return false;
    JsonObject *o = json_object_new();
    json_object_set_int_member(o, "actual", balloon_actual(d));
    return return_object(call, o);
}

static bool info_balloon(MonitorCall *call, GError **err)
{
    Device *d = find_balloon(call->vm, err);
    if (d)
        g_string_append_printf(call->out, "balloon: actual=%u\n", (unsigned)(balloon_actual(d) >> 20));
    return d;
}

/* ---- properties */

const char *const balloon_properties[] = { "guest-stats", "guest statistics", "guest-stats-polling-interval", "int", NULL };

static JsonNode *stats(Device *d)
{
    BalloonStats s;
    JsonObject *all = json_object_new(), *values = json_object_new();
    balloon_stats(d, &s);
    for (unsigned i = 0; i < BALLOON_STATS; i++)
        json_object_set_int_member(values, balloon_stat_names[i], s.value[i]);
    json_object_set_object_member(all, "stats", values);
    json_object_set_int_member(all, "last-update", s.last_update);
    return json_node_of(all);
}

JsonNode *balloon_value(Device *d, const char *property)
{
    if (!balloon_is(d))
        return NULL;
    if (g_str_equal(property, "guest-stats"))
        return stats(d);
    return g_str_equal(property, "guest-stats-polling-interval") ? json_node_init_int(json_node_alloc(), balloon_interval(d)) : NULL;
}

static bool qom_set(MonitorCall *call, GError **err)
{
    const char *path = arg_text(call, "path"), *property = arg_text(call, "property");
    JsonNode *value = json_object_get_member(call->args, "value");
    QomNode node;
    if (!qom_find(call->vm, path, &node, err))
        return false;
    if (!node.device || !balloon_is(node.device) || !g_str_equal(property, "guest-stats-polling-interval"))
        return error_set(err, ERR_UNSUPPORTED, "Property '%s.%s' cannot be set while the machine runs", path, property);
    gint64 seconds = value && JSON_NODE_HOLDS_VALUE(value) ? json_node_get_int(value) : -1;
    if (seconds < 0 || seconds > UINT16_MAX)
        return error_set(err, ERR_INVALID, "guest-stats-polling-interval takes seconds from 0 to %u", UINT16_MAX);
    balloon_set_interval(node.device, seconds);
    return true;
}

static bool qom_set_typed(MonitorCall *call, GError **err)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    const char *text = arg_text(call, "text");
    if (!json_parser_load_from_data(parser, text, -1, NULL) || !json_parser_get_root(parser))
        return error_set(err, ERR_INVALID, "'%s' is no value: a number, true, false, or \"text\"", text);
    json_object_set_member(call->args, "value", json_node_copy(json_parser_get_root(parser)));
    return qom_set(call, err);
}

/* ---- events */

typedef struct Said {
    Vm *vm;
    char *id;
    Device *device; /* that there is no more, perhaps */
    DeviceSays what;
    uint64_t value;
} Said;

static void free_said(void *said)
{
    g_free(((Said *)said)->id);
    g_free(said);
}

static gboolean post_said(void *arg)
{
    const Said *s = arg;
    if (s->what == DEVICE_SAYS_IO_ERROR) {
        if (g_ptr_array_find(s->vm->machine->devices, s->device, NULL))
            monitors_io_error(s->vm, s->device, s->value);
        return G_SOURCE_REMOVE;
    }
    if (s->what == DEVICE_SAYS_RX_FILTER) {
        if (g_ptr_array_find(s->vm->machine->devices, s->device, NULL))
            monitors_filter_changed(s->vm, s->device);
        return G_SOURCE_REMOVE;
    }
    JsonObject *data = json_object_new();
    if (s->what == DEVICE_SAYS_BALLOON) {
        json_object_set_int_member(data, "actual", s->value);
    } else {
        json_object_set_string_member(data, "id", s->id);
        json_object_set_boolean_member(data, "open", s->value);
    }
    monitors_event(s->vm, s->what == DEVICE_SAYS_BALLOON ? "BALLOON_CHANGE" : "VSERPORT_CHANGE", data);
    return G_SOURCE_REMOVE;
}

void monitors_device_said(void *vm, Device *d, DeviceSays what, uint64_t value)
{
    Said *s = g_new(Said, 1);
    *s = (Said){ vm, g_strdup(d->id ? d->id : ""), d, what, value };
    g_idle_add_full(G_PRIORITY_HIGH, post_said, s, free_said);
}

const MonitorCommand balloon_commands[] = {
    { "balloon", "balloon", "value: int", .line_args = "value: int", .doc = "how much memory the guest shall keep: bytes, typed in MiB", .run = balloon, .text = balloon_line },
    { "query-balloon", "info balloon", .ret = "BalloonInfo", .doc = "how much memory the guest has", .run = query_balloon, .text = info_balloon },
    { "qom-set", NULL, "path: str, property: str, value: any", .doc = "gives a property another value", .run = qom_set },
    { NULL, "qom-set", .line_args = "path: str, property: str, text: rest", .doc = "gives a property another value", .text = qom_set_typed },
    { NULL },
};
