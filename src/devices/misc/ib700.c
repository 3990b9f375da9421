/* ib700.c - the watchdog of iBASE's IB700 board: unless the guest keeps writing to it, the machine is reset, or what -action watchdog= says. */
#include "devices/misc/misc.h"
#include "machine/machine.h"

enum { DISABLE = 0, ENABLE = 2, PORTS = 3 }; /* 441h and 443h */

typedef struct Ib700 {
    Device dev;
    uint32_t iobase;
    int64_t deadline; /* ns; 0: off */
    Timer timer;
} Ib700;

/* The lower four bits choose from a table of 30 seconds down to 0 in steps of 2. */
static int64_t timeout_ns(uint8_t value) { return (30 - 2 * (value & 15)) * 1000000000ll; }

static void bite(void *d)
{
    Ib700 *w = d;
    w->deadline = 0;
    machine_request(w->dev.machine, CAUSE_WATCHDOG);
}

static void arm(Ib700 *w)
{
    if (w->deadline)
        timer_arm(&w->timer, w->deadline);
    else
        timer_disarm(&w->timer);
}

static void ib700_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    Ib700 *w = (Ib700 *)d;
    if (off == ENABLE)
        w->deadline = clock_now(d->machine->clock) + timeout_ns(value) + 1; /* never 0 */
    else if (off == DISABLE)
        w->deadline = 0;
    arm(w);
}

static bool ib700_realize(Device *d, GError **err)
{
    device_timer_init(d, &((Ib700 *)d)->timer, bite);
    return true;
}

static void ib700_unrealize(Device *d) { timer_finish(&((Ib700 *)d)->timer); }
static void ib700_reset(Device *d, ResetKind k) { arm((Ib700 *)d); }

static bool ib700_post_load(Device *d, GError **err)
{
    arm((Ib700 *)d);
    return true;
}

static const Field ib700_fields[] = {
    { F(Ib700, iobase), .role = FIELD_PROP, .reset = 0x441, .max = 0xfffd, .doc = "the first port" },
    { F(Ib700, deadline), .doc = "when it bites, in ns of the machine's clock; 0: off" },
    { FO(Ib700, timer), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};
static const WindowOps ib700_ops = { .write = ib700_write, .min = 1, .max = 1 };
static const WindowDecl ib700_windows[] = { { "ports", SPACE_PIO, PORTS, &ib700_ops }, { .name = NULL } };

const DeviceType ib700_type = {
    .name = "ib700",
    .summary = "watchdog timer that resets the machine, or what -action watchdog= says",
    .spec = "iBASE IB700 single board computer: watchdog timer",
    .size = sizeof(Ib700),
    .version = 1,
    .fields = ib700_fields,
    .windows = ib700_windows,
    .realize = ib700_realize,
    .unrealize = ib700_unrealize,
    .reset = ib700_reset,
    .post_load = ib700_post_load,
};
