#pragma once
#include <glib.h>
#include <stdbool.h>

#include "schema/network.h"
/*
 * network.h (manage) - the host's side of a network: a bridge, its addresses, rules of the firewall in a table of our own,
 * DHCP and DNS by dnsmasq.
 *
 * net_plan() is pure: it says what would be made; net_apply() makes it, and may be repeated; net_undo() takes it away,
 * whatever of it is there.
 */
typedef struct NetPlan {
    char *bridge;        /* name; of the host's own where `owned` is false */
    bool owned, forward; /* forward: the host routes packets */
    char *mac;
    bool stp;
    unsigned mtu;        /* 0: the kernel's */
    GPtrArray *addresses; /* texts: ADDRESS/PREFIX */
    GPtrArray *routes;    /* texts: NET/PREFIX GATEWAY METRIC */
    char *table;          /* of nftables; NULL: none */
    char *rules;          /* that make the table anew */
    char *dnsmasq;        /* its configuration, or NULL: not needed */
    char *folder;         /* where its files are: configuration, leases, process id */
} NetPlan;

NetPlan *net_plan(const Network *n, const char *folder, GError **err);
void net_plan_free(NetPlan *p);
bool net_apply(const NetPlan *p, GError **err);
/* The same of a network that runs: what is missing or has changed; on failure nothing is taken away. */
bool net_change(const NetPlan *p, GError **err);
void net_undo(const NetPlan *p);
/* A tap interface that stays until it is removed, in a bridge. */
bool tap_create(const char *name, const char *bridge, unsigned mtu, GError **err);
void tap_remove(const char *name);
bool interface_exists(const char *name);
/* "192.168.122.0/24" of an address and its mask.  NULL and an error: the mask is none. */
char *net_of(const NetworkIp *ip, unsigned *ret_prefix, GError **err);

typedef struct Lease {
    gint64 expiry; /* seconds since 1970 */
    char *mac, *ip, *hostname, *client_id;
} Lease;
GPtrArray *net_leases(const char *folder, const char *bridge); /* Lease; empty where there are none */
