/* uhci_test.c - a driver of the USB 1.1 controller: frames, queues, control transfers packet by packet, and lists that lie. */
#include <string.h>

#include "block/block.h"
#include "console/input.h"
#include "devices/testing.h"
#include "devices/usb/uhci.h"

enum { RAM = 1 << 20, DEVFN = 1 << 3 | 2, PORTS = 0xc000, FRAMES = 0x10000, QUEUE = 0x12000, TDS = 0x13000, DATA = 0x20000 };
enum { CMD = 0, STS = 2, INTR = 4, BASE = 8, PORT = 0x10, IN = 0x69, OUT = 0xe1, SETUP = 0x2d, ACTIVE = 1 << 23, IOC = 1 << 24, SPD = 1 << 29, END = 1, ERRORS = 0x7e << 16 };

typedef struct Rig {
    Machine *machine;
    PciBus *bus;
    Device *uhci;
    BlkNode *disk;
    bool intx;
    unsigned address;
} Rig;

static void set_intx(void *opaque, uint8_t devfn, unsigned pin, bool level) { ((Rig *)opaque)->intx = level; }
static const PciBusOps bus_ops = { .set_intx = set_intx };
static uint32_t get(Rig *r, unsigned at, unsigned size) { return test_read(r->machine->ports, PORTS + at, size); }
static void set(Rig *r, unsigned at, unsigned size, uint32_t v) { test_write(r->machine->ports, PORTS + at, size, v); }
static void put(Rig *r, uint64_t at, const void *from, size_t n) { g_assert_true(dma_write(r->machine, at, from, n)); }
static void put32(Rig *r, uint64_t at, uint32_t v) { put(r, at, &v, 4); }
static uint32_t get32(Rig *r, uint64_t at)
{
    uint32_t v;
    g_assert_true(dma_read(r->machine, at, &v, 4));
    return v;
}

static void start(Rig *r)
{
    for (unsigned i = 0; i < 1024; i++)
        put32(r, FRAMES + i * 4, QUEUE | 2);
    put32(r, QUEUE, END);
    put32(r, QUEUE + 4, END);
    set(r, BASE, 4, FRAMES);
    set(r, INTR, 2, 0xf);
    set(r, CMD, 2, 0xc1);
    set(r, PORT, 2, 1 << 9);
    set(r, PORT, 2, 0);
    set(r, PORT, 2, 4 | 2);
}

static void rig_init(Rig *r, const DeviceType *t, const char *const *props)
{
    g_autoptr(GError) err = NULL;
    MachineConfig config = { .ram_size = RAM, .manual_clock = true, .max_cpus = 1 };
    *r = (Rig){ .machine = machine_create(&config, NULL) };
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .size = RAM, .ram = r->machine->ram };
    g_assert_nonnull(region_add(r->machine->memory, &ram, NULL));
    r->machine->input = input_hub_create();
    r->bus = pci_bus_create(r->machine, "pci.0", &bus_ops, r);
    r->disk = blk_open_tree("driver=raw,file.driver=memory,file.size=1M", NULL, &err);
    g_assert_no_error(err);
    for (uint64_t n = 0; n < 2048; n++)
        g_assert_true(blk_write(r->disk, n * 512, &n, sizeof(n), NULL));
    machine_add_backend(r->machine, BACKEND_DRIVE, "d0", r->disk);
    r->uhci = device_new(r->machine, &piix3_usb_uhci_type, NULL, NULL, NULL);
    g_assert_true(pci_plug((PciDevice *)r->uhci, r->bus, DEVFN, NULL) && device_realize(r->uhci, NULL));
    Device *d = device_new(r->machine, t, NULL, props, &err);
    g_assert_true(d && device_plug(d, NULL, NULL, &err));
    device_reset(d, RESET_COLD);
    device_reset(r->uhci, RESET_COLD);
    pci_config_write(r->bus, DEVFN, PCI_BAR0 + 16, 4, PORTS);
    pci_config_write(r->bus, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    start(r);
}

static void rig_finish(Rig *r)
{
    InputHub *h = r->machine->input;
    machine_destroy(r->machine);
    pci_bus_destroy(r->bus);
    input_hub_destroy(h);
    blk_close(r->disk);
}

/* ---- packets */

static void put_td(Rig *r, unsigned i, uint8_t pid, unsigned endpoint, uint32_t data, unsigned n, uint32_t flags)
{
    const uint32_t td[4] = { (TDS + (i + 1) * 32) | 4, ACTIVE | flags, pid | r->address << 8 | endpoint << 15 | ((n - 1) & 0x7ff) << 21, data };
    put(r, TDS + i * 32, td, 16);
}

static uint32_t status(Rig *r, unsigned i) { return get32(r, TDS + i * 32 + 4); }
static unsigned moved(Rig *r, unsigned i) { return (status(r, i) + 1) & 0x7ff; }

/* The first n descriptors, and frames until the last of them is done or one has failed. */
static void run(Rig *r, unsigned n)
{
    put32(r, TDS + (n - 1) * 32, END);
    put32(r, QUEUE + 4, TDS);
    for (unsigned i = 0; i < 100000 && !(get(r, STS, 2) & 3); i++) {
        clock_advance(r->machine->clock, 1000000);
        if (i > 10)
            g_usleep(100);
    }
}

static void clear(Rig *r)
{
    g_assert_true(r->intx);
    set(r, STS, 2, 0x1f);
    g_assert_false(r->intx);
}

/* Returns what came in. */
static unsigned control(Rig *r, const uint8_t setup[8], bool fails)
{
    unsigned n = setup[6] | setup[7] << 8, tds = 1, before = r->address;
    bool in = setup[0] & 0x80;
    put(r, DATA - 8, setup, 8);
    put_td(r, 0, SETUP, 0, DATA - 8, 8, 0);
    for (unsigned at = 0; at < n; at += 8, tds++)
        put_td(r, tds, in ? IN : OUT, 0, DATA + at, MIN(8, n - at), 0);
    put_td(r, tds, in && n ? OUT : IN, 0, 0, 0, IOC);
    run(r, tds + 1);
    g_assert_cmphex(get(r, STS, 2) & 3, ==, fails ? 2 : 1);
    unsigned got = 0;
    for (unsigned i = 1; i < tds; i++)
        got += fails ? 0 : moved(r, i);
    g_assert_cmphex(status(r, tds) & ACTIVE, ==, fails && n ? ACTIVE : 0);
    clear(r);
    r->address = before;
    return got;
}

static void configure(Rig *r)
{
    control(r, (const uint8_t[8]){ 0, USB_SET_ADDRESS, 5 }, false);
    r->address = 5;
    control(r, (const uint8_t[8]){ 0, USB_SET_CONFIGURATION, 1 }, false);
}

/* ---- tests */

static void test_enumerate(void)
{
    Rig r;
    rig_init(&r, &usb_tablet_type, NULL);
    g_assert_cmphex(get(&r, PORT, 2), ==, 0x85);
    g_assert_cmphex(get(&r, PORT + 2, 2), ==, 0x80);
    g_assert_cmphex(get(&r, PORT + 4, 2), ==, 0);
    g_assert_cmpuint(control(&r, (const uint8_t[8]){ 0x80, USB_GET_DESCRIPTOR, 0, 1, 0, 0, 18 }, false), ==, 18);
    g_assert_cmphex(get32(&r, DATA + 8), ==, 0x00010627);
    configure(&r);
    g_assert_cmpuint(control(&r, (const uint8_t[8]){ 0x80, USB_GET_DESCRIPTOR, 0, 2, 0, 0, 255 }, false), ==, 34);
    control(&r, (const uint8_t[8]){ 0x80, USB_GET_DESCRIPTOR, 0, 9, 0, 0, 8 }, true); /* there is no descriptor 9 */
    r.address = 6;
    put_td(&r, 0, IN, 1, DATA, 8, 0);
    run(&r, 1); /* nobody is there */
    g_assert_cmphex(status(&r, 0) & (ERRORS | ACTIVE), ==, 1 << 22 | 1 << 18);
    rig_finish(&r);
}

static void test_tablet(void)
{
    Rig r;
    rig_init(&r, &usb_tablet_type, NULL);
    configure(&r);
    put_td(&r, 0, IN, 1, DATA, 8, IOC | SPD);
    put32(&r, TDS, END);
    put32(&r, QUEUE + 4, TDS);
    clock_advance(r.machine->clock, 5000000);
    g_assert_cmphex(status(&r, 0) & (ACTIVE | 1 << 19), ==, ACTIVE | 1 << 19); /* NAK, and again */
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_assert_true(machine_save(r.machine, state, NULL));
    device_reset(r.uhci, RESET_COLD);
    g_assert_true(machine_load(r.machine, state->data, state->len, NULL));
    input_point(r.machine->input, 0x1234, 0x5678);
    input_sync(r.machine->input);
    clock_advance(r.machine->clock, 5000000);
    g_assert_cmphex(status(&r, 0) & (ERRORS | ACTIVE), ==, 0);
    g_assert_cmpuint(moved(&r, 0), ==, 6);
    g_assert_cmphex(get32(&r, DATA), ==, 0x78123400);
    clear(&r);
    rig_finish(&r);
}

static void test_storage(void)
{
    static const uint8_t wrapper[31] = { 'U', 'S', 'B', 'C', 1, 2, 3, 4, 0, 2, 0, 0, 0x80, 0, 10, 0x28, 0, 0, 0, 0, 77, 0, 0, 1 };
    Rig r;
    rig_init(&r, &usb_storage_type, (const char *[]){ "drive", "d0", NULL });
    configure(&r);
    put(&r, DATA + 0x1000, wrapper, sizeof(wrapper));
    put_td(&r, 0, OUT, 2, DATA + 0x1000, sizeof(wrapper), 0);
    for (unsigned i = 0; i < 8; i++)
        put_td(&r, 1 + i, IN, 1, DATA + i * 64, 64, SPD);
    put_td(&r, 9, IN, 1, DATA + 0x2000, 13, IOC);
    run(&r, 10);
    g_assert_cmphex(status(&r, 9) & (ERRORS | ACTIVE), ==, 0);
    g_assert_cmphex(get32(&r, DATA), ==, 77);
    g_assert_cmphex(get32(&r, DATA + 0x2000), ==, 0x53425355);
    g_assert_cmphex(get32(&r, DATA + 0x2008), ==, 0);
    rig_finish(&r);
}

/* Lists without an end, ids that are none, addresses that are no RAM. */
static void test_hostile(void)
{
    Rig r;
    rig_init(&r, &usb_tablet_type, NULL);
    configure(&r);
    put32(&r, QUEUE, QUEUE | 2);
    clock_advance(r.machine->clock, 3000000);
    put_td(&r, 0, IN, 1, DATA, 8, 0);
    put32(&r, TDS, TDS | 4);
    put32(&r, QUEUE + 4, TDS);
    clock_advance(r.machine->clock, 3000000);
    for (unsigned i = 0; i < 1024; i++)
        put32(&r, FRAMES + i * 4, TDS); /* descriptors in a ring */
    clock_advance(r.machine->clock, 3000000);
    g_assert_cmphex(get(&r, STS, 2) & 0x38, ==, 0);
    put_td(&r, 0, 0x12, 1, DATA, 8, 0);
    clock_advance(r.machine->clock, 1000000);
    g_assert_cmphex(get(&r, STS, 2) & 0x38, ==, 0x30);
    g_assert_true(r.intx);
    set(&r, CMD, 2, 2);
    g_assert_cmphex(get(&r, STS, 2), ==, 0x20);
    g_assert_cmphex(get(&r, CMD, 2), ==, 0);
    set(&r, BASE, 4, 0xfffff000);
    set(&r, CMD, 2, 1);
    clock_advance(r.machine->clock, 1000000);
    g_assert_cmphex(get(&r, STS, 2) & 0x38, ==, 0x28);
    rig_finish(&r);
}

static void test_unplug(void)
{
    Rig r;
    rig_init(&r, &usb_mouse_type, NULL);
    device_unplug(r.machine->devices->pdata[r.machine->devices->len - 1]);
    g_assert_cmphex(get(&r, PORT, 2), ==, 0x80 | 8 | 2);
    set(&r, PORT, 2, 0xa);
    g_assert_cmphex(get(&r, PORT, 2), ==, 0x80);
    set(&r, CMD, 2, 0);
    g_assert_cmphex(get(&r, STS, 2) & 0x20, ==, 0x20);
    rig_finish(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/uhci/enumerate", test_enumerate);
    g_test_add_func("/uhci/tablet", test_tablet);
    g_test_add_func("/uhci/storage", test_storage);
    g_test_add_func("/uhci/hostile", test_hostile);
    g_test_add_func("/uhci/unplug", test_unplug);
    return g_test_run();
}
