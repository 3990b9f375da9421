/* table.c - registration is this explicit array. */
#include "devices/devices.h"

#include "devices/char/char.h"
#include "devices/intc/intc.h"
#include "devices/timer/timer.h"

const DeviceType *const device_types[] = {
    &i8259_type,
    &ioapic_type,
    &apic_type,
    &i8254_type,
    &mc146818_type,
    &isa_serial_type,
    &isa_debugcon_type,
    NULL,
};
