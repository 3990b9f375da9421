/* fuzz_fdc.c - the floppy controller and the DMA controllers under any sequence of port accesses, with any contents of RAM. */
#include "devices/misc/i8237.h"
#include "devices/storage/fdc.h"
#include "devices/storage/medium.h"
#include "fuzz.h"

enum { BASE = 0x3f0, FIFO = BASE + 5 };

static Device *add_floppy(FuzzRig *r, const char *drive)
{
    Device *d = device_new(r->machine, &floppy_type, NULL, (const char *[]){ drive ? "drive" : NULL, drive, NULL }, NULL);
    g_assert_true(device_plug(d, NULL, NULL, NULL));
    return d;
}

/* DMA channel 2 as drivers set it, to a page from the input. */
static void program_dma(FuzzRig *r, FuzzInput *in)
{
    AddressSpace *p = r->machine->ports;
    fuzz_write(p, 0x0b, 1, fuzz_take(in, 1));
    fuzz_write(p, 0x81, 1, fuzz_take(in, 1) & 0x1f);
    for (unsigned i = 0; i < 4; i++)
        fuzz_write(p, 4 + i / 2, 1, fuzz_take(in, 1));
    fuzz_write(p, 0x0a, 1, 2);
}

static void many_bytes(FuzzRig *r, FuzzInput *in, bool write)
{
    unsigned n = fuzz_take(in, 2) % 3000;
    uint8_t value = fuzz_take(in, 1);
    for (unsigned i = 0; i < n; i++)
        if (write)
            fuzz_write(r->machine->ports, FIFO, 1, value);
        else
            fuzz_read(r->machine->ports, FIFO, 1);
}

static void change_disk(Device *drive)
{
    MediumInfo info;
    if (medium_info(drive, &info) && info.drive)
        medium_remove(drive, NULL, NULL);
    else
        medium_insert(drive, "a", NULL);
}

static void step(FuzzRig *r, Device *fdc, Device *drive, FuzzInput *in)
{
    uint8_t op = fuzz_take(in, 1);
    switch (op % 16) {
    case 0 ... 4:
        fuzz_write(r->machine->ports, FIFO, 1, fuzz_take(in, 1));
        break;
    case 5:
        fuzz_write(r->machine->ports, BASE + (op >> 4) % 8, 1, fuzz_take(in, 1));
        break;
    case 6:
        fuzz_read(r->machine->ports, BASE + (op >> 4) % 8, 1);
        break;
    case 7:
        for (unsigned n = op >> 4; n; n--)
            fuzz_read(r->machine->ports, FIFO, 1);
        break;
    case 8:
        program_dma(r, in);
        break;
    case 9:
        fuzz_write(r->machine->ports, fuzz_take(in, 1) % 16, 1, fuzz_take(in, 1));
        break;
    case 10:
        many_bytes(r, in, op & 0x10);
        break;
    case 11:
        fuzz_fill_ram(r, in, fuzz_take(in, 3) % FUZZ_RAM_BYTES);
        break;
    case 12:
        fuzz_save_load(r);
        break;
    case 13:
        if (op > 0xd0)
            device_reset(fdc, RESET_WARM);
        else if (op > 0xa0)
            change_disk(drive);
        break;
    default:
        for (unsigned i = 0; i < 40 && !(fuzz_read(r->machine->ports, BASE + 4, 1) & 0x80); i++)
            g_usleep(50);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    FuzzRig r = fuzz_rig_create();
    BlkNode *a = fuzz_add_image(&r, "a", 1440 << 10), *b = fuzz_add_image(&r, "b", 300 * 512);
    Device *dma = device_create(r.machine, &i8237_type, NULL, NULL, NULL), *fdc = device_new(r.machine, &isa_fdc_type, NULL, NULL, NULL);
    fdc_set_dma(fdc, dma);
    g_assert_true(device_realize(fdc, NULL) && device_map(fdc, 0, BASE, NULL) && device_map(dma, 0, 0, NULL) && device_map(dma, 1, 0xc0, NULL) &&
                  device_map(dma, 2, 0x81, NULL));
    Device *drive = add_floppy(&r, "a");
    add_floppy(&r, "b");
    for (unsigned i = 0; i < 600 && in.left; i++)
        step(&r, fdc, drive, &in);
    fuzz_rig_destroy(&r);
    blk_close(a);
    blk_close(b);
    return 0;
}
