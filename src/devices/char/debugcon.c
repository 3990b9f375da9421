/* debugcon.c - a port whose writes are a firmware's debug messages, as Bochs has it at e9h and OVMF and SeaBIOS at
 * 402h. */
#include "devices/char/char.h"

#include "console/chardev.h"
#include "machine/machine.h"

typedef struct Debugcon {
    Device dev;
    char *chardev;
    uint32_t iobase, readback;
    Chardev *chr;
} Debugcon;

static uint64_t debugcon_read(Device *d, uint64_t off, unsigned size) { return ((Debugcon *)d)->readback; }

static void debugcon_write(Device *d, uint64_t off, unsigned size, uint64_t v)
{
    uint8_t byte = v;
    if (((Debugcon *)d)->chr)
        chardev_write(((Debugcon *)d)->chr, &byte, 1);
}

static bool debugcon_realize(Device *d, GError **err)
{
    Debugcon *c = (Debugcon *)d;
    if (c->chardev)
        c->chr = machine_claim_backend(d->machine, BACKEND_CHARDEV, c->chardev, d, err);
    return c->chr || !c->chardev;
}

static void debugcon_unrealize(Device *d)
{
    Debugcon *c = (Debugcon *)d;
    if (c->chr)
        machine_release_backend(d->machine, BACKEND_CHARDEV, c->chardev);
}

static const Field debugcon_fields[] = {
    { F(Debugcon, chardev), .role = FIELD_PROP, .doc = "id of the chardev that gets the bytes" },
    { F(Debugcon, iobase), .role = FIELD_PROP, .reset = 0xe9, .max = 0xffff, .doc = "the port" },
    { F(Debugcon, readback), .role = FIELD_PROP, .reset = 0xe9, .max = 0xff,
      .doc = "what reading gives: how firmware finds it" },
    { FO(Debugcon, chr), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};
static const WindowOps debugcon_ops = { debugcon_read, debugcon_write, 1, 1 };
static const WindowDecl debugcon_windows[] = { { "port", SPACE_PIO, 1, &debugcon_ops }, { .name = NULL } };

const DeviceType isa_debugcon_type = {
    .name = "isa-debugcon",
    .summary = "debug console port",
    .spec = "Bochs port e9h",
    .size = sizeof(Debugcon),
    .version = 1,
    .fields = debugcon_fields,
    .windows = debugcon_windows,
    .realize = debugcon_realize,
    .unrealize = debugcon_unrealize,
};
