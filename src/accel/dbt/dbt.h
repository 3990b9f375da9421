#pragma once
#include <signal.h>

#include "accel/interp/interp_accel.h"
#include "jit/code_buffer.h"
/*
 * dbt.h - the translator, inside.  docs/dbt.md tells the whole; in short:
 *
 * A DbtVcpu is an InterpVcpu with a code cache.  Guest code of flat 32- and 64-bit segments is translated a block at a time
 * into host code in which the guest's registers are the host's own, RSP included: only guest R10 and R11 stand in memory
 * (CpuState), because the host needs two for address translation (SCRATCH_T, SCRATCH_U).  Guest status flags are the host's.
 * GS holds the address of the DbtVcpu.  Whatever the translator does not know it leaves to the interpreter's handler of that
 * instruction.
 *
 * Translated code leaves through an exit (DbtExit): everything is stored into CpuState, and C code (handle.c) goes on as if
 * the interpreter had stopped before that instruction.  It tells where translated code continues: at another block, or in
 * the same one behind the exit.
 */
enum { SCRATCH_T = 10, SCRATCH_U = 11 };

/* ---- indices of table entries that hold something, so that what empties a table touches only those */
enum { INDEX_BITS = 16, INDEX_SIZE = 1 << INDEX_BITS, INDEX_WORDS = INDEX_SIZE / 64 };
typedef struct IndexSet {
    uint64_t bit[INDEX_WORDS];
    uint64_t word[INDEX_WORDS / 64]; /* which words of `bit` are not 0 */
} IndexSet;

/* ---- address translation by the tag back end: 64 Ki entries by page number, compared inline.  A tag that does not match
 * leads to an exit, which fills the entry or executes the instruction in C. */
enum { DTLB_SIZE = INDEX_SIZE };
typedef struct DbtTlb {
    uint64_t tag[DTLB_SIZE];    /* linear address of the page; DTLB_EMPTY where 0 would match page 0 */
    uint64_t addend[DTLB_SIZE]; /* host address of the page */
    IndexSet filled[2];         /* by `global` */
} DbtTlb;
#define DTLB_EMPTY 0x1000ull /* at index 0: an address that would match has index 1 */
enum { DTLB_READ, DTLB_WRITE };

/* ---- indirect jumps: guest RIP -> host code that checks the RIP itself */
enum { JUMP_SIZE = INDEX_SIZE, JUMP_FILTER_BITS = 1 << 15 };
typedef struct DbtJumps {
    __attribute__((aligned(4096))) const void *entry[JUMP_SIZE]; /* by the low 16 bits */
    uint64_t minus_rip[JUMP_SIZE]; /* of the filled ones, for relative blocks, which do not know their own */
    /* RIPs whose entry another has taken, by dbt_second_index(). */
    uint64_t second_minus_rip[JUMP_SIZE];
    const void *second_code[JUMP_SIZE];
    IndexSet second_filled[2];
    IndexSet filled[2];           /* entries that do not hold the miss; by whether their page is global */
    uint64_t pages[JUMP_FILTER_BITS / 64], large[JUMP_FILTER_BITS / 64]; /* filters: 4 KiB and 4 MiB that any entry was ever of */
    uint32_t mode;                /* of all blocks in the table */
} DbtJumps;

/* What depends on the PCID (see TlbContext).  Each lies behind its own mapping of the DbtVcpu, and GS holds the address of
 * the current one's: translated code needs to know nothing of it.  Tables of MEM_IMPLICIT are shared, in DbtVcpu. */
typedef struct DbtContext {
    DbtJumps jumps[MEM_WHO_COUNT - 1];
    DbtTlb tlb[MEM_WHO_COUNT - 1][2];
} DbtContext;

typedef struct DbtBlock DbtBlock;

typedef enum ExitKind {
    EXIT_JUMP,     /* goes to a RIP known when translated; may be linked */
    EXIT_INDIRECT, /* goes to the RIP in SCRATCH_U; the jump table did not know it */
    EXIT_INTERP,   /* a C function executes the instruction at rip */
    EXIT_MEMORY,   /* the TLB did not know address `ea` */
    EXIT_ATTENTION, /* poll: at the start of the block */
    EXIT_SIMD_FP,   /* the host raised #XM for the instruction at rip */
    EXIT_KINDS
} ExitKind;

/* What an exit hands to C; belongs to its block. */
typedef struct DbtExit {
    uint8_t kind, size, access; /* bytes; DTLB_READ or DTLB_WRITE */
    bool flags_saved;           /* guest flags stand in flags_tmp as LAHF left them */
    bool faulted;               /* EXIT_MEMORY: by a host fault */
    bool aligned;               /* EXIT_MEMORY: the address must be a multiple of size */
    bool linkable;              /* EXIT_JUMP: the target lies in the same page */
    bool relative;              /* rip is added to code_base */
    uint32_t mode;
    int32_t unlinked;           /* the displacement that leads to the exit itself */
    uint64_t rip;
    DbtBlock *block;
    /* Host code to go on at: EXIT_MEMORY, where the access starts over; EXIT_INTERP, what follows the instruction in the
     * block.  NULL: nowhere in this block. */
    const void *resume;
    union { /* other kinds, the most frequent one among them, end before it: dbt_exit_bytes() */
        struct { /* EXIT_JUMP */
            uint8_t *jump;           /* where the 32-bit displacement stands, writable alias */
            struct DbtExit *next_in; /* of the exits that are linked to the same block */
            struct DbtExit *next_own; /* of those of its block that may be linked */
            DbtBlock *to;            /* linked to */
        };
        struct { /* EXIT_INTERP */
            ExecFn *fn;              /* executes insn */
            const Insn *insn;
        };
    };
} DbtExit;
static inline size_t dbt_exit_bytes(ExitKind k)
{
    return k == EXIT_JUMP || k == EXIT_INTERP ? sizeof(DbtExit) : offsetof(DbtExit, jump);
}

struct DbtBlock {
    const uint8_t *host;        /* guest code; NULL once dropped */
    const uint8_t *second;      /* the page where its only instruction ends, if that is another; else NULL */
    uint64_t rip;               /* offset in its page, if mode_relative(mode) */
    uint32_t mode;
    uint16_t bytes, n_insns, n_called; /* n_called: instructions that C code executes */
    uint16_t hot_bytes;         /* of host code from `entry`, without what is reached seldom */
    uint64_t looked_at;         /* granules of the page (64 bytes) whose code told which flags are dead at the end */
    const void *entry;          /* for jumps that know the target, from lower addresses */
    const void *polled_entry;   /* the same, but polls: from where it is itself and above, so that each loop has one */
    uint8_t remembered;         /* a bit a context whose jump table may know it */
    bool in_second;             /* was ever put into the second part of a jump table */
    const void *known_entry;    /* for the second jump table, which has compared the RIP */
    const void *checked_entry;  /* for the jump table: SCRATCH_U holds a RIP; polls too */
    DbtExit *linked_in;
    DbtExit *jumps;             /* its own that may be linked */
    DbtBlock *next, *page_next, *second_next;
    const struct FaultSite *faults; /* accesses that may fault (mem.h) */
    unsigned n_faults, code_bytes;
};

/* Counters for the benchmark and for -d exec. */
typedef struct DbtStats {
    uint64_t blocks, exits[EXIT_KINDS], interp_insns, tlb_fills, evictions, whole_blocks_interp, faults;
    uint64_t *by_row; /* instructions interpreted, by row of insns.txt */
} DbtStats;

/* How much a vCPU ran lately (trim.c). */
typedef struct DbtTrim {
    int64_t since_us, ran_us; /* when the present stretch began, and how long of it the vCPU ran */
} DbtTrim;

typedef struct DbtVcpu {
    InterpVcpu i; /* first */
    /* What translated code touches through GS. */
    uint32_t pauses_left;        /* until PAUSE gives the host's processor away */
    uint64_t host_rsp, ea, flags_tmp, resume, continue_at;
    uint64_t borrow[2];          /* guest values of host registers that are used for something else */
    uint64_t low_bits[3];        /* masks for accesses of 2, 4 and 8 bytes */
    _Atomic uint8_t poll; /* nonzero: leave */
    uint64_t code_base; /* the page of RIP, while a relative block runs */
    DbtTlb shared_tlb[2];
    DbtJumps shared_jumps;
    /* C only. */
    DbtContext *context;                 /* the current one */
    DbtContext *contexts[TLB_CONTEXTS];  /* NULL: not made yet */
    bool on_thread;                      /* runs, so GS is to follow `context` */
    bool has_wrgsbase;                   /* the host has it and its kernel lets us */
    uint64_t writable[INDEX_WORDS];      /* a filter of the host pages that tables may let be written (tlb.c) */
    unsigned n_writable, renew_filter_at; /* bits set in it; it is made anew at a global flush if there are more */
    int jump_template;                   /* file of pages that hold the miss; -1: none */
    bool jump_template_written;
    struct DbtCache *cache;
    struct DbtFlat *flat; /* NULL: tag is the back end (mem.h) */
    GPtrArray *faulting;  /* const DbtBlock (fault_sites.c) */
    stack_t stack_before; /* the thread's signal stack that ours took the place of */
    DbtExit fault;        /* EXIT_MEMORY or EXIT_SIMD_FP that the signal handler makes */
    DbtExit *last_exit; /* EXIT_JUMP that waits to be linked to the block that runs next; NULL: none */
    struct DbtGlue *glue;
    struct Translator *translator; /* kept from block to block, for it is large */
    uint32_t mode;
    bool page_global; /* of the block that dbt_block_get() returned last */
    bool mode_translates, remember; /* remember: the block that runs next goes into the jump table */
    bool stepped;                   /* an instruction has been executed: enough for a single step */
    DbtStats stats;
    DbtTrim trim;
} DbtVcpu;

/* ---- context.c */
#define DBT_CONTEXT_OFF ((sizeof(DbtVcpu) + 4095) & ~4095ul) /* of the DbtContext, from the DbtVcpu in front of it */
#define CONTEXT_BYTES ((sizeof(DbtContext) + 4095) & ~4095ul)
/* GS points behind both, with a gap that nobody can read: to the flat table, if there is one. */
#define DBT_GS_OFFSET (DBT_CONTEXT_OFF + CONTEXT_BYTES + 0x10000)
#define FROM_GS(offset) ((uint32_t)(offset) - (uint32_t)DBT_GS_OFFSET) /* a displacement, of something `offset` from the DbtVcpu */
#define GS_OFF(member) FROM_GS(offsetof(DbtVcpu, member))
#define GS_GPR(n) FROM_GS(offsetof(DbtVcpu, i.s.gpr) + 8 * (n))
#define GS_EDGE FROM_GS(DBT_CONTEXT_OFF + CONTEXT_BYTES - 8) /* the last quadword that can be read in front of the gap */
static inline DbtTlb *dbt_tlb(DbtVcpu *v, MemWho who, unsigned access)
{
    return who == MEM_IMPLICIT ? &v->shared_tlb[access] : &v->context->tlb[who - 1][access];
}
static inline DbtJumps *dbt_jumps(DbtVcpu *v, MemWho who) { return who == MEM_IMPLICIT ? &v->shared_jumps : &v->context->jumps[who - 1]; }
/* The same from GS. */
static inline uint32_t dbt_tlb_offset(MemWho who, unsigned access)
{
    return FROM_GS(who == MEM_IMPLICIT ? offsetof(DbtVcpu, shared_tlb[access])
                                       : DBT_CONTEXT_OFF + offsetof(DbtContext, tlb) + (2 * (who - 1) + access) * sizeof(DbtTlb));
}
static inline uint32_t dbt_jumps_offset(MemWho who)
{
    return FROM_GS(who == MEM_IMPLICIT ? offsetof(DbtVcpu, shared_jumps) : DBT_CONTEXT_OFF + offsetof(DbtContext, jumps) + (who - 1) * sizeof(DbtJumps));
}
void *dbt_vcpu_alloc(Accel *a, GError **err);
void dbt_vcpu_free(Vcpu *v);
void dbt_context_select(DbtVcpu *v, unsigned index);
bool dbt_has_wrgsbase(void);
void dbt_context_enter(DbtVcpu *v); /* on the vCPU's thread, before translated code runs */

static inline uint16_t dbt_second_index(uint64_t rip) { return rip + (rip >> 16); }

/* ---- mode.c: everything outside the bytes that a translation depends on */
enum {
    MODE_CODE_SIZE = 3, MODE_WHO_SHIFT = 2, MODE_WHO = 3 << 2, MODE_SSE = 1 << 4, MODE_AVX = 1 << 5, MODE_X87 = 1 << 6,
    MODE_SINGLE = 1 << 7, /* blocks of one instruction, which never lead to each other: single steps and tests */
    MODE_FLAT_SHIFT = 8, MODE_CPL0 = 1 << 16, /* a bit a segment: base 0, no limit */
    MODE_TSD = 1 << 17, MODE_FSGSBASE = 1 << 18, /* CR4 */
};
/* Programs run at other addresses each time they are started: code of CPL 3 is translated relative to DbtVcpu.code_base, so that
 * what was translated once serves all processes that map it. */
static inline bool mode_relative(uint32_t m) { return (m & MODE_WHO) == MEM_USER << MODE_WHO_SHIFT && !(m & MODE_SINGLE); }
static inline CodeSize mode_code_size(uint32_t m) { return m & MODE_CODE_SIZE; }
static inline MemWho mode_who(uint32_t m) { return (m & MODE_WHO) >> MODE_WHO_SHIFT; }
static inline bool mode_flat(uint32_t m, unsigned seg) { return m >> (MODE_FLAT_SHIFT + seg) & 1; }
/* Recomputes v->mode and v->mode_translates (false: this mode is the interpreter's for now). */
void dbt_update_mode(DbtVcpu *v);
/* The mode of 64-bit code for another accessor: CPL 3 or 0, AC under SMAP. */
uint32_t dbt_mode_for(uint32_t mode, MemWho who);

/* ---- cache.c: blocks by address, their links, their end */
struct DbtCache *dbt_cache_create(DbtVcpu *v, GError **err);
void dbt_cache_destroy(struct DbtCache *c);
/* The block at v->i.s.rip, translated if need be; NULL: none can be made there, let the interpreter do one instruction. */
DbtBlock *dbt_block_get(DbtVcpu *v);
void dbt_link(DbtVcpu *v, DbtExit *from, DbtBlock *to);
/* How much memory blocks and their code take. */
size_t dbt_cache_bytes(const DbtVcpu *v);
/* Forgets all blocks and gives their memory back.  On the vCPU's thread, outside dbt_run(). */
void dbt_cache_release(DbtVcpu *v);
/* The 64-byte units of its page that n bytes at `host` touch. */
uint64_t dbt_granules(const uint8_t *host, size_t n);
/* For translate.c: memory that lives as long as the blocks. */
void dbt_code_dropped(InterpVcpu *v, const uint8_t *page, uint64_t granules);
void *dbt_arena_alloc(DbtVcpu *v, size_t n);
CodeBuffer *dbt_code(DbtVcpu *v);

/* ---- jumps.c */
void dbt_jumps_create(DbtVcpu *v);
void dbt_jumps_destroy(DbtVcpu *v);
void dbt_jumps_init(DbtVcpu *v, DbtJumps *j);
void dbt_jumps_reset(DbtVcpu *v);
/* Before code of v->mode runs: it must not find blocks of another mode in the table. */
void dbt_jump_check_mode(DbtVcpu *v);
void dbt_jump_remember(DbtVcpu *v, DbtBlock *b);
void dbt_jump_forget(DbtVcpu *v, const DbtBlock *b); /* in all contexts */
void dbt_jump_flush(DbtVcpu *v, TlbFlush what);
void dbt_jump_flush_page(DbtVcpu *v, uint64_t linear, TlbFlush what);
void dbt_jump_flush_shared(DbtVcpu *v); /* what is not global */

/* ---- tlb.c */
void dbt_tlb_init(DbtTlb *t);
void dbt_tlb_flush(DbtVcpu *v, TlbFlush what);
void dbt_tlb_flush_page(DbtVcpu *v, uint64_t linear, TlbFlush what);
void dbt_tlb_flush_shared(DbtVcpu *v); /* what is not global */
bool dbt_tlb_may_write(const DbtVcpu *v, const uint8_t *host_page); /* false: surely not */
void dbt_tlb_forbid_write(DbtVcpu *v, const uint8_t *host_page);
/* Makes the access of an EXIT_MEMORY possible.  May raise #PF (unwinds).  False: the interpreter must do it. */
bool dbt_tlb_fill(DbtVcpu *v, uint64_t ea, unsigned size, unsigned access);

/* ---- translate.c: guest instructions to host code */
typedef struct Translation {
    DbtBlock *block;
    const void *entry, *checked_entry;
} Translation;
struct Translator *dbt_translator_create(void);
void dbt_translator_destroy(struct Translator *t);
/* Decodes and translates from host up to the end of the page; `second` is the next one, for a first instruction that ends
 * there.  False: no room in the code buffer. */
bool dbt_translate(DbtVcpu *v, DbtBlock *b, const TlbEntry *page, const TlbEntry *second);
/* Addresses where an instruction may lie across the end of the page: nothing jumps there but through the jump table, which is
 * emptied when either mapping changes. */
static inline bool dbt_near_page_end(uint64_t address) { return (address & 0xfff) > 0x1000 - INSN_MAX_BYTES; }

/* ---- encode.c: a guest instruction as the host can execute it, with other registers or another memory operand */
typedef struct Recode {
    uint8_t reg, rm, vvvv; /* register numbers for ModRM.reg, ModRM.rm or opcode, VEX.vvvv; 0xff: as in the guest's */
    bool memory;           /* ModRM.rm is [mem_base + mem_index], or [mem_base] where mem_index is 0xff */
    uint8_t mem_base, mem_index;
    int8_t disp;
} Recode;
/* Which fields of an instruction name general registers, and which numbers. */
typedef struct GprFields {
    bool reg, rm, vvvv;               /* names one */
    uint8_t reg_n, rm_n, vvvv_n;
    uint8_t reg_access, rm_access, vvvv_access; /* OPND_READ | OPND_WRITE, with READ added for partial writes */
    uint16_t named;                   /* bit a GPR number that any operand or address names */
    bool high;                        /* AH, CH, DH or BH: forbids REX */
} GprFields;
GprFields dbt_gpr_fields(const Insn *i);
size_t dbt_recode(const Insn *i, const Recode *r, uint8_t *out);

/* ---- flags.c */
/* The status flags that the code at host (up to end) may read before it writes them, and how many bytes of it say so. */
uint32_t dbt_flags_read_from(const uint8_t *host, const uint8_t *end, CodeSize size, size_t *ret_bytes);
uint32_t dbt_flags_before(const Insn *i, uint32_t live_after);

/* ---- enter.c */
/* The guest's FPU state to the host's registers, where it is whenever translated code runs. */
void dbt_fpu_load(DbtVcpu *v);
void dbt_fpu_save(InterpVcpu *v); /* for interp_save_fpu() */
/* Status flags between CpuState and flags_tmp, as LAHF and SETO left them in RAX. */
void dbt_flags_out(DbtVcpu *v);
void dbt_flags_in(DbtVcpu *v);

/* ---- handle.c: what follows an exit */
/* Called by the exit's glue.  Returns the host code to continue at; NULL: back to the run loop. */
const void *dbt_exit(DbtVcpu *v, DbtExit *x);
/* Host code of the instruction at rip; NULL: it had to be interpreted. */
const void *dbt_next_code(DbtVcpu *v);
void dbt_interpret_one(DbtVcpu *v);
ExecFn dbt_pause;

/* ---- listing.c */
void dbt_list_guest(DbtVcpu *v, uint64_t rip, const Insn *insns, unsigned n);
void dbt_list_host(DbtVcpu *v, const uint8_t *code, size_t n);
void dbt_map_block(DbtVcpu *v, uint64_t rip, const uint8_t *code, size_t n);

/* ---- stats.c */
void dbt_stats_init(DbtVcpu *v);
void dbt_stats_finish(DbtVcpu *v);

/* ---- run.c */
RunExit dbt_run(Vcpu *vcpu);
extern const InterpClient dbt_client;

/* ---- trim.c: idle vCPUs give memory back */
/* Notes that the vCPU ran from begin_us to end_us and then halted.  True: it idles, and has for a while. */
bool dbt_trim_idles(DbtTrim *t, int64_t begin_us, int64_t end_us);
RunExit dbt_run_and_trim(Vcpu *vcpu);

/* ---- accel.c */
extern const AccelOps accel_dbt;

/* ---- glue.c: in and out of translated code */
struct DbtGlue *dbt_glue_create(CodeBuffer *code);
typedef void DbtEnterFn(DbtVcpu *v, const void *code);
DbtEnterFn *dbt_glue_enter(const struct DbtGlue *g);
const void *dbt_glue_exit(const struct DbtGlue *g, bool flags_saved); /* SCRATCH_T holds the DbtExit */
const void *dbt_glue_miss(const struct DbtGlue *g); /* a RIP in SCRATCH_U that no jump table entry knows */
const void *dbt_glue_second(const struct DbtGlue *g, MemWho who); /* or only the second part of the table */
void dbt_glue_destroy(struct DbtGlue *g);
