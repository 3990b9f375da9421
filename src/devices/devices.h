#pragma once
#include "machine/device.h"
/* devices.h - every device type there is; -device, help, the manual and the generic tests walk this table. */
extern const DeviceType *const device_types[]; /* NULL-terminated */
