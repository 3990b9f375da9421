/*
 * dsdt_express.c - what the operating system may do itself on PCI Express: native hotplug, power events, the capability structures.
 * PCI Firmware Specification 3.2, 4.5.1.
 */
#include "devices/acpi/dsdt.h"

enum { ARG_UUID, ARG_REVISION, ARG_COUNT, ARG_CAPABILITIES, ARGS };
enum { STATUS_BAD_UUID = 1 << 2, STATUS_BAD_REVISION = 1 << 3, STATUS_MASKED = 1 << 4 };
enum { CONTROL_HOTPLUG = 1 << 0, CONTROL_PME = 1 << 2, CONTROL_CAPABILITIES = 1 << 4, GRANTED = CONTROL_HOTPLUG | CONTROL_PME | CONTROL_CAPABILITIES };

static Aml *complain(unsigned status) { return aml_or(aml_ref("CDW1"), aml_int(status), aml_ref("CDW1")); }

Aml *acpi_express_control(const AcpiBoard *b)
{
    /* 33DB4D5B-1FF7-401C-9657-7441C03DD766 */
    static const uint8_t uuid[16] = { 0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40, 0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66 };
    if (!b->ecam)
        return aml_nothing();
    return aml_method("_OSC", ARGS, true,
        aml_dword_of(aml_arg(ARG_CAPABILITIES), 0, "CDW1"),
        aml_if(aml_equal(aml_arg(ARG_UUID), aml_buffer(uuid, sizeof(uuid))),
            aml_dword_of(aml_arg(ARG_CAPABILITIES), 8, "CDW3"),
            aml_and(aml_ref("CDW3"), aml_int(GRANTED), aml_local(0)),
            aml_if(aml_not(aml_equal(aml_arg(ARG_REVISION), aml_int(1))), complain(STATUS_BAD_REVISION), NULL),
            aml_if(aml_not(aml_equal(aml_ref("CDW3"), aml_local(0))), complain(STATUS_MASKED), NULL),
            aml_store(aml_local(0), aml_ref("CDW3")),
            aml_return(aml_arg(ARG_CAPABILITIES)), NULL),
        complain(STATUS_BAD_UUID),
        aml_return(aml_arg(ARG_CAPABILITIES)), NULL);
}
