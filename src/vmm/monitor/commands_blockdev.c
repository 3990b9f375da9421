/* commands_blockdev.c - images that come, go, change their size and get limits while the machine runs. */
#include <fcntl.h>
#include <string.h>

#include "vmm/monitor/command.h"
#include "vmm/monitor/qom.h"
#include "vmm/nodes.h"

/* A file that was handed over. */
static bool take_set(MonitorCall *call, GError **err)
{
    const char *path = arg_text(call, "filename");
    g_autofree char *own = path ? vm_set_path(call->vm, path, arg_bool(call, "read-only", false) ? O_RDONLY : O_RDWR, err) : NULL;
    if (own)
        json_object_set_string_member(call->args, "filename", own);
    return own || !path;
}

static bool blockdev_add(MonitorCall *call, GError **err)
{
    if (!take_set(call, err))
        return false;
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), call->args);
    g_autofree char *text = json_to_string(node, FALSE);
    return vm_add_node(call->vm, text, err);
}

static bool blockdev_del(MonitorCall *call, GError **err) { return vm_remove_node(call->vm, arg_text(call, "node-name"), err); }

static bool find(MonitorCall *call, NodePlace *ret, GError **err)
{
    const char *device = arg_text(call, "device"), *node = arg_text(call, "node-name"), *name = node ? node : device;
    if (!device == !node)
        return error_set(err, ERR_INVALID, "Need exactly one of 'device' and 'node-name'");
    return vm_find_node(call->vm, name, ret) || error_set(err, ERR_NOT_FOUND, "Cannot find device='%s' nor node-name='%s'", name, name);
}

static bool resize(MonitorCall *call, GError **err)
{
    NodePlace at;
    int64_t size = arg_int(call, "size", 0);
    BlkInfo info;
    if (!find(call, &at, err))
        return false;
    if (!at.top)
        return error_set(err, ERR_BUSY, "'%s' has another image above it: resize that", at.drive);
    if (size < 0)
        return error_set(err, ERR_INVALID, "Parameter 'size' expects a >0 size");
    blk_info(at.root, &info);
    if (!blk_resize_live(at.root, size, err))
        return false;
    blk_info(at.root, &info);
    if (at.holder && at.holder->type->resized)
        at.holder->type->resized(at.holder, info.size);
    return true;
}

/* ---- limits */

/* As block_set_io_throttle and as the image layer calls them. */
static const char *const limit_names[] = {
    "bps", "bps-total", "bps_rd", "bps-read", "bps_wr", "bps-write", "iops", "iops-total", "iops_rd", "iops-read", "iops_wr", "iops-write",
    "bps_max", "bps-total-max", "bps_rd_max", "bps-read-max", "bps_wr_max", "bps-write-max",
    "iops_max", "iops-total-max", "iops_rd_max", "iops-read-max", "iops_wr_max", "iops-write-max",
    "bps_max_length", "bps-total-max-length", "bps_rd_max_length", "bps-read-max-length", "bps_wr_max_length", "bps-write-max-length",
    "iops_max_length", "iops-total-max-length", "iops_rd_max_length", "iops-read-max-length", "iops_wr_max_length", "iops-write-max-length",
    "iops_size", "iops-size", NULL,
};

/* Of lengths libvirt gives zero, or one, where there is no limit that they belong to. */
static bool says_something(JsonObject *args, const char *name, int64_t value)
{
    if (!g_str_has_suffix(name, "_length"))
        return value;
    g_autofree char *burst = g_strndup(name, strlen(name) - strlen("_length"));
    return value && json_object_get_int_member_with_default(args, burst, 0);
}

static bool limits_text(MonitorCall *call, GString *to, GError **err)
{
    for (unsigned i = 0; limit_names[i]; i += 2) {
        int64_t value = arg_int(call, limit_names[i], 0);
        if (value < 0)
            return error_set(err, ERR_INVALID, "'%s' is no limit: %" G_GINT64_FORMAT, limit_names[i], value);
        if (says_something(call->args, limit_names[i], value))
            g_string_append_printf(to, "%s%s=%" G_GINT64_FORMAT, to->len ? "," : "", limit_names[i + 1], value);
    }
    return true;
}

static bool set_limits(MonitorCall *call, GError **err)
{
    const char *id = arg_text(call, "id"), *device = arg_text(call, "device");
    g_autoptr(GString) limits = g_string_new(NULL);
    NodePlace at;
    if (!id == !device)
        return error_set(err, ERR_INVALID, "Need exactly one of 'device' and 'id'");
    if (arg_text(call, "group"))
        return error_set(err, ERR_UNSUPPORTED, "'group': limits that several disks share are not built; leave it out");
    if (!vm_find_disk(call->vm, id, device, &at))
        return error_set(err, ERR_NOT_FOUND, "Device '%s' not found", id ? id : device);
    return limits_text(call, limits, err) && blk_set_limits(at.root, limits->str, err);
}

const MonitorCommand blockdev_commands[] = {
    { "blockdev-add", NULL, "BlockdevOptions", .doc = "open an image, for a device or another image to name", .run = blockdev_add },
    { "blockdev-del", NULL, "node-name: str", .doc = "close an image that nobody uses", .run = blockdev_del },
    { "block_resize", "block_resize", "?device: str, ?node-name: str, size: int", .line_args = "device: str, size: int", .doc = "make a disk larger or smaller", .run = resize },
    { "block_set_io_throttle", "block_set_io_throttle",
      "?device: str, ?id: str, bps: int, bps_rd: int, bps_wr: int, iops: int, iops_rd: int, iops_wr: int, ?bps_max: int, ?bps_rd_max: int, ?bps_wr_max: int, "
      "?iops_max: int, ?iops_rd_max: int, ?iops_wr_max: int, ?bps_max_length: int, ?bps_rd_max_length: int, ?bps_wr_max_length: int, ?iops_max_length: int, "
      "?iops_rd_max_length: int, ?iops_wr_max_length: int, ?iops_size: int, ?group: str",
      .line_args = "device: str, bps: int, bps_rd: int, bps_wr: int, iops: int, iops_rd: int, iops_wr: int",
      .doc = "limits of requests and bytes a second; zeros: none", .run = set_limits },
    { NULL },
};
