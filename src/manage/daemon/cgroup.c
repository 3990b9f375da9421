/* cgroup.c - control groups, version 1 and 2. */
#include "manage/daemon/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

static const char *const v1_names[CGROUP_CONTROLLERS] = { "cpu", "memory", "blkio" }, *const v2_names[CGROUP_CONTROLLERS] = { "cpu", "memory", "io" };

/* Where version 2 has the controller, version 1 cannot have it too. */
bool cgroup_is_v2(const char *root, CgroupController c)
{
    g_autofree char *path = g_build_filename(root, "cgroup.controllers", NULL), *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return false;
    g_auto(GStrv) words = g_strsplit(g_strstrip(text), " ", -1);
    return g_strv_contains((const char *const *)words, v2_names[c]);
}

static char *hierarchy(const char *root, CgroupController c) { return cgroup_is_v2(root, c) ? g_strdup(root) : g_build_filename(root, v1_names[c], NULL); }

static char *folder_of(const char *root, const char *name, CgroupController c)
{
    g_autofree char *top = hierarchy(root, c);
    return g_build_filename(top, "atoll", name, NULL);
}

/* The kernel wants a value in one write; files are there, or the controller is not. */
static bool write_text(const char *folder, const char *file, const char *text, GError **err)
{
    g_autofree char *path = g_build_filename(folder, file, NULL);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    int why = errno;
    if (fd >= 0)
        close(fd);
    return ok || error_set(err, ERR_UNSUPPORTED, "the limit cannot be written to '%s': %s", path, g_strerror(why));
}

static bool make(const char *folder, GError **err)
{
    if (mkdir(folder, 0755) == 0 || errno == EEXIST)
        return true;
    return error_set(err, ERR_UNSUPPORTED, "limits need control groups, which cannot be made here ('%s': %s): atolld as root can", folder, g_strerror(errno));
}

bool cgroup_enter(const char *root, const char *name, CgroupController c, int pid, GError **err)
{
    g_autofree char *top = hierarchy(root, c), *all = g_build_filename(top, "atoll", NULL), *own = g_build_filename(all, name, NULL);
    g_autofree char *on = g_strconcat("+", v2_names[c], NULL), *number = g_strdup_printf("%d", pid);
    if (!make(all, err))
        return false;
    if (cgroup_is_v2(root, c) && (!write_text(top, "cgroup.subtree_control", on, err) || !write_text(all, "cgroup.subtree_control", on, err)))
        return false;
    return make(own, err) && write_text(own, "cgroup.procs", number, err);
}

bool cgroup_write(const char *root, const char *name, const CgroupFile *file, const char *value, GError **err)
{
    g_autofree char *own = folder_of(root, name, file->controller);
    return write_text(own, cgroup_is_v2(root, file->controller) ? file->v2 : file->v1, value, err);
}

bool cgroup_remove(const char *root, const char *prefix)
{
    bool busy = false;
    for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
        g_autofree char *top = hierarchy(root, c), *all = g_build_filename(top, "atoll", NULL);
        g_autoptr(GDir) dir = g_dir_open(all, 0, NULL);
        for (const char *name; dir && (name = g_dir_read_name(dir));) {
            g_autofree char *own = g_build_filename(all, name, NULL);
            busy |= g_str_has_prefix(name, prefix) && rmdir(own) != 0 && errno == EBUSY;
        }
    }
    return !busy;
}
