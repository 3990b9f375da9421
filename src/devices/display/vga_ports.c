/*
 * vga_ports.c - registers of the VGA: sequencer, CRT controller, graphics and attribute controller, DAC.
 *
 * PS/2 Hardware Interface Technical Reference, "Video Subsystem".  Monochrome addresses (3bxh) answer while bit 0 of the
 * miscellaneous output register is clear, colour ones (3dxh) while it is set.
 */
#include <string.h>

#include "devices/display/vga.h"

enum { MISC_COLOUR = 1 };
enum { STATUS_BLANK = 0x01, STATUS_RETRACE = 0x08, FRAME_NS = 16683333, LINES = 525, VISIBLE_LINES = 480 }; /* 59.94 Hz */

static bool answers(const Vga *v, unsigned port)
{
    bool mono = port >= 0x3b0 && port < 0x3c0, colour = port >= 0x3d0;
    return (!mono || !(v->misc & MISC_COLOUR)) && (!colour || v->misc & MISC_COLOUR);
}

/* ---- input status 1: where the beam would be */

static uint8_t status(Vga *v)
{
    int64_t in_frame = clock_now(v->dev->machine->clock) % FRAME_NS;
    int64_t line = in_frame * LINES / FRAME_NS, in_line = in_frame * LINES % FRAME_NS;
    bool vertical = line >= VISIBLE_LINES, horizontal = in_line > FRAME_NS / 5 * 4;
    v->attr_data = false;
    return (vertical ? STATUS_RETRACE : 0) | (vertical || horizontal ? STATUS_BLANK : 0);
}

/* ---- attribute controller: index and data take turns at 3c0h */

static void attr_write(Vga *v, uint8_t value)
{
    static const uint8_t masks[] = { [ATTR_MODE] = 0xef, [ATTR_OVERSCAN] = 0xff, [ATTR_PLANES] = 0x3f, [ATTR_PANNING] = 0x0f, [ATTR_COLOUR_SELECT] = 0x0f };
    unsigned index = v->attr_index & 0x1f;
    if (!v->attr_data)
        v->attr_index = value & 0x3f;
    else if (index < ATTR_MODE)
        v->attr[index] = value & 0x3f;
    else if (index <= ATTR_COLOUR_SELECT)
        v->attr[index] = value & masks[index];
    v->attr_data = !v->attr_data;
}

/* ---- CRT controller */

static void crtc_write(Vga *v, uint8_t value)
{
    enum { PROTECT = 0x80, LINE_COMPARE_8 = 0x10 };
    unsigned index = v->crtc_index & (CRTC_REGS - 1);
    if (index <= CRTC_OVERFLOW && v->crtc[CRTC_RETRACE_END] & PROTECT) {
        if (index == CRTC_OVERFLOW) /* this bit is not protected */
            v->crtc[index] = (v->crtc[index] & ~LINE_COMPARE_8) | (value & LINE_COMPARE_8);
        return;
    }
    v->crtc[index] = value;
}

/* ---- DAC: three components an entry, six bits each unless VBE says eight */

static void dac_write(Vga *v, uint8_t value)
{
    v->dac_latch[v->dac_component++] = v->vbe[VBE_ENABLE] & VBE_8BIT_DAC ? value : value & 0x3f;
    if (v->dac_component < 3)
        return;
    memcpy(&v->palette[v->dac_write_index * 3], v->dac_latch, 3);
    v->dac_component = 0;
    v->dac_write_index++;
}

static uint8_t dac_read(Vga *v)
{
    uint8_t value = v->palette[v->dac_read_index * 3 + v->dac_component];
    if (++v->dac_component == 3) {
        v->dac_component = 0;
        v->dac_read_index++;
    }
    return value;
}

/* ---- the whole */

uint64_t vga_port_read(Vga *v, unsigned port)
{
    if (!answers(v, port))
        return 0xff;
    switch (port) {
    case 0x3c0:
        return v->attr_data ? 0 : v->attr_index;
    case 0x3c1:
        return (v->attr_index & 0x1f) <= ATTR_COLOUR_SELECT ? v->attr[v->attr_index & 0x1f] : 0;
    case 0x3c2:
        return 0x10; /* the switch that senses a colour monitor */
    case 0x3c4:
        return v->seq_index;
    case 0x3c5:
        return v->seq[v->seq_index & (SEQ_REGS - 1)];
    case 0x3c6:
        return v->dac_mask;
    case 0x3c7:
        return v->dac_state;
    case 0x3c8:
        return v->dac_write_index;
    case 0x3c9:
        return dac_read(v);
    case 0x3ca:
        return v->feature;
    case 0x3cc:
        return v->misc;
    case 0x3ce:
        return v->gfx_index;
    case 0x3cf:
        return v->gfx[v->gfx_index & (GFX_REGS - 1)];
    case 0x3b4:
    case 0x3d4:
        return v->crtc_index;
    case 0x3b5:
    case 0x3d5:
        return v->crtc[v->crtc_index & (CRTC_REGS - 1)];
    case 0x3ba:
    case 0x3da:
        return status(v);
    default:
        return 0xff;
    }
}

static void write_indexed(Vga *v, unsigned port, uint8_t value)
{
    static const uint8_t seq_masks[SEQ_REGS] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0xff };
    static const uint8_t gfx_masks[GFX_REGS] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };
    unsigned seq = v->seq_index & (SEQ_REGS - 1), gfx = v->gfx_index & (GFX_REGS - 1);
    if (port == 0x3c5)
        v->seq[seq] = value & seq_masks[seq];
    else if (port == 0x3cf)
        v->gfx[gfx] = value & gfx_masks[gfx];
    else
        crtc_write(v, value);
}

void vga_port_write(Vga *v, unsigned port, uint8_t value)
{
    if (!answers(v, port))
        return;
    switch (port) {
    case 0x3c0:
        attr_write(v, value);
        break;
    case 0x3c2:
        v->misc = value & ~0x10;
        break;
    case 0x3c4:
        v->seq_index = value & (SEQ_REGS - 1);
        break;
    case 0x3c6:
        v->dac_mask = value;
        break;
    case 0x3c7:
        v->dac_read_index = value;
        v->dac_component = 0;
        v->dac_state = 3;
        break;
    case 0x3c8:
        v->dac_write_index = value;
        v->dac_component = 0;
        v->dac_state = 0;
        break;
    case 0x3c9:
        dac_write(v, value);
        break;
    case 0x3ce:
        v->gfx_index = value & (GFX_REGS - 1);
        break;
    case 0x3b4:
    case 0x3d4:
        v->crtc_index = value & (CRTC_REGS - 1);
        break;
    case 0x3c5:
    case 0x3cf:
    case 0x3b5:
    case 0x3d5:
        write_indexed(v, port, value);
        break;
    case 0x3ba:
    case 0x3da:
        v->feature = value & 0x10;
        break;
    }
}
