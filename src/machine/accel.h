#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "isa/x86/cpu_model.h"
#include "isa/x86/cpu_state.h"
/*
 * accel.h - what runs guest instructions.  Implemented by accel/kvm, accel/interp (the reference) and later accel/dbt;
 * called by machine/vcpu.c.  No device ever calls it.
 *
 * Port and memory-mapped accesses do not end run(): the accelerator calls vcpu_pio() and vcpu_mmio() (vcpu.h) itself,
 * which is what a translator wants and costs KVM nothing.
 */
typedef struct Accel Accel;
typedef struct Vcpu Vcpu;
typedef struct Machine Machine;
typedef struct FlatRange FlatRange;
typedef struct RamBlock RamBlock;

typedef enum RunExit {
    RUN_KICKED,   /* somebody wants the thread: look at vcpu->request */
    RUN_HALTED,   /* HLT and no interrupt: wait for a request */
    RUN_SHUTDOWN, /* triple fault */
    RUN_DEBUG,    /* gdb's break or watch point */
    RUN_BROKEN,   /* the accelerator cannot go on; vcpu->broken says why */
} RunExit;

typedef struct IoEvent {
    uint64_t addr; /* guest-physical, or a port */
    unsigned size; /* bytes of the write; 0: any */
    bool pio, any_value;
    uint64_t match; /* the value, unless any_value */
} IoEvent;

typedef struct AccelOps {
    const char *name, *summary;
    size_t vcpu_size; /* of the struct that has Vcpu as its first member */
    bool manual_clock; /* time does not pass: whoever drives the machine moves it */
    bool in_kernel_irqchip; /* PIC, IOAPIC, local APICs and PIT are the accelerator's: boards make none */
    /* Required. */
    bool (*probe)(GError **err); /* can this host run it?  No side effects. */
    Accel *(*create)(Machine *m, const CpuModel *model, GError **err);
    void (*destroy)(Accel *a); /* NULL is fine */
    bool (*vcpu_init)(Accel *a, Vcpu *v, GError **err); /* on the creating thread; v->accel, v->id are set */
    void (*vcpu_finish)(Vcpu *v);
    RunExit (*run)(Vcpu *v); /* only on the vCPU's own thread */
    void (*kick)(Vcpu *v);   /* any thread: after v->request changed; run() looks at it soon */
    bool (*get)(Vcpu *v, CpuState *ret, GError **err); /* vCPU stopped */
    bool (*set)(Vcpu *v, const CpuState *s, GError **err);
    /* Optional. */
    bool (*unasked)(void); /* may it be taken where nobody named an accelerator?  Left out: yes */
    void *(*vcpu_alloc)(Accel *a, GError **err); /* vcpu_size bytes of zeros at a place of its choice; left out: the heap */
    void (*vcpu_free)(Vcpu *v);
    void (*cpu_limit)(CpuModel *ret); /* every feature that it can give, for -cpu; left out: cpu_model_max() */
    void (*thread_start)(Vcpu *v); /* on the vCPU's own thread, before the first run() */
    void (*thread_end)(Vcpu *v); /* there, after the last run() */
    /* The memory map has changed (any thread, map locked): ranges that are gone, then ranges that are new.  KVM sets its
     * slots; interpreters ask every vCPU to drop its TLB. */
    void (*map_changed)(Accel *a, const FlatRange *old, size_t n_old, const FlatRange *now, size_t n_now);
    void (*code_changed)(Accel *a, uint64_t gpa, uint64_t size); /* RAM that holds decoded code was written by
                                                                         * DMA; device locks are held: wait for no vCPU */
    bool (*step)(Vcpu *v, GError **err); /* exactly one instruction (or one iteration of REP): lock-step tests, gdb */
    /* What it holds for the guest beyond CpuState, as fields {sv} of the saved state; load() comes after every CPU's set(). */
    bool (*save)(Accel *a, GVariantBuilder *ret, GError **err);
    bool (*load)(Accel *a, GVariant *fields, GError **err);
    /* The machine stands (vCPUs do already), or goes on (they do not yet): so do timers that are the accelerator's. */
    void (*stand)(Accel *a, bool standing);
    /* For in_kernel_irqchip. */
    void (*irq_line)(Accel *a, unsigned gsi, bool level);
    void (*msi)(Accel *a, uint64_t address, uint32_t data);
    bool (*irqfd)(Accel *a, int fd, unsigned gsi, bool assign, GError **err); /* a write to eventfd fd pulses the line */
    /* A guest write at e->addr signals eventfd fd instead of leaving the guest. */
    bool (*ioeventfd)(Accel *a, int fd, const IoEvent *e, bool assign, GError **err);
    /* Where the hardware keeps the dirty log: of blocks that are `logged` only, for it costs.  log: that has changed; fetch sets
     * PAGE_DIRTY where that block was written since. */
    bool (*dirty_log)(Accel *a, RamBlock *ram, GError **err);
    bool (*dirty_fetch)(Accel *a, RamBlock *ram, GError **err);
    /* ram_take_dirty() while no vCPU is in the middle of a store; after it every first write of a page is seen again. */
    void (*dirty_take)(Accel *a, RamBlock *ram, uint64_t first_page, uint64_t n_pages, uint64_t *bitmap);
} AccelOps;

/* First member of every accelerator's own struct. */
struct Accel {
    const AccelOps *ops;
    Machine *machine;
    CpuModel model;
};

extern const AccelOps *const accel_table[]; /* defined by accel/table.c; NULL-terminated.  No constructors. */
