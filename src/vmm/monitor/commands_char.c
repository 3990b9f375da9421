/* commands_char.c - the host's ends of serial lines: what is there, coming, going, and those that keep what is written. */
#include <fcntl.h>
#include <string.h>

#include "vmm/chardevs.h"
#include "vmm/monitor/command.h"

static JsonObject *describe(Chardev *c)
{
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "label", chardev_id(c));
    json_object_set_string_member(o, "filename", chardev_description(c));
    json_object_set_boolean_member(o, "frontend-open", chardev_in_use(c));
    return o;
}

static bool query_chardev(MonitorCall *call, GError **err)
{
    JsonArray *a = json_array_new();
    for (unsigned i = 0; i < call->vm->chardevs->len; i++)
        json_array_add_object_element(a, describe(call->vm->chardevs->pdata[i]));
    return return_array(call, a);
}

static bool info_chardev(MonitorCall *call, GError **err)
{
    for (unsigned i = 0; i < call->vm->chardevs->len; i++)
        g_string_append_printf(call->out, "%s: filename=%s\n", chardev_id(call->vm->chardevs->pdata[i]), chardev_description(call->vm->chardevs->pdata[i]));
    return true;
}

static bool query_backends(MonitorCall *call, GError **err)
{
    g_auto(GStrv) names = chardev_backends();
    JsonArray *a = json_array_new();
    for (unsigned i = 0; names[i]; i++) {
        JsonObject *o = json_object_new();
        json_object_set_string_member(o, "name", names[i]);
        json_array_add_object_element(a, o);
    }
    return return_array(call, a);
}

/* ---- ChardevBackend in the words of -chardev */

/* What is called otherwise there. */
static const struct { const char *type, *member, *key; } renamed[] = {
    { "file", "out", "path" },
    { "file", "in", "input-path" },
};

static const char *key_of(const char *type, const char *member)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(renamed); i++)
        if (g_str_equal(renamed[i].type, type) && g_str_equal(renamed[i].member, member))
            return renamed[i].key;
    return member;
}

/* An address, under these names of host and port. */
static bool put_address(MonitorCall *call, JsonObject *addr, const char *host, const char *port, JsonObject *to, GError **err)
{
    const char *type = json_object_get_string_member(addr, "type");
    JsonObject *data = json_object_get_object_member(addr, "data");
    if (g_str_equal(type, "unix")) {
        json_object_set_string_member(to, "path", json_object_get_string_member(data, "path"));
        return true;
    }
    if (g_str_equal(type, "inet")) {
        json_object_set_string_member(to, host, json_object_get_string_member(data, "host"));
        json_object_set_string_member(to, port, json_object_get_string_member(data, "port"));
        return true;
    }
    g_autofree char *fd = monitor_descriptor_numbers(call->monitor, json_object_get_string_member(data, "str"), err);
    if (fd)
        json_object_set_string_member(to, "fd", fd);
    return fd;
}

static bool put_member(MonitorCall *call, const char *type, const char *name, JsonNode *value, JsonObject *to, GError **err)
{
    if (g_str_equal(name, "addr") || g_str_equal(name, "remote"))
        return put_address(call, json_node_get_object(value), "host", "port", to, err);
    if (g_str_equal(name, "local"))
        return put_address(call, json_node_get_object(value), "localaddr", "localport", to, err);
    g_autofree char *path = json_node_get_value_type(value) == G_TYPE_STRING ? vm_set_path(call->vm, json_node_get_string(value), g_str_equal(name, "in") ? O_RDONLY : O_WRONLY, err) : NULL;
    if (path)
        json_object_set_string_member(to, key_of(type, name), path);
    else if (json_node_get_value_type(value) != G_TYPE_STRING)
        json_object_set_member(to, key_of(type, name), json_node_copy(value));
    return path || json_node_get_value_type(value) != G_TYPE_STRING;
}

/* The monitor's defaults of a socket are not those of the command line.  Caller frees. */
static char *backend_text(MonitorCall *call, GError **err)
{
    JsonObject *backend = arg_object(call, "backend"), *data = json_object_get_object_member(backend, "data");
    const char *type = json_object_get_string_member(backend, "type");
    g_autoptr(JsonNode) node = json_node_of(json_object_new());
    JsonObject *to = json_node_get_object(node);
    g_autoptr(GList) names = json_object_get_members(data);
    json_object_set_string_member(to, "backend", type);
    if (g_str_equal(type, "socket")) {
        json_object_set_boolean_member(to, "server", TRUE);
        json_object_set_boolean_member(to, "wait", FALSE);
    }
    for (GList *l = names; l; l = l->next)
        if (!put_member(call, type, l->data, json_object_get_member(data, l->data), to, err))
            return NULL;
    return json_to_string(node, FALSE);
}

static bool return_pty(MonitorCall *call, const Chardev *c)
{
    const char *description = chardev_description(c);
    JsonObject *o = json_object_new();
    if (g_str_has_prefix(description, "pty:"))
        json_object_set_string_member(o, "pty", description + strlen("pty:"));
    return return_object(call, o);
}

/* ---- coming and going */

static bool chardev_add(MonitorCall *call, GError **err)
{
    g_autofree char *text = backend_text(call, err);
    Chardev *c = text ? vm_add_chardev(call->vm, arg_text(call, "id"), text, err) : NULL;
    return c && return_pty(call, c);
}

static bool chardev_add_typed(MonitorCall *call, GError **err)
{
    const char *text = arg_text(call, "args");
    g_autoptr(KeyVals) kv = keyvals_parse(text, "backend", "chardev-add", err);
    const char *id = kv ? keyvals_take(kv, "id") : NULL;
    if (kv && !id)
        return error_set(err, ERR_INVALID, "Parameter 'id' is missing: chardev-add BACKEND,id=ID");
    return kv && vm_add_chardev(call->vm, id, text, err);
}

static bool change(MonitorCall *call, const char *text, GError **err)
{
    const char *id = arg_text(call, "id");
    return text && vm_change_chardev(call->vm, id, text, err) && return_pty(call, vm_find_chardev(call->vm, id));
}

static bool chardev_change_to(MonitorCall *call, GError **err)
{
    g_autofree char *text = backend_text(call, err);
    return change(call, text, err);
}

static bool chardev_change_typed(MonitorCall *call, GError **err) { return change(call, arg_text(call, "args"), err); }

static bool chardev_remove(MonitorCall *call, GError **err) { return vm_remove_chardev(call->vm, arg_text(call, "id"), err); }

static bool send_break(MonitorCall *call, GError **err)
{
    Chardev *c = vm_find_chardev(call->vm, arg_text(call, "id"));
    if (!c)
        return error_set(err, ERR_NOT_FOUND, "Chardev '%s' not found", arg_text(call, "id"));
    chardev_send_break(c);
    return true;
}

/* ---- those that keep what is written */

static Chardev *find_ring(MonitorCall *call, GError **err)
{
    const char *id = arg_text(call, "device");
    Chardev *c = vm_find_chardev(call->vm, id);
    if (!c)
        error_set(err, ERR_NOT_FOUND, "Device '%s' not found", id);
    else if (chardev_is_mux(c) || !chardev_is_memory(c))
        error_set(err, ERR_INVALID, "%s is not a ringbuf device", id);
    else
        return c;
    return NULL;
}

static bool is_base64(MonitorCall *call) { return g_strcmp0(arg_text(call, "format"), "base64") == 0; }

static bool ringbuf_write(MonitorCall *call, GError **err)
{
    const char *text = arg_text(call, "data");
    Chardev *c = find_ring(call, err);
    gsize n = strlen(text);
    g_autofree guchar *data = is_base64(call) ? g_base64_decode(text, &n) : (guchar *)g_strdup(text);
    if (c)
        chardev_write(c, data, n);
    return c;
}

static char *read_ring(MonitorCall *call, size_t *ret_n, GError **err)
{
    int64_t size = arg_int(call, "size", 0);
    Chardev *c = find_ring(call, err);
    if (c && size <= 0)
        error_set(err, ERR_INVALID, "size must be greater than zero");
    return c && size > 0 ? chardev_memory_read(c, size, ret_n) : NULL;
}

static bool ringbuf_read(MonitorCall *call, GError **err)
{
    size_t n;
    g_autofree char *data = read_ring(call, &n, err);
    g_autofree char *text = !data ? NULL : is_base64(call) ? g_base64_encode((const guchar *)data, n) : g_utf8_make_valid(data, n);
    return text && return_text(call, text);
}

static bool ringbuf_read_typed(MonitorCall *call, GError **err)
{
    size_t n;
    g_autofree char *data = read_ring(call, &n, err);
    for (size_t i = 0; data && i < n; i++)
        if (data[i] == '\\' || (g_ascii_iscntrl(data[i]) && !strchr("\n\t", data[i])) || (guchar)data[i] >= 0x7f)
            g_string_append_printf(call->out, data[i] == '\\' ? "\\\\" : "\\u%04X", (guchar)data[i]);
        else
            g_string_append_c(call->out, data[i]);
    if (data)
        g_string_append_c(call->out, '\n');
    return data;
}

const MonitorCommand char_commands[] = {
    { "query-chardev", NULL, .ret = "[ChardevInfo]", .doc = "character devices", .run = query_chardev, .early = true },
    { NULL, "info chardev", .doc = "character devices", .text = info_chardev, .early = true },
    { "query-chardev-backends", NULL, .ret = "[ChardevBackendInfo]", .doc = "kinds of character devices", .run = query_backends, .early = true },
    { "chardev-add", NULL, "id: str, backend: ChardevBackend", "ChardevReturn", .doc = "a new character device", .run = chardev_add },
    { NULL, "chardev-add", .line_args = "args: rest", .doc = "a new character device, as -chardev spells it", .text = chardev_add_typed },
    { "chardev-change", NULL, "id: str, backend: ChardevBackend", "ChardevReturn", .doc = "another backend for a character device, which may be in use", .run = chardev_change_to },
    { NULL, "chardev-change", .line_args = "id: str, args: rest", .doc = "another backend for a character device, as -chardev spells it", .text = chardev_change_typed },
    { "chardev-remove", "chardev-remove", "id: str", .doc = "close a character device that nobody uses", .run = chardev_remove },
    { "chardev-send-break", "chardev-send-break", "id: str", .doc = "a break, as if the other end had sent it", .run = send_break },
    { "ringbuf-write", "ringbuf_write", "device: str, data: str, ?format: DataFormat", .line_args = "device: str, data: rest", .doc = "write to a character device of kind ringbuf", .run = ringbuf_write },
    { "ringbuf-read", NULL, "device: str, size: int, ?format: DataFormat", "str", .doc = "take what was written to a character device of kind ringbuf", .run = ringbuf_read },
    { NULL, "ringbuf_read", .line_args = "device: str, size: int", .doc = "take what was written to a character device of kind ringbuf", .text = ringbuf_read_typed },
    { NULL },
};
