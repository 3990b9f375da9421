#pragma once
#include "machine/device.h"
/* a20.h - the A20 gate.  Inputs, ORed: 0 keyboard controller, 1 port 92h; both are high after reset. */
extern const DeviceType a20_type;
