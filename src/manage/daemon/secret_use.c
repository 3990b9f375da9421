/* secret_use.c - secrets on their way to those who open images: never on a command line, and in a file only while a machine starts. */
#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "manage/daemon/secret.h"
#include "manage/hypervisor/plan.h"

ManagedSecret *secret_of_image(const Realm *r, const Encryption *e, const char *format, const char *what, GError **err)
{
    const char *name = e->uuid ? e->uuid : e->usage;
    ManagedSecret *s = e->uuid ? secret_by_uuid(r, e->uuid) : e->usage ? secret_by_usage(r, USAGE_VOLUME, e->usage) : NULL;
    if (strcmp(e->format, "luks") || (format && strcmp(format, "raw") && strcmp(format, "qcow2")))
        rpc_error_set(err, RPC_ERR_CONFIG_UNSUPPORTED, "%s: encryption '%s' of an image in format '%s' is not built; luks in raw and qcow2 is", what, e->format, format ? format : "raw");
    else if (!name)
        rpc_error_set(err, RPC_ERR_XML_ERROR, "%s: <encryption> names no secret: add <secret type='passphrase' uuid='...'/>", what);
    else if (!s)
        rpc_error_set(err, RPC_ERR_NO_SECRET, "%s: there is no secret '%s': `secret-define` makes it", what, name);
    else if (!s->value)
        rpc_error_set(err, RPC_ERR_NO_SECRET, "%s: secret %s does not have a value: `secret-set-value %s` gives it one", what, s->def->uuid, s->def->uuid);
    else
        return s;
    return NULL;
}

static bool hand_out_one(const Realm *r, const Domain *live, const char *target, Encryption *e, const char *format, GError **err)
{
    g_autofree char *what = g_strdup_printf("disk '%s'", target);
    const ManagedSecret *s = r->in_memory || !e ? NULL : secret_of_image(r, e, format, what, err);
    if (r->in_memory || !e || !s)
        return r->in_memory || !e;
    g_free(e->uuid);
    e->uuid = g_strdup(s->def->uuid);
    g_autofree char *path = plan_secret_path(&r->daemon->host, live, e), *folder = g_path_get_dirname(path), *file = g_path_get_basename(path);
    return store_write_file(folder, file, s->value, s->bytes, err);
}

static bool hand_out(const Realm *r, const Domain *live, Disk *disk, GError **err)
{
    bool ok = hand_out_one(r, live, disk->target, disk->encryption, disk->format, err);
    for (Layer *l = disk->backing; ok && l; l = l->backing)
        ok = hand_out_one(r, live, disk->target, l->encryption, l->format, err);
    return ok;
}

bool secrets_hand_out(const Realm *r, Domain *live, Disk *disk, GError **err)
{
    const GPtrArray *all = disk ? NULL : live->devices->disks;
    bool ok = !disk || hand_out(r, live, disk, err);
    for (guint i = 0; ok && all && i < all->len; i++)
        ok = hand_out(r, live, all->pdata[i], err);
    if (!ok)
        secrets_take_back(&r->daemon->host, live, disk);
    return ok;
}

static void take_back_one(const HvHost *h, const Domain *live, const Encryption *e)
{
    g_autofree char *path = e && e->uuid ? plan_secret_path(h, live, e) : NULL;
    if (path)
        g_unlink(path);
}

static void take_back(const HvHost *h, const Domain *live, const Disk *disk)
{
    take_back_one(h, live, disk->encryption);
    for (const Layer *l = disk->backing; l; l = l->backing)
        take_back_one(h, live, l->encryption);
}

void secrets_take_back(const HvHost *h, const Domain *live, const Disk *disk)
{
    const GPtrArray *all = disk ? NULL : live->devices->disks;
    if (disk)
        take_back(h, live, disk);
    for (guint i = 0; all && i < all->len; i++)
        take_back(h, live, all->pdata[i]);
}
