#pragma once
#include <stdbool.h>
#include <stdint.h>
/*
 * keys.h - every key of a keyboard, under each of its names: a row a key.
 *
 * Inside the program a key is its Linux code (input-event-codes.h, KEY_A is 30).  Letters and signs stand where a US
 * keyboard has them.
 */
typedef struct Key {
    const char *name;   /* QEMU's QKeyCode, as send-key and sendkey spell it */
    uint16_t code;      /* Linux */
    uint16_t set1, set2; /* PS/2 scan codes, e0xxh with that prefix; 0: PS/2 has no such key */
    uint8_t usb;        /* HID usage, page 7; 0: none */
    uint32_t keysym[2]; /* X11: plain and with Shift; 0: none */
} Key;

extern const Key keys[]; /* by code; ends with a NULL name */

/* NULL where there is none. */
const Key *key_by_name(const char *name);
const Key *key_by_code(unsigned code);
const Key *key_by_keysym(uint32_t keysym);
/* QEMU's numbers in RFB and in send-key: set 1, with bit 7 for the prefix e0h. */
const Key *key_by_number(unsigned number);
unsigned key_number(const Key *k);
