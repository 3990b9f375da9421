/* store.c - files that hold what must not be lost: written whole, or the old one stays. */
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/daemon/daemon_inside.h"

/* A new name in a folder is on the disk when the folder is. */
static void sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

bool store_write_file(const char *folder, const char *file, const void *data, gssize bytes, GError **err)
{
    g_autofree char *path = g_build_filename(folder, file, NULL);
    if (g_mkdir_with_parents(folder, 0700) < 0)
        return error_set_errno(err, errno, "cannot make the folder '%s'", folder);
    /* Writes a file beside, flushes it, and renames. */
    if (!g_file_set_contents_full(path, data, bytes, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, err))
        return false;
    sync_folder(folder);
    return true;
}

bool store_remove_file(const char *folder, const char *file, GError **err)
{
    g_autofree char *path = g_build_filename(folder, file, NULL);
    if (unlink(path) < 0 && errno != ENOENT)
        return error_set_errno(err, errno, "cannot remove '%s'", path);
    sync_folder(folder);
    return true;
}

bool store_write(const char *folder, const char *name, const char *text, GError **err)
{
    g_autofree char *file = g_strconcat(name, ".xml", NULL);
    return store_write_file(folder, file, text, -1, err);
}

bool store_remove(const char *folder, const char *name, GError **err)
{
    g_autofree char *file = g_strconcat(name, ".xml", NULL);
    return store_remove_file(folder, file, err);
}

void store_each(const char *folder, void (*f)(const char *name, const char *text, void *opaque), void *opaque)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    for (const char *file; dir && (file = g_dir_read_name(dir));) {
        g_autofree char *path = g_build_filename(folder, file, NULL), *text = NULL;
        g_autoptr(GError) err = NULL;
        if (!g_str_has_suffix(file, ".xml"))
            continue;
        g_autofree char *name = g_strndup(file, strlen(file) - strlen(".xml"));
        if (g_file_get_contents(path, &text, NULL, &err))
            f(name, text, opaque);
        else
            g_warning("cannot read '%s': %s", path, err->message);
    }
}
