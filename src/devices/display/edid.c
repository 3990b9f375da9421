/* edid.c - an EDID block for a flat panel of any size.  VESA Enhanced EDID Standard, release A, revision 2. */
#include "devices/display/edid.h"

#include <string.h>

enum { DPI = 100, REFRESH_HZ = 75 };

/* 3.10.2: a detailed timing with blanking of a third of the width and 30 lines. */
static void detailed_timing(uint8_t *d, unsigned width, unsigned height)
{
    unsigned h_blank = width * 35 / 100 & ~7u, v_blank = height * 35 / 1000 + 5, h_mm = width * 254 / 10 / DPI, v_mm = height * 254 / 10 / DPI;
    unsigned h_front = width / 4 & ~7u, h_sync = width / 25 & ~7u, v_front = 3, v_sync = 3;
    uint64_t hz10k = (uint64_t)REFRESH_HZ * (width + h_blank) * (height + v_blank) / 10000;
    hz10k = hz10k > 0xffff ? 0xffff : hz10k;
    h_front = h_front > h_blank - h_sync ? (h_blank - h_sync) / 2 : h_front;
    const uint8_t timing[18] = {
        hz10k, hz10k >> 8, width, h_blank, width >> 8 << 4 | h_blank >> 8, height, v_blank, height >> 8 << 4 | v_blank >> 8,
        h_front, h_sync, v_front << 4 | v_sync, h_front >> 8 << 6 | h_sync >> 8 << 4, h_mm, v_mm, h_mm >> 8 << 4 | v_mm >> 8, 0, 0, 0x18,
    };
    memcpy(d, timing, sizeof(timing));
}

/* 3.10.3: range limits, and the name. */
static void descriptors(uint8_t *edid)
{
    static const uint8_t range[18] = { 0, 0, 0, 0xfd, 0, 50, 125, 30, 160, 255, 0, 10, 32, 32, 32, 32, 32, 32 };
    static const uint8_t name[18] = { 0, 0, 0, 0xfc, 0, 'A', 't', 'o', 'l', 'l', ' ', 'm', 'o', 'n', 'i', 't', '\n', ' ' };
    static const uint8_t dummy[18] = { 0, 0, 0, 0x10 };
    memcpy(edid + 72, range, 18);
    memcpy(edid + 90, name, 18);
    memcpy(edid + 108, dummy, 18);
}

/* 3.9: width in units of 8 dots, and aspect: 0 16:10, 1 4:3, 3 16:9. */
static void standard_timings(uint8_t *to)
{
    static const struct { uint16_t width; uint8_t aspect; } sizes[8] = {
        { 1920, 3 }, { 1920, 0 }, { 1680, 0 }, { 1600, 1 }, { 1440, 0 }, { 1280, 0 }, { 1024, 1 }, { 800, 1 },
    };
    for (unsigned i = 0; i < 8; i++) {
        to[2 * i] = sizes[i].width / 8 - 31;
        to[2 * i + 1] = sizes[i].aspect << 6;
    }
}

void edid_fill(uint8_t edid[EDID_BYTES], unsigned width, unsigned height)
{
    static const uint8_t head[] = {
        0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x06, 0x8c, /* manufacturer "ATL" */
        0x34, 0x12, 0, 0, 0, 0, 0, 33, 1, 4,                  /* product, serial, week, year 2023, EDID 1.4 */
        0xa5, 0, 0, 120, 0x06,                                /* digital, 8 bits, DisplayPort; size; gamma 2.2; sRGB, preferred timing */
        0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54, /* sRGB */
        0x21, 0x08, 0,                                        /* 640x480, 800x600, 1024x768 at 60 Hz */
    };
    memset(edid, 0, EDID_BYTES);
    memcpy(edid, head, sizeof(head));
    edid[21] = width * 254 / 100 / DPI;
    edid[22] = height * 254 / 100 / DPI;
    standard_timings(edid + 38);
    detailed_timing(edid + 54, width, height);
    descriptors(edid);
    for (unsigned i = 0; i < EDID_BYTES - 1; i++)
        edid[EDID_BYTES - 1] -= edid[i];
}
