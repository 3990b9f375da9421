/* pixel.c - pixels as a viewer wants them, palettes, and zlib streams. */
#include <string.h>

#include "console/vnc/inside.h"

const PixelFormat pixel_native = { .bits = 32, .depth = 24, .big_endian = G_BYTE_ORDER == G_BIG_ENDIAN, .true_colour = 1,
                                   .max = { 255, 255, 255 }, .shift = { 16, 8, 0 }, .bytes = 4, .plain = true, .cpixel_skip = 3 };

/* ZRLE's CPIXEL leaves out a byte that no colour uses (RFC 6143, 7.7.5). */
static int unused_byte(const PixelFormat *f)
{
    if (f->bits != 32 || f->depth > 24)
        return -1;
    bool low = true, high = true;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t mask = (uint64_t)f->max[i] << f->shift[i];
        low &= mask <= 0xffffff;
        high &= !(mask & 0xff);
    }
    return low ? (f->big_endian ? 0 : 3) : high ? (f->big_endian ? 3 : 0) : -1;
}

bool pixel_format_read(PixelFormat *f, const uint8_t d[16])
{
    *f = (PixelFormat){ .bits = d[0], .depth = d[1], .big_endian = d[2] != 0, .true_colour = d[3] != 0,
                        .max = { be16(d + 4), be16(d + 6), be16(d + 8) }, .shift = { d[10], d[11], d[12] }, .bytes = d[0] / 8 };
    if (f->bits != 8 && f->bits != 16 && f->bits != 32)
        return false;
    if (!f->true_colour) {
        static const PixelFormat map = { .max = { 7, 7, 3 }, .shift = { 0, 3, 6 } };
        memcpy(f->max, map.max, sizeof(f->max));
        memcpy(f->shift, map.shift, sizeof(f->shift));
    }
    for (unsigned i = 0; i < 3; i++)
        if (f->shift[i] >= f->bits)
            return false;
    f->plain = f->bits == 32 && f->big_endian == pixel_native.big_endian && !memcmp(f->max, pixel_native.max, sizeof(f->max)) &&
               !memcmp(f->shift, pixel_native.shift, sizeof(f->shift));
    f->cpixel_skip = unused_byte(f);
    return true;
}

void pixel_format_put(VncClient *c, const PixelFormat *f)
{
    client_put(c, (uint8_t[]){ f->bits, f->depth, f->big_endian, f->true_colour }, 4);
    for (unsigned i = 0; i < 3; i++)
        client_put16(c, f->max[i]);
    client_put(c, (uint8_t[]){ f->shift[0], f->shift[1], f->shift[2], 0, 0, 0 }, 6);
}

static uint32_t convert(const PixelFormat *f, uint32_t rgb)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < 3; i++)
        v |= (uint32_t)((rgb >> (16 - 8 * i) & 0xff) * f->max[i] / 255) << f->shift[i];
    return v;
}

static void store(const PixelFormat *f, uint8_t *to, uint32_t v)
{
    for (unsigned i = 0; i < f->bytes; i++)
        to[i] = v >> 8 * (f->big_endian ? f->bytes - 1 - i : i);
}

static uint8_t *grow(GByteArray *a, size_t n)
{
    g_byte_array_set_size(a, a->len + n);
    return a->data + a->len - n;
}

void pixel_put(const PixelFormat *f, GByteArray *to, const uint32_t *from, size_t n)
{
    uint8_t *at = grow(to, n * f->bytes);
    if (f->plain) {
        memcpy(at, from, n * 4);
        return;
    }
    for (size_t i = 0; i < n; i++, at += f->bytes)
        store(f, at, convert(f, from[i]));
}

void pixel_put_compact(const PixelFormat *f, GByteArray *to, const uint32_t *from, size_t n)
{
    if (f->cpixel_skip < 0) {
        pixel_put(f, to, from, n);
        return;
    }
    uint8_t *at = grow(to, n * 3), all[4];
    for (size_t i = 0; i < n; i++, at += 3) {
        store(f, all, f->plain ? from[i] : convert(f, from[i]));
        memcpy(at, all + (f->cpixel_skip == 0), 3);
    }
}

/* Tight's TPIXEL is red, green, blue, in whatever order the format has them. */
void pixel_put_tight(const PixelFormat *f, GByteArray *to, const uint32_t *from, size_t n)
{
    if (f->bits != 32 || f->depth != 24 || f->max[0] != 255 || f->max[1] != 255 || f->max[2] != 255) {
        pixel_put(f, to, from, n);
        return;
    }
    uint8_t *at = grow(to, n * 3);
    for (size_t i = 0; i < n; i++, at += 3) {
        at[0] = from[i] >> 16;
        at[1] = from[i] >> 8;
        at[2] = from[i];
    }
}

unsigned pixel_palette(const uint32_t *from, size_t n, uint32_t *palette, unsigned most)
{
    unsigned used = 0, last = 0;
    for (size_t i = 0; i < n; i++) {
        if (used && palette[last] == from[i])
            continue;
        for (last = 0; last < used && palette[last] != from[i]; last++)
            ;
        if (last < used)
            continue;
        if (used == most)
            return most + 1;
        palette[used++] = from[i];
    }
    return used;
}

/* ---- zlib */

void deflate_to(z_stream *z, bool *on, int level, const GByteArray *from, GByteArray *to)
{
    if (!*on && deflateInit(z, CLAMP(level, 1, 9)) != Z_OK)
        g_error("no memory for a zlib stream"); /* as g_malloc() does */
    *on = true;
    g_byte_array_set_size(to, deflateBound(z, from->len) + 64);
    z->next_in = from->data;
    z->avail_in = from->len;
    z->next_out = to->data;
    z->avail_out = to->len;
    deflate(z, Z_SYNC_FLUSH);
    g_byte_array_set_size(to, to->len - z->avail_out);
}

void deflate_end(z_stream *z, bool *on)
{
    if (*on)
        deflateEnd(z);
    *on = false;
}
