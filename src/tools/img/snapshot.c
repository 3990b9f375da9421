/* snapshot.c - atoll-img snapshot: internal snapshots of an image. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "tools/img/commands.h"
#include "tools/img/snapshots.h"
#include "tools/img/users.h"
#include "tools/img/util.h"

static char *date_text(uint64_t date_s)
{
    time_t when = date_s;
    struct tm tm;
    char text[32] = "";
    if (localtime_r(&when, &tm))
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
    return g_strdup(text);
}

static char *clock_text(uint64_t ns)
{
    unsigned ms = ns / 1000000 % 1000, s = ns / 1000000000 % 60, m = ns / 60000000000 % 60, h = ns / 3600000000000;
    return g_strdup_printf("%02u:%02u:%02u.%03u", h, m, s, ms);
}

void snapshots_print(GArray *list)
{
    printf("Snapshot list:\n%-10s%-17s%8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
    for (unsigned i = 0; i < list->len; i++) {
        const BlkSnapshot *s = &g_array_index(list, BlkSnapshot, i);
        g_autofree char *date = date_text(s->date_s), *clock = clock_text(s->vm_clock_ns), *size = size_text(s->vm_state_bytes);
        g_autofree char *icount = s->icount == UINT64_MAX ? g_strdup("") : g_strdup_printf("%" G_GUINT64_FORMAT, s->icount);
        printf("%-9s %-16s %8s%20s%13s%11s\n", s->id, s->name, size, date, clock, icount);
    }
}

Json *snapshots_json(GArray *list)
{
    Json *all = json_array();
    for (unsigned i = 0; i < list->len; i++) {
        const BlkSnapshot *s = &g_array_index(list, BlkSnapshot, i);
        Json *j = json_object();
        if (s->icount != UINT64_MAX)
            json_set(j, "icount", json_unsigned(s->icount));
        json_set(j, "vm-clock-nsec", json_unsigned(s->vm_clock_ns % 1000000000));
        json_set(j, "name", json_string(s->name));
        json_set(j, "date-sec", json_unsigned(s->date_s));
        json_set(j, "date-nsec", json_unsigned(s->date_ns));
        json_set(j, "vm-clock-sec", json_unsigned(s->vm_clock_ns / 1000000000));
        json_set(j, "id", json_string(s->id));
        json_set(j, "vm-state-size", json_unsigned(s->vm_state_bytes));
        json_add(all, j);
    }
    return all;
}

static int list(BlkNode *n, GError **err)
{
    g_autoptr(GArray) snapshots = blk_snapshot_list(n, err);
    if (snapshots && snapshots->len)
        snapshots_print(snapshots);
    return !snapshots;
}

/* By id first, as the drivers look them up. */
static const BlkSnapshot *find(GArray *snapshots, const char *word)
{
    for (unsigned i = 0; snapshots && i < snapshots->len; i++)
        if (g_strcmp0(g_array_index(snapshots, BlkSnapshot, i).id, word) == 0)
            return &g_array_index(snapshots, BlkSnapshot, i);
    for (unsigned i = 0; snapshots && i < snapshots->len; i++)
        if (g_strcmp0(g_array_index(snapshots, BlkSnapshot, i).name, word) == 0)
            return &g_array_index(snapshots, BlkSnapshot, i);
    return NULL;
}

/* What people fear, in words: which states stay, and where what only this one held goes. */
static void explain_delete(const ImgArgs *a, BlkNode *n, const char *word)
{
    g_autoptr(GArray) snapshots = blk_snapshot_list(n, NULL);
    const BlkSnapshot *s = find(snapshots, word);
    if (!s || a->like_qemu || a->quiet)
        return;
    g_autofree char *date = date_text(s->date_s), *state = size_text(s->vm_state_bytes);
    BlkInfo info;
    blk_info(n, &info);
    printf("Deleting snapshot '%s' (ID %s) of %s, with %s of machine state. The disk as it is now and %u other snapshot(s) stay as they are:\n"
           "nothing is merged, for internal snapshots share their clusters; what only this one holds becomes free within '%s'%s%s%s.\n",
           s->name, s->id, date, state, snapshots->len - 1, info.filename, info.backing_name ? "; the base '" : "",
           info.backing_name ? info.backing_name : "", info.backing_name ? "' is not touched" : "");
    fflush(stdout);
}

static bool create(BlkNode *n, const char *name, GError **err)
{
    int64_t now_us = g_get_real_time();
    BlkSnapshot s = { .name = (char *)name, .date_s = now_us / 1000000, .date_ns = now_us % 1000000 * 1000, .icount = 0 };
    return blk_snapshot_create(n, &s, err);
}

static int change(const ImgArgs *a, BlkNode *n, char verb, const char *word, GError **err)
{
    if (verb == 'c')
        return !create(n, word, err) || !blk_flush(n, err);
    g_autoptr(GArray) snapshots = blk_snapshot_list(n, err);
    if (!snapshots)
        return 1;
    if (!find(snapshots, word))
        return !error_set(err, ERR_NOT_FOUND, "Could not %s snapshot '%s': snapshot not found; snapshot -l lists them", verb == 'd' ? "delete" : "apply", word);
    if (verb == 'd')
        explain_delete(a, n, word);
    if (verb == 'a' && !users_allow(a, a->words[0], NULL, "applying a snapshot", err))
        return 1;
    bool ok = verb == 'd' ? blk_snapshot_delete(n, word, err) : blk_snapshot_apply(n, word, err);
    return !ok || !blk_flush(n, err);
}

int img_snapshot(ImgArgs *a, GError **err)
{
    if (a->actions && a->actions->len > 1)
        return !img_usage(err, "Cannot mix '-l', '-a', '-c', '-d'");
    if (a->nwords != 1)
        return !img_usage(err, "Expecting one image file name");
    const char *action = a->actions ? a->actions->pdata[0] : "l";
    bool write = action[0] != 'l';
    if (write && a->force_share)
        return !error_set(err, ERR_INVALID, "--force-share/-U conflicts with changing an image");
    g_autoptr(BlkNode) n = img_open_named(a, write, err);
    if (!n)
        return 1;
    return img_end(&n, write ? change(a, n, action[0], action + 2, err) : list(n, err), err);
}
