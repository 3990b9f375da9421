/* bus.c - buses by name, and plugging devices into them. */
#include "machine/bus.h"

#include "machine/machine.h"

/* ---- names */

static Bus *by_name(Machine *m, const char *name)
{
    for (unsigned i = 0; i < m->buses->len; i++)
        if (g_str_equal(((Bus *)m->buses->pdata[i])->name, name))
            return m->buses->pdata[i];
    return NULL;
}

void bus_init(Bus *b, Machine *m, const BusType *type, const char *name, Device *owner)
{
    *b = (Bus){ .type = type, .machine = m, .name = g_strdup(name), .owner = owner };
    g_ptr_array_add(m->buses, b);
}

void bus_init_for(Bus *b, Device *owner, const BusType *type)
{
    g_autofree char *stem = owner->id ? g_strdup(owner->id) : g_ascii_strdown(type->kind, -1);
    g_autofree char *name = g_strdup_printf("%s.0", stem);
    for (unsigned n = 1; by_name(owner->machine, name); n++) {
        g_free(name);
        name = g_strdup_printf("%s.%u", stem, n);
    }
    bus_init(b, owner->machine, type, name, owner);
}

void bus_clear(Bus *b)
{
    if (b->machine)
        g_ptr_array_remove(b->machine->buses, b);
    g_clear_pointer(&b->name, g_free);
}

const char *device_bus_kind(const DeviceType *t) { return t->bus ? t->bus : t->pci ? "PCI" : "ISA"; }

/* ---- finding */

static bool fits(const Bus *b, const char *kind) { return g_str_equal(b->type->kind, kind); }

static char *names_of(Machine *m, const char *kind)
{
    GString *s = g_string_new(NULL);
    for (unsigned i = 0; i < m->buses->len; i++) {
        const Bus *b = m->buses->pdata[i];
        if (fits(b, kind))
            g_string_append_printf(s, "%s%s", s->len ? ", " : "", b->name);
    }
    return g_string_free(s, FALSE);
}

static Bus *find_named(Machine *m, const char *kind, const char *name, GError **err)
{
    Bus *b = by_name(m, name);
    if (b && fits(b, kind))
        return b;
    g_autofree char *all = names_of(m, kind);
    if (b)
        error_set(err, ERR_INVALID, "bus '%s' is a %s bus, and the device goes on %s (%s)", name, b->type->kind, kind, *all ? all : "this machine has none");
    else
        error_set(err, ERR_NOT_FOUND, "there is no bus '%s'; %s buses of this machine: %s", name, kind, *all ? all : "none");
    return NULL;
}

Bus *bus_find(Machine *m, const char *kind, const char *name, GError **err)
{
    if (name)
        return find_named(m, kind, name, err);
    bool some = false;
    for (unsigned i = 0; i < m->buses->len; i++) {
        Bus *b = m->buses->pdata[i];
        some |= fits(b, kind);
        if (fits(b, kind) && (!b->type->full || !b->type->full(b)))
            return b;
    }
    error_set(err, some ? ERR_BUSY : ERR_NOT_FOUND, some ? "every %s bus of this machine is full; add a controller" : "this machine has no %s bus; add a controller first", kind);
    return NULL;
}

/* ---- plugging */

static bool plug_into(Device *d, Bus *b, const char *addr, GError **err)
{
    if (!b->type->plug(b, d, addr, err))
        return false;
    d->bus = b;
    return device_realize(d, err);
}

static Bus *bus_for(Device *d, const char *name, GError **err)
{
    g_autoptr(GError) why = NULL;
    Bus *b = bus_find(d->machine, device_bus_kind(d->type), name, &why);
    if (!b)
        g_propagate_prefixed_error(err, g_steal_pointer(&why), "%s: ", d->path);
    return b;
}

bool device_plug(Device *d, const char *bus, const char *addr, GError **err)
{
    Bus *b = bus_for(d, bus, err);
    return b && plug_into(d, b, addr, err);
}

/* ---- at run time */

bool device_hotplug(Device *d, const char *bus, const char *addr, GError **err)
{
    Bus *b = bus_for(d, bus, err);
    if (!b)
        return false;
    if (!b->type->plugged)
        return error_set(err, ERR_UNSUPPORTED, "%s: bus '%s' takes devices only while the machine is off", d->path, b->name);
    if (!plug_into(d, b, addr, err))
        return false;
    d->hotplugged = true;
    b->type->plugged(b, d);
    return true;
}

bool device_unplug_request(Device *d, GError **err)
{
    if (!d->bus || !d->bus->type->unplug_request)
        return error_set(err, ERR_UNSUPPORTED, "device '%s' cannot be taken out of %s%s while the machine runs", d->path,
                         d->bus ? "bus " : "the board", d->bus ? d->bus->name : "");
    return d->bus->type->unplug_request(d->bus, d, err);
}

void device_let_go(Device *d)
{
    const MachineListener *l = &d->machine->listener;
    if (l->unplugged)
        l->unplugged(l->opaque, d);
}

static Device *plugged_into(const Device *owner)
{
    const Machine *m = owner->machine;
    for (unsigned i = m->devices->len; i-- > 0;) {
        Device *d = m->devices->pdata[i];
        if (d->bus && d->bus->owner == owner)
            return d;
    }
    return NULL;
}

static void destroy_tree(Device *d)
{
    for (Device *child; (child = plugged_into(d));)
        destroy_tree(child);
    device_destroy(d);
}

void device_unplug(Device *d)
{
    Machine *m = d->machine;
    bool running = machine_running(m);
    if (running)
        machine_stop(m);
    destroy_tree(d);
    if (running)
        machine_start(m);
}
