/* pci_hotplug_test.c - the registers of ACPI PCI hotplug, with a guest that answers, one that does not, and one that goes its own way. */
#include "devices/acpi/pci_hotplug.h"

#include "devices/testing.h"
#include "devices/virtio/virtio_rng.h"

typedef struct Rig {
    Machine *m;
    PciBus *bus;
    Device *hotplug;
    TestLine gpe;
    GPtrArray *gone; /* Device: let go of, not yet taken out */
} Rig;

static const PciBusOps no_ops = { 0 };

static void note_gone(void *opaque, Device *d) { g_ptr_array_add(((Rig *)opaque)->gone, d); }

static void rig_init(Rig *r)
{
    r->m = test_machine();
    r->gone = g_ptr_array_new();
    r->m->listener = (MachineListener){ .opaque = r, .unplugged = note_gone };
    r->bus = pci_bus_create(r->m, "pci.0", &no_ops, NULL);
    r->hotplug = device_new(r->m, &acpi_pci_hotplug_type, NULL, NULL, NULL);
    acpi_pci_hotplug_set_bus(r->hotplug, r->bus);
    g_assert_true(device_realize(r->hotplug, NULL));
    test_watch(r->hotplug, 0, &r->gpe);
    test_map(r->hotplug, 0, ACPI_HOTPLUG_PORT);
}

static void rig_finish(Rig *r)
{
    machine_destroy(r->m);
    pci_bus_destroy(r->bus);
    g_ptr_array_unref(r->gone);
}

static uint32_t in(Rig *r, unsigned off) { return test_read(r->m->ports, ACPI_HOTPLUG_PORT + off, 4); }
static void out(Rig *r, unsigned off, uint32_t value) { test_write(r->m->ports, ACPI_HOTPLUG_PORT + off, 4, value); }
static bool there(Rig *r, unsigned slot) { return pci_config_read(r->bus, pci_devfn(slot, 0), 0, 4) != UINT32_MAX; }

static Device *add(Rig *r, const char *id, const char *addr)
{
    g_autoptr(GError) err = NULL;
    Device *d = device_new(r->m, &virtio_rng_pci_type, id, NULL, &err);
    g_assert_no_error(err);
    device_hotplug(d, NULL, addr, &err);
    g_assert_no_error(err);
    return d;
}

static void take_out(Rig *r)
{
    for (unsigned i = 0; i < r->gone->len; i++)
        device_unplug(r->gone->pdata[i]);
    g_ptr_array_set_size(r->gone, 0);
}

static void test_comes_and_goes(void)
{
    Rig r;
    rig_init(&r);
    Device *d = add(&r, "rng", "7");
    g_assert_cmpuint(r.gpe.rises, ==, 1);
    g_assert_cmphex(in(&r, ACPI_HOTPLUG_UP), ==, 1 << 7);
    g_assert_cmphex(in(&r, ACPI_HOTPLUG_UP), ==, 0);
    g_assert_true(device_unplug_request(d, NULL));
    g_assert_cmpuint(r.gpe.rises, ==, 2);
    g_assert_cmphex(in(&r, ACPI_HOTPLUG_DOWN), ==, 1 << 7);
    g_assert_true(there(&r, 7));
    out(&r, ACPI_HOTPLUG_EJECT, 1 << 7);
    g_assert_cmphex(in(&r, ACPI_HOTPLUG_DOWN), ==, 0);
    g_assert_false(there(&r, 7));
    g_assert_cmpuint(r.gone->len, ==, 1);
    /* Its place is free before the main thread has got to it, and its end does not take the next one's place. */
    add(&r, "next", "7");
    take_out(&r);
    g_assert_true(there(&r, 7));
    rig_finish(&r);
}

static void test_asked_twice(void)
{
    Rig r;
    rig_init(&r);
    Device *d = add(&r, "rng", "7");
    g_autoptr(GError) err = NULL;
    g_assert_true(device_unplug_request(d, NULL));
    g_assert_false(device_unplug_request(d, &err));
    g_assert_true(g_error_matches(err, ATOLL_ERROR, ERR_BUSY));
    g_assert_cmpuint(r.gpe.rises, ==, 2);
    clock_start(r.m->clock);
    clock_advance(r.m->clock, 6000000000);
    g_assert_true(device_unplug_request(d, NULL)); /* the guest may not have been there the first time */
    g_assert_cmpuint(r.gpe.rises, ==, 3);
    rig_finish(&r);
}

static void test_reset_takes_it(void)
{
    Rig r;
    rig_init(&r);
    g_assert_true(device_unplug_request(add(&r, "rng", "7"), NULL));
    machine_reset(r.m, RESET_WARM);
    g_assert_cmpuint(r.gone->len, ==, 1);
    g_assert_cmphex(in(&r, ACPI_HOTPLUG_DOWN), ==, 0);
    take_out(&r);
    g_assert_false(there(&r, 7));
    rig_finish(&r);
}

/* All functions of a slot; empty slots, slots twice, other buses: nothing. */
static void test_own_accord(void)
{
    Rig r;
    rig_init(&r);
    add(&r, "f1", "7.1");
    g_assert_cmphex(in(&r, ACPI_HOTPLUG_UP), ==, 0); /* until there is a function 0 */
    add(&r, "f0", "7.0");
    g_assert_cmphex(in(&r, ACPI_HOTPLUG_UP), ==, 1 << 7);
    out(&r, ACPI_HOTPLUG_BUS, 1);
    out(&r, ACPI_HOTPLUG_EJECT, UINT32_MAX);
    g_assert_cmphex(in(&r, ACPI_HOTPLUG_REMOVABLE), ==, 0);
    g_assert_cmpuint(r.gone->len, ==, 0);
    out(&r, ACPI_HOTPLUG_BUS, 0);
    out(&r, ACPI_HOTPLUG_EJECT, UINT32_MAX);
    out(&r, ACPI_HOTPLUG_EJECT, UINT32_MAX);
    g_assert_cmpuint(r.gone->len, ==, 2);
    take_out(&r);
    g_assert_cmpuint(r.m->devices->len, ==, 1);
    rig_finish(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/acpi/pci-hotplug/comes-and-goes", test_comes_and_goes);
    g_test_add_func("/acpi/pci-hotplug/asked-twice", test_asked_twice);
    g_test_add_func("/acpi/pci-hotplug/reset", test_reset_takes_it);
    g_test_add_func("/acpi/pci-hotplug/own-accord", test_own_accord);
    return g_test_run();
}
