/*
 * ps2_keyboard.c - a PS/2 keyboard: commands, and keys as scan codes of set 2 or 1.
 *
 * Scan codes are in console/keys.c.  IBM Personal System/2 Hardware Interface Technical Reference, "Keyboard".
 */
#include "devices/input/ps2.h"

enum { ACK = 0xfa, RESEND = 0xfe, SELF_TEST_PASSED = 0xaa, BREAK = 0xf0, PAUSE_PREFIX = 0xe1 };
enum { CMD_LEDS = 0xed, CMD_ECHO = 0xee, CMD_SCAN_SET = 0xf0, CMD_ID = 0xf2, CMD_TYPEMATIC = 0xf3, CMD_ENABLE = 0xf4,
       CMD_DISABLE = 0xf5, CMD_DEFAULTS = 0xf6, CMD_ALL_FIRST = 0xf7, CMD_ALL_LAST = 0xfd, CMD_RESEND = 0xfe,
       CMD_RESET = 0xff };
enum { KEY_PAUSE = 119, DEFAULT_TYPEMATIC = 0x2b };

/* Scan code set 2 to set 1: what an 8042 with bit 6 of its command byte does to every byte below 80h. */
static const uint8_t translation[128] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};

uint8_t ps2_translate(uint8_t set2)
{
    if (set2 < 0x80)
        return translation[set2];
    return set2 == 0x83 ? 0x41 : set2 == 0x84 ? 0x54 : set2; /* F7 and SysRq stand beyond the table */
}

/* ---- queues */

void ps2_put(Ps2Queue *q, uint8_t byte)
{
    if (q->len < PS2_QUEUE)
        q->byte[(q->first + q->len++) % PS2_QUEUE] = byte;
}

uint8_t ps2_get(Ps2Queue *q)
{
    uint8_t byte = q->byte[q->first];
    q->first = (q->first + 1) % PS2_QUEUE;
    q->len--;
    return byte;
}

void ps2_clear(Ps2Queue *q) { q->first = q->len = 0; }

/* ---- keys */

static void send_code(Ps2Keyboard *k, const Key *key, bool down)
{
    uint16_t code = k->scan_set == 1 ? key->set1 : key->set2;
    if (code >> 8)
        ps2_put(&k->queue, code >> 8);
    if (!down && k->scan_set != 1)
        ps2_put(&k->queue, BREAK);
    ps2_put(&k->queue, code | (!down && k->scan_set == 1 ? 0x80 : 0));
}

/* Pause has no break code: make and break come at once. */
static void send_pause(Ps2Keyboard *k)
{
    static const uint8_t set1[] = { PAUSE_PREFIX, 0x1d, 0x45, PAUSE_PREFIX, 0x9d, 0xc5 };
    static const uint8_t set2[] = { PAUSE_PREFIX, 0x14, 0x77, PAUSE_PREFIX, BREAK, 0x14, BREAK, 0x77 };
    const uint8_t *code = k->scan_set == 1 ? set1 : set2;
    for (unsigned i = 0; i < (k->scan_set == 1 ? sizeof(set1) : sizeof(set2)); i++)
        ps2_put(&k->queue, code[i]);
}

void ps2_keyboard_key(Ps2Keyboard *k, const Key *key, bool down)
{
    if (!k->enabled || !key->set2 || ps2_room(&k->queue) < 8) /* a whole code or none */
        return;
    if (key->code != KEY_PAUSE)
        send_code(k, key, down);
    else if (down)
        send_pause(k);
}

/* ---- commands */

static void defaults(Ps2Keyboard *k)
{
    ps2_clear(&k->queue);
    k->scan_set = 2;
    k->leds = 0;
    k->typematic = DEFAULT_TYPEMATIC;
}

void ps2_keyboard_reset(Ps2Keyboard *k)
{
    defaults(k);
    k->enabled = true;
    k->command = 0;
    k->last = SELF_TEST_PASSED;
}

static void reply(Ps2Keyboard *k, uint8_t byte)
{
    ps2_put(&k->queue, byte);
    k->last = byte;
}

static void scan_set(Ps2Keyboard *k, uint8_t set)
{
    reply(k, set <= 2 ? ACK : RESEND); /* set 3 is not here */
    if (set == 0)
        reply(k, k->scan_set);
    else if (set <= 2)
        k->scan_set = set;
}

static void parameter(Ps2Keyboard *k, uint8_t byte)
{
    uint8_t command = k->command;
    k->command = 0;
    if (command == CMD_SCAN_SET) {
        scan_set(k, byte);
        return;
    }
    *(command == CMD_LEDS ? &k->leds : &k->typematic) = byte;
    reply(k, ACK);
}

static void command(Ps2Keyboard *k, uint8_t byte)
{
    switch (byte) {
    case CMD_LEDS:
    case CMD_SCAN_SET:
    case CMD_TYPEMATIC:
        k->command = byte;
        reply(k, ACK);
        break;
    case CMD_ECHO:
        reply(k, CMD_ECHO);
        break;
    case CMD_ID:
        reply(k, ACK);
        reply(k, 0xab);
        reply(k, 0x83);
        break;
    case CMD_ENABLE:
        ps2_clear(&k->queue);
        k->enabled = true;
        reply(k, ACK);
        break;
    case CMD_DISABLE:
    case CMD_DEFAULTS:
        defaults(k);
        k->enabled = byte != CMD_DISABLE;
        reply(k, ACK);
        break;
    case CMD_ALL_FIRST ... CMD_ALL_LAST: /* set 3 only */
        reply(k, ACK);
        break;
    case CMD_RESEND:
        ps2_put(&k->queue, k->last);
        break;
    case CMD_RESET:
        ps2_keyboard_reset(k);
        reply(k, ACK);
        reply(k, SELF_TEST_PASSED);
        break;
    default:
        reply(k, RESEND);
    }
}

void ps2_keyboard_write(Ps2Keyboard *k, uint8_t byte)
{
    if (k->command && byte < CMD_LEDS)
        parameter(k, byte);
    else
        command(k, byte);
}

static const Field queue_fields[] = {
    { FA(Ps2Queue, byte) },
    { F(Ps2Queue, first) },
    { F(Ps2Queue, len) },
    { .name = NULL },
};
const Field ps2_keyboard_fields[] = {
    { FS(Ps2Keyboard, queue, queue_fields), .doc = "bytes for the controller" },
    { F(Ps2Keyboard, command), .doc = "command that waits for its parameter" },
    { F(Ps2Keyboard, scan_set), .reset = 2, .doc = "scan code set" },
    { F(Ps2Keyboard, leds) },
    { F(Ps2Keyboard, typematic), .reset = DEFAULT_TYPEMATIC, .doc = "repeat rate" },
    { F(Ps2Keyboard, last), .reset = SELF_TEST_PASSED, .doc = "last reply, for resend" },
    { F(Ps2Keyboard, enabled), .reset = true, .doc = "scanning" },
    { .name = NULL },
};
