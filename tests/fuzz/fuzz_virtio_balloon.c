/* fuzz_virtio_balloon.c - the balloon under any driver: page numbers, reports and statistics of any kind. */
#include "devices/virtio/virtio_balloon.h"
#include "fuzz_virtio.h"

static unsigned request(FuzzRig *r, FuzzInput *in, FuzzBuffer *ret, unsigned max)
{
    uint8_t how = fuzz_take(in, 1);
    uint32_t pfn[8];
    for (unsigned i = 0; i < G_N_ELEMENTS(pfn); i++)
        pfn[i] = how & 1 ? 0x80 + fuzz_take(in, 1) : fuzz_take(in, 4); /* most are in RAM, above the rings */
    dma_write(r->machine, FUZZ_VIRTIO_DATA, pfn, sizeof(pfn));
    ret[0] = (FuzzBuffer){ how & 2 ? FUZZ_VIRTIO_DATA + (fuzz_take(in, 2) << 4) : FUZZ_VIRTIO_DATA, 1 + fuzz_take(in, 2), how & 4 };
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const props[] = { "free-page-reporting", "on", "deflate-on-oom", "on", NULL };
    FuzzInput in = { data, size };
    FuzzRig r = fuzz_rig_create();
    FuzzVirtio f = { .type = &virtio_balloon_pci_type, .props = props, .n_queues = 4, .features = 0x36, .request = request };
    fuzz_virtio(&r, &in, &f);
    fuzz_rig_destroy(&r);
    return 0;
}
