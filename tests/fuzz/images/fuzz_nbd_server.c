/* fuzz_nbd_server.c - our NBD server, and a client that says anything. */
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "block/nbd_server.h"
#include "fuzz.h"

enum { MOST_INPUT = 32 << 10 };

typedef struct Rig {
    char *path;
    BlkNode *disk, *other;
    NbdServer *server;
} Rig;

static BlkNode *disk(const char *options)
{
    BlkNode *n = blk_open_tree(options, NULL, NULL);
    g_assert_nonnull(n);
    return n;
}

static const Rig *rig(void)
{
    static Rig r;
    static const char *const bitmaps[] = { "b", NULL };
    if (r.server)
        return &r;
    r.path = g_strdup_printf("/tmp/atoll-fuzz-nbd-%d", (int)getpid());
    r.disk = disk("driver=memory,size=1M");
    r.other = disk("driver=memory,size=64k,read-only=on");
    g_assert_nonnull(blk_bitmap_add(r.disk, "b", 512, false, NULL));
    g_assert_true(blk_write(r.disk, 5000, "data", 4, NULL));
    NbdExport exports[] = { { "", "a disk", r.disk, .allocation_depth = true, .bitmaps = bitmaps }, { "other", NULL, r.other, .read_only = true } };
    r.server = nbd_server_start(&(NbdServerOptions){ .socket_path = r.path }, exports, G_N_ELEMENTS(exports), NULL);
    g_assert_nonnull(r.server);
    return &r;
}

static int reach(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    g_strlcpy(to.sun_path, path, sizeof(to.sun_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&to, sizeof(to)), ==, 0);
    return fd;
}

/* All that it says fits the socket, so nobody waits for the other. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = reach(rig()->path);
    static char answer[1 << 20];
    send(fd, data, MIN(size, MOST_INPUT), MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    while (read(fd, answer, sizeof(answer)) > 0)
        continue;
    close(fd);
    return 0;
}
