#pragma once
#include "manage/daemon/snapshot.h"
/* snapshot_jobs.h - the verbs of snapshots, each a job in its domain's lane. */
void snapshot_take(Client *c, RpcCall *call, GVariant *args);
void snapshot_revert(Client *c, RpcCall *call, GVariant *args);
void snapshot_delete(Client *c, RpcCall *call, GVariant *args);
/* The domain and the snapshot that the call's first argument names; NULL: the call has been answered with an error. */
ManagedDomain *snapshot_of_call(Client *c, RpcCall *call, GVariant *args, Snapshot **ret);
bool snapshot_needs(const ManagedDomain *d, const char *image); /* a snapshot's <domain> names it */
