/* commands_drive_job.c - drive-mirror and drive-backup: the jobs of commands_job.c to a file that the command makes. */
#include "vmm/monitor/job_call.h"
#include "vmm/new_images.h"

static bool may_have_name(MonitorCall *call, const char *name, GError **err)
{
    NodePlace other;
    return !name || !vm_find_node(call->vm, name, &other) || error_set(err, ERR_BUSY, "Duplicate nodes with node-name='%s'", name);
}

/* What is not copied comes from the backing files of both. */
static BlkNode *open_target(MonitorCall *call, const NodePlace *at, BlkSync sync, GError **err)
{
    BlkInfo info;
    const char *file = arg_text(call, "target"), *format = arg_text(call, "format"), *name = arg_text(call, "node-name");
    bool exists = g_strcmp0(arg_text(call, "mode"), "existing") == 0;
    BlkNode *below = sync == BLK_SYNC_TOP ? blk_backing(at->root) : NULL;
    blk_info(at->root, &info);
    format = format ? format : info.format;
    if (!may_have_name(call, name, err) || (!exists && !vm_create_image(call->vm, at->root, below, format, file, err)))
        return NULL;
    g_autofree char *own = name ? g_strdup(name) : vm_new_node_name(call->vm);
    return vm_open_image(call->vm, format, file, own, below, err);
}

static bool drive_mirror(MonitorCall *call, GError **err)
{
    NodePlace at;
    VmJobOptions o = job_options_of(call);
    BlkSync sync = job_sync_of(arg_text(call, "sync"));
    if (!job_find_drive(call, &at, err))
        return false;
    if (sync == BLK_SYNC_BITMAP || sync == BLK_SYNC_NONE)
        return error_set(err, ERR_UNSUPPORTED, "Sync mode '%s' not supported by drive-mirror: it takes full and top; blockdev-mirror takes none", arg_text(call, "sync"));
    BlkNode *target = open_target(call, &at, sync, err);
    VmJob *j = target ? vm_job_new(call->vm, "mirror", at.drive, &o, err) : NULL;
    if (target && !j)
        blk_close(target);
    return j && vm_job_started(j, blk_job_mirror(at.root, target, sync, &o.block, err));
}

/* The target is closed when the job has ended. */
static bool drive_backup(MonitorCall *call, GError **err)
{
    NodePlace at;
    BlkBitmap *bitmap = NULL;
    VmJobOptions o = job_options_of(call);
    BlkSync sync = job_sync_of(arg_text(call, "sync"));
    if (!job_find_drive(call, &at, err) || !job_backup_bitmap(call, &at, &bitmap, err))
        return false;
    BlkNode *target = open_target(call, &at, sync, err);
    VmJob *j = target ? vm_job_new(call->vm, "backup", at.drive, &o, err) : NULL;
    if (j && vm_job_started(j, blk_job_backup(at.root, target, sync, bitmap, &o.block, err))) {
        j->target = target;
        return true;
    }
    if (target)
        blk_close(target);
    return false;
}

/* Typed: everything, unless the top image alone is asked for. */
static bool typed(MonitorCall *call, bool (*run)(MonitorCall *call, GError **err), GError **err)
{
    json_object_set_string_member(call->args, "sync", "full");
    return run(call, err);
}

static bool drive_mirror_line(MonitorCall *call, GError **err) { return typed(call, drive_mirror, err); }
static bool drive_backup_line(MonitorCall *call, GError **err) { return typed(call, drive_backup, err); }

const MonitorCommand drive_job_commands[] = {
    { "drive-mirror", NULL, "DriveMirror", .doc = "copy a disk to a file, and go on with that one", .run = drive_mirror },
    { NULL, "drive_mirror", .line_args = "device: str, target: str, ?format: str", .doc = "copy a disk to a file, and go on with that one", .text = drive_mirror_line },
    { "drive-backup", NULL, "DriveBackup", .doc = "copy a disk as it is now, or what changed in it, to a file", .run = drive_backup },
    { NULL, "drive_backup", .line_args = "device: str, target: str, ?format: str", .doc = "copy a disk as it is now to a file", .text = drive_backup_line },
    { NULL },
};
