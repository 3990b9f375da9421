/* zrle.c - ZRLE: tiles of 64 x 64, each of one colour, of a small palette, or as it is; all through zlib.  RFC 6143, 7.7.6. */
#include <string.h>

#include "console/vnc/inside.h"

enum { TILE = 64, RAW = 0, SOLID = 1, PALETTE_MOST = 16 };

static unsigned bits_for(unsigned colours) { return colours <= 2 ? 1 : colours <= 4 ? 2 : 4; }

/* Indices of 1, 2 or 4 bits, lines begin with a byte. */
static void put_packed(GByteArray *to, const uint32_t *pixels, int width, int height, const uint32_t *palette, unsigned n)
{
    unsigned bits = bits_for(n), per_byte = 8 / bits;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x += per_byte) {
            uint8_t byte = 0;
            for (unsigned i = 0; i < per_byte && x + (int)i < width; i++) {
                unsigned index = 0;
                while (index + 1 < n && palette[index] != pixels[y * width + x + i])
                    index++;
                byte |= index << (8 - bits * (i + 1));
            }
            g_byte_array_append(to, &byte, 1);
        }
}

static void put_tile(const PixelFormat *f, GByteArray *to, const Surface *s, const Rect *t)
{
    uint32_t pixels[TILE * TILE], palette[PALETTE_MOST];
    for (int y = 0; y < t->height; y++)
        memcpy(pixels + y * t->width, surface_line(s, t->y + y) + t->x, t->width * 4);
    size_t n = (size_t)t->width * t->height;
    unsigned colours = pixel_palette(pixels, n, palette, PALETTE_MOST);
    uint8_t kind = colours == 1 ? SOLID : colours <= PALETTE_MOST ? colours : RAW;
    g_byte_array_append(to, &kind, 1);
    pixel_put_compact(f, to, kind == RAW ? pixels : palette, kind == RAW ? n : colours);
    if (kind > SOLID)
        put_packed(to, pixels, t->width, t->height, palette, colours);
}

void zrle_rect(VncClient *c, const Surface *s, const Rect *r)
{
    g_autoptr(GByteArray) tiles = g_byte_array_new(), packed = g_byte_array_new();
    for (int y = 0; y < r->height; y += TILE)
        for (int x = 0; x < r->width; x += TILE) {
            Rect t = { r->x + x, r->y + y, MIN(TILE, r->width - x), MIN(TILE, r->height - y) };
            put_tile(&c->format, tiles, s, &t);
        }
    deflate_to(&c->zrle, &c->zrle_on, c->compress, tiles, packed);
    client_put32(c, packed->len);
    client_put(c, packed->data, packed->len);
}
