/* host_watch.c - devices of the host that come and go, as the kernel tells by a netlink socket (kobject_uevent(7)); looked for once somebody wants to know. */
#include <errno.h>
#include <glib-unix.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manage/daemon/daemon_inside.h"
#include "manage/daemon/host_devices.h"

enum { SETTLE_MS = 100, MESSAGE_BYTES = 8192, KERNEL_GROUP = 1 };
enum { DEVICE_CREATED, DEVICE_DELETED }; /* virNodeDeviceEventLifecycleType */

struct HostWatch {
    Daemon *daemon;
    GHashTable *known; /* names */
    int fd;
    guint source, timer;
};

static GHashTable *names_now(void)
{
    g_autoptr(GPtrArray) all = host_devices();
    GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < all->len; i++)
        g_hash_table_add(names, g_strdup(((NodeDevice *)all->pdata[i])->name));
    return names;
}

/* Those of `in` that `other` does not have. */
static void tell(const HostWatch *w, GHashTable *in, GHashTable *other, int what)
{
    GHashTableIter i;
    gpointer name;
    g_hash_table_iter_init(&i, in);
    while (g_hash_table_iter_next(&i, &name, NULL))
        if (!g_hash_table_contains(other, name))
            object_event(w->daemon->machines, SUBSCRIBE_NODE_DEVICE, 0, name, g_variant_new_string(name), "(ii)", what, 0);
}

static gboolean look(gpointer opaque)
{
    HostWatch *w = opaque;
    GHashTable *now = names_now();
    tell(w, w->known, now, DEVICE_DELETED);
    tell(w, now, w->known, DEVICE_CREATED);
    g_hash_table_unref(w->known);
    w->known = now;
    w->timer = 0;
    return G_SOURCE_REMOVE;
}

/* What the messages say is in /sys by then, and names are made there: that there was one is enough. */
static gboolean on_message(int fd, GIOCondition condition, gpointer opaque)
{
    HostWatch *w = opaque;
    char message[MESSAGE_BYTES];
    while (recv(fd, message, sizeof message, MSG_DONTWAIT) > 0)
        ;
    if (!w->timer)
        w->timer = g_timeout_add(SETTLE_MS, look, w);
    return G_SOURCE_CONTINUE;
}

void host_watch(Daemon *d)
{
    const struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP };
    if (d->watch)
        return;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        g_info("the kernel tells nothing of devices: %s", g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return;
    }
    HostWatch *w = d->watch = g_new0(HostWatch, 1);
    *w = (HostWatch){ .daemon = d, .fd = fd, .known = names_now(), .source = g_unix_fd_add(fd, G_IO_IN, on_message, w) };
}

void host_watch_end(Daemon *d)
{
    HostWatch *w = g_steal_pointer(&d->watch);
    if (!w)
        return;
    g_source_remove(w->source);
    if (w->timer)
        g_source_remove(w->timer);
    close(w->fd);
    g_hash_table_unref(w->known);
    g_free(w);
}
