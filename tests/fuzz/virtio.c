/* virtio.c - see fuzz_virtio.h. */
#include "fuzz_virtio.h"

enum { DEVFN = 3 << 3, IO_BAR = 0xc000, SIZE = 16, DESC = 0x10000, AVAIL = DESC + 16 * SIZE, USED = 0x11000 };
#define MSIX_BAR   0xfe000000u
#define MODERN_BAR 0xfd000000u

static void modern(FuzzRig *r, unsigned reg, unsigned size, uint64_t value)
{
    fuzz_write(r->machine->memory, MODERN_BAR + reg, size, value);
}

static void set_queue(FuzzRig *r, unsigned n)
{
    modern(r, 0x16, 2, n);
    modern(r, 0x18, 2, SIZE);
    modern(r, 0x20, 8, DESC);
    modern(r, 0x28, 8, AVAIL);
    modern(r, 0x30, 8, USED + 0x400 * n);
    modern(r, 0x1c, 2, 1);
}

/* What a driver does up to DRIVER_OK, so that the input can get on to the rings. */
static void start(FuzzRig *r, const FuzzVirtio *f, bool indirect, bool event)
{
    uint64_t features = f->features | (uint64_t)indirect << 28 | (uint64_t)event << 29;
    modern(r, 0x14, 1, 0);
    modern(r, 0x14, 1, 3);
    modern(r, 0x08, 4, 0);
    modern(r, 0x0c, 4, (uint32_t)features);
    modern(r, 0x08, 4, 1);
    modern(r, 0x0c, 4, features >> 32 | 1);
    modern(r, 0x14, 1, 11);
    for (unsigned q = 0; q < f->n_queues; q++) /* all on one ring: they take from it in turn */
        set_queue(r, q);
    modern(r, 0x14, 1, 15);
}

/* A descriptor that is right but for what the input says. */
static void put_desc(FuzzRig *r, FuzzInput *in)
{
    struct { uint64_t addr; uint32_t len; uint16_t flags, next; } d;
    uint8_t where = fuzz_take(in, 1), how = fuzz_take(in, 1);
    d.addr = how & 8 ? fuzz_take(in, 8) : DESC + fuzz_take(in, 2);
    d.len = how & 16 ? fuzz_take(in, 4) : how & 32 ? 16 * (how >> 6) : fuzz_take(in, 1);
    d.flags = how & 7;
    d.next = fuzz_take(in, 1) % (SIZE + 1);
    dma_write(r->machine, DESC + 16 * (where % 64), &d, 16);
}

static void make_available(FuzzRig *r, unsigned head)
{
    uint16_t ring[2];
    dma_read(r->machine, AVAIL + 2, ring, 2);
    ring[1] = head;
    dma_write(r->machine, AVAIL + 4 + 2 * (ring[0] % SIZE), &ring[1], 2);
    ring[0]++;
    dma_write(r->machine, AVAIL + 2, ring, 2);
}

static void kick(FuzzRig *r, const FuzzVirtio *f, FuzzInput *in)
{
    uint8_t what = fuzz_take(in, 1);
    make_available(r, what % (SIZE + 1));
    modern(r, 0x3000 + 4 * ((what >> 5) % f->n_queues), 2, 0);
}

/* A request that is right as far as the device's own maker of requests wants it to be. */
static void send(FuzzRig *r, const FuzzVirtio *f, FuzzInput *in)
{
    FuzzBuffer buffers[SIZE];
    unsigned n = f->request ? f->request(r, in, buffers, SIZE) : 0;
    for (unsigned i = 0; i < n; i++) {
        struct { uint64_t addr; uint32_t len; uint16_t flags, next; } d = { buffers[i].addr, buffers[i].len,
            (i + 1 < n ? 1 : 0) | (buffers[i].device_writes ? 2 : 0), i + 1 };
        dma_write(r->machine, DESC + 16 * i, &d, 16);
    }
    if (!n)
        return;
    make_available(r, 0);
    modern(r, 0x3000 + 4 * (fuzz_take(in, 1) % f->n_queues), 2, 0);
}

static void access_register(FuzzRig *r, FuzzInput *in)
{
    uint8_t how = fuzz_take(in, 1);
    unsigned size = 1u << (how & 3), off = fuzz_take(in, 1) & -size;
    static const uint64_t bases[] = { MODERN_BAR, MODERN_BAR + 0x1000, MODERN_BAR + 0x2000, MODERN_BAR + 0x3000, MSIX_BAR, MSIX_BAR + 0x800 };
    bool port = how & 4;
    AddressSpace *s = port ? r->machine->ports : r->machine->memory;
    uint64_t at = port ? IO_BAR : bases[(how >> 4) % G_N_ELEMENTS(bases)];
    if (how & 8)
        fuzz_read(s, at + off, size);
    else
        fuzz_write(s, at + off, size, fuzz_take(in, size));
}

static void access_config(FuzzRig *r, FuzzInput *in)
{
    unsigned size = 1u << fuzz_take(in, 1) % 3, off = fuzz_take(in, 1) & -size;
    pci_config_read(r->bus, DEVFN, off, size);
    pci_config_write(r->bus, DEVFN, off, size, fuzz_take(in, size));
}

static void step(FuzzRig *r, const FuzzVirtio *f, Device *d, FuzzInput *in)
{
    uint8_t op = fuzz_take(in, 1);
    switch (op % 16) {
    case 0 ... 2:
        put_desc(r, in);
        break;
    case 3 ... 4:
        kick(r, f, in);
        break;
    case 5 ... 6:
        send(r, f, in);
        break;
    case 7:
        start(r, f, op & 0x10, op & 0x20);
        break;
    case 8:
        fuzz_fill_ram(r, in, DESC + fuzz_take(in, 2) % 0x2000);
        break;
    case 9:
        access_config(r, in);
        break;
    case 10:
        clock_advance(r->machine->clock, fuzz_take(in, 2) * 1000);
        break;
    case 11:
        if (op & 0x80)
            device_reset(d, RESET_WARM);
        else
            fuzz_save_load(r);
        break;
    default:
        access_register(r, in);
    }
}

void fuzz_virtio(FuzzRig *r, FuzzInput *in, const FuzzVirtio *f)
{
    Device *d = device_new(r->machine, f->type, NULL, f->props, NULL);
    g_assert_true(pci_plug((PciDevice *)d, r->bus, DEVFN, NULL) && device_realize(d, NULL));
    if (f->plugged)
        f->plugged(r);
    pci_config_write(r->bus, DEVFN, PCI_BAR0, 4, IO_BAR);
    pci_config_write(r->bus, DEVFN, PCI_BAR0 + 4, 4, MSIX_BAR);
    pci_config_write(r->bus, DEVFN, PCI_BAR0 + 16, 4, MODERN_BAR);
    pci_config_write(r->bus, DEVFN, PCI_COMMAND, 2, 7);
    start(r, f, true, true);
    for (unsigned i = 0; i < 1000 && in->left; i++)
        step(r, f, d, in);
}
