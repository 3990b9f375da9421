/* storage_test.c - the host's side of bulk-only transport, against a controller of nothing but a port. */
#include <string.h>

#include "block/block.h"
#include "devices/testing.h"
#include "devices/usb/usb.h"

enum { SECTORS = 4096, BAD_SECTOR = 3000, IN = USB_IN | 1, OUT = 2, PASSED = 0, FAILED = 1, PHASE_ERROR = 2 };

/* ---- a controller */

typedef struct TestController {
    Device dev;
    UsbBus bus;
    unsigned wakeups;
} TestController;

static void ignore(Device *d, unsigned port) {}
static void wakeup(Device *d, unsigned port, uint8_t endpoint) { ((TestController *)d)->wakeups++; }
static const UsbBusOps bus_ops = { ignore, ignore, wakeup };

static bool controller_realize(Device *d, GError **err)
{
    usb_bus_init(&((TestController *)d)->bus, d, &bus_ops, 1, 1 << USB_HIGH);
    return true;
}

static void controller_unrealize(Device *d) { usb_bus_finish(&((TestController *)d)->bus); }
static void controller_pre_save(Device *d) { usb_bus_quiesce(&((TestController *)d)->bus); }
static const Field controller_fields[] = { { FO(TestController, bus), .role = FIELD_HOST }, { F(TestController, wakeups), .role = FIELD_HOST }, DEVICE_FIELDS_END };
static const DeviceType controller_type = { .name = "test-usb", .size = sizeof(TestController), .version = 1, .fields = controller_fields,
                                            .realize = controller_realize, .unrealize = controller_unrealize, .pre_save = controller_pre_save };

typedef struct Fixture {
    Machine *machine;
    Device *controller, *storage;
    UsbDevice *usb;
    BlkNode *disk;
} Fixture;

static UsbStatus control(Fixture *f, uint8_t type, uint8_t request, uint16_t value, uint16_t index, uint16_t length, uint8_t *data)
{
    unsigned actual;
    g_mutex_lock(f->usb->lock);
    UsbStatus status = usb_control(f->usb, &(UsbSetup){ type, request, value, index, length }, data, &actual);
    g_mutex_unlock(f->usb->lock);
    return status;
}

static void set_up(Fixture *f, const void *arg)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *tree = g_strdup_printf("driver=raw,file.driver=blkdebug,file.inject-error.0.iotype=read,file.inject-error.0.sector=%d,"
                                            "file.inject-error.0.errno=5,file.file.driver=memory,file.file.size=%d", BAD_SECTOR, SECTORS * 512);
    f->machine = test_machine();
    f->disk = blk_open_tree(tree, NULL, &err);
    g_assert_no_error(err);
    for (uint64_t n = 0; n < SECTORS; n++)
        g_assert_true(blk_write(f->disk, n * 512, &n, sizeof(n), NULL));
    machine_add_backend(f->machine, BACKEND_DRIVE, "d0", f->disk);
    f->controller = test_device(f->machine, &controller_type, NULL);
    f->storage = device_new(f->machine, &usb_storage_type, NULL, (const char *[]){ "drive", "d0", "serial", "S-7", NULL }, NULL);
    g_assert_true(device_plug(f->storage, NULL, NULL, &err));
    f->usb = (UsbDevice *)f->storage;
    device_reset(f->storage, RESET_COLD);
    g_assert_cmpint(control(f, 0, USB_SET_CONFIGURATION, 1, 0, 0, NULL), ==, USB_OK);
}

static void tear_down(Fixture *f, const void *arg)
{
    machine_destroy(f->machine);
    blk_close(f->disk);
}

/* ---- transfers */

/* As a controller does: again until there is an answer. */
static UsbStatus transfer(Fixture *f, uint8_t endpoint, void *data, unsigned n, unsigned *actual)
{
    UsbTransfer t = { .endpoint = endpoint, .data = data, .length = n };
    UsbStatus status = USB_NAK;
    for (unsigned i = 0; i < 300000 && status == USB_NAK; i++) {
        if (i)
            g_usleep(100);
        g_mutex_lock(f->usb->lock);
        status = usb_transfer(f->usb, &t);
        g_mutex_unlock(f->usb->lock);
    }
    *actual = t.actual;
    return status;
}

static void send_command(Fixture *f, const uint8_t *cdb, unsigned n, uint32_t expected, bool in)
{
    uint8_t w[31] = { 'U', 'S', 'B', 'C', 1, 2, 3, 4, expected, expected >> 8, expected >> 16, expected >> 24, in ? 0x80 : 0, 0, n };
    unsigned actual;
    memcpy(w + 15, cdb, n);
    g_assert_cmpint(transfer(f, OUT, w, sizeof(w), &actual), ==, USB_OK);
}

static void expect_status(Fixture *f, uint8_t code, uint32_t residue)
{
    uint8_t s[64];
    unsigned actual;
    uint32_t left;
    g_assert_cmpint(transfer(f, IN, s, sizeof(s), &actual), ==, USB_OK);
    g_assert_cmpmem(s, 8, "USBS\1\2\3\4", 8);
    memcpy(&left, s + 8, 4);
    g_assert_cmpuint(actual, ==, 13);
    g_assert_cmpuint(left, ==, residue);
    g_assert_cmpuint(s[12], ==, code);
}

/* In pieces of that size, up to a short one; returns the bytes. */
static unsigned receive(Fixture *f, uint8_t *to, unsigned n, unsigned piece)
{
    unsigned at = 0, actual = piece, wanted = piece;
    while (at < n && actual == wanted) {
        wanted = MIN(piece, n - at);
        g_assert_cmpint(transfer(f, IN, to + at, wanted, &actual), ==, USB_OK);
        at += actual;
    }
    return at;
}

static void give(Fixture *f, uint8_t *from, unsigned n, unsigned piece)
{
    for (unsigned at = 0, actual; at < n; at += actual) {
        g_assert_cmpint(transfer(f, OUT, from + at, MIN(piece, n - at), &actual), ==, USB_OK);
        g_assert_cmpuint(actual, ==, MIN(piece, n - at));
    }
}

#define CDB10(code, lba, n) ((const uint8_t[10]){ code, 0, (lba) >> 24, (lba) >> 16 & 0xff, (lba) >> 8 & 0xff, (lba) & 0xff, 0, (n) >> 8, (n) & 0xff, 0 })

static unsigned sense(Fixture *f)
{
    uint8_t data[18];
    send_command(f, (const uint8_t[6]){ 3, 0, 0, 0, 18 }, 6, 18, true);
    g_assert_cmpuint(receive(f, data, 18, 64), ==, 18);
    expect_status(f, PASSED, 0);
    return data[2] << 16 | data[12] << 8 | data[13];
}

/* ---- tests */

static void test_identity(Fixture *f, const void *arg)
{
    uint8_t data[64], lun = 0xff;
    g_assert_cmpint(control(f, 0xa1, 0xfe, 0, 0, 1, &lun), ==, USB_OK);
    g_assert_cmpuint(lun, ==, 0);
    g_assert_cmpint(control(f, 0x80, USB_GET_DESCRIPTOR, 0x200, 0, 64, data), ==, USB_OK);
    g_assert_cmpmem(data + 9 + 5, 3, "\x08\x06\x50", 3);
    g_assert_cmpuint(data[18 + 4] | data[18 + 5] << 8, ==, 512); /* at high speed */
    send_command(f, (const uint8_t[6]){ 0x12, 0, 0, 0, 36 }, 6, 64, true); /* less than the host has room for */
    g_assert_cmpuint(receive(f, data, 64, 64), ==, 36);
    expect_status(f, PASSED, 28);
    g_assert_cmpuint(data[1], ==, 0);
    send_command(f, CDB10(0x25, 0, 0), 10, 8, true);
    g_assert_cmpuint(receive(f, data, 8, 8), ==, 8);
    expect_status(f, PASSED, 0);
    g_assert_cmpmem(data, 8, "\0\0\x0f\xff\0\0\2\0", 8);
}

static void test_reads(Fixture *f, const void *arg)
{
    static const unsigned pieces[] = { 64, 512, 31 * 512, 200 * 512, 1 << 20 };
    g_autofree uint8_t *data = g_malloc(1000 * 512);
    for (unsigned i = 0; i < G_N_ELEMENTS(pieces); i++) {
        memset(data, 0xee, 1000 * 512);
        send_command(f, CDB10(0x28, 5 + i, 1000), 10, 1000 * 512, true);
        g_assert_cmpuint(receive(f, data, 1000 * 512, pieces[i]), ==, 1000 * 512);
        expect_status(f, PASSED, 0);
        for (uint64_t n = 0; n < 1000; n++)
            g_assert_cmpuint(*(uint64_t *)(data + n * 512), ==, 5 + i + n);
    }
}

static void test_writes(Fixture *f, const void *arg)
{
    static const unsigned pieces[] = { 64, 512, 200 * 512, 1 << 20 };
    g_autofree uint8_t *data = g_malloc(500 * 512), *back = g_malloc(500 * 512);
    for (unsigned i = 0; i < G_N_ELEMENTS(pieces); i++) {
        memset(data, 0x10 + i, 500 * 512);
        send_command(f, CDB10(0x2a, 7, 500), 10, 500 * 512, false);
        give(f, data, 500 * 512, pieces[i]);
        expect_status(f, PASSED, 0);
        g_assert_true(blk_read(f->disk, 7 * 512, back, 500 * 512, NULL));
        g_assert_cmpmem(back, 500 * 512, data, 500 * 512);
    }
    send_command(f, CDB10(0x35, 0, 0), 10, 0, false); /* SYNCHRONIZE CACHE */
    expect_status(f, PASSED, 0);
    static const uint8_t page[24] = { 0, 0, 0, 0, 8, 18 }; /* MODE SELECT: no write cache */
    send_command(f, (const uint8_t[6]){ 0x15, 0x10, 0, 0, 24 }, 6, 24, false);
    give(f, (uint8_t *)page, 24, 24);
    expect_status(f, PASSED, 0);
}

static void test_errors(Fixture *f, const void *arg)
{
    uint8_t data[8192];
    send_command(f, CDB10(0x28, SECTORS, 1), 10, 512, true); /* beyond the end */
    g_assert_cmpuint(receive(f, data, 512, 512), ==, 0);
    expect_status(f, FAILED, 512);
    g_assert_cmphex(sense(f), ==, 0x052100);
    send_command(f, CDB10(0x28, BAD_SECTOR - 8, 16), 10, 8192, true);
    g_assert_cmpuint(receive(f, data, 8192, 8192), ==, 0);
    expect_status(f, FAILED, 8192);
    g_assert_cmphex(sense(f), ==, 0x031100);
    send_command(f, (const uint8_t[6]){ 0x77 }, 6, 512, false); /* the host's data mean nothing */
    give(f, data, 512, 64);
    expect_status(f, FAILED, 512);
    g_assert_cmphex(sense(f), ==, 0x052000);
}

/* Host and device do not agree: BOT 6.7. */
static void test_phases(Fixture *f, const void *arg)
{
    uint8_t data[2048] = { 0 };
    send_command(f, CDB10(0x28, 1, 4), 10, 512, true); /* host < device */
    g_assert_cmpuint(receive(f, data, 512, 512), ==, 512);
    expect_status(f, PHASE_ERROR, 0);
    send_command(f, CDB10(0x28, 1, 1), 10, 2048, true); /* host > device */
    g_assert_cmpuint(receive(f, data, 2048, 2048), ==, 512);
    expect_status(f, PASSED, 1536);
    send_command(f, CDB10(0x28, 1, 1), 10, 0, true);
    expect_status(f, PHASE_ERROR, 0);
    send_command(f, CDB10(0x28, 1, 1), 10, 512, false); /* wrong way */
    give(f, data, 512, 512);
    expect_status(f, PHASE_ERROR, 512);
    send_command(f, CDB10(0x2a, 1, 1), 10, 512, true);
    g_assert_cmpuint(receive(f, data, 512, 512), ==, 0);
    expect_status(f, PHASE_ERROR, 512);
    send_command(f, CDB10(0x2a, 1, 1), 10, 1024, false);
    give(f, data, 1024, 64);
    expect_status(f, PASSED, 512);
}

static void test_reset(Fixture *f, const void *arg)
{
    uint8_t data[1024];
    unsigned actual;
    g_assert_cmpint(transfer(f, OUT, "not a wrapper, I fear", 21, &actual), ==, USB_STALL);
    g_assert_cmpint(transfer(f, IN, data, 13, &actual), ==, USB_STALL);
    g_assert_cmpint(control(f, 0x21, 0xff, 0, 0, 0, NULL), ==, USB_OK);
    g_assert_cmpint(control(f, 2, USB_CLEAR_FEATURE, 0, IN, 0, NULL), ==, USB_OK);
    g_assert_cmpint(control(f, 2, USB_CLEAR_FEATURE, 0, OUT, 0, NULL), ==, USB_OK);
    send_command(f, CDB10(0x28, 9, 2000), 10, 2000 * 512, true); /* in the middle of one, with a request under way */
    UsbTransfer t = { .endpoint = IN, .data = data, .length = 1024 };
    g_mutex_lock(f->usb->lock);
    usb_transfer(f->usb, &t);
    g_mutex_unlock(f->usb->lock);
    g_assert_cmpint(control(f, 0x21, 0xff, 0, 0, 0, NULL), ==, USB_OK);
    send_command(f, CDB10(0x28, 9, 2), 10, 1024, true);
    g_assert_cmpuint(receive(f, data, 1024, 1024), ==, 1024);
    expect_status(f, PASSED, 0);
    g_assert_cmpuint(*(uint64_t *)data, ==, 9);
}

static void save_and_load(Fixture *f)
{
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    g_assert_true(machine_save(f->machine, state, &err));
    device_reset(f->storage, RESET_COLD);
    machine_load(f->machine, state->data, state->len, &err);
    g_assert_no_error(err);
}

static void test_save(Fixture *f, const void *arg)
{
    g_autofree uint8_t *data = g_malloc(256 * 512), *back = g_malloc(256 * 512);
    send_command(f, CDB10(0x28, 20, 256), 10, 256 * 512, true);
    g_assert_cmpuint(receive(f, data, 100 * 64, 64), ==, 100 * 64); /* in the middle of a block */
    save_and_load(f);
    g_assert_cmpuint(receive(f, data + 6400, 256 * 512 - 6400, 4096), ==, 256 * 512 - 6400);
    expect_status(f, PASSED, 0);
    for (uint64_t n = 0; n < 256; n++)
        g_assert_cmpuint(*(uint64_t *)(data + n * 512), ==, 20 + n);
    memset(data, 0xa5, 256 * 512);
    send_command(f, CDB10(0x2a, 20, 256), 10, 256 * 512, false);
    give(f, data, 6400, 64);
    save_and_load(f);
    give(f, data + 6400, 256 * 512 - 6400, 4096);
    save_and_load(f);
    expect_status(f, PASSED, 0);
    g_assert_true(blk_read(f->disk, 20 * 512, back, 256 * 512, NULL));
    g_assert_cmpmem(back, 256 * 512, data, 256 * 512);
}

static void test_unplug(Fixture *f, const void *arg)
{
    uint8_t data[512];
    UsbTransfer t = { .endpoint = IN, .data = data, .length = 512 };
    send_command(f, CDB10(0x28, 9, 2000), 10, 2000 * 512, true);
    g_mutex_lock(f->usb->lock);
    usb_transfer(f->usb, &t);
    g_mutex_unlock(f->usb->lock);
    if (arg)
        device_destroy(f->controller); /* the stick stays behind */
    else
        device_destroy(f->storage);
}

#define ADD(name, fn, arg) g_test_add("/usb-storage/" name, Fixture, arg, set_up, fn, tear_down)
int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("identity", test_identity, NULL);
    ADD("read", test_reads, NULL);
    ADD("write", test_writes, NULL);
    ADD("errors", test_errors, NULL);
    ADD("phases", test_phases, NULL);
    ADD("reset", test_reset, NULL);
    ADD("save", test_save, NULL);
    ADD("unplug", test_unplug, NULL);
    ADD("controller-goes", test_unplug, "controller");
    return g_test_run();
}
