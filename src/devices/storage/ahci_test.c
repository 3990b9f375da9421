/* ahci_test.c - a driver of the SATA controller: commands by slot, queued commands, messages, and what may go wrong with them. */
#include <string.h>

#include "block/block.h"
#include "devices/storage/ahci_core.h"
#include "devices/testing.h"

enum { RAM_BYTES = 4 << 20, DEVFN = 3 << 3, LIST = 0x10000, FRAMES = 0x11000, TABLES = 0x12000, DATA = 0x100000, SECTORS = 2048, BAD_SECTOR = 100 };
enum { GHC = 4, IS = 8, PORT = 0x100, P_IS = 0x10, P_IE = 0x14, P_CMD = 0x18, P_TFD = 0x20, P_SCTL = 0x2c, P_SERR = 0x30, P_SACT = 0x34, P_CI = 0x38 };
enum { IDENTIFY = 0xec, READ_DMA = 0x25, WRITE_DMA = 0x35, READ_PIO = 0x24, READ_LOG = 0x2f };
static const uint32_t ABAR = 0xfe000000, NOWHERE = 0xf0000000;
static const uint64_t MSI_ADDRESS = 0xfee01000;

typedef struct Fixture {
    Machine *machine;
    PciBus *bus;
    BlkNode *disk;
    Device *ahci;
    _Atomic int level, messages;
} Fixture;

static void set_intx(void *opaque, uint8_t devfn, unsigned pin, bool level) { ((Fixture *)opaque)->level = level; }
static void take_message(void *opaque, uint64_t address, uint32_t data)
{
    g_assert_cmphex(address, ==, MSI_ADDRESS);
    g_assert_cmphex(data, ==, 0x4041);
    ((Fixture *)opaque)->messages++;
}
static const PciBusOps bus_ops = { .set_intx = set_intx, .msi = take_message };

/* ---- registers */

static uint32_t get(Fixture *f, unsigned at) { return test_read(f->machine->memory, ABAR + at, 4); }
static void set(Fixture *f, unsigned at, uint32_t v) { test_write(f->machine->memory, ABAR + at, 4, v); }
static uint32_t port(Fixture *f, unsigned at) { return get(f, PORT + at); }
static void set_port(Fixture *f, unsigned at, uint32_t v) { set(f, PORT + at, v); }
static void put(Fixture *f, uint64_t at, const void *from, size_t n) { g_assert_true(dma_write(f->machine, at, from, n)); }
static void fetch(Fixture *f, uint64_t at, void *to, size_t n) { g_assert_true(dma_read(f->machine, at, to, n)); }

/* What a driver does before its first command, and after an error: AHCI 6.2.2. */
static void start(Fixture *f)
{
    set_port(f, P_CMD, 0x16);
    set_port(f, P_SERR, UINT32_MAX);
    set_port(f, P_IS, UINT32_MAX);
    set(f, IS, UINT32_MAX);
    set_port(f, P_CMD, 0x17);
}

static void set_up(Fixture *f, const void *arg)
{
    g_autoptr(GError) err = NULL;
    MachineConfig config = { .ram_size = RAM_BYTES, .manual_clock = true, .max_cpus = 1 };
    f->machine = machine_create(&config, NULL);
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .size = RAM_BYTES, .ram = f->machine->ram };
    g_assert_nonnull(region_add(f->machine->memory, &ram, NULL));
    f->bus = pci_bus_create(f->machine, "pci.0", &bus_ops, f);
    g_autofree char *tree = g_strdup_printf("driver=raw,file.driver=blkdebug,file.inject-error.0.iotype=read,file.inject-error.0.sector=%d,"
                                            "file.inject-error.0.errno=5,file.file.driver=memory,file.file.size=%d", BAD_SECTOR, SECTORS * 512);
    f->disk = blk_open_tree(tree, NULL, &err);
    g_assert_no_error(err);
    for (uint64_t n = 0; n < SECTORS; n++)
        g_assert_true(blk_write(f->disk, n * 512, &n, sizeof(n), NULL));
    machine_add_backend(f->machine, BACKEND_DRIVE, "d0", f->disk);
    f->ahci = device_new(f->machine, &ich9_ahci_type, NULL, NULL, NULL);
    g_assert_true(pci_plug((PciDevice *)f->ahci, f->bus, DEVFN, NULL) && device_realize(f->ahci, NULL));
    g_assert_true(device_realize(device_new(f->machine, &ide_hd_type, NULL, (const char *[]){ "bus", "ide.0", "drive", "d0", NULL }, NULL), &err));
    device_reset(f->ahci, RESET_COLD);
    pci_config_write(f->bus, DEVFN, PCI_BAR0 + 20, 4, ABAR);
    pci_config_write(f->bus, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    set(f, GHC, 0x80000002);
    set_port(f, 0, LIST);
    set_port(f, 8, FRAMES);
    set_port(f, P_IE, UINT32_MAX);
    start(f);
}

static void tear_down(Fixture *f, const void *arg)
{
    machine_destroy(f->machine);
    pci_bus_destroy(f->bus);
    blk_close(f->disk);
}

/* ---- commands */

typedef struct Command {
    uint8_t code, control; /* control: instead of a command */
    uint64_t lba;
    unsigned count, tag, bytes;
    uint32_t data;
} Command;

static bool queued(const Command *c) { return c->code == CMD_READ_QUEUED || c->code == CMD_WRITE_QUEUED; }

static void put_command(Fixture *f, unsigned slot, const Command *c)
{
    uint64_t a = c->lba;
    uint8_t table[0x90] = { 0x27, c->control ? 0 : 0x80, c->code, 0, a, a >> 8, a >> 16, 0x40, a >> 24, a >> 32, a >> 40, 0, c->count, c->count >> 8, 0, c->control };
    uint32_t header[4] = { 5 | (c->bytes ? 1 : 0) << 16, 0, TABLES + slot * 0x100, 0 }, prd[4] = { c->data ? c->data : DATA, 0, 0, c->bytes - 1 };
    if (queued(c)) {
        table[3] = c->count, table[11] = c->count >> 8;
        table[12] = c->tag << 3, table[13] = 0;
    }
    memcpy(table + 0x80, prd, 16);
    put(f, TABLES + slot * 0x100, table, sizeof(table));
    put(f, LIST + slot * 32, header, 16);
}

/* Sets it going in slot `tag`, and waits for whatever it comes to: the port's interrupt status. */
static uint32_t run(Fixture *f, const Command *c)
{
    put_command(f, c->tag, c);
    if (queued(c))
        set_port(f, P_SACT, 1u << c->tag);
    set_port(f, P_CI, 1u << c->tag);
    unsigned busy = queued(c) ? P_SACT : P_CI;
    for (unsigned i = 0; i < 300000 && port(f, busy) >> c->tag & 1 && !(port(f, P_IS) & (PIS_TFES | PIS_HBFS)); i++)
        g_usleep(100);
    return port(f, P_IS);
}

static uint32_t read_sectors(Fixture *f, uint8_t code, uint64_t lba, unsigned n) { return run(f, &(Command){ .code = code, .lba = lba, .count = n, .bytes = n * 512 }); }

static void assert_data(Fixture *f, uint64_t lba, unsigned n)
{
    for (uint64_t i = 0, got; i < n; i++) {
        fetch(f, DATA + i * 512, &got, 8);
        g_assert_cmpuint(got, ==, lba + i);
    }
}

/* ---- tests */

static void test_identify(Fixture *f, const void *arg)
{
    uint16_t words[256];
    g_assert_cmphex(get(f, PORT + 0x24), ==, 0x101);
    g_assert_cmphex(run(f, &(Command){ .code = IDENTIFY, .bytes = 512 }) & PIS_TFES, ==, 0);
    fetch(f, DATA, words, 512);
    g_assert_cmpuint(words[60], ==, SECTORS);
    g_assert_cmphex(words[76] & 0x100, ==, 0x100); /* queued commands, */
    g_assert_cmphex(words[84] & 0x20, ==, 0x20);   /* and their log */
}

static void test_reads(Fixture *f, const void *arg)
{
    static const uint8_t codes[] = { READ_DMA, READ_PIO, CMD_READ_QUEUED };
    for (unsigned i = 0; i < G_N_ELEMENTS(codes); i++) {
        uint32_t prdbc;
        put(f, DATA, (char[512]){ 0 }, 512);
        g_assert_cmphex(read_sectors(f, codes[i], 40 + i, 3) & (PIS_TFES | PIS_HBFS), ==, 0);
        assert_data(f, 40 + i, 3);
        fetch(f, LIST + 4, &prdbc, 4);
        g_assert_cmpuint(prdbc, ==, 3 * 512);
        g_assert_cmphex(port(f, P_TFD) & 0xff, ==, 0x50);
        start(f);
    }
}

static void test_interrupts(Fixture *f, const void *arg)
{
    g_assert_false(f->level);
    read_sectors(f, READ_DMA, 1, 1);
    g_assert_true(f->level);
    g_assert_cmphex(get(f, IS), ==, 1);
    set(f, IS, 1); /* the port has not been looked at: it comes back */
    g_assert_true(f->level);
    set_port(f, P_IS, UINT32_MAX);
    g_assert_true(f->level);
    set(f, IS, 1);
    g_assert_false(f->level);
}

static void enable_messages(Fixture *f)
{
    uint8_t at = pci_config_read(f->bus, DEVFN, PCI_CAPABILITIES, 1);
    g_assert_cmphex(pci_config_read(f->bus, DEVFN, at, 1), ==, PCI_CAP_MSI);
    pci_config_write(f->bus, DEVFN, at + 4, 4, MSI_ADDRESS | 3);
    pci_config_write(f->bus, DEVFN, at + 8, 4, 0);
    pci_config_write(f->bus, DEVFN, at + 12, 2, 0x4041);
    pci_config_write(f->bus, DEVFN, at + 2, 2, 0xffff);
    g_assert_cmphex(pci_config_read(f->bus, DEVFN, at + 2, 2), ==, 0x81); /* one vector, 64 bits */
}

static void test_messages(Fixture *f, const void *arg)
{
    enable_messages(f);
    read_sectors(f, READ_DMA, 1, 1);
    g_assert_false(f->level);
    g_assert_cmpint(f->messages, ==, 1);
    set(f, IS, 1); /* the port still has something to say */
    g_assert_cmpint(f->messages, ==, 2);
    set_port(f, P_IS, UINT32_MAX);
    set(f, IS, 1);
    g_assert_cmpint(f->messages, ==, 2);
    read_sectors(f, READ_DMA, 2, 1);
    g_assert_cmpint(f->messages, ==, 3);
    pci_config_write(f->bus, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY); /* no master: no message, and no pin either */
    start(f);
    read_sectors(f, READ_DMA, 2, 1);
    g_assert_cmpint(f->messages, ==, 3);
    g_assert_false(f->level);
    uint8_t at = pci_config_read(f->bus, DEVFN, PCI_CAPABILITIES, 1);
    pci_config_write(f->bus, DEVFN, at + 2, 2, 0);
    g_assert_true(f->level); /* back to the pin */
}

static void assert_log(Fixture *f, unsigned tag, uint8_t error, uint64_t lba, unsigned count)
{
    uint8_t log[512], sum = 0;
    g_assert_cmphex(run(f, &(Command){ .code = READ_LOG, .lba = 0x10, .count = 1, .bytes = 512 }) & PIS_TFES, ==, 0);
    fetch(f, DATA, log, 512);
    for (unsigned i = 0; i < 512; i++)
        sum += log[i];
    g_assert_cmpuint(sum, ==, 0);
    g_assert_cmphex(log[0], ==, tag);
    g_assert_cmphex(log[2], ==, 0x51);
    g_assert_cmphex(log[3], ==, error);
    g_assert_cmphex(log[4] | log[5] << 8 | log[6] << 16 | (uint64_t)log[8] << 24, ==, lba);
    g_assert_cmpuint(log[12] | log[13] << 8, ==, count);
}

static void test_queued_errors(Fixture *f, const void *arg)
{
    const struct { Command command; uint8_t error; } cases[] = {
        { { .code = CMD_READ_QUEUED, .lba = SECTORS - 1, .count = 2, .tag = 7, .bytes = 1024 }, ER_IDNF },
        { { .code = CMD_READ_QUEUED, .lba = BAD_SECTOR - 2, .count = 4, .tag = 30, .bytes = 2048 }, ER_UNC },
        { { .code = CMD_READ_QUEUED, .lba = 3, .count = 4, .tag = 2, .bytes = 512 }, ER_ABRT },                   /* a table that is too short */
        { { .code = CMD_WRITE_QUEUED, .lba = 4, .count = 1, .tag = 9, .bytes = 512, .data = NOWHERE }, ER_ABRT },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Command *c = &cases[i].command;
        g_assert_cmphex(run(f, c) & PIS_TFES, ==, PIS_TFES);
        g_assert_cmphex(port(f, P_TFD) & 0xffff, ==, 0x51 | cases[i].error << 8);
        g_assert_cmphex(port(f, P_SACT), ==, 1u << c->tag);
        set_port(f, P_CI, 1); /* not before the port has been stopped */
        g_assert_cmphex(port(f, P_CI), ==, 1);
        start(f);
        g_assert_cmphex(port(f, P_SACT) | port(f, P_CI), ==, 0);
        assert_log(f, c->tag, cases[i].error, c->lba, c->count);
        start(f);
        g_assert_cmphex(read_sectors(f, CMD_READ_QUEUED, 8, 1) & PIS_TFES, ==, 0);
        start(f);
    }
}

static void test_log(Fixture *f, const void *arg)
{
    uint16_t words[256];
    g_assert_cmphex(run(f, &(Command){ .code = READ_LOG, .lba = 0, .count = 1, .bytes = 512 }) & PIS_TFES, ==, 0);
    fetch(f, DATA, words, 512);
    g_assert_cmphex(words[0], ==, 1);
    g_assert_cmphex(words[0x10], ==, 1);
    g_assert_cmphex(run(f, &(Command){ .code = READ_LOG, .lba = 0x10, .count = 1, .bytes = 512 }) & PIS_TFES, ==, 0);
    fetch(f, DATA, words, 512);
    g_assert_cmphex(words[0] & 0x80, ==, 0x80); /* no queued command has failed */
    g_assert_cmphex(run(f, &(Command){ .code = READ_LOG, .lba = 0x11, .count = 1, .bytes = 512 }) & PIS_TFES, ==, PIS_TFES);
    start(f);
    g_assert_cmphex(run(f, &(Command){ .code = READ_LOG, .lba = 0x10, .count = 2, .bytes = 1024 }) & PIS_TFES, ==, PIS_TFES);
}

static void test_errors(Fixture *f, const void *arg)
{
    const Command cases[] = {
        { .code = READ_DMA, .lba = SECTORS, .count = 1, .bytes = 512 },
        { .code = READ_DMA, .lba = BAD_SECTOR, .count = 1, .bytes = 512 },
        { .code = READ_PIO, .lba = BAD_SECTOR, .count = 1, .bytes = 512 },
        { .code = 0x77 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmphex(run(f, &cases[i]) & PIS_TFES, ==, PIS_TFES);
        g_assert_cmphex(port(f, P_TFD) & 1, ==, 1);
        g_assert_cmphex(port(f, P_CI), ==, 1);
        start(f);
        g_assert_cmphex(read_sectors(f, READ_DMA, 8, 1) & PIS_TFES, ==, 0);
        assert_data(f, 8, 1);
        start(f);
    }
}

static void test_lists_that_lie(Fixture *f, const void *arg)
{
    set_port(f, 0, NOWHERE);
    set_port(f, P_CI, 1);
    g_assert_cmphex(port(f, P_IS) & PIS_HBFS, ==, PIS_HBFS);
    set_port(f, 0, LIST);
    start(f);
    const uint32_t header[4] = { 5 | 0xffffu << 16, 0, NOWHERE, 0 };
    put(f, LIST, header, 16);
    set_port(f, P_CI, 1);
    g_assert_cmphex(port(f, P_IS) & PIS_HBFS, ==, PIS_HBFS);
    start(f);
    g_assert_cmphex(run(f, &(Command){ .code = READ_DMA, .lba = 1, .count = 1, .bytes = 512, .data = NOWHERE }) & (PIS_HBFS | PIS_TFES), ==, PIS_HBFS | PIS_TFES);
    start(f);
    g_assert_cmphex(read_sectors(f, READ_DMA, 8, 1) & PIS_TFES, ==, 0);
    assert_data(f, 8, 1);
}

static void test_reset(Fixture *f, const void *arg)
{
    put_command(f, 0, &(Command){ .code = READ_DMA, .lba = 1, .count = 64, .bytes = 64 * 512 });
    set_port(f, P_CI, 1);
    set_port(f, P_SCTL, 1);
    g_assert_cmphex(port(f, 0x28), ==, 0);
    set_port(f, P_SCTL, 0);
    g_assert_cmphex(port(f, 0x28), ==, 0x123);
    g_assert_cmphex(port(f, P_CI), ==, 0);
    g_assert_cmphex(port(f, P_SERR) & SERR_EXCHANGED, ==, SERR_EXCHANGED);
    start(f);
    run(f, &(Command){ .control = 4 | 8 }); /* software reset is two frames */
    run(f, &(Command){ .control = 8 });
    g_assert_cmphex(port(f, P_TFD) & 0xff, ==, 0x50);
    set(f, GHC, 0x80000001);
    g_assert_cmphex(get(f, GHC), ==, 0x80000000);
    g_assert_cmphex(port(f, P_CMD) & 1, ==, 0);
}

/* A queued error is still in the log after the state has gone elsewhere. */
static void test_save(Fixture *f, const void *arg)
{
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    enable_messages(f);
    run(f, &(Command){ .code = CMD_READ_QUEUED, .lba = BAD_SECTOR, .count = 1, .tag = 3, .bytes = 512 });
    g_assert_true(machine_save(f->machine, state, &err));
    device_reset(f->ahci, RESET_COLD);
    g_assert_true(machine_load(f->machine, state->data, state->len, &err));
    g_assert_cmphex(port(f, P_SACT), ==, 8);
    start(f);
    int before = f->messages;
    assert_log(f, 3, ER_UNC, BAD_SECTOR, 1);
    g_assert_cmpint(f->messages, >, before);
}

#define ADD(name, fn) g_test_add("/ahci/" name, Fixture, NULL, set_up, fn, tear_down)
int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("identify", test_identify);
    ADD("read", test_reads);
    ADD("interrupts", test_interrupts);
    ADD("messages", test_messages);
    ADD("queued-errors", test_queued_errors);
    ADD("log", test_log);
    ADD("errors", test_errors);
    ADD("lists-that-lie", test_lists_that_lie);
    ADD("reset", test_reset);
    ADD("save", test_save);
    return g_test_run();
}
