/* msr.c - the table of msr.h. */
#include "isa/x86/msr.h"

#define IN(member) .off = offsetof(CpuState, member)

const MsrField msr_fields[] = {
    { "IA32_TSC_ADJUST", MSR_TSC_ADJUST, IN(tsc_adjust) },
    { "IA32_SPEC_CTRL", MSR_SPEC_CTRL, IN(spec_ctrl) },
    { "IA32_SYSENTER_CS", MSR_SYSENTER_CS, IN(sysenter_cs) },
    { "IA32_SYSENTER_ESP", MSR_SYSENTER_ESP, IN(sysenter_esp) },
    { "IA32_SYSENTER_EIP", MSR_SYSENTER_EIP, IN(sysenter_eip) },
    { "IA32_MCG_STATUS", MSR_MCG_STATUS, IN(mcg_status) },
    { "IA32_MCG_CTL", MSR_MCG_CTL, IN(mcg_ctl) },
    { "IA32_MISC_ENABLE", MSR_MISC_ENABLE, IN(misc_enable) },
    { "IA32_DEBUGCTL", MSR_DEBUGCTL, IN(debugctl) },
    { "IA32_MTRR_PHYSBASE0", 0x200, IN(mtrr_base[0]) },
    { "IA32_MTRR_PHYSMASK0", 0x201, IN(mtrr_mask[0]) },
    { "IA32_MTRR_PHYSBASE1", 0x202, IN(mtrr_base[1]) },
    { "IA32_MTRR_PHYSMASK1", 0x203, IN(mtrr_mask[1]) },
    { "IA32_MTRR_PHYSBASE2", 0x204, IN(mtrr_base[2]) },
    { "IA32_MTRR_PHYSMASK2", 0x205, IN(mtrr_mask[2]) },
    { "IA32_MTRR_PHYSBASE3", 0x206, IN(mtrr_base[3]) },
    { "IA32_MTRR_PHYSMASK3", 0x207, IN(mtrr_mask[3]) },
    { "IA32_MTRR_PHYSBASE4", 0x208, IN(mtrr_base[4]) },
    { "IA32_MTRR_PHYSMASK4", 0x209, IN(mtrr_mask[4]) },
    { "IA32_MTRR_PHYSBASE5", 0x20a, IN(mtrr_base[5]) },
    { "IA32_MTRR_PHYSMASK5", 0x20b, IN(mtrr_mask[5]) },
    { "IA32_MTRR_PHYSBASE6", 0x20c, IN(mtrr_base[6]) },
    { "IA32_MTRR_PHYSMASK6", 0x20d, IN(mtrr_mask[6]) },
    { "IA32_MTRR_PHYSBASE7", 0x20e, IN(mtrr_base[7]) },
    { "IA32_MTRR_PHYSMASK7", 0x20f, IN(mtrr_mask[7]) },
    { "IA32_MTRR_FIX64K_00000", MSR_MTRR_FIX64K_00000, IN(mtrr_fixed[0]) },
    { "IA32_MTRR_FIX16K_80000", MSR_MTRR_FIX16K_80000, IN(mtrr_fixed[1]) },
    { "IA32_MTRR_FIX16K_A0000", MSR_MTRR_FIX16K_A0000, IN(mtrr_fixed[2]) },
    { "IA32_MTRR_FIX4K_C0000", 0x268, IN(mtrr_fixed[3]) },
    { "IA32_MTRR_FIX4K_C8000", 0x269, IN(mtrr_fixed[4]) },
    { "IA32_MTRR_FIX4K_D0000", 0x26a, IN(mtrr_fixed[5]) },
    { "IA32_MTRR_FIX4K_D8000", 0x26b, IN(mtrr_fixed[6]) },
    { "IA32_MTRR_FIX4K_E0000", 0x26c, IN(mtrr_fixed[7]) },
    { "IA32_MTRR_FIX4K_E8000", 0x26d, IN(mtrr_fixed[8]) },
    { "IA32_MTRR_FIX4K_F0000", 0x26e, IN(mtrr_fixed[9]) },
    { "IA32_MTRR_FIX4K_F8000", 0x26f, IN(mtrr_fixed[10]) },
    { "IA32_PAT", MSR_PAT, IN(pat) },
    { "IA32_MTRR_DEF_TYPE", MSR_MTRR_DEF_TYPE, IN(mtrr_def_type) },
    { "IA32_TSC_DEADLINE", MSR_TSC_DEADLINE, IN(tsc_deadline) },
    { "IA32_XSS", MSR_XSS, IN(xss) },
    { "IA32_STAR", MSR_STAR, IN(star) },
    { "IA32_LSTAR", MSR_LSTAR, IN(lstar) },
    { "IA32_CSTAR", MSR_CSTAR, IN(cstar) },
    { "IA32_FMASK", MSR_SFMASK, IN(sfmask) },
    { "IA32_KERNEL_GS_BASE", MSR_KERNEL_GS_BASE, IN(kernel_gs_base) },
    { "IA32_TSC_AUX", MSR_TSC_AUX, IN(tsc_aux) },
    { .name = NULL },
};

const MsrField *msr_field_find(uint32_t number)
{
    for (const MsrField *f = msr_fields; f->name; f++)
        if (f->number == number)
            return f;
    return NULL;
}
