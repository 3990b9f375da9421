/* fuzz_virtio_scsi.c - the virtio SCSI adapter with a disk and a CD-ROM drive, under any driver and any commands. */
#include "devices/storage/scsi_bus.h"
#include "devices/virtio/virtio_scsi.h"
#include "fuzz_virtio.h"

enum { DISK_BYTES = 1 << 20, CD_BYTES = 200 * 2048, REQUEST_BYTES = 51, RESPONSE_BYTES = 108 };

/* One of the commands that there are or any, to one of the units, with data in a direction. */
static unsigned request(FuzzRig *r, FuzzInput *in, FuzzBuffer *ret, unsigned max)
{
    static const uint8_t codes[] = { 0x00, 0x03, 0x12, 0x15, 0x1a, 0x1b, 0x25, 0x28, 0x2a, 0x35, 0x41, 0x42, 0x43, 0x46, 0x4a,
                                     0x51, 0x55, 0x5a, 0x88, 0x8a, 0x8f, 0x93, 0x9e, 0xa0, 0xa8, 0xaa, 0xbd, 0xbe };
    uint8_t how = fuzz_take(in, 1), header[REQUEST_BYTES] = { 1, how & 1, 0x40, 0 };
    header[19] = how & 2 ? fuzz_take(in, 1) : codes[fuzz_take(in, 1) % sizeof(codes)];
    for (unsigned i = 20; i < 36; i++)
        header[i] = fuzz_take(in, 1) & (how & 4 ? 0xff : 0x1f) & (i < 24 ? 0x3 : 0xff);
    dma_write(r->machine, FUZZ_VIRTIO_DATA, header, sizeof(header));
    FuzzBuffer data = { FUZZ_VIRTIO_DATA + 0x1000 + fuzz_take(in, 2) % 0x8000, 1 + fuzz_take(in, 2) % 0x8000, how & 8 };
    ret[0] = (FuzzBuffer){ FUZZ_VIRTIO_DATA, REQUEST_BYTES, false };
    ret[1] = how & 8 ? (FuzzBuffer){ FUZZ_VIRTIO_DATA + 0x200, RESPONSE_BYTES, true } : data;
    ret[2] = how & 8 ? data : (FuzzBuffer){ FUZZ_VIRTIO_DATA + 0x200, RESPONSE_BYTES, true };
    return 3;
}

static void add_unit(FuzzRig *r, const DeviceType *t, const char *drive)
{
    Device *d = device_new(r->machine, t, NULL, (const char *[]){ "drive", drive, NULL }, NULL);
    g_assert_true(device_plug(d, NULL, NULL, NULL));
}

static void add_units(FuzzRig *r)
{
    add_unit(r, &scsi_hd_type, "disk");
    add_unit(r, &scsi_cd_type, "cd");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    FuzzRig r = fuzz_rig_create();
    BlkNode *disk = fuzz_add_image(&r, "disk", DISK_BYTES), *cd = fuzz_add_image(&r, "cd", CD_BYTES);
    FuzzVirtio f = { .type = &virtio_scsi_pci_type, .n_queues = 3, .features = 7, .request = request, .plugged = add_units };
    fuzz_virtio(&r, &in, &f);
    fuzz_rig_destroy(&r);
    blk_close(disk);
    blk_close(cd);
    return 0;
}
