/* pool_watch.c - a pool whose volumes are files notices what others do in its folder: files that come, go, or have been written. */
#include <glib-unix.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "manage/daemon/pool.h"

/* Not IN_MODIFY: a machine writes to its disks all the time. */
enum { WATCHED = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT, SETTLE_MS = 200 };

static gboolean look_again(gpointer data)
{
    ManagedPool *p = data;
    if (lane_waiting(p->lane)) /* whose turn comes looks by itself */
        return G_SOURCE_CONTINUE;
    p->look_timer = 0;
    pool_job(p, POOL_REFRESH, false, NULL);
    return G_SOURCE_REMOVE;
}

static gboolean on_change(gint fd, GIOCondition condition, gpointer data)
{
    ManagedPool *p = data;
    char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    while (read(fd, events, sizeof events) > 0)
        ;
    if (!p->look_timer)
        p->look_timer = g_timeout_add(SETTLE_MS, look_again, p);
    return G_SOURCE_CONTINUE;
}

void pool_watch(ManagedPool *p)
{
    if (p->watch >= 0 || p->realm->in_memory || !p->def->target || p->def->type > POOL_NETFS)
        return;
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd >= 0 && inotify_add_watch(fd, p->def->target, WATCHED) < 0) {
        close(fd);
        fd = -1;
    }
    p->watch = fd;
    if (fd < 0)
        g_warning("pool '%s' does not see by itself what changes in '%s': `pool-refresh` looks", p->def->name, p->def->target);
    else
        p->watch_source = g_unix_fd_add(fd, G_IO_IN, on_change, p);
}

void pool_unwatch(ManagedPool *p)
{
    if (p->look_timer)
        g_source_remove(p->look_timer);
    p->look_timer = 0;
    if (p->watch < 0)
        return;
    g_source_remove(p->watch_source);
    close(p->watch);
    p->watch = -1;
}
