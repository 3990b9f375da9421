/* vga_text.c - text modes: cells of a character and its attribute, and fonts in plane 2.  Cells are redrawn where they differ. */
#include <string.h>

#include "devices/display/vga.h"

enum { DOTS_8 = 0x01, HALF_CLOCK = 0x08, LINE_GRAPHICS = 0x04, BLINK = 0x08, CURSOR_OFF = 0x20, FONT_BYTES = 8192, FONT_STEP = 32 };
enum { CELL_CURSOR = 1u << 16, CELL_SECOND_FONT = 1u << 17 };

typedef struct TextMode {
    unsigned columns, rows, width, height; /* of the screen in cells, of a cell in dots */
    unsigned double_width;
    uint32_t start, stride;                /* in words of video memory */
    uint32_t font[2];                      /* byte of plane 2; attribute bit 3 chooses */
    uint32_t cursor;                       /* word; UINT32_MAX: off */
    uint32_t colours[16];
    bool two_fonts;
} TextMode;

/* Bits 4, 1-0 for font B (attribute bit 3 clear) and 5, 3-2 for A: the 16 KiB block, and the half (PS/2 TR, Character Map Select). */
static uint32_t font_at(unsigned low2, unsigned high1) { return low2 * 2 * FONT_BYTES + high1 * FONT_BYTES; }

static void read_mode(const Vga *v, TextMode *t)
{
    uint8_t select = v->seq[SEQ_FONT];
    t->height = (v->crtc[CRTC_MAX_SCAN] & 0x1f) + 1;
    t->width = v->seq[SEQ_CLOCKING] & DOTS_8 ? 8 : 9;
    t->double_width = v->seq[SEQ_CLOCKING] & HALF_CLOCK ? 2 : 1;
    t->columns = v->crtc[CRTC_HORIZONTAL_END] + 1;
    t->rows = MAX(vga_lines(v) / t->height, 1);
    if (v->crtc[CRTC_MAX_SCAN] & 0x80)
        t->rows = MAX(t->rows / 2, 1);
    t->rows = MIN(t->rows, VGA_TEXT_ROWS);
    t->start = v->crtc[CRTC_START_HIGH] << 8 | v->crtc[CRTC_START_LOW];
    t->stride = v->crtc[CRTC_OFFSET] * 2;
    t->font[0] = font_at(select & 3, select >> 4 & 1);
    t->font[1] = font_at(select >> 2 & 3, select >> 5 & 1);
    t->two_fonts = t->font[0] != t->font[1];
    t->cursor = v->crtc[CRTC_CURSOR_START] & CURSOR_OFF ? UINT32_MAX : (uint32_t)(v->crtc[CRTC_CURSOR_HIGH] << 8 | v->crtc[CRTC_CURSOR_LOW]);
    for (unsigned i = 0; i < 16; i++)
        t->colours[i] = vga_colour16(v, i);
}

static uint32_t word_at(const Vga *v, uint32_t n)
{
    return (n + 1) * 4ull <= v->vram->size ? ((const uint32_t *)v->vram->host)[n] : 0;
}

static uint32_t cell_at(const Vga *v, const TextMode *t, uint32_t n)
{
    uint32_t cell = word_at(v, n) & 0xffff;
    if (n == t->cursor)
        cell |= CELL_CURSOR;
    if (t->two_fonts && cell & 0x800)
        cell |= CELL_SECOND_FONT;
    return cell;
}

/* One line of a character: 8 dots, and a ninth that is empty but for line graphics c0h to dfh. */
static unsigned dots_of(const Vga *v, const TextMode *t, uint32_t cell, unsigned line)
{
    unsigned c = cell & 0xff;
    unsigned bits = word_at(v, t->font[cell & CELL_SECOND_FONT ? 1 : 0] + c * FONT_STEP + line) >> 16 & 0xff;
    bool repeat = v->attr[ATTR_MODE] & LINE_GRAPHICS && c >= 0xc0 && c <= 0xdf;
    return bits << 1 | (repeat ? bits & 1 : 0);
}

static bool cursor_line(const Vga *v, unsigned line)
{
    return line >= (v->crtc[CRTC_CURSOR_START] & 0x1fu) && line <= (v->crtc[CRTC_CURSOR_END] & 0x1fu);
}

static void draw_cell(const Vga *v, const TextMode *t, Surface *s, unsigned column, unsigned row, uint32_t cell)
{
    unsigned attribute = cell >> 8 & 0xff;
    if (v->attr[ATTR_MODE] & BLINK)
        attribute &= 0x7f; /* blinking characters stand still */
    uint32_t paper = t->colours[attribute >> 4], ink = t->colours[attribute & (t->two_fonts ? 7 : 15)];
    for (unsigned line = 0; line < t->height; line++) {
        unsigned dots = cell & CELL_CURSOR && cursor_line(v, line) ? 0x1ff : dots_of(v, t, cell, line);
        uint32_t *to = surface_line(s, row * t->height + line) + column * t->width * t->double_width;
        for (unsigned x = 0; x < t->width * t->double_width; x++)
            to[x] = dots >> (8 - x / t->double_width) & 1 ? ink : paper;
    }
}

static void draw_row(Vga *v, const TextMode *t, Surface *s, unsigned row)
{
    unsigned cell_width = t->width * t->double_width;
    for (unsigned column = 0; column < t->columns; column++) {
        uint32_t cell = cell_at(v, t, t->start + row * t->stride + column), *last = &v->drawn->cells[row * VGA_TEXT_COLUMNS + column];
        if (cell == *last)
            continue;
        *last = cell;
        draw_cell(v, t, s, column, row, cell);
        display_damage(v->display, column * cell_width, row * t->height, cell_width, t->height);
    }
}

static bool font_dirty(const Vga *v, const TextMode *t)
{
    return vga_dirty(v, t->font[0] * 4ull, FONT_BYTES * 4) || vga_dirty(v, t->font[1] * 4ull, FONT_BYTES * 4);
}

bool vga_draw_text(Vga *v, bool all)
{
    TextMode t;
    read_mode(v, &t);
    if (t.columns * t.width * t.double_width > DISPLAY_MAX_SIDE || t.rows * t.height > DISPLAY_MAX_SIDE)
        return false;
    if (all || font_dirty(v, &t))
        memset(v->drawn->cells, 0xff, t.rows * VGA_TEXT_COLUMNS * sizeof(uint32_t)); /* no cell looks so */
    Surface *s = display_draw(v->display, t.columns * t.width * t.double_width, t.rows * t.height);
    for (unsigned row = 0; row < t.rows; row++)
        draw_row(v, &t, s, row);
    display_done(v->display);
    return true;
}
