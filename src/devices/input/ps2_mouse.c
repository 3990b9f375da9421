/*
 * ps2_mouse.c - a PS/2 mouse with wheel and five buttons (IntelliMouse, IntelliMouse Explorer).
 *
 * Movement gathers until the queue has room for a packet, so a slow guest sees fewer and longer moves, not stale ones.
 */
#include "devices/input/ps2.h"

#include <glib.h>

enum { ACK = 0xfa, ERROR = 0xfc, SELF_TEST_PASSED = 0xaa };
enum {
    CMD_SCALE1 = 0xe6,
    CMD_SCALE2 = 0xe7,
    CMD_RESOLUTION = 0xe8,
    CMD_STATUS = 0xe9,
    CMD_STREAM = 0xea,
    CMD_READ = 0xeb,
    CMD_WRAP_OFF = 0xec,
    CMD_WRAP = 0xee,
    CMD_REMOTE = 0xf0,
    CMD_ID = 0xf2,
    CMD_RATE = 0xf3,
    CMD_ENABLE = 0xf4,
    CMD_DISABLE = 0xf5,
    CMD_DEFAULTS = 0xf6,
    CMD_RESEND = 0xfe,
    CMD_RESET = 0xff
};
enum { ID_PLAIN = 0, ID_WHEEL = 3, ID_EXPLORER = 4 };
enum { DEFAULT_RATE = 100, DEFAULT_RESOLUTION = 2, WAITING_PACKETS = 4 };

/* ---- packets */

static int take(int32_t *left, int least, int most)
{
    int v = CLAMP(*left, least, most);
    *left -= v;
    return v;
}

static void put_packet(Ps2Mouse *m)
{
    int dx = take(&m->dx, -255, 255), dy = take(&m->dy, -255, 255);
    int wheel = m->id == ID_PLAIN ? take(&m->wheel, INT32_MIN, INT32_MAX) : take(&m->wheel, -8, 7);
    ps2_put(&m->queue, (m->buttons & 7) | 8 | (dx < 0) << 4 | (dy < 0) << 5);
    ps2_put(&m->queue, dx);
    ps2_put(&m->queue, dy);
    if (m->id == ID_WHEEL)
        ps2_put(&m->queue, wheel);
    if (m->id == ID_EXPLORER)
        ps2_put(&m->queue, (wheel & 0xf) | (m->buttons >> 3 & 3) << 4);
    m->reported = m->buttons;
}

static bool anything_new(const Ps2Mouse *m) { return m->dx || m->dy || m->wheel || m->buttons != m->reported; }

void ps2_mouse_fill(Ps2Mouse *m)
{
    while (m->enabled && !m->remote && anything_new(m) && m->queue.len < WAITING_PACKETS * 4)
        put_packet(m);
}

void ps2_mouse_move(Ps2Mouse *m, int dx, int dy, int wheel, unsigned buttons)
{
    if (!m->enabled && !m->remote)
        return;
    m->dx = CLAMP((int64_t)m->dx + dx, -100000, 100000);
    m->dy = CLAMP((int64_t)m->dy - dy, -100000, 100000); /* the mouse's y grows upwards */
    m->wheel = CLAMP((int64_t)m->wheel + wheel, -1000, 1000);
    m->buttons = buttons & 0x1f;
    ps2_mouse_fill(m);
}

/* ---- commands */

static void defaults(Ps2Mouse *m)
{
    m->rate = DEFAULT_RATE;
    m->resolution = DEFAULT_RESOLUTION;
    m->enabled = m->remote = m->wrap = m->scale2 = false;
    m->dx = m->dy = m->wheel = 0;
}

void ps2_mouse_reset(Ps2Mouse *m)
{
    ps2_clear(&m->queue);
    defaults(m);
    m->id = ID_PLAIN;
    m->command = m->buttons = m->reported = 0;
    m->knock[0] = m->knock[1] = 0;
}

static void reply(Ps2Mouse *m, uint8_t byte)
{
    ps2_put(&m->queue, byte);
    m->last = byte;
}

/* Sample rates 200, 100, 80 turn the wheel on, 200, 200, 80 the side buttons too. */
static void set_rate(Ps2Mouse *m, uint8_t rate)
{
    if (m->knock[0] == 200 && rate == 80) {
        if (m->knock[1] == 100)
            m->id = ID_WHEEL;
        else if (m->knock[1] == 200)
            m->id = ID_EXPLORER;
    }
    m->knock[0] = m->knock[1];
    m->knock[1] = rate;
    m->rate = rate;
}

static void parameter(Ps2Mouse *m, uint8_t byte)
{
    if (m->command == CMD_RATE)
        set_rate(m, byte);
    else
        m->resolution = byte & 3;
    m->command = 0;
    reply(m, ACK);
}

static void reply_status(Ps2Mouse *m)
{
    uint8_t buttons = (m->buttons & 1) << 2 | (m->buttons & 4) >> 1 | (m->buttons & 2) >> 1;
    reply(m, m->remote << 6 | m->enabled << 5 | m->scale2 << 4 | buttons);
    reply(m, m->resolution);
    reply(m, m->rate);
}

static void command(Ps2Mouse *m, uint8_t byte)
{
    if (byte == CMD_RESEND) {
        ps2_put(&m->queue, m->last);
        return;
    }
    ps2_clear(&m->queue); /* a command ends the packet that was on its way */
    reply(m, ACK);
    switch (byte) {
    case CMD_SCALE1:
    case CMD_SCALE2:
        m->scale2 = byte == CMD_SCALE2;
        break;
    case CMD_RESOLUTION:
    case CMD_RATE:
        m->command = byte;
        break;
    case CMD_STATUS:
        reply_status(m);
        break;
    case CMD_STREAM:
        m->remote = false;
        break;
    case CMD_READ:
        put_packet(m);
        break;
    case CMD_WRAP_OFF:
        m->wrap = false;
        break;
    case CMD_WRAP:
        m->wrap = true;
        break;
    case CMD_REMOTE:
        m->remote = true;
        break;
    case CMD_ID:
        reply(m, m->id);
        break;
    case CMD_ENABLE:
    case CMD_DISABLE:
        m->enabled = byte == CMD_ENABLE;
        break;
    case CMD_DEFAULTS:
        defaults(m);
        break;
    case CMD_RESET:
        ps2_mouse_reset(m);
        reply(m, ACK);
        reply(m, SELF_TEST_PASSED);
        reply(m, ID_PLAIN);
        break;
    default:
        ps2_clear(&m->queue);
        reply(m, ERROR);
    }
}

void ps2_mouse_write(Ps2Mouse *m, uint8_t byte)
{
    if (m->wrap && byte != CMD_WRAP_OFF && byte != CMD_RESET)
        reply(m, byte);
    else if (m->command)
        parameter(m, byte);
    else
        command(m, byte);
}

static const Field queue_fields[] = {
    { FA(Ps2Queue, byte) },
    { F(Ps2Queue, first) },
    { F(Ps2Queue, len) },
    { .name = NULL },
};
const Field ps2_mouse_fields[] = {
    { FS(Ps2Mouse, queue, queue_fields), .doc = "bytes for the controller" },
    { F(Ps2Mouse, command), .doc = "command that waits for its parameter" },
    { F(Ps2Mouse, id), .doc = "0 plain, 3 wheel, 4 five buttons" },
    { F(Ps2Mouse, rate), .reset = DEFAULT_RATE, .doc = "samples a second" },
    { F(Ps2Mouse, resolution), .reset = DEFAULT_RESOLUTION },
    { F(Ps2Mouse, last), .doc = "last reply, for resend" },
    { FA(Ps2Mouse, knock), .doc = "sample rates set before" },
    { F(Ps2Mouse, enabled), .doc = "reporting" },
    { F(Ps2Mouse, remote) },
    { F(Ps2Mouse, wrap) },
    { F(Ps2Mouse, scale2) },
    { F(Ps2Mouse, buttons) },
    { F(Ps2Mouse, reported) },
    { F(Ps2Mouse, dx) },
    { F(Ps2Mouse, dy) },
    { F(Ps2Mouse, wheel) },
    { .name = NULL },
};
