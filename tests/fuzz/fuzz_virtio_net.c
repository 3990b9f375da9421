/* fuzz_virtio_net.c - the virtio network card under any driver, with frames from outside. */
#include <sys/socket.h>
#include <unistd.h>

#include "devices/net/net.h"
#include "fuzz_virtio.h"
#include "hostnet/hostnet.h"

enum { MOST_BYTES = 0x3000 };
static const char *const props[] = { "netdev", "n0", NULL };

typedef struct FuzzCable {
    FuzzRig rig; /* first: request() finds the rest behind it */
    int peer;
} FuzzCable;

/* A frame with any header, a command to the control queue, or a buffer to receive into; and a frame comes from outside. */
static unsigned request(FuzzRig *r, FuzzInput *in, FuzzBuffer *ret, unsigned max)
{
    uint8_t how = fuzz_take(in, 1), bytes[128], frame[1600];
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = fuzz_take(in, 1);
    memset(bytes + 32, 0x45, sizeof(bytes) - 32);
    if (how & 1)
        bytes[0] &= 7, bytes[1] &= 7; /* class and command, or flags and kind of segment */
    dma_write(r->machine, FUZZ_VIRTIO_DATA, bytes, sizeof(bytes));
    int peer = ((FuzzCable *)r)->peer;
    memset(frame, 0xff, sizeof(frame));
    send(peer, frame, 14 + fuzz_take(in, 2) % 1500, MSG_DONTWAIT);
    while (recv(peer, frame, sizeof(frame), MSG_DONTWAIT) >= 0)
        continue;
    ret[0] = (FuzzBuffer){ FUZZ_VIRTIO_DATA, how & 2 ? 12 : 1 + fuzz_take(in, 2) % MOST_BYTES, how & 4 };
    ret[1] = (FuzzBuffer){ FUZZ_VIRTIO_DATA + 0x4000, 1 + fuzz_take(in, 2) % MOST_BYTES, how & 12 };
    return how & 16 ? 2 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    FuzzCable c = { .rig = fuzz_rig_create() };
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) < 0)
        g_error("no socket pair");
    c.peer = pair[1];
    g_autofree char *spec = g_strdup_printf("dgram,id=n0,local.type=fd,local.str=%d", pair[0]);
    HostNet *host = hostnet_open(spec, NULL);
    machine_add_backend(c.rig.machine, BACKEND_NETDEV, "n0", host);
    FuzzVirtio f = { .type = &virtio_net_pci_type, .props = props, .n_queues = 3, .features = UINT64_MAX >> 4, .request = request };
    fuzz_virtio(&c.rig, &in, &f);
    fuzz_rig_destroy(&c.rig);
    hostnet_close(host);
    close(pair[1]);
    return 0;
}
