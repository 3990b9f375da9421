/*
 * translate.c - a block of guest instructions to host code.
 *
 * Instructions whose row says `pass` are written again for the host (encode.c) with guest R10 and R11 taken from memory
 * and the memory operand replaced by [SCRATCH_T + SCRATCH_U], which the address translation in front leaves there.
 * What else has an emitter stands in own[]; the rest is left to the interpreter.
 *
 * No guest register changes before the last access of an instruction that can miss, so every exit can start the
 * instruction over.
 */
#include "accel/dbt/translate.h"

#include "accel/interp/mem_inline.h"

enum { MOST_CODE = 16384 };

bool tr_is_hint(const Insn *i)
{
    switch (i->op) {
    case OP_NOP: case OP_PREFETCHNTA: case OP_PREFETCHT0: case OP_PREFETCHT1: case OP_PREFETCHT2: case OP_PREFETCHW:
    case OP_PREFETCH:
        return true;
    default:
        return false;
    }
}

typedef struct Emitter {
    bool (*emit)(Translator *t, const Insn *i);
    enum { GOES_ON, ENDS, STAYS /* goes on although the row says that it ends a block */ } then;
} Emitter;

static const Emitter own[OP_COUNT] = {
    [OP_LEA] = { tr_emit_lea }, [OP_MOV_SEG] = { tr_emit_mov_from_segment }, [OP_PUSH] = { tr_emit_push },
    [OP_POP] = { tr_emit_pop }, [OP_LEAVE] = { tr_emit_leave }, [OP_PUSHF] = { tr_emit_pushf },
    [OP_POPF] = { tr_emit_popf, STAYS }, [OP_CLI] = { tr_emit_cli }, [OP_STI] = { tr_emit_sti, STAYS },
    [OP_CLD] = { tr_emit_direction }, [OP_STD] = { tr_emit_direction }, [OP_STAC] = { tr_emit_stac, STAYS },
    [OP_CLAC] = { tr_emit_stac, STAYS }, [OP_MOVS] = { tr_emit_movs }, [OP_STOS] = { tr_emit_stos },
    [OP_LODS] = { tr_emit_lods }, [OP_SCAS] = { tr_emit_scas }, [OP_CMPS] = { tr_emit_cmps },
    [OP_JMP] = { tr_emit_jmp, ENDS }, [OP_CALL] = { tr_emit_call, ENDS }, [OP_RET] = { tr_emit_ret, ENDS },
    [OP_JCC] = { tr_emit_jcc, STAYS }, [OP_LOOP] = { tr_emit_loop, ENDS }, [OP_LOOPE] = { tr_emit_loop, ENDS },
    [OP_LOOPNE] = { tr_emit_loop, ENDS }, [OP_JCXZ] = { tr_emit_loop, ENDS }, [OP_SYSCALL] = { tr_emit_syscall, ENDS },
    [OP_SYSRET] = { tr_emit_sysret, ENDS }, [OP_SWAPGS] = { tr_emit_swapgs, STAYS }, [OP_RDFSBASE] = { tr_emit_read_base },
    [OP_RDGSBASE] = { tr_emit_read_base }, [OP_WRFSBASE] = { tr_emit_write_base }, [OP_WRGSBASE] = { tr_emit_write_base },
    [OP_RDTSC] = { tr_emit_rdtsc }, [OP_RDTSCP] = { tr_emit_rdtsc }, [OP_RDPID] = { tr_emit_rdpid },
    [OP_SERIALIZE] = { tr_emit_serialize },
    [OP_PAUSE] = { tr_emit_pause }, [OP_MOV_CR] = { tr_emit_mov_cr }, [OP_DIV] = { tr_emit_div }, [OP_IDIV] = { tr_emit_div },
    [OP_LDMXCSR] = { tr_emit_load_mxcsr }, [OP_VLDMXCSR] = { tr_emit_load_mxcsr }, [OP_STMXCSR] = { tr_emit_store_mxcsr },
    [OP_VSTMXCSR] = { tr_emit_store_mxcsr }, [OP_FLDCW] = { tr_emit_fldcw }, [OP_FWAIT] = { tr_emit_x87_plain },
    [OP_FNCLEX] = { tr_emit_x87_plain }, [OP_FNINIT] = { tr_emit_x87_plain },
};

static const Emitter *emitter(const Insn *i) { return own[i->op].emit ? &own[i->op] : NULL; }
bool tr_has_emitter(const Insn *i) { return emitter(i); }

/* What the interpreter's dispatcher checks of any instruction. */
static bool may_execute(const Translator *t, const Insn *i)
{
    const InsnRow *row = insn_row(i);
    bool offered = row->feature == FEAT_ALWAYS || cpu_has(interp_model(&t->v->i), row->feature);
    return offered && (row->cpl == 3 || t->mode & MODE_CPL0);
}

/* ---- blocks */

static bool is_bit_string(const Insn *i)
{
    return i->has_mem && (i->op == OP_BT || i->op == OP_BTS || i->op == OP_BTR || i->op == OP_BTC) && i->opnd[1].kind == OPND_REG;
}

static bool is_moffs(const Insn *i) { return i->op == OP_MOV && !i->map && i->opcode >= 0xa0 && i->opcode <= 0xa3; }

typedef enum Progress { NEXT, ENDED, INTERPRETED } Progress;

static Progress emit_insn(Translator *t, const Insn *i)
{
    if (tr_is_hint(i))
        return NEXT;
    if (i->code_size != CODE64 && !i->map && (i->opcode & 0xf0) == 0x40 && !(i->prefixes & PFX_VEX))
        return tr_emit_inc_dec(t, i) ? NEXT : INTERPRETED;
    if (is_bit_string(i))
        return tr_emit_bit_string(t, i) ? NEXT : INTERPRETED;
    if (is_moffs(i))
        return tr_emit_moffs(t, i) ? NEXT : INTERPRETED;
    const Emitter *own_way = emitter(i);
    if (own_way)
        return !may_execute(t, i) || !own_way->emit(t, i) ? INTERPRETED : own_way->then == ENDS ? ENDED : NEXT;
    if (!tr_passes(t, i))
        return INTERPRETED;
    tr_emit_pass(t, i);
    return NEXT;
}

static bool ends_block(const Insn *i)
{
    const Emitter *own_way = emitter(i);
    return insn_row(i)->attrs & (ROW_BRANCH | ROW_SYSTEM | ROW_IO) && !(own_way && own_way->then == STAYS);
}

/* The bytes are copied before they are decoded: another vCPU may write them. */
static void decode_crossing(Translator *t, const TlbEntry *page, const TlbEntry *second)
{
    const uint8_t *at = t->b->host;
    uint8_t bytes[INSN_MAX_BYTES];
    size_t n = (size_t)(page_end(at) - at), rest = sizeof(bytes) - n;
    if (!code_claim(&t->v->i, page->ram, (uint64_t)(at - page->ram->host), n) ||
        !code_claim(&t->v->i, second->ram, (uint64_t)(second->host - second->ram->host), rest))
        return;
    memcpy(bytes, at, n);
    memcpy(bytes + n, second->host, rest);
    if (insn_decode(bytes, sizeof(bytes), t->size, &t->insn[0]) != DECODE_OK || t->insn[0].length <= n)
        return;
    t->b->second = second->host;
    t->b->bytes = t->insn[0].length;
    t->b->n_insns = t->n = 1;
}

static void decode(Translator *t, const TlbEntry *page)
{
    const uint8_t *at = t->b->host, *end = page_end(at);
    unsigned most = t->mode & MODE_SINGLE ? 1 : BLOCK_INSNS;
    while (t->n < most && at < end) {
        uint8_t bytes[INSN_MAX_BYTES];
        size_t n = MIN((size_t)(end - at), sizeof(bytes));
        Insn *i = &t->insn[t->n];
        if (!code_claim(&t->v->i, page->ram, (uint64_t)(at - page->ram->host), n))
            break;
        memcpy(bytes, at, n);
        if (insn_decode(bytes, n, t->size, i) != DECODE_OK)
            break;
        t->n++;
        at += i->length;
        if (ends_block(i))
            break;
    }
    t->b->bytes = at - t->b->host;
    t->b->n_insns = t->n;
}

/* What stands there belongs to the block from now on: if it changes, others may be dead. */
static uint32_t flags_read_from(Translator *t, const TlbEntry *page, const uint8_t *at)
{
    size_t claimed = 0, seen;
    for (;;) {
        uint32_t read = dbt_flags_read_from(at, page_end(t->b->host), t->size, &seen);
        if (seen <= claimed)
            return read;
        if (!code_claim(&t->v->i, page->ram, (uint64_t)(at - page->ram->host), seen))
            return RFLAGS_STATUS;
        claimed = seen;
        t->b->looked_at |= dbt_granules(at, seen);
    }
}

/* Where i, which ends at `after`, jumps to. */
static uint32_t flags_read_at_target(Translator *t, const TlbEntry *page, const Insn *i, const uint8_t *after)
{
    const uint8_t *to = after + (int64_t)i->imm;
    bool same_page = ((uintptr_t)to & ~0xfffull) == ((uintptr_t)t->b->host & ~0xfffull);
    return same_page && i->opnd[0].kind == OPND_REL ? flags_read_from(t, page, to) : RFLAGS_STATUS;
}

static uint32_t flags_read_behind(Translator *t, const TlbEntry *page, const Insn *last, const uint8_t *after)
{
    if (!ends_block(last))
        return flags_read_from(t, page, after);
    return last->op == OP_JMP || last->op == OP_CALL ? flags_read_at_target(t, page, last, after) : RFLAGS_STATUS;
}

static void find_live_flags(Translator *t, const TlbEntry *page)
{
    const uint8_t *after = t->b->host + t->b->bytes;
    uint32_t live = t->live_before[t->n] = flags_read_behind(t, page, &t->insn[t->n - 1], after);
    for (unsigned n = t->n; n-- > 0;) {
        const Insn *i = &t->insn[n];
        if (i->op == OP_JCC && live != RFLAGS_STATUS)
            live |= flags_read_at_target(t, page, i, after);
        live = t->mode & MODE_SINGLE ? RFLAGS_STATUS /* who steps sees all of them */ : dbt_flags_before(i, live);
        t->live_before[n] = live;
        after -= i->length;
    }
}

/* Leaves if `poll` is set.  Where flags are live, only by what leaves them alone. */
static void emit_poll(Translator *t)
{
    enum { RCX = 1 };
    DbtExit *x = tr_new_exit(t, EXIT_ATTENTION, t->b->rip);
    if (!t->live) {
        e_cmpb_gs(&t->e, GS_OFF(poll), 0);
        tr_add_site(t, e_jcc(&t->e, CC_NE), x);
        return;
    }
    e_mov(&t->e, SCRATCH_T, RCX);
    e_movzx8_gs(&t->e, RCX, GS_OFF(poll));
    uint8_t *none = e_jrcxz(&t->e);
    e_mov(&t->e, RCX, SCRATCH_T);
    tr_add_site(t, e_jmp(&t->e), x);
    e_land(&t->e, none);
    e_mov(&t->e, RCX, SCRATCH_T);
}

/* Compares the RIP in SCRATCH_U with the block's own.  If they differ, another block comes, for which the flags may be live
 * although they are dead here. */
/* Returns where code goes on that has compared it. */
static uint8_t *emit_rip_check(Translator *t)
{
    enum { RCX = 1 };
    uint64_t minus = -t->b->rip;
    e_mov(&t->e, SCRATCH_T, RCX); /* not XCHG, which would let the guest's RCX wait for the load */
    if (t->relative) {
        e_movzx16(&t->e, RCX, SCRATCH_U); /* index in the jump table */
        e_gs_indexed(&t->e, 0x8b, RCX, RCX, dbt_jumps_offset(mode_who(t->mode)) + offsetof(DbtJumps, minus_rip));
        e_lea(&t->e, true, RCX, RCX, SCRATCH_U, 0, 0);
    } else if ((int64_t)minus == (int32_t)minus) {
        e_lea(&t->e, true, RCX, SCRATCH_U, 0xff, 0, (int32_t)minus);
    } else {
        e_mov_imm(&t->e, RCX, minus);
        e_lea(&t->e, true, RCX, RCX, SCRATCH_U, 0, 0);
    }
    uint8_t *same = e_jrcxz(&t->e);
    e_mov(&t->e, RCX, SCRATCH_T);
    patch_rel32(e_jmp(&t->e), code_buffer_writable(dbt_code(t->v), dbt_glue_second(t->v->glue, mode_who(t->mode))));
    e_land(&t->e, same);
    e_mov(&t->e, RCX, SCRATCH_T);
    uint8_t *known = t->e.p;
    if (t->relative) {
        e_lea(&t->e, true, SCRATCH_T, SCRATCH_U, 0xff, 0, -(int32_t)t->b->rip);
        e_store_gs(&t->e, SCRATCH_T, GS_OFF(code_base));
    }
    return known;
}

/* The guest's flags, if something put them aside, may stay there as long as nobody reads or changes them: each access would save and
 * load them again. */
static bool minds_flags(const Translator *t, const Insn *i)
{
    const InsnRow *row = insn_row(i);
    if ((row->flags_read | row->flags_written | row->flags_undefined) & RFLAGS_STATUS)
        return true;
    if (emitter(i))
        return i->op != OP_LEA && i->op != OP_PUSH && i->op != OP_POP;
    return is_moffs(i) || !tr_passes(t, i);
}

/* They settle behind their accesses what has been put aside in front of them. */
static bool settles_flags(const Insn *i) { return i->op == OP_CALL || i->op == OP_RET; }

static void begin_insn(Translator *t, const Insn *i)
{
    t->now = i, t->kept = NULL;
    t->flags_may_stay = tr_is_hint(i) || !minds_flags(t, i);
    if (!t->flags_may_stay && !settles_flags(i))
        tr_flags_from_memory(t);
}

void tr_emit_alone(Translator *t, const ColdSite *s)
{
    memset(t->low_bits, 0, sizeof(t->low_bits));
    t->rip = s->rip;
    t->live = t->slots_loaded = 0;
    t->group_use = GROUP_NONE, t->disp = 0;
    t->flags_in_memory = s->flags_in_memory;
    begin_insn(t, s->alone);
    emit_insn(t, s->alone);
    tr_flags_from_memory(t);
    tr_emit_jump(t, cut_rip(t, s->rip + s->alone->length));
}

static void emit_body(Translator *t)
{
    Progress progress = NEXT;
    for (unsigned n = 0; n < t->n && progress == NEXT; n++) {
        const Insn *i = &t->insn[n];
        t->live = t->live_before[n];
        begin_insn(t, i);
        t->slots_kept = 0;
        tr_group_before(t, n);
        progress = emit_insn(t, i);
        t->slots_loaded = t->slots_kept;
        t->b->n_called += progress == INTERPRETED;
        if (progress == INTERPRETED && ends_block(i)) {
            tr_emit_exit(t, tr_new_exit(t, EXIT_INTERP, t->rip));
        } else if (progress == INTERPRETED) {
            tr_emit_helper(t, NULL);
            progress = NEXT;
        }
        tr_alignment_after(t, i);
        tr_group_after(t, i);
        t->rip = cut_rip(t, t->rip + i->length);
    }
    if (progress != NEXT)
        return;
    tr_flags_from_memory(t);
    tr_emit_jump(t, t->rip);
}

static void keep_faults(Translator *t)
{
    if (!t->n_faults)
        return;
    FaultSite *kept = dbt_arena_alloc(t->v, t->n_faults * sizeof(*kept));
    memcpy(kept, t->fault, t->n_faults * sizeof(*kept));
    t->b->faults = kept;
    t->b->n_faults = t->n_faults;
    dbt_faults_add(t->v, t->b);
}

static void list(Translator *t, const uint8_t *code, size_t n)
{
    Log *log = t->v->i.vcpu.machine->log;
    if (log_on(log, LOG_IN_ASM))
        dbt_list_guest(t->v, t->b->rip, t->insn, t->n);
    if (log_on(log, LOG_OUT_ASM))
        dbt_list_host(t->v, code, n);
    if (log_on(log, LOG_PERF))
        dbt_map_block(t->v, t->b->rip, code, n);
}

struct Translator *dbt_translator_create(void) { return g_new0(Translator, 1); }
void dbt_translator_destroy(struct Translator *t) { g_free(t); }

bool dbt_translate(DbtVcpu *v, DbtBlock *b, const TlbEntry *page, const TlbEntry *second)
{
    Translator *t = v->translator;
    CodeBuffer *code = dbt_code(v);
    memset(t, 0, offsetof(Translator, live_before));
    t->v = v, t->b = b, t->mode = b->mode, t->size = mode_code_size(b->mode), t->rip = b->rip;
    t->relative = mode_relative(b->mode);
    uint8_t *start = t->start = t->e.p = code_buffer_reserve(code, MOST_CODE);
    if (!start)
        return false;
    if (second)
        decode_crossing(t, page, second);
    else
        decode(t, page);
    if (!t->n)
        return true; /* the caller sees n_insns 0 */
    find_live_flags(t, page);
    t->live = t->live_before[0];
    uint8_t *known_entry = emit_rip_check(t);
    uint8_t *polled_entry = t->e.p;
    emit_poll(t);
    uint8_t *entry = t->e.p;
    emit_body(t);
    b->hot_bytes = (uint16_t)(t->e.p - entry);
    t->flags_in_memory = false;
    for (unsigned n = 0; n < t->n_sites; n++)
        tr_emit_cold(t, &t->site[n]);
    b->code_bytes = t->e.p - start;
    const uint8_t *executable = code_buffer_commit(code, b->code_bytes);
    b->checked_entry = executable;
    b->known_entry = executable + (known_entry - start);
    b->polled_entry = executable + (polled_entry - start);
    keep_faults(t);
    b->entry = executable + (entry - start);
    list(t, executable, (size_t)(t->e.p - start));
    return true;
}
