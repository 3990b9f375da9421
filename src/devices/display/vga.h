#pragma once
#include "console/display.h"
#include "machine/machine.h"
/*
 * vga.h - a VGA with Bochs' VBE extensions, as a part of the adapters that are one (VGA, virtio-vga).
 *
 * Video memory holds the four planes interleaved: byte n of plane p at 4n + p.  So text cells and planar pixels are 32-bit
 * words, and chained modes and linear frame buffers are as the guest sees them.  Every write marks its page dirty; drawing
 * looks at dirty pages only, and only when somebody looks at the screen.
 *
 * vga_ports.c: the registers; vga_memory.c: the window at a0000h; vbe.c: the extensions; vga_draw.c and vga_text.c: pictures.
 * IBM VGA Technical Reference (in: PS/2 Hardware Interface Technical Reference, "Video Subsystem").
 */
enum { VGA_PALETTE = 768, VGA_TEXT_COLUMNS = 256, VGA_TEXT_ROWS = 256 };
/* Windows that the adapter maps and hands on, by these offsets. */
enum { VGA_WINDOW_BASE = 0xa0000, VGA_WINDOW_SIZE = 0x20000, VGA_PORTS = 0x3b0, VGA_PORTS_SIZE = 0x30, VBE_PORTS = 0x1ce, VBE_PORTS_SIZE = 4 };
/* Registers by the data sheet's numbers: sequencer, CRT controller, graphics and attribute controller. */
enum { SEQ_RESET, SEQ_CLOCKING, SEQ_MAP_MASK, SEQ_FONT, SEQ_MEMORY_MODE, SEQ_REGS = 8 };
enum { CRTC_HORIZONTAL_END = 1, CRTC_OVERFLOW = 7, CRTC_MAX_SCAN = 9, CRTC_CURSOR_START, CRTC_CURSOR_END, CRTC_START_HIGH, CRTC_START_LOW,
       CRTC_CURSOR_HIGH, CRTC_CURSOR_LOW, CRTC_RETRACE_END = 0x11, CRTC_VERTICAL_END, CRTC_OFFSET, CRTC_MODE = 0x17, CRTC_LINE_COMPARE,
       CRTC_REGS = 32 };
enum { GFX_SET_RESET, GFX_ENABLE_SET_RESET, GFX_COMPARE, GFX_ROTATE, GFX_READ_MAP, GFX_MODE, GFX_MISC, GFX_DONT_CARE, GFX_BIT_MASK, GFX_REGS = 16 };
enum { ATTR_MODE = 0x10, ATTR_OVERSCAN, ATTR_PLANES, ATTR_PANNING, ATTR_COLOUR_SELECT, ATTR_REGS = 32, ATTR_VIDEO_ON = 0x20 };
enum { VBE_ID, VBE_XRES, VBE_YRES, VBE_BPP, VBE_ENABLE, VBE_BANK, VBE_VIRT_WIDTH, VBE_VIRT_HEIGHT, VBE_X_OFFSET, VBE_Y_OFFSET, VBE_MEMORY_64K, VBE_REGS };
enum { VBE_ENABLED = 0x01, VBE_GETCAPS = 0x02, VBE_8BIT_DAC = 0x20, VBE_LFB = 0x40, VBE_NOCLEAR = 0x80 };

/* What the last drawing was made from. */
typedef struct VgaLook {
    uint8_t registers[SEQ_REGS + CRTC_REGS + GFX_REGS + ATTR_REGS + 2]; /* and video on, DAC mask */
    uint16_t vbe[VBE_REGS];
    uint8_t palette[VGA_PALETTE];
} VgaLook;

typedef struct VgaDrawn {
    bool valid;
    VgaLook look;
    uint32_t cells[VGA_TEXT_COLUMNS * VGA_TEXT_ROWS]; /* text: character, attribute, font, cursor */
} VgaDrawn;

typedef struct Vga {
    /* Guest-visible state. */
    uint8_t misc, feature;
    uint8_t seq_index, crtc_index, gfx_index, attr_index;
    uint8_t seq[SEQ_REGS], crtc[CRTC_REGS], gfx[GFX_REGS], attr[ATTR_REGS];
    bool attr_data; /* the next write to 3c0h is data */
    uint8_t dac_read_index, dac_write_index, dac_component, dac_mask, dac_state;
    uint8_t dac_latch[3], palette[VGA_PALETTE];
    uint32_t latch; /* one byte a plane */
    uint16_t vbe_index, vbe[VBE_REGS];
    /* Host's. */
    Device *dev;
    RamBlock *vram;
    Display *display;
    VgaDrawn *drawn;
    uint64_t *dirty; /* bitmap of pages, for one drawing */
    bool foreign;    /* another part of the adapter owns the screen now (virtio-vga) */
} Vga;

extern const Field vga_fields[];

/* An adapter's VGA with its windows, properties and monitor: vga_pci.c.  BAR 0 is video memory, BAR 2 registers. */
enum { VGA_EDID_BYTES = 128, VGA_REGISTER_BYTES = 0x1000 };
typedef struct VgaPart {
    Vga vga;
    uint32_t vgamem_mb;
    uint8_t edid[VGA_EDID_BYTES];
    bool has_edid;
} VgaPart;
VgaPart *virtio_vga_part(Device *d); /* virtio_vga.c */
extern const WindowOps vga_legacy_ops, vga_port_ops, vga_vbe_ops, vga_register_ops;

/* mib: size of video memory, a power of 2. */
bool vga_init(Vga *v, Device *dev, unsigned mib, GError **err);
void vga_finish(Vga *v);
void vga_reset(Vga *v); /* after the field table */
bool vga_check(Vga *v, GError **err); /* loaded state */
extern const DisplaySource vga_source;
void vga_update(void *opaque, bool all); /* a DisplaySource's, opaque is the Vga */

/* Accesses, with the device's lock held. */
uint64_t vga_port_read(Vga *v, unsigned port);
void vga_port_write(Vga *v, unsigned port, uint8_t value);
uint8_t vga_memory_read(Vga *v, uint32_t off);
void vga_memory_write(Vga *v, uint32_t off, uint8_t value);
uint16_t vbe_read(Vga *v, unsigned index);
void vbe_write(Vga *v, unsigned index, uint16_t value);

/* Between its files. */
static inline bool vga_vbe_on(const Vga *v) { return v->vbe[VBE_ENABLE] & VBE_ENABLED; }
static inline bool vga_graphics(const Vga *v) { return v->gfx[GFX_MISC] & 1; }
static inline void vga_mark(Vga *v, uint32_t at) { atomic_fetch_or_explicit(&v->vram->page_flags[at / 4096], PAGE_DIRTY, memory_order_relaxed); }
unsigned vga_lines(const Vga *v);                     /* scan lines of the picture, from the CRT controller */
uint32_t vga_colour(const Vga *v, unsigned index);    /* of the palette */
uint32_t vga_colour16(const Vga *v, unsigned index);  /* through the attribute controller */
void vbe_normalize(Vga *v);                           /* loaded registers */
unsigned vbe_stride(const Vga *v);                    /* bytes a line */
bool vga_draw_text(Vga *v, bool all);                 /* all: nothing of the last picture is of use */
void vga_draw_graphics(Vga *v, bool all);
bool vga_dirty(const Vga *v, uint64_t start, uint64_t n); /* bytes of video memory, by the bitmap */
