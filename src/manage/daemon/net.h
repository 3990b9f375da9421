#pragma once
#include "manage/daemon/daemon_inside.h"
#include "manage/network/network.h"
/* net.h - networks as the daemon has them, and the ends of cards in their bridges. */
typedef struct ManagedNetwork {
    gatomicrefcount refs;
    Realm *realm;
    Network *def;
    bool active, persistent, autostart, gone;
    Lane *lane;
} ManagedNetwork;

ManagedNetwork *network_ref(ManagedNetwork *n);
void network_unref(ManagedNetwork *n);
void network_remove(ManagedNetwork *n);
ManagedNetwork *network_by_name(const Realm *r, const char *name);
void networks_load(Daemon *d);
void network_event(ManagedNetwork *n, int event);
char *networks_folder(const Daemon *d); /* of running networks' files; caller frees */

/* Before a machine starts: each card of a network or bridge gets the name of its tap, on the main thread. */
bool network_prepare_cards(Realm *r, Domain *live, GError **err);
/* On a worker: makes the taps, or none. */
bool network_plug_cards(const Domain *live, GError **err);
void network_unplug_cards(const Domain *live);
