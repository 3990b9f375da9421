/* dsdt_microvm.c - the differentiated description of a machine without PCI: processors, serial ports, clock, virtio devices. */
#include "devices/acpi/dsdt.h"

enum { VIRTIO_BYTES = 512 };

/* The id that Linux's virtio_mmio and others look for. */
static Aml *virtio_device(const AcpiBoard *b, unsigned n)
{
    g_autofree char *name = g_strdup_printf("VR%02u", n);
    return aml_device(name, aml_name("_HID", aml_string("LNRO0005")), aml_name("_UID", aml_int(n)), aml_name("_CCA", aml_int(1)),
                      aml_name("_CRS", aml_resources(aml_memory(b->virtio[n].base, VIRTIO_BYTES, true), aml_interrupts(&b->virtio[n].gsi, 1), NULL)), NULL);
}

static Aml *virtio_devices(const AcpiBoard *b)
{
    Aml *all = aml_nothing();
    for (unsigned n = 0; n < b->n_virtio; n++)
        aml_append(all, virtio_device(b, n));
    return all;
}

Aml *acpi_microvm_dsdt(const AcpiBoard *b)
{
    Aml *dsdt = acpi_soft_off();
    aml_append(dsdt, aml_scope("\\_SB", acpi_serial_port(b, 0), acpi_serial_port(b, 1), acpi_serial_port(b, 2), acpi_serial_port(b, 3),
                               b->no_rtc ? aml_nothing() : acpi_rtc(), acpi_fw_cfg_device(b), acpi_pvpanic_device(b), virtio_devices(b),
                               acpi_processors(b), NULL));
    return dsdt;
}
