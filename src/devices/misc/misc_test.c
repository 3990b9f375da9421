/* misc_test.c - the small ISA cards do and ask for what they should. */
#include "console/chardev.h"
#include "devices/misc/misc.h"
#include "devices/testing.h"

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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/debug-exit", test_debug_exit);
    g_test_add_func("/pvpanic", test_pvpanic);
    g_test_add_func("/post-card", test_post_card);
    g_test_add_func("/watchdog", test_watchdog);
    return g_test_run();
}
