/*
 * simd.c - SIMD instructions that are not left to the host: plain moves, which are hot and need no stub; gathers and
 * masked moves, whose elements are accesses of their own; and those on MXCSR and whole registers.
 */
#include <string.h>

#include "accel/interp/fpu.h"
#include "accel/interp/operand.h"

/* ---- plain moves */

ALWAYS_INLINE uint64_t vector_address(InterpVcpu *v, const Insn *i, unsigned size, bool aligned)
{
    return aligned ? simd_aligned_address(v, i, size) : effective_address(v, i);
}

ALWAYS_INLINE void vector_load(InterpVcpu *v, const Insn *i, void *ret, unsigned size, bool aligned)
{
    uint64_t offset = vector_address(v, i, size, aligned);
    if (likely(mem_flat(v, i->seg, ACCESS_READ))) {
        const uint8_t *p = tlb_host(v, mem_flat_linear(v, i->seg, offset), size, ACCESS_READ, v->who);
        if (likely(p)) {
            memcpy(ret, p, size);
            return;
        }
    }
    mem_read_bytes(v, i->seg, offset, ret, size);
}

ALWAYS_INLINE void vector_store(InterpVcpu *v, const Insn *i, const void *from, unsigned size, bool aligned)
{
    uint64_t offset = vector_address(v, i, size, aligned);
    if (likely(mem_flat(v, i->seg, ACCESS_WRITE))) {
        uint64_t linear = mem_flat_linear(v, i->seg, offset);
        uint8_t *p = tlb_host(v, linear, size, ACCESS_WRITE, v->who);
        if (likely(p)) {
            memcpy(p, from, size);
            tlb_stored(v, tlb_entry(v, linear, v->who), linear, size);
            return;
        }
    }
    mem_write_bytes(v, i->seg, offset, from, size);
}

/* A VEX instruction with a 128-bit or smaller result clears the rest of the register. */
static void clear_upper(InterpVcpu *v, const Insn *i, unsigned reg)
{
    if (i->prefixes & PFX_VEX)
        memset(v->s.fpu.ymm_high[reg].bytes, 0, 16);
}

ALWAYS_INLINE void move_load16(InterpVcpu *v, const Insn *i, bool aligned)
{
    uint8_t value[16];
    vector_load(v, i, value, 16, aligned);
    memcpy(v->s.fpu.xmm[i->opnd[0].reg].bytes, value, 16);
    clear_upper(v, i, i->opnd[0].reg);
}

ALWAYS_INLINE void move_load32(InterpVcpu *v, const Insn *i, bool aligned)
{
    uint8_t value[32];
    vector_load(v, i, value, 32, aligned);
    memcpy(v->s.fpu.xmm[i->opnd[0].reg].bytes, value, 16);
    memcpy(v->s.fpu.ymm_high[i->opnd[0].reg].bytes, value + 16, 16);
}

ALWAYS_INLINE void move_store32(InterpVcpu *v, const Insn *i, bool aligned)
{
    uint8_t value[32];
    memcpy(value, v->s.fpu.xmm[i->opnd[1].reg].bytes, 16);
    memcpy(value + 16, v->s.fpu.ymm_high[i->opnd[1].reg].bytes, 16);
    vector_store(v, i, value, 32, aligned);
}

static void load16(InterpVcpu *v, const Insn *i)
{
    move_load16(v, i, false);
}
static void load16_aligned(InterpVcpu *v, const Insn *i)
{
    move_load16(v, i, true);
}
static void load32(InterpVcpu *v, const Insn *i)
{
    move_load32(v, i, false);
}
static void load32_aligned(InterpVcpu *v, const Insn *i)
{
    move_load32(v, i, true);
}
static void store16(InterpVcpu *v, const Insn *i)
{
    vector_store(v, i, v->s.fpu.xmm[i->opnd[1].reg].bytes, 16, false);
}
static void store16_aligned(InterpVcpu *v, const Insn *i)
{
    vector_store(v, i, v->s.fpu.xmm[i->opnd[1].reg].bytes, 16, true);
}
static void store32(InterpVcpu *v, const Insn *i)
{
    move_store32(v, i, false);
}
static void store32_aligned(InterpVcpu *v, const Insn *i)
{
    move_store32(v, i, true);
}

static void copy_register(InterpVcpu *v, const Insn *i)
{
    unsigned to = i->opnd[0].reg, from = i->opnd[1].reg;
    v->s.fpu.xmm[to] = v->s.fpu.xmm[from];
    if (i->opnd[0].cls == RC_YMM)
        v->s.fpu.ymm_high[to] = v->s.fpu.ymm_high[from];
    else
        clear_upper(v, i, to);
}

/* MOVAPS, MOVDQU and their like: whole registers, two operands. */
static ExecFn *select_move(const Insn *i)
{
    if (!i->has_mem)
        return copy_register;
    bool aligned = insn_row(i)->attrs & ROW_ALIGNED, wide = i->vex_l && i->prefixes & PFX_VEX;
    if (i->opnd[0].kind == OPND_MEM)
        return wide ? aligned ? store32_aligned : store32 : aligned ? store16_aligned : store16;
    return wide ? aligned ? load32_aligned : load32 : aligned ? load16_aligned : load16;
}

/* MOVD and MOVQ between the low part of an XMM register and a general register, memory or another's low part. */
static uint64_t xmm_low(const InterpVcpu *v, unsigned reg)
{
    uint64_t value;
    memcpy(&value, v->s.fpu.xmm[reg].bytes, 8);
    return value;
}

static void low_to_place(InterpVcpu *v, const Insn *i)
{
    operand_write(v, i, 0, i->opnd[0].size, xmm_low(v, i->opnd[1].reg));
}

static void set_low(InterpVcpu *v, const Insn *i, uint64_t value)
{
    const uint64_t whole[2] = { value, 0 };
    memcpy(v->s.fpu.xmm[i->opnd[0].reg].bytes, whole, 16);
    clear_upper(v, i, i->opnd[0].reg);
}

static void place_to_low(InterpVcpu *v, const Insn *i)
{
    set_low(v, i, operand_read(v, i, 1, i->opnd[1].size));
}
static void low_to_low(InterpVcpu *v, const Insn *i)
{
    set_low(v, i, xmm_low(v, i->opnd[1].reg));
}

static ExecFn *select_low_move(const Insn *i)
{
    const Operand *to = &i->opnd[0], *from = &i->opnd[1];
    if ((to->kind == OPND_REG && to->cls == RC_MM) || (from->kind == OPND_REG && from->cls == RC_MM))
        return exec_host;
    if (to->kind == OPND_MEM || to->cls == RC_GPR)
        return low_to_place;
    return from->kind == OPND_MEM || from->cls == RC_GPR ? place_to_low : low_to_low;
}

/* ---- whole registers and MXCSR */

static void exec_vzeroupper(InterpVcpu *v, const Insn *i)
{
    memset(v->s.fpu.ymm_high, 0, 16 * (v->code_size == CODE64 ? 16 : 8));
}

static void exec_vzeroall(InterpVcpu *v, const Insn *i)
{
    exec_vzeroupper(v, i);
    memset(v->s.fpu.xmm, 0, 16 * (v->code_size == CODE64 ? 16 : 8));
}

static void exec_ldmxcsr(InterpVcpu *v, const Insn *i)
{
    uint32_t value = (uint32_t)mem_load(v, i->seg, effective_address(v, i), 4);
    if (value & ~MXCSR_VALID)
        interp_gp0(v);
    v->s.fpu.mxcsr = value;
}

static void exec_stmxcsr(InterpVcpu *v, const Insn *i)
{
    mem_store(v, i->seg, effective_address(v, i), 4, v->s.fpu.mxcsr);
}

/* ---- masked moves.  Elements that are not selected are not accessed and cannot fault. */

typedef struct Vector {
    uint8_t bytes[32];
} Vector;

static Vector vector_get(const InterpVcpu *v, unsigned reg)
{
    Vector r;
    memcpy(r.bytes, v->s.fpu.xmm[reg].bytes, 16);
    memcpy(r.bytes + 16, v->s.fpu.ymm_high[reg].bytes, 16);
    return r;
}

static void vector_set(InterpVcpu *v, unsigned reg, const Vector *value)
{
    memcpy(v->s.fpu.xmm[reg].bytes, value->bytes, 16);
    memcpy(v->s.fpu.ymm_high[reg].bytes, value->bytes + 16, 16);
}

static bool selected(const uint8_t *mask, unsigned element, unsigned size)
{
    return mask[element * size + size - 1] & 0x80;
}

static void masked_load(InterpVcpu *v, const Insn *i, unsigned size)
{
    Vector mask = vector_get(v, i->opnd[1].reg), value = { { 0 } };
    uint64_t offset = effective_address(v, i);
    for (unsigned n = 0; n < (i->vex_l ? 32 : 16) / size; n++)
        if (selected(mask.bytes, n, size))
            mem_read_bytes(v, i->seg, offset + n * size, value.bytes + n * size, size);
    vector_set(v, i->opnd[0].reg, &value);
}

/* Probed first, so that a fault on a later element leaves memory as it was. */
static void masked_write(InterpVcpu *v, unsigned seg, uint64_t offset, const uint8_t *mask, const uint8_t *value,
                         unsigned count, unsigned size)
{
    for (unsigned n = 0; n < count; n++)
        if (selected(mask, n, size))
            mem_probe_write(v, seg, offset + n * size, size);
    for (unsigned n = 0; n < count; n++)
        if (selected(mask, n, size))
            mem_write_bytes(v, seg, offset + n * size, value + n * size, size);
}

static void masked_store(InterpVcpu *v, const Insn *i, unsigned size)
{
    Vector mask = vector_get(v, i->opnd[1].reg), value = vector_get(v, i->opnd[2].reg);
    masked_write(v, i->seg, effective_address(v, i), mask.bytes, value.bytes, (i->vex_l ? 32 : 16) / size, size);
}

static void masked_load4(InterpVcpu *v, const Insn *i)
{
    masked_load(v, i, 4);
}
static void masked_load8(InterpVcpu *v, const Insn *i)
{
    masked_load(v, i, 8);
}
static void masked_store4(InterpVcpu *v, const Insn *i)
{
    masked_store(v, i, 4);
}
static void masked_store8(InterpVcpu *v, const Insn *i)
{
    masked_store(v, i, 8);
}

static ExecFn *select_masked4(const Insn *i)
{
    return i->opnd[0].kind == OPND_MEM ? masked_store4 : masked_load4;
}
static ExecFn *select_masked8(const Insn *i)
{
    return i->opnd[0].kind == OPND_MEM ? masked_store8 : masked_load8;
}

/* The destination is DS:rDI; a segment override counts.  Operands: source, mask. */
static const Operand *nth_register(const Insn *i, RegClass cls, unsigned n)
{
    for (unsigned k = 0; k < i->n_operands; k++)
        if (i->opnd[k].kind == OPND_REG && i->opnd[k].cls == cls && n-- == 0)
            return &i->opnd[k];
    return NULL;
}

static unsigned implicit_segment(const Insn *i)
{
    return i->prefixes & PFX_SEG ? i->seg : SEG_DS;
}
static uint64_t address_in_rdi(const InterpVcpu *v, const Insn *i)
{
    return gpr_get(v, GPR_RDI, i->addrsize);
}

static void exec_maskmovdqu(InterpVcpu *v, const Insn *i)
{
    Vector value = vector_get(v, nth_register(i, RC_XMM, 0)->reg),
           mask = vector_get(v, nth_register(i, RC_XMM, 1)->reg);
    masked_write(v, implicit_segment(i), address_in_rdi(v, i), mask.bytes, value.bytes, 16, 1);
}

static void exec_maskmovq(InterpVcpu *v, const Insn *i)
{
    fpu_check_pending(v);
    fpu_to_mmx(v);
    uint8_t value[8], mask[8];
    memcpy(value, v->s.fpu.st[nth_register(i, RC_MM, 0)->reg & 7].bytes, 8);
    memcpy(mask, v->s.fpu.st[nth_register(i, RC_MM, 1)->reg & 7].bytes, 8);
    masked_write(v, implicit_segment(i), address_in_rdi(v, i), mask, value, 8, 1);
    v->s.fpu.ftw = 0xff;
}

/* ---- gathers.  Elements are loaded in order; what is loaded is kept, and its mask cleared, when a later one faults.
 * SDM 2, VGATHERDPS. */
static int64_t gather_index(const Vector *index, unsigned n, unsigned size)
{
    int64_t wide;
    int32_t narrow;
    if (size == 8) {
        memcpy(&wide, index->bytes + 8 * n, 8);
        return wide;
    }
    memcpy(&narrow, index->bytes + 4 * n, 4);
    return narrow;
}

static uint64_t gather_address(const InterpVcpu *v, const Insn *i, int64_t index)
{
    uint64_t a = (uint64_t)i->disp + ((uint64_t)index << i->scale);
    if (i->base < 16)
        a += v->s.gpr[i->base];
    return a & size_mask(i->addrsize);
}

/* The mask register as the instruction begins: each element all ones or all zeros, nothing beyond its size. */
static Vector gather_mask(InterpVcpu *v, unsigned reg, unsigned count, unsigned size)
{
    Vector old = vector_get(v, reg), mask = { { 0 } };
    for (unsigned n = 0; n < count; n++)
        if (selected(old.bytes, n, size))
            memset(mask.bytes + n * size, 0xff, size);
    vector_set(v, reg, &mask);
    return mask;
}

static void gather(InterpVcpu *v, const Insn *i, unsigned index_size, unsigned size)
{
    unsigned to = i->opnd[0].reg, mask_reg = i->opnd[2].reg, bytes = i->vex_l ? 32 : 16;
    unsigned count = bytes / MAX(index_size, size);
    const Vector index = vector_get(v, i->index), none = { { 0 } };
    Vector mask = gather_mask(v, mask_reg, bytes / size, size), value = vector_get(v, to);
    memset(value.bytes + bytes, 0, sizeof(value.bytes) - bytes);
    for (unsigned n = 0; n < count; n++) {
        if (!selected(mask.bytes, n, size))
            continue;
        mem_read_bytes(v, i->seg, gather_address(v, i, gather_index(&index, n, index_size)), value.bytes + n * size,
                       size);
        memset(mask.bytes + n * size, 0, size);
        vector_set(v, to, &value);
        vector_set(v, mask_reg, &mask);
    }
    memset(value.bytes + count * size, 0, sizeof(value.bytes) - count * size);
    vector_set(v, to, &value);
    vector_set(v, mask_reg, &none);
}

static void gather_dd(InterpVcpu *v, const Insn *i)
{
    gather(v, i, 4, 4);
}
static void gather_dq(InterpVcpu *v, const Insn *i)
{
    gather(v, i, 4, 8);
}
static void gather_qd(InterpVcpu *v, const Insn *i)
{
    gather(v, i, 8, 4);
}
static void gather_qq(InterpVcpu *v, const Insn *i)
{
    gather(v, i, 8, 8);
}

const ExecEntry exec_simd[] = {
    { OP_MOVAPS, .select = select_move },
    { OP_MOVUPS, .select = select_move },
    { OP_MOVAPD, .select = select_move },
    { OP_MOVUPD, .select = select_move },
    { OP_MOVDQA, .select = select_move },
    { OP_MOVDQU, .select = select_move },
    { OP_LDDQU, .select = select_move },
    { OP_MOVNTPS, .select = select_move },
    { OP_MOVNTPD, .select = select_move },
    { OP_MOVNTDQ, .select = select_move },
    { OP_MOVNTDQA, .select = select_move },
    { OP_VMOVAPS, .select = select_move },
    { OP_VMOVUPS, .select = select_move },
    { OP_VMOVAPD, .select = select_move },
    { OP_VMOVUPD, .select = select_move },
    { OP_VMOVDQA, .select = select_move },
    { OP_VMOVDQU, .select = select_move },
    { OP_VLDDQU, .select = select_move },
    { OP_VMOVNTPS, .select = select_move },
    { OP_VMOVNTPD, .select = select_move },
    { OP_VMOVNTDQ, .select = select_move },
    { OP_VMOVNTDQA, .select = select_move },
    { OP_MOVD, .select = select_low_move },
    { OP_MOVQ, .select = select_low_move },
    { OP_VMOVD, .select = select_low_move },
    { OP_VMOVQ, .select = select_low_move },
    { OP_VZEROUPPER, exec_vzeroupper },
    { OP_VZEROALL, exec_vzeroall },
    { OP_LDMXCSR, exec_ldmxcsr },
    { OP_VLDMXCSR, exec_ldmxcsr },
    { OP_STMXCSR, exec_stmxcsr },
    { OP_VSTMXCSR, exec_stmxcsr },
    { OP_VMASKMOVPS, .select = select_masked4 },
    { OP_VMASKMOVPD, .select = select_masked8 },
    { OP_VPMASKMOVD, .select = select_masked4 },
    { OP_VPMASKMOVQ, .select = select_masked8 },
    { OP_MASKMOVDQU, exec_maskmovdqu },
    { OP_VMASKMOVDQU, exec_maskmovdqu },
    { OP_MASKMOVQ, exec_maskmovq },
    { OP_VGATHERDPS, gather_dd },
    { OP_VPGATHERDD, gather_dd },
    { OP_VGATHERDPD, gather_dq },
    { OP_VPGATHERDQ, gather_dq },
    { OP_VGATHERQPS, gather_qd },
    { OP_VPGATHERQD, gather_qd },
    { OP_VGATHERQPD, gather_qq },
    { OP_VPGATHERQQ, gather_qq },
    { OP_EMMS, fpu_exec_emms },
    { OP_FWAIT, fpu_exec_fwait },
    { OP_FNSTSW, fpu_exec_fnstsw },
    { OP_FNSTENV, fpu_exec_fnstenv },
    { OP_FLDENV, fpu_exec_fldenv },
    { OP_FNSAVE, fpu_exec_fnsave },
    { OP_FRSTOR, fpu_exec_frstor },
    { OP_FXSAVE, exec_fxsave },
    { OP_FXRSTOR, exec_fxrstor },
    { OP_XSAVE, exec_xsave },
    { OP_XSAVEOPT, exec_xsaveopt },
    { OP_XSAVEC, exec_xsavec },
    { OP_XSAVES, exec_xsaves },
    { OP_XRSTOR, exec_xrstor },
    { OP_XRSTORS, exec_xrstors },
    { OP_INVALID },
};
