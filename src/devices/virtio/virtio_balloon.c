/*
 * virtio_balloon.c - traditional memory balloon, with statistics and free page reporting.  Virtio 1.2, section 5.5.
 *
 * A page that the guest gives away reads as zeros from then on and costs the host nothing; taking it back needs nothing.
 * The buffer of statistics stays in its ring until the next are wanted: nothing is held here.
 */
#include "devices/virtio/virtio_balloon.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/iov.h"
#include "devices/virtio/virtio_mmio.h"
#include "machine/machine.h"

enum { F_MUST_TELL_HOST = 0, F_STATS_VQ = 1, F_DEFLATE_ON_OOM = 2, F_PAGE_POISON = 4, F_REPORTING = 5 };
enum { C_NUM_PAGES = 0, C_ACTUAL = 4, C_POISON = 12, BALLOON_CONFIG_BYTES = 16 };
enum { Q_INFLATE, Q_DEFLATE, Q_STATS, Q_REPORTING, QUEUES }; /* as Linux and QEMU number them where there are no hints of free pages */
enum { PAGE = 4096, PFNS = 1024, STAT_BYTES = 10 };

const char *const balloon_stat_names[BALLOON_STATS] = {
    "stat-swap-in", "stat-swap-out", "stat-major-faults", "stat-minor-faults", "stat-free-memory", "stat-total-memory", "stat-available-memory",
    "stat-disk-caches", "stat-htlb-pgalloc", "stat-htlb-pgfail",
};

typedef struct VirtioBalloon {
    VirtioPci base;
    bool deflate_on_oom, reporting;
    /* State. */
    uint32_t target;   /* pages that the balloon shall have */
    uint32_t interval; /* s; 0: statistics are not asked for */
    bool stats_taken;  /* the buffer in the ring has been read */
    int64_t stat[BALLOON_STATS];
    /* Host. */
    int64_t last_update;
    Timer timer;
} VirtioBalloon;

static VirtioBalloon *of(Virtio *v) { return (VirtioBalloon *)v->dev; }

/* ---- giving memory back */

/* Whole pages of RAM; anything else that the driver names is left alone. */
static void discard(VirtioBalloon *b, uint64_t gpa, uint64_t bytes)
{
    Machine *m = b->base.pci.dev.machine;
    FlatView *view = space_view(m->memory);
    for (uint64_t end = gpa + bytes; gpa < end;) {
        uint64_t len = end - gpa;
        uint8_t *host = view_ram(view, gpa, &len, true);
        bool ram = host && host >= m->ram->host && host < m->ram->host + m->ram->size;
        if (!host)
            len = PAGE;
        len &= ~(uint64_t)(PAGE - 1);
        if (!len)
            break;
        if (ram) {
            dma_written(m, gpa, len); /* code that was translated from there is gone too */
            int result = ram_discard(m->ram, host - m->ram->host, len);
            if (result < 0)
                guest_error(&b->base.pci.dev, "%s: the host keeps the memory at %" G_GINT64_MODIFIER "x: %s", b->base.pci.dev.path, gpa, g_strerror(-result));
        }
        gpa += len;
    }
    view_unref(view);
}

/* 5.5.6: an array of page numbers; neighbours go together. */
static void inflate(VirtioBalloon *b, const VirtqChain *c)
{
    uint32_t pfn[PFNS];
    uint64_t start = 0, run = 0;
    size_t got;
    for (size_t off = 0; (got = iov_read(c->out.iov, c->out.n, off, pfn, sizeof(pfn))) >= 4; off += got)
        for (unsigned i = 0; i < got / 4; i++) {
            uint64_t at = (uint64_t)GUINT32_FROM_LE(pfn[i]) * PAGE;
            if (run && at == start + run) {
                run += PAGE;
                continue;
            }
            if (run)
                discard(b, start, run);
            start = at;
            run = PAGE;
        }
    if (run)
        discard(b, start, run);
}

static uint32_t poison(VirtioBalloon *b)
{
    uint32_t value;
    memcpy(&value, b->base.virtio.config + C_POISON, 4);
    return value;
}

/* 5.5.6.7: free memory lies in the chain's buffers.  A guest that wants to find a pattern in free pages keeps them. */
static void report(VirtioBalloon *b, const VirtqChain *c)
{
    for (unsigned i = 0; i < c->in.n && !(virtio_has(&b->base.virtio, F_PAGE_POISON) && poison(b)); i++) {
        uint64_t start = (c->in.gpa[i] + PAGE - 1) & ~(uint64_t)(PAGE - 1), end = (c->in.gpa[i] + c->in.iov[i].iov_len) & ~(uint64_t)(PAGE - 1);
        if (start < end)
            discard(b, start, end - start);
    }
}

/* ---- statistics: 5.5.6.3 */

static void read_stats(VirtioBalloon *b, const VirtqChain *c)
{
    struct __attribute__((packed)) { uint16_t tag; uint64_t value; } s;
    for (unsigned i = 0; i < BALLOON_STATS; i++)
        b->stat[i] = BALLOON_STAT_UNKNOWN;
    for (unsigned i = 0; i < 2 * BALLOON_STATS && iov_read(c->out.iov, c->out.n, i * STAT_BYTES, &s, sizeof(s)) == sizeof(s); i++)
        if (GUINT16_FROM_LE(s.tag) < BALLOON_STATS)
            b->stat[GUINT16_FROM_LE(s.tag)] = GUINT64_FROM_LE(s.value);
    b->last_update = g_get_real_time() / G_USEC_PER_SEC;
}

/* The buffer goes back into the ring, from where ask_stats() gives it to the driver. */
static void take_stats(VirtioBalloon *b)
{
    Virtio *v = &b->base.virtio;
    VirtqChain c;
    if (b->stats_taken || !virtq_pop(v, Q_STATS, &c))
        return;
    read_stats(b, &c);
    v->queue[Q_STATS].last_avail--;
    virtq_drop(&c);
    b->stats_taken = true;
}

static void arm(VirtioBalloon *b)
{
    if (b->interval)
        timer_arm(&b->timer, clock_now(b->base.pci.dev.machine->clock) + b->interval * 1000000000ll);
    else
        timer_disarm(&b->timer);
}

static void ask_stats(void *opaque)
{
    VirtioBalloon *b = opaque;
    Virtio *v = &b->base.virtio;
    VirtqChain c;
    if (b->stats_taken && virtq_pop(v, Q_STATS, &c)) {
        virtq_push(v, Q_STATS, &c, 0);
        virtq_signal(v, Q_STATS);
        b->stats_taken = false;
        take_stats(b); /* or be told when there is something */
    }
    arm(b);
}

/* ---- queues and configuration */

static void notified(Virtio *v, unsigned n)
{
    VirtqChain c;
    if (n == Q_STATS) {
        take_stats(of(v));
        return;
    }
    while (virtq_pop(v, n, &c)) {
        if (n == Q_INFLATE)
            inflate(of(v), &c);
        else if (n == Q_REPORTING)
            report(of(v), &c);
        virtq_push(v, n, &c, 0);
    }
    virtq_signal(v, n);
}

static uint32_t actual_pages(const VirtioBalloon *b)
{
    uint32_t n;
    memcpy(&n, b->base.virtio.config + C_ACTUAL, 4);
    return MIN(GUINT32_FROM_LE(n), b->base.pci.dev.machine->config.ram_size / PAGE);
}

static void put_target(VirtioBalloon *b)
{
    uint32_t n = GUINT32_TO_LE(b->target);
    memcpy(b->base.virtio.config + C_NUM_PAGES, &n, 4);
}

static void config_written(Virtio *v, unsigned off, unsigned size)
{
    VirtioBalloon *b = of(v);
    put_target(b); /* the driver may only read it */
    if (off < C_ACTUAL + 4 && off + size > C_ACTUAL)
        machine_tell(v->dev, DEVICE_SAYS_BALLOON, v->dev->machine->config.ram_size - (uint64_t)actual_pages(b) * PAGE);
}

static void driver_reset(Virtio *v) { of(v)->stats_taken = false; }

static const VirtioType balloon_type = {
    .id = 5, .n_queues = QUEUES, .queue_size = 128, .config_bytes = BALLOON_CONFIG_BYTES,
    .features = 1ull << F_STATS_VQ | 1ull << F_PAGE_POISON, .notified = notified, .reset = driver_reset, .config_written = config_written,
};

/* ---- for the monitor */

bool balloon_is(const Device *d) { return d->type->size == sizeof(VirtioBalloon) && d->type->fields == virtio_balloon_pci_type.fields; }

void balloon_set_target(Device *d, uint64_t bytes)
{
    VirtioBalloon *b = (VirtioBalloon *)d;
    g_mutex_lock(&d->lock);
    b->target = (d->machine->config.ram_size - MIN(bytes, d->machine->config.ram_size)) / PAGE;
    put_target(b);
    virtio_config_changed(&b->base.virtio);
    g_mutex_unlock(&d->lock);
}

uint64_t balloon_actual(Device *d)
{
    g_mutex_lock(&d->lock);
    uint64_t bytes = d->machine->config.ram_size - (uint64_t)actual_pages((VirtioBalloon *)d) * PAGE;
    g_mutex_unlock(&d->lock);
    return bytes;
}

void balloon_stats(Device *d, BalloonStats *ret)
{
    VirtioBalloon *b = (VirtioBalloon *)d;
    g_mutex_lock(&d->lock);
    ret->last_update = b->last_update;
    for (unsigned i = 0; i < BALLOON_STATS; i++)
        ret->value[i] = b->last_update ? b->stat[i] : BALLOON_STAT_UNKNOWN;
    g_mutex_unlock(&d->lock);
}

uint32_t balloon_interval(Device *d) { return ((VirtioBalloon *)d)->interval; }

void balloon_set_interval(Device *d, uint32_t seconds)
{
    VirtioBalloon *b = (VirtioBalloon *)d;
    g_mutex_lock(&d->lock);
    b->interval = seconds;
    if (seconds)
        ask_stats(b); /* the first at once */
    else
        timer_disarm(&b->timer);
    g_mutex_unlock(&d->lock);
}

/* ---- life */

static bool realize(Device *d, GError **err)
{
    VirtioBalloon *b = (VirtioBalloon *)d;
    device_timer_init(d, &b->timer, ask_stats);
    virtio_pci_prepare(&b->base, &balloon_type);
    b->base.virtio.n_queues = b->reporting ? QUEUES : Q_REPORTING;
    b->base.virtio.offered |= (uint64_t)b->deflate_on_oom << F_DEFLATE_ON_OOM | (uint64_t)b->reporting << F_REPORTING;
    return virtio_pci_realize(&b->base, &balloon_type, err);
}

static void unrealize(Device *d) { timer_finish(&((VirtioBalloon *)d)->timer); }

/* The guest has all of its memory again. */
static void reset(Device *d, ResetKind k)
{
    VirtioBalloon *b = (VirtioBalloon *)d;
    virtio_pci_reset(d, k);
    memset(b->base.virtio.config, 0, BALLOON_CONFIG_BYTES);
    put_target(b);
    arm(b);
}

static bool post_load(Device *d, GError **err)
{
    arm((VirtioBalloon *)d);
    return virtio_pci_post_load(d, err);
}

static const Field fields[] = {
    VIRTIO_PCI_FIELDS(VirtioBalloon, base),
    { FN(VirtioBalloon, deflate_on_oom, "deflate-on-oom"), .role = FIELD_PROP, .doc = "the guest may take memory back when it has none left" },
    { FN(VirtioBalloon, reporting, "free-page-reporting"), .role = FIELD_PROP, .doc = "the guest says which memory it does not use" },
    { F(VirtioBalloon, target), .keep = true, .doc = "pages that the balloon shall have" },
    { F(VirtioBalloon, interval), .keep = true, .max = 1 << 20, .doc = "seconds between statistics; 0: none" },
    { F(VirtioBalloon, stats_taken), .doc = "the driver's buffer has been read" },
    { FA(VirtioBalloon, stat), .keep = true, .doc = "last statistics" },
    { F(VirtioBalloon, last_update), .role = FIELD_HOST },
    { FO(VirtioBalloon, timer), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

static const PciInfo pci_info = VIRTIO_PCI_INFO(0x1002, 0x00ff00, QUEUES + 1);

#define BALLOON_TYPE                                                                                                   \
    .summary = "virtio memory balloon", .spec = "Virtio 1.2, 5.5", .size = sizeof(VirtioBalloon), .version = 1, .fields = fields, \
    .realize = realize, .unrealize = unrealize, .reset = reset, .post_load = post_load

VIRTIO_PCI_TYPES(virtio_balloon_pci_type, "virtio-balloon-pci", BALLOON_TYPE, .windows = virtio_pci_windows, .pci = &pci_info);
VIRTIO_MMIO_TYPE(virtio_balloon_device_type, "virtio-balloon-device", BALLOON_TYPE);
