/* table_area.c - tables of a start without firmware, all within the area that a BIOS would occupy. */
#include "boards/parts.h"
#include "devices/acpi/mptable.h"

enum { BIOS_AREA = 0xe0000, BIOS_AREA_SIZE = 0x20000, SMBIOS_ANCHOR = 0xf0000, ACPI_RSDP = 0xf0040, MP_FLOATING = 0xf0070, EBDA = 0x9fc00, MIB = 1 << 20 };
#define FOUR_GIB (1ull << 32)

static bool store(Machine *m, uint64_t at, const void *data, size_t n, GError **err)
{
    return dma_write(m, at, data, n) || error_set(err, ERR_INTERNAL, "no RAM at %#" G_GINT64_MODIFIER "x for firmware tables", at);
}

bool table_area_begin(TableArea *a, Machine *m, GError **err)
{
    static const uint8_t zeros[BIOS_AREA_SIZE];
    *a = (TableArea){ m, MP_FLOATING + MP_FLOATING_SIZE, BIOS_AREA + BIOS_AREA_SIZE };
    return store(m, BIOS_AREA, zeros, sizeof(zeros), err);
}

/* Room for n bytes at a multiple of 64; *ret_at is where. */
static bool reserve(TableArea *a, size_t n, uint64_t *ret_at, GError **err)
{
    *ret_at = (a->next + 63) & ~63ull;
    a->next = *ret_at + n;
    return a->next <= a->end || error_set(err, ERR_NO_SPACE, "ACPI tables do not fit below 1 MiB; use fewer CPUs");
}

bool table_area_add_acpi(TableArea *a, AcpiTables *t, uint64_t *ret_rsdp, GError **err)
{
    uint64_t at;
    if (!reserve(a, t->tables->len, &at, err))
        return false;
    acpi_place(t, at);
    *ret_rsdp = ACPI_RSDP;
    return store(a->machine, at, t->tables->data, t->tables->len, err) && store(a->machine, ACPI_RSDP, t->rsdp->data, t->rsdp->len, err);
}

bool table_area_add_smbios(TableArea *a, Smbios *s, GError **err)
{
    uint64_t at;
    if (!reserve(a, s->tables->len, &at, err))
        return false;
    smbios_place(s, at);
    return store(a->machine, at, s->tables->data, s->tables->len, err) && store(a->machine, SMBIOS_ANCHOR, s->anchor, sizeof(s->anchor), err);
}

bool table_area_add_mp(TableArea *a, const GByteArray *table, GError **err)
{
    uint64_t at;
    uint8_t floating[MP_FLOATING_SIZE];
    if (!reserve(a, table->len, &at, err))
        return false;
    mp_floating_build(floating, at);
    return store(a->machine, at, table->data, table->len, err) && store(a->machine, MP_FLOATING, floating, sizeof(floating), err);
}

void table_area_describe(BoardStart *ret, uint64_t low_ram, uint64_t high_ram)
{
    const E820Entry map[] = { { 0, EBDA, E820_RAM }, { EBDA, 0xa0000 - EBDA, E820_RESERVED }, { BIOS_AREA, BIOS_AREA_SIZE, E820_RESERVED },
                              { MIB, low_ram - MIB, E820_RAM }, { FOUR_GIB, high_ram, E820_RAM } };
    for (unsigned i = 0; i < G_N_ELEMENTS(map); i++)
        if (map[i].size)
            ret->e820[ret->n_e820++] = map[i];
    ret->low_ram = low_ram;
}
