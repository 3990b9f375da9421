/*
 * cpu_state.c - the field table of CpuState, and what is done with it: reset, dump, difference.
 *
 * The reset values are those of SDM 3, table 10-1 (power-up and RESET); a field marked `keep` is one that INIT leaves.
 */
#include "isa/x86/cpu_state.h"

#include <glib.h>
#include <inttypes.h>
#include <string.h>

static const Field vector_fields[] = {
    { .name = "bytes", .off = 0, .bytes = 16, .n = 16, .type = FT_U8, .doc = "register, lowest byte first" },
    { .name = NULL },
};

static const Field xsave_fields[] = {
    { F(XsaveImage, fcw), .reset = 0x0040, .doc = "x87 control word" },
    { F(XsaveImage, fsw), .doc = "x87 status word" },
    { F(XsaveImage, ftw), .reset = 0xff, .doc = "x87 abridged tag word (5555h: every register holds zero)" },
    { F(XsaveImage, reserved0), .doc = "reserved" },
    { F(XsaveImage, fop), .doc = "x87 last opcode" },
    { F(XsaveImage, fip), .doc = "x87 last instruction pointer" },
    { F(XsaveImage, fdp), .doc = "x87 last data pointer" },
    { F(XsaveImage, mxcsr), .reset = 0x1f80, .doc = "SSE control and status" },
    { F(XsaveImage, mxcsr_mask), .reset = 0xffff, .doc = "bits that MXCSR may have" },
    { FSA(XsaveImage, st, vector_fields), .doc = "x87 and MMX registers, ST(0) first" },
    { FSA(XsaveImage, xmm, vector_fields), .doc = "XMM registers" },
    { FA(XsaveImage, reserved1), .doc = "reserved" },
    { F(XsaveImage, xstate_bv), .reset = XCR0_X87 | XCR0_SSE, .doc = "components that are not in their initial state" },
    { F(XsaveImage, xcomp_bv), .doc = "0: standard format" },
    { FA(XsaveImage, reserved2), .doc = "reserved" },
    { FSA(XsaveImage, ymm_high, vector_fields), .doc = "upper halves of the YMM registers" },
    { .name = NULL },
};

static const Field segment_fields[] = {
    { F(Segment, selector), .doc = "selector" },
    { F(Segment, attr), .reset = 0x93, .doc = "access rights: present, writable, accessed" },
    { F(Segment, limit), .reset = 0xffff, .doc = "limit in bytes" },
    { F(Segment, base), .doc = "base" },
    { .name = NULL },
};

static const Field table_fields[] = {
    { F(DescriptorTable, base), .doc = "base" },
    { F(DescriptorTable, limit), .reset = 0xffff, .doc = "limit in bytes" },
    { .name = NULL },
};

const Field cpu_state_fields[] = {
    { FS(CpuState, fpu, xsave_fields), .keep = true, .doc = "x87, SSE and AVX state" },
    { FA(CpuState, gpr), .doc = "general registers, RAX RCX RDX RBX RSP RBP RSI RDI R8 to R15" },
    { F(CpuState, rip), .reset = 0xfff0, .doc = "instruction pointer" },
    { F(CpuState, rflags), .reset = RFLAGS_ONE, .doc = "flags" },
    { FSA(CpuState, seg, segment_fields), .doc = "segments ES CS SS DS FS GS" },
    { FS(CpuState, ldtr, segment_fields), .doc = "local descriptor table" },
    { FS(CpuState, tr, segment_fields), .doc = "task state segment" },
    { FS(CpuState, gdtr, table_fields), .doc = "global descriptor table" },
    { FS(CpuState, idtr, table_fields), .doc = "interrupt descriptor table" },
    { F(CpuState, cr0), .reset = CR0_CD | CR0_NW | CR0_ET, .doc = "CR0" },
    { F(CpuState, cr2), .doc = "CR2, page-fault address" },
    { F(CpuState, cr3), .doc = "CR3, page-table base" },
    { F(CpuState, cr4), .doc = "CR4" },
    { F(CpuState, cr8), .doc = "CR8, task priority" },
    { FA(CpuState, dr), .doc = "debug registers" },
    { F(CpuState, efer), .doc = "IA32_EFER" },
    { F(CpuState, xcr0), .reset = XCR0_X87, .keep = true, .doc = "XCR0" },
    { F(CpuState, xss), .keep = true, .doc = "IA32_XSS" },
    { F(CpuState, star), .keep = true, .doc = "IA32_STAR" },
    { F(CpuState, lstar), .keep = true, .doc = "IA32_LSTAR" },
    { F(CpuState, cstar), .keep = true, .doc = "IA32_CSTAR" },
    { F(CpuState, sfmask), .keep = true, .doc = "IA32_FMASK" },
    { F(CpuState, kernel_gs_base), .keep = true, .doc = "IA32_KERNEL_GS_BASE" },
    { F(CpuState, tsc_aux), .keep = true, .doc = "IA32_TSC_AUX" },
    { F(CpuState, sysenter_cs), .keep = true, .doc = "IA32_SYSENTER_CS" },
    { F(CpuState, sysenter_esp), .keep = true, .doc = "IA32_SYSENTER_ESP" },
    { F(CpuState, sysenter_eip), .keep = true, .doc = "IA32_SYSENTER_EIP" },
    { F(CpuState, apic_base), .reset = 0xfee00800, .keep = true, .doc = "IA32_APIC_BASE; bit 8 is the bootstrap processor's" },
    { F(CpuState, misc_enable), .reset = 0x1801, .keep = true,
      .doc = "IA32_MISC_ENABLE: fast strings; no branch trace store, no precise sampling" },
    { F(CpuState, pat), .reset = 0x0007040600070406, .keep = true, .doc = "IA32_PAT" },
    { F(CpuState, mtrr_def_type), .keep = true, .doc = "IA32_MTRR_DEF_TYPE" },
    { FA(CpuState, mtrr_fixed), .keep = true, .doc = "fixed-range MTRRs" },
    { FA(CpuState, mtrr_base), .keep = true, .doc = "IA32_MTRR_PHYSBASEn" },
    { FA(CpuState, mtrr_mask), .keep = true, .doc = "IA32_MTRR_PHYSMASKn" },
    { F(CpuState, debugctl), .doc = "IA32_DEBUGCTL" },
    { F(CpuState, spec_ctrl), .keep = true, .doc = "IA32_SPEC_CTRL" },
    { F(CpuState, smbase), .reset = 0x30000, .keep = true, .doc = "base of system-management RAM" },
    { F(CpuState, microcode_version), .reset = 1ull << 32, .keep = true, .doc = "IA32_BIOS_SIGN_ID: revision 1" },
    { F(CpuState, mcg_status), .keep = true, .doc = "IA32_MCG_STATUS" },
    { F(CpuState, mcg_ctl), .keep = true, .doc = "IA32_MCG_CTL" },
    { F(CpuState, tsc_offset), .keep = true, .doc = "guest TSC less host TSC" },
    { F(CpuState, tsc_adjust), .keep = true, .doc = "IA32_TSC_ADJUST" },
    { F(CpuState, tsc_deadline), .doc = "IA32_TSC_DEADLINE, 0: disarmed" },
    { F(CpuState, activity), .doc = "0 running, 1 halted, 2 waits for SIPI, 3 shut down" },
    { F(CpuState, interrupt_shadow), .doc = "1 by STI, 2 by MOV SS or POP SS" },
    { F(CpuState, nmi_blocked), .doc = "between NMI and IRET" },
    { F(CpuState, in_smm), .doc = "in system-management mode" },
    { F(CpuState, nmi_pending), .doc = "NMI waits for delivery" },
    { F(CpuState, smi_pending), .doc = "SMI waits for delivery" },
    { F(CpuState, sipi_vector), .doc = "vector of the last start-up interrupt" },
    { .name = NULL },
};

/* ---- reset */

void cpu_state_reset(CpuState *s, bool bootstrap, bool init)
{
    uint64_t cache_bits = s->cr0 & (CR0_CD | CR0_NW);
    fields_reset(cpu_state_fields, s, FIELD_STATE, init);
    if (init)
        s->cr0 = cache_bits | CR0_ET;
    else if (bootstrap)
        s->apic_base |= 0x100;
    s->seg[SEG_CS] = (Segment){ .selector = 0xf000, .base = 0xffff0000, .limit = 0xffff, .attr = 0x9b };
    s->ldtr.attr = 0x82; /* present, LDT */
    s->tr.attr = 0x8b;   /* present, busy 32-bit TSS */
    s->dr[6] = 0xffff0ff0;
    s->dr[7] = 0x400;
    s->activity = bootstrap ? CPU_RUNNING : CPU_WAIT_SIPI;
}

void cpu_state_sipi(CpuState *s, uint8_t vector)
{
    s->seg[SEG_CS].selector = vector << 8;
    s->seg[SEG_CS].base = vector << 12;
    s->rip = 0;
    s->sipi_vector = vector;
    s->activity = CPU_RUNNING;
}

/* ---- dump */

static const char *const gpr_names[16] = { "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                           "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15" };
static const char *const segment_names[SEG_COUNT] = { "ES", "CS", "SS", "DS", "FS", "GS" };

static void dump_gprs(GString *out, const CpuState *s)
{
    static const uint8_t order[16] = { GPR_RAX, GPR_RBX, GPR_RCX, GPR_RDX, GPR_RSI, GPR_RDI, GPR_RBP, GPR_RSP, 8, 9, 10, 11, 12, 13, 14, 15 };
    for (unsigned k = 0; k < 16; k++)
        g_string_append_printf(out, "%s=%016" PRIx64 "%c", gpr_names[order[k]], s->gpr[order[k]], k % 4 == 3 ? '\n' : ' ');
}

static void dump_flags(GString *out, const CpuState *s)
{
    static const struct { uint32_t bit; char letter; } flags[] = {
        { RFLAGS_DF, 'D' }, { RFLAGS_OF, 'O' }, { RFLAGS_SF, 'S' }, { RFLAGS_ZF, 'Z' }, { RFLAGS_AF, 'A' }, { RFLAGS_PF, 'P' }, { RFLAGS_CF, 'C' },
    };
    g_string_append_printf(out, "RIP=%016" PRIx64 " RFL=%08x [", s->rip, (uint32_t)s->rflags);
    for (unsigned k = 0; k < G_N_ELEMENTS(flags); k++)
        g_string_append_c(out, s->rflags & flags[k].bit ? flags[k].letter : '-');
    unsigned cpl = (s->seg[SEG_SS].attr & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT;
    g_string_append_printf(out, "] CPL=%u II=%u SMM=%u HLT=%u\n", cpl, s->interrupt_shadow != 0, s->in_smm, s->activity == CPU_HALTED);
}

static void dump_segment(GString *out, const char *name, const Segment *seg)
{
    g_string_append_printf(out, "%-3s=%04x %016" PRIx64 " %08x %05x\n", name, seg->selector, seg->base, seg->limit, seg->attr);
}

static void dump_system(GString *out, const CpuState *s)
{
    for (unsigned k = 0; k < SEG_COUNT; k++)
        dump_segment(out, segment_names[k], &s->seg[k]);
    dump_segment(out, "LDT", &s->ldtr);
    dump_segment(out, "TR", &s->tr);
    g_string_append_printf(out, "GDT=     %016" PRIx64 " %08x\n", s->gdtr.base, s->gdtr.limit);
    g_string_append_printf(out, "IDT=     %016" PRIx64 " %08x\n", s->idtr.base, s->idtr.limit);
    g_string_append_printf(out, "CR0=%08" PRIx64 " CR2=%016" PRIx64 " CR3=%016" PRIx64 " CR4=%08" PRIx64 " CR8=%" PRIx64 "\n",
                           s->cr0, s->cr2, s->cr3, s->cr4, s->cr8);
    g_string_append_printf(out, "DR0=%016" PRIx64 " DR1=%016" PRIx64 " DR2=%016" PRIx64 " DR3=%016" PRIx64 "\n",
                           s->dr[0], s->dr[1], s->dr[2], s->dr[3]);
    g_string_append_printf(out, "DR6=%016" PRIx64 " DR7=%016" PRIx64 " EFER=%016" PRIx64 " XCR0=%" PRIx64 "\n",
                           s->dr[6], s->dr[7], s->efer, s->xcr0);
}

static uint64_t load64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static void dump_fpu(GString *out, const XsaveImage *f)
{
    g_string_append_printf(out, "FCW=%04x FSW=%04x FTW=%02x MXCSR=%08x\n", f->fcw, f->fsw, f->ftw, f->mxcsr);
    for (unsigned k = 0; k < 8; k++)
        g_string_append_printf(out, "ST%u=%04x %016" PRIx64 "%c", k, (unsigned)load64(f->st[k].bytes + 8) & 0xffff,
                               load64(f->st[k].bytes), k % 2 ? '\n' : ' ');
    for (unsigned k = 0; k < 16; k++)
        g_string_append_printf(out, "YMM%02u=%016" PRIx64 "%016" PRIx64 "%016" PRIx64 "%016" PRIx64 "\n", k,
                               load64(f->ymm_high[k].bytes + 8), load64(f->ymm_high[k].bytes), load64(f->xmm[k].bytes + 8),
                               load64(f->xmm[k].bytes));
}

char *cpu_state_dump(const CpuState *s)
{
    GString *out = g_string_new(NULL);
    dump_gprs(out, s);
    dump_flags(out, s);
    dump_system(out, s);
    dump_fpu(out, &s->fpu);
    return g_string_free(out, FALSE);
}

/* ---- difference */

static void diff_fields(GString *out, const char *prefix, const Field *table, const void *a, const void *b);

static void diff_element(GString *out, const char *path, const Field *f, const void *a, const void *b, unsigned i)
{
    size_t step = f->bytes / f->n, at = f->off + i * step;
    if (f->type == FT_STRUCT) {
        diff_fields(out, path, f->sub, (const char *)a + at, (const char *)b + at);
        return;
    }
    uint64_t x = field_get(f, a, i), y = field_get(f, b, i);
    if (x != y)
        g_string_append_printf(out, "%s: 0x%" PRIx64 ", 0x%" PRIx64 "\n", path, x, y);
}

static void diff_fields(GString *out, const char *prefix, const Field *table, const void *a, const void *b)
{
    for (const Field *f = table; f->name; f++)
        for (unsigned i = 0; i < f->n; i++) {
            g_autofree char *path = f->n > 1 ? g_strdup_printf("%s%s%s[%u]", prefix, *prefix ? "." : "", f->name, i)
                                             : g_strdup_printf("%s%s%s", prefix, *prefix ? "." : "", f->name);
            diff_element(out, path, f, a, b, i);
        }
}

char *cpu_state_diff(const CpuState *a, const CpuState *b)
{
    GString *out = g_string_new(NULL);
    diff_fields(out, "", cpu_state_fields, a, b);
    return g_string_free(out, FALSE);
}
