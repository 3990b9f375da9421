/* vga_test.c - the VGA by its ports and memory, and the pictures that come of it. */
#include <string.h>

#include "devices/display/display.h"
#include "devices/display/edid.h"
#include "devices/display/vga.h"
#include "devices/testing.h"

typedef struct Rig {
    Machine *m;
    PciBus *bus;
    Device *d;
    DisplayListener *l;
} Rig;

static const PciBusOps quiet = { 0 };
enum { FRAMEBUFFER = 0xe0000000, REGISTERS = 0xe8000000, PORTS = REGISTERS + 0x400, VBE = REGISTERS + 0x500 };

static void rig_init(Rig *r)
{
    *r = (Rig){ .m = test_machine() };
    r->m->screens = screens_create();
    r->bus = pci_bus_create(r->m, "pci.0", &quiet, NULL);
    r->d = device_new(r->m, &vga_pci_type, NULL, NULL, NULL);
    g_assert_true(pci_plug((PciDevice *)r->d, r->bus, 16, NULL) && device_realize(r->d, NULL));
    pci_config_write(r->bus, 16, PCI_BAR0, 4, FRAMEBUFFER);
    pci_config_write(r->bus, 16, PCI_BAR0 + 8, 4, REGISTERS);
    pci_config_write(r->bus, 16, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
    r->l = display_listen(screens_nth(r->m->screens, 0));
}

static void rig_finish(Rig *r)
{
    Screens *s = r->m->screens;
    machine_destroy(r->m);
    pci_bus_destroy(r->bus);
    display_unlisten(r->l);
    screens_destroy(s);
}

static void indexed(Rig *r, uint16_t port, unsigned index, uint8_t value)
{
    test_out(r->m, port, index);
    test_out(r->m, port + 1, value);
}

static void vbe_set(Rig *r, unsigned index, uint16_t value) { test_write(r->m->memory, VBE + index * 2, 2, value); }
static uint16_t vbe_get(Rig *r, unsigned index) { return test_read(r->m->memory, VBE + index * 2, 2); }

static void attribute(Rig *r, unsigned index, uint8_t value)
{
    test_in(r->m, 0x3da);
    test_out(r->m, 0x3c0, index);
    test_out(r->m, 0x3c0, value);
    test_in(r->m, 0x3da);
    test_out(r->m, 0x3c0, 0x20);
}

/* Palette and attribute entries 0 to 15: the number in each component, times four. */
static void plain_colours(Rig *r)
{
    for (unsigned i = 0; i < 16; i++)
        attribute(r, i, i);
    attribute(r, ATTR_PLANES, 15);
    test_out(r->m, 0x3c8, 0);
    for (unsigned i = 0; i < VGA_PALETTE; i++)
        test_out(r->m, 0x3c9, i / 3 & 63);
}

static uint32_t grey(unsigned n)
{
    unsigned c = n << 2 | n >> 4;
    return c * 0x010101u;
}

static void timing(Rig *r, unsigned columns, unsigned lines, unsigned max_scan, unsigned offset, unsigned mode)
{
    unsigned last = lines - 1;
    test_out(r->m, 0x3c2, 0x67);
    indexed(r, 0x3d4, CRTC_RETRACE_END, 0);
    indexed(r, 0x3d4, CRTC_HORIZONTAL_END, columns - 1);
    indexed(r, 0x3d4, CRTC_VERTICAL_END, last);
    indexed(r, 0x3d4, CRTC_OVERFLOW, 0x10 | (last >> 8 & 1) << 1 | (last >> 9 & 1) << 6);
    indexed(r, 0x3d4, CRTC_LINE_COMPARE, 0xff);
    indexed(r, 0x3d4, CRTC_MAX_SCAN, 0x40 | max_scan);
    indexed(r, 0x3d4, CRTC_OFFSET, offset);
    indexed(r, 0x3d4, CRTC_MODE, mode);
    plain_colours(r);
}

static uint32_t pixel(Rig *r, int x, int y) { return surface_line(display_copy(r->l), y)[x]; }

static void text_mode(Rig *r)
{
    timing(r, 80, 400, 15, 40, 0xa3);
    indexed(r, 0x3c4, SEQ_CLOCKING, 0);
    indexed(r, 0x3c4, SEQ_MAP_MASK, 4);
    indexed(r, 0x3c4, SEQ_MEMORY_MODE, 6);
    indexed(r, 0x3ce, GFX_MISC, 4);
    indexed(r, 0x3ce, GFX_BIT_MASK, 0xff);
    for (unsigned i = 0; i < 16; i++)
        test_write(r->m->memory, 0xa0000 + 'A' * 32 + i, 1, 0x81); /* two bars */
    for (unsigned i = 0; i < 16; i++)
        test_write(r->m->memory, 0xa0000 + 0xc4 * 32 + i, 1, i == 8 ? 0xff : 0);
    indexed(r, 0x3c4, SEQ_MAP_MASK, 3);
    indexed(r, 0x3c4, SEQ_MEMORY_MODE, 2);
    indexed(r, 0x3ce, GFX_MODE, 0x10);
    indexed(r, 0x3ce, GFX_MISC, 0x0e);
    indexed(r, 0x3d4, CRTC_CURSOR_START, 0x20);
    attribute(r, ATTR_MODE, 0x0c);
}

static void test_text(void)
{
    Rig r;
    rig_init(&r);
    text_mode(&r);
    test_write(r.m->memory, 0xb8000, 2, 0x1e41);
    test_write(r.m->memory, 0xb8000 + 160, 2, 0x07c4);
    g_assert_cmphex(test_read(r.m->memory, 0xb8000, 2), ==, 0x1e41);
    const DisplayChange *c = display_fetch(r.l);
    g_assert_true(c->resized);
    g_assert_cmpint(display_copy(r.l)->width, ==, 720);
    g_assert_cmpint(display_copy(r.l)->height, ==, 400);
    g_assert_cmphex(pixel(&r, 0, 0), ==, grey(14));
    g_assert_cmphex(pixel(&r, 1, 0), ==, grey(1));
    g_assert_cmphex(pixel(&r, 7, 15), ==, grey(14));
    g_assert_cmphex(pixel(&r, 8, 0), ==, grey(1));
    g_assert_cmphex(pixel(&r, 8, 24), ==, grey(7)); /* line graphics go on into the ninth dot */
    g_assert_cmpuint(display_fetch(r.l)->tiles->len, ==, 0);
    indexed(&r, 0x3d4, CRTC_CURSOR_START, 14); /* a cursor, on the third cell of the first row */
    indexed(&r, 0x3d4, CRTC_CURSOR_END, 15);
    indexed(&r, 0x3d4, CRTC_CURSOR_LOW, 2);
    test_write(r.m->memory, 0xb8004, 2, 0x0720);
    display_fetch(r.l);
    g_assert_cmphex(pixel(&r, 18, 14), ==, grey(7));
    g_assert_cmphex(pixel(&r, 18, 13), ==, 0);
    indexed(&r, 0x3d4, CRTC_START_LOW, 80); /* scrolled by a row */
    display_fetch(r.l);
    g_assert_cmphex(pixel(&r, 8, 8), ==, grey(7));
    rig_finish(&r);
}

static void planar_mode(Rig *r)
{
    timing(r, 80, 480, 0, 40, 0xe3);
    indexed(r, 0x3c4, SEQ_CLOCKING, 1);
    indexed(r, 0x3c4, SEQ_MAP_MASK, 15);
    indexed(r, 0x3c4, SEQ_MEMORY_MODE, 6);
    indexed(r, 0x3ce, GFX_MISC, 5);
    indexed(r, 0x3ce, GFX_MODE, 0);
    indexed(r, 0x3ce, GFX_BIT_MASK, 0xff);
    indexed(r, 0x3ce, GFX_DONT_CARE, 0x0f);
}

static uint8_t peek(Rig *r, uint32_t off) { return test_read(r->m->memory, 0xa0000 + off, 1); }
static void poke(Rig *r, uint32_t off, uint8_t value) { test_write(r->m->memory, 0xa0000 + off, 1, value); }

static void test_planar(void)
{
    Rig r;
    rig_init(&r);
    planar_mode(&r);
    indexed(&r, 0x3c4, SEQ_MAP_MASK, 5);
    poke(&r, 0, 0x80);
    poke(&r, 80, 0x01);
    display_fetch(r.l);
    g_assert_cmpint(display_copy(r.l)->width, ==, 640);
    g_assert_cmpint(display_copy(r.l)->height, ==, 480);
    g_assert_cmphex(pixel(&r, 0, 0), ==, grey(5));
    g_assert_cmphex(pixel(&r, 7, 1), ==, grey(5));
    g_assert_cmphex(pixel(&r, 1, 0), ==, 0);
    indexed(&r, 0x3d4, CRTC_LINE_COMPARE, 99 & 0xff); /* from line 100 on: the top again */
    indexed(&r, 0x3d4, CRTC_OVERFLOW, 0x02);
    indexed(&r, 0x3d4, CRTC_MAX_SCAN, 0);
    display_fetch(r.l);
    rig_finish(&r);
}

static void test_write_modes(void)
{
    Rig r;
    rig_init(&r);
    planar_mode(&r);
    indexed(&r, 0x3ce, GFX_ENABLE_SET_RESET, 0x0f); /* mode 0: set/reset instead of data */
    indexed(&r, 0x3ce, GFX_SET_RESET, 0x0a);
    indexed(&r, 0x3ce, GFX_BIT_MASK, 0xf0);
    poke(&r, 10, 0);
    indexed(&r, 0x3ce, GFX_READ_MAP, 1);
    g_assert_cmphex(peek(&r, 10), ==, 0xf0);
    indexed(&r, 0x3ce, GFX_READ_MAP, 0);
    g_assert_cmphex(peek(&r, 10), ==, 0);
    indexed(&r, 0x3ce, GFX_MODE, 1); /* mode 1: the latches, which peek has filled */
    poke(&r, 11, 0x55);
    indexed(&r, 0x3ce, GFX_READ_MAP, 3);
    g_assert_cmphex(peek(&r, 11), ==, 0xf0);
    indexed(&r, 0x3ce, GFX_MODE, 2); /* mode 2: a colour */
    indexed(&r, 0x3ce, GFX_BIT_MASK, 0x01);
    peek(&r, 11);
    poke(&r, 11, 0x05);
    indexed(&r, 0x3ce, GFX_READ_MAP, 2);
    g_assert_cmphex(peek(&r, 11), ==, 0x01);
    indexed(&r, 0x3ce, GFX_READ_MAP, 3);
    g_assert_cmphex(peek(&r, 11), ==, 0xf0);
    indexed(&r, 0x3ce, GFX_MODE, 3); /* mode 3: rotated data as a mask */
    indexed(&r, 0x3ce, GFX_ROTATE, 0x04);
    indexed(&r, 0x3ce, GFX_BIT_MASK, 0xff);
    indexed(&r, 0x3ce, GFX_SET_RESET, 0x08);
    peek(&r, 12);
    poke(&r, 12, 0x3c);
    g_assert_cmphex(peek(&r, 12), ==, 0xc3);
    indexed(&r, 0x3ce, GFX_MODE, 0x08); /* read mode 1: where the pixels have colour 8 */
    indexed(&r, 0x3ce, GFX_COMPARE, 0x08);
    g_assert_cmphex(peek(&r, 12), ==, 0xc3);
    indexed(&r, 0x3ce, GFX_MODE, 0); /* the ALU: xor */
    indexed(&r, 0x3ce, GFX_ENABLE_SET_RESET, 0);
    indexed(&r, 0x3ce, GFX_ROTATE, 0x18);
    peek(&r, 12);
    poke(&r, 12, 0xff);
    g_assert_cmphex(peek(&r, 12), ==, 0x3c);
    rig_finish(&r);
}

static void test_mode_13(void)
{
    Rig r;
    rig_init(&r);
    timing(&r, 80, 400, 1, 40, 0xa3);
    indexed(&r, 0x3c4, SEQ_CLOCKING, 1);
    indexed(&r, 0x3c4, SEQ_MAP_MASK, 15);
    indexed(&r, 0x3c4, SEQ_MEMORY_MODE, 0x0e);
    indexed(&r, 0x3ce, GFX_MODE, 0x40);
    indexed(&r, 0x3ce, GFX_MISC, 5);
    poke(&r, 0, 17);
    poke(&r, 319, 18);
    poke(&r, 320, 19);
    g_assert_cmphex(peek(&r, 319), ==, 18);
    display_fetch(r.l);
    g_assert_cmpint(display_copy(r.l)->width, ==, 640);
    g_assert_cmphex(pixel(&r, 1, 1), ==, grey(17));
    g_assert_cmphex(pixel(&r, 639, 0), ==, grey(18));
    g_assert_cmphex(pixel(&r, 0, 2), ==, grey(19));
    rig_finish(&r);
}

static void set_vbe(Rig *r, unsigned width, unsigned height, unsigned bpp)
{
    vbe_set(r, VBE_ENABLE, 0);
    vbe_set(r, VBE_XRES, width);
    vbe_set(r, VBE_YRES, height);
    vbe_set(r, VBE_BPP, bpp);
    vbe_set(r, VBE_ENABLE, VBE_ENABLED | VBE_LFB | VBE_8BIT_DAC);
}

static void test_depths(void)
{
    static const struct { unsigned bpp; uint32_t value, want; } depths[] = {
        { 8, 7, 0x1c1c1c }, { 15, 0x7c00, 0xff0000 }, { 16, 0x07e0, 0x00ff00 }, { 24, 0x123456, 0x123456 }, { 32, 0xff123456, 0x123456 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(depths); i++) {
        Rig r;
        rig_init(&r);
        plain_colours(&r);
        set_vbe(&r, 800, 600, depths[i].bpp);
        unsigned bytes = (depths[i].bpp + 7) / 8;
        for (unsigned byte = 0; byte < bytes; byte++)
            test_write(r.m->memory, FRAMEBUFFER + (599 * 800 + 799) * bytes + byte, 1, depths[i].value >> byte * 8);
        display_fetch(r.l);
        g_assert_cmpint(display_copy(r.l)->width, ==, 800);
        g_assert_cmphex(pixel(&r, 799, 599), ==, depths[i].want);
        g_assert_cmphex(pixel(&r, 798, 599), ==, 0);
        rig_finish(&r);
    }
}

static void test_vbe_registers(void)
{
    Rig r;
    rig_init(&r);
    g_assert_cmphex(vbe_get(&r, VBE_ID), ==, 0xb0c5);
    g_assert_cmpuint(vbe_get(&r, VBE_MEMORY_64K), ==, 256);
    vbe_set(&r, VBE_ENABLE, VBE_GETCAPS);
    g_assert_cmpuint(vbe_get(&r, VBE_BPP), ==, 32);
    set_vbe(&r, 5000, 5000, 32); /* more than there is memory for */
    g_assert_cmpuint(vbe_get(&r, VBE_YRES), ==, (16 << 20) / 20000);
    display_fetch(r.l);
    set_vbe(&r, 640, 480, 0x1910); /* no such depth */
    g_assert_cmpuint(vbe_get(&r, VBE_BPP), ==, 8);
    display_fetch(r.l);
    set_vbe(&r, 1024, 768, 32);
    vbe_set(&r, VBE_VIRT_WIDTH, 2048);
    vbe_set(&r, VBE_X_OFFSET, 9999);
    vbe_set(&r, VBE_Y_OFFSET, 3);
    g_assert_cmpuint(vbe_get(&r, VBE_X_OFFSET), ==, 1024);
    test_write(r.m->memory, FRAMEBUFFER + (3 * 2048 + 1024) * 4, 4, 0xabcdef);
    display_fetch(r.l);
    g_assert_cmphex(pixel(&r, 0, 0), ==, 0xabcdef);
    vbe_set(&r, VBE_BANK, 1);
    test_write(r.m->memory, 0xa0000, 1, 0x77);
    g_assert_cmphex(test_read(r.m->memory, FRAMEBUFFER + 65536, 1), ==, 0x77);
    test_write(r.m->ports, 0x1ce, 2, VBE_XRES);
    g_assert_cmphex(test_read(r.m->ports, 0x1d0, 2), ==, 1024);
    g_assert_cmphex(test_read(r.m->ports, 0x1cf, 2), ==, 1024);
    rig_finish(&r);
}

/* Only lines on written pages are drawn again. */
static void test_dirty(void)
{
    Rig r;
    rig_init(&r);
    set_vbe(&r, 1024, 768, 32);
    display_fetch(r.l);
    g_assert_cmpuint(display_fetch(r.l)->tiles->len, ==, 0);
    test_write(r.m->memory, FRAMEBUFFER + 4096 * 100, 4, 0x00ff00);
    const DisplayChange *c = display_fetch(r.l);
    g_assert_cmpuint(c->tiles->len, ==, 1);
    g_assert_cmpint(g_array_index(c->tiles, Rect, 0).y, ==, 96);
    rig_finish(&r);
}

static void test_edid(void)
{
    Rig r;
    rig_init(&r);
    uint8_t sum = 0;
    for (unsigned i = 0; i < EDID_BYTES; i++)
        sum += test_read(r.m->memory, REGISTERS + i, 1);
    g_assert_cmpuint(sum, ==, 0);
    g_assert_cmphex(test_read(r.m->memory, REGISTERS, 4), ==, 0xffffff00);
    g_assert_cmphex(test_read(r.m->memory, REGISTERS + 0x600, 4), ==, 8);
    g_assert_cmphex(test_read(r.m->memory, REGISTERS + 0x604, 4), ==, 0x1e1e1e1e);
    rig_finish(&r);
}

static void test_status(void)
{
    Rig r;
    rig_init(&r);
    test_out(r.m, 0x3c2, 1);
    unsigned seen[2] = { 0 };
    for (unsigned i = 0; i < 100; i++) {
        seen[test_in(r.m, 0x3da) >> 3 & 1]++;
        clock_advance(r.m->clock, 1000000);
    }
    g_assert_cmpuint(seen[0], >, 50);
    g_assert_cmpuint(seen[1], >, 2);
    g_assert_cmphex(test_in(r.m, 0x3ba), ==, 0xff); /* no monochrome adapter */
    rig_finish(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vga/text", test_text);
    g_test_add_func("/vga/planar", test_planar);
    g_test_add_func("/vga/write-modes", test_write_modes);
    g_test_add_func("/vga/mode-13h", test_mode_13);
    g_test_add_func("/vga/depths", test_depths);
    g_test_add_func("/vga/vbe-registers", test_vbe_registers);
    g_test_add_func("/vga/dirty", test_dirty);
    g_test_add_func("/vga/edid", test_edid);
    g_test_add_func("/vga/status", test_status);
    return g_test_run();
}
