/* volume.c - commands: volumes of pools. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/cli.h"
#include "tools/cli/rows.h"

/* virStorageVolType */
static const char *const types[] = { "file", "block", "dir", "network", "netdir", "ploop" };
static const char *type_text(int type) { return type >= 0 && type < (int)G_N_ELEMENTS(types) ? types[type] : "unknown"; }

static bool volume_info(gpointer v, int *type, guint64 *capacity, guint64 *allocation, GError **err)
{
    g_autoptr(GVariant) info = atoll_volume_get_info_sync(v, NULL, err);
    if (info)
        g_variant_get(info, "(itt)", type, capacity, allocation);
    return info;
}

static int by_name(gconstpointer a, gconstpointer b) { return g_ascii_strcasecmp(name_of(*(gpointer *)a), name_of(*(gpointer *)b)); }

static char *sized(guint64 bytes)
{
    double value;
    const char *unit = pretty_size(bytes, &value);
    return g_strdup_printf("%.2lf %s", value, unit);
}

static bool run_vol_list(Cli *c, GError **err)
{
    g_autoptr(AtollPool) p = cli_pool(c, "pool", err);
    g_autoptr(GPtrArray) list = p ? atoll_pool_list_volumes_sync(p, 0, NULL, err) : NULL;
    bool details = arg_given(c, "details");
    if (!list) {
        if (p)
            cli_headline(c, "Failed to list volumes");
        return false;
    }
    g_ptr_array_sort(list, by_name);
    Table *t = details ? table_new("Name", "Path", "Type", "Capacity", "Allocation", NULL) : table_new("Name", "Path", NULL);
    for (guint i = 0; i < list->len; i++) {
        AtollVolume *v = list->pdata[i];
        g_autofree char *path = atoll_volume_get_path_sync(v, NULL, NULL);
        guint64 capacity = 0, allocation = 0;
        int type = 0;
        if (!details) {
            table_row(t, name_of(v), path ? path : "-", NULL);
            continue;
        }
        volume_info(v, &type, &capacity, &allocation, NULL);
        g_autofree char *a = sized(capacity), *b = sized(allocation);
        table_row(t, name_of(v), path ? path : "-", type_text(type), a, b, NULL);
    }
    table_print(c, t);
    return true;
}

static bool run_vol_info(Cli *c, GError **err)
{
    enum { W = 15 };
    int type;
    guint64 capacity, allocation;
    g_autoptr(AtollVolume) v = cli_volume(c, "vol", "pool", err);
    if (!v || !volume_info(v, &type, &capacity, &allocation, err))
        return false;
    out_pair(c, W, "Name", "%s", name_of(v));
    out_pair(c, W, "Type", "%s", type_text(type));
    out_size(c, W, "Capacity", capacity, arg_given(c, "bytes"));
    out_size(c, W, arg_given(c, "physical") ? "Physical" : "Allocation", allocation, arg_given(c, "bytes"));
    return true;
}

static bool run_vol_path(Cli *c, GError **err)
{
    g_autoptr(AtollVolume) v = cli_volume(c, "vol", "pool", err);
    g_autofree char *path = v ? atoll_volume_get_path_sync(v, NULL, err) : NULL;
    if (path)
        out_line(c, "path", "%s", path);
    return path;
}

static bool run_vol_pool(Cli *c, GError **err)
{
    g_autoptr(AtollVolume) v = cli_volume(c, "vol", "pool", err);
    g_autoptr(AtollPool) p = v ? atoll_volume_find_pool_sync(v, NULL, err) : NULL;
    if (p)
        out_line(c, "pool", "%s", arg_given(c, "uuid") ? key_of(p) : name_of(p));
    return p;
}

static bool run_vol_create(Cli *c, GError **err)
{
    g_autofree char *xml = NULL;
    g_autoptr(AtollPool) p = cli_pool(c, "pool", err);
    if (!p || !arg_file(c, "file", &xml, err))
        return false;
    g_autoptr(AtollVolume) v = atoll_pool_create_volume_sync(p, xml, arg_bits(c), NULL, err);
    if (v)
        out_message(c, "Vol %s created from %s", name_of(v), arg_text(c, "file"));
    else
        cli_headline(c, "Failed to create vol from %s", arg_text(c, "file"));
    return v;
}

static bool run_vol_create_as(Cli *c, GError **err)
{
    guint64 capacity = 0, allocation = 0;
    g_autofree char *backing_path = NULL;
    g_autoptr(AtollPool) p = cli_pool(c, "pool", err);
    if (!p)
        return false;
    if (!arg_size(c, "capacity", 1, &capacity, err) || !arg_size(c, "allocation", 1, &allocation, err)) {
        cli_headline(c, "Malformed size %s", arg_text(c, "capacity"));
        return false;
    }
    g_autoptr(GString) s = g_string_new("<volume>\n");
    g_autofree char *name = g_markup_escape_text(arg_text(c, "name"), -1);
    g_string_append_printf(s, "  <name>%s</name>\n  <capacity>%" G_GUINT64_FORMAT "</capacity>\n", name, capacity);
    if (arg_given(c, "allocation"))
        g_string_append_printf(s, "  <allocation>%" G_GUINT64_FORMAT "</allocation>\n", allocation);
    if (arg_given(c, "format")) {
        g_autofree char *format = g_markup_escape_text(arg_text(c, "format"), -1);
        g_string_append_printf(s, "  <target>\n    <format type='%s'/>\n  </target>\n", format);
    }
    if (arg_given(c, "backing-vol")) {
        g_autoptr(AtollVolume) b = atoll_pool_find_volume_sync(p, arg_text(c, "backing-vol"), NULL, NULL);
        if (!b)
            b = atoll_connection_find_volume_by_key_sync(c->connection, arg_text(c, "backing-vol"), NULL, NULL);
        if (!b && !(b = atoll_connection_find_volume_by_path_sync(c->connection, arg_text(c, "backing-vol"), NULL, err))) {
            cli_headline(c, "failed to get vol '%s'", arg_text(c, "backing-vol"));
            return false;
        }
        if (!(backing_path = atoll_volume_get_path_sync(b, NULL, err)))
            return false;
        g_autofree char *path = g_markup_escape_text(backing_path, -1);
        g_string_append_printf(s, "  <backingStore>\n    <path>%s</path>\n", path);
        if (arg_given(c, "backing-vol-format")) {
            g_autofree char *format = g_markup_escape_text(arg_text(c, "backing-vol-format"), -1);
            g_string_append_printf(s, "    <format type='%s'/>\n", format);
        }
        g_string_append(s, "  </backingStore>\n");
    }
    g_string_append(s, "</volume>\n");
    if (arg_given(c, "print-xml")) {
        out_text(c, "xml", s->str);
        return true;
    }
    g_autoptr(AtollVolume) v = atoll_pool_create_volume_sync(p, s->str, arg_bits(c), NULL, err);
    if (v)
        out_message(c, "Vol %s created", name_of(v));
    else
        cli_headline(c, "Failed to create vol %s", arg_text(c, "name"));
    return v;
}

/* The description of one with another's name, and without what was its own. */
static char *renamed(const char *xml, const char *name)
{
    g_autofree char *safe = g_markup_escape_text(name, -1), *element = g_strdup_printf("<name>%s</name>", safe);
    g_autoptr(GRegex) names = g_regex_new("<name>[^<]*</name>", 0, 0, NULL), own = g_regex_new("\\s*<(key|path)>[^<]*</(key|path)>", 0, 0, NULL);
    g_autofree char *first = g_regex_replace_literal(names, xml, -1, 0, element, 0, NULL);
    const char *backing = strstr(first, "<backingStore>");
    g_autofree char *head = backing ? g_strndup(first, backing - first) : g_strdup(first), *clean = g_regex_replace_literal(own, head, -1, 0, "", 0, NULL);
    return g_strconcat(clean, backing, NULL);
}

static bool run_vol_clone(Cli *c, GError **err)
{
    g_autoptr(AtollVolume) v = cli_volume(c, "vol", "pool", err);
    g_autoptr(AtollPool) p = v ? atoll_volume_find_pool_sync(v, NULL, err) : NULL;
    g_autofree char *xml = p ? atoll_volume_get_xml_sync(v, 0, NULL, err) : NULL;
    if (!xml)
        return false;
    g_autofree char *text = renamed(xml, arg_text(c, "newname"));
    if (arg_given(c, "print-xml")) {
        out_text(c, "xml", text);
        return true;
    }
    g_autoptr(AtollVolume) made = atoll_pool_clone_volume_sync(p, text, v, arg_bits(c), NULL, err);
    if (made)
        out_message(c, "Vol %s cloned from %s", name_of(made), name_of(v));
    else
        cli_headline(c, "Failed to clone vol from %s", name_of(v));
    return made;
}

static bool run_vol_wipe(Cli *c, GError **err)
{
    g_autoptr(AtollVolume) v = cli_volume(c, "vol", "pool", err);
    if (!v)
        return false;
    bool ok = atoll_volume_wipe_sync(v, 0, NULL, err);
    if (ok)
        out_message(c, "Vol %s wiped", name_of(v));
    else
        cli_headline(c, "Failed to wipe vol %s", name_of(v));
    return ok;
}

static bool run_vol_resize(Cli *c, GError **err)
{
    guint64 capacity = 0;
    g_autoptr(AtollVolume) v = cli_volume(c, "vol", "pool", err);
    if (!v || !arg_size(c, "capacity", 1, &capacity, err))
        return false;
    bool delta = arg_given(c, "delta");
    if (atoll_volume_resize_sync(v, capacity, arg_bits(c), NULL, err)) {
        out_message(c, delta ? "Size of volume '%s' successfully changed by %s" : "Size of volume '%s' successfully changed to %s", name_of(v), arg_text(c, "capacity"));
        return true;
    }
    cli_headline(c, delta ? "Failed to change size of volume '%s' by %s" : "Failed to change size of volume '%s' to %s", name_of(v), arg_text(c, "capacity"));
    return false;
}

/* ---- data */

static bool send_file(AtollStream *s, int fd, GError **err)
{
    g_autofree char *text = g_malloc(256 << 10);
    for (ssize_t n; (n = read(fd, text, 256 << 10));) {
        if (n < 0)
            return cli_error(err, "cannot read the file: %s", g_strerror(errno));
        g_autoptr(GBytes) bytes = g_bytes_new(text, n);
        if (!atoll_stream_send_sync(s, bytes, NULL, err))
            return false;
    }
    return true;
}

static bool receive_file(AtollStream *s, int fd, GError **err)
{
    for (;;) {
        gsize n;
        g_autoptr(GBytes) bytes = atoll_stream_receive_sync(s, NULL, err);
        const char *at = bytes ? g_bytes_get_data(bytes, &n) : NULL;
        if (!bytes || !n)
            return bytes;
        for (ssize_t done; n; at += done, n -= done)
            if ((done = write(fd, at, n)) < 0)
                return cli_error(err, "cannot write the file: %s", g_strerror(errno));
    }
}

static bool run_vol_data(Cli *c, GError **err)
{
    bool up = !strcmp(c->command->name, "vol-upload");
    const char *path = arg_text(c, "file");
    guint64 offset = 0, length = 0;
    g_autoptr(AtollVolume) v = cli_volume(c, "vol", "pool", err);
    if (!v || !arg_size(c, "offset", 1, &offset, err) || !arg_size(c, "length", 1, &length, err))
        return false;
    int fd = up ? open(path, O_RDONLY | O_CLOEXEC) : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return cli_error(err, "cannot open %s: %s", path, g_strerror(errno));
    GVariant *args = g_variant_new("(@(sss)ttu)", atoll_object_get_handle(ATOLL_OBJECT(v)), offset, length, 0);
    g_autoptr(AtollStream) s = atoll_connection_open_stream_sync(c->connection, up ? "STORAGE_VOL_UPLOAD" : "STORAGE_VOL_DOWNLOAD", args, NULL, err);
    bool ok = s && (up ? send_file(s, fd, err) : receive_file(s, fd, err)) && atoll_stream_finish_sync(s, NULL, err);
    if (!ok)
        cli_headline(c, up ? "cannot upload to volume %s" : "cannot download from volume %s", name_of(v));
    if (close(fd) && ok)
        ok = cli_error(err, "cannot close %s: %s", path, g_strerror(errno));
    return ok;
}

#define DATA_ARGS VOLUME_ARG, { "file", ARG_FILE, ARG_REQUIRED, "file" }, IN_POOL, { "offset", ARG_SIZE, ARG_NAMED, "volume offset" }, { "length", ARG_SIZE, ARG_NAMED, "amount of data" }, \
    { "sparse", ARG_FLAG, 0, "preserve sparseness of volume" }
#define ANYWHERE { "pool", ARG_POOL, 0, "pool name or uuid" }

const Command volume_commands[] = {
    { "vol-clone", "clone a volume.",
      ARGS(VOLUME_ARG, { "newname", ARG_TEXT, ARG_REQUIRED, "clone name" }, IN_POOL, { "prealloc-metadata", ARG_FLAG, 0, "preallocate metadata (for qcow2 instead of full allocation)", 1 },
           { "reflink", ARG_FLAG, 0, "use btrfs COW lightweight copy", 2 }, { "print-xml", ARG_FLAG, 0, "print XML document, but don't define/create" }),
      run_vol_clone },
    { "vol-create", "create a vol from an XML file",
      ARGS({ "pool", ARG_POOL, ARG_REQUIRED, "pool name" }, FILE_ARG, { "prealloc-metadata", ARG_FLAG, 0, "preallocate metadata (for qcow2 instead of full allocation)", 1 }), run_vol_create },
    { "vol-create-as", "create a volume from a set of args",
      ARGS({ "pool", ARG_POOL, ARG_REQUIRED, "pool name" }, { "name", ARG_TEXT, ARG_REQUIRED, "name of the volume" },
           { "capacity", ARG_SIZE, ARG_REQUIRED, "size of the vol, as scaled integer (default bytes)" }, { "allocation", ARG_SIZE, 0, "initial allocation size, as scaled integer (default bytes)" },
           { "format", ARG_TEXT, 0, "file format type raw,bochs,qcow,qcow2,qed,vmdk" }, { "backing-vol", ARG_TEXT, 0, "the backing volume if taking a snapshot" },
           { "backing-vol-format", ARG_TEXT, 0, "format of backing volume if taking a snapshot" },
           { "prealloc-metadata", ARG_FLAG, 0, "preallocate metadata (for qcow2 instead of full allocation)", 1 }, { "print-xml", ARG_FLAG, 0, "print XML document, but don't define/create" }),
      run_vol_create_as },
    { "vol-delete", "delete a vol", ARGS(VOLUME_ARG, ANYWHERE, { "delete-snapshots", ARG_FLAG, 0, "delete snapshots associated with volume", 2 }), NULL,
      { "STORAGE_VOL_DELETE", "Vol %s deleted", "Failed to delete vol %s", true } },
    { "vol-download", "download volume contents to a file", ARGS(DATA_ARGS), run_vol_data },
    { "vol-dumpxml", "vol information in XML", ARGS(VOLUME_ARG, ANYWHERE, XPATH_ARGS), run_dumpxml },
    { "vol-info", "storage vol information", ARGS(VOLUME_ARG, ANYWHERE, BYTES_FLAG, { "physical", ARG_FLAG, 0, "return the physical size of the volume in allocation field" }), run_vol_info },
    { "vol-key", "returns the volume key for a given volume name or path", ARGS(VOLUME_ARG, ANYWHERE), run_uuid },
    { "vol-list", "list vols", ARGS(POOL_ARG, { "details", ARG_FLAG, 0, "display extended details for volumes" }), run_vol_list },
    { "vol-name", "returns the volume name for a given volume key or path", ARGS({ "vol", ARG_VOLUME, ARG_REQUIRED, "volume key or path" }), run_name },
    { "vol-path", "returns the volume path for a given volume name or key", ARGS(VOLUME_ARG, ANYWHERE), run_vol_path },
    { "vol-pool", "returns the storage pool for a given volume key or path", ARGS({ "vol", ARG_VOLUME, ARG_REQUIRED, "volume key or path" }, { "uuid", ARG_FLAG, 0, "return the pool uuid rather than pool name" }), run_vol_pool },
    { "vol-resize", "resize a vol",
      ARGS(VOLUME_ARG, { "capacity", ARG_SIZE, ARG_REQUIRED, "new capacity for the vol, as scaled integer (default bytes)" }, ANYWHERE,
           { "allocate", ARG_FLAG, 0, "allocate the new capacity, rather than leaving it sparse", 1 }, { "delta", ARG_FLAG, 0, "use capacity as a delta to current size, rather than the new size", 2 },
           { "shrink", ARG_FLAG, 0, "allow the resize to shrink the volume", 4 }),
      run_vol_resize },
    { "vol-upload", "upload file contents to a volume", ARGS(DATA_ARGS), run_vol_data },
    { "vol-wipe", "wipe a vol", ARGS(VOLUME_ARG, ANYWHERE, { "algorithm", ARG_TEXT, 0, "perform selected wiping algorithm" }), run_vol_wipe },
    { NULL },
};
