/* ramfb_test.c - firmware that shows a picture by fw_cfg's DMA, then asks for the impossible. */
#include "devices/display/ramfb.h"

#include <string.h>

#include "console/display.h"
#include "devices/acpi/fw_cfg.h"
#include "devices/testing.h"

enum { RAM_BYTES = 4 << 20, DESCRIPTOR = 0x1000, CONFIG = 0x2000, PICTURE = 0x100000, WIDTH = 64, HEIGHT = 32, STRIDE = 300 };
enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SELECT = 8, DMA_WRITE = 16, FILE_KEY = FW_CFG_FILE_FIRST, FILE_BYTES = 28 };

typedef struct Rig {
    Machine *machine;
    Screens *screens;
    Device *fw_cfg, *ramfb;
    Display *display;
} Rig;

static void rig_init(Rig *r)
{
    MachineConfig config = { .ram_size = RAM_BYTES, .manual_clock = true, .max_cpus = 1 };
    r->machine = machine_create(&config, NULL);
    r->machine->screens = r->screens = screens_create();
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .size = RAM_BYTES, .ram = r->machine->ram };
    g_assert_nonnull(region_add(r->machine->memory, &ram, NULL));
    r->fw_cfg = test_device(r->machine, &fw_cfg_type, NULL);
    test_map(r->fw_cfg, 1, 0x514);
    r->ramfb = test_device(r->machine, &ramfb_type, NULL);
    g_assert_true(ramfb_connect(r->ramfb, r->fw_cfg, NULL));
    r->display = screens_nth(r->screens, 0);
}

static void rig_finish(Rig *r)
{
    machine_destroy(r->machine);
    screens_destroy(r->screens);
}

static void put(Rig *r, uint64_t at, const void *from, size_t n) { g_assert_true(dma_write(r->machine, at, from, n)); }

/* A transfer of the file; returns what stands in the descriptor then. */
static uint32_t transfer(Rig *r, uint32_t how, uint64_t at, uint32_t bytes)
{
    uint32_t left;
    struct { uint32_t control, length; uint64_t address; } d = { GUINT32_TO_BE(FILE_KEY << 16 | DMA_SELECT | how), GUINT32_TO_BE(bytes), GUINT64_TO_BE(at) };
    put(r, DESCRIPTOR, &d, sizeof(d));
    test_write(r->machine->ports, 0x514, 4, 0);
    test_write(r->machine->ports, 0x518, 4, GUINT32_TO_BE(DESCRIPTOR));
    g_assert_true(dma_read(r->machine, DESCRIPTOR, &left, 4));
    return GUINT32_FROM_BE(left);
}

static uint32_t configure(Rig *r, uint64_t address, uint32_t fourcc, uint32_t width, uint32_t height, uint32_t stride)
{
    struct __attribute__((packed)) { uint64_t address; uint32_t word[5]; } f = {
        GUINT64_TO_BE(address), { GUINT32_TO_BE(fourcc), 0, GUINT32_TO_BE(width), GUINT32_TO_BE(height), GUINT32_TO_BE(stride) },
    };
    put(r, CONFIG, &f, sizeof(f));
    return transfer(r, DMA_WRITE, CONFIG, sizeof(f));
}

static uint32_t pixel(Rig *r, int x, int y, int width, int height)
{
    Surface *s = display_snapshot(r->display);
    g_assert_cmpint(s->width, ==, width);
    g_assert_cmpint(s->height, ==, height);
    uint32_t value = surface_line(s, y)[x];
    surface_destroy(s);
    return value;
}

static void test_picture(void)
{
    Rig r;
    uint32_t blue = GUINT32_TO_LE(0xff0000ff), green = GUINT32_TO_LE(0x0000ff00);
    rig_init(&r);
    put(&r, PICTURE + 5 * STRIDE + 7 * 4, &blue, 4);
    g_assert_cmphex(configure(&r, PICTURE, 0x34325258, WIDTH, HEIGHT, STRIDE), ==, 0);
    g_assert_cmphex(pixel(&r, 7, 5, WIDTH, HEIGHT), ==, 0x0000ff);
    g_assert_cmphex(pixel(&r, 8, 5, WIDTH, HEIGHT), ==, 0);
    put(&r, PICTURE + (HEIGHT - 1) * STRIDE, &green, 4);
    g_assert_cmphex(pixel(&r, 0, HEIGHT - 1, WIDTH, HEIGHT), ==, 0x00ff00);
    configure(&r, PICTURE, 0x34325258, 16, 16, 0); /* lines without gaps */
    put(&r, PICTURE + 16 * 4, &green, 4);
    g_assert_cmphex(pixel(&r, 0, 1, 16, 16), ==, 0x00ff00);
    rig_finish(&r);
}

static void test_impossible(void)
{
    static const uint32_t bad[][4] = {
        { 0x34325258, 0, 10, 0 }, { 0x34325258, 10, UINT32_MAX, 0 }, { 0x34325258, DISPLAY_MAX_SIDE + 1, 10, 0 }, { 0x34325258, 100, 10, 399 },
        { 0x34325258, UINT32_MAX, UINT32_MAX, UINT32_MAX }, { 0x36314752, 10, 10, 0 },
    };
    Rig r;
    rig_init(&r);
    configure(&r, PICTURE, 0x34325258, 16, 16, 0);
    pixel(&r, 0, 0, 16, 16);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_cmphex(configure(&r, PICTURE, bad[i][0], bad[i][1], bad[i][2], bad[i][3]), ==, 0);
        pixel(&r, 0, 0, 16, 16); /* what was there stays */
    }
    configure(&r, UINT64_MAX - 100, 0x34325258, 16, 16, 0); /* no RAM: black */
    g_assert_cmphex(pixel(&r, 3, 15, 16, 16), ==, 0);
    configure(&r, RAM_BYTES - 64, 0x34325258, 16, 16, 0);
    g_assert_cmphex(pixel(&r, 3, 15, 16, 16), ==, 0);
    rig_finish(&r);
}

static void test_file(void)
{
    Rig r;
    uint8_t back[FILE_BYTES];
    rig_init(&r);
    g_assert_cmphex(transfer(&r, DMA_WRITE, CONFIG, FILE_BYTES + 1), ==, DMA_ERROR);
    g_assert_cmphex(transfer(&r, DMA_WRITE, RAM_BYTES, FILE_BYTES), ==, DMA_ERROR);
    g_assert_cmphex(configure(&r, 0x0102030405060708, 0x34325258, 16, 16, 0), ==, 0);
    g_assert_cmphex(transfer(&r, DMA_READ, CONFIG + 64, FILE_BYTES), ==, 0);
    g_assert_true(dma_read(r.machine, CONFIG + 64, back, sizeof(back)));
    g_assert_cmphex(back[7], ==, 8);
    fw_cfg_add_file(r.fw_cfg, "etc/other", "x", 1, NULL);
    rig_finish(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ramfb/picture", test_picture);
    g_test_add_func("/ramfb/impossible", test_impossible);
    g_test_add_func("/ramfb/file", test_file);
    return g_test_run();
}
