/*
 * memory.c - address spaces: regions in, immutable flat views out.
 *
 * A commit paints the visible regions by priority into a sorted list of ranges.  There are tens of regions, so the
 * plain way (for every interval between two boundaries, look for the topmost region) is quick enough.
 */
#include "machine/memory.h"

#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "machine/window.h"

struct MemRegion {
    RegionDecl decl; /* name is owned */
    AddressSpace *space;
    uint64_t order; /* of adding: the younger hides the older at equal priority */
};

struct AddressSpace {
    char *name;
    uint64_t size;
    GRecMutex lock; /* writers, and taking a reference */
    GPtrArray *regions;
    uint64_t next_order;
    unsigned depth; /* of begin */
    bool changed;
    FlatView *view;
    _Atomic uint64_t generation;
    void (*notify)(void *opaque, const FlatView *old, const FlatView *now);
    void *notify_opaque;
};

/* ---- painting */

static int compare_points(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t region_end(const MemRegion *r) { return r->decl.base + r->decl.size; }

/* The sorted boundaries of all visible regions. */
static GArray *boundaries(const AddressSpace *s)
{
    GArray *points = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    for (unsigned i = 0; i < s->regions->len; i++) {
        const MemRegion *r = s->regions->pdata[i];
        if (r->decl.disabled)
            continue;
        uint64_t ends[] = { r->decl.base, region_end(r) };
        g_array_append_vals(points, ends, 2);
    }
    g_array_sort(points, compare_points);
    return points;
}

static bool is_above(const MemRegion *a, const MemRegion *b)
{
    return a->decl.priority != b->decl.priority ? a->decl.priority > b->decl.priority : a->order > b->order;
}

static const MemRegion *topmost_at(const AddressSpace *s, uint64_t addr)
{
    const MemRegion *top = NULL;
    for (unsigned i = 0; i < s->regions->len; i++) {
        const MemRegion *r = s->regions->pdata[i];
        if (!r->decl.disabled && addr >= r->decl.base && addr < region_end(r) && (!top || is_above(r, top)))
            top = r;
    }
    return top;
}

static void append_range(GArray *ranges, const MemRegion *r, uint64_t start, uint64_t end)
{
    FlatRange *last = ranges->len ? &g_array_index(ranges, FlatRange, ranges->len - 1) : NULL;
    if (last && last->region == r && last->start + last->size == start) {
        last->size += end - start;
        return;
    }
    FlatRange range = { .start = start, .size = end - start, .kind = r->decl.kind, .ram = r->decl.ram,
                        .window = r->decl.window, .offset = r->decl.offset + (start - r->decl.base), .region = r };
    g_array_append_val(ranges, range);
}

static FlatView *paint(AddressSpace *s)
{
    g_autoptr(GArray) points = boundaries(s);
    g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(FlatRange));
    for (unsigned i = 0; i + 1 < points->len; i++) {
        uint64_t start = g_array_index(points, uint64_t, i), end = g_array_index(points, uint64_t, i + 1);
        const MemRegion *r = start < end ? topmost_at(s, start) : NULL;
        if (r && r->decl.kind != REGION_HOLE)
            append_range(ranges, r, start, end);
    }
    FlatView *view = g_malloc(sizeof(*view) + ranges->len * sizeof(FlatRange));
    atomic_init(&view->refs, 1);
    view->generation = atomic_load(&s->generation) + 1;
    view->n = ranges->len;
    if (ranges->len)
        memcpy(view->range, ranges->data, ranges->len * sizeof(FlatRange));
    return view;
}

static void publish(AddressSpace *s)
{
    FlatView *old = s->view;
    s->view = paint(s);
    atomic_store(&s->generation, s->view->generation);
    if (s->notify)
        s->notify(s->notify_opaque, old, s->view);
    view_unref(old);
}

/* ---- address spaces and regions */

AddressSpace *space_create(const char *name, uint64_t size)
{
    AddressSpace *s = g_new0(AddressSpace, 1);
    s->name = g_strdup(name);
    s->size = size;
    s->regions = g_ptr_array_new();
    g_rec_mutex_init(&s->lock);
    s->view = paint(s);
    atomic_store(&s->generation, s->view->generation);
    return s;
}

static void region_free(MemRegion *r)
{
    g_free((char *)r->decl.name);
    g_free(r);
}

void space_destroy(AddressSpace *s)
{
    if (!s)
        return;
    g_ptr_array_set_free_func(s->regions, (GDestroyNotify)region_free);
    g_ptr_array_unref(s->regions);
    view_unref(s->view);
    g_rec_mutex_clear(&s->lock);
    g_free(s->name);
    g_free(s);
}

void space_on_change(AddressSpace *s, void (*changed)(void *opaque, const FlatView *old, const FlatView *now), void *opaque)
{
    g_rec_mutex_lock(&s->lock);
    s->notify = changed;
    s->notify_opaque = opaque;
    g_rec_mutex_unlock(&s->lock);
}

void space_begin(AddressSpace *s)
{
    g_rec_mutex_lock(&s->lock);
    s->depth++;
}

void space_commit(AddressSpace *s)
{
    if (--s->depth == 0 && s->changed) {
        s->changed = false;
        publish(s);
    }
    g_rec_mutex_unlock(&s->lock);
}

static bool check_decl(const AddressSpace *s, const RegionDecl *d, GError **err)
{
    if (!d->size || !range_within(d->base, d->size, s->size))
        return error_set(err, ERR_INVALID, "region '%s' (%#" G_GINT64_MODIFIER "x, %#" G_GINT64_MODIFIER "x bytes) does not fit into %s",
                         d->name, d->base, d->size, s->name);
    if (d->ram && !range_within(d->offset, d->size, d->ram->size))
        return error_set(err, ERR_INVALID, "region '%s' ends beyond RAM block '%s'", d->name, d->ram->name);
    return true;
}

MemRegion *region_add(AddressSpace *s, const RegionDecl *decl, GError **err)
{
    if (!check_decl(s, decl, err))
        return NULL;
    MemRegion *r = g_new0(MemRegion, 1);
    r->decl = *decl;
    r->decl.name = g_strdup(decl->name);
    r->space = s;
    space_begin(s);
    r->order = s->next_order++;
    g_ptr_array_add(s->regions, r);
    s->changed |= !decl->disabled;
    space_commit(s);
    return r;
}

void region_remove(MemRegion *r)
{
    if (!r)
        return;
    AddressSpace *s = r->space;
    space_begin(s);
    g_ptr_array_remove(s->regions, r);
    s->changed |= !r->decl.disabled;
    space_commit(s);
    region_free(r);
}

void region_enable(MemRegion *r, bool enabled)
{
    space_begin(r->space);
    r->space->changed |= r->decl.disabled == enabled;
    r->decl.disabled = !enabled;
    space_commit(r->space);
}

/* A base that does not fit (the guest may write any BAR) takes the region out of sight. */
void region_move(MemRegion *r, uint64_t base)
{
    space_begin(r->space);
    r->space->changed |= r->decl.base != base;
    if (range_within(base, r->decl.size, r->space->size))
        r->decl.base = base;
    else
        r->decl.disabled = true;
    space_commit(r->space);
}

void region_set_kind(MemRegion *r, RegionKind kind)
{
    space_begin(r->space);
    r->space->changed |= r->decl.kind != kind;
    r->decl.kind = kind;
    space_commit(r->space);
}

/* ---- views */

FlatView *space_view(AddressSpace *s)
{
    g_rec_mutex_lock(&s->lock);
    FlatView *v = s->view;
    atomic_fetch_add(&v->refs, 1);
    g_rec_mutex_unlock(&s->lock);
    return v;
}

void view_unref(FlatView *v)
{
    if (v && atomic_fetch_sub(&v->refs, 1) == 1)
        g_free(v);
}

uint64_t space_generation(AddressSpace *s) { return atomic_load_explicit(&s->generation, memory_order_relaxed); }

char *space_dump(AddressSpace *s)
{
    static const char *const kinds[] = { "ram", "rom", "i/o", "hole" };
    GString *text = g_string_new(NULL);
    FlatView *v = space_view(s);
    for (size_t i = 0; i < v->n; i++) {
        const FlatRange *r = &v->range[i];
        g_string_append_printf(text, "%016" G_GINT64_MODIFIER "x-%016" G_GINT64_MODIFIER "x %s %s @%" G_GINT64_MODIFIER "x\n",
                               r->start, r->start + r->size - 1, kinds[r->kind], r->region->decl.name, r->offset);
    }
    view_unref(v);
    return g_string_free(text, FALSE);
}

/* ---- accesses */

static uint64_t ram_load(const FlatRange *r, uint64_t addr, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, r->ram->host + r->offset + (addr - r->start), size);
    return value;
}

static void mark_written(const FlatRange *r, uint64_t addr, uint64_t len)
{
    uint64_t first = (r->offset + (addr - r->start)) / 4096, last = (r->offset + (addr - r->start) + len - 1) / 4096;
    for (uint64_t page = first; page <= last; page++)
        atomic_fetch_or_explicit(&r->ram->page_flags[page], PAGE_DIRTY, memory_order_relaxed);
}

static uint64_t ones(unsigned size) { return size >= 8 ? UINT64_MAX : (1ull << (size * 8)) - 1; }

static uint64_t range_read(const FlatRange *r, uint64_t addr, unsigned size)
{
    if (r->kind == REGION_IO)
        return window_read(r->window, r->offset + (addr - r->start), size);
    return ram_load(r, addr, size);
}

static void range_write(const FlatRange *r, uint64_t addr, unsigned size, uint64_t value)
{
    if (r->window && (r->kind == REGION_IO || r->kind == REGION_ROM)) {
        window_write(r->window, r->offset + (addr - r->start), size, value);
    } else if (r->kind == REGION_RAM) {
        memcpy(r->ram->host + r->offset + (addr - r->start), &value, size);
        mark_written(r, addr, size);
    }
}

/* How much of [addr, addr + size) lies in one range, or in none. */
static unsigned piece(const FlatRange *r, uint64_t addr, unsigned size)
{
    return r ? MIN(size, r->start + r->size - addr) : 1;
}

uint64_t view_read(const FlatView *v, uint64_t addr, unsigned size)
{
    uint64_t value = 0;
    for (unsigned done = 0, n; done < size; done += n) {
        const FlatRange *r = view_find(v, addr + done);
        n = piece(r, addr + done, size - done);
        uint64_t part = r ? range_read(r, addr + done, n) : ones(n);
        value |= (part & ones(n)) << (done * 8);
    }
    return value;
}

void view_write(const FlatView *v, uint64_t addr, unsigned size, uint64_t value)
{
    for (unsigned done = 0, n; done < size; done += n) {
        const FlatRange *r = view_find(v, addr + done);
        n = piece(r, addr + done, size - done);
        if (r)
            range_write(r, addr + done, n, value >> (done * 8) & ones(n));
    }
}

void *view_ram(const FlatView *view, uint64_t gpa, uint64_t *len, bool write)
{
    const FlatRange *r = view_find(view, gpa);
    if (!r || r->kind == REGION_IO || (write && r->kind != REGION_RAM))
        return NULL;
    *len = MIN(*len, r->start + r->size - gpa);
    return r->ram->host + r->offset + (gpa - r->start);
}
