/* disk.c - a machine's disks as the daemon finds and changes them. */
#include <string.h>

#include "manage/daemon/change.h"
#include "manage/hypervisor/image.h"

Disk *disk_find(const Domain *d, const char *name)
{
    const GPtrArray *list = d->devices->disks;
    for (guint i = 0; list && i < list->len; i++) {
        Disk *disk = list->pdata[i];
        if (!strcmp(disk->target, name) || !g_strcmp0(image_path(disk), name))
            return disk;
    }
    return NULL;
}

/* Nodes are called ALIAS-format, ALIAS.3-storage and so on. */
Disk *disk_of_node(const Domain *d, const char *node)
{
    const GPtrArray *list = d->devices->disks;
    for (guint i = 0; list && i < list->len; i++) {
        Disk *disk = list->pdata[i];
        size_t n = disk->alias ? strlen(disk->alias) : 0;
        if (n && !strncmp(node, disk->alias, n) && (!node[n] || node[n] == '.' || g_str_equal(node + n, "-format") || g_str_equal(node + n, "-storage")))
            return disk;
    }
    return NULL;
}

void disk_failed(ManagedDomain *d, const char *node, int action)
{
    const Disk *disk = disk_of_node(d->live, node);
    const char *path = disk && image_path(disk) ? image_path(disk) : "", *alias = disk && disk->alias ? disk->alias : "";
    domain_event(d, EVENT_IO_ERROR, "(ssi)", path, alias, action);
    domain_event(d, EVENT_IO_ERROR_REASON, "(ssis)", path, alias, action, "");
}

static void set(char **to, const char *text)
{
    g_autofree char *old = *to; /* `text` may be in it */
    *to = g_strdup(text);
}

void disk_set_image(Disk *disk, const Layer *image)
{
    Layer *below = image->backing ? record_copy(image->backing) : NULL;
    Encryption *encryption = image->encryption ? record_copy(image->encryption) : NULL;
    disk->type = image->type;
    set(&disk->file, image->type == DISK_FILE ? image->file : NULL);
    set(&disk->dev, image->type == DISK_BLOCK ? image->dev : NULL);
    set(&disk->format, image->format);
    disk->source_index = image->source_index;
    record_free(disk->encryption);
    disk->encryption = encryption;
    record_free(disk->backing);
    disk->backing = below;
}

static uint64_t above(uint64_t most, uint64_t index) { return index == RECORD_NONE ? most : MAX(most, index); }

uint64_t disk_next_index(const Disk *disk)
{
    uint64_t most = above(0, disk->source_index);
    for (const Layer *l = disk->backing; l; l = l->backing)
        most = above(most, l->source_index);
    if (disk->mirror)
        most = above(most, disk->mirror->source_index);
    return most + 1;
}
