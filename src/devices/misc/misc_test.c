/* misc_test.c - the small ISA cards and the PCI watchdog do and ask for what they should. */
#include "console/chardev.h"
#include "devices/misc/misc.h"
#include "devices/testing.h"
#include "machine/pci.h"

static void remember(void *opaque, StopCause cause) { *(StopCause *)opaque = cause; }

static void test_debug_exit(void)
{
    StopCause cause = CAUSE_NONE;
    Machine *m = test_machine();
    m->listener = (MachineListener){ remember, &cause };
    Device *d = test_device(m, &isa_debug_exit_type, NULL);
    test_map(d, 0, 0x501);
    test_out(m, 0x503, 9); /* beyond iosize */
    g_assert_cmpint(cause, ==, CAUSE_NONE);
    test_out(m, 0x501, 0x10);
    g_assert_cmpint(cause, ==, CAUSE_DEBUG_EXIT);
    g_assert_cmpint(atomic_load(&m->exit_code), ==, 0x21);
    machine_destroy(m);
}

static void test_pvpanic(void)
{
    StopCause cause = CAUSE_NONE;
    Machine *m = test_machine();
    m->listener = (MachineListener){ remember, &cause };
    Device *d = test_device(m, &pvpanic_type, NULL);
    test_map(d, 0, 0x505);
    g_assert_cmphex(test_in(m, 0x505), ==, 3);
    test_out(m, 0x505, 2); /* a crash kernel will see to it */
    g_assert_cmpint(cause, ==, CAUSE_NONE);
    test_out(m, 0x505, 1);
    g_assert_cmpint(cause, ==, CAUSE_GUEST_PANIC);
    machine_destroy(m);
}

static void test_post_card(void)
{
    Machine *m = test_machine();
    Chardev *chr = chardev_open("codes", "memory", NULL);
    machine_add_backend(m, BACKEND_CHARDEV, "codes", chr);
    Device *d = test_device(m, &isa_post_card_type, (const char *[]){ "chardev", "codes", NULL });
    test_map(d, 0, 0x80);
    test_out(m, 0x80, 0x2a);
    test_out(m, 0x80, 0xff);
    g_assert_cmphex(test_in(m, 0x80), ==, 0xff);
    g_autofree char *shown = chardev_memory_take(chr, NULL);
    g_assert_cmpstr(shown, ==, "2a\r\nff\r\n");
    device_reset(d, RESET_WARM);
    g_assert_cmphex(test_in(m, 0x80), ==, 0);
    machine_destroy(m);
    chardev_close(chr);
}

static void test_watchdog(void)
{
    StopCause cause = CAUSE_NONE;
    Machine *m = test_machine();
    m->listener = (MachineListener){ remember, &cause };
    Device *d = test_device(m, &ib700_type, NULL);
    test_map(d, 0, 0x441);
    test_out(m, 0x443, 10); /* 10 seconds */
    clock_advance(m->clock, 9000000000);
    test_out(m, 0x443, 10);
    clock_advance(m->clock, 9000000000);
    g_assert_cmpint(cause, ==, CAUSE_NONE);
    test_out(m, 0x441, 0);
    clock_advance(m->clock, 60000000000);
    g_assert_cmpint(cause, ==, CAUSE_NONE);
    test_out(m, 0x443, 15); /* at once */
    clock_advance(m->clock, 10);
    g_assert_cmpint(cause, ==, CAUSE_WATCHDOG);
    machine_destroy(m);
}

enum { ESB_DEVFN = 3 << 3, ESB_CONFIG = 0x60, ESB_LOCK = 0x68, ESB_RELOAD = 12 };
#define ESB_BAR 0xfd000000u
static const PciBusOps no_lines = { .set_intx = NULL };

static void esb_unlocked(Machine *m, unsigned off, uint32_t value)
{
    test_write(m->memory, ESB_BAR + ESB_RELOAD, 4, 0x80);
    test_write(m->memory, ESB_BAR + ESB_RELOAD, 4, 0x86);
    test_write(m->memory, ESB_BAR + off, 4, value);
}

static void test_i6300esb(void)
{
    StopCause cause = CAUSE_NONE;
    Machine *m = test_machine();
    m->listener = (MachineListener){ remember, &cause };
    PciBus *bus = pci_bus_create(m, "pci.0", &no_lines, NULL);
    Device *d = device_new(m, &i6300esb_type, NULL, NULL, NULL);
    g_assert_true(pci_plug((PciDevice *)d, bus, ESB_DEVFN, NULL) && device_realize(d, NULL));
    device_reset(d, RESET_COLD);
    pci_config_write(bus, ESB_DEVFN, PCI_BAR0, 4, ESB_BAR);
    pci_config_write(bus, ESB_DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    esb_unlocked(m, 0, 5 << 10); /* five seconds and a little, twice */
    esb_unlocked(m, 4, 5 << 10);
    test_write(m->memory, ESB_BAR, 4, 1); /* without the two keys */
    pci_config_write(bus, ESB_DEVFN, ESB_LOCK, 1, 2);
    clock_advance(m->clock, 6000000000);
    g_assert_cmphex(test_read(m->memory, ESB_BAR + 8, 4), ==, 1); /* the first stage has ended */
    esb_unlocked(m, ESB_RELOAD, 0x100);
    clock_advance(m->clock, 9000000000);
    g_assert_cmpint(cause, ==, CAUSE_NONE);
    pci_config_write(bus, ESB_DEVFN, ESB_LOCK, 1, 0);
    clock_advance(m->clock, 60000000000);
    g_assert_cmpint(cause, ==, CAUSE_NONE);
    pci_config_write(bus, ESB_DEVFN, ESB_LOCK, 1, 3);
    pci_config_write(bus, ESB_DEVFN, ESB_LOCK, 1, 0); /* it is locked */
    clock_advance(m->clock, 11000000000);
    g_assert_cmpint(cause, ==, CAUSE_WATCHDOG);
    device_reset(d, RESET_WARM);
    pci_config_write(bus, ESB_DEVFN, PCI_BAR0, 4, ESB_BAR);
    pci_config_write(bus, ESB_DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    g_assert_cmphex(test_read(m->memory, ESB_BAR + ESB_RELOAD, 4), ==, 0x200); /* and says so */
    machine_destroy(m);
    pci_bus_destroy(bus);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/debug-exit", test_debug_exit);
    g_test_add_func("/pvpanic", test_pvpanic);
    g_test_add_func("/post-card", test_post_card);
    g_test_add_func("/watchdog", test_watchdog);
    g_test_add_func("/i6300esb", test_i6300esb);
    return g_test_run();
}
