/* vga.c - the life of a VGA: its memory, its picture, its state. */
#include "devices/display/vga.h"

#include <string.h>

const Field vga_fields[] = {
    { F(Vga, misc), .doc = "miscellaneous output" },
    { F(Vga, feature) },
    { F(Vga, seq_index) }, { F(Vga, crtc_index) }, { F(Vga, gfx_index) }, { F(Vga, attr_index) },
    { FA(Vga, seq), .doc = "sequencer" },
    { FA(Vga, crtc), .doc = "CRT controller" },
    { FA(Vga, gfx), .doc = "graphics controller" },
    { FA(Vga, attr), .doc = "attribute controller" },
    { F(Vga, attr_data), .doc = "port 3c0h takes data next" },
    { F(Vga, dac_read_index) }, { F(Vga, dac_write_index) }, { F(Vga, dac_component) },
    { F(Vga, dac_mask), .reset = 0xff },
    { F(Vga, dac_state) },
    { FA(Vga, dac_latch) },
    { FA(Vga, palette) },
    { F(Vga, latch), .doc = "latches of the four planes" },
    { F(Vga, vbe_index) },
    { FA(Vga, vbe), .doc = "Bochs VBE registers" },
    { FO(Vga, dev), .role = FIELD_HOST },
    { FO(Vga, vram), .role = FIELD_HOST },
    { FO(Vga, display), .role = FIELD_HOST },
    { FO(Vga, drawn), .role = FIELD_HOST },
    { FO(Vga, dirty), .role = FIELD_HOST },
    { F(Vga, foreign), .doc = "another part of the adapter owns the screen" },
    { .name = NULL },
};

bool vga_init(Vga *v, Device *dev, unsigned mib, GError **err)
{
    v->dev = dev;
    if (!(v->vram = machine_create_ram(dev->machine, "video memory", (uint64_t)mib << 20, err)))
        return false;
    v->drawn = g_new0(VgaDrawn, 1);
    v->dirty = g_new0(uint64_t, (v->vram->size / 4096 + 63) / 64);
    return true;
}

void vga_finish(Vga *v)
{
    g_clear_pointer(&v->vram, machine_release_ram);
    g_clear_pointer(&v->drawn, g_free);
    g_clear_pointer(&v->dirty, g_free);
}

void vga_reset(Vga *v)
{
    v->vbe[VBE_ID] = 0xb0c5;
    v->drawn->valid = false;
}

bool vga_check(Vga *v, GError **err)
{
    bool ok = v->seq_index < SEQ_REGS && v->crtc_index < CRTC_REGS && v->gfx_index < GFX_REGS && v->dac_component < 3;
    if (!ok)
        return error_set(err, ERR_INVALID, "%s: saved state has an impossible register index", v->dev->path);
    v->drawn->valid = false;
    vbe_normalize(v);
    return true;
}
