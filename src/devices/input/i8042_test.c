/* i8042_test.c - the keyboard controller as SeaBIOS and Linux's driver use it. */
#include "console/input.h"
#include "devices/input/input.h"
#include "devices/misc/misc.h"
#include "devices/input/ps2.h"
#include "devices/testing.h"

enum { DATA = 0x60, COMMAND = 0x64, FULL = 1, AUX = 0x20 };
enum { KEY_ESC = 1, KEY_A = 30, KEY_F7 = 65, KEY_F11 = 87, KEY_UP = 103, KEY_PAUSE = 119 };

typedef struct Rig {
    Machine *m;
    Device *kbc;
    TestLine irq1, irq12, a20;
    unsigned resets;
} Rig;

static void stop_requested(void *opaque, StopCause cause) { ((Rig *)opaque)->resets += cause == CAUSE_GUEST_RESET; }

static void rig_init(Rig *r)
{
    *r = (Rig){ .m = test_machine() };
    r->m->input = input_hub_create();
    r->m->listener = (MachineListener){ stop_requested, r };
    r->kbc = test_device(r->m, &i8042_type, NULL);
    test_map(r->kbc, 0, DATA);
    test_map(r->kbc, 1, COMMAND);
    test_watch(r->kbc, I8042_KEYBOARD_IRQ, &r->irq1);
    test_watch(r->kbc, I8042_MOUSE_IRQ, &r->irq12);
    test_watch(r->kbc, I8042_A20, &r->a20);
}

static void rig_finish(Rig *r)
{
    InputHub *input = r->m->input;
    machine_destroy(r->m);
    input_hub_destroy(input);
}

static uint8_t status(Rig *r) { return test_in(r->m, COMMAND); }

/* Waits a millisecond at most, as drivers do. */
static int next(Rig *r)
{
    for (unsigned us = 0; us < 1000 && !(status(r) & FULL); us += 50)
        clock_advance(r->m->clock, 50000);
    return status(r) & FULL ? test_in(r->m, DATA) : -1;
}

static void command(Rig *r, uint8_t v) { test_out(r->m, COMMAND, v); }
static void data(Rig *r, uint8_t v) { test_out(r->m, DATA, v); }
static void to_mouse(Rig *r, uint8_t v) { command(r, 0xd4), data(r, v); }

static void expect(Rig *r, const int *bytes)
{
    for (; *bytes >= 0; bytes++)
        g_assert_cmphex(next(r), ==, *bytes);
    g_assert_cmpint(next(r), ==, -1);
}
#define EXPECT(r, ...) expect(r, (const int[]){ __VA_ARGS__, -1 })

/* drivers/input/serio/i8042.c: controller check, self test, AUX loop and test, enable and disable. */
static void test_linux_probe(void)
{
    Rig r;
    rig_init(&r);
    command(&r, 0x20);
    int ctr = next(&r);
    g_assert_cmphex(ctr, ==, 0x47);
    command(&r, 0xaa);
    EXPECT(&r, 0x55);
    command(&r, 0x60);
    data(&r, 0x74); /* both ports off */
    command(&r, 0xd3);
    data(&r, 0x5a);
    g_assert_cmphex(status(&r) & (FULL | AUX), ==, FULL | AUX);
    EXPECT(&r, 0x5a);
    command(&r, 0xa9);
    EXPECT(&r, 0x00);
    command(&r, 0xa8);
    command(&r, 0x20);
    EXPECT(&r, 0x54);
    command(&r, 0xa7);
    command(&r, 0x20);
    EXPECT(&r, 0x74);
    command(&r, 0x60);
    data(&r, 0x76); /* AUX interrupt on: the loop test must raise IRQ 12 */
    command(&r, 0xd3);
    data(&r, 0xa5);
    g_assert_true(r.irq12.level);
    g_assert_false(r.irq1.level);
    EXPECT(&r, 0xa5);
    g_assert_false(r.irq12.level);
    rig_finish(&r);
}

/* atkbd: reset, identify, LEDs, rate, enable. */
static void test_keyboard_probe(void)
{
    Rig r;
    rig_init(&r);
    command(&r, 0x60);
    data(&r, 0x01); /* untranslated */
    data(&r, 0xff);
    g_assert_true(r.irq1.level);
    EXPECT(&r, 0xfa, 0xaa);
    data(&r, 0xf2);
    EXPECT(&r, 0xfa, 0xab, 0x83);
    data(&r, 0xed);
    EXPECT(&r, 0xfa);
    data(&r, 0x02);
    EXPECT(&r, 0xfa);
    data(&r, 0xf3);
    EXPECT(&r, 0xfa);
    data(&r, 0x00);
    EXPECT(&r, 0xfa);
    data(&r, 0xf0);
    EXPECT(&r, 0xfa);
    data(&r, 0x00);
    EXPECT(&r, 0xfa, 0x02);
    data(&r, 0xee);
    EXPECT(&r, 0xee);
    data(&r, 0x99);
    EXPECT(&r, 0xfe);
    data(&r, 0xf4);
    EXPECT(&r, 0xfa);
    rig_finish(&r);
}

static void press(Rig *r, unsigned key)
{
    input_key(r->m->input, key_by_code(key), true);
    input_key(r->m->input, key_by_code(key), false);
}

static void test_keys(void)
{
    Rig r;
    rig_init(&r);
    press(&r, KEY_A); /* translated: set 1 */
    EXPECT(&r, 0x1e, 0x9e);
    press(&r, KEY_ESC);
    EXPECT(&r, 0x01, 0x81);
    press(&r, KEY_UP);
    EXPECT(&r, 0xe0, 0x48, 0xe0, 0xc8);
    press(&r, KEY_F7);
    EXPECT(&r, 0x41, 0xc1);
    press(&r, KEY_F11);
    EXPECT(&r, 0x57, 0xd7);
    press(&r, KEY_PAUSE);
    EXPECT(&r, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
    press(&r, 183); /* F13: PS/2 has no such key */
    g_assert_cmpint(next(&r), ==, -1);
    command(&r, 0x60);
    data(&r, 0x01); /* set 2 */
    press(&r, KEY_A);
    EXPECT(&r, 0x1c, 0xf0, 0x1c);
    press(&r, KEY_UP);
    EXPECT(&r, 0xe0, 0x75, 0xe0, 0xf0, 0x75);
    press(&r, KEY_F7);
    EXPECT(&r, 0x83, 0xf0, 0x83);
    data(&r, 0xf0);
    EXPECT(&r, 0xfa);
    data(&r, 0x01); /* the keyboard's own set 1 */
    EXPECT(&r, 0xfa);
    press(&r, KEY_A);
    EXPECT(&r, 0x1e, 0x9e);
    rig_finish(&r);
}

/* Every key below 88 that set 1 has translates back to its own number. */
static void test_all_keys(void)
{
    Rig r;
    rig_init(&r);
    for (unsigned key = 1; key <= 83; key++) {
        press(&r, key);
        g_assert_cmphex(next(&r), ==, key);
        g_assert_cmphex(next(&r), ==, key | 0x80);
    }
    rig_finish(&r);
}

/* The keyboard speaks set 2, and the controller makes set 1 of it: both columns of the table of keys say the same. */
static void test_table(void)
{
    for (const Key *k = keys; k->name; k++) {
        if (k->set2 && k->code != KEY_PAUSE)
            g_assert_cmphex(ps2_translate(k->set2), ==, k->set1 & 0xff);
        g_assert_true(key_by_name(k->name) == k && key_by_code(k->code) == k);
        g_assert_true(!k->keysym[0] || key_by_keysym(k->keysym[0]) == k);
        g_assert_true(!k->set1 || k->set1 >= 0xf000 || key_by_number(key_number(k)) == k);
    }
}

static void test_leds(void)
{
    Rig r;
    rig_init(&r);
    data(&r, 0xed);
    EXPECT(&r, 0xfa);
    data(&r, 0x04);
    EXPECT(&r, 0xfa);
    g_assert_cmphex(input_leds(r.m->input), ==, 4);
    rig_finish(&r);
}

static void test_disabled_port_holds_bytes(void)
{
    Rig r;
    rig_init(&r);
    command(&r, 0xad);
    press(&r, KEY_A);
    g_assert_cmpint(next(&r), ==, -1);
    command(&r, 0xae);
    EXPECT(&r, 0x1e, 0x9e);
    rig_finish(&r);
}

static void test_overfull(void)
{
    Rig r;
    rig_init(&r);
    for (unsigned i = 0; i < 1000; i++)
        press(&r, KEY_A);
    unsigned got = 0;
    for (int byte; (byte = next(&r)) >= 0; got++)
        g_assert_true(byte == 0x1e || byte == 0x9e); /* whole codes only */
    g_assert_cmpuint(got, >=, 16);
    rig_finish(&r);
}

static void move(Rig *r, int dx, int dy, int wheel, unsigned buttons)
{
    input_move(r->m->input, dx, dy);
    input_wheel(r->m->input, wheel, 0);
    for (unsigned b = 0; b < BUTTONS; b++)
        input_button(r->m->input, b, buttons >> b & 1);
    input_sync(r->m->input);
}

static void mouse_rate(Rig *r, uint8_t rate)
{
    to_mouse(r, 0xf3);
    EXPECT(r, 0xfa);
    to_mouse(r, rate);
    EXPECT(r, 0xfa);
}

static void test_mouse(void)
{
    Rig r;
    rig_init(&r);
    to_mouse(&r, 0xff);
    g_assert_cmphex(status(&r) & AUX, ==, AUX);
    g_assert_true(r.irq12.level);
    EXPECT(&r, 0xfa, 0xaa, 0x00);
    to_mouse(&r, 0xf2);
    EXPECT(&r, 0xfa, 0x00);
    move(&r, 5, 0, 0, 0); /* not reporting yet */
    g_assert_cmpint(next(&r), ==, -1);
    to_mouse(&r, 0xf4);
    EXPECT(&r, 0xfa);
    move(&r, 5, 3, 0, 1);
    EXPECT(&r, 0x29, 0x05, 0xfd); /* left button; y grows upwards */
    move(&r, 0, 0, 0, 0);
    EXPECT(&r, 0x08, 0x00, 0x00);
    move(&r, 300, 0, 0, 0); /* in two packets */
    EXPECT(&r, 0x08, 0xff, 0x00, 0x08, 0x2d, 0x00);
    mouse_rate(&r, 200);
    mouse_rate(&r, 100);
    mouse_rate(&r, 80);
    to_mouse(&r, 0xf2);
    EXPECT(&r, 0xfa, 0x03);
    move(&r, 0, 0, -1, 0);
    EXPECT(&r, 0x08, 0x00, 0x00, 0xff);
    mouse_rate(&r, 200);
    mouse_rate(&r, 200);
    mouse_rate(&r, 80);
    to_mouse(&r, 0xf2);
    EXPECT(&r, 0xfa, 0x04);
    move(&r, 0, 0, 1, 8);
    EXPECT(&r, 0x08, 0x00, 0x00, 0x11);
    to_mouse(&r, 0xe9);
    EXPECT(&r, 0xfa, 0x20, 0x02, 80);
    rig_finish(&r);
}

static void test_a20_and_reset(void)
{
    Rig r;
    rig_init(&r);
    device_reset(r.kbc, RESET_COLD);
    g_assert_true(r.a20.level);
    command(&r, 0xd1);
    data(&r, 0xdd);
    g_assert_false(r.a20.level);
    command(&r, 0xd0);
    EXPECT(&r, 0xdd & ~0x30);
    command(&r, 0xdf);
    g_assert_true(r.a20.level);
    command(&r, 0xff); /* pulses nothing */
    g_assert_cmpuint(r.resets, ==, 0);
    command(&r, 0xfe);
    g_assert_cmpuint(r.resets, ==, 1);
    Device *port92 = test_device(r.m, &port92_type, NULL);
    test_map(port92, 0, 0x92);
    TestLine a20;
    test_watch(port92, 0, &a20);
    g_assert_cmphex(test_in(r.m, 0x92), ==, 0x02);
    test_out(r.m, 0x92, 0x00);
    test_out(r.m, 0x92, 0x02);
    g_assert_cmpuint(a20.rises, ==, 1);
    g_assert_cmpuint(r.resets, ==, 1);
    test_out(r.m, 0x92, 0x03);
    g_assert_cmpuint(r.resets, ==, 2);
    rig_finish(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/i8042/linux-probe", test_linux_probe);
    g_test_add_func("/i8042/keyboard-probe", test_keyboard_probe);
    g_test_add_func("/i8042/keys", test_keys);
    g_test_add_func("/i8042/all-keys", test_all_keys);
    g_test_add_func("/i8042/key-table", test_table);
    g_test_add_func("/i8042/leds", test_leds);
    g_test_add_func("/i8042/disabled-port", test_disabled_port_holds_bytes);
    g_test_add_func("/i8042/overfull", test_overfull);
    g_test_add_func("/i8042/mouse", test_mouse);
    g_test_add_func("/i8042/a20-and-reset", test_a20_and_reset);
    return g_test_run();
}
