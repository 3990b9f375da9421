#pragma once
#include "vmm/nodes.h"
/* new_images.h - images that a command makes or takes beside the disk that it is about: overlays, targets of copies. */

/* As large as `like`; below: what it stands on, NULL: nothing. */
bool vm_create_image(Vm *vm, BlkNode *like, BlkNode *below, const char *format, const char *file, GError **err);
/* A root of it, the caller's; chain: its backing files are opened, too. */
BlkNode *vm_open_image(Vm *vm, const char *format, const char *file, const char *node_name, bool chain, GError **err);
char *vm_new_node_name(Vm *vm); /* that nobody has, as QEMU makes them; caller frees */
