/* dma.c - devices reach guest RAM, and only that.  All of a transfer is checked before any byte moves. */
#include <string.h>

#include "machine/machine.h"

typedef enum Direction { FROM_GUEST, TO_GUEST } Direction;

static bool covers(const FlatView *v, uint64_t gpa, uint64_t n, Direction d)
{
    while (n) {
        uint64_t len = n;
        if (!view_ram(v, gpa, &len, d == TO_GUEST))
            return false;
        gpa += len;
        n -= len;
    }
    return true;
}

static void copy(const FlatView *v, uint64_t gpa, void *buf, uint64_t n, Direction d)
{
    uint8_t *at = buf;
    while (n) {
        uint64_t len = n;
        void *host = view_ram(v, gpa, &len, d == TO_GUEST);
        memcpy(d == TO_GUEST ? host : at, d == TO_GUEST ? at : host, len);
        gpa += len;
        at += len;
        n -= len;
    }
}

static bool transfer(Machine *m, uint64_t gpa, void *buf, uint64_t n, Direction d)
{
    if (gpa + n < gpa)
        return false;
    FlatView *v = space_view(m->memory);
    bool ok = covers(v, gpa, n, d);
    if (ok)
        copy(v, gpa, buf, n, d);
    view_unref(v);
    if (ok && d == TO_GUEST)
        dma_written(m, gpa, n);
    return ok;
}

bool dma_read(Machine *m, uint64_t gpa, void *buf, size_t n) { return transfer(m, gpa, buf, n, FROM_GUEST); }
bool dma_write(Machine *m, uint64_t gpa, const void *buf, size_t n) { return transfer(m, gpa, (void *)buf, n, TO_GUEST); }

/* Marks one page dirty; true if it holds code. */
static bool mark_page(RamBlock *ram, uint64_t offset)
{
    uint8_t flags = atomic_fetch_or_explicit(&ram->page_flags[offset / 4096], PAGE_DIRTY, memory_order_acq_rel);
    return flags & PAGE_HAS_CODE;
}

void dma_written(Machine *m, uint64_t gpa, uint64_t len)
{
    FlatView *v = space_view(m->memory);
    for (uint64_t at = gpa, end = gpa + len; at < end; at = (at | 4095) + 1) {
        const FlatRange *r = view_find(v, at);
        if (!r || (r->kind != REGION_RAM && r->kind != REGION_ROM))
            continue;
        bool has_code = mark_page(r->ram, r->offset + (at - r->start));
        if (has_code && m->accel && m->accel->ops->code_changed)
            m->accel->ops->code_changed(m->accel, at, MIN(end, (at | 4095) + 1) - at);
    }
    view_unref(v);
}
