/* port92.c - system control port A of the PS/2: fast A20 gate (bit 1) and fast reset (bit 0, on its rise). */
#include "devices/misc/misc.h"
#include "machine/machine.h"

enum { RESET = 1, A20 = 2, WRITABLE = 0x0b };

typedef struct Port92 {
    Device dev;
    uint8_t value;
} Port92;

static uint64_t port92_read(Device *d, uint64_t off, unsigned size) { return ((Port92 *)d)->value; }

static void port92_write(Device *d, uint64_t off, unsigned size, uint64_t v)
{
    Port92 *p = (Port92 *)d;
    bool reset = v & ~p->value & RESET;
    p->value = v & WRITABLE;
    irq_set(&d->irq[0], v & A20);
    if (reset)
        machine_request(d->machine, CAUSE_GUEST_RESET);
}

static void port92_reset(Device *d, ResetKind kind) { irq_set(&d->irq[0], true); }

static const Field port92_fields[] = {
    { F(Port92, value), .reset = A20, .doc = "as written" },
    DEVICE_FIELDS_END,
};
static const WindowOps port92_ops = { port92_read, port92_write, 1, 1 };
static const WindowDecl port92_windows[] = { { "port", SPACE_PIO, 1, &port92_ops }, { .name = NULL } };

const DeviceType port92_type = {
    .name = "port92",
    .summary = "fast A20 gate and reset",
    .spec = "82371SB (PIIX3) data sheet, port 92h",
    .size = sizeof(Port92),
    .version = 1,
    .internal = true,
    .fields = port92_fields,
    .windows = port92_windows,
    .n_irqs = 1,
    .reset = port92_reset,
};
