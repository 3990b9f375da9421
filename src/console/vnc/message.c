/* message.c - what viewers say after the handshake.  RFC 6143, 7.3 and 7.5; extensions as rfbproto.rst has them. */
#include <string.h>

#include "console/vnc/inside.h"

enum { SET_PIXEL_FORMAT = 0, SET_ENCODINGS = 2, UPDATE_REQUEST = 3, KEY_EVENT = 4, POINTER_EVENT = 5, CUT_TEXT = 6, SET_DESKTOP_SIZE = 251, QEMU = 255 };
enum { QEMU_KEY = 0, SERVER_CUT_TEXT = 3, SERVER_COLOUR_MAP = 1 };
enum { RELATIVE_CENTRE = 0x7fff }; /* QEMU's pointer motion change: positions are movement, from here */

static bool got_type(VncClient *c, const uint8_t *data, size_t n);

static bool next_message(VncClient *c)
{
    client_expect(c, 1, got_type);
    return true;
}

/* ---- pixels and encodings */

/* A viewer with a colour map gets three bits of red and green and two of blue. */
static void send_colour_map(VncClient *c)
{
    client_put8(c, SERVER_COLOUR_MAP);
    client_put8(c, 0);
    client_put16(c, 0);
    client_put16(c, 256);
    for (unsigned i = 0; i < 256; i++) {
        client_put16(c, (i & 7) * 0xffff / 7);
        client_put16(c, (i >> 3 & 7) * 0xffff / 7);
        client_put16(c, (i >> 6) * 0xffff / 3);
    }
}

static bool got_pixel_format(VncClient *c, const uint8_t *data, size_t n)
{
    c->why = "its pixel format makes no sense";
    if (!pixel_format_read(&c->format, data + 3))
        return false;
    if (!c->format.true_colour)
        send_colour_map(c);
    vnc_mark(c, 0, 0, DISPLAY_MAX_SIDE, DISPLAY_MAX_SIDE);
    return next_message(c);
}

static void note_encoding(VncClient *c, int32_t e)
{
    static const struct { int32_t encoding; uint32_t can; } abilities[] = {
        { ENC_DESKTOP_SIZE, CAN_RESIZE }, { ENC_EXTENDED_SIZE, CAN_RESIZE | CAN_EXTENDED_SIZE }, { ENC_RICH_CURSOR, CAN_RICH_CURSOR },
        { ENC_ALPHA_CURSOR, CAN_ALPHA_CURSOR }, { ENC_POINTER_CHANGE, CAN_POINTER_CHANGE }, { ENC_EXTENDED_KEY, CAN_EXTENDED_KEY },
        { ENC_LED_STATE, CAN_LEDS },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(abilities); i++)
        if (abilities[i].encoding == e)
            c->can |= abilities[i].can;
    if ((e == ENC_ZLIB || e == ENC_TIGHT || e == ENC_ZRLE) && c->encoding == ENC_RAW)
        c->encoding = e; /* the first that we know */
    if (e >= ENC_COMPRESS_0 && e < ENC_COMPRESS_0 + 10)
        c->compress = e - ENC_COMPRESS_0;
}

static bool got_encodings(VncClient *c, const uint8_t *data, size_t n)
{
    uint32_t could = c->can;
    c->can = 0;
    c->encoding = ENC_RAW;
    for (size_t i = 0; i < n; i += 4)
        note_encoding(c, be32(data + i));
    uint32_t fresh = c->can & ~could;
    c->size_pending |= fresh & CAN_EXTENDED_SIZE; /* each is announced by showing it once */
    c->cursor_pending |= fresh & (CAN_RICH_CURSOR | CAN_ALPHA_CURSOR);
    c->pointer_pending |= fresh & CAN_POINTER_CHANGE;
    c->key_pending |= fresh & CAN_EXTENDED_KEY;
    c->leds_pending |= fresh & CAN_LEDS;
    return next_message(c);
}

static bool got_encodings_head(VncClient *c, const uint8_t *data, size_t n)
{
    client_expect(c, be16(data + 1) * 4, got_encodings);
    return true;
}

static bool got_update_request(VncClient *c, const uint8_t *data, size_t n)
{
    bool incremental = data[0];
    if (!incremental)
        vnc_mark(c, be16(data + 1), be16(data + 3), be16(data + 5), be16(data + 7));
    c->wants = true;
    c->wants_all |= !incremental;
    vnc_wake(c->server, !incremental);
    return next_message(c);
}

/* The layout of screens: there is one, as large as all of it. */
static bool got_layout(VncClient *c, const uint8_t *data, size_t n) { return next_message(c); }

static bool got_desktop_size(VncClient *c, const uint8_t *data, size_t n)
{
    display_resize_hint(c->server->screen, be16(data + 1), be16(data + 3));
    c->size_pending = true;
    c->size_reason = 1;
    client_expect(c, data[5] * 16, got_layout);
    return true;
}

/* ---- keys */

static void key(VncClient *c, const Key *k, bool down)
{
    if (!k)
        return;
    if (down)
        g_hash_table_add(c->down, (void *)k);
    else
        g_hash_table_remove(c->down, k);
    input_key(c->server->input, k, down);
    vnc_wake(c->server, true);
}

static bool got_key(VncClient *c, const uint8_t *data, size_t n)
{
    key(c, key_by_keysym(be32(data + 3)), data[0]);
    return next_message(c);
}

static bool got_qemu(VncClient *c, const uint8_t *data, size_t n)
{
    c->why = "it sends a QEMU message that was not offered";
    if (data[0] != QEMU_KEY)
        return false;
    const Key *k = key_by_number(be32(data + 7));
    key(c, k ? k : key_by_keysym(be32(data + 3)), be16(data + 1));
    return next_message(c);
}

/* ---- pointers */

static void buttons(VncClient *c, unsigned mask)
{
    static const struct { uint8_t bit, button; } map[] = { { 0, BUTTON_LEFT }, { 1, BUTTON_MIDDLE }, { 2, BUTTON_RIGHT } };
    InputHub *h = c->server->input;
    for (unsigned i = 0; i < G_N_ELEMENTS(map); i++)
        if ((mask ^ c->buttons) >> map[i].bit & 1)
            input_button(h, map[i].button, mask >> map[i].bit & 1);
    unsigned pressed = mask & ~c->buttons; /* 4 to 7 are the wheel: up, down, left, right */
    input_wheel(h, (pressed >> 4 & 1) - (pressed >> 3 & 1), (pressed >> 6 & 1) - (pressed >> 5 & 1));
    c->buttons = mask;
}

static void motion(VncClient *c, int x, int y)
{
    InputHub *h = c->server->input;
    const Surface *s = display_copy(c->server->listener);
    if (input_is_absolute(h))
        input_point(h, s->width > 1 ? x * INPUT_AXIS_MAX / (s->width - 1) : 0, s->height > 1 ? y * INPUT_AXIS_MAX / (s->height - 1) : 0);
    else if (c->can & CAN_POINTER_CHANGE)
        input_move(h, x - RELATIVE_CENTRE, y - RELATIVE_CENTRE);
    else if (c->last_known)
        input_move(h, x - c->last_x, y - c->last_y);
    c->last_x = x;
    c->last_y = y;
    c->last_known = true;
}

static bool got_pointer(VncClient *c, const uint8_t *data, size_t n)
{
    buttons(c, data[0]);
    motion(c, be16(data + 1), be16(data + 3));
    input_sync(c->server->input);
    vnc_wake(c->server, true);
    return next_message(c);
}

void message_release(VncClient *c)
{
    g_autoptr(GList) down = g_hash_table_get_keys(c->down);
    for (GList *l = down; l; l = l->next)
        input_key(c->server->input, l->data, false);
    g_hash_table_remove_all(c->down);
    if (c->buttons) {
        buttons(c, 0);
        input_sync(c->server->input);
    }
}

/* ---- the clipboard: what one viewer cuts the others can paste */

static bool got_cut_text(VncClient *c, const uint8_t *data, size_t n)
{
    for (unsigned i = 0; i < c->server->clients->len; i++) {
        VncClient *other = c->server->clients->pdata[i];
        if (other == c || !other->initialized || other->doomed || client_pending(other))
            continue;
        client_put32(other, (uint32_t)SERVER_CUT_TEXT << 24);
        client_put32(other, n);
        client_put(other, data, n);
        client_flush(other);
    }
    return next_message(c);
}

static bool got_cut_text_head(VncClient *c, const uint8_t *data, size_t n)
{
    c->why = "it sends more clipboard than anybody could want";
    uint32_t bytes = be32(data + 3);
    if (bytes > CUT_TEXT_MOST)
        return false;
    client_expect(c, bytes, got_cut_text);
    return true;
}

/* ---- which message */

static const struct { uint8_t type, bytes; VncExpect *fn; } messages[] = {
    { SET_PIXEL_FORMAT, 19, got_pixel_format }, { SET_ENCODINGS, 3, got_encodings_head }, { UPDATE_REQUEST, 9, got_update_request },
    { KEY_EVENT, 7, got_key }, { POINTER_EVENT, 5, got_pointer }, { CUT_TEXT, 7, got_cut_text_head },
    { SET_DESKTOP_SIZE, 7, got_desktop_size }, { QEMU, 11, got_qemu },
};

static bool got_type(VncClient *c, const uint8_t *data, size_t n)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(messages); i++)
        if (messages[i].type == data[0]) {
            client_expect(c, messages[i].bytes, messages[i].fn);
            return true;
        }
    c->why = "it sends a message of a kind that there is not";
    return false;
}

/* ---- the first */

static void drop_others(VncClient *c)
{
    for (unsigned i = 0; i < c->server->clients->len; i++)
        if (c->server->clients->pdata[i] != c)
            client_doom(c->server->clients->pdata[i], "another viewer wants the screen for itself");
}

bool message_client_init(VncClient *c, const uint8_t *data, size_t n)
{
    VncServer *s = c->server;
    c->shared = data[0];
    c->why = "this server is for viewers that share";
    if (s->share == VNC_SHARE_FORCED && !c->shared)
        return false;
    if (s->share == VNC_SHARE_EXCLUSIVE_ALLOWED && !c->shared)
        drop_others(c);
    vnc_fetch(s);
    vnc_resize_client(c, 0);
    c->size_pending = false;
    c->width = display_copy(s->listener)->width;
    c->height = display_copy(s->listener)->height;
    client_put16(c, c->width);
    client_put16(c, c->height);
    pixel_format_put(c, &pixel_native);
    client_put_text(c, s->name);
    c->initialized = true;
    c->absolute = true; /* what a viewer takes for granted */
    vnc_event(s, VNC_EVENT_INITIALIZED, c);
    return next_message(c);
}
