/* virtio_mmio.c - virtio's registers as memory, and the places for such devices.  Virtio 1.2, 4.2; names as there. */
#include "devices/virtio/virtio_mmio.h"

#include "machine/machine.h"

enum {
    MAGIC = 0x000, VERSION = 0x004, DEVICE_ID = 0x008, VENDOR_ID = 0x00c, DEVICE_FEATURES = 0x010, DEVICE_FEATURES_SEL = 0x014,
    DRIVER_FEATURES = 0x020, DRIVER_FEATURES_SEL = 0x024, QUEUE_SEL = 0x030, QUEUE_NUM_MAX = 0x034, QUEUE_NUM = 0x038, QUEUE_READY = 0x044,
    QUEUE_NOTIFY = 0x050, INTERRUPT_STATUS = 0x060, INTERRUPT_ACK = 0x064, STATUS = 0x070, QUEUE_DESC = 0x080, QUEUE_DRIVER = 0x090,
    QUEUE_DEVICE = 0x0a0, SHM_LEN = 0x0b0, SHM_END = 0x0c0, QUEUE_RESET = 0x0c0, CONFIG_GENERATION = 0x0fc, CONFIG = 0x100,
};
static const uint32_t VIRT = 0x74726976, MODERN = 2, QEMU_VENDOR = 0x554d4551;

/* ---- interrupts: one line, with its reasons in INTERRUPT_STATUS until they are acknowledged */

void virtio_mmio_interrupt(Virtio *v, uint16_t vector) { irq_set(&v->dev->irq[0], v->isr); }

static void acknowledge(Virtio *v, uint32_t reasons)
{
    v->isr &= ~reasons;
    virtio_mmio_interrupt(v, VIRTIO_NO_VECTOR);
}

/* ---- reading */

static uint32_t read_queue(const Virtio *v, const Virtqueue *q, unsigned reg)
{
    switch (reg) {
    case QUEUE_NUM_MAX:
        return v->queue_size;
    case QUEUE_READY:
        return q->enabled;
    }
    return 0; /* the rest is for writing, and a reset is over at once */
}

static uint32_t read_register(const VirtioPci *p, unsigned reg)
{
    const Virtio *v = &p->virtio;
    const Virtqueue *q = virtio_pci_queue(p);
    switch (reg) {
    case MAGIC:
        return VIRT;
    case VERSION:
        return MODERN;
    case DEVICE_ID:
        return v->type->id;
    case VENDOR_ID:
        return QEMU_VENDOR;
    case DEVICE_FEATURES:
        return virtio_pci_offered(p);
    case INTERRUPT_STATUS:
        return v->isr;
    case STATUS:
        return v->status;
    case CONFIG_GENERATION:
        return v->generation;
    }
    if (reg >= SHM_LEN && reg < SHM_END)
        return UINT32_MAX; /* no shared memory: 4.2.2 */
    return q ? read_queue(v, q, reg) : 0;
}

/* Registers take 32-bit accesses (4.2.2.2), configuration space any. */
static bool is_register(Device *d, uint64_t off, unsigned size)
{
    if (size == 4 && !(off & 3))
        return true;
    guest_error(d, "%s: an access of %u bytes at %" G_GINT64_MODIFIER "x", d->path, size, off);
    return false;
}

static uint64_t mmio_read(Device *d, uint64_t off, unsigned size)
{
    VirtioPci *p = (VirtioPci *)d;
    if (off >= CONFIG)
        return virtio_read_config(&p->virtio, off - CONFIG, size);
    return is_register(d, off, size) ? read_register(p, off) : 0;
}

/* ---- writing */

static void write_ready(Virtio *v, Virtqueue *q, uint32_t value)
{
    if (value == 1 && !q->enabled)
        virtio_enable_queue(v, q);
    else if (!value)
        virtio_reset_queue(v, q);
}

static void write_area(Virtqueue *q, unsigned reg, uint32_t value)
{
    uint64_t *area = reg < QUEUE_DRIVER ? &q->desc : reg < QUEUE_DEVICE ? &q->avail : &q->used;
    if (!q->enabled && !(reg & 8))
        virtio_set_half(area, reg & 4, value);
}

static void write_queue(VirtioPci *p, Virtqueue *q, unsigned reg, uint32_t value)
{
    switch (reg) {
    case QUEUE_NUM:
        virtio_set_queue_size(&p->virtio, q, MIN(value, UINT16_MAX));
        break;
    case QUEUE_READY:
        write_ready(&p->virtio, q, value);
        break;
    case QUEUE_RESET:
        if (value == 1 && virtio_has(&p->virtio, VIRTIO_F_RING_RESET))
            virtio_reset_queue(&p->virtio, q);
        break;
    default:
        if (reg >= QUEUE_DESC && reg < QUEUE_DEVICE + 8)
            write_area(q, reg, value);
    }
}

static void write_register(VirtioPci *p, unsigned reg, uint32_t value)
{
    Virtqueue *q = virtio_pci_queue(p);
    switch (reg) {
    case DEVICE_FEATURES_SEL:
        p->feature_select = value;
        break;
    case DRIVER_FEATURES_SEL:
        p->driver_feature_select = value;
        break;
    case DRIVER_FEATURES:
        virtio_pci_accept(p, value);
        break;
    case QUEUE_SEL:
        p->queue_select = MIN(value, UINT16_MAX);
        break;
    case QUEUE_NOTIFY:
        virtio_queue_notify(&p->virtio, value);
        break;
    case INTERRUPT_ACK:
        acknowledge(&p->virtio, value);
        break;
    case STATUS:
        virtio_pci_write_status(p, value);
        break;
    default:
        if (q)
            write_queue(p, q, reg, value);
    }
}

static void mmio_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    VirtioPci *p = (VirtioPci *)d;
    if (off >= CONFIG)
        virtio_write_config(&p->virtio, off - CONFIG, size, value);
    else if (is_register(d, off, size))
        write_register(p, off, value);
}

static bool mmio_ring(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    return off == QUEUE_NOTIFY && size == 4 && virtio_ring(&((VirtioPci *)d)->virtio, value);
}

static const WindowOps mmio_ops = { mmio_read, mmio_write, .min = 1, .max = 4, .unlocked_write = mmio_ring };
const WindowDecl virtio_mmio_windows[] = { { "registers", SPACE_MMIO, VIRTIO_MMIO_BYTES, &mmio_ops }, { .name = NULL } };

bool virtio_mmio_realize(VirtioPci *p, const VirtioType *type, GError **err)
{
    if (!p->virtio.type)
        virtio_pci_prepare(p, type);
    p->virtio.offered |= 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_RING_RESET;
    return true;
}

/* ---- places */

Device *virtio_mmio_bus_device(const VirtioMmioBus *b)
{
    const GPtrArray *devices = b->bus.machine->devices;
    for (unsigned i = 0; i < devices->len; i++)
        if (((Device *)devices->pdata[i])->bus == &b->bus)
            return devices->pdata[i];
    return NULL;
}

static bool full(const Bus *b) { return virtio_mmio_bus_device((const VirtioMmioBus *)b); }

static bool plug(Bus *bus, Device *d, const char *addr, GError **err)
{
    const VirtioMmioBus *b = (const VirtioMmioBus *)bus;
    const Device *other = virtio_mmio_bus_device(b);
    if (other)
        return error_set(err, ERR_BUSY, "%s: bus '%s' holds one device, and that is '%s'; choose another bus", d->path, bus->name, other->path);
    d->irq[0] = b->irq;
    return device_map(d, 0, b->base, err);
}

static const BusType bus_type = { .kind = VIRTIO_MMIO_BUS, .plug = plug, .full = full };

void virtio_mmio_bus_init(VirtioMmioBus *b, Machine *m, unsigned n, uint64_t base, IrqLine irq)
{
    g_autofree char *name = g_strdup_printf("virtio-mmio-bus.%u", n);
    *b = (VirtioMmioBus){ .base = base, .irq = irq };
    bus_init(&b->bus, m, &bus_type, name, NULL);
}
