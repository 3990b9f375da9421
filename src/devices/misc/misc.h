#pragma once
#include "machine/device.h"
/* misc.h - small ISA cards, and a PCI watchdog.  Window 0 at property iobase.  port92's output 0 is A20. */
extern const DeviceType isa_debug_exit_type, pvpanic_type, port92_type, isa_post_card_type, ib700_type, i6300esb_type;
