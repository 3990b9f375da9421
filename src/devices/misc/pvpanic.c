/* pvpanic.c - a port by which a guest's kernel says that it has panicked. */
#include "devices/misc/misc.h"
#include "machine/machine.h"

enum { EVENT_PANICKED = 1, EVENT_CRASH_LOADED = 2 };

typedef struct Pvpanic {
    Device dev;
    uint32_t iobase;
    uint8_t events;
} Pvpanic;

static uint64_t pvpanic_read(Device *d, uint64_t off, unsigned size) { return ((Pvpanic *)d)->events; }

static void pvpanic_write(Device *d, uint64_t off, unsigned size, uint64_t v)
{
    uint8_t told = v & ((Pvpanic *)d)->events;
    if (told & EVENT_PANICKED)
        machine_request(d->machine, CAUSE_GUEST_PANIC);
    else if (told & EVENT_CRASH_LOADED)
        log_write(device_log(d), LOG_GUEST_ERROR, "%s: the guest has panicked and its crash kernel takes over",
                  d->path);
}

static const Field pvpanic_fields[] = {
    { F(Pvpanic, iobase), .role = FIELD_PROP, .reset = 0x505, .max = 0xffff, .doc = "the port" },
    { F(Pvpanic, events), .role = FIELD_PROP, .reset = EVENT_PANICKED | EVENT_CRASH_LOADED, .max = 3,
      .doc = "events that the guest may tell: 1 panic, 2 crash kernel loaded" },
    DEVICE_FIELDS_END,
};
static const WindowOps pvpanic_ops = { pvpanic_read, pvpanic_write, 1, 1 };
static const WindowDecl pvpanic_windows[] = { { "port", SPACE_PIO, 1, &pvpanic_ops }, { .name = NULL } };

const DeviceType pvpanic_type = {
    .name = "pvpanic",
    .summary = "tells the host of a guest's panic",
    .spec = "QEMU docs/specs/pvpanic",
    .size = sizeof(Pvpanic),
    .version = 1,
    .fields = pvpanic_fields,
    .windows = pvpanic_windows,
};
