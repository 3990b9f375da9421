/* image.c - open, close, reopen, and what may be asked of the image itself. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "tools/img/create.h"
#include "tools/img/io/io.h"
#include "tools/img/json.h"

/* ---- opening */

static char *more_options(const Io *io, const char *options)
{
    GString *s = g_string_new(options);
    create_text_add(s, "discard", io->discard);
    return g_string_free(s, FALSE);
}

static BlkNode *open_as_told(const Io *io, const char *filename, const char *options, GError **err)
{
    ImgArgs args = *io->args;
    args.force_share = io->share;
    g_autofree char *more = more_options(io, options);
    ImgOpen o = { .name = filename, .format = io->args->format, .cache = io->cache, .image_opts = io->args->image_opts, .write = !io->read_only,
                  .discard_writes = io->snapshot, .more = *more ? more : NULL };
    return img_open(&args, &o, err);
}

bool io_open_image(Io *io, const char *filename, const char *options, GError **err)
{
    io->node = open_as_told(io, filename, options, err);
    if (!io->node) {
        g_prefix_error(err, "can't open%s%s: ", filename ? " device " : "", filename ? filename : "");
        return false;
    }
    g_free(io->filename);
    io->filename = g_strdup(filename);
    return true;
}

int io_close_image(Io *io)
{
    GError *err = NULL;
    io_wait_all(io);
    return blk_finish(g_steal_pointer(&io->node), &err) ? 0 : io_complain(io, err);
}

static void set_text(char **to, const char *text)
{
    g_free(*to);
    *to = g_strdup(text);
}

static bool take_open_option(Io *io, int letter, const char *arg, GString *options)
{
    switch (letter) {
    case 'r':
        io->read_only = true;
        return true;
    case 's':
        io->snapshot = true;
        return true;
    case 'U':
        io->share = true;
        return true;
    case 'C':
        io->copy_on_read = true;
        return true;
    case 'n':
        set_text(&io->cache, "none");
        return true;
    case 't':
        set_text(&io->cache, arg);
        return true;
    case 'd':
        set_text(&io->discard, arg);
        return true;
    case 'o':
        g_string_append_printf(options, "%s%s", options->len ? "," : "", arg);
        return true;
    case 'k':
    case 'i':
        return true;
    }
    return false;
}

int io_open(Io *io, int argc, char **argv)
{
    g_autoptr(GString) options = g_string_new(NULL);
    GError *err = NULL;
    if (io->node)
        return error_set(&err, ERR_INVALID, "file open already, try 'help close'"), io_complain(io, err);
    io->read_only = io->snapshot = io->share = io->copy_on_read = false;
    optind = 0;
    for (int letter; (letter = getopt(argc, argv, "snCrki:t:d:o:U")) != -1;)
        if (!take_open_option(io, letter, optarg, options))
            return io_usage("open");
    if (argc - optind > 1 || (argc == optind && !options->len))
        return io_usage("open");
    const char *name = argc > optind ? argv[optind] : NULL;
    if (!name)
        return error_set(&err, ERR_INVALID, "open needs a path"), io_complain(io, err);
    return img_cache_check(io->cache, "cache", &err) && io_open_image(io, name, options->len ? options->str : NULL, &err) ? 0 : io_complain(io, err);
}

int io_close(Io *io, int argc, char **argv)
{
    return io_close_image(io);
}

static int reopen(Io *io, const char *options, GError **err)
{
    g_autofree char *name = g_strdup(io->filename);
    io_wait_all(io);
    return blk_finish(g_steal_pointer(&io->node), err) && io_open_image(io, name, options, err) ? 0 : -1;
}

int io_reopen(Io *io, int argc, char **argv)
{
    g_autoptr(GString) options = g_string_new(NULL);
    GError *err = NULL;
    bool r = false, w = false, again = false;
    optind = 0;
    for (int letter; (letter = getopt(argc, argv, "c:o:rw")) != -1;) {
        if (letter == '?')
            return io_usage("reopen");
        r |= letter == 'r';
        w |= letter == 'w';
        if (letter == 'c' && !img_cache_check(optarg, "cache", &err))
            return io_complain(io, err);
        if (letter == 'c')
            set_text(&io->cache, optarg);
        if (letter == 'o')
            g_string_append_printf(options, "%s%s", options->len ? "," : "", optarg);
        again |= letter == 'c' || letter == 'o';
    }
    if (optind != argc)
        return io_usage("reopen");
    if (r && w)
        return error_set(&err, ERR_INVALID, "Only one -r/-w option may be given"), io_complain(io, err);
    io_wait_all(io);
    io->read_only = r || (io->read_only && !w);
    bool ok = again ? !reopen(io, options->len ? options->str : NULL, &err) : !(r || w) || blk_set_read_only(io->node, io->read_only, &err);
    return ok ? 0 : io_complain(io, err);
}

/* ---- asking */

int io_flush(Io *io, int argc, char **argv)
{
    GError *err = NULL;
    return blk_flush(io->node, &err) ? 0 : io_complain(io, err);
}

static BlkInfo info_of(const Io *io)
{
    BlkInfo info;
    blk_info(io->node, &info);
    return info;
}

int io_length(Io *io, int argc, char **argv)
{
    g_autofree char *text = io_bytes_text(info_of(io).size);
    printf("%s\n", text);
    return 0;
}

/* qcow2: the machine's state stands where the L1 table's next whole entry would begin. */
static uint64_t vm_state_offset(const Io *io, GArray *facts)
{
    BlkInfo info = info_of(io);
    uint64_t entry_bytes = 8;
    if (!g_str_equal(info.format, "qcow2"))
        return 0;
    for (unsigned i = 0; facts && i < facts->len; i++) {
        const BlkFact *f = &g_array_index(facts, BlkFact, i);
        if (g_str_equal(f->key, "extended-l2") && f->number)
            entry_bytes = 16;
    }
    uint64_t covered = info.cluster_bytes / entry_bytes * info.cluster_bytes;
    return (info.size + covered - 1) / covered * covered;
}

int io_info(Io *io, int argc, char **argv)
{
    BlkInfo info = info_of(io);
    g_autoptr(GArray) facts = blk_info_specific(io->node);
    g_autofree char *cluster = io_bytes_text(info.cluster_bytes), *state = io_bytes_text(vm_state_offset(io, facts));
    printf("format name: %s\ncluster size: %s\nvm state offset: %s\n", info.format, cluster, state);
    g_autoptr(Json) data = facts_json(facts);
    if (!data)
        return 0;
    g_autoptr(GString) text = g_string_new("Format specific information:\n");
    json_append_human(text, data, 1);
    fputs(text->str, stdout);
    return 0;
}

/* Extents of one kind after another are one. */
static bool next_run(Io *io, uint64_t off, uint64_t end, bool *ret_allocated, uint64_t *ret_len, GError **err)
{
    BlkExtent e;
    *ret_len = 0;
    while (off + *ret_len < end) {
        if (!blk_map(io->node, off + *ret_len, end - off - *ret_len, &e, err))
            return false;
        if (*ret_len && e.allocated != *ret_allocated)
            break;
        *ret_allocated = e.allocated;
        *ret_len += e.len;
    }
    return true;
}

int io_alloc(Io *io, int argc, char **argv)
{
    uint64_t off, count = 512, sum = 0, len;
    bool allocated = false;
    GError *err = NULL;
    if (!io_size(argv[1], &off) || (argc > 2 && !io_size(argv[2], &count)))
        return -1;
    uint64_t size = info_of(io).size, end = off < size ? off + MIN(count, size - off) : off;
    for (uint64_t at = off; at < end; at += len) {
        if (!next_run(io, at, end, &allocated, &len, &err))
            return io_complain(io, err);
        sum += allocated ? len : 0;
    }
    g_autofree char *text = io_bytes_text(off);
    printf("%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT " bytes allocated at offset %s\n", sum, end - off, text);
    return 0;
}

int io_map(Io *io, int argc, char **argv)
{
    uint64_t size = info_of(io).size, len;
    bool allocated = false;
    GError *err = NULL;
    for (uint64_t at = 0; at < size; at += len) {
        if (!next_run(io, at, size, &allocated, &len, &err))
            return io_complain(io, err);
        g_autofree char *bytes = io_bytes_text(len), *off = io_bytes_text(at);
        printf("%s (0x%" G_GINT64_MODIFIER "x) bytes %s allocated at offset %s (0x%" G_GINT64_MODIFIER "x)\n", bytes, len, allocated ? "   " : "not", off, at);
    }
    return 0;
}

int io_truncate(Io *io, int argc, char **argv)
{
    GError *err = NULL;
    uint64_t size;
    unsigned flags = 0;
    optind = 0;
    for (int letter; (letter = getopt(argc, argv, "m:")) != -1;)
        if (letter == '?' || !resize_mode(optarg, &flags, &err))
            return err ? io_complain(io, err) : io_usage("truncate");
    if (argc - optind != 1)
        return io_usage("truncate");
    if (!io_size(argv[optind], &size))
        return -1;
    bool smaller = size < info_of(io).size;
    return blk_resize(io->node, size, smaller ? BLK_SHRINK : flags, &err) ? 0 : io_complain(io, err);
}
