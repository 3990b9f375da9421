/* command.c - finding commands, and their arguments and results. */
#include "vmm/monitor/command.h"

const MonitorCommand *monitor_command_find(const char *name)
{
    for (unsigned t = 0; monitor_tables[t]; t++)
        for (const MonitorCommand *c = monitor_tables[t]; c->name || c->line; c++)
            if (g_strcmp0(c->name, name) == 0)
                return c;
    return NULL;
}

const char *arg_text(const MonitorCall *call, const char *name)
{
    return json_object_get_string_member_with_default(call->args, name, NULL);
}

int64_t arg_int(const MonitorCall *call, const char *name, int64_t def) { return json_object_get_int_member_with_default(call->args, name, def); }

bool arg_bool(const MonitorCall *call, const char *name, bool def) { return json_object_get_boolean_member_with_default(call->args, name, def); }

JsonObject *arg_object(const MonitorCall *call, const char *name)
{
    return json_object_has_member(call->args, name) ? json_object_get_object_member(call->args, name) : NULL;
}

JsonNode *json_node_of(JsonObject *o)
{
    JsonNode *node = json_node_init_object(json_node_alloc(), o); /* which takes a reference of its own */
    json_object_unref(o);
    return node;
}

bool return_object(MonitorCall *call, JsonObject *o)
{
    call->ret = json_node_of(o);
    return true;
}

bool return_array(MonitorCall *call, JsonArray *a)
{
    call->ret = json_node_init_array(json_node_alloc(), a);
    json_array_unref(a);
    return true;
}

bool return_text(MonitorCall *call, const char *text)
{
    call->ret = json_node_init_string(json_node_alloc(), text);
    return true;
}
