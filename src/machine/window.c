/*
 * window.c - accesses to device windows.
 *
 * A window says which sizes its callbacks take.  A larger access is split, lowest address first, as a bus bridge does
 * to a narrow device.  A smaller read takes its bytes out of the aligned unit around it; a smaller write reaches the
 * device as the aligned unit with the other bytes zero, which is what registers that insist on a width show.
 */
#include "machine/window.h"

static unsigned min_size(const WindowOps *o) { return o->min ? o->min : 1; }
static unsigned max_size(const WindowOps *o) { return o->max ? o->max : 8; }

/* The access at off of at most `left` bytes: a power of two that the window takes or that must be widened. */
static unsigned step_size(const WindowOps *o, unsigned left)
{
    unsigned size = max_size(o);
    while (size > left)
        size /= 2;
    return size;
}

static uint64_t read_piece(Window *w, uint64_t off, unsigned size)
{
    const WindowOps *o = w->decl->ops;
    if (!o->read)
        return UINT64_MAX;
    unsigned unit = min_size(o);
    if (size >= unit)
        return o->read(w->device, off, size);
    uint64_t aligned = off & ~(uint64_t)(unit - 1);
    return o->read(w->device, aligned, unit) >> ((off - aligned) * 8);
}

static void write_piece(Window *w, uint64_t off, unsigned size, uint64_t value)
{
    const WindowOps *o = w->decl->ops;
    if (!o->write)
        return;
    unsigned unit = min_size(o);
    if (size >= unit) {
        o->write(w->device, off, size, value);
        return;
    }
    uint64_t aligned = off & ~(uint64_t)(unit - 1);
    o->write(w->device, aligned, unit, value << ((off - aligned) * 8));
}

static uint64_t cut(uint64_t value, unsigned size) { return size >= 8 ? value : value & ((1ull << (size * 8)) - 1); }

uint64_t window_read(Window *w, uint64_t off, unsigned size)
{
    uint64_t value = 0;
    g_mutex_lock(&w->device->lock);
    for (unsigned done = 0, n; done < size; done += n) {
        n = step_size(w->decl->ops, size - done);
        value |= cut(read_piece(w, off + done, n), n) << (done * 8);
    }
    g_mutex_unlock(&w->device->lock);
    return value;
}

void window_write(Window *w, uint64_t off, unsigned size, uint64_t value)
{
    const WindowOps *o = w->decl->ops;
    if (o->unlocked_write && size >= min_size(o) && size <= max_size(o) && o->unlocked_write(w->device, off, size, cut(value, size)))
        return;
    g_mutex_lock(&w->device->lock);
    for (unsigned done = 0, n; done < size; done += n) {
        n = step_size(w->decl->ops, size - done);
        write_piece(w, off + done, n, cut(value >> (done * 8), n));
    }
    g_mutex_unlock(&w->device->lock);
}
