/*
 * lapic_irq.c - the local APIC's acceptance, priority and end of interrupts.
 *
 * A sender sets a bit in IRR and then, if it looks deliverable, VREQ_INTR; the vCPU's thread stores PPR and then looks
 * at IRR.  Both are sequentially consistent, so one of the two sees the other.  A request is withdrawn by clearing it
 * first and looking again afterwards.
 */
#include "devices/intc/ioapic.h"
#include "devices/intc/lapic.h"

/* ---- 256-bit sets */

/* Returns whether it was set already. */
static bool set_bit(uint32_t *set, uint8_t n) { return __atomic_fetch_or(&set[n / 32], 1u << n % 32, __ATOMIC_SEQ_CST) >> n % 32 & 1; }
static void clear_bit(uint32_t *set, uint8_t n) { __atomic_fetch_and(&set[n / 32], ~(1u << n % 32), __ATOMIC_SEQ_CST); }
static bool test_bit(const uint32_t *set, uint8_t n) { return LAPIC_LOAD(set[n / 32]) >> n % 32 & 1; }

static int highest_bit(const uint32_t *set)
{
    for (int i = 7; i >= 0; i--) {
        uint32_t word = LAPIC_LOAD(set[i]);
        if (word)
            return i * 32 + 31 - __builtin_clz(word);
    }
    return -1;
}

/* ---- what is pending */

/* Does INTR of the PIC reach this processor?  Without an APIC it is wired to the bootstrap processor itself. */
static bool takes_pic(const Lapic *a)
{
    uint32_t lvt = LAPIC_LOAD(a->lvt[LVT_LINT0]);
    if (!lapic_present(a))
        return a->vcpu->id == 0;
    return !(lvt & LVT_MASKED) && (lvt >> 8 & 7) == DELIVER_EXTINT;
}

static bool extint_pending(const Lapic *a)
{
    return LAPIC_LOAD(a->extint) || (LAPIC_LOAD(a->lint[0]) && takes_pic(a));
}

/* The vector that may interrupt now, or -1. */
static int deliverable(const Lapic *a)
{
    int vector = highest_bit(a->irr);
    return lapic_present(a) && vector >> 4 > LAPIC_LOAD(a->ppr) >> 4 ? vector : -1;
}

static bool pending(const Lapic *a) { return extint_pending(a) || deliverable(a) >= 0; }

void lapic_update_request(Lapic *a)
{
    if (!a->vcpu)
        return;
    bool requested = vcpu_requests(a->vcpu) & VREQ_INTR;
    if (requested && !pending(a)) {
        vcpu_unrequest(a->vcpu, VREQ_INTR);
        requested = false;
    }
    if (!requested && pending(a))
        vcpu_request(a->vcpu, VREQ_INTR);
}

/* ---- ticks of a clock (the PIT, the HPET) that come while the one before waits
 *
 * A vCPU whose thread waits for a host processor would lose them, while its time-stamp counter runs on: Linux compares the two
 * (timer_irq_works()) and gives up.  So the next one follows the end of the one before. */
enum { OWED_SHIFT = 8, MOST_OWED = 250 };

static bool owes(uint32_t owed, uint8_t vector) { return owed >> OWED_SHIFT && (uint8_t)owed == vector; }

static void owe_tick(Lapic *a, uint8_t vector)
{
    uint32_t owed = LAPIC_LOAD(a->ticks_owed), next;
    do {
        unsigned before = owes(owed, vector) ? owed >> OWED_SHIFT : 0;
        next = MIN(before + 1, MOST_OWED) << OWED_SHIFT | vector;
    } while (!__atomic_compare_exchange_n(&a->ticks_owed, &owed, next, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
}

static void pay_tick(Lapic *a, uint8_t vector)
{
    uint32_t owed = LAPIC_LOAD(a->ticks_owed);
    if (owes(owed, vector) && !test_bit(a->irr, vector) &&
        __atomic_compare_exchange_n(&a->ticks_owed, &owed, owed - (1u << OWED_SHIFT), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        set_bit(a->irr, vector);
}

/* ---- acceptance, on any thread */

static bool accept_vector(Lapic *a, uint8_t vector, bool level, bool counted)
{
    if (!lapic_enabled(a))
        return false;
    if (vector < 16) {
        lapic_error(a, ESR_RECEIVE_ILLEGAL);
        return true;
    }
    if (level)
        set_bit(a->tmr, vector);
    else
        clear_bit(a->tmr, vector);
    if (set_bit(a->irr, vector) && counted)
        owe_tick(a, vector);
    if (vector >> 4 > LAPIC_LOAD(a->ppr) >> 4)
        vcpu_request(a->vcpu, VREQ_INTR);
    return true;
}

static void accept_extint(Lapic *a)
{
    LAPIC_STORE(a->extint, true);
    vcpu_request(a->vcpu, VREQ_INTR);
}

bool lapic_receive(Lapic *a, const ApicMessage *msg)
{
    if (!lapic_present(a))
        return false;
    switch (msg->mode) {
    case DELIVER_FIXED:
    case DELIVER_LOWEST:
        return accept_vector(a, msg->vector, msg->level, msg->counted);
    case DELIVER_SMI:
        vcpu_request(a->vcpu, VREQ_SMI);
        return true;
    case DELIVER_NMI:
        vcpu_request(a->vcpu, VREQ_NMI);
        return true;
    case DELIVER_INIT:
        vcpu_request(a->vcpu, VREQ_INIT);
        return true;
    case DELIVER_SIPI:
        atomic_store(&a->vcpu->sipi_vector, msg->vector);
        vcpu_request(a->vcpu, VREQ_SIPI);
        return true;
    case DELIVER_EXTINT:
        accept_extint(a);
        return true;
    }
    return false;
}

void lapic_local_interrupt(Lapic *a, unsigned n)
{
    uint32_t lvt = LAPIC_LOAD(a->lvt[n]);
    bool has_mode = n != LVT_TIMER && n != LVT_ERROR;
    ApicMessage msg = { .vector = lvt, .mode = has_mode ? lvt >> 8 & 7 : DELIVER_FIXED };
    bool valid = msg.mode != DELIVER_LOWEST && msg.mode != DELIVER_SIPI;
    if (a->vcpu && !(lvt & LVT_MASKED) && valid)
        lapic_receive(a, &msg);
}

void lapic_error(Lapic *a, uint32_t esr_bit)
{
    uint32_t before = __atomic_fetch_or(&a->errors, esr_bit, __ATOMIC_SEQ_CST);
    bool reports_itself = LAPIC_LOAD(a->lvt[LVT_ERROR]) & 0xf0; /* else the error's own vector would err for ever */
    if (!(before & esr_bit) && reports_itself)
        lapic_local_interrupt(a, LVT_ERROR);
}

void lapic_set_lint(Lapic *a, unsigned n, bool level)
{
    bool before = __atomic_exchange_n(&a->lint[n], level, __ATOMIC_SEQ_CST);
    if (!a->vcpu || before == level)
        return;
    uint32_t lvt = LAPIC_LOAD(a->lvt[LVT_LINT0 + n]);
    bool through = n == 0 && (!lapic_present(a) || (lvt >> 8 & 7) == DELIVER_EXTINT);
    if (through)
        lapic_update_request(a);
    else if (level && !lapic_present(a))
        vcpu_request(a->vcpu, VREQ_NMI);
    else if (level)
        lapic_local_interrupt(a, LVT_LINT0 + n);
}

/* ---- on the vCPU's own thread */

void lapic_update_priority(Lapic *a)
{
    int in_service = highest_bit(a->isr);
    uint8_t service_class = in_service < 0 ? 0 : in_service & 0xf0;
    uint8_t ppr = (a->tpr & 0xf0) >= service_class ? a->tpr : service_class;
    LAPIC_STORE(a->ppr, ppr);
    lapic_update_request(a);
}

static int take_extint(Lapic *a)
{
    LAPIC_STORE(a->extint, false);
    int vector = a->bus->pic ? pic_acknowledge(a->bus->pic) : -1;
    lapic_update_request(a);
    return vector;
}

int lapic_take(Lapic *a)
{
    if (extint_pending(a))
        return take_extint(a);
    int vector = deliverable(a);
    if (vector >= 0) {
        clear_bit(a->irr, vector);
        set_bit(a->isr, vector);
    }
    lapic_update_priority(a);
    return vector;
}

void lapic_eoi(Lapic *a)
{
    int vector = highest_bit(a->isr);
    if (vector < 0)
        return;
    clear_bit(a->isr, vector);
    pay_tick(a, vector);
    lapic_update_priority(a);
    if (test_bit(a->tmr, vector) && !(a->svr & SVR_NO_EOI_BROADCAST) && a->bus->ioapic)
        ioapic_eoi(a->bus->ioapic, vector);
}
