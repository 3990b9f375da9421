#pragma once
#include "console/chardev.h"
#include "vmm/vm.h"
/*
 * chardevs.h - the host's ends of serial lines by name, while the machine is there; main thread.
 */
bool vm_open_chardevs(Vm *vm, GError **err); /* those of -chardev */
/* A new one; spec as -chardev spells it. */
Chardev *vm_add_chardev(Vm *vm, const char *id, const char *spec, GError **err);
bool vm_remove_chardev(Vm *vm, const char *id, GError **err);
bool vm_change_chardev(Vm *vm, const char *id, const char *spec, GError **err);
Chardev *vm_find_chardev(Vm *vm, const char *id); /* NULL: none */
/* The chardev that a -serial or -debugcon means: "chardev:ID" or a new one with that label.  *ret NULL: none. */
bool vm_line_chardev(Vm *vm, const char *spec, const char *label, Chardev **ret, GError **err);
