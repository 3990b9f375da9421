/*
 * system.c - system calls and returns between 64-bit code, segment bases, the time-stamp counter, control registers read.
 * What is out of the ordinary is the interpreter's: each condition is tested before anything changes.
 */
#include "accel/dbt/translate.h"

enum { RCX = 1, RDX = 2 };

static uint32_t seg_off(unsigned seg, uint32_t member) { return GS_OFF(i.s.seg) + seg * sizeof(Segment) + member; }
static uint32_t base_off(unsigned seg) { return GS_OFF(i.base) + 8 * seg; }
static uint32_t seg_base_off(unsigned seg) { return seg_off(seg, offsetof(Segment, base)); }

/* ---- SYSCALL and SYSRET */

/* Selector in SCRATCH_T; base 0, limit 4 GiB. */
static void load_flat(Translator *t, unsigned seg, uint32_t attr)
{
    e_store16_gs(&t->e, SCRATCH_T, seg_off(seg, offsetof(Segment, selector)));
    e_gs_imm32(&t->e, 0xc7, false, 0, seg_off(seg, offsetof(Segment, attr)), attr);
    e_gs_imm32(&t->e, 0xc7, false, 0, seg_off(seg, offsetof(Segment, limit)), 0xffffffff);
    e_gs_imm32(&t->e, 0xc7, true, 0, seg_base_off(seg), 0);
}

/* CS and SS from 16 bits of STAR, `first_cs` and `first_ss` further. */
static void load_cs_ss(Translator *t, uint32_t star_off, unsigned first_cs, unsigned first_ss, unsigned cpl)
{
    enum { TYPE_CODE_READ = 0xb, TYPE_DATA_WRITE = 3, ADD = 0, AND = 4, OR = 1 };
    uint32_t common = SEG_ATTR_S | cpl << SEG_ATTR_DPL_SHIFT | SEG_ATTR_P | SEG_ATTR_G;
    const struct { unsigned seg, add; uint32_t attr; } rows[] = {
        { SEG_CS, first_cs, common | TYPE_CODE_READ | SEG_ATTR_L },
        { SEG_SS, first_ss, common | TYPE_DATA_WRITE | SEG_ATTR_DB },
    };
    for (unsigned n = 0; n < G_N_ELEMENTS(rows); n++) {
        e_movzx16_gs(&t->e, SCRATCH_T, star_off);
        e_alu_imm(&t->e, false, ADD, SCRATCH_T, rows[n].add);
        e_alu_imm(&t->e, false, AND, SCRATCH_T, 0xfffc);
        e_alu_imm(&t->e, false, OR, SCRATCH_T, cpl);
        load_flat(t, rows[n].seg, rows[n].attr);
    }
    e_gs_imm8(&t->e, 0xc6, 0, GS_OFF(i.cpl), (uint8_t)cpl);
}

static void leave_unless_enabled(Translator *t)
{
    e_gs_imm8(&t->e, 0xf6, 0, GS_OFF(i.s.efer), EFER_SCE);
    tr_leave_if(t, CC_E);
}

bool tr_emit_syscall(Translator *t, const Insn *i)
{
    if (!wide(t) || mode_who(t->mode) != MEM_USER)
        return false;
    Emit *e = &t->e;
    uint32_t mode = dbt_mode_for(t->mode, MEM_IMPLICIT);
    tr_flags_to_memory(t);
    leave_unless_enabled(t);
    tr_enter_mode(t, mode);
    tr_emit_flags_image(t);
    e_load32_gs(e, SCRATCH_U, GS_OFF(i.s.sfmask));
    e_not(e, false, SCRATCH_U);
    e_alu(e, 0x21, false, SCRATCH_U, SCRATCH_T);
    e_test_imm(e, SCRATCH_U, RFLAGS_TF | RFLAGS_AC);
    tr_leave_if(t, CC_NE);
    e_store_gs(e, SCRATCH_T, GS_GPR(SCRATCH_U)); /* R11 */
    tr_emit_rip(t, RCX, t->rip + i->length);
    e_alu_imm(e, false, 1, SCRATCH_U, RFLAGS_ONE);
    e_store_gs(e, SCRATCH_U, GS_OFF(i.s.rflags));
    tr_take_status(t);
    load_cs_ss(t, GS_OFF(i.s.star) + 4, 0, 8, 0);
    tr_store_mode(t, mode);
    tr_flags_from_memory(t);
    e_load_gs(e, SCRATCH_U, GS_OFF(i.s.lstar));
    tr_emit_indirect(t);
    return true;
}

/* To 64-bit code.  IF may be set: who holds an interrupt back is polled at the target. */
bool tr_emit_sysret(Translator *t, const Insn *i)
{
    if (!wide(t) || i->opsize != 8 || mode_who(t->mode) != MEM_IMPLICIT)
        return false;
    enum { TAKEN = 0x3c7fd7, SHORT_E = 4 };
    Emit *e = &t->e;
    uint32_t mode = dbt_mode_for(t->mode, MEM_USER);
    leave_unless_enabled(t);
    tr_enter_mode(t, mode);
    e_mov(e, SCRATCH_T, RCX);
    e_shift(e, true, 4, SCRATCH_T, 16);
    e_shift(e, true, 7, SCRATCH_T, 16);
    e_alu(e, 0x39, true, SCRATCH_T, RCX);
    tr_leave_if(t, CC_NE); /* #GP, or LA57 */
    e_load32_gs(e, SCRATCH_U, GS_GPR(SCRATCH_U));
    e_test_imm(e, SCRATCH_U, RFLAGS_TF | RFLAGS_AC);
    tr_leave_if(t, CC_NE);
    e_alu_imm(e, false, 4, SCRATCH_U, TAKEN);
    e_alu_imm(e, false, 1, SCRATCH_U, RFLAGS_ONE);
    e_store_gs(e, SCRATCH_U, GS_OFF(i.s.rflags));
    tr_take_status(t);
    load_cs_ss(t, GS_OFF(i.s.star) + 6, 16, 8, 3);
    tr_store_mode(t, mode);
    e_gs_imm32(e, 0x81, false, 7, GS_OFF(i.vcpu.request), 0);
    uint8_t *none = e_skip(e, SHORT_E);
    e_gs_imm8(e, 0xc6, 0, GS_OFF(poll), 1);
    e_land(e, none);
    tr_flags_from_memory(t);
    e_mov(e, SCRATCH_U, RCX);
    tr_emit_indirect(t);
    return true;
}

/* ---- segment bases */

bool tr_emit_swapgs(Translator *t, const Insn *i)
{
    (void)i;
    e_load_gs(&t->e, SCRATCH_T, GS_OFF(i.s.kernel_gs_base));
    e_load_gs(&t->e, SCRATCH_U, seg_base_off(SEG_GS));
    e_store_gs(&t->e, SCRATCH_T, seg_base_off(SEG_GS));
    e_store_gs(&t->e, SCRATCH_T, base_off(SEG_GS));
    e_store_gs(&t->e, SCRATCH_U, GS_OFF(i.s.kernel_gs_base));
    return true;
}

static bool names_fs(const Insn *i) { return i->op == OP_RDFSBASE || i->op == OP_WRFSBASE; }

bool tr_emit_read_base(Translator *t, const Insn *i)
{
    if (!(t->mode & MODE_FSGSBASE))
        return false;
    e_load_gs(&t->e, SCRATCH_U, seg_base_off(names_fs(i) ? SEG_FS : SEG_GS));
    if (i->opsize != 8)
        e_mov32(&t->e, SCRATCH_U, SCRATCH_U);
    tr_store_gpr(t, i->opnd[0].reg, SCRATCH_U);
    return true;
}

bool tr_emit_write_base(Translator *t, const Insn *i)
{
    if (!(t->mode & MODE_FSGSBASE))
        return false;
    unsigned seg = names_fs(i) ? SEG_FS : SEG_GS;
    tr_flags_to_memory(t);
    tr_load_gpr(t, SCRATCH_U, i->opnd[0].reg);
    if (i->opsize != 8) {
        e_mov32(&t->e, SCRATCH_U, SCRATCH_U);
    } else {
        e_mov(&t->e, SCRATCH_T, SCRATCH_U);
        e_shift(&t->e, true, 4, SCRATCH_T, 16);
        e_shift(&t->e, true, 7, SCRATCH_T, 16);
        e_alu(&t->e, 0x39, true, SCRATCH_T, SCRATCH_U);
        tr_leave_if(t, CC_NE); /* #GP, or LA57 */
    }
    e_store_gs(&t->e, SCRATCH_U, seg_base_off(seg));
    e_store_gs(&t->e, SCRATCH_U, base_off(seg));
    tr_flags_from_memory(t);
    return true;
}

/* ---- the time-stamp counter: the host's, where the machine's runs at the same rate.  No flag is touched. */
bool tr_emit_rdtsc(Translator *t, const Insn *i)
{
    const Tsc *tsc = &t->v->i.vcpu.machine->tsc;
    bool forbidden = t->mode & MODE_TSD && !(t->mode & MODE_CPL0);
    if (forbidden || t->mode & MODE_SINGLE || !tsc->host_khz || tsc->ratio)
        return false;
    Emit *e = &t->e;
    e1(e, 0x0f), e1(e, 0x31);
    e_rorx(e, RDX, RDX, 32);
    e_lea(e, true, RAX, RAX, RDX, 0, 0);
    e_mov_imm(e, SCRATCH_T, (uintptr_t)&tsc->base);
    e_op_mem(e, 0x8b, true, SCRATCH_T, SCRATCH_T, 0xff, 0, 0);
    e_lea(e, true, RAX, RAX, SCRATCH_T, 0, 0);
    e_load_gs(e, SCRATCH_T, GS_OFF(i.s.tsc_offset));
    e_lea(e, true, RAX, RAX, SCRATCH_T, 0, 0);
    e_rorx(e, RDX, RAX, 32);
    e_mov32(e, RDX, RDX);
    e_mov32(e, RAX, RAX);
    if (i->op == OP_RDTSCP)
        e_load32_gs(e, RCX, GS_OFF(i.s.tsc_aux));
    return true;
}

bool tr_emit_rdpid(Translator *t, const Insn *i)
{
    (wide(t) ? e_load_gs : e_load32_gs)(&t->e, SCRATCH_U, GS_OFF(i.s.tsc_aux));
    tr_store_gpr(t, i->opnd[0].reg, SCRATCH_U);
    return true;
}

/* What others have asked for, such as to forget code that they changed, is done before the next instruction. */
bool tr_emit_serialize(Translator *t, const Insn *i)
{
    (void)i;
    tr_flags_to_memory(t);
    tr_leave_if_requested(t);
    tr_flags_from_memory(t);
    return true;
}

/* ---- PAUSE: a vCPU that waits for others lets them run */
bool tr_emit_pause(Translator *t, const Insn *i)
{
    (void)i;
    enum { SHORT_NS = 9 };
    e1(&t->e, 0xf3), e1(&t->e, 0x90);
    if (t->v->i.vcpu.machine->config.cpus < 2)
        return true;
    tr_flags_to_memory(t);
    bool in_memory = t->flags_in_memory;
    e_gs_imm32(&t->e, 0x81, false, 5, GS_OFF(pauses_left), 1);
    uint8_t *some = e_skip(&t->e, SHORT_NS);
    tr_emit_helper(t, dbt_pause);
    e_land(&t->e, some);
    t->flags_in_memory = in_memory; /* both ways: the exit leaves them there */
    tr_flags_from_memory(t);
    return true;
}

/* ---- control registers: reading, and CR2 */
bool tr_emit_mov_cr(Translator *t, const Insn *i)
{
    static const uint32_t off[] = { [0] = GS_OFF(i.s.cr0), [2] = GS_OFF(i.s.cr2), [3] = GS_OFF(i.s.cr3), [4] = GS_OFF(i.s.cr4), [8] = 0 };
    bool writes = i->opnd[0].cls == RC_CR;
    const Operand *cr = &i->opnd[!writes], *reg = &i->opnd[writes];
    if (cr->reg >= G_N_ELEMENTS(off) || !off[cr->reg] || (writes && cr->reg != 2))
        return false;
    if (writes) {
        tr_load_gpr(t, SCRATCH_U, reg->reg);
        if (!wide(t))
            e_mov32(&t->e, SCRATCH_U, SCRATCH_U);
        e_store_gs(&t->e, SCRATCH_U, off[2]);
    } else {
        (wide(t) ? e_load_gs : e_load32_gs)(&t->e, SCRATCH_U, off[cr->reg]);
        tr_store_gpr(t, reg->reg, SCRATCH_U);
    }
    return true;
}
