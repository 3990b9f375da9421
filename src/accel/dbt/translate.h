#pragma once
#include "accel/dbt/dbt.h"
#include "accel/dbt/emit.h"
#include "accel/dbt/mem.h"
/*
 * translate.h - between the files that write host code: translate.c (blocks), pass.c, simple.c, stack.c, control.c (an
 * emitter an instruction), address.c, mem_*.c (memory operands), exits.c.
 *
 * An emitter returns false, having written nothing, for forms that it leaves to the interpreter.
 */
enum { BLOCK_INSNS = 32, MOST_SITES = 5 * BLOCK_INSNS + 8, MOST_FAULTS = 5 * BLOCK_INSNS, RAX = 0, RSP = 4 };

/* Code that is reached seldom stands behind the block. */
typedef struct ColdSite {
    uint8_t *jump;    /* its displacement */
    DbtExit *exit;
    int8_t to_ea;     /* what to add to SCRATCH_U to get the address */
    bool restore_ea;  /* SCRATCH_U is EA minus a tag: add it again */
    bool indirect;    /* not an exit: go on at exit->rip through the jump table */
    uint32_t tags;    /* GS offset of the table */
    const uint8_t *back; /* mem_flat.c: an access that is not aligned; where to go on if it does not cross its page */
    unsigned size;    /* its */
    const Insn *alone;   /* group.c: executed by itself if the group crosses a page; in the page from `back` on, of `size` bytes */
    uint64_t rip;        /* its */
    bool flags_in_memory; /* in front of it */
} ColdSite;

/* alignment.c: the linear address that was computed last, and the low bits of registers. */
typedef enum AddressKind { ADDRESS_UNKNOWN, ADDRESS_BASE /* a register and a displacement */, ADDRESS_FIXED } AddressKind;
typedef struct KnownAddress {
    uint8_t kind, base;
    uint16_t low; /* 12 bits: of the displacement, or of the address */
} KnownAddress;
typedef struct LowBits {
    uint8_t bits, value; /* the register is `value` modulo 1 << bits */
} LowBits;

/* group.c: accesses that one look-up serves.  Displacements count from the base as it was at the first of them. */
typedef struct Group {
    bool on;           /* SCRATCH_U holds the address of the last byte, SCRATCH_T its page's addend */
    bool writes, ends; /* ends: with the current instruction */
    uint8_t base;
    int64_t low, high; /* of the first byte, and behind the last */
    int64_t offset;    /* what has been added to the base since */
} Group;
typedef enum GroupUse { GROUP_NONE, GROUP_LEADS, GROUP_FOLLOWS } GroupUse;

typedef struct Translator { /* dbt_translator_create() */
    DbtVcpu *v;
    DbtBlock *b;
    Emit e;
    uint32_t mode;
    CodeSize size;
    uint64_t rip;        /* of the current instruction; in relative blocks counted from the page's start */
    bool relative;
    uint32_t live;       /* status flags that it or a later one may read */
    bool flags_in_memory; /* host flags are spoilt; the guest's stand in flags_tmp */
    bool flags_may_stay;  /* there, behind the current instruction: it has nothing to do with them */
    unsigned n;
    const Insn *now, *kept; /* the current instruction; its copy in the arena, NULL if none was needed yet */
    unsigned n_sites;
    unsigned n_faults;
    uint8_t *start;      /* of the block's code */
    uint16_t slots_loaded; /* guest R10 and R11 that stand in their host registers too (bit a number) */
    uint16_t slots_kept;   /* by the current instruction */
    Group group;
    uint8_t group_use;     /* GroupUse of the current instruction */
    int8_t group_disp;     /* of its access, from SCRATCH_U */
    int32_t disp;          /* the access is at [SCRATCH_T + SCRATCH_U + disp] */
    KnownAddress address;
    LowBits low_bits[16];
    /* Written before they are read: what stands in front of them begins as 0, these as whatever the block before has left. */
    uint32_t live_before[BLOCK_INSNS + 1];
    Insn insn[BLOCK_INSNS];
    ColdSite site[MOST_SITES];
    FaultSite fault[MOST_FAULTS];
} Translator;

static inline bool wide(const Translator *t) { return t->size == CODE64; }
static inline uint64_t cut_rip(const Translator *t, uint64_t rip) { return wide(t) ? rip : (uint32_t)rip; }
static inline const uint8_t *page_end(const uint8_t *p) { return (const uint8_t *)(((uintptr_t)p | 0xfff) + 1); }
enum { SLOTS = 1 << SCRATCH_T | 1 << SCRATCH_U };
static inline bool is_slot(unsigned reg) { return reg == SCRATCH_T || reg == SCRATCH_U; }
static inline bool natural_size(const Translator *t, const Insn *i) { return i->opsize == (wide(t) ? 8 : 4); }

/* ---- translate.c */
bool tr_is_hint(const Insn *i);
bool tr_has_emitter(const Insn *i); /* of its own */
void tr_emit_alone(Translator *t, const ColdSite *s); /* its instruction, and a jump to what follows */

/* ---- exits.c */
DbtExit *tr_new_exit(Translator *t, ExitKind kind, uint64_t rip);
ColdSite *tr_add_site(Translator *t, uint8_t *jump, DbtExit *exit);
void tr_emit_exit(Translator *t, const DbtExit *x);
const void *tr_here(const Translator *t); /* where the next byte will be executed */
/* The current instruction is executed by fn, NULL: by the interpreter's handler; then the block goes on behind it.
 *
 * fn finds all of the guest in CpuState: general registers, flags, s.rip of this instruction, next_rip of the next; it may
 * change any of it, raise a fault (interp_raise), change the mode (interp_mode_changed) or ask for attention.  Only if the
 * next instruction is to run in the same mode, at next_rip as it was, does the block go on; else the next block is looked up.
 * What changes the mapping of the code itself must end the block (ends_block() in translate.c).  Costs about 20 ns. */
void tr_emit_helper(Translator *t, ExecFn *fn);
void tr_emit_indirect(Translator *t); /* to the guest RIP in SCRATCH_U */
/* A jump whose displacement stands at `jump`, to a guest RIP known now. */
void tr_jump_to(Translator *t, uint8_t *jump, uint64_t rip);
void tr_emit_jump(Translator *t, uint64_t rip);
void tr_emit_cold(Translator *t, const ColdSite *s);

/* ---- address.c */
void tr_flags_to_memory(Translator *t);   /* before flags are spoilt, if somebody needs them.  Spoils SCRATCH_T */
void tr_flags_from_memory(Translator *t); /* leaves the scratch registers alone */
void tr_flags_settle(Translator *t);      /* the same behind an access, unless they may as well wait for the next one */
bool tr_addressable(const Translator *t, const Insn *i); /* can translated code address this operand? */
void tr_emit_address(Translator *t, const Insn *i); /* linear address to SCRATCH_U.  Spoils SCRATCH_T; keeps flags */
/* The same without the segment's base, to a register of the host; only the low bytes of it. */
void tr_emit_address_to(Translator *t, const Insn *i, unsigned to, unsigned bytes);
/* Both, with the guest's flags put aside if somebody needs them. */
void tr_emit_access(Translator *t, const Insn *i, unsigned size, unsigned access, unsigned align);
void tr_load_gpr(Translator *t, unsigned to, unsigned reg);
void tr_store_gpr(Translator *t, unsigned reg, unsigned from);
void tr_store_gpr16(Translator *t, unsigned reg); /* from SCRATCH_U; the rest of the register stays */

/* ---- alignment.c */
void tr_address_base(Translator *t, unsigned reg, int64_t disp); /* SCRATCH_U is this, until tr_emit_translate() */
void tr_address_fixed(Translator *t, uint64_t address);
bool tr_address_stays_in_page(const Translator *t, unsigned size); /* known already */
void tr_address_is_aligned(Translator *t, unsigned size); /* it has been checked */
void tr_alignment_after(Translator *t, const Insn *i);
bool tr_may_write_gpr(const Insn *i, unsigned reg); /* but for what PUSH and POP do to RSP */

/* ---- group.c: around each instruction, and where it accesses memory at what it named: true if that is settled */
void tr_group_before(Translator *t, unsigned n);
void tr_group_after(Translator *t, const Insn *i);
bool tr_group_access(Translator *t, unsigned size, unsigned access, unsigned align);

/* ---- mem.c: the back ends behind one interface
 *
 *     tr_prepare_access(t, size, align);      flags to memory, if the back end spoils them for such an access
 *     ... linear address to SCRATCH_U ...
 *     tr_emit_translate(t, size, access, align);
 *     tr_flags_settle(t);
 *     ... the instruction, with [SCRATCH_T + SCRATCH_U] ...
 *
 * `align`: misaligned accesses are the guest's #GP, which the host's instruction raises as well; 1: none.
 *
 * The first access to [SCRATCH_T + SCRATCH_U] may fault and then starts over at tr_emit_translate, or the instruction in C.
 * So up to it no guest register may change, SCRATCH_U must stay, and a register that holds something else must be one of
 * tr_borrow(). */
void tr_prepare_access(Translator *t, unsigned size, unsigned align); /* before the address; spoils SCRATCH_T */
void tr_emit_translate(Translator *t, unsigned size, unsigned access, unsigned align);
/* For back ends whose accesses fault: one begins here. */
FaultSite *tr_add_fault_site(Translator *t, unsigned size, unsigned access);
/* The instruction may raise #XM.  Guest flags are the host's. */
void tr_note_simd_fp(Translator *t, const Insn *i);
/* A host register's guest value has gone to borrow[n]. */
void tr_note_held(Translator *t, unsigned n, unsigned host);
/* From here on the whole instruction starts over. */
void tr_note_starts_over(Translator *t);
/* SCRATCH_U changes now: the address was that of tr_emit_push_access(). */
void tr_note_push(Translator *t);
void mem_tag_translate(Translator *t, unsigned size, unsigned access, unsigned align);
bool mem_flat_keeps_flags(const Translator *t, unsigned size, unsigned align);
void mem_flat_translate(Translator *t, unsigned size, unsigned access, unsigned align);
bool mem_may_group(const Translator *t);
void mem_flat_lead(Translator *t, unsigned size, unsigned access, unsigned align);
void mem_flat_cold(Translator *t, const ColdSite *s);

/* ---- pass.c */
/* One field that may name a slot, in the form with a memory operand: at most two are needed. */
typedef struct Borrowed {
    unsigned host, slot;
    bool written;
    uint32_t save;
} Borrowed;
Borrowed tr_borrow(Translator *t, const GprFields *f, unsigned slot, uint8_t access, unsigned taken);
Borrowed tr_borrow_for(Translator *t, const GprFields *f, uint32_t off); /* a register, with the value at gs:[off] */
void tr_give_back(Translator *t, const Borrowed *b);
bool tr_passes(const Translator *t, const Insn *i);
const Operand *tr_memory_operand(const Insn *i);
void tr_emit_pass(Translator *t, const Insn *i);

/* ---- rflags.c */
void tr_leave_if(Translator *t, unsigned cc);  /* the current instruction is the interpreter's then */
void tr_leave_if_requested(Translator *t);     /* spoils the flags */
void tr_emit_flags_image(Translator *t);
void tr_take_status(Translator *t);
/* Around a change of `who`: leaves unless the jump table of the new one is this mode's; and the change itself. */
void tr_enter_mode(Translator *t, uint32_t mode);
void tr_store_mode(Translator *t, uint32_t mode);

/* ---- stack.c */
int tr_stack_bytes(const Translator *t);
void tr_emit_push_access(Translator *t, int bytes);      /* host address of the new top, for writing; RSP stays */
void tr_emit_load_top(Translator *t, unsigned bytes);    /* the top of the stack to SCRATCH_U */
/* Behind an access: memory to SCRATCH_U, zero-extended; a register to memory; gs:[off] to memory. */
void tr_load_value(Translator *t, unsigned bytes);
void tr_store_value(Translator *t, unsigned reg, unsigned bytes);
void tr_store_kept(Translator *t, uint32_t off, unsigned bytes);
void tr_emit_move_stack(Translator *t, int32_t bytes);
void tr_emit_rip(Translator *t, unsigned reg, uint64_t rip); /* a RIP that t->rip was the base of; keeps flags */
void tr_store_top_rip(Translator *t, uint64_t rip, unsigned bytes);
void tr_store_top_imm(Translator *t, uint64_t imm, unsigned bytes);

/* ---- emitters */
bool tr_emit_lea(Translator *t, const Insn *i);
bool tr_emit_inc_dec(Translator *t, const Insn *i);
bool tr_emit_mov_from_segment(Translator *t, const Insn *i);
bool tr_emit_cli(Translator *t, const Insn *i);
bool tr_emit_sti(Translator *t, const Insn *i);
bool tr_emit_popf(Translator *t, const Insn *i);
bool tr_emit_direction(Translator *t, const Insn *i);
bool tr_emit_stac(Translator *t, const Insn *i);
bool tr_emit_syscall(Translator *t, const Insn *i);
bool tr_emit_sysret(Translator *t, const Insn *i);
bool tr_emit_swapgs(Translator *t, const Insn *i);
bool tr_emit_read_base(Translator *t, const Insn *i);
bool tr_emit_write_base(Translator *t, const Insn *i);
bool tr_emit_rdtsc(Translator *t, const Insn *i);
bool tr_emit_pause(Translator *t, const Insn *i);
bool tr_emit_moffs(Translator *t, const Insn *i);
bool tr_emit_load_mxcsr(Translator *t, const Insn *i);
bool tr_emit_store_mxcsr(Translator *t, const Insn *i);
bool tr_emit_fldcw(Translator *t, const Insn *i);
bool tr_emit_x87_plain(Translator *t, const Insn *i);
bool tr_emit_rdpid(Translator *t, const Insn *i);
bool tr_emit_serialize(Translator *t, const Insn *i);
bool tr_emit_mov_cr(Translator *t, const Insn *i);
bool tr_emit_bit_string(Translator *t, const Insn *i);
bool tr_emit_movs(Translator *t, const Insn *i);
bool tr_emit_stos(Translator *t, const Insn *i);
bool tr_emit_lods(Translator *t, const Insn *i);
bool tr_emit_scas(Translator *t, const Insn *i);
bool tr_emit_cmps(Translator *t, const Insn *i);
bool tr_emit_push(Translator *t, const Insn *i);
bool tr_emit_pushf(Translator *t, const Insn *i);
bool tr_emit_div(Translator *t, const Insn *i);
bool tr_emit_pause(Translator *t, const Insn *i);
bool tr_emit_pop(Translator *t, const Insn *i);
bool tr_emit_leave(Translator *t, const Insn *i);
bool tr_emit_jmp(Translator *t, const Insn *i);
bool tr_emit_call(Translator *t, const Insn *i);
bool tr_emit_ret(Translator *t, const Insn *i);
bool tr_emit_jcc(Translator *t, const Insn *i);
bool tr_emit_loop(Translator *t, const Insn *i);
