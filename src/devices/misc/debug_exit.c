/* debug_exit.c - a port that ends the machine: writing v makes the program's exit status (v << 1) | 1. */
#include "devices/misc/misc.h"
#include "machine/machine.h"

enum { LARGEST = 4 };

typedef struct DebugExit {
    Device dev;
    uint32_t iobase, iosize;
} DebugExit;

static uint64_t debug_exit_read(Device *d, uint64_t off, unsigned size) { return 0; }

static void debug_exit_write(Device *d, uint64_t off, unsigned size, uint64_t v)
{
    if (off + size > ((DebugExit *)d)->iosize)
        return;
    atomic_store(&d->machine->exit_code, (int)(v << 1 & 0xffff) | 1);
    machine_request(d->machine, CAUSE_DEBUG_EXIT);
}

static const Field debug_exit_fields[] = {
    { F(DebugExit, iobase), .role = FIELD_PROP, .reset = 0x501, .max = 0xfffc, .doc = "first port" },
    { F(DebugExit, iosize), .role = FIELD_PROP, .reset = 2, .min = 1, .max = LARGEST, .doc = "ports that answer" },
    DEVICE_FIELDS_END,
};
static const WindowOps debug_exit_ops = { debug_exit_read, debug_exit_write, 1, LARGEST };
static const WindowDecl debug_exit_windows[] = { { "port", SPACE_PIO, LARGEST, &debug_exit_ops }, { .name = NULL } };

const DeviceType isa_debug_exit_type = {
    .name = "isa-debug-exit",
    .summary = "port that ends the machine with an exit status, for tests",
    .size = sizeof(DebugExit),
    .version = 1,
    .fields = debug_exit_fields,
    .windows = debug_exit_windows,
};
