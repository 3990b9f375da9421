/* fdc_test.c - a driver of the floppy controller: its FIFO, data by DMA and by the FIFO, errors, a changed disk. */
#include <string.h>

#include "devices/misc/i8237.h"
#include "devices/storage/fdc_core.h"
#include "devices/storage/medium.h"
#include "devices/testing.h"

enum { RAM = 1 << 20, BASE = 0x3f0, DOR = BASE + 2, MSR = BASE + 4, FIFO = BASE + 5, CHANGE = BASE + 7, BUFFER = 0x24000, IMAGE = 1440 << 10 };
enum { TO_MEMORY = 0x46, FROM_MEMORY = 0x4a };

typedef struct Fixture {
    Machine *machine;
    BlkNode *image, *second;
    Device *dma, *fdc, *drive;
    TestLine line;
} Fixture;

static uint8_t pattern(uint64_t i) { return i / FDC_SECTOR * 7 + i % 509; }

static BlkNode *new_image(uint64_t bytes)
{
    g_autofree char *tree = g_strdup_printf("driver=raw,file.driver=memory,file.size=%" G_GUINT64_FORMAT, bytes), *data = g_malloc(bytes);
    g_autoptr(GError) err = NULL;
    BlkNode *n = blk_open_tree(tree, NULL, &err);
    g_assert_no_error(err);
    for (uint64_t i = 0; i < bytes; i++)
        data[i] = pattern(i);
    g_assert_true(blk_write(n, 0, data, bytes, NULL));
    return n;
}

static void set_up(Fixture *f, const void *unused)
{
    MachineConfig config = { .ram_size = RAM, .manual_clock = true };
    g_autoptr(GError) err = NULL;
    f->machine = machine_create(&config, NULL);
    g_assert_nonnull(region_add(f->machine->memory, &(RegionDecl){ .name = "ram", .kind = REGION_RAM, .size = RAM, .ram = f->machine->ram }, NULL));
    f->image = new_image(IMAGE);
    f->second = new_image(720 << 10);
    machine_add_backend(f->machine, BACKEND_DRIVE, "a", f->image);
    machine_add_backend(f->machine, BACKEND_DRIVE, "b", f->second);
    f->dma = test_device(f->machine, &i8237_type, NULL);
    test_map(f->dma, 0, 0);
    test_map(f->dma, 1, 0xc0);
    test_map(f->dma, 2, 0x81);
    f->fdc = device_new(f->machine, &isa_fdc_type, NULL, NULL, NULL);
    fdc_set_dma(f->fdc, f->dma);
    test_watch(f->fdc, 0, &f->line);
    g_assert_true(device_realize(f->fdc, NULL));
    test_map(f->fdc, 0, BASE);
    f->drive = device_new(f->machine, &floppy_type, NULL, (const char *[]){ "drive", "a", "unit", "0", NULL }, NULL);
    g_assert_true(device_plug(f->drive, NULL, NULL, &err));
    g_assert_no_error(err);
    test_out(f->machine, CHANGE, 0); /* 500 kbit/s */
}

/* What a reset owes has been asked for. */
static void set_up_quiet(Fixture *f, const void *unused)
{
    set_up(f, unused);
    for (unsigned i = 0; i < 4; i++) {
        test_out(f->machine, FIFO, 8);
        test_in(f->machine, FIFO);
        test_in(f->machine, FIFO);
    }
}

static void tear_down(Fixture *f, const void *unused)
{
    machine_destroy(f->machine);
    blk_close(f->image);
    blk_close(f->second);
}

static uint8_t status(Fixture *f) { return test_in(f->machine, MSR); }

static void wait_for(Fixture *f, uint8_t mask, uint8_t value)
{
    for (unsigned i = 0; (status(f) & mask) != value; i++) {
        g_assert_cmpuint(i, <, 100000);
        g_usleep(50);
    }
}

/* Sends a command, and returns how many bytes of result there are. */
static unsigned run(Fixture *f, const uint8_t *command, unsigned n, uint8_t ret[16])
{
    unsigned results = 0;
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmphex(status(f) & 0xc0, ==, 0x80);
        test_out(f->machine, FIFO, command[i]);
    }
    wait_for(f, 0x80, 0x80);
    while ((status(f) & 0xd0) == 0xd0 && results < 16)
        ret[results++] = test_in(f->machine, FIFO);
    return results;
}

static void program_dma(Fixture *f, uint8_t mode, uint16_t bytes)
{
    const uint8_t steps[][2] = { { 0x0a, 6 }, { 0x0c, 0 }, { 0x0b, mode }, { 4, BUFFER & 0xff }, { 4, BUFFER >> 8 & 0xff }, { 0x81, BUFFER >> 16 },
                                 { 5, (bytes - 1) & 0xff }, { 5, (bytes - 1) >> 8 }, { 0x0a, 2 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++)
        test_out(f->machine, steps[i][0], steps[i][1]);
}

static void seek(Fixture *f, uint8_t track)
{
    uint8_t r[16];
    g_assert_cmpuint(run(f, (const uint8_t[]){ 0x0f, 0, track }, 3, r), ==, 0);
    g_assert_true(f->line.level);
    g_assert_cmpuint(run(f, (const uint8_t[]){ 0x08 }, 1, r), ==, 2);
    g_assert_cmphex(r[0], ==, 0x20);
    g_assert_cmpuint(r[1], ==, track);
    g_assert_false(f->line.level);
}

static void expect(Fixture *f, const uint8_t *command, unsigned n, const uint8_t *result)
{
    uint8_t r[16];
    g_assert_cmpuint(run(f, command, n, r), ==, 7);
    g_assert_cmpmem(r, 7, result, 7);
}

static void test_reset(Fixture *f, const void *unused)
{
    uint8_t r[16];
    test_out(f->machine, DOR, 0);
    g_assert_cmphex(status(f), ==, 0);
    test_out(f->machine, DOR, 0x0c);
    g_assert_true(f->line.level);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmpuint(run(f, (const uint8_t[]){ 8 }, 1, r), ==, 2);
        g_assert_cmphex(r[0], ==, 0xc0 | i);
    }
    g_assert_cmpuint(run(f, (const uint8_t[]){ 8 }, 1, r), ==, 1);
    g_assert_cmphex(r[0], ==, 0x80);
    g_assert_cmpuint(run(f, (const uint8_t[]){ 0x10 }, 1, r), ==, 1);
    g_assert_cmphex(r[0], ==, 0x90);
}

/* Each of the 256 first bytes takes the parameters of its row, gives no more results than that says, and leaves the next command whole. */
static void test_lengths(Fixture *f, const void *unused)
{
    for (unsigned i = 0; i < fdc_n_commands; i++) {
        g_assert_cmpuint(fdc_commands[i].params, <=, FDC_PARAMS);
        g_assert_cmpuint(fdc_commands[i].results, <=, FDC_RESULTS);
    }
    for (unsigned first = 0; first < 256; first++) {
        const FdcCommand *c = &fdc_commands[fdc_find(first)];
        uint8_t command[1 + FDC_PARAMS] = { first, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, r[16];
        g_assert_cmpuint(run(f, command, 1 + c->params, r), <=, c->results);
        for (unsigned i = 0; i < 600; i++) /* nothing is left to read */
            g_assert_cmphex(test_in(f->machine, FIFO), ==, 0xff);
        g_assert_cmpuint(run(f, (const uint8_t[]){ 0x10 }, 1, r), ==, 1);
        g_assert_cmphex(r[0], ==, 0x90);
    }
}

static void test_read_dma(Fixture *f, const void *unused)
{
    uint8_t data[4 * FDC_SECTOR];
    seek(f, 3);
    program_dma(f, TO_MEMORY, sizeof(data)); /* the last two sectors of one side, the first two of the other */
    expect(f, (const uint8_t[]){ 0xe6, 0, 3, 0, 17, 2, 18, 0x1b, 0xff }, 9, (const uint8_t[]){ 4, 0, 0, 3, 1, 3, 2 });
    g_assert_cmphex(test_in(f->machine, 8), ==, 4); /* terminal count of channel 2 */
    g_assert_true(dma_read(f->machine, BUFFER, data, sizeof(data)));
    for (unsigned i = 0; i < sizeof(data); i++)
        g_assert_cmphex(data[i], ==, pattern((3 * 36 + 16) * FDC_SECTOR + i));
}

static void test_write_dma(Fixture *f, const void *unused)
{
    uint8_t data[700], back[1024];
    memset(data, 0x3c, sizeof(data));
    seek(f, 79);
    g_assert_true(dma_write(f->machine, BUFFER, data, sizeof(data)));
    program_dma(f, FROM_MEMORY, sizeof(data)); /* the second sector is filled up with zeros */
    expect(f, (const uint8_t[]){ 0x45, 4, 79, 1, 17, 2, 18, 0x1b, 0xff }, 9, (const uint8_t[]){ 4, 0, 0, 80, 1, 1, 2 });
    g_assert_true(blk_read(f->image, IMAGE - 1024, back, sizeof(back), NULL));
    g_assert_cmpmem(back, 700, data, 700);
    g_assert_cmphex(back[700], ==, 0);
    g_assert_cmphex(back[1023], ==, 0);
}

static void test_without_dma(Fixture *f, const void *unused)
{
    const uint8_t command[] = { 0x46, 0, 0, 0, 18, 2, 18, 0x1b, 0xff };
    uint8_t r[16];
    run(f, (const uint8_t[]){ 3, 0xaf, 3 }, 3, r);
    for (unsigned i = 0; i < sizeof(command); i++)
        test_out(f->machine, FIFO, command[i]);
    wait_for(f, 0xf0, 0xf0);
    g_assert_true(f->line.level);
    for (unsigned i = 0; i < FDC_SECTOR; i++)
        g_assert_cmphex(test_in(f->machine, FIFO), ==, pattern(17 * FDC_SECTOR + i));
    g_assert_cmphex(test_in(f->machine, FIFO), ==, ST0_ABNORMAL); /* nobody said that it was enough */
    g_assert_cmphex(test_in(f->machine, FIFO), ==, ST1_END);
}

static void test_errors(Fixture *f, const void *unused)
{
    program_dma(f, TO_MEMORY, FDC_SECTOR);
    expect(f, (const uint8_t[]){ 0x46, 0, 5, 0, 1, 2, 18, 0x1b, 0xff }, 9, (const uint8_t[]){ 0x40, 4, 0x10, 5, 0, 1, 2 });
    expect(f, (const uint8_t[]){ 0x46, 0, 0, 0, 19, 2, 18, 0x1b, 0xff }, 9, (const uint8_t[]){ 0x40, 4, 0, 0, 0, 19, 2 });
    expect(f, (const uint8_t[]){ 0x46, 1, 0, 0, 1, 2, 18, 0x1b, 0xff }, 9, (const uint8_t[]){ 0x41, 1, 0, 0, 0, 1, 2 });
    test_out(f->machine, CHANGE, 2); /* another data rate: no address mark is seen */
    expect(f, (const uint8_t[]){ 0x4a, 0 }, 2, (const uint8_t[]){ 0x40, 1, 0, 0, 0, 1, 2 });
    test_out(f->machine, CHANGE, 0);
    expect(f, (const uint8_t[]){ 0x4a, 4 }, 2, (const uint8_t[]){ 4, 0, 0, 0, 1, 1, 2 });
    test_out(f->machine, 0x0a, 6); /* the channel is masked */
    expect(f, (const uint8_t[]){ 0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff }, 9, (const uint8_t[]){ 0x40, 0x10, 0, 0, 0, 1, 2 });
}

static void test_format(Fixture *f, const void *unused)
{
    uint8_t ids[18][4], back[FDC_SECTOR], filler[FDC_SECTOR];
    memset(filler, 0xf6, sizeof(filler));
    for (unsigned i = 0; i < 18; i++)
        memcpy(ids[i], (const uint8_t[]){ 1, 1, i + 1, 2 }, 4);
    seek(f, 1);
    g_assert_true(dma_write(f->machine, BUFFER, ids, sizeof(ids)));
    program_dma(f, FROM_MEMORY, sizeof(ids));
    uint8_t r[16];
    g_assert_cmpuint(run(f, (const uint8_t[]){ 0x4d, 4, 2, 18, 0x54, 0xf6 }, 6, r), ==, 7);
    g_assert_cmphex(r[0], ==, 4);
    for (unsigned i = 0; i < 18; i++) {
        g_assert_true(blk_read(f->image, ((36 + 18) + i) * FDC_SECTOR, back, FDC_SECTOR, NULL));
        g_assert_cmpmem(back, FDC_SECTOR, filler, FDC_SECTOR);
    }
    g_assert_true(blk_read(f->image, (36 + 17) * FDC_SECTOR, back, FDC_SECTOR, NULL));
    g_assert_cmphex(back[1], ==, pattern((36 + 17) * FDC_SECTOR + 1));
}

static void test_change(Fixture *f, const void *unused)
{
    uint8_t r[16];
    test_out(f->machine, DOR, 0x1c);
    seek(f, 1);
    g_assert_cmphex(test_in(f->machine, CHANGE), ==, 0);
    g_assert_cmphex(fdc_cmos_drives(f->fdc), ==, 0x40);
    g_assert_true(medium_remove(f->drive, NULL, NULL));
    g_assert_cmphex(test_in(f->machine, CHANGE), ==, 0x80);
    seek(f, 2);
    g_assert_cmphex(test_in(f->machine, CHANGE), ==, 0x80); /* it stays so while there is no disk */
    expect(f, (const uint8_t[]){ 0x46, 0, 2, 0, 1, 2, 18, 0x1b, 0xff }, 9, (const uint8_t[]){ 0x40, 1, 0, 2, 0, 1, 2 });
    g_assert_true(medium_insert(f->drive, "b", NULL));
    g_assert_cmphex(test_in(f->machine, CHANGE), ==, 0x80);
    seek(f, 1);
    g_assert_cmphex(test_in(f->machine, CHANGE), ==, 0);
    test_out(f->machine, CHANGE, 2); /* 720 KiB: 250 kbit/s, nine sectors */
    program_dma(f, TO_MEMORY, FDC_SECTOR);
    expect(f, (const uint8_t[]){ 0x46, 0, 1, 0, 9, 2, 9, 0x1b, 0xff }, 9, (const uint8_t[]){ 0, 0, 0, 2, 0, 1, 2 });
    g_assert_true(dma_read(f->machine, BUFFER, r, 16));
    for (unsigned i = 0; i < 16; i++)
        g_assert_cmphex(r[i], ==, pattern((18 + 8) * FDC_SECTOR + i));
}

/* The state in the middle of a command, and one that lies. */
static void test_saved(Fixture *f, const void *unused)
{
    g_autoptr(GByteArray) state = g_byte_array_new();
    test_out(f->machine, FIFO, 0x0e);
    for (unsigned i = 0; i < 4; i++)
        test_in(f->machine, FIFO);
    g_assert_true(machine_save(f->machine, state, NULL));
    for (unsigned i = 4; i < 10; i++)
        test_in(f->machine, FIFO);
    g_assert_cmphex(status(f), ==, 0x80);
    g_assert_true(machine_load(f->machine, state->data, state->len, NULL));
    g_assert_cmphex(status(f), ==, 0xd0);
    for (unsigned i = 4; i < 10; i++) {
        g_assert_cmphex(status(f), ==, 0xd0);
        test_in(f->machine, FIFO);
    }
    g_assert_cmphex(status(f), ==, 0x80);
    ((Fdc *)f->fdc)->got = 200;
    g_byte_array_set_size(state, 0);
    g_assert_true(machine_save(f->machine, state, NULL));
    g_assert_false(machine_load(f->machine, state->data, state->len, NULL));
    ((Fdc *)f->fdc)->got = 0;
}

static const struct {
    const char *name;
    void (*run)(Fixture *f, const void *unused);
} cases[] = {
    { "reset", test_reset }, { "lengths", test_lengths }, { "read", test_read_dma }, { "write", test_write_dma }, { "without-dma", test_without_dma },
    { "errors", test_errors }, { "format", test_format }, { "change", test_change }, { "saved", test_saved },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/fdc/", cases[i].name, NULL);
        g_test_add(path, Fixture, NULL, set_up_quiet, cases[i].run, tear_down);
    }
    return g_test_run();
}
