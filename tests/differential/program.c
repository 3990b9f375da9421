/* program.c - see program.h. */
#include "program.h"

#include <string.h>

#include "guest.h"
#include "isa/x86/cpu_model.h"
#include "isa/x86/insn_example.h"

#define COUNTER_AT (DATA_AT + DATA_WRITABLE - 64) /* of loops; the programs' own stores go below it */

/* ---- rows */

/* Those that load what this process or the guest's few tables could not bear, or store addresses of their own code. */
static const uint16_t unwanted[] = {
    OP_POPF, OP_FXSAVE, OP_FNSTENV, OP_FNSAVE, OP_XSAVE,    OP_XSAVEC, OP_XSAVEOPT, OP_LDS,   OP_LES,
    OP_LGS,  OP_INT,    OP_INT3,    OP_INTO,   OP_WRGSBASE, OP_XRSTOR, OP_FXRSTOR,  OP_ENTER,
};

/* The translator leaves their alignment to the host, and AMD's processors do not mind (habits.c). */
static bool minds_no_alignment(const InsnRow *row) { return row->op >= OP_SHA1MSG1 && row->op <= OP_SHA256RNDS2 && __builtin_cpu_is("amd"); }

static bool is_wanted(const InsnRow *row)
{
    if (minds_no_alignment(row))
        return false;
    for (unsigned n = 0; n < G_N_ELEMENTS(unwanted); n++)
        if (row->op == unwanted[n])
            return false;
    return row_is_testable(row) && row->cpl == 3 && !(row->attrs & (ROW_BRANCH | ROW_SYSTEM | ROW_IO));
}

void row_list_fill(RowList *l)
{
    CpuModel host, guest;
    cpu_model_host(&host);
    cpu_model_max(&guest);
    *l = (RowList){ .general = g_new(unsigned, insn_row_count), .other = g_new(unsigned, insn_row_count) };
    for (unsigned n = 0; n < insn_row_count; n++) {
        const InsnRow *row = &insn_rows[n];
        bool has = row->feature == FEAT_ALWAYS || (cpu_has(&host, row->feature) && cpu_has(&guest, row->feature));
        if (!has || !is_wanted(row))
            continue;
        if (row->attrs & (ROW_FPU | ROW_MMX | ROW_SSE | ROW_AVX))
            l->other[l->n_other++] = n;
        else
            l->general[l->n_general++] = n;
    }
}

void row_list_free(RowList *l)
{
    g_free(l->general);
    g_free(l->other);
}

/* ---- items */

static Item *put(Program *p, const uint8_t *bytes, size_t n)
{
    Item *item = &p->item[MIN(p->n, MOST_ITEMS - 1u)];
    *item = (Item){ 0 };
    if (insn_decode(bytes, n, p->size, &item->insn) != DECODE_OK)
        g_error("an instruction that cannot be decoded: %02x %02x %02x", bytes[0], bytes[1], bytes[2]);
    if (p->n < MOST_ITEMS)
        p->n++;
    return item;
}

/* opcode, ModRM with that reg field, [address], and an immediate. */
static Item *put_absolute(Program *p, uint8_t opcode, unsigned reg, uint32_t address, uint32_t imm, unsigned imm_bytes)
{
    uint8_t code[12], *at = code;
    *at++ = opcode;
    *at++ = (uint8_t)(reg << 3 | (p->size == CODE64 ? 4 : 5));
    if (p->size == CODE64)
        *at++ = 0x25;
    memcpy(at, &address, 4);
    memcpy(at + 4, &imm, 4);
    return put(p, code, (size_t)(at - code) + 4 + imm_bytes);
}

static Item *put_mov_imm(Program *p, unsigned reg, uint32_t imm)
{
    uint8_t code[6], *at = code;
    if (reg > 7)
        *at++ = 0x41;
    *at++ = (uint8_t)(0xb8 | (reg & 7));
    memcpy(at, &imm, 4);
    return put(p, code, (size_t)(at - code) + 4);
}

static void insert(Program *p, unsigned where)
{
    memmove(&p->item[where + 1], &p->item[where], (p->n - where) * sizeof(Item));
    p->n++;
    for (unsigned k = 0; k < p->n; k++)
        if (k != where && (p->item[k].target > where || (p->item[k].fix == FIX_CODE && p->item[k].target == where)))
            p->item[k].target++;
}

static void take_out(Program *p, unsigned where)
{
    memmove(&p->item[where], &p->item[where + 1], (p->n - where - 1) * sizeof(Item));
    p->n--;
    for (unsigned k = 0; k < p->n; k++)
        if (p->item[k].target > where)
            p->item[k].target--;
}

bool program_remove(Program *p, unsigned where)
{
    unsigned group = p->item[where].group;
    if (!group) {
        take_out(p, where);
        return true;
    }
    for (unsigned k = p->n; k-- > 0;)
        if (p->item[k].group == group)
            take_out(p, k);
    return true;
}

/* ---- memory operands */

typedef struct Builder {
    Program *p;
    Random *r;
    const RowList *rows;
    bool known[16];
    uint64_t value[16];
    uint8_t groups;
} Builder;

static void set_register(Builder *b, unsigned reg, uint32_t value)
{
    put_mov_imm(b->p, reg, value);
    b->known[reg] = true;
    b->value[reg] = value;
}

static uint64_t random_place(Random *r, unsigned n, bool aligned)
{
    uint64_t anywhere = DATA_AT + random_below(r, (unsigned)(DATA_WRITABLE - 64 - n));
    unsigned kind = random_below(r, 40);
    if (kind == 0)
        return DATA_AT + DATA_WRITABLE - random_below(r, 2); /* can only be read */
    if (kind == 1)
        return DATA_AT + DATA_BYTES - random_below(r, n + 1);
    if (kind < 5 && !aligned)
        return DATA_AT + PAGE - random_below(r, n + 1);
    if (kind < 12 && !aligned)
        return anywhere;
    return anywhere & ~(uint64_t)(n >= 32 ? 31 : n >= 16 ? 15 : n >= 8 ? 7 : 3);
}

static unsigned random_register(Builder *b)
{
    unsigned n = random_below(b->r, b->p->size == CODE64 ? 16 : 8);
    return n == GPR_RSP && random_percent(b->r, 80) ? GPR_RBX : n;
}

static unsigned memory_bytes(const Insn *i)
{
    for (unsigned n = 0; n < i->n_operands; n++)
        if (i->opnd[n].kind == OPND_MEM)
            return MAX(i->opnd[n].size, 1);
    return 1;
}

static uint64_t segment_base(const InsnExample *e)
{
    return e->seg == SEG_FS ? SEQUENCE_FS_BASE : e->seg == SEG_GS ? GS_BASE : 0;
}

/* Chooses base, index and displacement, and puts the instructions that set the registers.  False: another try. */
static bool aim(Builder *b, InsnExample *e, unsigned bytes, bool aligned, uint64_t *ret_rip_data)
{
    Random *r = b->r;
    uint64_t target = random_place(r, bytes, aligned), want = target - segment_base(e), index = 0;
    *ret_rip_data = want;
    if (b->p->size == CODE64 && random_percent(r, 12)) {
        e->base = INSN_RIP;
        e->disp = 0x1000000; /* four bytes */
        return true;
    }
    e->base = random_percent(r, 10) ? INSN_NO_REG : (uint8_t)random_register(b);
    if (random_percent(r, 35)) {
        e->index = (uint8_t)random_register(b);
        e->scale = (uint8_t)random_below(r, 4);
        if (e->index == GPR_RSP || e->index == e->base)
            return false;
    }
    if (e->index != INSN_NO_REG) {
        if (!b->known[e->index] || random_percent(r, 20))
            set_register(b, e->index, random_percent(r, 90) ? random_below(r, 300) : (uint32_t)random_next(r) >> 4);
        index = b->value[e->index] << e->scale;
    }
    if (e->base == GPR_RSP) { /* wherever it is */
        e->disp = random_below(r, 256);
        return true;
    }
    if (e->base == INSN_NO_REG) {
        e->disp = (int32_t)(want - index);
        return true;
    }
    if (!b->known[e->base] ||
        (int64_t)(want - index - b->value[e->base]) != (int32_t)(want - index - b->value[e->base]) ||
        random_percent(r, 30)) {
        e->disp = random_percent(r, 40)   ? 0
                  : random_percent(r, 60) ? (int8_t)random_next(r)
                                          : (int32_t)random_next(r) >> 8;
        if (want - index - (uint64_t)e->disp > UINT32_MAX)
            e->disp = 0;
        if (want - index > UINT32_MAX)
            return false;
        set_register(b, e->base, (uint32_t)(want - index - (uint64_t)e->disp));
    }
    e->disp = (int32_t)(want - index - b->value[e->base]);
    return true;
}

/* ---- one instruction of a row */

static bool writes_dangerously(Builder *b, const Insn *i)
{
    for (unsigned n = 0; n < i->n_operands; n++) {
        const Operand *o = &i->opnd[n];
        if (o->kind != OPND_REG || !(o->access & OPND_WRITE))
            continue;
        if (o->cls == RC_SEG || (o->cls == RC_GPR && o->reg == GPR_RSP && random_percent(b->r, 92)))
            return true;
    }
    return false;
}

static void forget_written(Builder *b, const Insn *i)
{
    b->known[GPR_RAX] = b->known[GPR_RDX] = b->known[GPR_RCX] = false;
    if (insn_row(i)->attrs & (ROW_STRING | ROW_MEM_SIDE))
        memset(b->known, 0, sizeof(b->known));
    for (unsigned n = 0; n < i->n_operands; n++)
        if (i->opnd[n].kind == OPND_REG && i->opnd[n].access & OPND_WRITE) {
            if (i->opnd[n].cls == RC_GPR)
                b->known[i->opnd[n].reg] = false;
            else if (i->opnd[n].cls == RC_GPR_HIGH)
                b->known[i->opnd[n].reg & 3] = false;
        }
}

static void aim_implied(Builder *b, const Insn *i)
{
    uint32_t attrs = insn_row(i)->attrs;
    if (!(attrs & ROW_STRING) && i->op != OP_MASKMOVQ && i->op != OP_MASKMOVDQU && i->op != OP_VMASKMOVDQU &&
        i->op != OP_XLAT)
        return;
    set_register(b, GPR_RSI, (uint32_t)random_place(b->r, 64, false));
    set_register(b, GPR_RDI, (uint32_t)random_place(b->r, 64, false));
    if (attrs & ROW_STRING)
        set_register(b, GPR_RCX, random_below(b->r, 6));
    else
        set_register(b, GPR_RBX, (uint32_t)random_place(b->r, 64, false));
}

static bool encode(const InsnExample *e, uint8_t *code, Insn *ret)
{
    size_t n = insn_encode(e, code);
    return n && insn_decode(code, n, e->size, ret) == DECODE_OK;
}

static bool put_row(Builder *b, unsigned row)
{
    Random *r = b->r;
    CodeSize size = b->p->size;
    InsnForms f = insn_row_forms(row);
    if (!(f.modes >> size & 1) || f.vsib)
        return false;
    InsnExample e = insn_example(row, size);
    e.memory = f.mem && (!f.reg || random_percent(r, 55));
    if (f.opsizes)
        e.opsize = (uint8_t[]){ 0, 2, 4, 8 }[random_below(r, size == CODE64 ? 4 : 3)];
    if (size == CODE64 && random_percent(r, 8))
        e.addrsize = 4;
    e.reg = (uint8_t)random_register(b);
    e.rm = (uint8_t)random_register(b);
    e.vvvv = (uint8_t)random_register(b);
    e.is4 = (uint8_t)random_register(b);
    e.imm = random_integer(r);
    e.cc = (uint8_t)random_below(r, 16);
    e.rex = !f.vex && size == CODE64 && random_percent(r, 30);
    e.vex_l = random_percent(r, 50);
    e.vex3 = random_percent(r, 30);
    uint32_t attrs = insn_rows[row].attrs;
    e.lock = attrs & ROW_LOCK && e.memory && random_percent(r, 15);
    if (attrs & ROW_STRING && random_percent(r, 60))
        e.rep = random_percent(r, 50) ? 0xf2 : 0xf3;
    if (random_percent(r, 6))
        e.seg = random_percent(r, 70) ? SEG_FS + random_below(r, 2) : (uint8_t)random_below(r, SEG_COUNT);
    if (e.memory)
        e.base = GPR_RBX; /* for its size */
    uint8_t code[INSN_MAX_BYTES];
    Insn i;
    uint64_t data = 0;
    if (!encode(&e, code, &i) || writes_dangerously(b, &i))
        return false;
    if (i.has_mem && !e.memory)
        return false; /* moffs: cannot be aimed by a register */
    e.base = INSN_NO_REG;
    unsigned before = b->p->n;
    if (e.memory && (!aim(b, &e, memory_bytes(&i), attrs & ROW_ALIGNED || e.lock, &data) || !encode(&e, code, &i))) {
        b->p->n = before;
        memset(b->known, 0, sizeof(b->known));
        return false;
    }
    aim_implied(b, &i);
    Item *item = put(b->p, code, i.length);
    if (i.has_mem && i.base == INSN_RIP)
        item->fix = FIX_RIP, item->data = data;
    forget_written(b, &i);
    return true;
}

static void put_some(Builder *b)
{
    for (unsigned tries = 0; tries < 1000; tries++) {
        bool general = random_percent(b->r, 65);
        unsigned row = general ? b->rows->general[random_below(b->r, b->rows->n_general)]
                               : b->rows->other[random_below(b->r, b->rows->n_other)];
        if (put_row(b, row))
            return;
    }
    g_error("no row can be encoded");
}

/* ---- control flow */

static Item *put_branch(Program *p, const uint8_t *code, size_t n, unsigned target)
{
    Item *item = put(p, code, n);
    item->fix = FIX_RELATIVE;
    item->target = target;
    return item;
}
#define BRANCH(p, target, ...)                                                                                         \
    put_branch((p), (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), (target))
#define CODE(p, ...) put((p), (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void put_indirect(Builder *b, unsigned ahead)
{
    Program *p = b->p;
    unsigned reg =
        p->size == CODE64 ? (unsigned[]){ 0, 1, 2, 3, 6, 10, 11, 12 }[random_below(b->r, 8)] : random_below(b->r, 4);
    unsigned first = p->n;
    Item *item;
    b->groups++;
    if (random_percent(b->r, 50)) { /* push imm32; ret */
        item = CODE(p, 0x68, 0, 0, 0, 0x20);
        CODE(p, 0xc3);
    } else {
        item = put_mov_imm(p, reg, 0x20000000);
        b->known[reg] = false;
        uint8_t op = random_percent(b->r, 60) ? 0xe0 : 0xd0; /* jmp, call */
        if (reg > 7)
            CODE(p, 0x41, 0xff, (uint8_t)(op | (reg & 7)));
        else
            CODE(p, 0xff, (uint8_t)(op | reg));
    }
    item->fix = FIX_ABSOLUTE;
    item->target = p->n + ahead;
    for (unsigned n = first; n < p->n; n++)
        p->item[n].group = b->groups;
}

static void put_forward(Builder *b)
{
    Random *r = b->r;
    Program *p = b->p;
    unsigned ahead = random_below(r, 4), cc = random_below(r, 16), target = p->n + 1 + ahead;
    switch (random_below(r, 8)) {
    case 0:
        put_indirect(b, ahead);
        break;
    case 1:
        BRANCH(p, target, 0xe9, 0, 0, 0, 0);
        break;
    case 2:
        BRANCH(p, target, 0xe8, 0, 0, 0, 0);
        break;
    case 3:
        BRANCH(p, target, (uint8_t)(0xe0 | random_below(r, 4)), 0);
        break;
    case 4:
        BRANCH(p, target, (uint8_t)(0x70 | cc), 0);
        break;
    default:
        BRANCH(p, target, 0x0f, (uint8_t)(0x80 | cc), 0, 0, 0, 0);
        break;
    }
    memset(b->known, 0, sizeof(b->known)); /* who arrives there may not have set them */
}

/* cmp, so that CF is defined; dec [counter]; jle out; a conditional jump back; out: */
static void put_loop_end(Builder *b, unsigned head, unsigned group)
{
    Program *p = b->p;
    CODE(p, 0x83, 0xf9, 0x11)->group = (uint8_t)group;
    put_absolute(p, 0xff, 1, (uint32_t)COUNTER_AT, 0, 0)->group = (uint8_t)group;
    BRANCH(p, p->n + 2, 0x7e, 0)->group = (uint8_t)group;
    unsigned kind = random_below(b->r, 4);
    if (kind == 0)
        BRANCH(p, head, (uint8_t)(0xe0 | random_below(b->r, 3)), 0)->group = (uint8_t)group;
    else if (kind == 1)
        BRANCH(p, head, 0xe9, 0, 0, 0, 0)->group = (uint8_t)group;
    else
        BRANCH(p, head, 0x0f, (uint8_t)(0x80 | random_below(b->r, 16)), 0, 0, 0, 0)->group = (uint8_t)group;
    memset(b->known, 0, sizeof(b->known));
}

/* Changes the immediate of a MOV that comes soon, or came. */
static void put_self_modification(Builder *b)
{
    Program *p = b->p;
    Item *store = put_absolute(p, 0xc6, 0, 0x20000000, (uint32_t)random_next(b->r) & 0xff, 1);
    store->fix = FIX_CODE;
    for (unsigned n = random_below(b->r, 3); n > 0; n--)
        put_some(b);
    store->target = p->n;
    unsigned reg = random_below(b->r, p->size == CODE64 ? 16 : 8);
    put_mov_imm(p, reg == GPR_RSP ? GPR_RAX : reg, (uint32_t)random_next(b->r));
    b->known[reg] = false;
}

static void put_items(Builder *b, unsigned instructions)
{
    Program *p = b->p;
    unsigned head = 0;
    bool open = false;
    while (p->n < instructions && p->n < MOST_ITEMS - 40) {
        unsigned kind = random_below(b->r, 100);
        if (!open && kind < 7) {
            put_absolute(p, 0xc7, 0, (uint32_t)COUNTER_AT, 1 + random_below(b->r, 6), 4);
            memset(b->known, 0, sizeof(b->known));
            head = p->n, open = true;
        } else if (open && p->n > head + 2 && kind < 25) {
            put_loop_end(b, head, ++b->groups);
            open = false;
        } else if (kind < 40) {
            put_forward(b);
        } else if (kind < 45) {
            put_self_modification(b);
        } else {
            put_some(b);
        }
    }
    if (open && p->n > head)
        put_loop_end(b, head, ++b->groups);
}

/* ---- flags: which are undefined, which may be read */

typedef struct Flow {
    uint32_t undefined[MOST_ITEMS + 1], live[MOST_ITEMS + 1]; /* before each item */
} Flow;

static bool goes_on(const Item *i)
{
    return i->insn.op != OP_JMP && i->insn.op != OP_RET && !(i->insn.op == OP_CALL);
}

/* The item that an item leads to other than the next; -1: none. */
static int leads_to(const Program *p, unsigned n)
{
    const Item *i = &p->item[n];
    if (i->fix == FIX_RELATIVE)
        return (int)i->target;
    bool indirect = i->insn.op == OP_RET || ((i->insn.op == OP_JMP || i->insn.op == OP_CALL) && i->fix == FIX_NONE);
    for (unsigned k = n; indirect && k-- > 0 && n - k < 4;)
        if (p->item[k].fix == FIX_ABSOLUTE)
            return (int)p->item[k].target;
    return -1;
}

static bool spread(uint32_t *to, uint32_t bits)
{
    bool more = bits & ~*to;
    *to |= bits;
    return more;
}

/* A shift by a constant of 0 leaves them. */
static uint32_t flags_written(const Insn *i)
{
    bool shift =
        (i->map == 0 && (i->opcode & 0xfe) == 0xc0) || (i->map == 1 && (i->opcode == 0xa4 || i->opcode == 0xac));
    if (shift && !(i->prefixes & PFX_VEX) && !(i->imm & (i->opsize == 8 ? 63 : 31)))
        return 0;
    return insn_row(i)->flags_written;
}

static void find_flow(const Program *p, Flow *f)
{
    memset(f, 0, sizeof(*f));
    f->live[p->n] = RFLAGS_STATUS;
    for (bool again = true; again;) {
        again = false;
        for (unsigned n = 0; n < p->n; n++) {
            const InsnRow *row = insn_row(&p->item[n].insn);
            uint32_t out =
                         ((f->undefined[n] & ~flags_written(&p->item[n].insn)) | row->flags_undefined) & RFLAGS_STATUS,
                     live = 0;
            int to = leads_to(p, n);
            if (goes_on(&p->item[n]))
                again |= spread(&f->undefined[n + 1], out), live |= f->live[n + 1];
            if (to >= 0)
                again |= spread(&f->undefined[to], out), live |= f->live[to];
            else if (!goes_on(&p->item[n]))
                live = RFLAGS_STATUS;
            again |= spread(&f->live[n], ((live & ~flags_written(&p->item[n].insn)) | row->flags_read) & RFLAGS_STATUS);
        }
    }
}

uint64_t program_flags_at(const Program *p, uint64_t rip)
{
    Flow f;
    uint32_t ever = 0;
    find_flow(p, &f);
    for (unsigned n = 0; n <= p->n; n++) {
        if (p->at[n] == rip || (n == p->n && p->at[n] + 1 == rip))
            return f.live[n] & ~f.undefined[n];
        ever |= f.undefined[n];
    }
    return RFLAGS_STATUS & ~ever;
}

/* Puts a CMP, which defines all, before who would read an undefined flag. */
static bool define_flags(Program *p)
{
    for (unsigned tries = 0; tries < 40; tries++) {
        Flow f;
        find_flow(p, &f);
        unsigned n = 0;
        while (n < p->n && !(f.undefined[n] & insn_row(&p->item[n].insn)->flags_read))
            n++;
        if (n == p->n)
            return true;
        if (p->n >= MOST_ITEMS - 1)
            return false;
        bool inside = n > 0 && p->item[n - 1].group && p->item[n - 1].group == p->item[n].group;
        uint8_t group = inside ? p->item[n].group : 0;
        insert(p, n);
        Program one = { .size = p->size };
        CODE(&one, 0x83, (uint8_t)(0xf8 | (n & 3)), (uint8_t)n);
        p->item[n] = one.item[0];
        p->item[n].group = group;
    }
    return false;
}

static bool flags_are_defined(const Program *p)
{
    Flow f;
    find_flow(p, &f);
    for (unsigned n = 0; n < p->n; n++)
        if (f.undefined[n] & insn_row(&p->item[n].insn)->flags_read)
            return false;
    return true;
}

/* ---- layout */

/* Who jumps between a loop's counter and its jump would not count; between MOV and JMP, to anywhere. */
static void keep_groups_whole(Program *p)
{
    for (unsigned n = 0; n < p->n; n++) {
        Item *i = &p->item[n];
        if (i->fix == FIX_CODE)
            continue;
        i->target = MIN(i->target, p->n);
        while (i->target > 0 && i->target < p->n && p->item[i->target].group &&
               p->item[i->target - 1].group == p->item[i->target].group)
            i->target--;
    }
}

static bool fix_item(Program *p, unsigned n)
{
    Item *i = &p->item[n];
    const uint8_t *code = i->insn.bytes;
    uint64_t next = p->at[n] + i->insn.length, value;
    uint8_t copy[INSN_MAX_BYTES];
    memcpy(copy, code, i->insn.length);
    switch (i->fix) {
    case FIX_RELATIVE:
        value = p->at[i->target] - next;
        if (i->insn.imm_len == 1 && (int64_t)value != (int8_t)value)
            return false;
        memcpy(copy + i->insn.imm_off, &value, i->insn.imm_len);
        break;
    case FIX_ABSOLUTE:
        memcpy(copy + i->insn.imm_off, &(uint32_t){ (uint32_t)p->at[i->target] }, 4);
        break;
    case FIX_RIP:
        memcpy(copy + i->insn.disp_off, &(uint32_t){ (uint32_t)(i->data - next) }, 4);
        break;
    case FIX_CODE:
        if (i->target >= p->n || (p->item[i->target].insn.bytes[p->item[i->target].insn.opcode_off] & 0xf8) != 0xb8)
            return false;
        memcpy(copy + i->insn.disp_off, &(uint32_t){ (uint32_t)p->at[i->target] + p->item[i->target].insn.imm_off }, 4);
        break;
    default:
        return true;
    }
    return insn_decode(copy, i->insn.length, p->size, &i->insn) == DECODE_OK;
}

bool program_finish(Program *p)
{
    if (p->n >= MOST_ITEMS - 1)
        return false;
    keep_groups_whole(p);
    if (!flags_are_defined(p))
        return false;
    uint64_t at = SEQUENCE_AT + p->offset;
    for (unsigned n = 0; n < p->n; n++) {
        p->at[n] = at;
        at += p->item[n].insn.length;
    }
    p->at[p->n] = at;
    if (at + 1 >= SEQUENCE_AT + SEQUENCE_BYTES)
        return false;
    for (unsigned n = 0; n < p->n; n++)
        if (!fix_item(p, n))
            return false;
    p->start.state.rip = p->at[0];
    return true;
}

void program_write(const Program *p, uint8_t *code, const SubjectMemory *m)
{
    memset(code, 0xcc, SEQUENCE_BYTES);
    for (unsigned n = 0; n < p->n; n++)
        memcpy(code + (p->at[n] - SEQUENCE_AT), p->item[n].insn.bytes, p->item[n].insn.length);
    memcpy(m->data, p->data, DATA_BYTES);
    memcpy(m->stack, p->stack, PAGE);
}

/* ---- all together */

static void random_memory(Program *p, Random *r)
{
    for (unsigned at = 0; at < DATA_BYTES; at += 64)
        random_vector(r, p->data + at, 64);
    memset(p->data + (COUNTER_AT - DATA_AT), 0, 64);
    for (unsigned at = 0; at < PAGE; at += 64)
        random_vector(r, p->stack + at, 64);
}

bool program_generate(Program *p, Random *r, const RowList *rows, unsigned instructions)
{
    p->n = 0;
    p->size = random_percent(r, 70) ? CODE64 : CODE32;
    Case *c = &p->start;
    memset(c, 0, sizeof(*c));
    c->size = p->size;
    c->cs = p->size == CODE64 ? USER_CS64 : USER_CS32;
    c->ss = c->ds = c->es = USER_DS;
    random_state(r, c);
    if (random_percent(r, 70)) /* as programs have it: then vector instructions run as they are */
        c->state.fpu.mxcsr |= 0x1f80;
    if (random_percent(r, 70))
        c->state.fpu.fcw |= 0x3f, c->state.fpu.fsw &= ~0x8080;
    if (p->size != CODE64)
        narrow_to_32(&c->state);
    c->state.gpr[GPR_RSP] = STACK_AT + 0x400 + 8 * random_below(r, 256);
    random_memory(p, r);
    p->offset = random_percent(r, 30) ? (unsigned)PAGE - 1 - random_below(r, 120) : random_below(r, 4096);
    Builder b = { .p = p, .r = r, .rows = rows };
    put_items(&b, instructions);
    for (unsigned n = 0; n < p->n; n++)
        p->item[n].target = MIN(p->item[n].target, p->n);
    keep_groups_whole(p);
    return define_flags(p) && program_finish(p);
}
