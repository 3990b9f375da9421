#pragma once
#include "vmm/vm.h"
/*
 * channel.h - where a saved machine goes to and comes from, as QEMU spells it (migration.json, "migrate"):
 *
 *     fd:NAME-OR-NUMBER  exec:COMMAND  file:PATH  unix:PATH  tcp:HOST:PORT
 */
struct Monitor;

typedef struct Channel {
    int fd;         /* non-blocking; -1: none */
    bool listening; /* fd is to be accepted on */
    GPid child;     /* of exec; 0: none */
    char *path, *part; /* of a file: written as the second, which becomes the first when it is complete */
} Channel;

/* monitor: whose getfd has named it; may be NULL. */
bool channel_open_out(Channel *c, Vm *vm, struct Monitor *monitor, const char *uri, GError **err);
bool channel_open_in(Channel *c, Vm *vm, struct Monitor *monitor, const char *uri, GError **err);
/* Waits for who connects. */
bool channel_accept(Channel *c, const _Atomic bool *cancelled, GError **err);
/* What was written is on the disk, and the child has ended well. */
bool channel_finish(Channel *c, GError **err);
void channel_close(Channel *c); /* also of a failure; kills nobody */
