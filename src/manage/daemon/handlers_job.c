/*
 * handlers_job.c - work on a disk's images while its machine runs: commit, pull, copy.
 *
 * A job's name says what it does, so that a daemon that comes later knows: TYPE-TARGET-TOP-BASE, where the last two are the numbers
 * of layers ("x": the image that the machine started with; empty: none).
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/daemon/change.h"
#include "manage/hypervisor/image.h"
#include "manage/hypervisor/plan.h"

enum { ABORT_ASYNC = 1, ABORT_PIVOT = 2, INFO_BYTES = 1 };
enum { COMMIT_SHALLOW = 1, COMMIT_ACTIVE = 4, COMMIT_BYTES = 16, PULL_BYTES = 64, COPY_SHALLOW = 1, COPY_REUSE = 2, REBASE_COPY = 8 };
enum { WAIT_MS = 50, WAIT_MOST_S = 60, MIB_SHIFT = 20 };

static const char *const type_words[] = { [HV_JOB_NONE] = "", [HV_JOB_PULL] = "pull", [HV_JOB_COPY] = "copy", [HV_JOB_COMMIT] = "commit", [HV_JOB_ACTIVE_COMMIT] = "active" };

/* ---- names */
static char *index_text(uint64_t index) { return index == RECORD_NONE ? g_strdup("x") : g_strdup_printf("%" G_GUINT64_FORMAT, index); }
static uint64_t index_value(const char *text) { return g_ascii_isdigit(*text) ? g_ascii_strtoull(text, NULL, 10) : RECORD_NONE; }

char *disk_job_id(HvJobType type, const char *target, const Layer *top, const Layer *base)
{
    g_autofree char *t = top ? index_text(top->source_index) : g_strdup(""), *b = base ? index_text(base->source_index) : g_strdup("");
    return g_strdup_printf("%s-%s-%s-%s", type_words[type], target, t, b);
}

/* ---- the chain, as one list that begins with the disk's own image */
Layer *disk_chain(const Disk *disk)
{
    if (!image_path(disk))
        return NULL;
    Layer *top = image_layer(disk);
    top->backing = disk->backing ? record_copy(disk->backing) : NULL;
    return top;
}

static Layer *layer_numbered(Layer *chain, const char *text)
{
    for (; *text && chain && chain->type; chain = chain->backing)
        if (chain->source_index == index_value(text))
            return chain;
    return NULL;
}

Layer *layer_named(Layer *chain, const char *path)
{
    for (; chain && chain->type; chain = chain->backing)
        if (!g_strcmp0(chain->type == DISK_BLOCK ? chain->dev : chain->file, path))
            return chain;
    return NULL;
}

/* "vda[2]" is the layer of that number, else a path. */
static Layer *find_layer(Layer *chain, const Disk *disk, const char *name)
{
    size_t n = strlen(disk->target);
    if (!strncmp(name, disk->target, n) && name[n] == '[')
        return layer_numbered(chain, name + n + 1);
    return layer_named(chain, name);
}

/* ---- what is made of the chain when a job has ended */

/* Nodes that the disk does not stand on any more are closed. */
typedef struct Dropped {
    Disk *disk;
    GArray *indexes; /* uint64_t */
} Dropped;

static void dropped_free(void *data)
{
    Dropped *k = data;
    record_free(k->disk);
    g_array_unref(k->indexes);
    g_free(k);
}

static bool dropped_run(Task *t, GError **err)
{
    const Dropped *k = t->data;
    for (guint i = 0; t->hv && t->driver->forget_node && i < k->indexes->len; i++)
        t->driver->forget_node(t->hv, k->disk, g_array_index(k->indexes, uint64_t, i));
    return true;
}

static void drop_others(ManagedDomain *d, const Disk *now, const Layer *before, const Layer *extra)
{
    static const TaskType type = { .name = "close-images", .run = dropped_run, .free = dropped_free };
    Layer *chain = disk_chain(now);
    Dropped *k = g_new0(Dropped, 1);
    k->disk = record_copy(now);
    k->indexes = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    for (const Layer *l = before; l && l->type; l = l->backing) {
        g_autofree char *number = index_text(l->source_index);
        if (!layer_numbered(chain, number))
            g_array_append_val(k->indexes, l->source_index);
    }
    if (extra)
        g_array_append_val(k->indexes, extra->source_index);
    record_free(chain);
    if (k->indexes->len)
        task_push(d, NULL, &type, k);
    else
        dropped_free(k);
}

/* The definition's disk goes along where it had the same image. */
typedef struct Follow {
    const char *target, *before;
    const Layer *image;
} Follow;

static bool follow(Domain *d, void *opaque, GError **err)
{
    const Follow *f = opaque;
    Disk *disk = disk_find(d, f->target);
    if (disk && !g_strcmp0(image_path(disk), f->before)) {
        disk_set_image(disk, f->image);
        disk->source_index = RECORD_NONE;
        g_clear_pointer((void **)&disk->backing, record_free);
    }
    return true;
}

static void take_image(ManagedDomain *d, Disk *disk, const Layer *image)
{
    g_autofree char *before = g_strdup(image_path(disk));
    g_autoptr(GError) err = NULL;
    if (d->config && !domain_edit_config(d, follow, &(Follow){ disk->target, before, image }, &err))
        g_warning("domain '%s': disk '%s' has gone on to another image, which its definition does not say: %s", d->name, disk->target, err->message);
    disk_set_image(disk, image);
}

/* What lies between (top and base themselves: the first goes, the second stays) leaves the chain. */
static void cut(Disk *disk, Layer *chain, const char *top, const char *base)
{
    Layer *from = layer_numbered(chain, top), *to = layer_numbered(chain, base), *above = chain;
    while (above && above != from && above->backing != from)
        above = above->backing;
    if (!from || !to || !above || above == from)
        return;
    Layer *rest = record_copy(to);
    record_free(above->backing);
    above->backing = rest;
    disk_set_image(disk, chain);
}

static void pulled(Disk *disk, Layer *chain, const char *base)
{
    Layer *to = layer_numbered(chain, base), *rest = to ? record_copy(to) : record_new(&layer_record);
    record_free(chain->backing);
    chain->backing = rest;
    disk_set_image(disk, chain);
}

static void completed(ManagedDomain *d, Disk *disk, char **words)
{
    Layer *chain = disk_chain(disk), *before = disk_chain(disk), *mirror = g_steal_pointer(&disk->mirror), *base = layer_numbered(chain, words[3]);
    bool pivot = !mirror || !g_strcmp0(mirror->ready, "pivot");
    if (!strcmp(words[0], "pull")) {
        pulled(disk, chain, words[3]);
    } else if (!strcmp(words[0], "commit")) {
        cut(disk, chain, words[2], words[3]);
    } else if (!strcmp(words[0], "active") && pivot && base) {
        take_image(d, disk, base);
    } else if (mirror && pivot) {
        Layer *image = record_new(&layer_record);
        *image = (Layer){ .record = image->record, .type = mirror->type, .format = g_strdup(mirror->format), .file = g_strdup(mirror->file), .dev = g_strdup(mirror->dev), .source_index = mirror->source_index };
        image->backing = *words[3] && base ? record_copy(base) : record_new(&layer_record);
        take_image(d, disk, image);
        record_free(image);
    }
    drop_others(d, disk, before, mirror && !pivot && !strcmp(words[0], "copy") ? mirror : NULL);
    record_free(mirror);
    record_free(chain);
    record_free(before);
}

static void set_text(char **to, const char *text)
{
    g_free(*to);
    *to = g_strdup(text);
}

void disk_job_told(ManagedDomain *d, const char *id, HvJobStatus status)
{
    g_auto(GStrv) words = g_strsplit(id, "-", 4);
    Disk *disk = g_strv_length(words) == 4 ? disk_find(d->live, words[1]) : NULL;
    if (!disk)
        return;
    unsigned type = HV_JOB_PULL;
    while (type < HV_JOB_ACTIVE_COMMIT && strcmp(type_words[type], words[0]))
        type++;
    g_autofree char *path = g_strdup(image_path(disk)), *target = g_strdup(disk->target);
    if (status == HV_JOB_READY) {
        if (disk->mirror)
            set_text(&disk->mirror->ready, "yes");
    } else if (status == HV_JOB_COMPLETED) {
        completed(d, disk, words);
    } else {
        Layer *mirror = g_steal_pointer(&disk->mirror);
        if (mirror && type == HV_JOB_COPY)
            drop_others(d, disk, NULL, mirror);
        record_free(mirror);
    }
    domain_write_record(d, d->live, NULL);
    domain_event(d, EVENT_BLOCK_JOB, "(sii)", path ? path : "", type, status);
    domain_event(d, EVENT_BLOCK_JOB_2, "(sii)", target, type, status);
}

/* ---- starting them */
typedef struct JobTask {
    HvJobType type;
    char *name, *top, *base, *id;
    guint flags;
    guint64 speed;
    Disk *disk;    /* a copy */
    Layer *chain, *target;
    Layer *top_at, *base_at; /* in the chain */
    bool shallow, reuse;
    HvJobInfo info;
} JobTask;

static void job_task_free(void *data)
{
    JobTask *k = data;
    g_free(k->name);
    g_free(k->top);
    g_free(k->base);
    g_free(k->id);
    g_free(k->info.id);
    record_free(k->disk);
    record_free(k->chain);
    record_free(k->target);
    g_free(k);
}

static bool job_disk(Task *t, GError **err)
{
    JobTask *k = t->data;
    const Disk *disk = disk_find(t->domain->live, k->name);
    if (!disk || !image_path(disk))
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "domain '%s' has no disk '%s' with an image: domblklist shows them", t->domain->name, k->name);
    k->disk = record_copy(disk);
    k->chain = disk_chain(disk);
    return true;
}

static bool find_ends(JobTask *k, GError **err)
{
    if (k->top && !(k->top_at = find_layer(k->chain, k->disk, k->top)))
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "'%s' is no image that disk '%s' stands on", k->top, k->disk->target);
    if (k->base && !(k->base_at = find_layer(k->chain, k->disk, k->base)))
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "'%s' is no image that disk '%s' stands on", k->base, k->disk->target);
    return true;
}

/* From `top` (the disk's own image) into `base` (the lowest; shallow: the next one). */
static bool commit_ends(JobTask *k, GError **err)
{
    if (!k->top_at)
        k->top_at = k->chain;
    if (!k->base_at)
        for (Layer *l = k->top_at->backing; l && l->type; l = k->flags & COMMIT_SHALLOW ? NULL : l->backing)
            k->base_at = l;
    if (!k->base_at || k->base_at == k->top_at)
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "disk '%s' stands on nothing that could take what is in '%s'", k->disk->target, k->top_at->file ? k->top_at->file : k->top_at->dev);
    if (k->top_at == k->chain && !(k->flags & COMMIT_ACTIVE))
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "'%s' is what the machine writes to now: --active commits it", k->name);
    k->type = k->top_at == k->chain ? HV_JOB_ACTIVE_COMMIT : HV_JOB_COMMIT;
    return true;
}

static Layer *new_mirror(const char *job, const Layer *of, uint64_t index)
{
    Layer *m = record_new(&mirror_record);
    m->type = of->type;
    m->format = g_strdup(of->format);
    m->file = g_strdup(of->file);
    m->dev = g_strdup(of->dev);
    m->job = g_strdup(job);
    m->source_index = index;
    return m;
}

static bool job_begin(Task *t, GError **err)
{
    JobTask *k = t->data;
    if (!job_disk(t, err))
        return false;
    Disk *disk = disk_find(t->domain->live, k->name);
    if (disk->mirror)
        return rpc_error_set(err, RPC_ERR_RESOURCE_BUSY, "a job is at work on disk '%s': blockjob shows it", disk->target);
    if (!find_ends(k, err) || (k->type == HV_JOB_COMMIT && !commit_ends(k, err)))
        return false;
    if (k->type == HV_JOB_COPY) {
        k->target->source_index = disk_next_index(disk);
        k->base_at = k->shallow && k->chain->backing && k->chain->backing->type ? k->chain->backing : NULL;
    }
    k->id = disk_job_id(k->type, disk->target, k->type == HV_JOB_COMMIT ? k->top_at : NULL, k->base_at);
    if (k->type == HV_JOB_COPY || k->type == HV_JOB_ACTIVE_COMMIT)
        disk->mirror = new_mirror(k->type == HV_JOB_COPY ? "copy" : "active-commit", k->type == HV_JOB_COPY ? k->target : k->base_at,
                                  k->type == HV_JOB_COPY ? k->target->source_index : k->base_at->source_index);
    return domain_write_record(t->domain, t->domain->live, err);
}

static void job_failed(Task *t)
{
    JobTask *k = t->data;
    Disk *disk = k->id && t->domain->live ? disk_find(t->domain->live, k->name) : NULL;
    if (disk)
        g_clear_pointer((void **)&disk->mirror, record_free);
}

static char *node_of(const JobTask *k, const Layer *l) { return l ? plan_node_name(k->disk->alias, l->source_index, false) : NULL; }

static bool make_target(Task *t, JobTask *k, GError **err)
{
    HvDiskStats s;
    const char *path = k->target->file;
    if (k->reuse || t->domain->realm->in_memory || k->target->type == DISK_BLOCK)
        return true;
    if (access(path, F_OK) == 0)
        return rpc_error_set(err, RPC_ERR_OPERATION_FAILED, "'%s' exists already: --reuse-external takes it, or name another", path);
    if (!t->driver->disk_stats(t->hv, k->disk, &s, err))
        return false;
    g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT, s.capacity);
    const char *tool = t->domain->realm->daemon->image_tool, *format = k->target->format;
    if (k->base_at)
        return image_run(tool, NULL, err, "create", "-q", "-f", format, "-b", k->base_at->file ? k->base_at->file : k->base_at->dev, "-F", k->base_at->format ? k->base_at->format : "raw", path, size, NULL);
    return image_run(tool, NULL, err, "create", "-q", "-f", format, path, size, NULL);
}

static bool job_run(Task *t, GError **err)
{
    JobTask *k = t->data;
    g_autofree char *device = node_of(k, k->chain), *top = node_of(k, k->top_at), *base = node_of(k, k->base_at);
    if (!t->driver->job_start)
        return task_unsupported(t, "work on images while they run", err);
    if (k->type == HV_JOB_COPY && !make_target(t, k, err))
        return false;
    const HvBlockJob j = { .type = k->type, .id = k->id, .device = device, .top = top, .base = k->type == HV_JOB_COPY ? NULL : base, .target = k->type == HV_JOB_COPY ? k->target : NULL,
                           .shallow = k->shallow, .reuse = k->reuse, .speed = k->speed };
    if (t->driver->job_start(t->hv, k->disk, &j, err))
        return true;
    if (k->type == HV_JOB_COPY && !k->reuse && !t->domain->realm->in_memory && k->target->type == DISK_FILE)
        unlink(k->target->file);
    return false;
}

static const TaskType job_type = { .name = "block-job", .running = true, .begin = job_begin, .run = job_run, .failed = job_failed, .free = job_task_free };

static JobTask *job_task(Client *c, RpcCall *call, GVariant *args, HvJobType type, ManagedDomain **ret)
{
    if (!(*ret = domain_of_call(c, call, args)))
        return NULL;
    JobTask *k = g_new0(JobTask, 1);
    k->type = type;
    g_variant_get_child(args, 1, "s", &k->name);
    return k;
}

/* Speed is in MiB a second, unless a flag says bytes. */
static guint64 bytes_of(guint64 speed, bool bytes) { return bytes ? speed : speed > G_MAXUINT64 >> MIB_SHIFT ? 0 : speed << MIB_SHIFT; }

static void block_commit(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d;
    JobTask *k = job_task(c, call, args, HV_JOB_COMMIT, &d);
    if (!k)
        return;
    g_variant_get(args, "(@(ssi)&smsmstu)", NULL, NULL, &k->base, &k->top, &k->speed, &k->flags);
    k->speed = bytes_of(k->speed, k->flags & COMMIT_BYTES);
    task_push(d, call, &job_type, k);
}

static void block_pull(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d;
    JobTask *k = job_task(c, call, args, HV_JOB_PULL, &d);
    if (!k)
        return;
    g_variant_get(args, "(@(ssi)&stu)", NULL, NULL, &k->speed, &k->flags);
    k->speed = bytes_of(k->speed, k->flags & PULL_BYTES);
    task_push(d, call, &job_type, k);
}

/* With a base it is a pull that ends there. */
static void block_rebase(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d;
    JobTask *k = job_task(c, call, args, HV_JOB_PULL, &d);
    if (!k)
        return;
    g_variant_get(args, "(@(ssi)&smstu)", NULL, NULL, &k->base, &k->speed, &k->flags);
    k->speed = bytes_of(k->speed, k->flags & PULL_BYTES);
    if (!(k->flags & REBASE_COPY)) {
        task_push(d, call, &job_type, k);
        return;
    }
    rpc_fail(call, RPC_ERR_OPERATION_UNSUPPORTED, "a copy is asked for by DOMAIN_BLOCK_COPY, as blockcopy does");
    job_task_free(k);
}

static void block_copy(Client *c, RpcCall *call, GVariant *args)
{
    const char *xml;
    g_autoptr(GVariant) params = NULL;
    g_autoptr(GError) err = NULL;
    ManagedDomain *d;
    JobTask *k = job_task(c, call, args, HV_JOB_COPY, &d);
    if (!k)
        return;
    g_variant_get(args, "(@(ssi)&s&s@a(sv)u)", NULL, NULL, &xml, &params, &k->flags);
    g_autofree char *named = strstr(xml, "<target") ? g_strdup(xml) : NULL;
    if (!named) { /* the new disk has no name of its own */
        g_auto(GStrv) parts = g_strsplit(xml, "</disk>", 2);
        named = g_strjoin("<target dev='vda'/></disk>", parts[0], "", NULL);
    }
    Disk *disk = (Disk *)device_read(named, &err);
    if (!disk || disk->record.type != &disk_record || !image_path(disk)) {
        rpc_fail(call, RPC_ERR_XML_ERROR, "%s", err ? err->message : "a <disk> with a file or a block device is wanted");
        record_free(disk);
        job_task_free(k);
        return;
    }
    if (!disk->format)
        disk->format = g_strdup("raw");
    k->target = image_layer(disk);
    record_free(disk);
    k->shallow = k->flags & COPY_SHALLOW;
    k->reuse = k->flags & COPY_REUSE;
    g_autoptr(GVariant) dict = g_variant_ref(params);
    GVariantIter i;
    const char *name;
    GVariant *value;
    g_variant_iter_init(&i, dict);
    while (g_variant_iter_next(&i, "(&sv)", &name, &value)) {
        if (!strcmp(name, "bandwidth") && g_variant_is_of_type(value, G_VARIANT_TYPE_UINT64))
            k->speed = g_variant_get_uint64(value);
        g_variant_unref(value);
    }
    task_push(d, call, &job_type, k);
}

/* ---- asking and ending */
static bool info_run(Task *t, GError **err)
{
    JobTask *k = t->data;
    return t->driver->job_find ? t->driver->job_find(t->hv, k->disk->target, &k->info, err) : task_unsupported(t, "work on images while they run", err);
}

/* virDomainBlockJobInfo: "all done" is said of a job that copies only when it can be ended. */
static bool info_done(Task *t, GError **err)
{
    const JobTask *k = t->data;
    HvJobInfo i = k->info;
    if ((i.type == HV_JOB_COPY || i.type == HV_JOB_ACTIVE_COMMIT) && !i.ready && i.done >= i.total) {
        i.total = MAX(i.total, 1);
        i.done = i.total - 1;
    }
    t->reply = g_variant_new("(iittt)", i.type != HV_JOB_NONE, (int)i.type, (guint64)(k->flags & INFO_BYTES ? i.speed : i.speed >> MIB_SHIFT), (guint64)i.done, (guint64)i.total);
    return true;
}

static void job_info(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "block-job-info", .running = true, .query = true, .begin = job_disk, .run = info_run, .done = info_done, .free = job_task_free };
    ManagedDomain *d;
    JobTask *k = job_task(c, call, args, HV_JOB_NONE, &d);
    if (!k)
        return;
    g_variant_get_child(args, 2, "u", &k->flags);
    task_push(d, call, &type, k);
}

static bool abort_begin(Task *t, GError **err)
{
    JobTask *k = t->data;
    if (!job_disk(t, err))
        return false;
    Disk *disk = disk_find(t->domain->live, k->name);
    if ((k->flags & ABORT_PIVOT) && (!disk->mirror || g_strcmp0(disk->mirror->ready, "yes")))
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "there is no job on disk '%s' that is ready to pivot", disk->target);
    if (disk->mirror && disk->mirror->ready)
        set_text(&disk->mirror->ready, k->flags & ABORT_PIVOT ? "pivot" : "abort");
    return true;
}

bool disk_job_wait(Task *t, const char *target, bool ready, GError **err)
{
    for (int ms = 0; ms < WAIT_MOST_S * 1000; ms += WAIT_MS) {
        HvJobInfo info;
        if (g_cancellable_set_error_if_cancelled(task_cancel(t), err) || !t->driver->job_find(t->hv, target, &info, err))
            return false;
        g_free(info.id);
        if (info.type == HV_JOB_NONE || (ready && info.ready))
            return true;
        g_usleep(WAIT_MS * 1000);
    }
    return rpc_error_set(err, RPC_ERR_OPERATION_TIMEOUT, "the job on disk '%s' has not ended within %d s", target, WAIT_MOST_S);
}

static bool abort_run(Task *t, GError **err)
{
    JobTask *k = t->data;
    if (!info_run(t, err))
        return false;
    if (k->info.type == HV_JOB_NONE)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "no job is at work on disk '%s'", k->disk->target);
    return t->driver->job_act(t->hv, k->info.id, k->flags & ABORT_PIVOT ? HV_JOB_ACT_COMPLETE : HV_JOB_ACT_CANCEL, 0, err) &&
           ((k->flags & ABORT_ASYNC) || disk_job_wait(t, k->disk->target, false, err));
}

static void job_abort(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "block-job-abort", .running = true, .begin = abort_begin, .run = abort_run, .free = job_task_free };
    ManagedDomain *d;
    JobTask *k = job_task(c, call, args, HV_JOB_NONE, &d);
    if (!k)
        return;
    g_variant_get_child(args, 2, "u", &k->flags);
    task_push(d, call, &type, k);
}

static bool speed_run(Task *t, GError **err)
{
    JobTask *k = t->data;
    if (!info_run(t, err))
        return false;
    if (k->info.type == HV_JOB_NONE)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "no job is at work on disk '%s'", k->disk->target);
    return t->driver->job_act(t->hv, k->info.id, HV_JOB_ACT_SPEED, k->speed, err);
}

static void job_speed(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "block-job-speed", .running = true, .begin = job_disk, .run = speed_run, .free = job_task_free };
    ManagedDomain *d;
    JobTask *k = job_task(c, call, args, HV_JOB_NONE, &d);
    if (!k)
        return;
    g_variant_get(args, "(@(ssi)&stu)", NULL, NULL, &k->speed, &k->flags);
    k->speed = bytes_of(k->speed, k->flags & INFO_BYTES);
    task_push(d, call, &type, k);
}

const Handler job_handlers[] = {
    { "DOMAIN_BLOCK_COMMIT", block_commit },
    { "DOMAIN_BLOCK_PULL", block_pull },
    { "DOMAIN_BLOCK_REBASE", block_rebase },
    { "DOMAIN_BLOCK_COPY", block_copy },
    { "DOMAIN_GET_BLOCK_JOB_INFO", job_info },
    { "DOMAIN_BLOCK_JOB_ABORT", job_abort },
    { "DOMAIN_BLOCK_JOB_SET_SPEED", job_speed },
    { NULL },
};
