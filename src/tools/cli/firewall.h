#pragma once
#include <json-glib/json-glib.h>
#include <stdbool.h>
/*
 * firewall.h - where a packet would end in the host's rules: what `nft -j list ruleset` says, walked as the kernel does.
 *
 * What cannot be known beforehand (marks, sets, extensions of iptables) is "perhaps".
 */
typedef struct Packet {
    const char *what;                 /* for people */
    const char *const *hooks;         /* ends with NULL */
    const char *in, *out;             /* interfaces; NULL: any */
    const char *from, *to;            /* IPv4 addresses; NULL: any */
    const char *protocol;             /* tcp, udp */
    int to_port, from_port;           /* -1: any */
    const char *state;                /* new, established */
    bool forwarded;                   /* a port forward has given it its address: ct status dnat */
} Packet;

typedef struct Drop {
    const Packet *packet;
    char *family, *table, *chain;
    int handle;   /* of the rule; 0: the chain's policy */
    bool perhaps;
} Drop;

/* Adds a Drop for each chain that ends the packet. */
void firewall_walk(JsonNode *ruleset, const Packet *p, GPtrArray *drops);
void drop_free(Drop *d);
