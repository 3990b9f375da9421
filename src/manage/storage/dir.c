/* dir.c - a pool that is a folder: each file in it is a volume. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/be.h"
#include "base/error.h"
#include "manage/storage/store.h"
#include "manage/storage/tools.h"

enum { WIPE_CHUNK = 1 << 20 };

#define RUN(out, cancel, err, ...) tool_run((const char *const[]){ __VA_ARGS__, NULL }, NULL, out, cancel, err)

/* ---- what a file is */
static Permissions *permissions_of(const struct stat *st)
{
    Permissions *p = record_new(record_field(&volume_type, "permissions")->record);
    p->mode = g_strdup_printf("%04o", st->st_mode & 07777);
    p->owner = g_strdup_printf("%u", st->st_uid);
    p->group = g_strdup_printf("%u", st->st_gid);
    return p;
}

static char *time_of(const struct timespec *t) { return g_strdup_printf("%" PRId64 ".%09ld", (int64_t)t->tv_sec, t->tv_nsec); }

static void set_encrypted(Volume *v)
{
    v->encryption = record_new(&encryption_record);
    v->encryption->format = g_strdup("luks");
}

/* Raw bytes behind a LUKS header, which atoll-img opens with the passphrase only: where they begin is said at 104, in sectors. */
static void take_luks(Volume *v)
{
    enum { OFFSET_AT = 104, HEAD_BYTES = 108, SECTOR = 512 };
    uint8_t head[HEAD_BYTES];
    int fd = open(v->path, O_RDONLY | O_CLOEXEC);
    bool luks = fd >= 0 && pread(fd, head, sizeof head, 0) == sizeof head && !memcmp(head, "LUKS\xba\xbe\0\1", 8);
    if (fd >= 0)
        close(fd);
    if (!luks)
        return;
    set_encrypted(v);
    v->capacity -= MIN(v->capacity, be_get(head + OFFSET_AT, 4) * SECTOR);
}

static void take_info(Volume *v, JsonObject *o)
{
    v->capacity = json_object_get_int_member_with_default(o, "virtual-size", v->physical);
    v->format = g_strdup(json_object_get_string_member_with_default(o, "format", "raw"));
    if (json_object_get_boolean_member_with_default(o, "encrypted", FALSE))
        set_encrypted(v);
    const char *backing = json_object_get_string_member_with_default(o, "full-backing-filename", json_object_get_string_member_with_default(o, "backing-filename", NULL));
    if (backing) {
        v->backing = record_new(record_field(&volume_type, "backing")->record);
        v->backing->path = g_strdup(backing);
        v->backing->format = g_strdup(json_object_get_string_member_with_default(o, "backing-filename-format", NULL));
    }
}

Volume *volume_probe(const char *tool, const char *path, GError **err)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        error_set_errno(err, errno, "'%s'", path);
        return NULL;
    }
    Volume *v = record_new(&volume_type);
    v->name = g_path_get_basename(path);
    v->path = g_strdup(path);
    v->key = g_strdup(path);
    v->type = 1;
    v->allocation = (uint64_t)st.st_blocks * 512;
    v->physical = v->capacity = st.st_size;
    v->permissions = permissions_of(&st);
    v->atime = time_of(&st.st_atim);
    v->mtime = time_of(&st.st_mtim);
    v->ctime = time_of(&st.st_ctim);
    g_autofree char *out = NULL;
    g_autoptr(JsonNode) info = RUN(&out, NULL, NULL, tool, "info", "-U", "--output=json", path) ? json_from_string(out, NULL) : NULL;
    if (info && JSON_NODE_HOLDS_OBJECT(info))
        take_info(v, json_node_get_object(info));
    else
        v->format = g_strdup("raw"); /* as bytes it can be had, whatever it is */
    if (!info)
        take_luks(v);
    return v;
}

/* ---- the folder */
static bool dir_build(const Pool *p, GError **err)
{
    int mode = p->permissions && p->permissions->mode ? (int)strtol(p->permissions->mode, NULL, 8) : 0711;
    return !g_mkdir_with_parents(p->target, mode) || error_set_errno(err, errno, "cannot make the folder '%s'", p->target);
}

static bool dir_start(const Pool *p, GError **err)
{
    if (g_file_test(p->target, G_FILE_TEST_IS_DIR))
        return true;
    return error_set(err, ERR_NOT_FOUND, "cannot open directory '%s': there is none; `pool-build %s` makes it", p->target, p->name);
}

static bool dir_delete(const Pool *p, GError **err) { return !g_rmdir(p->target) || error_set_errno(err, errno, "cannot remove '%s'", p->target); }

static bool dir_refresh(Pool *p, const char *tool, GPtrArray **ret, GError **err)
{
    g_autoptr(GDir) dir = g_dir_open(p->target, 0, err);
    struct statvfs fs;
    if (!dir)
        return false;
    *ret = g_ptr_array_new_with_free_func(record_free);
    for (const char *name; (name = g_dir_read_name(dir));) {
        g_autofree char *path = g_build_filename(p->target, name, NULL);
        struct stat st;
        if (*name == '.' || stat(path, &st) < 0 || !S_ISREG(st.st_mode) || !g_utf8_validate(name, -1, NULL))
            continue;
        Volume *v = volume_probe(tool, path, NULL);
        if (v)
            g_ptr_array_add(*ret, v);
    }
    if (!statvfs(p->target, &fs)) {
        p->capacity = (uint64_t)fs.f_frsize * fs.f_blocks;
        p->available = (uint64_t)fs.f_frsize * fs.f_bavail;
        p->allocation = p->capacity - p->available;
    }
    return true;
}

/* ---- volumes */
static const char *tool_format(const Volume *v) { return v->encryption && !strcmp(v->format, "raw") ? "luks" : v->format; }

/* The passphrase comes down a pipe: neither the command line nor a file holds it. */
static void add_secret(GPtrArray *argv, const char *secret)
{
    if (!secret)
        return;
    g_ptr_array_add(argv, "--object");
    g_ptr_array_add(argv, "secret,id=s0,format=base64,file=/dev/stdin");
}

static char *create_options(const Volume *v)
{
    GString *s = g_string_new(NULL);
    if (v->compat)
        g_string_append_printf(s, ",compat=%s", v->compat);
    if (v->cluster_size != RECORD_NONE)
        g_string_append_printf(s, ",cluster_size=%" PRIu64, v->cluster_size);
    if (v->lazy_refcounts)
        g_string_append(s, ",lazy_refcounts=on");
    if (v->extended_l2)
        g_string_append(s, ",extended_l2=on");
    if (v->encryption)
        g_string_append(s, strcmp(v->format, "raw") ? ",encrypt.format=luks,encrypt.key-secret=s0" : ",key-secret=s0");
    else if (!strcmp(v->format, "raw") && v->allocation != RECORD_NONE && v->allocation >= v->capacity && v->capacity)
        g_string_append(s, ",preallocation=falloc");
    return g_string_free(s, FALSE);
}

static bool create_image(const char *tool, const Volume *v, const char *secret, GError **err)
{
    g_autofree char *options = create_options(v), *size = g_strdup_printf("%" PRIu64, v->capacity);
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    const char *const head[] = { tool, "create", "-q", "-f", tool_format(v) };
    for (unsigned i = 0; i < G_N_ELEMENTS(head); i++)
        g_ptr_array_add(argv, (char *)head[i]);
    add_secret(argv, secret);
    if (*options) {
        g_ptr_array_add(argv, "-o");
        g_ptr_array_add(argv, options + 1);
    }
    if (v->backing) {
        g_ptr_array_add(argv, "-b");
        g_ptr_array_add(argv, v->backing->path);
        g_ptr_array_add(argv, "-F");
        g_ptr_array_add(argv, v->backing->format ? v->backing->format : "raw");
    }
    g_ptr_array_add(argv, v->path);
    if (v->capacity != RECORD_NONE)
        g_ptr_array_add(argv, size);
    g_ptr_array_add(argv, NULL);
    return tool_run((const char *const *)argv->pdata, secret, NULL, NULL, err);
}

static bool convert(const char *tool, const Volume *v, const Volume *from, const char *secret, GCancellable *cancel, GError **err)
{
    g_autofree char *options = create_options(v);
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    const char *const head[] = { tool, "convert", "-q", "-f", from->format, "-O", tool_format(v) };
    for (unsigned i = 0; i < G_N_ELEMENTS(head); i++)
        g_ptr_array_add(argv, (char *)head[i]);
    add_secret(argv, secret);
    if (v->encryption) {
        g_ptr_array_add(argv, "-o");
        g_ptr_array_add(argv, options + 1);
    }
    g_ptr_array_add(argv, from->path);
    g_ptr_array_add(argv, v->path);
    g_ptr_array_add(argv, NULL);
    return tool_run((const char *const *)argv->pdata, secret, NULL, cancel, err);
}

static bool copy_image(const char *tool, const Volume *v, const Volume *from, const char *secret, GCancellable *cancel, GError **err)
{
    if (from->encryption && strcmp(from->format, "raw"))
        return error_set(err, ERR_UNSUPPORTED, "volume '%s' is encrypted: `atoll-img convert` copies it, with --object secret", from->name);
    if ((v->encryption || from->encryption) && v->capacity != RECORD_NONE && v->capacity > from->capacity)
        return error_set(err, ERR_UNSUPPORTED, "volume '%s': an encrypted copy is as large as what it is made of, %" PRIu64 " bytes", v->name, from->capacity);
    if (!convert(tool, v, from, secret, cancel, err))
        return false;
    g_autofree char *size = g_strdup_printf("%" PRIu64, v->capacity);
    return v->capacity == RECORD_NONE || v->capacity <= from->capacity || RUN(NULL, cancel, err, tool, "resize", "-q", "-f", v->format, v->path, size);
}

static bool set_permissions(const Volume *v, GError **err)
{
    int mode = v->permissions && v->permissions->mode ? (int)strtol(v->permissions->mode, NULL, 8) : 0600;
    return !chmod(v->path, mode) || error_set_errno(err, errno, "cannot set the mode of '%s'", v->path);
}

/* The name is taken before the image is made, so that two cannot make it, and what is there is never touched. */
static bool reserve(const char *path, GError **err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot make '%s'", path);
    close(fd);
    return true;
}

static bool dir_create(const Pool *p, const char *tool, Volume *v, const Volume *from, const char *secret, GCancellable *cancel, GError **err)
{
    g_free(v->path);
    g_free(v->key);
    v->path = g_build_filename(p->target, v->name, NULL);
    v->key = g_strdup(v->path);
    if (!v->format)
        v->format = g_strdup("raw");
    if (!reserve(v->path, err))
        return false;
    if ((from ? copy_image(tool, v, from, secret, cancel, err) : create_image(tool, v, secret, err)) && set_permissions(v, err))
        return true;
    g_unlink(v->path);
    return false;
}

static bool dir_remove(const Pool *p, const Volume *v, GError **err) { return !g_unlink(v->path) || error_set_errno(err, errno, "cannot remove '%s'", v->path); }

static bool dir_resize(const Pool *p, const char *tool, const Volume *v, uint64_t bytes, GError **err)
{
    g_autofree char *size = g_strdup_printf("%" PRIu64, bytes);
    if (bytes < v->capacity)
        return RUN(NULL, NULL, err, tool, "resize", "-q", "--shrink", "-f", v->format, v->path, size);
    return RUN(NULL, NULL, err, tool, "resize", "-q", "-f", v->format, v->path, size);
}

static bool zero_fill(int fd, uint64_t bytes, GCancellable *cancel, GError **err)
{
    g_autofree char *zeros = g_malloc0(WIPE_CHUNK);
    while (bytes && !g_cancellable_set_error_if_cancelled(cancel, err)) {
        ssize_t n = write(fd, zeros, MIN(bytes, (uint64_t)WIPE_CHUNK));
        if (n < 0 && errno != EINTR)
            return error_set_errno(err, errno, "cannot write zeros");
        bytes -= MAX(n, 0);
    }
    if (fsync(fd) < 0)
        return error_set_errno(err, errno, "cannot flush zeros");
    return !bytes;
}

bool store_wipe(const Pool *p, const Volume *v, GCancellable *cancel, GError **err)
{
    int fd = open(v->path, O_WRONLY | O_CLOEXEC);
    off_t bytes = fd < 0 ? -1 : lseek(fd, 0, SEEK_END); /* of a device too */
    bool ok = bytes >= 0 && lseek(fd, 0, SEEK_SET) == 0;
    if (!ok)
        error_set_errno(err, errno, "cannot open '%s'", v->path);
    ok = ok && zero_fill(fd, bytes, cancel, err);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* ---- the same folder, with what is mounted there */
static bool is_mount(const char *path)
{
    struct stat here, above;
    g_autofree char *parent = g_build_filename(path, "..", NULL);
    return !stat(path, &here) && !stat(parent, &above) && here.st_dev != above.st_dev;
}

static bool mount_start(const Pool *p, GError **err)
{
    return dir_start(p, err) && (is_mount(p->target) || tool_step(p, STORE_START, NULL, 0, NULL, NULL, err));
}

static bool mount_stop(const Pool *p, GError **err) { return !is_mount(p->target) || tool_step(p, STORE_STOP, NULL, 0, NULL, NULL, err); }

#define FOLDER .build = dir_build, .delete = dir_delete, .refresh = dir_refresh, .create = dir_create, .remove = dir_remove, .resize = dir_resize, .wipe = store_wipe
const StoreDriver dir_store = { .type = POOL_DIR, .summary = "a folder", .start = dir_start, FOLDER };
const StoreDriver fs_store = { .type = POOL_FS, .summary = "a file system of a device", .start = mount_start, .stop = mount_stop, FOLDER };
const StoreDriver netfs_store = { .type = POOL_NETFS, .summary = "a file system of a server", .start = mount_start, .stop = mount_stop, FOLDER };
