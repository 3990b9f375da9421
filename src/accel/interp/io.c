/*
 * io.c - port instructions and the I/O permission bitmap.  SDM 1, chapter 19; SDM 2, IN, INS, OUT, OUTS.
 */
#include "accel/interp/system.h"

enum { TSS_IO_MAP = 0x66 };

static bool bitmap_base(InterpVcpu *v, uint32_t *ret)
{
    if (!tr_is_32(v) || v->s.tr.limit < TSS_IO_MAP + 1)
        return false;
    *ret = (uint32_t)linear_read(v, v->s.tr.base + TSS_IO_MAP, 2, MEM_IMPLICIT);
    return true;
}

void io_check(InterpVcpu *v, uint16_t port, unsigned size)
{
    if (!(v->s.cr0 & CR0_PE) || (!v->vm86 && v->cpl <= iopl(v)))
        return;
    uint32_t map;
    if (!bitmap_base(v, &map) || map + port / 8 + 1 > v->s.tr.limit)
        interp_gp0(v);
    uint64_t bits = linear_read(v, v->s.tr.base + map + port / 8, 2, MEM_IMPLICIT);
    if (bits >> (port & 7) & ((1u << size) - 1))
        interp_gp0(v);
}

/* SDM 3, 20.3.3.4: 32 bytes below the I/O map; a clear bit sends INT n to the 8086 program's table. */
bool vme_redirects_to_program(InterpVcpu *v, uint8_t vector)
{
    uint32_t map;
    if (!(v->s.cr4 & CR4_VME) || !bitmap_base(v, &map))
        return false;
    uint32_t at = map - 32 + vector / 8;
    if (map < 32 || at > v->s.tr.limit)
        interp_gp0(v);
    return !(linear_read(v, v->s.tr.base + at, 1, MEM_IMPLICIT) >> (vector & 7) & 1);
}

/* Devices may have changed the memory map or asked for something: look before the next instruction. */
static void after_io(InterpVcpu *v, uint16_t port, unsigned size)
{
    if (v->attention & ATTN_BREAK)
        debug_check_io(v, port, size);
    if (vcpu_requests(&v->vcpu))
        v->leave_block = true;
}

static uint64_t port_read(InterpVcpu *v, uint16_t port, unsigned size)
{
    interp_save_fpu(v);
    uint64_t value = vcpu_pio_read(&v->vcpu, port, size);
    after_io(v, port, size);
    return value;
}

static void port_write(InterpVcpu *v, uint16_t port, unsigned size, uint64_t value)
{
    interp_save_fpu(v);
    vcpu_pio_write(&v->vcpu, port, size, value);
    after_io(v, port, size);
}

static uint16_t port_of(InterpVcpu *v, const Operand *o, const Insn *i)
{
    return o->kind == OPND_REG ? (uint16_t)v->s.gpr[GPR_RDX] : (uint16_t)(i->imm & 0xff);
}

void exec_in(InterpVcpu *v, const Insn *i)
{
    unsigned size = i->opnd[0].size;
    uint16_t port = port_of(v, &i->opnd[1], i);
    io_check(v, port, size);
    reg_write(v, &i->opnd[0], size, port_read(v, port, size));
}

void exec_out(InterpVcpu *v, const Insn *i)
{
    unsigned size = i->opnd[1].size;
    uint16_t port = port_of(v, &i->opnd[0], i);
    io_check(v, port, size);
    port_write(v, port, size, reg_read(v, &i->opnd[1], size));
}

/* ---- INS and OUTS: one element at a time, with registers right after each, so that any fault can be restarted */
enum { REP_BATCH = 512 }; /* elements before events are looked at */

static void advance(InterpVcpu *v, const Insn *i, unsigned reg)
{
    uint64_t step = v->s.rflags & RFLAGS_DF ? -(uint64_t)i->opsize : i->opsize;
    gpr_set(v, reg, i->addrsize, v->s.gpr[reg] + step);
}

static void ins_once(InterpVcpu *v, const Insn *i)
{
    uint16_t port = (uint16_t)v->s.gpr[GPR_RDX];
    uint64_t at = gpr_get(v, GPR_RDI, i->addrsize);
    mem_probe_write(v, SEG_ES, at, i->opsize);
    mem_store(v, SEG_ES, at, i->opsize, port_read(v, port, i->opsize));
    advance(v, i, GPR_RDI);
}

static void outs_once(InterpVcpu *v, const Insn *i)
{
    uint16_t port = (uint16_t)v->s.gpr[GPR_RDX];
    port_write(v, port, i->opsize, mem_load(v, i->seg, gpr_get(v, GPR_RSI, i->addrsize), i->opsize));
    advance(v, i, GPR_RSI);
}

static void repeat(InterpVcpu *v, const Insn *i, ExecFn *once)
{
    io_check(v, (uint16_t)v->s.gpr[GPR_RDX], i->opsize); /* even where the count is 0 */
    if (!(i->prefixes & (PFX_REP | PFX_REPNE))) {
        once(v, i);
        return;
    }
    for (unsigned n = 0; gpr_get(v, GPR_RCX, i->addrsize); n++) {
        if (n && (v->attention || v->leave_block || n >= REP_BATCH)) {
            v->next_rip = v->s.rip; /* go on after events */
            v->leave_block = true;
            return;
        }
        once(v, i);
        gpr_set(v, GPR_RCX, i->addrsize, v->s.gpr[GPR_RCX] - 1);
    }
    if (i->addrsize == 4 && v->code_size == CODE64)
        v->s.gpr[GPR_RCX] = (uint32_t)v->s.gpr[GPR_RCX];
}

void exec_ins(InterpVcpu *v, const Insn *i) { repeat(v, i, ins_once); }
void exec_outs(InterpVcpu *v, const Insn *i) { repeat(v, i, outs_once); }
