/* pic_test.c - the 8259A pair driven by its registers and lines. */
#include "devices/intc/intc.h"
#include "devices/testing.h"

typedef struct Rig {
    Machine *m;
    Device *pic;
    TestLine intr;
    IrqLine in[16];
} Rig;

enum { MASTER = 0x20, SLAVE = 0xa0, ELCR = 0x4d0 };
enum {
    EOI = 0x20,
    ROTATE_EOI = 0xa0,
    SPECIFIC_EOI = 0x60,
    SET_PRIORITY = 0xc0,
    READ_IRR = 0x0a,
    READ_ISR = 0x0b,
    POLL = 0x0c,
    SPECIAL_MASK = 0x68
};

static void init_chip(Rig *r, uint16_t port, uint8_t base, uint8_t icw3, uint8_t icw4)
{
    test_out(r->m, port, 0x11);
    test_out(r->m, port + 1, base);
    test_out(r->m, port + 1, icw3);
    test_out(r->m, port + 1, icw4);
}

static Rig rig(uint8_t icw4)
{
    Rig r = { .m = test_machine() };
    r.pic = test_device(r.m, &i8259_type, NULL);
    test_map(r.pic, 0, MASTER);
    test_map(r.pic, 1, SLAVE);
    test_map(r.pic, 2, ELCR);
    for (unsigned n = 0; n < 16; n++)
        r.in[n] = device_irq_input(r.pic, n);
    init_chip(&r, MASTER, 0x30, 4, icw4);
    init_chip(&r, SLAVE, 0x38, 2, icw4);
    return r;
}

/* After the Rig has its final address. */
static void watch(Rig *r) { test_watch(r->pic, 0, &r->intr); }
static uint8_t isr(Rig *r, uint16_t port) { return test_out(r->m, port, READ_ISR), test_in(r->m, port); }
static uint8_t irr(Rig *r, uint16_t port) { return test_out(r->m, port, READ_IRR), test_in(r->m, port); }

static void test_priority(void)
{
    Rig r = rig(1);
    watch(&r);
    irq_pulse(&r.in[5]);
    irq_pulse(&r.in[3]);
    g_assert_true(r.intr.level);
    g_assert_cmphex(irr(&r, MASTER), ==, 0x28);
    g_assert_cmphex(pic_acknowledge(r.pic), ==, 0x33);
    g_assert_cmphex(isr(&r, MASTER), ==, 0x08);
    g_assert_false(r.intr.level); /* 5 waits behind 3 */
    irq_pulse(&r.in[1]);
    g_assert_true(r.intr.level); /* 1 goes before 3 */
    g_assert_cmphex(pic_acknowledge(r.pic), ==, 0x31);
    test_out(r.m, MASTER, EOI); /* ends the highest in service: 1 */
    g_assert_cmphex(isr(&r, MASTER), ==, 0x08);
    test_out(r.m, MASTER, EOI);
    g_assert_cmphex(pic_acknowledge(r.pic), ==, 0x35);
    test_out(r.m, MASTER, SPECIFIC_EOI | 5);
    g_assert_cmphex(isr(&r, MASTER), ==, 0);
    g_assert_false(r.intr.level);
    machine_destroy(r.m);
}

static void test_cascade(void)
{
    Rig r = rig(1);
    watch(&r);
    irq_pulse(&r.in[12]);
    irq_pulse(&r.in[8]);
    g_assert_cmphex(pic_acknowledge(r.pic), ==, 0x38);
    g_assert_cmphex(isr(&r, MASTER), ==, 1 << 2);
    g_assert_cmphex(isr(&r, SLAVE), ==, 1 << 0);
    irq_pulse(&r.in[3]);
    g_assert_false(r.intr.level); /* the slave stands at line 2, before 3 */
    test_out(r.m, SLAVE, EOI);
    test_out(r.m, MASTER, EOI);
    g_assert_cmphex(pic_acknowledge(r.pic), ==, 0x3c);
    test_out(r.m, SLAVE, EOI);
    test_out(r.m, MASTER, EOI);
    g_assert_cmphex(pic_acknowledge(r.pic), ==, 0x33);
    machine_destroy(r.m);
}

static void test_edge_and_level(void)
{
    Rig r = rig(1);
    watch(&r);
    test_out(r.m, ELCR, 0xff);
    test_out(r.m, ELCR + 1, 0xff);
    g_assert_cmphex(test_in(r.m, ELCR), ==, 0xf8); /* lines 0-2, 8 and 13 stay edges */
    g_assert_cmphex(test_in(r.m, ELCR + 1), ==, 0xde);
    irq_set(&r.in[11], true);
    g_assert_cmphex(pic_acknowledge(r.pic), ==, 0x3b);
    test_out(r.m, SLAVE, EOI);
    test_out(r.m, MASTER, EOI);
    g_assert_true(r.intr.level); /* still asserted: again */
    irq_set(&r.in[11], false);
    g_assert_false(r.intr.level);
    irq_set(&r.in[1], true);
    g_assert_cmphex(pic_acknowledge(r.pic), ==, 0x31);
    test_out(r.m, MASTER, EOI);
    g_assert_false(r.intr.level); /* an edge counts once */
    machine_destroy(r.m);
}

static void test_spurious(void)
{
    Rig r = rig(1);
    watch(&r);
    g_assert_cmphex(pic_acknowledge(r.pic), ==, 0x37);
    g_assert_cmphex(isr(&r, MASTER), ==, 0);
    test_out(r.m, ELCR + 1, 1 << 2);
    irq_set(&r.in[10], true);
    test_out(r.m, SLAVE + 1, 1 << 2); /* masked between INTR and INTA */
    g_assert_false(r.intr.level);
    machine_destroy(r.m);
}

static void test_masks(void)
{
    Rig r = rig(1);
    watch(&r);
    test_out(r.m, MASTER + 1, 0x10);
    g_assert_cmphex(test_in(r.m, MASTER + 1), ==, 0x10);
    irq_pulse(&r.in[4]);
    g_assert_false(r.intr.level);
    test_out(r.m, MASTER + 1, 0);
    g_assert_cmphex(pic_acknowledge(r.pic), ==, 0x34); /* remembered */
    irq_pulse(&r.in[6]);
    g_assert_false(r.intr.level);
    test_out(r.m, MASTER, SPECIAL_MASK);
    test_out(r.m, MASTER + 1, 0x10); /* special mask mode: 4 in service and masked lets 6 through */
    g_assert_true(r.intr.level);
    g_assert_cmphex(pic_acknowledge(r.pic), ==, 0x36);
    machine_destroy(r.m);
}

static void test_rotation(void)
{
    Rig r = rig(1);
    watch(&r);
    irq_pulse(&r.in[0]);
    pic_acknowledge(r.pic);
    test_out(r.m, MASTER, ROTATE_EOI); /* 0 becomes the lowest */
    irq_pulse(&r.in[0]);
    irq_pulse(&r.in[7]);
    g_assert_cmphex(pic_acknowledge(r.pic), ==, 0x37);
    test_out(r.m, MASTER, EOI);
    g_assert_cmphex(pic_acknowledge(r.pic), ==, 0x30);
    test_out(r.m, MASTER, EOI);
    test_out(r.m, MASTER, SET_PRIORITY | 4); /* 5 the highest */
    irq_pulse(&r.in[4]);
    irq_pulse(&r.in[5]);
    g_assert_cmphex(pic_acknowledge(r.pic), ==, 0x35);
    machine_destroy(r.m);
}

static void test_auto_eoi(void)
{
    Rig r = rig(3);
    watch(&r);
    irq_pulse(&r.in[5]);
    g_assert_cmphex(pic_acknowledge(r.pic), ==, 0x35);
    g_assert_cmphex(isr(&r, MASTER), ==, 0);
    machine_destroy(r.m);
}

static void test_poll(void)
{
    Rig r = rig(1);
    watch(&r);
    test_out(r.m, MASTER, POLL);
    g_assert_cmphex(test_in(r.m, MASTER), ==, 0);
    irq_pulse(&r.in[6]);
    test_out(r.m, MASTER, POLL);
    g_assert_cmphex(test_in(r.m, MASTER), ==, 0x86);
    g_assert_cmphex(isr(&r, MASTER), ==, 0x40);
    machine_destroy(r.m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pic/priority", test_priority);
    g_test_add_func("/pic/cascade", test_cascade);
    g_test_add_func("/pic/edge-and-level", test_edge_and_level);
    g_test_add_func("/pic/spurious", test_spurious);
    g_test_add_func("/pic/masks", test_masks);
    g_test_add_func("/pic/rotation", test_rotation);
    g_test_add_func("/pic/auto-eoi", test_auto_eoi);
    g_test_add_func("/pic/poll", test_poll);
    return g_test_run();
}
