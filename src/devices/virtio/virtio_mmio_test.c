/* virtio_mmio_test.c - a driver by memory-mapped registers: start, a request, interrupts; one that breaks rules; saved state; places. */
#include "devices/virtio/virtio_mmio.h"

#include <string.h>

#include "devices/testing.h"
#include "devices/virtio/virtio_rng.h"

enum { RAM_BYTES = 4 << 20, BASE = 0xfeb00000, SIZE = 8, DESC = 0x10000, AVAIL = 0x11000, USED = 0x12000, DATA = 0x20000, BUSES = 2 };
enum { /* registers by the numbers of 4.2.2 */
    R_MAGIC = 0, R_VERSION = 4, R_ID = 8, R_FEATURES = 0x10, R_FEATURES_SEL = 0x14, R_ACCEPT = 0x20, R_ACCEPT_SEL = 0x24, R_SEL = 0x30, R_MAX = 0x34,
    R_NUM = 0x38, R_READY = 0x44, R_NOTIFY = 0x50, R_ISR = 0x60, R_ACK = 0x64, R_STATUS = 0x70, R_DESC = 0x80, R_DRIVER = 0x90, R_DEVICE = 0xa0,
    R_SHM_LEN = 0xb0, R_RESET = 0xc0, R_CONFIG = 0x100,
};

typedef struct Rig {
    Machine *machine;
    VirtioMmioBus bus[BUSES];
    Device *device;
    TestLine line;
    uint16_t avail;
} Rig;

static uint32_t get(Rig *r, unsigned reg) { return test_read(r->machine->memory, BASE + reg, 4); }
static void set(Rig *r, unsigned reg, uint32_t value) { test_write(r->machine->memory, BASE + reg, 4, value); }

static void put(Rig *r, uint64_t at, const void *from, size_t n) { g_assert_true(dma_write(r->machine, at, from, n)); }

static uint16_t get16(Rig *r, uint64_t at)
{
    uint16_t value;
    g_assert_true(dma_read(r->machine, at, &value, 2));
    return value;
}

static void rig_init(Rig *r)
{
    g_autoptr(GError) err = NULL;
    MachineConfig config = { .ram_size = RAM_BYTES, .manual_clock = true, .max_cpus = 1 };
    *r = (Rig){ .machine = machine_create(&config, NULL) };
    r->line.machine = r->machine;
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .size = RAM_BYTES, .ram = r->machine->ram };
    g_assert_nonnull(region_add(r->machine->memory, &ram, NULL));
    for (unsigned i = 0; i < BUSES; i++)
        virtio_mmio_bus_init(&r->bus[i], r->machine, i, BASE + i * VIRTIO_MMIO_BYTES, i ? (IrqLine){ 0 } : (IrqLine){ test_line_set, &r->line, 0 });
    r->device = device_new(r->machine, &virtio_rng_device_type, NULL, NULL, NULL);
    g_assert_true(device_plug(r->device, NULL, NULL, &err));
    g_assert_no_error(err);
}

static void rig_finish(Rig *r)
{
    machine_destroy(r->machine);
    for (unsigned i = 0; i < BUSES; i++)
        bus_clear(&r->bus[i].bus);
}

/* 3.1.1, with a queue of SIZE entries. */
static void start(Rig *r)
{
    const uint8_t zeros[0x3000] = { 0 };
    put(r, DESC, zeros, sizeof(zeros));
    r->avail = 0;
    set(r, R_STATUS, 0);
    set(r, R_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
    set(r, R_ACCEPT_SEL, 1);
    set(r, R_ACCEPT, 1);
    set(r, R_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
    set(r, R_SEL, 0);
    set(r, R_NUM, SIZE);
    set(r, R_DESC, DESC);
    set(r, R_DRIVER, AVAIL);
    set(r, R_DEVICE, USED);
    set(r, R_READY, 1);
    set(r, R_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
}

static void ask(Rig *r, uint64_t at, uint32_t bytes)
{
    struct { uint64_t at; uint32_t len; uint16_t flags, next; } d = { at, bytes, 2, 0 };
    put(r, DESC, &d, sizeof(d));
    r->avail++;
    put(r, AVAIL + 2, &r->avail, 2);
    set(r, R_NOTIFY, 0);
}

static void test_identity(void)
{
    Rig r;
    rig_init(&r);
    g_assert_cmphex(get(&r, R_MAGIC), ==, 0x74726976);
    g_assert_cmphex(get(&r, R_VERSION), ==, 2);
    g_assert_cmphex(get(&r, R_ID), ==, 4);
    g_assert_cmphex(get(&r, R_MAX), ==, 64);
    set(&r, R_FEATURES_SEL, 1);
    g_assert_cmphex(get(&r, R_FEATURES) & 1, ==, 1);
    set(&r, R_FEATURES_SEL, 2);
    g_assert_cmphex(get(&r, R_FEATURES), ==, 0);
    g_assert_cmphex(get(&r, R_SHM_LEN), ==, UINT32_MAX);
    set(&r, R_SEL, 1);
    g_assert_cmphex(get(&r, R_MAX), ==, 0);
    g_assert_cmphex(test_read(r.machine->memory, BASE + R_MAGIC, 1), ==, 0); /* registers have 32 bits */
    rig_finish(&r);
}

static void test_request(void)
{
    Rig r;
    uint8_t got[64], zeros[64] = { 0 };
    rig_init(&r);
    start(&r);
    ask(&r, DATA, sizeof(got));
    g_assert_cmpuint(get16(&r, USED + 2), ==, 1);
    g_assert_true(dma_read(r.machine, DATA, got, sizeof(got)) && memcmp(got, zeros, sizeof(got)));
    g_assert_true(r.line.level);
    g_assert_cmphex(get(&r, R_ISR), ==, VIRTIO_ISR_QUEUE);
    set(&r, R_ACK, VIRTIO_ISR_CONFIG);
    g_assert_true(r.line.level);
    set(&r, R_ACK, VIRTIO_ISR_QUEUE);
    g_assert_false(r.line.level);
    g_assert_cmphex(get(&r, R_ISR), ==, 0);
    rig_finish(&r);
}

/* 4.2.3.2: a queue that is not ready any more is set up anew. */
static void test_queue_again(void)
{
    Rig r;
    rig_init(&r);
    start(&r);
    ask(&r, DATA, 8);
    set(&r, R_READY, 0);
    g_assert_cmphex(get(&r, R_READY), ==, 0);
    ask(&r, DATA, 8);
    g_assert_cmpuint(get16(&r, USED + 2), ==, 1);
    start(&r);
    g_assert_cmphex(get(&r, R_READY), ==, 1);
    ask(&r, DATA, 8);
    g_assert_cmpuint(get16(&r, USED + 2), ==, 1);
    rig_finish(&r);
}

static void test_broken_driver(void)
{
    Rig r;
    rig_init(&r);
    start(&r);
    set(&r, R_DESC, 0x77777777); /* too late: the queue is in use */
    ask(&r, RAM_BYTES, 8);
    g_assert_cmphex(get(&r, R_STATUS) & VIRTIO_NEEDS_RESET, ==, VIRTIO_NEEDS_RESET);
    g_assert_cmphex(get(&r, R_ISR) & VIRTIO_ISR_CONFIG, ==, VIRTIO_ISR_CONFIG);
    set(&r, R_STATUS, 0);
    g_assert_cmphex(get(&r, R_STATUS), ==, 0);
    g_assert_false(r.line.level);
    set(&r, R_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK); /* without VERSION_1 */
    g_assert_cmphex(get(&r, R_STATUS) & VIRTIO_FEATURES_OK, ==, 0);
    start(&r);
    ask(&r, DATA, 8);
    g_assert_cmpuint(get16(&r, USED + 2), ==, 1);
    rig_finish(&r);
}

static void test_save_load(void)
{
    Rig a, b;
    g_autoptr(GError) err = NULL;
    g_autoptr(GByteArray) state = g_byte_array_new();
    rig_init(&a);
    rig_init(&b);
    start(&a);
    ask(&a, DATA, 8);
    g_assert_true(machine_save(a.machine, state, NULL));
    g_assert_true(machine_load(b.machine, state->data, state->len, &err));
    g_assert_no_error(err);
    b.avail = a.avail;
    g_assert_cmphex(get(&b, R_ISR), ==, VIRTIO_ISR_QUEUE);
    ask(&b, DATA, 8);
    g_assert_cmpuint(get16(&b, USED + 2), ==, 2);
    rig_finish(&a);
    rig_finish(&b);
}

static void test_places(void)
{
    Rig r;
    g_autoptr(GError) taken = NULL, full = NULL;
    rig_init(&r);
    Device *second = device_new(r.machine, &virtio_rng_device_type, "second", NULL, NULL);
    g_assert_false(device_plug(second, "virtio-mmio-bus.0", NULL, &taken));
    g_assert_nonnull(strstr(taken->message, "that is 'virtio-rng-device'"));
    g_assert_true(device_plug(second, NULL, NULL, NULL));
    g_assert_true(virtio_mmio_bus_device(&r.bus[1]) == second);
    g_assert_cmphex(test_read(r.machine->memory, BASE + VIRTIO_MMIO_BYTES + R_ID, 4), ==, 4);
    Device *third = device_new(r.machine, &virtio_rng_device_type, NULL, NULL, NULL);
    g_assert_false(device_plug(third, NULL, NULL, &full));
    g_assert_nonnull(strstr(full->message, "full"));
    device_destroy(third);
    device_destroy(second);
    g_assert_null(virtio_mmio_bus_device(&r.bus[1]));
    rig_finish(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio-mmio/identity", test_identity);
    g_test_add_func("/virtio-mmio/request", test_request);
    g_test_add_func("/virtio-mmio/queue-again", test_queue_again);
    g_test_add_func("/virtio-mmio/broken-driver", test_broken_driver);
    g_test_add_func("/virtio-mmio/save-load", test_save_load);
    g_test_add_func("/virtio-mmio/places", test_places);
    return g_test_run();
}
