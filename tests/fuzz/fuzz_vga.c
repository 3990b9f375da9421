/* fuzz_vga.c - the VGA's registers, window and frame buffer in any state, with somebody who looks at the screen. */
#include "console/display.h"
#include "devices/display/display.h"
#include "fuzz.h"

enum { DEVFN = 16, REGISTERS = 0xfe000000 };
#define FRAMEBUFFER 0xd0000000u

static void step(FuzzRig *r, FuzzInput *in, DisplayListener *l)
{
    AddressSpace *memory = r->machine->memory, *ports = r->machine->ports;
    uint64_t what = fuzz_take(in, 1), at = fuzz_take(in, 3), value = fuzz_take(in, 4);
    unsigned size = 1u << (what >> 4 & 1);
    switch (what & 7) {
    case 0:
        fuzz_write(ports, 0x3b0 + at % 0x30, size, value);
        break;
    case 1:
        fuzz_read(ports, 0x3b0 + at % 0x30, size);
        break;
    case 2:
        fuzz_write(memory, 0xa0000 + at % 0x20000, size, value);
        break;
    case 3:
        fuzz_read(memory, 0xa0000 + at % 0x20000, size);
        break;
    case 4:
        fuzz_write(memory, REGISTERS + 0x500 + at % 12 * 2, 2, value);
        break;
    case 5:
        fuzz_write(memory, FRAMEBUFFER + at, 4, value);
        break;
    case 6: /* an index and its data: what most of a VGA is behind */
        fuzz_write(ports, (uint16_t[]){ 0x3c4, 0x3ce, 0x3d4, 0x3b4 }[at & 3], 2, value & 0xff1f);
        break;
    default:
        if (at % 8)
            display_fetch(l);
        else
            fuzz_save_load(r);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const small[] = { "vgamem_mb", "1", NULL };
    FuzzInput in = { data, size };
    FuzzRig r = fuzz_rig_create();
    Screens *screens = r.machine->screens = screens_create();
    Device *d = device_new(r.machine, &vga_pci_type, NULL, fuzz_take(&in, 1) & 1 ? small : NULL, NULL);
    g_assert_true(d && pci_plug((PciDevice *)d, r.bus, DEVFN, NULL) && device_realize(d, NULL));
    pci_config_write(r.bus, DEVFN, PCI_BAR0, 4, FRAMEBUFFER);
    pci_config_write(r.bus, DEVFN, PCI_BAR0 + 8, 4, REGISTERS);
    pci_config_write(r.bus, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
    DisplayListener *l = display_listen(screens_nth(screens, 0));
    while (in.left)
        step(&r, &in, l);
    display_fetch(l);
    fuzz_rig_destroy(&r);
    display_unlisten(l);
    screens_destroy(screens);
    return 0;
}
