/* vmm_device.c - devices that come and go while a machine runs: disks, network cards, media, cables. */
#include <string.h>

#include "base/error.h"
#include "manage/hypervisor/image.h"
#include "manage/hypervisor/vmm_inside.h"

enum { LET_GO_WAIT_S = 5 /* as libvirt waits; a guest that takes longer is told of by the event */ };

static bool execute_text(HvDomain *d, const char *command, const char *json, GError **err)
{
    JsonNode *args = json_from_string(json, err);
    return args && qmp_execute(d->qmp, command, args, NULL, err);
}

static bool one_text(HvDomain *d, const char *command, const char *name, const char *value, GError **err)
{
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, name, value);
    JsonNode *args = json_node_init_object(json_node_alloc(), o);
    json_object_unref(o);
    return qmp_execute(d->qmp, command, args, NULL, err);
}

/* ---- images of a disk: opened from the bottom, closed from the top */
static void close_layers(HvDomain *d, const Disk *disk)
{
    vmm_forget_node(d, disk, disk->source_index);
    for (const Layer *l = disk->backing; l && l->type; l = l->backing)
        vmm_forget_node(d, disk, l->source_index);
}

/* ---- secrets: the machine may not read their files, if it runs as somebody else, so it is told the values */
static void forget_secret(HvDomain *d, const Disk *disk, uint64_t index, const Encryption *e)
{
    g_autofree char *id = plan_secret_name(disk->alias, index);
    if (e)
        qmp_executef(d->qmp, NULL, NULL, "object-del", "{\"id\": \"%s\"}", id);
}

static void forget_secrets(HvDomain *d, const Disk *disk)
{
    forget_secret(d, disk, disk->source_index, disk->encryption);
    for (const Layer *l = disk->backing; l; l = l->backing)
        forget_secret(d, disk, l->source_index, l->encryption);
}

static bool tell_secret(HvDomain *d, const Domain *live, const Disk *disk, uint64_t index, const Encryption *e, GError **err)
{
    g_autofree char *value = NULL;
    gsize bytes;
    if (!e)
        return true;
    g_autofree char *path = plan_secret_path(d->host, live, e), *id = plan_secret_name(disk->alias, index);
    if (!g_file_get_contents(path, &value, &bytes, err))
        return false;
    g_autofree char *coded = g_base64_encode((const guchar *)value, bytes);
    bool ok = qmp_executef(d->qmp, NULL, err, "object-add", "{\"qom-type\": \"secret\", \"id\": \"%s\", \"format\": \"base64\", \"data\": \"%s\"}", id, coded);
    explicit_bzero(value, bytes);
    explicit_bzero(coded, strlen(coded));
    return ok;
}

static bool tell_secrets(HvDomain *d, const Domain *live, const Disk *disk, GError **err)
{
    bool ok = tell_secret(d, live, disk, disk->source_index, disk->encryption, err);
    for (const Layer *l = disk->backing; ok && l; l = l->backing)
        ok = tell_secret(d, live, disk, l->source_index, l->encryption, err);
    if (!ok)
        forget_secrets(d, disk);
    return ok;
}

static bool open_layers(HvDomain *d, const Disk *disk, GError **err)
{
    g_autoptr(GPtrArray) nodes = plan_disk_nodes(disk);
    if (vmm_add_nodes(d, nodes, err))
        return true;
    close_layers(d, disk);
    return false;
}

static bool plug_disk(HvDomain *d, const Disk *disk, const char *device, GError **err)
{
    if (execute_text(d, "device_add", device, err) && (!disk->iotune || vmm_limit(d, disk, disk->iotune, err)))
        return true;
    close_layers(d, disk);
    return false;
}

static bool attach_disk(HvDomain *d, const Domain *live, Disk *disk, GError **err)
{
    g_autofree char *device = plan_disk_device(live, disk, err);
    if (!device || !vmm_find_chain(d->host, disk, err))
        return false;
    if (!tell_secrets(d, live, disk, err))
        return false;
    if (open_layers(d, disk, err) && plug_disk(d, disk, device, err))
        return true;
    forget_secrets(d, disk);
    return false;
}

/* ---- network cards */
static void close_host_end(HvDomain *d, const Interface *card)
{
    g_autofree char *id = g_strconcat("host", card->alias, NULL);
    g_autoptr(GError) err = NULL;
    if (!one_text(d, "netdev_del", "id", id, &err))
        g_info("domain '%s': %s", d->name, err->message);
}

static bool attach_card(HvDomain *d, const Domain *live, const Interface *card, GError **err)
{
    g_autofree char *host = plan_interface_backend(card, err), *device = host ? plan_interface_device(live, card, err) : NULL;
    if (!device || !execute_text(d, "netdev_add", host, err))
        return false;
    if (execute_text(d, "device_add", device, err))
        return true;
    close_host_end(d, card);
    return false;
}

static bool attach_controller(HvDomain *d, const Controller *c, GError **err)
{
    g_autofree char *device = plan_controller_device(c, err);
    return device && execute_text(d, "device_add", device, err);
}

bool vmm_attach(HvDomain *d, const Domain *live, void *device, GError **err)
{
    const RecordType *t = ((const Record *)device)->type;
    if (t == &disk_record)
        return attach_disk(d, live, device, err);
    if (t == &interface_record)
        return attach_card(d, live, device, err);
    if (t == &controller_record && ((Controller *)device)->type == CONTROLLER_SCSI)
        return attach_controller(d, device, err);
    return error_set(err, ERR_UNSUPPORTED, "<%s> cannot be plugged into a running machine: --config adds it for the next start", t->element);
}

/* ---- and away again */
static const char *alias_of(const void *device)
{
    const RecordType *t = ((const Record *)device)->type;
    return t == &disk_record ? ((const Disk *)device)->alias : t == &interface_record ? ((const Interface *)device)->alias : NULL;
}

void vmm_device_answered(HvDomain *d, const char *alias, bool gone)
{
    g_mutex_lock(&d->lock);
    if (g_hash_table_contains(d->answered, alias))
        g_hash_table_insert(d->answered, g_strdup(alias), GINT_TO_POINTER(1 + gone));
    g_cond_broadcast(&d->cond);
    g_mutex_unlock(&d->lock);
}

bool vmm_detach(HvDomain *d, const void *device, GError **err)
{
    const char *alias = alias_of(device);
    int answer = 0;
    if (!alias)
        return error_set(err, ERR_UNSUPPORTED, "<%s> cannot be taken out of a running machine", ((const Record *)device)->type->element);
    g_mutex_lock(&d->lock);
    g_hash_table_insert(d->answered, g_strdup(alias), NULL);
    g_mutex_unlock(&d->lock);
    bool asked = one_text(d, "device_del", "id", alias, err);
    gint64 end = g_get_monotonic_time() + LET_GO_WAIT_S * G_USEC_PER_SEC;
    g_mutex_lock(&d->lock);
    while (asked && !(answer = GPOINTER_TO_INT(g_hash_table_lookup(d->answered, alias))))
        if (!g_cond_wait_until(&d->cond, &d->lock, end))
            break;
    g_hash_table_remove(d->answered, alias);
    g_mutex_unlock(&d->lock);
    return asked && (answer != 1 || error_set(err, ERR_BUSY, "the guest of domain '%s' does not let go of device '%s'", d->name, alias));
}

static void close_disk(HvDomain *d, const Disk *disk)
{
    close_layers(d, disk);
    forget_secrets(d, disk);
}

void vmm_detached(HvDomain *d, const void *device)
{
    const RecordType *t = ((const Record *)device)->type;
    if (t == &disk_record)
        close_disk(d, device);
    else if (t == &interface_record)
        close_host_end(d, device);
}

/* ---- media */
static bool open_tray(HvDomain *d, const Disk *disk, bool force, GError **err)
{
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "id", disk->alias);
    json_object_set_boolean_member(o, "force", force);
    JsonNode *args = json_node_init_object(json_node_alloc(), o);
    json_object_unref(o);
    return qmp_execute(d->qmp, "blockdev-open-tray", args, NULL, err);
}

static bool insert(HvDomain *d, const Disk *disk, GError **err)
{
    g_autofree char *node = plan_node_name(disk->alias, disk->source_index, false);
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "id", disk->alias);
    json_object_set_string_member(o, "node-name", node);
    JsonNode *args = json_node_init_object(json_node_alloc(), o);
    json_object_unref(o);
    return qmp_execute(d->qmp, "blockdev-insert-medium", args, NULL, err);
}

/* The tray of a drive that the guest has locked opens by force only. */
bool vmm_change_medium(HvDomain *d, const Disk *before, Disk *after, bool force, GError **err)
{
    bool had = image_path(before), has = image_path(after);
    g_autoptr(GError) locked = NULL;
    if (had && !open_tray(d, before, force, &locked) && strstr(locked->message, "locked"))
        return error_set(err, ERR_BUSY, "the guest of domain '%s' has locked the tray of '%s': --force opens it", d->name, before->target);
    if (!had)
        open_tray(d, before, true, NULL);
    if (had && !one_text(d, "blockdev-remove-medium", "id", before->alias, err))
        return false;
    if (had)
        close_layers(d, before);
    if (has && (!open_layers(d, after, err) || !insert(d, after, err)))
        return false;
    return !has || one_text(d, "blockdev-close-tray", "id", after->alias, err);
}

bool vmm_set_link(HvDomain *d, const Interface *card, bool up, GError **err)
{
    return qmp_executef(d->qmp, NULL, err, "set_link", "{\"name\": \"%s\", \"up\": %s}", card->alias, up ? "true" : "false");
}
