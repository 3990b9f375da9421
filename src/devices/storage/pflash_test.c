/* pflash_test.c - the flash chip as its drivers use it: array and command modes, erase and program, what reaches the image. */
#include "devices/storage/pflash.h"

#include <string.h>

#include "block/block.h"
#include "devices/testing.h"

enum { AT = 0xff000000u, BYTES = 8 * PFLASH_BLOCK };

typedef struct Fixture {
    Machine *m;
    BlkNode *blk;
    Device *flash;
} Fixture;

static void set_up(Fixture *f, const void *arg)
{
    uint8_t head[16] = "firmware";
    f->m = test_machine();
    BlkOpenOptions o = { .read_only = false };
    f->blk = blk_open_tree("driver=raw,file.driver=memory,file.size=32k", &o, NULL);
    g_assert_nonnull(f->blk);
    g_assert_true(blk_write(f->blk, 0, head, sizeof(head), NULL));
    if (arg)
        g_assert_true(blk_set_read_only(f->blk, true, NULL));
    machine_add_backend(f->m, BACKEND_DRIVE, "vars", f->blk);
    f->flash = test_device(f->m, &pflash_type, (const char *[]){ "drive", "vars", NULL });
    g_assert_true(pflash_map(f->flash, AT, NULL));
}

static void tear_down(Fixture *f, const void *arg)
{
    machine_destroy(f->m);
    blk_close(f->blk);
}

static uint8_t get(Fixture *f, uint64_t off) { return test_read(f->m->memory, AT + off, 1); }
static void put(Fixture *f, uint64_t off, uint8_t v) { test_write(f->m->memory, AT + off, 1, v); }

static RegionKind kind(Fixture *f)
{
    FlatView *v = space_view(f->m->memory);
    RegionKind k = view_find(v, AT)->kind;
    view_unref(v);
    return k;
}

/* What EDK II looks for: a chip whose status, once cleared, reads as zero. */
static void test_detect(Fixture *f, const void *arg)
{
    g_assert_true(kind(f) == REGION_ROM);
    g_assert_cmphex(get(f, 0), ==, 'f');
    put(f, 0, 0x70);
    g_assert_cmphex(get(f, 0), ==, 0x80);
    put(f, 0, 0x50);
    put(f, 0, 0x70);
    g_assert_cmphex(get(f, 0), ==, 0);
    put(f, 0, 0x90);
    g_assert_cmphex(get(f, 0), ==, 0x89);
    put(f, 0, 0xff);
    g_assert_true(kind(f) == REGION_ROM);
    g_assert_cmphex(get(f, 1), ==, 'i');
}

static void test_query(Fixture *f, const void *arg)
{
    put(f, 0x55, 0x98);
    g_assert_true(get(f, 0x10) == 'Q' && get(f, 0x11) == 'R' && get(f, 0x12) == 'Y');
    g_assert_cmpuint(1u << get(f, 0x27), ==, BYTES);
    g_assert_cmpuint((get(f, 0x2d) | get(f, 0x2e) << 8) + 1, ==, BYTES / PFLASH_BLOCK);
    g_assert_cmpuint((get(f, 0x2f) | get(f, 0x30) << 8) * 256, ==, PFLASH_BLOCK);
}

static void check_image(Fixture *f, uint64_t off, const void *want, size_t n)
{
    uint8_t got[64];
    device_reset(f->flash, RESET_COLD); /* the guest's state goes, contents stay */
    blk_drain(f->blk);
    g_assert_true(blk_read(f->blk, off, got, n, NULL));
    g_assert_cmpmem(got, n, want, n);
}

static void test_program(Fixture *f, const void *arg)
{
    put(f, PFLASH_BLOCK + 5, 0x20);
    put(f, PFLASH_BLOCK + 5, 0xd0);
    g_assert_cmphex(get(f, 0), ==, 0x80);
    put(f, PFLASH_BLOCK + 2, 0x10);
    put(f, PFLASH_BLOCK + 2, 0x5a);
    put(f, PFLASH_BLOCK + 2, 0x40); /* only clears bits */
    put(f, PFLASH_BLOCK + 2, 0xf0);
    put(f, 0, 0xff);
    g_assert_cmphex(get(f, PFLASH_BLOCK + 1), ==, 0xff);
    g_assert_cmphex(get(f, PFLASH_BLOCK + 2), ==, 0x50);
    g_assert_cmphex(get(f, 0), ==, 'f'); /* another block */
    for (unsigned tries = 0; tries < 3; tries++)
        blk_drain(f->blk); /* what came while a request was under way follows it */
    check_image(f, PFLASH_BLOCK, "\xff\xff\x50\xff", 4);
}

static void test_improper(Fixture *f, const void *arg)
{
    put(f, 0, 0x20);
    put(f, 0, 0x12); /* no confirmation */
    g_assert_cmphex(get(f, 0), ==, 0xb0);
    put(f, 0, 0xff);
    g_assert_cmphex(get(f, 0), ==, 'f');
}

static void test_read_only(Fixture *f, const void *arg)
{
    put(f, 0, 0x10);
    put(f, 0, 0);
    g_assert_cmphex(get(f, 0), ==, 0x90);
    put(f, 0, 0x20);
    put(f, 0, 0xd0);
    g_assert_cmphex(get(f, 0), ==, 0xa0);
    put(f, 0, 0xff);
    g_assert_cmphex(get(f, 0), ==, 'f');
}

static void test_size(Fixture *f, const void *arg)
{
    BlkNode *odd = blk_open_tree("driver=raw,file.driver=memory,file.size=6k", NULL, NULL);
    machine_add_backend(f->m, BACKEND_DRIVE, "odd", odd);
    g_autoptr(GError) err = NULL;
    g_assert_null(device_create(f->m, &pflash_type, NULL, (const char *[]){ "drive", "odd", NULL }, &err));
    g_assert_nonnull(strstr(err->message, "6144 bytes"));
    blk_close(odd);
}

int main(int argc, char **argv)
{
    static const struct { const char *path; void (*test)(Fixture *f, const void *arg); bool read_only; } tests[] = {
        { "/pflash/detect", test_detect }, { "/pflash/query", test_query }, { "/pflash/program", test_program },
        { "/pflash/improper", test_improper }, { "/pflash/read-only", test_read_only, true }, { "/pflash/size", test_size },
    };
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, tests[i].read_only ? &tests[i] : NULL, set_up, tests[i].test, tear_down);
    return g_test_run();
}
