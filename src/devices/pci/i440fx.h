#pragma once
#include "machine/machine.h"
/* i440fx.h - the host bridge of the classic PC: its ports and its function 0:0. */
extern const DeviceType i440fx_ports_type, i440fx_type;

/* Until the ports know a bus, nothing answers.  Windows: 0 at cf8h, 1 at cfch. */
void i440fx_ports_set_bus(Device *ports, PciBus *bus);
