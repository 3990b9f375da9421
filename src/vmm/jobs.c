/* jobs.c - see jobs.h. */
#include "vmm/jobs.h"

#include <string.h>

#include "vmm/monitor/monitor.h"

/* ---- events */

void vm_job_set_status(VmJob *j, const char *status)
{
    JsonObject *data = json_object_new();
    j->status = status;
    json_object_set_string_member(data, "id", j->id);
    json_object_set_string_member(data, "status", status);
    monitors_event(j->vm, "JOB_STATUS_CHANGE", data);
}

static void tell(VmJob *j, const char *event)
{
    JsonObject *data = json_object_new();
    if (!j->drive) {
        json_object_unref(data);
        return;
    }
    json_object_set_string_member(data, "type", j->type);
    json_object_set_string_member(data, "device", j->id);
    json_object_set_int_member(data, "len", j->last.total);
    json_object_set_int_member(data, "offset", j->last.done);
    json_object_set_int_member(data, "speed", j->last.speed);
    if (j->error && g_str_equal(event, "BLOCK_JOB_COMPLETED"))
        json_object_set_string_member(data, "error", j->error);
    monitors_event(j->vm, event, data);
}

/* ---- life */

static void job_forget(VmJob *j)
{
    vm_job_set_status(j, "null");
    g_ptr_array_remove(j->vm->jobs, j);
    g_free(j->id);
    g_free(j->drive);
    g_free(j->target_drive);
    g_free(j->error);
    g_free(j);
}

static bool is_listed(Vm *vm, const char *id)
{
    for (unsigned i = 0; i < vm->jobs->len; i++)
        if (g_str_equal(((VmJob *)vm->jobs->pdata[i])->id, id))
            return true;
    return false;
}

static void on_change(BlkJob *job, void *opaque);

VmJob *vm_job_new(Vm *vm, const char *type, const char *drive, VmJobOptions *o, GError **err)
{
    const char *id = o->id ? o->id : drive;
    if (is_listed(vm, id)) {
        error_set(err, ERR_BUSY, "Job ID '%s' already in use", id);
        return NULL;
    }
    VmJob *j = g_new0(VmJob, 1);
    *j = (VmJob){ .vm = vm, .id = g_strdup(id), .drive = g_strdup(drive), .type = type, .status = "undefined", .keep_pending = o->keep_pending,
                  .keep_concluded = o->keep_concluded };
    g_ptr_array_add(vm->jobs, j);
    o->block.id = j->id;
    o->block.changed = on_change;
    o->block.arg = j;
    return j;
}

bool vm_job_started(VmJob *j, BlkJob *job)
{
    j->job = job;
    if (job) {
        vm_job_set_status(j, "created");
        vm_job_set_status(j, "running");
        return true;
    }
    g_ptr_array_remove(j->vm->jobs, j);
    g_free(j->id);
    g_free(j->drive);
    g_free(j);
    return false;
}

void vm_job_conclude(VmJob *j, const char *error)
{
    j->error = g_strdup(error);
    if (error)
        vm_job_set_status(j, "aborting");
    tell(j, j->cancelled ? "BLOCK_JOB_CANCELLED" : "BLOCK_JOB_COMPLETED");
    vm_job_set_status(j, "concluded");
    if (!j->keep_concluded)
        job_forget(j);
}

/* Ends its work; then the target is no longer its own. */
static bool finish(VmJob *j, GError **err)
{
    bool ok = blk_job_finish(g_steal_pointer(&j->job), err);
    if (j->target && !j->target_drive)
        return blk_finish(g_steal_pointer(&j->target), ok ? err : NULL) && ok;
    if (j->target)
        vm_give_drive(j->vm, j->target_drive, g_steal_pointer(&j->target));
    return ok;
}

void vm_job_finalize(VmJob *j)
{
    g_autoptr(GError) err = NULL;
    j->cancelled = !finish(j, &err) && j->cancelled;
    vm_job_conclude(j, err ? err->message : NULL);
}

static void ended(VmJob *j)
{
    vm_job_set_status(j, "waiting");
    vm_job_set_status(j, "pending");
    if (!j->keep_pending)
        vm_job_finalize(j);
}

static void look(VmJob *j)
{
    blk_job_info(j->job, &j->last);
    if (j->last.ended) {
        if (strcmp(j->status, "pending"))
            ended(j);
    } else if (j->last.ready && strcmp(j->status, "ready")) {
        vm_job_set_status(j, "ready");
        tell(j, "BLOCK_JOB_READY");
    }
}

/* ---- from the job's thread to ours */

typedef struct Post {
    Vm *vm;
    VmJob *job;
} Post;

static gboolean on_post(void *opaque)
{
    Post *post = opaque;
    if (g_ptr_array_find(post->vm->jobs, post->job, NULL) && post->job->job)
        look(post->job);
    return G_SOURCE_REMOVE;
}

static void on_change(BlkJob *job, void *opaque)
{
    VmJob *j = opaque;
    Post *post = g_new(Post, 1);
    *post = (Post){ j->vm, j };
    g_idle_add_full(G_PRIORITY_DEFAULT, on_post, post, g_free);
}

/* ---- all of them */

VmJob *vm_job_find(Vm *vm, const char *id, GError **err)
{
    for (unsigned i = 0; i < vm->jobs->len; i++)
        if (g_str_equal(((VmJob *)vm->jobs->pdata[i])->id, id))
            return vm->jobs->pdata[i];
    error_set(err, ERR_NOT_FOUND, "Job '%s' not found", id);
    return NULL;
}

bool vm_job_dismiss(VmJob *j, GError **err)
{
    if (j->job)
        return error_set(err, ERR_BUSY, "Job '%s' in state '%s' cannot accept command verb 'dismiss'", j->id, j->status);
    job_forget(j);
    return true;
}

bool vm_drive_has_job(Vm *vm, const char *drive)
{
    for (unsigned i = 0; i < vm->jobs->len; i++) {
        const VmJob *j = vm->jobs->pdata[i];
        if (j->job && g_strcmp0(j->drive, drive) == 0)
            return true;
    }
    return false;
}

void vm_end_jobs(Vm *vm)
{
    while (vm->jobs->len) {
        VmJob *j = vm->jobs->pdata[0];
        g_autoptr(GError) err = NULL;
        if (j->job) {
            blk_job_cancel(j->job);
            finish(j, &err);
        }
        job_forget(j);
    }
}
