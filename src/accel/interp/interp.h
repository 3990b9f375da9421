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
 */
typedef struct InterpVcpu InterpVcpu;
typedef void ExecFn(InterpVcpu *v, const Insn *i);

/* ---- soft TLB: linear page -> host page, read, write and execute rights apart; user and supervisor tables apart. */
enum { TLB_BITS = 10, TLB_SIZE = 1 << TLB_BITS };
typedef enum MemAccess { ACCESS_READ, ACCESS_WRITE, ACCESS_EXEC } MemAccess;

typedef struct TlbEntry {
    uint64_t tag[3];  /* linear page number << 12 per MemAccess, or TLB_EMPTY (bit 0 set: never equal) */
    uint8_t *host;    /* page in host memory; NULL: device or ROM write, take the slow path with gpa */
    uint64_t gpa;     /* of the page */
    RamBlock *ram;
    uint64_t ram_offset;
    bool global;
} TlbEntry;
#define TLB_EMPTY 1ull

struct InterpVcpu {
    Vcpu vcpu;
    CpuState s;

    /* Derived from s; interp_mode_changed() recomputes after any change of CR0, CR4, EFER, CS, SS, VM. */
    uint8_t code_size;   /* CodeSize */
    uint8_t cpl;
    uint8_t stack_size;  /* bytes of (E/R)SP that count: 2, 4, 8 */
    bool long_mode;      /* EFER.LMA (64-bit or compatibility) */
    bool protected_mode; /* CR0.PE and not VM86 */
    bool vm86;
    bool flat[SEG_COUNT]; /* no base, no limit check needed for accesses in this mode */

    uint64_t next_rip;
    jmp_buf unwind;      /* set by the run loop; interp_raise() and interp_exit_loop() go there */
    /* The fault that unwinds, valid at the landing point. */
    uint8_t fault_vector;
    bool fault_has_error;
    uint32_t fault_error;

    FlatView *memory_view; /* the reference that this vCPU holds */
    TlbEntry tlb[2][TLB_SIZE]; /* [1]: user */
    struct CodeCache *code;    /* run.c: decoded instructions by physical address */
    struct HostExec *host;     /* host_exec.c: SIMD and x87 on the host */
    uint64_t instructions;     /* retired, for the benchmark */
    bool single_step;          /* run one instruction, then RUN_KICKED */
    bool leave_block;          /* run.c: the decoded block that runs has changed, or REP was interrupted */
    bool exclusive;            /* between exclusive_begin() and _end(): a fault that unwinds ends it */
    uint64_t apic_page;        /* gpa of the local APIC's page, ~0 if disabled or x2APIC */
};

static inline const CpuModel *interp_model(const InterpVcpu *v) { return &v->vcpu.accel->model; }

/* ---- faults (exception.c).  Do not return. */
G_NORETURN void interp_raise(InterpVcpu *v, uint8_t vector);
G_NORETURN void interp_raise_error(InterpVcpu *v, uint8_t vector, uint32_t error);
G_NORETURN void interp_raise_page_fault(InterpVcpu *v, uint64_t linear, uint32_t error); /* sets CR2 */
#define interp_gp0(v) interp_raise_error((v), EXC_GP, 0)
#define interp_ud(v) interp_raise((v), EXC_UD)
/* Delivers an event through IVT or IDT, with double and triple faults; called by the run loop and INT handlers.  `soft`:
 * INT n, INT3, INTO (DPL check; return address after the instruction is in s.rip already or next_rip as passed). */
void interp_deliver(InterpVcpu *v, uint8_t vector, bool soft, bool has_error, uint32_t error, uint64_t return_rip);

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
/* With an explicit privilege: system structures (user false) whatever the CPL. */
uint64_t linear_read(InterpVcpu *v, uint64_t linear, unsigned size, bool user);
void linear_write(InterpVcpu *v, uint64_t linear, unsigned size, uint64_t value, bool user);
void linear_probe_write(InterpVcpu *v, uint64_t linear, unsigned n, bool user);
/* Walks the tables.  Returns the TLB entry, filled; raises #PF otherwise. */
TlbEntry *mmu_translate(InterpVcpu *v, uint64_t linear, MemAccess access, bool user);
/* For debuggers: no fault, no A/D update. false: not mapped. */
bool mmu_debug_translate(InterpVcpu *v, uint64_t linear, uint64_t *ret_gpa);
void mmu_flush(InterpVcpu *v, bool global_too);
void mmu_flush_page(InterpVcpu *v, uint64_t linear);
/* RAM was written (code_cache.c): call it after the store, whenever the page's flags are not exactly PAGE_DIRTY.  Sets
 * PAGE_DIRTY; drops decoded code of these bytes in every vCPU.  The order (store, then look at the flags) matters: who
 * decodes sets PAGE_HAS_CODE, then a barrier on all threads, then reads the bytes. */
void ram_written(InterpVcpu *v, RamBlock *ram, uint64_t ram_offset, uint64_t size);
/* The part of it that concerns decoded code. */
void code_invalidate(InterpVcpu *v, RamBlock *ram, uint64_t ram_offset, uint64_t size);

/* ---- registers and operands (operand.h has the inline fast paths) */
uint64_t interp_effective_address(InterpVcpu *v, const Insn *i); /* offset within i->seg, cut to addrsize */

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

/* ---- events, between instructions (event.c).  Serves vcpu.request: INIT, SIPI, TLB flush, NMI, and interrupts that IF and
 * the interrupt shadow allow (the run loop clears the shadow after the next instruction).  A halted CPU wakes up here, and
 * a triple fault (activity CPU_SHUTDOWN) is reported.  True: leave run() with *ret. */
bool interp_poll_events(InterpVcpu *v, RunExit *ret);
/* Debug exceptions of one instruction, asked for only while RF is clear or TF or DR7 is in use.  before: #DB of
 * instruction breakpoints (a fault).  after: single-step and data breakpoints (a trap), delivered at s.rip. */
void interp_debug_before(InterpVcpu *v);
void interp_debug_after(InterpVcpu *v, bool tf_was_set);

/* ---- run loop (run.c) */
RunExit interp_run(Vcpu *v);
bool interp_step(Vcpu *v, GError **err);
extern const AccelOps accel_interp;
