/*
 * system.c - the table of system instructions, and the handlers that are a line or two.
 */
#include "accel/interp/system.h"

static void exec_nothing(InterpVcpu *v, const Insn *i) {}
static void exec_refused(InterpVcpu *v, const Insn *i) { interp_ud(v); }

static void exec_invlpg(InterpVcpu *v, const Insn *i)
{
    mmu_flush_page(v, mem_flat_linear(v, i->seg, effective_address(v, i)));
}

/* SDM 2, INVPCID.  An address of a PCID that is not current takes the whole PCID. */
static void exec_invpcid(InterpVcpu *v, const Insn *i)
{
    uint64_t type = gpr_get(v, i->opnd[0].reg, v->code_size == CODE64 ? 8 : 4), descriptor[2];
    mem_read_bytes(v, i->seg, effective_address(v, i), descriptor, 16);
    bool bad = type > 3 || descriptor[0] >> 12 || (type < 2 && !(v->s.cr4 & CR4_PCIDE) && descriptor[0]) ||
               (type == 0 && !interp_canonical(v, descriptor[1]));
    if (bad)
        interp_gp0(v);
    bool current = !(v->s.cr4 & CR4_PCIDE) || descriptor[0] == (v->s.cr3 & 0xfff);
    if (type == 0 && current)
        mmu_flush_page(v, descriptor[1]);
    else if (type < 2)
        mmu_flush_pcid(v, (uint16_t)descriptor[0]);
    else
        mmu_flush(v, type == 2);
}

static void exec_hlt(InterpVcpu *v, const Insn *i)
{
    v->s.activity = CPU_HALTED;
    interp_update_attention(v);
}

static void exec_cpuid(InterpVcpu *v, const Insn *i)
{
    interp_save_fpu(v);
    const MachineConfig *m = &v->vcpu.machine->config;
    CpuidContext c = { .apic_id = v->vcpu.apic_id, .sockets = m->sockets, .cores = m->cores, .threads = m->threads,
                       .cr4 = v->s.cr4, .xcr0 = v->s.xcr0, .xss = v->s.xss,
                       .apic_base = v->vcpu.apic_ops ? v->vcpu.apic_ops->get_base(v->vcpu.apic) : v->s.apic_base };
    CpuidRegs r = cpu_model_cpuid(interp_model(v), &c, (uint32_t)v->s.gpr[GPR_RAX], (uint32_t)v->s.gpr[GPR_RCX]);
    v->s.gpr[GPR_RAX] = r.eax;
    v->s.gpr[GPR_RBX] = r.ebx;
    v->s.gpr[GPR_RCX] = r.ecx;
    v->s.gpr[GPR_RDX] = r.edx;
}

/* MONITOR arms nothing, so MWAIT ends at once: an implementation may wake for reasons of its own (SDM 2, MWAIT). */
static void exec_monitor(InterpVcpu *v, const Insn *i)
{
    if (v->cpl)
        interp_ud(v);
    if ((uint32_t)v->s.gpr[GPR_RCX])
        interp_gp0(v);
    mem_read(v, i->has_mem ? i->seg : SEG_DS, v->s.gpr[GPR_RAX] & size_mask(i->addrsize), 1);
}

static void exec_mwait(InterpVcpu *v, const Insn *i)
{
    if (v->cpl)
        interp_ud(v);
    if ((uint32_t)v->s.gpr[GPR_RCX] & ~1u)
        interp_gp0(v);
}

/* ---- far transfers */
static void far_pointer(InterpVcpu *v, const Insn *i, uint16_t *ret_selector, uint64_t *ret_offset)
{
    if (i->opnd[0].kind == OPND_FAR) {
        *ret_selector = i->imm2;
        *ret_offset = i->imm & size_mask(i->opsize);
        return;
    }
    uint64_t at = effective_address(v, i);
    *ret_offset = mem_read(v, i->seg, at, i->opsize);
    *ret_selector = (uint16_t)mem_read(v, i->seg, (at + i->opsize) & size_mask(i->addrsize), 2);
}

static void exec_jmp_far(InterpVcpu *v, const Insn *i)
{
    uint16_t selector;
    uint64_t offset;
    far_pointer(v, i, &selector, &offset);
    far_jump(v, selector, offset, i->opsize);
}

static void exec_call_far(InterpVcpu *v, const Insn *i)
{
    uint16_t selector;
    uint64_t offset;
    far_pointer(v, i, &selector, &offset);
    far_call(v, selector, offset, i->opsize);
}

static void exec_ret_far(InterpVcpu *v, const Insn *i)
{
    far_return(v, i->opsize, i->n_operands ? (uint16_t)i->imm : 0);
}
static void exec_iret(InterpVcpu *v, const Insn *i) { interrupt_return(v, i->opsize); }

const ExecEntry exec_system[] = {
    { OP_MOV_CR, exec_mov_cr },
    { OP_MOV_DR, exec_mov_dr },
    { OP_LMSW, exec_lmsw },
    { OP_SMSW, exec_smsw },
    { OP_CLTS, exec_clts },
    { OP_XGETBV, exec_xgetbv },
    { OP_XSETBV, exec_xsetbv },
    { OP_LGDT, exec_lgdt },
    { OP_SGDT, exec_sgdt },
    { OP_LIDT, exec_lidt },
    { OP_SIDT, exec_sidt },
    { OP_LLDT, exec_lldt },
    { OP_SLDT, exec_sldt },
    { OP_LTR, exec_ltr },
    { OP_STR, exec_str },
    { OP_LAR, exec_lar },
    { OP_LSL, exec_lsl },
    { OP_VERR, exec_verr },
    { OP_VERW, exec_verw },
    { OP_ARPL, exec_arpl },
    { OP_MOV_SEG, exec_mov_seg },
    { OP_LDS, exec_load_far },
    { OP_LES, exec_load_far },
    { OP_LFS, exec_load_far },
    { OP_LGS, exec_load_far },
    { OP_LSS, exec_load_far },
    { OP_RDMSR, exec_rdmsr },
    { OP_WRMSR, exec_wrmsr },
    { OP_RDTSC, exec_rdtsc },
    { OP_RDTSCP, exec_rdtscp },
    { OP_RDPMC, exec_rdpmc },
    { OP_RDPID, exec_rdpid },
    { OP_SERIALIZE, exec_nothing },
    { OP_SYSCALL, exec_syscall },
    { OP_SYSRET, exec_sysret },
    { OP_SYSENTER, exec_sysenter },
    { OP_SYSEXIT, exec_sysexit },
    { OP_SWAPGS, exec_swapgs },
    { OP_RDFSBASE, exec_rdfsbase },
    { OP_RDGSBASE, exec_rdgsbase },
    { OP_WRFSBASE, exec_wrfsbase },
    { OP_WRGSBASE, exec_wrgsbase },
    { OP_IN, exec_in },
    { OP_OUT, exec_out },
    { OP_INS, exec_ins },
    { OP_OUTS, exec_outs },
    { OP_CLI, exec_cli },
    { OP_STI, exec_sti },
    { OP_PUSHF, exec_pushf },
    { OP_POPF, exec_popf },
    { OP_CLAC, exec_clac },
    { OP_STAC, exec_stac },
    { OP_INT, exec_int },
    { OP_INT3, exec_int3 },
    { OP_INTO, exec_into },
    { OP_INT1, exec_int1 },
    { OP_JMP_FAR, exec_jmp_far },
    { OP_CALL_FAR, exec_call_far },
    { OP_RET_FAR, exec_ret_far },
    { OP_IRET, exec_iret },
    { OP_INVLPG, exec_invlpg },
    { OP_INVPCID, exec_invpcid },
    { OP_INVD, exec_nothing },
    { OP_WBINVD, exec_nothing },
    { OP_HLT, exec_hlt },
    { OP_CPUID, exec_cpuid },
    { OP_MONITOR, exec_monitor },
    { OP_MWAIT, exec_mwait },
    { OP_VMCALL, exec_refused },
    { OP_VMMCALL, exec_refused },
    { OP_RSM, exec_refused },
    { OP_INVALID },
};
