/*
 * syscall.c - SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS, FSGSBASE.  SDM 2; for models of AMD's APM 3.
 */
#include "accel/interp/system.h"

static Segment flat_code(uint16_t selector, unsigned dpl, bool is64)
{
    return (Segment){ .selector = selector,
                      .limit = 0xffffffff,
                      .attr = TYPE_CODE | TYPE_RW | TYPE_ACCESSED | SEG_ATTR_S | dpl << SEG_ATTR_DPL_SHIFT |
                              SEG_ATTR_P | SEG_ATTR_G | (is64 ? SEG_ATTR_L : SEG_ATTR_DB) };
}

static Segment flat_stack(uint16_t selector, unsigned dpl)
{
    return (Segment){ .selector = selector,
                      .limit = 0xffffffff,
                      .attr = TYPE_RW | TYPE_ACCESSED | SEG_ATTR_S | dpl << SEG_ATTR_DPL_SHIFT | SEG_ATTR_P |
                              SEG_ATTR_G | SEG_ATTR_DB };
}

static void enter_flat(InterpVcpu *v, uint16_t cs, uint16_t ss, unsigned cpl, bool is64)
{
    v->s.seg[SEG_CS] = flat_code((uint16_t)((cs & ~SEL_RPL) | cpl), cpl, is64);
    v->s.seg[SEG_SS] = flat_stack((uint16_t)((ss & ~SEL_RPL) | cpl), cpl);
    interp_mode_changed(v);
}

/* Intel knows SYSCALL in 64-bit mode only; AMD in compatibility and legacy protected mode too. */
static void syscall_check(InterpVcpu *v)
{
    bool mode_ok = v->code_size == CODE64 || (vendor_is_amd(v) && v->protected_mode);
    if (!(v->s.efer & EFER_SCE) || !mode_ok)
        interp_ud(v);
}

void exec_syscall(InterpVcpu *v, const Insn *i)
{
    syscall_check(v);
    uint16_t cs = v->s.star >> 32 & 0xffff;
    bool from64 = v->code_size == CODE64;
    uint64_t flags = v->s.rflags & ~(uint64_t)RFLAGS_RF;
    v->s.gpr[GPR_RCX] = v->next_rip;
    if (v->long_mode) {
        v->s.gpr[GPR_R11] = flags;
        v->next_rip = from64 ? v->s.lstar : v->s.cstar;
        enter_flat(v, cs, cs + 8, 0, true);
        interp_set_rflags(v, flags & ~v->s.sfmask, ~0ull);
    } else {
        v->next_rip = (uint32_t)v->s.star;
        enter_flat(v, cs, cs + 8, 0, false);
        interp_set_rflags(v, 0, RFLAGS_IF | RFLAGS_VM | RFLAGS_RF);
    }
    v->started_step = v->s.rflags & RFLAGS_TF; /* a masked TF does not trap after SYSCALL */
}

void exec_sysret(InterpVcpu *v, const Insn *i)
{
    syscall_check(v);
    uint16_t base = v->s.star >> 48;
    bool to64 = i->opsize == 8;
    uint64_t rip = to64 ? v->s.gpr[GPR_RCX] : (uint32_t)v->s.gpr[GPR_RCX];
    if (to64 && !interp_canonical(v, rip))
        interp_gp0(v);
    enter_flat(v, to64 ? base + 16 : base, base + 8, 3, to64);
    v->next_rip = rip;
    if (v->long_mode)
        interp_set_rflags(v, v->s.gpr[GPR_R11] & 0x3c7fd7, ~0ull);
    else
        interp_set_rflags(v, RFLAGS_IF, RFLAGS_IF);
    interp_mode_changed(v);
}

static void sysenter_check(InterpVcpu *v)
{
    if (vendor_is_amd(v) && v->long_mode)
        interp_ud(v);
    if (!(v->s.cr0 & CR0_PE) || selector_null((uint16_t)v->s.sysenter_cs))
        interp_gp0(v);
}

void exec_sysenter(InterpVcpu *v, const Insn *i)
{
    sysenter_check(v);
    uint16_t cs = v->s.sysenter_cs & 0xfffc;
    bool to64 = v->long_mode;
    v->s.rflags &= ~(uint64_t)(RFLAGS_VM | RFLAGS_IF | RFLAGS_RF);
    v->next_rip = to64 ? v->s.sysenter_eip : (uint32_t)v->s.sysenter_eip;
    v->s.gpr[GPR_RSP] = to64 ? v->s.sysenter_esp : (uint32_t)v->s.sysenter_esp;
    enter_flat(v, cs, cs + 8, 0, to64);
    interp_update_attention(v);
}

void exec_sysexit(InterpVcpu *v, const Insn *i)
{
    sysenter_check(v);
    bool to64 = i->opsize == 8;
    uint64_t rip = v->s.gpr[GPR_RDX], rsp = v->s.gpr[GPR_RCX];
    if (to64 && (!interp_canonical(v, rip) || !interp_canonical(v, rsp)))
        interp_gp0(v);
    uint16_t cs = (v->s.sysenter_cs & 0xfffc) + (to64 ? 32 : 16);
    v->next_rip = to64 ? rip : (uint32_t)rip;
    v->s.gpr[GPR_RSP] = to64 ? rsp : (uint32_t)rsp;
    enter_flat(v, cs, cs + 8, 3, to64);
}

void exec_swapgs(InterpVcpu *v, const Insn *i)
{
    uint64_t base = v->s.seg[SEG_GS].base;
    v->s.seg[SEG_GS].base = v->base[SEG_GS] = v->s.kernel_gs_base;
    v->s.kernel_gs_base = base;
}

static void segment_base_read(InterpVcpu *v, const Insn *i, unsigned seg)
{
    if (!(v->s.cr4 & CR4_FSGSBASE))
        interp_ud(v);
    reg_write(v, &i->opnd[0], i->opsize == 8 ? 8 : 4, v->s.seg[seg].base);
}

static void segment_base_write(InterpVcpu *v, const Insn *i, unsigned seg)
{
    if (!(v->s.cr4 & CR4_FSGSBASE))
        interp_ud(v);
    uint64_t base = reg_read(v, &i->opnd[0], i->opsize == 8 ? 8 : 4);
    if (!interp_canonical(v, base))
        interp_gp0(v);
    v->s.seg[seg].base = v->base[seg] = base;
}

void exec_rdfsbase(InterpVcpu *v, const Insn *i) { segment_base_read(v, i, SEG_FS); }
void exec_rdgsbase(InterpVcpu *v, const Insn *i) { segment_base_read(v, i, SEG_GS); }
void exec_wrfsbase(InterpVcpu *v, const Insn *i) { segment_base_write(v, i, SEG_FS); }
void exec_wrgsbase(InterpVcpu *v, const Insn *i) { segment_base_write(v, i, SEG_GS); }
