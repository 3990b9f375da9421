/* commands_export.c - drives that others read or write over NBD while the machine runs: nbd-server-*, block-export-*. */
#include <string.h>

#include "vmm/exports.h"
#include "vmm/io_threads.h"
#include "vmm/monitor/command.h"

/* ---- the server */

static const char *data_text(JsonObject *data, const char *name) { return json_object_get_string_member_with_default(data, name, NULL); }

static bool inet_address(JsonObject *data, NbdServerOptions *o, GError **err)
{
    const char *port = data_text(data, "port");
    guint64 number;
    if (!g_ascii_string_to_unsigned(port, 10, 0, UINT16_MAX, &number, NULL))
        return error_set(err, ERR_INVALID, "port '%s' is no number from 0 to %d", port, UINT16_MAX);
    o->host = data_text(data, "host");
    o->host = *o->host ? o->host : NULL;
    o->port = number;
    return true;
}

static bool fd_address(MonitorCall *call, JsonObject *data, NbdServerOptions *o, GError **err)
{
    g_autofree char *number = monitor_descriptor_numbers(call->monitor, data_text(data, "str"), err);
    o->fd = number ? atoi(number) : 0;
    return number && (o->fd > 0 || error_set(err, ERR_INVALID, "'%s' is no descriptor of a listening socket", number));
}

static bool address(MonitorCall *call, NbdServerOptions *o, GError **err)
{
    JsonObject *addr = arg_object(call, "addr"), *data = json_object_get_object_member(addr, "data");
    const char *type = data_text(addr, "type");
    if (g_str_equal(type, "inet"))
        return inet_address(data, o, err);
    if (g_str_equal(type, "fd"))
        return fd_address(call, data, o, err);
    o->socket_path = data_text(data, "path");
    return true;
}

static bool server_start(MonitorCall *call, GError **err)
{
    int64_t most = arg_int(call, "max-connections", 0);
    NbdServerOptions o = { .tls_creds = arg_text(call, "tls-creds"), .env = call->vm->config->env, .max_clients = most };
    if (most < 0 || most > UINT32_MAX)
        return error_set(err, ERR_INVALID, "Parameter 'max-connections' expects a number from 0 (no limit) to %u", UINT32_MAX);
    return address(call, &o, err) && vm_start_nbd(call->vm, &o, err);
}

/* Typed as unix:PATH or HOST:PORT. */
static bool server_start_typed(MonitorCall *call, GError **err)
{
    const char *uri = arg_text(call, "uri"), *colon = strrchr(uri, ':');
    NbdServerOptions o = { .env = call->vm->config->env };
    guint64 port;
    if (g_str_has_prefix(uri, "unix:")) {
        o.socket_path = uri + strlen("unix:");
        return vm_start_nbd(call->vm, &o, err);
    }
    if (!colon || !g_ascii_string_to_unsigned(colon + 1, 10, 0, UINT16_MAX, &port, NULL))
        return error_set(err, ERR_INVALID, "'%s' is no address: unix:PATH or HOST:PORT", uri);
    g_autofree char *host = colon > uri ? g_strndup(uri, colon - uri) : NULL;
    o.host = host;
    o.port = port;
    return vm_start_nbd(call->vm, &o, err);
}

static bool server_stop(MonitorCall *call, GError **err) { return vm_stop_nbd(call->vm, err); }

/* ---- exports */

static bool is_hard(MonitorCall *call) { return g_strcmp0(arg_text(call, "mode"), "hard") == 0; }

static bool server_add(MonitorCall *call, GError **err)
{
    const char *device = arg_text(call, "device"), *name = arg_text(call, "name"), *bitmaps[] = { arg_text(call, "bitmap"), NULL };
    NbdExport e = { .name = name ? name : device, .description = arg_text(call, "description"), .bitmaps = bitmaps, .read_only = !arg_bool(call, "writable", false) };
    return vm_add_export(call->vm, e.name, device, &e, err);
}

static bool server_remove(MonitorCall *call, GError **err)
{
    VmExport *x = vm_export_by_name(call->vm, arg_text(call, "name"), err);
    return x && vm_remove_export(call->vm, x, is_hard(call), err);
}

/* Names, or objects that name the node as well: that must be this one, for bitmaps of what is below are not there for its clients. */
static bool bitmap_names(MonitorCall *call, GPtrArray *to, GError **err)
{
    JsonArray *a = json_object_has_member(call->args, "bitmaps") ? json_object_get_array_member(call->args, "bitmaps") : NULL;
    for (unsigned i = 0; a && i < json_array_get_length(a); i++) {
        JsonNode *b = json_array_get_element(a, i);
        JsonObject *o = JSON_NODE_HOLDS_OBJECT(b) ? json_node_get_object(b) : NULL;
        if (o && strcmp(data_text(o, "node"), arg_text(call, "node-name")))
            return error_set(err, ERR_UNSUPPORTED, "Bitmap '%s' is of node '%s': an export shows those of its own node", data_text(o, "name"), data_text(o, "node"));
        g_ptr_array_add(to, (char *)(o ? data_text(o, "name") : json_node_get_string(b)));
    }
    g_ptr_array_add(to, NULL);
    return true;
}

/* An export is served by threads of the server, which are enough: to be on another is a wish, unless it is said to be more. */
static bool check_thread(MonitorCall *call, GError **err)
{
    const char *id = arg_text(call, "iothread");
    if (id && !vm_has_io_thread(call->vm, id))
        return error_set(err, ERR_NOT_FOUND, "iothread \"%s\" not found", id);
    return !id || !arg_bool(call, "fixed-iothread", false) ||
           error_set(err, ERR_UNSUPPORTED, "export '%s' cannot be kept on iothread '%s': the NBD server has threads of its own; leave out fixed-iothread", arg_text(call, "id"), id);
}

static bool export_add(MonitorCall *call, GError **err)
{
    const char *node = arg_text(call, "node-name"), *name = arg_text(call, "name");
    g_autoptr(GPtrArray) bitmaps = g_ptr_array_new();
    NbdExport e = { .name = name ? name : node, .description = arg_text(call, "description"), .read_only = !arg_bool(call, "writable", false),
                    .allocation_depth = arg_bool(call, "allocation-depth", false), .writethrough = arg_bool(call, "writethrough", false) };
    if (!check_thread(call, err) || !bitmap_names(call, bitmaps, err))
        return false;
    e.bitmaps = (const char *const *)bitmaps->pdata;
    return vm_add_export(call->vm, arg_text(call, "id"), node, &e, err);
}

static bool export_del(MonitorCall *call, GError **err)
{
    VmExport *x = vm_export_by_id(call->vm, arg_text(call, "id"), err);
    return x && vm_remove_export(call->vm, x, is_hard(call), err);
}

static bool query_exports(MonitorCall *call, GError **err)
{
    JsonArray *a = json_array_new();
    for (unsigned i = 0; i < call->vm->exports->len; i++) {
        const VmExport *x = call->vm->exports->pdata[i];
        JsonObject *o = json_object_new();
        json_object_set_string_member(o, "id", x->id);
        json_object_set_string_member(o, "type", "nbd");
        json_object_set_string_member(o, "node-name", x->node_name);
        json_object_set_boolean_member(o, "shutting-down", FALSE);
        json_array_add_object_element(a, o);
    }
    return return_array(call, a);
}

const MonitorCommand export_commands[] = {
    { "nbd-server-start", NULL, "addr: SocketAddressLegacy, ?tls-creds: str, ?max-connections: int", .doc = "let others have disks over NBD, at this address", .run = server_start },
    { NULL, "nbd_server_start", .line_args = "uri: str", .doc = "let others have disks over NBD, at unix:PATH or HOST:PORT", .text = server_start_typed },
    { "nbd-server-stop", "nbd_server_stop", .doc = "end that, and its exports", .run = server_stop },
    { "nbd-server-add", NULL, "device: str, ?name: str, ?description: str, ?writable: bool, ?bitmap: str", .doc = "give a disk to others", .run = server_add },
    { NULL, "nbd_server_add", .line_args = "device: str, ?name: str", .doc = "give a disk to others, to read", .run = server_add },
    { "nbd-server-remove", "nbd_server_remove", "name: str, ?mode: BlockExportRemoveMode", .line_args = "name: str", .doc = "no longer give a disk to others", .run = server_remove },
    { "block-export-add", NULL, "BlockExportOptions", .doc = "give a disk to others", .run = export_add },
    { "block-export-del", NULL, "id: str, ?mode: BlockExportRemoveMode", .doc = "no longer give a disk to others", .run = export_del },
    { "query-block-exports", NULL, .ret = "[BlockExportInfo]", .doc = "disks that others have", .run = query_exports },
    { NULL },
};
