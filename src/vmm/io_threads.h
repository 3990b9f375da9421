#pragma once
#include "block/io_thread.h"
#include "vmm/vm.h"
/*
 * io_threads.h - the I/O threads of a machine: one for all disks that name none, and those of -object iothread.
 */
typedef struct VmIoThread {
    char *id;
    uint64_t poll_max_ns;
    IoThread *thread;
} VmIoThread;

bool vm_open_io_threads(Vm *vm, GError **err); /* before devices */
bool vm_add_io_thread(Vm *vm, const ObjectConfig *o, GError **err);
bool vm_remove_io_thread(Vm *vm, const char *id, GError **err); /* error: a device uses it */
bool vm_has_io_thread(Vm *vm, const char *id);
void vm_close_io_threads(Vm *vm); /* after devices */
