/*
 * vga_memory.c - the window at a0000h: latches, write modes and the ways from an address to a plane.
 *
 * PS/2 Hardware Interface Technical Reference, "Video Subsystem", "Graphics Controller".  Planes stand interleaved in video
 * memory (vga.h), so four latches are one 32-bit word, and a mask of planes becomes one of bytes.
 */
#include "devices/display/vga.h"

enum { CHAIN4 = 0x08, ODD_EVEN = 0x10, READ_COMPARE = 0x08, MAP_64K = 0x10000, MAP_32K = 0x8000 };

/* A mask of four planes as one of four bytes. */
static uint32_t planes(unsigned mask)
{
    return (mask & 1 ? 0xffu : 0) | (mask & 2 ? 0xff00u : 0) | (mask & 4 ? 0xff0000u : 0) | (mask & 8 ? 0xff000000u : 0);
}

static uint32_t *word(Vga *v, uint32_t n) { return (uint32_t *)v->vram->host + n; }

/* The part of the window that the map register shows; false: this address is outside. */
static bool locate(const Vga *v, uint32_t *off)
{
    switch (v->gfx[GFX_MISC] >> 2 & 3) {
    case 0:
        return true;
    case 1:
        return *off < MAP_64K;
    case 2:
        *off -= 0x10000;
        return *off < MAP_32K;
    default:
        *off -= 0x18000;
        return *off < MAP_32K;
    }
}

/* VBE's banks are of 64 KiB of video memory: in planar modes of each plane. */
static bool find(const Vga *v, uint32_t *off)
{
    if (!vga_vbe_on(v))
        return locate(v, off);
    if (*off >= MAP_64K)
        return false;
    *off += v->vbe[VBE_BANK] * (uint32_t)MAP_64K;
    return true;
}

static bool linear(const Vga *v) { return vga_vbe_on(v) ? v->vbe[VBE_BPP] > 4 : v->seq[SEQ_MEMORY_MODE] & CHAIN4; }

/* ---- reading */

static uint8_t read_planar(Vga *v, uint32_t n)
{
    if ((n + 1) * 4ull > v->vram->size)
        return 0xff;
    v->latch = *word(v, n);
    if (!(v->gfx[GFX_MODE] & READ_COMPARE))
        return v->latch >> (v->gfx[GFX_READ_MAP] & 3) * 8;
    uint32_t differs = (v->latch ^ planes(v->gfx[GFX_COMPARE])) & planes(v->gfx[GFX_DONT_CARE]);
    differs |= differs >> 16;
    return ~(differs | differs >> 8);
}

uint8_t vga_memory_read(Vga *v, uint32_t off)
{
    if (!find(v, &off))
        return 0xff;
    if (linear(v))
        return off < v->vram->size ? v->vram->host[off] : 0xff;
    if (v->gfx[GFX_MODE] & ODD_EVEN) {
        uint32_t at = (off & ~1u) << 1 | (v->gfx[GFX_READ_MAP] & 2) | (off & 1);
        return at < v->vram->size ? v->vram->host[at] : 0xff;
    }
    return read_planar(v, off);
}

/* ---- writing */

static void write_byte(Vga *v, uint32_t at, uint8_t value)
{
    if (at >= v->vram->size)
        return;
    v->vram->host[at] = value;
    vga_mark(v, at);
}

static uint32_t rotate(const Vga *v, uint8_t value)
{
    unsigned n = v->gfx[GFX_ROTATE] & 7;
    return (value >> n | value << (8 - n)) & 0xff;
}

/* What the ALU makes of the data and the latches, where the bit mask lets it through. */
static uint32_t combine(const Vga *v, uint32_t data, uint32_t mask)
{
    switch (v->gfx[GFX_ROTATE] >> 3 & 3) {
    case 1:
        data &= v->latch;
        break;
    case 2:
        data |= v->latch;
        break;
    case 3:
        data ^= v->latch;
        break;
    }
    return (data & mask) | (v->latch & ~mask);
}

static uint32_t planar_value(const Vga *v, uint8_t value)
{
    uint32_t mask = v->gfx[GFX_BIT_MASK] * 0x01010101u, data;
    switch (v->gfx[GFX_MODE] & 3) {
    case 0:
        data = rotate(v, value) * 0x01010101u;
        uint32_t set = planes(v->gfx[GFX_ENABLE_SET_RESET]);
        return combine(v, (data & ~set) | (planes(v->gfx[GFX_SET_RESET]) & set), mask);
    case 1:
        return v->latch;
    case 2:
        return combine(v, planes(value & 0xf), mask);
    default:
        return combine(v, planes(v->gfx[GFX_SET_RESET]), mask & rotate(v, value) * 0x01010101u);
    }
}

static void write_planar(Vga *v, uint32_t n, uint8_t value)
{
    if ((n + 1) * 4ull > v->vram->size)
        return;
    uint32_t map = planes(v->seq[SEQ_MAP_MASK]);
    *word(v, n) = (*word(v, n) & ~map) | (planar_value(v, value) & map);
    vga_mark(v, n * 4);
}

void vga_memory_write(Vga *v, uint32_t off, uint8_t value)
{
    if (!find(v, &off))
        return;
    if (linear(v)) {
        if (vga_vbe_on(v) || v->seq[SEQ_MAP_MASK] >> (off & 3) & 1)
            write_byte(v, off, value);
    } else if (v->gfx[GFX_MODE] & ODD_EVEN) {
        for (unsigned plane = off & 1; plane < 4; plane += 2)
            if (v->seq[SEQ_MAP_MASK] >> plane & 1)
                write_byte(v, (off & ~1u) << 1 | plane, value);
    } else {
        write_planar(v, off, value);
    }
}
