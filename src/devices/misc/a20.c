/*
 * a20.c - the gate on address line 20.
 *
 * With the gate closed, the 64 KiB at 1 MiB show RAM at 0: what real-mode programs that count on the 8086's wrap-around
 * can reach.  Addresses further up are not folded, which would cost every access for the sake of programs that close
 * the gate in protected mode.
 */
#include "devices/misc/a20.h"

#include "machine/machine.h"

typedef struct A20 {
    Device dev;
    uint8_t inputs;  /* levels, a bit each */
    MemRegion *wrap; /* visible while the gate is closed */
} A20;

enum { INPUTS = 2, MIB = 1 << 20, WRAP = 64 << 10 };

static void a20_set(Device *d, unsigned n, bool level)
{
    A20 *a = (A20 *)d;
    a->inputs = level ? a->inputs | 1u << n : a->inputs & ~(1u << n);
    region_enable(a->wrap, !a->inputs);
}

static bool a20_realize(Device *d, GError **err)
{
    Machine *m = d->machine;
    RegionDecl decl = { .name = "A20 wrap", .kind = REGION_RAM, .base = MIB, .size = WRAP, .priority = 20, .ram = m->ram, .disabled = true };
    return (((A20 *)d)->wrap = region_add(m->memory, &decl, err));
}

static void a20_unrealize(Device *d) { g_clear_pointer(&((A20 *)d)->wrap, region_remove); }
static void a20_reset(Device *d, ResetKind k) { region_enable(((A20 *)d)->wrap, false); }

static bool a20_post_load(Device *d, GError **err)
{
    region_enable(((A20 *)d)->wrap, !((A20 *)d)->inputs);
    return true;
}

static const Field a20_fields[] = {
    { F(A20, inputs), .reset = 3, .doc = "levels of keyboard controller and port 92h" },
    { FO(A20, wrap), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

const DeviceType a20_type = {
    .name = "a20-gate",
    .summary = "gate on address line 20",
    .size = sizeof(A20),
    .version = 1,
    .fields = a20_fields,
    .internal = true,
    .realize = a20_realize,
    .unrealize = a20_unrealize,
    .reset = a20_reset,
    .post_load = a20_post_load,
    .set_irq = a20_set,
};
