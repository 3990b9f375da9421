/* pc_test.c - the classic PC as a whole: its map, what it tells firmware, the start without firmware, bad input. */
#include "boards/pc.h"

#include <glib/gstdio.h>
#include <string.h>

#include "boards/pc_inside.h"
#include "devices/acpi/fw_cfg.h"
#include "devices/devices.h"
#include "devices/pci/piix.h"
#include "devices/timer/timer.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static Machine *make_machine(uint64_t ram)
{
    MachineConfig config = { .ram_size = ram, .manual_clock = true, .cpus = 2, .max_cpus = 2, .sockets = 1, .cores = 2, .threads = 1 };
    cpu_model_max(&config.cpu_model);
    Machine *m = machine_create(&config, NULL);
    g_assert_nonnull(m);
    return m;
}

static Board *make_board(Machine *m, const BoardConfig *c)
{
    g_autoptr(GError) err = NULL;
    Board *b = board_create(&board_pc, m, c, &err);
    g_assert_no_error(err);
    g_assert_nonnull(b);
    machine_reset(m, RESET_COLD);
    return b;
}

static void destroy(Board *b)
{
    machine_destroy(b->machine);
    board_destroy(b);
}

static uint64_t in(AddressSpace *s, uint64_t at, unsigned size)
{
    FlatView *v = space_view(s);
    uint64_t value = view_read(v, at, size);
    view_unref(v);
    return value;
}

static void out(AddressSpace *s, uint64_t at, unsigned size, uint64_t value)
{
    FlatView *v = space_view(s);
    view_write(v, at, size, value);
    view_unref(v);
}

/* A firmware image whose every 64 KiB begins with its number. */
static char *make_firmware(unsigned units)
{
    g_autofree uint8_t *data = g_malloc0(units * 65536 + 1);
    for (unsigned i = 0; i < units; i++)
        data[i * 65536] = i + 1;
    char *path = NULL;
    int fd = g_file_open_tmp("atoll-pc-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_assert_true(g_file_set_contents(path, (char *)data, units * 65536, NULL));
    return path;
}

/* ---- the map */

static void test_map(void)
{
    g_autofree char *path = make_firmware(4);
    BoardConfig c = { .firmware = path };
    Board *b = make_board(make_machine(5 * GIB), &c);
    AddressSpace *mem = b->machine->memory;
    static const struct { uint64_t at; bool ram; } rows[] = {
        { 0, true }, { 0x9ffff, true }, { 0xa0000, false }, { 0xc0000, false }, { MIB, true }, { 3 * GIB - 1, true }, { 3 * GIB, false },
        { 4 * GIB - 1, false }, { 4 * GIB, true }, { 6 * GIB - 1, true }, { 6 * GIB, false },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint8_t byte = 0x5a, back = 0;
        g_assert_true(dma_write(b->machine, rows[i].at, &byte, 1) == rows[i].ram);
        g_assert_true(!rows[i].ram || (dma_read(b->machine, rows[i].at, &back, 1) && back == byte));
    }
    g_assert_cmphex(in(mem, 4 * GIB - 0x40000, 1), ==, 1);
    g_assert_cmphex(in(mem, 4 * GIB - 0x10000, 1), ==, 4);
    g_assert_cmphex(in(mem, 0xe0000, 1), ==, 3);
    g_assert_cmphex(in(mem, 0xf0000, 1), ==, 4);
    out(mem, 0xf0000, 1, 9);
    g_assert_cmphex(in(mem, 0xf0000, 1), ==, 4); /* ROM */
    destroy(b);
    g_unlink(path);
}

static void test_cmos(void)
{
    static const struct { unsigned at; uint8_t value; } want[] = {
        { 0x15, 0x80 }, { 0x16, 0x02 }, { 0x17, 0xff }, { 0x18, 0xff }, { 0x34, 0x00 }, { 0x35, 0xbf }, { 0x5b, 0x00 }, { 0x5c, 0x80 },
        { 0x5d, 0x00 }, { 0x5f, 1 }, { 0x3d, 0x32 }, { 0x38, 0x41 },
    };
    BoardConfig c = { .boot.letters = "cdn" };
    Board *b = make_board(make_machine(5 * GIB), &c);
    for (unsigned i = 0; i < G_N_ELEMENTS(want); i++) {
        out(b->machine->ports, 0x70, 1, want[i].at);
        g_assert_cmphex(in(b->machine->ports, 0x71, 1), ==, want[i].value);
    }
    destroy(b);
}

/* ---- the order of booting */

static void plug(Board *b, const char *type, const char *id, const char *addr, const char *property, const char *value)
{
    g_autoptr(GError) err = NULL;
    Device *d = device_new(b->machine, device_type_find(device_types, type, NULL), id, (const char *[]){ property, value, NULL }, &err);
    g_assert_no_error(err);
    board_plug(b, d, NULL, addr, &err);
    g_assert_no_error(err);
}

static void expect_order(Board *b, const char *letters, bool strict, const char *want)
{
    g_autoptr(GError) err = NULL;
    g_assert_true(board_set_boot_order(b, &(BootOrder){ letters, strict }, &err));
    GBytes *file = fw_cfg_file(((Pc *)b)->fw_cfg, "bootorder");
    gsize n = 0;
    const char *text = file ? g_bytes_get_data(file, &n) : NULL;
    g_assert_cmpuint(n, ==, want ? strlen(want) + 1 : 0);
    g_assert_cmpstr(n ? text : NULL, ==, want);
}

static void test_boot_order(void)
{
    g_autoptr(GError) err = NULL;
    Board *b = make_board(make_machine(64 * MIB), &(BoardConfig){ .ide_cdrom = { false, false, true } });
    expect_order(b, NULL, false, NULL);
    plug(b, "virtio-net-pci", "net0", "5", "bootindex", "9");
    plug(b, "virtio-net-pci", "net1", "6.1", NULL, NULL);
    plug(b, "virtio-scsi-pci", "scsi0", "7", NULL, NULL);
    plug(b, "scsi-cd", "cd", NULL, "lun", "3");
#define NET0 "/pci@i0cf8/ethernet@5/ethernet-phy@0"
#define NET1 "/pci@i0cf8/ethernet@6,1/ethernet-phy@0"
#define IDE "/pci@i0cf8/ide@1,1/drive@1/disk@0"
#define SCSI "/pci@i0cf8/scsi@7/channel@0/disk@0,3"
    expect_order(b, NULL, false, NET0);
    expect_order(b, NULL, true, NET0 "\nHALT");
    expect_order(b, "nd", false, NET0 "\n" NET1 "\n" IDE "\n" SCSI);
    expect_order(b, "d", false, NET0 "\n" IDE "\n" SCSI "\n" NET1);
    expect_order(b, "d", true, NET0 "\n" IDE "\n" SCSI "\nHALT");
    plug(b, "ide-cd", "late", NULL, "bootindex", "2");
    expect_order(b, NULL, false, "/pci@i0cf8/ide@1,1/drive@0/disk@0\n" NET0);
    plug(b, "scsi-cd", "same", NULL, "bootindex", "2");
    g_assert_false(board_set_boot_order(b, &(BootOrder){ 0 }, &err));
    g_assert_cmpstr(err->message, ==, "same: bootindex 2 is late's already");
    destroy(b);
}

/* ---- machines are apart */

static void test_two_machines(void)
{
    BoardConfig c = { 0 };
    Board *a = make_board(make_machine(16 * MIB), &c), *b = make_board(make_machine(32 * MIB), &c);
    out(a->machine->ports, 0xcf8, 4, 0x80000000);
    g_assert_cmphex(in(a->machine->ports, 0xcfc, 4), ==, 0x12378086);
    g_assert_cmphex(in(b->machine->ports, 0xcfc, 4), ==, UINT32_MAX);
    out(a->machine->memory, 0x1000, 4, 0x1234);
    g_assert_cmphex(in(b->machine->memory, 0x1000, 4), ==, 0);
    destroy(a);
    out(b->machine->ports, 0xcf8, 4, 0x80000800);
    g_assert_cmphex(in(b->machine->ports, 0xcfc, 4), ==, 0x70008086);
    destroy(b);
}

static void test_save_load(void)
{
    BoardConfig c = { 0 };
    Board *a = make_board(make_machine(16 * MIB), &c), *b = make_board(make_machine(16 * MIB), &c);
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    BoardStart start;
    g_assert_true(board_start_direct(a, &start, &err));
    g_assert_true(machine_save(a->machine, state, &err));
    g_assert_true(machine_load(b->machine, state->data, state->len, &err));
    g_assert_no_error(err);
    g_autofree char *map_a = space_dump(a->machine->memory), *map_b = space_dump(b->machine->memory);
    g_autofree char *ports_a = space_dump(a->machine->ports), *ports_b = space_dump(b->machine->ports);
    g_assert_cmpstr(map_a, ==, map_b);
    g_assert_cmpstr(ports_a, ==, ports_b);
    destroy(a);
    destroy(b);
}

/* ---- the start without firmware */

static void check_start(Board *b)
{
    BoardStart s;
    g_autoptr(GError) err = NULL;
    bool ok = board_start_direct(b, &s, &err);
    g_assert_no_error(err);
    g_assert_true(ok);
    for (unsigned i = 0; i < s.n_e820; i++)
        g_assert_true(!i || s.e820[i].base >= s.e820[i - 1].base + s.e820[i - 1].size);
    g_assert_cmphex(in(b->machine->memory, s.rsdp, 8), ==, 0x2052545020445352); /* "RSD PTR " */
    g_assert_cmphex(in(b->machine->memory, 0xf0000, 4), ==, 0x5f4d535f);        /* "_SM_" */
    g_assert_cmphex(in(b->machine->ports, PM_PORT + 4, 2), ==, 1);
    g_assert_cmphex(in(b->machine->ports, 0x4d1, 1), ==, 0x0c);
    g_assert_cmphex(pci_config_read(b->pci, pci_devfn(1, 1), PCI_BAR0 + 16, 4), ==, 0xc001);
    g_assert_cmphex(pci_config_read(b->pci, pci_devfn(1, 1), PCI_COMMAND, 1) & 1, ==, 1);
    g_assert_cmphex(pci_config_read(b->pci, pci_devfn(1, 3), PCI_INTERRUPT_LINE, 1), ==, 9);
    g_assert_cmphex(in(b->machine->memory, 0xf0070, 4), ==, 0x5f504d5f); /* "_MP_" */
}

static void test_direct(void)
{
    BoardConfig c = { 0 };
    Board *b = make_board(make_machine(64 * MIB), &c);
    check_start(b);
    machine_reset(b->machine, RESET_WARM);
    g_assert_cmphex(in(b->machine->ports, PM_PORT + 4, 2), ==, 0xffff);
    check_start(b);
    destroy(b);
}

static void test_direct_devices(void)
{
    BoardConfig c = { 0 };
    Board *b = make_board(make_machine(64 * MIB), &c);
    const DeviceType *t = device_type_find(device_types, "virtio-rng-pci", NULL);
    if (!t) {
        g_test_skip("no virtio-rng-pci in this build");
        destroy(b);
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        Device *d = device_new(b->machine, t, NULL, NULL, NULL);
        g_assert_true(board_plug(b, d, NULL, i ? NULL : "4", NULL));
        g_assert_cmphex(((PciDevice *)d)->devfn >> 3, ==, i ? i + 1 : 4);
    }
    machine_reset(b->machine, RESET_COLD);
    check_start(b);
    g_assert_cmphex(pci_config_read(b->pci, pci_devfn(4, 0), PCI_INTERRUPT_LINE, 1), ==, 11); /* slot 4 pin A: PIRQD */
    g_assert_cmphex(pci_config_read(b->pci, pci_devfn(2, 0), PCI_INTERRUPT_LINE, 1), ==, 10);
    destroy(b);
}

/* ---- a guest that writes garbage everywhere */

static uint64_t random_address(const FlatView *v)
{
    const FlatRange *r = &v->range[g_test_rand_int_range(0, v->n)];
    uint64_t near = r->start + (uint32_t)g_test_rand_int() % MIN(r->size, 1 << 16);
    return near - g_test_rand_int_range(0, 4) * (near > 8);
}

static void poke_space(AddressSpace *s)
{
    FlatView *v = space_view(s);
    unsigned size = 1 << g_test_rand_int_range(0, 4);
    uint64_t at = random_address(v), value = (uint64_t)g_test_rand_int() << 32 | (uint32_t)g_test_rand_int();
    if (g_test_rand_bit())
        view_write(v, at, size, value);
    else
        view_read(v, at, size);
    view_unref(v);
}

static void test_garbage(void)
{
    enum { ACCESSES = 100000 };
    Machine *m = make_machine(16 * MIB);
    Board *b = make_board(m, &(BoardConfig){ .ide_cdrom = { [2] = true } });
    static const char *const cards[] = { "virtio-rng-pci", "pvpanic", "isa-debug-exit" };
    for (unsigned i = 0; i < G_N_ELEMENTS(cards); i++) {
        const DeviceType *t = device_type_find(device_types, cards[i], NULL);
        g_assert_true(!t || board_plug(b, device_new(m, t, NULL, NULL, NULL), NULL, NULL, NULL));
    }
    BoardStart start;
    g_assert_true(board_start_direct(b, &start, NULL));
    for (unsigned i = 0; i < ACCESSES; i++) {
        poke_space(g_test_rand_int_range(0, 4) ? m->ports : m->memory);
        if (i % 100 == 0)
            pci_config_write(b->pci, g_test_rand_int_range(0, 24), g_test_rand_int_range(0, 64) * 4, 4, g_test_rand_int());
        if (i % 1000 == 0)
            clock_advance(m->clock, 1000);
    }
    machine_reset(m, RESET_COLD);
    g_assert_true(board_start_direct(b, &start, NULL)); /* as new */
    check_start(b);
    destroy(b);
}

/* ---- bad input */

static void expect_failure(uint64_t ram, const BoardConfig *c, const char *word)
{
    g_autoptr(GError) err = NULL;
    Machine *m = make_machine(ram);
    g_assert_null(board_create(&board_pc, m, c, &err));
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(err->message, word));
    machine_destroy(m);
}

static void test_bad_config(void)
{
    g_autofree char *odd = make_firmware(1), *empty = make_firmware(0);
    g_assert_true(g_file_set_contents(odd, "x", 1, NULL));
    expect_failure(MIB, &(BoardConfig){ 0 }, "2 MiB");
    expect_failure(16 * MIB, &(BoardConfig){ .firmware = "/nonexistent/bios" }, "/nonexistent/bios");
    expect_failure(16 * MIB, &(BoardConfig){ .firmware = "/" }, "'/'");
    expect_failure(16 * MIB, &(BoardConfig){ .firmware = odd }, "multiple of 64 KiB");
    expect_failure(16 * MIB, &(BoardConfig){ .firmware = empty }, "0 bytes");
    expect_failure(16 * MIB, &(BoardConfig){ .boot.letters = "cx" }, "boot devices");
    expect_failure(16 * MIB, &(BoardConfig){ .boot.letters = "acdn" }, "boot devices");
    expect_failure(16 * MIB, &(BoardConfig){ .serial = { "nobody" } }, "nobody");
    expect_failure(16 * MIB, &(BoardConfig){ .ide = { "nodrive" } }, "nodrive");
    g_unlink(odd);
    g_unlink(empty);
}

static void test_bad_plug(void)
{
    g_autoptr(GError) slot = NULL, internal = NULL, range = NULL;
    Board *b = make_board(make_machine(16 * MIB), &(BoardConfig){ 0 });
    Device *d = device_new(b->machine, &piix4_pm_type, NULL, NULL, NULL);
    g_assert_false(board_plug(b, d, NULL, NULL, &internal));
    g_assert_nonnull(strstr(internal->message, "part of the machine"));
    device_destroy(d);
    const DeviceType *t = device_type_find(device_types, "isa-debug-exit", NULL);
    d = device_new(b->machine, t, NULL, NULL, NULL);
    g_assert_false(board_plug(b, d, NULL, "3", &range));
    g_assert_nonnull(strstr(range->message, "not a PCI device"));
    device_destroy(d);
    destroy(b);
}

static void test_names(void)
{
    g_autoptr(GError) err = NULL;
    g_assert_true(board_find("pc", NULL) == &board_pc);
    g_assert_true(board_find("pc-i440fx", NULL) == &board_pc);
    g_assert_null(board_find("pc-i440gx", &err));
    g_assert_nonnull(strstr(err->message, "pc-i440fx"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pc/map", test_map);
    g_test_add_func("/pc/cmos", test_cmos);
    g_test_add_func("/pc/boot-order", test_boot_order);
    g_test_add_func("/pc/two-machines", test_two_machines);
    g_test_add_func("/pc/save-load", test_save_load);
    g_test_add_func("/pc/direct-start", test_direct);
    g_test_add_func("/pc/direct-start-devices", test_direct_devices);
    g_test_add_func("/pc/garbage", test_garbage);
    g_test_add_func("/pc/bad-config", test_bad_config);
    g_test_add_func("/pc/bad-plug", test_bad_plug);
    g_test_add_func("/pc/names", test_names);
    return g_test_run();
}
