/* pam.c - shadow RAM.  Intel 82441FX (290549), 3.2.16 and 3.2.21; 3 Series chipset (316966), 5.1.17 and 5.1.23. */
#include "devices/pci/pam.h"

enum { PAM_READ = 1, PAM_WRITE = 2 };

/* Segment n: the first register's high nibble, the second's low, the second's high, ... */
static unsigned attributes(const uint8_t *reg, unsigned n) { return reg[(n + 1) / 2] >> (n % 2 ? 0 : 4) & 3; }

/* Reading RAM without writing is ROM.  Writing RAM that is not read (what a BIOS uses while it copies itself) has no
 * region kind: it stays unmapped, and a firmware that depends on it shows up in the log. */
static void update_segment(Pam *p, Device *d, unsigned n, unsigned attributes)
{
    if (attributes == PAM_WRITE)
        unimplemented(d, "write-only shadow RAM in segment %u", n);
    region_set_kind(p->segment[n], attributes & PAM_WRITE ? REGION_RAM : REGION_ROM);
    region_enable(p->segment[n], attributes & PAM_READ);
}

void pam_update(Pam *p, Device *d, const uint8_t reg[PAM_REGISTERS], uint8_t smram)
{
    space_begin(d->machine->memory);
    for (unsigned n = 0; n < PAM_SEGMENTS; n++)
        update_segment(p, d, n, attributes(reg, n));
    region_enable(p->smram, smram & SMRAM_DOPEN && !(smram & SMRAM_DCLS));
    space_commit(d->machine->memory);
}

void smram_lock(uint8_t *reg, uint8_t *writable)
{
    bool locked = *reg & SMRAM_DLCK;
    if (locked)
        *reg &= ~SMRAM_DOPEN;
    *writable = locked ? 0 : SMRAM_WRITABLE;
}

static MemRegion *add_overlay(Device *d, const char *name, uint64_t base, uint64_t size, GError **err)
{
    Machine *m = d->machine;
    RegionDecl decl = { .name = name, .kind = REGION_RAM, .base = base, .size = size, .priority = 10, .ram = m->ram, .offset = base, .disabled = true };
    return region_add(m->memory, &decl, err);
}

bool pam_create(Pam *p, Device *d, GError **err)
{
    for (unsigned n = 0; n < PAM_SEGMENTS; n++)
        if (!(p->segment[n] = add_overlay(d, "shadow RAM", n ? 0xc0000 + (n - 1) * 0x4000 : 0xf0000, n ? 0x4000 : 0x10000, err)))
            return false;
    p->smram = add_overlay(d, "SMRAM", 0xa0000, 0x20000, err);
    return p->smram;
}

void pam_destroy(Pam *p)
{
    for (unsigned n = 0; n < PAM_SEGMENTS; n++)
        g_clear_pointer(&p->segment[n], region_remove);
    g_clear_pointer(&p->smram, region_remove);
}
