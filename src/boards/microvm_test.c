/* microvm_test.c - the microvm as a whole: what it has by each switch, what a kernel is told, saved state, a guest that writes garbage. */
#include "boards/microvm.h"

#include <string.h>

#include "boards/board_inside.h"
#include "devices/devices.h"
#include "devices/testing.h"
#include "devices/virtio/virtio_mmio_bus.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)
enum { MAGIC = 0x74726976, VIRTIO_BASE = 0xfeb00000u };

static Board *try_board(uint64_t ram, const BoardConfig *c, GError **err)
{
    MachineConfig config = { .ram_size = ram, .manual_clock = true, .cpus = 1, .max_cpus = 1, .sockets = 1, .cores = 1, .threads = 1 };
    cpu_model_max(&config.cpu_model);
    Machine *m = machine_create(&config, NULL);
    Board *b = board_create(&board_microvm, m, c, err);
    if (b)
        machine_reset(m, RESET_COLD);
    else
        machine_destroy(m);
    return b;
}

static Board *make_board(uint64_t ram, const BoardConfig *c)
{
    g_autoptr(GError) err = NULL;
    Board *b = try_board(ram, c, &err);
    g_assert_no_error(err);
    return b;
}

static void destroy(Board *b)
{
    machine_destroy(b->machine);
    board_destroy(b);
}

static void plug(Board *b, const char *type, const char *bus)
{
    g_autoptr(GError) err = NULL;
    Device *d = device_new(b->machine, device_type_find(device_types, type, NULL), NULL, NULL, &err);
    g_assert_no_error(err);
    g_assert_true(board_plug(b, d, bus, NULL, &err));
    g_assert_no_error(err);
}

static uint64_t mem(Board *b, uint64_t at, unsigned size) { return test_read(b->machine->memory, at, size); }

static BoardStart start(Board *b)
{
    BoardStart s;
    g_autoptr(GError) err = NULL;
    g_assert_true(board_start_direct(b, &s, &err));
    g_assert_no_error(err);
    return s;
}

static void test_memory(void)
{
    Board *b = make_board(4 * GIB, &(BoardConfig){ 0 });
    static const struct { uint64_t at; bool ram; } rows[] = {
        { 0, true }, { 0xa0000, true }, { 3 * GIB - 1, true }, { 3 * GIB, false }, { 4 * GIB - 1, false }, { 4 * GIB, true }, { 5 * GIB, false },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint8_t byte = 0x5a;
        g_assert_true(dma_write(b->machine, rows[i].at, &byte, 1) == rows[i].ram);
    }
    plug(b, "virtio-rng-device", NULL);
    plug(b, "virtio-rng-device", "virtio-mmio-bus.5");
    g_assert_cmphex(mem(b, VIRTIO_BASE, 4), ==, MAGIC);
    g_assert_cmphex(mem(b, VIRTIO_BASE + 5 * VIRTIO_MMIO_BYTES, 4), ==, MAGIC);
    g_assert_cmphex(mem(b, VIRTIO_BASE + VIRTIO_MMIO_BYTES, 4), ==, UINT32_MAX); /* an empty place */
    destroy(b);
}

/* Is there something at the port?  Nothing reads as all ones. */
static bool answers(Board *b, uint16_t port) { return test_in(b->machine, port) != 0xff; }

static void test_switches(void)
{
    enum { PIC = 0x4d0, RTC = 0x71, PIT = 0x61, PM = 0x604 };
    BoardConfig none = { .micro = { .pic = SWITCH_OFF, .pit = SWITCH_OFF, .rtc = SWITCH_OFF, .isa_serial = SWITCH_OFF }, .no_acpi = true };
    static const uint16_t ports[] = { PIC, RTC, PIT, PM };
    Board *all = make_board(16 * MIB, &(BoardConfig){ 0 }), *bare = make_board(16 * MIB, &none);
    for (unsigned i = 0; i < G_N_ELEMENTS(ports); i++) {
        g_assert_true(answers(all, ports[i]));
        g_assert_false(answers(bare, ports[i]));
    }
    g_assert_cmphex(mem(bare, 0xfec00000, 4), !=, UINT32_MAX); /* the IOAPIC stays */
    destroy(all);
    destroy(bare);
}

static bool text_in_tables(Board *b, const char *text)
{
    g_autofree char *area = g_malloc(0x20000);
    g_assert_true(dma_read(b->machine, 0xe0000, area, 0x20000));
    return memmem(area, 0x20000, text, strlen(text));
}

static void test_told_by_acpi(void)
{
    Board *b = make_board(16 * MIB, &(BoardConfig){ 0 });
    plug(b, "virtio-rng-device", NULL);
    BoardStart s = start(b);
    g_assert_cmphex(mem(b, s.rsdp, 8), ==, 0x2052545020445352); /* "RSD PTR " */
    g_assert_true(text_in_tables(b, "LNRO0005") && text_in_tables(b, "VR00") && !text_in_tables(b, "VR01"));
    g_assert_cmpstr(s.command_line, ==, "");
    g_assert_cmphex(s.low_ram, ==, 16 * MIB);
    g_assert_cmphex(test_read(b->machine->ports, 0x604, 2) & 1, ==, 1); /* SCI_EN: nobody has to ask for it */
    destroy(b);
}

static void test_told_by_words(void)
{
    BoardConfig c = { .no_acpi = true }, silent = { .no_acpi = true, .micro.auto_kernel_cmdline = SWITCH_OFF };
    Board *b = make_board(16 * MIB, &c), *quiet = make_board(16 * MIB, &silent);
    plug(b, "virtio-rng-device", NULL);
    plug(b, "virtio-rng-device", "virtio-mmio-bus.7");
    plug(quiet, "virtio-rng-device", NULL);
    BoardStart s = start(b), q = start(quiet);
    g_assert_cmpstr(s.command_line, ==, "virtio_mmio.device=512@0xfeb00000:5 virtio_mmio.device=512@0xfeb00e00:12");
    g_assert_cmphex(s.rsdp, ==, 0);
    g_assert_false(text_in_tables(b, "RSD PTR "));
    g_assert_true(text_in_tables(b, "_MP_"));
    g_assert_cmpstr(q.command_line, ==, "");
    destroy(b);
    destroy(quiet);
}

static unsigned resets;
static void stop_requested(void *opaque, StopCause cause) { resets += cause == CAUSE_GUEST_RESET; }

static void test_reset_register(void)
{
    Board *b = make_board(16 * MIB, &(BoardConfig){ 0 });
    b->machine->listener = (MachineListener){ .stop_requested = stop_requested };
    test_out(b->machine, 0xcf9, 2);
    g_assert_cmpuint(resets, ==, 0);
    test_out(b->machine, 0xcf9, 6);
    g_assert_cmpuint(resets, ==, 1);
    destroy(b);
}

static void test_save_load(void)
{
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_autoptr(GByteArray) again = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    Board *board[2];
    for (unsigned i = 0; i < 2; i++) {
        board[i] = make_board(16 * MIB, &(BoardConfig){ 0 });
        plug(board[i], "virtio-rng-device", NULL);
    }
    start(board[0]);
    test_write(board[0]->machine->memory, VIRTIO_BASE + 0x70, 4, 3);
    g_assert_true(machine_save(board[0]->machine, state, NULL));
    g_assert_true(machine_load(board[1]->machine, state->data, state->len, &err));
    g_assert_no_error(err);
    g_assert_cmphex(mem(board[1], VIRTIO_BASE + 0x70, 4), ==, 3);
    g_assert_true(machine_save(board[1]->machine, again, NULL));
    g_assert_cmpmem(state->data, state->len, again->data, again->len);
    destroy(board[0]);
    destroy(board[1]);
}

static void test_garbage(void)
{
    Board *b = make_board(16 * MIB, &(BoardConfig){ 0 });
    for (unsigned i = 0; i < 3; i++)
        plug(b, i == 2 ? "virtio-balloon-device" : i ? "virtio-net-device" : "virtio-rng-device", NULL);
    start(b);
    for (unsigned i = 0; i < 50000; i++) {
        uint64_t at = VIRTIO_BASE + g_test_rand_int_range(0, 4 * VIRTIO_MMIO_BYTES);
        unsigned size = 1 << g_test_rand_int_range(0, 4);
        test_write(b->machine->memory, g_test_rand_bit() ? at & ~3ull : at, g_test_rand_bit() ? 4 : size, g_test_rand_int_range(0, 20));
        mem(b, at, size);
        test_out(b->machine, 0x600 + g_test_rand_int_range(0, 16), g_test_rand_int());
    }
    machine_reset(b->machine, RESET_COLD);
    start(b);
    g_assert_cmphex(mem(b, VIRTIO_BASE + 0x70, 4), ==, 0);
    destroy(b);
}

static void test_bad_config(void)
{
    g_autoptr(GError) little = NULL, serial = NULL, pci = NULL, full = NULL;
    g_assert_null(try_board(MIB, &(BoardConfig){ 0 }, &little));
    g_assert_nonnull(strstr(little->message, "2 MiB"));
    g_assert_null(try_board(16 * MIB, &(BoardConfig){ .serial = { "nobody" } }, &serial));
    g_assert_nonnull(strstr(serial->message, "nobody"));
    Board *b = make_board(16 * MIB, &(BoardConfig){ 0 });
    Device *d = device_new(b->machine, device_type_find(device_types, "virtio-rng-pci", NULL), NULL, NULL, NULL);
    g_assert_false(board_plug(b, d, NULL, NULL, &pci));
    g_assert_nonnull(strstr(pci->message, "no PCI bus"));
    device_destroy(d);
    for (unsigned i = 0; i < 8; i++)
        plug(b, "virtio-rng-device", NULL);
    d = device_new(b->machine, device_type_find(device_types, "virtio-rng-device", NULL), NULL, NULL, NULL);
    g_assert_false(board_plug(b, d, NULL, NULL, &full));
    g_assert_nonnull(strstr(full->message, "full"));
    device_destroy(d);
    destroy(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/microvm/map", test_memory);
    g_test_add_func("/microvm/switches", test_switches);
    g_test_add_func("/microvm/told-by-acpi", test_told_by_acpi);
    g_test_add_func("/microvm/told-by-words", test_told_by_words);
    g_test_add_func("/microvm/reset-register", test_reset_register);
    g_test_add_func("/microvm/save-load", test_save_load);
    g_test_add_func("/microvm/garbage", test_garbage);
    g_test_add_func("/microvm/bad-config", test_bad_config);
    return g_test_run();
}
