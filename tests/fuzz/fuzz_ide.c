/* fuzz_ide.c - the IDE controller under any sequence of port accesses, with any contents of RAM. */
#include "block/block.h"
#include "devices/storage/ide.h"
#include "fuzz.h"

enum { BUS_MASTER = 0xc000, DISK_BYTES = 1 << 20, CD_BYTES = 200 * 2048, DEVFN = 9 };
static const uint16_t bases[] = { 0x1f0, 0x170, 0x3f6, 0x376, BUS_MASTER, BUS_MASTER + 8 };

static void add_drive(FuzzRig *r, Device *ide, const DeviceType *t, const char *drive)
{
    const char *props[] = { drive ? "drive" : NULL, drive, NULL };
    Device *d = device_new(r->machine, t, NULL, props, NULL);
    g_assert_true(ide_attach(ide, d, NULL) && device_realize(d, NULL));
}

static void wait_idle(FuzzRig *r, unsigned control)
{
    for (unsigned i = 0; i < 60 && fuzz_read(r->machine->ports, control, 1) & 0x80; i++)
        g_usleep(50);
}

static void access_port(FuzzRig *r, FuzzInput *in, bool write)
{
    uint8_t where = fuzz_take(in, 1);
    unsigned port = bases[where % G_N_ELEMENTS(bases)] + (where >> 5), size = 1u << fuzz_take(in, 1) % 3;
    if (write)
        fuzz_write(r->machine->ports, port, size, fuzz_take(in, size));
    else
        fuzz_read(r->machine->ports, port, size);
}

/* Fills the data port, as only a long input could. */
static void many_words(FuzzRig *r, FuzzInput *in)
{
    unsigned n = fuzz_take(in, 2) % 5000, port = bases[fuzz_take(in, 1) & 1];
    uint32_t value = fuzz_take(in, 4);
    bool write = value & 1;
    for (unsigned i = 0; i < n; i++)
        if (write)
            fuzz_write(r->machine->ports, port, 4, value);
        else
            fuzz_read(r->machine->ports, port, 4);
}

static void step(FuzzRig *r, Device *ide, FuzzInput *in)
{
    uint8_t op = fuzz_take(in, 1);
    switch (op % 16) {
    case 0 ... 6:
        access_port(r, in, true);
        break;
    case 7 ... 8:
        access_port(r, in, false);
        break;
    case 9:
        fuzz_fill_ram(r, in, fuzz_take(in, 3) % FUZZ_RAM_BYTES);
        break;
    case 10:
        many_words(r, in);
        break;
    case 11:
        pci_config_write(r->bus, DEVFN, 0x40 + op / 16 * 4, 4, fuzz_take(in, 4));
        break;
    case 12:
        fuzz_save_load(r);
        break;
    case 13:
        if (op > 0xd0)
            device_reset(ide, RESET_WARM);
        break;
    default:
        wait_idle(r, op & 0x10 ? 0x3f6 : 0x376);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    FuzzRig r = fuzz_rig_create();
    Device *ide = piix3_ide_create(r.machine, r.bus, DEVFN, (IrqLine){ 0 }, (IrqLine){ 0 }, NULL);
    BlkNode *disk = fuzz_add_image(&r, "disk", DISK_BYTES), *cd = fuzz_add_image(&r, "cd", CD_BYTES);
    add_drive(&r, ide, &ide_hd_type, "disk");
    add_drive(&r, ide, &ide_cd_type, NULL);
    add_drive(&r, ide, &ide_cd_type, "cd");
    pci_config_write(r.bus, DEVFN, PCI_BAR0 + 16, 4, BUS_MASTER);
    pci_config_write(r.bus, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    for (unsigned i = 0; i < 400 && in.left; i++)
        step(&r, ide, &in);
    fuzz_rig_destroy(&r);
    blk_close(disk);
    blk_close(cd);
    return 0;
}
