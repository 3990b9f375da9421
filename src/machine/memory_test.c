/* memory_test.c - regions, overlays, views, windows and DMA. */
#include "machine/memory.h"

#include <string.h>

#include "machine/machine.h"

/* A device that logs what reaches it: 16 bytes of registers that take 2- and 4-byte accesses only. */
typedef struct Probe {
    Device dev;
    uint8_t regs[16];
    uint8_t last_size;
    uint32_t accesses;
} Probe;

static const Field probe_fields[] = {
    { FA(Probe, regs), .doc = "registers" },
    { F(Probe, last_size), .doc = "size of the last access" },
    { F(Probe, accesses), .doc = "how many there were" },
    DEVICE_FIELDS_END,
};

static void note(Probe *p, unsigned size)
{
    p->last_size = size;
    p->accesses++;
}

static uint64_t probe_read(Device *d, uint64_t off, unsigned size)
{
    Probe *p = (Probe *)d;
    uint64_t value = 0;
    note(p, size);
    memcpy(&value, p->regs + off, size);
    return value;
}

static void probe_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    Probe *p = (Probe *)d;
    note(p, size);
    memcpy(p->regs + off, &value, size);
}

static const WindowOps probe_ops = { .read = probe_read, .write = probe_write, .min = 2, .max = 4 };
static const WindowDecl probe_windows[] = {
    { "regs", SPACE_MMIO, 16, &probe_ops },
    { .name = NULL },
};
static const DeviceType probe_type = {
    .name = "probe", .summary = "test device", .size = sizeof(Probe), .version = 1,
    .fields = probe_fields, .windows = probe_windows,
};

static Machine *small_machine(void)
{
    MachineConfig config = { .ram_size = 1 << 20, .manual_clock = true };
    return machine_create(&config, NULL);
}

static void map_ram(Machine *m)
{
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .base = 0, .size = m->ram->size, .ram = m->ram };
    g_assert_nonnull(region_add(m->memory, &ram, NULL));
}

static void test_overlay(void)
{
    Machine *m = small_machine();
    map_ram(m);
    RegionDecl rom = { .name = "rom", .kind = REGION_ROM, .base = 0x1000, .size = 0x1000, .ram = m->ram, .offset = 0x8000, .priority = 2 };
    RegionDecl hole = { .name = "hole", .kind = REGION_HOLE, .base = 0x1800, .size = 0x100, .priority = 3 };
    MemRegion *r = region_add(m->memory, &rom, NULL);
    region_add(m->memory, &hole, NULL);
    FlatView *v = space_view(m->memory);
    g_assert_cmpuint(v->n, ==, 4);
    memset(m->ram->host + 0x8000, 0xab, 0x1000);
    g_assert_cmphex(view_read(v, 0x1000, 4), ==, 0xabababab);
    view_write(v, 0x1000, 4, 0); /* ROM: goes nowhere */
    g_assert_cmphex(view_read(v, 0x1000, 4), ==, 0xabababab);
    g_assert_cmphex(view_read(v, 0x1800, 2), ==, 0xffff);
    g_assert_cmphex(view_read(v, 0x17fe, 4), ==, 0xffffabab);
    /* The old view stays valid and unchanged while held. */
    region_set_kind(r, REGION_RAM);
    region_move(r, 0x5000);
    g_assert_cmphex(view_read(v, 0x1000, 1), ==, 0xab);
    g_assert_cmpuint(v->generation, <, space_generation(m->memory));
    view_unref(v);
    v = space_view(m->memory);
    g_assert_cmphex(view_read(v, 0x1000, 1), ==, 0);
    view_write(v, 0x5000, 1, 7);
    g_assert_cmphex(m->ram->host[0x8000], ==, 7);
    view_unref(v);
    machine_destroy(m);
}

static void test_refuses(void)
{
    Machine *m = small_machine();
    g_autoptr(GError) err = NULL;
    RegionDecl wild = { .name = "wild", .kind = REGION_HOLE, .base = UINT64_MAX - 10, .size = 100 };
    g_assert_null(region_add(m->memory, &wild, &err));
    g_assert_error(err, ATOLL_ERROR, ERR_INVALID);
    g_clear_error(&err);
    RegionDecl beyond = { .name = "beyond", .kind = REGION_RAM, .size = 2 << 20, .ram = m->ram };
    g_assert_null(region_add(m->memory, &beyond, &err));
    g_assert_error(err, ATOLL_ERROR, ERR_INVALID);
    machine_destroy(m);
}

static void test_window_sizes(void)
{
    Machine *m = small_machine();
    Probe *p = (Probe *)device_create(m, &probe_type, NULL, NULL, NULL);
    g_assert_true(device_map(&p->dev, 0, 0xf0000000, NULL));
    FlatView *v = space_view(m->memory);
    view_write(v, 0xf0000000, 8, 0x1122334455667788); /* split */
    g_assert_cmpuint(p->accesses, ==, 2);
    g_assert_cmpuint(p->last_size, ==, 4);
    g_assert_cmphex(view_read(v, 0xf0000000, 8), ==, 0x1122334455667788);
    g_assert_cmphex(view_read(v, 0xf0000003, 1), ==, 0x55); /* widened */
    g_assert_cmpuint(p->last_size, ==, 2);
    g_assert_cmphex(view_read(v, 0xf000000e, 8), ==, 0xffffffffffff0000); /* ends in nowhere */
    view_unref(v);
    device_unmap(&p->dev, 0);
    v = space_view(m->memory);
    g_assert_cmpuint(v->n, ==, 0);
    view_unref(v);
    machine_destroy(m);
}

static void test_dma(void)
{
    Machine *m = small_machine();
    map_ram(m);
    Probe *p = (Probe *)device_create(m, &probe_type, NULL, NULL, NULL);
    g_assert_true(device_map(&p->dev, 0, 0x4000, NULL));
    uint8_t buf[64] = { 1, 2, 3 };
    g_assert_true(dma_write(m, 0x2ff0, buf, 64));
    g_assert_cmphex(m->ram->host[0x2ff1], ==, 2);
    g_assert_cmphex(m->ram->page_flags[2] & PAGE_DIRTY, !=, 0);
    g_assert_cmphex(m->ram->page_flags[3] & PAGE_DIRTY, !=, 0);
    /* A device's window is no place for DMA, and nothing moves if one byte cannot. */
    g_assert_false(dma_write(m, 0x3ff0, buf, 64));
    g_assert_cmphex(m->ram->host[0x3ff0], ==, 0);
    g_assert_cmpuint(p->accesses, ==, 0);
    g_assert_false(dma_read(m, (1 << 20) - 8, buf, 16));
    g_assert_false(dma_read(m, UINT64_MAX - 4, buf, 16));
    machine_destroy(m);
}

/* Two machines in one process know nothing of each other. */
static void test_two_machines(void)
{
    Machine *a = small_machine(), *b = small_machine();
    map_ram(a);
    map_ram(b);
    uint32_t one = 1, two = 2, seen;
    g_assert_true(dma_write(a, 0x100, &one, 4));
    g_assert_true(dma_write(b, 0x100, &two, 4));
    g_assert_true(dma_read(a, 0x100, &seen, 4));
    g_assert_cmpuint(seen, ==, 1);
    g_assert_nonnull(device_create(a, &probe_type, "x", NULL, NULL));
    g_assert_nonnull(device_create(b, &probe_type, "x", NULL, NULL));
    clock_advance(a->clock, 77);
    g_assert_cmpint(clock_now(b->clock), ==, 0);
    machine_destroy(a);
    machine_destroy(b);
}

static void test_names(void)
{
    Machine *m = small_machine();
    g_autoptr(GError) err = NULL;
    g_assert_nonnull(device_create(m, &probe_type, "x", NULL, NULL));
    g_assert_null(device_create(m, &probe_type, "x", NULL, &err));
    g_assert_error(err, ATOLL_ERROR, ERR_BUSY);
    g_clear_error(&err);
    static const char *const props[] = { "colour", "red", NULL };
    g_assert_null(device_create(m, &probe_type, NULL, props, &err));
    g_assert_nonnull(strstr(err->message, "no property 'colour'"));
    g_assert_cmpuint(m->devices->len, ==, 1);
    machine_destroy(m);
}

static void test_save_load(void)
{
    Machine *m = small_machine();
    Probe *p = (Probe *)device_create(m, &probe_type, NULL, NULL, NULL);
    memset(p->regs, 0x5a, sizeof(p->regs));
    p->accesses = 1234567;
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_assert_true(machine_save(m, state, NULL));
    device_reset(&p->dev, RESET_COLD);
    g_assert_cmpuint(p->accesses, ==, 0);
    g_autoptr(GError) err = NULL;
    g_assert_true(machine_load(m, state->data, state->len, &err));
    g_assert_cmpuint(p->accesses, ==, 1234567);
    g_assert_cmphex(p->regs[15], ==, 0x5a);
    g_assert_false(machine_load(m, state->data, state->len / 2, &err));
    g_assert_nonnull(err);
    machine_destroy(m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/machine/memory/overlay", test_overlay);
    g_test_add_func("/machine/memory/refuses", test_refuses);
    g_test_add_func("/machine/memory/window-sizes", test_window_sizes);
    g_test_add_func("/machine/memory/dma", test_dma);
    g_test_add_func("/machine/two-machines", test_two_machines);
    g_test_add_func("/machine/device/names", test_names);
    g_test_add_func("/machine/saved-state", test_save_load);
    return g_test_run();
}
