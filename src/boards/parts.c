/* parts.c - devices that every board has, at their classic places. */
#include "boards/parts.h"

#include "devices/acpi/fw_cfg.h"
#include "devices/char/char.h"
#include "devices/timer/timer.h"

bool board_map_windows(Device *d, const uint64_t *at, unsigned n, GError **err)
{
    for (unsigned i = 0; i < n; i++)
        if (!device_map(d, i, at[i], err))
            return false;
    return true;
}

Device *board_add_rtc(Machine *m, Intc *intc, const BoardConfig *c, GError **err)
{
    static const uint64_t at[] = { 0x70 };
    g_autofree char *base = c->rtc_base == RTC_AT ? g_strdup_printf("@%" G_GINT64_FORMAT, c->rtc_time)
                                                  : g_strdup(c->rtc_base == RTC_LOCALTIME ? "localtime" : "utc");
    const char *props[] = { "base", base, NULL };
    Device *d = device_new(m, &mc146818_type, NULL, props, err);
    if (!d)
        return NULL;
    d->irq[0] = intc_gsi(intc, 8);
    d->irq[1] = intc_nmi_mask(intc);
    return device_realize(d, err) && board_map_windows(d, at, 1, err) ? d : NULL;
}

Device *board_add_pit(Machine *m, Intc *intc, GError **err)
{
    static const uint64_t at[] = { 0x40, 0x61 };
    Device *d = device_new(m, &i8254_type, NULL, NULL, err);
    if (!d)
        return NULL;
    d->irq[0] = intc_gsi(intc, 0);
    return device_realize(d, err) && board_map_windows(d, at, 2, err) ? d : NULL;
}

Device *board_add_fw_cfg(Machine *m, GError **err)
{
    static const uint64_t at[] = { 0x510, 0x514 };
    Device *d = device_create(m, &fw_cfg_type, NULL, NULL, err);
    return d && board_map_windows(d, at, 2, err) ? d : NULL;
}

const ComPort board_com_ports[4] = { { "0x3f8", "4", 0x3f8, 4 }, { "0x2f8", "3", 0x2f8, 3 }, { "0x3e8", "4", 0x3e8, 4 }, { "0x2e8", "3", 0x2e8, 3 } };

bool board_add_serial(Machine *m, unsigned n, const char *chardev, IrqLine irq, GError **err)
{
    const ComPort *com = &board_com_ports[n];
    const char *props[] = { "chardev", chardev, "iobase", com->iobase, "irq", com->irq, NULL };
    Device *d = device_new(m, &isa_serial_type, NULL, props, err);
    if (!d)
        return false;
    d->irq[0] = irq;
    return device_realize(d, err) && device_map(d, 0, com->port, err);
}

uint32_t *board_apic_ids(const Machine *m)
{
    uint32_t *ids = g_new0(uint32_t, m->config.cpus + 1);
    for (unsigned i = 0; i < m->config.cpus; i++)
        ids[i] = machine_vcpu((Machine *)m, i) ? machine_vcpu((Machine *)m, i)->apic_id : i;
    return ids;
}

CpuidContext board_topology(const Machine *m)
{
    const MachineConfig *c = &m->config;
    return (CpuidContext){ .sockets = MAX(c->sockets, 1), .cores = MAX(c->cores, 1), .threads = MAX(c->threads, 1) };
}
