/* boot_order.c - the order of devices that firmware boots from. */
#include "boards/boot_order.h"

#include <string.h>

static const char all_letters[] = "cdna"; /* the order of those that nobody named */

bool boot_order_check(const char *letters, GError **err)
{
    for (const char *p = letters; *p; p++)
        if (!strchr(all_letters, *p) || strchr(letters, *p) != p || p - letters >= 3)
            return error_set(err, ERR_INVALID, "'%s' is no order of boot devices; write up to three of a floppy, c disk, d CD-ROM, n network, each once", letters);
    return true;
}

typedef struct Candidate {
    Device *dev;
    BootPlace place;
    uint32_t index; /* UINT32_MAX: none */
} Candidate;

static void candidate_clear(void *c) { g_free(((Candidate *)c)->place.path); }

static GArray *candidates(Machine *m)
{
    GArray *all = g_array_new(FALSE, TRUE, sizeof(Candidate));
    g_array_set_clear_func(all, candidate_clear);
    for (unsigned i = 0; i < m->devices->len; i++) {
        Candidate c = { .dev = m->devices->pdata[i], .index = UINT32_MAX };
        const Field *index = field_find(c.dev->type->fields, "bootindex", FIELD_PROP);
        if (!c.dev->realized || !c.dev->type->boot_place || !c.dev->type->boot_place(c.dev, &c.place))
            continue;
        if (index)
            c.index = field_get(index, c.dev, 0);
        g_array_append_val(all, c);
    }
    return all;
}

static int by_index(const void *a, const void *b)
{
    uint32_t x = ((const Candidate *)a)->index, y = ((const Candidate *)b)->index;
    return (x > y) - (x < y);
}

static void add(GString *file, const char *line)
{
    if (file->len)
        g_string_append_c(file, '\n');
    g_string_append(file, line);
}

static bool add_indexed(GString *file, const GArray *sorted, GError **err)
{
    for (unsigned i = 0; i < sorted->len; i++) {
        const Candidate *c = &g_array_index(sorted, Candidate, i);
        if (c->index == UINT32_MAX)
            break;
        if (i && c[-1].index == c->index)
            return error_set(err, ERR_INVALID, "%s: bootindex %u is %s's already", c->dev->path, c->index, c[-1].dev->path);
        add(file, c->place.path);
    }
    return true;
}

static void add_letters(GString *file, const GArray *sorted, const char *letters)
{
    for (; *letters; letters++)
        for (unsigned i = 0; i < sorted->len; i++) {
            const Candidate *c = &g_array_index(sorted, Candidate, i);
            if (c->index == UINT32_MAX && c->place.letter == *letters)
                add(file, c->place.path);
        }
}

/* What firmware would drop if it were not named. */
static void add_rest(GString *file, const GArray *sorted, const char *letters)
{
    for (const char *p = all_letters; *p; p++)
        if (!strchr(letters, *p))
            add_letters(file, sorted, (const char[]){ *p, 0 });
}

GString *boot_order_build(Machine *m, const BootOrder *order, GError **err)
{
    g_autoptr(GArray) sorted = candidates(m);
    g_autoptr(GString) file = g_string_new(NULL);
    g_array_sort(sorted, by_index); /* stable, as GLib promises */
    if (!add_indexed(file, sorted, err))
        return NULL;
    if (order->letters) {
        add_letters(file, sorted, order->letters);
        if (!order->strict)
            add_rest(file, sorted, order->letters);
    }
    if (order->strict)
        add(file, "HALT");
    if (file->len)
        g_string_append_c(file, 0);
    return g_steal_pointer(&file);
}
