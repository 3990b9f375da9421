/*
 * piix4_pm.c - power management of the 82371AB: ACPI fixed registers, PM timer, power button, soft-off.
 *
 * There is no system management mode: what firmware would do in an SMI handler when the operating system writes
 * ACPI_ENABLE to the APM control port happens at once, and DEVACTB's APMC_EN reads as set at reset, which tells SeaBIOS
 * that SMM set-up is done already.
 */
#include "devices/pci/piix.h"
#include "devices/pci/smbus.h"

enum { PM_HZ = 3579545, TIMER_BITS = 24 };
enum { PM1_STS = 0, PM1_EN = 2, PM1_CNT = 4, PM_TMR = 8, PM_SIZE = 64 };
/* ACPI 6.4, 4.8.3.1: PM1 status and enable. */
enum { TMR_BIT = 1 << 0, GBL_BIT = 1 << 5, PWRBTN_BIT = 1 << 8, SLPBTN_BIT = 1 << 9, RTC_BIT = 1 << 10, WAK_BIT = 1 << 15 };
enum { CNT_SCI_EN = 1 << 0, CNT_SLP_TYP_SHIFT = 10, CNT_SLP_EN = 1 << 13 };
enum { SLP_TYP_S5 = 0 }; /* as the DSDT's _S5 says */
enum { DEVACTB_BYTE3 = 0x5b, APMC_EN = 1 << 1 };

typedef struct PiixPm {
    PciDevice pci;
    uint16_t pm1_sts, pm1_en, pm1_cnt, gpe_sts, gpe_en;
    uint8_t apm_control, apm_status;
    Smbus smbus;
    int64_t overflow; /* ns: when bit 23 of the timer next changes and sets TMR_STS */
    Timer timer;
} PiixPm;

/* ---- timer and SCI */

static uint64_t timer_ticks(const PiixPm *s) { return ns_to_ticks(clock_now(s->pci.dev.machine->clock), PM_HZ); }

/* The next change of the timer's top bit. */
static int64_t next_overflow(const PiixPm *s)
{
    uint64_t half = 1ull << (TIMER_BITS - 1);
    return ticks_to_ns((timer_ticks(s) / half + 1) * half, PM_HZ);
}

static void note_overflow(PiixPm *s)
{
    if (clock_now(s->pci.dev.machine->clock) >= s->overflow)
        s->pm1_sts |= TMR_BIT;
}

static void update_sci(PiixPm *s)
{
    note_overflow(s);
    bool level = s->pm1_cnt & CNT_SCI_EN && (s->pm1_sts & s->pm1_en & (TMR_BIT | GBL_BIT | PWRBTN_BIT | SLPBTN_BIT | RTC_BIT));
    level |= (s->gpe_sts & s->gpe_en) != 0;
    irq_set(&s->pci.dev.irq[0], level);
    if (s->pm1_en & TMR_BIT && !(s->pm1_sts & TMR_BIT))
        timer_arm(&s->timer, s->overflow);
    else
        timer_disarm(&s->timer);
}

static void timer_fired(void *opaque) { update_sci(opaque); }

static void set_input(Device *d, unsigned n, bool level)
{
    PiixPm *s = (PiixPm *)d;
    if (level)
        s->pm1_sts |= PWRBTN_BIT;
    update_sci(s);
}

/* ---- the PM block */

static uint16_t pm_register(PiixPm *s, unsigned off)
{
    switch (off) {
    case PM1_STS:
        note_overflow(s);
        return s->pm1_sts;
    case PM1_EN:
        return s->pm1_en;
    case PM1_CNT:
        return s->pm1_cnt;
    default:
        return 0;
    }
}

static uint64_t pm_read(Device *d, uint64_t off, unsigned size)
{
    PiixPm *s = (PiixPm *)d;
    if (off >= PM_TMR && off < PM_TMR + 4)
        return (timer_ticks(s) & ((1u << TIMER_BITS) - 1)) >> ((off - PM_TMR) * 8);
    return (pm_register(s, off & ~1u) | (uint64_t)pm_register(s, (off & ~1u) + 2) << 16) >> (off % 2 * 8);
}

static void sleep_now(PiixPm *s)
{
    unsigned type = s->pm1_cnt >> CNT_SLP_TYP_SHIFT & 7;
    if (type == SLP_TYP_S5)
        machine_request(s->pci.dev.machine, CAUSE_GUEST_SHUTDOWN);
    else
        unimplemented(&s->pci.dev, "sleep type %u", type);
}

static void pm_write16(PiixPm *s, unsigned off, uint16_t value)
{
    switch (off) {
    case PM1_STS:
        note_overflow(s);
        s->pm1_sts &= ~value;
        if (value & TMR_BIT)
            s->overflow = next_overflow(s);
        break;
    case PM1_EN:
        s->pm1_en = value & (TMR_BIT | GBL_BIT | PWRBTN_BIT | SLPBTN_BIT | RTC_BIT);
        break;
    case PM1_CNT: /* SCI_EN is firmware's: only the APM port changes it (ACPI 6.4, 4.8.3.2.1) */
        s->pm1_cnt = (value & ~(CNT_SLP_EN | CNT_SCI_EN)) | (s->pm1_cnt & CNT_SCI_EN);
        if (value & CNT_SLP_EN)
            sleep_now(s);
        break;
    }
    update_sci(s);
}

/* A byte write changes its half; the other half of a status register must not be cleared by writing it back. */
static void pm_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    PiixPm *s = (PiixPm *)d;
    if (size == 1) {
        unsigned reg = off & ~1u, shift = off % 2 * 8;
        uint16_t rest = reg == PM1_STS ? 0 : pm_register(s, reg) & ~(0xff << shift);
        pm_write16(s, reg, rest | value << shift);
        return;
    }
    for (unsigned i = 0; i < size; i += 2)
        pm_write16(s, off + i, value >> (i * 8));
}

/* ---- general-purpose events; four bytes: status, enable */

static uint64_t gpe_read(Device *d, uint64_t off, unsigned size)
{
    PiixPm *s = (PiixPm *)d;
    return (s->gpe_sts | (uint32_t)s->gpe_en << 16) >> (off * 8);
}

static void gpe_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    PiixPm *s = (PiixPm *)d;
    uint16_t byte = value, shift = off % 2 * 8;
    if (off < 2)
        s->gpe_sts &= ~(byte << shift);
    else
        s->gpe_en = (s->gpe_en & ~(0xff << shift)) | byte << shift;
    update_sci(s);
}

/* ---- APM control and status */

static uint64_t apm_read(Device *d, uint64_t off, unsigned size) { return off ? ((PiixPm *)d)->apm_status : ((PiixPm *)d)->apm_control; }

static void apm_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    PiixPm *s = (PiixPm *)d;
    if (off) {
        s->apm_status = value;
        return;
    }
    s->apm_control = value;
    if (value == PM_ACPI_ENABLE)
        s->pm1_cnt |= CNT_SCI_EN;
    else if (value == PM_ACPI_DISABLE)
        s->pm1_cnt &= ~CNT_SCI_EN;
    update_sci(s);
}

/* ---- SMBus */

static uint64_t smb_read(Device *d, uint64_t off, unsigned size) { return smbus_read(&((PiixPm *)d)->smbus, off); }
static void smb_write(Device *d, uint64_t off, unsigned size, uint64_t value) { smbus_write(&((PiixPm *)d)->smbus, off, value); }

/* ---- configuration space and life */

/* A block is where its base register says, while its enable bit is set. */
static void place_block(PiixPm *s, unsigned window, uint16_t base, bool enabled)
{
    Device *d = &s->pci.dev;
    g_autoptr(GError) err = NULL;
    if (!enabled || !base)
        device_unmap(d, window);
    else if (!device_map(d, window, base, &err))
        guest_error(d, "%s", err->message);
}

static void place_blocks(PiixPm *s)
{
    place_block(s, PM_WINDOW, pci_get16(&s->pci, PM_BASE) & 0xffc0, s->pci.config[PM_BASE_ENABLE_REG] & 1);
    place_block(s, PM_WINDOW_SMBUS, pci_get16(&s->pci, PM_SMBUS_BASE) & 0xfff0, s->pci.config[PM_SMBUS_CONFIG] & 1);
}

static void config_written(PciDevice *p, unsigned off, unsigned size, uint32_t old, uint32_t value)
{
    if (off >= PM_BASE)
        place_blocks((PiixPm *)p);
}

static bool pm_realize(Device *d, GError **err)
{
    PiixPm *s = (PiixPm *)d;
    device_timer_init(d, &s->timer, timer_fired);
    pci_set16(&s->pci, PCI_STATUS, 0x0280);
    for (unsigned off = 0x40; off < 0x100; off++)
        s->pci.writable[off] = 0xff;
    pci_set32(&s->pci, PM_BASE, 1); /* bit 0 says: in I/O space */
    pci_set_writable(&s->pci, PM_BASE, 4, 0xffc0);
    s->pci.config[DEVACTB_BYTE3] = APMC_EN;
    s->pci.config[0x67] = 0x98; /* DEVRESJ: COM1 and COM2 decoded */
    pci_set32(&s->pci, PM_SMBUS_BASE, 1);
    pci_set_writable(&s->pci, PM_SMBUS_BASE, 4, 0xfff0);
    return true;
}

static void pm_unrealize(Device *d) { timer_finish(&((PiixPm *)d)->timer); }

static void pm_reset(Device *d, ResetKind k)
{
    PiixPm *s = (PiixPm *)d;
    s->overflow = next_overflow(s);
    place_blocks(s);
    update_sci(s);
}

static bool pm_post_load(Device *d, GError **err)
{
    PiixPm *s = (PiixPm *)d;
    place_blocks(s);
    if (s->pm1_en & TMR_BIT && !(s->pm1_sts & TMR_BIT))
        timer_arm(&s->timer, s->overflow);
    return true;
}

static const WindowOps pm_ops = { .read = pm_read, .write = pm_write, .min = 1, .max = 4 };
static const WindowOps gpe_ops = { .read = gpe_read, .write = gpe_write, .min = 1, .max = 1 };
static const WindowOps apm_ops = { .read = apm_read, .write = apm_write, .min = 1, .max = 1 };
static const WindowOps smb_ops = { .read = smb_read, .write = smb_write, .min = 1, .max = 1 };
static const WindowDecl pm_windows[] = {
    [PM_WINDOW] = { .name = "pm", .space = SPACE_PIO, .size = PM_SIZE, .ops = &pm_ops },
    [PM_WINDOW_GPE] = { .name = "gpe0", .space = SPACE_PIO, .size = 4, .ops = &gpe_ops },
    [PM_WINDOW_APM] = { .name = "apm", .space = SPACE_PIO, .size = 2, .ops = &apm_ops },
    [PM_WINDOW_SMBUS] = { .name = "smbus", .space = SPACE_PIO, .size = 16, .ops = &smb_ops },
    { .name = NULL },
};
static const PciInfo pm_pci = {
    .vendor = 0x8086, .device = 0x7113, .subsystem_vendor = 0x1af4, .subsystem = 0x1100,
    .class_code = 0x068000, .revision = 3, .interrupt_pin = 1, .config_written = config_written,
};
static const Field pm_fields[] = {
    { F(PiixPm, pm1_sts), .doc = "PM1 status" },
    { F(PiixPm, pm1_en), .doc = "PM1 enable" },
    { F(PiixPm, pm1_cnt), .doc = "PM1 control" },
    { F(PiixPm, gpe_sts), .doc = "GPE0 status" },
    { F(PiixPm, gpe_en), .doc = "GPE0 enable" },
    { F(PiixPm, apm_control), .doc = "APM control port" },
    { F(PiixPm, apm_status), .doc = "APM status port" },
    { FS(PiixPm, smbus, smbus_fields), .doc = "SMBus host controller" },
    { F(PiixPm, overflow), .doc = "when the PM timer's top bit next changes, ns" },
    { FO(PiixPm, timer), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

const DeviceType piix4_pm_type = {
    .name = "PIIX4_PM",
    .summary = "ACPI power management",
    .spec = "Intel 82371AB, order number 290562; ACPI 6.4, chapter 4",
    .size = sizeof(PiixPm),
    .version = 1,
    .fields = pm_fields,
    .windows = pm_windows,
    .n_irqs = 1,
    .internal = true,
    .pci = &pm_pci,
    .realize = pm_realize,
    .unrealize = pm_unrealize,
    .reset = pm_reset,
    .post_load = pm_post_load,
    .set_irq = set_input,
};
