/*
 * reclaim.c - atoll-img reclaim: gives space back to the file system.
 *
 * Clusters that hold nothing but zeros are let go, leaked clusters are freed, and the file gets holes where nothing is.
 * What the guest sees does not change, so it is safe for images that others stand on, too.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "tools/img/commands.h"
#include "tools/img/json.h"
#include "tools/img/parallel.h"
#include "tools/img/util.h"

enum { PIECE_BYTES = 1 << 20, MIN_GRANULE = 4096 };

typedef struct Reclaim {
    const ImgArgs *args;
    BlkNode *node;
    uint64_t size, granule;
    Scan scan;
    uint64_t zeroed, found; /* bytes; atomic */
    Progress progress;
} Reclaim;

static bool next(void *owner, Piece *ret, GError **err)
{
    Reclaim *r = owner;
    do {
        if (!scan_next(&r->scan, &ret->extent, err))
            return false;
    } while (!ret->extent.allocated);
    ret->len = ret->extent.len;
    ret->off = r->scan.at - ret->len;
    return true;
}

static bool let_go(Reclaim *r, uint64_t off, uint64_t len, GError **err)
{
    __atomic_add_fetch(&r->found, len, __ATOMIC_RELAXED);
    return r->args->dry_run || blk_zero(r->node, off, len, BLK_MAY_UNMAP, err);
}

static bool work(void *owner, const Piece *p, char *buffer, GError **err)
{
    Reclaim *r = owner;
    progress_show(&r->progress, p->off, r->size);
    if (p->extent.zero) /* perhaps with a place in the file that it does not need */
        return !p->extent.has_host || r->args->dry_run || blk_zero(r->node, p->off, p->len, BLK_MAY_UNMAP, err);
    if (!blk_read(r->node, p->off, buffer, p->len, err))
        return false;
    for (uint64_t at = 0, run; at < p->len; at += run) {
        run = MIN(r->granule - (p->off + at) % r->granule, p->len - at);
        bool whole = run == r->granule || p->off + at + run == r->size;
        if (whole && is_zero(buffer + at, run) && !let_go(r, p->off + at, run, err))
            return false;
    }
    return true;
}

static void report(const ImgArgs *a, const Reclaim *r, uint64_t before, uint64_t after, uint64_t leaks)
{
    g_autofree char *found = size_text(r->found), *had = size_text(before), *has = size_text(after);
    if (a->json) {
        g_autoptr(Json) j = json_object();
        json_set(j, "zeros", json_unsigned(r->found));
        json_set(j, "leaked-clusters", json_unsigned(leaks));
        json_set(j, "actual-size-before", json_unsigned(before));
        json_set(j, "actual-size", json_unsigned(after));
        g_autofree char *text = json_text(j);
        fputs(text, stdout);
    } else if (a->dry_run)
        printf("%s of allocated zeros and %" G_GUINT64_FORMAT " leaked clusters could be given back; the file takes %s.\n", found, leaks, had);
    else if (!a->quiet)
        printf("Given back: %s of zeros, %" G_GUINT64_FORMAT " leaked clusters. The file took %s, it takes %s.\n", found, leaks, had, has);
}

static bool free_leaks(Reclaim *r, uint64_t *ret, GError **err)
{
    BlkCheck check = { 0 };
    g_autoptr(GError) why = NULL;
    if (!blk_check(r->node, r->args->dry_run ? 0 : BLK_REPAIR_LEAKS, &check, &why)) {
        if (g_error_matches(why, ATOLL_ERROR, ERR_UNSUPPORTED))
            return true; /* nothing that could leak */
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    if (check.corruptions)
        return error_set(err, ERR_IO, "'%s' is damaged in %" G_GUINT64_FORMAT " places: look with check, and repair it first", r->args->words[0],
                         check.corruptions);
    *ret = check.leaks;
    return true;
}

static bool reclaim(Reclaim *r, GError **err)
{
    BlkInfo before, after;
    uint64_t leaks = 0;
    blk_info(r->node, &before);
    r->size = before.size;
    r->granule = MAX(before.cluster_bytes, MIN_GRANULE);
    r->scan = (Scan){ .n = r->node, .top_only = true, .end = before.size, .data_bytes = MAX(PIECE_BYTES, r->granule) };
    Parallel p = { .owner = r, .buffer_bytes = r->scan.data_bytes, .next = next, .work = work };
    if (!free_leaks(r, &leaks, err))
        return false;
    progress_start(&r->progress, r->args->progress && !r->args->quiet);
    bool ok = parallel_run(&p, err) && (r->args->dry_run || blk_flush(r->node, err));
    progress_end(&r->progress, ok);
    blk_info(r->node, &after);
    if (ok)
        report(r->args, r, before.disk_bytes, after.disk_bytes, leaks);
    return ok;
}

int img_reclaim(ImgArgs *a, GError **err)
{
    if (a->nwords != 1)
        return !img_usage(err, "Expecting one image file name");
    ImgOpen o = { .name = a->words[0], .format = a->format, .image_opts = a->image_opts, .write = !a->dry_run, .more = a->dry_run ? NULL : "discard=unmap" };
    g_autoptr(BlkNode) n = img_open(a, &o, err);
    Reclaim r = { .args = a, .node = n };
    return !n || img_end(&n, !reclaim(&r, err), err);
}
