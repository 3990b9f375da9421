/* map.c - atoll-img map: which file holds which part of the guest's disk. */
#include <stdio.h>

#include "base/error.h"
#include "tools/img/commands.h"
#include "tools/img/util.h"

typedef struct Entry {
    uint64_t start, length, offset;
    unsigned depth;
    bool present, zero, data, has_offset, packed;
    const char *file;
} Entry;

static Entry entry_of(const BlkExtent *e)
{
    Entry entry = { e->off, e->len, e->host, e->depth, e->allocated, e->zero, e->allocated && !e->zero, e->has_host && !e->compressed,
                    e->compressed };
    BlkInfo info = { 0 };
    if (e->host_node)
        blk_info(e->host_node, &info);
    if (e->node && !info.filename)
        blk_info(e->node, &info);
    entry.file = info.filename;
    return entry;
}

static bool extend(Entry *last, const Entry *next)
{
    bool same = last->length && last->depth == next->depth && last->present == next->present && last->zero == next->zero &&
                last->data == next->data && last->packed == next->packed && last->has_offset == next->has_offset;
    if (!same || (last->has_offset && (last->offset + last->length != next->offset || g_strcmp0(last->file, next->file))))
        return false;
    last->length += next->length;
    return true;
}

static bool print(const ImgArgs *a, const Entry *e, bool first, GError **err)
{
    static const char *const words[] = { "false", "true" };
    if (!e->length)
        return true;
    if (!a->json && e->data && !e->has_offset)
        return error_set(err, ERR_UNSUPPORTED, "File contains external, encrypted or compressed clusters.");
    if (!a->json && e->data && !e->zero)
        printf("%#-16" G_GINT64_MODIFIER "x%#-16" G_GINT64_MODIFIER "x%#-16" G_GINT64_MODIFIER "x%s\n", e->start, e->length, e->offset, e->file);
    if (!a->json)
        return true;
    printf("%s{ \"start\": %" G_GUINT64_FORMAT ", \"length\": %" G_GUINT64_FORMAT ", \"depth\": %u, \"present\": %s, \"zero\": %s, \"data\": %s",
           first ? "" : ",\n", e->start, e->length, e->depth, words[e->present], words[e->zero], words[e->data]);
    if (e->has_offset)
        printf(", \"offset\": %" G_GUINT64_FORMAT, e->offset);
    printf("}");
    return true;
}

static bool print_all(const ImgArgs *a, BlkNode *n, uint64_t from, uint64_t to, GError **err)
{
    Entry last = { 0 };
    bool first = true;
    BlkExtent e;
    for (uint64_t at = from; at < to; at += e.len) {
        if (!blk_map_chain(n, at, to - at, &e, err))
            return false;
        Entry next = entry_of(&e);
        if (extend(&last, &next))
            continue;
        if (!print(a, &last, first, err))
            return false;
        first = first && !last.length;
        last = next;
    }
    return print(a, &last, first, err);
}

int img_map(ImgArgs *a, GError **err)
{
    uint64_t start = 0, length = INT64_MAX;
    if (a->start && !img_parse_size(a->start, "start offset", INT64_MAX, &start, err))
        return 1;
    if (a->max_length && !img_parse_size(a->max_length, "max length", INT64_MAX, &length, err))
        return 1;
    if (a->nwords != 1)
        return !img_usage(err, "Expecting one image file name");
    g_autoptr(BlkNode) n = img_open_named(a, false, err);
    if (!n)
        return 1;
    BlkInfo info;
    blk_info(n, &info);
    uint64_t end = start < info.size ? start + MIN(length, info.size - start) : start;
    printf(a->json ? "[" : "%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
    bool ok = print_all(a, n, start, end, err);
    printf(ok && a->json ? "]\n" : "");
    return !ok;
}
