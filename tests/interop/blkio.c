/*
 * blkio.c - the image layer by hand, for the test programs of this folder.
 *
 *     blkio create FORMAT FILE OPTIONS     blkio read FORMAT|- FILE OUT       blkio resize FORMAT FILE BYTES [shrink]
 *     blkio map FORMAT FILE                blkio check FORMAT FILE [leaks|all]
 *     blkio snapshot FORMAT FILE create|apply|delete|list [NAME [BYTES OF VM STATE]]
 *     blkio amend FORMAT FILE OPTIONS
 *     blkio bitmap FORMAT FILE add|remove|clear|enable|disable|merge|dump NAME [GRANULARITY|OTHER]
 *     blkio vmread FORMAT FILE BYTES           the machine's state, to stdout
 *     blkio run FORMAT FILE < SCRIPT       lines: write|zero|unmap|discard|vmwrite|compress OFF LEN BYTE, flush
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"

enum { CHUNK = 1 << 20 };
static const char usage[] = "usage: blkio create|read|resize|map|check|snapshot|vmread|amend|bitmap|run FORMAT FILE [ARG]\n";

typedef struct Call {
    BlkReq req;
    struct iovec iov;
    int status;
} Call;

static void done(BlkReq *r, int status) { ((Call *)r->owner)->status = status; }

static bool fail(GError *err)
{
    fprintf(stderr, "blkio: %s\n", err->message);
    g_error_free(err);
    return false;
}

static BlkNode *open_image(char **arg, bool read_only)
{
    GError *err = NULL;
    BlkNode *n = blk_open(&(BlkOpenOptions){ .filename = arg[3], .format = strcmp(arg[2], "-") ? arg[2] : NULL, .read_only = read_only }, &err);
    if (!n)
        fail(err);
    return n;
}

static bool create(char **arg)
{
    GError *err = NULL;
    return blk_create(arg[2], arg[3], arg[4], NULL, &err) || fail(err);
}

static bool read_out(char **arg)
{
    BlkNode *n = open_image(arg, true);
    FILE *out = n ? fopen(arg[4], "w") : NULL;
    BlkInfo info = { 0 };
    if (!out)
        return false;
    blk_info(n, &info);
    g_autofree char *buf = g_malloc(CHUNK);
    bool ok = true;
    GError *err = NULL;
    for (uint64_t at = 0; at < info.size && ok; at += CHUNK) {
        size_t len = MIN(CHUNK, info.size - at);
        ok = blk_read(n, at, buf, len, &err) ? fwrite(buf, 1, len, out) == len : fail(err);
    }
    blk_close(n);
    return !fclose(out) && ok;
}

static bool resize(char **arg)
{
    GError *err = NULL;
    BlkNode *n = open_image(arg, false);
    bool ok = n && (blk_resize(n, strtoull(arg[4], NULL, 0), arg[5] ? BLK_SHRINK : 0, &err) || fail(err));
    blk_close(n);
    return ok;
}

static bool map(char **arg)
{
    BlkNode *n = open_image(arg, true);
    BlkInfo info = { 0 };
    BlkExtent e = { 0 };
    if (n)
        blk_info(n, &info);
    for (uint64_t at = 0; at < info.size && blk_map(n, at, info.size - at, &e, NULL) && e.len; at += e.len)
        printf("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " allocated=%d zero=%d compressed=%d\n", e.off, e.len, e.allocated, e.zero, e.compressed);
    blk_close(n);
    return n;
}

static bool check(char **arg)
{
    GError *err = NULL;
    unsigned repair = !arg[4] ? 0 : strcmp(arg[4], "leaks") ? BLK_REPAIR_ALL : BLK_REPAIR_LEAKS;
    BlkNode *n = open_image(arg, !repair);
    BlkCheck c;
    bool ok = n && (blk_check(n, repair, &c, &err) || fail(err));
    if (ok)
        printf("leaks %" G_GUINT64_FORMAT " fixed %" G_GUINT64_FORMAT " corruptions %" G_GUINT64_FORMAT " fixed %" G_GUINT64_FORMAT
               " allocated %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT "\n",
               c.leaks, c.leaks_fixed, c.corruptions, c.corruptions_fixed, c.allocated, c.total);
    blk_close(n);
    return ok;
}

static bool list(BlkNode *n, GError **err)
{
    g_autoptr(GArray) rows = blk_snapshot_list(n, err);
    for (unsigned i = 0; rows && i < rows->len; i++) {
        const BlkSnapshot *s = &g_array_index(rows, BlkSnapshot, i);
        printf("%s %s size=%" G_GUINT64_FORMAT " vm=%" G_GUINT64_FORMAT " date=%" G_GUINT64_FORMAT "\n", s->id, s->name, s->size, s->vm_state_bytes, s->date_s);
    }
    return rows;
}

static bool snapshot(char **arg)
{
    GError *err = NULL;
    BlkNode *n = open_image(arg, !strcmp(arg[4], "list"));
    BlkSnapshot s = { .name = arg[5], .date_s = 1700000000, .icount = UINT64_MAX };
    if (arg[5] && arg[6])
        s.vm_state_bytes = strtoull(arg[6], NULL, 0);
    bool ok = n && (!strcmp(arg[4], "list") ? list(n, &err) : !strcmp(arg[4], "create") ? blk_snapshot_create(n, &s, &err) :
                    !strcmp(arg[4], "apply") ? blk_snapshot_apply(n, arg[5], &err) : blk_snapshot_delete(n, arg[5], &err));
    blk_close(n);
    return ok || (err && fail(err));
}

static int run_line(BlkNode *n, const char *line)
{
    static const struct { const char *word; BlkOp op; unsigned flags; } words[] = {
        { "write", BLK_WRITE, 0 }, { "zero", BLK_ZERO, 0 }, { "unmap", BLK_ZERO, BLK_MAY_UNMAP }, { "discard", BLK_DISCARD, 0 }, { "flush", BLK_FLUSH, 0 },
        { "compress", BLK_WRITE, BLK_COMPRESS },
    };
    char word[16] = "";
    unsigned long long off = 0, len = 0, byte = 0;
    sscanf(line, "%15s %llu %llu %llu", word, &off, &len, &byte);
    g_autofree char *data = g_malloc(len + 1);
    memset(data, byte, len);
    if (!strcmp(word, "vmwrite"))
        return blk_vm_state(n, BLK_WRITE, off, data, len);
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        if (strcmp(word, words[i].word))
            continue;
        Call c = { .iov = { data, len } };
        c.req = (BlkReq){ .op = words[i].op, .flags = words[i].flags, .off = off, .len = len, .iov = &c.iov, .niov = 1, .done = done, .owner = &c };
        blk_submit(n, &c.req);
        blk_drain(n);
        return c.status;
    }
    return -1;
}

static bool run(char **arg)
{
    BlkNode *n = open_image(arg, false);
    char line[256];
    int status = 0;
    while (n && !status && fgets(line, sizeof(line), stdin))
        if ((status = run_line(n, line)))
            fprintf(stderr, "blkio: %d: %s", status, line);
    blk_close(n);
    return n && !status;
}

/* The dirty parts of a bitmap, "OFF LEN" a line; its state first. */
static void dump(BlkBitmap *b)
{
    BlkBitmapInfo info;
    uint64_t off = 0, len;
    blk_bitmap_info(b, &info);
    printf("%s granularity=%" G_GUINT64_FORMAT " enabled=%d inconsistent=%d\n", info.name, info.granularity, info.enabled, info.inconsistent);
    for (; blk_bitmap_next_dirty(b, &off, &len); off += len)
        printf("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", off, len);
}

static bool change_bitmap(BlkNode *n, char **arg, GError **err)
{
    const char *word = arg[4];
    BlkBitmap *b = blk_bitmap_find(n, arg[5]), *from = arg[6] ? blk_bitmap_find(n, arg[6]) : NULL;
    if (!strcmp(word, "add"))
        return blk_bitmap_add(n, arg[5], arg[6] ? strtoull(arg[6], NULL, 0) : 0, true, err);
    if (!b)
        return fprintf(stderr, "blkio: no bitmap '%s'\n", arg[5]) < 0;
    if (!strcmp(word, "dump"))
        dump(b);
    return !strcmp(word, "dump") || (!strcmp(word, "remove") && blk_bitmap_remove(n, b, err)) || (!strcmp(word, "clear") && blk_bitmap_clear(b, err)) ||
           (!strcmp(word, "enable") && blk_bitmap_enable(b, true, err)) || (!strcmp(word, "disable") && blk_bitmap_enable(b, false, err)) ||
           (!strcmp(word, "merge") && from && blk_bitmap_merge(b, from, err));
}

static bool bitmap(char **arg)
{
    GError *err = NULL;
    BlkNode *n = open_image(arg, !strcmp(arg[4], "dump"));
    bool ok = n && change_bitmap(n, arg, &err);
    blk_close(n);
    return ok || (err && fail(err));
}

static bool amend(char **arg)
{
    GError *err = NULL;
    BlkNode *n = open_image(arg, false);
    bool ok = n && (blk_amend(n, arg[4], &err) || fail(err));
    blk_close(n);
    return ok;
}

static bool vm_read(char **arg)
{
    BlkNode *n = open_image(arg, true);
    size_t len = strtoull(arg[4], NULL, 0);
    g_autofree char *buf = g_malloc(len + 1);
    bool ok = n && !blk_vm_state(n, BLK_READ, 0, buf, len) && fwrite(buf, 1, len, stdout) == len;
    blk_close(n);
    return ok;
}

int main(int argc, char **argv)
{
    static const struct { const char *word; int min; bool (*run)(char **arg); } commands[] = {
        { "create", 5, create }, { "read", 5, read_out }, { "resize", 5, resize }, { "map", 4, map }, { "check", 4, check }, { "run", 4, run }, { "snapshot", 5, snapshot },
        { "vmread", 5, vm_read }, { "amend", 5, amend }, { "bitmap", 6, bitmap },
    };
    for (unsigned i = 0; argc > 1 && i < G_N_ELEMENTS(commands); i++)
        if (!strcmp(argv[1], commands[i].word) && argc >= commands[i].min)
            return !commands[i].run(argv);
    fputs(usage, stderr);
    return 2;
}
