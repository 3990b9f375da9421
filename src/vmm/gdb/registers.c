/* registers.c - CpuState as gdb numbers it: org.gnu.gdb.i386.core, .sse, .segments of gdb's features/i386. */
#include <string.h>

#include "vmm/gdb/gdb.h"

typedef enum RegisterKind { REG_GPR, REG_WORD, REG_SELECTOR, REG_ST, REG_FPU_CONTROL, REG_XMM, REG_MXCSR, REG_BASE } RegisterKind;

typedef struct RegisterRow {
    const char *name, *type;
    RegisterKind kind;
    uint16_t at; /* number, or offset in CpuState */
    uint8_t bytes;
} RegisterRow;

struct GdbTarget {
    const char *architecture;
    const RegisterRow *rows;
};

#define GPR(n, i) { n, "int64", REG_GPR, GPR_##i, 8 }
#define GPR32(n, i) { n, "int32", REG_GPR, GPR_##i, 4 }
#define SELECTOR(n, i) { n, "int32", REG_SELECTOR, SEG_##i, 4 }
#define SELECTORS SELECTOR("cs", CS), SELECTOR("ss", SS), SELECTOR("ds", DS), SELECTOR("es", ES), SELECTOR("fs", FS), SELECTOR("gs", GS)
#define ST(i) { "st" #i, "i387_ext", REG_ST, i, 10 }
#define FPU(n, i) { n, "int", REG_FPU_CONTROL, i, 4 }
#define STACK ST(0), ST(1), ST(2), ST(3), ST(4), ST(5), ST(6), ST(7), FPU("fctrl", 0), FPU("fstat", 1), FPU("ftag", 2), FPU("fiseg", 3), \
    FPU("fioff", 4), FPU("foseg", 5), FPU("fooff", 6), FPU("fop", 7)
#define XMM(i) { "xmm" #i, "vec128", REG_XMM, i, 16 }
#define XMM8 XMM(0), XMM(1), XMM(2), XMM(3), XMM(4), XMM(5), XMM(6), XMM(7)
#define MXCSR { "mxcsr", "int", REG_MXCSR, 0, 4 }

static const RegisterRow rows64[] = {
    GPR("rax", RAX), GPR("rbx", RBX), GPR("rcx", RCX), GPR("rdx", RDX), GPR("rsi", RSI), GPR("rdi", RDI), GPR("rbp", RBP), GPR("rsp", RSP),
    GPR("r8", R8), GPR("r9", R9), GPR("r10", R10), GPR("r11", R11), GPR("r12", R12), GPR("r13", R13), GPR("r14", R14), GPR("r15", R15),
    { "rip", "code_ptr", REG_WORD, offsetof(CpuState, rip), 8 }, { "eflags", "int32", REG_WORD, offsetof(CpuState, rflags), 4 },
    SELECTORS, STACK, XMM8, XMM(8), XMM(9), XMM(10), XMM(11), XMM(12), XMM(13), XMM(14), XMM(15), MXCSR,
    { "fs_base", "int64", REG_BASE, SEG_FS, 8 }, { "gs_base", "int64", REG_BASE, SEG_GS, 8 },
    { NULL },
};
static const RegisterRow rows32[] = {
    GPR32("eax", RAX), GPR32("ecx", RCX), GPR32("edx", RDX), GPR32("ebx", RBX), GPR32("esp", RSP), GPR32("ebp", RBP), GPR32("esi", RSI), GPR32("edi", RDI),
    { "eip", "code_ptr", REG_WORD, offsetof(CpuState, rip), 4 }, { "eflags", "int32", REG_WORD, offsetof(CpuState, rflags), 4 },
    SELECTORS, STACK, XMM8, MXCSR,
    { NULL },
};
static const GdbTarget target64 = { "i386:x86-64", rows64 }, target32 = { "i386", rows32 };

const GdbTarget *gdb_target(bool is_64bit) { return is_64bit ? &target64 : &target32; }

static const char *feature_of(const RegisterRow *r)
{
    return r->kind == REG_BASE ? "org.gnu.gdb.i386.segments" : r->kind == REG_XMM || r->kind == REG_MXCSR ? "org.gnu.gdb.i386.sse" : "org.gnu.gdb.i386.core";
}

/* The vector type that gdb's own description of xmm registers uses. */
static const char vec128[] = "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
                             "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
                             "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/><vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
                             "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
                             "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/><field name=\"v4_int32\" type=\"v4i32\"/>"
                             "<field name=\"v2_int64\" type=\"v2i64\"/><field name=\"uint128\" type=\"uint128\"/></union>";

char *gdb_target_xml(const GdbTarget *t)
{
    GString *s = g_string_new("<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>");
    g_string_append_printf(s, "<architecture>%s</architecture>", t->architecture);
    const char *feature = "";
    for (unsigned n = 0; t->rows[n].name; n++) {
        const RegisterRow *r = &t->rows[n];
        if (!g_str_equal(feature, feature_of(r))) {
            g_string_append_printf(s, "%s<feature name=\"%s\">%s", *feature ? "</feature>" : "", feature_of(r), r->kind == REG_XMM ? vec128 : "");
            feature = feature_of(r);
        }
        g_string_append_printf(s, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"/>", r->name, r->bytes * 8, r->type, n);
    }
    g_string_append(s, "</feature></target>");
    return g_string_free(s, FALSE);
}

unsigned gdb_register_count(const GdbTarget *t)
{
    unsigned n = 0;
    while (t->rows[n].name)
        n++;
    return n;
}

/* SDM 1, 8.1.7: the full tag word from the abridged one; what is not empty is called valid. */
static uint32_t full_tags(uint8_t abridged)
{
    uint32_t tags = 0;
    for (unsigned i = 0; i < 8; i++)
        tags |= abridged >> i & 1 ? 0 : 3u << (i * 2);
    return tags;
}

static uint8_t abridged_tags(uint32_t full)
{
    uint8_t tags = 0;
    for (unsigned i = 0; i < 8; i++)
        tags |= ((full >> (i * 2) & 3) != 3) << i;
    return tags;
}

static uint32_t fpu_control(CpuState *s, unsigned n, const uint32_t *set)
{
    XsaveImage *f = &s->fpu;
    switch (n) {
    case 0:
        f->fcw = set ? *set : f->fcw;
        return f->fcw;
    case 1:
        f->fsw = set ? *set : f->fsw;
        return f->fsw;
    case 2:
        f->ftw = set ? abridged_tags(*set) : f->ftw;
        return full_tags(f->ftw);
    case 4:
        return f->fip;
    case 6:
        return f->fdp;
    case 7:
        return f->fop;
    default: /* selectors: a processor in 64-bit mode has none */
        return 0;
    }
}

static void *place(const RegisterRow *r, CpuState *s)
{
    switch (r->kind) {
    case REG_GPR:
        return &s->gpr[r->at];
    case REG_WORD:
        return (char *)s + r->at;
    case REG_SELECTOR:
        return &s->seg[r->at].selector;
    case REG_BASE:
        return &s->seg[r->at].base;
    case REG_ST:
        return &s->fpu.st[r->at];
    case REG_XMM:
        return &s->fpu.xmm[r->at];
    case REG_MXCSR:
        return &s->fpu.mxcsr;
    case REG_FPU_CONTROL:
        break;
    }
    return NULL;
}

unsigned gdb_register(const GdbTarget *t, unsigned n, CpuState *s, uint8_t *buf, bool set)
{
    if (n >= gdb_register_count(t))
        return 0;
    const RegisterRow *r = &t->rows[n];
    size_t held = r->kind == REG_SELECTOR ? sizeof(s->seg[0].selector) : r->bytes;
    if (r->kind == REG_FPU_CONTROL) {
        uint32_t value;
        memcpy(&value, buf, set ? sizeof(value) : 0);
        value = fpu_control(s, r->at, set ? &value : NULL);
        memcpy(buf, &value, sizeof(value));
    } else if (set && r->kind != REG_SELECTOR) { /* a selector without its descriptor would be half a segment */
        memcpy(place(r, s), buf, held);
        s->fpu.xstate_bv |= r->kind == REG_XMM || r->kind == REG_MXCSR ? XCR0_SSE : r->kind == REG_ST ? XCR0_X87 : 0;
    } else if (!set) {
        memset(buf, 0, r->bytes);
        memcpy(buf, place(r, s), held);
    }
    return r->bytes;
}
