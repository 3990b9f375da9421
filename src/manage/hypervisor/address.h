#pragma once
#include "schema/domain.h"
/*
 * address.h - where devices sit on PCI: on a pc in slots of its bus, on a q35 each behind a pcie-root-port of its own.
 *
 * An address that the definition says is kept, and refused where another device has it.
 */

/* Gives each device of a definition its place, and adds the controllers that it needs and lacks. */
bool address_assign(Domain *d, GError **err);
/* The same for one that is plugged into a running machine: what is there is all that there is. */
bool address_place(const Domain *live, void *device, GError **err);
/* The controller that the device needs and the running machine lacks; NULL: none.  The caller's. */
Controller *address_controller_for(const Domain *live, const void *device);
bool address_is_q35(const Domain *d);
/* Which controllers of USB are one device here: ehci's companions go by its number. */
bool address_is_companion(const Domain *d, const Controller *c);
