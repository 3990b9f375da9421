/*
 * hid.c - USB keyboard, mouse and tablet.  Device Class Definition for HID 1.11; HID Usage Tables 1.12.
 *
 * Reports are made when the host polls.  Keys wait in a queue, so that each change is a report of its own; a pointer's movement
 * adds up, and each change of its buttons is a report of its own, too.
 */
#include <string.h>

#include "console/input.h"
#include "devices/usb/usb.h"

enum { HID_GET_REPORT = 1, HID_GET_IDLE, HID_GET_PROTOCOL, HID_SET_REPORT = 9, HID_SET_IDLE, HID_SET_PROTOCOL };
enum { DT_HID = 0x21, DT_REPORT = 0x22, PROTOCOL_BOOT = 0, PROTOCOL_REPORT = 1 };
enum { WAITING = 32, KEYS_DOWN = 6, FIRST_MODIFIER = 0xe0, ROLLOVER = 1, ENDPOINT = 1, REPORT_MAX = 8 };

/* A change of a keyboard's key or of a pointer: what has moved by the time that its buttons are so. */
typedef struct HidChange {
    uint8_t usage; /* keyboard */
    bool down;
    uint8_t buttons; /* pointers */
    int32_t dx, dy, wheel; /* dx and dy: of a tablet the position */
} HidChange;

typedef struct UsbHid {
    UsbDevice usb;
    HidChange waiting[WAITING];
    uint8_t n_waiting;
    uint8_t keys[KEYS_DOWN + 10]; /* usages that are down, in order; more than six are an overflow */
    uint8_t n_keys, modifiers, leds;
    HidChange now; /* pointers, as last reported */
    uint8_t idle, protocol;
    InputDevice *input;
} UsbHid;

/* ---- descriptors: HID 1.11, 6.2; appendix B has the boot devices' */

static const uint8_t keyboard_report[] = {
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01,                                                             /* desktop, keyboard: application */
    0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02, /* modifiers */
    0x95, 0x01, 0x75, 0x08, 0x81, 0x01,                                                             /* reserved */
    0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02,                         /* lights */
    0x95, 0x01, 0x75, 0x03, 0x91, 0x01,
    0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x26, 0xff, 0x00, 0x05, 0x07, 0x19, 0x00, 0x2a, 0xff, 0x00, 0x81, 0x00, /* six keys */
    0xc0,
};
static const uint8_t mouse_report[] = {
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00,                                     /* desktop, mouse, pointer */
    0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25, 0x01, 0x95, 0x05, 0x75, 0x01, 0x81, 0x02, /* five buttons */
    0x95, 0x01, 0x75, 0x03, 0x81, 0x01,
    0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x03, 0x81, 0x06, /* X, Y, wheel: relative */
    0xc0, 0xc0,
};
static const uint8_t tablet_report[] = {
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00,
    0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25, 0x01, 0x95, 0x05, 0x75, 0x01, 0x81, 0x02,
    0x95, 0x01, 0x75, 0x03, 0x81, 0x01,
    0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x15, 0x00, 0x26, 0xff, 0x7f, 0x35, 0x00, 0x46, 0xff, 0x7f, 0x75, 0x10, 0x95, 0x02, 0x81, 0x02, /* X, Y: 0 to 32767 */
    0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x35, 0x00, 0x45, 0x00, 0x75, 0x08, 0x95, 0x01, 0x81, 0x06, /* wheel */
    0xc0, 0xc0,
};

enum { CONFIGURATION_BYTES = 9 + 9 + 9 + 7, HID_AT = 18 };
/* Configuration (bus-powered, wakes the host, 100 mA), interface, HID, and the endpoint that is polled each 10 ms. */
#define HID_CONFIGURATION(subclass, protocol, report)                                                                                       \
    { 9, USB_DT_CONFIGURATION, CONFIGURATION_BYTES, 0, 1, 1, 0, 0xa0, 50,                                                                   \
      9, USB_DT_INTERFACE, 0, 0, 1, 3, subclass, protocol, 0,                                                                               \
      9, DT_HID, 0x11, 0x01, 0, 1, DT_REPORT, sizeof(report), 0,                                                                            \
      7, USB_DT_ENDPOINT, USB_IN | ENDPOINT, 3, REPORT_MAX, 0, 10 }
static const uint8_t keyboard_configuration[CONFIGURATION_BYTES] = HID_CONFIGURATION(1, 1, keyboard_report);
static const uint8_t mouse_configuration[CONFIGURATION_BYTES] = HID_CONFIGURATION(1, 2, mouse_report);
static const uint8_t tablet_configuration[CONFIGURATION_BYTES] = HID_CONFIGURATION(0, 0, tablet_report);

typedef struct ReportText {
    const uint8_t *bytes;
    unsigned n;
} ReportText;

static bool is_keyboard(const UsbHid *h) { return h->usb.dev.type == &usb_kbd_type; }
static bool is_tablet(const UsbHid *h) { return h->usb.dev.type == &usb_tablet_type; }

static ReportText report_text(const UsbHid *h)
{
    if (is_keyboard(h))
        return (ReportText){ keyboard_report, sizeof(keyboard_report) };
    return is_tablet(h) ? (ReportText){ tablet_report, sizeof(tablet_report) } : (ReportText){ mouse_report, sizeof(mouse_report) };
}

/* ---- from people */

/* What does not fit is dropped, but never a key or button that is let go. */
static bool room(const UsbHid *h, bool release) { return h->n_waiting < WAITING - (release ? 0 : WAITING / 2); }

static void key(void *opaque, const Key *k, bool down)
{
    UsbHid *h = opaque;
    g_mutex_lock(h->usb.lock);
    if (k->usb && h->usb.configuration && room(h, !down)) {
        h->waiting[h->n_waiting++] = (HidChange){ .usage = k->usb, .down = down };
        usb_wakeup(&h->usb, USB_IN | ENDPOINT);
    }
    g_mutex_unlock(h->usb.lock);
}

/* Movement joins the last change, unless that was one of buttons: a click stays where it was. */
static HidChange *change_for(UsbHid *h, unsigned buttons)
{
    HidChange *last = h->n_waiting ? &h->waiting[h->n_waiting - 1] : NULL;
    unsigned before = h->n_waiting > 1 ? last[-1].buttons : h->now.buttons;
    bool same = last && last->buttons == buttons, release = buttons != (buttons | (last ? last->buttons : h->now.buttons));
    if (same && (before == buttons || !room(h, false)))
        return last;
    if (!room(h, release))
        return NULL;
    h->waiting[h->n_waiting] = (HidChange){ .buttons = buttons };
    return &h->waiting[h->n_waiting++];
}

static int32_t add(int32_t a, int b) { return CLAMP(a + CLAMP(b, -0x7fff, 0x7fff), -0x7fff, 0x7fff); }

/* HID's order of buttons is left, right, middle, side, extra: ours. */
static void pointer(void *opaque, const PointerEvent *e)
{
    UsbHid *h = opaque;
    g_mutex_lock(h->usb.lock);
    HidChange *c = h->usb.configuration ? change_for(h, e->buttons) : NULL;
    if (c) {
        c->dx = is_tablet(h) ? CLAMP(e->x, 0, INPUT_AXIS_MAX) : add(c->dx, e->dx);
        c->dy = is_tablet(h) ? CLAMP(e->y, 0, INPUT_AXIS_MAX) : add(c->dy, e->dy);
        c->wheel = add(c->wheel, -e->wheel);
        usb_wakeup(&h->usb, USB_IN | ENDPOINT);
    }
    g_mutex_unlock(h->usb.lock);
}

static bool ready(void *opaque)
{
    UsbHid *h = opaque;
    g_mutex_lock(h->usb.lock);
    bool configured = h->usb.configuration != 0;
    g_mutex_unlock(h->usb.lock);
    return configured;
}

/* ---- reports */

static void drop_first(UsbHid *h) { memmove(h->waiting, h->waiting + 1, --h->n_waiting * sizeof(h->waiting[0])); }

static void change_modifier(UsbHid *h, const HidChange *c)
{
    unsigned bit = 1u << (c->usage - FIRST_MODIFIER);
    h->modifiers = (h->modifiers & ~bit) | (c->down ? bit : 0);
}

static void change_key(UsbHid *h, const HidChange *c)
{
    unsigned at = 0;
    if (c->usage >= FIRST_MODIFIER && c->usage < FIRST_MODIFIER + 8) {
        change_modifier(h, c);
        return;
    }
    while (at < h->n_keys && h->keys[at] != c->usage)
        at++;
    if (c->down && at == h->n_keys && at < sizeof(h->keys)) {
        h->keys[h->n_keys++] = c->usage;
    } else if (!c->down && at < h->n_keys) {
        h->n_keys--;
        memmove(h->keys + at, h->keys + at + 1, h->n_keys - at);
    }
}

static unsigned keyboard_now(const UsbHid *h, uint8_t *to)
{
    memset(to, 0, 8);
    to[0] = h->modifiers;
    if (h->n_keys > KEYS_DOWN)
        memset(to + 2, ROLLOVER, KEYS_DOWN);
    else
        memcpy(to + 2, h->keys, h->n_keys);
    return 8;
}

/* What one report can hold of a movement; the rest stays. */
static int8_t take(int32_t *from)
{
    int part = CLAMP(*from, -127, 127);
    *from -= part;
    return part;
}

static unsigned mouse_now(const UsbHid *h, int8_t dx, int8_t dy, int8_t wheel, uint8_t *to)
{
    const uint8_t report[] = { h->now.buttons, dx, dy, wheel };
    memcpy(to, report, sizeof(report));
    return h->protocol == PROTOCOL_BOOT ? 3 : 4;
}

static unsigned tablet_now(const UsbHid *h, int8_t wheel, uint8_t *to)
{
    const uint8_t report[] = { h->now.buttons, h->now.dx & 0xff, h->now.dx >> 8, h->now.dy & 0xff, h->now.dy >> 8, wheel };
    memcpy(to, report, sizeof(report));
    return sizeof(report);
}

static unsigned next_pointer(UsbHid *h, uint8_t *to)
{
    HidChange *c = &h->waiting[0];
    h->now.buttons = c->buttons;
    int8_t wheel = take(&c->wheel), dx = 0, dy = 0;
    if (is_tablet(h)) {
        h->now.dx = c->dx;
        h->now.dy = c->dy;
    } else {
        dx = take(&c->dx);
        dy = take(&c->dy);
    }
    if (!c->wheel && (is_tablet(h) || (!c->dx && !c->dy)))
        drop_first(h);
    return is_tablet(h) ? tablet_now(h, wheel, to) : mouse_now(h, dx, dy, wheel, to);
}

static unsigned next_report(UsbHid *h, uint8_t *to)
{
    if (!is_keyboard(h))
        return next_pointer(h, to);
    change_key(h, &h->waiting[0]);
    drop_first(h);
    return keyboard_now(h, to);
}

static unsigned report_now(const UsbHid *h, uint8_t *to)
{
    if (is_keyboard(h))
        return keyboard_now(h, to);
    return is_tablet(h) ? tablet_now(h, 0, to) : mouse_now(h, 0, 0, 0, to);
}

static UsbStatus transfer(UsbDevice *u, UsbTransfer *t)
{
    UsbHid *h = (UsbHid *)u;
    if (t->endpoint != (USB_IN | ENDPOINT))
        return USB_STALL;
    if (!h->n_waiting)
        return USB_NAK;
    uint8_t report[REPORT_MAX];
    unsigned n = next_report(h, report);
    t->actual = MIN(n, t->length);
    memcpy(t->data, report, t->actual);
    return n > t->length ? USB_BABBLE : USB_OK;
}

/* ---- requests: HID 1.11, 7.1 and 7.2 */

static UsbStatus answer(const void *from, unsigned bytes, const UsbSetup *s, uint8_t *data, unsigned *actual)
{
    *actual = MIN(bytes, s->length);
    memcpy(data, from, *actual);
    return USB_OK;
}

/* Lights: HID counts num, caps, scroll; the hub scroll, num, caps. */
static UsbStatus set_report(UsbHid *h, const UsbSetup *s, const uint8_t *data)
{
    if (!is_keyboard(h) || !s->length)
        return USB_STALL;
    h->leds = data[0];
    input_set_leds(h->usb.dev.machine->input, (h->leds & 1) << 1 | (h->leds & 2) << 1 | (h->leds >> 2 & 1));
    return USB_OK;
}

static UsbStatus class_request(UsbHid *h, const UsbSetup *s, uint8_t *data, unsigned *actual)
{
    uint8_t report[REPORT_MAX];
    switch (s->request) {
    case HID_GET_REPORT:
        return answer(report, report_now(h, report), s, data, actual);
    case HID_GET_IDLE:
        return answer(&h->idle, 1, s, data, actual);
    case HID_GET_PROTOCOL:
        return answer(&h->protocol, 1, s, data, actual);
    case HID_SET_REPORT:
        return set_report(h, s, data);
    case HID_SET_IDLE:
        h->idle = s->value >> 8;
        return USB_OK;
    case HID_SET_PROTOCOL:
        h->protocol = s->value & 1;
        return USB_OK;
    }
    return USB_STALL;
}

static UsbStatus control(UsbDevice *u, const UsbSetup *s, uint8_t *data, unsigned *actual)
{
    UsbHid *h = (UsbHid *)u;
    if ((s->type & (USB_TYPE_MASK | USB_RECIPIENT)) == (USB_CLASS | USB_INTERFACE))
        return class_request(h, s, data, actual);
    if (s->type != (USB_IN | USB_INTERFACE) || s->request != USB_GET_DESCRIPTOR)
        return USB_STALL;
    ReportText text = report_text(h);
    if (s->value >> 8 == DT_HID)
        return answer(u->model->configuration + HID_AT, 9, s, data, actual);
    return s->value >> 8 == DT_REPORT ? answer(text.bytes, text.n, s, data, actual) : USB_STALL;
}

static void bus_reset(UsbDevice *u)
{
    UsbHid *h = (UsbHid *)u;
    h->n_waiting = h->n_keys = h->modifiers = h->idle = 0;
    h->now = (HidChange){ 0 };
    h->protocol = PROTOCOL_REPORT;
}

/* ---- the devices */

/* The identity that guests' tables know such devices by is QEMU's. */
#define HID_MODEL(text, bytes)                                                                                                              \
    { .vendor = 0x0627, .product = 0x0001, .maker = "QEMU", .name = text, .speeds = 1 << USB_FULL | 1 << USB_HIGH, .configuration = bytes,  \
      .configuration_bytes = CONFIGURATION_BYTES, .control = control, .transfer = transfer, .reset = bus_reset }

typedef struct HidKind {
    const DeviceType *type;
    UsbModel model;
    InputDeviceOps ops;
} HidKind;

static const HidKind kinds[] = {
    { &usb_kbd_type, HID_MODEL("QEMU USB Keyboard", keyboard_configuration), { .kinds = INPUT_KEYBOARD, .key = key, .ready = ready } },
    { &usb_mouse_type, HID_MODEL("QEMU USB Mouse", mouse_configuration), { .kinds = INPUT_RELATIVE, .pointer = pointer, .ready = ready } },
    { &usb_tablet_type, HID_MODEL("QEMU USB Tablet", tablet_configuration), { .kinds = INPUT_ABSOLUTE, .pointer = pointer, .ready = ready } },
};

static bool realize(Device *d, GError **err)
{
    UsbHid *h = (UsbHid *)d;
    const HidKind *k = kinds;
    while (k->type != d->type)
        k++;
    if (!usb_device_realize(&h->usb, &k->model, err))
        return false;
    h->input = input_add(d->machine->input, k->model.name, &k->ops, h);
    return true;
}

static void unrealize(Device *d)
{
    input_remove(((UsbHid *)d)->input);
    usb_device_unrealize((UsbDevice *)d);
}

static bool post_load(Device *d, GError **err)
{
    const UsbHid *h = (UsbHid *)d;
    if (h->n_waiting > WAITING || h->n_keys > sizeof(h->keys))
        return error_set(err, ERR_INVALID, "%s: saved state has more keys or movements than there is room for", d->path);
    return true;
}

static const Field change_fields[] = {
    { F(HidChange, usage) }, { F(HidChange, down) }, { F(HidChange, buttons) }, { F(HidChange, dx) }, { F(HidChange, dy) }, { F(HidChange, wheel) },
    DEVICE_FIELDS_END,
};
static const Field fields[] = {
    USB_DEVICE_FIELDS(UsbHid, usb),
    { FSA(UsbHid, waiting, change_fields), .doc = "changes that the host has not polled yet" },
    { F(UsbHid, n_waiting) },
    { FA(UsbHid, keys), .doc = "usages of keys that are down" },
    { F(UsbHid, n_keys) },
    { F(UsbHid, modifiers) },
    { F(UsbHid, leds), .doc = "lights: num, caps, scroll" },
    { FS(UsbHid, now, change_fields), .doc = "pointer as last reported" },
    { F(UsbHid, idle), .doc = "idle rate" },
    { F(UsbHid, protocol), .reset = PROTOCOL_REPORT, .doc = "0: boot, 1: report" },
    { FO(UsbHid, input), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

#define HID_TYPE(type_name, text)                                                                                                           \
    { .name = type_name, .summary = text, .spec = "USB HID 1.11", .bus = "usb-bus", .size = sizeof(UsbHid), .version = 1,                   \
      .fields = fields, .realize = realize, .unrealize = unrealize, .post_load = post_load }
const DeviceType usb_tablet_type = HID_TYPE("usb-tablet", "USB tablet: an absolute pointer");
const DeviceType usb_mouse_type = HID_TYPE("usb-mouse", "USB mouse");
const DeviceType usb_kbd_type = HID_TYPE("usb-kbd", "USB keyboard");
