#pragma once
#include "machine/machine.h"
/*
 * testing.h - for unit tests of devices: a machine with a manual clock, accesses by port and address, and a sink that
 * counts what an interrupt line does.
 */
static inline Machine *test_machine(void)
{
    MachineConfig config = { .manual_clock = true };
    Machine *m = machine_create(&config, NULL);
    g_assert_nonnull(m);
    return m;
}

static inline uint64_t test_read(AddressSpace *s, uint64_t at, unsigned size)
{
    FlatView *view = space_view(s);
    uint64_t v = view_read(view, at, size);
    view_unref(view);
    return v;
}

static inline void test_write(AddressSpace *s, uint64_t at, unsigned size, uint64_t value)
{
    FlatView *view = space_view(s);
    view_write(view, at, size, value);
    view_unref(view);
}

static inline uint8_t test_in(Machine *m, uint16_t port) { return test_read(m->ports, port, 1); }
static inline void test_out(Machine *m, uint16_t port, uint8_t v) { test_write(m->ports, port, 1, v); }

typedef struct TestLine {
    bool level;
    unsigned rises;
    Machine *machine;
    int64_t last_rise; /* ns */
} TestLine;

static inline void test_line_set(void *sink, unsigned n, bool level)
{
    TestLine *l = sink;
    if (level && !l->level) {
        l->rises++;
        l->last_rise = clock_now(l->machine->clock);
    }
    l->level = level;
}

/* Leads output n of d to l. */
static inline void test_watch(Device *d, unsigned n, TestLine *l)
{
    *l = (TestLine){ .machine = d->machine };
    d->irq[n] = (IrqLine){ test_line_set, l, n };
}

static inline Device *test_device(Machine *m, const DeviceType *t, const char *const *props)
{
    g_autoptr(GError) err = NULL;
    Device *d = device_create(m, t, NULL, props, &err);
    g_assert_no_error(err);
    return d;
}

static inline void test_map(Device *d, unsigned window, uint64_t at) { g_assert_true(device_map(d, window, at, NULL)); }
