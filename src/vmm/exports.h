#pragma once
#include "block/nbd_server.h"
#include "vmm/nodes.h"
/*
 * exports.h - drives of the machine that others may read or write while it runs, over NBD; main thread.
 *
 * One server at a time, and any number of exports.  A drive that is exported stays open.
 */
typedef struct VmExport {
    char *id, *node_name, *name; /* name: what clients say */
    char *drive;
    char *writer; /* who the drive is reserved for; NULL: it is only read */
} VmExport;

bool vm_start_nbd(Vm *vm, const NbdServerOptions *o, GError **err);
bool vm_stop_nbd(Vm *vm, GError **err); /* and all exports */
/* e: without a node, which `node_name` says (a drive's id will do as well). */
bool vm_add_export(Vm *vm, const char *id, const char *node_name, NbdExport *e, GError **err);
bool vm_remove_export(Vm *vm, VmExport *x, bool hard, GError **err);
VmExport *vm_export_by_id(Vm *vm, const char *id, GError **err);
VmExport *vm_export_by_name(Vm *vm, const char *name, GError **err);
bool vm_drive_has_export(Vm *vm, const char *drive);
void vm_end_exports(Vm *vm);
