#pragma once
#include "isa/x86/cpu_state.h"
/*
 * msr.h - which model-specific register is which member of CpuState: one table for every accelerator.
 * Numbers and names as in SDM 4, chapter 2.
 */
typedef struct MsrField {
    const char *name;
    uint32_t number;
    uint32_t off; /* of the uint64_t in CpuState */
} MsrField;
extern const MsrField msr_fields[]; /* ends with a NULL name */

const MsrField *msr_field_find(uint32_t number); /* NULL: not kept in CpuState, or not by one member */

static inline uint64_t *msr_in_state(CpuState *s, const MsrField *f) { return (uint64_t *)((char *)s + f->off); }

enum {
    MSR_TSC = 0x10, MSR_APIC_BASE = 0x1b, MSR_TSC_ADJUST = 0x3b, MSR_SPEC_CTRL = 0x48, MSR_UCODE_REV = 0x8b, MSR_MTRR_CAP = 0xfe,
    MSR_SYSENTER_CS = 0x174, MSR_SYSENTER_ESP = 0x175, MSR_SYSENTER_EIP = 0x176, MSR_MCG_CAP = 0x179, MSR_MCG_STATUS = 0x17a,
    MSR_MCG_CTL = 0x17b, MSR_MISC_ENABLE = 0x1a0, MSR_DEBUGCTL = 0x1d9, MSR_MTRR_BASE0 = 0x200, MSR_MTRR_MASK0 = 0x201,
    MSR_MTRR_FIX64K_00000 = 0x250, MSR_MTRR_FIX16K_80000 = 0x258, MSR_MTRR_FIX16K_A0000 = 0x259, MSR_MTRR_FIX4K_C0000 = 0x268,
    MSR_PAT = 0x277, MSR_MTRR_DEF_TYPE = 0x2ff, MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC_FIRST = 0x800, MSR_X2APIC_LAST = 0x8ff, MSR_XSS = 0xda0,
};
#define MSR_EFER           0xc0000080u
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_CSTAR          0xc0000083u
#define MSR_SFMASK         0xc0000084u
#define MSR_FS_BASE        0xc0000100u
#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX        0xc0000103u
