#pragma once
#include "block/block.h"
#include "vmm/vm.h"
/*
 * nodes.h - disk images by name while the machine is there; main thread.
 *
 * A drive is a root that a device can claim, by its id.  A node is what -blockdev and blockdev-add define: it is opened as
 * a drive of its own name, until another node stands on it; jobs may put a drive on another node later.  What a node stood
 * on is closed with it, known still, and opened when somebody asks for it.
 */
bool vm_open_drive(Vm *vm, const DriveConfig *d, GError **err);
void vm_close_drive(Vm *vm, const char *drive); /* that no device has */
void vm_forget_drive(Vm *vm, const char *drive); /* the same for one of -drive, or of vm_open_medium(); others stay */
char *vm_open_medium(Vm *vm, const char *filename, const char *format, bool read_only, GError **err); /* its id; caller frees */

bool vm_add_node(Vm *vm, const char *text, GError **err); /* as -blockdev spells it */
bool vm_remove_node(Vm *vm, const char *name, GError **err);
/* The drive whose image is that node, opened if it is not: its id, for a device to claim.  Caller frees. */
char *vm_node_drive(Vm *vm, const char *name, GError **err);

/* Takes a root away from the machine, to be the caller's; and gives it back. */
BlkNode *vm_take_drive(Vm *vm, const char *drive, GError **err);
void vm_give_drive(Vm *vm, const char *drive, BlkNode *root);
/* Makes an image of that format in the file of a node that nobody stands on. */
bool vm_create_in_node(Vm *vm, const char *node, const char *format, const char *options, GError **err);

typedef struct NodePlace {
    BlkNode *node;
    BlkNode *root;     /* above it */
    const char *drive; /* id of that */
    Device *holder;    /* who has it, or NULL */
    bool top;          /* node is what the drive shows */
} NodePlace;
/* By node name, or id of a drive; false: it is not open. */
bool vm_find_disk(Vm *vm, const char *device, const char *drive, NodePlace *ret); /* what a device has, or else by drive or node */
bool vm_find_node(Vm *vm, const char *name, NodePlace *ret);
