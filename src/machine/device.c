/* device.c - the life of a device: made from its declaration, mapped, reset, destroyed. */
#include "machine/device.h"

#include <string.h>

#include "machine/machine.h"

Log *device_log(Device *d) { return d->machine->log; }

/* ---- properties */

static char *suggest_property(const DeviceType *t, const char *name)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const Field *f = t->fields; f && f->name; f++)
        if (f->role == FIELD_PROP)
            g_ptr_array_add(names, (void *)f->name);
    g_ptr_array_add(names, NULL);
    return did_you_mean(name, (const char *const *)names->pdata);
}

static bool set_property(Device *d, const char *name, const char *value, GError **err)
{
    const Field *f = field_find(d->type->fields, name, FIELD_PROP);
    if (!f && d->type->pci)
        f = field_find(pci_props, name, FIELD_PROP);
    if (f)
        return field_parse(f, d, value, d->path, err);
    g_autofree char *hint = suggest_property(d->type, name);
    return error_set(err, ERR_INVALID, "%s: device '%s' has no property '%s'%s; -device %s,help lists them", d->path, d->type->name, name,
                     hint, d->type->name);
}

static bool set_properties(Device *d, const char *const *props, GError **err)
{
    for (; props && props[0]; props += 2)
        if (!set_property(d, props[0], props[1], err))
            return false;
    return true;
}

/* ---- making */

static unsigned count_windows(const DeviceType *t)
{
    unsigned n = 0;
    while (t->windows && t->windows[n].name)
        n++;
    return n;
}

static void init_windows(Device *d)
{
    unsigned n = count_windows(d->type);
    d->windows = g_new0(Window, n);
    for (unsigned i = 0; i < n; i++) {
        d->windows[i].device = d;
        d->windows[i].decl = &d->type->windows[i];
        g_snprintf(d->windows[i].name, sizeof(d->windows[i].name), "%s.%s", d->path, d->type->windows[i].name);
    }
}

/* Called with the machine locked. */
static bool path_taken(Machine *m, const char *path)
{
    for (unsigned i = 0; i < m->devices->len; i++)
        if (g_str_equal(((Device *)m->devices->pdata[i])->path, path))
            return true;
    return false;
}

static char *choose_path(Machine *m, const DeviceType *t, const char *id)
{
    if (id)
        return g_strdup(id);
    char *path = g_strdup(t->name);
    for (unsigned n = 1; path_taken(m, path); n++) {
        g_free(path);
        path = g_strdup_printf("%s.%u", t->name, n);
    }
    return path;
}

static bool join_machine(Device *d, GError **err)
{
    Machine *m = d->machine;
    g_mutex_lock(&m->lock);
    d->path = choose_path(m, d->type, d->id);
    bool taken = path_taken(m, d->path);
    if (!taken)
        g_ptr_array_add(m->devices, d);
    g_mutex_unlock(&m->lock);
    return !taken || error_set(err, ERR_BUSY, "device id '%s' is already in use; choose another", d->path);
}

static void leave_machine(Device *d)
{
    g_mutex_lock(&d->machine->lock);
    g_ptr_array_remove(d->machine->devices, d);
    g_mutex_unlock(&d->machine->lock);
}

Device *device_new(Machine *m, const DeviceType *t, const char *id, const char *const *props, GError **err)
{
    Device *d = g_malloc0(t->size);
    d->type = t;
    d->machine = m;
    d->id = g_strdup(id);
    d->irq = g_new0(IrqLine, t->n_irqs);
    g_mutex_init(&d->lock);
    fields_reset(t->fields, d, FIELD_PROP, false);
    if (t->pci)
        fields_reset(pci_props, d, FIELD_PROP, false);
    bool joined = join_machine(d, err);
    if (joined)
        init_windows(d);
    if (joined && set_properties(d, props, err))
        return d;
    device_destroy(d);
    return NULL;
}

static bool check_required(const Device *d, GError **err)
{
    for (const Field *f = d->type->fields; f && f->name; f++)
        if (f->role == FIELD_PROP && f->required && f->type == FT_STR && !*(char **)((char *)d + f->off))
            return error_set(err, ERR_INVALID, "%s: property '%s' (%s) must be given: -device %s,%s=...", d->path, f->name,
                             f->doc, d->type->name, f->name);
    return true;
}

bool device_realize(Device *d, GError **err)
{
    if (!check_required(d, err))
        return false;
    if (d->type->pci && !pci_realize((PciDevice *)d, err))
        return false;
    d->realized = true; /* from here on unrealize is owed */
    if (d->type->realize && !d->type->realize(d, err))
        return false;
    device_reset(d, RESET_COLD);
    return true;
}

void device_destroy(Device *d)
{
    if (!d)
        return;
    leave_machine(d);
    for (unsigned i = 0; d->windows && i < count_windows(d->type); i++)
        device_unmap(d, i);
    if (d->realized && d->type->unrealize)
        d->type->unrealize(d);
    if (d->type->pci)
        pci_unrealize((PciDevice *)d);
    fields_clear(d->type->fields, d);
    if (d->type->pci)
        fields_clear(pci_props, d);
    g_mutex_clear(&d->lock);
    g_free(d->windows);
    g_free(d->irq);
    g_free(d->id);
    g_free(d->path);
    g_free(d);
}

Device *device_create(Machine *m, const DeviceType *t, const char *id, const char *const *props, GError **err)
{
    Device *d = device_new(m, t, id, props, err);
    if (d && !device_realize(d, err)) {
        device_destroy(d);
        return NULL;
    }
    return d;
}

/* ---- wiring */

bool device_map(Device *d, unsigned window, uint64_t at, GError **err)
{
    Window *w = &d->windows[window];
    AddressSpace *space = w->decl->space == SPACE_PIO || w->decl->bar_io ? d->machine->ports : d->machine->memory;
    if (w->region) {
        region_move(w->region, at);
        region_enable(w->region, true);
        return true;
    }
    RegionDecl decl = { .name = w->name, .kind = REGION_IO, .base = at, .size = w->decl->size, .priority = 1, .window = w };
    w->region = region_add(space, &decl, err);
    return w->region != NULL;
}

void device_unmap(Device *d, unsigned window)
{
    g_clear_pointer(&d->windows[window].region, region_remove);
}

void device_reset(Device *d, ResetKind k)
{
    g_mutex_lock(&d->lock);
    fields_reset(d->type->fields, d, FIELD_STATE, k == RESET_WARM);
    if (d->type->pci)
        pci_config_reset((PciDevice *)d);
    if (d->type->reset)
        d->type->reset(d, k);
    g_mutex_unlock(&d->lock);
}

static void set_input(void *sink, unsigned n, bool level)
{
    Device *d = sink;
    g_mutex_lock(&d->lock);
    d->type->set_irq(d, n, level);
    IrqLine watch = d->watch;
    if (watch.set)
        watch.set(watch.sink, n, level);
    g_mutex_unlock(&d->lock);
}

IrqLine device_irq_input(Device *d, unsigned n) { return (IrqLine){ .set = set_input, .sink = d, .n = n }; }

void device_timer_init(Device *d, Timer *t, void (*fire)(void *device))
{
    timer_init(t, d->machine->clock, fire, d, &d->lock);
}

/* ---- types */

static void append_properties(GString *text, const Field *f)
{
    for (; f && f->name; f++)
        if (f->role == FIELD_PROP) {
            g_autofree char *line = field_help(f);
            g_string_append_printf(text, "  %s\n", line);
        }
}

char *device_type_help(const DeviceType *t)
{
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "%s: %s%s%s%s\n", t->name, t->summary, t->spec ? " (" : "", t->spec ? t->spec : "", t->spec ? ")" : "");
    append_properties(text, t->fields);
    if (t->pci)
        append_properties(text, pci_props);
    return g_string_free(text, FALSE);
}

/* "virtio-blk" is short for "virtio-blk-pci". */
static bool is_named(const DeviceType *t, const char *name)
{
    size_t n = strlen(name);
    return g_str_equal(t->name, name) || (g_str_has_prefix(name, "virtio-") && strncmp(t->name, name, n) == 0 && g_str_equal(t->name + n, "-pci"));
}

const DeviceType *device_type_find(const DeviceType *const *table, const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (; *table; table++) {
        if (is_named(*table, name))
            return *table;
        if (!(*table)->internal)
            g_ptr_array_add(names, (void *)(*table)->name);
    }
    g_ptr_array_add(names, NULL);
    g_autofree char *hint = did_you_mean(name, (const char *const *)names->pdata);
    error_set(err, ERR_NOT_FOUND, "there is no device '%s'%s; -device help lists them", name, hint);
    return NULL;
}
