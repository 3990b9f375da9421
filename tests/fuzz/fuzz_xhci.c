/* fuzz_xhci.c - the USB 3 controller under any registers, rings and contexts, with a keyboard, a mouse and a tablet. */
#include "block/block.h"
#include "console/input.h"
#include "devices/usb/usb.h"
#include "fuzz.h"

enum { DEVFN = 3 << 3, COMMANDS = 0x10000, TABLE = 0x11000, EVENTS = 0x12000, ARRAY = 0x13000, INPUT = 0x14000, OUTPUT = 0x15000, RINGS = 0x18000, DATA = 0x20000 };
#define BAR 0xfe000000u

static void reg(FuzzRig *r, unsigned at, uint32_t value) { fuzz_write(r->machine->memory, BAR + at, 4, value); }
static void put32(FuzzRig *r, uint64_t at, uint32_t value) { dma_write(r->machine, at, &value, 4); }

static void trb(FuzzRig *r, uint64_t at, uint64_t parameter, uint32_t status, uint32_t control)
{
    const uint32_t w[4] = { parameter, parameter >> 32, status, control };
    dma_write(r->machine, at, w, 16);
}

/* What a driver does until three devices have slots and addresses. */
static void start(FuzzRig *r)
{
    reg(r, 0x40, 2);
    const uint32_t segment[4] = { EVENTS, 0, 64, 0 };
    dma_write(r->machine, TABLE, segment, 16);
    reg(r, 0x78, 64);
    reg(r, 0x70, ARRAY);
    reg(r, 0x58, COMMANDS | 1);
    reg(r, 0x1028, 1);
    reg(r, 0x1038, EVENTS);
    reg(r, 0x1030, TABLE);
    reg(r, 0x1034, 0);
    reg(r, 0x1020, 2);
    reg(r, 0x40, 5);
    for (unsigned slot = 1; slot <= 3; slot++) {
        reg(r, 0x430 + slot * 16, 1 << 4);
        put32(r, ARRAY + slot * 8, OUTPUT + slot * 0x400);
        trb(r, COMMANDS + (slot - 1) * 32, 0, 0, 9 << 10 | 1);
        put32(r, INPUT + slot * 0x400 + 4, 0xb);
        put32(r, INPUT + slot * 0x400 + 0x24, slot << 16);
        put32(r, INPUT + slot * 0x400 + 0x44, 4 << 3);
        put32(r, INPUT + slot * 0x400 + 0x48, (RINGS + slot * 0x800) | 1);
        put32(r, INPUT + slot * 0x400 + 0x84, 7 << 3);
        put32(r, INPUT + slot * 0x400 + 0x88, (RINGS + slot * 0x800 + 0x400) | 1);
        trb(r, COMMANDS + (slot - 1) * 32 + 16, INPUT + slot * 0x400, 0, 11 << 10 | slot << 24 | 1);
    }
    reg(r, 0x2000, 0);
}

/* The three are configured, with their second endpoint. */
static void configure(FuzzRig *r)
{
    for (unsigned slot = 1; slot <= 3; slot++) {
        trb(r, RINGS + slot * 0x800, 0x0000000000010900ull, 8, 2 << 10 | 0x41);
        trb(r, RINGS + slot * 0x800 + 16, 0, 0, 4 << 10 | 0x21);
        reg(r, 0x2000 + slot * 4, 1);
        put32(r, INPUT + slot * 0x400 + 4, 9);
        trb(r, COMMANDS + 0x60 + (slot - 1) * 16, INPUT + slot * 0x400, 0, 12 << 10 | slot << 24 | 1);
    }
    reg(r, 0x2000, 0);
}

static uint64_t place(FuzzInput *in) { return RINGS + fuzz_take(in, 2) % 0x2000 / 16 * 16; }

/* An entry that is right but for what the input says. */
static void entry(FuzzRig *r, FuzzInput *in)
{
    uint8_t how = fuzz_take(in, 1);
    uint64_t at = how & 1 ? COMMANDS + fuzz_take(in, 1) * 16 : place(in);
    uint64_t parameter = how & 2 ? fuzz_take(in, 8) : how & 4 ? DATA + fuzz_take(in, 2) : how & 8 ? place(in) : INPUT + (fuzz_take(in, 1) & 3) * 0x400;
    trb(r, at, parameter, fuzz_take(in, how & 16 ? 4 : 1), (fuzz_take(in, 1) & 0x3f) << 10 | (fuzz_take(in, 1) << 24) | fuzz_take(in, 1) | (how & 32 ? 1 : 0));
}

static void people(FuzzRig *r, FuzzInput *in)
{
    InputHub *h = r->machine->input;
    unsigned n = fuzz_take(in, 1);
    const Key *k = key_by_number(n & 0x7f);
    if (k)
        input_key(h, k, n >> 7);
    input_move(h, (int8_t)fuzz_take(in, 1), 1000);
    input_point(h, fuzz_take(in, 2), 0x7fff);
    input_button(h, n % BUTTONS, n & 8);
    input_wheel(h, (int8_t)n, 0);
    input_sync(h);
}

static void plug(FuzzRig *r, const DeviceType *t, const char *port)
{
    Device *d = device_new(r->machine, t, NULL, (const char *[]){ "port", port, NULL }, NULL);
    if (!device_plug(d, NULL, NULL, NULL))
        device_destroy(d);
}

static void step(FuzzRig *r, Device *d, FuzzInput *in)
{
    uint8_t op = fuzz_take(in, 1);
    switch (op % 14) {
    case 0 ... 2:
        entry(r, in);
        break;
    case 3 ... 4:
        reg(r, 0x2000 + (fuzz_take(in, 1) & 3) * 4, op & 0x80 ? fuzz_take(in, 1) & 0x1f : op & 0x40 ? 3 : 1);
        break;
    case 5:
        reg(r, 0x2000, 0);
        break;
    case 6:
        reg(r, (op & 0x80 ? 0x40 : 0x1000) + (fuzz_take(in, 2) & 0x5fc), fuzz_take(in, 4));
        break;
    case 7:
        fuzz_read(r->machine->memory, BAR + (fuzz_take(in, 2) & 0x3ffc), 4);
        break;
    case 8:
        people(r, in);
        break;
    case 9:
        fuzz_fill_ram(r, in, COMMANDS + fuzz_take(in, 2) % 0x9000);
        break;
    case 10:
        if (op & 0x80)
            device_reset(d, RESET_WARM);
        else
            fuzz_save_load(r);
        break;
    case 11:
        start(r);
        configure(r);
        break;
    case 12:
        plug(r, &usb_mouse_type, "4");
        break;
    default:
        clock_advance(r->machine->clock, 1000000);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    FuzzRig r = fuzz_rig_create();
    r.machine->input = input_hub_create();
    Device *d = device_new(r.machine, &qemu_xhci_type, NULL, NULL, NULL);
    g_assert_true(pci_plug((PciDevice *)d, r.bus, DEVFN, NULL) && device_realize(d, NULL));
    BlkNode *disk = fuzz_add_image(&r, "disk", 1 << 20);
    Device *storage = device_new(r.machine, &usb_storage_type, NULL, (const char *[]){ "port", "4", "drive", "disk", NULL }, NULL);
    g_assert_true(device_plug(storage, NULL, NULL, NULL));
    plug(&r, &usb_kbd_type, "1");
    plug(&r, &usb_mouse_type, "2");
    plug(&r, &usb_tablet_type, "3");
    device_reset(d, RESET_COLD);
    pci_config_write(r.bus, DEVFN, PCI_BAR0, 4, BAR);
    pci_config_write(r.bus, DEVFN, PCI_COMMAND, 2, 7);
    start(&r);
    configure(&r);
    for (unsigned i = 0; i < 400 && in.left; i++)
        step(&r, d, &in);
    InputHub *h = r.machine->input;
    fuzz_rig_destroy(&r);
    input_hub_destroy(h);
    blk_close(disk);
    return 0;
}
