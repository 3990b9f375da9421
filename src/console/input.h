#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "console/keys.h"
/*
 * input.h - from people to the guest: keys and pointers, from viewers and the monitor to the device that the guest uses.
 *
 * Main context's thread only.  Of several devices that take an event, the one added last that is `ready` gets it, or the one
 * that input_select() has put first.  An absolute position is for an absolute pointer; where the guest has none, the hub
 * turns it into movement.
 */
typedef struct InputHub InputHub;
typedef enum InputKind { INPUT_KEYBOARD = 1, INPUT_RELATIVE = 2, INPUT_ABSOLUTE = 4 } InputKind;
typedef enum InputButton { BUTTON_LEFT, BUTTON_RIGHT, BUTTON_MIDDLE, BUTTON_SIDE, BUTTON_EXTRA, BUTTONS } InputButton;
enum { INPUT_AXIS_MAX = 0x7fff };

/* What has happened to a pointer since the last report. */
typedef struct PointerEvent {
    int dx, dy;       /* relative: right, down */
    int x, y;         /* absolute, 0 to INPUT_AXIS_MAX */
    int wheel, pan;   /* towards the user, to the right */
    unsigned buttons; /* all of them: 1 << InputButton */
} PointerEvent;

/* A guest's device; no lock is held. */
typedef struct InputDeviceOps {
    unsigned kinds; /* InputKind */
    void (*key)(void *opaque, const Key *k, bool down);
    void (*pointer)(void *opaque, const PointerEvent *e);
    bool (*ready)(void *opaque); /* optional: does a driver listen? */
} InputDeviceOps;
typedef struct InputDevice InputDevice;

InputHub *input_hub_create(void);
void input_hub_destroy(InputHub *h); /* NULL is fine */
InputDevice *input_add(InputHub *h, const char *name, const InputDeviceOps *ops, void *opaque); /* h NULL: NULL */
void input_remove(InputDevice *d); /* NULL is fine */

/* ---- viewers and the monitor; h NULL: nothing happens */

void input_key(InputHub *h, const Key *k, bool down);
/* Gathered until input_sync(), which is one report. */
void input_move(InputHub *h, int dx, int dy);
void input_point(InputHub *h, int x, int y); /* 0 to INPUT_AXIS_MAX */
void input_wheel(InputHub *h, int wheel, int pan);
void input_button(InputHub *h, InputButton b, bool down);
void input_sync(InputHub *h);
void input_release_keys(InputHub *h); /* lets go of every key that is down: a viewer has gone */

bool input_is_absolute(const InputHub *h); /* would a position be taken as it is? */

/* Pointers of the guest, for `info mice` and query-mice. */
typedef struct InputPointerInfo {
    const char *name;
    unsigned index;
    bool absolute, current;
} InputPointerInfo;
bool input_pointer_info(const InputHub *h, unsigned n, InputPointerInfo *ret); /* false: there are fewer */
bool input_select(InputHub *h, unsigned index); /* mouse_set; false: no such pointer */
/* Keyboard lights as the guest sets them: bit 0 scroll, 1 num, 2 caps. */
void input_set_leds(InputHub *h, unsigned leds); /* any thread */
unsigned input_leds(const InputHub *h);
