/* fuzz_virtio_gpu.c - virtio-vga under any driver: rings, pictures, screens and cursors; somebody looks at it. */
#include "console/display.h"
#include "devices/display/display.h"
#include "fuzz_virtio.h"

enum { MEMORY = 0x20000, ANSWER = 0x18000 };

/* A command that is right but for what the input says: small ids and sides, so that they meet. */
static unsigned request(FuzzRig *r, FuzzInput *in, FuzzBuffer *ret, unsigned max)
{
    static const uint16_t types[] = { 0x100, 0x101, 0x101, 0x102, 0x103, 0x103, 0x104, 0x105, 0x105, 0x106, 0x106, 0x107, 0x10a, 0x300, 0x300, 0x301 };
    uint8_t how = fuzz_take(in, 1);
    uint32_t w[64] = { types[how & 15], how >> 4 & 1 }, type = w[0], id = fuzz_take(in, 1) & 3;
    uint32_t bytes = 24 + (fuzz_take(in, 1) & 0x3f) + 40;
    for (unsigned i = 6; i < 20; i++)
        w[i] = fuzz_take(in, 1);
    if (type == 0x101) {
        w[6] = id;
        w[7] = how & 0x80 ? w[7] : 1 + (w[7] & 3);
    } else if (type == 0x106) {
        w[6] = id;
        w[7] &= 3;
        for (unsigned i = 0; i < 3; i++) {
            w[8 + i * 4] = MEMORY + w[8 + i * 4] * 64;
            w[9 + i * 4] = how & 0x80 ? w[9 + i * 4] : 0;
            w[10 + i * 4] *= 256;
        }
        bytes = 24 + 8 + 48;
    } else {
        w[type == 0x103 ? 11 : type == 0x105 ? 12 : type >= 0x300 || type == 0x104 ? 10 : 6] = id;
    }
    if (how & 0x40)
        w[6 + fuzz_take(in, 1) % 14] = fuzz_take(in, 4);
    dma_write(r->machine, FUZZ_VIRTIO_DATA, w, sizeof(w));
    ret[0] = (FuzzBuffer){ FUZZ_VIRTIO_DATA, MIN(bytes, sizeof(w)), false };
    ret[1] = (FuzzBuffer){ ANSWER, how & 0x20 ? fuzz_take(in, 1) + 1 : 2048, true };
    Surface *s = display_snapshot(screens_nth(r->machine->screens, how & 1));
    surface_destroy(s);
    display_resize_hint(screens_nth(r->machine->screens, 0), w[19] * 16, w[18] * 16);
    return 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const props[] = { "max_outputs", "2", "max_hostmem", "2M", "rombar", "off", "vgamem_mb", "1", NULL };
    FuzzInput in = { data, size };
    FuzzRig r = fuzz_rig_create();
    Screens *screens = r.machine->screens = screens_create();
    FuzzVirtio f = { .type = &virtio_vga_type, .props = props, .n_queues = 2, .features = 1 << 1, .request = request };
    fuzz_virtio(&r, &in, &f);
    fuzz_rig_destroy(&r);
    screens_destroy(screens);
    return 0;
}
