/* place.c - putting bytes into guest memory, and finding room for them. */
#include <string.h>

#include "vmm/loader/kernel.h"

static bool no_room(Machine *m, const char *what, uint64_t at, uint64_t n, GError **err)
{
    return error_set(err, ERR_NO_SPACE, "%s needs %" G_GUINT64_FORMAT " KiB of guest memory at 0x%" G_GINT64_MODIFIER "x, which the machine's %"
                     G_GUINT64_FORMAT " MiB do not have; give it more with -m", what, (n + 1023) >> 10, at, m->config.ram_size >> 20);
}

bool place_bytes(Machine *m, const char *what, uint64_t at, const void *data, uint64_t n, GError **err)
{
    return n == 0 || dma_write(m, at, data, n) || no_room(m, what, at, n, err);
}

bool place_zeros(Machine *m, const char *what, uint64_t at, uint64_t n, GError **err)
{
    FlatView *view = space_view(m->memory);
    bool ok = true;
    while (n && ok) {
        uint64_t len = n;
        void *host = view_ram(view, at, &len, true);
        ok = host || no_room(m, what, at, n, err);
        if (host) {
            memset(host, 0, len);
            dma_written(m, at, len);
            at += len;
            n -= len;
        }
    }
    view_unref(view);
    return ok;
}

bool place_fits(const BoardStart *s, uint64_t at, uint64_t n)
{
    for (unsigned i = 0; i < s->n_e820; i++)
        if (s->e820[i].type == E820_RAM && at >= s->e820[i].base && at - s->e820[i].base <= s->e820[i].size &&
            n <= s->e820[i].size - (at - s->e820[i].base))
            return true;
    return false;
}

uint64_t place_high(const BoardStart *s, uint64_t n, uint64_t floor, uint64_t ceiling)
{
    for (unsigned i = s->n_e820; i-- > 0;) {
        uint64_t low = MAX(s->e820[i].base, floor), high = MIN(s->e820[i].base + s->e820[i].size, ceiling);
        if (s->e820[i].type != E820_RAM || high < low || high - low < n)
            continue;
        uint64_t at = (high - n) & ~0xfffull;
        if (at >= low)
            return at;
    }
    return 0;
}
