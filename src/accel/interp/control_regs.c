/*
 * control_regs.c - control registers, debug registers, XCR0: what may be written and what follows from it.
 * SDM 3, 2.5, 2.6, 4.1, 17.2; SDM 2, MOV-Move to/from Control Registers.
 */
#include "accel/interp/system.h"

#define CR0_DEFINED (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

static bool pae_paging(const InterpVcpu *v, uint64_t cr0, uint64_t cr4)
{
    return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(v->s.efer & EFER_LME);
}

static void cr0_check(InterpVcpu *v, uint64_t value)
{
    bool pg = value & CR0_PG, was_pg = v->s.cr0 & CR0_PG;
    const Segment *cs = &v->s.seg[SEG_CS];
    bool bad = value >> 32 || (pg && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD));
    if (pg && !was_pg && (v->s.efer & EFER_LME))
        bad = bad || !(v->s.cr4 & CR4_PAE) || (cs->attr & SEG_ATTR_L);
    if (!pg && was_pg)
        bad = bad || v->code_size == CODE64 || (v->s.cr4 & CR4_PCIDE);
    if (bad)
        interp_gp0(v);
}

void control_set_cr0(InterpVcpu *v, uint64_t value)
{
    cr0_check(v, value);
    value = (value & CR0_DEFINED) | CR0_ET;
    uint64_t changed = value ^ v->s.cr0;
    if ((changed & (CR0_PG | CR0_CD | CR0_NW)) && pae_paging(v, value, v->s.cr4) && !mmu_load_pdptes(v, v->s.cr3))
        interp_gp0(v);
    v->s.cr0 = value;
    if (changed & CR0_PG)
        v->s.efer = (value & CR0_PG) && (v->s.efer & EFER_LME) ? v->s.efer | EFER_LMA : v->s.efer & ~EFER_LMA;
    if (changed & (CR0_PG | CR0_PE | CR0_WP))
        mmu_flush(v, true);
    interp_mode_changed(v);
}

/* Bit 63 keeps what is cached for the PCID that is loaded (SDM 3, 4.10.4.1). */
void control_set_cr3(InterpVcpu *v, uint64_t value)
{
    bool keep = v->s.cr4 & CR4_PCIDE && value >> 63;
    if (keep)
        value &= ~(1ull << 63);
    if (v->long_mode && (value & ~phys_mask(v)))
        interp_gp0(v);
    if (!v->long_mode)
        value &= 0xffffffff;
    if (pae_paging(v, v->s.cr0, v->s.cr4) && !mmu_load_pdptes(v, value))
        interp_gp0(v);
    v->s.cr3 = value;
    mmu_cr3_loaded(v, keep);
}

static uint64_t cr4_allowed(const InterpVcpu *v)
{
    static const struct { uint64_t bits; CpuFeature feature; } table[] = {
        { CR4_VME | CR4_PVI, FEAT_VME }, { CR4_TSD, FEAT_TSC }, { CR4_DE, FEAT_DE }, { CR4_PSE, FEAT_PSE },
        { CR4_PAE, FEAT_PAE }, { CR4_MCE, FEAT_MCE }, { CR4_PGE, FEAT_PGE }, { CR4_PCE, FEAT_ALWAYS },
        { CR4_OSFXSR, FEAT_FXSR }, { CR4_OSXMMEXCPT, FEAT_SSE }, { CR4_UMIP, FEAT_UMIP }, { CR4_LA57, FEAT_LA57 },
        { CR4_FSGSBASE, FEAT_FSGSBASE }, { CR4_PCIDE, FEAT_PCID }, { CR4_OSXSAVE, FEAT_XSAVE }, { CR4_SMEP, FEAT_SMEP },
        { CR4_SMAP, FEAT_SMAP },
    };
    uint64_t bits = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++)
        if (table[i].feature == FEAT_ALWAYS || has(v, table[i].feature))
            bits |= table[i].bits;
    return bits;
}

void control_set_cr4(InterpVcpu *v, uint64_t value)
{
    uint64_t changed = value ^ v->s.cr4;
    bool bad = value & ~cr4_allowed(v);
    if (v->long_mode)
        bad = bad || !(value & CR4_PAE) || (changed & CR4_LA57);
    if (changed & value & CR4_PCIDE)
        bad = bad || !v->long_mode || (v->s.cr3 & 0xfff);
    if (bad)
        interp_gp0(v);
    if ((changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)) && pae_paging(v, v->s.cr0, value) &&
        !mmu_load_pdptes(v, v->s.cr3))
        interp_gp0(v);
    v->s.cr4 = value;
    if (changed & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_LA57))
        mmu_flush(v, true);
    if (changed & CR4_PCIDE)
        mmu_cr3_loaded(v, true);
    interp_mode_changed(v);
}

static uint64_t cr8_get(InterpVcpu *v)
{
    interp_save_fpu(v);
    return v->vcpu.apic_ops ? v->vcpu.apic_ops->get_tpr(v->vcpu.apic) : v->s.cr8;
}

static void cr8_set(InterpVcpu *v, uint64_t value)
{
    if (value > 15)
        interp_gp0(v);
    v->s.cr8 = value;
    interp_save_fpu(v);
    if (v->vcpu.apic_ops)
        v->vcpu.apic_ops->set_tpr(v->vcpu.apic, (uint8_t)value);
}

static void cr_write(InterpVcpu *v, unsigned n, uint64_t value)
{
    switch (n) {
    case 0: control_set_cr0(v, value); break;
    case 2: v->s.cr2 = value; break;
    case 3: control_set_cr3(v, value); break;
    case 4: control_set_cr4(v, value); break;
    case 8: cr8_set(v, value); break;
    default: interp_ud(v);
    }
}

static uint64_t cr_read(InterpVcpu *v, unsigned n)
{
    switch (n) {
    case 0: return v->s.cr0;
    case 2: return v->s.cr2;
    case 3: return v->s.cr3;
    case 4: return v->s.cr4;
    case 8: return cr8_get(v);
    default: interp_ud(v);
    }
}

void exec_mov_cr(InterpVcpu *v, const Insn *i)
{
    unsigned size = v->code_size == CODE64 ? 8 : 4;
    if (i->opnd[0].cls == RC_CR)
        cr_write(v, i->opnd[0].reg, gpr_get(v, i->opnd[1].reg, size));
    else
        gpr_set(v, i->opnd[0].reg, size, cr_read(v, i->opnd[1].reg));
}

void exec_smsw(InterpVcpu *v, const Insn *i)
{
    umip_check(v);
    if (i->opnd[0].kind == OPND_MEM)
        operand_write(v, i, 0, 2, v->s.cr0);
    else
        gpr_set(v, i->opnd[0].reg, i->opsize, v->s.cr0);
}

void exec_lmsw(InterpVcpu *v, const Insn *i)
{
    uint64_t value = operand_read(v, i, 0, 2), keep = v->s.cr0 & CR0_PE; /* LMSW cannot leave protected mode */
    control_set_cr0(v, (v->s.cr0 & ~0xeull) | (value & 0xf) | keep);
}

void exec_clts(InterpVcpu *v, const Insn *i) { v->s.cr0 &= ~CR0_TS; }

/* ---- debug registers */
static unsigned dr_number(InterpVcpu *v, unsigned n)
{
    if (n > 7 || ((n == 4 || n == 5) && (v->s.cr4 & CR4_DE)))
        interp_ud(v);
    if (v->s.dr[7] & DR7_GD) {
        v->s.dr[6] |= DR6_BD;
        interp_raise(v, EXC_DB);
    }
    return n == 4 || n == 5 ? n + 2 : n;
}

static void dr_write(InterpVcpu *v, unsigned n, uint64_t value)
{
    if (n >= 6 && value >> 32)
        interp_gp0(v);
    if (n == 6)
        value = (value & (0xf | DR6_BD | DR6_BS | DR6_BT)) | DR6_FIXED;
    else if (n == 7)
        value = (value & 0xffff23ff) | 0x400;
    v->s.dr[n] = value;
    mmu_flush(v, true); /* pages with a data breakpoint take the slow path */
    interp_update_attention(v);
}

void exec_mov_dr(InterpVcpu *v, const Insn *i)
{
    unsigned size = v->code_size == CODE64 ? 8 : 4;
    if (i->opnd[0].cls == RC_DR)
        dr_write(v, dr_number(v, i->opnd[0].reg), gpr_get(v, i->opnd[1].reg, size));
    else
        gpr_set(v, i->opnd[0].reg, size, v->s.dr[dr_number(v, i->opnd[1].reg)]);
}

/* ---- XCR0 */
void exec_xgetbv(InterpVcpu *v, const Insn *i)
{
    uint32_t n = (uint32_t)v->s.gpr[GPR_RCX];
    if (!(v->s.cr4 & CR4_OSXSAVE))
        interp_ud(v);
    if (n > 1 || (n == 1 && !has(v, FEAT_XGETBV1)))
        interp_gp0(v);
    v->s.gpr[GPR_RAX] = (uint32_t)v->s.xcr0; /* 1: XINUSE may be any superset of what is not in its initial state */
    v->s.gpr[GPR_RDX] = v->s.xcr0 >> 32;
}

void exec_xsetbv(InterpVcpu *v, const Insn *i)
{
    uint64_t value = (uint32_t)v->s.gpr[GPR_RAX] | v->s.gpr[GPR_RDX] << 32;
    uint64_t allowed = XCR0_X87 | XCR0_SSE | (has(v, FEAT_AVX) ? XCR0_AVX : 0);
    if (!(v->s.cr4 & CR4_OSXSAVE))
        interp_ud(v);
    if ((uint32_t)v->s.gpr[GPR_RCX] || !(value & XCR0_X87) || (value & ~allowed) ||
        ((value & XCR0_AVX) && !(value & XCR0_SSE)))
        interp_gp0(v);
    v->s.xcr0 = value;
}
