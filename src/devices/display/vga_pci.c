/*
 * vga_pci.c - the PCI adapter "VGA": Bochs' display, as QEMU's -vga std.  QEMU docs/specs/standard-vga.
 *
 * BAR 0 is video memory, BAR 2 registers: EDID at 0, the VGA's ports 3c0h to 3dfh at 400h, VBE's at 500h, byte order at 600h.
 * The legacy ports and the window at a0000h are always there.
 */
#include "devices/display/display.h"
#include "devices/display/edid.h"
#include "devices/display/vga.h"

enum { WINDOW_MEMORY, WINDOW_REGISTERS, WINDOW_LEGACY, WINDOW_PORTS, WINDOW_VBE };
enum { REG_PORTS = 0x400, REG_VBE = 0x500, REG_EXTENSION = 0x600, REG_BYTES = VGA_REGISTER_BYTES };
enum { EXTENSION_SIZE = 8, LITTLE_ENDIAN_GUEST = 0x1e1e1e1e };

typedef struct VgaPci {
    PciDevice pci;
    VgaPart part;
    uint32_t xres, yres;
    bool edid;
} VgaPci;

/* Two adapters have one: this and virtio-vga. */
static VgaPart *part_of(Device *d) { return d->type == &vga_pci_type ? &((VgaPci *)d)->part : virtio_vga_part(d); }
static Vga *vga(Device *d) { return &part_of(d)->vga; }

/* ---- legacy places */

static uint64_t window_read(Device *d, uint64_t off, unsigned size) { return vga_memory_read(vga(d), off); }
static void window_write(Device *d, uint64_t off, unsigned size, uint64_t value) { vga_memory_write(vga(d), off, value); }
static uint64_t port_read(Device *d, uint64_t off, unsigned size) { return vga_port_read(vga(d), VGA_PORTS + off); }
static void port_write(Device *d, uint64_t off, unsigned size, uint64_t value) { vga_port_write(vga(d), VGA_PORTS + off, value); }

/* 1ceh is the index, 1d0h (and 1cfh, which some drivers use) the data, both of 16 bits. */
static uint64_t vbe_port_read(Device *d, uint64_t off, unsigned size) { return off == 0 ? vga(d)->vbe_index : vbe_read(vga(d), vga(d)->vbe_index); }

static void vbe_port_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    if (off == 0)
        vga(d)->vbe_index = value;
    else
        vbe_write(vga(d), vga(d)->vbe_index, value);
}

/* ---- BAR 2 */

static uint64_t register_read(Device *d, uint64_t off, unsigned size)
{
    VgaPart *p = part_of(d);
    if (off < EDID_BYTES)
        return p->has_edid ? p->edid[off] : 0;
    if (off >= REG_PORTS && off < REG_PORTS + 0x20)
        return vga_port_read(&p->vga, 0x3c0 + off - REG_PORTS);
    if (off >= REG_VBE && off < REG_VBE + VBE_REGS * 2)
        return vbe_read(&p->vga, (off - REG_VBE) / 2) >> (off & 1) * 8;
    if (off >= REG_EXTENSION && off < REG_EXTENSION + EXTENSION_SIZE)
        return off < REG_EXTENSION + 4 ? EXTENSION_SIZE >> (off - REG_EXTENSION) * 8 : LITTLE_ENDIAN_GUEST & 0xff;
    return 0;
}

static void register_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    VgaPart *p = part_of(d);
    if (off >= REG_PORTS && off < REG_PORTS + 0x20)
        for (unsigned i = 0; i < size && off + i < REG_PORTS + 0x20; i++)
            vga_port_write(&p->vga, 0x3c0 + off + i - REG_PORTS, value >> i * 8);
    else if (off >= REG_VBE && off < REG_VBE + VBE_REGS * 2 && size == 2)
        vbe_write(&p->vga, (off - REG_VBE) / 2, value);
}

/* Reads of more than a byte are put together here, so that writes of 16 bits arrive whole. */
static uint64_t register_read_wide(Device *d, uint64_t off, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (register_read(d, off + i, 1) & 0xff) << i * 8;
    return value;
}

/* ---- the device */

static bool realize(Device *d, GError **err)
{
    VgaPci *p = (VgaPci *)d;
    if (p->part.vgamem_mb & (p->part.vgamem_mb - 1))
        return error_set(err, ERR_INVALID, "%s: vgamem_mb is a power of 2, not %u", d->path, p->part.vgamem_mb);
    if (!vga_init(&p->part.vga, d, p->part.vgamem_mb, err))
        return false;
    edid_fill(p->part.edid, p->xres, p->yres);
    p->part.has_edid = p->edid;
    pci_set_bar_ram(&p->pci, WINDOW_MEMORY, p->part.vga.vram);
    p->part.vga.display = display_create(d->machine->screens, d->path, &vga_source, &p->part.vga);
    return device_map(d, WINDOW_LEGACY, VGA_WINDOW_BASE, err) && device_map(d, WINDOW_PORTS, VGA_PORTS, err) &&
           device_map(d, WINDOW_VBE, VBE_PORTS, err);
}

static void unrealize(Device *d)
{
    VgaPci *p = (VgaPci *)d;
    g_clear_pointer(&p->part.vga.display, display_destroy);
    vga_finish(&p->part.vga);
}

static void reset(Device *d, ResetKind k) { vga_reset(vga(d)); }
static bool post_load(Device *d, GError **err) { return vga_check(vga(d), err); }

static const Field fields[] = {
    { .name = "vga", .off = offsetof(VgaPci, part.vga), .bytes = sizeof(Vga), .n = 1, .type = FT_STRUCT, .sub = vga_fields },
    { FN(VgaPci, part.vgamem_mb, "vgamem_mb"), .role = FIELD_PROP, .reset = 16, .min = 1, .max = 256, .doc = "video memory in MiB, a power of 2" },
    { F(VgaPci, xres), .role = FIELD_PROP, .reset = 1280, .min = 320, .max = 4096, .doc = "width that EDID prefers" },
    { F(VgaPci, yres), .role = FIELD_PROP, .reset = 800, .min = 200, .max = 2560, .doc = "height that EDID prefers" },
    { F(VgaPci, edid), .role = FIELD_PROP, .reset = 1, .doc = "whether the monitor describes itself" },
    { FO(VgaPci, part.edid), .role = FIELD_DERIVED },
    { F(VgaPci, part.has_edid), .role = FIELD_DERIVED },
    DEVICE_FIELDS_END,
};
const WindowOps vga_legacy_ops = { window_read, window_write, 1, 1 }, vga_port_ops = { port_read, port_write, 1, 1 };
const WindowOps vga_vbe_ops = { vbe_port_read, vbe_port_write, 1, 2 }, vga_register_ops = { register_read_wide, register_write, 1, 4 };
static const WindowDecl windows[] = {
    [WINDOW_MEMORY] = { .name = "video memory", .space = SPACE_PCI_BAR, .size = 16 << 20, .ops = &pci_memory_window, .bar = 0, .bar_prefetch = true },
    [WINDOW_REGISTERS] = { .name = "registers", .space = SPACE_PCI_BAR, .size = REG_BYTES, .ops = &vga_register_ops, .bar = 2 },
    [WINDOW_LEGACY] = { .name = "window", .space = SPACE_MMIO, .size = VGA_WINDOW_SIZE, .ops = &vga_legacy_ops },
    [WINDOW_PORTS] = { .name = "ports", .space = SPACE_PIO, .size = VGA_PORTS_SIZE, .ops = &vga_port_ops },
    [WINDOW_VBE] = { .name = "VBE", .space = SPACE_PIO, .size = VBE_PORTS_SIZE, .ops = &vga_vbe_ops },
    { .name = NULL },
};
static const PciInfo info = { .vendor = 0x1234, .device = 0x1111, .subsystem_vendor = 0x1af4, .subsystem = 0x1100, .class_code = 0x030000,
                              .revision = 2, .romfile = "vgabios-stdvga.bin" };

const DeviceType vga_pci_type = {
    .name = "VGA", .summary = "VGA with Bochs VBE", .spec = "IBM VGA; Bochs VBE display API", .size = sizeof(VgaPci), .version = 1,
    .fields = fields, .windows = windows, .pci = &info,
    .realize = realize, .unrealize = unrealize, .reset = reset, .post_load = post_load,
};
