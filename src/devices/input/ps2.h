#pragma once
#include "base/field.h"
#include "console/keys.h"
/*
 * ps2.h - the two devices behind the keyboard controller, as byte streams.  i8042.c holds the lock and the wires.
 */
enum { PS2_QUEUE = 64 };

typedef struct Ps2Queue {
    uint8_t byte[PS2_QUEUE];
    uint8_t first, len;
} Ps2Queue;

typedef struct Ps2Keyboard {
    Ps2Queue queue;
    uint8_t command; /* one that waits for its parameter; 0: none */
    uint8_t scan_set, leds, typematic, last;
    bool enabled;
} Ps2Keyboard;

typedef struct Ps2Mouse {
    Ps2Queue queue;
    uint8_t command;
    uint8_t id, rate, resolution, last;
    uint8_t knock[2]; /* the sample rates set before: how drivers find a wheel */
    bool enabled, remote, wrap, scale2;
    uint8_t buttons, reported; /* reported: buttons of the last packet */
    int32_t dx, dy, wheel;     /* not reported yet */
} Ps2Mouse;

extern const Field ps2_keyboard_fields[], ps2_mouse_fields[];

void ps2_put(Ps2Queue *q, uint8_t byte);
uint8_t ps2_get(Ps2Queue *q); /* queue not empty */
void ps2_clear(Ps2Queue *q);
static inline unsigned ps2_room(const Ps2Queue *q) { return PS2_QUEUE - q->len; }

void ps2_keyboard_reset(Ps2Keyboard *k);
void ps2_keyboard_write(Ps2Keyboard *k, uint8_t byte); /* from the controller */
void ps2_keyboard_key(Ps2Keyboard *k, const Key *key, bool down);
uint8_t ps2_translate(uint8_t set2); /* the controller's table from scan code set 2 to 1 */

void ps2_mouse_reset(Ps2Mouse *m);
void ps2_mouse_write(Ps2Mouse *m, uint8_t byte);
void ps2_mouse_move(Ps2Mouse *m, int dx, int dy, int wheel, unsigned buttons);
void ps2_mouse_fill(Ps2Mouse *m); /* the queue has room: packets of what is not reported yet */
