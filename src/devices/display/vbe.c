/*
 * vbe.c - Bochs' display interface: linear modes by eleven registers.  Bochs, vbe_display_api.txt; QEMU docs/specs/standard-vga.
 */
#include <string.h>

#include "devices/display/vga.h"

enum { VBE_ID_FIRST = 0xb0c0, VBE_ID_LAST = 0xb0c5, MAX_XRES = 5120, MAX_YRES = 2880, MAX_BPP = 32, BANK_BYTES = 65536 };

unsigned vbe_stride(const Vga *v)
{
    unsigned bpp = v->vbe[VBE_BPP], width = v->vbe[VBE_VIRT_WIDTH];
    return bpp == 4 ? width / 8 : width * ((bpp + 7) / 8); /* four bits: bytes of each plane */
}

static uint64_t plane_bytes(const Vga *v) { return v->vbe[VBE_BPP] == 4 ? v->vram->size / 4 : v->vram->size; }

/* Brings size and offsets to what video memory can hold.  The virtual width is what lines are apart by. */
static void fix(Vga *v)
{
    uint16_t *r = v->vbe;
    static const uint8_t depths[] = { 4, 8, 15, 16, 24, 32 };
    if (r[VBE_BPP] > MAX_BPP || !memchr(depths, r[VBE_BPP], sizeof(depths))) /* memchr() looks at a byte only */
        r[VBE_BPP] = 8;
    r[VBE_XRES] = CLAMP(r[VBE_XRES] & ~7, 8, MAX_XRES);
    r[VBE_VIRT_WIDTH] = CLAMP(r[VBE_VIRT_WIDTH] & ~7, r[VBE_XRES], 2 * MAX_XRES);
    uint64_t lines = plane_bytes(v) / vbe_stride(v);
    r[VBE_YRES] = CLAMP(r[VBE_YRES], 1, MIN(lines, MAX_YRES));
    r[VBE_VIRT_HEIGHT] = MIN(lines, UINT16_MAX);
    r[VBE_X_OFFSET] = MIN(r[VBE_X_OFFSET], r[VBE_VIRT_WIDTH] - r[VBE_XRES]);
    r[VBE_Y_OFFSET] = MIN(r[VBE_Y_OFFSET], r[VBE_VIRT_HEIGHT] - r[VBE_YRES]);
}

void vbe_normalize(Vga *v)
{
    if (vga_vbe_on(v))
        fix(v);
    v->vbe[VBE_BANK] = MIN(v->vbe[VBE_BANK], plane_bytes(v) / BANK_BYTES - 1);
}

static void clear(Vga *v)
{
    uint64_t bytes = (uint64_t)vbe_stride(v) * v->vbe[VBE_YRES] * (v->vbe[VBE_BPP] == 4 ? 4 : 1);
    bytes = MIN(bytes, v->vram->size);
    memset(v->vram->host, 0, bytes);
    for (uint64_t at = 0; at < bytes; at += 4096)
        vga_mark(v, at);
}

static void enable(Vga *v, uint16_t value)
{
    bool was = vga_vbe_on(v);
    uint16_t changed = v->vbe[VBE_ENABLE] ^ value;
    v->vbe[VBE_ENABLE] = value & (VBE_ENABLED | VBE_GETCAPS | VBE_8BIT_DAC | VBE_LFB | VBE_NOCLEAR);
    if (changed & VBE_8BIT_DAC)
        for (unsigned i = 0; i < VGA_PALETTE; i++)
            v->palette[i] = value & VBE_8BIT_DAC ? v->palette[i] << 2 : v->palette[i] >> 2;
    v->vbe[VBE_BANK] = 0;
    if (!(value & VBE_ENABLED) || was)
        return;
    v->vbe[VBE_VIRT_WIDTH] = v->vbe[VBE_XRES];
    v->vbe[VBE_X_OFFSET] = v->vbe[VBE_Y_OFFSET] = 0;
    fix(v);
    if (!(value & VBE_NOCLEAR))
        clear(v);
}

uint16_t vbe_read(Vga *v, unsigned index)
{
    static const uint16_t most[] = { [VBE_XRES] = MAX_XRES, [VBE_YRES] = MAX_YRES, [VBE_BPP] = MAX_BPP };
    if (index == VBE_MEMORY_64K)
        return v->vram->size / BANK_BYTES;
    if (index >= VBE_XRES && index <= VBE_BPP && v->vbe[VBE_ENABLE] & VBE_GETCAPS)
        return most[index];
    return index < VBE_REGS ? v->vbe[index] : 0;
}

void vbe_write(Vga *v, unsigned index, uint16_t value)
{
    switch (index) {
    case VBE_ID:
        if (value >= VBE_ID_FIRST && value <= VBE_ID_LAST)
            v->vbe[VBE_ID] = value;
        break;
    case VBE_ENABLE:
        enable(v, value);
        break;
    case VBE_BANK:
        v->vbe[VBE_BANK] = MIN(value, plane_bytes(v) / BANK_BYTES - 1);
        break;
    case VBE_XRES:
    case VBE_YRES:
    case VBE_BPP:
        if (!vga_vbe_on(v)) /* a mode is set while it is off */
            v->vbe[index] = value;
        break;
    case VBE_VIRT_WIDTH:
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
        v->vbe[index] = value;
        if (vga_vbe_on(v))
            fix(v);
        break;
    }
}
