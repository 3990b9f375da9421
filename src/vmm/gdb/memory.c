/* memory.c - guest memory as the debugger sees it.  SDM 3, 4.3 to 4.5: paging. */
#include "vmm/gdb/gdb.h"

enum { PTE_P = 1, PTE_PS = 1 << 7 };
#define PTE_ADDRESS 0x000ffffffffff000ull

static bool read_entry(Machine *m, uint64_t at, unsigned bytes, uint64_t *ret)
{
    *ret = 0;
    return dma_read(m, at, ret, bytes) && *ret & PTE_P;
}

static bool walk_32(Machine *m, const CpuState *s, uint32_t linear, uint64_t *ret)
{
    uint64_t e;
    if (!read_entry(m, (s->cr3 & 0xfffff000) + (linear >> 22) * 4, 4, &e))
        return false;
    if (e & PTE_PS && s->cr4 & CR4_PSE) { /* bits 13-20 are address bits 32-39 */
        *ret = (e & 0xffc00000) | (e >> 13 & 0xff) << 32 | (linear & 0x3fffff);
        return true;
    }
    if (!read_entry(m, (e & 0xfffff000) + (linear >> 12 & 0x3ff) * 4, 4, &e))
        return false;
    *ret = (e & 0xfffff000) | (linear & 0xfff);
    return true;
}

static bool walk_64(Machine *m, const CpuState *s, uint64_t linear, uint64_t *ret)
{
    bool is_long = s->efer & EFER_LMA;
    unsigned levels = !is_long ? 3 : s->cr4 & CR4_LA57 ? 5 : 4;
    uint64_t e, table = is_long ? s->cr3 & PTE_ADDRESS : s->cr3 & 0xffffffe0;
    for (unsigned level = levels; level >= 1; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        if (!read_entry(m, table + (linear >> shift & (level == 3 && !is_long ? 3 : 0x1ff)) * 8, 8, &e))
            return false;
        if (level == 1 || (e & PTE_PS && level <= 3 && !(level == 3 && !is_long))) {
            uint64_t inside = (1ull << shift) - 1;
            *ret = (e & PTE_ADDRESS & ~inside) | (linear & inside);
            return true;
        }
        table = e & PTE_ADDRESS;
    }
    return false;
}

bool gdb_translate(Machine *m, const CpuState *s, uint64_t linear, uint64_t *ret)
{
    if (!(s->cr0 & CR0_PG)) {
        *ret = (uint32_t)linear;
        return true;
    }
    return s->cr4 & CR4_PAE ? walk_64(m, s, linear, ret) : walk_32(m, s, linear, ret);
}

bool gdb_memory(Machine *m, const CpuState *s, uint64_t linear, uint8_t *buf, size_t n, bool write)
{
    while (n) {
        uint64_t gpa;
        size_t piece = MIN(n, 4096 - (linear & 0xfff));
        if (!gdb_translate(m, s, linear, &gpa) || !(write ? dma_write(m, gpa, buf, piece) : dma_read(m, gpa, buf, piece)))
            return false;
        linear += piece;
        buf += piece;
        n -= piece;
    }
    return true;
}
