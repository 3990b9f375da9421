/*
 * control.c - near branches and the stack: JMP CALL RET Jcc LOOP JCXZ, PUSH POP PUSHA POPA ENTER LEAVE, BOUND.
 *
 * RSP changes last, after every access that can fault.
 */
#include "accel/interp/alu.h"

/* ---- targets.  The fault belongs to the branch: SDM 2, Jcc, CALL, RET. */
ALWAYS_INLINE bool canonical(const InterpVcpu *v, uint64_t a)
{
    if (likely((uint64_t)((int64_t)(a << 16) >> 16) == a))
        return true;
    return v->s.cr4 & CR4_LA57 && (uint64_t)((int64_t)(a << 7) >> 7) == a;
}

ALWAYS_INLINE uint64_t checked_target(InterpVcpu *v, uint64_t target, unsigned opsize)
{
    if (likely(v->code_size == CODE64)) {
        if (unlikely(!canonical(v, target)))
            interp_gp0(v);
        return target;
    }
    target &= size_mask(opsize);
    if (unlikely(target > v->s.seg[SEG_CS].limit))
        interp_gp0(v);
    return target;
}

ALWAYS_INLINE void branch(InterpVcpu *v, const Insn *i)
{
    v->next_rip = checked_target(v, v->next_rip + i->imm, i->opsize);
}

#define JCC(n)                                                                                                         \
    static void jcc_##n(InterpVcpu *v, const Insn *i)                                                                  \
    {                                                                                                                  \
        if (condition(v->s.rflags, n))                                                                                 \
            branch(v, i);                                                                                              \
    }
JCC(0) JCC(1) JCC(2) JCC(3) JCC(4) JCC(5) JCC(6) JCC(7) JCC(8) JCC(9) JCC(10) JCC(11) JCC(12) JCC(13) JCC(14) JCC(15)

static ExecFn *select_jcc(const Insn *i)
{
    static ExecFn *const table[16] = { jcc_0, jcc_1, jcc_2,  jcc_3,  jcc_4,  jcc_5,  jcc_6,  jcc_7,
                                       jcc_8, jcc_9, jcc_10, jcc_11, jcc_12, jcc_13, jcc_14, jcc_15 };
    return table[i->cc];
}

/* LOOP and JCXZ count in CX, ECX or RCX by address size. */
static void loop_if(InterpVcpu *v, const Insn *i, bool also)
{
    uint64_t count = (v->s.gpr[GPR_RCX] - 1) & size_mask(i->addrsize), next = v->next_rip;
    if (count && also)
        next = checked_target(v, next + i->imm, i->opsize);
    gpr_set(v, GPR_RCX, i->addrsize, count);
    v->next_rip = next;
}

static void exec_loop(InterpVcpu *v, const Insn *i) { loop_if(v, i, true); }
static void exec_loope(InterpVcpu *v, const Insn *i) { loop_if(v, i, v->s.rflags & RFLAGS_ZF); }
static void exec_loopne(InterpVcpu *v, const Insn *i) { loop_if(v, i, !(v->s.rflags & RFLAGS_ZF)); }
static void exec_jcxz(InterpVcpu *v, const Insn *i)
{
    if (!gpr_get(v, GPR_RCX, i->addrsize))
        branch(v, i);
}

static void jmp_rel(InterpVcpu *v, const Insn *i) { branch(v, i); }
static void jmp_to(InterpVcpu *v, const Insn *i)
{
    v->next_rip = checked_target(v, operand_read(v, i, 0, i->opsize), i->opsize);
}
static ExecFn *select_jmp(const Insn *i) { return i->opnd[0].kind == OPND_REL ? jmp_rel : jmp_to; }

ALWAYS_INLINE void push(InterpVcpu *v, unsigned size, uint64_t value)
{
    switch (size) {
    case 2: stack_push_inline(v, 2, value); break;
    case 4: stack_push_inline(v, 4, value); break;
    default: stack_push_inline(v, 8, value); break;
    }
}

/* A bad target faults after the return address has been stored, before RSP changes: so do processors. */
ALWAYS_INLINE void call_target(InterpVcpu *v, const Insn *i, uint64_t target)
{
    uint64_t at = (v->s.gpr[GPR_RSP] - i->opsize) & v->stack_mask;
    switch (i->opsize) {
    case 2: mem_store(v, SEG_SS, at, 2, v->next_rip); break;
    case 4: mem_store(v, SEG_SS, at, 4, v->next_rip); break;
    default: mem_store(v, SEG_SS, at, 8, v->next_rip); break;
    }
    v->next_rip = checked_target(v, target, i->opsize);
    stack_set_pointer(v, at);
}

static void call_rel(InterpVcpu *v, const Insn *i)
{
    call_target(v, i, v->next_rip + i->imm);
}

static void call_to(InterpVcpu *v, const Insn *i) { call_target(v, i, operand_read(v, i, 0, i->opsize)); }
static ExecFn *select_call(const Insn *i) { return i->opnd[0].kind == OPND_REL ? call_rel : call_to; }

/* The top of the stack, without popping it. */
ALWAYS_INLINE uint64_t stack_top(InterpVcpu *v, unsigned size)
{
    uint64_t at = v->s.gpr[GPR_RSP] & v->stack_mask;
    switch (size) {
    case 2: return mem_load(v, SEG_SS, at, 2);
    case 4: return mem_load(v, SEG_SS, at, 4);
    default: return mem_load(v, SEG_SS, at, 8);
    }
}

static void exec_ret(InterpVcpu *v, const Insn *i)
{
    v->next_rip = checked_target(v, stack_top(v, i->opsize), i->opsize);
    stack_set_pointer(v, v->s.gpr[GPR_RSP] + i->opsize + (i->n_operands ? i->imm : 0));
}

/* ---- PUSH and POP */
static void push_reg_64(InterpVcpu *v, const Insn *i) { stack_push_inline(v, 8, v->s.gpr[i->opnd[0].reg]); }
static void push_any(InterpVcpu *v, const Insn *i) { push(v, i->opsize, operand_read(v, i, 0, i->opsize)); }

/* The rest of a 32-bit slot is left as it was, as processors since Core do (SDM 2, PUSH). */
static void push_segment(InterpVcpu *v, const Insn *i)
{
    uint64_t at = (v->s.gpr[GPR_RSP] - i->opsize) & v->stack_mask;
    mem_store(v, SEG_SS, at, i->opsize == 4 ? 2 : i->opsize, v->s.seg[i->opnd[0].reg].selector);
    stack_set_pointer(v, at);
}

static ExecFn *select_push(const Insn *i)
{
    if (i->opnd[0].kind == OPND_REG && i->opnd[0].cls == RC_SEG)
        return push_segment;
    return i->opnd[0].kind == OPND_REG && i->opnd[0].cls == RC_GPR && i->opsize == 8 ? push_reg_64 : push_any;
}

static void pop_reg_64(InterpVcpu *v, const Insn *i) { v->s.gpr[i->opnd[0].reg] = stack_pop_inline(v, 8); }
static void pop_reg(InterpVcpu *v, const Insn *i)
{
    uint64_t x = stack_top(v, i->opsize);
    stack_set_pointer(v, v->s.gpr[GPR_RSP] + i->opsize);
    gpr_set(v, i->opnd[0].reg, i->opsize, x);
}

/* An address that uses RSP has it after the pop (SDM 2, POP). */
static void pop_mem(InterpVcpu *v, const Insn *i)
{
    uint64_t x = stack_top(v, i->opsize), old = v->s.gpr[GPR_RSP];
    stack_set_pointer(v, old + i->opsize);
    uint64_t offset = effective_address(v, i);
    v->s.gpr[GPR_RSP] = old;
    mem_store(v, i->seg, offset, i->opsize, x);
    stack_set_pointer(v, old + i->opsize);
}

/* POP SS pops by the old stack's size and holds interrupts off for one instruction. */
static void pop_segment(InterpVcpu *v, const Insn *i)
{
    unsigned seg = i->opnd[0].reg;
    uint16_t selector = stack_top(v, 2); /* no more of the slot is read */
    uint64_t old = v->s.gpr[GPR_RSP];
    stack_set_pointer(v, old + i->opsize);
    uint64_t popped = v->s.gpr[GPR_RSP];
    v->s.gpr[GPR_RSP] = old;
    segment_load(v, seg, selector);
    v->s.gpr[GPR_RSP] = popped;
    if (seg == SEG_SS)
        interp_set_shadow(v, 2);
}

static ExecFn *select_pop(const Insn *i)
{
    if (i->opnd[0].kind == OPND_MEM)
        return pop_mem;
    if (i->opnd[0].cls == RC_SEG)
        return pop_segment;
    return i->opsize == 8 ? pop_reg_64 : pop_reg;
}

static void exec_pusha(InterpVcpu *v, const Insn *i)
{
    uint64_t sp = v->s.gpr[GPR_RSP];
    for (unsigned reg = GPR_RAX; reg <= GPR_RDI; reg++) {
        sp -= i->opsize;
        mem_write(v, SEG_SS, sp & v->stack_mask, i->opsize, gpr_get(v, reg, i->opsize));
    }
    stack_set_pointer(v, sp);
}

/* DI first; SP is skipped.  A fault on the way leaves RSP, so the instruction starts over. */
static void exec_popa(InterpVcpu *v, const Insn *i)
{
    uint64_t sp = v->s.gpr[GPR_RSP];
    for (unsigned n = 0; n < 8; n++) {
        uint64_t x = mem_read(v, SEG_SS, (sp + n * i->opsize) & v->stack_mask, i->opsize);
        if (GPR_RDI - n != GPR_RSP)
            gpr_set(v, GPR_RDI - n, i->opsize, x);
    }
    stack_set_pointer(v, sp + 8 * i->opsize);
}

/* ENTER size, level: SDM 2.  The frame pointer is as wide as the operand, addresses as wide as the stack. */
static void exec_enter(InterpVcpu *v, const Insn *i)
{
    unsigned size = i->opsize, level = i->imm2 & 31;
    uint64_t sp = v->s.gpr[GPR_RSP] - size, bp = v->s.gpr[GPR_RBP];
    mem_write(v, SEG_SS, sp & v->stack_mask, size, bp & size_mask(size));
    uint64_t frame = sp & v->stack_mask;
    for (unsigned n = 1; n < level; n++) {
        bp -= size;
        sp -= size;
        mem_write(v, SEG_SS, sp & v->stack_mask, size, mem_read(v, SEG_SS, bp & v->stack_mask, size));
    }
    if (level) {
        sp -= size;
        mem_write(v, SEG_SS, sp & v->stack_mask, size, frame & size_mask(size));
    }
    sp -= i->imm & 0xffff;
    mem_probe_write(v, SEG_SS, sp & v->stack_mask, size);
    gpr_set(v, GPR_RBP, size, frame);
    stack_set_pointer(v, sp);
}

static void exec_leave(InterpVcpu *v, const Insn *i)
{
    uint64_t at = v->s.gpr[GPR_RBP] & v->stack_mask;
    uint64_t frame = mem_load(v, SEG_SS, at, i->opsize);
    stack_set_pointer(v, at + i->opsize);
    gpr_set(v, GPR_RBP, i->opsize, frame);
}

/* BOUND r, m: two signed limits; the upper one is read only if the lower one holds. */
static void exec_bound(InterpVcpu *v, const Insn *i)
{
    unsigned size = i->opsize;
    uint64_t at = effective_address(v, i);
    int64_t index = sign_extend(reg_read(v, &i->opnd[0], size), size);
    if (index < (int64_t)sign_extend(mem_read(v, i->seg, at, size), size))
        interp_raise(v, EXC_BR);
    if (index > (int64_t)sign_extend(mem_read(v, i->seg, (at + size) & size_mask(i->addrsize), size), size))
        interp_raise(v, EXC_BR);
}

const ExecEntry exec_control[] = {
    { OP_JCC, .select = select_jcc },
    { OP_JMP, .select = select_jmp },
    { OP_CALL, .select = select_call },
    { OP_RET, exec_ret },
    { OP_LOOP, exec_loop },
    { OP_LOOPE, exec_loope },
    { OP_LOOPNE, exec_loopne },
    { OP_JCXZ, exec_jcxz },
    { OP_PUSH, .select = select_push },
    { OP_POP, .select = select_pop },
    { OP_PUSHA, exec_pusha },
    { OP_POPA, exec_popa },
    { OP_ENTER, exec_enter },
    { OP_LEAVE, exec_leave },
    { OP_BOUND, exec_bound },
    { OP_INVALID },
};
