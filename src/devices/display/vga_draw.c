/*
 * vga_draw.c - graphics modes, and when there is anything to draw at all.
 *
 * A line is drawn again when one of its pages is dirty; a change of registers or palette draws everything.
 */
#include <string.h>

#include "devices/display/vga.h"

/* ---- colours */

uint32_t vga_colour(const Vga *v, unsigned index)
{
    const uint8_t *p = &v->palette[(index & v->dac_mask) * 3];
    if (v->vbe[VBE_ENABLE] & VBE_8BIT_DAC)
        return p[0] << 16 | p[1] << 8 | p[2];
    uint32_t c = 0;
    for (unsigned i = 0; i < 3; i++)
        c = c << 8 | p[i] << 2 | p[i] >> 4;
    return c;
}

uint32_t vga_colour16(const Vga *v, unsigned index)
{
    unsigned c = v->attr[index & 15], select = v->attr[ATTR_COLOUR_SELECT];
    c = v->attr[ATTR_MODE] & 0x80 ? (c & 0x0f) | (select & 0x0f) << 4 : (c & 0x3f) | (select & 0x0c) << 4;
    return vga_colour(v, c);
}

/* ---- how the picture lies in video memory */

typedef void DrawLine(const Vga *v, uint32_t *to, const uint8_t *from, unsigned width, const uint32_t *colours);

typedef struct GraphicsMode {
    unsigned width, height;  /* of the screen */
    unsigned repeat;         /* dots a pixel */
    uint64_t start, stride, line_bytes; /* bytes of video memory */
    unsigned doubled;        /* 1: each scan line twice */
    unsigned row_scans;      /* scan lines of a row, which show the same address */
    unsigned compare;        /* after this line the picture goes on at address 0 */
    DrawLine *draw;
    bool cga_13, cga_14;     /* scan line bits stand in for address bits (CR17) */
    unsigned cga_shift;
    uint32_t colours[256];
} GraphicsMode;

unsigned vga_lines(const Vga *v)
{
    uint8_t overflow = v->crtc[CRTC_OVERFLOW];
    return (v->crtc[CRTC_VERTICAL_END] | (overflow & 0x02) << 7 | (overflow & 0x40) << 3) + 1;
}

static unsigned line_compare(const Vga *v)
{
    return v->crtc[CRTC_LINE_COMPARE] | (v->crtc[CRTC_OVERFLOW] & 0x10) << 4 | (v->crtc[CRTC_MAX_SCAN] & 0x40) << 3;
}

/* ---- one line of each format */

static void draw_planar(const Vga *v, uint32_t *to, const uint8_t *from, unsigned width, const uint32_t *colours)
{
    for (unsigned x = 0; x < width; x++) {
        const uint8_t *p = from + x / 8 * 4;
        unsigned bit = 7 - x % 8, c = 0;
        for (unsigned plane = 0; plane < 4; plane++)
            c |= (p[plane] >> bit & 1) << plane;
        to[x] = colours[c & v->attr[ATTR_PLANES]];
    }
}

/* CGA's four colours: two bits a pixel, bytes in planes 0 and 1 by turns. */
static void draw_two_bits(const Vga *v, uint32_t *to, const uint8_t *from, unsigned width, const uint32_t *colours)
{
    for (unsigned x = 0; x < width; x++)
        to[x] = colours[(from[x / 8 * 4 + x / 4 % 2] >> (6 - x % 4 * 2) & 3) & v->attr[ATTR_PLANES]];
}

static void draw_8(const Vga *v, uint32_t *to, const uint8_t *from, unsigned width, const uint32_t *colours)
{
    for (unsigned x = 0; x < width; x++)
        to[x] = colours[from[x]];
}

static uint32_t wide(unsigned c, unsigned bits) { return (c << (8 - bits) | c >> (2 * bits - 8)) & 0xff; }

static void draw_15(const Vga *v, uint32_t *to, const uint8_t *from, unsigned width, const uint32_t *colours)
{
    for (unsigned x = 0; x < width; x++) {
        unsigned c = from[x * 2] | from[x * 2 + 1] << 8;
        to[x] = wide(c >> 10 & 31, 5) << 16 | wide(c >> 5 & 31, 5) << 8 | wide(c & 31, 5);
    }
}

static void draw_16(const Vga *v, uint32_t *to, const uint8_t *from, unsigned width, const uint32_t *colours)
{
    for (unsigned x = 0; x < width; x++) {
        unsigned c = from[x * 2] | from[x * 2 + 1] << 8;
        to[x] = wide(c >> 11, 5) << 16 | wide(c >> 5 & 63, 6) << 8 | wide(c & 31, 5);
    }
}

static void draw_24(const Vga *v, uint32_t *to, const uint8_t *from, unsigned width, const uint32_t *colours)
{
    for (unsigned x = 0; x < width; x++, from += 3)
        to[x] = from[0] | from[1] << 8 | from[2] << 16;
}

static void draw_32(const Vga *v, uint32_t *to, const uint8_t *from, unsigned width, const uint32_t *colours)
{
    for (unsigned x = 0; x < width; x++)
        to[x] = ((const uint32_t *)from)[x] & 0xffffff;
}

/* ---- modes */

static void vbe_mode(const Vga *v, GraphicsMode *g)
{
    static DrawLine *const by_bytes[] = { NULL, draw_8, draw_16, draw_24, draw_32 };
    unsigned bpp = v->vbe[VBE_BPP], bytes = (bpp + 7) / 8;
    unsigned factor = bpp == 4 ? 4 : 1;
    g->width = v->vbe[VBE_XRES];
    g->height = v->vbe[VBE_YRES];
    g->draw = bpp == 4 ? draw_planar : bpp == 15 ? draw_15 : by_bytes[bytes];
    g->stride = (uint64_t)vbe_stride(v) * factor;
    g->line_bytes = bpp == 4 ? g->width / 2 : g->width * bytes;
    g->start = v->vbe[VBE_Y_OFFSET] * g->stride + (bpp == 4 ? v->vbe[VBE_X_OFFSET] / 8 * 4 : v->vbe[VBE_X_OFFSET] * bytes);
    g->compare = UINT_MAX;
    for (unsigned i = 0; i < 256; i++)
        g->colours[i] = bpp == 4 ? vga_colour16(v, i & 15) : vga_colour(v, i);
}

static void classic_mode(const Vga *v, GraphicsMode *g)
{
    unsigned shift = v->gfx[GFX_MODE] >> 5 & 3;
    bool half_clock = v->seq[SEQ_CLOCKING] & 0x08;
    unsigned pixels = (v->crtc[CRTC_HORIZONTAL_END] + 1) * 8;
    g->height = vga_lines(v);
    g->repeat = shift >= 2 || half_clock ? 2 : 1;
    g->width = shift >= 2 ? pixels : pixels * g->repeat;
    g->draw = shift >= 2 ? draw_8 : shift == 1 ? draw_two_bits : draw_planar;
    g->stride = v->crtc[CRTC_OFFSET] * 8;
    g->line_bytes = shift >= 2 ? pixels / 2 : pixels / 2 + 4;
    g->start = (v->crtc[CRTC_START_HIGH] << 8 | v->crtc[CRTC_START_LOW]) * 4;
    g->doubled = v->crtc[CRTC_MAX_SCAN] >> 7;
    g->row_scans = (v->crtc[CRTC_MAX_SCAN] & 0x1f) + 1;
    g->cga_13 = !(v->crtc[CRTC_MODE] & 1);
    g->cga_14 = !(v->crtc[CRTC_MODE] & 2);
    g->cga_shift = v->crtc[CRTC_MODE] & 0x40 ? 13 : 12;
    g->compare = line_compare(v);
    for (unsigned i = 0; i < 256; i++)
        g->colours[i] = shift >= 2 ? vga_colour(v, i) : vga_colour16(v, i & 15);
}

/* ---- lines */

/* Where scan line y of the picture starts.  With CGA's addressing, the scan line within the row chooses a bank. */
static uint64_t line_start(const GraphicsMode *g, unsigned y)
{
    uint64_t start = y > g->compare ? 0 : g->start;
    unsigned line = (y > g->compare ? y - g->compare - 1 : y) >> g->doubled, scan = line % g->row_scans;
    uint64_t at = start + line / g->row_scans * g->stride;
    if (g->cga_13)
        at = (at & ~(4ull << g->cga_shift)) | (uint64_t)(scan & 1) << (g->cga_shift + 2);
    if (g->cga_14)
        at = (at & ~(8ull << g->cga_shift)) | (uint64_t)(scan >> 1 & 1) << (g->cga_shift + 3);
    return at;
}

static void draw_line(const Vga *v, const GraphicsMode *g, uint32_t *to, uint64_t at)
{
    unsigned n = g->width / g->repeat;
    g->draw(v, to, v->vram->host + at, n, g->colours);
    for (unsigned x = n; g->repeat == 2 && x-- > 0;)
        to[2 * x] = to[2 * x + 1] = to[x];
}

static void draw_lines(Vga *v, const GraphicsMode *g, Surface *s, bool all)
{
    for (unsigned y = 0; y < g->height; y++) {
        uint64_t at = line_start(g, y);
        if (at + g->line_bytes > v->vram->size) /* the picture goes round at the end of memory, which nothing relies on */
            continue;
        if (!all && !vga_dirty(v, at, g->line_bytes))
            continue;
        draw_line(v, g, surface_line(s, y), at);
        display_damage(v->display, 0, y, g->width, 1);
    }
}

void vga_draw_graphics(Vga *v, bool all)
{
    GraphicsMode g = { .repeat = 1, .row_scans = 1 };
    if (vga_vbe_on(v))
        vbe_mode(v, &g);
    else
        classic_mode(v, &g);
    Surface *s = display_draw(v->display, g.width, g.height);
    draw_lines(v, &g, s, all);
    display_done(v->display);
}

static void draw_nothing(Vga *v, bool all)
{
    Surface *s = display_draw(v->display, 640, 480);
    if (all) {
        memset(s->pixels, 0, (size_t)s->stride * s->height);
        display_damage(v->display, 0, 0, s->width, s->height);
    }
    display_done(v->display);
}

/* ---- what has changed */

bool vga_dirty(const Vga *v, uint64_t start, uint64_t n)
{
    uint64_t last = MIN(start + n, v->vram->size) - 1;
    for (uint64_t page = start / 4096; start < v->vram->size && page <= last / 4096; page++)
        if (v->dirty[page / 64] >> page % 64 & 1)
            return true;
    return false;
}

/* Notes registers and palette; true if they are others than at the last drawing.  The cursor's are for the text to see. */
static bool registers_changed(Vga *v)
{
    VgaLook now;
    memset(&now, 0, sizeof(now)); /* padding too */
    uint8_t *to = now.registers;
    to = mempcpy(to, v->seq, SEQ_REGS);
    to = mempcpy(to, v->crtc, CRTC_REGS);
    now.registers[SEQ_REGS + CRTC_CURSOR_HIGH] = now.registers[SEQ_REGS + CRTC_CURSOR_LOW] = 0;
    if (!vga_graphics(v)) /* scrolled text is compared cell by cell */
        now.registers[SEQ_REGS + CRTC_START_HIGH] = now.registers[SEQ_REGS + CRTC_START_LOW] = 0;
    to = mempcpy(to, v->gfx, GFX_REGS);
    to = mempcpy(to, v->attr, ATTR_REGS);
    now.registers[SEQ_REGS + CRTC_REGS + GFX_READ_MAP] = 0;
    *to++ = v->attr_index & ATTR_VIDEO_ON;
    *to = v->dac_mask;
    memcpy(now.vbe, v->vbe, sizeof(now.vbe));
    now.vbe[VBE_BANK] = 0;
    memcpy(now.palette, v->palette, sizeof(now.palette));
    bool changed = memcmp(&now, &v->drawn->look, sizeof(now)) || !v->drawn->valid;
    v->drawn->look = now;
    v->drawn->valid = true;
    return changed;
}

static void draw(Vga *v, bool all)
{
    enum { SCREEN_OFF = 0x20 };
    if (registers_changed(v))
        all = true;
    bool on = v->attr_index & ATTR_VIDEO_ON && !(v->seq[SEQ_CLOCKING] & SCREEN_OFF);
    if (vga_vbe_on(v) || (on && vga_graphics(v)))
        vga_draw_graphics(v, all);
    else if (!on || !vga_draw_text(v, all))
        draw_nothing(v, all);
}

void vga_update(void *opaque, bool all)
{
    Vga *v = opaque;
    uint64_t pages = v->vram->size / 4096;
    if (v->foreign)
        return;
    memset(v->dirty, 0, (pages + 63) / 64 * 8);
    if (!machine_take_dirty(v->dev->machine, v->vram, 0, pages, v->dirty, NULL))
        all = true; /* it cannot be told: draw everything */
    g_mutex_lock(&v->dev->lock);
    draw(v, all);
    g_mutex_unlock(&v->dev->lock);
}

const DisplaySource vga_source = { .update = vga_update };
