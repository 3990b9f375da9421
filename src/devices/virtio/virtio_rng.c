/*
 * virtio_rng.c - entropy device.  Virtio 1.2, section 5.4.
 *
 * With max-bytes a guest gets that much in each period and waits for the next when it has had it.
 */
#include "devices/virtio/virtio_rng.h"

#include <errno.h>
#include <sys/random.h>

#include "devices/virtio/virtio_mmio.h"
#include "machine/machine.h"

enum { CHUNK = 65536 }; /* the most a request gets: it keeps the time short that the notifying CPU waits */

typedef struct VirtioRng {
    VirtioPci base;
    char *source;          /* id of an object; its numbers are getrandom's like ours */
    uint64_t max_bytes;
    uint32_t period;       /* ms */
    uint64_t quota;        /* bytes left in this period */
    int64_t period_end;    /* ns; 0: no period has begun */
    Timer timer;
} VirtioRng;

static const Field fields[] = {
    VIRTIO_PCI_FIELDS(VirtioRng, base),
    { FN(VirtioRng, source, "rng"), .role = FIELD_PROP, .doc = "id of an object rng-random or rng-builtin" },
    { FN(VirtioRng, max_bytes, "max-bytes"), .role = FIELD_PROP, .reset = INT64_MAX, .min = 1, .max = INT64_MAX,
      .doc = "bytes in a period" },
    { F(VirtioRng, period), .role = FIELD_PROP, .reset = 65536, .min = 1, .max = INT32_MAX, .doc = "period in ms" },
    { F(VirtioRng, quota), .doc = "bytes left in the period" },
    { F(VirtioRng, period_end), .doc = "end of the period, ns" },
    { FO(VirtioRng, timer), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

static VirtioRng *rng(Virtio *v) { return (VirtioRng *)v->dev; }

/* All of [to, to + n), except where the kernel refuses: a signal may cut a call short. */
static size_t random_bytes(uint8_t *to, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = getrandom(to + done, n - done, 0);
        if (got < 0 && errno != EINTR)
            break;
        done += MAX(got, 0);
    }
    return done;
}

/* Random bytes into the first `bytes` of a chain; returns how many. */
static uint32_t fill(const VirtqChain *c, uint32_t bytes)
{
    uint32_t done = 0;
    for (unsigned i = 0; i < c->in.n && done < bytes; i++)
        done += random_bytes(c->in.iov[i].iov_base, MIN(c->in.iov[i].iov_len, bytes - done));
    return done;
}

static void begin_period(VirtioRng *r)
{
    if (r->max_bytes == INT64_MAX || r->period_end)
        return;
    r->period_end = clock_now(r->base.pci.dev.machine->clock) + r->period * 1000000ll;
    timer_arm(&r->timer, r->period_end);
}

static void serve(Virtio *v, unsigned n)
{
    VirtioRng *r = rng(v);
    VirtqChain c;
    while (r->quota && virtq_pop(v, n, &c)) {
        uint32_t bytes = fill(&c, MIN(MIN(c.in.len, r->quota), CHUNK));
        r->quota -= r->max_bytes == INT64_MAX ? 0 : bytes;
        begin_period(r);
        virtq_push(v, n, &c, bytes);
    }
    virtq_signal(v, n);
}

static void next_period(void *device)
{
    VirtioRng *r = device;
    r->quota = r->max_bytes;
    r->period_end = 0;
    virtio_queue_notify(&r->base.virtio, 0);
}

static const VirtioType rng_type = { .id = 4, .n_queues = 1, .queue_size = 64, .notified = serve };

static bool realize(Device *d, GError **err)
{
    VirtioRng *r = (VirtioRng *)d;
    device_timer_init(d, &r->timer, next_period);
    if (r->source && !machine_claim_backend(d->machine, BACKEND_RNG, r->source, d, err))
        return false;
    return virtio_pci_realize(&r->base, &rng_type, err);
}

static void unrealize(Device *d)
{
    VirtioRng *r = (VirtioRng *)d;
    timer_finish(&r->timer);
    machine_release_backend_of(d->machine, BACKEND_RNG, r->source, d);
}

static void reset(Device *d, ResetKind k)
{
    VirtioRng *r = (VirtioRng *)d;
    timer_disarm(&r->timer);
    r->quota = r->max_bytes;
    r->period_end = 0;
    virtio_pci_reset(d, k);
}

static bool post_load(Device *d, GError **err)
{
    VirtioRng *r = (VirtioRng *)d;
    r->quota = MIN(r->quota, r->max_bytes);
    if (r->period_end)
        timer_arm(&r->timer, r->period_end);
    else
        timer_disarm(&r->timer);
    return virtio_pci_post_load(d, err);
}

static const PciInfo pci_info = VIRTIO_PCI_INFO(0x1005, 0x00ff00, 2);

#define RNG_TYPE                                                                                                       \
    .summary = "virtio entropy device", .spec = "Virtio 1.2, 5.4", .size = sizeof(VirtioRng), .version = 1, .fields = fields, \
    .realize = realize, .unrealize = unrealize, .reset = reset, .post_load = post_load

VIRTIO_PCI_TYPES(virtio_rng_pci_type, "virtio-rng-pci", RNG_TYPE, .windows = virtio_pci_windows, .pci = &pci_info);
VIRTIO_MMIO_TYPE(virtio_rng_device_type, "virtio-rng-device", RNG_TYPE);
