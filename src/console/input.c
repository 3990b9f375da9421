/* input.c - which of the guest's devices an event goes to. */
#include "console/input.h"

#include <stdatomic.h>

struct InputDevice {
    InputHub *hub;
    char *name;
    const InputDeviceOps *ops;
    void *opaque;
    unsigned index;
};

struct InputHub {
    GPtrArray *devices; /* InputDevice, the preferred first */
    unsigned next_index;
    GHashTable *down; /* Key, and the device that knows it to be down */
    PointerEvent pending;
    bool moved, pointed, changed;
    int last_x, last_y; /* where an absolute position was, for guests with a mouse only */
    bool last_known;
    _Atomic unsigned leds;
};

InputHub *input_hub_create(void)
{
    InputHub *h = g_new0(InputHub, 1);
    h->devices = g_ptr_array_new();
    h->down = g_hash_table_new(NULL, NULL);
    return h;
}

void input_hub_destroy(InputHub *h)
{
    if (!h)
        return;
    g_ptr_array_unref(h->devices);
    g_hash_table_unref(h->down);
    g_free(h);
}

InputDevice *input_add(InputHub *h, const char *name, const InputDeviceOps *ops, void *opaque)
{
    if (!h)
        return NULL;
    InputDevice *d = g_new0(InputDevice, 1);
    *d = (InputDevice){ h, g_strdup(name), ops, opaque, h->next_index++ };
    g_ptr_array_insert(h->devices, 0, d);
    return d;
}

static gboolean is_of(gpointer key, gpointer value, gpointer device) { return value == device; }

void input_remove(InputDevice *d)
{
    if (!d)
        return;
    g_hash_table_foreach_remove(d->hub->down, is_of, d);
    g_ptr_array_remove(d->hub->devices, d);
    g_free(d->name);
    g_free(d);
}

/* The first that is ready, or the first of all. */
static InputDevice *device_for(const InputHub *h, unsigned kinds)
{
    InputDevice *first = NULL;
    for (unsigned i = 0; i < h->devices->len; i++) {
        InputDevice *d = h->devices->pdata[i];
        if (!(d->ops->kinds & kinds))
            continue;
        if (!d->ops->ready || d->ops->ready(d->opaque))
            return d;
        first = first ? first : d;
    }
    return first;
}

/* ---- keys */

void input_key(InputHub *h, const Key *k, bool down)
{
    if (!h)
        return;
    InputDevice *holder = g_hash_table_lookup(h->down, k);
    InputDevice *d = !down && holder ? holder : device_for(h, INPUT_KEYBOARD); /* who saw it go down sees it come up */
    if (!d)
        return;
    if (down)
        g_hash_table_insert(h->down, (void *)k, d);
    else
        g_hash_table_remove(h->down, k);
    d->ops->key(d->opaque, k, down);
}

void input_release_keys(InputHub *h)
{
    if (!h)
        return;
    g_autoptr(GList) down = g_hash_table_get_keys(h->down);
    for (GList *l = down; l; l = l->next)
        input_key(h, l->data, false);
}

void input_set_leds(InputHub *h, unsigned leds)
{
    if (h)
        atomic_store(&h->leds, leds);
}

unsigned input_leds(const InputHub *h) { return h ? atomic_load(&h->leds) : 0; }

/* ---- pointers */

static InputDevice *pointer_for(const InputHub *h, bool position)
{
    InputDevice *d = device_for(h, INPUT_RELATIVE | INPUT_ABSOLUTE);
    unsigned want = position ? INPUT_ABSOLUTE : INPUT_RELATIVE;
    return d && d->ops->kinds & want ? d : NULL;
}

bool input_is_absolute(const InputHub *h) { return h && pointer_for(h, true); }

static void add(int *sum, int d) { *sum = CLAMP((int64_t)*sum + d, -1000000, 1000000); }

void input_move(InputHub *h, int dx, int dy)
{
    if (!h)
        return;
    add(&h->pending.dx, dx);
    add(&h->pending.dy, dy);
    h->moved = true;
}

void input_point(InputHub *h, int x, int y)
{
    if (!h)
        return;
    h->pending.x = CLAMP(x, 0, INPUT_AXIS_MAX);
    h->pending.y = CLAMP(y, 0, INPUT_AXIS_MAX);
    h->pointed = true;
}

void input_wheel(InputHub *h, int wheel, int pan)
{
    if (!h)
        return;
    add(&h->pending.wheel, wheel);
    add(&h->pending.pan, pan);
    h->changed = true;
}

void input_button(InputHub *h, InputButton b, bool down)
{
    if (!h)
        return;
    h->pending.buttons = down ? h->pending.buttons | 1u << b : h->pending.buttons & ~(1u << b);
    h->changed = true;
}

/* A position for a mouse: the way from the last one, as if the screen had 1024 x 768 points. */
static void position_as_movement(InputHub *h)
{
    PointerEvent *e = &h->pending;
    if (h->last_known) {
        add(&e->dx, e->x * 1024 / INPUT_AXIS_MAX - h->last_x * 1024 / INPUT_AXIS_MAX);
        add(&e->dy, e->y * 768 / INPUT_AXIS_MAX - h->last_y * 768 / INPUT_AXIS_MAX);
    }
    h->last_x = e->x;
    h->last_y = e->y;
    h->last_known = h->moved = true;
}

/* Movement for an absolute pointer: from where it is. */
static void movement_as_position(InputHub *h)
{
    PointerEvent *e = &h->pending;
    input_point(h, e->x + e->dx * INPUT_AXIS_MAX / 1024, e->y + e->dy * INPUT_AXIS_MAX / 768);
}

void input_sync(InputHub *h)
{
    if (!h || !(h->moved || h->pointed || h->changed))
        return;
    InputDevice *d = device_for(h, INPUT_RELATIVE | INPUT_ABSOLUTE);
    bool absolute = d && d->ops->kinds & INPUT_ABSOLUTE;
    if (h->pointed && !absolute)
        position_as_movement(h);
    if (h->moved && absolute)
        movement_as_position(h);
    PointerEvent e = h->pending;
    h->pending.dx = h->pending.dy = h->pending.wheel = h->pending.pan = 0;
    h->moved = h->pointed = h->changed = false;
    if (d)
        d->ops->pointer(d->opaque, &e);
}

/* ---- which pointer */

static InputDevice *nth_pointer(const InputHub *h, unsigned n)
{
    for (unsigned i = 0; i < h->devices->len; i++) {
        InputDevice *d = h->devices->pdata[i];
        if (d->ops->kinds & (INPUT_RELATIVE | INPUT_ABSOLUTE) && n-- == 0)
            return d;
    }
    return NULL;
}

bool input_pointer_info(const InputHub *h, unsigned n, InputPointerInfo *ret)
{
    InputDevice *d = h ? nth_pointer(h, n) : NULL;
    if (!d)
        return false;
    *ret = (InputPointerInfo){ d->name, d->index, d->ops->kinds & INPUT_ABSOLUTE, d == device_for(h, INPUT_RELATIVE | INPUT_ABSOLUTE) };
    return true;
}

bool input_select(InputHub *h, unsigned index)
{
    for (unsigned n = 0; h && nth_pointer(h, n); n++) {
        InputDevice *d = nth_pointer(h, n);
        if (d->index != index)
            continue;
        g_ptr_array_remove(h->devices, d);
        g_ptr_array_insert(h->devices, 0, d);
        return true;
    }
    return false;
}
