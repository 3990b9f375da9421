/* mode.c - the part of the CPU's state that is baked into translations. */
#include "accel/dbt/dbt.h"

static bool sse_usable(const CpuState *s)
{
    return !(s->cr0 & (CR0_EM | CR0_TS)) && s->cr4 & CR4_OSFXSR;
}

static bool avx_usable(const CpuState *s)
{
    return sse_usable(s) && s->cr4 & CR4_OSXSAVE && (s->xcr0 & (XCR0_SSE | XCR0_AVX)) == (XCR0_SSE | XCR0_AVX);
}

/* Unmasked exceptions and a pending #MF are the interpreter's, which knows where the last instruction stood. */
static bool x87_usable(const CpuState *s)
{
    enum { FCW_MASKS = 0x3f, FSW_ES = 0x80 };
    return !(s->cr0 & (CR0_EM | CR0_TS)) && (s->fpu.fcw & FCW_MASKS) == FCW_MASKS && !(s->fpu.fsw & FSW_ES);
}

static bool flat(const InterpVcpu *i, unsigned seg)
{
    enum { BOTH = 1 << ACCESS_READ | 1 << ACCESS_WRITE };
    if (i->code_size == CODE64)
        return true;
    return (i->flat[seg] & BOTH) == BOTH && (seg >= SEG_FS || !i->base[seg]);
}

static uint32_t flat_segments(const InterpVcpu *i)
{
    uint32_t bits = 0;
    if (i->code_size == CODE64)
        return (1u << SEG_COUNT) - 1;
    for (unsigned seg = 0; seg < SEG_COUNT; seg++)
        bits |= (uint32_t)flat(i, seg) << seg;
    return bits;
}

static bool translates(const InterpVcpu *i)
{
    bool checks_alignment = i->cpl == 3 && i->s.cr0 & CR0_AM && i->s.rflags & RFLAGS_AC;
    if (checks_alignment || i->code_size == CODE16)
        return false;
    if (i->code_size == CODE64)
        return true;
    return i->protected_mode && !i->base[SEG_CS] && i->flat[SEG_CS] >> ACCESS_EXEC & 1 && i->stack_size == 4 && flat(i, SEG_SS);
}

uint32_t dbt_mode_for(uint32_t mode, MemWho who)
{
    mode &= ~(uint32_t)(MODE_WHO | MODE_CPL0);
    return mode | who << MODE_WHO_SHIFT | (who == MEM_USER ? 0 : MODE_CPL0);
}

void dbt_update_mode(DbtVcpu *v)
{
    const InterpVcpu *i = &v->i;
    uint32_t m = i->code_size | i->who << MODE_WHO_SHIFT;
    m |= (sse_usable(&i->s) ? MODE_SSE : 0) | (avx_usable(&i->s) ? MODE_AVX : 0) | (x87_usable(&i->s) ? MODE_X87 : 0);
    m |= flat_segments(i) << MODE_FLAT_SHIFT;
    m |= i->cpl == 0 ? MODE_CPL0 : 0;
    m |= (i->s.cr4 & CR4_TSD ? MODE_TSD : 0) | (i->s.cr4 & CR4_FSGSBASE ? MODE_FSGSBASE : 0);
    v->mode = m | (i->single_step ? MODE_SINGLE : 0);
    v->mode_translates = translates(i);
}
