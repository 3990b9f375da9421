/* claim.c - locks that machines hold while they live. */
#include "manage/hypervisor/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/error.h"

static char *lock_path(const HvHost *h, const char *uuid) { return g_strdup_printf("%s/domains/%s.lock", h->runtime_dir, uuid); }

int machine_claim(const HvHost *h, const Domain *d, GError **err)
{
    g_autofree char *path = lock_path(h, d->uuid);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB))
        return fd;
    if (fd >= 0 && errno == EWOULDBLOCK)
        error_set(err, ERR_BUSY, "a process of domain '%s' lives already: it holds '%s'", d->name, path);
    else
        error_set_errno(err, errno, "cannot lock '%s'", path);
    if (fd >= 0)
        close(fd);
    return -1;
}

/* A process whose arguments name the machine's monitor. */
static bool in_proc(const HvHost *h, const Domain *d)
{
    g_autoptr(GDir) dir = g_dir_open("/proc", 0, NULL);
    g_autofree char *monitor = g_strdup_printf("%s/domains/%s.monitor", h->runtime_dir, d->uuid);
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        g_autofree char *path = g_strdup_printf("/proc/%s/cmdline", name), *words = NULL;
        gsize bytes;
        if (g_ascii_isdigit(*name) && g_file_get_contents(path, &words, &bytes, NULL) && memmem(words, bytes, monitor, strlen(monitor)))
            return true;
    }
    return false;
}

bool machine_lives(const HvHost *h, const Domain *d)
{
    g_autofree char *path = lock_path(h, d->uuid);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool held = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    if (fd >= 0)
        close(fd);
    return held || in_proc(h, d);
}

void machine_unclaim(const HvHost *h, const char *uuid)
{
    g_autofree char *path = lock_path(h, uuid);
    g_unlink(path);
}
