/*
 * fpu.c - x87: execution by host stubs, pending exceptions, the pointers to the last instruction, environments in
 * their four formats, and the marriage with MMX.  SDM 1, chapter 8.
 *
 * A stub loads the whole guest state with the guest's own masks, so the response to an unmasked exception - registers
 * left alone, biased results, ES and B set - is the host's, and #MF comes when it is due: at the next waiting
 * instruction.  Where CR0.NE is 0 a PC would raise IRQ 13 by FERR#; no board wires it yet, so the instruction goes on
 * as it would with IGNNE# asserted.
 */
#include <string.h>

#include "accel/interp/fpu.h"
#include "accel/interp/operand.h"

enum { ENV16_BYTES = 14, ENV32_BYTES = 28, ST_BYTES = 10, REGS_BYTES = 80, X87_BYTES = offsetof(XsaveImage, xmm) };

void fpu_check_pending(InterpVcpu *v)
{
    if (v->s.fpu.fsw & FSW_ES && v->s.cr0 & CR0_NE)
        interp_raise(v, EXC_MF);
}

/* ST(0) is another register when TOP changes: turns the image, which has ST(0) first. */
static void set_top(XsaveImage *x, unsigned top)
{
    unsigned turn = (top - (x->fsw >> 11)) & 7;
    uint8_t turned[8][16];
    for (unsigned n = 0; n < 8 && turn; n++)
        memcpy(turned[n], x->st[(n + turn) & 7].bytes, 16);
    if (turn)
        memcpy(x->st, turned, sizeof(turned));
    x->fsw = (uint16_t)((x->fsw & ~FSW_TOP) | (top & 7) << 11);
}

static unsigned fpu_top(const XsaveImage *f)
{
    return f->fsw >> 11 & 7;
}

/* A store whose destination is memory is not made when an unmasked exception other than precision comes of it.  Before
 * the instruction nothing unmasked was pending, or it would not have run. */
static bool store_suppressed(const XsaveImage *f, uint32_t attrs)
{
    return !(attrs & ROW_NO_WAIT) && f->fsw & ~f->fcw & (FSW_IE | FSW_DE | FSW_ZE | FSW_OE | FSW_UE);
}

/* FOP, FIP and FDP, as they were. */
typedef struct Pointers {
    uint16_t fop;
    uint64_t fip, fdp;
} Pointers;

/* AMD's processors neither keep these three nor take them from us unless an exception is pending: then they are ours to keep.  All
 * but the control instructions set them (SDM 1, 8.1.8). */
static void keep_pointers(InterpVcpu *v, const Insn *i, const HostStub *stub, const StubFrame *f, const Pointers *before)
{
    XsaveImage *x = &v->s.fpu;
    if (x->fip || x->fdp)
        return;
    bool sets = stub->attrs & ROW_FPU && !(stub->attrs & ROW_NO_WAIT) && i->op != OP_FLDCW;
    x->fip = sets ? (uintptr_t)stub->insn : before->fip;
    x->fdp = sets && i->has_mem ? (uintptr_t)f->mem : before->fdp;
    x->fop = sets ? (i->opcode & 7) << 8 | (i->has_mem ? (i->modrm & 0x38) | 6 : i->modrm) : before->fop;
}

/* The host left its own addresses where the instruction updates FIP, FDP and FOP; put the guest's in their place.
 * Selectors stand above the 32-bit offsets, as FXSAVE has them outside 64-bit mode. */
static void set_pointers(InterpVcpu *v, const Insn *i, const HostStub *stub, const StubFrame *f, uint64_t offset, const Pointers *before)
{
    XsaveImage *x = &v->s.fpu;
    bool selectors = v->code_size != CODE64;
    if (__builtin_cpu_is("amd"))
        keep_pointers(v, i, stub, f, before);
    if (x->fip == (uintptr_t)stub->insn)
        x->fip = selectors ? (uint32_t)v->s.rip | (uint64_t)v->s.seg[SEG_CS].selector << 32 : v->s.rip;
    if (!i->has_mem)
        return;
    if (x->fdp == (uintptr_t)f->mem)
        x->fdp = selectors ? (uint32_t)offset | (uint64_t)v->s.seg[i->seg].selector << 32 : offset;
    uint16_t host_fop = (uint16_t)((i->opcode & 7) << 8 | (i->modrm & 0x38) | 6); /* mod 0, rm 6: [rsi] */
    if (x->fop == host_fop)
        x->fop = (host_fop & ~0xff) | i->modrm;
}

/* A store comes last and may fault; then nothing has happened. */
static void store_result(InterpVcpu *v, const Insn *i, const HostStub *stub, const StubFrame *f, uint64_t offset,
                         const uint8_t *before)
{
    if (store_suppressed(&v->s.fpu, stub->attrs))
        return;
    uint8_t after[X87_BYTES];
    memcpy(after, &v->s.fpu, X87_BYTES);
    memcpy(&v->s.fpu, before, X87_BYTES);
    mem_write_bytes(v, i->seg, offset, f->mem, stub->mem_size);
    memcpy(&v->s.fpu, after, X87_BYTES);
}

/* ES and B say whether an exception is raised and not masked. */
static void update_summary(XsaveImage *x)
{
    x->fsw &= ~(FSW_ES | FSW_B);
    if (x->fsw & ~x->fcw & FSW_EXCEPTIONS)
        x->fsw |= FSW_ES | FSW_B;
}

static uint64_t call_stub(CpuState *s, const HostStub *stub, StubFrame *f)
{
    uint64_t flags = stub->fn(s, f);
    s->fpu.mxcsr_mask = MXCSR_VALID; /* not the host's */
    return flags;
}

/* With CR0.NE clear a pending exception is reported by FERR# and IRQ 13, and the program goes on when IGNNE# is asserted;
 * no board of ours has that line, so it goes on at once.  The host must not meet the pending exception itself (SIGFPE
 * would end the process), so everything is masked meanwhile. */
uint64_t fpu_run_stub(CpuState *s, const HostStub *stub, StubFrame *f, bool loads_fcw)
{
    XsaveImage *x = &s->fpu;
    uint16_t fcw = x->fcw, masked = fcw | FSW_EXCEPTIONS;
    bool waits = stub->uses_mm || ((stub->attrs & ROW_FPU) && !(stub->attrs & ROW_NO_WAIT));
    if (G_LIKELY(!waits || !(x->fsw & ~fcw & FSW_EXCEPTIONS)))
        return call_stub(s, stub, f);
    x->fcw = masked;
    uint64_t flags = call_stub(s, stub, f);
    if (!loads_fcw)
        x->fcw = fcw;
    update_summary(x);
    return flags;
}

void fpu_exec(InterpVcpu *v, const Insn *i, const HostStub *stub)
{
    if (!(stub->attrs & ROW_NO_WAIT))
        fpu_check_pending(v);
    StubFrame f = { .flags_in = (v->s.rflags & RFLAGS_STATUS) | RFLAGS_ONE, .mxcsr_host = MXCSR_INIT };
    uint64_t offset = i->has_mem ? effective_address(v, i) : 0;
    if (stub->mem_read)
        mem_read_bytes(v, i->seg, offset, f.mem, stub->mem_size);
    v->s.fpu.mxcsr &= MXCSR_VALID; /* state from outside must not make the stub fault */
    uint8_t before[X87_BYTES];
    if (stub->mem_write)
        memcpy(before, &v->s.fpu, X87_BYTES);
    const Pointers pointers = { v->s.fpu.fop, v->s.fpu.fip, v->s.fpu.fdp };
    uint64_t flags = fpu_run_stub(&v->s, stub, &f, i->op == OP_FLDCW);
    set_pointers(v, i, stub, &f, offset, &pointers);
    if (stub->writes_flags)
        v->s.rflags = (v->s.rflags & ~(uint64_t)RFLAGS_STATUS) | (flags & RFLAGS_STATUS);
    if (stub->mem_write)
        store_result(v, i, stub, &f, offset, before);
}

void fpu_exec_fwait(InterpVcpu *v, const Insn *i)
{
    if ((v->s.cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
        interp_raise(v, EXC_NM);
    fpu_check_pending(v);
}

/* FNSTSW AX; the form with a memory operand goes to the host. */
void fpu_exec_fnstsw(InterpVcpu *v, const Insn *i)
{
    if (i->has_mem) {
        exec_host(v, i);
        return;
    }
    memcpy(&v->s.gpr[GPR_RAX], &v->s.fpu.fsw, 2);
}

/* MMX registers are the mantissas of the physical registers: turn the stack so that TOP is 0.  SDM 1, 9.5.  The tags
 * change later, when nothing can fault any more. */
void fpu_to_mmx(InterpVcpu *v)
{
    set_top(&v->s.fpu, 0);
}

void fpu_exec_emms(InterpVcpu *v, const Insn *i)
{
    fpu_check_pending(v);
    fpu_to_mmx(v);
    v->s.fpu.ftw = 0;
}

/* ---- environments */

/* The two bits of the full tag word for one register: 0 valid, 1 zero, 2 special. */
static unsigned tag_of(const uint8_t *st)
{
    uint64_t mantissa;
    uint16_t exponent;
    memcpy(&mantissa, st, 8);
    memcpy(&exponent, st + 8, 2);
    exponent &= 0x7fff;
    if (!exponent && !mantissa)
        return 1;
    return exponent == 0 || exponent == 0x7fff || !(mantissa >> 63) ? 2 : 0;
}

static uint16_t full_tag_word(const XsaveImage *x)
{
    unsigned tags = 0, top = fpu_top(x);
    for (unsigned n = 0; n < 8; n++)
        tags |= (x->ftw >> n & 1 ? tag_of(x->st[(n - top) & 7].bytes) : 3u) << 2 * n;
    return (uint16_t)tags;
}

static uint8_t abridged_tag_word(uint16_t full)
{
    unsigned tags = 0;
    for (unsigned n = 0; n < 8; n++)
        tags |= (unsigned)((full >> 2 * n & 3) != 3) << n;
    return (uint8_t)tags;
}

static void put16(uint8_t *p, uint32_t value)
{
    memcpy(p, &(uint16_t){ (uint16_t)value }, 2);
}
static void put32(uint8_t *p, uint32_t value)
{
    memcpy(p, &value, 4);
}
static uint32_t get16(const uint8_t *p)
{
    return p[0] | p[1] << 8;
}
static uint32_t get32(const uint8_t *p)
{
    return get16(p) | get16(p + 2) << 16;
}

static unsigned env_bytes(const Insn *i)
{
    return i->opsize == 2 ? ENV16_BYTES : ENV32_BYTES;
}

/* A pointer as real and virtual-8086 mode save it: linear, 20 bits in the 16-bit format. */
static uint32_t real_pointer(uint64_t pointer)
{
    return (uint32_t)pointer + ((uint32_t)(pointer >> 32 & 0xffff) << 4);
}

/* SDM 1, figures 8-11 and 8-12. */
static void put_pointers16(const InterpVcpu *v, uint8_t *env)
{
    const XsaveImage *x = &v->s.fpu;
    if (v->protected_mode) {
        put16(env + 6, (uint32_t)x->fip);
        put16(env + 8, v->code_size == CODE64 ? 0 : x->fip >> 32);
        put16(env + 10, (uint32_t)x->fdp);
        put16(env + 12, v->code_size == CODE64 ? 0 : x->fdp >> 32);
        return;
    }
    uint32_t ip = real_pointer(x->fip), dp = real_pointer(x->fdp);
    put16(env + 6, ip);
    put16(env + 8, (ip >> 4 & 0xf000) | (x->fop & 0x7ff));
    put16(env + 10, dp);
    put16(env + 12, dp >> 4 & 0xf000);
}

/* SDM 1, figures 8-9 and 8-10. */
static void put_pointers32(const InterpVcpu *v, uint8_t *env)
{
    const XsaveImage *x = &v->s.fpu;
    if (v->protected_mode) {
        bool selectors = v->code_size != CODE64;
        put32(env + 12, (uint32_t)x->fip);
        put32(env + 16, (selectors ? (uint32_t)(x->fip >> 32 & 0xffff) : 0) | (uint32_t)(x->fop & 0x7ff) << 16);
        put32(env + 20, (uint32_t)x->fdp);
        put32(env + 24, 0xffff0000u | (selectors ? (uint32_t)(x->fdp >> 32 & 0xffff) : 0));
        return;
    }
    uint32_t ip = real_pointer(x->fip), dp = real_pointer(x->fdp);
    put32(env + 12, 0xffff0000u | (ip & 0xffff));
    put32(env + 16, (ip >> 4 & 0x0ffff000) | (x->fop & 0x7ff));
    put32(env + 20, 0xffff0000u | (dp & 0xffff));
    put32(env + 24, dp >> 4 & 0x0ffff000);
}

static void put_env(const InterpVcpu *v, const Insn *i, uint8_t *env)
{
    const XsaveImage *x = &v->s.fpu;
    if (i->opsize == 2) {
        put16(env, x->fcw);
        put16(env + 2, x->fsw);
        put16(env + 4, full_tag_word(x));
        put_pointers16(v, env);
    } else {
        put32(env, 0xffff0000u | x->fcw);
        put32(env + 4, 0xffff0000u | x->fsw);
        put32(env + 8, 0xffff0000u | full_tag_word(x));
        put_pointers32(v, env);
    }
}

static void get_pointers16(InterpVcpu *v, const uint8_t *env)
{
    XsaveImage *x = &v->s.fpu;
    if (v->protected_mode) {
        x->fip = get16(env + 6) | (uint64_t)get16(env + 8) << 32;
        x->fdp = get16(env + 10) | (uint64_t)get16(env + 12) << 32;
        x->fop = 0;
        return;
    }
    x->fip = get16(env + 6) | (get16(env + 8) & 0xf000) << 4;
    x->fdp = get16(env + 10) | (get16(env + 12) & 0xf000) << 4;
    x->fop = get16(env + 8) & 0x7ff;
}

static void get_pointers32(InterpVcpu *v, const uint8_t *env)
{
    XsaveImage *x = &v->s.fpu;
    if (v->protected_mode) {
        x->fip = get32(env + 12) | (uint64_t)get16(env + 16) << 32;
        x->fop = get16(env + 18) & 0x7ff;
        x->fdp = get32(env + 20) | (uint64_t)get16(env + 24) << 32;
        return;
    }
    x->fip = get16(env + 12) | (get32(env + 16) & 0x0ffff000) << 4;
    x->fop = get16(env + 16) & 0x7ff;
    x->fdp = get16(env + 20) | (get32(env + 24) & 0x0ffff000) << 4;
}

static void get_env(InterpVcpu *v, const Insn *i, const uint8_t *env)
{
    XsaveImage *x = &v->s.fpu;
    bool wide = i->opsize != 2;
    x->fcw = (uint16_t)((get16(env) & 0x1f3f) | 0x40); /* the other bits are not there */
    uint16_t fsw = (uint16_t)get16(env + (wide ? 4 : 2));
    set_top(x, fsw >> 11 & 7);
    x->fsw = fsw;
    x->ftw = abridged_tag_word((uint16_t)get16(env + (wide ? 8 : 4)));
    if (wide)
        get_pointers32(v, env);
    else
        get_pointers16(v, env);
    if (v->code_size == CODE64) { /* no selectors there: the offset alone */
        x->fip = (uint32_t)x->fip;
        x->fdp = (uint32_t)x->fdp;
    }
    update_summary(x);
}

/* FNINIT.  The registers keep their contents. */
static void fpu_init(XsaveImage *x)
{
    set_top(x, 0);
    x->fcw = FCW_INIT;
    x->fsw = x->ftw = x->fop = 0;
    x->fip = x->fdp = 0;
}

void fpu_exec_fnstenv(InterpVcpu *v, const Insn *i)
{
    uint8_t env[ENV32_BYTES];
    put_env(v, i, env);
    mem_write_bytes(v, i->seg, effective_address(v, i), env, env_bytes(i));
    v->s.fpu.fcw |= FSW_EXCEPTIONS;
    update_summary(&v->s.fpu);
}

void fpu_exec_fldenv(InterpVcpu *v, const Insn *i)
{
    fpu_check_pending(v);
    uint8_t env[ENV32_BYTES];
    mem_read_bytes(v, i->seg, effective_address(v, i), env, env_bytes(i));
    get_env(v, i, env);
}

void fpu_exec_fnsave(InterpVcpu *v, const Insn *i)
{
    uint8_t area[ENV32_BYTES + REGS_BYTES];
    unsigned n = env_bytes(i);
    put_env(v, i, area);
    for (unsigned r = 0; r < 8; r++)
        memcpy(area + n + ST_BYTES * r, v->s.fpu.st[r].bytes, ST_BYTES);
    mem_write_bytes(v, i->seg, effective_address(v, i), area, n + REGS_BYTES);
    fpu_init(&v->s.fpu);
}

void fpu_exec_frstor(InterpVcpu *v, const Insn *i)
{
    fpu_check_pending(v);
    uint8_t area[ENV32_BYTES + REGS_BYTES];
    unsigned n = env_bytes(i);
    mem_read_bytes(v, i->seg, effective_address(v, i), area, n + REGS_BYTES);
    get_env(v, i, area);
    for (unsigned r = 0; r < 8; r++)
        memcpy(v->s.fpu.st[r].bytes, area + n + ST_BYTES * r, ST_BYTES);
}
