#pragma once
#include <setjmp.h>
#include <string.h>

#include "isa/x86/insn.h"
#include "machine/machine.h"
/*
 * interp.h - the precise interpreter, inside.  The oracle of differential tests and the fallback of the translator,
 * which embeds InterpVcpu and calls the same handlers.
 *
 * One handler per Op: void exec_add(InterpVcpu *v, const Insn *i).  While it runs, v->s.rip is the instruction's own
 * address and v->next_rip the next one's; a branch assigns next_rip.  The loop commits next_rip afterwards.  A fault
 * unwinds by longjmp from wherever it is found (interp_raise, any mem_*), so a handler makes every access that can
 * fault before it changes state, and holds no lock and no heap across one.
 *
 * Under the translator the guest's vector and x87 registers may still be the host's own while C code runs.  Files that are
 * `light` in meson.build use general registers only; before they call other code they call interp_save_fpu().
 */
typedef struct InterpVcpu InterpVcpu;
typedef void ExecFn(InterpVcpu *v, const Insn *i);

/* ---- soft TLB: linear page -> host page, read, write and execute rights apart; one table for each kind of accessor. */
enum { TLB_BITS = 10, TLB_SIZE = 1 << TLB_BITS };
typedef enum MemAccess { ACCESS_READ, ACCESS_WRITE, ACCESS_EXEC } MemAccess;
/* Who accesses: the rights of SDM 3, 4.6.  MEM_IMPLICIT: supervisor under SMAP, and system structures at any CPL;
 * MEM_USER: CPL 3; MEM_SMAP_AC: supervisor with EFLAGS.AC while CR4.SMAP is on. */
typedef enum MemWho { MEM_IMPLICIT, MEM_USER, MEM_SMAP_AC, MEM_WHO_COUNT } MemWho;

/* A tag that matches is leave to go to host memory; device pages, ROM writes and pages with a data breakpoint never
 * match.  After a store, if *flags is other than PAGE_DIRTY (decoded code, or clean): ram_written(). */
typedef struct TlbEntry {
    uint64_t tag[3];  /* linear page number << 12 per MemAccess, or TLB_EMPTY (bit 0 set: never equal) */
    uint8_t *host;    /* page in host memory; NULL: device, use gpa */
    uint64_t gpa;     /* of the page */
    RamBlock *ram;    /* NULL: device */
    _Atomic uint8_t *flags; /* the page's byte in ram->page_flags; NULL: not to be written (ROM, device) */
    bool global, listed;
    uint8_t shift;    /* of the guest's page size: 12, 21, 22, 30 */
} TlbEntry;
#define TLB_EMPTY 1ull
#define TLB_DEVICE 2ull /* added to the tag of a device's page: it is translated, but has no host address */
static inline uint64_t tlb_ram_offset(const TlbEntry *e) { return (uint64_t)(e->host - e->ram->host); }

typedef struct Tlb {
    TlbEntry entry[TLB_SIZE];
    uint16_t used[TLB_SIZE]; /* indices of entries that are `listed`, so that a flush touches only those */
    unsigned n_used;
    bool has_local; /* entries that are not global */
} Tlb;

/* ---- contexts: what is cached for one PCID (SDM 3, 4.10).  Supervisor accesses (MEM_IMPLICIT) share one table, in which
 * global entries survive a change of context; the others have a table in each.  Flushes reach a context that is not
 * current when it becomes current again. */
enum { TLB_CONTEXTS = 8, TLB_LOG = 16 };
typedef enum TlbFlush {
    FLUSH_LOCAL = 1, FLUSH_GLOBAL = 2, FLUSH_ALL = 3,
    FLUSH_OWN = 4, /* not of the table that contexts share */
} TlbFlush;
typedef struct TlbContext {
    Tlb user, smap_ac;
    uint16_t pcid;
    bool ready;                  /* entries are initialized */
    uint8_t due;                 /* TlbFlush */
    uint64_t last_used;
    uint64_t log_seen;           /* of InterpVcpu.flushed_pages */
    uint64_t walk_epoch;         /* entries of the walk cache that hold here; never another's */
} TlbContext;

/* Paging-structure caches: the last table of a walk, with the rights of the levels above it. */
enum { WALK_CACHE = 64, LARGE_FILTER_BITS = 4096 };
typedef struct WalkCacheEntry {
    uint64_t region; /* linear >> 21 */
    uint64_t epoch, table;
    bool user, writable, nx;
} WalkCacheEntry;

/* Bits of InterpVcpu.attention. */
enum {
    ATTN_STEP = 1 << 0,     /* TF */
    ATTN_RESUME = 1 << 1,   /* RF, to be cleared after the next instruction */
    ATTN_SHADOW = 1 << 2,   /* interrupt shadow */
    ATTN_BREAK = 1 << 3,    /* DR7 has a breakpoint enabled */
    ATTN_PENDING = 1 << 4,  /* a debug trap, an NMI, an activity other than running */
};

/* A translator that embeds InterpVcpu and keeps tables derived from its own (accel/dbt).  All are called on the vCPU's thread
 * between instructions. */
typedef struct InterpClient {
    /* Of the current context, and of what all share. */
    void (*tlb_flushed)(InterpVcpu *v, TlbFlush what);
    void (*tlb_page_flushed)(InterpVcpu *v, uint64_t linear, TlbFlush what);
    /* v->context is another.  Of what all share, entries that are not global are void. */
    void (*tlb_switched)(InterpVcpu *v);
    /* Bytes of the page in these units of 64 have changed; page NULL: anything may have. */
    void (*code_dropped)(InterpVcpu *v, const uint8_t *page, uint64_t granules);
    /* A page holds code from now on: no vCPU may write it without a look.  Its bytes have not been read yet. */
    void (*code_claimed)(InterpVcpu *v, const uint8_t *page);
    void (*save_fpu)(InterpVcpu *v); /* see interp_save_fpu() */
} InterpClient;

struct InterpVcpu {
    Vcpu vcpu;
    CpuState s;
    const InterpClient *client; /* NULL: none */
    bool fpu_in_host;   /* the guest's FPU state is in the host's registers, not in s.fpu */

    /* Derived from s; interp_mode_changed() recomputes after any change of CR0, CR4, EFER, CS, SS, VM. */
    uint8_t code_size;   /* CodeSize */
    uint8_t cpl;
    uint8_t stack_size;  /* bytes of (E/R)SP that count: 2, 4, 8 */
    bool long_mode;      /* EFER.LMA (64-bit or compatibility) */
    bool protected_mode; /* CR0.PE and not VM86 */
    bool vm86;
    MemWho who;          /* of the instruction's own accesses */
    /* Bit 1 << MemAccess: no check of limit or rights is needed; linear is (base + offset) & linear_mask. */
    uint8_t flat[SEG_COUNT];
    uint64_t base[SEG_COUNT]; /* 0 for ES, CS, SS, DS in 64-bit mode */
    uint64_t linear_mask, stack_mask;

    uint64_t next_rip;
    jmp_buf *landing;    /* where faults unwind to: the run loop's, or that of an event's delivery */
    /* The fault that unwinds, valid at the landing point. */
    uint8_t fault_vector;
    bool fault_has_error;
    uint32_t fault_error;

    /* Nonzero: the loop runs single instructions (see interp_poll_events).  ATTN_*. */
    uint32_t attention;
    bool started_step, started_resume; /* TF and RF when the current instruction began */
    uint8_t new_shadow;                /* what interrupt_shadow becomes when the current instruction ends */
    uint8_t event_ext;                 /* EXT bit of error codes: 1 while an event is delivered that is no INT n */
    uint64_t pending_debug;            /* DR6 bits of a debug trap that is due */

    FlatView *memory_view; /* the reference that this vCPU holds; NULL: taken when needed */
    const FlatRange *last_range; /* of that view, or NULL: where the last look-up ended */
    uint64_t pdpte[4];     /* PAE: loaded with CR3 */
    struct CodeCache *code;    /* run.c: decoded instructions by physical address */
    struct HostExec *host;     /* host_exec.c: SIMD and x87 on the host */
    uint64_t instructions;     /* retired, for the benchmark */
    uint16_t last_row;         /* of the instruction that interp_run_one() executed last */
    bool single_step;          /* run one instruction, then RUN_KICKED */
    bool leave_block;          /* run.c: the decoded block that runs has changed, or REP was interrupted */
    bool exclusive;            /* between exclusive_begin() and _end(): a fault that unwinds ends it */
    uint64_t apic_page;        /* gpa of the local APIC's page, ~0 if disabled or x2APIC */
    Tlb *tlb[MEM_WHO_COUNT];   /* of the current context */
    unsigned context;          /* index of it */
    Tlb shared_tlb;            /* MEM_IMPLICIT */
    TlbContext *contexts;      /* [TLB_CONTEXTS] */
    uint64_t context_clock;    /* for last_used */
    uint64_t flushed_pages[TLB_LOG], n_flushed_pages; /* by INVLPG, in any context: global entries of the others go too */
    uint64_t walk_epoch, last_walk_epoch;
    WalkCacheEntry walk_cache[WALK_CACHE];
    uint64_t large_filter[LARGE_FILTER_BITS / 64]; /* mmu_may_be_large() */
    bool huge_pages;           /* of 1 GiB: anywhere */
};

static inline const CpuModel *interp_model(const InterpVcpu *v) { return &v->vcpu.accel->model; }

/* From here on code may run that uses vector or x87 registers, or looks at s.fpu. */
static inline void interp_save_fpu(InterpVcpu *v)
{
    if (G_UNLIKELY(v->fpu_in_host))
        v->client->save_fpu(v);
}

/* ---- faults (exception.c).  Do not return. */
G_NORETURN void interp_raise(InterpVcpu *v, uint8_t vector);
G_NORETURN void interp_raise_error(InterpVcpu *v, uint8_t vector, uint32_t error);
G_NORETURN void interp_raise_page_fault(InterpVcpu *v, uint64_t linear, uint32_t error); /* sets CR2 */
#define interp_gp0(v) interp_raise_error((v), EXC_GP, 0)
#define interp_ud(v) interp_raise((v), EXC_UD)
/* Delivers an event through IVT or IDT, with double and triple faults; called by the run loop and INT handlers.  `soft`:
 * INT n, INT3, INTO (DPL check; return address after the instruction is in s.rip already or next_rip as passed). */
void interp_deliver(InterpVcpu *v, uint8_t vector, bool soft, bool has_error, uint32_t error, uint64_t return_rip);
/* The same for interrupts from outside and NMI. */
void interp_deliver_interrupt(InterpVcpu *v, uint8_t vector);

/* ---- events between instructions (event.c).  The loop is
 *
 *     for (;;) {
 *         if ((v->attention || vcpu_requests(&v->vcpu)) && interp_poll_events(v, &ret)) return ret;
 *         run one instruction if v->attention, else a block, committing s.rip = next_rip;
 *         if (v->attention) interp_retired(v);
 *     }
 *
 * and where a fault lands: interp_deliver(v, v->fault_vector, false, v->fault_has_error, v->fault_error, v->s.rip).
 * Deliveries set both s.rip and next_rip.  After a triple fault activity is CPU_SHUTDOWN and ATTN_PENDING is set.
 * Instructions that may set attention (STI, MOV SS, POPF, IRET, HLT, MOV DR, WRMSR...) have ROW_SYSTEM: end a block. */
bool interp_poll_events(InterpVcpu *v, RunExit *ret); /* true: leave run() with *ret */
void interp_retired(InterpVcpu *v);
void interp_set_shadow(InterpVcpu *v, uint8_t kind); /* the current instruction starts an interrupt shadow */
void interp_update_attention(InterpVcpu *v);         /* after changes of rflags, DR7, activity, pending_debug */
/* vCPU life: tables of the MMU; after any change of s from outside (reset, set). */
void interp_sys_init(InterpVcpu *v);
void interp_sys_finish(InterpVcpu *v);
void interp_state_loaded(InterpVcpu *v);

/* ---- memory (mmu.c).  Segment-relative; linear in 64-bit mode with the canonical check (#GP, #SS for the stack).
 * Little-endian values, zero-extended; may cross pages. */
uint64_t interp_linear(InterpVcpu *v, unsigned seg, uint64_t offset, unsigned size, MemAccess access); /* segment checks */
uint64_t mem_read(InterpVcpu *v, unsigned seg, uint64_t offset, unsigned size);
void mem_write(InterpVcpu *v, unsigned seg, uint64_t offset, unsigned size, uint64_t value);
void mem_read_bytes(InterpVcpu *v, unsigned seg, uint64_t offset, void *buf, unsigned n);
void mem_write_bytes(InterpVcpu *v, unsigned seg, uint64_t offset, const void *buf, unsigned n);
/* Faults now if a later write would: for read-modify-write and for writes of several parts. */
void mem_probe_write(InterpVcpu *v, unsigned seg, uint64_t offset, unsigned n);
/* For LOCK and for real atomicity between vCPUs: the host address of size bytes of RAM that do not cross a page, marked
 * dirty and its code invalidated; NULL where that cannot be had (device, crossing): then use exclusive_begin(). */
void *mem_atomic(InterpVcpu *v, unsigned seg, uint64_t offset, unsigned size);
/* With an explicit privilege: system structures (MEM_IMPLICIT) whatever the CPL. */
uint64_t linear_read(InterpVcpu *v, uint64_t linear, unsigned size, MemWho who);
void linear_write(InterpVcpu *v, uint64_t linear, unsigned size, uint64_t value, MemWho who);
void linear_read_bytes(InterpVcpu *v, uint64_t linear, void *buf, unsigned n, MemWho who);
void linear_write_bytes(InterpVcpu *v, uint64_t linear, const void *buf, unsigned n, MemWho who);
void linear_probe_write(InterpVcpu *v, uint64_t linear, unsigned n, MemWho who);
MemWho mem_who(const InterpVcpu *v, unsigned cpl); /* as code of that CPL would access now */
/* Walks the tables.  Returns the TLB entry, filled; raises #PF otherwise.  host NULL: a device at gpa. */
TlbEntry *mmu_translate(InterpVcpu *v, uint64_t linear, MemAccess access, MemWho who);
/* For debuggers: no fault, no A/D update. false: not mapped. */
bool mmu_debug_translate(InterpVcpu *v, uint64_t linear, uint64_t *ret_gpa);
/* ---- the TLB (tlb.c).  In every context, and with global_too global entries as well. */
void mmu_flush(InterpVcpu *v, bool global_too);
void mmu_flush_page(InterpVcpu *v, uint64_t linear);  /* INVLPG: here, and where it is global */
void mmu_flush_pcid(InterpVcpu *v, uint16_t pcid);    /* all but global entries */
/* CR3 or CR4.PCIDE has changed; keep: what is cached for that PCID stays. */
void mmu_cr3_loaded(InterpVcpu *v, bool keep);
/* Can there be an entry for a page larger than 4 KiB that holds this address? */
bool mmu_may_be_large(const InterpVcpu *v, uint64_t linear);
/* Loads the PDPTEs of PAE paging from cr3.  False: a reserved bit is set; nothing is loaded then. */
bool mmu_load_pdptes(InterpVcpu *v, uint64_t cr3);
/* Debug registers: records a data (or I/O) access in pending_debug where one matches. */
void debug_check_data(InterpVcpu *v, uint64_t linear, unsigned size, bool write);
void debug_check_io(InterpVcpu *v, uint16_t port, unsigned size);
/* RAM was written: call it after the store, whenever the page's flags are not exactly PAGE_DIRTY.  Sets
 * PAGE_DIRTY; drops decoded code of these bytes in every vCPU.  The order (store, then look at the flags) matters: who
 * decodes sets PAGE_HAS_CODE, then a barrier on all threads, then reads the bytes. */
void ram_written(InterpVcpu *v, RamBlock *ram, uint64_t ram_offset, uint64_t size);
/* The part of it that concerns decoded code. */
void code_invalidate(InterpVcpu *v, RamBlock *ram, uint64_t ram_offset, uint64_t size);

/* ---- registers and operands: operand.h */

/* ---- segments, far control transfers, tasks (segment.c, far.c, task.c) */
void interp_mode_changed(InterpVcpu *v);
void segment_load(InterpVcpu *v, unsigned seg, uint16_t selector); /* MOV, POP, LDS...: all checks for the mode */
void segment_load_real(InterpVcpu *v, unsigned seg, uint16_t selector);
void far_jump(InterpVcpu *v, uint16_t selector, uint64_t offset, unsigned opsize);
void far_call(InterpVcpu *v, uint16_t selector, uint64_t offset, unsigned opsize);
void far_return(InterpVcpu *v, unsigned opsize, unsigned pop_bytes);
void interrupt_return(InterpVcpu *v, unsigned opsize);
typedef enum TaskReason { TASK_JUMP, TASK_CALL, TASK_IRET, TASK_INTERRUPT } TaskReason;
void task_switch(InterpVcpu *v, uint16_t selector, TaskReason why, bool has_error, uint32_t error);
void stack_push(InterpVcpu *v, unsigned size, uint64_t value); /* updates RSP after the write */
uint64_t stack_pop(InterpVcpu *v, unsigned size);              /* updates RSP after the read */

/* ---- flags */
void interp_set_rflags(InterpVcpu *v, uint64_t value, uint64_t mask); /* bits of mask; handles TF, IF, VM, AC effects */

/* ---- host execution of SIMD and x87 (host_exec.c) */
struct HostExec *host_exec_create(GError **err);
void host_exec_destroy(struct HostExec *h);
/* Marks the components of the image that are in use: here they count as they stand, elsewhere only if marked. */
void fpu_export(CpuState *s);
ExecFn exec_host;  /* handler of every row that is executed by the host's own instruction */

/* ---- handler tables: one file each fills its Ops; dispatch.c merges them and the default raises #UD.  Instead of fn
 * an entry may give select, which picks a handler made for the instruction's operands.  Tables end with OP_INVALID.
 * The dispatcher has checked already: CPUID feature, LOCK, CPL, ROW_NO_REAL, and #UD and #NM of x87, MMX, SSE and AVX rows. */
typedef struct ExecEntry {
    uint16_t op;
    ExecFn *fn;
    ExecFn *(*select)(const Insn *i);
} ExecEntry;
extern const ExecEntry exec_arithmetic[], exec_move[], exec_bits[], exec_string[], exec_control[]; /* general registers */
extern const ExecEntry exec_system[], exec_simd[];

/* ---- run loop (run.c) */
RunExit interp_run(Vcpu *v);
bool interp_step(Vcpu *v, GError **err);
extern const AccelOps accel_interp;
