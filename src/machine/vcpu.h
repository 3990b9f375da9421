#pragma once
#include <stdatomic.h>

#include "machine/accel.h"
#include "machine/memory.h"
/*
 * vcpu.h - one virtual CPU and its thread: the part that is the same under every accelerator.
 */

/* Reasons to leave run(), a bit each in Vcpu.request.  An accelerator looks at them between instructions (or blocks). */
enum {
    VREQ_STOP = 1 << 0,      /* pause: run() returns RUN_KICKED and leaves the bit alone */
    VREQ_WORK = 1 << 1,      /* run() returns RUN_KICKED; vcpu.c runs the queued function */
    VREQ_INTR = 1 << 2,      /* level: the interrupt controller has an interrupt; taken by apic->take when IF allows */
    VREQ_NMI = 1 << 3,       /* edge: the accelerator clears it and delivers */
    VREQ_SMI = 1 << 4,
    VREQ_INIT = 1 << 5,      /* edge: the accelerator clears it and calls cpu_state_reset(init) */
    VREQ_SIPI = 1 << 6,      /* edge: vector in sipi_vector; ignored unless waiting for it */
    VREQ_TLB_FLUSH = 1 << 7, /* drop cached translations and flat-view pointers; the accelerator clears it */
    VREQ_EXCLUSIVE = 1 << 8, /* another vCPU needs the world stopped: run() returns RUN_KICKED */
    VREQ_ACCEL = 1 << 9,     /* the accelerator's own; it clears it */
};

/* A vCPU's local interrupt controller as the accelerator sees it; devices/intc/lapic.c implements it.  NULL under
 * in_kernel_irqchip, or on a machine without one.  All are called on the vCPU's own thread. */
typedef struct LocalApicOps {
    int (*take)(void *apic);               /* acknowledge the highest interrupt: vector, or -1 if none after all */
    uint8_t (*get_tpr)(void *apic);        /* CR8: bits 7-4 of TPR */
    void (*set_tpr)(void *apic, uint8_t cr8);
    uint64_t (*get_base)(void *apic);      /* IA32_APIC_BASE */
    bool (*set_base)(void *apic, uint64_t value); /* false: #GP */
    bool (*read_msr)(void *apic, uint32_t msr, uint64_t *ret); /* x2APIC 800-8ff, 6e0 TSC deadline; false: #GP */
    bool (*write_msr)(void *apic, uint32_t msr, uint64_t value);
    uint64_t (*mmio_read)(void *apic, uint64_t off, unsigned size); /* page at IA32_APIC_BASE */
    void (*mmio_write)(void *apic, uint64_t off, unsigned size, uint64_t value);
    void (*cpu_reset)(void *apic, bool init); /* the CPU took RESET or INIT */
} LocalApicOps;

struct Vcpu {
    Machine *machine;
    Accel *accel;
    unsigned id;      /* 0 is the bootstrap processor */
    uint32_t apic_id;
    _Atomic uint32_t request; /* VREQ_* */
    _Atomic uint8_t sipi_vector;
    /* Guest TSC = tsc_now(&machine->tsc) + tsc_offset.  The accelerator keeps it equal to CpuState.tsc_offset: the local APIC
     * reads it.  After a change it writes MSR 6e0h anew with what that reads, so that the deadline moves along. */
    _Atomic int64_t tsc_offset;
    const LocalApicOps *apic_ops;
    void *apic;
    uint32_t halt_wake; /* VREQ_* that end the halt for which run() returns RUN_HALTED (no VREQ_INTR if IF is clear); 0: any */
    char *broken; /* why run() returned RUN_BROKEN; owned */
    /* The rest is vcpu.c's own. */
    GThread *thread;
    GMutex lock;
    GCond wake;         /* the thread waits here when halted or stopped */
    _Atomic bool parked; /* waits on `wake` */
    uint64_t poll_ns;   /* halt.c: for how long it looks before it sleeps */
    bool restarted;     /* by machine_start(): look again at what the vCPU is to do */
    bool in_run;        /* thread is inside run(); under the machine's exclusive lock */
    _Atomic bool quit;
    FlatView *memory_seen, *ports_seen; /* the views that vcpu_mmio and vcpu_pio hold */
    struct VcpuWork *work;
};

/* Sets request bits and makes the vCPU look at them: kicks it out of run() or wakes it from a halt.  Any thread. */
void vcpu_request(Vcpu *v, uint32_t bits);
/* Clears level bits (VREQ_INTR). */
static inline void vcpu_unrequest(Vcpu *v, uint32_t bits)
{
    atomic_fetch_and_explicit(&v->request, ~bits, memory_order_acq_rel);
}
static inline uint32_t vcpu_requests(Vcpu *v) { return atomic_load_explicit(&v->request, memory_order_acquire); }

/* Runs fn on the vCPU's thread between instructions and waits for it.  From the vCPU's own thread: at once. */
void vcpu_run_on(Vcpu *v, void (*fn)(Vcpu *v, void *arg), void *arg);

/* Guest accesses to devices, from the vCPU's own thread.  Sizes 1, 2, 4, 8 and naturally any alignment; unclaimed reads
 * give all ones.  mmio also serves RAM and ROM, and sends the local APIC's page to the vCPU's own. */
uint64_t vcpu_pio_read(Vcpu *v, uint16_t port, unsigned size);
void vcpu_pio_write(Vcpu *v, uint16_t port, unsigned size, uint64_t value);
uint64_t vcpu_mmio_read(Vcpu *v, uint64_t gpa, unsigned size);
void vcpu_mmio_write(Vcpu *v, uint64_t gpa, unsigned size, uint64_t value);

/* Stops every other vCPU between instructions (page-crossing LOCK, changes to shared code); end lets them go on. */
void exclusive_begin(Vcpu *self);
void exclusive_end(Vcpu *self);
