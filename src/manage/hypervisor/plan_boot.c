/*
 * plan_boot.c - the order of booting.  <boot dev=> in <os> means the first device of each kind, and becomes bootindex= of that device:
 * UEFI firmware does not see the letters of -boot.  Only floppy drives have no bootindex; with them it is the letters.
 */
#include <string.h>

#include "manage/hypervisor/plan_inside.h"

static guint length(const GPtrArray *list) { return list ? list->len : 0; }

static const Disk *first_disk(const Domain *d, DiskDevice device)
{
    for (guint i = 0; i < length(d->devices->disks); i++) {
        const Disk *disk = d->devices->disks->pdata[i];
        if (disk->device == (unsigned)device || (device == DISK_DISK && disk->device == DISK_LUN))
            return disk;
    }
    return NULL;
}

static const void *first_of(const Domain *d, const char *kind)
{
    if (!strcmp(kind, "hd"))
        return first_disk(d, DISK_DISK);
    if (!strcmp(kind, "cdrom"))
        return first_disk(d, DISK_CDROM);
    return !strcmp(kind, "network") && length(d->devices->interfaces) ? d->devices->interfaces->pdata[0] : NULL;
}

static bool by_letters(const Domain *d)
{
    for (guint i = 0; i < length(d->boot); i++)
        if (!strcmp(d->boot->pdata[i], "fd") && first_disk(d, DISK_FLOPPY))
            return true;
    return false;
}

static uint64_t own_order(const void *device)
{
    return ((const Record *)device)->type == &disk_record ? ((const Disk *)device)->boot : ((const Interface *)device)->boot;
}

uint64_t plan_boot_index(const Domain *d, const void *device)
{
    if (own_order(device) != RECORD_NONE || by_letters(d))
        return own_order(device);
    for (guint i = 0; i < length(d->boot); i++)
        if (first_of(d, d->boot->pdata[i]) == device)
            return i + 1;
    return RECORD_NONE;
}

static bool any_index(const Domain *d)
{
    for (guint i = 0; i < length(d->devices->disks); i++)
        if (plan_boot_index(d, d->devices->disks->pdata[i]) != RECORD_NONE)
            return true;
    for (guint i = 0; i < length(d->devices->interfaces); i++)
        if (plan_boot_index(d, d->devices->interfaces->pdata[i]) != RECORD_NONE)
            return true;
    return false;
}

static void add_word(GString *s, const char *word)
{
    if (s->len)
        g_string_append_c(s, ',');
    g_string_append(s, word);
}

static void add_letters(const Domain *d, GString *s)
{
    static const char *const names[] = { "fd", "hd", "cdrom", "network", NULL };
    g_string_append(s, "order=");
    for (guint i = 0; i < d->boot->len; i++) {
        unsigned n = record_word_value(names, d->boot->pdata[i]);
        if (n)
            g_string_append_c(s, "acdn"[n - 1]);
    }
}

void plan_boot(const Domain *d, LaunchPlan *p)
{
    g_autoptr(GString) s = g_string_new(NULL);
    if (by_letters(d))
        add_letters(d, s);
    if (d->boot_menu == 1)
        add_word(s, "menu=on");
    if (any_index(d))
        add_word(s, "strict=on");
    if (s->len)
        launch_plan_add(p, "-boot", s->str, NULL);
}
