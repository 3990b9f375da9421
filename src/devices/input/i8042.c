/*
 * i8042.c - the keyboard controller: two serial ports for keyboard and mouse, one output buffer, A20 and reset.
 *
 * A byte that is read makes room for the next, which follows after BYTE_NS: handlers that read port 60h twice find the
 * same byte, as on hardware.  IBM Personal System/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary
 * Device Controller".
 */
#include "console/input.h"
#include "devices/input/input.h"
#include "devices/input/ps2.h"
#include "machine/machine.h"

enum { STATUS_FULL = 0x01, STATUS_SYSTEM = 0x04, STATUS_COMMAND = 0x08, STATUS_UNLOCKED = 0x10, STATUS_AUX = 0x20 };
enum {
    CTR_KBD_INT = 0x01,
    CTR_AUX_INT = 0x02,
    CTR_SYSTEM = 0x04,
    CTR_KBD_OFF = 0x10,
    CTR_AUX_OFF = 0x20,
    CTR_TRANSLATE = 0x40
};
enum { PORT_NOT_RESET = 0x01, PORT_A20 = 0x02, PORT_KBD_FULL = 0x10, PORT_AUX_FULL = 0x20 };
enum {
    CMD_READ_RAM = 0x20,
    CMD_READ_RAM_LAST = 0x3f,
    CMD_WRITE_RAM = 0x60,
    CMD_WRITE_RAM_LAST = 0x7f,
    CMD_AUX_DISABLE = 0xa7,
    CMD_AUX_ENABLE = 0xa8,
    CMD_AUX_TEST = 0xa9,
    CMD_SELF_TEST = 0xaa,
    CMD_KBD_TEST = 0xab,
    CMD_KBD_DISABLE = 0xad,
    CMD_KBD_ENABLE = 0xae,
    CMD_READ_INPUT = 0xc0,
    CMD_READ_OUTPUT = 0xd0,
    CMD_WRITE_OUTPUT = 0xd1,
    CMD_WRITE_KBD_BUFFER = 0xd2,
    CMD_WRITE_AUX_BUFFER = 0xd3,
    CMD_WRITE_AUX = 0xd4,
    CMD_A20_OFF = 0xdd,
    CMD_A20_ON = 0xdf,
    CMD_READ_TEST = 0xe0,
    CMD_PULSE = 0xf0,
};
enum { SELF_TEST_PASSED = 0x55, INPUT_PORT = 0x80, BYTE_NS = 50000 };

typedef enum Source { FROM_CONTROLLER, FROM_KEYBOARD, FROM_MOUSE } Source;

typedef struct I8042 {
    Device dev;
    uint8_t status, data, output;
    uint8_t ram[32];  /* ram[0]: the controller command byte */
    uint8_t command;  /* one that waits for its data byte; 0: none */
    uint8_t reply;    /* of the controller itself, waiting for the buffer */
    bool reply_waits, reply_as_mouse;
    bool busy;        /* the next byte is on its way */
    Ps2Keyboard keyboard;
    Ps2Mouse mouse;
    Timer timer;
    InputDevice *keyboard_input, *mouse_input;
} I8042;

static uint8_t ctr(const I8042 *k) { return k->ram[0]; }
static bool full(const I8042 *k) { return k->status & STATUS_FULL; }

/* ---- the output buffer */

static void update_irqs(I8042 *k)
{
    bool aux = k->status & STATUS_AUX;
    irq_set(&k->dev.irq[I8042_KEYBOARD_IRQ], full(k) && !aux && (ctr(k) & CTR_KBD_INT));
    irq_set(&k->dev.irq[I8042_MOUSE_IRQ], full(k) && aux && (ctr(k) & CTR_AUX_INT));
}

static void fill(I8042 *k, uint8_t byte, bool aux)
{
    k->data = byte;
    k->status = (k->status & ~STATUS_AUX) | STATUS_FULL | (aux ? STATUS_AUX : 0);
    k->output = (k->output & ~(PORT_KBD_FULL | PORT_AUX_FULL)) | (aux ? PORT_AUX_FULL : PORT_KBD_FULL);
    update_irqs(k);
}

/* Fetches the next byte if the buffer is free: the controller's own first, then the keyboard's, then the mouse's. */
static void fetch(I8042 *k)
{
    if (full(k) || k->busy)
        return;
    if (k->reply_waits) {
        k->reply_waits = false;
        fill(k, k->reply, k->reply_as_mouse);
    } else if (k->keyboard.queue.len && !(ctr(k) & CTR_KBD_OFF)) {
        uint8_t byte = ps2_get(&k->keyboard.queue);
        if ((ctr(k) & CTR_TRANSLATE) && byte == 0xf0 && k->keyboard.queue.len) /* set 2's break prefix becomes bit 7 */
            byte = ps2_translate(ps2_get(&k->keyboard.queue)) | 0x80;
        else if (ctr(k) & CTR_TRANSLATE)
            byte = ps2_translate(byte);
        fill(k, byte, false);
    } else if (k->mouse.queue.len && !(ctr(k) & CTR_AUX_OFF)) {
        fill(k, ps2_get(&k->mouse.queue), true);
        ps2_mouse_fill(&k->mouse);
    }
}

static void byte_arrived(void *opaque)
{
    I8042 *k = opaque;
    k->busy = false;
    fetch(k);
}

static void reply(I8042 *k, uint8_t byte, bool as_mouse)
{
    k->reply = byte;
    k->reply_as_mouse = as_mouse;
    k->reply_waits = true;
    k->status &= ~STATUS_FULL; /* the controller's answer replaces what nobody has read */
    k->busy = false;
    timer_disarm(&k->timer);
    update_irqs(k);
    fetch(k);
}

static uint64_t data_read(Device *d, uint64_t off, unsigned size)
{
    I8042 *k = (I8042 *)d;
    if (full(k)) {
        k->status &= ~(STATUS_FULL | STATUS_AUX);
        k->output &= ~(PORT_KBD_FULL | PORT_AUX_FULL);
        k->busy = true;
        timer_arm(&k->timer, clock_now(d->machine->clock) + BYTE_NS);
        update_irqs(k);
    }
    return k->data;
}

/* ---- commands */

static void set_output(I8042 *k, uint8_t v)
{
    uint8_t flags = PORT_KBD_FULL | PORT_AUX_FULL;
    k->output = (k->output & flags) | (v & ~flags);
    irq_set(&k->dev.irq[I8042_A20], v & PORT_A20);
    if (!(v & PORT_NOT_RESET))
        machine_request(k->dev.machine, CAUSE_GUEST_RESET);
}

static void set_ctr(I8042 *k, uint8_t v)
{
    k->ram[0] = v;
    k->status = (k->status & ~STATUS_SYSTEM) | (v & CTR_SYSTEM ? STATUS_SYSTEM : 0);
    update_irqs(k);
    fetch(k);
}

static void self_test(I8042 *k)
{
    set_ctr(k, ctr(k) | CTR_SYSTEM | CTR_KBD_OFF | CTR_AUX_OFF);
    reply(k, SELF_TEST_PASSED, false);
}

static void ram_or_pulse_command(I8042 *k, uint8_t v)
{
    if (v >= CMD_READ_RAM && v <= CMD_READ_RAM_LAST)
        reply(k, k->ram[v & 31], false);
    else if (v >= CMD_WRITE_RAM && v <= CMD_WRITE_RAM_LAST)
        k->command = v;
    else if (v >= CMD_PULSE && !(v & PORT_NOT_RESET)) /* a low bit pulses that line of the output port */
        machine_request(k->dev.machine, CAUSE_GUEST_RESET);
    else if (v < CMD_PULSE)
        unimplemented(&k->dev, "command 0x%02x", v);
}

static void command_write(Device *d, uint64_t off, unsigned size, uint64_t v)
{
    I8042 *k = (I8042 *)d;
    k->status |= STATUS_COMMAND;
    k->command = 0;
    switch (v) {
    case CMD_AUX_DISABLE:
        set_ctr(k, ctr(k) | CTR_AUX_OFF);
        break;
    case CMD_AUX_ENABLE:
        set_ctr(k, ctr(k) & ~CTR_AUX_OFF);
        break;
    case CMD_KBD_DISABLE:
        set_ctr(k, ctr(k) | CTR_KBD_OFF);
        break;
    case CMD_KBD_ENABLE:
        set_ctr(k, ctr(k) & ~CTR_KBD_OFF);
        break;
    case CMD_AUX_TEST:
    case CMD_KBD_TEST:
    case CMD_READ_TEST:
        reply(k, 0, false);
        break;
    case CMD_SELF_TEST:
        self_test(k);
        break;
    case CMD_READ_INPUT:
        reply(k, INPUT_PORT, false);
        break;
    case CMD_READ_OUTPUT:
        reply(k, k->output, false);
        break;
    case CMD_WRITE_OUTPUT:
    case CMD_WRITE_KBD_BUFFER:
    case CMD_WRITE_AUX_BUFFER:
    case CMD_WRITE_AUX:
        k->command = v;
        break;
    case CMD_A20_OFF:
        set_output(k, k->output & ~PORT_A20);
        break;
    case CMD_A20_ON:
        set_output(k, k->output | PORT_A20);
        break;
    default:
        ram_or_pulse_command(k, v);
    }
}

static void write_keyboard(I8042 *k, uint8_t v)
{
    if (ctr(k) & CTR_KBD_OFF) /* sending turns the keyboard's clock on */
        set_ctr(k, ctr(k) & ~CTR_KBD_OFF);
    ps2_keyboard_write(&k->keyboard, v);
    input_set_leds(k->dev.machine->input, k->keyboard.leds);
    fetch(k);
}

static void write_mouse(I8042 *k, uint8_t v)
{
    ps2_mouse_write(&k->mouse, v);
    fetch(k);
}

static void data_write(Device *d, uint64_t off, unsigned size, uint64_t v)
{
    I8042 *k = (I8042 *)d;
    uint8_t command = k->command;
    k->status &= ~STATUS_COMMAND;
    k->command = 0;
    switch (command) {
    case 0:
        write_keyboard(k, v);
        break;
    case CMD_WRITE_OUTPUT:
        set_output(k, v);
        break;
    case CMD_WRITE_KBD_BUFFER:
        reply(k, v, false);
        break;
    case CMD_WRITE_AUX_BUFFER:
        reply(k, v, true);
        break;
    case CMD_WRITE_AUX:
        write_mouse(k, v);
        break;
    case CMD_WRITE_RAM:
        set_ctr(k, v);
        break;
    default:
        k->ram[command & 31] = v;
    }
}

static uint64_t status_read(Device *d, uint64_t off, unsigned size) { return ((I8042 *)d)->status; }

/* ---- the host's side */

static void key(void *opaque, const Key *key, bool down)
{
    I8042 *k = opaque;
    g_mutex_lock(&k->dev.lock);
    ps2_keyboard_key(&k->keyboard, key, down);
    fetch(k);
    g_mutex_unlock(&k->dev.lock);
}

static void pointer(void *opaque, const PointerEvent *e)
{
    I8042 *k = opaque;
    g_mutex_lock(&k->dev.lock);
    ps2_mouse_move(&k->mouse, e->dx, e->dy, e->wheel, e->buttons);
    fetch(k);
    g_mutex_unlock(&k->dev.lock);
}

static const InputDeviceOps keyboard_ops = { .kinds = INPUT_KEYBOARD, .key = key };
static const InputDeviceOps mouse_ops = { .kinds = INPUT_RELATIVE, .pointer = pointer };

/* ---- the device */

static bool i8042_realize(Device *d, GError **err)
{
    I8042 *k = (I8042 *)d;
    device_timer_init(d, &k->timer, byte_arrived);
    k->keyboard_input = input_add(d->machine->input, "QEMU PS/2 Keyboard", &keyboard_ops, k); /* names that tools look for */
    k->mouse_input = input_add(d->machine->input, "QEMU PS/2 Mouse", &mouse_ops, k);
    return true;
}

static void i8042_unrealize(Device *d)
{
    I8042 *k = (I8042 *)d;
    input_remove(k->keyboard_input);
    input_remove(k->mouse_input);
    timer_finish(&k->timer);
}

static void i8042_reset(Device *d, ResetKind kind)
{
    I8042 *k = (I8042 *)d;
    k->ram[0] =
        CTR_KBD_INT | CTR_AUX_INT | CTR_SYSTEM | CTR_TRANSLATE; /* as firmware leaves it, for guests without one */
    timer_disarm(&k->timer);
    update_irqs(k);
    irq_set(&d->irq[I8042_A20], true);
}

static bool i8042_post_load(Device *d, GError **err)
{
    I8042 *k = (I8042 *)d;
    const Ps2Queue *queues[] = { &k->keyboard.queue, &k->mouse.queue };
    for (unsigned i = 0; i < 2; i++)
        if (queues[i]->first >= PS2_QUEUE || queues[i]->len > PS2_QUEUE)
            return error_set(err, ERR_INVALID, "%s: saved state has an impossible queue", d->path);
    if (k->busy)
        timer_arm(&k->timer, clock_now(d->machine->clock) + BYTE_NS);
    return true;
}

static const Field i8042_fields[] = {
    { F(I8042, status), .reset = STATUS_UNLOCKED | STATUS_SYSTEM, .doc = "status register" },
    { F(I8042, data), .doc = "output buffer" },
    { F(I8042, output), .reset = 0xcf, .doc = "output port" },
    { FA(I8042, ram), .doc = "controller RAM; byte 0 is the command byte" },
    { F(I8042, command), .doc = "command that waits for its data" },
    { F(I8042, reply), .doc = "the controller's own next byte" },
    { F(I8042, reply_waits) },
    { F(I8042, reply_as_mouse) },
    { F(I8042, busy), .doc = "the next byte is on its way" },
    { FS(I8042, keyboard, ps2_keyboard_fields) },
    { FS(I8042, mouse, ps2_mouse_fields) },
    { FO(I8042, timer), .role = FIELD_HOST },
    { FO(I8042, keyboard_input), .role = FIELD_HOST },
    { FO(I8042, mouse_input), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};
static const WindowOps data_ops = { data_read, data_write, 1, 1 };
static const WindowOps command_ops = { status_read, command_write, 1, 1 };
static const WindowDecl i8042_windows[] = {
    { "data", SPACE_PIO, 1, &data_ops },
    { "command", SPACE_PIO, 1, &command_ops },
    { .name = NULL },
};

const DeviceType i8042_type = {
    .name = "i8042",
    .summary = "keyboard controller with PS/2 keyboard and mouse",
    .spec = "IBM PS/2 Hardware Interface Technical Reference",
    .size = sizeof(I8042),
    .version = 1,
    .internal = true,
    .fields = i8042_fields,
    .windows = i8042_windows,
    .n_irqs = I8042_OUTPUTS,
    .realize = i8042_realize,
    .unrealize = i8042_unrealize,
    .reset = i8042_reset,
    .post_load = i8042_post_load,
};
