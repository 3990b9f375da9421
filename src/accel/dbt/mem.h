#pragma once
#include "accel/dbt/dbt.h"
/*
 * mem.h - how translated code reaches guest memory: back ends, and what they need at run time.  docs/dbt.md, "Memory", and
 * docs/decisions/0006.
 *
 * tag   (mem_tag.c, tlb.c): tables of tags compared inline.  Misses leave by an exit of their own.
 * flat  (mem_flat.c, flat.c, region.c, signal.c): one sparse table of addends, no compare.  A miss is a host fault.
 */

/* ---- region.c: the host addresses that a guest can compute.
 *
 * A flat table's entry is found by bits 12 to 40 of the linear address, so what an address that differs from the entry's
 * own above them leads to differs by a multiple of 2 TB from the right host address.  So the RAM that entries lead to
 * stands in the middle of an arena that is reserved at all 64 such places. */
#define RESERVE_BYTES     (768ull << 30)
#define RESERVE_STEP      (1ull << 41)
#define WINDOWS_OFFSET  (352ull << 30) /* RAM, in the lowest of the eight; everything else of the arena is not accessible */
#define WINDOWS_BYTES   (64ull << 30)

typedef struct DbtRegion DbtRegion;
DbtRegion *dbt_region_create(GError **err);
void dbt_region_destroy(DbtRegion *r); /* NULL is fine */
/* Where the block stands for translated code; NULL: no room, or it cannot be mapped. */
uint8_t *dbt_region_window(DbtVcpu *v, DbtRegion *r, RamBlock *ram);
/* Moves private RAM (machine/ram.c) to its window, where it stays until the region goes: before anything uses it.  Other blocks are
 * mapped a second time when a vCPU meets them. */
bool dbt_region_adopt(DbtRegion *r, RamBlock *ram);
/* Something that faults whatever kind of entry is misread as which. */
uint64_t dbt_region_poison(const DbtRegion *r);

/* ---- flat.c: the table, at GS.  Its 4 GiB are all that an address of 32 bits reaches, so the address-size prefix cuts off what
 * of the linear address is not index.  One array for every MemWho and access, each with an offset of its own.  Two addresses whose kinds and pages differ may meet in one slot: what is read then is the other's
 * addend, which leads out of the windows (the offsets are further apart than the windows are large) and faults. */
#define FLAT_KIND_SLOTS ((1ull << 24) + 0x1360) /* not round, for guests like round distances */
#define FLAT_KIND(who, access) ((2 * (who) + (access)) * FLAT_KIND_SLOTS)
/* No instruction in 64-bit mode (PUSHA), and the last byte of the displacement of every instruction that reads the table: a branch
 * to there raises #UD. */
#define FLAT_INVALID_BYTE 0x60
#define FLAT_FIRST_SLOT (FLAT_INVALID_BYTE / 8)
#define FLAT_SLOTS      (1ull << 29)

/* What the vCPUs of a machine share. */
typedef struct DbtShared {
    DbtRegion *region; /* NULL: tag */
} DbtShared;

typedef struct DbtFlat DbtFlat; /* a vCPU's tables, one a context */
DbtFlat *dbt_flat_create(DbtVcpu *v, DbtRegion *r);
void dbt_flat_destroy(DbtFlat *f); /* NULL is fine */
void dbt_flat_make_table(DbtFlat *f, unsigned context, uint64_t *table); /* FLAT_SLOTS, not accessible yet */
/* Into the current context's.  False: it was there already; or the page cannot be reached in this way. */
bool dbt_flat_set(DbtVcpu *v, MemWho who, unsigned access, uint64_t linear, const TlbEntry *e);
/* Makes the slot readable: it holds poison if nothing else. */
void dbt_flat_touch(DbtVcpu *v, MemWho who, unsigned access, uint64_t linear);
/* Supervisor entries (MEM_IMPLICIT) are flushed in all contexts, as if they shared them; the others in the current one. */
void dbt_flat_flush(DbtVcpu *v, TlbFlush what);
void dbt_flat_flush_shared(DbtVcpu *v); /* the context is another: its supervisor entries that are not global */
void dbt_flat_flush_page(DbtVcpu *v, uint64_t linear, bool large, TlbFlush what); /* large: the 4 MiB around */
/* Sets bit_of() each host page that an entry may let be written; returns how many were. */
unsigned dbt_flat_list_writable(const DbtVcpu *v, uint64_t *bits, unsigned bit_of(const uint8_t *host_page));
void dbt_flat_forbid_write(DbtVcpu *v, const uint8_t *host_page);
/* A site that faults often is translated with a check in front of the access. */
bool dbt_flat_site_is_checked(const DbtVcpu *v, const uint8_t *insn); /* where it stands in RAM */
/* True: it has just become one. */
bool dbt_flat_site_faulted(DbtVcpu *v, const uint8_t *insn);

/* ---- signal.c: faults of translated code */
/* Where an access that may fault begins, or an operation that may raise #XM, up to the next one; in order of `pc`. */
typedef struct FaultSite {
    uint16_t pc, resume; /* bytes from the block's first; resume: where it starts over */
    uint16_t rip; /* bytes from the block's RIP to the instruction */
    uint8_t size; /* of the access, in bytes */
    uint8_t access : 1, flags_saved : 1, aligned : 1 /* or #GP */, push : 1 /* the address is RSP - size, and no longer in SCRATCH_U */;
    int8_t ea;       /* what to add to SCRATCH_U to get the address */
    uint8_t held[2]; /* host registers whose guest values stand in DbtVcpu.borrow[]; NOT_HELD: none */
} FaultSite;
enum { NOT_HELD = 0xff, NO_RESUME = 0xffff /* look the block up */ };

/* fault_sites.c: blocks with such instructions.  NULL: none of translated code stands there. */
void dbt_faults_create(DbtVcpu *v);
void dbt_faults_destroy(DbtVcpu *v);
void dbt_faults_add(DbtVcpu *v, const DbtBlock *b);
void dbt_faults_forget(DbtVcpu *v);
const FaultSite *dbt_faults_find(const DbtVcpu *v, const uint8_t *pc, const DbtBlock **ret_block);

/* For vCPU threads: the handler of SIGSEGV, SIGBUS, SIGILL and SIGFPE, on a stack of its own. */
void dbt_signal_thread_start(DbtVcpu *v);
void dbt_signal_thread_end(DbtVcpu *v);
#define SIGNAL_STACK_BYTES (64u << 10)
void *dbt_signal_stack(const DbtVcpu *v); /* context.c */
bool dbt_signal_probe(GError **err);
