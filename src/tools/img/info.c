/* info.c - atoll-img info: what an image is, and what it stands on. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "tools/img/commands.h"
#include "tools/img/create.h"
#include "tools/img/json.h"
#include "tools/img/snapshots.h"
#include "tools/img/users.h"
#include "tools/img/util.h"

/* An element of a list whose own list is empty is not among the facts. */
static void add_missing_flags(GArray *facts, unsigned i, Json *data)
{
    const BlkFact *f = &g_array_index(facts, BlkFact, i);
    g_auto(GStrv) words = g_strsplit(f->key, ".", -1);
    if (g_strv_length(words) != 3 || !g_str_equal(words[0], "bitmaps") || !g_str_equal(words[2], "name"))
        return;
    g_autofree char *flags = g_strdup_printf("bitmaps.%s.flags.0", words[1]), *path = g_strdup_printf("bitmaps.%s.flags", words[1]);
    for (unsigned k = 0; k < facts->len; k++)
        if (g_str_equal(g_array_index(facts, BlkFact, k).key, flags))
            return;
    json_set_path(data, path, json_array());
}

static Json *fact_value(const BlkFact *f)
{
    if (f->type == BLK_BOOL)
        return json_bool(f->number);
    return f->type == BLK_STRING || f->type == BLK_CHOICE ? json_string(f->text) : json_unsigned(f->number);
}

Json *facts_json(GArray *facts)
{
    if (!facts || !facts->len)
        return NULL;
    Json *data = json_object();
    for (unsigned i = 0; i < facts->len; i++) {
        add_missing_flags(facts, i, data);
        json_set_path(data, g_array_index(facts, BlkFact, i).key, fact_value(&g_array_index(facts, BlkFact, i)));
    }
    return data;
}

static Json *specific(BlkNode *n)
{
    g_autoptr(GArray) facts = blk_info_specific(n);
    return facts_json(facts);
}

static void add_specific(Json *j, BlkNode *n, const char *format)
{
    Json *data = specific(n);
    if (!data)
        return;
    Json *both = json_object();
    json_set(both, "type", json_string(format));
    json_set(both, "data", data);
    json_set(j, "format-specific", both);
}

static void add_backing(Json *j, const BlkInfo *info)
{
    g_autofree char *full = img_beside(info->filename, info->backing_name);
    json_set(j, "full-backing-filename", json_string(full));
    json_set(j, "backing-filename", json_string(info->backing_name));
}

static void add_facts(BlkNode *n, Json *into)
{
    BlkInfo info;
    blk_info(n, &info);
    g_autoptr(GArray) list = blk_snapshot_list(n, NULL);
    if (list && list->len)
        json_set(into, "snapshots", snapshots_json(list));
    if (info.backing_name && info.backing_format)
        json_set(into, "backing-filename-format", json_string(info.backing_format));
    json_set(into, "virtual-size", json_unsigned(info.size));
    json_set(into, "filename", json_string(info.filename));
    if (info.cluster_bytes)
        json_set(into, "cluster-size", json_unsigned(info.cluster_bytes));
    json_set(into, "format", json_string(info.format));
    if (info.disk_bytes != UINT64_MAX)
        json_set(into, "actual-size", json_unsigned(info.disk_bytes));
    if (info.encrypted)
        json_set(into, "encrypted", json_bool(true));
    if (info.compressed)
        json_set(into, "compressed", json_bool(true));
    add_specific(into, n, info.format);
    if (info.backing_name)
        add_backing(into, &info);
    json_set(into, "dirty-flag", json_bool(info.dirty));
}

static void print_backing(const BlkInfo *info)
{
    g_autofree char *full = img_beside(info->filename, info->backing_name);
    printf("backing file: %s", info->backing_name);
    if (!g_str_equal(full, info->backing_name))
        printf(" (actual path: %s)", full);
    printf("\n");
    if (info->backing_format)
        printf("backing file format: %s\n", info->backing_format);
}

static void print_human(BlkNode *n)
{
    BlkInfo info;
    blk_info(n, &info);
    g_autofree char *size = size_text(info.size), *disk = info.disk_bytes == UINT64_MAX ? g_strdup("unavailable") : size_text(info.disk_bytes);
    printf("image: %s\nfile format: %s\nvirtual size: %s (%" G_GUINT64_FORMAT " bytes)\ndisk size: %s\n", info.filename, info.format, size,
           info.size, disk);
    if (info.encrypted)
        printf("encrypted: yes\n");
    if (info.cluster_bytes)
        printf("cluster_size: %" G_GUINT64_FORMAT "\n", info.cluster_bytes);
    if (info.dirty)
        printf("cleanly shut down: no\n");
    if (info.backing_name)
        print_backing(&info);
    g_autoptr(GArray) list = blk_snapshot_list(n, NULL);
    if (list && list->len)
        snapshots_print(list);
    g_autoptr(Json) data = specific(n);
    if (!data)
        return;
    g_autoptr(GString) text = g_string_new("Format specific information:\n");
    json_append_human(text, data, 1);
    fputs(text->str, stdout);
}

static void show_chain(const ImgArgs *a, BlkNode *top)
{
    g_autoptr(Json) list = json_array();
    for (BlkNode *n = top; n; n = a->backing_chain ? blk_backing(n) : NULL) {
        if (!a->json && n != top)
            printf("\n");
        if (!a->json) {
            print_human(n);
            continue;
        }
        Json *j = json_object();
        json_add(list, j);
        add_facts(n, j);
    }
    g_autofree char *text = a->json ? json_text(a->backing_chain ? list : json_first(list)) : NULL;
    fputs(text ? text : "", stdout);
}

/* The images that stand on this one; text after the rest, or the only thing with --output=json. */
static int show_users(const ImgArgs *a, GError **err)
{
    g_autoptr(GPtrArray) users = users_of(a->words[0], a->users, err);
    if (!users)
        return 1;
    if (a->json) {
        g_autoptr(Json) list = json_array();
        for (unsigned i = 0; i < users->len; i++)
            json_add(list, json_string(users->pdata[i]));
        g_autofree char *text = json_text(list);
        fputs(text, stdout);
        return 0;
    }
    printf(users->len ? "\nUsed as a base by %u image(s) in '%s':\n" : "\nNo image stands on it, %u in '%s'.\n", users->len, a->users);
    for (unsigned i = 0; i < users->len; i++)
        printf("    %s\n", (char *)users->pdata[i]);
    return 0;
}

int img_info(ImgArgs *a, GError **err)
{
    if (a->nwords != 1)
        return !img_usage(err, "Expecting one image file name");
    ImgOpen o = { .name = a->words[0], .format = a->format, .image_opts = a->image_opts, .no_backing = !a->backing_chain };
    g_autoptr(BlkNode) n = img_open(a, &o, err);
    if (!n)
        return 1;
    if (a->users && a->json)
        return show_users(a, err);
    show_chain(a, n);
    return a->users ? show_users(a, err) : 0;
}
