/* compare.c - see compare.h. */
#include "compare.h"
#include "habits.h"

#include <string.h>

/* Linux tells user code that there is a page at every address of the kernel's. */
#define LINUX_TASK_SIZE 0x7ffffffff000ull
#define PF_PRESENT      1u

static const char *const gpr_names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                           "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };

/* One field: equal in the bits of mask? */
static bool same(GString *text, const char *name, uint64_t native, uint64_t guest, uint64_t mask)
{
    if (!((native ^ guest) & mask))
        return true;
    if (text)
        g_string_append_printf(text, "    %-8s host %016" G_GINT64_MODIFIER "x  guest %016" G_GINT64_MODIFIER "x\n",
                               name, native, guest);
    return false;
}

static void append_hex(GString *text, const uint8_t *bytes, unsigned n)
{
    for (unsigned k = n; k--;)
        g_string_append_printf(text, "%02x", bytes[k]);
}

static bool same_bytes(GString *text, const char *name, unsigned number, const uint8_t *native, const uint8_t *guest,
                       unsigned n)
{
    if (!memcmp(native, guest, n))
        return true;
    if (text) {
        g_string_append_printf(text, "    %s%-5u host ", name, number);
        append_hex(text, native, n);
        g_string_append(text, "  guest ");
        append_hex(text, guest, n);
        g_string_append_c(text, '\n');
    }
    return false;
}

/* In which order the parts of an area or the elements of a masked move are accessed is the processor's own. */
static bool touches_much(const Case *c)
{
    if (c->row->attrs & (ROW_SSE | ROW_AVX | ROW_MMX))
        return c->row->attrs & ROW_MEM_SIDE && !c->insn.vsib;
    if (c->row->op == OP_RET_FAR || c->row->op == OP_IRET)
        return true;
    for (unsigned n = 0; n < c->insn.n_operands; n++)
        if (c->insn.opnd[n].kind == OPND_MEM && (c->insn.opnd[n].size == 0 || c->insn.opnd[n].size == 10 ||
                                                 c->insn.opnd[n].size == 14 || c->insn.opnd[n].size > 16))
            return true;
    return false;
}

/* Faults of an area's parts, or with a mask that selects nothing there (SDM 2, MASKMOVDQU), are the processor's own
 * too. */
bool faults_are_its_own(const Case *c, const Outcome *a, const Outcome *b)
{
    bool any = a->vector >= EXC_SS && a->vector <= EXC_PF, both = any && b->vector >= EXC_SS && b->vector <= EXC_PF;
    bool masked = c->row->op == OP_MASKMOVQ || c->row->op == OP_MASKMOVDQU || c->row->op == OP_VMASKMOVDQU;
    if (masked || c->row->op == OP_XRSTOR) /* which may look at components that it then does not load */
        return any;
    return both && touches_much(c);
}

static bool same_fault(const Case *c, const Outcome *a, const Outcome *b, GString *text)
{
    bool equal = same(text, "vector", (uint64_t)(int64_t)a->vector, (uint64_t)(int64_t)b->vector, ~0ull);
    if (a->vector >= EXC_TS && a->vector <= EXC_PF)
        equal &= same(text, "error", a->error, b->error,
                      a->vector == EXC_PF && a->cr2 >= LINUX_TASK_SIZE ? ~PF_PRESENT : ~0u);
    if (a->vector == EXC_PF)
        equal &= same(text, "cr2", a->cr2, b->cr2, touches_much(c) ? 0 : ~0ull);
    return equal;
}

/* Flags of MXCSR that the interpreter may get wrong when #XM is raised (host_exec.c says why): PE beside an unmasked
 * overflow or underflow; those of later steps of a dot product. */
static uint32_t unknown_flags(const Case *c, const XsaveImage *host)
{
    if (c->translated && c->size != CODE16 && !c->insn.has_mem) /* the host has told */
        return 0;
    uint32_t unmasked = host->mxcsr & ~(host->mxcsr >> 7) & 0x3f;
    if (unmasked && strstr(c->row->name, "dpp"))
        return 0x3f;
    return unmasked & 0x18 ? 0x20 : 0;
}

static bool same_vectors(const Case *c, const XsaveImage *a, const XsaveImage *b, GString *text)
{
    bool equal = true;
    for (unsigned n = 0; n < (c->size == CODE64 ? 16 : 8); n++) {
        equal &= same_bytes(text, "xmm", n, a->xmm[n].bytes, b->xmm[n].bytes, 16);
        equal &= same_bytes(text, "ymmh", n, a->ymm_high[n].bytes, b->ymm_high[n].bytes, 16);
    }
    return equal;
}

static bool same_x87(const XsaveImage *a, const XsaveImage *b, GString *text)
{
    bool equal = same(text, "fsw", a->fsw, b->fsw, ~0ull);
    for (unsigned n = 0; n < 8; n++)
        equal &= same_bytes(text, "st", n, a->st[n].bytes, b->st[n].bytes, 10);
    return equal;
}

static bool same_fpu(const Case *c, const XsaveImage *a, const XsaveImage *b, unsigned free, GString *text)
{
    uint64_t pointer = c->size == CODE64 ? 0xffffffffffff : 0xffffffff; /* canonical; this host keeps no selectors */
    bool equal = same(text, "fcw", a->fcw, b->fcw, ~0ull);
    equal &= free & FREE_X87 || same_x87(a, b, text);
    equal &= same(text, "ftw", a->ftw, b->ftw, free & FREE_X87 ? 0 : ~0ull);
    if (!c->translated && !(free & FREE_POINTERS)) { /* it shows 0 rather than addresses of its own code, as AMD's processors do without #MF */
        equal &= same(text, "fop", a->fop, b->fop, 0x7ff);
        equal &= same(text, "fip", a->fip, b->fip, pointer);
        equal &= same(text, "fdp", a->fdp, b->fdp, pointer);
    }
    equal &= same(text, "mxcsr", a->mxcsr, b->mxcsr, ~(uint64_t)unknown_flags(c, a));
    return (free & FREE_VECTORS || same_vectors(c, a, b, text)) && equal;
}

/* A near branch to an address that is not canonical: Intel's processors fault at the branch, the translator, like AMD's,
 * at its target. */
static bool faults_at_target(const Case *c, const Outcome *a, const Outcome *b)
{
    bool branch = insn_row(&c->insn)->attrs & ROW_BRANCH, canonical = (uint64_t)((int64_t)(b->rip << 16) >> 16) == b->rip;
    return c->translated && branch && a->vector == EXC_GP && b->vector == NO_VECTOR && !canonical;
}

bool outcome_equal(const Case *c, const Outcome *a, const Outcome *b, GString *text)
{
    unsigned free = habits_of(c, a, b);
    if (faults_are_its_own(c, a, b) || faults_at_target(c, a, b) || free & FREE_ALL)
        return true;
    bool whole = a->cs == USER_CS64 && c->size == CODE64 && !(free & FREE_UPPER); /* upper halves are undefined outside 64-bit mode */
    uint64_t width = whole ? ~0ull : 0xffffffff;
    bool equal = same_fault(c, a, b, text);
    for (unsigned n = 0; n < (c->size == CODE64 ? 16 : 8); n++)
        equal &= same(text, gpr_names[n], a->gpr[n], b->gpr[n], width);
    equal &= same(text, "rip", a->rip, b->rip, width);
    equal &= same(text, "cs", a->cs, b->cs, ~0ull);
    equal &= same(text, "gs base", a->gs_base, b->gs_base, ~0ull);
    equal &= same(text, "rflags", a->rflags, b->rflags, free & FREE_FLAGS ? 0 : ~(uint64_t)(c->row->flags_undefined | RFLAGS_TF | RFLAGS_RF));
    return same_fpu(c, &a->fpu, &b->fpu, free, text) && equal;
}

/* FSTP m80 and FBSTP are two stores to the host, areas and masked moves many: the first may have been made when the
 * second faults.  Ours are all or nothing. */
bool stores_in_parts(const Case *c, const Outcome *host)
{
    unsigned size = c->row->op == OP_MASKMOVQ || c->row->op == OP_MASKMOVDQU || c->row->op == OP_VMASKMOVDQU ? 0 : 1;
    for (unsigned n = 0; n < c->insn.n_operands; n++)
        if (c->insn.opnd[n].kind == OPND_MEM)
            size = c->insn.opnd[n].size;
    return host->vector >= EXC_SS && host->vector <= EXC_PF && (size == 0 || size == 10 || size > 32);
}

static bool same_region(GString *text, const char *name, uint64_t at, const uint8_t *native, const uint8_t *guest,
                        size_t n)
{
    if (!memcmp(native, guest, n))
        return true;
    for (size_t off = 0, shown = 0; off < n && text && shown < 16; off++)
        if (native[off] != guest[off]) {
            g_string_append_printf(text, "    %s[%" G_GINT64_MODIFIER "x] host %02x  guest %02x\n", name, at + off,
                                   native[off], guest[off]);
            shown++;
        }
    return false;
}

bool memory_equal(const SubjectMemory *a, const SubjectMemory *b, GString *text)
{
    bool equal = same_region(text, "data", DATA_AT, a->data, b->data, DATA_BYTES);
    return same_region(text, "stack", STACK_AT, a->stack, b->stack, PAGE) && equal;
}

void case_describe(const Case *c, GString *text)
{
    const CpuState *s = &c->state;
    g_string_append_printf(text, "%s | %s | %s, %d bits:", c->row->name, c->row->encoding, c->row->operands,
                           16 << c->size);
    for (unsigned n = 0; n < c->insn.length; n++)
        g_string_append_printf(text, " %02x", c->insn.bytes[n]);
    g_string_append_printf(text, "\n    before: rip %" G_GINT64_MODIFIER "x rflags %" G_GINT64_MODIFIER "x", s->rip,
                           s->rflags);
    for (unsigned n = 0; n < 16; n++)
        g_string_append_printf(text, " %s %" G_GINT64_MODIFIER "x", gpr_names[n], s->gpr[n]);
    g_string_append_printf(text, "\n    fcw %x fsw %x ftw %x mxcsr %x\n", s->fpu.fcw, s->fpu.fsw, s->fpu.ftw,
                           s->fpu.mxcsr);
    for (unsigned k = 0; k < c->insn.n_operands; k++) {
        const Operand *o = &c->insn.opnd[k];
        if (o->kind != OPND_REG || (o->cls != RC_XMM && o->cls != RC_YMM))
            continue;
        g_string_append_printf(text, "    xmm%u ", o->reg);
        append_hex(text, s->fpu.ymm_high[o->reg].bytes, 16);
        g_string_append_c(text, '_');
        append_hex(text, s->fpu.xmm[o->reg].bytes, 16);
        g_string_append_c(text, '\n');
    }
    if (c->row->attrs & (ROW_FPU | ROW_MMX))
        for (unsigned n = 0; n < 8; n++) {
            g_string_append_printf(text, "    st%u ", n);
            append_hex(text, s->fpu.st[n].bytes, 10);
            g_string_append_c(text, '\n');
        }
}
