/* interrupts.c - a test's eyes and hands on interrupt lines. */
#include "vmm/monitor/qom.h"
#include "vmm/qtest/qtest.h"

/* By path of QOM, by id, or by the name of the type: "ioapic". */
static Device *find_device(Qtest *q, const char *path, GError **err)
{
    const GPtrArray *devices = q->vm->machine->devices;
    QomNode node;
    if (qom_find(q->vm, path, &node, NULL) && node.device)
        return node.device;
    for (unsigned i = 0; i < devices->len; i++)
        if (g_str_equal(((Device *)devices->pdata[i])->path, path))
            return devices->pdata[i];
    error_set(err, ERR_NOT_FOUND, "Unknown device '%s'", path);
    return NULL;
}

/* The device's lock or that of whoever drives the line is held. */
static void line_changed(void *sink, unsigned n, bool level)
{
    QtestTap *t = sink;
    if (n >= G_N_ELEMENTS(t->level))
        return;
    g_mutex_lock(&t->q->lock);
    bool changed = t->level[n] != level;
    t->level[n] = level;
    g_mutex_unlock(&t->q->lock);
    if (changed)
        qtest_say(t->q, "IRQ %s %u", level ? "raise" : "lower", n);
}

static void output_changed(void *sink, unsigned n, bool level)
{
    const QtestTap *t = sink;
    line_changed(sink, n, level);
    irq_set(&g_array_index(t->outputs, IrqLine, n), level);
}

static void tap_outputs(QtestTap *t)
{
    Device *d = t->device;
    t->outputs = g_array_new(FALSE, TRUE, sizeof(IrqLine));
    g_array_append_vals(t->outputs, d->irq, d->type->n_irqs);
    for (unsigned n = 0; n < d->type->n_irqs; n++)
        d->irq[n] = (IrqLine){ output_changed, t, n };
}

/* One device at a time, as QEMU has it; the same one again is no mistake. */
bool qtest_tap(Qtest *q, const char *path, bool outputs, GError **err)
{
    Device *d = find_device(q, path, err);
    if (!d)
        return false;
    for (unsigned i = 0; i < q->taps->len; i++) {
        const QtestTap *old = q->taps->pdata[i];
        return (old->device == d && !old->outputs == !outputs) || error_set(err, ERR_BUSY, "IRQ intercept already enabled for %s", old->device->path);
    }
    QtestTap *t = g_new0(QtestTap, 1);
    *t = (QtestTap){ .q = q, .device = d };
    g_mutex_lock(&d->lock);
    if (outputs)
        tap_outputs(t);
    else
        d->watch = (IrqLine){ line_changed, t, 0 };
    g_mutex_unlock(&d->lock);
    g_ptr_array_add(q->taps, t);
    return true;
}

/* A device that is gone has taken its lines along. */
void qtest_untap(void *opaque)
{
    QtestTap *t = opaque;
    Device *d = t->device;
    if (g_ptr_array_find(t->q->vm->machine->devices, d, NULL)) {
        g_mutex_lock(&d->lock);
        d->watch = (IrqLine){ 0 };
        for (unsigned n = 0; t->outputs && n < t->outputs->len; n++)
            d->irq[n] = g_array_index(t->outputs, IrqLine, n);
        g_mutex_unlock(&d->lock);
    }
    if (t->outputs)
        g_array_unref(t->outputs);
    g_free(t);
}

bool qtest_set_input(Qtest *q, const char *path, unsigned n, bool level, GError **err)
{
    Device *d = find_device(q, path, err);
    if (!d)
        return false;
    if (!d->type->set_irq || n >= 256)
        return error_set(err, ERR_INVALID, "device '%s' has no input %u", path, n);
    IrqLine line = device_irq_input(d, n);
    irq_set(&line, level);
    return true;
}
