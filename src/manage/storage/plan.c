/* plan.c - pools' tools and their arguments. */
#include "manage/storage/plan.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/error.h"

const char *const store_step_names[] = { "build", "start", "stop", "delete", "list", "create", "remove", "resize" };

static void command_free(gpointer data)
{
    StoreCommand *c = data;
    g_strfreev(c->argv);
    g_free(c->input);
    g_free(c);
}

/* Words up to NULL; returns the command. */
static StoreCommand *add(GPtrArray *plan, const char *first, ...)
{
    g_autoptr(GStrvBuilder) b = g_strv_builder_new();
    StoreCommand *c = g_new0(StoreCommand, 1);
    va_list ap;
    va_start(ap, first);
    for (const char *word = first; word; word = va_arg(ap, const char *))
        g_strv_builder_add(b, word);
    va_end(ap);
    c->argv = g_strv_builder_end(b);
    g_ptr_array_add(plan, c);
    return c;
}

static const char *first_device(const Pool *p) { return p->devices && p->devices->len ? ((PoolDevice *)p->devices->pdata[0])->path : NULL; }
static const char *group_of(const Pool *p) { return p->source_name ? p->source_name : p->name; }

char *store_target(const Pool *p)
{
    if (p->type == POOL_LOGICAL)
        return g_strdup_printf("/dev/%s", group_of(p));
    return g_strdup(p->target ? p->target : p->type == POOL_DISK ? "/dev" : NULL);
}

/* ---- file systems of a device or a server */
static const char *mount_type(const Pool *p) { return p->source_format && strcmp(p->source_format, "auto") ? p->source_format : p->type == POOL_NETFS ? "nfs" : "auto"; }

static char *mount_source(const Pool *p)
{
    if (p->type == POOL_FS)
        return g_strdup(first_device(p));
    return g_strdup_printf(!strcmp(mount_type(p), "cifs") ? "//%s%s%s" : "%s:%s%s", p->host, *p->source_dir == '/' ? "" : "/", p->source_dir);
}

static bool plan_mount(GPtrArray *plan, const Pool *p, StoreStep step, const Volume *v, uint64_t bytes, GError **err)
{
    if (p->type == POOL_FS && !first_device(p))
        return error_set(err, ERR_INVALID, "pool '%s' of type fs needs <source><device path=>, what is mounted", p->name);
    if (p->type == POOL_NETFS && (!p->host || !p->source_dir))
        return error_set(err, ERR_INVALID, "pool '%s' of type netfs needs <source><host name=> and <dir path=>", p->name);
    g_autofree char *source = mount_source(p);
    if (step == STORE_START)
        add(plan, "mount", "-t", mount_type(p), "-o", "nosuid,nodev,noexec", "--", source, p->target, NULL);
    else if (step == STORE_STOP)
        add(plan, "umount", "--", p->target, NULL);
    return true;
}

/* ---- logical volumes */
static void plan_volume_group(GPtrArray *plan, const Pool *p)
{
    StoreCommand *last;
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    for (guint i = 0; p->devices && i < p->devices->len; i++)
        add(plan, "pvcreate", "--", ((PoolDevice *)p->devices->pdata[i])->path, NULL);
    g_ptr_array_add(words, "vgcreate");
    g_ptr_array_add(words, "--");
    g_ptr_array_add(words, (char *)group_of(p));
    for (guint i = 0; p->devices && i < p->devices->len; i++)
        g_ptr_array_add(words, ((PoolDevice *)p->devices->pdata[i])->path);
    g_ptr_array_add(words, NULL);
    last = add(plan, "", NULL);
    g_strfreev(last->argv);
    last->argv = g_strdupv((char **)words->pdata);
}

static bool plan_logical(GPtrArray *plan, const Pool *p, StoreStep step, const Volume *v, uint64_t bytes, GError **err)
{
    const char *group = group_of(p);
    g_autofree char *path = v ? g_strdup_printf("%s/%s", group, v->name) : NULL, *size = g_strdup_printf("%" PRIu64 "b", bytes);
    switch (step) {
    case STORE_BUILD:
        if (!first_device(p))
            return error_set(err, ERR_INVALID, "pool '%s' of type logical needs <source><device path=> to make its volume group of", p->name);
        plan_volume_group(plan, p);
        break;
    case STORE_START:
    case STORE_STOP:
        add(plan, "vgchange", step == STORE_START ? "-aly" : "-aln", "--", group, NULL);
        break;
    case STORE_DELETE:
        add(plan, "vgremove", "-f", "--", group, NULL);
        for (guint i = 0; p->devices && i < p->devices->len; i++)
            add(plan, "pvremove", "--", ((PoolDevice *)p->devices->pdata[i])->path, NULL);
        break;
    case STORE_LIST:
        add(plan, "vgs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", "vg_size,vg_free", "--", group, NULL);
        add(plan, "lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", "lv_name,lv_size,lv_path,origin", "--", group, NULL);
        break;
    case STORE_CREATE:
        if (v->backing)
            add(plan, "lvcreate", "-y", "--name", v->name, "-L", size, "-s", "--", v->backing->path, NULL);
        else
            add(plan, "lvcreate", "-y", "-W", "y", "--name", v->name, "-L", size, "--", group, NULL);
        break;
    case STORE_REMOVE:
        add(plan, "lvremove", "-f", "--", path, NULL);
        break;
    case STORE_RESIZE:
        add(plan, "lvresize", "-f", "-L", size, "--", path, NULL);
        break;
    }
    return true;
}

/* ---- partitions of a disk */
/* Digits at the end of "/dev/sdb3", "/dev/nvme0n1p3". */
static const char *partition_number(const Volume *v)
{
    const char *at = v->path + strlen(v->path);
    while (at > v->path && g_ascii_isdigit(at[-1]))
        at--;
    return at;
}

static bool plan_disk(GPtrArray *plan, const Pool *p, StoreStep step, const Volume *v, uint64_t bytes, GError **err)
{
    const char *device = first_device(p), *label = p->source_format && strcmp(p->source_format, "unknown") ? p->source_format : "gpt";
    if (!device)
        return error_set(err, ERR_INVALID, "pool '%s' of type disk needs <source><device path=>, the disk", p->name);
    switch (step) {
    case STORE_BUILD:
        add(plan, "sfdisk", "--wipe", "always", "--", device, NULL)->input = g_strdup_printf("label: %s\n", label);
        break;
    case STORE_LIST:
        add(plan, "sfdisk", "--json", "--", device, NULL);
        break;
    case STORE_CREATE:
        add(plan, "sfdisk", "--append", "--wipe-partitions", "always", "--", device, NULL)->input = g_strdup_printf("size=%" PRIu64 "KiB\n", (bytes + 1023) / 1024);
        break;
    case STORE_REMOVE:
        add(plan, "sfdisk", "--delete", "--", device, partition_number(v), NULL);
        break;
    case STORE_RESIZE:
        add(plan, "sfdisk", "-N", partition_number(v), "--", device, NULL)->input = g_strdup_printf(",%" PRIu64 "KiB\n", (bytes + 1023) / 1024);
        break;
    default:
        break;
    }
    return true;
}

GPtrArray *store_plan(const Pool *p, StoreStep step, const Volume *v, uint64_t bytes, GError **err)
{
    static bool (*const planners[])(GPtrArray *plan, const Pool *p, StoreStep step, const Volume *v, uint64_t bytes, GError **err) = {
        [POOL_FS] = plan_mount, [POOL_NETFS] = plan_mount, [POOL_LOGICAL] = plan_logical, [POOL_DISK] = plan_disk,
    };
    GPtrArray *plan = g_ptr_array_new_with_free_func(command_free);
    bool ok = p->type >= G_N_ELEMENTS(planners) || !planners[p->type] || planners[p->type](plan, p, step, v, bytes, err);
    if (!ok)
        g_clear_pointer(&plan, g_ptr_array_unref);
    return plan;
}
