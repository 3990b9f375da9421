/* commands_qom.c - devices and processors as a tree of objects with properties (see qom.h). */
#include "vmm/monitor/qom.h"

#include <string.h>

#include "accel/accel.h"
#include "devices/devices.h"
#include "isa/x86/cpu_model.h"
#include "machine/bus.h"
#include "schema/qapi.h"
#include "vmm/monitor/balloon.h"
#include "vmm/objects.h"

static const char *const folders[] = { "/", "/machine", "/machine/peripheral", "/machine/peripheral-anon", "/machine/unattached", "/objects", NULL };
enum { ROOT, MACHINE, PERIPHERAL, ANONYMOUS, UNATTACHED, OBJECTS };

/* ---- paths */

static unsigned folder_of(const Device *d) { return d->type->internal || !d->bus ? UNATTACHED : d->id ? PERIPHERAL : ANONYMOUS; }

/* Its place among those that have numbers. */
static unsigned number_of(const Device *d)
{
    const Machine *m = d->machine;
    unsigned folder = folder_of(d), n = folder == UNATTACHED ? m->vcpus->len : 0;
    for (unsigned i = 0; i < m->devices->len && m->devices->pdata[i] != d; i++)
        n += folder_of(m->devices->pdata[i]) == folder;
    return n;
}

static char *child_name(const Device *d)
{
    return folder_of(d) == PERIPHERAL ? g_strdup(d->id) : g_strdup_printf("device[%u]", number_of(d));
}

char *qom_device_path(const Device *d)
{
    g_autofree char *name = child_name(d);
    return g_strconcat(folders[folder_of(d)], "/", name, NULL);
}

/* In QEMU a virtio function and the disk behind it are two objects, and clients look for the second. */
#define BACKEND_SUFFIX "/virtio-backend"
char *qom_drive_path(const Device *d)
{
    g_autofree char *path = qom_device_path(d);
    if (g_str_has_prefix(d->type->name, "virtio-"))
        return g_strconcat(path, BACKEND_SUFFIX, NULL);
    return d->id ? g_strdup(d->id) : g_steal_pointer(&path);
}

char *qom_vcpu_path(const Vcpu *v) { return g_strdup_printf("%s/device[%u]", folders[UNATTACHED], v->id); }

bool qom_find(Vm *vm, const char *path, QomNode *ret, GError **err)
{
    const Machine *m = vm->machine;
    g_autofree char *plain = g_strdup(path);
    size_t n = strlen(plain);
    if (n > 1 && plain[n - 1] == '/')
        plain[n - 1] = 0;
    if (g_str_has_suffix(plain, BACKEND_SUFFIX))
        plain[strlen(plain) - strlen(BACKEND_SUFFIX)] = 0;
    *ret = (QomNode){ 0 };
    for (unsigned i = 0; folders[i]; i++)
        if (g_str_equal(plain, folders[i]))
            ret->folder = folders[i];
    for (unsigned i = 0; i < m->vcpus->len && !ret->folder; i++) {
        g_autofree char *at = qom_vcpu_path(m->vcpus->pdata[i]);
        if (g_str_equal(at, plain))
            ret->vcpu = m->vcpus->pdata[i];
    }
    for (unsigned i = 0; i < m->devices->len && !ret->folder && !ret->vcpu; i++) {
        g_autofree char *at = qom_device_path(m->devices->pdata[i]);
        if (g_str_equal(at, plain) || g_strcmp0(((Device *)m->devices->pdata[i])->id, plain) == 0)
            ret->device = m->devices->pdata[i];
    }
    return ret->folder || ret->device || ret->vcpu || error_set(err, ERR_NOT_FOUND, "Device '%s' not found", path);
}

/* ---- lists */

static void add_property(JsonArray *a, const char *name, const char *type)
{
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "name", name);
    json_object_set_string_member(o, "type", type);
    json_array_add_object_element(a, o);
}

static void add_child(JsonArray *a, const char *name, const char *type)
{
    g_autofree char *child = g_strdup_printf("child<%s>", type);
    add_property(a, name, child);
}

static void list_folder(Vm *vm, const char *folder, JsonArray *a)
{
    size_t n = strlen(folder);
    add_property(a, "type", "string");
    for (unsigned i = 1; folders[i]; i++) { /* folders inside */
        const char *rest = g_str_has_prefix(folders[i], folder) ? folders[i] + n - (n == 1) : "";
        if (*rest++ == '/' && !strchr(rest, '/'))
            add_child(a, rest, "container");
    }
    for (unsigned i = 0; i < vm->machine->vcpus->len && folder == folders[UNATTACHED]; i++) {
        g_autofree char *name = g_strdup_printf("device[%u]", i);
        add_child(a, name, "x86_64-cpu");
    }
    for (unsigned i = 0; i < vm->machine->devices->len; i++) {
        const Device *d = vm->machine->devices->pdata[i];
        g_autofree char *name = child_name(d);
        if (folders[folder_of(d)] == folder)
            add_child(a, name, d->type->name);
    }
}

static const char *property_type(const Field *f)
{
    return f->type == FT_STR ? "str" : f->type == FT_BOOL ? "bool" : f->type >= FT_I8 && f->type <= FT_I64 ? "int64" : "uint64";
}

/* What every device has. */
static const char *const common[] = { "type", "string", "realized", "bool", "hotplugged", "bool", "hotpluggable", "bool", NULL };

static void list_common(JsonArray *a)
{
    for (unsigned i = 0; common[i]; i += 2)
        add_property(a, common[i], common[i + 1]);
}

static void list_device(const Device *d, JsonArray *a)
{
    list_common(a);
    for (const Field *f = d->type->fields; f && f->name; f++)
        if (f->role == FIELD_PROP)
            add_property(a, f->name, property_type(f));
    for (unsigned i = 0; balloon_is(d) && balloon_properties[i]; i += 2)
        add_property(a, balloon_properties[i], balloon_properties[i + 1]);
}

static void add_cpu_property(const char *name, const char *type, void *opaque) { add_property(opaque, name, type); }

static void list_vcpu(JsonArray *a)
{
    list_common(a);
    add_property(a, "apic-id", "uint32");
    add_property(a, "unavailable-features", "strList");
    cpu_each_property(add_cpu_property, a);
}

static bool qom_list(MonitorCall *call, GError **err)
{
    QomNode node;
    if (!qom_find(call->vm, arg_text(call, "path"), &node, err))
        return false;
    JsonArray *a = json_array_new();
    if (node.folder)
        list_folder(call->vm, node.folder, a);
    else if (node.device)
        list_device(node.device, a);
    else
        list_vcpu(a);
    return return_array(call, a);
}

/* ---- values */

static JsonNode *number(int64_t value) { return json_node_init_int(json_node_alloc(), value); }
static JsonNode *truth(bool value) { return json_node_init_boolean(json_node_alloc(), value); }
static JsonNode *text(const char *value) { return json_node_init_string(json_node_alloc(), value ? value : ""); }

static JsonNode *field_value(const Field *f, const void *object)
{
    if (f->type == FT_STR)
        return text(*(char **)((char *)object + f->off));
    return f->type == FT_BOOL ? truth(field_get(f, object, 0)) : number(field_get(f, object, 0));
}

static JsonNode *device_value(const Device *d, const char *name)
{
    if (g_str_equal(name, "type"))
        return text(d->type->name);
    if (g_str_equal(name, "realized"))
        return truth(d->realized);
    if (g_str_equal(name, "hotplugged"))
        return truth(d->hotplugged);
    if (g_str_equal(name, "hotpluggable"))
        return truth(d->bus && d->bus->type->unplug_request);
    const Field *f = field_find(d->type->fields, name, FIELD_PROP);
    return f ? field_value(f, d) : balloon_value((Device *)d, name);
}

static JsonNode *vcpu_value(const Vcpu *v, const char *name)
{
    const CpuModel *m = &v->accel->model;
    if (g_str_equal(name, "type")) {
        g_autofree char *type = g_strdup_printf("%s-x86_64-cpu", m->name);
        return text(type);
    }
    if (g_str_equal(name, "realized"))
        return truth(true);
    if (g_str_equal(name, "hotplugged") || g_str_equal(name, "hotpluggable"))
        return truth(false);
    return g_str_equal(name, "apic-id") ? number(v->apic_id) : cpu_property(m, name);
}

static bool qom_get(MonitorCall *call, GError **err)
{
    const char *path = arg_text(call, "path"), *name = arg_text(call, "property");
    QomNode node;
    if (!qom_find(call->vm, path, &node, err))
        return false;
    if (node.folder)
        call->ret = g_str_equal(name, "type") ? text(node.folder == folders[MACHINE] ? call->vm->config->board->name : "container") : NULL;
    else
        call->ret = node.device ? device_value(node.device, name) : vcpu_value(node.vcpu, name);
    return call->ret || error_set(err, ERR_INVALID, "Property '%s.%s' not found", path, name);
}

/* ---- types */

static void add_known_global(const char *property, void *a) { add_property(a, property, "str"); }

JsonArray *qom_type_properties(const DeviceType *t)
{
    JsonArray *a = json_array_new();
    config_each_known_global(t->name, add_known_global, a); /* libvirt asks for them before it says them */
    for (const Field *f = t->fields; f && f->name; f++) {
        if (f->role != FIELD_PROP)
            continue;
        JsonObject *o = json_object_new();
        json_object_set_string_member(o, "name", f->name);
        json_object_set_string_member(o, "type", property_type(f));
        if (f->doc)
            json_object_set_string_member(o, "description", f->doc);
        if (f->type == FT_BOOL)
            json_object_set_boolean_member(o, "default-value", f->reset != 0);
        else if (f->type != FT_STR)
            json_object_set_int_member(o, "default-value", f->reset);
        else if (f->def)
            json_object_set_string_member(o, "default-value", f->def);
        json_array_add_object_element(a, o);
    }
    return a;
}

static const DeviceType *type_named(const char *name)
{
    for (unsigned i = 0; device_types[i]; i++)
        if (g_str_equal(device_types[i]->name, name))
            return device_types[i];
    return NULL;
}

static bool device_list_properties(MonitorCall *call, GError **err)
{
    const DeviceType *t = type_named(arg_text(call, "typename"));
    if (!t)
        return error_set(err, ERR_NOT_FOUND, "Device '%s' not found", arg_text(call, "typename"));
    return return_array(call, qom_type_properties(t));
}

static bool is_cpu_type(const char *name)
{
    const char *end = strstr(name, "-x86_64-cpu");
    return end && g_str_equal(end, "-x86_64-cpu");
}

static bool qom_list_properties(MonitorCall *call, GError **err)
{
    const char *name = arg_text(call, "typename");
    const DeviceType *t = type_named(name);
    if (t)
        return return_array(call, qom_type_properties(t));
    JsonArray *a = json_array_new();
    QapiMember member;
    const char *members = object_members(name);
    for (const char *at = members; qapi_member_next(&at, &member);)
        add_property(a, member.name, member.type);
    if (is_cpu_type(name)) {
        add_property(a, "migratable", "bool");
        add_property(a, "unavailable-features", "strList");
        cpu_each_property(add_cpu_property, a);
    } else if (!*members && !g_str_has_suffix(name, "-machine") && !g_str_has_prefix(name, "memory-backend-")) {
        /* libvirt 9.0 asks for every kind of memory unconditionally, and crashes on an error */
        json_array_unref(a);
        return error_set(err, ERR_NOT_FOUND, "Class '%s' not found", name);
    }
    return return_array(call, a);
}

static void add_type(JsonArray *a, const char *name, const char *parent)
{
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "name", name);
    json_object_set_string_member(o, "parent", parent);
    json_array_add_object_element(a, o);
}

static bool qom_list_types(MonitorCall *call, GError **err)
{
    const char *implements = arg_text(call, "implements");
    JsonArray *a = json_array_new();
    for (unsigned i = 0; device_types[i] && (!implements || g_str_equal(implements, "device")); i++)
        add_type(a, device_types[i]->name, "device");
    for (const ObjectType *t = object_types; t->name && (!implements || g_str_equal(implements, "user-creatable")); t++)
        add_type(a, t->name, "object");
    for (unsigned i = 0; accel_table[i] && (!implements || g_str_equal(implements, "accel")); i++) {
        const char *accel = accel_table[i] == &accel_dbt ? "tcg" : accel_table[i]->name; /* QEMU's word for its translator */
        g_autofree char *name = g_strdup_printf("%s-accel", accel);
        add_type(a, name, "accel");
    }
    for (unsigned i = 0; board_types[i] && (!implements || g_str_equal(implements, "machine")); i++) {
        g_autofree char *name = g_strdup_printf("%s-machine", board_types[i]->name);
        add_type(a, name, "machine");
    }
    return return_array(call, a);
}

/* ---- typed */

static void print_device(GString *out, Machine *m, const Device *d, unsigned indent);

static void print_bus(GString *out, Machine *m, const Bus *b, unsigned indent)
{
    g_string_append_printf(out, "%*sbus: %s\n%*s  type %s\n", indent, "", b->name, indent, "", b->type->kind);
    for (unsigned i = 0; i < m->devices->len; i++) {
        const Device *d = m->devices->pdata[i];
        if (d->bus == b)
            print_device(out, m, d, indent + 2);
    }
}

static void print_device(GString *out, Machine *m, const Device *d, unsigned indent)
{
    g_string_append_printf(out, "%*sdev: %s, id \"%s\"\n", indent, "", d->type->name, d->id ? d->id : "");
    for (const Field *f = d->type->fields; f && f->name; f++)
        if (f->role == FIELD_PROP && f->type == FT_STR)
            g_string_append_printf(out, "%*s  %s = \"%s\"\n", indent, "", f->name, *(char **)((char *)d + f->off) ? *(char **)((char *)d + f->off) : "");
        else if (f->role == FIELD_PROP)
            g_string_append_printf(out, "%*s  %s = %" G_GUINT64_FORMAT "\n", indent, "", f->name, field_get(f, d, 0));
    for (unsigned i = 0; i < m->buses->len; i++) {
        const Bus *b = m->buses->pdata[i];
        if (b->owner == d)
            print_bus(out, m, b, indent + 2);
    }
}

static bool info_qtree(MonitorCall *call, GError **err)
{
    Machine *m = call->vm->machine;
    for (unsigned i = 0; i < m->buses->len; i++) {
        const Bus *b = m->buses->pdata[i];
        if (!b->owner)
            print_bus(call->out, m, b, 0);
    }
    for (unsigned i = 0; i < m->devices->len; i++)
        if (!((Device *)m->devices->pdata[i])->bus)
            print_device(call->out, m, m->devices->pdata[i], 0);
    return true;
}

const MonitorCommand qom_commands[] = {
    { "qom-list", "qom-list", "path: str", "[ObjectPropertyInfo]", .doc = "children and properties of an object", .run = qom_list },
    { "qom-get", "qom-get", "path: str, property: str", "any", .doc = "value of a property", .run = qom_get },
    { "qom-list-types", NULL, "?implements: str, ?abstract: bool", "[ObjectTypeInfo]", .doc = "types of objects", .run = qom_list_types, .early = true },
    { "device-list-properties", NULL, "typename: str", "[ObjectPropertyInfo]", .doc = "properties of a type of device", .run = device_list_properties,
      .early = true },
    { "qom-list-properties", NULL, "typename: str", "[ObjectPropertyInfo]", .doc = "properties of a type", .run = qom_list_properties, .early = true },
    { NULL, "info qtree", .doc = "buses and what is plugged into them", .text = info_qtree },
    { NULL },
};
