/* saved.c - see saved.h. */
#include "manage/daemon/saved.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

enum { BLOCK = 4096, ROOM = 16384, MOST_XML = 16 << 20, VERSION = 1, GRAPHICS_YES = 1 };

typedef struct FileHead {
    char magic[16];
    uint32_t version, running, complete, reserved;
    uint64_t offset, xml_bytes;
} FileHead;

static const char magic[16] = "AtollSavedState\n";

static bool put(int fd, const void *data, size_t bytes, off_t at, GError **err)
{
    ssize_t n = pwrite(fd, data, bytes, at);
    return n == (ssize_t)bytes || error_set_errno(err, n < 0 ? errno : ENOSPC, "cannot write it");
}

bool saved_begin(int fd, const char *xml, bool running, GError **err)
{
    size_t bytes = strlen(xml);
    FileHead h = { .version = VERSION, .running = running, .xml_bytes = bytes, .offset = (sizeof(h) + bytes + ROOM + BLOCK - 1) / BLOCK * BLOCK };
    memcpy(h.magic, magic, sizeof(magic));
    return put(fd, &h, sizeof(h), 0, err) && put(fd, xml, bytes, sizeof(h), err) &&
           (lseek(fd, h.offset, SEEK_SET) == (off_t)h.offset || error_set_errno(err, errno, "it is no file to write at a place of"));
}

bool saved_complete(int fd, GError **err)
{
    uint32_t yes = 1;
    return (!fdatasync(fd) || error_set_errno(err, errno, "cannot write it to the disk")) && put(fd, &yes, sizeof(yes), offsetof(FileHead, complete), err) &&
           (!fsync(fd) || error_set_errno(err, errno, "cannot write it to the disk"));
}

static bool read_head(int fd, const char *path, SavedHead *ret, GError **err)
{
    FileHead h = { 0 };
    if (pread(fd, &h, sizeof(h), 0) != sizeof(h) || memcmp(h.magic, magic, sizeof(magic)) != 0)
        return error_set(err, ERR_INVALID, "'%s' is no file of a saved machine", path);
    if (h.version != VERSION)
        return error_set(err, ERR_UNSUPPORTED, "'%s' has version %u of a saved machine, and this daemon reads version %u", path, h.version, VERSION);
    if (!h.complete)
        return error_set(err, ERR_INVALID, "'%s' is incomplete: saving the machine was cut off", path);
    if (h.xml_bytes > MOST_XML || h.offset < sizeof(h) + h.xml_bytes)
        return error_set(err, ERR_INVALID, "'%s' is damaged: its definition is said to have %" G_GUINT64_FORMAT " bytes", path, h.xml_bytes);
    ret->running = h.running;
    ret->offset = h.offset;
    ret->xml = g_malloc0(h.xml_bytes + 1);
    if (pread(fd, ret->xml, h.xml_bytes, sizeof(h)) == (ssize_t)h.xml_bytes && lseek(fd, h.offset, SEEK_SET) == (off_t)h.offset)
        return true;
    g_clear_pointer(&ret->xml, g_free);
    return error_set(err, ERR_INVALID, "'%s' is damaged: it ends within its definition", path);
}

int saved_open(const char *path, bool write, SavedHead *ret, GError **err)
{
    int fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        error_set_errno(err, errno, "cannot open '%s'", path);
        return -1;
    }
    if (read_head(fd, path, ret, err))
        return fd;
    close(fd);
    return -1;
}

bool saved_change(int fd, const char *path, const SavedHead *head, GError **err)
{
    FileHead h;
    size_t bytes = strlen(head->xml);
    if (sizeof(h) + bytes > head->offset)
        return error_set(err, ERR_NO_SPACE, "the definition is too long for '%s', which has room for %" G_GUINT64_FORMAT " bytes", path, head->offset - sizeof(h));
    if (pread(fd, &h, sizeof(h), 0) != sizeof(h))
        return error_set_errno(err, errno, "cannot read '%s'", path);
    h.running = head->running;
    h.xml_bytes = bytes;
    return put(fd, head->xml, bytes, sizeof(h), err) && put(fd, &h, sizeof(h), 0, err) && (!fsync(fd) || error_set_errno(err, errno, "cannot write '%s' to the disk", path));
}

/* What the machine had of this host is found anew. */
static void forget_places(Domain *d)
{
    for (guint i = 0; d->devices->graphics && i < d->devices->graphics->len; i++) {
        Graphics *g = d->devices->graphics->pdata[i];
        if (g->autoport == GRAPHICS_YES)
            g_clear_pointer(&g->port, g_free);
    }
}

Domain *saved_definition(const Realm *r, const SavedHead *head, const char *instead, GError **err)
{
    g_autoptr(GError) why = NULL;
    Domain *d = instead ? domain_read(r, instead, err) : record_read_xml(&domain_type, head->xml, RECORD_LIVE | RECORD_SECRET, NULL, &why);
    if (why)
        error_set(err, ERR_INVALID, "its definition cannot be read: %s", why->message);
    if (d)
        forget_places(d);
    return d;
}

/* ---- of a domain */
char *managed_save_path(const ManagedDomain *d)
{
    g_autofree char *file = g_strconcat(d->name, ".save", NULL);
    return g_build_filename(d->realm->daemon->state_dir, d->realm->in_memory ? "save-test" : "save", file, NULL);
}

bool managed_save_exists(const ManagedDomain *d)
{
    g_autofree char *path = managed_save_path(d);
    return !access(path, F_OK);
}

bool managed_save_remove(const ManagedDomain *d, GError **err)
{
    g_autofree char *path = managed_save_path(d), *folder = g_path_get_dirname(path), *file = g_path_get_basename(path);
    return store_remove_file(folder, file, err);
}
