/* xhci_test.c - a driver of the controller's rings: commands, a tablet's descriptors and reports, and rings that make no sense. */
#include "devices/usb/xhci.h"

#include <string.h>

#include "console/input.h"
#include "devices/testing.h"

enum { RAM = 1 << 20, DEVFN = 3 << 3, COMMANDS = 0x10000, TABLE = 0x11000, EVENTS = 0x12000, ARRAY = 0x13000, INPUT = 0x14000, OUTPUT = 0x15000, CONTROL_RING = 0x16000,
       REPORT_RING = 0x17000, DATA = 0x18000, EVENT_ENTRIES = 64, DCI_REPORTS = 3 };
#define BAR 0xfe000000u

typedef struct Rig {
    Machine *machine;
    PciBus *bus;
    Device *xhci, *device;
    unsigned commands, controls, reports; /* entries made */
    unsigned events; /* entries read */
    bool intx;
    uint32_t doorbell_slot;
} Rig;

static void set_intx(void *opaque, uint8_t devfn, unsigned pin, bool level) { ((Rig *)opaque)->intx = level; }
static void ignore_msi(void *opaque, uint64_t address, uint32_t data) {}
static const PciBusOps bus_ops = { .set_intx = set_intx, .msi = ignore_msi };

static uint32_t get(Rig *r, unsigned at) { return test_read(r->machine->memory, BAR + at, 4); }
static void set(Rig *r, unsigned at, uint32_t v) { test_write(r->machine->memory, BAR + at, 4, v); }
static void set64(Rig *r, unsigned at, uint64_t v) { test_write(r->machine->memory, BAR + at, 8, v); }
static void put(Rig *r, uint64_t at, const void *from, size_t n) { g_assert_true(dma_write(r->machine, at, from, n)); }
static void put32(Rig *r, uint64_t at, uint32_t v) { put(r, at, &v, 4); }
static uint32_t get32(Rig *r, uint64_t at)
{
    uint32_t v;
    g_assert_true(dma_read(r->machine, at, &v, 4));
    return v;
}

static void put_trb(Rig *r, uint64_t at, uint64_t parameter, uint32_t status, uint32_t control)
{
    const uint32_t w[4] = { parameter, parameter >> 32, status, control };
    put(r, at, w, 16);
}

static void start(Rig *r)
{
    set(r, 0x40, 2);
    const uint32_t segment[4] = { EVENTS, 0, EVENT_ENTRIES, 0 };
    put(r, TABLE, segment, 16);
    set(r, 0x78, 64);
    set64(r, 0x70, ARRAY);
    set64(r, 0x58, COMMANDS | 1);
    set(r, 0x1028, 1);
    set64(r, 0x1038, EVENTS);
    set64(r, 0x1030, TABLE);
    set(r, 0x1020, 2);
    set(r, 0x40, 5);
}

static Device *plug(Rig *r, const DeviceType *t, const char *const *props)
{
    g_autoptr(GError) err = NULL;
    Device *d = device_new(r->machine, t, NULL, props, &err);
    g_assert_true(d && device_plug(d, NULL, NULL, &err));
    device_reset(d, RESET_COLD);
    return d;
}

static void rig_init(Rig *r, const DeviceType *t)
{
    MachineConfig config = { .ram_size = RAM, .manual_clock = true, .max_cpus = 1 };
    *r = (Rig){ .machine = machine_create(&config, NULL) };
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .size = RAM, .ram = r->machine->ram };
    g_assert_nonnull(region_add(r->machine->memory, &ram, NULL));
    r->machine->input = input_hub_create();
    r->bus = pci_bus_create(r->machine, "pci.0", &bus_ops, r);
    r->xhci = device_new(r->machine, &qemu_xhci_type, NULL, NULL, NULL);
    g_assert_true(pci_plug((PciDevice *)r->xhci, r->bus, DEVFN, NULL) && device_realize(r->xhci, NULL));
    if (t)
        r->device = plug(r, t, NULL);
    device_reset(r->xhci, RESET_COLD);
    pci_config_write(r->bus, DEVFN, PCI_BAR0, 4, BAR);
    pci_config_write(r->bus, DEVFN, PCI_COMMAND, 2, 6);
    start(r);
}

static void rig_finish(Rig *r)
{
    InputHub *h = r->machine->input;
    machine_destroy(r->machine);
    pci_bus_destroy(r->bus);
    input_hub_destroy(h);
}

/* ---- events */

static bool event_waits(Rig *r) { return (get32(r, EVENTS + r->events % EVENT_ENTRIES * 16 + 12) & 1) == (r->events / EVENT_ENTRIES % 2 == 0); }

static Trb next_event(Rig *r)
{
    uint64_t at = EVENTS + r->events++ % EVENT_ENTRIES * 16;
    Trb t = { get32(r, at) | (uint64_t)get32(r, at + 4) << 32, get32(r, at + 8), get32(r, at + 12), at };
    set64(r, 0x1038, (EVENTS + r->events % EVENT_ENTRIES * 16) | 8);
    return t;
}

static Trb expect(Rig *r, unsigned type, unsigned code)
{
    g_assert_true(event_waits(r));
    Trb t = next_event(r);
    g_assert_cmpuint(trb_type(&t), ==, type);
    g_assert_cmpuint(t.status >> 24, ==, code);
    return t;
}

static Trb command(Rig *r, uint64_t parameter, uint32_t control, unsigned code)
{
    uint64_t at = COMMANDS + r->commands++ * 16;
    put_trb(r, at, parameter, 0, control | 1);
    set(r, 0x2000, 0);
    Trb t = expect(r, EVENT_COMMAND, code);
    g_assert_cmphex(t.parameter, ==, at);
    return t;
}

/* ---- a device, enumerated */

static void put_endpoint(Rig *r, uint64_t at, unsigned kind, uint64_t ring)
{
    const uint32_t w[4] = { 0, kind << 3 | 3 << 1 | 8 << 16, ring | 1, ring >> 32 };
    put(r, at, w, 16);
}

static void address(Rig *r)
{
    expect(r, EVENT_PORT, CC_SUCCESS);
    set(r, 0x440, 1 << 4 | 1 << 9 | 1 << 17);
    g_assert_cmphex(get(r, 0x440) & 0x202003, ==, 0x200003); /* reset is over, connected, enabled */
    set(r, 0x440, 1 << 21 | 1 << 9);
    expect(r, EVENT_PORT, CC_SUCCESS);
    g_assert_cmpuint(command(r, 0, CMD_ENABLE_SLOT << 10, CC_SUCCESS).control >> 24, ==, 1);
    put32(r, ARRAY + 8, OUTPUT);
    put32(r, INPUT + 4, 3);
    put32(r, INPUT + 0x20, 1 << 27);
    put32(r, INPUT + 0x24, 1 << 16);
    put_endpoint(r, INPUT + 0x40, EP_CONTROL, CONTROL_RING);
    command(r, INPUT, CMD_ADDRESS_DEVICE << 10 | 1 << 24, CC_SUCCESS);
    g_assert_cmphex(get32(r, OUTPUT + 12), ==, 2u << 27 | 1);
    g_assert_cmpuint(get32(r, OUTPUT + 0x20) & 7, ==, EP_RUNNING);
}

static Trb control(Rig *r, uint64_t setup, unsigned n, unsigned code)
{
    bool in = setup & 0x80;
    uint64_t at = CONTROL_RING + r->controls * 16;
    put_trb(r, at, setup, 8, TRB_SETUP << 10 | TRB_IDT | 1);
    if (n)
        put_trb(r, at + 16, DATA, n, TRB_DATA << 10 | TRB_ISP | in << 16 | 1);
    put_trb(r, at + (n ? 32 : 16), 0, 0, TRB_STATUS << 10 | TRB_IOC | !in << 16 | 1);
    r->controls += n ? 3 : 2;
    set(r, 0x2004, 1);
    return expect(r, EVENT_TRANSFER, code);
}

static void configure(Rig *r)
{
    control(r, 0x0000000000010900ull, 0, CC_SUCCESS); /* SET_CONFIGURATION 1 */
    put32(r, INPUT + 4, 1 | 1 << DCI_REPORTS);
    put32(r, INPUT + 0x20, DCI_REPORTS << 27);
    put_endpoint(r, INPUT + (DCI_REPORTS + 1) * 0x20, EP_INTERRUPT_IN, REPORT_RING);
    command(r, INPUT, CMD_CONFIGURE_ENDPOINT << 10 | 1 << 24, CC_SUCCESS);
}

static void poll(Rig *r)
{
    put_trb(r, REPORT_RING + r->reports++ * 16, DATA, 8, TRB_NORMAL << 10 | TRB_IOC | TRB_ISP | 1);
    set(r, 0x2004, DCI_REPORTS);
}

static void expect_report(Rig *r, const void *bytes, unsigned n)
{
    Trb t = expect(r, EVENT_TRANSFER, n < 8 ? CC_SHORT_PACKET : CC_SUCCESS);
    uint8_t got[8];
    g_assert_true(dma_read(r->machine, DATA, got, 8));
    g_assert_cmpuint(t.status & 0xffffff, ==, 8 - n);
    g_assert_cmpmem(got, n, bytes, n);
}

/* ---- tests */

static void test_enumerate(void)
{
    Rig r;
    rig_init(&r, &usb_tablet_type);
    g_assert_true(r.intx);
    address(&r);
    Trb t = control(&r, 0x0012000001000680ull, 18, CC_SUCCESS);
    g_assert_cmphex(t.control >> 16 & 0x1f, ==, 1);
    g_assert_cmphex(get32(&r, DATA + 8), ==, 0x00010627); /* vendor and product */
    control(&r, 0x00ff000002000680ull, 0xff, CC_SHORT_PACKET); /* the configuration is shorter */
    expect(&r, EVENT_TRANSFER, CC_SUCCESS);
    control(&r, 0x00ff000009000680ull, 0xff, CC_STALL);        /* there is no descriptor 9 */
    g_assert_cmpuint(get32(&r, OUTPUT + 0x20) & 7, ==, EP_HALTED);
    command(&r, 0, CMD_RESET_ENDPOINT << 10 | 1 << 16 | 1 << 24, CC_SUCCESS);
    command(&r, CONTROL_RING | 1, CMD_SET_DEQUEUE << 10 | 1 << 16 | 1 << 24, CC_SUCCESS);
    rig_finish(&r);
}

static void test_tablet(void)
{
    Rig r;
    rig_init(&r, &usb_tablet_type);
    address(&r);
    configure(&r);
    poll(&r);
    g_assert_false(event_waits(&r)); /* nothing has happened */
    input_point(r.machine->input, 0x1234, 0x5678);
    input_sync(r.machine->input);
    expect_report(&r, (const uint8_t[]){ 0, 0x34, 0x12, 0x78, 0x56, 0 }, 6);
    input_button(r.machine->input, BUTTON_LEFT, true);
    input_sync(r.machine->input);
    input_point(r.machine->input, 1, 2);
    input_sync(r.machine->input);
    poll(&r);
    expect_report(&r, (const uint8_t[]){ 1, 0x34, 0x12, 0x78, 0x56, 0 }, 6); /* the click where it was */
    poll(&r);
    expect_report(&r, (const uint8_t[]){ 1, 1, 0, 2, 0, 0 }, 6);
    rig_finish(&r);
}

static void test_mouse_and_save(void)
{
    Rig r;
    rig_init(&r, &usb_mouse_type);
    address(&r);
    configure(&r);
    input_move(r.machine->input, 300, -5);
    input_sync(r.machine->input);
    poll(&r);
    expect_report(&r, (const uint8_t[]){ 0, 127, 0xfb, 0 }, 4);
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_assert_true(machine_save(r.machine, state, NULL));
    device_reset(r.device, RESET_COLD);
    device_reset(r.xhci, RESET_COLD);
    g_assert_true(machine_load(r.machine, state->data, state->len, NULL));
    poll(&r);
    expect_report(&r, (const uint8_t[]){ 0, 127, 0, 0 }, 4);
    poll(&r);
    expect_report(&r, (const uint8_t[]){ 0, 46, 0, 0 }, 4);
    rig_finish(&r);
}

static void test_keyboard(void)
{
    Rig r;
    rig_init(&r, &usb_kbd_type);
    address(&r);
    configure(&r);
    input_key(r.machine->input, key_by_name("shift"), true);
    input_key(r.machine->input, key_by_name("a"), true);
    poll(&r);
    expect_report(&r, (const uint8_t[]){ 2, 0, 0, 0, 0, 0, 0, 0 }, 8);
    poll(&r);
    expect_report(&r, (const uint8_t[]){ 2, 0, 4, 0, 0, 0, 0, 0 }, 8);
    for (unsigned i = 0; i < 7; i++) { /* more than six at once */
        const char name[2] = { "bcdefgh"[i] };
        input_key(r.machine->input, key_by_name(name), true);
        poll(&r);
        next_event(&r);
    }
    g_assert_cmphex(get32(&r, DATA + 4), ==, 0x01010101);
    put32(&r, DATA, 2); /* SET_REPORT: caps lock's light */
    control(&r, 0x0001000002000921ull, 1, CC_SUCCESS);
    g_assert_cmphex(input_leds(r.machine->input), ==, 4);
    rig_finish(&r);
}

static void test_plug(void)
{
    Rig r;
    g_autoptr(GError) err = NULL;
    rig_init(&r, NULL);
    g_assert_false(event_waits(&r));
    Device *d = device_new(r.machine, &usb_tablet_type, NULL, (const char *[]){ "port", "2", NULL }, NULL);
    g_assert_true(device_hotplug(d, "usb-bus.0", NULL, &err));
    g_assert_cmphex(expect(&r, EVENT_PORT, CC_SUCCESS).parameter, ==, 2u << 24);
    g_assert_true(get(&r, 0x450) & 1);
    Device *other = device_new(r.machine, &usb_kbd_type, NULL, (const char *[]){ "port", "2", NULL }, NULL);
    g_assert_false(device_plug(other, NULL, NULL, &err));
    g_assert_nonnull(strstr(err->message, "taken by 'usb-tablet'"));
    device_destroy(other);
    set(&r, 0x450, 1 << 9 | 1 << 17);
    device_unplug(d);
    expect(&r, EVENT_PORT, CC_SUCCESS);
    g_assert_false(get(&r, 0x450) & 1);
    rig_finish(&r);
}

/* Rings that never end, and addresses that are no RAM. */
static void test_hostile(void)
{
    Rig r;
    rig_init(&r, &usb_tablet_type);
    address(&r);
    put_trb(&r, CONTROL_RING, CONTROL_RING, 0, TRB_LINK << 10 | 1);
    set(&r, 0x2004, 1);
    expect(&r, EVENT_TRANSFER, CC_TRB_ERROR);
    g_assert_cmpuint(get32(&r, OUTPUT + 0x20) & 7, ==, EP_ERROR);
    put_trb(&r, COMMANDS + r.commands * 16, 0, 0, CMD_NOOP << 10 | 1); /* a no-op for ever */
    put_trb(&r, COMMANDS + (r.commands + 1) * 16, COMMANDS + r.commands * 16, 0, TRB_LINK << 10 | 1);
    set(&r, 0x2000, 0);
    for (unsigned i = 0; i < 10; i++)
        clock_advance(r.machine->clock, GO_ON_NS);
    g_assert_false(get(&r, 0x44) & STS_HOST_ERROR);
    set(&r, 0x40, 0);
    g_assert_true(get(&r, 0x44) & STS_HALTED);
    rig_finish(&r);
    rig_init(&r, NULL);
    set64(&r, 0x58, 0x7000000000 | 1);
    set(&r, 0x2000, 0);
    g_assert_true(get(&r, 0x44) & STS_HOST_ERROR);
    set(&r, 0x40, 2);
    g_assert_cmphex(get(&r, 0x44), ==, STS_HALTED);
    rig_finish(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/xhci/enumerate", test_enumerate);
    g_test_add_func("/xhci/tablet", test_tablet);
    g_test_add_func("/xhci/mouse-and-save", test_mouse_and_save);
    g_test_add_func("/xhci/keyboard", test_keyboard);
    g_test_add_func("/xhci/plug", test_plug);
    g_test_add_func("/xhci/hostile", test_hostile);
    return g_test_run();
}
