/* board.c - what every board does alike. */
#include "boards/board.h"

#include "boards/board_inside.h"

static bool is_named(const BoardType *t, const char *name)
{
    return g_str_equal(t->name, name) || g_strcmp0(t->alias, name) == 0 ||
           (t->versioned && g_str_has_prefix(name, t->versioned) && g_strv_contains(board_versions, name + strlen(t->versioned)));
}

const BoardType *board_find(const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const BoardType *const *t = board_types; *t; t++) {
        if (is_named(*t, name))
            return *t;
        g_ptr_array_add(names, (void *)(*t)->name);
        if ((*t)->alias)
            g_ptr_array_add(names, (void *)(*t)->alias);
    }
    g_ptr_array_add(names, NULL);
    g_autofree char *hint = did_you_mean(name, (const char *const *)names->pdata);
    error_set(err, ERR_NOT_FOUND, "there is no machine type '%s'%s; -machine help lists them", name, hint);
    return NULL;
}

Board *board_create(const BoardType *type, Machine *m, const BoardConfig *config, GError **err)
{
    if (m->config.max_cpus > type->max_cpus || m->config.cpus > type->max_cpus) {
        error_set(err, ERR_INVALID, "machine '%s' has at most %u CPUs, not %u; lower -smp", type->name, type->max_cpus,
                  MAX(m->config.max_cpus, m->config.cpus));
        return NULL;
    }
    return type->create(m, config, err);
}

void board_destroy(Board *b)
{
    if (b)
        b->ops->destroy(b);
}

void board_destroy_devices(Machine *m, unsigned keep)
{
    while (m->devices->len > keep)
        device_destroy(m->devices->pdata[m->devices->len - 1]);
}

/* ---- ISA cards: their address and line are properties */

static const Field *find_number(const Device *d, const char *const *names)
{
    const Field *f = NULL;
    for (; !f && *names; names++)
        f = field_find(d->type->fields, *names, FIELD_PROP);
    return f;
}

static bool plug_isa(Bus *bus, Device *d, const char *addr, GError **err)
{
    static const char *const irq_names[] = { "irq", NULL };
    Board *b = ((IsaBus *)bus)->board;
    const Field *irq = find_number(d, irq_names);
    if (irq && d->type->n_irqs) {
        uint64_t n = field_get(irq, d, 0);
        if (n > 15)
            return error_set(err, ERR_INVALID, "%s: irq is 0 to 15, not %u", d->path, (unsigned)n);
        d->irq[0] = b->ops->isa_irq(b, n);
    }
    return b->ops->attach(b, d, err);
}

const BusType isa_bus_type = { .kind = "ISA", .plug = plug_isa };

/* A card's first window stands where its property says. */
static bool map_card(Device *d, GError **err)
{
    static const char *const base_names[] = { "iobase", "ioport", NULL };
    const Field *base = d->bus->type == &isa_bus_type ? find_number(d, base_names) : NULL;
    return !base || !d->windows || device_map(d, 0, field_get(base, d, 0), err);
}

bool board_plug(Board *b, Device *d, const char *bus, const char *addr, GError **err)
{
    if (d->type->internal)
        return error_set(err, ERR_INVALID, "device '%s' is part of the machine; it cannot be added", d->type->name);
    if (addr && !d->type->pci)
        return error_set(err, ERR_INVALID, "%s: device '%s' is not a PCI device and takes no addr", d->path, d->type->name);
    return device_plug(d, bus, addr, err) && map_card(d, err) && b->ops->plugged(b, d, err);
}

bool board_set_boot_order(Board *b, const BootOrder *order, GError **err) { return b->ops->set_boot_order(b, order, err); }

bool board_add_file(Board *b, const char *name, const void *data, size_t n, GError **err)
{
    return b->ops->add_file(b, name, data, n, err);
}

bool board_start_direct(Board *b, BoardStart *ret, GError **err) { return b->ops->start_direct(b, ret, err); }
