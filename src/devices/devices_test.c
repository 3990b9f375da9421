/*
 * devices_test.c - what every device type must do, whatever it is: the tests walk device_types[].
 *
 * A type that needs a backend (a drive, a chardev) that this test cannot give says so by a required property and is
 * then only checked as far as its table goes.
 */
#include "devices/devices.h"

#include <string.h>

#include "machine/machine.h"

enum { POKES = 400 };

typedef struct Rig {
    Machine *machine;
    PciBus *bus;
    Device *device;
} Rig;

static void ignore_intx(void *opaque, uint8_t devfn, unsigned pin, bool level) { (void)opaque, (void)devfn, (void)pin, (void)level; }
static void ignore_msi(void *opaque, uint64_t address, uint32_t data) { (void)opaque, (void)address, (void)data; }
static const PciBusOps quiet_bus = { .set_intx = ignore_intx, .msi = ignore_msi };

static Rig rig_create(const DeviceType *t)
{
    MachineConfig config = { .ram_size = 1 << 20, .manual_clock = true, .cpus = 0, .max_cpus = 1 };
    Rig r = { .machine = machine_create(&config, NULL) };
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .size = 1 << 20, .ram = r.machine->ram };
    g_assert_nonnull(region_add(r.machine->memory, &ram, NULL));
    r.bus = pci_bus_create(r.machine, "pci.0", &quiet_bus, NULL);
    r.device = device_new(r.machine, t, NULL, NULL, NULL);
    g_assert_nonnull(r.device);
    if (t->pci)
        g_assert_true(pci_plug((PciDevice *)r.device, r.bus, -1, NULL));
    return r;
}

static void rig_destroy(Rig *r)
{
    device_destroy(r->device);
    pci_bus_destroy(r->bus);
    machine_destroy(r->machine);
}

/* Types that cannot stand alone say so when they are realized; the message must be one for people. */
static bool rig_realize(Rig *r)
{
    g_autoptr(GError) err = NULL;
    if (device_realize(r->device, &err))
        return true;
    g_assert_nonnull(err);
    g_assert_cmpuint(strlen(err->message), >, 10);
    g_test_message("%s does not stand alone: %s", r->device->type->name, err->message);
    return false;
}

static GByteArray *save(Machine *m)
{
    GByteArray *state = g_byte_array_new();
    g_assert_true(machine_save(m, state, NULL));
    return state;
}

static void assert_same(const GByteArray *a, const GByteArray *b)
{
    g_assert_cmpmem(a->data, a->len, b->data, b->len);
}

static const WindowDecl *window(const DeviceType *t, unsigned i) { return t->windows && t->windows[i].name ? &t->windows[i] : NULL; }

static unsigned allowed_size(const WindowOps *o, uint32_t random)
{
    unsigned size = 1u << (random & 3);
    unsigned max = o->max ? o->max : 8;
    return CLAMP(size, MAX(o->min, 1), max);
}

/* Random writes and reads of every register, the way a confused guest does it. */
static void poke(Device *d)
{
    for (unsigned i = 0; window(d->type, i); i++) {
        const WindowDecl *w = window(d->type, i);
        for (unsigned n = 0; n < POKES; n++) {
            unsigned size = allowed_size(w->ops, g_test_rand_int());
            uint64_t off = (uint64_t)g_test_rand_int_range(0, MIN(w->size, 1 << 20)) & ~(uint64_t)(size - 1);
            if (off + size > w->size)
                continue;
            g_mutex_lock(&d->lock);
            if (g_test_rand_bit() && w->ops->write)
                w->ops->write(d, off, size, (uint32_t)g_test_rand_int() & (size == 8 ? UINT64_MAX : (1ull << size * 8) - 1));
            else if (w->ops->read)
                w->ops->read(d, off, size);
            g_mutex_unlock(&d->lock);
        }
    }
    clock_advance(d->machine->clock, 1000000);
}

static void test_reset_twice(const void *arg)
{
    Rig r = rig_create(arg);
    if (rig_realize(&r)) {
        device_reset(r.device, RESET_COLD);
        g_autoptr(GByteArray) first = save(r.machine);
        poke(r.device);
        device_reset(r.device, RESET_COLD);
        device_reset(r.device, RESET_COLD);
        clock_set(r.machine->clock, 0);
        g_autoptr(GByteArray) second = save(r.machine);
        assert_same(first, second);
    } else {
        g_test_skip("does not stand alone");
    }
    rig_destroy(&r);
}

static void test_save_load_save(const void *arg)
{
    Rig r = rig_create(arg);
    if (rig_realize(&r)) {
        poke(r.device);
        g_autoptr(GByteArray) first = save(r.machine);
        device_reset(r.device, RESET_COLD);
        g_autoptr(GError) err = NULL;
        bool loaded = machine_load(r.machine, first->data, first->len, &err);
        g_assert_no_error(err);
        g_assert_true(loaded);
        g_autoptr(GByteArray) second = save(r.machine);
        assert_same(first, second);
    } else {
        g_test_skip("does not stand alone");
    }
    rig_destroy(&r);
}

/* ---- the table itself */

static void mark(uint8_t *seen, const Field *f, const DeviceType *t)
{
    if (f->off + f->bytes > t->size)
        g_error("%s.%s lies outside the struct", t->name, f->name);
    for (unsigned i = 0; i < f->bytes; i++) {
        if (seen[f->off + i])
            g_error("%s.%s is described twice", t->name, f->name);
        seen[f->off + i] = 1;
    }
}

/* A hole may only be what the compiler pads with: shorter than 8 bytes and ending at a multiple of its own size or at the
 * end of the struct. */
static void test_every_byte(const void *arg)
{
    const DeviceType *t = arg;
    g_autofree uint8_t *seen = g_malloc0(t->size);
    memset(seen, 1, t->base_size ? t->base_size : t->pci ? sizeof(PciDevice) : sizeof(Device));
    for (const Field *f = t->fields; f && f->name; f++)
        mark(seen, f, t);
    for (unsigned i = 0, start; i < t->size; i++) {
        for (start = i; i < t->size && !seen[i]; i++)
            ;
        if (i - start >= 8 && i < t->size)
            g_error("%s: bytes %u to %u of its struct are in no field", t->name, start, i - 1);
    }
}

static void set_beyond(Device *d, const Field *f, uint64_t value)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, value);
    g_assert_false(field_parse(f, d, text, d->path, &err));
    g_assert_error(err, ATOLL_ERROR, ERR_INVALID);
    g_assert_nonnull(strstr(err->message, f->name));
}

static void test_property_ranges(const void *arg)
{
    Rig r = rig_create(arg);
    for (const Field *f = r.device->type->fields; f && f->name; f++) {
        if (f->role != FIELD_PROP)
            continue;
        g_assert_nonnull(f->doc); /* it shows in help and manual */
        if (f->type == FT_STR || f->type == FT_BOOL)
            continue;
        uint64_t max = f->max ? f->max : f->bytes == 8 ? UINT64_MAX : (1ull << f->bytes * 8) - 1;
        if (max != UINT64_MAX)
            set_beyond(r.device, f, max + 1);
        if (f->min)
            set_beyond(r.device, f, f->min - 1);
        g_assert_cmpuint(f->reset, >=, f->min);
        g_assert_cmpuint(f->reset, <=, max);
    }
    rig_destroy(&r);
}

static void test_described(const void *arg)
{
    const DeviceType *t = arg;
    g_assert_nonnull(t->summary);
    g_assert_cmpuint(t->version, >, 0);
    g_autofree char *help = device_type_help(t);
    g_assert_true(g_str_has_prefix(help, t->name));
}

static const struct { const char *name; GTestDataFunc fn; } checks[] = {
    { "described", test_described }, { "every-byte", test_every_byte }, { "property-ranges", test_property_ranges },
    { "reset-twice", test_reset_twice }, { "save-load-save", test_save_load_save },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (const DeviceType *const *t = device_types; *t; t++)
        for (unsigned i = 0; i < G_N_ELEMENTS(checks); i++) {
            g_autofree char *path = g_strdup_printf("/devices/%s/%s", (*t)->name, checks[i].name);
            g_test_add_data_func(path, *t, checks[i].fn);
        }
    return g_test_run();
}
