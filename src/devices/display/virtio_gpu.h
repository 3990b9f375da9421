#pragma once
#include "console/display.h"
#include "devices/virtio/virtio_pci.h"
/*
 * virtio_gpu.h - a 2D display adapter for drivers that know it is virtual.  Virtio 1.2, section 5.7.
 *
 * The driver makes resources (pictures in host memory, limited by max_hostmem), fills them from its own memory, and shows a part
 * of one on a scanout.  virtio_gpu.c: the device and its commands; virtio_gpu_resource.c: resources; virtio_gpu_screen.c: scanouts
 * and cursors; virtio_vga.c: the same with a VGA beside it, for firmware and drivers that know no other.
 */
enum { GPU_SCANOUTS = 16, GPU_SIDE_MAX = 16384, GPU_PIECES_MAX = 16384 };
typedef enum GpuError { GPU_OK = 0x1100, GPU_FAILED = 0x1200, GPU_NO_MEMORY, GPU_NO_SCANOUT, GPU_NO_RESOURCE, GPU_NO_CONTEXT, GPU_BAD_PARAMETER } GpuError;

typedef struct GpuRect {
    uint32_t x, y, width, height;
} GpuRect;

/* A piece of the driver's memory behind a resource. */
typedef struct GpuPiece {
    uint64_t gpa, start; /* start: its first byte's place in the whole */
} GpuPiece;

typedef struct GpuResource {
    uint32_t id, width, height, format;
    uint32_t *pixels; /* in the driver's format */
    GpuPiece *piece;  /* n_pieces, and one more that ends the last */
    uint32_t n_pieces;
    uint64_t charge;  /* against max_hostmem */
    bool stale;       /* loaded: pixels are to be fetched again */
} GpuResource;

typedef struct GpuScanout {
    uint32_t resource; /* 0: dark */
    uint32_t x, y, width, height;
    uint32_t want_width, want_height; /* what the viewer's window or the user asks for */
    uint32_t cursor, hot_x, hot_y;    /* cursor: a resource */
} GpuScanout;

typedef struct Vga Vga;
typedef struct VirtioGpu VirtioGpu;
typedef struct GpuLook { /* what a display knows its adapter by */
    VirtioGpu *gpu;
    unsigned n;
    bool late; /* loaded, and not drawn yet */
} GpuLook;

struct VirtioGpu {
    VirtioPci base;
    uint32_t max_outputs, xres, yres;
    uint64_t max_hostmem;
    bool edid;
    uint32_t events;
    GpuScanout scanout[GPU_SCANOUTS];
    char *saved; /* resources, as saved */
    GHashTable *resources; /* by id */
    uint64_t hostmem;
    Display *display[GPU_SCANOUTS];
    GpuLook look[GPU_SCANOUTS];
    Vga *vga; /* virtio-vga's, else NULL */
};

extern const DeviceType virtio_gpu_pci_type, virtio_vga_type;
extern const Field virtio_gpu_scanout_fields[];

#define VIRTIO_GPU_FIELDS(T, m)                                                                                                                       \
    VIRTIO_PCI_FIELDS(T, m.base),                                                                                                                     \
    { FN(T, m.max_outputs, "max_outputs"), .role = FIELD_PROP, .reset = 1, .min = 1, .max = GPU_SCANOUTS, .doc = "screens" },                         \
    { FN(T, m.xres, "xres"), .role = FIELD_PROP, .reset = 1280, .min = 320, .max = 4096, .doc = "width that the first screen prefers" },              \
    { FN(T, m.yres, "yres"), .role = FIELD_PROP, .reset = 800, .min = 200, .max = 2560, .doc = "height that the first screen prefers" },              \
    { FN(T, m.max_hostmem, "max_hostmem"), .role = FIELD_PROP, .reset = 256 << 20, .min = 1 << 20, .max = 1ull << 34,                                 \
      .doc = "most host memory that the guest's pictures may take, in bytes" },                                                                       \
    { FN(T, m.edid, "edid"), .role = FIELD_PROP, .reset = 1, .doc = "whether monitors describe themselves" },                                         \
    { FN(T, m.events, "events"), .doc = "what the driver has not seen yet" },                                                                         \
    { FSA(T, m.scanout, virtio_gpu_scanout_fields), .doc = "screens" },                                                                               \
    { FN(T, m.saved, "resources"), .doc = "the driver's pictures" },                                                                                  \
    { FO(T, m.resources), .role = FIELD_HOST },                                                                                                       \
    { F(T, m.hostmem), .role = FIELD_HOST },                                                                                                          \
    { FO(T, m.display), .role = FIELD_HOST },                                                                                                         \
    { FO(T, m.look), .role = FIELD_HOST },                                                                                                            \
    { FO(T, m.vga), .role = FIELD_HOST }

/* The device, for the types that are one. */
bool virtio_gpu_realize(VirtioGpu *g, GError **err);
void virtio_gpu_unrealize(Device *d);
void virtio_gpu_reset(Device *d, ResetKind k);
void virtio_gpu_pre_save(Device *d);
bool virtio_gpu_post_load(Device *d, GError **err);

/* ---- virtio_gpu_resource.c */
void gpu_resources_clear(VirtioGpu *g);
GpuResource *gpu_resource(VirtioGpu *g, uint32_t id); /* NULL: there is none */
GpuError gpu_resource_create(VirtioGpu *g, uint32_t id, uint32_t format, uint32_t width, uint32_t height);
GpuError gpu_resource_destroy(VirtioGpu *g, uint32_t id);
/* entries: n of address (64 bits), length and padding (32 bits each), little-endian. */
GpuError gpu_resource_attach(VirtioGpu *g, uint32_t id, const uint8_t *entries, uint32_t n);
GpuError gpu_resource_detach(VirtioGpu *g, uint32_t id);
GpuError gpu_resource_fetch(VirtioGpu *g, uint32_t id, const GpuRect *r, uint64_t offset);
void gpu_resource_refresh(VirtioGpu *g, GpuResource *r); /* if it is stale */
/* One line of pixels as the screen has them. */
void gpu_convert(const GpuResource *r, uint32_t x, uint32_t y, uint32_t *to, uint32_t n, bool alpha);
char *gpu_resources_save(const VirtioGpu *g);
bool gpu_resources_load(VirtioGpu *g, const char *saved, GError **err);

/* ---- virtio_gpu_screen.c */
bool gpu_rect_inside(const GpuRect *r, uint32_t width, uint32_t height);
GpuError gpu_set_scanout(VirtioGpu *g, uint32_t n, uint32_t resource, const GpuRect *r);
GpuError gpu_flush(VirtioGpu *g, uint32_t resource, const GpuRect *r);
void gpu_resource_gone(VirtioGpu *g, uint32_t resource); /* scanouts that show it go dark */
void gpu_set_cursor(VirtioGpu *g, uint32_t n, uint32_t resource, uint32_t hot_x, uint32_t hot_y);
void gpu_screens_create(VirtioGpu *g);
void gpu_screens_destroy(VirtioGpu *g);
void gpu_screens_reset(VirtioGpu *g);
void gpu_screens_check(VirtioGpu *g); /* after loading */
void gpu_event(VirtioGpu *g);         /* the driver should ask for the screens again: virtio_gpu.c */
