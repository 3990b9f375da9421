/*
 * virtio_vga.c - virtio-gpu with a VGA beside it: firmware and boot loaders draw by the VGA, until a driver sets a scanout.
 *
 * BAR 0 is video memory, BAR 2 the registers of "VGA", BAR 1 MSI-X, BAR 4 virtio.
 */
#include "devices/display/display.h"
#include "devices/display/edid.h"
#include "devices/display/vga.h"
#include "devices/display/virtio_gpu.h"

enum { WINDOW_MEMORY, WINDOW_MSIX, WINDOW_VIRTIO, WINDOW_REGISTERS, WINDOW_LEGACY, WINDOW_PORTS, WINDOW_VBE };

typedef struct VirtioVga {
    VirtioGpu gpu;
    VgaPart part;
} VirtioVga;

VgaPart *virtio_vga_part(Device *d) { return &((VirtioVga *)d)->part; }

static bool realize(Device *d, GError **err)
{
    VirtioVga *p = (VirtioVga *)d;
    if (p->part.vgamem_mb & (p->part.vgamem_mb - 1))
        return error_set(err, ERR_INVALID, "%s: vgamem_mb is a power of 2, not %u", d->path, p->part.vgamem_mb);
    if (!vga_init(&p->part.vga, d, p->part.vgamem_mb, err))
        return false;
    p->gpu.vga = &p->part.vga;
    if (!virtio_gpu_realize(&p->gpu, err))
        return false;
    edid_fill(p->part.edid, p->gpu.xres, p->gpu.yres);
    p->part.has_edid = p->gpu.edid;
    p->part.vga.display = p->gpu.display[0];
    pci_set_bar_ram(&p->gpu.base.pci, WINDOW_MEMORY, p->part.vga.vram);
    return device_map(d, WINDOW_LEGACY, VGA_WINDOW_BASE, err) && device_map(d, WINDOW_PORTS, VGA_PORTS, err) &&
           device_map(d, WINDOW_VBE, VBE_PORTS, err);
}

static void unrealize(Device *d)
{
    virtio_gpu_unrealize(d);
    vga_finish(&virtio_vga_part(d)->vga);
}

static void reset(Device *d, ResetKind k)
{
    vga_reset(&virtio_vga_part(d)->vga);
    virtio_gpu_reset(d, k);
}

static bool post_load(Device *d, GError **err) { return vga_check(&virtio_vga_part(d)->vga, err) && virtio_gpu_post_load(d, err); }

static const Field fields[] = {
    VIRTIO_GPU_FIELDS(VirtioVga, gpu),
    { .name = "vga", .off = offsetof(VirtioVga, part.vga), .bytes = sizeof(Vga), .n = 1, .type = FT_STRUCT, .sub = vga_fields },
    { FN(VirtioVga, part.vgamem_mb, "vgamem_mb"), .role = FIELD_PROP, .reset = 8, .min = 1, .max = 256, .doc = "video memory of the VGA in MiB, a power of 2" },
    { FO(VirtioVga, part.edid), .role = FIELD_DERIVED },
    { F(VirtioVga, part.has_edid), .role = FIELD_DERIVED },
    DEVICE_FIELDS_END,
};
static const WindowOps virtio_ops = { virtio_modern_read, virtio_modern_write, .min = 1, .max = 4 };
static const WindowDecl windows[] = {
    [WINDOW_MEMORY] = { .name = "video memory", .space = SPACE_PCI_BAR, .size = 8 << 20, .ops = &pci_memory_window, .bar = 0, .bar_prefetch = true },
    [WINDOW_MSIX] = { .name = "msix", .space = SPACE_PCI_BAR, .size = 4096, .ops = &pci_msix_window, .bar = VIRTIO_PCI_MSIX_BAR },
    [WINDOW_VIRTIO] = { .name = "modern", .space = SPACE_PCI_BAR, .size = MODERN_BYTES, .ops = &virtio_ops, .bar = 4, .bar_64 = true, .bar_prefetch = true },
    [WINDOW_REGISTERS] = { .name = "registers", .space = SPACE_PCI_BAR, .size = VGA_REGISTER_BYTES, .ops = &vga_register_ops, .bar = 2 },
    [WINDOW_LEGACY] = { .name = "window", .space = SPACE_MMIO, .size = VGA_WINDOW_SIZE, .ops = &vga_legacy_ops },
    [WINDOW_PORTS] = { .name = "ports", .space = SPACE_PIO, .size = VGA_PORTS_SIZE, .ops = &vga_port_ops },
    [WINDOW_VBE] = { .name = "VBE", .space = SPACE_PIO, .size = VBE_PORTS_SIZE, .ops = &vga_vbe_ops },
    { .name = NULL },
};
static const PciInfo info = VIRTIO_PCI_INFO(0x1050, 0x030000, 3, .romfile = "vgabios-virtio.bin");

const DeviceType virtio_vga_type = {
    .name = "virtio-vga", .summary = "virtio display adapter (2D) with VGA", .spec = "Virtio 1.2, 5.7; IBM VGA; Bochs VBE display API",
    .size = sizeof(VirtioVga), .version = 1, .fields = fields, .windows = windows, .pci = &info,
    .realize = realize, .unrealize = unrealize, .reset = reset, .pre_save = virtio_gpu_pre_save, .post_load = post_load,
};
