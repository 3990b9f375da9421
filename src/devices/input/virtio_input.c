/*
 * virtio_input.c - keyboard, mouse and tablet that speak Linux's events.  Virtio 1.2, section 5.8.
 *
 * A report that does not fit into the driver's buffers waits; of what waits, the oldest reports stay, and new ones are dropped
 * whole, so that the driver never sees half of one.
 */
#include "devices/input/virtio_input.h"

#include <string.h>

#include "console/input.h"
#include "devices/virtio/virtio_pci.h"
#include "machine/machine.h"

enum { EV_SYN = 0, EV_KEY = 1, EV_REL = 2, EV_ABS = 3, EV_LED = 0x11, EV_REP = 0x14 }; /* input-event-codes.h */
enum { REL_X = 0, REL_Y = 1, REL_HWHEEL = 6, REL_WHEEL = 8, ABS_X = 0, ABS_Y = 1, BTN_LEFT = 0x110, LEDS = 3 };
enum { QUEUE_EVENTS, QUEUE_STATUS, QUEUES };
enum { CFG_NAME = 1, CFG_SERIAL, CFG_IDS, CFG_PROPERTIES = 0x10, CFG_EVENTS, CFG_ABS, CFG_SELECT = 0, CFG_SUBSELECT, CFG_SIZE, CFG_DATA = 8, CFG_BYTES = 136 };
enum { WAITING = 128, EVENT_BYTES = 8 };

typedef struct VirtioInput {
    VirtioPci base;
    uint64_t waiting[WAITING]; /* as the driver gets them: type, code, value */
    uint16_t n_waiting;
    uint16_t buttons;          /* as last reported */
    InputDevice *input;
} VirtioInput;

static VirtioInput *of(Virtio *v) { return (VirtioInput *)v->dev; }
static bool is(const Virtio *v, const DeviceType *t) { return v->dev->type == t; }

/* ---- events to the driver */

static void deliver(VirtioInput *i)
{
    Virtio *v = &i->base.virtio;
    unsigned done = 0;
    VirtqChain c;
    while (done < i->n_waiting && virtq_pop(v, QUEUE_EVENTS, &c)) {
        uint32_t n = c.in.n && c.in.iov[0].iov_len >= EVENT_BYTES ? EVENT_BYTES : 0;
        if (n)
            memcpy(c.in.iov[0].iov_base, &i->waiting[done], n);
        done++;
        virtq_push(v, QUEUE_EVENTS, &c, n);
    }
    if (!done)
        return;
    i->n_waiting -= done;
    memmove(i->waiting, i->waiting + done, i->n_waiting * sizeof(i->waiting[0]));
    virtq_signal(v, QUEUE_EVENTS);
}

typedef struct Report {
    uint64_t event[16];
    unsigned n;
} Report;

static void add(Report *r, unsigned type, unsigned code, int32_t value)
{
    r->event[r->n++] = GUINT64_TO_LE(type | (uint64_t)code << 16 | (uint64_t)(uint32_t)value << 32);
}

static void send(VirtioInput *i, Report *r)
{
    if (!r->n)
        return;
    add(r, EV_SYN, 0, 0);
    if (i->n_waiting + r->n > WAITING || !virtq_ready(&i->base.virtio, QUEUE_EVENTS))
        return;
    memcpy(i->waiting + i->n_waiting, r->event, r->n * sizeof(r->event[0]));
    i->n_waiting += r->n;
    deliver(i);
}

static void key(void *opaque, const Key *k, bool down)
{
    VirtioInput *i = opaque;
    Report r = { .n = 0 };
    add(&r, EV_KEY, k->code, down);
    g_mutex_lock(&i->base.pci.dev.lock);
    send(i, &r);
    g_mutex_unlock(&i->base.pci.dev.lock);
}

static void add_movement(const VirtioInput *i, Report *r, const PointerEvent *e)
{
    if (is(&i->base.virtio, &virtio_tablet_pci_type)) {
        add(r, EV_ABS, ABS_X, e->x);
        add(r, EV_ABS, ABS_Y, e->y);
        return;
    }
    if (e->dx)
        add(r, EV_REL, REL_X, e->dx);
    if (e->dy)
        add(r, EV_REL, REL_Y, e->dy);
}

static void pointer(void *opaque, const PointerEvent *e)
{
    VirtioInput *i = opaque;
    Report r = { .n = 0 };
    g_mutex_lock(&i->base.pci.dev.lock);
    add_movement(i, &r, e);
    if (e->wheel)
        add(&r, EV_REL, REL_WHEEL, -e->wheel);
    if (e->pan)
        add(&r, EV_REL, REL_HWHEEL, e->pan);
    for (unsigned b = 0; b < BUTTONS; b++) /* our order is Linux's: left, right, middle, side, extra */
        if ((e->buttons ^ i->buttons) >> b & 1)
            add(&r, EV_KEY, BTN_LEFT + b, e->buttons >> b & 1);
    i->buttons = e->buttons;
    send(i, &r);
    g_mutex_unlock(&i->base.pci.dev.lock);
}

static bool ready(void *opaque)
{
    VirtioInput *i = opaque;
    g_mutex_lock(&i->base.pci.dev.lock);
    bool ok = virtq_ready(&i->base.virtio, QUEUE_EVENTS);
    g_mutex_unlock(&i->base.pci.dev.lock);
    return ok;
}

/* ---- lights from the driver */

static void take_status(Virtio *v)
{
    VirtqChain c;
    unsigned leds = input_leds(v->dev->machine->input);
    while (virtq_pop(v, QUEUE_STATUS, &c)) {
        uint8_t event[EVENT_BYTES] = { 0 };
        if (c.out.n && c.out.iov[0].iov_len >= EVENT_BYTES)
            memcpy(event, c.out.iov[0].iov_base, EVENT_BYTES);
        static const uint8_t bits[LEDS] = { 1, 2, 0 }; /* num, caps, scroll */
        if (event[0] == EV_LED && event[2] < LEDS && !event[3])
            leds = (leds & ~(1u << bits[event[2]])) | (event[4] != 0) << bits[event[2]];
        virtq_push(v, QUEUE_STATUS, &c, 0);
    }
    virtq_signal(v, QUEUE_STATUS);
    input_set_leds(v->dev->machine->input, leds);
}

static void notified(Virtio *v, unsigned n)
{
    if (n == QUEUE_EVENTS)
        deliver(of(v));
    else
        take_status(v);
}

/* ---- what the device says about itself: the driver selects, the device shows */

static void set_bit(uint8_t *map, unsigned bit) { map[bit / 8] |= 1u << bit % 8; }

static void show_events(const Virtio *v, unsigned type, uint8_t *map)
{
    bool keyboard = is(v, &virtio_keyboard_pci_type), tablet = is(v, &virtio_tablet_pci_type);
    for (const Key *k = keys; keyboard && type == EV_KEY && k->name; k++)
        set_bit(map, k->code);
    for (unsigned n = 0; keyboard && type == EV_LED && n < LEDS; n++)
        set_bit(map, n);
    if (keyboard && type == EV_REP)
        set_bit(map, 0);
    for (unsigned b = 0; !keyboard && type == EV_KEY && b < BUTTONS; b++)
        set_bit(map, BTN_LEFT + b);
    if (!keyboard && type == EV_REL) {
        set_bit(map, REL_WHEEL);
        set_bit(map, REL_HWHEEL);
    }
    for (unsigned axis = 0; !keyboard && axis < 2; axis++)
        if (type == (tablet ? EV_ABS : EV_REL))
            set_bit(map, axis);
}

static void show_axis(const Virtio *v, unsigned axis, uint8_t *to)
{
    uint32_t most = GUINT32_TO_LE(INPUT_AXIS_MAX);
    if (is(v, &virtio_tablet_pci_type) && axis <= ABS_Y)
        memcpy(to + 4, &most, 4); /* min 0, max; no noise */
}

static void config_written(Virtio *v, unsigned off, unsigned size)
{
    static const uint8_t ids[] = { 6, 0, 0x27, 0x06, 1, 0, 1, 0 }; /* BUS_VIRTUAL, QEMU's vendor id, product, version */
    uint8_t *c = v->config, select = c[CFG_SELECT], subselect = c[CFG_SUBSELECT];
    memset(c + CFG_SIZE, 0, CFG_BYTES - CFG_SIZE);
    switch (select) {
    case CFG_NAME:
        g_strlcpy((char *)c + CFG_DATA, v->dev->type->summary, CFG_BYTES - CFG_DATA);
        c[CFG_SIZE] = strlen((char *)c + CFG_DATA);
        break;
    case CFG_IDS:
        memcpy(c + CFG_DATA, ids, sizeof(ids));
        c[CFG_SIZE] = sizeof(ids);
        break;
    case CFG_EVENTS:
        show_events(v, subselect, c + CFG_DATA);
        for (unsigned i = CFG_DATA; i < CFG_BYTES; i++)
            if (c[i])
                c[CFG_SIZE] = i - CFG_DATA + 1;
        break;
    case CFG_ABS:
        show_axis(v, subselect, c + CFG_DATA);
        c[CFG_SIZE] = c[CFG_DATA + 4] ? 20 : 0;
        break;
    }
}

/* ---- the devices */

static const VirtioType input_type = { .id = 18, .n_queues = QUEUES, .queue_size = 64, .config_bytes = CFG_BYTES, .notified = notified,
                                       .config_written = config_written };
static const InputDeviceOps keyboard_ops = { .kinds = INPUT_KEYBOARD, .key = key, .ready = ready };
static const InputDeviceOps mouse_ops = { .kinds = INPUT_RELATIVE, .pointer = pointer, .ready = ready };
static const InputDeviceOps tablet_ops = { .kinds = INPUT_ABSOLUTE, .pointer = pointer, .ready = ready };

static bool realize(Device *d, GError **err)
{
    VirtioInput *i = (VirtioInput *)d;
    const InputDeviceOps *ops = d->type == &virtio_keyboard_pci_type ? &keyboard_ops : d->type == &virtio_mouse_pci_type ? &mouse_ops : &tablet_ops;
    g_free(i->base.disable_legacy); /* there is no legacy interface of this device */
    i->base.disable_legacy = g_strdup("on");
    i->input = input_add(d->machine->input, d->type->summary, ops, i);
    return virtio_pci_realize(&i->base, &input_type, err);
}

static void unrealize(Device *d) { input_remove(((VirtioInput *)d)->input); }

static bool post_load(Device *d, GError **err)
{
    if (((VirtioInput *)d)->n_waiting > WAITING)
        return error_set(err, ERR_INVALID, "%s: saved state has more events than there is room for", d->path);
    return virtio_pci_post_load(d, err);
}

static const Field fields[] = {
    VIRTIO_PCI_FIELDS(VirtioInput, base),
    { FA(VirtioInput, waiting), .doc = "events that the driver has no buffers for yet" },
    { F(VirtioInput, n_waiting) },
    { F(VirtioInput, buttons), .doc = "as last reported" },
    { FO(VirtioInput, input), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};
static const PciInfo keyboard_info = VIRTIO_PCI_INFO(0x1052, 0x090000, QUEUES + 1), mouse_info = VIRTIO_PCI_INFO(0x1052, 0x090200, QUEUES + 1),
                     tablet_info = VIRTIO_PCI_INFO(0x1052, 0x098000, QUEUES + 1);

#define INPUT_TYPE(type_name, text, pci_info)                                                                          \
    { .name = type_name, .summary = text, .spec = "Virtio 1.2, 5.8", .size = sizeof(VirtioInput), .version = 1,        \
      .fields = fields, .windows = virtio_pci_windows, .pci = pci_info, .realize = realize, .unrealize = unrealize,    \
      .reset = virtio_pci_reset, .post_load = post_load }
const DeviceType virtio_keyboard_pci_type = INPUT_TYPE("virtio-keyboard-pci", "QEMU Virtio Keyboard", &keyboard_info);
const DeviceType virtio_mouse_pci_type = INPUT_TYPE("virtio-mouse-pci", "QEMU Virtio Mouse", &mouse_info);
const DeviceType virtio_tablet_pci_type = INPUT_TYPE("virtio-tablet-pci", "QEMU Virtio Tablet", &tablet_info);
