/* chipset_test.c - i440FX, PIIX3, PIIX4 power management and fw_cfg, each by its registers. */
#include <string.h>

#include "devices/acpi/fw_cfg.h"
#include "devices/misc/a20.h"
#include "devices/pci/i440fx.h"
#include "devices/pci/piix.h"
#include "machine/machine.h"

enum { MIB = 1 << 20 };

typedef struct Rig {
    Machine *m;
    PciBus *bus;
    uint32_t lines; /* levels of the device's outputs */
    StopCause cause;
} Rig;

static void note_line(void *sink, unsigned n, bool level)
{
    Rig *r = sink;
    r->lines = level ? r->lines | 1u << n : r->lines & ~(1u << n);
}

static void note_stop(void *opaque, StopCause cause) { ((Rig *)opaque)->cause = cause; }

static const PciBusOps no_ops = { 0 };

static void rig_init(Rig *r)
{
    MachineConfig config = { .ram_size = 2 * MIB, .manual_clock = true, .max_cpus = 1 };
    memset(r, 0, sizeof(*r));
    r->m = machine_create(&config, NULL);
    r->m->listener = (MachineListener){ note_stop, r };
    r->bus = pci_bus_create(r->m, "pci.0", &no_ops, NULL);
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .size = 2 * MIB, .ram = r->m->ram };
    RegionDecl hole = { .name = "hole", .kind = REGION_HOLE, .base = 0xa0000, .size = 0x60000, .priority = 1 };
    g_assert_true(region_add(r->m->memory, &ram, NULL) && region_add(r->m->memory, &hole, NULL));
}

static void rig_finish(Rig *r)
{
    machine_destroy(r->m);
    pci_bus_destroy(r->bus);
}

static Device *add(Rig *r, const DeviceType *t, unsigned slot)
{
    Device *d = device_new(r->m, t, NULL, NULL, NULL);
    for (unsigned n = 0; n < t->n_irqs; n++)
        d->irq[n] = (IrqLine){ note_line, r, n };
    if (t->pci)
        g_assert_true(pci_plug((PciDevice *)d, r->bus, pci_devfn(slot, 0), NULL));
    g_assert_true(device_realize(d, NULL));
    return d;
}

static uint64_t in(AddressSpace *s, uint64_t at, unsigned size)
{
    FlatView *v = space_view(s);
    uint64_t value = view_read(v, at, size);
    view_unref(v);
    return value;
}

static void out(AddressSpace *s, uint64_t at, unsigned size, uint64_t value)
{
    FlatView *v = space_view(s);
    view_write(v, at, size, value);
    view_unref(v);
}

/* ---- i440FX */

static void test_ports(void)
{
    Rig r;
    rig_init(&r);
    Device *ports = add(&r, &i440fx_ports_type, 0);
    i440fx_ports_set_bus(ports, r.bus);
    g_assert_true(device_map(ports, 0, 0xcf8, NULL) && device_map(ports, 1, 0xcfc, NULL));
    add(&r, &i440fx_type, 0);
    g_assert_cmphex(in(r.m->ports, 0xcfc, 4), ==, UINT32_MAX); /* not enabled */
    out(r.m->ports, 0xcf8, 4, 0x80000000);
    g_assert_cmphex(in(r.m->ports, 0xcfc, 4), ==, 0x12378086);
    g_assert_cmphex(in(r.m->ports, 0xcfe, 2), ==, 0x1237);
    g_assert_cmphex(in(r.m->ports, 0xcff, 1), ==, 0x12);
    out(r.m->ports, 0xcf8, 4, 0x80010000); /* another bus */
    g_assert_cmphex(in(r.m->ports, 0xcfc, 4), ==, UINT32_MAX);
    out(r.m->ports, 0xcf8, 4, 0x8000f800); /* an empty slot */
    g_assert_cmphex(in(r.m->ports, 0xcfc, 4), ==, UINT32_MAX);
    out(r.m->ports, 0xcf8, 1, 0x55); /* a byte does not change the address */
    g_assert_cmphex(in(r.m->ports, 0xcf8, 4), ==, 0x8000f800);
    rig_finish(&r);
}

static void test_reset_control(void)
{
    Rig r;
    rig_init(&r);
    Device *ports = add(&r, &i440fx_ports_type, 0);
    g_assert_true(device_map(ports, 0, 0xcf8, NULL));
    out(r.m->ports, 0xcf9, 1, 2);
    g_assert_cmpint(r.cause, ==, CAUSE_NONE);
    out(r.m->ports, 0xcf9, 1, 6);
    g_assert_cmpint(r.cause, ==, CAUSE_GUEST_RESET);
    g_assert_cmphex(in(r.m->ports, 0xcf8, 4), ==, 0);
    rig_finish(&r);
}

static void test_shadow(void)
{
    static const struct { unsigned reg, shift, base; } segments[] = {
        { 0x59, 4, 0xf0000 }, { 0x5a, 0, 0xc0000 }, { 0x5a, 4, 0xc4000 }, { 0x5d, 0, 0xd8000 }, { 0x5f, 4, 0xec000 },
    };
    Rig r;
    rig_init(&r);
    add(&r, &i440fx_type, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(segments); i++) {
        uint64_t at = segments[i].base + 0x100;
        memset(r.m->ram->host + at, 0x11, 4);
        g_assert_cmphex(in(r.m->memory, at, 1), ==, 0xff);
        pci_config_write(r.bus, 0, segments[i].reg, 1, 1 << segments[i].shift); /* read RAM, write bus */
        out(r.m->memory, at, 1, 0x22);
        g_assert_cmphex(in(r.m->memory, at, 1), ==, 0x11);
        pci_config_write(r.bus, 0, segments[i].reg, 1, 3 << segments[i].shift);
        out(r.m->memory, at, 1, 0x33);
        g_assert_cmphex(in(r.m->memory, at, 1), ==, 0x33);
        pci_config_write(r.bus, 0, segments[i].reg, 1, 0);
        g_assert_cmphex(in(r.m->memory, at, 1), ==, 0xff);
    }
    rig_finish(&r);
}

static void test_smram(void)
{
    Rig r;
    rig_init(&r);
    Device *host = add(&r, &i440fx_type, 0);
    r.m->ram->host[0xa0000] = 0x77;
    g_assert_cmphex(in(r.m->memory, 0xa0000, 1), ==, 0xff);
    pci_config_write(r.bus, 0, 0x72, 1, 0x4a);
    g_assert_cmphex(in(r.m->memory, 0xa0000, 1), ==, 0x77);
    pci_config_write(r.bus, 0, 0x72, 1, 0x1a); /* lock */
    pci_config_write(r.bus, 0, 0x72, 1, 0x4a);
    g_assert_cmphex(in(r.m->memory, 0xa0000, 1), ==, 0xff);
    device_reset(host, RESET_COLD);
    pci_config_write(r.bus, 0, 0x72, 1, 0x4a);
    g_assert_cmphex(in(r.m->memory, 0xa0000, 1), ==, 0x77);
    rig_finish(&r);
}

static void test_a20(void)
{
    Rig r;
    rig_init(&r);
    Device *gate = add(&r, &a20_type, 0);
    IrqLine keyboard = device_irq_input(gate, 0), fast = device_irq_input(gate, 1);
    r.m->ram->host[0x10] = 1;
    r.m->ram->host[MIB + 0x10] = 2;
    irq_set(&keyboard, false);
    g_assert_cmphex(in(r.m->memory, MIB + 0x10, 1), ==, 2); /* the other input keeps it open */
    irq_set(&fast, false);
    g_assert_cmphex(in(r.m->memory, MIB + 0x10, 1), ==, 1);
    irq_set(&keyboard, true);
    g_assert_cmphex(in(r.m->memory, MIB + 0x10, 1), ==, 2);
    rig_finish(&r);
}

/* ---- PIIX3 */

static void test_routing(void)
{
    Rig r;
    rig_init(&r);
    Device *south = add(&r, &piix3_type, 1);
    uint8_t devfn = pci_devfn(1, 0);
    piix3_set_intx(south, pci_devfn(1, 3), 0, true); /* slot 1 pin A is PIRQA */
    g_assert_cmphex(r.lines, ==, 0);                 /* not routed yet */
    pci_config_write(r.bus, devfn, PIIX3_ROUTE, 1, 11);
    g_assert_cmphex(r.lines, ==, 1 << 11);
    pci_config_write(r.bus, devfn, PIIX3_ROUTE + 1, 1, 11);
    piix3_set_intx(south, pci_devfn(2, 0), 0, true); /* PIRQB, the same line */
    piix3_set_intx(south, pci_devfn(1, 3), 0, false);
    g_assert_cmphex(r.lines, ==, 1 << 11);
    piix3_set_intx(south, pci_devfn(6, 1), 0, true); /* slot 6 pin A is PIRQB too: two drivers of a wire */
    piix3_set_intx(south, pci_devfn(2, 0), 0, false);
    g_assert_cmphex(r.lines, ==, 1 << 11);
    piix3_set_intx(south, pci_devfn(6, 1), 0, false);
    g_assert_cmphex(r.lines, ==, 0);
    piix3_set_intx(south, pci_devfn(2, 0), 0, true);
    pci_config_write(r.bus, devfn, PIIX3_ROUTE + 1, 1, 5); /* moves while it is high */
    g_assert_cmphex(r.lines, ==, 1 << 5);
    pci_config_write(r.bus, devfn, PIIX3_ROUTE + 1, 1, 2); /* reserved: nowhere */
    g_assert_cmphex(r.lines, ==, 0);
    rig_finish(&r);
}

static void test_shared_lines(void)
{
    Rig r;
    rig_init(&r);
    Device *south = add(&r, &piix3_type, 1);
    IrqLine com1 = device_irq_input(south, 1 * 16 + 4), com3 = device_irq_input(south, 3 * 16 + 4);
    irq_set(&com1, true);
    irq_set(&com3, true);
    irq_set(&com3, false);
    g_assert_cmphex(r.lines, ==, 1 << 4);
    irq_set(&com1, false);
    g_assert_cmphex(r.lines, ==, 0);
    rig_finish(&r);
}

/* ---- PIIX4 power management */

static Device *add_pm(Rig *r)
{
    Device *pm = add(r, &piix4_pm_type, 1);
    g_assert_true(device_map(pm, PM_WINDOW_APM, PM_APM_PORT, NULL) && device_map(pm, PM_WINDOW_GPE, PM_GPE_PORT, NULL));
    pci_config_write(r->bus, pci_devfn(1, 0), PM_BASE, 4, PM_PORT | 1);
    pci_config_write(r->bus, pci_devfn(1, 0), PM_BASE_ENABLE_REG, 1, 1);
    return pm;
}

static void test_pm_base(void)
{
    Rig r;
    rig_init(&r);
    add_pm(&r);
    g_assert_cmphex(in(r.m->ports, PM_PORT, 2), ==, 0);
    pci_config_write(r.bus, pci_devfn(1, 0), PM_BASE, 4, 0xb000 | 1);
    g_assert_cmphex(in(r.m->ports, PM_PORT, 2), ==, 0xffff);
    g_assert_cmphex(in(r.m->ports, 0xb000, 2), ==, 0);
    pci_config_write(r.bus, pci_devfn(1, 0), PM_BASE_ENABLE_REG, 1, 0);
    g_assert_cmphex(in(r.m->ports, 0xb000, 2), ==, 0xffff);
    g_assert_cmphex(pci_config_read(r.bus, pci_devfn(1, 0), 0x58, 4) & 1 << 25, ==, 1 << 25); /* APMC_EN */
    rig_finish(&r);
}

static void test_power_button(void)
{
    Rig r;
    rig_init(&r);
    IrqLine button = device_irq_input(add_pm(&r), 0);
    out(r.m->ports, PM_PORT + 2, 2, 0x100);
    irq_pulse(&button);
    g_assert_cmphex(in(r.m->ports, PM_PORT, 2), ==, 0x100);
    g_assert_cmphex(r.lines, ==, 0); /* ACPI is off: no SCI */
    out(r.m->ports, PM_APM_PORT, 1, PM_ACPI_ENABLE);
    g_assert_cmphex(in(r.m->ports, PM_PORT + 4, 2) & 1, ==, 1);
    g_assert_cmphex(r.lines, ==, 1);
    out(r.m->ports, PM_PORT + 1, 1, 1); /* status is cleared by bytes, too */
    g_assert_cmphex(in(r.m->ports, PM_PORT, 2), ==, 0);
    g_assert_cmphex(r.lines, ==, 0);
    out(r.m->ports, PM_PORT + 4, 2, 0); /* SCI_EN is not the operating system's to clear */
    g_assert_cmphex(in(r.m->ports, PM_PORT + 4, 2) & 1, ==, 1);
    out(r.m->ports, PM_APM_PORT, 1, PM_ACPI_DISABLE);
    g_assert_cmphex(in(r.m->ports, PM_PORT + 4, 2) & 1, ==, 0);
    rig_finish(&r);
}

static void test_pm_timer(void)
{
    Rig r;
    rig_init(&r);
    add_pm(&r);
    clock_advance(r.m->clock, 1000000000);
    g_assert_cmphex(in(r.m->ports, PM_PORT + 8, 4), ==, 3579545);
    out(r.m->ports, PM_APM_PORT, 1, PM_ACPI_ENABLE);
    out(r.m->ports, PM_PORT + 2, 2, 1);
    g_assert_cmphex(r.lines, ==, 0);
    clock_advance(r.m->clock, 1343467000); /* 2^23 ticks are 2.343468... s */
    g_assert_cmphex(r.lines, ==, 0);
    clock_advance(r.m->clock, 1000000);
    g_assert_cmphex(r.lines, ==, 1);
    g_assert_cmphex(in(r.m->ports, PM_PORT, 2), ==, 1);
    out(r.m->ports, PM_PORT, 2, 1);
    g_assert_cmphex(r.lines, ==, 0);
    clock_advance(r.m->clock, 2400000000);
    g_assert_cmphex(r.lines, ==, 1);
    clock_advance(r.m->clock, 2400000000);
    g_assert_cmphex(in(r.m->ports, PM_PORT + 8, 4), <, 1 << 24); /* 24 bits */
    rig_finish(&r);
}

static void test_soft_off(void)
{
    Rig r;
    rig_init(&r);
    add_pm(&r);
    out(r.m->ports, PM_PORT + 4, 2, 1 << 10 | 1 << 13); /* a sleep that is not offered */
    g_assert_cmpint(r.cause, ==, CAUSE_NONE);
    out(r.m->ports, PM_PORT + 4, 2, 1 << 13);
    g_assert_cmpint(r.cause, ==, CAUSE_GUEST_SHUTDOWN);
    g_assert_cmphex(in(r.m->ports, PM_PORT + 4, 2), ==, 0); /* SLP_EN reads as zero */
    rig_finish(&r);
}

/* Somebody asks address 50h: nobody answers, which the driver must see as such. */
static void test_smbus(void)
{
    Rig r;
    rig_init(&r);
    add_pm(&r);
    pci_config_write(r.bus, pci_devfn(1, 0), 0x90, 4, 0x701);
    g_assert_cmphex(in(r.m->ports, 0x700, 1), ==, 0xff);
    pci_config_write(r.bus, pci_devfn(1, 0), 0xd2, 1, 9);
    g_assert_cmphex(in(r.m->ports, 0x700, 1), ==, 0);
    out(r.m->ports, 0x704, 1, 0xa0);
    out(r.m->ports, 0x702, 1, 0x40);
    g_assert_cmphex(in(r.m->ports, 0x700, 1), ==, 4);
    g_assert_cmphex(in(r.m->ports, 0x704, 1), ==, 0xa0);
    out(r.m->ports, 0x700, 1, 4);
    g_assert_cmphex(in(r.m->ports, 0x700, 1), ==, 0);
    rig_finish(&r);
}

/* ---- fw_cfg */

static Device *add_fw_cfg(Rig *r)
{
    Device *d = add(r, &fw_cfg_type, 0);
    g_assert_true(device_map(d, 0, 0x510, NULL) && device_map(d, 1, 0x514, NULL));
    g_assert_true(fw_cfg_add_file(d, "etc/one", "first", 5, NULL));
    g_assert_true(fw_cfg_add_file(d, "etc/two", "second", 6, NULL));
    return d;
}

static void read_ports(Rig *r, uint16_t key, void *buf, size_t n)
{
    out(r->m->ports, 0x510, 2, key);
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)buf)[i] = in(r->m->ports, 0x511, 1);
}

static void test_fw_cfg_ports(void)
{
    Rig r;
    rig_init(&r);
    Device *d = add_fw_cfg(&r);
    uint8_t bytes[4 + 2 * 64], past[8];
    read_ports(&r, FW_CFG_SIGNATURE, bytes, 4);
    g_assert_cmpmem(bytes, 4, "QEMU", 4);
    read_ports(&r, FW_CFG_FILE_DIR, bytes, sizeof(bytes));
    g_assert_cmpmem(bytes, 4, "\0\0\0\2", 4);
    g_assert_cmpmem(bytes + 4 + 64, 6, "\0\0\0\6\0\x21", 6);
    g_assert_cmpstr((char *)bytes + 4 + 64 + 8, ==, "etc/two");
    read_ports(&r, 0x21, past, sizeof(past));
    g_assert_cmpmem(past, 8, "second\0\0", 8); /* zeros beyond the end */
    read_ports(&r, 0x7777, past, 2);
    g_assert_cmpmem(past, 2, "\0\0", 2);
    g_assert_true(fw_cfg_add_file(d, "etc/one", "changed", 7, NULL)); /* keeps its number */
    read_ports(&r, 0x20, past, 7);
    g_assert_cmpmem(past, 7, "changed", 7);
    g_autofree char *name = g_strnfill(56, 'x');
    g_assert_false(fw_cfg_add_file(d, name, "", 0, NULL));
    rig_finish(&r);
}

static uint32_t run_dma(Rig *r, uint32_t control, uint32_t length, uint64_t address)
{
    enum { AT = 0x5000 };
    uint32_t words[4] = { GUINT32_TO_BE(control), GUINT32_TO_BE(length), GUINT32_TO_BE(address >> 32), GUINT32_TO_BE((uint32_t)address) };
    memcpy(r->m->ram->host + AT, words, sizeof(words));
    out(r->m->ports, 0x514, 4, 0);
    out(r->m->ports, 0x518, 4, GUINT32_TO_BE(AT));
    memcpy(words, r->m->ram->host + AT, 4);
    return GUINT32_FROM_BE(words[0]);
}

static void test_fw_cfg_dma(void)
{
    Rig r;
    rig_init(&r);
    add_fw_cfg(&r);
    uint8_t *ram = r.m->ram->host;
    g_assert_cmphex(in(r.m->ports, 0x514, 4), ==, 0x554d4551); /* "QEMU CFG" */
    memset(ram + 0x6000, 0xee, 16);
    g_assert_cmphex(run_dma(&r, 0x21 << 16 | 8 | 2, 8, 0x6000), ==, 0);
    g_assert_cmpmem(ram + 0x6000, 9, "second\0\0\xee", 9);
    g_assert_cmphex(run_dma(&r, 0x21 << 16 | 8 | 4, 3, 0), ==, 0); /* skip */
    g_assert_cmphex(run_dma(&r, 2, 3, 0x6000), ==, 0);             /* goes on from there */
    g_assert_cmpmem(ram + 0x6000, 3, "ond", 3);
    g_assert_cmphex(run_dma(&r, 0x21 << 16 | 8 | 16, 3, 0x6000), ==, 1); /* items are not written */
    g_assert_cmphex(run_dma(&r, 0x21 << 16 | 8 | 2, 3, 0x80000000), ==, 1);
    g_assert_cmphex(run_dma(&r, 0x21 << 16 | 8 | 2, UINT32_MAX, 0x6000), ==, 1); /* runs into the hole */
    out(r.m->ports, 0x514, 4, UINT32_MAX);
    out(r.m->ports, 0x518, 4, UINT32_MAX); /* descriptor nowhere: nothing happens */
    rig_finish(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/i440fx/ports", test_ports);
    g_test_add_func("/i440fx/reset-control", test_reset_control);
    g_test_add_func("/i440fx/shadow-ram", test_shadow);
    g_test_add_func("/i440fx/smram", test_smram);
    g_test_add_func("/a20/gate", test_a20);
    g_test_add_func("/piix3/pirq-routing", test_routing);
    g_test_add_func("/piix3/shared-lines", test_shared_lines);
    g_test_add_func("/piix4-pm/base", test_pm_base);
    g_test_add_func("/piix4-pm/power-button", test_power_button);
    g_test_add_func("/piix4-pm/timer", test_pm_timer);
    g_test_add_func("/piix4-pm/soft-off", test_soft_off);
    g_test_add_func("/piix4-pm/smbus", test_smbus);
    g_test_add_func("/fw_cfg/ports", test_fw_cfg_ports);
    g_test_add_func("/fw_cfg/dma", test_fw_cfg_dma);
    return g_test_run();
}
