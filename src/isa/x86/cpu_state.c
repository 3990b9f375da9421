/* cpu_state.c - the table of CpuState's fields, and what follows from it: reset, dump, difference. */
#include "isa/x86/cpu_state.h"

#include <string.h>

/* ---- fields */

static const Field segment_fields[] = {
    { F(Segment, selector) }, { F(Segment, attr) }, { F(Segment, limit) }, { F(Segment, base) }, { .name = NULL },
};

static const Field descriptor_table_fields[] = { { F(DescriptorTable, base) }, { F(DescriptorTable, limit) }, { .name = NULL } };

typedef struct { uint8_t bytes[16]; } Bytes16;
static const Field bytes16_fields[] = { { FA(Bytes16, bytes) }, { .name = NULL } };

static const Field fpu_fields[] = {
    { F(XsaveImage, fcw), .doc = "x87 control word" },
    { F(XsaveImage, fsw), .doc = "x87 status word" },
    { F(XsaveImage, ftw), .doc = "x87 abridged tag word" },
    { F(XsaveImage, fop) },
    { F(XsaveImage, fip) },
    { F(XsaveImage, fdp) },
    { F(XsaveImage, mxcsr) },
    { F(XsaveImage, mxcsr_mask) },
    { FSA(XsaveImage, st, bytes16_fields) },
    { FSA(XsaveImage, xmm, bytes16_fields) },
    { F(XsaveImage, xstate_bv) },
    { F(XsaveImage, xcomp_bv) },
    { FSA(XsaveImage, ymm_high, bytes16_fields) },
    { .name = NULL },
};

const Field cpu_state_fields[] = {
    { FS(CpuState, fpu, fpu_fields) },
    { FA(CpuState, gpr), .doc = "rax rcx rdx rbx rsp rbp rsi rdi r8-r15" },
    { F(CpuState, rip) },
    { F(CpuState, rflags) },
    { FSA(CpuState, seg, segment_fields), .doc = "es cs ss ds fs gs" },
    { FS(CpuState, ldtr, segment_fields) },
    { FS(CpuState, tr, segment_fields) },
    { FS(CpuState, gdtr, descriptor_table_fields) },
    { FS(CpuState, idtr, descriptor_table_fields) },
    { F(CpuState, cr0) },
    { F(CpuState, cr2) },
    { F(CpuState, cr3) },
    { F(CpuState, cr4) },
    { F(CpuState, cr8) },
    { FA(CpuState, dr) },
    { F(CpuState, efer) },
    { F(CpuState, xcr0) },
    { F(CpuState, xss) },
    { F(CpuState, star) },
    { F(CpuState, lstar) },
    { F(CpuState, cstar) },
    { F(CpuState, sfmask) },
    { F(CpuState, kernel_gs_base) },
    { F(CpuState, tsc_aux) },
    { F(CpuState, sysenter_cs) },
    { F(CpuState, sysenter_esp) },
    { F(CpuState, sysenter_eip) },
    { F(CpuState, apic_base) },
    { F(CpuState, misc_enable) },
    { F(CpuState, pat) },
    { F(CpuState, mtrr_def_type) },
    { FA(CpuState, mtrr_fixed) },
    { FA(CpuState, mtrr_base) },
    { FA(CpuState, mtrr_mask) },
    { F(CpuState, debugctl) },
    { F(CpuState, spec_ctrl) },
    { F(CpuState, smbase) },
    { F(CpuState, microcode_version) },
    { F(CpuState, mcg_status) },
    { F(CpuState, mcg_ctl) },
    { F(CpuState, tsc_offset) },
    { F(CpuState, tsc_adjust) },
    { F(CpuState, tsc_deadline) },
    { F(CpuState, activity) },
    { F(CpuState, interrupt_shadow) },
    { F(CpuState, nmi_blocked) },
    { F(CpuState, in_smm) },
    { F(CpuState, nmi_pending) },
    { F(CpuState, smi_pending) },
    { F(CpuState, sipi_vector) },
    { .name = NULL },
};

/* ---- reset.  SDM 3, 10.1.1 and table 10-1. */

static const uint64_t PAT_AT_RESET = 0x0007040600070406;
static const uint64_t APIC_BASE_AT_RESET = 0xfee00800, APIC_BASE_BOOTSTRAP = 0x100;

/* INIT leaves these alone. */
static void reset_beyond_init(CpuState *s, bool bootstrap)
{
    *s = (CpuState){ .smbase = 0x30000, .pat = PAT_AT_RESET, .xcr0 = XCR0_X87, .misc_enable = 1 };
    s->apic_base = APIC_BASE_AT_RESET | (bootstrap ? APIC_BASE_BOOTSTRAP : 0);
    s->fpu.fcw = 0x0040; /* FNINIT gives 037f; after reset all exceptions are unmasked */
    s->fpu.mxcsr = 0x1f80;
    s->fpu.mxcsr_mask = 0xffff;
}

static Segment real_segment(uint32_t type) { return (Segment){ .attr = SEG_ATTR_P | SEG_ATTR_S | type, .limit = 0xffff }; }

static void reset_segments(CpuState *s)
{
    for (unsigned i = 0; i < SEG_COUNT; i++)
        s->seg[i] = real_segment(3);
    s->seg[SEG_CS] = real_segment(0xb);
    s->seg[SEG_CS].selector = 0xf000;
    s->seg[SEG_CS].base = 0xffff0000;
    s->ldtr = (Segment){ .attr = SEG_ATTR_P | 2, .limit = 0xffff };
    s->tr = (Segment){ .attr = SEG_ATTR_P | 0xb, .limit = 0xffff };
    s->gdtr = s->idtr = (DescriptorTable){ .limit = 0xffff };
}

void cpu_state_reset(CpuState *s, bool bootstrap, bool init)
{
    if (!init)
        reset_beyond_init(s, bootstrap);
    memset(s->gpr, 0, sizeof(s->gpr));
    memset(s->dr, 0, sizeof(s->dr));
    s->dr[6] = 0xffff0ff0;
    s->dr[7] = 0x400;
    s->rip = 0xfff0;
    s->rflags = RFLAGS_ONE;
    reset_segments(s);
    s->cr0 = CR0_ET | (init ? s->cr0 & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW);
    s->cr2 = s->cr3 = s->cr4 = s->cr8 = s->efer = 0;
    s->interrupt_shadow = 0;
    s->nmi_blocked = s->nmi_pending = s->smi_pending = s->in_smm = false;
    s->sipi_vector = 0;
    s->activity = bootstrap ? CPU_RUNNING : CPU_WAIT_SIPI;
}

void cpu_state_sipi(CpuState *s, uint8_t vector)
{
    s->seg[SEG_CS].selector = vector << 8;
    s->seg[SEG_CS].base = (uint64_t)vector << 12;
    s->rip = 0;
    s->activity = CPU_RUNNING;
}

/* ---- text */

static const char *const gpr_names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                           "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };
static const char *const seg_names[SEG_COUNT] = { "es", "cs", "ss", "ds", "fs", "gs" };

#define HEX16 "%016" G_GINT64_MODIFIER "x"

static void dump_segment(GString *text, const char *name, const Segment *s)
{
    g_string_append_printf(text, "%-4s %04x " HEX16 " %08x %05x\n", name, s->selector, s->base, s->limit, s->attr);
}

char *cpu_state_dump(const CpuState *s)
{
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < 16; i++)
        g_string_append_printf(text, "%-4s" HEX16 "%c", gpr_names[i], s->gpr[i], i % 4 == 3 ? '\n' : ' ');
    g_string_append_printf(text, "rip " HEX16 " rflags %08x activity %u\n", s->rip, (unsigned)s->rflags, s->activity);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        dump_segment(text, seg_names[i], &s->seg[i]);
    dump_segment(text, "ldtr", &s->ldtr);
    dump_segment(text, "tr", &s->tr);
    g_string_append_printf(text, "gdtr " HEX16 " %04x idtr " HEX16 " %04x\n", s->gdtr.base, s->gdtr.limit, s->idtr.base, s->idtr.limit);
    g_string_append_printf(text, "cr0 %08x cr2 " HEX16 " cr3 " HEX16 " cr4 %08x efer %04x\n", (unsigned)s->cr0, s->cr2, s->cr3,
                           (unsigned)s->cr4, (unsigned)s->efer);
    return g_string_free(text, FALSE);
}

static void diff_fields(GString *text, const Field *table, const char *prefix, const void *a, const void *b);

static void diff_element(GString *text, const Field *f, const char *name, const void *a, const void *b, unsigned i)
{
    size_t off = f->off + (size_t)i * (f->bytes / f->n);
    if (f->type == FT_STRUCT)
        diff_fields(text, f->sub, name, (const char *)a + off, (const char *)b + off);
    else if (field_get(f, a, i) != field_get(f, b, i))
        g_string_append_printf(text, "%s: %#" G_GINT64_MODIFIER "x and %#" G_GINT64_MODIFIER "x\n", name, field_get(f, a, i), field_get(f, b, i));
}

static void diff_fields(GString *text, const Field *table, const char *prefix, const void *a, const void *b)
{
    for (const Field *f = table; f->name; f++)
        for (unsigned i = 0; i < f->n; i++) {
            g_autofree char *name = f->n > 1 ? g_strdup_printf("%s%s[%u]", prefix, f->name, i) : g_strdup_printf("%s%s", prefix, f->name);
            g_autofree char *inner = f->type == FT_STRUCT ? g_strconcat(name, ".", NULL) : g_strdup(name);
            diff_element(text, f, inner, a, b, i);
        }
}

char *cpu_state_diff(const CpuState *a, const CpuState *b)
{
    GString *text = g_string_new(NULL);
    diff_fields(text, cpu_state_fields, "", a, b);
    return g_string_free(text, FALSE);
}
