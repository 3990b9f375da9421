/* dump.c - frames to a file in libpcap's format (pcap-savefile(5)). */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/iov.h"
#include "hostnet/backend.h"

enum { PCAP_MAGIC = 0xa1b2c3d4u, PCAP_ETHERNET = 1, PIECES = 64 };

struct NetDump {
    char *id;
    int fd;
    uint32_t maxlen;
    bool failed;
};

NetDump *net_dump_open(const char *id, const char *path, uint32_t maxlen, GError **err)
{
    struct { uint32_t magic; uint16_t major, minor; uint32_t zone, accuracy, snaplen, type; } head = { PCAP_MAGIC, 2, 4, 0, 0, maxlen, PCAP_ETHERNET };
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, &head, sizeof(head)) != sizeof(head)) {
        error_set_errno(err, errno, "filter-dump '%s': cannot write to '%s'", id, path);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    NetDump *d = g_new0(NetDump, 1);
    *d = (NetDump){ .id = g_strdup(id), .fd = fd, .maxlen = maxlen };
    return d;
}

void net_dump_close(void *dump)
{
    NetDump *d = dump;
    close(d->fd);
    g_free(d->id);
    g_free(d);
}

const char *net_dump_id(const NetDump *d) { return d->id; }

/* A dump that cannot be written any more (the disk is full) ends with its last whole frame; the network goes on. */
void net_dump_write(NetDump *d, const struct iovec *iov, unsigned n)
{
    struct iovec out[PIECES + 1];
    size_t kept;
    unsigned pieces = iov_slice(iov, n, 0, d->maxlen, out + 1, PIECES, &kept);
    int64_t now = g_get_real_time();
    uint32_t head[4] = { now / G_USEC_PER_SEC, now % G_USEC_PER_SEC, kept, iov_size(iov, n) };
    out[0] = (struct iovec){ head, sizeof(head) };
    if (d->failed)
        return;
    off_t start = lseek(d->fd, 0, SEEK_CUR);
    if (writev(d->fd, out, pieces + 1) == (ssize_t)(kept + sizeof(head)))
        return;
    d->failed = true;
    g_printerr("atoll-vm: warning: filter-dump '%s': cannot write any more: %s\n", d->id, g_strerror(errno));
    if (start >= 0 && ftruncate(d->fd, start) < 0)
        g_printerr("atoll-vm: warning: filter-dump '%s': its last frame is cut\n", d->id);
}
