/* fuzz_ahci.c - the SATA controller under any registers, command lists, tables and frames. */
#include "devices/storage/ide.h"
#include "fuzz.h"

enum { DEVFN = 3 << 3, LIST = 0x10000, FRAMES = 0x11000, TABLE = 0x12000, DATA = 0x20000, DISK_BYTES = 1 << 20, CD_BYTES = 200 * 2048 };
#define ABAR 0xfe000000u

static void reg(FuzzRig *r, unsigned at, uint32_t value) { fuzz_write(r->machine->memory, ABAR + at, 4, value); }

/* What a driver does before its first command. */
static void start(FuzzRig *r, unsigned port)
{
    unsigned at = 0x100 + 0x80 * port;
    reg(r, 4, 0x80000002);
    reg(r, at, LIST);
    reg(r, at + 8, FRAMES + 0x100 * port);
    reg(r, at + 0x14, 0xffffffff);
    reg(r, at + 0x30, 0xffffffff);
    reg(r, at + 0x18, 0x17);
}

/* A command that is right but for what the input says. */
static void issue(FuzzRig *r, FuzzInput *in)
{
    static const uint8_t codes[] = { 0x25, 0x35, 0x60, 0x61, 0xa0, 0xec, 0xa1, 0x20, 0x30, 0xc4, 0xea, 0xef, 0x2f };
    static const uint8_t packets[] = { 0x28, 0x12, 0x43, 0x46, 0x4a, 0x5a, 0xbe, 0x1b };
    uint8_t how = fuzz_take(in, 1), port = fuzz_take(in, 1) % 3, slot = fuzz_take(in, 1) & 31, table[0x80 + 4 * 16] = { 0 };
    unsigned entries = how & 3;
    uint32_t header[4] = { 5 | entries << 16, 0, TABLE + slot * 0x100, 0 };
    table[0] = 0x27;
    table[1] = how & 4 ? fuzz_take(in, 1) : 0x80;
    table[2] = how & 8 ? fuzz_take(in, 1) : codes[fuzz_take(in, 1) % sizeof(codes)];
    table[3] = table[12] = fuzz_take(in, 1) & 7;
    if (table[2] == 0x60 || table[2] == 0x61)
        table[12] = slot << 3;
    table[4] = fuzz_take(in, 1);
    table[7] = 0x40;
    table[15] = how & 16 ? fuzz_take(in, 1) : 0;
    table[0x40] = packets[fuzz_take(in, 1) % sizeof(packets)];
    for (unsigned i = 1; i < 12; i++)
        table[0x40 + i] = fuzz_take(in, 1);
    for (unsigned i = 0; i < entries; i++) {
        uint32_t prd[4] = { how & 32 ? fuzz_take(in, 4) : DATA + fuzz_take(in, 2), 0, 0, how & 64 ? fuzz_take(in, 4) : 511 };
        memcpy(table + 0x80 + 16 * i, prd, 16);
    }
    dma_write(r->machine, LIST + 32 * slot, header, 16);
    dma_write(r->machine, TABLE + slot * 0x100, table, sizeof(table));
    reg(r, 0x100 + 0x80 * port + 0x34, 1u << slot);
    reg(r, 0x100 + 0x80 * port + 0x38, 1u << slot | (how & 128 ? fuzz_take(in, 4) : 0));
}

static void step(FuzzRig *r, Device *d, FuzzInput *in)
{
    uint8_t op = fuzz_take(in, 1);
    switch (op % 12) {
    case 0 ... 4:
        issue(r, in);
        break;
    case 5 ... 6:
        reg(r, fuzz_take(in, 2) & (op & 0x80 ? 0xffc : 0x2fc), fuzz_take(in, 4));
        break;
    case 7:
        fuzz_read(r->machine->memory, ABAR + (fuzz_take(in, 2) & 0xffc), 4);
        break;
    case 8:
        start(r, op / 12 % 3);
        break;
    case 9:
        fuzz_fill_ram(r, in, LIST + fuzz_take(in, 2) % 0x5000);
        break;
    case 10:
        if (op & 0x80)
            device_reset(d, RESET_WARM);
        else
            fuzz_save_load(r);
        break;
    default:
        g_usleep(50);
    }
}

static void add_drive(FuzzRig *r, const DeviceType *t, const char *bus, const char *drive)
{
    const char *props[] = { "bus", bus, drive ? "drive" : NULL, drive, NULL };
    Device *d = device_new(r->machine, t, NULL, props, NULL);
    g_assert_true(device_realize(d, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    FuzzRig r = fuzz_rig_create();
    Device *d = device_new(r.machine, &ahci_type, NULL, NULL, NULL);
    g_assert_true(pci_plug((PciDevice *)d, r.bus, DEVFN, NULL) && device_realize(d, NULL));
    BlkNode *disk = fuzz_add_image(&r, "disk", DISK_BYTES), *cd = fuzz_add_image(&r, "cd", CD_BYTES);
    add_drive(&r, &ide_hd_type, "ide.0", "disk");
    add_drive(&r, &ide_cd_type, "ide.1", "cd");
    add_drive(&r, &ide_cd_type, "ide.2", NULL);
    device_reset(d, RESET_COLD);
    pci_config_write(r.bus, DEVFN, PCI_BAR0 + 20, 4, ABAR);
    pci_config_write(r.bus, DEVFN, PCI_COMMAND, 2, 7);
    for (unsigned port = 0; port < 3; port++)
        start(&r, port);
    for (unsigned i = 0; i < 400 && in.left; i++)
        step(&r, d, &in);
    fuzz_rig_destroy(&r);
    blk_close(disk);
    blk_close(cd);
    return 0;
}
