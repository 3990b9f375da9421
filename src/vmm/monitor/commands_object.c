/* commands_object.c - objects that come and go: src/vmm/objects.c keeps them. */
#include "vmm/monitor/command.h"
#include "vmm/io_threads.h"
#include "vmm/objects.h"

/* A machine that is there already gets what the object is for. */
static bool add(Vm *vm, const char *text, GError **err)
{
    VmConfig *c = (VmConfig *)vm->config;
    unsigned before = c->objects->len;
    if (!object_add(c, text, err))
        return false;
    const ObjectConfig *o = &g_array_index(c->objects, ObjectConfig, before);
    if (!vm->io_threads || !o->type->thread || vm_add_io_thread(vm, o, err))
        return true;
    g_array_set_size(c->objects, before);
    return false;
}

static bool object_add_json(MonitorCall *call, GError **err)
{
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), call->args);
    g_autofree char *text = json_to_string(node, FALSE);
    return add(call->vm, text, err);
}

static bool object_add_line(MonitorCall *call, GError **err) { return add(call->vm, arg_text(call, "object"), err); }

static bool object_del(MonitorCall *call, GError **err)
{
    const char *id = arg_text(call, "id");
    const ObjectConfig *o = object_find(call->vm->config, id);
    if (o && o->type->thread && call->vm->io_threads && !vm_remove_io_thread(call->vm, id, err))
        return false;
    return object_remove((VmConfig *)call->vm->config, id, err);
}

static bool query_iothreads(MonitorCall *call, GError **err)
{
    JsonArray *a = json_array_new();
    for (unsigned i = 0; call->vm->io_threads && i < call->vm->io_threads->len; i++) {
        const VmIoThread *t = call->vm->io_threads->pdata[i];
        JsonObject *o = json_object_new();
        json_object_set_string_member(o, "id", t->id);
        json_object_set_int_member(o, "thread-id", io_thread_id(t->thread));
        json_object_set_int_member(o, "poll-max-ns", t->poll_max_ns);
        json_object_set_int_member(o, "poll-grow", 0);
        json_object_set_int_member(o, "poll-shrink", 0);
        json_object_set_int_member(o, "aio-max-batch", 0);
        json_array_add_object_element(a, o);
    }
    return return_array(call, a);
}

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
    { "query-iothreads", "info iothreads", .ret = "[IOThreadInfo]", .doc = "threads for disks", .run = query_iothreads },
    { "query-memdev", "info memdev", .ret = "[Memdev]", .doc = "memory objects", .run = query_memdev },
    { NULL },
};
