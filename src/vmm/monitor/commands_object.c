/* commands_object.c - objects that come and go: src/vmm/objects.c keeps them. */
#include "vmm/monitor/command.h"
#include "vmm/objects.h"

static bool object_add_json(MonitorCall *call, GError **err)
{
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), call->args);
    g_autofree char *text = json_to_string(node, FALSE);
    return object_add((VmConfig *)call->vm->config, text, err);
}

static bool object_add_line(MonitorCall *call, GError **err) { return object_add((VmConfig *)call->vm->config, arg_text(call, "object"), err); }
static bool object_del(MonitorCall *call, GError **err) { return object_remove((VmConfig *)call->vm->config, arg_text(call, "id"), err); }

static bool query_iothreads(MonitorCall *call, GError **err) { return return_array(call, json_array_new()); }

static bool query_memdev(MonitorCall *call, GError **err)
{
    JsonArray *a = json_array_new();
    const GArray *objects = call->vm->config->objects;
    for (unsigned i = 0; i < objects->len; i++) {
        const ObjectConfig *o = &g_array_index(objects, ObjectConfig, i);
        if (!o->size)
            continue;
        JsonObject *m = json_object_new();
        json_object_set_string_member(m, "id", o->id);
        json_object_set_int_member(m, "size", o->size);
        json_array_add_object_element(a, m);
    }
    return return_array(call, a);
}

const MonitorCommand object_commands[] = {
    { "object-add", "object_add", "ObjectOptions", .line_args = "object: rest", .doc = "make an object", .run = object_add_json, .text = object_add_line },
    { "object-del", "object_del", "id: str", .doc = "take an object away", .run = object_del },
    { "query-iothreads", "info iothreads", .ret = "[IOThreadInfo]", .doc = "threads for devices: none is built", .run = query_iothreads },
    { "query-memdev", "info memdev", .ret = "[Memdev]", .doc = "memory objects", .run = query_memdev },
    { NULL },
};
