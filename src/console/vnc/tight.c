/*
 * tight.c - the tight encoding: one colour, two, a palette, or the pixels themselves through zlib.  rfbproto.rst, "Tight Encoding".
 */
#include <string.h>

#include "console/vnc/inside.h"

enum { FILL = 0x80, EXPLICIT_FILTER = 0x40, FILTER_PALETTE = 1, PALETTE_MOST = 256, PLAIN_MOST = 12, AREA_MOST = 2048 * 256 };
enum { STREAM_FULL, STREAM_MONO, STREAM_PALETTE };

/* One to three bytes of seven bits. */
static void put_length(VncClient *c, size_t n)
{
    client_put8(c, (n & 0x7f) | (n > 0x7f ? 0x80 : 0));
    if (n > 0x7f)
        client_put8(c, (n >> 7 & 0x7f) | (n > 0x3fff ? 0x80 : 0));
    if (n > 0x3fff)
        client_put8(c, n >> 14);
}

/* Data of less than 12 bytes goes as it is. */
static void put_data(VncClient *c, unsigned stream, const GByteArray *data)
{
    if (data->len < PLAIN_MOST) {
        client_put(c, data->data, data->len);
        return;
    }
    g_autoptr(GByteArray) packed = g_byte_array_new();
    deflate_to(&c->tight[stream], &c->tight_on[stream], c->compress, data, packed);
    put_length(c, packed->len);
    client_put(c, packed->data, packed->len);
}

static unsigned index_of(const uint32_t *palette, unsigned n, uint32_t colour)
{
    unsigned i = 0;
    while (i + 1 < n && palette[i] != colour)
        i++;
    return i;
}

/* Two colours: a bit a pixel, lines begin with a byte. */
static void put_mono(GByteArray *to, const uint32_t *pixels, const Rect *r, const uint32_t *palette)
{
    for (int y = 0; y < r->height; y++)
        for (int x = 0; x < r->width; x += 8) {
            uint8_t bits = 0;
            for (int i = 0; i < 8 && x + i < r->width; i++)
                bits |= (pixels[y * r->width + x + i] == palette[1]) << (7 - i);
            g_byte_array_append(to, &bits, 1);
        }
}

static void put_indexed(GByteArray *to, const uint32_t *pixels, const Rect *r, const uint32_t *palette, unsigned n)
{
    for (int i = 0, last = 0; i < r->width * r->height; i++) {
        if (palette[last] != pixels[i])
            last = index_of(palette, n, pixels[i]);
        g_byte_array_append(to, &(uint8_t){ last }, 1);
    }
}

static void put_palette(VncClient *c, const uint32_t *pixels, const Rect *r, const uint32_t *palette, unsigned n)
{
    unsigned stream = n == 2 ? STREAM_MONO : STREAM_PALETTE;
    g_autoptr(GByteArray) head = g_byte_array_new(), data = g_byte_array_new();
    client_put8(c, EXPLICIT_FILTER | stream << 4);
    client_put8(c, FILTER_PALETTE);
    client_put8(c, n - 1);
    pixel_put_tight(&c->format, head, palette, n);
    client_put(c, head->data, head->len);
    if (n == 2)
        put_mono(data, pixels, r, palette);
    else
        put_indexed(data, pixels, r, palette, n);
    put_data(c, stream, data);
}

static void put_pixels(VncClient *c, const uint32_t *pixels, size_t n, unsigned control, unsigned stream)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    client_put8(c, control);
    pixel_put_tight(&c->format, data, pixels, n);
    if (control == FILL)
        client_put(c, data->data, data->len);
    else
        put_data(c, stream, data);
}

void tight_rect(VncClient *c, const Surface *s, const Rect *r)
{
    uint32_t palette[PALETTE_MOST];
    size_t n = (size_t)r->width * r->height;
    g_assert(n <= AREA_MOST);
    g_autofree uint32_t *pixels = g_new(uint32_t, n);
    for (int y = 0; y < r->height; y++)
        memcpy(pixels + (size_t)y * r->width, surface_line(s, r->y + y) + r->x, r->width * 4);
    unsigned colours = pixel_palette(pixels, n, palette, c->format.bytes == 1 ? 2 : PALETTE_MOST);
    if (colours == 1)
        put_pixels(c, palette, 1, FILL, 0);
    else if (colours <= PALETTE_MOST && !(c->format.bytes == 1 && colours > 2) && n > colours)
        put_palette(c, pixels, r, palette, colours);
    else
        put_pixels(c, pixels, n, STREAM_FULL << 4, STREAM_FULL);
}
