/* fuzz_virtio_rng.c - virtio's registers and rings under any driver. */
#include "devices/virtio/virtio_rng.h"
#include "fuzz_virtio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const limited[] = { "max-bytes", "1000", "period", "1", NULL };
    FuzzInput in = { data, size };
    FuzzRig r = fuzz_rig_create();
    FuzzVirtio f = { .type = &virtio_rng_pci_type, .props = fuzz_take(&in, 1) & 1 ? limited : NULL, .n_queues = 1 };
    fuzz_virtio(&r, &in, &f);
    fuzz_rig_destroy(&r);
    return 0;
}
