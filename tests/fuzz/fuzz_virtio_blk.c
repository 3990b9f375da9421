/* fuzz_virtio_blk.c - a virtio disk under any driver. */
#include "block/block.h"
#include "devices/virtio/virtio_blk.h"
#include "fuzz_virtio.h"

enum { DISK_BYTES = 1 << 20 };

/* A header with one of the types that there are or any, data wherever, and a status. */
static unsigned request(FuzzRig *r, FuzzInput *in, FuzzBuffer *ret, unsigned max)
{
    static const uint8_t types[] = { 0, 1, 4, 8, 11, 13, 0, 1 };
    uint8_t how = fuzz_take(in, 1);
    struct { uint32_t type, reserved; uint64_t sector; } header = { how & 0x80 ? fuzz_take(in, 4) : types[how & 7], 0, fuzz_take(in, 2) };
    bool to_guest = header.type == 0 || header.type == 8;
    unsigned pieces = (how >> 3 & 3) % (max - 1);
    dma_write(r->machine, FUZZ_VIRTIO_DATA, &header, sizeof(header));
    ret[0] = (FuzzBuffer){ FUZZ_VIRTIO_DATA, 16, false };
    for (unsigned i = 1; i <= pieces; i++)
        ret[i] = (FuzzBuffer){ FUZZ_VIRTIO_DATA + 0x1000 + fuzz_take(in, 2), how & 0x20 ? fuzz_take(in, 2) : 512 * (fuzz_take(in, 1) & 15), to_guest };
    ret[pieces + 1] = (FuzzBuffer){ FUZZ_VIRTIO_DATA + 32, how & 0x40 ? 1 : fuzz_take(in, 1) & 7, true };
    return pieces + 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const plain[] = { "drive", "disk", NULL };
    static const char *const odd[] = { "drive", "disk", "serial", "fuzz", "num-queues", "3", "logical_block_size", "4096",
                                       "physical_block_size", "4096", "write-cache", "off", "werror", "ignore", NULL };
    FuzzInput in = { data, size };
    FuzzRig r = fuzz_rig_create();
    BlkNode *disk = fuzz_add_image(&r, "disk", DISK_BYTES);
    bool many = fuzz_take(&in, 1) & 1;
    FuzzVirtio f = { .type = &virtio_blk_pci_type, .props = many ? odd : plain, .n_queues = many ? 3 : 1, .features = 0x7fff, .request = request };
    fuzz_virtio(&r, &in, &f);
    fuzz_rig_destroy(&r);
    blk_close(disk);
    return 0;
}
