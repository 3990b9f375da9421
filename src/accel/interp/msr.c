/*
 * msr.c - model-specific registers and the time-stamp counter.  SDM 4, chapter 2; SDM 3, 11.11 (MTRR), 17.17 (TSC).
 *
 * Where the value lives is isa/x86/msr.h's matter; a row here says which CPU model has the register and what may be
 * written to it.
 */
#include "isa/x86/msr.h"
#include "accel/interp/system.h"

enum {
    MSR_PLATFORM_ID = 0x17,
    MSR_PRED_CMD = 0x49,
    MSR_UCODE_WRITE = 0x79,
    MSR_PLATFORM_INFO = 0xce,
    MSR_ARCH_CAPABILITIES = 0x10a,
    MSR_PERF_STATUS = 0x198
};
#define MSR_AMD_PERF_FIRST 0xc0010000u
#define MSR_AMD_PERF_LAST  0xc0010007u
#define MSR_AMD_SYSCFG 0xc0010010u
#define MSR_AMD_HWCR   0xc0010015u
#define MSR_AMD_NB_CFG 0xc001001fu
#define MSR_AMD_PATCH  0xc0010020u
#define MSR_AMD_INT_PENDING 0xc0010055u

typedef struct MsrRow {
    uint32_t first, last;
    CpuFeature feature;
    bool amd;            /* only there */
    bool read_only, write_only, ignore_writes;
    uint64_t writable;   /* other bits of a written value must be 0 */
    uint64_t constant;   /* read, if nothing else gives the value */
    bool (*valid)(InterpVcpu *v, uint32_t msr, uint64_t value);
    uint64_t (*read)(InterpVcpu *v, uint32_t msr);
    void (*write)(InterpVcpu *v, uint32_t msr, uint64_t value);
} MsrRow;

/* ---- validity */
static bool memory_type_valid(uint8_t type) { return type == 0 || type == 1 || (type >= 4 && type <= 6); }

static bool valid_canonical(InterpVcpu *v, uint32_t msr, uint64_t value) { return interp_canonical(v, value); }

static bool valid_types(InterpVcpu *v, uint32_t msr, uint64_t value)
{
    for (unsigned i = 0; i < 64; i += 8)
        if (!memory_type_valid(value >> i & 0xff))
            return false;
    return true;
}

static bool valid_pat(InterpVcpu *v, uint32_t msr, uint64_t value)
{
    for (unsigned i = 0; i < 64; i += 8)
        if (!memory_type_valid(value >> i & 0xff) && (value >> i & 0xff) != 7)
            return false;
    return true;
}

static bool valid_mtrr(InterpVcpu *v, uint32_t msr, uint64_t value)
{
    if (value & ~phys_mask(v))
        return false;
    return msr & 1 ? !(value & 0x7ff) : !(value & 0xf00) && memory_type_valid(value & 0xff);
}

static bool valid_def_type(InterpVcpu *v, uint32_t msr, uint64_t value) { return memory_type_valid(value & 0xff); }

static bool valid_efer(InterpVcpu *v, uint32_t msr, uint64_t value)
{
    uint64_t allowed = EFER_LMA | (has(v, FEAT_SYSCALL) ? EFER_SCE : 0) | (has(v, FEAT_LM) ? EFER_LME : 0) |
                       (has(v, FEAT_NX) ? EFER_NXE : 0) | (has(v, FEAT_FXSR_OPT) ? EFER_FFXSR : 0);
    return !(value & ~allowed) && !(((value ^ v->s.efer) & EFER_LME) && (v->s.cr0 & CR0_PG));
}

/* ---- the TSC */
uint64_t interp_tsc(InterpVcpu *v)
{
    const Tsc *t = &v->vcpu.machine->tsc;
    if (!t->host_khz) /* computed from the machine's clock */
        interp_save_fpu(v);
    return tsc_now(t) + v->s.tsc_offset;
}

static void tsc_move(InterpVcpu *v, uint64_t delta)
{
    v->s.tsc_offset += delta;
    v->s.tsc_adjust += delta;
    atomic_store(&v->vcpu.tsc_offset, v->s.tsc_offset);
    uint64_t deadline;
    const LocalApicOps *apic = v->vcpu.apic_ops;
    interp_save_fpu(v);
    if (apic && has(v, FEAT_TSC_DEADLINE) && apic->read_msr(v->vcpu.apic, MSR_TSC_DEADLINE, &deadline))
        apic->write_msr(v->vcpu.apic, MSR_TSC_DEADLINE, deadline);
}

static uint64_t read_tsc(InterpVcpu *v, uint32_t msr) { return interp_tsc(v); }
static void write_tsc(InterpVcpu *v, uint32_t msr, uint64_t value) { tsc_move(v, value - interp_tsc(v)); }
static void write_tsc_adjust(InterpVcpu *v, uint32_t msr, uint64_t value) { tsc_move(v, value - v->s.tsc_adjust); }

/* ---- the local APIC */
static uint64_t read_apic(InterpVcpu *v, uint32_t msr)
{
    uint64_t value;
    interp_save_fpu(v);
    if (!v->vcpu.apic_ops || !v->vcpu.apic_ops->read_msr(v->vcpu.apic, msr, &value))
        interp_gp0(v);
    return value;
}

static void write_apic(InterpVcpu *v, uint32_t msr, uint64_t value)
{
    interp_save_fpu(v);
    if (!v->vcpu.apic_ops || !v->vcpu.apic_ops->write_msr(v->vcpu.apic, msr, value))
        interp_gp0(v);
}

static uint64_t read_apic_base(InterpVcpu *v, uint32_t msr)
{
    interp_save_fpu(v);
    return v->vcpu.apic_ops ? v->vcpu.apic_ops->get_base(v->vcpu.apic) : v->s.apic_base;
}

static void write_apic_base(InterpVcpu *v, uint32_t msr, uint64_t value)
{
    interp_save_fpu(v);
    if ((value & ~phys_mask(v)) || !v->vcpu.apic_ops || !v->vcpu.apic_ops->set_base(v->vcpu.apic, value))
        interp_gp0(v);
    v->s.apic_base = value;
    interp_apic_moved(v);
}

/* ---- bases and modes */
static uint64_t read_segment_base(InterpVcpu *v, uint32_t msr)
{
    return v->s.seg[msr == MSR_FS_BASE ? SEG_FS : SEG_GS].base;
}

static void write_segment_base(InterpVcpu *v, uint32_t msr, uint64_t value)
{
    v->s.seg[msr == MSR_FS_BASE ? SEG_FS : SEG_GS].base = value;
    interp_mode_changed(v);
}

static uint64_t read_efer(InterpVcpu *v, uint32_t msr) { return v->s.efer; }

static void write_efer(InterpVcpu *v, uint32_t msr, uint64_t value)
{
    uint64_t changed = value ^ v->s.efer;
    v->s.efer = (value & ~EFER_LMA) | (v->s.efer & EFER_LMA);
    if (changed & EFER_NXE)
        mmu_flush(v, true);
    interp_mode_changed(v);
}

/* Read-only and reserved bits keep their value: firmware and operating systems write back what they have read. */
static void write_misc_enable(InterpVcpu *v, uint32_t msr, uint64_t value)
{
    uint64_t writable = 0x400000 | 0x400000000ull | 0x40000 | 1; /* LIMIT_CPUID, XD_DISABLE, MONITOR, FAST_STRINGS */
    v->s.misc_enable = (v->s.misc_enable & ~writable) | (value & writable);
}

static uint64_t read_microcode(InterpVcpu *v, uint32_t msr) { return v->s.microcode_version; }

/* What a guest's own countermeasures would not change: an interpreter does not speculate on its behalf, and in translated code
 * page tables, IBRS and retpolines are software and constrain no speculation (docs/dbt.md).  So RDCL_NO, IBRS_ALL, SSB_NO, MDS_NO,
 * TAA_NO and their kin are among what these accelerators can give (cpu_features_own); a model may have fewer. */
static uint64_t read_arch_capabilities(InterpVcpu *v, uint32_t msr)
{
    interp_save_fpu(v);
    return cpu_model_msr(interp_model(v), msr);
}

/* In order of use. */
static const MsrRow rows[] = {
    { MSR_TSC_DEADLINE, MSR_TSC_DEADLINE, FEAT_TSC_DEADLINE, .read = read_apic, .write = write_apic },
    { MSR_X2APIC_FIRST, MSR_X2APIC_LAST, FEAT_X2APIC, .read = read_apic, .write = write_apic },
    { MSR_FS_BASE, MSR_GS_BASE, FEAT_LM, .valid = valid_canonical, .read = read_segment_base,
      .write = write_segment_base },
    { MSR_KERNEL_GS_BASE, MSR_KERNEL_GS_BASE, FEAT_LM, .valid = valid_canonical },
    { MSR_SPEC_CTRL, MSR_SPEC_CTRL, FEAT_SPEC_CTRL, .writable = 7 },
    { MSR_PRED_CMD, MSR_PRED_CMD, FEAT_SPEC_CTRL, .write_only = true, .writable = 1, .ignore_writes = true },
    { MSR_TSC, MSR_TSC, FEAT_TSC, .read = read_tsc, .write = write_tsc },
    { MSR_TSC_ADJUST, MSR_TSC_ADJUST, FEAT_TSC_ADJUST, .write = write_tsc_adjust },
    { MSR_TSC_AUX, MSR_TSC_AUX, FEAT_RDTSCP, .writable = 0xffffffff },
    { MSR_APIC_BASE, MSR_APIC_BASE, FEAT_APIC, .read = read_apic_base, .write = write_apic_base },
    { MSR_EFER, MSR_EFER, FEAT_ALWAYS, .valid = valid_efer, .read = read_efer, .write = write_efer },
    { MSR_STAR, MSR_STAR, FEAT_SYSCALL },
    { MSR_LSTAR, MSR_CSTAR, FEAT_LM, .valid = valid_canonical },
    { MSR_SFMASK, MSR_SFMASK, FEAT_SYSCALL, .writable = 0xffffffff },
    { MSR_SYSENTER_CS, MSR_SYSENTER_CS, FEAT_SEP, .writable = 0xffffffff },
    { MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, FEAT_SEP, .valid = valid_canonical },
    { MSR_PLATFORM_ID, MSR_PLATFORM_ID, FEAT_ALWAYS, .read_only = true },
    { MSR_UCODE_WRITE, MSR_UCODE_WRITE, FEAT_ALWAYS, .write_only = true, .ignore_writes = true },
    { MSR_UCODE_REV, MSR_UCODE_REV, FEAT_ALWAYS, .read = read_microcode, .ignore_writes = true },
    { MSR_PLATFORM_INFO, MSR_PLATFORM_INFO, FEAT_ALWAYS, .read_only = true },
    { MSR_PERF_STATUS, MSR_PERF_STATUS, FEAT_ALWAYS, .read_only = true },
    { MSR_ARCH_CAPABILITIES, MSR_ARCH_CAPABILITIES, FEAT_ARCH_CAPABILITIES, .read_only = true,
      .read = read_arch_capabilities },
    { MSR_MISC_ENABLE, MSR_MISC_ENABLE, FEAT_ALWAYS, .write = write_misc_enable },
    { MSR_DEBUGCTL, MSR_DEBUGCTL, FEAT_ALWAYS, .writable = 0 },
    { MSR_XSS, MSR_XSS, FEAT_XSAVES, .writable = 0 },
    { MSR_MTRR_CAP, MSR_MTRR_CAP, FEAT_MTRR, .read_only = true, .constant = 0x508 }, /* 8 variable, fixed, WC */
    { MSR_MTRR_BASE0, MSR_MTRR_BASE0 + 15, FEAT_MTRR, .valid = valid_mtrr },
    { MSR_MTRR_FIX64K_00000, MSR_MTRR_FIX64K_00000, FEAT_MTRR, .valid = valid_types },
    { MSR_MTRR_FIX16K_80000, MSR_MTRR_FIX16K_A0000, FEAT_MTRR, .valid = valid_types },
    { MSR_MTRR_FIX4K_C0000, MSR_MTRR_FIX4K_C0000 + 7, FEAT_MTRR, .valid = valid_types },
    { MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE, FEAT_MTRR, .valid = valid_def_type, .writable = 0xcff },
    { MSR_PAT, MSR_PAT, FEAT_PAT, .valid = valid_pat },
    { MSR_MCG_CAP, MSR_MCG_CAP, FEAT_MCA, .read_only = true }, /* no bank */
    { MSR_MCG_STATUS, MSR_MCG_STATUS, FEAT_MCA, .writable = 7 },
    { MSR_AMD_SYSCFG, MSR_AMD_SYSCFG, FEAT_ALWAYS, .amd = true, .ignore_writes = true },
    { MSR_AMD_PERF_FIRST, MSR_AMD_PERF_LAST, FEAT_ALWAYS, .amd = true,
      .ignore_writes = true }, /* counters that never count */
    { MSR_AMD_HWCR, MSR_AMD_HWCR, FEAT_ALWAYS, .amd = true, .ignore_writes = true },
    { MSR_AMD_NB_CFG, MSR_AMD_NB_CFG, FEAT_ALWAYS, .amd = true, .ignore_writes = true },
    { MSR_AMD_PATCH, MSR_AMD_PATCH, FEAT_ALWAYS, .amd = true, .write_only = true, .ignore_writes = true },
    { MSR_AMD_INT_PENDING, MSR_AMD_INT_PENDING, FEAT_ALWAYS, .amd = true, .ignore_writes = true },
};

static const MsrRow *row_find(InterpVcpu *v, uint32_t msr)
{
    for (const MsrRow *r = rows; r < rows + G_N_ELEMENTS(rows); r++)
        if (msr >= r->first && msr <= r->last && (r->feature == FEAT_ALWAYS || has(v, r->feature)) &&
            (!r->amd || vendor_is_amd(v)))
            return r;
    Log *log = v->vcpu.machine->log;
    if (log_on(log, LOG_UNIMP)) {
        interp_save_fpu(v);
        log_write(log, LOG_UNIMP, "cpu %u: no MSR %08x", v->vcpu.id, msr);
    }
    interp_gp0(v);
}

uint64_t msr_read(InterpVcpu *v, uint32_t msr)
{
    const MsrRow *r = row_find(v, msr);
    if (r->write_only)
        interp_gp0(v);
    if (r->read)
        return r->read(v, msr);
    const MsrField *f = msr_field_find(msr);
    return f ? *msr_in_state(&v->s, f) : r->constant;
}

void msr_write(InterpVcpu *v, uint32_t msr, uint64_t value)
{
    const MsrRow *r = row_find(v, msr);
    const MsrField *f = msr_field_find(msr);
    bool masked = r->writable || !(r->valid || r->write || r->ignore_writes || msr == MSR_STAR);
    if (r->read_only || (masked && (value & ~r->writable)) || (r->valid && !r->valid(v, msr, value)))
        interp_gp0(v);
    if (r->write)
        r->write(v, msr, value);
    else if (f && !r->ignore_writes)
        *msr_in_state(&v->s, f) = value;
}

/* ---- instructions */
static void set_edx_eax(InterpVcpu *v, uint64_t value)
{
    v->s.gpr[GPR_RAX] = (uint32_t)value;
    v->s.gpr[GPR_RDX] = value >> 32;
}

void exec_rdmsr(InterpVcpu *v, const Insn *i) { set_edx_eax(v, msr_read(v, (uint32_t)v->s.gpr[GPR_RCX])); }

void exec_wrmsr(InterpVcpu *v, const Insn *i)
{
    msr_write(v, (uint32_t)v->s.gpr[GPR_RCX], (uint32_t)v->s.gpr[GPR_RAX] | v->s.gpr[GPR_RDX] << 32);
}

void exec_rdtsc(InterpVcpu *v, const Insn *i)
{
    if (v->cpl && (v->s.cr4 & CR4_TSD))
        interp_gp0(v);
    set_edx_eax(v, interp_tsc(v));
}

void exec_rdtscp(InterpVcpu *v, const Insn *i)
{
    exec_rdtsc(v, i);
    v->s.gpr[GPR_RCX] = (uint32_t)v->s.tsc_aux;
}

/* There are no counters (CPUID leaf 0ah says so): every index is out of range. */
void exec_rdpmc(InterpVcpu *v, const Insn *i) { interp_gp0(v); }

void exec_rdpid(InterpVcpu *v, const Insn *i)
{
    gpr_set(v, i->opnd[0].reg, v->code_size == CODE64 ? 8 : 4, v->s.tsc_aux);
}
