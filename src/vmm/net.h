#pragma once
#include "hostnet/hostnet.h"
#include "vmm/vm.h"
/* net.h - the host ends of a machine's networks, by id; main thread. */
bool vm_open_nets(Vm *vm, GError **err); /* those of the command line */
void vm_close_nets(Vm *vm);              /* after the devices */

HostNet *vm_find_net(Vm *vm, const char *id, GError **err); /* an error names the nearest */
/* netdev_add, as -netdev spells it; netdev_del: refused while a card has it. */
bool vm_add_net(Vm *vm, const char *spec, GError **err);
bool vm_remove_net(Vm *vm, const char *id, GError **err);
/* object_add and object_del of filter-dump. */
bool vm_add_net_dump(Vm *vm, const char *id, const char *netdev, const char *file, uint32_t maxlen, GError **err);
bool vm_remove_net_dump(Vm *vm, const char *id);
