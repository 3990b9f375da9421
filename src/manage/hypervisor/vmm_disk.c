/* vmm_disk.c - what can be asked of a running machine's disks and done to them: figures, size, limits, overlays, jobs. */
#include <string.h>

#include "base/error.h"
#include "manage/hypervisor/image.h"
#include "manage/hypervisor/vmm_inside.h"

static JsonNode *object_node(JsonObject *o)
{
    JsonNode *node = json_node_init_object(json_node_alloc(), o);
    json_object_unref(o);
    return node;
}

/* ---- figures.  A guest's device is named by its path, /machine/peripheral/ALIAS or a part of that. */
static bool is_of(JsonObject *o, const char *alias)
{
    g_auto(GStrv) parts = g_strsplit(qmp_text(o, "qdev", ""), "/", -1);
    return g_strv_contains((const char *const *)parts, alias);
}

static JsonObject *entry_of(JsonNode *answer, const char *alias)
{
    for (guint i = 0; i < qmp_count(answer); i++) {
        JsonObject *o = qmp_element(answer, i);
        if (o && is_of(o, alias))
            return o;
    }
    return NULL;
}

bool vmm_disk_stats(HvDomain *d, const Disk *disk, HvDiskStats *ret, GError **err)
{
    static const struct {
        const char *name;
        size_t off;
    } rows[] = {
        { "rd_operations", offsetof(HvDiskStats, read_requests) }, { "rd_bytes", offsetof(HvDiskStats, read_bytes) }, { "rd_total_time_ns", offsetof(HvDiskStats, read_ns) },
        { "wr_operations", offsetof(HvDiskStats, write_requests) }, { "wr_bytes", offsetof(HvDiskStats, write_bytes) }, { "wr_total_time_ns", offsetof(HvDiskStats, write_ns) },
        { "flush_operations", offsetof(HvDiskStats, flush_requests) }, { "flush_total_time_ns", offsetof(HvDiskStats, flush_ns) },
    };
    g_autoptr(JsonNode) counted = NULL, known = NULL;
    if (!qmp_execute(d->qmp, "query-blockstats", NULL, &counted, err) || !qmp_execute(d->qmp, "query-block", NULL, &known, err))
        return false;
    memset(ret, 0xff, sizeof *ret); /* RECORD_NONE */
    JsonObject *stats = qmp_member(entry_of(counted, disk->alias), "stats"), *image = qmp_member(qmp_member(entry_of(known, disk->alias), "inserted"), "image");
    for (unsigned i = 0; stats && i < G_N_ELEMENTS(rows); i++)
        *(uint64_t *)((char *)ret + rows[i].off) = qmp_number(stats, rows[i].name, 0);
    if (image) {
        ret->capacity = qmp_number(image, "virtual-size", -1);
        ret->allocation = qmp_number(image, "actual-size", -1);
    }
    return stats || error_set(err, ERR_NOT_FOUND, "domain '%s' knows no disk '%s'", d->name, disk->target);
}

bool vmm_resize(HvDomain *d, const Disk *disk, uint64_t bytes, GError **err)
{
    g_autofree char *node = plan_node_name(disk->alias, disk->source_index, false);
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "node-name", node);
    json_object_set_int_member(o, "size", bytes);
    return qmp_execute(d->qmp, "block_resize", object_node(o), NULL, err);
}

bool vmm_limit(HvDomain *d, const Disk *disk, const IoTune *t, GError **err)
{
    const struct {
        const char *name;
        uint64_t value;
        bool always; /* the command wants it */
    } rows[] = {
        { "bps", t->total_bytes, true }, { "bps_rd", t->read_bytes, true }, { "bps_wr", t->write_bytes, true }, { "iops", t->total_iops, true }, { "iops_rd", t->read_iops, true },
        { "iops_wr", t->write_iops, true }, { "bps_max", t->total_bytes_max, false }, { "bps_rd_max", t->read_bytes_max, false }, { "bps_wr_max", t->write_bytes_max, false },
        { "iops_max", t->total_iops_max, false }, { "iops_rd_max", t->read_iops_max, false }, { "iops_wr_max", t->write_iops_max, false },
    };
    /* The disk of a virtio card is a part of it, which has a path and no name. */
    g_autofree char *id = disk->bus == BUS_VIRTIO ? g_strdup_printf("/machine/peripheral/%s/virtio-backend", disk->alias) : g_strdup(disk->alias);
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "id", id);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        if (rows[i].always || (rows[i].value && rows[i].value != RECORD_NONE))
            json_object_set_int_member(o, rows[i].name, rows[i].value == RECORD_NONE ? 0 : rows[i].value);
    if (t->group)
        json_object_set_string_member(o, "group", t->group);
    return qmp_execute(d->qmp, "block_set_io_throttle", object_node(o), NULL, err);
}

/* ---- overlays */
static void forget(HvDomain *d, const char *node)
{
    g_autoptr(GError) err = NULL;
    if (!qmp_executef(d->qmp, NULL, &err, "blockdev-del", "{\"node-name\": \"%s\"}", node))
        g_debug("domain '%s': %s", d->name, err->message);
}

void vmm_forget_node(HvDomain *d, const Disk *disk, uint64_t index)
{
    g_autofree char *format = plan_node_name(disk->alias, index, false), *storage = plan_node_name(disk->alias, index, true);
    forget(d, format);
    forget(d, storage);
}

static bool open_image(HvDomain *d, const Disk *disk, const Layer *image, GError **err)
{
    g_autoptr(GPtrArray) nodes = plan_image_nodes(disk, image, NULL);
    if (vmm_add_nodes(d, nodes, err))
        return true;
    vmm_forget_node(d, disk, image->source_index);
    return false;
}

static JsonObject *overlay_action(const Disk *disk, const Layer *overlay)
{
    g_autofree char *below = plan_node_name(disk->alias, disk->source_index, false), *above = plan_node_name(disk->alias, overlay->source_index, false);
    JsonObject *action = json_object_new(), *data = json_object_new();
    json_object_set_string_member(data, "node", below);
    json_object_set_string_member(data, "overlay", above);
    json_object_set_string_member(action, "type", "blockdev-snapshot");
    json_object_set_object_member(action, "data", data);
    return action;
}

bool vmm_overlay(HvDomain *d, const GPtrArray *disks, const GPtrArray *overlays, GError **err)
{
    JsonArray *actions = json_array_new();
    guint opened = 0;
    for (; opened < disks->len && open_image(d, disks->pdata[opened], overlays->pdata[opened], err); opened++)
        json_array_add_object_element(actions, overlay_action(disks->pdata[opened], overlays->pdata[opened]));
    JsonObject *o = json_object_new();
    json_object_set_array_member(o, "actions", actions);
    JsonNode *args = object_node(o);
    if (opened == disks->len && qmp_execute(d->qmp, "transaction", args, NULL, err))
        return true;
    if (opened < disks->len)
        json_node_unref(args);
    while (opened--)
        vmm_forget_node(d, disks->pdata[opened], ((Layer *)overlays->pdata[opened])->source_index);
    return false;
}

/* ---- jobs */
static const char *const job_commands[] = { [HV_JOB_PULL] = "block-stream", [HV_JOB_COPY] = "blockdev-mirror", [HV_JOB_COMMIT] = "block-commit", [HV_JOB_ACTIVE_COMMIT] = "block-commit" };

static JsonNode *job_arguments(const HvBlockJob *j, const char *target)
{
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "job-id", j->id);
    json_object_set_string_member(o, "device", j->device);
    if (j->type == HV_JOB_COMMIT)
        json_object_set_string_member(o, "top-node", j->top);
    if (j->base)
        json_object_set_string_member(o, "base-node", j->base);
    if (target) {
        json_object_set_string_member(o, "target", target);
        json_object_set_string_member(o, "sync", j->shallow ? "top" : "full");
    }
    if (j->speed)
        json_object_set_int_member(o, "speed", j->speed);
    return object_node(o);
}

bool vmm_job_start(HvDomain *d, const Disk *disk, const HvBlockJob *j, GError **err)
{
    g_autofree char *target = j->target ? plan_node_name(disk->alias, j->target->source_index, false) : NULL;
    if (target && !open_image(d, disk, j->target, err))
        return false;
    if (qmp_execute(d->qmp, job_commands[j->type], job_arguments(j, target), NULL, err))
        return true;
    if (target)
        vmm_forget_node(d, disk, j->target->source_index);
    return false;
}

bool vmm_job_act(HvDomain *d, const char *id, HvJobAct act, uint64_t value, GError **err)
{
    static const char *const commands[] = { "block-job-cancel", "block-job-complete", "block-job-set-speed" };
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "device", id);
    if (act == HV_JOB_ACT_SPEED)
        json_object_set_int_member(o, "speed", value);
    return qmp_execute(d->qmp, commands[act], object_node(o), NULL, err);
}

bool vmm_job_find(HvDomain *d, const char *target, HvJobInfo *ret, GError **err)
{
    g_autoptr(JsonNode) answer = NULL;
    *ret = (HvJobInfo){ HV_JOB_NONE };
    if (!qmp_execute(d->qmp, "query-block-jobs", NULL, &answer, err))
        return false;
    for (guint i = 0; i < qmp_count(answer); i++) {
        JsonObject *o = qmp_element(answer, i);
        g_auto(GStrv) parts = g_strsplit(o ? qmp_text(o, "device", "") : "", "-", 3);
        if (g_strv_length(parts) < 3 || strcmp(parts[1], target))
            continue;
        const char *type = qmp_text(o, "type", "");
        *ret = (HvJobInfo){ !strcmp(type, "stream") ? HV_JOB_PULL : !strcmp(type, "mirror") ? HV_JOB_COPY : !strcmp(parts[0], "active") ? HV_JOB_ACTIVE_COMMIT : HV_JOB_COMMIT,
                            qmp_number(o, "speed", 0), qmp_number(o, "offset", 0), qmp_number(o, "len", 0), qmp_flag(o, "ready", false), g_strdup(qmp_text(o, "device", "")) };
        return true;
    }
    return true;
}
