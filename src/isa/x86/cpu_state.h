#pragma once
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/field.h"
/*
 * cpu_state.h - the architectural state of one x86 logical processor, as plain data.
 *
 * The same struct is what accelerators exchange, what is saved and migrated, what gdb reads and what lock-step tests
 * compare.  It holds nothing that can be derived.  Names follow the Intel SDM, volume 3.
 */
/* GPR_, not REG_: <ucontext.h> has those names with other values. */
enum { GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI, GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15 };
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_COUNT };

/* A segment register with its descriptor cache.  attr has the layout of bits 40-55 of a descriptor without the limit
 * nibble, as in VMCS access rights: type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16. */
typedef struct Segment {
    uint16_t selector;
    uint32_t attr;
    uint32_t limit; /* in bytes, G already applied */
    uint64_t base;
} Segment;
#define SEG_ATTR_TYPE     0x000fu
#define SEG_ATTR_S        0x0010u
#define SEG_ATTR_DPL      0x0060u
#define SEG_ATTR_DPL_SHIFT 5
#define SEG_ATTR_P        0x0080u
#define SEG_ATTR_AVL      0x1000u
#define SEG_ATTR_L        0x2000u
#define SEG_ATTR_DB       0x4000u
#define SEG_ATTR_G        0x8000u
#define SEG_ATTR_UNUSABLE 0x10000u

typedef struct DescriptorTable {
    uint64_t base;
    uint16_t limit;
} DescriptorTable;

/* Standard (not compacted) XSAVE image: x87 and SSE in FXSAVE layout, header, upper halves of YMM.  SDM 1, 13.4. */
typedef struct XsaveImage {
    uint16_t fcw, fsw;
    uint8_t ftw, reserved0; /* abridged tag word: a bit per physical register that is not empty */
    uint16_t fop;
    uint64_t fip, fdp;
    uint32_t mxcsr, mxcsr_mask;
    struct { uint8_t bytes[16]; } st[8]; /* ST(0) first; 10 bytes used */
    struct { uint8_t bytes[16]; } xmm[16];
    uint8_t reserved1[96];
    uint64_t xstate_bv, xcomp_bv;
    uint8_t reserved2[48];
    struct { uint8_t bytes[16]; } ymm_high[16];
} XsaveImage;
_Static_assert(sizeof(XsaveImage) == 832, "standard format: 512 + 64 + 256");

/* What the processor does between instructions (the multiprocessor state of KVM). */
typedef enum CpuActivity { CPU_RUNNING, CPU_HALTED, CPU_WAIT_SIPI, CPU_SHUTDOWN } CpuActivity;

typedef struct CpuState {
    alignas(64) XsaveImage fpu;
    uint64_t gpr[16];
    uint64_t rip, rflags;
    Segment seg[SEG_COUNT], ldtr, tr;
    DescriptorTable gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4, cr8; /* cr8 mirrors the local APIC's TPR where one exists */
    uint64_t dr[8];                   /* 4 and 5 unused */
    uint64_t efer, xcr0, xss;
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base, tsc_aux;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t apic_base, misc_enable, pat, mtrr_def_type;
    uint64_t mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
    uint64_t debugctl, spec_ctrl, smbase, microcode_version, mcg_status, mcg_ctl;
    int64_t tsc_offset;    /* guest TSC = host TSC (or virtual clock) + offset */
    uint64_t tsc_adjust;
    uint64_t tsc_deadline;
    uint8_t activity;      /* CpuActivity */
    uint8_t interrupt_shadow; /* 1: by STI, 2: by MOV SS or POP SS, until the next instruction ends */
    bool nmi_blocked;      /* between NMI and IRET */
    bool in_smm;
    bool nmi_pending, smi_pending;
    uint8_t sipi_vector;
} CpuState;

extern const Field cpu_state_fields[]; /* for saved state and dumps; ends with a NULL name */

#define RFLAGS_CF   0x000001u
#define RFLAGS_ONE  0x000002u /* always set */
#define RFLAGS_PF   0x000004u
#define RFLAGS_AF   0x000010u
#define RFLAGS_ZF   0x000040u
#define RFLAGS_SF   0x000080u
#define RFLAGS_TF   0x000100u
#define RFLAGS_IF   0x000200u
#define RFLAGS_DF   0x000400u
#define RFLAGS_OF   0x000800u
#define RFLAGS_IOPL 0x003000u
#define RFLAGS_NT   0x004000u
#define RFLAGS_RF   0x010000u
#define RFLAGS_VM   0x020000u
#define RFLAGS_AC   0x040000u
#define RFLAGS_VIF  0x080000u
#define RFLAGS_VIP  0x100000u
#define RFLAGS_ID   0x200000u
#define RFLAGS_STATUS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

#define CR0_PE 0x00000001ull
#define CR0_MP 0x00000002ull
#define CR0_EM 0x00000004ull
#define CR0_TS 0x00000008ull
#define CR0_ET 0x00000010ull
#define CR0_NE 0x00000020ull
#define CR0_WP 0x00010000ull
#define CR0_AM 0x00040000ull
#define CR0_NW 0x20000000ull
#define CR0_CD 0x40000000ull
#define CR0_PG 0x80000000ull

#define CR4_VME        0x000001ull
#define CR4_PVI        0x000002ull
#define CR4_TSD        0x000004ull
#define CR4_DE         0x000008ull
#define CR4_PSE        0x000010ull
#define CR4_PAE        0x000020ull
#define CR4_MCE        0x000040ull
#define CR4_PGE        0x000080ull
#define CR4_PCE        0x000100ull
#define CR4_OSFXSR     0x000200ull
#define CR4_OSXMMEXCPT 0x000400ull
#define CR4_UMIP       0x000800ull
#define CR4_LA57       0x001000ull
#define CR4_VMXE       0x002000ull
#define CR4_FSGSBASE   0x010000ull
#define CR4_PCIDE      0x020000ull
#define CR4_OSXSAVE    0x040000ull
#define CR4_SMEP       0x100000ull
#define CR4_SMAP       0x200000ull
#define CR4_PKE        0x400000ull

#define EFER_SCE  0x0001ull
#define EFER_LME  0x0100ull
#define EFER_LMA  0x0400ull
#define EFER_NXE  0x0800ull
#define EFER_SVME 0x1000ull
#define EFER_FFXSR 0x4000ull

#define XCR0_X87 1ull
#define XCR0_SSE 2ull
#define XCR0_AVX 4ull

typedef enum CpuException { EXC_DE, EXC_DB, EXC_NMI, EXC_BP, EXC_OF, EXC_BR, EXC_UD, EXC_NM, EXC_DF, EXC_TS = 10, EXC_NP, EXC_SS, EXC_GP, EXC_PF, EXC_MF = 16, EXC_AC, EXC_MC, EXC_XM } CpuException;

/* The state after RESET# (init false) or INIT (init true: FPU, MTRRs, TSC and the like keep their values).
 * SDM 3, table 10-1.  The bootstrap processor runs at f000:fff0, the others wait for a SIPI. */
void cpu_state_reset(CpuState *s, bool bootstrap, bool init);
/* The start-up inter-processor interrupt: real mode at vector << 12. */
void cpu_state_sipi(CpuState *s, uint8_t vector);

/* Registers as text, several lines, in the manner of -d cpu_reset.  Caller frees. */
char *cpu_state_dump(const CpuState *s);
/* Lists the fields in which two states differ, one a line, "" if none.  Caller frees. */
char *cpu_state_diff(const CpuState *a, const CpuState *b);
