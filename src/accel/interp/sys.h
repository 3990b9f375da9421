#pragma once
#include "accel/interp/interp.h"
#include "accel/interp/mem_inline.h"
/*
 * sys.h - what the system half of the interpreter shares: descriptors, privilege, event kinds.
 */

/* The highest linear address bits that must all be equal: 48 or, with LA57, 57 address bits. */
static inline bool interp_canonical(const InterpVcpu *v, uint64_t linear)
{
    unsigned unused = v->s.cr4 & CR4_LA57 ? 7 : 16;
    return (uint64_t)((int64_t)(linear << unused) >> unused) == linear;
}

static inline uint64_t phys_mask(const InterpVcpu *v) { return (1ull << interp_model(v)->phys_bits) - 1; }
static inline bool has(const InterpVcpu *v, CpuFeature f) { return cpu_has(interp_model(v), f); }
static inline bool vendor_is_amd(const InterpVcpu *v) { return strcmp(interp_model(v)->vendor, "AuthenticAMD") == 0; }
static inline unsigned iopl(const InterpVcpu *v) { return v->s.rflags >> 12 & 3; }

/* ---- descriptors (SDM 3, 3.4.5 and 7.2) */
enum { SEL_RPL = 3, SEL_TI = 4 };
enum {
    SYS_TSS16 = 1, SYS_LDT = 2, SYS_TSS16_BUSY = 3, SYS_CALL_GATE16 = 4, SYS_TASK_GATE = 5, SYS_INT_GATE16 = 6,
    SYS_TRAP_GATE16 = 7, SYS_TSS = 9, SYS_TSS_BUSY = 11, SYS_CALL_GATE = 12, SYS_INT_GATE = 14, SYS_TRAP_GATE = 15,
};
enum {
    TYPE_ACCESSED = 1,
    TYPE_RW = 2 /* data: writable; code: readable */,
    TYPE_DC = 4 /* data: expands down; code: conforming */,
    TYPE_CODE = 8
};

typedef struct Descriptor {
    uint64_t linear; /* where it stands, for the accessed and busy bits */
    uint32_t lo, hi;
} Descriptor;

static inline bool selector_null(uint16_t sel) { return (sel & 0xfffc) == 0; }
static inline unsigned desc_type(const Descriptor *d) { return d->hi >> 8 & 15; }
static inline bool desc_is_system(const Descriptor *d) { return !(d->hi & 0x1000); }
static inline unsigned desc_dpl(const Descriptor *d) { return d->hi >> 13 & 3; }
static inline bool desc_present(const Descriptor *d) { return d->hi >> 15 & 1; }
static inline bool desc_is_code(const Descriptor *d) { return !desc_is_system(d) && (desc_type(d) & TYPE_CODE); }
static inline bool desc_is_conforming(const Descriptor *d) { return desc_is_code(d) && (desc_type(d) & TYPE_DC); }
static inline bool desc_is_writable(const Descriptor *d)
{
    return !desc_is_system(d) && !(desc_type(d) & TYPE_CODE) && (desc_type(d) & TYPE_RW);
}
static inline bool desc_is_readable(const Descriptor *d)
{
    return !desc_is_system(d) && (!(desc_type(d) & TYPE_CODE) || (desc_type(d) & TYPE_RW));
}
static inline bool desc_long(const Descriptor *d) { return d->hi >> 21 & 1; }
static inline bool desc_big(const Descriptor *d) { return d->hi >> 22 & 1; }
uint32_t desc_limit(const Descriptor *d);
uint32_t desc_base(const Descriptor *d);
Segment desc_segment(const Descriptor *d, uint16_t selector);

/* False: the selector is outside its table, or the LDT is unusable. */
bool descriptor_find(InterpVcpu *v, uint16_t selector, Descriptor *ret);
/* The same or `vector`(selector). */
Descriptor descriptor_read(InterpVcpu *v, uint16_t selector, uint8_t vector);
/* Bits 63:32 of the base of a 16-byte system descriptor of long mode. */
uint64_t descriptor_base64(InterpVcpu *v, const Descriptor *d);
void descriptor_set_accessed(InterpVcpu *v, Descriptor *d);
void descriptor_set_busy(InterpVcpu *v, uint64_t linear, bool busy);
Segment null_segment(uint16_t selector, unsigned dpl);

/* vector(selector with EXT), for faults that name a selector. */
G_NORETURN void raise_selector(InterpVcpu *v, uint8_t vector, uint16_t selector);

static inline unsigned segment_dpl(const Segment *s) { return (s->attr & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT; }
static inline bool segment_unusable(const Segment *s) { return s->attr & SEG_ATTR_UNUSABLE; }
static inline bool tr_is_32(const InterpVcpu *v) { return v->s.tr.attr & 8; }

/* Loads CS from a checked code descriptor, with its RPL replaced by cpl. */
void code_segment_set(InterpVcpu *v, uint16_t selector, Descriptor *d, unsigned cpl);
/* Can the code segment d be entered at `offset`?  #GP(ext) if not. */
void code_offset_check(InterpVcpu *v, const Descriptor *d, uint64_t offset);
/* Reads the stack that the TSS holds for an inner privilege level. */
void tss_stack(InterpVcpu *v, unsigned dpl, uint16_t *ret_ss, uint64_t *ret_sp);
uint64_t tss_stack64(InterpVcpu *v, unsigned slot); /* 0-2: RSP0-2, 4-10: IST1-7 */
/* Checks an inner stack selector against the new CPL: #TS, #SS(ss). */
Descriptor stack_descriptor_check(InterpVcpu *v, uint16_t ss, unsigned cpl, uint8_t vector);

/* Limit check of SDM 3, 5.3; an expand-down segment holds the offsets above its limit. */
static inline bool segment_within_limit(const Segment *s, uint64_t offset, uint64_t last)
{
    bool code = s->attr & TYPE_CODE, down = !code && (s->attr & TYPE_DC) && (s->attr & SEG_ATTR_S);
    if (down)
        return offset > s->limit && last <= (s->attr & SEG_ATTR_DB ? 0xffffffffull : 0xffffull);
    return last <= s->limit || (s->limit == 0xffffffff && offset <= s->limit); /* wraps in a 4 GiB segment */
}
/* As a stack: writable if `typed`, and within the limit. */
bool segment_allows(const Segment *s, uint64_t offset, unsigned size, bool typed);

/* ---- a stack that is not (yet) the current one: pushes and pops go through its own limits and privilege. */
typedef struct StackCursor {
    Segment ss;
    uint64_t sp, mask;
    MemWho who;
    bool flat64;  /* 64-bit mode: no segmentation, canonical check */
    bool current; /* faults are #SS(0), not #SS(selector) */
} StackCursor;
StackCursor stack_cursor(InterpVcpu *v);                                          /* the current stack */
StackCursor stack_cursor_new(InterpVcpu *v, const Segment *ss, uint64_t sp, unsigned cpl);
void cursor_push(InterpVcpu *v, StackCursor *c, unsigned size, uint64_t value);
uint64_t cursor_pop(InterpVcpu *v, StackCursor *c, unsigned size);
void cursor_skip(StackCursor *c, unsigned bytes);
void cursor_commit(InterpVcpu *v, const StackCursor *c); /* the cursor's stack becomes SS:RSP */

/* ---- tasks: as task_switch(), with the flags that go into the old TSS. */
void task_switch_flags(InterpVcpu *v, uint16_t selector, TaskReason why, bool has_error, uint32_t error,
                       uint64_t flags);

/* ---- debug registers */
#define DR6_BS 0x4000ull
#define DR6_BD 0x2000ull
#define DR6_BT 0x8000ull
#define DR6_FIXED 0xffff0ff0ull
#define DR7_GD 0x2000ull

/* ---- flags that events and returns change */
enum { EVENT_EXCEPTION, EVENT_SOFT, EVENT_ICEBP, EVENT_INTERRUPT };
void interp_deliver_kind(InterpVcpu *v, uint8_t vector, unsigned kind, bool has_error, uint32_t error,
                         uint64_t return_rip);
/* INT n in virtual-8086 mode by the redirection bitmap: delivered through the IVT of the 8086 task. */
void vm86_deliver_ivt(InterpVcpu *v, uint8_t vector, uint64_t return_rip);
/* Is I/O to [port, port + size) allowed at this CPL?  #GP(0) if not. */
void io_check(InterpVcpu *v, uint16_t port, unsigned size);
/* May INT n in VM86 mode with VME go to the 8086 program's own handler? */
bool vme_redirects_to_program(InterpVcpu *v, uint8_t vector);

/* ---- control registers and MSRs */
void control_set_cr0(InterpVcpu *v, uint64_t value);
void control_set_cr3(InterpVcpu *v, uint64_t value);
void control_set_cr4(InterpVcpu *v, uint64_t value);
uint64_t interp_tsc(InterpVcpu *v);
enum { APIC_BASE_X2APIC = 1 << 10, APIC_BASE_ENABLE = 1 << 11 };
void interp_apic_moved(InterpVcpu *v); /* after a change of IA32_APIC_BASE */
uint64_t msr_read(InterpVcpu *v, uint32_t msr);             /* #GP(0) if unknown */
void msr_write(InterpVcpu *v, uint32_t msr, uint64_t value); /* likewise */

/* ---- the TLB (tlb.c), for mmu.c */
void mmu_forget_view(InterpVcpu *v);
void tlb_init(InterpVcpu *v);
void tlb_finish(InterpVcpu *v);
void tlb_list(InterpVcpu *v, MemWho who, TlbEntry *e); /* it will be filled: a flush must find it */
void tlb_note_large(InterpVcpu *v, uint64_t linear, unsigned shift);
static inline void tlb_entry_clear(TlbEntry *e) { e->tag[0] = e->tag[1] = e->tag[2] = TLB_EMPTY; }
static inline uint64_t tlb_entry_page(const TlbEntry *e)
{
    for (unsigned i = 0; i < 3; i++)
        if (e->tag[i] != TLB_EMPTY)
            return e->tag[i] & ~TLB_DEVICE;
    return TLB_EMPTY;
}
