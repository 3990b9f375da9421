#pragma once
#include "manage/daemon/daemon_inside.h"
#include "manage/network/network.h"
/* net.h - networks as the daemon has them, and the ends of cards in their bridges. */
typedef struct ManagedNetwork {
    gatomicrefcount refs;
    Realm *realm;
    Network *def;  /* what runs, while it does */
    Network *next; /* of its next start, where that differs; NULL: def */
    bool active, persistent, autostart, gone;
    Lane *lane;
} ManagedNetwork;

ManagedNetwork *network_ref(ManagedNetwork *n);
void network_unref(ManagedNetwork *n);
void network_remove(ManagedNetwork *n);
ManagedNetwork *network_by_name(const Realm *r, const char *name);
ManagedNetwork *network_by_uuid(const Realm *r, const char *uuid);
GVariant *network_handle(const ManagedNetwork *n); /* (ss); floating */
/* One that runs stays as it is until its next start. */
ManagedNetwork *network_define(Realm *r, const char *xml, bool persistent, GError **err);
bool network_undefine(ManagedNetwork *n, GError **err);
bool network_set_autostart(ManagedNetwork *n, bool on, GError **err);
/* Starts or stops; answers the call, which may be NULL. */
void network_job(ManagedNetwork *n, bool start, bool with_handle, RpcCall *call);
void networks_load(Daemon *d);
void network_keep_live(ManagedNetwork *n); /* writes the record of what runs */
void network_mend(ManagedNetwork *n);      /* makes what is missing of one that runs; a job */
/* The definition of the next start: written, and taken (on false it is freed). */
bool network_set_config(ManagedNetwork *n, Network *def, GError **err);
/* One host, range, name or port more or less (virNetworkUpdate); answers the call. */
void network_update(ManagedNetwork *n, unsigned command, unsigned section, int parent, const char *xml, unsigned flags, RpcCall *call);
/* virNetworkEventLifecycleType */
typedef enum NetworkEvent { NETWORK_DEFINED, NETWORK_UNDEFINED, NETWORK_STARTED, NETWORK_STOPPED } NetworkEvent;
void network_event(ManagedNetwork *n, NetworkEvent event);
char *networks_folder(const Daemon *d); /* of running networks' files; caller frees */

/* Before a machine starts: each card of a network or bridge gets the name of its tap, on the main thread. */
bool network_prepare_cards(Realm *r, Domain *live, GError **err);
/* On a worker: makes the taps, or none. */
bool network_plug_cards(const Domain *live, GError **err);
void network_unplug_cards(const Domain *live);
