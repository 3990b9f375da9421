/* fuzz_virtio_serial.c - the virtio serial controller with a console and a port, under any driver and any control messages. */
#include "devices/virtio/virtio_serial.h"
#include "fuzz_virtio.h"

/* A control message about some port, or data. */
static unsigned request(FuzzRig *r, FuzzInput *in, FuzzBuffer *ret, unsigned max)
{
    uint8_t how = fuzz_take(in, 1);
    uint32_t message[2] = { how & 1 ? fuzz_take(in, 1) % 4 : fuzz_take(in, 4), (uint32_t)(fuzz_take(in, 1) % 9 | (fuzz_take(in, 1) & 1) << 16) };
    dma_write(r->machine, FUZZ_VIRTIO_DATA, message, sizeof(message));
    ret[0] = (FuzzBuffer){ FUZZ_VIRTIO_DATA, how & 2 ? 8 : 1 + fuzz_take(in, 2) % 0x4000, how & 4 };
    return 1;
}

static Chardev *console, *port;

static void add_port(const DeviceType *t, FuzzRig *r, const char *chardev)
{
    Device *d = device_new(r->machine, t, NULL, (const char *[]){ "chardev", chardev, "name", chardev, NULL }, NULL);
    g_assert_true(device_plug(d, NULL, NULL, NULL));
}

static void add_ports(FuzzRig *r)
{
    add_port(&virtconsole_type, r, "a");
    add_port(&virtserialport_type, r, "b");
    chardev_memory_feed(port, (const uint8_t *)"what waits for a driver that opens it", 37);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    FuzzRig r = fuzz_rig_create();
    console = chardev_open("a", "memory", NULL);
    port = chardev_open("b", "memory", NULL);
    machine_add_backend(r.machine, BACKEND_CHARDEV, "a", console);
    machine_add_backend(r.machine, BACKEND_CHARDEV, "b", port);
    FuzzVirtio f = { .type = &virtio_serial_pci_type, .n_queues = 6, .features = 6, .request = request, .plugged = add_ports };
    fuzz_virtio(&r, &in, &f);
    fuzz_rig_destroy(&r);
    chardev_close(console);
    chardev_close(port);
    return 0;
}
