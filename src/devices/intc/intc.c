/* intc.c - makes a PC's interrupt controllers and leads lines and messages to them. */
#include "devices/intc/intc.h"

#include "devices/intc/ioapic.h"
#include "devices/intc/lapic.h"

#define IOAPIC_ADDRESS 0xfec00000ull
enum { PIC_MASTER = 0x20, PIC_SLAVE = 0xa0, PIC_ELCR = 0x4d0, ISA_LINES = 16 };

struct Intc {
    Machine *machine;
    bool in_kernel; /* all of it is the accelerator's */
    Device *pic, *ioapic;
    ApicBus bus;
    IrqLine pic_line[ISA_LINES], ioapic_line[INTC_GSIS];
    GArray *intr, *nmi; /* IrqLine: LINT0 and LINT1 of every local APIC */
    _Atomic bool nmi_masked;
};

/* ---- lines */

static void set_gsi(void *sink, unsigned gsi, bool level)
{
    Intc *i = sink;
    if (i->in_kernel) {
        i->machine->accel->ops->irq_line(i->machine->accel, gsi, level);
        return;
    }
    if (gsi < ISA_LINES)
        irq_set(&i->pic_line[gsi], level);
    irq_set(&i->ioapic_line[gsi == 0 ? 2 : gsi], level); /* ACPI override: ISA IRQ 0 is on pin 2 */
}

IrqLine intc_gsi(Intc *i, unsigned gsi)
{
    g_return_val_if_fail(gsi < INTC_GSIS, (IrqLine){ 0 });
    return (IrqLine){ set_gsi, i, gsi };
}

static void set_intr(void *sink, unsigned n, bool level)
{
    Intc *i = sink;
    for (unsigned k = 0; k < i->intr->len; k++)
        irq_set(&g_array_index(i->intr, IrqLine, k), level);
}

static bool deliver(void *opaque, const ApicMessage *msg) { return apic_bus_send(&((Intc *)opaque)->bus, msg); }

/* SDM volume 3, "Message Signalled Interrupts": address bits 19-12 destination, 2 logical; data 15 level, 10-8 mode. */
void intc_msi(void *opaque, uint64_t address, uint32_t data)
{
    Intc *i = opaque;
    if (i->in_kernel) {
        i->machine->accel->ops->msi(i->machine->accel, address, data);
        return;
    }
    ApicMessage msg = {
        .dest = address >> 12 & 0xff,
        .vector = data,
        .mode = data >> 8 & 7,
        .logical = address & 4,
    };
    apic_bus_send(&i->bus, &msg);
}

/* Without a local APIC's LINT1 the pin is the processor's own. */
static void pulse_nmi(Intc *i, unsigned cpu)
{
    if (i->in_kernel)
        vcpu_request(i->machine->vcpus->pdata[cpu], VREQ_NMI);
    else
        irq_pulse(&g_array_index(i->nmi, IrqLine, cpu));
}

void intc_nmi(Intc *i)
{
    for (unsigned n = 0; n < i->machine->vcpus->len && !atomic_load(&i->nmi_masked); n++)
        pulse_nmi(i, n);
}

static void mask_nmi(void *sink, unsigned n, bool level) { atomic_store(&((Intc *)sink)->nmi_masked, level); }
IrqLine intc_nmi_mask(Intc *i) { return (IrqLine){ mask_nmi, i, 0 }; }

/* ---- making */

static bool add_pic(Intc *i, GError **err)
{
    i->pic = device_new(i->machine, &i8259_type, NULL, NULL, err);
    if (!i->pic)
        return false;
    i->pic->irq[0] = (IrqLine){ set_intr, i, 0 };
    for (unsigned n = 0; n < ISA_LINES; n++)
        i->pic_line[n] = device_irq_input(i->pic, n);
    i->bus.pic = i->pic;
    return device_realize(i->pic, err) && device_map(i->pic, 0, PIC_MASTER, err) &&
           device_map(i->pic, 1, PIC_SLAVE, err) && device_map(i->pic, 2, PIC_ELCR, err);
}

static bool add_ioapic(Intc *i, GError **err)
{
    i->ioapic = device_new(i->machine, &ioapic_type, NULL, NULL, err);
    if (!i->ioapic)
        return false;
    ioapic_connect(i->ioapic, deliver, i);
    for (unsigned n = 0; n < INTC_GSIS; n++)
        i->ioapic_line[n] = device_irq_input(i->ioapic, n);
    i->bus.ioapic = i->ioapic;
    return device_realize(i->ioapic, err) && device_map(i->ioapic, 0, IOAPIC_ADDRESS, err);
}

static bool add_apic(Intc *i, Vcpu *v, GError **err)
{
    Device *d = device_new(i->machine, &apic_type, NULL, NULL, err);
    if (!d)
        return false;
    lapic_connect(d, v, &i->bus);
    IrqLine lint0 = device_irq_input(d, 0), lint1 = device_irq_input(d, 1);
    g_array_append_val(i->intr, lint0);
    g_array_append_val(i->nmi, lint1);
    return device_realize(d, err);
}

static bool add_controllers(Intc *i, GError **err)
{
    if (!add_pic(i, err) || !add_ioapic(i, err))
        return false;
    for (unsigned n = 0; n < i->machine->vcpus->len; n++)
        if (!add_apic(i, i->machine->vcpus->pdata[n], err))
            return false;
    return true;
}

Intc *intc_create(Machine *m, GError **err)
{
    Intc *i = g_new0(Intc, 1);
    i->machine = m;
    i->in_kernel = m->accel && m->accel->ops->in_kernel_irqchip;
    i->bus.apics = g_ptr_array_new();
    i->intr = g_array_new(FALSE, FALSE, sizeof(IrqLine));
    i->nmi = g_array_new(FALSE, FALSE, sizeof(IrqLine));
    if (!i->in_kernel && !add_controllers(i, err)) {
        intc_destroy(i);
        return NULL;
    }
    return i;
}

bool intc_hide_pic(Intc *i)
{
    for (unsigned n = 0; n < 3 && !i->in_kernel; n++)
        device_unmap(i->pic, n);
    return !i->in_kernel;
}

void intc_destroy(Intc *i)
{
    if (!i)
        return;
    g_ptr_array_unref(i->bus.apics);
    g_array_unref(i->intr);
    g_array_unref(i->nmi);
    g_free(i);
}
