/* virtio_gpu_test.c - a driver that shows pictures: contents on the screen, cursors, bounds, limits, saved state. */
#include "devices/display/virtio_gpu.h"

#include <string.h>

#include "devices/virtio/virtio_testing.h"

enum { REQUEST = VT_DATA, ANSWER = VT_DATA + 0x8000, PICTURE = VT_DATA + 0x10000, W = 64, H = 48 };

static void rig_init(VirtioTest *t, const DeviceType *type, const char *const *props)
{
    *t = (VirtioTest){ 0 };
    vt_create_machine(t);
    t->machine->screens = screens_create();
    g_assert_true(vt_plug(t, type, props, NULL));
    vt_start(t, 1 << 1, 2);
}

static void rig_finish(VirtioTest *t)
{
    Screens *s = t->machine->screens;
    vt_destroy(t);
    screens_destroy(s);
}

static uint32_t answer_word(VirtioTest *t, unsigned at)
{
    uint32_t v;
    vt_take(t, ANSWER + at, &v, 4);
    return v;
}

/* Sends a command of those words after the header; returns the answer's type. */
static uint32_t send(VirtioTest *t, unsigned queue, uint32_t type, const uint32_t *words, unsigned n)
{
    const uint32_t header[6] = { type, 1, 0x1234, 0x5678, 0, 0 };
    vt_put(t, REQUEST, header, 24);
    vt_put(t, REQUEST + 24, words, n * 4);
    vt_add(t, queue, (VtBuffer[]){ { REQUEST, 24 + n * 4, false }, { ANSWER, 2048, true } }, 2);
    vt_kick(t, queue);
    vt_wait(t, queue, NULL);
    g_assert_cmphex(answer_word(t, 8), ==, 0x1234); /* the fence comes back */
    return answer_word(t, 0);
}
#define SEND(t, type, ...) send(t, 0, type, (const uint32_t[]){ __VA_ARGS__ }, sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4)

static void make(VirtioTest *t, uint32_t id, uint32_t format, uint32_t colour)
{
    g_assert_cmphex(SEND(t, 0x101, id, format, W, H), ==, 0x1100);
    g_assert_cmphex(SEND(t, 0x106, id, 2, PICTURE, 0, 4096, 0, PICTURE + 8192, 0, W * H * 4 - 4096, 0), ==, 0x1100); /* in two pieces */
    for (unsigned i = 0; i < W * H; i++)
        vt_put(t, PICTURE + i * 4 + (i * 4 < 4096 ? 0 : 4096), &colour, 4);
    g_assert_cmphex(SEND(t, 0x105, 0, 0, W, H, 0, 0, id, 0), ==, 0x1100);
}

static uint32_t pixel(VirtioTest *t, unsigned n, int x, int y)
{
    Surface *s = display_snapshot(screens_nth(t->machine->screens, n));
    uint32_t p = x < s->width && y < s->height ? surface_line(s, y)[x] : 0xdeadbeef;
    surface_destroy(s);
    return p;
}

static void test_picture(void)
{
    VirtioTest t;
    rig_init(&t, &virtio_gpu_pci_type, NULL);
    g_assert_cmphex(pci_config_read(t.bus, VT_DEVFN, PCI_DEVICE_ID, 2), ==, 0x1050);
    g_assert_cmphex(SEND(&t, 0x100, 0), ==, 0x1101);
    g_assert_cmpuint(answer_word(&t, 24 + 8), ==, 1280);
    g_assert_cmphex(SEND(&t, 0x10a, 0, 0), ==, 0x1104);
    g_assert_cmphex(answer_word(&t, 32), ==, 0xffffff00); /* EDID's head */
    make(&t, 7, 2, 0x00102030);
    g_assert_cmphex(SEND(&t, 0x103, 0, 0, W, H, 0, 7), ==, 0x1100);
    g_assert_cmphex(pixel(&t, 0, 0, 0), ==, 0x102030);
    g_assert_cmphex(pixel(&t, 0, W - 1, H - 1), ==, 0x102030);
    g_assert_cmphex(pixel(&t, 0, W, 0), ==, 0xdeadbeef);
    uint32_t other = 0x00ffffff; /* one pixel changes, and is seen when it is flushed */
    vt_put(&t, PICTURE + (W + 2) * 4, &other, 4);
    g_assert_cmphex(SEND(&t, 0x105, 2, 1, 1, 1, (W + 2) * 4, 0, 7, 0), ==, 0x1100);
    g_assert_cmphex(pixel(&t, 0, 2, 1), ==, 0x102030);
    g_assert_cmphex(SEND(&t, 0x104, 0, 0, W, H, 7, 0), ==, 0x1100);
    g_assert_cmphex(pixel(&t, 0, 2, 1), ==, 0xffffff);
    g_assert_cmphex(SEND(&t, 0x102, 7, 0), ==, 0x1100); /* freed while it shows: dark */
    g_assert_cmphex(pixel(&t, 0, 0, 0), ==, 0);
    rig_finish(&t);
}

static void test_formats(void)
{
    static const struct { uint32_t format, word; } rows[] = { { 1, 0xff112233 }, { 3, 0x332211ff }, { 67, 0xff332211 }, { 68, 0x112233ff }, { 134, 0x332211 } };
    VirtioTest t;
    rig_init(&t, &virtio_gpu_pci_type, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        make(&t, 1 + i, rows[i].format, rows[i].word);
        g_assert_cmphex(SEND(&t, 0x103, 0, 0, 32, 32, 0, 1 + i), ==, 0x1100);
        g_assert_cmphex(pixel(&t, 0, 3, 3), ==, 0x112233);
    }
    rig_finish(&t);
}

static void test_bounds(void)
{
    VirtioTest t;
    rig_init(&t, &virtio_gpu_pci_type, (const char *[]){ "max_hostmem", "1M", "max_outputs", "2", NULL });
    g_assert_cmphex(SEND(&t, 0x101, 0, 2, W, H), ==, 0x1203);       /* id 0 */
    g_assert_cmphex(SEND(&t, 0x101, 1, 99, W, H), ==, 0x1205);      /* no such format */
    g_assert_cmphex(SEND(&t, 0x101, 1, 2, 16384, 16384), ==, 0x1201);
    g_assert_cmphex(SEND(&t, 0x101, 1, 2, 0xffffffff, 2), ==, 0x1205);
    make(&t, 1, 2, 0x123456);
    g_assert_cmphex(SEND(&t, 0x101, 1, 2, W, H), ==, 0x1203);       /* taken */
    g_assert_cmphex(SEND(&t, 0x105, 1, 0, W, H, 0, 0, 1, 0), ==, 0x1205);
    g_assert_cmphex(SEND(&t, 0x105, 0, 0, W, H, 4, 0, 1, 0), ==, 0x1205); /* behind the end of its memory */
    g_assert_cmphex(SEND(&t, 0x105, 0, 0, W, H, 0, 0xffffffff, 1, 0), ==, 0x1205);
    g_assert_cmphex(SEND(&t, 0x104, 0, 0, W + 1, H, 1, 0), ==, 0x1205);
    g_assert_cmphex(SEND(&t, 0x103, 0xffffffff, 0, W, H, 0, 1), ==, 0x1205);
    g_assert_cmphex(SEND(&t, 0x103, 0, 0, W, H, 2, 1), ==, 0x1202); /* there are two screens */
    g_assert_cmphex(SEND(&t, 0x106, 1, 5, PICTURE, 0, 4096, 0), ==, 0x1200); /* fewer entries than it says */
    g_assert_cmphex(SEND(&t, 0x103, 0, 0, W, H, 1, 1), ==, 0x1100);
    g_assert_cmphex(pixel(&t, 1, 0, 0), ==, 0x123456);
    unsigned made = 0;
    while (SEND(&t, 0x101, 100 + made, 2, W, H) == 0x1100)
        made++;
    g_assert_cmpuint(made, >, 60); /* of 12 KiB, in 1 MiB */
    g_assert_cmpuint(made, <, 86);
    g_assert_cmphex(SEND(&t, 0x999, 0), ==, 0x1200);
    vt_start(&t, 0, 2); /* a reset frees all */
    make(&t, 1, 2, 0);
    rig_finish(&t);
}

static void test_cursor(void)
{
    VirtioTest t;
    rig_init(&t, &virtio_gpu_pci_type, NULL);
    DisplayListener *l = display_listen(screens_nth(t.machine->screens, 0));
    make(&t, 3, 1, 0x80402010);
    send(&t, 1, 0x300, (const uint32_t[]){ 0, 5, 5, 0, 3, 2, 4, 0 }, 8);
    g_assert_true(display_fetch(l)->cursor);
    Cursor *c = display_cursor(l);
    g_assert_cmpint(c->width, ==, W);
    g_assert_cmpint(c->hot_y, ==, 4);
    g_assert_cmphex(c->argb[5], ==, 0x80402010);
    cursor_unref(c);
    send(&t, 1, 0x300, (const uint32_t[]){ 0, 5, 5, 0, 0, 0, 0, 0 }, 8);
    c = display_cursor(l);
    g_assert_cmpint(c->width, ==, 1); /* hidden */
    cursor_unref(c);
    display_unlisten(l);
    rig_finish(&t);
}

static void test_resize(void)
{
    VirtioTest t;
    rig_init(&t, &virtio_gpu_pci_type, NULL);
    display_resize_hint(screens_nth(t.machine->screens, 0), 1000, 700);
    g_assert_cmpuint(vt_config(&t, 0, 4), ==, 1);
    vt_set(&t, MODERN_CONFIG + 4, 4, 1);
    g_assert_cmpuint(vt_config(&t, 0, 4), ==, 0);
    vt_set(&t, MODERN_CONFIG + 8, 4, 99); /* read-only */
    g_assert_cmpuint(vt_config(&t, 8, 4), ==, 1);
    SEND(&t, 0x100, 0);
    g_assert_cmpuint(answer_word(&t, 24 + 8), ==, 1000);
    rig_finish(&t);
}

static void test_save(void)
{
    VirtioTest t;
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    rig_init(&t, &virtio_gpu_pci_type, NULL);
    make(&t, 9, 2, 0x445566);
    SEND(&t, 0x103, 0, 0, W, H, 0, 9);
    g_assert_true(machine_save(t.machine, state, NULL));
    device_reset(t.device, RESET_COLD);
    g_assert_cmphex(pixel(&t, 0, 1, 1), ==, 0);
    g_assert_true(machine_load(t.machine, state->data, state->len, &err));
    g_assert_cmphex(pixel(&t, 0, 1, 1), ==, 0x445566);
    rig_finish(&t);
}

/* The VGA's picture shows until a driver sets a scanout, and after it has gone. */
static void test_vga(void)
{
    VirtioTest t;
    rig_init(&t, &virtio_vga_type, NULL);
    g_assert_cmphex(pci_config_read(t.bus, VT_DEVFN, PCI_CLASS, 4) & 0xffffff, ==, 0x030000);
    static const uint16_t mode[][2] = { { 1, 320 }, { 2, 200 }, { 3, 32 }, { 4, 0x41 } };
    for (unsigned i = 0; i < 4; i++) {
        test_write(t.machine->ports, 0x1ce, 2, mode[i][0]);
        test_write(t.machine->ports, 0x1d0, 2, mode[i][1]);
    }
    pci_config_write(t.bus, VT_DEVFN, PCI_BAR0, 4, 0xe0000000);
    uint32_t red = 0xff0000;
    vt_put(&t, 0xe0000000, &red, 4);
    g_assert_cmphex(pixel(&t, 0, 0, 0), ==, 0xff0000);
    make(&t, 1, 2, 0x00ff00);
    SEND(&t, 0x103, 0, 0, W, H, 0, 1);
    g_assert_cmphex(pixel(&t, 0, 0, 0), ==, 0x00ff00);
    SEND(&t, 0x103, 0, 0, 0, 0, 0, 0);
    g_assert_cmphex(pixel(&t, 0, 0, 0), ==, 0xff0000);
    rig_finish(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio-gpu/picture", test_picture);
    g_test_add_func("/virtio-gpu/formats", test_formats);
    g_test_add_func("/virtio-gpu/bounds", test_bounds);
    g_test_add_func("/virtio-gpu/cursor", test_cursor);
    g_test_add_func("/virtio-gpu/resize", test_resize);
    g_test_add_func("/virtio-gpu/save", test_save);
    g_test_add_func("/virtio-gpu/vga", test_vga);
    return g_test_run();
}
