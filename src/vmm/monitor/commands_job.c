/* commands_job.c - work on images in the background: commit, stream, mirror, backup, overlays, new images. */
#include <string.h>

#include "vmm/monitor/job_call.h"

/* ---- starting them */

VmJobOptions job_options_of(MonitorCall *call)
{
    return (VmJobOptions){ .id = arg_text(call, "job-id"), .keep_pending = !arg_bool(call, "auto-finalize", true), .keep_concluded = !arg_bool(call, "auto-dismiss", true),
                           .block = { .speed = MAX(arg_int(call, "speed", 0), 0) } };
}

bool job_find_drive(MonitorCall *call, NodePlace *ret, GError **err)
{
    const char *device = arg_text(call, "device");
    return (vm_find_node(call->vm, device, ret) && ret->top) || error_set(err, ERR_NOT_FOUND, "Cannot find device='%s' nor node-name='%s'", device, device);
}

/* A node of that drive's chain; *ret stays NULL where it is not named. */
static bool find_below(MonitorCall *call, const NodePlace *at, const char *argument, BlkNode **ret, GError **err)
{
    const char *name = arg_text(call, argument);
    NodePlace node;
    if (!name)
        return true;
    if (!vm_find_node(call->vm, name, &node) || node.root != at->root)
        return error_set(err, ERR_NOT_FOUND, "'%s' is not in the backing chain of '%s'", name, arg_text(call, "device"));
    *ret = node.node;
    return true;
}

static bool block_commit(MonitorCall *call, GError **err)
{
    NodePlace at, top_at;
    BlkNode *top = NULL, *base = NULL;
    const char *top_name = arg_text(call, "top-node");
    VmJobOptions o = job_options_of(call);
    if (!job_find_drive(call, &at, err) || !find_below(call, &at, "top-node", &top, err) || !find_below(call, &at, "base-node", &base, err))
        return false;
    bool active = !top_name || (vm_find_node(call->vm, top_name, &top_at) && top_at.top);
    for (BlkNode *n = base ? NULL : at.root; n; n = blk_backing(n)) /* all of the chain, if nothing is said */
        base = n;
    VmJob *j = vm_job_new(call->vm, "commit", at.drive, &o, err);
    return j && vm_job_started(j, blk_job_commit(at.root, active ? NULL : top, base, active ? BLK_COMMIT_PIVOT : 0, &o.block, err));
}

static bool block_stream(MonitorCall *call, GError **err)
{
    NodePlace at;
    BlkNode *base = NULL;
    VmJobOptions o = job_options_of(call);
    if (!job_find_drive(call, &at, err) || !find_below(call, &at, "base-node", &base, err))
        return false;
    VmJob *j = vm_job_new(call->vm, "stream", at.drive, &o, err);
    return j && vm_job_started(j, blk_job_stream(at.root, base, &o.block, err));
}

/* The target is the job's from now on. */
static BlkNode *take_target(MonitorCall *call, GError **err)
{
    const char *name = arg_text(call, "target");
    g_autofree char *drive = vm_node_drive(call->vm, name, err);
    NodePlace at;
    if (!drive)
        return NULL;
    if (!vm_find_node(call->vm, drive, &at) || !at.top) {
        error_set(err, ERR_NOT_FOUND, "Cannot find device='%s' nor node-name='%s'", name, name);
        return NULL;
    }
    if (at.holder) {
        error_set(err, ERR_BUSY, "Node '%s' is in use: device '%s' has it", name, at.holder->path);
        return NULL;
    }
    return vm_take_drive(call->vm, drive, err);
}

/* MirrorSyncMode; incremental is the old word for bitmap. */
BlkSync job_sync_of(const char *word)
{
    static const struct { const char *word; BlkSync sync; } modes[] = {
        { "top", BLK_SYNC_TOP }, { "none", BLK_SYNC_NONE }, { "bitmap", BLK_SYNC_BITMAP }, { "incremental", BLK_SYNC_BITMAP },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++)
        if (g_str_equal(word, modes[i].word))
            return modes[i].sync;
    return BLK_SYNC_FULL;
}

static bool blockdev_mirror(MonitorCall *call, GError **err)
{
    NodePlace at;
    VmJobOptions o = job_options_of(call);
    BlkSync sync = job_sync_of(arg_text(call, "sync"));
    if (!job_find_drive(call, &at, err))
        return false;
    if (sync == BLK_SYNC_BITMAP)
        return error_set(err, ERR_UNSUPPORTED, "Sync mode '%s' not supported by blockdev-mirror: it takes full, top and none", arg_text(call, "sync"));
    BlkNode *target = take_target(call, err);
    VmJob *j = target ? vm_job_new(call->vm, "mirror", at.drive, &o, err) : NULL;
    if (target && !j)
        blk_close(target);
    return j && vm_job_started(j, blk_job_mirror(at.root, target, sync, &o.block, err));
}

/* *ret stays NULL where none is asked for. */
bool job_backup_bitmap(MonitorCall *call, const NodePlace *at, BlkBitmap **ret, GError **err)
{
    const char *name = arg_text(call, "bitmap"), *mode = arg_text(call, "bitmap-mode");
    if (mode && !g_str_equal(mode, "on-success"))
        return error_set(err, ERR_UNSUPPORTED, "Bitmap sync mode '%s' is not supported: a bitmap is clean where the backup has succeeded (on-success)", mode);
    return !name || (*ret = blk_bitmap_find(at->node, name)) ||
           error_set(err, ERR_NOT_FOUND, "Dirty bitmap '%s' not found: query-block lists those of '%s'", name, arg_text(call, "device"));
}

/* The target is the job's until that has ended, and then a drive again. */
static bool blockdev_backup(MonitorCall *call, GError **err)
{
    NodePlace at;
    VmJobOptions o = job_options_of(call);
    g_autofree char *target_drive = NULL;
    BlkBitmap *bitmap = NULL;
    if (!job_find_drive(call, &at, err) || !job_backup_bitmap(call, &at, &bitmap, err) || !(target_drive = vm_node_drive(call->vm, arg_text(call, "target"), err)))
        return false;
    BlkNode *target = take_target(call, err);
    VmJob *j = target ? vm_job_new(call->vm, "backup", at.drive, &o, err) : NULL;
    if (j && vm_job_started(j, blk_job_backup(at.root, target, job_sync_of(arg_text(call, "sync")), bitmap, &o.block, err))) {
        j->target = target;
        j->target_drive = g_steal_pointer(&target_drive);
        return true;
    }
    if (target)
        vm_give_drive(call->vm, target_drive, target);
    return false;
}

/* ---- overlays */

static bool snapshot(Vm *vm, const char *node, const char *overlay, GError **err)
{
    NodePlace at, over;
    g_autofree char *drive = vm_node_drive(vm, overlay, err);
    if (!drive)
        return false;
    if (!vm_find_node(vm, node, &at) || !at.top)
        return error_set(err, ERR_NOT_FOUND, "Cannot find device='%s' nor node-name='%s'", node, node);
    if (!vm_find_node(vm, drive, &over) || !over.top)
        return error_set(err, ERR_NOT_FOUND, "Cannot find device='%s' nor node-name='%s'", overlay, overlay);
    if (over.holder || over.root == at.root)
        return error_set(err, ERR_BUSY, "The overlay '%s' is already in use", overlay);
    BlkNode *root = vm_take_drive(vm, drive, err);
    if (root && blk_put_overlay(at.root, root, err))
        return true;
    if (root)
        vm_give_drive(vm, drive, root);
    return false;
}

static bool blockdev_snapshot(MonitorCall *call, GError **err) { return snapshot(call->vm, arg_text(call, "node"), arg_text(call, "overlay"), err); }

/* ---- new images */

static void add_option(GString *to, const char *key, const char *value)
{
    static const char *const versions[] = { "v2", "0.10", "v3", "1.1" };
    g_autofree char *name = g_strdelimit(g_strdup(g_str_equal(key, "version") ? "compat" : key), "-", '_');
    for (unsigned i = 0; i < G_N_ELEMENTS(versions) && g_str_equal(key, "version"); i += 2)
        if (g_str_equal(value, versions[i]))
            value = versions[i + 1];
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);
    g_autofree char *doubled = g_strjoinv(",,", parts);
    g_string_append_printf(to, "%s%s=%s", to->len ? "," : "", name, doubled);
}

static bool create(Vm *vm, const char *text, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(text, NULL, "blockdev-create", err);
    const char *driver = kv ? keyvals_take(kv, "driver") : NULL, *file = kv ? keyvals_take(kv, "file") : NULL, *filename = kv ? keyvals_take(kv, "filename") : NULL;
    if (!kv)
        return false;
    g_autofree const char **rest = keyvals_rest(kv);
    g_autoptr(GString) options = g_string_new(NULL);
    for (unsigned i = 0; rest[i]; i += 2)
        add_option(options, rest[i], rest[i + 1]);
    if (filename)
        return blk_create(g_str_equal(driver, "file") ? "raw" : driver, filename, options->str, vm->config->env, err);
    return file ? vm_create_in_node(vm, file, driver, options->str, err) : error_set(err, ERR_INVALID, "blockdev-create: %s needs file", driver);
}

static bool blockdev_create(MonitorCall *call, GError **err)
{
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), arg_object(call, "options"));
    g_autofree char *text = json_to_string(node, FALSE);
    g_autoptr(GError) why = NULL;
    VmJobOptions o = { .id = arg_text(call, "job-id"), .keep_concluded = true };
    VmJob *j = vm_job_new(call->vm, "create", NULL, &o, err);
    if (!j)
        return false;
    vm_job_set_status(j, "created");
    vm_job_set_status(j, "running");
    bool ok = create(call->vm, text, &why);
    vm_job_set_status(j, "waiting");
    vm_job_set_status(j, "pending");
    vm_job_conclude(j, ok ? NULL : why->message);
    return true; /* the job tells how it went */
}

/* ---- following them */

static JsonObject *job_info(VmJob *j)
{
    JsonObject *o = json_object_new();
    if (j->job)
        blk_job_info(j->job, &j->last);
    json_object_set_string_member(o, "id", j->id);
    json_object_set_string_member(o, "type", j->type);
    json_object_set_string_member(o, "status", j->last.paused && j->job ? "paused" : j->status);
    json_object_set_int_member(o, "current-progress", j->last.done);
    json_object_set_int_member(o, "total-progress", j->last.total);
    if (j->error)
        json_object_set_string_member(o, "error", j->error);
    return o;
}

static bool query_jobs(MonitorCall *call, GError **err)
{
    JsonArray *a = json_array_new();
    for (unsigned i = 0; i < call->vm->jobs->len; i++)
        json_array_add_object_element(a, job_info(call->vm->jobs->pdata[i]));
    return return_array(call, a);
}

static JsonObject *block_job_info(VmJob *j)
{
    JsonObject *o = json_object_new();
    if (j->job)
        blk_job_info(j->job, &j->last);
    json_object_set_string_member(o, "type", j->type);
    json_object_set_string_member(o, "device", j->id);
    json_object_set_int_member(o, "len", j->last.total);
    json_object_set_int_member(o, "offset", j->last.done);
    json_object_set_int_member(o, "speed", j->last.speed);
    json_object_set_boolean_member(o, "busy", j->job && !j->last.paused && !j->last.ended);
    json_object_set_boolean_member(o, "paused", j->last.paused);
    json_object_set_boolean_member(o, "ready", j->last.ready);
    json_object_set_string_member(o, "io-status", *j->last.error ? "failed" : "ok");
    json_object_set_string_member(o, "status", j->status);
    json_object_set_boolean_member(o, "auto-finalize", !j->keep_pending);
    json_object_set_boolean_member(o, "auto-dismiss", !j->keep_concluded);
    if (j->error)
        json_object_set_string_member(o, "error", j->error);
    return o;
}

static bool query_block_jobs(MonitorCall *call, GError **err)
{
    JsonArray *a = json_array_new();
    for (unsigned i = 0; i < call->vm->jobs->len; i++) {
        VmJob *j = call->vm->jobs->pdata[i];
        if (j->drive)
            json_array_add_object_element(a, block_job_info(j));
    }
    return return_array(call, a);
}

/* By "id", or "device" as the older commands call it. */
static VmJob *find_running(MonitorCall *call, GError **err)
{
    const char *id = arg_text(call, "id") ? arg_text(call, "id") : arg_text(call, "device");
    VmJob *j = vm_job_find(call->vm, id, err);
    if (j && !j->job) {
        error_set(err, ERR_INVALID, "Job '%s' in state '%s' cannot accept that: it has ended", id, j->status);
        return NULL;
    }
    return j;
}

static bool job_cancel(MonitorCall *call, GError **err)
{
    VmJob *j = find_running(call, err);
    if (!j)
        return false;
    j->cancelled = true;
    blk_job_cancel(j->job);
    return true;
}

static bool job_pause(MonitorCall *call, GError **err)
{
    VmJob *j = find_running(call, err);
    if (j)
        blk_job_pause(j->job);
    return j;
}

static bool job_resume(MonitorCall *call, GError **err)
{
    VmJob *j = find_running(call, err);
    if (j)
        blk_job_resume(j->job);
    return j;
}

static bool job_complete(MonitorCall *call, GError **err)
{
    VmJob *j = find_running(call, err);
    return j && blk_job_complete(j->job, err);
}

static bool job_finalize(MonitorCall *call, GError **err)
{
    VmJob *j = find_running(call, err);
    if (j && strcmp(j->status, "pending"))
        return error_set(err, ERR_INVALID, "Job '%s' in state '%s' cannot accept command verb 'finalize'", j->id, j->status);
    if (j)
        vm_job_finalize(j);
    return j;
}

static bool job_dismiss(MonitorCall *call, GError **err)
{
    VmJob *j = vm_job_find(call->vm, arg_text(call, "id"), err);
    return j && vm_job_dismiss(j, err);
}

static bool set_speed(MonitorCall *call, GError **err)
{
    VmJob *j = find_running(call, err);
    int64_t speed = arg_int(call, "speed", 0);
    if (!j)
        return false;
    if (speed < 0)
        return error_set(err, ERR_INVALID, "Parameter 'speed' expects a value of at least 0");
    blk_job_set_speed(j->job, speed);
    return true;
}

const MonitorCommand job_commands[] = {
    { "block-commit", NULL, "?job-id: str, device: str, ?top-node: str, ?base-node: str, ?speed: int, ?auto-finalize: bool, ?auto-dismiss: bool",
      .doc = "copy what lies in upper images into one below", .run = block_commit },
    { "block-stream", "block_stream", "?job-id: str, device: str, ?base-node: str, ?speed: int, ?auto-finalize: bool, ?auto-dismiss: bool", .line_args = "device: str, ?speed: int",
      .doc = "copy what comes from backing files into the image", .run = block_stream },
    { "blockdev-mirror", NULL, "?job-id: str, device: str, target: str, sync: MirrorSyncMode, ?speed: int, ?auto-finalize: bool, ?auto-dismiss: bool",
      .doc = "copy a disk to another image, and go on with that one", .run = blockdev_mirror },
    { "blockdev-backup", NULL, "BlockdevBackup", .doc = "copy a disk as it is now, or what changed in it, to another image", .run = blockdev_backup },
    { "blockdev-snapshot", NULL, "node: str, overlay: str", .doc = "put an empty image above another: writes go there", .run = blockdev_snapshot },
    { "blockdev-create", NULL, "job-id: str, options: BlockdevCreateOptions", .doc = "make a new image", .run = blockdev_create },
    { "query-jobs", "info jobs", .ret = "[JobInfo]", .doc = "jobs and how far they are", .run = query_jobs },
    { "query-block-jobs", "info block-jobs", .ret = "[BlockJobInfo]", .doc = "jobs on disk images", .run = query_block_jobs },
    { "job-cancel", NULL, "id: str", .doc = "end a job before it is done", .run = job_cancel },
    { "job-pause", NULL, "id: str", .doc = "let a job wait", .run = job_pause },
    { "job-resume", NULL, "id: str", .doc = "let a job go on", .run = job_resume },
    { "job-complete", NULL, "id: str", .doc = "let a job that is ready take effect", .run = job_complete },
    { "job-finalize", NULL, "id: str", .doc = "let a job that is pending take effect", .run = job_finalize },
    { "job-dismiss", NULL, "id: str", .doc = "forget a job that has ended", .run = job_dismiss },
    { "block-job-cancel", "block_job_cancel", "device: str, ?force: bool", .doc = "end a job before it is done", .run = job_cancel },
    { "block-job-pause", "block_job_pause", "device: str", .doc = "let a job wait", .run = job_pause },
    { "block-job-resume", "block_job_resume", "device: str", .doc = "let a job go on", .run = job_resume },
    { "block-job-complete", "block_job_complete", "device: str", .doc = "let a job that is ready take effect", .run = job_complete },
    { "block-job-set-speed", "block_job_set_speed", "device: str, speed: int", .doc = "how many bytes a second a job may copy", .run = set_speed },
    { "block-job-finalize", NULL, "id: str", .doc = "let a job that is pending take effect", .run = job_finalize },
    { "block-job-dismiss", NULL, "id: str", .doc = "forget a job that has ended", .run = job_dismiss },
    { NULL },
};
