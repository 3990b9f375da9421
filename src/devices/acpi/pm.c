/* pm.c - PM1 registers, PM timer and general-purpose events.  ACPI Specification 6.4, 4.8.3 and 4.8.4. */
#include "devices/acpi/pm.h"

enum { PM_HZ = 3579545, TIMER_BITS = 24 };
enum { PM1_STS = 0, PM1_EN = 2, PM1_CNT = 4, PM_TMR = 8 };
enum { TMR_BIT = 1 << 0, GBL_BIT = 1 << 5, PWRBTN_BIT = 1 << 8, SLPBTN_BIT = 1 << 9, RTC_BIT = 1 << 10 };
enum { EVENTS = TMR_BIT | GBL_BIT | PWRBTN_BIT | SLPBTN_BIT | RTC_BIT };
enum { CNT_SCI_EN = 1 << 0, CNT_SLP_TYP_SHIFT = 10, CNT_SLP_EN = 1 << 13 };
enum { SLP_TYP_S5 = 0 }; /* as the DSDT's _S5 says */

/* ---- timer and SCI */

static int64_t now(const AcpiPm *pm) { return clock_now(pm->dev->machine->clock); }
static uint64_t timer_ticks(const AcpiPm *pm) { return ns_to_ticks(now(pm), PM_HZ); }

/* The next change of the timer's top bit. */
static int64_t next_overflow(const AcpiPm *pm)
{
    uint64_t half = 1ull << (TIMER_BITS - 1);
    return ticks_to_ns((timer_ticks(pm) / half + 1) * half, PM_HZ);
}

static void note_overflow(AcpiPm *pm)
{
    if (now(pm) >= pm->overflow)
        pm->pm1_sts |= TMR_BIT;
}

static void arm(AcpiPm *pm)
{
    if (pm->pm1_en & TMR_BIT && !(pm->pm1_sts & TMR_BIT))
        timer_arm(&pm->timer, pm->overflow);
    else
        timer_disarm(&pm->timer);
}

static void update(AcpiPm *pm)
{
    note_overflow(pm);
    bool fixed = pm->pm1_cnt & CNT_SCI_EN && pm->pm1_sts & pm->pm1_en & EVENTS;
    irq_set(&pm->dev->irq[pm->sci], fixed || pm->gpe_sts & pm->gpe_en);
    arm(pm);
}

static void timer_fired(void *opaque) { update(opaque); }

void acpi_pm_press_button(AcpiPm *pm)
{
    pm->pm1_sts |= PWRBTN_BIT;
    update(pm);
}

void acpi_pm_raise_gpe(AcpiPm *pm, unsigned n)
{
    pm->gpe_sts |= 1ull << n;
    update(pm);
}

void acpi_pm_set_enabled(AcpiPm *pm, bool enabled)
{
    pm->pm1_cnt = enabled ? pm->pm1_cnt | CNT_SCI_EN : pm->pm1_cnt & ~CNT_SCI_EN;
    update(pm);
}

/* ---- the PM1 block */

static uint16_t reg(AcpiPm *pm, unsigned off)
{
    switch (off) {
    case PM1_STS:
        note_overflow(pm);
        return pm->pm1_sts;
    case PM1_EN:
        return pm->pm1_en;
    case PM1_CNT:
        return pm->pm1_cnt;
    default:
        return 0;
    }
}

uint64_t acpi_pm_read(AcpiPm *pm, uint64_t off, unsigned size)
{
    if (off >= PM_TMR && off < PM_TMR + 4)
        return (timer_ticks(pm) & ((1u << TIMER_BITS) - 1)) >> ((off - PM_TMR) * 8);
    return (reg(pm, off & ~1u) | (uint64_t)reg(pm, (off & ~1u) + 2) << 16) >> (off % 2 * 8);
}

static void sleep_now(AcpiPm *pm)
{
    unsigned type = pm->pm1_cnt >> CNT_SLP_TYP_SHIFT & 7;
    if (type == SLP_TYP_S5)
        machine_request(pm->dev->machine, CAUSE_GUEST_SHUTDOWN);
    else
        unimplemented(pm->dev, "sleep type %u", type);
}

static void write_status(AcpiPm *pm, uint16_t value)
{
    note_overflow(pm);
    pm->pm1_sts &= ~value;
    if (value & TMR_BIT)
        pm->overflow = next_overflow(pm);
}

/* SCI_EN is firmware's: only its handover changes it (4.8.3.2.1). */
static void write_control(AcpiPm *pm, uint16_t value)
{
    pm->pm1_cnt = (value & ~(CNT_SLP_EN | CNT_SCI_EN)) | (pm->pm1_cnt & CNT_SCI_EN);
    if (value & CNT_SLP_EN)
        sleep_now(pm);
}

static void write16(AcpiPm *pm, unsigned off, uint16_t value)
{
    if (off == PM1_STS)
        write_status(pm, value);
    else if (off == PM1_EN)
        pm->pm1_en = value & EVENTS;
    else if (off == PM1_CNT)
        write_control(pm, value);
    update(pm);
}

/* A byte write changes its half; the other half of a status register must not be cleared by writing it back. */
static void write8(AcpiPm *pm, unsigned off, uint8_t value)
{
    unsigned at = off & ~1u, shift = off % 2 * 8;
    uint16_t rest = at == PM1_STS ? 0 : reg(pm, at) & ~(0xff << shift);
    write16(pm, at, rest | value << shift);
}

void acpi_pm_write(AcpiPm *pm, uint64_t off, unsigned size, uint64_t value)
{
    if (size == 1)
        write8(pm, off, value);
    for (unsigned i = 0; size > 1 && i < size; i += 2)
        write16(pm, off + i, value >> (i * 8));
}

/* ---- general-purpose events */

uint8_t acpi_gpe_read(const AcpiPm *pm, uint64_t off, unsigned half)
{
    return (off < half ? pm->gpe_sts >> (off * 8) : pm->gpe_en >> ((off - half) * 8)) & 0xff;
}

void acpi_gpe_write(AcpiPm *pm, uint64_t off, unsigned half, uint8_t value)
{
    unsigned shift = off % half * 8;
    if (off < half)
        pm->gpe_sts &= ~((uint64_t)value << shift);
    else
        pm->gpe_en = (pm->gpe_en & ~(0xffull << shift)) | (uint64_t)value << shift;
    update(pm);
}

/* ---- life */

void acpi_pm_init(AcpiPm *pm, Device *dev, unsigned sci)
{
    pm->dev = dev;
    pm->sci = sci;
    timer_init(&pm->timer, dev->machine->clock, timer_fired, pm, &dev->lock);
}

void acpi_pm_finish(AcpiPm *pm)
{
    if (pm->dev)
        timer_finish(&pm->timer);
}

void acpi_pm_reset(AcpiPm *pm)
{
    pm->overflow = next_overflow(pm);
    update(pm);
}

void acpi_pm_loaded(AcpiPm *pm) { arm(pm); }

const Field acpi_pm_fields[] = {
    { F(AcpiPm, pm1_sts), .doc = "PM1 status" },
    { F(AcpiPm, pm1_en), .doc = "PM1 enable" },
    { F(AcpiPm, pm1_cnt), .doc = "PM1 control" },
    { F(AcpiPm, gpe_sts), .doc = "GPE0 status" },
    { F(AcpiPm, gpe_en), .doc = "GPE0 enable" },
    { F(AcpiPm, overflow), .doc = "when the PM timer's top bit next changes, ns" },
    { FO(AcpiPm, dev), .role = FIELD_HOST },
    { F(AcpiPm, sci), .role = FIELD_HOST },
    { FO(AcpiPm, timer), .role = FIELD_HOST },
    { .name = NULL },
};
