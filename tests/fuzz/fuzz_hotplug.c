/* fuzz_hotplug.c - slots looked after by ACPI and a root port's, with devices that come, are asked for and go in any order. */
#include "devices/acpi/pci_hotplug.h"
#include "devices/pci/bridges.h"
#include "devices/virtio/virtio_rng.h"
#include "fuzz.h"

enum { PORT = 0x18, SLTCTL = 0x64 };

typedef struct Slots {
    FuzzRig rig;
    GPtrArray *gone;
} Slots;

static void note_gone(void *opaque, Device *d) { g_ptr_array_add(((Slots *)opaque)->gone, d); }

static void take_out(Slots *s)
{
    for (unsigned i = 0; i < s->gone->len; i++)
        if (g_ptr_array_find(s->rig.machine->devices, s->gone->pdata[i], NULL))
            device_unplug(s->gone->pdata[i]);
    g_ptr_array_set_size(s->gone, 0);
}

static void add(Slots *s, const char *bus)
{
    if (s->rig.machine->devices->len > 5)
        return; /* saving many takes long */
    Device *d = device_new(s->rig.machine, &virtio_rng_pci_type, NULL, NULL, NULL);
    if (!device_hotplug(d, bus, NULL, NULL))
        device_destroy(d);
}

static void ask(Slots *s, unsigned n)
{
    GPtrArray *all = s->rig.machine->devices;
    device_unplug_request(all->pdata[n % all->len], NULL);
}

static void step(Slots *s, FuzzInput *in)
{
    Machine *m = s->rig.machine;
    uint64_t what = fuzz_take(in, 1), at = fuzz_take(in, 2), value = fuzz_take(in, 4);
    unsigned size = 1u << (at >> 14) % 3;
    PciBus *bus = pci_bus_number(s->rig.bus, what >> 4 & 3);
    switch (what & 15) {
    case 0:
        add(s, "port");
        break;
    case 1:
        add(s, "pci.0");
        break;
    case 2:
        ask(s, value);
        break;
    case 3:
        take_out(s);
        break;
    case 4:
        clock_advance(m->clock, value);
        break;
    case 5:
        machine_reset(m, value & 1 ? RESET_COLD : RESET_WARM);
        break;
    case 6:
        take_out(s);
        if (value % 16 == 0)
            fuzz_save_load(&s->rig);
        break;
    case 7:
    case 8:
        fuzz_write(m->ports, ACPI_HOTPLUG_PORT + at % ACPI_HOTPLUG_PORTS, size, value);
        break;
    case 9:
        fuzz_read(m->ports, ACPI_HOTPLUG_PORT + at % ACPI_HOTPLUG_PORTS, size);
        break;
    case 10:
    case 11:
        pci_config_write(s->rig.bus, PORT, SLTCTL, 2, value);
        break;
    case 12:
        pci_config_write(s->rig.bus, PORT, at % 0x100, size, value);
        break;
    default:
        if (bus) {
            pci_config_write(bus, value >> 24, at % 0x100, size, value);
            pci_config_read(bus, value >> 24, at % 0x100, size);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    Slots s = { .rig = fuzz_rig_create(), .gone = g_ptr_array_new() };
    Machine *m = s.rig.machine;
    m->listener = (MachineListener){ .opaque = &s, .unplugged = note_gone };
    Device *hotplug = device_new(m, &acpi_pci_hotplug_type, NULL, NULL, NULL), *port = device_new(m, &pcie_root_port_type, "port", NULL, NULL);
    acpi_pci_hotplug_set_bus(hotplug, s.rig.bus);
    g_assert_true(device_realize(hotplug, NULL) && device_map(hotplug, 0, ACPI_HOTPLUG_PORT, NULL));
    g_assert_true(pci_plug((PciDevice *)port, s.rig.bus, PORT, NULL) && device_realize(port, NULL));
    pci_config_write(s.rig.bus, PORT, 0x18, 4, 0x00020100);
    while (in.left)
        step(&s, &in);
    m->listener = (MachineListener){ 0 };
    fuzz_rig_destroy(&s.rig);
    g_ptr_array_unref(s.gone);
    return 0;
}
