/*
 * virtio_rng_test.c - a virtio driver, by configuration space and MMIO, legacy and modern; then one that breaks rules.
 */
#include "devices/virtio/virtio_rng.h"

#include <string.h>

#include "machine/machine.h"

enum { RAM_BYTES = 4 << 20, DEVFN = 3 << 3, IO_BAR = 0xc000, MSIX_BAR = 0xfe000000, SIZE = 16 };
#define MODERN_BAR 0xfd000000u
enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };
enum { F_INDIRECT = 28, F_EVENT = 29, F_VERSION_1 = 32 };
enum { DESC = 0x10000, AVAIL = DESC + 16 * SIZE, USED = 0x11000, TABLE = 0x12000, DATA = 0x20000 };

typedef struct Fixture {
    Machine *machine;
    PciBus *bus;
    Device *device;
    bool intx;
    unsigned messages;
    uint32_t last_message;
    uint64_t common, isr, notify;
    uint16_t avail_idx, used_seen;
} Fixture;

static void set_intx(void *opaque, uint8_t devfn, unsigned pin, bool level) { ((Fixture *)opaque)->intx = level; }

static void take_message(void *opaque, uint64_t address, uint32_t data)
{
    Fixture *f = opaque;
    g_assert_cmphex(address, ==, 0xfee00000);
    f->messages++;
    f->last_message = data;
}

static const PciBusOps bus_ops = { .set_intx = set_intx, .msi = take_message };

static uint32_t config_read(Fixture *f, unsigned off, unsigned size) { return pci_config_read(f->bus, DEVFN, off, size); }
static void config_write(Fixture *f, unsigned off, unsigned size, uint32_t v) { pci_config_write(f->bus, DEVFN, off, size, v); }

static uint64_t read_in(AddressSpace *s, uint64_t at, unsigned size)
{
    FlatView *v = space_view(s);
    uint64_t value = view_read(v, at, size);
    view_unref(v);
    return value;
}

static void write_in(AddressSpace *s, uint64_t at, unsigned size, uint64_t value)
{
    FlatView *v = space_view(s);
    view_write(v, at, size, value);
    view_unref(v);
}

static uint64_t rd(Fixture *f, uint64_t at, unsigned size) { return read_in(f->machine->memory, at, size); }
static void wr(Fixture *f, uint64_t at, unsigned size, uint64_t v) { write_in(f->machine->memory, at, size, v); }
static uint32_t in(Fixture *f, unsigned reg, unsigned size) { return read_in(f->machine->ports, IO_BAR + reg, size); }
static void out(Fixture *f, unsigned reg, unsigned size, uint32_t v) { write_in(f->machine->ports, IO_BAR + reg, size, v); }

static void make_device(Fixture *f, const char *const *props)
{
    g_autoptr(GError) err = NULL;
    f->device = device_new(f->machine, &virtio_rng_pci_type, NULL, props, &err);
    g_assert_no_error(err);
    g_assert_true(pci_plug((PciDevice *)f->device, f->bus, DEVFN, &err));
    device_realize(f->device, &err);
    g_assert_no_error(err);
    config_write(f, PCI_BAR0, 4, IO_BAR);
    config_write(f, PCI_BAR0 + 4, 4, MSIX_BAR);
    config_write(f, PCI_BAR0 + 16, 4, MODERN_BAR);
    config_write(f, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void set_up(Fixture *f, const void *props)
{
    MachineConfig config = { .ram_size = RAM_BYTES, .manual_clock = true, .max_cpus = 1 };
    f->machine = machine_create(&config, NULL);
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .size = RAM_BYTES, .ram = f->machine->ram };
    g_assert_nonnull(region_add(f->machine->memory, &ram, NULL));
    f->bus = pci_bus_create(f->machine, "pci.0", &bus_ops, f);
    make_device(f, props);
}

static void tear_down(Fixture *f, const void *props)
{
    machine_destroy(f->machine);
    pci_bus_destroy(f->bus);
}

/* ---- a driver */

static unsigned find_cap(Fixture *f, unsigned id, unsigned type)
{
    for (unsigned at = config_read(f, PCI_CAPABILITIES, 1); at; at = config_read(f, at + 1, 1))
        if (config_read(f, at, 1) == id && (id != PCI_CAP_VENDOR || config_read(f, at + 3, 1) == type))
            return at;
    return 0;
}

static uint64_t cap_address(Fixture *f, unsigned type)
{
    unsigned at = find_cap(f, PCI_CAP_VENDOR, type);
    g_assert_cmpuint(at, !=, 0);
    g_assert_cmpuint(config_read(f, at + 4, 1), ==, 4);
    return MODERN_BAR + config_read(f, at + 8, 4);
}

static uint64_t offered(Fixture *f)
{
    uint64_t features = 0;
    for (unsigned i = 0; i < 2; i++) {
        wr(f, f->common, 4, i);
        features |= rd(f, f->common + 4, 4) << 32 * i;
    }
    return features;
}

static void accept(Fixture *f, uint64_t features)
{
    for (unsigned i = 0; i < 2; i++) {
        wr(f, f->common + 8, 4, i);
        wr(f, f->common + 12, 4, features >> 32 * i & 0xffffffff);
    }
}

static uint8_t status(Fixture *f) { return rd(f, f->common + 0x14, 1); }
static void set_status(Fixture *f, uint8_t v) { wr(f, f->common + 0x14, 1, v); }

static void put(Fixture *f, uint64_t at, const void *from, size_t n) { g_assert_true(dma_write(f->machine, at, from, n)); }
static void put16(Fixture *f, uint64_t at, uint16_t v) { put(f, at, &v, 2); }

static uint16_t get16(Fixture *f, uint64_t at)
{
    uint16_t v;
    g_assert_true(dma_read(f->machine, at, &v, 2));
    return v;
}

static void set_queue(Fixture *f, uint16_t size, uint64_t desc, uint64_t avail, uint64_t used)
{
    wr(f, f->common + 0x16, 2, 0);
    wr(f, f->common + 0x18, 2, size);
    wr(f, f->common + 0x20, 8, desc);
    wr(f, f->common + 0x28, 8, avail);
    wr(f, f->common + 0x30, 8, used);
    wr(f, f->common + 0x1c, 2, 1);
}

/* Up to FEATURES_OK. */
static void negotiate(Fixture *f, uint64_t features)
{
    f->common = cap_address(f, CAP_COMMON);
    f->isr = cap_address(f, CAP_ISR);
    f->notify = cap_address(f, CAP_NOTIFY);
    f->avail_idx = f->used_seen = 0;
    set_status(f, 0);
    g_assert_cmphex(status(f), ==, 0);
    set_status(f, 1);
    set_status(f, 3);
    accept(f, features | 1ull << F_VERSION_1);
    set_status(f, 11);
    g_assert_cmphex(status(f), ==, 11);
    uint8_t zeros[0x3000] = { 0 };
    put(f, DESC, zeros, sizeof(zeros));
}

static void start(Fixture *f, uint64_t features)
{
    negotiate(f, features);
    set_queue(f, SIZE, DESC, AVAIL, USED);
    g_assert_cmpuint(rd(f, f->common + 0x1c, 2), ==, 1);
    set_status(f, 15);
}

static void put_desc(Fixture *f, uint64_t table, unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
    struct { uint64_t addr; uint32_t len; uint16_t flags, next; } d = { addr, len, flags, next };
    put(f, table + 16 * i, &d, 16);
}

static void make_available(Fixture *f, uint16_t head)
{
    put16(f, AVAIL + 4 + 2 * (f->avail_idx % SIZE), head);
    put16(f, AVAIL + 2, ++f->avail_idx);
}

static void kick(Fixture *f) { wr(f, f->notify, 2, 0); }

/* The next used entry, which must be there. */
static uint32_t take_used(Fixture *f, uint16_t head)
{
    uint32_t entry[2];
    g_assert_cmpuint(get16(f, USED + 2), !=, f->used_seen);
    g_assert_true(dma_read(f->machine, USED + 4 + 8 * (f->used_seen++ % SIZE), entry, 8));
    g_assert_cmpuint(entry[0], ==, head);
    return entry[1];
}

static bool nothing_used(Fixture *f) { return get16(f, USED + 2) == f->used_seen; }

/* Are there random bytes from `at` on, and none of them behind it?  RAM starts as zeros. */
static void assert_random(Fixture *f, uint64_t at, unsigned n)
{
    g_autofree uint8_t *data = g_malloc(n + 64);
    unsigned zeros = 0;
    g_assert_true(dma_read(f->machine, at, data, n + 64));
    for (unsigned i = 0; i < n; i++)
        zeros += !data[i];
    g_assert_cmpuint(zeros, <, n / 16 + 4);
    for (unsigned i = n; i < n + 64; i++)
        g_assert_cmpuint(data[i], ==, 0);
}

/* ---- modern */

static void test_ids(Fixture *f, const void *props)
{
    bool modern_only = props != NULL;
    g_assert_cmphex(config_read(f, PCI_VENDOR_ID, 4), ==, modern_only ? 0x10441af4 : 0x10051af4);
    g_assert_cmphex(config_read(f, PCI_REVISION, 1), ==, modern_only);
    g_assert_cmphex(config_read(f, PCI_SUBSYSTEM, 2), ==, modern_only ? 0x1100 : 4);
    g_assert_cmphex(config_read(f, PCI_BAR0, 4), ==, modern_only ? 0 : IO_BAR | 1);
    config_write(f, PCI_BAR0 + 16, 4, 0xffffffff);
    g_assert_cmphex(config_read(f, PCI_BAR0 + 16, 4), ==, 0xffffc00c);
    g_assert_cmpuint(find_cap(f, PCI_CAP_MSIX, 0), !=, 0);
    for (unsigned type = CAP_COMMON; type <= CAP_PCI; type++)
        g_assert_cmpint(find_cap(f, PCI_CAP_VENDOR, type) != 0, ==, type != CAP_DEVICE);
}

static void test_legacy_only(Fixture *f, const void *props)
{
    g_assert_cmpuint(find_cap(f, PCI_CAP_VENDOR, CAP_COMMON), ==, 0);
    g_assert_cmphex(config_read(f, PCI_BAR0 + 16, 4), ==, 0);
    g_assert_cmphex(config_read(f, PCI_BAR0, 4), ==, IO_BAR | 1);
}

static void test_modern(Fixture *f, const void *props)
{
    start(f, 0);
    g_assert_cmpuint(rd(f, f->common + 0x12, 2), ==, 1);
    for (unsigned i = 0; i < 3 * SIZE; i++) {
        uint64_t at = DATA + i * 0x1000;
        put_desc(f, DESC, i % SIZE, at, 100, WRITE, 0);
        make_available(f, i % SIZE);
        g_assert_false(f->intx);
        kick(f);
        g_assert_true(f->intx);
        g_assert_cmphex(rd(f, f->isr, 1), ==, 1);
        g_assert_false(f->intx);
        g_assert_cmphex(rd(f, f->isr, 1), ==, 0);
        g_assert_cmpuint(take_used(f, i % SIZE), ==, 100);
        assert_random(f, at, 100);
    }
    put16(f, AVAIL, 1); /* no interrupts, please */
    make_available(f, 0);
    kick(f);
    g_assert_false(f->intx);
    g_assert_cmpuint(take_used(f, 0), ==, 100);
}

static void test_chains(Fixture *f, const void *props)
{
    start(f, 1ull << F_INDIRECT);
    put_desc(f, DESC, 3, DATA, 10, WRITE | NEXT, 7);
    put_desc(f, DESC, 7, DATA + 10, 20, WRITE | NEXT, 1);
    put_desc(f, DESC, 1, DATA + 30, 30, WRITE, 99);
    put_desc(f, DESC, 0, TABLE, 3 * 16, INDIRECT, 0); /* an indirect table */
    put_desc(f, TABLE, 0, DATA + 0x10000, 5, WRITE | NEXT, 2);
    put_desc(f, TABLE, 2, DATA + 0x10005, 6, WRITE, 0);
    put_desc(f, DESC, 4, DATA + 0x20000, 4, WRITE | NEXT, 5); /* a plain buffer and then an indirect table */
    put_desc(f, DESC, 5, TABLE + 0x100, 16, INDIRECT | WRITE, 0);
    put_desc(f, TABLE + 0x100, 0, DATA + 0x20004, 90000, WRITE, 0);
    put_desc(f, DESC, 6, DATA, 16, 0, 0); /* nothing to write */
    make_available(f, 3);
    make_available(f, 0);
    make_available(f, 4);
    make_available(f, 6);
    kick(f);
    g_assert_cmpuint(take_used(f, 3), ==, 60);
    assert_random(f, DATA, 60);
    g_assert_cmpuint(take_used(f, 0), ==, 11);
    assert_random(f, DATA + 0x10000, 11);
    g_assert_cmpuint(take_used(f, 4), ==, 65536);
    assert_random(f, DATA + 0x20000, 65536);
    g_assert_cmpuint(take_used(f, 6), ==, 0);
    g_assert_cmphex(status(f), ==, 15);
}

static void test_event_index(Fixture *f, const void *props)
{
    start(f, 1ull << F_EVENT);
    g_assert_cmphex(offered(f) >> F_EVENT & 1, ==, 1);
    for (unsigned i = 0; i < SIZE; i++)
        put_desc(f, DESC, i, DATA, 8, WRITE, 0);
    put16(f, AVAIL + 4 + 2 * SIZE, 4); /* used_event: an interrupt when entry 4 is used */
    for (unsigned i = 0; i < 10; i++) {
        make_available(f, i);
        kick(f);
        g_assert_cmpuint(get16(f, USED + 4 + 8 * SIZE), ==, i + 1); /* avail_event follows */
        bool expect = i == 0 || i == 4;                             /* the first is always told */
        g_assert_cmpint(f->intx, ==, expect);
        g_assert_cmphex(rd(f, f->isr, 1), ==, expect);
        take_used(f, i);
    }
}

static void enable_msix(Fixture *f)
{
    unsigned cap = find_cap(f, PCI_CAP_MSIX, 0);
    g_assert_cmpuint(config_read(f, cap + 2, 2), ==, 1);
    for (unsigned i = 0; i < 2; i++) {
        wr(f, MSIX_BAR + 16 * i, 4, 0xfee00000);
        wr(f, MSIX_BAR + 16 * i + 4, 4, 0);
        wr(f, MSIX_BAR + 16 * i + 8, 4, 0x40 + i);
        wr(f, MSIX_BAR + 16 * i + 12, 4, 0);
    }
    config_write(f, cap + 2, 2, 0x8000);
}

static void test_msix(Fixture *f, const void *props)
{
    negotiate(f, 0);
    enable_msix(f);
    wr(f, f->common + 0x10, 2, 0);
    wr(f, f->common + 0x1a, 2, 9);
    g_assert_cmphex(rd(f, f->common + 0x1a, 2), ==, 0xffff); /* there is no vector 9 */
    wr(f, f->common + 0x1a, 2, 1);
    g_assert_cmphex(rd(f, f->common + 0x1a, 2), ==, 1);
    set_queue(f, SIZE, DESC, AVAIL, USED);
    set_status(f, 15);
    put_desc(f, DESC, 0, DATA, 16, WRITE, 0);
    make_available(f, 0);
    kick(f);
    g_assert_cmpuint(f->messages, ==, 1);
    g_assert_cmphex(f->last_message, ==, 0x41);
    g_assert_false(f->intx);
    wr(f, MSIX_BAR + 16 + 12, 4, 1); /* masked: it waits */
    make_available(f, 0);
    kick(f);
    g_assert_cmpuint(f->messages, ==, 1);
    wr(f, MSIX_BAR + 16 + 12, 4, 0);
    g_assert_cmpuint(f->messages, ==, 2);
    put_desc(f, DESC, 0, DATA, 16, WRITE | NEXT, SIZE); /* broken: vector 0 tells */
    make_available(f, 0);
    kick(f);
    g_assert_cmpuint(f->messages, ==, 3);
    g_assert_cmphex(f->last_message, ==, 0x40);
    g_assert_cmphex(status(f), ==, 15 | 64);
}

static void test_features(Fixture *f, const void *props)
{
    f->common = cap_address(f, CAP_COMMON);
    set_status(f, 3);
    accept(f, 0); /* a modern driver without VERSION_1 */
    set_status(f, 11);
    g_assert_cmphex(status(f), ==, 3);
    set_status(f, 15);
    g_assert_cmphex(status(f), ==, 3);
    accept(f, UINT64_MAX);
    wr(f, f->common + 8, 4, 1);
    g_assert_cmphex(rd(f, f->common + 12, 4) & ~0x101u, ==, 0); /* only what is offered: VERSION_1, RING_RESET */
    set_status(f, 11);
    accept(f, 1ull << F_VERSION_1);
    wr(f, f->common + 8, 4, 0);
    g_assert_cmphex(rd(f, f->common + 12, 4) >> F_EVENT & 1, ==, 1); /* too late */
    static const uint16_t sizes[] = { 0, 3, 65, 128, 65535 };
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        wr(f, f->common + 0x18, 2, sizes[i]);
        g_assert_cmpuint(rd(f, f->common + 0x18, 2), ==, 64);
    }
    wr(f, f->common + 0x16, 2, 1); /* no such queue */
    g_assert_cmpuint(rd(f, f->common + 0x18, 2), ==, 0);
    wr(f, f->common + 0x1c, 2, 1);
    wr(f, f->common + 0x20, 4, 0x1000);
}

static void test_queue_reset(Fixture *f, const void *props)
{
    start(f, 1ull << 40);
    put_desc(f, DESC, 0, DATA, 8, WRITE, 0);
    make_available(f, 0);
    kick(f);
    take_used(f, 0);
    wr(f, f->common + 0x3a, 2, 1);
    g_assert_cmpuint(rd(f, f->common + 0x1c, 2), ==, 0);
    make_available(f, 0);
    kick(f);
    g_assert_true(nothing_used(f));
    uint8_t zeros[0x2000] = { 0 };
    put(f, AVAIL, zeros, sizeof(zeros));
    f->avail_idx = f->used_seen = 0;
    set_queue(f, SIZE, DESC, AVAIL, USED);
    make_available(f, 0);
    kick(f);
    g_assert_cmpuint(take_used(f, 0), ==, 8);
}

static uint32_t by_window(Fixture *f, unsigned cap, uint32_t off, unsigned size)
{
    config_write(f, cap + 4, 1, 4);
    config_write(f, cap + 8, 4, off);
    config_write(f, cap + 12, 4, size);
    return config_read(f, cap + 16, size);
}

/* The registers by way of configuration space only, as firmware reaches them before BARs are mapped. */
static void test_config_window(Fixture *f, const void *props)
{
    unsigned cap = find_cap(f, PCI_CAP_VENDOR, CAP_PCI);
    g_assert_cmpuint(by_window(f, cap, 0x12, 2), ==, 1);
    by_window(f, cap, 0x14, 1);
    config_write(f, cap + 16, 1, 3);
    g_assert_cmpuint(by_window(f, cap, 0x14, 1), ==, 3);
    static const uint32_t bad[][2] = { { 0x4000, 4 }, { 0xfffffffc, 4 }, { 2, 4 }, { 0x3fff, 2 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        by_window(f, cap, bad[i][0], bad[i][1]);
        config_write(f, cap + 16, 4, 0xffffffff);
    }
    g_assert_cmpuint(by_window(f, cap, 0x14, 1), ==, 3);
}

/* ---- legacy */

static void test_legacy(Fixture *f, const void *props)
{
    uint8_t zeros[0x3000] = { 0 };
    put(f, DESC, zeros, sizeof(zeros));
    enum { LSIZE = 64, LAVAIL = DESC + 16 * LSIZE, LUSED = DESC + 0x1000 };
    out(f, 18, 1, 0);
    out(f, 18, 1, 3);
    g_assert_cmphex(in(f, 0, 4) >> F_INDIRECT & 3, ==, 3);
    out(f, 4, 4, 0);
    out(f, 14, 2, 1);
    g_assert_cmpuint(in(f, 12, 2), ==, 0);
    out(f, 14, 2, 0);
    g_assert_cmpuint(in(f, 12, 2), ==, LSIZE);
    out(f, 8, 4, DESC >> 12);
    g_assert_cmphex(in(f, 8, 4), ==, DESC >> 12);
    put_desc(f, DESC, 63, DATA, 40, WRITE, 0);
    put16(f, LAVAIL + 4, 63);
    put16(f, LAVAIL + 2, 1);
    out(f, 16, 2, 0); /* before DRIVER_OK: is done when that comes */
    g_assert_cmpuint(get16(f, LUSED + 2), ==, 0);
    out(f, 18, 1, 7);
    g_assert_cmpuint(get16(f, LUSED + 2), ==, 1);
    g_assert_cmpuint(get16(f, LUSED + 4), ==, 63);
    g_assert_cmpuint(get16(f, LUSED + 8), ==, 40);
    assert_random(f, DATA, 40);
    g_assert_true(f->intx);
    g_assert_cmphex(in(f, 19, 1), ==, 1);
    g_assert_false(f->intx);
    put_desc(f, DESC, 63, RAM_BYTES - 8, 40, WRITE, 0); /* runs over the end of RAM */
    put16(f, LAVAIL + 6, 63);
    put16(f, LAVAIL + 2, 2);
    out(f, 16, 2, 0);
    g_assert_cmpuint(get16(f, LUSED + 2), ==, 1);
    g_assert_cmphex(in(f, 18, 1), ==, 7); /* a legacy driver knows no NEEDS_RESET */
    out(f, 18, 1, 0);
    g_assert_cmphex(in(f, 8, 4), ==, 0);
    enable_msix(f);
    out(f, 20, 2, 0);
    out(f, 22, 2, 1);
    g_assert_cmphex(in(f, 20, 4), ==, 0x00000000);
    g_assert_cmphex(in(f, 22, 2), ==, 1);
}

/* ---- drivers that break the rules */

typedef struct BadRing {
    const char *name;
    void (*make)(Fixture *f);
} BadRing;

static void bad_head(Fixture *f) { make_available(f, SIZE); }
static void bad_next(Fixture *f)
{
    put_desc(f, DESC, 0, DATA, 8, WRITE | NEXT, 500);
    make_available(f, 0);
}
static void bad_loop(Fixture *f)
{
    put_desc(f, DESC, 0, DATA, 8, WRITE | NEXT, 1);
    put_desc(f, DESC, 1, DATA, 8, WRITE | NEXT, 0);
    make_available(f, 0);
}
static void bad_loop_indirect(Fixture *f)
{
    put_desc(f, DESC, 0, TABLE, 16, INDIRECT, 0);
    put_desc(f, TABLE, 0, DATA, 8, WRITE | NEXT, 0);
    make_available(f, 0);
}
static void bad_address(Fixture *f)
{
    put_desc(f, DESC, 0, 0x8000000000, 8, WRITE, 0);
    make_available(f, 0);
}
static void bad_wrap(Fixture *f)
{
    put_desc(f, DESC, 0, UINT64_MAX - 3, 8, WRITE, 0);
    make_available(f, 0);
}
static void bad_length(Fixture *f)
{
    put_desc(f, DESC, 0, DATA, 0xffffffff, WRITE, 0);
    make_available(f, 0);
}
static void bad_empty(Fixture *f)
{
    put_desc(f, DESC, 0, DATA, 0, WRITE, 0);
    make_available(f, 0);
}
static void bad_order(Fixture *f)
{
    put_desc(f, DESC, 0, DATA, 8, WRITE | NEXT, 1);
    put_desc(f, DESC, 1, DATA, 8, 0, 0);
    make_available(f, 0);
}
static void bad_nested(Fixture *f)
{
    put_desc(f, DESC, 0, TABLE, 16, INDIRECT, 0);
    put_desc(f, TABLE, 0, TABLE + 0x100, 16, INDIRECT, 0);
    make_available(f, 0);
}
static void bad_indirect_next(Fixture *f)
{
    put_desc(f, DESC, 0, TABLE, 16, INDIRECT | NEXT, 1);
    make_available(f, 0);
}
static void bad_indirect_size(Fixture *f)
{
    put_desc(f, DESC, 0, TABLE, 17, INDIRECT, 0);
    make_available(f, 0);
}
static void bad_indirect_empty(Fixture *f)
{
    put_desc(f, DESC, 0, TABLE, 0, INDIRECT, 0);
    make_available(f, 0);
}
static void bad_indirect_address(Fixture *f)
{
    put_desc(f, DESC, 0, RAM_BYTES, 16, INDIRECT, 0);
    make_available(f, 0);
}
static void bad_index(Fixture *f) { put16(f, AVAIL + 2, SIZE + 1); }
static void bad_mmio(Fixture *f) /* a device's own registers are no buffer */
{
    put_desc(f, DESC, 0, MODERN_BAR, 8, WRITE, 0);
    make_available(f, 0);
}

static const BadRing bad_rings[] = {
    { "head", bad_head }, { "next", bad_next }, { "loop", bad_loop }, { "loop-indirect", bad_loop_indirect },
    { "address", bad_address }, { "wrap", bad_wrap }, { "length", bad_length }, { "empty", bad_empty },
    { "order", bad_order }, { "nested", bad_nested }, { "indirect-next", bad_indirect_next },
    { "indirect-size", bad_indirect_size }, { "indirect-empty", bad_indirect_empty },
    { "indirect-address", bad_indirect_address }, { "index", bad_index }, { "mmio", bad_mmio },
};

static void test_bad_rings(Fixture *f, const void *props)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_rings); i++) {
        g_test_message("%s", bad_rings[i].name);
        start(f, 1ull << F_INDIRECT);
        bad_rings[i].make(f);
        kick(f);
        g_assert_cmphex(status(f), ==, 15 | 64);
        g_assert_cmphex(rd(f, f->isr, 1), ==, 2);
        g_assert_true(nothing_used(f));
        put_desc(f, DESC, 2, DATA, 8, WRITE, 0); /* deaf until it is reset */
        make_available(f, 2);
        kick(f);
        g_assert_true(nothing_used(f));
        g_assert_cmphex(status(f), ==, 15 | 64);
        start(f, 0);
        put_desc(f, DESC, 2, DATA, 8, WRITE, 0);
        make_available(f, 2);
        kick(f);
        g_assert_cmpuint(take_used(f, 2), ==, 8);
        g_assert_cmphex(rd(f, f->isr, 1), ==, 1);
    }
}

/* Without INDIRECT having been agreed on, its flag is an error. */
static void test_indirect_unasked(Fixture *f, const void *props)
{
    start(f, 0);
    put_desc(f, DESC, 0, TABLE, 16, INDIRECT, 0);
    put_desc(f, TABLE, 0, DATA, 8, WRITE, 0);
    make_available(f, 0);
    kick(f);
    g_assert_cmphex(status(f), ==, 15 | 64);
}

static void test_bad_areas(Fixture *f, const void *props)
{
    static const uint64_t areas[][3] = {
        { DESC + 8, AVAIL, USED },  { DESC, AVAIL + 1, USED },         { DESC, AVAIL, USED + 2 },
        { ~15ull, AVAIL, USED },    { DESC, UINT64_MAX - 1, USED },    { DESC, AVAIL, ~3ull },
        { DESC, RAM_BYTES, USED },  { DESC, AVAIL, 0xfffffffffff000 }, { 0x4000000000, AVAIL, USED },
        { DESC, MODERN_BAR, USED }, { DESC, AVAIL, MODERN_BAR },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(areas); i++) {
        negotiate(f, 1ull << F_EVENT);
        put_desc(f, DESC, 0, DATA, 8, WRITE, 0);
        put16(f, AVAIL + 2, 1);
        set_queue(f, SIZE, areas[i][0], areas[i][1], areas[i][2]);
        set_status(f, 15);
        kick(f);
        g_assert_cmphex(status(f) & 64, ==, 64);
    }
}

/* ---- limits and state */

static void test_quota(Fixture *f, const void *props)
{
    start(f, 0);
    for (unsigned i = 0; i < 3; i++) {
        put_desc(f, DESC, i, DATA + 0x1000 * i, 64, WRITE, 0);
        make_available(f, i);
    }
    kick(f); /* 100 bytes a period of 10 ms */
    g_assert_cmpuint(take_used(f, 0), ==, 64);
    g_assert_cmpuint(take_used(f, 1), ==, 36);
    g_assert_true(nothing_used(f));
    clock_advance(f->machine->clock, 9000000);
    kick(f);
    g_assert_true(nothing_used(f));
    clock_advance(f->machine->clock, 1000000);
    g_assert_cmpuint(take_used(f, 2), ==, 64);
    assert_random(f, DATA + 0x2000, 64);
}

static void test_saved_state(Fixture *f, const void *props)
{
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    start(f, 1ull << F_EVENT);
    put_desc(f, DESC, 5, DATA, 64, WRITE, 0);
    make_available(f, 5);
    kick(f);
    take_used(f, 5);
    make_available(f, 5);
    g_assert_true(machine_save(f->machine, state, NULL));
    device_reset(f->device, RESET_COLD);
    machine_load(f->machine, state->data, state->len, &err);
    g_assert_no_error(err);
    g_assert_cmphex(status(f), ==, 15);
    kick(f);
    g_assert_cmpuint(take_used(f, 5), ==, 64);
}

static void test_both_disabled(Fixture *f, const void *props)
{
    g_autoptr(GError) err = NULL;
    static const char *const off[] = { "disable-legacy", "on", "disable-modern", "on", NULL };
    static const char *const odd[] = { "disable-legacy", "perhaps", NULL };
    const char *const *cases[] = { off, odd };
    for (unsigned i = 0; i < 2; i++) {
        Device *d = device_new(f->machine, &virtio_rng_pci_type, NULL, cases[i], NULL);
        g_assert_true(pci_plug((PciDevice *)d, f->bus, -1, NULL));
        g_assert_false(device_realize(d, &err));
        g_assert_error(err, ATOLL_ERROR, ERR_INVALID);
        g_clear_error(&err);
        device_destroy(d);
    }
}

static const char *const modern_only[] = { "disable-legacy", "on", NULL };
static const char *const legacy_only[] = { "disable-modern", "on", NULL };
static const char *const limited[] = { "max-bytes", "100", "period", "10", NULL };

#define ADD(name, props, fn) g_test_add("/virtio-rng/" name, Fixture, props, set_up, fn, tear_down)
int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("ids", NULL, test_ids);
    ADD("ids-modern", modern_only, test_ids);
    ADD("legacy-only", legacy_only, test_legacy_only);
    ADD("modern", NULL, test_modern);
    ADD("modern-only", modern_only, test_modern);
    ADD("chains", NULL, test_chains);
    ADD("event-index", NULL, test_event_index);
    ADD("msix", NULL, test_msix);
    ADD("features", NULL, test_features);
    ADD("queue-reset", NULL, test_queue_reset);
    ADD("config-window", NULL, test_config_window);
    ADD("legacy", NULL, test_legacy);
    ADD("legacy-driver-legacy-only", legacy_only, test_legacy);
    ADD("bad-rings", NULL, test_bad_rings);
    ADD("indirect-unasked", NULL, test_indirect_unasked);
    ADD("bad-areas", NULL, test_bad_areas);
    ADD("quota", limited, test_quota);
    ADD("saved-state", NULL, test_saved_state);
    ADD("both-disabled", NULL, test_both_disabled);
    return g_test_run();
}
