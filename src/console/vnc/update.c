/* update.c - one FramebufferUpdate: what is pending of size, cursor and the rest, and the rectangles that have changed. */
#include <string.h>

#include "console/vnc/inside.h"

enum { TIGHT_WIDTH_MOST = 2048, RECTS_MOST = 2000 };

static void head(VncClient *c, int x, int y, int width, int height, int32_t encoding)
{
    client_put16(c, x);
    client_put16(c, y);
    client_put16(c, width);
    client_put16(c, height);
    client_put32(c, encoding);
}

/* ---- pseudo rectangles; each returns how many it has made */

/* ExtendedDesktopSize: one screen, as large as all of it. */
static unsigned put_size(VncClient *c)
{
    const Surface *s = display_copy(c->server->listener);
    if (!c->size_pending)
        return 0;
    c->size_pending = false;
    c->width = s->width;
    c->height = s->height;
    if (!(c->can & CAN_EXTENDED_SIZE)) {
        head(c, 0, 0, s->width, s->height, ENC_DESKTOP_SIZE);
        return 1;
    }
    head(c, c->size_reason, c->size_status, s->width, s->height, ENC_EXTENDED_SIZE);
    client_put32(c, 1u << 24);
    client_put32(c, 0);
    client_put32(c, 0);
    client_put16(c, s->width);
    client_put16(c, s->height);
    client_put32(c, 0);
    c->size_reason = 0;
    return 1;
}

static void put_mask(VncClient *c, const Cursor *cursor)
{
    for (int y = 0; y < cursor->height; y++)
        for (int x = 0; x < cursor->width; x += 8) {
            uint8_t bits = 0;
            for (int i = 0; i < 8 && x + i < cursor->width; i++)
                bits |= (cursor->argb[y * cursor->width + x + i] >> 31) << (7 - i);
            client_put8(c, bits);
        }
}

/* AlphaCursor: RGBA, raw. */
static void put_alpha(VncClient *c, const Cursor *cursor)
{
    client_put32(c, ENC_RAW);
    for (int i = 0; i < cursor->width * cursor->height; i++)
        client_put32(c, cursor->argb[i] << 8 | cursor->argb[i] >> 24);
}

/* Nothing to draw: the viewer shows its own pointer, or none where the guest draws it into the picture. */
static unsigned put_cursor(VncClient *c)
{
    if (!c->cursor_pending)
        return 0;
    c->cursor_pending = false;
    Cursor *cursor = display_cursor(c->server->listener);
    if (!cursor)
        return 0;
    bool alpha = c->can & CAN_ALPHA_CURSOR;
    head(c, cursor->hot_x, cursor->hot_y, cursor->width, cursor->height, alpha ? ENC_ALPHA_CURSOR : ENC_RICH_CURSOR);
    if (alpha) {
        put_alpha(c, cursor);
    } else {
        g_autoptr(GByteArray) pixels = g_byte_array_new();
        pixel_put(&c->format, pixels, cursor->argb, (size_t)cursor->width * cursor->height);
        client_put(c, pixels->data, pixels->len);
        put_mask(c, cursor);
    }
    cursor_unref(cursor);
    return 1;
}

static unsigned put_small(VncClient *c)
{
    unsigned n = 0;
    if (c->pointer_pending && c->can & CAN_POINTER_CHANGE) {
        c->absolute = input_is_absolute(c->server->input);
        head(c, c->absolute, 0, c->width, c->height, ENC_POINTER_CHANGE);
        n++;
    }
    if (c->key_pending) {
        head(c, 0, 0, c->width, c->height, ENC_EXTENDED_KEY);
        n++;
    }
    if (c->leds_pending && c->can & CAN_LEDS) {
        c->leds = input_leds(c->server->input);
        head(c, 0, 0, 1, 1, ENC_LED_STATE);
        client_put8(c, c->leds);
        n++;
    }
    c->pointer_pending = c->key_pending = c->leds_pending = false;
    return n;
}

/* ---- rectangles of pixels */

static void put_raw(VncClient *c, const Surface *s, const Rect *r)
{
    g_autoptr(GByteArray) pixels = g_byte_array_new();
    for (int y = r->y; y < r->y + r->height; y++)
        pixel_put(&c->format, pixels, surface_line(s, y) + r->x, r->width);
    client_put(c, pixels->data, pixels->len);
}

static void put_zlib(VncClient *c, const Surface *s, const Rect *r)
{
    g_autoptr(GByteArray) pixels = g_byte_array_new(), packed = g_byte_array_new();
    for (int y = r->y; y < r->y + r->height; y++)
        pixel_put(&c->format, pixels, surface_line(s, y) + r->x, r->width);
    deflate_to(&c->zlib, &c->zlib_on, c->compress, pixels, packed);
    client_put32(c, packed->len);
    client_put(c, packed->data, packed->len);
}

static void put_rect(VncClient *c, const Surface *s, const Rect *r)
{
    head(c, r->x, r->y, r->width, r->height, c->encoding);
    switch (c->encoding) {
    case ENC_ZLIB:
        put_zlib(c, s, r);
        break;
    case ENC_TIGHT:
        tight_rect(c, s, r);
        break;
    case ENC_ZRLE:
        zrle_rect(c, s, r);
        break;
    default:
        put_raw(c, s, r);
    }
}

/* Takes a run of dirty tiles, and the same run of rows below it, up to a height. */
static Rect take_run(VncClient *c, const Surface *s, int column, int row)
{
    enum { ROWS_MOST = 16 };
    int last = column, bottom = row + 1;
    while (last < c->columns && c->dirty[row * c->columns + last] && (last - column) * TILE_WIDTH < TIGHT_WIDTH_MOST)
        last++;
    while (bottom < c->rows && bottom - row < ROWS_MOST && !memchr(c->dirty + bottom * c->columns + column, 0, last - column))
        bottom++;
    for (int y = row; y < bottom; y++)
        memset(c->dirty + y * c->columns + column, 0, last - column);
    Rect r = { column * TILE_WIDTH, row * TILE_HEIGHT, 0, 0 };
    r.width = MIN((last - column) * TILE_WIDTH, MIN(s->width, c->width) - r.x); /* a viewer that cannot resize sees what fits */
    r.height = MIN((bottom - row) * TILE_HEIGHT, MIN(s->height, c->height) - r.y);
    return r;
}

static unsigned put_picture(VncClient *c)
{
    const Surface *s = display_copy(c->server->listener);
    unsigned n = 0;
    for (int row = 0; row < c->rows; row++)
        for (int column = 0; column < c->columns && n < RECTS_MOST; column++)
            if (c->dirty[row * c->columns + column]) {
                Rect r = take_run(c, s, column, row);
                if (r.width <= 0 || r.height <= 0)
                    continue;
                put_rect(c, s, &r);
                n++;
            }
    return n;
}

void update_send(VncClient *c)
{
    if (c->doomed || !c->initialized || !c->wants || client_pending(c))
        return;
    if (!(c->can & CAN_RESIZE))
        c->size_pending = false;
    size_t start = c->out->len;
    client_put16(c, 0); /* FramebufferUpdate */
    client_put16(c, 0); /* how many comes last */
    unsigned n = put_size(c) + put_cursor(c) + put_small(c);
    n += put_picture(c);
    if (!n && !c->wants_all) {
        g_byte_array_set_size(c->out, start);
        return;
    }
    if (c->doomed)
        return;
    c->out->data[start + 2] = n >> 8;
    c->out->data[start + 3] = n;
    c->wants = c->wants_all = false;
    client_flush(c);
}
