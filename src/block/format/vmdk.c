/*
 * vmdk.c - VMware's virtual disks.
 *
 * "Virtual Disk Format 5.0", VMware.  A text descriptor, in a file of its own or within the only extent, lists extents: flat
 * files, or sparse ones with tables of grains (vmdk_sparse.c).  Guest sectors go through the extents in turn.
 */
#include "block/format/vmdk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/iov.h"

enum { MOST_EXTENTS = 1024, MOST_DESCRIPTOR = 1 << 20 };

static bool vmdk_probe(const uint8_t *head, size_t n)
{
    static const char text[] = "# Disk DescriptorFile";
    if (n >= 4 && !memcmp(head, "KDMV", 4))
        return true;
    for (size_t i = 0; i + sizeof(text) <= n; i++) { /* after comments and empty lines */
        if (!memcmp(head + i, text, sizeof(text) - 1))
            return true;
        if (!g_ascii_isspace(head[i]) && head[i] != '#')
            return false;
    }
    return false;
}

/* ---- the descriptor */

/* The value of key=value or key="value"; NULL: none.  Caller frees. */
static char *descriptor_value(char **lines, const char *key)
{
    for (; *lines; lines++) {
        g_auto(GStrv) parts = g_strsplit(*lines, "=", 2);
        if (!parts[0] || !parts[1] || g_ascii_strcasecmp(g_strstrip(parts[0]), key))
            continue;
        char *value = g_strstrip(parts[1]);
        size_t n = strlen(value);
        return n >= 2 && *value == '"' && value[n - 1] == '"' ? g_strndup(value + 1, n - 2) : g_strdup(value);
    }
    return NULL;
}

typedef struct ExtentLine {
    char access[16], type[16], name[512];
    uint64_t sectors, first;
} ExtentLine;

/* RW 4192256 SPARSE "name.vmdk" [offset] */
static bool parse_extent(const char *line, ExtentLine *ret)
{
    *ret = (ExtentLine){ 0 };
    int n = sscanf(line, "%15s %" G_GINT64_MODIFIER "u %15s \"%511[^\"\n\r]\" %" G_GINT64_MODIFIER "u", ret->access, &ret->sectors, ret->type, ret->name, &ret->first);
    bool access = g_str_equal(ret->access, "RW") || g_str_equal(ret->access, "RDONLY") || g_str_equal(ret->access, "NOACCESS");
    return access && n >= 3;
}

/* None may name a file outside of its own directory. */
static BlkNode *open_extent_file(BlkNode *n, const ExtentLine *line, KeyVals *options, GError **err)
{
    Vmdk *v = n->state;
    g_autofree char *name = g_strdup_printf("extents.%u", v->n_extents - 1);
    if (!*line->name || strchr(line->name, '/') || g_str_equal(line->name, "..")) {
        error_set(err, ERR_DENIED, "cannot use vmdk image '%s': it names '%s', which is not a file beside it; move it there", n->filename, line->name);
        return NULL;
    }
    return blk_open_child(n, options, name, line->name, err);
}

static bool add_extent(BlkNode *n, const ExtentLine *line, KeyVals *options, GError **err)
{
    Vmdk *v = n->state;
    if (v->n_extents == MOST_EXTENTS || !line->sectors || line->sectors > (INT64_MAX >> 10) || line->first > (INT64_MAX >> 10))
        return error_set(err, ERR_INVALID, "cannot use vmdk image '%s': too many extents, or one of an impossible size", n->filename);
    VmdkExtent *e = &v->extent[v->n_extents++];
    *e = (VmdkExtent){ .start = n->size, .bytes = line->sectors * 512, .host = line->first * 512, .read_only = !g_str_equal(line->access, "RW") };
    n->size += e->bytes;
    if (g_str_equal(line->type, "ZERO"))
        return true;
    bool flat = g_str_equal(line->type, "FLAT") || g_str_equal(line->type, "VMFS");
    if (!flat && !g_str_equal(line->type, "SPARSE"))
        return error_set(err, ERR_UNSUPPORTED, "cannot use vmdk image '%s': extents of type %s are not supported", n->filename, line->type);
    e->file = open_extent_file(n, line, options, err);
    if (!e->file)
        return false;
    if (!flat)
        return (e->sparse = vmdk_sparse_open(n, e->file, NULL, err)) != NULL;
    bool fits = e->host <= e->file->size && e->bytes <= e->file->size - e->host;
    return fits || error_set(err, ERR_INVALID, "cannot use vmdk image '%s': extent '%s' is shorter than it says", n->filename, line->name);
}

static bool take_descriptor(BlkNode *n, const char *text, bool own_extent, KeyVals *options, GError **err)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *parent = descriptor_value(lines, "parentCID"), *hint = descriptor_value(lines, "parentFileNameHint");
    if (parent && hint && g_ascii_strcasecmp(parent, "ffffffff")) {
        n->backing_name = g_strdup(hint);
        n->backing_format = g_strdup("vmdk");
    }
    for (char **l = lines; *l && !own_extent; l++) {
        ExtentLine line;
        if (parse_extent(g_strstrip(*l), &line) && !add_extent(n, &line, options, err))
            return false;
    }
    Vmdk *v = n->state;
    return v->n_extents || own_extent || error_set(err, ERR_INVALID, "cannot use vmdk image '%s': its descriptor names no extents", n->filename);
}

/* ---- opening */

static bool open_own_sparse(BlkNode *n, KeyVals *options, GError **err)
{
    Vmdk *v = n->state;
    g_autofree char *text = NULL;
    VmdkExtent *e = &v->extent[0];
    e->sparse = vmdk_sparse_open(n, n->file, &text, err);
    if (!e->sparse)
        return false;
    v->n_extents = 1;
    n->size = e->bytes = vmdk_sparse_size(e->sparse);
    return take_descriptor(n, text, true, options, err);
}

static bool open_text(BlkNode *n, KeyVals *options, GError **err)
{
    if (n->file->size > MOST_DESCRIPTOR)
        return error_set(err, ERR_INVALID, "cannot use '%s' as a vmdk image: it is neither a sparse extent nor a descriptor", n->filename);
    g_autofree char *text = g_malloc0(n->file->size + 1);
    int status = blk_pread(n->file, 0, text, n->file->size);
    if (status)
        return error_set_errno(err, -status, "cannot read disk image '%s'", n->filename);
    return take_descriptor(n, text, false, options, err);
}

static bool vmdk_open(BlkNode *n, KeyVals *options, GError **err)
{
    Vmdk *v = n->state;
    uint8_t head[512] = { 0 };
    int status = blk_pread(n->file, 0, head, MIN(sizeof(head), n->file->size));
    v->extent = g_new0(VmdkExtent, MOST_EXTENTS);
    n->size = 0;
    if (status)
        return error_set_errno(err, -status, "cannot read disk image '%s'", n->filename);
    if (!vmdk_probe(head, sizeof(head)))
        return error_set(err, ERR_INVALID, "cannot use '%s' as a vmdk image: it has neither a VMDK head nor a descriptor", n->filename);
    return memcmp(head, "KDMV", 4) ? open_text(n, options, err) : open_own_sparse(n, options, err);
}

static void vmdk_close(BlkNode *n)
{
    Vmdk *v = n->state;
    for (unsigned i = 0; i < v->n_extents; i++) {
        vmdk_sparse_close(v->extent[i].sparse);
        blk_close(v->extent[i].file);
    }
    g_free(v->extent);
}

/* ---- requests: split at the borders of extents */

static VmdkExtent *extent_at(Vmdk *v, uint64_t off)
{
    unsigned i = 0;
    while (i + 1 < v->n_extents && off >= v->extent[i].start + v->extent[i].bytes)
        i++;
    return &v->extent[i];
}

static int extent_perform(VmdkExtent *e, BlkReq *r)
{
    if (e->read_only && r->op != BLK_READ && r->op != BLK_FLUSH)
        return -EROFS;
    if (e->sparse)
        return blockmap_perform(e->sparse, r);
    if (e->file)
        return blk_perform(e->file, r->op, r->flags & BLK_MAY_UNMAP, r->off + e->host, r->len, r->iov, r->niov);
    if (r->op == BLK_READ)
        iov_fill(r->iov, r->niov, 0, 0, r->len);
    return r->op == BLK_WRITE ? -EROFS : 0;
}

static int flush_all(Vmdk *v)
{
    int status = 0;
    for (unsigned i = 0; i < v->n_extents && !status; i++)
        status = extent_perform(&v->extent[i], &(BlkReq){ .op = BLK_FLUSH });
    return status;
}

static int vmdk_perform(BlkNode *n, BlkReq *r)
{
    Vmdk *v = n->state;
    g_autofree struct iovec *part = g_new(struct iovec, r->niov + 1);
    int status = 0;
    if (r->op == BLK_FLUSH)
        return flush_all(v);
    for (uint64_t done = 0, len; done < r->len && !status; done += len) {
        VmdkExtent *e = extent_at(v, r->off + done);
        uint64_t within = r->off + done - e->start;
        size_t bytes;
        len = MIN(r->len - done, e->bytes - within);
        unsigned pieces = iov_slice(r->iov, r->niov, done, len, part, r->niov, &bytes);
        status = extent_perform(e, &(BlkReq){ .op = r->op, .flags = r->flags, .off = within, .len = len, .iov = part, .niov = pieces });
    }
    return status;
}

static int vmdk_map(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret)
{
    VmdkExtent *e = extent_at(n->state, off);
    uint64_t within = off - e->start;
    ret->len = MIN(len, e->bytes - within);
    if (e->sparse)
        return blockmap_map(e->sparse, within, ret->len, ret);
    ret->zero = !e->file;
    ret->has_host = e->file && e->file == n->file;
    ret->host = e->host + within;
    return 0;
}

/* ---- creating */

const char *const vmdk_subformats[] = { "monolithicSparse", "streamOptimized", "monolithicFlat", NULL };
enum { SPARSE, STREAM, FLAT };
static const BlkOption vmdk_options[] = {
    { "size", BLK_SIZE, .doc = "bytes that the guest sees", .create = true },
    { "subformat", BLK_CHOICE, "monolithicSparse", "one growing file, one compressed file to be written once, or a descriptor beside a flat file",
      .choices = vmdk_subformats, .create = true },
    { "adapter_type", BLK_STRING, "ide", "ide, buslogic, lsilogic or legacyESX: what the descriptor says", .create = true },
    { "hwversion", BLK_STRING, "4", "of the virtual hardware: what the descriptor says", .create = true },
    { "compat6", BLK_BOOL, "off", "the same as hwversion=6", .create = true },
    { "toolsversion", BLK_STRING, "2147483647", "of the guest's tools: what the descriptor says", .create = true },
    { "zeroed_grain", BLK_BOOL, "off", "zeros that are written take no room (monolithicSparse)", .create = true },
    { "backing_file", BLK_STRING, .doc = "vmdk image with what is not written here (monolithicSparse)", .create = true },
    { "backing_fmt", BLK_STRING, .doc = "its format, which must be vmdk", .create = true },
    { 0 },
};

typedef struct NewVmdk {
    uint64_t size;
    unsigned subformat;
    const char *adapter, *hwversion, *toolsversion, *backing;
    bool zeroed_grain;
    uint32_t parent; /* CID of the backing image */
} NewVmdk;

static char *descriptor(const NewVmdk *c, const char *extent)
{
    unsigned heads = g_str_equal(c->adapter, "ide") ? 16 : 255;
    g_autofree char *hint = c->backing ? g_strdup_printf("parentFileNameHint=\"%s\"\n", c->backing) : g_strdup("");
    return g_strdup_printf("# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\ncreateType=\"%s\"\n%s\n# Extent description\n%s\n\n"
                           "# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"%s\"\nddb.geometry.cylinders = \"%" G_GUINT64_FORMAT "\"\n"
                           "ddb.geometry.heads = \"%u\"\nddb.geometry.sectors = \"63\"\nddb.adapterType = \"%s\"\nddb.toolsVersion = \"%s\"\n",
                           g_random_int() & 0xfffffffe, c->parent, vmdk_subformats[c->subformat], hint, extent, c->hwversion, c->size / 512 / 63 / heads,
                           heads, c->adapter, c->toolsversion);
}

/* The identity of the backing image's contents, from its descriptor, which stands in the file's first sectors. */
static bool read_parent(const BlkNode *file, NewVmdk *c, GError **err)
{
    enum { HEAD = 64 << 10 };
    g_autofree char *path = NULL, *text = g_malloc0(HEAD + 1);
    if (!c->backing)
        return true;
    path = blk_path_from(file, c->backing);
    BlkNode *base = blk_open(&(BlkOpenOptions){ .filename = path, .format = "raw", .read_only = true, .env = file->env }, err);
    if (!base)
        return false;
    int status = blk_pread(base, 0, text, MIN(base->size, HEAD));
    blk_close(base);
    const char *at = status ? NULL : memmem(text, HEAD, "\nCID=", 5);
    c->parent = at ? (uint32_t)g_ascii_strtoull(at + 5, NULL, 16) : 0;
    return at || error_set(err, ERR_INVALID, "cannot use '%s' as backing_file of a vmdk image: it has no descriptor of one", path);
}

/* disk.vmdk: its data go to disk-flat.vmdk. */
static bool create_flat(BlkNode *file, uint64_t size, char **ret_extent, GError **err)
{
    g_autofree char *base = g_path_get_basename(file->filename), *directory = g_path_get_dirname(file->filename);
    if (g_str_has_suffix(base, ".vmdk"))
        base[strlen(base) - strlen(".vmdk")] = 0;
    g_autofree char *name = g_strconcat(base, "-flat.vmdk", NULL), *path = g_build_filename(directory, name, NULL);
    g_autofree char *raw_size = g_strdup_printf("size=%" G_GUINT64_FORMAT, size);
    *ret_extent = g_strdup_printf("RW %" G_GUINT64_FORMAT " FLAT \"%s\" 0", size / 512, name);
    return blk_create("raw", path, raw_size, file->env, err);
}

static bool known_adapter(const char *adapter, GError **err)
{
    static const char *const known[] = { "ide", "buslogic", "lsilogic", "legacyESX", NULL };
    return g_strv_contains(known, adapter) || error_set(err, ERR_INVALID, "adapter_type '%s' is none of ide, buslogic, lsilogic, legacyESX", adapter);
}

static bool may_stand_in_descriptor(const char *text) { return !strpbrk(text, "\"\n"); }

static bool take_options(NewVmdk *c, KeyVals *options, GError **err)
{
    bool compat6 = false;
    const char *adapter = keyvals_take(options, "adapter_type"), *hw = keyvals_take(options, "hwversion"), *tools = keyvals_take(options, "toolsversion");
    const char *format = keyvals_take(options, "backing_fmt");
    c->backing = keyvals_take(options, "backing_file");
    if (!keyvals_take_number(options, "size", 0, 62ull << 40, &c->size, err) || !keyvals_take_choice(options, "subformat", vmdk_subformats, &c->subformat, err) ||
        !keyvals_take_bool(options, "compat6", &compat6, err) || !keyvals_take_bool(options, "zeroed_grain", &c->zeroed_grain, err) || !keyvals_end(options, err))
        return false;
    c->size = (c->size + 511) & -512ull;
    c->adapter = adapter ? adapter : "ide";
    c->hwversion = hw ? hw : compat6 ? "6" : "4";
    c->toolsversion = tools ? tools : "2147483647";
    if (compat6 && hw)
        return error_set(err, ERR_INVALID, "compat6 and hwversion say the same: give one of them");
    if (format && !g_str_equal(format, "vmdk"))
        return error_set(err, ERR_INVALID, "backing_fmt=%s: a vmdk image can stand on another vmdk image only", format);
    if ((c->backing || c->zeroed_grain) && c->subformat != SPARSE)
        return error_set(err, ERR_INVALID, "%s needs subformat=monolithicSparse", c->backing ? "backing_file" : "zeroed_grain");
    if (!may_stand_in_descriptor(c->hwversion) || !may_stand_in_descriptor(c->toolsversion) || (c->backing && !may_stand_in_descriptor(c->backing)))
        return error_set(err, ERR_INVALID, "hwversion, toolsversion and backing_file stand in the descriptor, which cannot hold a quote or a line break");
    return known_adapter(c->adapter, err);
}

static bool vmdk_create(BlkNode *file, KeyVals *options, GError **err)
{
    NewVmdk c = { .subformat = SPARSE, .parent = ~0u };
    if (!take_options(&c, options, err) || !read_parent(file, &c, err))
        return false;
    g_autofree char *base = g_path_get_basename(file->filename), *extent = NULL;
    if (!may_stand_in_descriptor(base))
        return error_set(err, ERR_INVALID, "cannot create vmdk image '%s': its name has a quote or a line break, which its descriptor cannot hold", file->filename);
    if (c.subformat != FLAT)
        extent = g_strdup_printf("RW %" G_GUINT64_FORMAT " SPARSE \"%s\"", c.size / 512, base);
    else if (!create_flat(file, c.size, &extent, err))
        return false;
    g_autofree char *text = descriptor(&c, extent);
    if (c.subformat == FLAT)
        return blockmap_put(file, 0, text, strlen(text), err);
    return vmdk_sparse_create(file, c.size, text, c.subformat == STREAM ? VMDK_STREAM : c.zeroed_grain ? VMDK_ZERO_GRAINS : 0, err);
}

const BlkDriver vmdk_driver = {
    .name = "vmdk",
    .summary = "VMware's images",
    .kind = BLK_FORMAT,
    .state_bytes = sizeof(Vmdk),
    .grows_file = true,
    .options = vmdk_options,
    .probe = vmdk_probe,
    .create = vmdk_create,
    .open = vmdk_open,
    .close = vmdk_close,
    .perform = vmdk_perform,
    .map = vmdk_map,
};
