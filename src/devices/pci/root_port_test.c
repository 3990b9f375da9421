/* root_port_test.c - a root port by its registers: numbers of buses, pins, and a slot whose guest answers, does not, or changes its mind. */
#include "devices/pci/bridges.h"
#include "devices/testing.h"
#include "devices/virtio/virtio_rng.h"
#include "machine/pci_bridge.h"

enum { PORT = 0x10, SECONDARY = 5, CAP = 0x4c, SLTCTL = CAP + 0x18, SLTSTA = CAP + 0x1a };
enum { BUTTON = 1, PRESENT = 1 << 6, PRESENCE_AND_LINK = 1 << 3 | 1 << 8, LED_ON = 1 << 8, LED_BLINK = 2 << 8, LED_OFF = 3 << 8, POWER_OFF = 1 << 10 };
enum { ENABLES = 1 << 0 | 1 << 5 | 1 << 12 };

typedef struct Rig {
    Machine *m;
    PciBus *bus;
    PciDevice *port;
    uint32_t pins; /* of slot 2: a bit a pin */
    GPtrArray *gone;
} Rig;

static void set_intx(void *opaque, uint8_t devfn, unsigned pin, bool level)
{
    Rig *r = opaque;
    r->pins = level ? r->pins | 1u << pin : r->pins & ~(1u << pin);
}

static const PciBusOps ops = { .set_intx = set_intx };

static void note_gone(void *opaque, Device *d) { g_ptr_array_add(((Rig *)opaque)->gone, d); }

static uint32_t get(Rig *r, unsigned off, unsigned size) { return pci_config_read(r->bus, PORT, off, size); }
static void put(Rig *r, unsigned off, unsigned size, uint32_t value) { pci_config_write(r->bus, PORT, off, size, value); }

static void rig_init(Rig *r)
{
    *r = (Rig){ .m = test_machine(), .gone = g_ptr_array_new() };
    r->m->listener = (MachineListener){ .opaque = r, .unplugged = note_gone };
    r->bus = pci_bus_create(r->m, "pcie.0", &ops, r);
    r->port = (PciDevice *)device_new(r->m, &pcie_root_port_type, "pci.1", NULL, NULL);
    g_assert_true(pci_plug(r->port, r->bus, PORT, NULL) && device_realize(&r->port->dev, NULL));
    put(r, PCI_BRIDGE_PRIMARY, 4, SECONDARY << 8 | 7 << 16);
}

static void rig_finish(Rig *r)
{
    machine_destroy(r->m);
    pci_bus_destroy(r->bus);
    g_ptr_array_unref(r->gone);
}

static Device *add(Rig *r)
{
    g_autoptr(GError) err = NULL;
    Device *d = device_new(r->m, &virtio_rng_pci_type, "rng", NULL, &err);
    device_hotplug(d, "pci.1", NULL, &err);
    g_assert_no_error(err);
    return d;
}

static void take_out(Rig *r)
{
    for (unsigned i = 0; i < r->gone->len; i++)
        device_unplug(r->gone->pdata[i]);
    g_ptr_array_set_size(r->gone, 0);
}

static void test_numbers(void)
{
    Rig r;
    rig_init(&r);
    add(&r);
    PciBus *behind = pci_bus_number(r.bus, SECONDARY);
    g_assert_nonnull(behind);
    g_assert_cmphex(pci_config_read(behind, 0, 0, 2), ==, 0x1af4);
    g_assert_null(pci_bus_number(r.bus, 6)); /* forwarded, and nobody there */
    g_assert_null(pci_bus_number(r.bus, 8));
    g_assert_true(pci_bus_number(r.bus, 0) == r.bus);
    put(&r, PCI_BRIDGE_PRIMARY, 4, 0);
    g_assert_null(pci_bus_number(r.bus, SECONDARY));
    g_autofree char *path = pci_boot_path(pci_find(r.port->behind, 0));
    g_assert_cmpstr(path, ==, "/pci@i0cf8/pci-bridge@2/pci1af4,1005@0");
    g_autoptr(GError) err = NULL;
    Device *other = device_new(r.m, &virtio_rng_pci_type, "other", NULL, NULL);
    g_assert_false(device_plug(other, "pci.1", "1", &err)); /* a link has one end */
    device_destroy(other);
    rig_finish(&r);
}

static void test_pins(void)
{
    Rig r;
    rig_init(&r);
    PciDevice *d = (PciDevice *)add(&r);
    put(&r, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
    put(&r, SLTSTA, 2, 0xffff);
    put(&r, SLTCTL, 2, ENABLES);
    put(&r, SLTSTA, 2, 0xffff);
    g_assert_cmphex(r.pins, ==, 0);
    pci_set_intx(d, true); /* slot 0, pin A: pin A */
    g_assert_cmphex(r.pins, ==, 1);
    g_assert_true(device_unplug_request(&d->dev, NULL)); /* the port's own pin is A as well */
    pci_set_intx(d, false);
    g_assert_cmphex(r.pins, ==, 1);
    put(&r, SLTSTA, 2, BUTTON);
    g_assert_cmphex(r.pins, ==, 0);
    rig_finish(&r);
}

static void test_comes_and_goes(void)
{
    Rig r;
    rig_init(&r);
    g_assert_cmphex(get(&r, SLTSTA, 2), ==, 0);
    g_assert_cmphex(get(&r, SLTCTL, 2) & POWER_OFF, ==, POWER_OFF);
    Device *d = add(&r);
    g_assert_cmphex(get(&r, SLTSTA, 2), ==, PRESENT | PRESENCE_AND_LINK);
    put(&r, SLTSTA, 2, 0xffff);
    put(&r, SLTCTL, 2, ENABLES | LED_ON);
    put(&r, SLTSTA, 2, 0xffff);
    g_assert_true(device_unplug_request(d, NULL));
    g_assert_cmphex(get(&r, SLTSTA, 2), ==, PRESENT | BUTTON);
    g_assert_false(device_unplug_request(d, NULL));
    put(&r, SLTCTL, 2, ENABLES | LED_BLINK);
    clock_start(r.m->clock);
    clock_advance(r.m->clock, 6000000000);
    g_assert_false(device_unplug_request(d, NULL)); /* it blinks still */
    put(&r, SLTCTL + 1, 1, (LED_BLINK | POWER_OFF) >> 8);
    g_assert_cmpuint(r.gone->len, ==, 0);
    put(&r, SLTCTL + 1, 1, (LED_OFF | POWER_OFF) >> 8);
    g_assert_cmpuint(r.gone->len, ==, 1);
    g_assert_cmphex(get(&r, SLTSTA, 2) & PRESENT, ==, 0);
    take_out(&r);
    put(&r, SLTCTL, 2, LED_OFF | POWER_OFF); /* nobody there */
    add(&r);
    rig_finish(&r);
}

static void test_changes_its_mind(void)
{
    Rig r;
    rig_init(&r);
    Device *d = add(&r);
    put(&r, SLTCTL, 2, LED_ON);
    g_assert_true(device_unplug_request(d, NULL));
    put(&r, SLTCTL, 2, LED_BLINK);
    put(&r, SLTCTL, 2, LED_ON);
    g_assert_true(device_unplug_request(d, NULL));
    g_assert_cmpuint(r.gone->len, ==, 0);
    machine_reset(r.m, RESET_WARM);
    g_assert_cmpuint(r.gone->len, ==, 1);
    take_out(&r);
    g_assert_cmphex(get(&r, SLTSTA, 2), ==, 0);
    rig_finish(&r);
}

/* The port goes with what is in it; a reset of the bus behind reaches that. */
static void test_port_goes(void)
{
    Rig r;
    rig_init(&r);
    PciDevice *d = (PciDevice *)add(&r);
    PciBus *behind = pci_bus_number(r.bus, SECONDARY);
    pci_config_write(behind, 0, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
    g_assert_true(pci_bus_master(d));
    put(&r, PCI_BRIDGE_CONTROL, 2, 1 << 6);
    g_assert_false(pci_bus_master(d));
    device_unplug(&r.port->dev);
    g_assert_cmpuint(r.m->devices->len, ==, 0);
    g_assert_cmpuint(r.m->buses->len, ==, 1);
    rig_finish(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/root-port/numbers", test_numbers);
    g_test_add_func("/root-port/pins", test_pins);
    g_test_add_func("/root-port/comes-and-goes", test_comes_and_goes);
    g_test_add_func("/root-port/changes-its-mind", test_changes_its_mind);
    g_test_add_func("/root-port/port-goes", test_port_goes);
    return g_test_run();
}
