#pragma once
#include "fuzz.h"
/*
 * fuzz_virtio.h - any driver of a virtio device with one queue or more: registers, rings, interrupts, saving.
 *
 * `request`, if not NULL, writes buffers that make a request of the device's own at FUZZ_VIRTIO_DATA; the chain from
 * descriptor 0 on is its.  It returns how many it made.
 */
enum { FUZZ_VIRTIO_DATA = 0x14000 };
typedef struct FuzzBuffer {
    uint64_t addr;
    uint32_t len;
    bool device_writes;
} FuzzBuffer;

typedef struct FuzzVirtio {
    const DeviceType *type;
    const char *const *props;
    unsigned n_queues;
    uint64_t features; /* for a start that accepts them */
    void (*plugged)(FuzzRig *r); /* optional: the device is there, and others may be plugged into it */
    unsigned (*request)(FuzzRig *r, FuzzInput *in, FuzzBuffer *ret, unsigned max);
} FuzzVirtio;

void fuzz_virtio(FuzzRig *r, FuzzInput *in, const FuzzVirtio *f); /* until the input ends */
