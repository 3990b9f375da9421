/* virtio_blk_test.c - a driver of the virtio disk: what it may do, what it should not, and what happens when the image fails. */
#include "devices/virtio/virtio_blk.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "block/block.h"
#include "devices/virtio/virtio_testing.h"

enum { DISK_BYTES = 1 << 20, HEADER = VT_DATA, STATUS = VT_DATA + 0x100, BUFFER = VT_DATA + 0x1000 };
enum { IN, OUT, FLUSH = 4, GET_ID = 8, DISCARD = 11, ZEROES = 13, UNKNOWN = 99 };
enum { F_RO = 5, F_CONFIG_WCE = 11, F_MQ = 12, F_DISCARD = 13, F_ZEROES = 14 };

typedef struct Fixture {
    VirtioTest t;
    char *path;
    BlkNode *image;
    IoThread *thread; /* NULL: the driver's own does it all */
    unsigned io_errors;
} Fixture;

static uint8_t pattern(unsigned i) { return i / 512 * 7 + i % 509; }

static void count_stop(void *opaque, StopCause cause) { ((Fixture *)opaque)->io_errors += cause == CAUSE_IO_ERROR; }

static void set_up(Fixture *f, const void *props)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *data = g_malloc(DISK_BYTES);
    for (unsigned i = 0; i < DISK_BYTES; i++)
        data[i] = pattern(i);
    close(g_file_open_tmp("atoll-vblk-XXXXXX", &f->path, NULL));
    g_assert_true(g_file_set_contents(f->path, data, DISK_BYTES, NULL));
    const char *const *p = props;
    bool threaded = p && g_str_equal(p[0], "!thread");
    p += threaded;
    bool read_only = p && g_str_equal(p[0], "!readonly"), fail = p && g_str_equal(p[0], "!fail");
    g_autofree char *tree = g_strdup_printf("driver=raw,file.driver=blkdebug,file.file.driver=file,file.file.filename=%s,"
                                            "file.inject-error.0.iotype=write,file.inject-error.0.errno=28,file.inject-error.0.once=on", f->path);
    vt_create_machine(&f->t);
    f->image = fail ? blk_open_tree(tree, NULL, &err)
                    : blk_open(&(BlkOpenOptions){ .filename = f->path, .format = "raw", .read_only = read_only }, &err);
    g_assert_no_error(err);
    machine_add_backend(f->t.machine, BACKEND_DRIVE, "d0", f->image);
    if (threaded)
        f->t.machine->io_thread = f->thread = io_thread_new("test", IO_THREAD_POLL_NS, &err);
    f->t.machine->listener = (MachineListener){ .stop_requested = count_stop, .opaque = f };
    g_assert_true(vt_plug(&f->t, &virtio_blk_pci_type, read_only || fail ? p + 1 : p, &err));
    g_assert_no_error(err);
}

static void tear_down(Fixture *f, const void *props)
{
    vt_destroy(&f->t);
    io_thread_free(f->thread);
    blk_close(f->image);
    g_unlink(f->path);
    g_free(f->path);
}

static void add(Fixture *f, unsigned slot, uint32_t type, uint64_t sector, const VtBuffer *data, unsigned n)
{
    struct { uint32_t type, reserved; uint64_t sector; } header = { type, 0, sector };
    VtBuffer b[8] = { { HEADER + 16 * slot, 16, false } };
    vt_put(&f->t, HEADER + 16 * slot, &header, 16);
    vt_put(&f->t, STATUS + slot, "\xee", 1);
    for (unsigned i = 0; i < n; i++)
        b[i + 1] = data[i];
    b[n + 1] = (VtBuffer){ STATUS + slot, 1, true };
    vt_add(&f->t, 0, b, n + 2);
}

static uint8_t status(Fixture *f, unsigned slot)
{
    uint8_t s;
    vt_take(&f->t, STATUS + slot, &s, 1);
    return s;
}

/* One request, to its end. */
static uint8_t run(Fixture *f, uint32_t type, uint64_t sector, const VtBuffer *data, unsigned n, uint32_t *ret_written)
{
    add(f, 0, type, sector, data, n);
    vt_kick(&f->t, 0);
    uint32_t written = vt_wait(&f->t, 0, NULL);
    if (ret_written)
        *ret_written = written;
    return status(f, 0);
}

static void assert_pattern(Fixture *f, uint64_t at, unsigned from, unsigned len)
{
    g_autofree uint8_t *data = g_malloc(len);
    vt_take(&f->t, at, data, len);
    for (unsigned i = 0; i < len; i++)
        if (data[i] != pattern(from + i))
            g_error("byte %u of %u", i, len);
}

static void test_read_write(Fixture *f, const void *props)
{
    uint32_t written;
    g_autofree uint8_t *data = g_malloc(8192), *back = g_malloc(8192);
    vt_start(&f->t, vt_offered(&f->t), 1);
    g_assert_cmpuint(vt_config(&f->t, 0, 4), ==, DISK_BYTES / 512);
    g_assert_cmpuint(run(f, IN, 3, (VtBuffer[]){ { BUFFER, 1024, true }, { BUFFER + 0x2001, 512, true } }, 2, &written), ==, 0);
    g_assert_cmpuint(written, ==, 1537);
    assert_pattern(f, BUFFER, 3 * 512, 1024);
    assert_pattern(f, BUFFER + 0x2001, 5 * 512, 512);
    memset(data, 0x5a, 8192);
    vt_put(&f->t, BUFFER, data, 8192);
    g_assert_cmpuint(run(f, OUT, 100, (VtBuffer[]){ { BUFFER, 8192, false } }, 1, &written), ==, 0);
    g_assert_cmpuint(written, ==, 1);
    g_assert_cmpuint(run(f, FLUSH, 0, NULL, 0, NULL), ==, 0);
    g_assert_true(blk_read(f->image, 51200, back, 8192, NULL));
    g_assert_cmpmem(data, 8192, back, 8192);
}

/* Header, data and status in buffers that are cut elsewhere: 2.7.4.1 allows any. */
static void test_any_layout(Fixture *f, const void *props)
{
    struct { uint32_t type, reserved; uint64_t sector; uint8_t data[512]; } one = { OUT, 0, 7, { 0 } };
    uint8_t back[512];
    vt_start(&f->t, 0, 1);
    memset(one.data, 0xa5, 512);
    vt_put(&f->t, BUFFER, &one, sizeof(one));
    vt_add(&f->t, 0, (VtBuffer[]){ { BUFFER, 10, false }, { BUFFER + 10, 100, false }, { BUFFER + 110, 418, false }, { STATUS, 1, true } }, 4);
    vt_kick(&f->t, 0);
    vt_wait(&f->t, 0, NULL);
    g_assert_cmpuint(status(f, 0), ==, 0);
    g_assert_true(blk_read(f->image, 7 * 512, back, 512, NULL));
    g_assert_cmpmem(back, 512, one.data, 512);
    one.type = IN;
    vt_put(&f->t, BUFFER, &one, 16);
    vt_add(&f->t, 0, (VtBuffer[]){ { BUFFER, 16, false }, { BUFFER + 0x1000, 200, true }, { BUFFER + 0x3000, 313, true } }, 3);
    vt_kick(&f->t, 0);
    g_assert_cmpuint(vt_wait(&f->t, 0, NULL), ==, 513);
    vt_take(&f->t, BUFFER + 0x1000, back, 200);
    vt_take(&f->t, BUFFER + 0x3000, back + 200, 312);
    g_assert_cmpmem(back, 512, one.data, 512);
    g_assert_cmpuint(vt_get16(&f->t, BUFFER + 0x3000 + 312) & 0xff, ==, 0);
}

static void test_many(Fixture *f, const void *props)
{
    vt_start(&f->t, 0, 1);
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 5; i++)
            add(f, i, IN, round * 8 + i, (VtBuffer[]){ { BUFFER + i * 0x1000, 512, true } }, 1);
        vt_kick(&f->t, 0);
        for (unsigned i = 0; i < 5; i++)
            vt_wait(&f->t, 0, NULL);
        for (unsigned i = 0; i < 5; i++) {
            g_assert_cmpuint(status(f, i), ==, 0);
            assert_pattern(f, BUFFER + i * 0x1000, (round * 8 + i) * 512, 512);
        }
    }
    for (unsigned i = 0; !f->t.intx; i++) { /* the end of the round, on the thread */
        g_assert_cmpuint(i, <, 100000);
        g_usleep(100);
    }
}

static void test_refusals(Fixture *f, const void *props)
{
    const VtBuffer sector = { BUFFER, 512, true }, odd = { BUFFER, 100, true }, source = { BUFFER, 512, false };
    vt_start(&f->t, vt_offered(&f->t), 1);
    g_assert_cmpuint(run(f, IN, DISK_BYTES / 512, &sector, 1, NULL), ==, 1);
    g_assert_cmpuint(run(f, IN, UINT64_MAX / 512, &sector, 1, NULL), ==, 1);
    g_assert_cmpuint(run(f, OUT, UINT64_MAX, &source, 1, NULL), ==, 1);
    g_assert_cmpuint(run(f, IN, 0, &odd, 1, NULL), ==, 1);
    g_assert_cmpuint(run(f, UNKNOWN, 0, &sector, 1, NULL), ==, 2);
    g_assert_cmpuint(run(f, GET_ID, 0, &odd, 1, NULL), ==, 0);
    g_assert_cmpuint(run(f, GET_ID, 0, (VtBuffer[]){ { BUFFER, 8, true } }, 1, NULL), ==, 1);
    g_assert_cmphex(vt_status(&f->t), ==, 15);
    vt_add(&f->t, 0, (VtBuffer[]){ { BUFFER, 8, false } }, 1); /* no header, no status */
    vt_kick(&f->t, 0);
    g_assert_cmphex(vt_status(&f->t) & VIRTIO_NEEDS_RESET, ==, VIRTIO_NEEDS_RESET);
    vt_start(&f->t, 0, 1);
    g_assert_cmpuint(run(f, IN, 0, &sector, 1, NULL), ==, 0);
    assert_pattern(f, BUFFER, 0, 512);
}

static void test_identity(Fixture *f, const void *props)
{
    char id[20];
    vt_start(&f->t, vt_offered(&f->t), 3);
    g_assert_cmpuint(run(f, GET_ID, 0, (VtBuffer[]){ { BUFFER, 20, true } }, 1, NULL), ==, 0);
    vt_take(&f->t, BUFFER, id, 20);
    g_assert_cmpmem(id, 20, "S-1234\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    g_assert_cmpuint(vt_config(&f->t, 20, 4), ==, 4096);
    g_assert_cmpuint(vt_config(&f->t, 24, 1), ==, 1);
    g_assert_cmpuint(vt_config(&f->t, 34, 2), ==, 3);
    g_assert_cmpuint(vt_get(&f->t, 0x12, 2), ==, 3);
    g_assert_cmpuint(run(f, IN, 1, (VtBuffer[]){ { BUFFER, 4096, true } }, 1, NULL), ==, 1); /* half a block */
    g_assert_cmpuint(run(f, IN, 8, (VtBuffer[]){ { BUFFER, 4096, true } }, 1, NULL), ==, 0);
    assert_pattern(f, BUFFER, 4096, 4096);
}

static uint8_t range(Fixture *f, uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
    struct { uint64_t sector; uint32_t sectors, flags; } s = { sector, sectors, flags };
    vt_put(&f->t, BUFFER, &s, sizeof(s));
    return run(f, type, 0, (VtBuffer[]){ { BUFFER, 16, false } }, 1, NULL);
}

static void test_ranges(Fixture *f, const void *props)
{
    uint8_t data[3 * 512];
    vt_start(&f->t, vt_offered(&f->t), 1);
    g_assert_cmpuint(range(f, ZEROES, 9, 2, 0), ==, 0);
    g_assert_true(blk_read(f->image, 9 * 512, data, sizeof(data), NULL));
    g_assert_true(!data[0] && !memcmp(data, data + 1, 1023));
    g_assert_cmpuint(data[1024 + 5], ==, pattern(11 * 512 + 5));
    g_assert_cmpuint(range(f, ZEROES, 0, 8, 1), ==, 0);
    g_assert_cmpuint(range(f, DISCARD, 64, 64, 0), ==, 0);
    g_assert_cmpuint(range(f, DISCARD, 64, 64, 1), ==, 2);
    g_assert_cmpuint(range(f, ZEROES, 0, 8, 2), ==, 2);
    g_assert_cmpuint(range(f, DISCARD, DISK_BYTES / 512, 1, 0), ==, 1);
    g_assert_cmpuint(range(f, ZEROES, UINT64_MAX, 1, 0), ==, 1);
    g_assert_cmpuint(range(f, ZEROES, 0, UINT32_MAX, 0), ==, 1);
    vt_start(&f->t, 0, 1); /* what was not agreed on does not work */
    g_assert_cmpuint(range(f, ZEROES, 0, 8, 0), ==, 2);
}

static void test_read_only(Fixture *f, const void *props)
{
    uint64_t offered = vt_offered(&f->t);
    g_assert_true(offered >> F_RO & 1);
    g_assert_false(offered >> F_DISCARD & 1);
    vt_start(&f->t, offered, 1);
    g_assert_cmpuint(run(f, OUT, 0, (VtBuffer[]){ { BUFFER, 512, false } }, 1, NULL), ==, 1);
    g_assert_cmpuint(run(f, IN, 0, (VtBuffer[]){ { BUFFER, 512, true } }, 1, NULL), ==, 0);
}

static void test_write_cache(Fixture *f, const void *props)
{
    vt_start(&f->t, vt_offered(&f->t), 1);
    g_assert_cmpuint(vt_config(&f->t, 32, 1), ==, 1);
    vt_set(&f->t, MODERN_CONFIG + 32, 1, 0);
    g_assert_cmpuint(vt_config(&f->t, 32, 1), ==, 0);
    vt_set(&f->t, MODERN_CONFIG, 4, 0); /* the capacity is ours */
    g_assert_cmpuint(vt_config(&f->t, 0, 4), ==, DISK_BYTES / 512);
    g_assert_cmpuint(run(f, OUT, 0, (VtBuffer[]){ { BUFFER, 512, false } }, 1, NULL), ==, 0);
    vt_start(&f->t, vt_offered(&f->t) & ~(1ull << F_CONFIG_WCE), 1);
    vt_set(&f->t, MODERN_CONFIG + 32, 1, 0);
    g_assert_cmpuint(vt_config(&f->t, 32, 1), ==, 1);
}

/* What fails with werror=stop or a full disk is not heard of until the machine goes on; then it is tried again. */
static void test_stop(Fixture *f, const void *props)
{
    uint8_t data[512], back[512];
    memset(data, 0x77, sizeof(data));
    vt_start(&f->t, 0, 1);
    vt_put(&f->t, BUFFER, data, 512);
    add(f, 0, OUT, 4, (VtBuffer[]){ { BUFFER, 512, false } }, 1);
    vt_kick(&f->t, 0);
    for (unsigned i = 0; !f->io_errors && i < 10000; i++)
        g_usleep(100);
    g_assert_cmpuint(f->io_errors, ==, 1);
    g_assert_false(vt_poll(&f->t, 0));
    g_assert_cmphex(status(f, 0), ==, 0xee);
    machine_start(f->t.machine);
    vt_wait(&f->t, 0, NULL);
    g_assert_cmpuint(status(f, 0), ==, 0);
    g_assert_true(blk_read(f->image, 4 * 512, back, 512, NULL));
    g_assert_cmpmem(data, 512, back, 512);
}

static void test_stop_then_reset(Fixture *f, const void *props)
{
    vt_start(&f->t, 0, 1);
    add(f, 0, OUT, 4, (VtBuffer[]){ { BUFFER, 512, false } }, 1);
    vt_kick(&f->t, 0);
    for (unsigned i = 0; !f->io_errors && i < 10000; i++)
        g_usleep(100);
    g_assert_cmpuint(f->io_errors, ==, 1);
    vt_set(&f->t, 0x14, 1, 0);
    vt_start(&f->t, 0, 1);
    machine_start(f->t.machine);
    g_assert_cmpuint(run(f, IN, 4, (VtBuffer[]){ { BUFFER, 512, true } }, 1, NULL), ==, 0);
    assert_pattern(f, BUFFER, 4 * 512, 512);
}

static void test_report(Fixture *f, const void *props)
{
    vt_start(&f->t, 0, 1);
    g_assert_cmpuint(run(f, OUT, 4, (VtBuffer[]){ { BUFFER, 512, false } }, 1, NULL), ==, 1);
    g_assert_cmpuint(f->io_errors, ==, 0);
    g_assert_cmpuint(run(f, OUT, 4, (VtBuffer[]){ { BUFFER, 512, false } }, 1, NULL), ==, 0);
}

static void test_ignore(Fixture *f, const void *props)
{
    vt_start(&f->t, 0, 1);
    g_assert_cmpuint(run(f, OUT, 4, (VtBuffer[]){ { BUFFER, 512, false } }, 1, NULL), ==, 0);
}

/* ---- doorbells: an accelerator that takes eventfds, and a guest whose write it would have signalled */

enum { BELLS = 4 };

typedef struct BellAccel {
    Accel accel;
    struct { int fd; IoEvent at; } bell[BELLS];
    unsigned n;
} BellAccel;

static bool take_bell(Accel *a, int fd, const IoEvent *e, bool assign, GError **err)
{
    BellAccel *b = (BellAccel *)a;
    unsigned n = 0;
    while (n < b->n && !(b->bell[n].at.addr == e->addr && b->bell[n].at.match == e->match))
        n++;
    if (assign) {
        if (n < b->n || n == BELLS)
            return false;
        b->bell[b->n].fd = fd;
        b->bell[b->n++].at = *e;
        return true;
    }
    g_assert_cmpuint(n, <, b->n);
    g_assert_cmpint(b->bell[n].fd, ==, fd);
    b->bell[n] = b->bell[--b->n];
    return true;
}

static const AccelOps bell_ops = { .name = "bells", .ioeventfd = take_bell };

/* A request that no register write but the eventfd tells the device of. */
static void assert_rings(Fixture *f, BellAccel *b, const IoEvent *at)
{
    g_assert_cmpuint(b->n, ==, 1);
    g_assert_cmphex(b->bell[0].at.addr, ==, at->addr);
    g_assert_cmpuint(b->bell[0].at.size, ==, at->size);
    g_assert_true(b->bell[0].at.any_value == at->any_value && b->bell[0].at.pio == at->pio);
    add(f, 0, IN, 3, &(VtBuffer){ BUFFER, 1024, true }, 1);
    g_assert_cmpint(eventfd_write(b->bell[0].fd, 1), ==, 0);
    vt_wait(&f->t, 0, NULL);
    g_assert_cmpuint(status(f, 0), ==, 0);
    assert_pattern(f, BUFFER, 3 * 512, 1024);
}

static void move_bar(Fixture *f, uint32_t to) { pci_config_write(f->t.bus, VT_DEVFN, PCI_BAR0 + 16, 4, to); }

static void test_doorbell(Fixture *f, const void *props)
{
    BellAccel b = { .accel = { .ops = &bell_ops } };
    IoEvent at = { .addr = VT_MODERN + MODERN_NOTIFY, .size = 2, .any_value = true };
    f->t.machine->accel = &b.accel;
    vt_start(&f->t, 0, 1);
    assert_rings(f, &b, &at);
    move_bar(f, VT_MODERN + 0x100000);
    at.addr += 0x100000;
    assert_rings(f, &b, &at);
    pci_config_write(f->t.bus, VT_DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
    g_assert_cmpuint(b.n, ==, 0);
    pci_config_write(f->t.bus, VT_DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
    assert_rings(f, &b, &at);
    move_bar(f, VT_MODERN);
    vt_set(&f->t, 0x14, 1, 0);
    g_assert_cmpuint(b.n, ==, 0);
    vt_start(&f->t, 0, 1);
    g_assert_cmpuint(b.n, ==, 1);
    device_reset(f->t.device, RESET_WARM);
    g_assert_cmpuint(b.n, ==, 0);
    f->t.machine->accel = NULL; /* it was this function's */
}

/* What was signalled while nobody looked is in the saved state: its answer is. */
static void test_doorbell_saved(Fixture *f, const void *props)
{
    BellAccel b = { .accel = { .ops = &bell_ops } };
    f->t.machine->accel = &b.accel;
    vt_start(&f->t, 0, 1);
    g_mutex_lock(&f->t.device->lock); /* the thread can do nothing */
    add(f, 0, IN, 3, &(VtBuffer){ BUFFER, 512, true }, 1);
    eventfd_write(b.bell[0].fd, 1);
    virtio_pci_pre_save(f->t.device);
    g_mutex_unlock(&f->t.device->lock);
    g_assert_true(vt_poll(&f->t, 0));
    device_reset(f->t.device, RESET_WARM);
    f->t.machine->accel = NULL;
}

/* The accelerator has it in vain: the user says no, or there is no thread that would listen. */
static void test_no_doorbell(Fixture *f, const void *props)
{
    BellAccel b = { .accel = { .ops = &bell_ops } };
    f->t.machine->accel = &b.accel;
    vt_start(&f->t, 0, 1);
    g_assert_cmpuint(b.n, ==, 0);
    g_assert_cmpuint(run(f, FLUSH, 0, NULL, 0, NULL), ==, 0);
    f->t.machine->accel = NULL;
}

static void test_bad_properties(void)
{
    static const char *const bad[][2] = { { "werror", "never" }, { "logical_block_size", "777" }, { "logical_block_size", "1024" },
                                          { "queue-size", "100" }, { "serial", "more than twenty characters" }, { "drive", "d9" } };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        VirtioTest t = { 0 };
        vt_create_machine(&t);
        const char *props[] = { "drive", "d0", bad[i][0], bad[i][1], NULL };
        g_assert_false(vt_plug(&t, &virtio_blk_pci_type, props + (g_str_equal(bad[i][0], "drive") ? 2 : 0), &err));
        g_assert_nonnull(strstr(err->message, bad[i][0]));
        vt_destroy(&t);
    }
}

static const struct {
    const char *name;
    void (*run)(Fixture *f, const void *props);
    const char *props[13];
} cases[] = {
    { "read-write", test_read_write, { "!thread", "drive", "d0" } },
    { "any-layout", test_any_layout, { "!thread", "drive", "d0" } },
    { "many", test_many, { "!thread", "drive", "d0" } },
    { "refusals", test_refusals, { "!thread", "drive", "d0" } },
    { "identity", test_identity, { "!thread", "drive", "d0", "serial", "S-1234", "logical_block_size", "4096", "physical_block_size", "8192", "num-queues", "3" } },
    { "ranges", test_ranges, { "!thread", "drive", "d0" } },
    { "read-only", test_read_only, { "!thread", "!readonly", "drive", "d0" } },
    { "write-cache", test_write_cache, { "!thread", "drive", "d0" } },
    { "stop", test_stop, { "!thread", "!fail", "drive", "d0", "werror", "stop" } },
    { "stop-enospc", test_stop, { "!thread", "!fail", "drive", "d0" } },
    { "stop-then-reset", test_stop_then_reset, { "!thread", "!fail", "drive", "d0" } },
    { "report", test_report, { "!thread", "!fail", "drive", "d0", "werror", "report" } },
    { "ignore", test_ignore, { "!thread", "!fail", "drive", "d0", "werror", "ignore" } },
};

static const char *const with_thread[] = { "!thread", "drive", "d0", NULL };
static const char *const without_doorbell[] = { "!thread", "drive", "d0", "ioeventfd", "off", NULL };

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/virtio-blk/", cases[i].name, NULL), *threaded = g_strconcat("/virtio-blk/thread/", cases[i].name, NULL);
        g_test_add(path, Fixture, cases[i].props + 1, set_up, cases[i].run, tear_down);
        g_test_add(threaded, Fixture, cases[i].props, set_up, cases[i].run, tear_down);
    }
    g_test_add("/virtio-blk/doorbell", Fixture, with_thread, set_up, test_doorbell, tear_down);
    g_test_add("/virtio-blk/doorbell/saved", Fixture, with_thread, set_up, test_doorbell_saved, tear_down);
    g_test_add("/virtio-blk/doorbell/off", Fixture, without_doorbell, set_up, test_no_doorbell, tear_down);
    g_test_add("/virtio-blk/doorbell/no-thread", Fixture, with_thread + 1, set_up, test_no_doorbell, tear_down);
    g_test_add_func("/virtio-blk/bad-properties", test_bad_properties);
    return g_test_run();
}
