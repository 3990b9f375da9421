/*
 * format.c - an instruction as text, Intel syntax: "add qword ptr [rax+rcx*8+0x10], rdx".
 *
 * Mnemonics and operand order are those of insns.txt.  A size is named where the operand has one that a register could
 * not tell; numbers are hexadecimal, cut to the operand's size.
 */
#include <glib.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "isa/x86/decode.h"

typedef struct Text {
    char *buf;
    size_t n, used; /* used may grow beyond n: what was needed */
} Text;

static void G_GNUC_PRINTF(2, 3) add(Text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t room = t->used < t->n ? t->n - t->used : 0;
    t->used += vsnprintf(room ? t->buf + t->used : NULL, room, format, args);
    va_end(args);
}

/* ---- registers */

static const char *const names8[16] = { "al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil",
                                        "r8b", "r9b", "r10b", "r11b", "r12b", "r13b", "r14b", "r15b" };
static const char *const names8_high[4] = { "ah", "ch", "dh", "bh" };
static const char *const names16[16] = { "ax", "cx", "dx", "bx", "sp", "bp", "si", "di",
                                         "r8w", "r9w", "r10w", "r11w", "r12w", "r13w", "r14w", "r15w" };
static const char *const names32[16] = { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi",
                                         "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d", "r15d" };
static const char *const names64[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };
static const char *const segment_names[SEG_COUNT] = { "es", "cs", "ss", "ds", "fs", "gs" };

static const char *gpr_name(unsigned bytes, unsigned reg)
{
    return bytes == 1 ? names8[reg] : bytes == 2 ? names16[reg] : bytes == 4 ? names32[reg] : names64[reg];
}

static void add_register(Text *t, const Operand *o)
{
    static const char *const numbered[] = { [RC_CR] = "cr%u", [RC_DR] = "dr%u", [RC_ST] = "st(%u)", [RC_MM] = "mm%u",
                                            [RC_XMM] = "xmm%u", [RC_YMM] = "ymm%u", [RC_MASK] = "k%u" };
    char name[8];
    switch ((RegClass)o->cls) {
    case RC_GPR:
        add(t, "%s", gpr_name(o->size, o->reg));
        break;
    case RC_GPR_HIGH:
        add(t, "%s", names8_high[o->reg]);
        break;
    case RC_SEG:
        add(t, "%s", segment_names[o->reg]);
        break;
    default:
        snprintf(name, sizeof(name), numbered[o->cls], o->reg);
        add(t, "%s", name);
    }
}

/* ---- memory */

static const char *size_name(unsigned bytes)
{
    switch (bytes) {
    case 1:
        return "byte ptr ";
    case 2:
        return "word ptr ";
    case 4:
        return "dword ptr ";
    case 6:
        return "fword ptr ";
    case 8:
        return "qword ptr ";
    case 10:
        return "tbyte ptr ";
    case 16:
        return "xmmword ptr ";
    case 32:
        return "ymmword ptr ";
    default:
        return "";
    }
}

static uint64_t cut(uint64_t value, unsigned bytes)
{
    return bytes && bytes < 8 ? value & ((1ull << 8 * bytes) - 1) : value;
}

static void add_index(Text *t, const Insn *i)
{
    unsigned flags = decode_rows[i->row].flags;
    bool ymm = flags & DR_VSIB_Y && (!(flags & DR_VSIB_X) || i->vex_l);
    if (i->vsib)
        add(t, "%s%u", ymm ? "ymm" : "xmm", i->index);
    else
        add(t, "%s", gpr_name(i->addrsize, i->index));
    if (i->addrsize != 2)
        add(t, "*%u", 1u << i->scale);
}

static void add_memory(Text *t, const Insn *i, const Operand *o)
{
    const char *plus = "";
    add(t, "%s", size_name(o->size));
    if (i->prefixes & PFX_SEG)
        add(t, "%s:", segment_names[i->seg]);
    add(t, "[");
    if (i->base != INSN_NO_REG) {
        add(t, "%s", i->base == INSN_RIP ? (i->addrsize == 8 ? "rip" : "eip") : gpr_name(i->addrsize, i->base));
        plus = "+";
    }
    if (i->index != INSN_NO_REG) {
        add(t, "%s", plus);
        add_index(t, i);
        plus = "+";
    }
    if (!*plus)
        add(t, "0x%" PRIx64, cut(i->disp, i->addrsize));
    else if (i->disp < 0)
        add(t, "-0x%" PRIx64, -(uint64_t)i->disp);
    else if (i->disp > 0)
        add(t, "+0x%" PRIx64, i->disp);
    add(t, "]");
}

/* ---- operands */

/* The target wraps at the operand size: IP, EIP or RIP. */
static uint64_t branch_target(const Insn *i, uint64_t rip)
{
    return cut(rip + i->length + i->imm, i->opsize);
}

static void add_operand(Text *t, const Insn *i, const Operand *o, uint64_t rip)
{
    unsigned place = decode_rows[i->row].opnd[o - i->opnd].place;
    switch ((OperandKind)o->kind) {
    case OPND_REG:
        add_register(t, o);
        break;
    case OPND_MEM:
        add_memory(t, i, o);
        break;
    case OPND_IMM:
        if (place == PL_ONE)
            add(t, "1");
        else
            add(t, "0x%" PRIx64, place == PL_I2 ? i->imm2 : cut(i->imm, o->size));
        break;
    case OPND_REL:
        add(t, "0x%" PRIx64, branch_target(i, rip));
        break;
    case OPND_FAR:
        add(t, "0x%x:0x%" PRIx64, i->imm2, i->imm);
        break;
    case OPND_NONE:
        break;
    }
}

/* ---- mnemonic */

static void add_prefixes(Text *t, const Insn *i)
{
    bool compares = i->op == OP_CMPS || i->op == OP_SCAS;
    if (i->prefixes & PFX_LOCK)
        add(t, "lock ");
    if (!(insn_row(i)->attrs & ROW_STRING))
        return;
    if (i->prefixes & PFX_REP)
        add(t, compares ? "repe " : "rep ");
    else if (i->prefixes & PFX_REPNE)
        add(t, compares ? "repne " : "rep ");
}

/* The alternative of "cbw/cwde/cdqe" for a size of 2, 4 or 8; the last where there are fewer. */
static void add_variant(Text *t, const char *name, unsigned size)
{
    for (unsigned skip = size == 2 ? 0 : size == 4 ? 1 : 2; skip; skip--) {
        const char *slash = strchr(name, '/');
        name = slash ? slash + 1 : name;
    }
    add(t, "%.*s", (int)strcspn(name, "/"), name);
}

static void add_mnemonic(Text *t, const Insn *i)
{
    static const char *const conditions[16] = { "o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g" };
    const InsnRow *row = insn_row(i);
    unsigned flags = decode_rows[i->row].flags;
    if (flags & DR_CC)
        add(t, "%.*s%s", (int)strlen(row->name) - 2, row->name, conditions[i->cc]);
    else if (row->attrs & ROW_SUFFIX)
        add_variant(t, row->name, i->op == OP_JCXZ ? i->addrsize : i->opsize);
    else
        add(t, "%s", row->name);
}

size_t insn_format(const Insn *insn, uint64_t rip, char *buf, size_t n)
{
    Text t = { .buf = buf, .n = n };
    if (n)
        *buf = 0;
    if (insn->op == OP_INVALID) {
        add(&t, "(invalid)");
        return t.used + 1;
    }
    add_prefixes(&t, insn);
    add_mnemonic(&t, insn);
    for (unsigned k = 0; k < insn->n_operands; k++) {
        add(&t, k ? ", " : " ");
        add_operand(&t, insn, &insn->opnd[k], rip);
    }
    return t.used + 1;
}
