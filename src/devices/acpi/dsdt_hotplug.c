/*
 * dsdt_hotplug.c - how ACPI looks after the slots of PCI bus 0: a device object a slot, with a method to eject it, and the general-purpose
 * event whose method reads which slots have news.  ACPI Specification 6.4, 6.3.3 (_EJ0), 5.6.6 (Notify).  Registers: pci_hotplug.h.
 */
#include "devices/acpi/pci_hotplug.h"

#include "devices/acpi/dsdt.h"

enum { SLOTS = 32, NOTIFY_DEVICE_CHECK = 1, NOTIFY_EJECT = 3 };

static const char *slot_name(unsigned slot, char ret[5])
{
    g_snprintf(ret, 5, "S%03X", slot << 3);
    return ret;
}

static bool has_slot(const AcpiBoard *b, unsigned slot) { return slot && slot != b->chips->isa_slot; }

static Aml *slot_device(unsigned slot)
{
    char name[5];
    return aml_device(slot_name(slot, name), aml_name("_SUN", aml_int(slot)), aml_name("_ADR", aml_int(slot << 16)),
                      aml_method("_EJ0", 1, false, aml_store(aml_shift_left(aml_int(1), aml_ref("_SUN"), NULL), aml_ref("B0EJ")), NULL), NULL);
}

static Aml *slot_notify(unsigned slot)
{
    char name[5];
    return aml_if(aml_and(aml_arg(0), aml_int(1u << slot), NULL), aml_notify(aml_ref(slot_name(slot, name)), aml_arg(1)), NULL);
}

static Aml *each_slot(const AcpiBoard *b, Aml *(*make)(unsigned slot))
{
    Aml *all = aml_nothing();
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (has_slot(b, slot))
            aml_append(all, make(slot));
    return all;
}

Aml *acpi_hotplug_slots(const AcpiBoard *b)
{
    static const AmlField status[] = { { "PCIU", 32 }, { "PCID", 32 } }, eject[] = { { "B0EJ", 32 } }, bus[] = { { "BNUM", 32 } };
    uint16_t port = b->chips->hotplug_port;
    if (!port)
        return aml_nothing();
    Aml *all = aml_region("PCST", AML_IO, port + ACPI_HOTPLUG_UP, 8);
    aml_append(all, aml_dword_field("PCST", status, 2));
    aml_append(all, aml_region("SEJ", AML_IO, port + ACPI_HOTPLUG_EJECT, 4));
    aml_append(all, aml_dword_field("SEJ", eject, 1));
    aml_append(all, aml_region("BNMR", AML_IO, port + ACPI_HOTPLUG_BUS, 4));
    aml_append(all, aml_dword_field("BNMR", bus, 1));
    aml_append(all, each_slot(b, slot_device));
    aml_append(all, aml_method("DVNT", 2, false, each_slot(b, slot_notify), NULL));
    aml_append(all, aml_method("PCNT", 0, true, aml_store(aml_int(0), aml_ref("BNUM")),
                               aml_call("DVNT", aml_ref("PCIU"), aml_int(NOTIFY_DEVICE_CHECK), NULL),
                               aml_call("DVNT", aml_ref("PCID"), aml_int(NOTIFY_EJECT), NULL), NULL));
    return all;
}

Aml *acpi_hotplug_event(const AcpiBoard *b)
{
    if (!b->chips->hotplug_port)
        return aml_nothing();
    return aml_scope("\\_GPE", aml_method("_E01", 0, false, aml_ref("\\_SB.PCI0.PCNT"), NULL), NULL);
}
