#pragma once
#include "devices/intc/apic_bus.h"
#include "devices/intc/intc.h"
/*
 * lapic.h - inside the local APIC: lapic.c has its registers, lapic_irq.c acceptance and priority, lapic_timer.c the
 * timer, apic_bus.c who receives what.
 *
 * Threads: registers belong to the vCPU's own thread.  Others touch irr, tmr, lint, extint, errors, ticks_owed (by atomics), and
 * read ppr and the registers that select a receiver.  The device's lock guards the timer and is never held around a
 * call to PIC or IOAPIC.
 */
enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };
enum { LVT_MASKED = 1 << 16, TIMER_MODE_SHIFT = 17 };
enum { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE };
enum { SVR_ENABLED = 1 << 8, SVR_NO_EOI_BROADCAST = 1 << 12 };
enum { ESR_SEND_ILLEGAL = 1 << 5, ESR_RECEIVE_ILLEGAL = 1 << 6, ESR_ILLEGAL_REGISTER = 1 << 7 };

/* IA32_APIC_BASE */
#define BASE_BSP     (1ull << 8)
#define BASE_X2APIC  (1ull << 10)
#define BASE_ENABLED (1ull << 11)
#define BASE_ADDRESS 0xfee00000ull

struct Lapic {
    Device dev;
    uint64_t base, icr;
    uint32_t ldr, dfr, svr, esr, errors;
    uint32_t lvt[LVT_COUNT];
    uint32_t irr[8], isr[8], tmr[8];
    uint8_t tpr, ppr;
    bool lint[2], extint;
    uint32_t ticks_owed; /* of a clock: bits 7-0 its vector, the rest how many */
    uint32_t initial_count, divide;
    int64_t timer_start; /* when the count was initial_count; periodic: the last time */
    bool timer_running;  /* not TSC deadline: the count is not zero for good */
    uint64_t tsc_deadline;
    Timer timer;
    Vcpu *vcpu; /* NULL in generic device tests */
    ApicBus *bus;
};

extern const Field lapic_fields[];
extern const LocalApicOps lapic_ops;

/* Ties a device of apic_type to its vCPU and enters it on the bus; before realize. */
void lapic_connect(Device *d, Vcpu *v, ApicBus *bus);

static inline uint32_t lapic_id(const Lapic *a) { return a->vcpu ? a->vcpu->apic_id : 0; }
/* For what senders on other threads read while the vCPU writes it. */
#define LAPIC_LOAD(field) __atomic_load_n(&(field), __ATOMIC_SEQ_CST)
#define LAPIC_STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_SEQ_CST)

static inline bool lapic_present(const Lapic *a) { return LAPIC_LOAD(a->base) & BASE_ENABLED; }
static inline bool lapic_x2apic(const Lapic *a) { return LAPIC_LOAD(a->base) & BASE_X2APIC; }
static inline bool lapic_enabled(const Lapic *a) { return lapic_present(a) && (LAPIC_LOAD(a->svr) & SVR_ENABLED); }
static inline uint32_t lapic_x2apic_ldr(const Lapic *a) { return lapic_id(a) >> 4 << 16 | 1u << (lapic_id(a) & 15); }
bool lapic_has_feature(const Lapic *a, CpuFeature f);

/* lapic_irq.c.  Any thread: */
bool lapic_receive(Lapic *a, const ApicMessage *msg); /* false: disabled, not taken */
void lapic_local_interrupt(Lapic *a, unsigned lvt);
void lapic_set_lint(Lapic *a, unsigned n, bool level);
void lapic_update_request(Lapic *a); /* VREQ_INTR as it should be */
void lapic_error(Lapic *a, uint32_t esr_bit);
/* The vCPU's thread: */
int lapic_take(Lapic *a);
void lapic_eoi(Lapic *a);
void lapic_update_priority(Lapic *a); /* PPR after a change of TPR or ISR, and the request */

/* lapic_timer.c.  They take the device's lock. */
void lapic_timer_init(Lapic *a);
void lapic_timer_set_lvt(Lapic *a, uint32_t lvt);
void lapic_timer_set_initial(Lapic *a, uint32_t count);
void lapic_timer_set_divide(Lapic *a, uint32_t divide);
uint32_t lapic_timer_current(Lapic *a);
void lapic_timer_set_deadline(Lapic *a, uint64_t tsc);
uint64_t lapic_timer_deadline(Lapic *a);
void lapic_timer_rearm(Lapic *a); /* with the lock held: after reset or loading */

/* apic_bus.c: to every APIC but `except` (which may be NULL). */
void apic_bus_send_all(ApicBus *b, const ApicMessage *msg, const Lapic *except);
