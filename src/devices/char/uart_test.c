/* uart_test.c - the 16550A with a chardev whose other end is the test. */
#include "console/chardev.h"
#include "devices/char/char.h"
#include "devices/testing.h"

#include <string.h>

enum { BASE = 0x3f8, DATA = BASE, IER, IIR, LCR, MCR, LSR, MSR, SCR };

typedef struct Rig {
    Machine *m;
    Device *uart;
    Chardev *chr;
    TestLine irq;
} Rig;

static void rig_init(Rig *r)
{
    r->m = test_machine();
    r->chr = chardev_open("line", "memory", NULL);
    g_assert_nonnull(r->chr);
    machine_add_backend(r->m, BACKEND_CHARDEV, "line", r->chr);
    r->uart = test_device(r->m, &isa_serial_type, (const char *[]){ "chardev", "line", NULL });
    test_map(r->uart, 0, BASE);
    test_watch(r->uart, 0, &r->irq);
    test_out(r->m, MCR, 0x0b); /* DTR, RTS, OUT2 */
    test_out(r->m, LCR, 0x03);
}

static void rig_finish(Rig *r)
{
    machine_destroy(r->m);
    chardev_close(r->chr);
}

static void feed(Rig *r, const char *text)
{
    chardev_memory_feed(r->chr, (const uint8_t *)text, strlen(text));
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void iterate(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void test_transmit(void)
{
    Rig r;
    rig_init(&r);
    for (const char *c = "Hello"; *c; c++) {
        g_assert_cmphex(test_in(r.m, LSR) & 0x60, ==, 0x60);
        test_out(r.m, DATA, *c);
    }
    g_autofree char *sent = chardev_memory_take(r.chr, NULL);
    g_assert_cmpstr(sent, ==, "Hello");
    g_assert_false(r.irq.level);
    rig_finish(&r);
}

static void test_transmit_interrupt(void)
{
    Rig r;
    rig_init(&r);
    test_out(r.m, IER, 2);
    g_assert_true(r.irq.level); /* the transmitter is empty already */
    g_assert_cmphex(test_in(r.m, IIR), ==, 0x02);
    g_assert_false(r.irq.level); /* reading IIR ends it */
    g_assert_cmphex(test_in(r.m, IIR), ==, 0x01);
    unsigned rises = r.irq.rises;
    test_out(r.m, DATA, 'x');
    test_out(r.m, DATA, 'y');
    g_assert_cmpuint(r.irq.rises, ==, rises + 2); /* an edge for each, without reading IIR */
    test_out(r.m, MCR, 0x03);
    g_assert_false(r.irq.level); /* OUT2 gates */
    rig_finish(&r);
}

static void test_receive_without_fifo(void)
{
    Rig r;
    rig_init(&r);
    test_out(r.m, IER, 1);
    feed(&r, "abc");
    for (const char *c = "abc"; *c; c++) {
        g_assert_true(r.irq.level);
        g_assert_cmphex(test_in(r.m, IIR), ==, 0x04);
        g_assert_cmphex(test_in(r.m, LSR) & 0x03, ==, 0x01); /* data, no overrun */
        g_assert_cmpint(test_in(r.m, DATA), ==, *c);
        iterate();
    }
    g_assert_false(r.irq.level);
    g_assert_cmphex(test_in(r.m, LSR) & 1, ==, 0);
    rig_finish(&r);
}

/* Nothing is lost however slow the guest is. */
static void test_flow(void)
{
    Rig r;
    rig_init(&r);
    g_autoptr(GString) sent = g_string_new(NULL), got = g_string_new(NULL);
    for (unsigned i = 0; i < 2000; i++)
        g_string_append_printf(sent, "%u,", i);
    test_out(r.m, 0x3fa, 0xc7); /* FIFO, trigger at 14 */
    test_out(r.m, IER, 1);
    feed(&r, sent->str);
    while (got->len < sent->len) {
        clock_advance(r.m->clock, 10000000);
        g_assert_true(r.irq.level);
        uint8_t id = test_in(r.m, IIR);
        g_assert_true(id == 0xc4 || id == 0xcc);
        g_assert_cmphex(test_in(r.m, LSR) & 0x02, ==, 0);
        while (test_in(r.m, LSR) & 1)
            g_string_append_c(got, test_in(r.m, DATA));
        iterate();
    }
    g_assert_cmpstr(got->str, ==, sent->str);
    rig_finish(&r);
}

static void test_fifo_trigger_and_timeout(void)
{
    Rig r;
    rig_init(&r);
    test_out(r.m, LCR, 0x83);
    test_out(r.m, DATA, 1); /* 115200 baud: a character is 86,806 ns */
    test_out(r.m, IER, 0);
    g_assert_cmpuint(test_in(r.m, DATA), ==, 1);
    test_out(r.m, LCR, 0x03);
    test_out(r.m, 0x3fa, 0x41); /* trigger at 4 */
    g_assert_cmphex(test_in(r.m, IIR), ==, 0xc1);
    test_out(r.m, IER, 1);
    feed(&r, "abc");
    g_assert_false(r.irq.level);
    clock_advance(r.m->clock, 4 * 86806 - 4);
    g_assert_false(r.irq.level);
    clock_advance(r.m->clock, 4);
    g_assert_true(r.irq.level);
    g_assert_cmphex(test_in(r.m, IIR), ==, 0xcc);
    test_in(r.m, DATA);
    g_assert_false(r.irq.level); /* a read ends the time-out */
    feed(&r, "de");
    g_assert_cmphex(test_in(r.m, IIR), ==, 0xc4);
    test_out(r.m, 0x3fa, 0x43); /* clear */
    g_assert_cmphex(test_in(r.m, LSR) & 1, ==, 0);
    g_assert_false(r.irq.level);
    rig_finish(&r);
}

static void test_loopback(void)
{
    Rig r;
    rig_init(&r);
    test_in(r.m, MSR);
    test_out(r.m, MCR, 0x1f);
    g_assert_cmphex(test_in(r.m, MSR), ==, 0xf0); /* all four lines come back; none but RI has changed */
    test_out(r.m, MCR, 0x1a);
    g_assert_cmphex(test_in(r.m, MSR), ==, 0x90 | 0x02 | 0x04); /* DSR changed, RI ended */
    test_out(r.m, DATA, 0x55);
    g_assert_cmphex(test_in(r.m, DATA), ==, 0x55);
    test_out(r.m, 0x3fa, 0x01); /* a full FIFO overruns */
    for (unsigned i = 0; i < 17; i++)
        test_out(r.m, DATA, i);
    g_assert_cmphex(test_in(r.m, LSR), ==, 0x63);
    g_assert_cmphex(test_in(r.m, LSR), ==, 0x61);
    for (unsigned i = 0; i < 16; i++)
        g_assert_cmphex(test_in(r.m, DATA), ==, i);
    g_autofree char *sent = chardev_memory_take(r.chr, NULL);
    g_assert_cmpstr(sent, ==, "");
    rig_finish(&r);
}

static void test_priority(void)
{
    Rig r;
    rig_init(&r);
    test_out(r.m, MCR, 0x1b);
    test_in(r.m, MSR);
    test_out(r.m, IER, 0x0f);
    test_out(r.m, DATA, 1);
    test_out(r.m, DATA, 2); /* overrun without FIFO */
    test_out(r.m, MCR, 0x19);
    g_assert_cmphex(test_in(r.m, IIR), ==, 0x06);
    test_in(r.m, LSR);
    g_assert_cmphex(test_in(r.m, IIR), ==, 0x04);
    g_assert_cmphex(test_in(r.m, DATA), ==, 2);
    g_assert_cmphex(test_in(r.m, IIR), ==, 0x02);
    g_assert_cmphex(test_in(r.m, IIR), ==, 0x00);
    test_in(r.m, MSR);
    g_assert_cmphex(test_in(r.m, IIR), ==, 0x01);
    rig_finish(&r);
}

static void test_unknown_chardev(void)
{
    Machine *m = test_machine();
    g_autoptr(GError) err = NULL;
    g_assert_null(device_create(m, &isa_serial_type, NULL, (const char *[]){ "chardev", "nowhere", NULL }, &err));
    g_assert_nonnull(err);
    machine_destroy(m);
}

static void test_debugcon(void)
{
    Machine *m = test_machine();
    Chardev *c = chardev_open("dbg", "memory", NULL);
    machine_add_backend(m, BACKEND_CHARDEV, "dbg", c);
    Device *d = test_device(m, &isa_debugcon_type, (const char *[]){ "chardev", "dbg", "readback", "0x42", NULL });
    test_map(d, 0, 0x402);
    g_assert_cmphex(test_in(m, 0x402), ==, 0x42);
    test_out(m, 0x402, 'h');
    test_out(m, 0x402, 'i');
    g_autofree char *sent = chardev_memory_take(c, NULL);
    g_assert_cmpstr(sent, ==, "hi");
    machine_destroy(m);
    chardev_close(c);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/uart/transmit", test_transmit);
    g_test_add_func("/uart/transmit-interrupt", test_transmit_interrupt);
    g_test_add_func("/uart/receive", test_receive_without_fifo);
    g_test_add_func("/uart/flow", test_flow);
    g_test_add_func("/uart/fifo", test_fifo_trigger_and_timeout);
    g_test_add_func("/uart/loopback", test_loopback);
    g_test_add_func("/uart/priority", test_priority);
    g_test_add_func("/uart/unknown-chardev", test_unknown_chardev);
    g_test_add_func("/debugcon", test_debugcon);
    return g_test_run();
}
