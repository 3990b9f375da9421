/* virtio_input_test.c - a driver that reads what the device is, and its events. */
#include "devices/input/virtio_input.h"

#include <string.h>

#include "console/input.h"
#include "devices/virtio/virtio_testing.h"

typedef struct Event {
    uint16_t type, code;
    int32_t value;
} Event;

static void rig_init(VirtioTest *t, const DeviceType *type)
{
    *t = (VirtioTest){ 0 };
    vt_create_machine(t);
    t->machine->input = input_hub_create();
    g_assert_true(vt_plug(t, type, NULL, NULL));
    vt_start(t, 0, 2);
}

static void rig_finish(VirtioTest *t)
{
    InputHub *h = t->machine->input;
    vt_destroy(t);
    input_hub_destroy(h);
}

static void choose(VirtioTest *t, unsigned what, unsigned sub)
{
    vt_set(t, MODERN_CONFIG, 1, what);
    vt_set(t, MODERN_CONFIG + 1, 1, sub);
}

static bool config_bit(VirtioTest *t, unsigned type, unsigned code)
{
    choose(t, 0x11, type);
    return code / 8 < vt_config(t, 2, 1) && vt_config(t, 8 + code / 8, 1) >> code % 8 & 1;
}

static void offer(VirtioTest *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        vt_add(t, 0, &(VtBuffer){ VT_DATA + t->next[0] % VT_SIZE * 8, 8, true }, 1);
    vt_kick(t, 0);
}

static Event next(VirtioTest *t)
{
    Event e;
    uint16_t head;
    g_assert_true(vt_poll(t, 0));
    g_assert_cmpuint(vt_wait(t, 0, &head), ==, 8);
    vt_take(t, VT_DATA + head * 8, &e, 8);
    return e;
}

static void expect(VirtioTest *t, unsigned type, unsigned code, int value)
{
    Event e = next(t);
    g_assert_cmpuint(e.type, ==, type);
    g_assert_cmpuint(e.code, ==, code);
    g_assert_cmpint(e.value, ==, value);
}

static void test_identity(void)
{
    VirtioTest t;
    rig_init(&t, &virtio_tablet_pci_type);
    g_assert_cmphex(pci_config_read(t.bus, VT_DEVFN, PCI_DEVICE_ID, 2), ==, 0x1052);
    choose(&t, 1, 0);
    g_assert_cmpuint(vt_config(&t, 2, 1), ==, strlen("QEMU Virtio Tablet"));
    g_assert_true(config_bit(&t, 3, 1) && !config_bit(&t, 3, 2) && config_bit(&t, 2, 8) && !config_bit(&t, 2, 0) && config_bit(&t, 1, 0x110));
    choose(&t, 0x12, 0);
    g_assert_cmpuint(vt_config(&t, 2, 1), ==, 20);
    g_assert_cmpuint(vt_config(&t, 12, 4), ==, 0x7fff);
    rig_finish(&t);
    rig_init(&t, &virtio_keyboard_pci_type);
    g_assert_true(config_bit(&t, 1, 30) && !config_bit(&t, 1, 0x110) && config_bit(&t, 0x11, 2));
    rig_finish(&t);
}

static void test_keys(void)
{
    VirtioTest t;
    rig_init(&t, &virtio_keyboard_pci_type);
    offer(&t, 3);
    input_key(t.machine->input, key_by_name("a"), true);
    expect(&t, 1, 30, 1);
    expect(&t, 0, 0, 0);
    input_key(t.machine->input, key_by_name("a"), false); /* one buffer is left: the rest waits */
    expect(&t, 1, 30, 0);
    g_assert_false(vt_poll(&t, 0));
    for (unsigned i = 0; i < 200; i++) /* more than there is room for: whole reports go */
        input_key(t.machine->input, key_by_name("b"), i % 2 == 0);
    offer(&t, 16);
    expect(&t, 0, 0, 0);
    expect(&t, 1, 48, 1);
    expect(&t, 0, 0, 0);
    rig_finish(&t);
}

static void test_pointers(void)
{
    VirtioTest t;
    rig_init(&t, &virtio_tablet_pci_type);
    offer(&t, 8);
    input_point(t.machine->input, 100, 200);
    input_button(t.machine->input, BUTTON_RIGHT, true);
    input_sync(t.machine->input);
    expect(&t, 3, 0, 100);
    expect(&t, 3, 1, 200);
    expect(&t, 1, 0x111, 1);
    expect(&t, 0, 0, 0);
    rig_finish(&t);
    rig_init(&t, &virtio_mouse_pci_type);
    offer(&t, 8);
    input_move(t.machine->input, -3, 0);
    input_wheel(t.machine->input, 1, 0);
    input_sync(t.machine->input);
    expect(&t, 2, 0, -3);
    expect(&t, 2, 8, -1);
    expect(&t, 0, 0, 0);
    rig_finish(&t);
}

static void test_lights(void)
{
    VirtioTest t;
    rig_init(&t, &virtio_keyboard_pci_type);
    Event caps = { 0x11, 1, 1 };
    vt_put(&t, VT_DATA, &caps, 8);
    vt_add(&t, 1, &(VtBuffer){ VT_DATA, 8, false }, 1);
    vt_kick(&t, 1);
    g_assert_cmphex(input_leds(t.machine->input), ==, 4);
    rig_finish(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio-input/identity", test_identity);
    g_test_add_func("/virtio-input/keys", test_keys);
    g_test_add_func("/virtio-input/pointers", test_pointers);
    g_test_add_func("/virtio-input/lights", test_lights);
    return g_test_run();
}
