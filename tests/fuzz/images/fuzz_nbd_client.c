/* fuzz_nbd_client.c - our NBD client, and a server that says anything. */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "block/block.h"
#include "fuzz.h"

enum { MOST_CLIENTS = 16 };

/* What the server will say to each who comes. */
typedef struct Rig {
    char *path;
    int fd;
    GMutex lock;
    const uint8_t *data;
    size_t size;
} Rig;

/* The data are gone once the client is. */
typedef struct Visit {
    int fd;
    size_t size;
    uint8_t data[];
} Visit;

static void *serve(void *visit)
{
    Visit *v = visit;
    char heard[4096];
    send(v->fd, v->data, v->size, MSG_NOSIGNAL);
    shutdown(v->fd, SHUT_WR);
    while (read(v->fd, heard, sizeof(heard)) > 0)
        continue;
    close(v->fd);
    g_free(v);
    return NULL;
}

/* A client may come over several connections at once. */
static void *answer(void *rig)
{
    Rig *r = rig;
    for (;;) {
        int fd = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC);
        g_mutex_lock(&r->lock);
        Visit *v = g_malloc(sizeof(Visit) + r->size);
        *v = (Visit){ fd, r->size };
        memcpy(v->data, r->data, r->size);
        g_mutex_unlock(&r->lock);
        g_thread_unref(g_thread_new("visit", serve, v));
    }
    return NULL;
}

static Rig *rig(void)
{
    static Rig r;
    if (r.path)
        return &r;
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    r.path = g_strdup_printf("/tmp/atoll-fuzz-nbd-%d", (int)getpid());
    g_strlcpy(at.sun_path, r.path, sizeof(at.sun_path));
    unlink(r.path);
    r.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_true(!bind(r.fd, (struct sockaddr *)&at, sizeof(at)) && !listen(r.fd, MOST_CLIENTS));
    g_thread_unref(g_thread_new("server", answer, &r));
    return &r;
}

static void use(BlkNode *n)
{
    uint8_t data[1024] = { 1 };
    BlkInfo info;
    BlkExtent e;
    blk_info(n, &info);
    uint64_t len = MIN(info.size, sizeof(data));
    blk_map(n, 0, info.size, &e, NULL);
    blk_read(n, 0, data, len, NULL);
    blk_write(n, 0, data, len, NULL);
    blk_zero(n, 0, len, BLK_MAY_UNMAP, NULL);
    blk_perform(n, BLK_DISCARD, 0, 0, len, NULL, 0);
    blk_flush(n, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Rig *r = rig();
    g_autofree char *options = g_strdup_printf("driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=%s,read-only=off", r->path);
    g_autoptr(GError) err = NULL;
    g_mutex_lock(&r->lock);
    r->data = data;
    r->size = size;
    g_mutex_unlock(&r->lock);
    BlkNode *n = blk_open_tree(options, NULL, &err);
    if (n)
        use(n);
    blk_close(n);
    g_mutex_lock(&r->lock);
    r->size = 0;
    g_mutex_unlock(&r->lock);
    return 0;
}
