#pragma once
#include "vmm/config.h"
/*
 * config_net.h - -netdev, -nic, -net and -object filter-dump as data, and the host ends of a machine that runs.
 *
 * -nic is a -netdev and a -device in one; -net is the older spelling of the two by themselves, which are put together in order.
 */
typedef struct NetDumpConfig {
    char *id, *netdev, *file;
    uint32_t maxlen;
} NetDumpConfig;

typedef struct NicConfig { /* of -net nic and -nic */
    char *model, *netdev, *addr; /* netdev NULL: the next -net that is a host end */
    GPtrArray *props;
} NicConfig;

typedef struct NetConfig {
    GPtrArray *netdevs;    /* char: as hostnet_open() takes them */
    GPtrArray *legacy;     /* char: ids of those that -net has made */
    GPtrArray *nics;       /* NicConfig */
    GArray *dumps;         /* NetDumpConfig */
    bool chosen;           /* somebody said something about networks: there is no default card */
    unsigned next_id;
} NetConfig;

NetConfig *config_net_new(void);
void config_net_free(NetConfig *n);
bool config_net_finish(VmConfig *c, GError **err); /* cards become devices */
/* "filter-dump,...": *ret_mine is false for an object of another kind. */
bool config_net_object(VmConfig *c, const char *arg, bool *ret_mine, GError **err);
