/* acpi_tables.c - the fixed-format tables.  ACPI Specification 6.4, chapter 5; HPET 1.0a, 3.2.4; WAET: Microsoft. */
#include "devices/acpi/acpi_tables.h"

#include <string.h>

#include "devices/pci/piix.h"

enum { HEADER_LENGTH = 36, LENGTH_AT = 4, CHECKSUM_AT = 9 };
enum { IO_SPACE = 1, MEMORY_SPACE = 0 };
enum { LAPIC_ADDRESS = 0xfee00000u, IOAPIC_ADDRESS = 0xfec00000u, HPET_ADDRESS = 0xfed00000u };

/* ---- bytes */

static void put(AcpiTables *t, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        uint8_t b = value >> (i * 8);
        g_byte_array_append(t->tables, &b, 1);
    }
}

static void patch32(GByteArray *a, uint32_t at, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    memcpy(a->data + at, &value, 4);
}

static void text(AcpiTables *t, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put(t, i < strlen(s) ? s[i] : ' ', 1);
}

static void zeros(AcpiTables *t, unsigned n)
{
    while (n--)
        put(t, 0, 1);
}

static void align(AcpiTables *t, unsigned to) { zeros(t, (to - t->tables->len % to) % to); }

/* Generic address structure (5.2.3.2); width in bits; access size 1 byte, 2 word, 3 dword. */
static void address(AcpiTables *t, uint8_t space, uint8_t width, uint8_t access, uint64_t at)
{
    put(t, space, 1);
    put(t, width, 1);
    put(t, 0, 1);
    put(t, access, 1);
    put(t, at, 8);
}

uint32_t acpi_table_begin(AcpiTables *t, const char *signature, uint8_t revision)
{
    align(t, 16);
    uint32_t start = t->tables->len;
    text(t, signature, 4);
    put(t, 0, 4);
    put(t, revision, 1);
    put(t, 0, 1);
    text(t, "ATOLL", 6);
    text(t, "ATOLLPC", 8);
    put(t, 1, 4);
    text(t, "ATOL", 4);
    put(t, 1, 4);
    return start;
}

void acpi_table_end(AcpiTables *t, uint32_t start)
{
    uint32_t length = t->tables->len - start;
    patch32(t->tables, start + LENGTH_AT, length);
    AcpiChecksum sum = { .at = start + CHECKSUM_AT, .start = start, .length = length };
    g_array_append_val(t->checksums, sum);
}

void acpi_table_pointer(AcpiTables *t, unsigned size, uint32_t target)
{
    AcpiPointer p = { .offset = t->tables->len, .size = size };
    g_array_append_val(t->pointers, p);
    put(t, target, size);
}

/* ---- FACS, DSDT, FADT */

static uint32_t add_facs(AcpiTables *t)
{
    align(t, 64);
    uint32_t start = t->tables->len;
    text(t, "FACS", 4);
    put(t, 64, 4);
    zeros(t, 56);
    return start;
}

static uint32_t add_dsdt(AcpiTables *t, const AcpiBoard *b)
{
    uint32_t start = acpi_table_begin(t, "DSDT", 2); /* 2: 64-bit integers */
    aml_append(t->tables, b->dsdt(b));
    acpi_table_end(t, start);
    return start;
}

enum { /* 5.2.9, table 5.10: fixed feature flags; table 5.11: boot architecture */
    FADT_WBINVD = 1 << 0, FADT_PROC_C1 = 1 << 2, FADT_SLP_BUTTON = 1 << 5, FADT_FIX_RTC = 1 << 6, FADT_RESET_REG = 1 << 10,
    BOOT_LEGACY = 1 << 0, BOOT_8042 = 1 << 1, BOOT_NO_VGA = 1 << 2, BOOT_NO_RTC = 1 << 5,
};
enum { RESET_PORT = 0xcf9, RESET_VALUE = 0x06, CMOS_CENTURY = 0x32, NO_C_STATE = 0xfff };

static void fadt_blocks(AcpiTables *t, const AcpiChips *c)
{
    const uint16_t ports[] = { c->pm_port, 0, c->pm_port + 4, 0, 0, c->pm_port + 8, c->gpe_port, 0 };
    const uint8_t lengths[] = { 4, 2, 0, 4, c->gpe_bytes, 0, 0 }; /* PM1_EVT, PM1_CNT, PM2_CNT, PM_TMR, GPE0, GPE1, GPE1_BASE */
    for (unsigned i = 0; i < G_N_ELEMENTS(ports); i++)
        put(t, ports[i], 4);
    for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++)
        put(t, lengths[i], 1);
}

static void fadt_extended_blocks(AcpiTables *t, const AcpiChips *c)
{
    const struct { uint16_t port; uint8_t width, access; } blocks[] = {
        { c->pm_port, 32, 2 }, { 0 }, { c->pm_port + 4, 16, 2 }, { 0 }, { 0 }, { c->pm_port + 8, 32, 3 }, { c->gpe_port, c->gpe_bytes * 8, 1 }, { 0 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(blocks); i++)
        address(t, blocks[i].port ? IO_SPACE : 0, blocks[i].width, blocks[i].access, blocks[i].port);
}

static uint32_t add_fadt(AcpiTables *t, const AcpiBoard *b, uint32_t facs, uint32_t dsdt)
{
    uint32_t start = acpi_table_begin(t, "FACP", 3);
    acpi_table_pointer(t, 4, facs);
    acpi_table_pointer(t, 4, dsdt);
    put(t, 0, 1); /* reserved: was the interrupt model */
    put(t, 0, 1); /* preferred profile: unspecified */
    put(t, PM_SCI_IRQ, 2);
    put(t, b->chips->smi_port, 4);
    put(t, b->chips->smi_port ? PM_ACPI_ENABLE : 0, 1);
    put(t, b->chips->smi_port ? PM_ACPI_DISABLE : 0, 1);
    put(t, 0, 2); /* no S4BIOS, no P-state control */
    fadt_blocks(t, b->chips);
    put(t, 0, 1); /* no _CST command */
    put(t, NO_C_STATE, 2);
    put(t, NO_C_STATE, 2);
    put(t, 0, 4); /* flush size and stride: WBINVD works */
    put(t, 0, 2); /* duty cycle */
    put(t, 0, 2); /* RTC alarm day and month */
    put(t, CMOS_CENTURY, 1);
    put(t, BOOT_LEGACY | (b->no_8042 ? 0 : BOOT_8042) | (b->vga ? 0 : BOOT_NO_VGA) | (b->no_rtc ? BOOT_NO_RTC : 0), 2);
    put(t, 0, 1);
    put(t, FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_FIX_RTC | FADT_RESET_REG, 4);
    address(t, IO_SPACE, 8, 1, RESET_PORT);
    put(t, RESET_VALUE, 1);
    put(t, 0, 3);
    put(t, 0, 8); /* X_FIRMWARE_CTRL: the 32-bit field is used */
    acpi_table_pointer(t, 8, dsdt);
    fadt_extended_blocks(t, b->chips);
    acpi_table_end(t, start);
    return start;
}

/* ---- MADT (5.2.12) */

enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_LAPIC_NMI = 4, MADT_X2APIC = 9, MADT_X2APIC_NMI = 10 };
enum { ACTIVE_HIGH_LEVEL = 0x0d, ALL_CPUS = 0xff };

static void madt_entry(AcpiTables *t, uint8_t type, uint8_t length)
{
    put(t, type, 1);
    put(t, length, 1);
}

static void madt_cpu(AcpiTables *t, unsigned uid, uint32_t apic_id)
{
    if (apic_id < 255 && uid < 255) {
        madt_entry(t, MADT_LAPIC, 8);
        put(t, uid, 1);
        put(t, apic_id, 1);
        put(t, 1, 4);
        return;
    }
    madt_entry(t, MADT_X2APIC, 16);
    put(t, 0, 2);
    put(t, apic_id, 4);
    put(t, 1, 4);
    put(t, uid, 4);
}

static void madt_override(AcpiTables *t, uint8_t irq, uint8_t gsi, uint16_t flags)
{
    madt_entry(t, MADT_OVERRIDE, 10);
    put(t, 0, 1); /* ISA */
    put(t, irq, 1);
    put(t, gsi, 4);
    put(t, flags, 2);
}

/* NMI is LINT1 of every processor. */
static void madt_nmi(AcpiTables *t, const AcpiBoard *b)
{
    madt_entry(t, MADT_LAPIC_NMI, 6);
    put(t, ALL_CPUS, 1);
    put(t, 0, 2);
    put(t, 1, 1);
    if (b->cpus <= 255)
        return;
    madt_entry(t, MADT_X2APIC_NMI, 12);
    put(t, 0, 2);
    put(t, UINT32_MAX, 4);
    put(t, 1, 1);
    put(t, 0, 3);
}

static uint32_t add_madt(AcpiTables *t, const AcpiBoard *b)
{
    static const uint8_t level_irqs[] = { 5, PM_SCI_IRQ, 10, 11 }; /* what PIRQs and the SCI may use */
    uint32_t start = acpi_table_begin(t, "APIC", 3);
    put(t, LAPIC_ADDRESS, 4);
    put(t, !b->no_pic, 4); /* PCAT_COMPAT: 8259s exist too */
    for (unsigned i = 0; i < b->cpus; i++)
        madt_cpu(t, i, b->apic_ids[i]);
    madt_entry(t, MADT_IOAPIC, 12);
    put(t, b->ioapic_id, 1);
    put(t, 0, 1);
    put(t, IOAPIC_ADDRESS, 4);
    put(t, 0, 4);
    madt_override(t, 0, 2, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(level_irqs); i++)
        madt_override(t, level_irqs[i], level_irqs[i], ACTIVE_HIGH_LEVEL);
    madt_nmi(t, b);
    acpi_table_end(t, start);
    return start;
}

/* ---- HPET, WAET */

static uint32_t add_hpet(AcpiTables *t)
{
    uint32_t start = acpi_table_begin(t, "HPET", 1);
    put(t, 0x8086a201, 4); /* event timer block: as the capability register's low half */
    address(t, MEMORY_SPACE, 0, 0, HPET_ADDRESS);
    put(t, 0, 1); /* number */
    put(t, 0, 2); /* minimum tick in periodic mode: not stated */
    put(t, 0, 1);
    acpi_table_end(t, start);
    return start;
}

/* PCI Firmware Specification 3.0, 4.1.2. */
static uint32_t add_mcfg(AcpiTables *t, uint64_t ecam)
{
    uint32_t start = acpi_table_begin(t, "MCFG", 1);
    put(t, 0, 8);
    put(t, ecam, 8);
    put(t, 0, 2); /* segment */
    put(t, 0, 1); /* buses */
    put(t, 0xff, 1);
    put(t, 0, 4);
    acpi_table_end(t, start);
    return start;
}

/* Tells Windows that one read of the PM timer is good. */
static uint32_t add_waet(AcpiTables *t)
{
    uint32_t start = acpi_table_begin(t, "WAET", 1);
    put(t, 1 << 1, 4);
    acpi_table_end(t, start);
    return start;
}

/* ---- roots */

static uint32_t add_root(AcpiTables *t, const char *signature, unsigned entry_size, const uint32_t *tables, unsigned n)
{
    uint32_t start = acpi_table_begin(t, signature, 1);
    for (unsigned i = 0; i < n; i++)
        acpi_table_pointer(t, entry_size, tables[i]);
    acpi_table_end(t, start);
    return start;
}

typedef struct __attribute__((packed)) Rsdp { /* 5.2.5.3 */
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt, length;
    uint64_t xsdt;
    uint8_t extended_checksum, reserved[3];
} Rsdp;

static void make_rsdp(AcpiTables *t, uint32_t rsdt, uint32_t xsdt)
{
    Rsdp r = { .signature = "RSD PTR ", .oem = "ATOLL ", .revision = 2, .rsdt = rsdt, .length = sizeof(r), .xsdt = xsdt };
    AcpiPointer p[] = { { true, offsetof(Rsdp, rsdt), 4 }, { true, offsetof(Rsdp, xsdt), 8 } };
    AcpiChecksum c[] = { { true, offsetof(Rsdp, checksum), 0, 20 }, { true, offsetof(Rsdp, extended_checksum), 0, sizeof(r) } };
    g_byte_array_append(t->rsdp, (uint8_t *)&r, sizeof(r));
    g_array_append_vals(t->pointers, p, 2);
    g_array_append_vals(t->checksums, c, 2);
}

AcpiTables *acpi_tables_build(const AcpiBoard *b)
{
    AcpiTables *t = g_new0(AcpiTables, 1);
    t->tables = g_byte_array_new();
    t->rsdp = g_byte_array_new();
    t->pointers = g_array_new(FALSE, FALSE, sizeof(AcpiPointer));
    t->checksums = g_array_new(FALSE, FALSE, sizeof(AcpiChecksum));
    uint32_t facs = add_facs(t), dsdt = add_dsdt(t, b), listed[5];
    unsigned n = 0;
    listed[n++] = add_fadt(t, b, facs, dsdt);
    listed[n++] = add_madt(t, b);
    if (b->hpet)
        listed[n++] = add_hpet(t);
    if (b->ecam)
        listed[n++] = add_mcfg(t, b->ecam);
    listed[n++] = add_waet(t);
    uint32_t rsdt = add_root(t, "RSDT", 4, listed, n), xsdt = add_root(t, "XSDT", 8, listed, n);
    make_rsdp(t, rsdt, xsdt);
    return t;
}

void acpi_tables_free(AcpiTables *t)
{
    if (!t)
        return;
    g_byte_array_unref(t->tables);
    g_byte_array_unref(t->rsdp);
    g_array_unref(t->pointers);
    g_array_unref(t->checksums);
    g_free(t);
}
