/*
 * ide_test.c - a driver of the IDE controller, by its ports: what a guest may do, and what it should not.
 */
#include "devices/storage/ide.h"
#include "devices/storage/medium.h"

#include <glib/gstdio.h>
#include <string.h>

#include "block/block.h"
#include "machine/machine.h"

enum { RAM_BYTES = 4 << 20, DISK_SECTORS = 70000, CD_BLOCKS = 300 };
enum { PRIMARY = 0x1f0, SECONDARY = 0x170, CONTROL = 0x206, BUS_MASTER = 0xc000 };
enum { DATA, ERROR, COUNT, LOW, MID, HIGH, SELECT, COMMAND };
enum { FEATURE = ERROR, STATUS = COMMAND };
enum { ERR = 1, DRQ = 8, DRDY = 0x40, BSY = 0x80 };
enum { TABLE = 0x10000, BUFFER = 0x100000 };

typedef struct Fixture {
    char *dir, *disk_path, *cd_path;
    Machine *machine;
    PciBus *bus;
    BlkNode *disk, *cd;
    Device *ide, *hd, *empty_cd;
    _Atomic int level[2];
} Fixture;

static void ignore_intx(void *opaque, uint8_t devfn, unsigned pin, bool level) { (void)opaque; }
static const PciBusOps bus_ops = { .set_intx = ignore_intx };
static void set_level(void *sink, unsigned n, bool level) { ((Fixture *)sink)->level[n] = level; }

static uint8_t pattern(uint64_t off) { return off / 512 * 3 + off % 511; }

static char *make_image(const char *dir, const char *name, size_t size)
{
    char *path = g_build_filename(dir, name, NULL);
    g_autofree char *data = g_malloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = pattern(i);
    g_assert_true(g_file_set_contents(path, data, size, NULL));
    return path;
}

static Device *add_drive(Fixture *f, const DeviceType *type, const char *const *props)
{
    g_autoptr(GError) err = NULL;
    Device *d = device_new(f->machine, type, NULL, props, &err);
    g_assert_no_error(err);
    g_assert_true(ide_attach(f->ide, d, &err));
    device_realize(d, &err);
    g_assert_no_error(err);
    return d;
}

static BlkNode *add_image(Fixture *f, const char *id, const char *path, bool read_only)
{
    BlkNode *n = blk_open(&(BlkOpenOptions){ .filename = path, .format = "raw", .read_only = read_only }, NULL);
    g_assert_nonnull(n);
    machine_add_backend(f->machine, BACKEND_DRIVE, id, n);
    return n;
}

static void set_up(Fixture *f, const void *arg)
{
    f->dir = g_dir_make_tmp("atoll-ide-XXXXXX", NULL);
    f->disk_path = make_image(f->dir, "disk", DISK_SECTORS * 512);
    f->cd_path = make_image(f->dir, "cd", CD_BLOCKS * 2048);
    MachineConfig config = { .ram_size = RAM_BYTES, .manual_clock = true, .max_cpus = 1 };
    f->machine = machine_create(&config, NULL);
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .size = RAM_BYTES, .ram = f->machine->ram };
    g_assert_nonnull(region_add(f->machine->memory, &ram, NULL));
    f->bus = pci_bus_create(f->machine, "pci.0", &bus_ops, NULL);
    f->ide = piix3_ide_create(f->machine, f->bus, pci_devfn(1, 1), (IrqLine){ set_level, f, 0 }, (IrqLine){ set_level, f, 1 }, NULL);
    g_assert_nonnull(f->ide);
    f->disk = add_image(f, "d0", f->disk_path, false);
    f->cd = add_image(f, "c0", f->cd_path, true);
    f->hd = add_drive(f, &ide_hd_type, (const char *[]){ "drive", "d0", "serial", "S123", NULL });
    add_drive(f, &ide_cd_type, (const char *[]){ "drive", "c0", "bus", "ide.1", "unit", "0", NULL });
    f->empty_cd = add_drive(f, &ide_cd_type, (const char *[]){ "bus", "ide.1", NULL });
    pci_config_write(f->bus, pci_devfn(1, 1), PCI_BAR0 + 16, 4, BUS_MASTER);
    pci_config_write(f->bus, pci_devfn(1, 1), PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static void tear_down(Fixture *f, const void *arg)
{
    machine_destroy(f->machine);
    pci_bus_destroy(f->bus);
    blk_close(f->disk);
    blk_close(f->cd);
    g_unlink(f->disk_path);
    g_unlink(f->cd_path);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
    g_free(f->dir);
    g_free(f->disk_path);
    g_free(f->cd_path);
}

/* ---- ports */

static uint32_t in(Fixture *f, unsigned port, unsigned size)
{
    FlatView *v = space_view(f->machine->ports);
    uint32_t value = view_read(v, port, size);
    view_unref(v);
    return value;
}

static void out(Fixture *f, unsigned port, unsigned size, uint32_t value)
{
    FlatView *v = space_view(f->machine->ports);
    view_write(v, port, size, value);
    view_unref(v);
}

static uint8_t alt_status(Fixture *f, unsigned base) { return in(f, base + CONTROL, 1); }

/* The status once the drive is no longer busy. */
static uint8_t wait_idle(Fixture *f, unsigned base)
{
    for (unsigned i = 0; i < 300000 && alt_status(f, base) & BSY; i++)
        g_usleep(100);
    return alt_status(f, base);
}

static uint8_t wait_irq(Fixture *f, unsigned base)
{
    unsigned n = base == SECONDARY;
    for (unsigned i = 0; i < 300000 && !f->level[n]; i++)
        g_usleep(100);
    g_assert_true(f->level[n]);
    uint8_t status = in(f, base + STATUS, 1);
    g_assert_false(f->level[n]);
    return status;
}

static void command(Fixture *f, unsigned base, uint8_t select, uint32_t lba, uint8_t count, uint8_t code)
{
    out(f, base + SELECT, 1, select | (lba >> 24 & 0xf));
    out(f, base + COUNT, 1, count);
    out(f, base + LOW, 1, lba);
    out(f, base + MID, 1, lba >> 8);
    out(f, base + HIGH, 1, lba >> 16);
    out(f, base + COMMAND, 1, code);
}

static void command_ext(Fixture *f, uint64_t lba, uint16_t count, uint8_t code)
{
    out(f, PRIMARY + SELECT, 1, 0xe0);
    out(f, PRIMARY + COUNT, 1, count >> 8);
    out(f, PRIMARY + LOW, 1, lba >> 24);
    out(f, PRIMARY + MID, 1, lba >> 32);
    out(f, PRIMARY + HIGH, 1, lba >> 40);
    command(f, PRIMARY, 0xe0, lba & 0xffffff, count, code);
}

static void take(Fixture *f, unsigned base, void *to, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i += 2) {
        uint16_t word = in(f, base + DATA, 2);
        memcpy((char *)to + i, &word, MIN(2, bytes - i));
    }
}

static void give(Fixture *f, unsigned base, const void *from, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i += 4) {
        uint32_t word;
        memcpy(&word, (const char *)from + i, 4);
        out(f, base + DATA, 4, word);
    }
}

static void assert_pattern(const uint8_t *data, uint64_t off, size_t len)
{
    for (size_t i = 0; i < len; i++)
        g_assert_cmpuint(data[i], ==, pattern(off + i));
}

static void assert_disk(Fixture *f, uint64_t off, size_t len, uint8_t byte)
{
    g_autofree uint8_t *data = g_malloc(len);
    g_assert_true(blk_read(f->disk, off, data, len, NULL));
    for (size_t i = 0; i < len; i++)
        g_assert_cmpuint(data[i], ==, byte);
}

/* ---- ATA */

static void test_signature(Fixture *f, const void *arg)
{
    out(f, PRIMARY + CONTROL, 1, 4);
    out(f, SECONDARY + CONTROL, 1, 4);
    g_assert_cmphex(alt_status(f, PRIMARY), ==, BSY);
    out(f, PRIMARY + CONTROL, 1, 0);
    out(f, SECONDARY + CONTROL, 1, 0);
    g_assert_cmphex(in(f, PRIMARY + STATUS, 1), ==, 0x50);
    g_assert_cmphex(in(f, PRIMARY + ERROR, 1), ==, 1);
    g_assert_cmphex(in(f, PRIMARY + COUNT, 4), ==, 0x00000101);
    g_assert_cmphex(in(f, SECONDARY + MID, 2), ==, 0xeb14);
    g_assert_cmphex(in(f, SECONDARY + STATUS, 1), ==, 0);
    out(f, PRIMARY + SELECT, 1, 0xf0); /* nobody */
    g_assert_cmphex(in(f, PRIMARY + STATUS, 1), ==, 0);
    out(f, PRIMARY + COMMAND, 1, 0xec);
    g_assert_cmphex(in(f, PRIMARY + STATUS, 1), ==, 0);
}

static void test_identify(Fixture *f, const void *arg)
{
    uint16_t id[256];
    char text[41] = { 0 };
    uint8_t sum = 0;
    command(f, PRIMARY, 0xa0, 0, 0, 0xec);
    g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x58);
    take(f, PRIMARY, id, 512);
    g_assert_cmphex(in(f, PRIMARY + STATUS, 1), ==, 0x50);
    g_assert_cmpuint(id[60] | id[61] << 16, ==, DISK_SECTORS);
    g_assert_cmpuint(id[100] | id[101] << 16, ==, DISK_SECTORS);
    g_assert_cmphex(id[83] & 0xc400, ==, 0x4400);
    for (unsigned i = 0; i < 10; i++) {
        text[2 * i] = id[10 + i] >> 8;
        text[2 * i + 1] = id[10 + i];
    }
    g_assert_cmpstr(text, ==, "S123                ");
    for (unsigned i = 0; i < 512; i++)
        sum += ((uint8_t *)id)[i];
    g_assert_cmpuint(sum, ==, 0);
    /* A CD answers with its signature, and to its own command. */
    command(f, SECONDARY, 0xa0, 0, 0, 0xec);
    g_assert_cmphex(wait_irq(f, SECONDARY), ==, 0x51);
    g_assert_cmphex(in(f, SECONDARY + MID, 2), ==, 0xeb14);
    command(f, SECONDARY, 0xa0, 0, 0, 0xa1);
    g_assert_cmphex(wait_irq(f, SECONDARY), ==, 0x58);
    take(f, SECONDARY, id, 512);
    g_assert_cmphex(id[0], ==, 0x85c0);
    g_assert_cmphex(in(f, SECONDARY + STATUS, 1), ==, 0x50);
}

static void read_pio(Fixture *f, uint8_t code, unsigned count, unsigned block, uint64_t lba)
{
    uint8_t data[16 * 512];
    for (unsigned done = 0; done < count; done += block) {
        unsigned n = MIN(block, count - done);
        g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x58);
        take(f, PRIMARY, data, n * 512);
        assert_pattern(data, (lba + done) * 512, n * 512);
    }
    g_assert_cmphex(alt_status(f, PRIMARY), ==, 0x50);
    g_assert_cmpint(f->level[0], ==, 0);
}

static void test_read_pio(Fixture *f, const void *arg)
{
    command(f, PRIMARY, 0xe0, 5, 40, 0x20);
    read_pio(f, 0x20, 40, 1, 5);
    command(f, PRIMARY, 0xe0, 0x10000, 0, 0x20);
    read_pio(f, 0x20, 256, 1, 0x10000);
    command_ext(f, 0x10001, 300, 0x24);
    read_pio(f, 0x24, 300, 1, 0x10001);
    command(f, PRIMARY, 0xe0, 0, 8, 0xc6); /* SET MULTIPLE */
    g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x50);
    command(f, PRIMARY, 0xe0, 100, 37, 0xc4);
    read_pio(f, 0xc4, 37, 8, 100);
    /* cylinder 1, head 2, sector 3 of 16 heads of 63 */
    out(f, PRIMARY + SELECT, 1, 0xa2);
    out(f, PRIMARY + COUNT, 1, 1);
    out(f, PRIMARY + LOW, 1, 3);
    out(f, PRIMARY + MID, 2, 1);
    out(f, PRIMARY + COMMAND, 1, 0x20);
    read_pio(f, 0x20, 1, 1, (16 + 2) * 63 + 2);
}

static void test_write_pio(Fixture *f, const void *arg)
{
    uint8_t data[512 * 3];
    memset(data, 0xab, sizeof(data));
    command(f, PRIMARY, 0xe0, 77, 3, 0x30);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmphex(wait_idle(f, PRIMARY), ==, 0x58);
        give(f, PRIMARY, data, 512);
        g_assert_cmphex(wait_irq(f, PRIMARY), ==, i < 2 ? 0x58 : 0x50);
    }
    assert_disk(f, 77 * 512, 3 * 512, 0xab);
    command_ext(f, 60000, 3, 0x39); /* WRITE MULTIPLE EXT */
    g_assert_cmphex(wait_idle(f, PRIMARY), ==, 0x58);
    give(f, PRIMARY, data, sizeof(data));
    g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x50);
    assert_disk(f, 60000 * 512, 3 * 512, 0xab);
    command(f, PRIMARY, 0xe0, 0, 0, 0xe7);
    g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x50);
}

static void test_refusals(Fixture *f, const void *arg)
{
    static const struct { uint8_t select; uint32_t lba; uint8_t count, code, feature, error; } cases[] = {
        { 0xe0, DISK_SECTORS, 1, 0x20, 0, 0x10 },     { 0xe0, DISK_SECTORS - 1, 2, 0x30, 0, 0x10 },
        { 0xe0, DISK_SECTORS - 1, 0, 0xc8, 0, 0x10 }, { 0xe0, 0xfffffff, 1, 0x40, 0, 0x10 },
        { 0xa0, 0, 1, 0x20, 0, 0x10 },  /* sector 0 */
        { 0xe0, 0, 0, 0xf1, 0, 4 },     /* SECURITY SET PASSWORD */
        { 0xe0, 0, 0, 0xa0, 0, 4 },     /* PACKET to a disk */
        { 0xe0, 0, 0, 0x00, 0, 4 },     /* NOP */
        { 0xe0, 0, 3, 0xc6, 0, 4 },     { 0xe0, 0, 32, 0xc6, 0, 4 },
        { 0xe0, 0, 0xff, 0xef, 3, 4 },  { 0xe0, 0, 0, 0xef, 0x77, 4 },
        { 0xe0, 0, 0, 0xb0, 0xd0, 4 },  /* SMART without its key */
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        out(f, PRIMARY + FEATURE, 1, cases[i].feature);
        command(f, PRIMARY, cases[i].select, cases[i].lba, cases[i].count, cases[i].code);
        g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x51);
        g_assert_cmphex(in(f, PRIMARY + ERROR, 1), ==, cases[i].error);
    }
    command_ext(f, 0xffffffffffff, 0, 0x25);
    g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x51);
}

static void test_small_commands(Fixture *f, const void *arg)
{
    uint8_t page[512], sum = 0;
    command_ext(f, 100, 3000, 0x42); /* READ VERIFY EXT */
    g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x50);
    command(f, PRIMARY, 0xe0, 0, 0, 0xe5);
    g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x50);
    g_assert_cmphex(in(f, PRIMARY + COUNT, 1), ==, 0xff);
    out(f, PRIMARY + FEATURE, 1, 0xd0);
    command(f, PRIMARY, 0xe0, 0xc24f00, 0, 0xb0);
    g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x58);
    take(f, PRIMARY, page, 512);
    for (unsigned i = 0; i < 512; i++)
        sum += page[i];
    g_assert_cmpuint(sum, ==, 0);
    out(f, PRIMARY + FEATURE, 1, 0xda);
    command(f, PRIMARY, 0xe0, 0xc24f00, 0, 0xb0);
    g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x50);
    g_assert_cmphex(in(f, PRIMARY + MID, 2), ==, 0xc24f);
    command(f, PRIMARY, 0xe0, 0, 0, 0x90); /* EXECUTE DEVICE DIAGNOSTIC */
    g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x50);
    g_assert_cmphex(in(f, PRIMARY + ERROR, 2), ==, 0x0101);
    out(f, PRIMARY + CONTROL, 1, 2); /* nIEN */
    command(f, PRIMARY, 0xe0, 0, 0, 0xe1);
    g_assert_cmpint(f->level[0], ==, 0);
    out(f, PRIMARY + CONTROL, 1, 0);
    g_assert_cmpint(f->level[0], ==, 1);
}

/* ---- bus master */

static void put_prd(Fixture *f, unsigned i, uint32_t addr, uint32_t bytes, bool last)
{
    uint32_t prd[2] = { addr, (bytes & 0xffff) | (uint32_t)last << 31 };
    g_assert_true(dma_write(f->machine, TABLE + 8 * i, prd, 8));
}

static void start_dma(Fixture *f, unsigned channel, uint32_t table, bool to_memory)
{
    unsigned base = BUS_MASTER + 8 * channel;
    out(f, base + 4, 4, table);
    out(f, base + 2, 1, 6);
    out(f, base, 1, to_memory ? 8 : 0);
    out(f, base, 1, to_memory ? 9 : 1);
}

static uint8_t end_dma(Fixture *f, unsigned channel)
{
    uint8_t status = in(f, BUS_MASTER + 8 * channel + 2, 1);
    out(f, BUS_MASTER + 8 * channel, 1, 0);
    return status & 7;
}

static void test_read_dma(Fixture *f, const void *arg)
{
    g_autofree uint8_t *data = g_malloc0(0x20000);
    put_prd(f, 0, BUFFER, 100, false); /* pieces that cut sectors */
    put_prd(f, 1, BUFFER + 0x1000, 0, false);
    put_prd(f, 2, BUFFER + 0x20000, 65536 - 100, true);
    command_ext(f, 1234, 256, 0x25);
    g_assert_cmphex(alt_status(f, PRIMARY), ==, 0x58); /* waits for the bus master */
    start_dma(f, 0, TABLE, true);
    g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x50);
    g_assert_cmphex(end_dma(f, 0), ==, 4);
    g_assert_true(dma_read(f->machine, BUFFER, data, 100));
    assert_pattern(data, 1234 * 512, 100);
    g_assert_true(dma_read(f->machine, BUFFER + 0x1000, data, 65536));
    assert_pattern(data, 1234 * 512 + 100, 65536);
    g_assert_true(dma_read(f->machine, BUFFER + 0x20000, data, 65536 - 100));
    assert_pattern(data, 1234 * 512 + 65636, 65536 - 100);
    /* bus master first, command after; a table longer than the transfer leaves it active */
    put_prd(f, 0, BUFFER, 4096, true);
    start_dma(f, 0, TABLE, true);
    command(f, PRIMARY, 0xe0, 9, 1, 0xc8);
    g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x50);
    g_assert_cmphex(end_dma(f, 0), ==, 5);
    g_assert_cmphex(end_dma(f, 0), ==, 4);
    g_assert_true(dma_read(f->machine, BUFFER, data, 512));
    assert_pattern(data, 9 * 512, 512);
}

static void test_write_dma(Fixture *f, const void *arg)
{
    g_autofree uint8_t *data = g_malloc(8192);
    memset(data, 0x77, 8192);
    g_assert_true(dma_write(f->machine, BUFFER, data, 8192));
    put_prd(f, 0, BUFFER, 8192, true);
    static const uint8_t codes[] = { 0x35, 0x3d }; /* WRITE DMA EXT, and with FUA */
    for (unsigned i = 0; i < 2; i++) {
        command_ext(f, 500 + 100 * i, 16, codes[i]);
        start_dma(f, 0, TABLE, false);
        g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x50);
        g_assert_cmphex(end_dma(f, 0), ==, 4);
        assert_disk(f, (500 + 100 * i) * 512, 8192, 0x77);
    }
}

static void test_bad_tables(Fixture *f, const void *arg)
{
    /* too short: no interrupt, no longer active */
    put_prd(f, 0, BUFFER, 512, true);
    command(f, PRIMARY, 0xe0, 0, 2, 0xc8);
    start_dma(f, 0, TABLE, true);
    g_assert_cmphex(wait_idle(f, PRIMARY), ==, 0x50);
    g_assert_cmphex(end_dma(f, 0), ==, 0);
    g_assert_cmpint(f->level[0], ==, 0);
    /* data outside RAM, a table outside RAM, a table at its end */
    put_prd(f, 0, 0xfffffffe, 1024, true);
    static const uint32_t tables[] = { TABLE, 0xfffffff8, RAM_BYTES, RAM_BYTES - 4 };
    for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++) {
        command(f, PRIMARY, 0xe0, 0, 2, i & 1 ? 0xca : 0xc8);
        start_dma(f, 0, tables[i], !(i & 1));
        g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x51);
        g_assert_cmphex(end_dma(f, 0), ==, 6);
    }
    /* a buffer that runs over the end of RAM: nothing is written */
    uint32_t zero = 0, got = 1;
    g_assert_true(dma_write(f->machine, RAM_BYTES - 4, &zero, 4));
    put_prd(f, 0, RAM_BYTES - 256, 512, true);
    command(f, PRIMARY, 0xe0, 0, 1, 0xc8);
    start_dma(f, 0, TABLE, true);
    g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x51);
    end_dma(f, 0);
    g_assert_true(dma_read(f->machine, RAM_BYTES - 4, &got, 4));
    g_assert_cmphex(got, ==, 0);
    /* no table end within 64 KiB: descriptors of 2 bytes for a long transfer */
    for (unsigned i = 0; i < 16384; i++)
        put_prd(f, i, BUFFER, 2, false);
    command_ext(f, 0, 64, 0x25);
    start_dma(f, 0, TABLE, true);
    g_assert_cmphex(wait_idle(f, PRIMARY), ==, 0x50);
    g_assert_cmphex(end_dma(f, 0), ==, 0);
    /* without the right to be bus master */
    put_prd(f, 0, BUFFER, 512, true);
    pci_config_write(f->bus, pci_devfn(1, 1), PCI_COMMAND, 2, PCI_COMMAND_IO);
    command(f, PRIMARY, 0xe0, 0, 1, 0xc8);
    start_dma(f, 0, TABLE, true);
    g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x51);
}

/* ---- resets, and state while a command is under way */

static void test_reset_in_transfer(Fixture *f, const void *arg)
{
    uint8_t data[512];
    for (unsigned i = 0; i < 20; i++) {
        command_ext(f, 100 * i, 64, i & 1 ? 0x24 : 0x42);
        out(f, PRIMARY + CONTROL, 1, 4);
        g_assert_cmphex(alt_status(f, PRIMARY), ==, BSY);
        out(f, PRIMARY + COMMAND, 1, 0xec); /* not heard */
        out(f, PRIMARY + CONTROL, 1, 0);
        g_assert_cmphex(alt_status(f, PRIMARY), ==, 0x50);
        g_assert_cmpint(f->level[0], ==, 0);
    }
    put_prd(f, 0, BUFFER, 0, true);
    for (unsigned i = 0; i < 20; i++) {
        command_ext(f, 0, 128, 0x25);
        start_dma(f, 0, TABLE, true);
        device_reset(f->ide, RESET_WARM);
        pci_config_write(f->bus, pci_devfn(1, 1), PCI_BAR0 + 16, 4, BUS_MASTER);
        pci_config_write(f->bus, pci_devfn(1, 1), PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    }
    command(f, PRIMARY, 0xe0, 3, 1, 0x20);
    g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x58);
    take(f, PRIMARY, data, 512);
    assert_pattern(data, 3 * 512, 512);
}

static void test_destroy_in_transfer(Fixture *f, const void *arg)
{
    command_ext(f, 0, 65535, 0x42);
    device_destroy(f->hd);
    g_assert_cmphex(alt_status(f, PRIMARY), ==, 0);
    command(f, SECONDARY, 0xa0, 0, 0, 0xa1); /* and the rest goes with the machine, in the middle of a reply */
}

static void test_save_in_transfer(Fixture *f, const void *arg)
{
    uint8_t data[512 * 20];
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    command(f, PRIMARY, 0xe0, 50, 20, 0x20);
    for (unsigned i = 0; i < 16; i++) {
        g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x58);
        take(f, PRIMARY, data + 512 * i, 512);
    }
    g_assert_true(machine_save(f->machine, state, NULL)); /* the next sectors are being fetched */
    device_reset(f->ide, RESET_COLD);
    g_assert_cmphex(alt_status(f, PRIMARY), ==, 0x50);
    machine_load(f->machine, state->data, state->len, &err);
    g_assert_no_error(err);
    g_assert_cmphex(wait_idle(f, PRIMARY), ==, 0x58);
    for (unsigned i = 16; i < 20; i++)
        take(f, PRIMARY, data + 512 * i, 512);
    assert_pattern(data, 50 * 512, 512 * 20);
    g_assert_cmphex(alt_status(f, PRIMARY), ==, 0x50);
}

static void test_busy(Fixture *f, const void *arg)
{
    uint8_t data[512];
    command(f, PRIMARY, 0xe0, 8, 1, 0x20);
    g_assert_cmphex(wait_irq(f, PRIMARY), ==, 0x58);
    command(f, PRIMARY, 0xf0, 9, 1, 0x30); /* registers and command of a drive with data to give */
    take(f, PRIMARY, data, 512);
    assert_pattern(data, 8 * 512, 512);
    g_assert_cmphex(alt_status(f, PRIMARY), ==, 0x50);
    g_assert_cmphex(in(f, PRIMARY + DATA, 2), ==, 0); /* nothing left */
    out(f, PRIMARY + DATA, 2, 1);
}

/* ---- ATAPI */

static void packet(Fixture *f, unsigned unit, const uint8_t p[12], unsigned limit, bool dma)
{
    out(f, SECONDARY + SELECT, 1, 0xa0 | unit << 4);
    out(f, SECONDARY + FEATURE, 1, dma);
    out(f, SECONDARY + MID, 2, limit);
    out(f, SECONDARY + COMMAND, 1, 0xa0);
    g_assert_cmphex(wait_idle(f, SECONDARY) & (DRQ | ERR), ==, DRQ);
    g_assert_cmphex(in(f, SECONDARY + COUNT, 1), ==, 1);
    give(f, SECONDARY, p, 12);
}

/* Takes data blocks until the command ends; returns how many bytes came, or -1 for a check condition. */
static int collect(Fixture *f, uint8_t *to, unsigned room)
{
    unsigned got = 0;
    for (;;) {
        uint8_t status = wait_irq(f, SECONDARY);
        if (!(status & DRQ)) {
            g_assert_cmphex(in(f, SECONDARY + COUNT, 1), ==, 3);
            return status & ERR ? -1 : (int)got;
        }
        g_assert_cmphex(in(f, SECONDARY + COUNT, 1), ==, 2);
        unsigned bytes = in(f, SECONDARY + MID, 2);
        g_assert_cmpuint(bytes, <=, room - got);
        take(f, SECONDARY, to + got, bytes);
        got += bytes;
    }
}

static unsigned sense(Fixture *f, unsigned unit)
{
    uint8_t data[18];
    packet(f, unit, (const uint8_t[12]){ 3, 0, 0, 0, 18 }, 18, false);
    g_assert_cmpint(collect(f, data, 18), ==, 18);
    return data[2] << 16 | data[12] << 8 | data[13];
}

static void test_cd_read(Fixture *f, const void *arg)
{
    static uint8_t data[CD_BLOCKS * 2048];
    static const struct { uint8_t packet[12]; unsigned first, n, limit; } cases[] = {
        { { 0x28, 0, 0, 0, 0, 7, 0, 0, 1 }, 7, 1, 2048 },
        { { 0x28, 0, 0, 0, 0, 0, 0, 1, 44 }, 0, 300, 0xfffe },
        { { 0xa8, 0, 0, 0, 0, 9, 0, 0, 0, 5 }, 9, 5, 1000 }, /* blocks that cut sectors */
        { { 0xa8, 0, 0, 0, 0, 9, 0, 0, 0, 5 }, 9, 5, 0 },
        { { 0xbe, 8, 0, 0, 1, 0, 0, 0, 2, 0x10 }, 256, 2, 2048 },
        { { 0x28 }, 0, 0, 2048 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        packet(f, 0, cases[i].packet, cases[i].limit, false);
        g_assert_cmpint(collect(f, data, sizeof(data)), ==, cases[i].n * 2048);
        assert_pattern(data, cases[i].first * 2048, cases[i].n * 2048);
    }
    packet(f, 0, (const uint8_t[12]){ 0x28, 0, 0, 0, 1, 43, 0, 0, 2 }, 2048, false);
    g_assert_cmpint(collect(f, data, 0), ==, -1);
    g_assert_cmphex(sense(f, 0), ==, 0x052100);
    g_assert_cmphex(sense(f, 0), ==, 0);
    packet(f, 0, (const uint8_t[12]){ 0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 2048, false);
    g_assert_cmpint(collect(f, data, 0), ==, -1);
}

/* A block larger than the buffer is what drivers allow, and what a saved state may not have. */
static void test_cd_save_in_transfer(Fixture *f, const void *arg)
{
    static uint8_t data[2048];
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    packet(f, 0, (const uint8_t[12]){ 0x28, 0, 0, 0, 0, 7, 0, 0, 1 }, 0xfffe, false);
    g_assert_cmphex(wait_irq(f, SECONDARY) & DRQ, ==, DRQ);
    take(f, SECONDARY, data, 1000);
    g_assert_true(machine_save(f->machine, state, NULL));
    device_reset(f->ide, RESET_COLD);
    machine_load(f->machine, state->data, state->len, &err);
    g_assert_no_error(err);
    take(f, SECONDARY, data + 1000, 1048);
    assert_pattern(data, 7 * 2048, 2048);
    g_assert_cmphex(wait_irq(f, SECONDARY) & (DRQ | ERR), ==, 0);
}

static void test_cd_dma(Fixture *f, const void *arg)
{
    uint8_t data[8192];
    put_prd(f, 0, BUFFER, 8192, true);
    packet(f, 0, (const uint8_t[12]){ 0x28, 0, 0, 0, 0, 20, 0, 0, 4 }, 0, true);
    start_dma(f, 1, TABLE, true);
    g_assert_cmphex(wait_irq(f, SECONDARY), ==, 0x50);
    g_assert_cmphex(end_dma(f, 1), ==, 4);
    g_assert_true(dma_read(f->machine, BUFFER, data, 8192));
    assert_pattern(data, 20 * 2048, 8192);
    packet(f, 0, (const uint8_t[12]){ 0x12, 0, 0, 0, 36 }, 0, true); /* a reply, to more memory than it has */
    start_dma(f, 1, TABLE, true);
    g_assert_cmphex(wait_irq(f, SECONDARY), ==, 0x50);
    g_assert_cmphex(end_dma(f, 1), ==, 5);
    g_assert_true(dma_read(f->machine, BUFFER, data, 36));
    g_assert_cmpmem(data + 8, 8, "ATOLL   ", 8);
}

static void test_cd_replies(Fixture *f, const void *arg)
{
    uint8_t data[512];
    packet(f, 0, (const uint8_t[12]){ 0x25 }, 512, false);
    g_assert_cmpint(collect(f, data, 512), ==, 8);
    g_assert_cmpmem(data, 8, "\0\0\1\x2b\0\0\x08\0", 8);
    packet(f, 0, (const uint8_t[12]){ 0x43, 2, 0, 0, 0, 0, 0, 2, 0 }, 512, false);
    g_assert_cmpint(collect(f, data, 512), ==, 20);
    g_assert_cmpmem(data, 20, "\0\x12\1\1\0\x14\1\0\0\0\2\0\0\x14\xaa\0\0\0\x06\0", 20);
    packet(f, 0, (const uint8_t[12]){ 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 13 }, 512, false); /* odd and cut */
    g_assert_cmpint(collect(f, data, 512), ==, 13);
    g_assert_cmphex(data[8], ==, 0x2a);
    packet(f, 0, (const uint8_t[12]){ 0x46, 0, 0, 0, 0, 0, 0, 1, 0 }, 512, false);
    g_assert_cmpint(collect(f, data, 512), >, 8);
    g_assert_cmphex(data[7], ==, 8); /* CD-ROM */
    packet(f, 0, (const uint8_t[12]){ 0x51, 0, 0, 0, 0, 0, 0, 0, 34 }, 512, false);
    g_assert_cmpint(collect(f, data, 512), ==, 34);
    packet(f, 0, (const uint8_t[12]){ 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8 }, 512, false);
    g_assert_cmpint(collect(f, data, 512), ==, 8);
    packet(f, 0, (const uint8_t[12]){ 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8 }, 512, false);
    g_assert_cmpint(collect(f, data, 512), ==, 8);
    g_assert_cmphex(data[5], ==, 2);
    packet(f, 0, (const uint8_t[12]){ 0x12, 0, 0, 0, 0 }, 512, false); /* nothing wanted */
    g_assert_cmpint(collect(f, data, 512), ==, 0);
    packet(f, 0, (const uint8_t[12]){ 0x55 }, 512, false); /* MODE SELECT is not there */
    g_assert_cmpint(collect(f, data, 512), ==, -1);
    g_assert_cmphex(sense(f, 0), ==, 0x052000);
}

/* What a user does at the drive, and what the guest hears of it. */
static void test_medium_change(Fixture *f, const void *arg)
{
    uint8_t data[2048];
    g_autoptr(GError) err = NULL;
    g_autofree char *drive = NULL;
    MediumInfo info;
    Device *cd = f->machine->devices->pdata[2];
    g_assert_false(medium_info(f->hd, &info));
    g_assert_false(medium_remove(cd, NULL, &err)); /* the tray is closed */
    g_clear_error(&err);
    packet(f, 0, (const uint8_t[12]){ 0x1e, 0, 0, 0, 1 }, 64, false);
    g_assert_cmpint(collect(f, data, 64), ==, 0);
    g_assert_false(medium_open_tray(cd, false, &err)); /* the guest has locked it */
    g_assert_nonnull(err);
    packet(f, 0, (const uint8_t[12]){ 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8 }, 64, false);
    g_assert_cmpint(collect(f, data, 64), ==, 8);
    g_assert_cmphex(data[4], ==, 1); /* eject request */
    packet(f, 0, (const uint8_t[12]){ 0x1e }, 64, false);
    collect(f, data, 64);
    g_assert_true(medium_open_tray(cd, false, NULL));
    g_assert_true(medium_remove(cd, &drive, NULL));
    g_assert_cmpstr(drive, ==, "c0");
    packet(f, 0, (const uint8_t[12]){ 0 }, 64, false);
    g_assert_cmpint(collect(f, data, 64), ==, -1);
    g_assert_cmphex(sense(f, 0), ==, 0x023a00);
    g_assert_true(medium_insert(cd, "c0", NULL));
    g_assert_true(medium_close_tray(cd, NULL));
    g_assert_true(medium_info(cd, &info));
    g_assert_cmpstr(info.drive, ==, "c0");
    g_assert_false(info.tray_open);
    packet(f, 0, (const uint8_t[12]){ 0 }, 64, false);
    g_assert_cmpint(collect(f, data, 64), ==, -1);
    g_assert_cmphex(sense(f, 0), ==, 0x062800); /* the medium may have changed */
    packet(f, 0, (const uint8_t[12]){ 0x28, 0, 0, 0, 0, 3, 0, 0, 1 }, 2048, false);
    g_assert_cmpint(collect(f, data, 2048), ==, 2048);
    g_assert_cmphex(data[0], ==, pattern(3 * 2048));
}

static void test_cd_no_disc(Fixture *f, const void *arg)
{
    uint8_t data[64];
    packet(f, 1, (const uint8_t[12]){ 0 }, 64, false);
    g_assert_cmpint(collect(f, data, 64), ==, -1);
    g_assert_cmphex(sense(f, 1), ==, 0x023a00);
    packet(f, 1, (const uint8_t[12]){ 0x28, 0, 0, 0, 0, 0, 0, 0, 1 }, 64, false);
    g_assert_cmpint(collect(f, data, 64), ==, -1);
    packet(f, 1, (const uint8_t[12]){ 0x12, 0, 0, 0, 36 }, 64, false);
    g_assert_cmpint(collect(f, data, 64), ==, 36);
    /* eject: refused while locked */
    packet(f, 0, (const uint8_t[12]){ 0x1e, 0, 0, 0, 1 }, 64, false);
    g_assert_cmpint(collect(f, data, 64), ==, 0);
    packet(f, 0, (const uint8_t[12]){ 0x1b, 0, 0, 0, 2 }, 64, false);
    g_assert_cmpint(collect(f, data, 64), ==, -1);
    g_assert_cmphex(sense(f, 0), ==, 0x055302);
    packet(f, 0, (const uint8_t[12]){ 0x1e }, 64, false);
    g_assert_cmpint(collect(f, data, 64), ==, 0);
    packet(f, 0, (const uint8_t[12]){ 0x1b, 0, 0, 0, 2 }, 64, false);
    g_assert_cmpint(collect(f, data, 64), ==, 0);
    packet(f, 0, (const uint8_t[12]){ 0x25 }, 64, false);
    g_assert_cmpint(collect(f, data, 64), ==, -1);
    packet(f, 0, (const uint8_t[12]){ 0x1b, 0, 0, 0, 3 }, 64, false);
    g_assert_cmpint(collect(f, data, 64), ==, 0);
    packet(f, 0, (const uint8_t[12]){ 0 }, 64, false);
    g_assert_cmpint(collect(f, data, 64), ==, 0);
}

/* DEVICE RESET is heard in the middle of a command. */
static void test_device_reset(Fixture *f, const void *arg)
{
    packet(f, 0, (const uint8_t[12]){ 0x28, 0, 0, 0, 0, 0, 0, 0, 20 }, 2048, false);
    out(f, SECONDARY + COMMAND, 1, 8);
    g_assert_cmphex(alt_status(f, SECONDARY), ==, 0);
    g_assert_cmphex(in(f, SECONDARY + MID, 2), ==, 0xeb14);
    test_cd_read(f, arg);
}

/* ---- places and properties */

static char *refused(Fixture *f, const DeviceType *type, const char *const *props, bool attach)
{
    g_autoptr(GError) err = NULL;
    Device *d = device_new(f->machine, type, NULL, props, &err);
    g_assert_no_error(err);
    if (attach)
        g_assert_true(ide_attach(f->ide, d, NULL));
    g_assert_false(device_realize(d, &err));
    device_destroy(d);
    return g_strdup(err->message);
}

static void test_places(Fixture *f, const void *arg)
{
    g_autofree char *alone = refused(f, &ide_cd_type, NULL, false);
    g_assert_nonnull(strstr(alone, "IDE bus"));
    g_autofree char *taken = refused(f, &ide_cd_type, (const char *[]){ "bus", "ide.0", "unit", "0", NULL }, true);
    g_assert_nonnull(strstr(taken, "taken by 'ide-hd'"));
    g_autofree char *read_only = refused(f, &ide_hd_type, (const char *[]){ "drive", "c0", NULL }, true);
    g_assert_nonnull(read_only);
    g_autofree char *serial = refused(f, &ide_cd_type, (const char *[]){ "serial", "123456789012345678901", NULL }, true);
    g_assert_nonnull(strstr(serial, "at most 20"));
    g_autofree char *bus = refused(f, &ide_cd_type, (const char *[]){ "bus", "ide.2", NULL }, true);
    g_assert_nonnull(strstr(bus, "IDE"));
    add_drive(f, &ide_cd_type, NULL);
    g_autofree char *full = refused(f, &ide_cd_type, NULL, true);
    g_assert_nonnull(strstr(full, "taken"));
}

#define ADD(name, fn) g_test_add("/ide/" name, Fixture, NULL, set_up, fn, tear_down)
int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("signature", test_signature);
    ADD("identify", test_identify);
    ADD("read-pio", test_read_pio);
    ADD("write-pio", test_write_pio);
    ADD("refusals", test_refusals);
    ADD("small-commands", test_small_commands);
    ADD("read-dma", test_read_dma);
    ADD("write-dma", test_write_dma);
    ADD("bad-tables", test_bad_tables);
    ADD("reset-in-transfer", test_reset_in_transfer);
    ADD("destroy-in-transfer", test_destroy_in_transfer);
    ADD("save-in-transfer", test_save_in_transfer);
    ADD("busy", test_busy);
    ADD("cd-read", test_cd_read);
    ADD("cd-save-in-transfer", test_cd_save_in_transfer);
    ADD("cd-dma", test_cd_dma);
    ADD("cd-replies", test_cd_replies);
    ADD("cd-no-disc", test_cd_no_disc);
    ADD("cd-medium-change", test_medium_change);
    ADD("device-reset", test_device_reset);
    ADD("places", test_places);
    return g_test_run();
}
